//! Calls that are redirected: RFC 3261 s8.1.3.4. A 3xx to the INVITE that begins a call names who is to be called instead:
//! one after the other in the order of their preference, none twice, and as many as `Limits::redirects`.

use std::collections::VecDeque;

use super::super::{Kit, Uas};
use super::state::Why;
use super::{CallKey, State, Step};
use crate::base::text::owned;
use crate::dialog::refer::without_headers;
use crate::wire::{ContactValue, Message, Uri};

/// Where a call has been, and where it may yet go.
#[derive(Clone, Debug, Default)]
pub(super) struct Redirects {
    tried: Vec<Box<str>>,
    next: VecDeque<Box<str>>,
}

/// One that can be called in place of the first, and its preference in thousandths.
fn target(first: &Uri<'_>, value: &ContactValue<'_>) -> Option<(u16, Box<str>)> {
    let uri = &value.addr()?.uri;
    // RFC 3261 s8.1.3.4: who was called securely is not called otherwise without being asked.
    let fits = uri.is_sip() && (uri.is_secure() || !first.is_secure());
    // Headers of ours are not for others to say (s19.1.5).
    fits.then(|| (value.q().unwrap_or(1000), without_headers(uri)))
}

fn is_among(all: &[Box<str>], uri: &str) -> bool {
    let Ok(uri) = Uri::parse(uri.as_bytes()) else { return true };
    all.iter().any(|one| Uri::parse(one.as_bytes()).is_ok_and(|one| one.equivalent(&uri)))
}

impl Uas {
    /// The INVITE that begins a call was refused so, or not answered: it goes to the next of those it was redirected to.
    /// False if there is none.
    pub(super) fn redirect(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        offer: Box<[u8]>,
        (status, msg): (u16, Option<Message<'_>>),
    ) -> bool {
        let Some(call) = self.calls.list.get_mut(key).filter(|call| !call.over) else { return false };
        let most = kit.ctx.settings.limits.redirects;
        if let Some(msg) = msg.filter(|_| (300..400).contains(&status)) {
            let redirects = call.redirects.get_or_insert_default();
            let here = owned(call.dialog.target());
            let Ok(first) = Uri::parse(here.as_bytes()) else { return false };
            let mut named: Vec<(u16, Box<str>)> =
                msg.contacts().flatten().filter_map(|value| target(&first, &value)).collect();
            // The most preferred first, and of those alike who was named first.
            named.sort_by_key(|(q, _)| core::cmp::Reverse(*q));
            if !is_among(&redirects.tried, &here) {
                redirects.tried.push(here.clone());
            }
            // RFC 3261 s8.1.3.4: what is named now comes before what was named then.
            for (_, uri) in named.into_iter().take(most).rev() {
                redirects.next.push_front(uri);
            }
            redirects.next.truncate(most);
        }
        // RFC 3261 s21.6: nobody else will take it either.
        let Some(redirects) = call.redirects.as_mut().filter(|_| status < 600) else { return false };
        while let Some(to) = redirects.next.pop_front() {
            if redirects.tried.len() > most {
                return false;
            }
            if is_among(&redirects.tried, &to) {
                continue;
            }
            redirects.tried.push(to.clone());
            if !call.dialog.go_to(to.as_bytes()) {
                continue;
            }
            (call.state, call.tries) = (State::Calling, 0);
            self.tell_of(key, Step::Redirected { to });
            self.invite(kit, key, offer, Why::Begins);
            return true;
        }
        false
    }
}
