//! Answers of the DNS, of any bytes behind a good question: a look-up ends, with a bounded number of ways, whatever they
//! say. RFC 1035, RFC 3263.

use std::time::Duration;

use strowger_core::base::Time;
use strowger_core::door::{ResolveQuery, Ticket, Transport};

use super::dns::{Stub, StubConfig};

/// Exchanges of one look-up: names lead to names, and each may be asked of both servers, twice and by stream.
const MOST: usize = 2_000;

/// The first byte says what is looked for; then each answer is its flags, its numbers of records, its length and itself.
pub(crate) fn dns(data: &[u8]) {
    let Some((wish, mut rest)) = data.split_first() else { return };
    let config = StubConfig {
        servers: vec![([192, 0, 2, 53], 53).into(), ([192, 0, 2, 54], 53).into()],
        transports: vec![Transport::Udp, Transport::Tcp, Transport::Tls],
        families: (wish & 1 == 0, wish & 2 == 0),
        search: vec!["example.net".into()],
        ..StubConfig::default()
    };
    let mut stub = Stub::new(config, [7; 32]);
    let mut now = Time::from_secs(1_000_000);
    for turn in 0..2 {
        let transport = (wish & 4 != 0).then_some(Transport::Tcp);
        let port = (wish & 8 != 0).then_some(5070);
        let host = if wish & 16 != 0 { "short" } else { "sip.example.com" };
        let near = ([10, 0, 0, 1], 5060).into();
        let secure = wish & 32 != 0;
        stub.resolve(
            now,
            ResolveQuery { ticket: Ticket::new(1, 1), host: host.into(), port, transport, secure, near },
        );
        let mut exchanges = 0;
        let found = loop {
            if let Some(found) = stub.poll_found() {
                break found;
            }
            while let Some(exchange) = stub.poll_exchange() {
                exchanges += 1;
                assert!(exchanges < MOST, "a look-up that does not end");
                let answer = answer(&exchange.query, &mut rest);
                let fits = answer.as_ref().is_none_or(|answer| exchange.fits(answer));
                // A runtime hears no answer that does not fit.
                stub.answered(now, exchange.number, answer.as_deref().filter(|_| fits));
            }
            if let Some(due) = stub.poll_timeout() {
                now = now.max(due);
                stub.handle_timeout(now);
            }
        };
        assert!(found.ways.len() <= 16, "{} ways in turn {turn}", found.ways.len());
        now = now + Duration::from_secs(u64::from(*wish));
    }
}

/// The next answer to this question, if the bytes have one.
fn answer(query: &[u8], rest: &mut &[u8]) -> Option<Vec<u8>> {
    let (head, behind) = rest.split_at_checked(4)?;
    let &[flags, answers, authorities, length] = head else { return None };
    let (records, behind) = behind.split_at(usize::from(length).min(behind.len()));
    *rest = behind;
    let mut out = query.to_vec();
    out.get_mut(2..10)?.copy_from_slice(&[0x81 | flags & 2, flags & 0x83, 0, 1, 0, answers, 0, authorities]);
    out.extend_from_slice(records);
    Some(out)
}
