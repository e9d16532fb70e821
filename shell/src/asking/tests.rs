use std::time::Duration;

use strowger_core::config::{CallsConfig, Config};
use strowger_core::door::Transport;
use strowger_core::wire::Method;

use super::*;
use crate::promise::Wait;
use crate::queue::{Receiver, queue};
use crate::route::{Route, RouteCall};

const PATIENCE: Duration = Duration::from_millis(50);

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

struct World {
    asking: Asking,
    sender: Sender<Inbound>,
    inbox: Receiver<Inbound>,
}

impl World {
    fn new<F, R>(at_once: usize, on_route: F) -> World
    where
        F: Fn(RouteCall) -> R + Send + Sync + 'static,
        R: Future<Output = Route> + Send + 'static,
    {
        let options = RoutingOptions { at_once, patience: PATIENCE };
        let (sender, inbox) = queue(4);
        let hook: OnRoute = Arc::new(move |call| Box::pin(on_route(call)));
        World { asking: Asking::new(Some(hook), &options), sender, inbox }
    }

    fn ask(&mut self, to: &str) -> Result<Work, Answer> {
        self.asking.ask(Time::ZERO, query(to), &self.sender)
    }

    /// What the engine is told of what was run to its end.
    fn answer(&mut self) -> Option<RouteAnswer> {
        match self.inbox.try_recv() {
            Some(Inbound::Routed(asked, answer)) => told(self.asking.answered(asked, answer)),
            other => panic!("{other:?}"),
        }
    }
}

fn poll(work: &mut Work) -> Poll<()> {
    work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn told(answer: Option<Answer>) -> Option<RouteAnswer> {
    match answer? {
        Answer::Route(ticket, answer) if ticket == Ticket::new(7, 1) => Some(answer),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_program_says_where_a_call_goes() {
    let mut world = World::new(4, async |call: RouteCall| match &*call.to {
        "bob@example.com" => Route::to("sip:carol@example.com"),
        _ => Route::busy(),
    });
    world.ask("bob@example.com").expect("asked").wait();
    assert_eq!(world.answer(), Some(Route::to("sip:carol@example.com").into()));
    world.ask("dave@example.com").expect("asked").wait();
    assert_eq!(world.answer(), Some(RouteAnswer::Reject { status: 486, reason: None }));
    assert_eq!(world.asking.deadline(), None);
}

#[test]
fn a_program_that_panics_has_failed() {
    let mut world = World::new(1, async |_| panic!("as a program may"));
    world.ask("bob@example.com").expect("asked").wait();
    assert_eq!(world.answer(), Some(RouteAnswer::Unavailable));
}

#[test]
fn a_program_that_does_not_answer_has_failed_and_is_stopped() {
    let mut world = World::new(1, async |_| std::future::pending().await);
    let mut work = world.ask("bob@example.com").expect("asked");
    assert!(poll(&mut work).is_pending());
    let due = world.asking.deadline().expect("a deadline");
    assert_eq!(told(world.asking.poll_late(Time::ZERO)), None);
    assert_eq!(told(world.asking.poll_late(due)), Some(RouteAnswer::Unavailable));
    assert!(poll(&mut work).is_ready());
    assert!(world.inbox.try_recv().is_none(), "nobody waits for it any more");
    assert!(world.ask("carol@example.com").is_ok(), "there is room for the next one");
}

#[test]
fn no_more_is_asked_at_once_than_may_be() {
    let mut world = World::new(1, async |_| std::future::pending().await);
    let _work = world.ask("a@example.com").expect("asked");
    assert_eq!(told(world.ask("b@example.com").err()), Some(RouteAnswer::Unavailable));
}

#[test]
fn without_a_program_to_ask_nothing_is_asked() {
    let mut asking = Asking::new(None, &RoutingOptions::default());
    let (sender, _inbox) = queue(4);
    let refused = asking.ask(Time::ZERO, query("a@example.com"), &sender);
    assert_eq!(told(refused.err()), Some(RouteAnswer::Default));
    let mut config = Config::new("example.com");
    config.calls = Some(CallsConfig { ask_route: true, ..CallsConfig::default() });
    let settings = asking.fit(config.validate().expect("valid"));
    assert_eq!(settings.calls.as_ref().map(|calls| calls.ask_route), Some(false));
}
