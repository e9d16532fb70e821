//! The four machines as matrices: what they really do, state by event, for both kinds of transport.

use super::*;

type Made<K> = (World, K);

/// A column: the name of a state and how to get there.
struct State<K> {
    name: &'static str,
    make: fn(Over) -> Made<K>,
}

/// A row: the name of an event and what it returned.
struct Event<K> {
    name: &'static str,
    happen: fn(&mut World, K) -> Option<String>,
}

fn matrix<K: Copy>(
    over: Over,
    states: &[State<K>],
    events: &[Event<K>],
    state_of: fn(&World, K) -> Option<String>,
) -> String {
    let mut rows =
        vec![std::iter::once(String::new()).chain(states.iter().map(|s| s.name.into())).collect::<Vec<_>>()];
    rows.push(
        std::iter::once("is".into())
            .chain(states.iter().map(|s| {
                let (world, key) = (s.make)(over);
                format!("{} {}", state_of(&world, key).unwrap_or("gone".into()), world.armed())
            }))
            .collect(),
    );
    for event in events {
        let mut row = vec![event.name.to_owned()];
        for state in states {
            let (mut world, key) = (state.make)(over);
            let before = (state_of(&world, key), world.armed());
            let told = (event.happen)(&mut world, key);
            world.audit();
            let mut cell = world.sent();
            cell.extend(told);
            let after = (state_of(&world, key), world.armed());
            if before.0.is_some() && after.0 != before.0 {
                cell.push(format!("> {}", after.0.as_deref().unwrap_or("gone")));
            }
            if !after.1.is_empty() && after.1 != before.1 {
                cell.push(after.1);
            }
            row.push(if cell.is_empty() { "-".into() } else { cell.join(", ") });
        }
        rows.push(row);
    }
    print(&rows)
}

fn print(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        out.push_str(cells.collect::<Vec<_>>().join(" | ").trim_end());
        out.push('\n');
    }
    out
}

fn fire(world: &mut World) -> Option<String> {
    let (timer, told) = world.step()?;
    Some(std::iter::once(format!("[{}]", letter(timer))).chain(told).collect::<Vec<_>>().join(" "))
}

fn server_state(world: &World, key: ServerKey) -> Option<String> {
    world.txn.servers.state(key).map(|state| format!("{state:?}"))
}

fn client_state(world: &World, key: ClientKey) -> Option<String> {
    world.txn.clients.state(key).map(|state| format!("{state:?}"))
}

fn opened(over: Over, method: &str) -> Made<ServerKey> {
    let mut world = World::new(over);
    let key = world.open(&request(method, "1"));
    (world, key)
}

fn after<K: Copy>((mut world, key): Made<K>, act: impl FnOnce(&mut World, K)) -> Made<K> {
    act(&mut world, key);
    world.sent();
    (world, key)
}

fn matched(found: RequestMatch) -> Option<String> {
    Some(match found {
        RequestMatch::New(_) => "new".into(),
        RequestMatch::Absorbed => return None,
        RequestMatch::Cancel { invite, .. } => {
            format!("cancel {}", if invite.is_some() { "known" } else { "unknown" })
        }
        RequestMatch::Ack => "ACK to TU".into(),
        RequestMatch::Merged(_) => "merged".into(),
    })
}

fn delivered(found: ResponseMatch) -> Option<String> {
    match found {
        ResponseMatch::Stray => Some("stray".into()),
        ResponseMatch::Absorbed => None,
        ResponseMatch::Deliver { first, .. } => {
            Some(if first { "to TU".into() } else { "to TU again".into() })
        }
    }
}

const SERVER_EVENTS: &[Event<ServerKey>] = &[
    Event {
        name: "TU 100",
        happen: |w, k| {
            w.respond(k, 100);
            None
        },
    },
    Event {
        name: "TU 180",
        happen: |w, k| {
            w.respond(k, 180);
            None
        },
    },
    Event {
        name: "TU 200",
        happen: |w, k| {
            w.respond(k, 200);
            None
        },
    },
    Event {
        name: "TU 408",
        happen: |w, k| {
            w.respond(k, 408);
            None
        },
    },
    Event {
        name: "TU 486",
        happen: |w, k| {
            w.respond(k, 486);
            None
        },
    },
    Event {
        name: "TU parks",
        happen: |w, k| {
            w.trying(k);
            None
        },
    },
    Event { name: "timer", happen: |w, _| fire(w) },
    Event { name: "cannot be sent", happen: |w, _| unreachable(w) },
];

