//! The phone as a subscriber: RFC 6665 s4.1, one SUBSCRIBE at a time per subscription, NOTIFY answered as a script says.

use std::collections::VecDeque;
use std::time::Duration;

use super::roster::Roster;
use super::{Phone, T1};
use crate::Time;
use crate::message::{Sip, param, uri_of};
use crate::rng::Rng;

/// Where a subscription stands, as the phone believes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// A SUBSCRIBE is on its way, nothing was granted yet.
    Trying,
    /// It lives. Refreshing does not change this.
    Live {
        /// End of the granted time.
        until: Time,
        /// Nobody has decided yet whether the phone may watch.
        pending: bool,
    },
    /// The notifier ended it.
    Ended {
        /// `reason` of Subscription-State; empty if there was none.
        reason: String,
    },
    /// SUBSCRIBE failed with this status.
    Failed {
        /// Status code; 408 and 503 may be made up.
        status: u16,
    },
}

/// What the phone says to a NOTIFY.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Say {
    /// This status.
    Status(u16),
    /// Nothing, however often it comes.
    Nothing,
}

/// A NOTIFY that was accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notified {
    /// When.
    pub at: Time,
    /// Number of its CSeq.
    pub cseq: u32,
    /// Subscription-State as sent.
    pub state: String,
    /// The body; `None` if there was none.
    pub body: Option<String>,
}

/// What to subscribe to, and in which words.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Request-URI and To.
    pub uri: String,
    /// Event, with parameters.
    pub event: String,
    /// Seconds asked for; `None` says nothing about it, 0 is a fetch.
    pub expires: Option<u32>,
    /// Accept; `None` says nothing about it.
    pub accept: Option<String>,
    /// Header fields that replace those of the same name, in each SUBSCRIBE; an empty value leaves the field out.
    pub headers: Vec<(String, String)>,
}

impl Wish {
    /// To watch the presence of somebody for so many seconds.
    pub fn presence(uri: &str, expires: u32) -> Wish {
        Wish {
            uri: uri.into(),
            event: "presence".into(),
            expires: Some(expires),
            accept: Some("application/pidf+xml".into()),
            headers: Vec::new(),
        }
    }

    /// To hear of the messages that wait for somebody (RFC 3842).
    pub fn mailbox(uri: &str, expires: u32) -> Wish {
        Wish {
            event: "message-summary".into(),
            accept: Some("application/simple-message-summary".into()),
            ..Wish::presence(uri, expires)
        }
    }

    /// To see who is in which call (RFC 4235).
    pub fn dialog(uri: &str, expires: u32) -> Wish {
        let accept = Some("application/dialog-info+xml".into());
        Wish { event: "dialog".into(), accept, ..Wish::presence(uri, expires) }
    }

    /// To see who watches one's own presence (RFC 3857).
    pub fn watchers(uri: &str, expires: u32) -> Wish {
        let accept = Some("application/watcherinfo+xml".into());
        Wish { event: "presence.winfo".into(), accept, ..Wish::presence(uri, expires) }
    }

    /// To see one's own registrations (RFC 3680).
    pub fn registrations(uri: &str, expires: u32) -> Wish {
        let accept = Some("application/reginfo+xml".into());
        Wish { event: "reg".into(), accept, ..Wish::presence(uri, expires) }
    }

    /// To watch everybody of a list (RFC 4662).
    pub fn list(uri: &str, expires: u32) -> Wish {
        let accept = "multipart/related, application/rlmi+xml, application/pidf+xml";
        Wish { accept: Some(accept.into()), ..Wish::presence(uri, expires) }.with("Supported", "eventlist")
    }

    /// To be told what has changed, after the whole document (RFC 5263).
    pub fn changes(uri: &str, expires: u32) -> Wish {
        let accept = "application/pidf+xml;q=0.3, application/pidf-diff+xml;q=1";
        Wish { accept: Some(accept.into()), ..Wish::presence(uri, expires) }
    }

