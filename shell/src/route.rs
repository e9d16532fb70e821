//! Where a call goes, as a program says it: what it is told of the call, and the answers it can give.

use std::net::SocketAddr;
use std::time::Duration;

use strowger_core::door::{
    BindingView, Identity, PresenceState, PresenceView, RouteAnswer, RouteQuery, RouteTarget, Transport,
};
use strowger_core::wire::Method;

/// A new call, or message, that is to be sent somewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RouteCall {
    /// Who calls, as the credentials of this very request prove; `None` for whoever comes over a trunk.
    pub caller: Option<Identity>,
    /// Whom the caller says to be: an address of record, or a URI.
    pub from: Box<str>,
    /// Who is called: an address of record of ours, a number as it was normalised, or `user@host` of another domain.
    pub to: Box<str>,
    /// The Request-URI as it came.
    pub uri: Box<str>,
    /// It is a MESSAGE, and nothing rings.
    pub is_message: bool,
    /// Where the request came from on the network.
    pub source: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// The phones of whoever is called.
    pub bindings: Vec<BindingView>,
    /// What whoever is called is now, in all detail; `None` if that is not known.
    pub presence: Option<Box<PresenceView>>,
}

impl RouteCall {
    /// What whoever is called is now; `None` if nobody said.
    pub fn state(&self) -> Option<PresenceState> {
        self.presence.as_ref().map(|presence| presence.state)
    }

    /// Is there a phone that can be called?
    pub fn is_registered(&self) -> bool {
        self.bindings.iter().any(|binding| binding.reachable)
    }
}

impl From<RouteQuery> for RouteCall {
    fn from(query: RouteQuery) -> RouteCall {
        let RouteQuery { ticket: _, method, caller, from, to, uri, source, transport, bindings, presence } =
            query;
        let is_message = method == Method::Message;
        RouteCall { caller, from, to, uri, is_message, source, transport, bindings, presence }
    }
}

/// Where a call goes. A URI, as text, is a target; a number is the status of a refusal; of an `Option` nothing means
/// [`Route::default`], and of a `Result` both sides say where it goes.
///
/// ```
/// use strowger_shell::route::Route;
///
/// let voicemail: Route = "sip:voicemail@example.com".into();
/// assert_eq!(voicemail, Route::to("sip:voicemail@example.com"));
/// let busy: Route = Err::<&str, u16>(486).into();
/// assert_eq!(busy, Route::busy());
/// // The desk phones ring together, then the mobile.
/// let route = Route::to("sip:desk-1@example.com").and("sip:desk-2@example.com").then("sip:mobile@example.com");
/// # assert_ne!(route, Route::default());
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Route(Kind);

#[derive(Clone, PartialEq, Eq, Debug, Default)]
enum Kind {
    #[default]
    Default,
    Targets(Vec<RouteTarget>),
    Reject(u16, Option<Box<str>>),
    Redirect(Vec<Box<str>>),
    Unavailable,
}

impl Route {
    /// To this URI. One of a user of ours means his phones; where he forwards to, and his voicemail, are for
    /// [`Route::default`].
    pub fn to(uri: impl Into<Box<str>>) -> Route {
        Route::targets([RouteTarget::new(uri)])
    }

    /// To these: those of one `q` ring together, higher ones first. Without any it is [`Route::not_found`].
    pub fn targets(targets: impl IntoIterator<Item = RouteTarget>) -> Route {
        let targets: Vec<RouteTarget> = targets.into_iter().collect();
        if targets.is_empty() { Route::not_found() } else { Route(Kind::Targets(targets)) }
    }

    /// And to this one, which rings together with the last ones. Without targets it is the only one.
    pub fn and(self, uri: impl Into<Box<str>>) -> Route {
        self.with(uri, 0)
    }

    /// Then to this one, when the last ones have not answered.
    pub fn then(self, uri: impl Into<Box<str>>) -> Route {
        self.with(uri, 1)
    }

    fn with(self, uri: impl Into<Box<str>>, below: u16) -> Route {
        let mut targets = match self.0 {
            Kind::Targets(targets) => targets,
            _ => Vec::new(),
        };
        let lowest = targets.iter().map(|target| target.q).min();
        let q = lowest.map_or(1000, |q| q.saturating_sub(below));
        targets.push(RouteTarget { q, ..RouteTarget::new(uri) });
        Route(Kind::Targets(targets))
    }

    /// The targets named last ring so long.
    pub fn ringing(mut self, timeout: Duration) -> Route {
        if let Kind::Targets(targets) = &mut self.0 {
            let lowest = targets.iter().map(|target| target.q).min();
            for target in targets.iter_mut().filter(|target| Some(target.q) == lowest) {
                target.timeout = Some(timeout);
            }
        }
        self
    }