fn unreachable(world: &mut World) -> Option<String> {
    let origin = world.origin();
    let events = world.txn.on_send_failed(&mut world.fx.ctx(), origin.flow, origin.remote);
    events.first().map(|event| format!("tell {:?}", event.what))
}

fn invite_server(over: Over) -> String {
    let states = [
        State { name: "new", make: |o| opened(o, "INVITE") },
        State { name: "parked", make: |o| after(opened(o, "INVITE"), |w, k| w.trying(k)) },
        State { name: "ringing", make: |o| after(opened(o, "INVITE"), |w, k| w.respond(k, 180)) },
        State { name: "accepted", make: |o| after(opened(o, "INVITE"), |w, k| w.respond(k, 200)) },
        State { name: "refused", make: |o| after(opened(o, "INVITE"), |w, k| w.respond(k, 486)) },
        State {
            name: "confirmed",
            make: |o| {
                after(opened(o, "INVITE"), |w, k| {
                    w.respond(k, 486);
                    w.receive(&request("ACK", "1"));
                })
            },
        },
    ];
    let mut events = vec![
        Event { name: "INVITE", happen: |w: &mut World, _| matched(w.receive(&request("INVITE", "1"))) },
        Event { name: "ACK", happen: |w, _| matched(w.receive(&request("ACK", "1"))) },
        Event { name: "CANCEL", happen: |w, _| matched(w.receive(&request("CANCEL", "1"))) },
    ];
    events.extend(SERVER_EVENTS.iter().map(|&Event { name, happen }| Event { name, happen }));
    matrix(over, &states, &events, server_state)
}

fn other_server(over: Over) -> String {
    let states = [
        State { name: "new", make: |o| opened(o, "REGISTER") },
        State { name: "parked", make: |o| after(opened(o, "REGISTER"), |w, k| w.trying(k)) },
        State {
            name: "late",
            make: |o| {
                after(opened(o, "REGISTER"), |w, k| {
                    w.trying(k);
                    w.step();
                })
            },
        },
        State { name: "answered", make: |o| after(opened(o, "REGISTER"), |w, k| w.respond(k, 200)) },
        State { name: "ended by 408", make: |o| after(opened(o, "REGISTER"), |w, k| w.respond(k, 408)) },
    ];
    let mut events = vec![
        Event { name: "REGISTER", happen: |w: &mut World, _| matched(w.receive(&request("REGISTER", "1"))) },
        Event { name: "ACK", happen: |w, _| matched(w.receive(&request("ACK", "1"))) },
        Event { name: "CANCEL", happen: |w, _| matched(w.receive(&request("CANCEL", "1"))) },
    ];
    events.extend(SERVER_EVENTS.iter().map(|&Event { name, happen }| Event { name, happen }));
    matrix(over, &states, &events, server_state)
}

const BRANCH: &str = "z9hG4bKours";

fn sent(over: Over, method: Method, answers: &[u16]) -> Made<ClientKey> {
    let mut world = World::new(over);
    let key = world.send(method, BRANCH);
    for &status in answers {
        world.answer(method, BRANCH, status);
    }
    world.sent();
    (world, key)
}

macro_rules! answers {
    ($method:expr) => {
        [
            Event { name: "100", happen: |w: &mut World, _| delivered(w.answer($method, BRANCH, 100)) },
            Event { name: "180", happen: |w: &mut World, _| delivered(w.answer($method, BRANCH, 180)) },
            Event { name: "200", happen: |w: &mut World, _| delivered(w.answer($method, BRANCH, 200)) },
            Event { name: "486", happen: |w: &mut World, _| delivered(w.answer($method, BRANCH, 486)) },
            Event { name: "timer", happen: |w: &mut World, _| fire(w) },
            Event {
                name: "TU cancels",
                happen: |w: &mut World, k| {
                    w.txn.clients.cancelled(&mut w.fx.ctx(), k);
                    None
                },
            },
            Event { name: "cannot be sent", happen: |w: &mut World, _| unreachable(w) },
        ]
    };
}

fn invite_client(over: Over) -> String {
    let states = [
        State { name: "calling", make: |o| sent(o, Method::Invite, &[]) },
        State { name: "proceeding", make: |o| sent(o, Method::Invite, &[180]) },
        State {
            name: "too long",
            make: |o| {
                after(sent(o, Method::Invite, &[180]), |w, _| {
                    w.step();
                })
            },
        },
        State { name: "accepted", make: |o| sent(o, Method::Invite, &[200]) },
        State { name: "refused", make: |o| sent(o, Method::Invite, &[486]) },
    ];
    matrix(over, &states, &answers!(Method::Invite), client_state)
}