    /// With a header field of this value.
    pub fn with(mut self, name: &str, value: &str) -> Wish {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With this Event.
    pub fn event(mut self, event: &str) -> Wish {
        self.event = event.into();
        self
    }
}

/// A subscription of the phone.
#[derive(Clone, Debug)]
pub struct Watch {
    /// What was asked; may be changed for the next SUBSCRIBE.
    pub wish: Wish,
    /// Where it stands.
    pub standing: Standing,
    /// What to answer to the next NOTIFY requests; 200 when this is empty.
    pub script: VecDeque<Say>,
    /// Subscribes anew when the subscription is lost.
    pub stubborn: bool,
    /// All NOTIFY requests accepted so far.
    pub notified: Vec<Notified>,
    /// The last document accepted.
    pub document: Option<String>,
    /// What it knows of a list, if it watches one.
    pub roster: Roster,
    /// Status codes of all final answers to SUBSCRIBE.
    pub statuses: Vec<u16>,
    /// Seconds granted last.
    pub granted: u32,
    pub(super) branch: String,
    pub(super) wake_at: Option<Time>,
    /// The first NOTIFY must be here by then (RFC 6665 s4.1.2.4, Timer N).
    first_by: Option<Time>,
    call_id: String,
    tag: String,
    remote_tag: Option<String>,
    target: Option<String>,
    cseq: u32,
    remote_cseq: u32,
    tries: u32,
    leaving: bool,
    /// Another SUBSCRIBE is to follow the one on its way.
    again: bool,
}

impl Watch {
    fn new(wish: Wish, rng: &mut Rng) -> Watch {
        Watch {
            wish,
            standing: Standing::Trying,
            script: VecDeque::new(),
            stubborn: true,
            notified: Vec::new(),
            document: None,
            roster: Roster::default(),
            statuses: Vec::new(),
            granted: 0,
            branch: String::new(),
            wake_at: None,
            first_by: None,
            call_id: rng.word(),
            tag: rng.word(),
            remote_tag: None,
            target: None,
            cseq: rng.below(1000) as u32,
            remote_cseq: 0,
            tries: 0,
            leaving: false,
            again: false,
        }
    }

    /// A new dialog for the next SUBSCRIBE.
    fn renew(&mut self, rng: &mut Rng) {
        (self.call_id, self.tag) = (rng.word(), rng.word());
        (self.remote_tag, self.target) = (None, None);
        (self.remote_cseq, self.first_by) = (0, None);
        self.roster = Roster::default();
        self.standing = Standing::Trying;
    }

    /// True while the phone believes that the notifier has it.
    pub fn is_live(&self, now: Time) -> bool {
        matches!(self.standing, Standing::Live { until, .. } if now < until)
    }

    /// True from the first SUBSCRIBE of a dialog until the notifier has ended it or refused.
    fn hears(&self) -> bool {
        matches!(self.standing, Standing::Trying | Standing::Live { .. })
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.wake_at.into_iter().chain(self.first_by).min()
    }

    pub(super) fn stop(&mut self) {
        (self.wake_at, self.first_by) = (None, None);
        self.branch.clear();
        self.script.clear();
    }

    /// The state of a NOTIFY that was accepted. What follows from its end, if it is the end.
    fn accept(&mut self, now: Time, m: &Sip, number: u32) -> Option<Ending> {
        let state = m.header("Subscription-State").unwrap_or_default().to_owned();
        let word = state.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let body = (!m.body.is_empty()).then(|| String::from_utf8_lossy(&m.body).into_owned());
        if body.is_some() {
            self.document.clone_from(&body);
        }
        self.remote_cseq = number;
        self.first_by = None;
        if let Some(contact) = m.header("Contact") {
            self.target = Some(uri_of(contact).to_owned());
        }
        let reason = param(&state, "reason").unwrap_or_default().to_owned();
        let wait = param(&state, "retry-after").and_then(|v| v.parse().ok()).map(Duration::from_secs);
        let expires = param(&state, "expires").and_then(|v| v.parse().ok()).map(Duration::from_secs);
        self.notified.push(Notified { at: now, cseq: number, state, body });
        if word == "terminated" {
            self.standing = Standing::Ended { reason: reason.clone() };
            return Some(Ending { reason, wait });
        }
        if let Some(left) = expires {
            self.standing = Standing::Live { until: now + left, pending: word == "pending" };
        }
        None
    }
}

struct Ending {
    reason: String,
    wait: Option<Duration>,
}

impl Phone {
    /// Subscribes. Returns the number of the subscription.
    pub fn subscribe(&mut self, now: Time, wish: Wish) -> usize {
        let watch = Watch::new(wish, &mut self.rng);
        self.watches.push(watch);
        self.send_subscribe(now, self.watches.len() - 1);
        self.watches.len() - 1
    }

