//! The allocation budget: what parsing, refreshing and keeping bindings may take, counted by a global allocator.

use std::time::Duration;

use strowger_benches::calls;
use strowger_benches::corpus::REGISTER;
use strowger_benches::counting::{Count, Counting};
use strowger_benches::load::Kind;
use strowger_benches::world::{Show, World};
use strowger_core::wire::{Bounds, Layout, parse};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Longer than any transaction lives (RFC 3261 timer J).
const OVER: Duration = Duration::from_secs(40);

/// Allocations of each of so many turns of the phones, on average.
fn allocations(world: &mut World, turns: u32, status: u16) -> f64 {
    let mut calls = 0;
    for _ in 0..turns {
        world.prepare();
        let before = Count::now();
        let answered = world.run();
        calls += Count::now().since(before).calls;
        world.pass();
        assert_eq!(answered, status);
    }
    calls as f64 / f64::from(turns)
}

#[test]
fn parsing_allocates_nothing() {
    let before = Count::now();
    let mut layout = Layout::new();
    let m = parse(REGISTER, &mut layout, &Bounds::default()).expect("a good message");
    m.essentials().expect("whole");
    assert_eq!(m.contacts().filter(Result::is_ok).count(), 1);
    assert_eq!(m.expires(), Some(3600));
    assert_eq!(Count::now().since(before), Count { calls: 0, live: 0 });
}

#[test]
fn a_refresh_allocates_three_times() {
    for show in [Show::Nothing, Show::Token, Show::Digest] {
        // One each 20 ms: a few thousand transactions live at once, and as many end as begin.
        let mut world = World::new(Kind::Register, show, 500, Duration::from_millis(20));
        if show == Show::Digest {
            world.round(401);
        }
        (0..6).for_each(|_| world.round(200));
        let each = allocations(&mut world, 5_000, 200);
        // Beside the three: a new chunk for the arena of answers now and then.
        assert!(each < 3.1, "{each} allocations per refresh with {show:?}");
    }
}

#[test]
fn pings_and_challenges_allocate_next_to_nothing() {
    for (kind, show, status) in [(Kind::Options, Show::Nothing, 200), (Kind::Register, Show::Refused, 401)] {
        let mut world = World::new(kind, show, 100, Duration::from_millis(2));
        (0..20).for_each(|_| world.round(status));
        let each = allocations(&mut world, 5_000, status);
        assert!(each < 0.05, "{each} allocations per {kind:?}");
    }
}

/// On the wire they are the same bytes; what they cost is the same too. Instructions are counted by `benches/micro.sh`.
#[test]
fn a_wrong_password_and_an_unknown_user_allocate_alike_and_leave_nothing() {
    let [wrong, unknown] = [Show::Wrong, Show::Unknown].map(|show| {
        let mut world = World::new(Kind::Register, show, 100, Duration::from_millis(2));
        (0..20).for_each(|_| world.round(401));
        let each = allocations(&mut world, 5_000, 401);
        let sizes = world.engine.sizes();
        assert_eq!((sizes.bindings, sizes.transactions, sizes.nonces), (0, 0, 0), "{show:?}");
        each
    });
    assert!(wrong < 0.05 && (wrong - unknown).abs() < 0.01, "{wrong} and {unknown} allocations");
}

#[test]
fn a_binding_takes_at_most_600_bytes_and_refreshing_it_takes_no_more() {
    const AORS: u32 = 100_000;
    let mut world = World::new(Kind::Register, Show::Nothing, AORS, Duration::from_micros(500));
    let empty = Count::now();
    let mut kept = Vec::new();
    for _ in 0..=10 {
        world.round(200);
        world.wait(OVER);
        kept.push(Count::now().since(empty).live);
    }
    let sizes = world.engine.sizes();
    assert_eq!((sizes.bindings, sizes.transactions), (AORS as usize, 0));
    let each = kept[0] as f64 / f64::from(AORS);
    assert!(each <= 600.0, "{each} bytes per binding");
    // What the allocator is asked for must not creep: less than a byte per binding over ten waves.
    assert!(kept[10] - kept[0] < i64::from(AORS), "{kept:?}");
}

#[test]
fn what_ends_gives_its_memory_back() {
    let mut world = World::new(Kind::Register, Show::Nothing, 20_000, Duration::from_micros(500));
    world.round(200);
    world.wait(OVER);
    let full = Count::now();
    world.wait(Duration::from_secs(7_300));
    let sizes = world.engine.sizes();
    assert_eq!((sizes.aors, sizes.bindings, sizes.transactions, sizes.timers), (0, 0, 0, 0));
    let freed = -Count::now().since(full).live;
    assert!(freed > 20_000 * 400, "only {freed} bytes came back");
}