    /// The target named last gets this header. Headers that hold a call together, such as Via, are left out.
    pub fn header(mut self, name: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Route {
        if let Kind::Targets(targets) = &mut self.0
            && let Some(last) = targets.last_mut()
        {
            last.headers.push((name.into(), value.into()));
        }
        self
    }

    /// Nowhere: the caller gets this status, 300 to 699. Anything else is taken for 500.
    pub fn reject(status: u16) -> Route {
        Route(Kind::Reject(status, None))
    }

    /// The same with a reason phrase: one line, of at most 128 bytes.
    pub fn reject_because(status: u16, reason: impl Into<Box<str>>) -> Route {
        Route(Kind::Reject(status, Some(reason.into())))
    }

    /// 486: busy.
    pub fn busy() -> Route {
        Route::reject(486)
    }

    /// 404: there is nobody of that name.
    pub fn not_found() -> Route {
        Route::reject(404)
    }

    /// 480: not there, or not to be disturbed.
    pub fn unavailable() -> Route {
        Route::reject(480)
    }

    /// 302: the caller is told to call these instead.
    pub fn redirect<U: Into<Box<str>>>(uris: impl IntoIterator<Item = U>) -> Route {
        Route(Kind::Redirect(uris.into_iter().map(Into::into).collect()))
    }

    /// It cannot be said now, and the caller gets 503: what a runtime says for a program that does not answer.
    pub fn failed() -> Route {
        Route(Kind::Unavailable)
    }
}

impl From<Route> for RouteAnswer {
    fn from(route: Route) -> RouteAnswer {
        match route.0 {
            Kind::Default => RouteAnswer::Default,
            Kind::Targets(targets) => RouteAnswer::Targets(targets),
            Kind::Reject(status, reason) => RouteAnswer::Reject { status, reason },
            Kind::Redirect(uris) => RouteAnswer::Redirect(uris),
            Kind::Unavailable => RouteAnswer::Unavailable,
        }
    }
}

impl From<&str> for Route {
    fn from(uri: &str) -> Route {
        Route::to(uri)
    }
}

impl From<String> for Route {
    fn from(uri: String) -> Route {
        Route::to(uri)
    }
}

impl From<RouteTarget> for Route {
    fn from(target: RouteTarget) -> Route {
        Route::targets([target])
    }
}

impl From<Vec<RouteTarget>> for Route {
    fn from(targets: Vec<RouteTarget>) -> Route {
        Route::targets(targets)
    }
}

impl From<u16> for Route {
    fn from(status: u16) -> Route {
        Route::reject(status)
    }
}

impl<R: Into<Route>> From<Option<R>> for Route {
    fn from(route: Option<R>) -> Route {
        route.map_or_else(Route::default, Into::into)
    }
}

impl<R: Into<Route>, E: Into<Route>> From<Result<R, E>> for Route {
    fn from(route: Result<R, E>) -> Route {
        route.map_or_else(Into::into, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(route: Route) -> Vec<(u16, String)> {
        match route.into() {
            RouteAnswer::Targets(targets) => {
                targets.into_iter().map(|target| (target.q, target.uri.into())).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn targets_ring_together_or_one_after_the_other() {
        let route = Route::to("sip:a@x").and("sip:b@x").then("sip:c@x").and("sip:d@x");
        let expected = [(1000, "sip:a@x"), (1000, "sip:b@x"), (999, "sip:c@x"), (999, "sip:d@x")];
        assert_eq!(groups(route), expected.map(|(q, uri)| (q, uri.to_owned())));
    }

    #[test]
    fn what_is_said_of_the_last_targets_is_theirs_alone() {
        let route = Route::to("sip:a@x").then("sip:b@x").and("sip:c@x").ringing(Duration::from_secs(9));
        let RouteAnswer::Targets(targets) = route.header("X-Queue", "7").into() else { panic!("targets") };
        let times: Vec<_> = targets.iter().map(|target| target.timeout.map(|t| t.as_secs())).collect();
        let headers: Vec<_> = targets.iter().map(|target| target.headers.len()).collect();
        assert_eq!((times, headers), (vec![None, Some(9), Some(9)], vec![0, 0, 1]));
    }

    #[test]
    fn plain_values_are_routes() {
        let answer = |route: Route| RouteAnswer::from(route);
        let reject = |status| RouteAnswer::Reject { status, reason: None };
        assert_eq!(answer(None::<Route>.into()), RouteAnswer::Default);
        assert_eq!(answer(Ok::<&str, u16>("sip:a@x").into()), answer(Route::to("sip:a@x")));
        assert_eq!(answer(Err::<Option<String>, u16>(603).into()), reject(603));
        assert_eq!(answer(Vec::<RouteTarget>::new().into()), reject(404));
    }
}