    /// Subscribes to something else in the dialog of a subscription that was granted (RFC 6665 s4.5.2).
    pub fn subscribe_beside(&mut self, now: Time, other: usize, wish: Wish) -> usize {
        let mut watch = Watch::new(wish, &mut self.rng);
        let other = &self.watches[other];
        (watch.call_id, watch.tag) = (other.call_id.clone(), other.tag.clone());
        (watch.remote_tag, watch.target) = (other.remote_tag.clone(), other.target.clone());
        self.watches.push(watch);
        self.send_subscribe(now, self.watches.len() - 1);
        self.watches.len() - 1
    }

    /// The largest numbers used in the dialog of a subscription: ours, then theirs.
    fn numbers(&self, watch: usize) -> (u32, u32) {
        let own = &self.watches[watch];
        let shared = self.watches.iter().filter(|w| w.call_id == own.call_id && w.tag == own.tag);
        shared.fold((0, 0), |(ours, theirs), w| (ours.max(w.cseq), theirs.max(w.remote_cseq)))
    }

    /// Watches somebody for so many seconds, and on; 0 fetches once.
    pub fn watch(&mut self, now: Time, uri: &str, expires: u32) -> usize {
        self.subscribe(now, Wish::presence(uri, expires))
    }

    /// Refreshes a subscription now.
    pub fn refresh_watch(&mut self, now: Time, watch: usize) {
        self.watches[watch].tries = 0;
        self.plan_subscribe(now, watch);
    }

    /// Ends a subscription.
    pub fn unwatch(&mut self, now: Time, watch: usize) {
        let w = &mut self.watches[watch];
        (w.leaving, w.tries) = (true, 0);
        w.wish.expires = Some(0);
        self.plan_subscribe(now, watch);
    }

    // One at a time within a dialog, and no dialog before the first answer.
    fn plan_subscribe(&mut self, now: Time, watch: usize) {
        match self.watches[watch].branch.is_empty() {
            true => self.send_subscribe(now, watch),
            false => self.watches[watch].again = true,
        }
    }

    /// What it knows of a subscription.
    pub fn watched(&self, watch: usize) -> &Watch {
        &self.watches[watch]
    }

    /// The same, to change what it asks and answers.
    pub fn watched_mut(&mut self, watch: usize) -> &mut Watch {
        &mut self.watches[watch]
    }

    pub(super) fn send_subscribe(&mut self, now: Time, watch: usize) {
        let (last, _) = self.numbers(watch);
        let w = &mut self.watches[watch];
        (w.wake_at, w.again) = (None, false);
        if w.remote_tag.is_none() {
            w.standing = Standing::Trying;
        }
        w.cseq = last + 1;
        let (wish, tag, call_id) = (w.wish.clone(), w.tag.clone(), w.call_id.clone());
        let (cseq, tries) = (w.cseq, w.tries);
        let to_tag = w.remote_tag.as_ref().map(|t| format!(";tag={t}")).unwrap_or_default();
        // RFC 3261 s12.2.1.1: within the dialog, to the target the notifier named.
        let uri = w.target.clone().unwrap_or_else(|| wish.uri.clone());
        let mut m = self.draft("SUBSCRIBE", &uri, &wish.uri);
        m.set("From", format!("<{}>;tag={tag}", self.aor())).set("To", format!("<{}>{to_tag}", wish.uri));
        m.push("Call-ID", call_id).push("CSeq", format!("{cseq} SUBSCRIBE"));
        m.push("Contact", format!("<{}>", self.contact())).push("Event", wish.event);
        if let Some(accept) = wish.accept {
            m.push("Accept", accept);
        }
        if let Some(expires) = wish.expires {
            m.push("Expires", expires.to_string());
        }
        self.add_credentials(&mut m, "SUBSCRIBE", &uri, tries);
        for (name, value) in &wish.headers {
            m.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
            if !value.is_empty() {
                m.push(name, value.as_str());
            }
        }
        self.watches[watch].branch = self.start(now, "SUBSCRIBE", &m);
    }

