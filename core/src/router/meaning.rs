//! What a URI means to us: an account, a name or a number of ours, another domain. RFC 3261 s19.1.6, RFC 3966, RFC 5031.

use crate::base::text::{self, AorBuf, owned};
use crate::config::pattern::{self, Place};
use crate::config::{ListenerConfig, NumberRule, Settings};
use crate::ctx::Refusal;
use crate::wire::{Host, Status, Uri, UriScheme};

/// What a URI means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Meaning {
    /// An account: its canonical AoR.
    Account(Box<str>),
    /// Of our domains, and no account.
    Name(Name),
    /// A GRUU of ours (RFC 5627): the URI.
    Gruu(Box<str>),
    /// Another domain.
    Elsewhere(Elsewhere),
    /// `urn:service:sos` and what is below it.
    Emergency,
    /// Nothing that calls go to.
    Nothing(Refusal),
}

/// A user, or a number, of one of our domains.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Name {
    /// The user, canonical, or the number as it was normalised.
    pub(super) user: String,
    /// The canonical name of the domain.
    pub(super) domain: Box<str>,
    /// Is it a number?
    pub(super) is_number: bool,
}

impl Name {
    /// Whoever has that name.
    pub(super) fn aor(&self) -> Box<str> {
        [&*pattern::user_part(&self.user), "@", &*self.domain].concat().into()
    }

    /// As patterns see it.
    pub(super) fn place(&self) -> Place<'_> {
        Place { user: &self.user, domain: &self.domain, is_ours: true }
    }
}

/// Somebody at another domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Elsewhere {
    /// The user, canonical; empty if the URI has none.
    pub(super) user: String,
    /// The host in lower case.
    pub(super) domain: String,
    /// The URI, fit to be a Request-URI.
    pub(super) uri: Box<str>,
}

impl Elsewhere {
    /// As patterns see it.
    pub(super) fn place(&self) -> Place<'_> {
        Place { user: &self.user, domain: &self.domain, is_ours: false }
    }
}

/// What a URI means. A number is normalised by these rules first, which are those of the trunk it came over.
pub(super) fn of(settings: &Settings, uri: &Uri<'_>, inbound: &[NumberRule]) -> Meaning {
    match uri.scheme() {
        UriScheme::Sip | UriScheme::Sips => of_sip(settings, uri, inbound),
        UriScheme::Tel => of_tel(settings, uri, inbound),
        UriScheme::Urn => of_urn(uri),
        UriScheme::Other => Meaning::Nothing(Refusal::plain(Status::UNSUPPORTED_URI_SCHEME)),
    }
}

/// What a URI means that the operator, an account or the host wrote: with a port that is none of ours it is another server
/// on this machine, such as a voicemail beside us. What a caller writes is his way to us, whatever port he knows us by.
pub(super) fn said(settings: &Settings, uri: &Uri<'_>) -> Meaning {
    let is_ours = |port: u16| {
        let listens = |one: &ListenerConfig| {
            one.addr.port() == port
                || matches!(&one.advertised, Some((_, Some(advertised))) if *advertised == port)
        };
        matches!(port, 5060 | 5061) || settings.listeners.iter().any(listens)
    };
    match (uri.host(), uri.port()) {
        (Some(host), Some(port)) if !is_ours(port) => elsewhere(uri, host),
        _ => of(settings, uri, &[]),
    }
}

fn of_sip(settings: &Settings, uri: &Uri<'_>, inbound: &[NumberRule]) -> Meaning {
    let Some(host) = uri.host() else { return Meaning::Nothing(Refusal::plain(Status::NOT_FOUND)) };
    let mut aor = AorBuf::new();
    let Some(domain) = settings.domains.canonical(host) else {
        return elsewhere(uri, host);
    };
    if !settings.domains.aor(uri, &mut aor) {
        // Ourselves: a server has no ear to be called.
        return Meaning::Nothing(Refusal::plain(Status::NOT_FOUND));
    }
    // RFC 5627 s4.2: a GRUU of ours names one phone.
    if uri.params().contains(b"gr") {
        return Meaning::Gruu(owned(bare(uri)));
    }
    let aor = String::from_utf8_lossy(&aor);
    if settings.accounts.by_aor(&aor).is_some() {
        return Meaning::Account(aor.into());
    }
    let user = aor.rsplit_once('@').map_or("", |(user, _)| user);
    match number(settings, user, domain, inbound) {
        Some(meaning) => meaning,
        None => Meaning::Name(Name { user: user.into(), domain: domain.into(), is_number: false }),
    }
}

