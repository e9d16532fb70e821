//! What the rooms know, as documents of event packages: watcher information (RFC 3858), registrations (RFC 3680).

use crate::base::Time;
use crate::ctx::{Ctx, Phone};
use crate::documents::Extent;
use crate::documents::reginfo::{ContactEvent, RegContact, Reginfo, Registration, RegistrationState};
use crate::documents::winfo::{Status, Watcher, WatcherEvent, WatcherList, Watcherinfo};
use crate::events::{Events, Form, Package, Standing};
use crate::presence::Presence;

/// All who watch the presence of an AoR.
pub(super) fn watchers(
    ctx: &Ctx<'_>,
    events: &Events,
    presence: &Presence,
    aor: &str,
    version: u32,
) -> String {
    let watcher = |watcher: crate::events::Watcher<'_>| {
        // Who is shown nothing is not told so, and his subscription counts as active to himself; the owner knows better.
        let (status, event) = match watcher.standing {
            Standing::Active if watcher.approved => (Status::Active, WatcherEvent::Approved),
            Standing::Active => (Status::Active, WatcherEvent::Subscribe),
            Standing::Pending => (Status::Pending, WatcherEvent::Subscribe),
            Standing::Blocked => (Status::Active, WatcherEvent::Rejected),
        };
        Watcher {
            id: format!("w{:x}", watcher.key.to_bits()).into(),
            uri: if watcher.name.is_empty() {
                "sip:anonymous@anonymous.invalid".into()
            } else {
                format!("sip:{}", watcher.name).into()
            },
            status,
            event,
            display_name: None,
            lang: None,
            expiration: Some(watcher.expires_at.since(ctx.now).as_secs()),
            duration_subscribed: Some(ctx.now.since(watcher.since).as_secs()),
        }
    };
    // Who watches a list watches its members, each as if alone.
    let settings = ctx.settings;
    let in_lists = settings.lists.of(aor).flat_map(|(list, _)| {
        let members = events.watchers(Package::Presence, &list.aor).filter(|w| w.form == Form::List);
        let stands = members.filter(|w| presence.stands(settings, list, w.name, aor));
        stands.map(|w| crate::events::Watcher {
            standing: presence.standing_in_list(settings, w.name, aor),
            approved: false,
            ..w
        })
    });
    let list = WatcherList {
        resource: format!("sip:{aor}").into(),
        package: Package::Presence.name().into(),
        watchers: events.watchers(Package::Presence, aor).chain(in_lists).map(watcher).collect(),
    };
    Watcherinfo { extent: Extent::Full, lists: vec![list] }.print().body(version)
}

/// All bindings of an AoR.
pub(super) fn registrations(phones: &[Phone], now: Time, aor: &str, version: u32) -> String {
    let contact = |phone: &Phone| RegContact {
        id: format!("b{}", phone.lineage).into(),
        event: ContactEvent::Registered,
        uri: phone.contact.clone(),
        display_name: None,
        duration_registered: Some(now.since(phone.since).as_secs()),
        expires: Some(phone.expires_at.since(now).as_secs()),
        retry_after: None,
        q: phone.q,
        call_id: None,
        cseq: None,
        params: Vec::new(),
        public_gruu: None,
        temporary_gruu: None,
    };
    let registration = Registration {
        aor: format!("sip:{aor}").into(),
        id: "r".into(),
        state: if phones.is_empty() { RegistrationState::Init } else { RegistrationState::Active },
        contacts: phones.iter().map(contact).collect(),
    };
    Reginfo { extent: Extent::Full, registrations: vec![registration] }.print().body(version)
}