    pub(super) fn subscribe_answered(&mut self, now: Time, watch: usize, status: u16, m: Option<&Sip>) {
        let w = &mut self.watches[watch];
        w.statuses.push(status);
        w.branch.clear();
        w.tries += 1;
        match (status, m) {
            (200..300, Some(m)) => self.subscribed(now, watch, m),
            (401, Some(m)) => {
                let tries = w.tries;
                match self.take_challenge(m, tries) {
                    true => self.send_subscribe(now, watch),
                    false => self.subscribe_failed(now, watch, 401, None),
                }
            }
            (423, Some(m)) => {
                let least = m.header("Min-Expires").and_then(|v| v.parse().ok()).unwrap_or(3600);
                if w.tries < 4 && w.wish.expires.is_some_and(|asked| asked < least) {
                    w.wish.expires = Some(least);
                    return self.send_subscribe(now, watch);
                }
                self.subscribe_failed(now, watch, status, None);
            }
            // RFC 6665 s4.1.2.2: the notifier does not know the dialog; a new one is needed.
            (481, Some(_)) if w.remote_tag.is_some() => {
                if w.leaving || !w.stubborn {
                    w.standing = Standing::Ended { reason: String::new() };
                    return;
                }
                w.renew(&mut self.rng);
                w.tries = 0;
                self.send_subscribe(now, watch);
            }
            (_, m) => {
                let wait = m.and_then(|m| m.header("Retry-After"));
                let wait = wait.and_then(|v| v.split([' ', ';']).next()?.parse().ok());
                self.subscribe_failed(now, watch, status, wait.map(Duration::from_secs));
            }
        }
    }

    fn subscribe_failed(&mut self, now: Time, watch: usize, status: u16, wait: Option<Duration>) {
        let retry = self.habits.retry;
        let w = &mut self.watches[watch];
        // RFC 6665 s4.1.2.2: a refresh that fails otherwise leaves the subscription until its end.
        let live = w.is_live(now);
        if !live {
            w.standing = Standing::Failed { status };
        }
        if (status == 408 || status >= 500) && w.stubborn && !retry.is_zero() && !self.stopped {
            w.tries = 0;
            if !live {
                w.renew(&mut self.rng);
                w.standing = Standing::Failed { status };
            }
            w.wake_at = Some(now + wait.unwrap_or(retry));
        }
    }

    fn subscribed(&mut self, now: Time, watch: usize, m: &Sip) {
        self.take_info(m);
        let percent = self.habits.refresh_percent;
        let w = &mut self.watches[watch];
        w.tries = 0;
        let Some(granted) = m.header("Expires").and_then(|v| v.parse::<u32>().ok()) else {
            return self.flaws.push(format!("no Expires in a 2xx to SUBSCRIBE: {}", m.start));
        };
        let tag = m.header("To").and_then(|v| param(v, "tag")).unwrap_or_default();
        match &w.remote_tag {
            Some(known) if known != tag => self.flaws.push(format!("another tag: {known} and then {tag}")),
            _ => w.remote_tag = Some(tag.to_owned()),
        }
        match m.header("Contact") {
            Some(contact) => w.target = Some(uri_of(contact).to_owned()),
            None => self.flaws.push("no Contact in a 2xx to SUBSCRIBE".into()),
        }
        w.granted = granted;
        // A NOTIFY may have come before: then it has said more.
        if matches!(w.standing, Standing::Ended { .. }) {
            return;
        }
        let pending = matches!(w.standing, Standing::Live { pending: true, .. });
        let span = Duration::from_secs(granted.into());
        w.standing = Standing::Live { until: now + span, pending };
        if w.remote_cseq == 0 {
            w.first_by = Some(now + 64 * T1);
        }
        if percent > 0 && granted > 0 && !self.stopped {
            w.wake_at = Some(now + span * percent / 100);
        }
        if w.again {
            self.send_subscribe(now, watch);
        }
    }

