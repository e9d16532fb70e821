use proptest::prelude::*;

use super::*;

mod layers;
mod web_client;

const OPTIONS: &[u8] =
    b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bKx\r\nContent-Length: 0\r\n\r\n";

fn options() -> StreamOptions {
    StreamOptions {
        idle: Duration::from_secs(100),
        message_deadline: Duration::from_secs(30),
        write_deadline: Duration::from_secs(20),
        write_queue: 1000,
        ..StreamOptions::default()
    }
}

fn at(seconds: u64) -> Time {
    Time::from_secs(1_000_000 + seconds)
}

fn plain(opened: Opened, backlog: &Backlog) -> Connection {
    Connection::new(at(0), opened, Layers::default(), 65_535, &options(), backlog.clone())
}

fn connection(opened: Opened) -> (Connection, Backlog) {
    let backlog = Backlog::new(options().write_queue);
    (plain(opened, &backlog), backlog)
}

/// What comes out, as text; messages by their length.
fn arrivals(conn: &mut Connection, now: Time) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(arrival) = conn.poll_arrival() {
        seen.push(match arrival {
            Arrival::Message(message) => format!("message of {}", message.len()),
            Arrival::KeepAlive(kind) => format!("{kind:?}"),
            Arrival::Bad { reason, .. } => format!("{reason:?}"),
        });
    }
    conn.settle(now);
    seen
}

fn output(conn: &Connection) -> Vec<u8> {
    let mut slots = [IoSlice::new(&[]); PIECES];
    let filled = conn.output(&mut slots);
    slots[..filled].iter().flat_map(|slot| slot.to_vec()).collect()
}

#[test]
fn messages_and_keepalives_come_out_in_order() {
    let (mut conn, _) = connection(Opened::ByPeer);
    conn.received(at(1), b"\r\n\r\n");
    conn.received(at(1), OPTIONS);
    conn.received(at(1), &OPTIONS[..20]);
    let whole = format!("message of {}", OPTIONS.len());
    assert_eq!(arrivals(&mut conn, at(1)), ["Ping", &whole]);
    conn.received(at(2), &OPTIONS[20..]);
    assert_eq!(arrivals(&mut conn, at(2)), [whole]);
}

/// RFC 5626 s4.4.1: who opened the connection sends the pings, so two line ends in a row are two pongs there.
#[test]
fn every_line_end_on_a_connection_we_opened_is_a_pong() {
    let (mut conn, _) = connection(Opened::ByUs);
    conn.received(at(1), b"\r\n\r\n");
    assert_eq!(arrivals(&mut conn, at(1)), ["Pong", "Pong"]);
}