fn of_tel(settings: &Settings, uri: &Uri<'_>, inbound: &[NumberRule]) -> Meaning {
    let nowhere = || Meaning::Nothing(Refusal::plain(Status::NOT_FOUND));
    let Some(home) = settings.domains.names().first() else { return nowhere() };
    let digits = String::from_utf8_lossy(uri.user().unwrap_or_default()).into_owned();
    let context = uri.params().value(b"phone-context").filter(|_| !digits.starts_with('+'));
    let (digits, domain) = match context {
        None => (digits, &**home),
        // RFC 3966 s5.1.5: a context is the beginning of a global number, or a domain.
        Some([b'+', ..]) => {
            (format!("{}{digits}", String::from_utf8_lossy(context.unwrap_or_default())), &**home)
        }
        Some(name) => match Host::parse(name).ok().and_then(|host| settings.domains.canonical(host)) {
            Some(domain) => (digits, domain),
            // A number of somebody else's.
            None => return nowhere(),
        },
    };
    number(settings, &digits, domain, inbound).unwrap_or_else(nowhere)
}

/// RFC 5031 s4.2: `sos` and its sub-services; all of it without regard to case.
fn of_urn(uri: &Uri<'_>) -> Meaning {
    let text = uri.raw().to_ascii_lowercase();
    match text.strip_prefix(b"urn:service:sos") {
        Some([] | [b'.', ..]) => Meaning::Emergency,
        _ => Meaning::Nothing(Refusal::plain(Status::NOT_FOUND)),
    }
}

/// What a number means; `None` if the text is none.
fn number(settings: &Settings, user: &str, domain: &str, inbound: &[NumberRule]) -> Option<Meaning> {
    let number = normalised(settings, &pattern::rewritten(inbound, &pattern::number(user)?));
    let users = settings.calls.as_ref().map_or(&[][..], |calls| &calls.numbers.users);
    let owner =
        users.binary_search_by(|one| one.number.as_str().cmp(&number)).ok().and_then(|at| users.get(at));
    if let Some(owner) = owner {
        if settings.accounts.by_aor(&owner.aor).is_some() {
            return Some(Meaning::Account(owner.aor.as_str().into()));
        }
        let (user, domain) = owner.aor.rsplit_once('@')?;
        return Some(Meaning::Name(Name { user: user.into(), domain: domain.into(), is_number: false }));
    }
    let name = Name { user: number, domain: domain.into(), is_number: true };
    let aor = name.aor();
    Some(match settings.accounts.by_aor(&aor) {
        Some(_) => Meaning::Account(aor),
        None => Meaning::Name(name),
    })
}

/// A number as the rules write it.
pub(super) fn normalised(settings: &Settings, number: &str) -> String {
    let rules = settings.calls.as_ref().map_or(&[][..], |calls| &calls.numbers.rules);
    pattern::rewritten(rules, number)
}

fn elsewhere(uri: &Uri<'_>, host: Host<'_>) -> Meaning {
    let mut user = AorBuf::new();
    text::canonical_user(uri.user().unwrap_or_default(), &mut user);
    let domain = match host {
        Host::Name(name) => String::from_utf8_lossy(name).to_ascii_lowercase(),
        Host::V4(_) | Host::V6(_) => host.ip().map(|ip| ip.to_string()).unwrap_or_default(),
    };
    Meaning::Elsewhere(Elsewhere {
        user: String::from_utf8_lossy(&user).into(),
        domain,
        uri: request_uri(uri),
    })
}

/// The URI without what no Request-URI has (RFC 3261 s19.1.1): headers and the `method` parameter.
fn request_uri(uri: &Uri<'_>) -> Box<str> {
    let bare = bare(uri);
    if !uri.params().contains(b"method") {
        return owned(bare);
    }
    let head = bare.get(..bare.len() - uri.params().raw().len()).unwrap_or_default();
    let mut out = String::from_utf8_lossy(head).into_owned();
    for param in uri.params().iter().filter(|param| !param.name.eq_ignore_ascii_case(b"method")) {
        out.push(';');
        out.push_str(&String::from_utf8_lossy(param.name));
        if let Some(value) = param.raw {
            out.push('=');
            out.push_str(&String::from_utf8_lossy(value));
        }
    }
    out.into()
}

/// Without the headers.
fn bare<'m>(uri: &Uri<'m>) -> &'m [u8] {
    match uri.headers() {
        [] => uri.raw().strip_suffix(b"?").unwrap_or(uri.raw()),
        headers => uri.raw().get(..uri.raw().len() - headers.len() - 1).unwrap_or_default(),
    }
}
