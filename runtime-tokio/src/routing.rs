//! Asks the program where calls go, as many at once as may be, and never in the engine's thread.

use std::sync::Arc;

use strowger_core::config::Settings;
use strowger_core::door::{Answer, RouteAnswer, RouteQuery};
use strowger_shell::options::RoutingOptions;
use tokio::sync::{Semaphore, mpsc};

use crate::hooks::OnRoute;
use crate::inbox::Inbound;

/// Whom to ask, and how.
pub(crate) struct Routing {
    asked: Option<OnRoute>,
    permits: Arc<Semaphore>,
    options: RoutingOptions,
}

impl Routing {
    pub(crate) fn new(asked: Option<OnRoute>, options: &RoutingOptions) -> Routing {
        let permits = Arc::new(Semaphore::new(options.at_once.min(Semaphore::MAX_PERMITS)));
        Routing { asked, permits, options: options.clone() }
    }

    /// Asks the program on its own runtime; the answer goes into the inbox. Without anybody to ask, or when too much is
    /// being asked, the answer is known at once.
    pub(crate) fn ask(
        &self,
        query: RouteQuery,
        ambient: &tokio::runtime::Handle,
        inbox: &mpsc::Sender<Inbound>,
    ) -> Option<Answer> {
        let ticket = query.ticket;
        let Some(asked) = &self.asked else { return Some(Answer::Route(ticket, RouteAnswer::Default)) };
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            return Some(Answer::Route(ticket, RouteAnswer::Unavailable));
        };
        let (asked, inbox, patience) = (asked.clone(), inbox.clone(), self.options.patience);
        ambient.spawn(async move {
            // A task of its own: a program that panics owes the caller an answer all the same.
            let thinking = tokio::spawn(async move { asked(query.into()).await });
            let stop = thinking.abort_handle();
            let answer = match tokio::time::timeout(patience, thinking).await {
                Ok(Ok(route)) => route.into(),
                Ok(Err(_)) => RouteAnswer::Unavailable,
                Err(_) => {
                    stop.abort();
                    RouteAnswer::Unavailable
                }
            };
            drop(permit);
            let _ = inbox.send(Inbound::Answer(Answer::Route(ticket, answer))).await;
        });
        None
    }

    /// The engine asks if and only if there is somebody to ask, whatever a configuration says.
    pub(crate) fn fit(&self, settings: Arc<Settings>) -> Arc<Settings> {
        let ask = self.asked.is_some();
        match &settings.calls {
            Some(calls) if calls.ask_route != ask => {
                let mut settings = Arc::unwrap_or_clone(settings);
                if let Some(calls) = &mut settings.calls {
                    calls.ask_route = ask;
                }
                Arc::new(settings)
            }
            _ => settings,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use strowger_core::config::{CallsConfig, Config};
    use strowger_core::door::{Ticket, Transport};
    use strowger_core::wire::Method;
    use strowger_shell::route::{Route, RouteCall};
    use tokio::runtime::Handle;

    use super::*;

    fn query(to: &str) -> RouteQuery {
        RouteQuery {
            ticket: Ticket::new(7, 1),
            method: Method::Invite,
            caller: None,
            from: "alice@example.com".into(),
            to: to.into(),
            uri: format!("sip:{to}").into(),
            source: ([192, 0, 2, 1], 5060).into(),
            transport: Transport::Udp,
            bindings: Vec::new(),
            presence: None,
        }
    }

    fn routing<F, R>(at_once: usize, on_route: F) -> Routing
    where
        F: Fn(RouteCall) -> R + Send + Sync + 'static,
        R: Future<Output = Route> + Send + 'static,
    {
        let options = RoutingOptions { at_once, patience: Duration::from_millis(50) };
        Routing::new(Some(Arc::new(move |call| Box::pin(on_route(call)))), &options)
    }

    async fn answered(inbox: &mut mpsc::Receiver<Inbound>) -> RouteAnswer {
        match inbox.recv().await {
            Some(Inbound::Answer(Answer::Route(ticket, answer))) if ticket == Ticket::new(7, 1) => answer,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_program_says_where_a_call_goes() {
        let routing = routing(4, async |call: RouteCall| match &*call.to {
            "bob@example.com" => Route::to("sip:carol@example.com"),
            _ => Route::busy(),
        });
        let (sender, mut inbox) = mpsc::channel(4);
        assert!(routing.ask(query("bob@example.com"), &Handle::current(), &sender).is_none());
        assert_eq!(answered(&mut inbox).await, Route::to("sip:carol@example.com").into());
        assert!(routing.ask(query("dave@example.com"), &Handle::current(), &sender).is_none());
        assert_eq!(answered(&mut inbox).await, RouteAnswer::Reject { status: 486, reason: None });
    }

    #[tokio::test]
    async fn a_program_that_panics_or_does_not_answer_has_failed() {
        let routing = routing(1, async |call: RouteCall| match &*call.to {
            "panic@example.com" => panic!("as a program may"),
            _ => std::future::pending().await,
        });
        let (sender, mut inbox) = mpsc::channel(4);
        for to in ["panic@example.com", "silence@example.com"] {
            assert!(routing.ask(query(to), &Handle::current(), &sender).is_none(), "{to}");
            assert_eq!(answered(&mut inbox).await, RouteAnswer::Unavailable, "{to}");
        }
    }

    #[tokio::test]
    async fn no_more_is_asked_at_once_than_may_be() {
        let routing = routing(1, async |_| std::future::pending().await);
        let (sender, _inbox) = mpsc::channel(4);
        assert!(routing.ask(query("a@example.com"), &Handle::current(), &sender).is_none());
        let refused = routing.ask(query("b@example.com"), &Handle::current(), &sender);
        assert!(matches!(refused, Some(Answer::Route(_, RouteAnswer::Unavailable))));
    }

    #[tokio::test]
    async fn without_a_program_to_ask_nothing_is_asked() {
        let routing = Routing::new(None, &RoutingOptions::default());
        let (sender, _inbox) = mpsc::channel(4);
        let answer = routing.ask(query("a@example.com"), &Handle::current(), &sender);
        assert!(matches!(answer, Some(Answer::Route(_, RouteAnswer::Default))));
        let mut config = Config::new("example.com");
        config.calls = Some(CallsConfig { ask_route: true, ..CallsConfig::default() });
        let settings = routing.fit(config.validate().expect("valid"));
        assert_eq!(settings.calls.as_ref().map(|calls| calls.ask_route), Some(false));
    }
}