#[test]
fn a_request_without_credentials_leaves_nothing() {
    let mut world = World::new(Kind::Register, Show::Refused, 10_000, Duration::from_micros(100));
    (0..100).for_each(|_| assert_eq!(world.turn(), 401));
    let (before, sizes) = (Count::now(), world.engine.sizes());
    (0..9_900).for_each(|_| assert_eq!(world.turn(), 401));
    assert_eq!(world.engine.sizes(), sizes);
    assert_eq!((sizes.transactions, sizes.nonces, sizes.aors, sizes.timers), (0, 0, 0, 0));
    // The arena for answers is all that may have been renewed.
    assert!(Count::now().since(before).live.abs() <= 64 << 10, "{:?}", Count::now().since(before));
}

/// Allocations of a whole call, 13 messages, beside so many that are up.
fn allocations_of_a_call(live: u32) -> f64 {
    const CALLS: u32 = 1_000;
    let mut world = calls::World::among(live);
    (0..CALLS).for_each(|_| world.call());
    assert_eq!(world.engine.sizes().calls, live as usize);
    world.take_spent().allocations as f64 / f64::from(CALLS)
}

#[test]
fn a_call_allocates_sixty_times_at_most_however_many_are_up() {
    let [none, one, many] = [0, 1, 2_000].map(allocations_of_a_call);
    assert!(none <= 60.0 && one <= 60.0, "{none} allocations per call without any other, {one} beside one");
    // Tables may have a node more; what is kept of users is there already if they are in a call.
    assert!(many < one + 1.0, "{one} beside one call, {many} beside 2,000");
}

/// Allocations of a fetch (SUBSCRIBE with Expires 0) of a presentity with so many publications, none of which changed.
fn allocations_of_a_fetch(publications: u32) -> u64 {
    use strowger_core::config::{AuthPolicy, Config, PresenceConfig, WatchPolicy};
    use strowger_core::door::{FlowId, Input, Transport};
    let mut config = Config::new("example.com");
    (config.policies.subscribe, config.policies.publish) = (AuthPolicy::Open, AuthPolicy::Open);
    config.presence = Some(PresenceConfig { watchers: WatchPolicy::Everyone, ..PresenceConfig::default() });
    let now = strowger_core::base::Time::from_secs(1_700_000_000);
    let mut engine = strowger_core::Engine::new(config.validate().expect("it is good"), [5; 32], now);
    let (flow, transport) = (FlowId(2), Transport::Udp);
    let local = "192.0.2.1:5060".parse().expect("an address");
    let remote = "192.0.2.9:5060".parse().expect("an address");
    engine.handle(now, Input::FlowUp { flow, listener: 0, transport, local, remote: None, peer: None });
    let mut send = |method: &str, n: u32, more: &str| {
        let text = format!(
            "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{method}{n:04};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=b\r\nTo: <sip:bob@example.com>\r\n\
             Call-ID: {method}{n:04}\r\nCSeq: 1 {method}\r\nContact: <sip:bob@192.0.2.9>\r\nEvent: presence\r\n{more}"
        );
        let before = Count::now();
        engine.handle(now, Input::Message { flow, remote, local, data: text.as_bytes() });
        let sent = std::iter::from_fn(|| engine.poll_command()).count();
        (Count::now().since(before).calls, sent)
    };
    for n in 0..publications {
        let body = format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.com\"><tuple id=\"t{n}\"><status>\
             <basic>open</basic></status></tuple></presence>"
        );
        let more =
            format!("Content-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(send("PUBLISH", n, &more).1, 1, "a 200");
    }
    // Tables grow now and then: the least of many is what a fetch needs.
    let fetches = (0..40).map(|n| send("SUBSCRIBE", n, "Expires: 0\r\nContent-Length: 0\r\n\r\n"));
    fetches
        .skip(1)
        .inspect(|(_, sent)| assert_eq!(*sent, 2, "a 200 and a NOTIFY"))
        .map(|(calls, _)| calls)
        .min()
        .unwrap_or(0)
}

#[test]
fn what_was_composed_is_not_composed_again() {
    assert_eq!(allocations_of_a_fetch(4), allocations_of_a_fetch(1));
}