#[test]
fn nothing_is_read_after_a_bad_frame() {
    let (mut conn, _) = connection(Opened::ByPeer);
    conn.received(at(1), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(arrivals(&mut conn, at(1)), ["NotSip"]);
    assert!(!conn.wants_read());
    conn.received(at(2), OPTIONS);
    assert!(arrivals(&mut conn, at(2)).is_empty());
}

#[test]
fn a_peer_that_says_nothing_at_first_is_closed() {
    let (mut conn, _) = connection(Opened::ByPeer);
    assert_eq!(conn.poll_deadline(), at(30));
    assert_eq!(conn.on_deadline(at(29)), Due::Nothing);
    assert_eq!(conn.on_deadline(at(30)), Due::Close(FlowDownReason::Idle));
    let (conn, _) = connection(Opened::ByUs);
    assert_eq!(conn.poll_deadline(), at(100));
}

#[test]
fn a_peer_that_dribbles_is_closed_however_busy_it_looks() {
    let (mut conn, _) = connection(Opened::ByPeer);
    conn.received(at(1), OPTIONS);
    arrivals(&mut conn, at(1));
    for (i, byte) in OPTIONS.iter().take(40).enumerate() {
        conn.received(at(10 + i as u64), &[*byte]);
        arrivals(&mut conn, at(10 + i as u64));
    }
    assert_eq!(conn.poll_deadline(), at(40));
    assert_eq!(conn.on_deadline(at(40)), Due::Close(FlowDownReason::Idle));
}

#[test]
fn an_idle_connection_asks_whether_it_is_needed() {
    let (mut conn, _) = connection(Opened::ByPeer);
    conn.received(at(1), OPTIONS);
    arrivals(&mut conn, at(1));
    assert_eq!(conn.poll_deadline(), at(101));
    assert_eq!(conn.on_deadline(at(101)), Due::Idle);
    conn.keep(at(101));
    assert_eq!(conn.poll_deadline(), at(201));
    conn.received(at(150), b"\r\n\r\n");
    arrivals(&mut conn, at(150));
    assert_eq!(conn.poll_deadline(), at(250));
}

#[test]
fn a_peer_that_does_not_read_is_closed() {
    let (mut conn, backlog) = connection(Opened::ByUs);
    assert!(backlog.reserve(600));
    conn.queue(at(5), Bytes::from(vec![b'x'; 600]));
    assert!(!backlog.reserve(600));
    assert_eq!(conn.poll_deadline(), at(25));
    conn.sent(at(20), 100);
    assert_eq!(conn.poll_deadline(), at(40));
    assert_eq!(conn.on_deadline(at(40)), Due::Close(FlowDownReason::TooSlow));
}

/// RFC 5626 s4.4.1: one every two minutes is usual.
#[test]
fn a_peer_that_sends_keep_alives_without_end_is_closed() {
    let options = StreamOptions { keep_alives: 3, ..options() };
    let layers = Layers::default();
    let mut conn =
        Connection::new(at(0), Opened::ByPeer, layers, 65_535, &options, Backlog::new(options.write_queue));
    let mut hear = |second: u64, bytes: &[u8]| {
        conn.received(at(second), bytes);
        (arrivals(&mut conn, at(second)).len(), conn.poll_end())
    };
    let pings = b"\r\n\r\n".repeat(3);
    assert_eq!(hear(1, &pings), (3, None));
    // A message takes what is between messages with it.
    assert_eq!(hear(2, &[OPTIONS, &pings].concat()), (4, None));
    assert_eq!(hear(62, &pings), (3, None));
    assert_eq!(hear(63, &pings[..4]), (0, Some(FlowDownReason::Limit)));
    assert!(!conn.wants_read());
}

#[test]
fn what_was_queued_is_written_before_closing() {
    let (mut conn, backlog) = connection(Opened::ByPeer);
    assert!(backlog.reserve(6));
    conn.queue(at(1), Bytes::from_static(b"answer"));
    conn.close(at(1), FlowDownReason::Idle);
    assert!(!conn.wants_read() && conn.wants_write() && conn.poll_end().is_none());
    assert_eq!(output(&conn), b"answer");
    conn.sent(at(1), 6);
    assert_eq!(conn.poll_end(), Some(FlowDownReason::Idle));
    assert_eq!(backlog.waiting(), 0);
}

#[test]
fn a_connection_that_ends_gives_its_backlog_back() {
    let (mut conn, backlog) = connection(Opened::ByPeer);
    assert!(backlog.reserve(6));
    conn.queue(at(1), Bytes::from_static(b"answer"));
    drop(conn);
    assert_eq!(backlog.waiting(), 0);
}

proptest! {
    /// However messages are queued and however much the socket takes, the bytes go out whole and in order.
    #[test]
    fn bytes_go_out_whole_and_in_order(sizes in prop::collection::vec(0usize..300, 1..40), takes in prop::collection::vec(1usize..500, 1..80)) {
        let backlog = Backlog::new(1 << 20);
        let mut conn = plain(Opened::ByUs, &backlog);
        let mut wanted = Vec::new();
        let mut written = Vec::new();
        let mut takes = takes.into_iter().cycle();
        let mut take = |conn: &mut Connection, written: &mut Vec<u8>| {
            let out = output(conn);
            let taken = takes.next().unwrap_or(1).min(out.len());
            written.extend_from_slice(&out[..taken]);
            conn.sent(at(1), taken);
        };
        for (i, size) in sizes.into_iter().enumerate() {
            let message = vec![i as u8; size];
            wanted.extend_from_slice(&message);
            prop_assert!(backlog.reserve(size));
            conn.queue(at(1), message.into());
            take(&mut conn, &mut written);
        }
        while conn.wants_write() {
            take(&mut conn, &mut written);
        }
        prop_assert_eq!(written, wanted);
        prop_assert_eq!(backlog.waiting(), 0);
    }
}
