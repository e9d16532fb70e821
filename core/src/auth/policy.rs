//! Which credentials a request must show, and which are offered to it (DECISIONS 6 and 7).
//!
//! The method's policy says which schemes it takes; the transport says whether a token may travel; the listener and
//! the account say which Digest algorithms are offered.

use core::net::IpAddr;

use smallvec::SmallVec;

use crate::config::{Account, AuthPolicy, DigestAlgorithm, IpNet, PathMode, Settings};
use crate::ctx::Origin;
use crate::wire::Method;

/// Digest algorithms, strongest first.
pub(crate) type Algorithms = SmallVec<[DigestAlgorithm; 3]>;

/// What is asked of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// Nothing: the method is open.
    Nothing,
    /// Nothing: the peer is trusted.
    Trusted,
    /// It is refused whoever sends it.
    Denied,
    /// Credentials of one of these schemes.
    Credentials(Schemes),
}

/// Schemes that are accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Schemes {
    /// Digest.
    pub(crate) digest: bool,
    /// Bearer: it is configured, the method takes it, and a token may travel here.
    pub(crate) bearer: bool,
}

/// What the policy asks of a request of this method from there.
pub(crate) fn asked(settings: &Settings, origin: &Origin, method: Method) -> Asked {
    let policies = &settings.policies;
    let policy = match method {
        Method::Register => policies.register,
        Method::Invite => policies.invite,
        Method::Message => policies.message,
        Method::Subscribe => policies.subscribe,
        Method::Publish => policies.publish,
        Method::Options => policies.options,
        _ => policies.other,
    };
    if policy == AuthPolicy::Deny {
        return Asked::Denied;
    }
    if contains(&settings.trusted, origin.remote.ip()) {
        return Asked::Trusted;
    }
    match policy {
        AuthPolicy::Open | AuthPolicy::Deny => Asked::Nothing,
        AuthPolicy::Any => {
            Asked::Credentials(Schemes { digest: settings.digest.enabled, bearer: bearer(settings, origin) })
        }
        AuthPolicy::Digest => Asked::Credentials(Schemes { digest: settings.digest.enabled, bearer: false }),
        AuthPolicy::Bearer => Asked::Credentials(Schemes { digest: false, bearer: bearer(settings, origin) }),
    }
}

// RFC 8898 s2.1.2: only authorized servers may see the token, so that it stays off transports anyone on the way reads.
fn bearer(settings: &Settings, origin: &Origin) -> bool {
    cfg!(feature = "jwt")
        && settings.jwt.as_ref().is_some_and(|jwt| origin.transport.is_secure() || jwt.allow_cleartext)
}

/// The Digest algorithms of the listener a request came over.
pub(crate) fn listener_algorithms<'s>(settings: &'s Settings, origin: &Origin) -> &'s [DigestAlgorithm] {
    let listener = settings.listeners.get(usize::from(origin.listener));
    listener.and_then(|l| l.algorithms.as_deref()).unwrap_or(&settings.digest.algorithms)
}

/// The algorithms offered to, and accepted from, an account here, strongest first.
///
/// An account that has no hash for any algorithm of the listener is offered those it has: it could not log in else. To
/// the eye of a stranger such an account differs from an unknown one, which the operator chose by restricting it.
pub(crate) fn algorithms(settings: &Settings, origin: &Origin, account: Option<&Account>) -> Algorithms {
    let listener = listener_algorithms(settings, origin);
    let strongest = DigestAlgorithm::STRONGEST_FIRST.into_iter();
    let Some(account) = account else { return strongest.filter(|a| listener.contains(a)).collect() };
    let has = |a: &DigestAlgorithm| account.credential(*a).is_some();
    let both: Algorithms = strongest.clone().filter(|a| has(a) && listener.contains(a)).collect();
    if both.is_empty() { strongest.filter(has).collect() } else { both }
}

/// Whether an account may answer with this algorithm here. The same rule as [`algorithms`], without the list.
pub(crate) fn accepts(
    settings: &Settings,
    origin: &Origin,
    account: &Account,
    algorithm: DigestAlgorithm,
) -> bool {
    let listener = listener_algorithms(settings, origin);
    account.credential(algorithm).is_some()
        && (listener.contains(&algorithm) || !listener.iter().any(|a| account.credential(*a).is_some()))
}

/// Whether requests from there may have been rewritten on the way: trusted peers, and the edges Path is accepted from.
pub(crate) fn through_proxy(settings: &Settings, origin: &Origin) -> bool {
    let source = origin.remote.ip();
    let edges = match settings.registrar.as_ref().map(|r| &r.path) {
        Some(PathMode::From(edges)) => &edges[..],
        _ => &[],
    };
    contains(&settings.trusted, source) || contains(edges, source)
}

fn contains(nets: &[IpNet], source: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(source))
}