fn other_client(over: Over) -> String {
    let states = [
        State { name: "trying", make: |o| sent(o, Method::Options, &[]) },
        State { name: "proceeding", make: |o| sent(o, Method::Options, &[100]) },
        State { name: "completed", make: |o| sent(o, Method::Options, &[200]) },
    ];
    matrix(over, &states, &answers!(Method::Options), client_state)
}

#[test]
fn the_invite_server_over_udp() {
    insta::assert_snapshot!(invite_server(Over::Udp));
}

#[test]
fn the_invite_server_over_tcp() {
    insta::assert_snapshot!(invite_server(Over::Tcp));
}

#[test]
fn the_other_server_over_udp() {
    insta::assert_snapshot!(other_server(Over::Udp));
}

#[test]
fn the_other_server_over_tcp() {
    insta::assert_snapshot!(other_server(Over::Tcp));
}

#[test]
fn the_invite_client_over_udp() {
    insta::assert_snapshot!(invite_client(Over::Udp));
}

#[test]
fn the_invite_client_over_tcp() {
    insta::assert_snapshot!(invite_client(Over::Tcp));
}

#[test]
fn the_other_client_over_udp() {
    insta::assert_snapshot!(other_client(Over::Udp));
}

#[test]
fn the_other_client_over_tcp() {
    insta::assert_snapshot!(other_client(Over::Tcp));
}

/// RFC 3261 table 4 and RFC 6026 s7, at the default T1, T2 and T4.
#[test]
fn the_values_of_all_timers() {
    let timers = crate::config::Timers::default();
    let of = |reliable| {
        let t = timing::Timing::new(&timers, reliable);
        let several = |of: &dyn Fn(u8) -> Option<Duration>| match of(0) {
            None => "off".to_owned(),
            Some(_) => (0..6).filter_map(of).map(|d| format!("{d:?}")).collect::<Vec<_>>().join(" "),
        };
        let one = |d: Duration| format!("{d:?}");
        [
            ("A", several(&|n| t.a(n))),
            ("B", one(t.b())),
            ("C", one(t.c())),
            ("D", one(t.d())),
            ("E", several(&|n| t.e(n))),
            ("E, proceeding", t.e_proceeding().map_or("off".into(), one)),
            ("F", one(t.f())),
            ("G", several(&|n| t.g(n))),
            ("H", one(t.h())),
            ("I", one(t.i())),
            ("J", one(t.j())),
            ("K", one(t.k())),
            ("L", one(t.l())),
            ("M", one(t.m())),
            ("100 to INVITE", one(t.trying_invite())),
            ("100 to others", one(t.trying_other())),
        ]
    };
    let mut rows = vec![vec!["timer".to_owned(), "unreliable".into(), "reliable".into()]];
    rows.extend(
        of(false).into_iter().zip(of(true)).map(|((name, udp), (_, tcp))| vec![name.into(), udp, tcp]),
    );
    insta::assert_snapshot!(print(&rows));
}

/// Everything that is sent and told when nobody helps, with its time.
#[test]
fn timelines_of_silence() {
    let mut log = String::new();
    for over in [Over::Udp, Over::Tcp] {
        let mut line = |name: &str, mut world: World| {
            log.push_str(&format!("{name}, {over:?}\n{}", world.run_out()));
            world.assert_nothing_left();
        };
        line("INVITE sent, no answer", sent(over, Method::Invite, &[]).0);
        line("INVITE sent, rings forever", sent(over, Method::Invite, &[180]).0);
        line("OPTIONS sent, no answer", sent(over, Method::Options, &[]).0);
        line("OPTIONS sent, 100 and no more", sent(over, Method::Options, &[100]).0);
        line("INVITE refused, no ACK", after(opened(over, "INVITE"), |w, k| w.respond(k, 486)).0);
        line("INVITE accepted", after(opened(over, "INVITE"), |w, k| w.respond(k, 200)).0);
        line("REGISTER answered", after(opened(over, "REGISTER"), |w, k| w.respond(k, 200)).0);
        line(
            "REGISTER parked and forgotten by the TU",
            after(opened(over, "REGISTER"), |w, k| w.trying(k)).0,
        );
    }
    insta::assert_snapshot!(log);
}