    pub(super) fn wake_watch(&mut self, now: Time, watch: usize) {
        let w = &mut self.watches[watch];
        if w.first_by.is_some_and(|at| at <= now) {
            // RFC 6665 s4.1.2.4: without a NOTIFY there is no subscription.
            w.first_by = None;
            w.standing = Standing::Ended { reason: "no NOTIFY".into() };
            if w.stubborn && !w.leaving && w.wish.expires != Some(0) {
                w.renew(&mut self.rng);
                w.wake_at = Some(now);
            }
        }
        let w = &mut self.watches[watch];
        if w.wake_at.is_some_and(|at| at <= now) {
            // One at a time: the answer to the one on its way brings the next wish.
            match w.branch.is_empty() {
                true => self.send_subscribe(now, watch),
                false => w.wake_at = None,
            }
        }
    }

    /// A NOTIFY: found by its dialog and Event, checked for its order, answered by the script.
    pub(super) fn notified(&mut self, now: Time, m: &Sip) -> Say {
        let call_id = m.header("Call-ID").unwrap_or_default();
        let ours = m.header("To").and_then(|v| param(v, "tag")).unwrap_or_default();
        let theirs = m.header("From").and_then(|v| param(v, "tag")).unwrap_or_default();
        let event = m.header("Event").unwrap_or_default();
        let found = self.watches.iter().position(|w| {
            w.hears()
                && w.call_id == call_id
                && w.tag == ours
                && w.remote_tag.as_deref().is_none_or(|tag| tag == theirs)
                && same_event(&w.wish.event, event)
        });
        let Some(watch) = found else { return Say::Status(481) };
        let (_, last) = self.numbers(watch);
        let w = &mut self.watches[watch];
        let number = m.cseq().map_or(0, |(n, _)| n);
        if number <= last {
            return Say::Status(500);
        }
        match m.header("Subscription-State") {
            None => {
                self.flaws.push("a NOTIFY without Subscription-State".into());
                return Say::Status(400);
            }
            Some(_) if m.body.is_empty() => {}
            Some(_) => {
                let range = |a: &str| a.split(';').next().unwrap_or_default().trim().to_owned();
                let content_type = m.header("Content-Type").unwrap_or("nothing");
                let kind = range(content_type);
                let accepts = w.wish.accept.as_deref().unwrap_or(&kind);
                if !accepts.split(',').map(range).any(|a| a == "*/*" || a == kind) {
                    self.flaws.push(format!("a NOTIFY with {kind}"));
                    return Say::Status(415);
                }
                if kind == "multipart/related" {
                    if m.header("Require") != Some("eventlist") {
                        self.flaws.push("a list without Require: eventlist".into());
                    }
                    // What the script refuses is not seen.
                    if matches!(w.script.front(), None | Some(Say::Status(200..300)))
                        && let Err(flaw) = w.roster.take(content_type, &m.body)
                    {
                        self.flaws.push(format!("a list with a flaw: {flaw}"));
                    }
                }
            }
        }
        let say = w.script.pop_front().unwrap_or(Say::Status(200));
        if !matches!(say, Say::Status(200..300)) {
            // It is seen, but not taken.
            w.remote_cseq = if say == Say::Nothing { w.remote_cseq } else { number };
            return say;
        }
        w.remote_tag = Some(theirs.to_owned());
        let ending = w.accept(now, m, number);
        if let Some(ending) = ending {
            self.watch_ended(now, watch, ending);
        }
        say
    }

    // RFC 6665 s4.1.3: what the reason of the end advises.
    fn watch_ended(&mut self, now: Time, watch: usize, ending: Ending) {
        let w = &mut self.watches[watch];
        (w.wake_at, w.first_by) = (None, None);
        let again = match ending.reason.as_str() {
            "rejected" | "noresource" | "invariant" => false,
            _ => w.wish.expires != Some(0),
        };
        if again && w.stubborn && !w.leaving && !self.stopped {
            let reason = w.standing.clone();
            w.renew(&mut self.rng);
            w.standing = reason;
            w.tries = 0;
            w.wake_at = Some(now + ending.wait.unwrap_or_default());
        }
    }
}

/// The same package, and the same id (RFC 6665 s8.2.1).
fn same_event(a: &str, b: &str) -> bool {
    let package = |v: &str| v.split(';').next().unwrap_or_default().trim().to_owned();
    package(a) == package(b) && param(a, "id") == param(b, "id")
}
