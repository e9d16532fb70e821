//! Two phones that talk without a server between them: what one says the other takes, over a link that may be bad.

use std::collections::BTreeMap;

use super::*;
use crate::network::{Link, arrivals};
use crate::rng::Rng;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Alice, bob, and the line between them.
struct Line {
    now: Time,
    phones: [Phone; 2],
    link: Link,
    rng: Rng,
    queue: BTreeMap<(Time, u64), (usize, Vec<u8>)>,
    count: u64,
    said: Vec<String>,
}

impl Line {
    fn new(seed: u64) -> Line {
        let phone = |name: &str, n: u8| {
            let addr = std::net::SocketAddr::from(([10, 0, 0, n], 5060));
            Phone::new(name, name, "example.com", "secret", addr, Rng::fork(seed, n.into()))
        };
        Line {
            now: Time::from_secs(1_000),
            phones: [phone("alice", 1), phone("bob", 2)],
            link: Link::GOOD,
            rng: Rng::fork(seed, 77),
            queue: BTreeMap::new(),
            count: 0,
            said: Vec::new(),
        }
    }

    fn act<T>(&mut self, who: usize, script: impl FnOnce(&mut Phone, Time) -> T) -> T {
        let result = script(&mut self.phones[who], self.now);
        while let Some(bytes) = self.phones[who].poll_out() {
            let m = Sip::head(&bytes).expect("a message");
            let number = m.cseq().map_or(0, |(n, _)| n);
            let first = m.start.replace(" SIP/2.0", "").replace("SIP/2.0 ", "");
            let first = first.split(' ').next().unwrap_or_default().to_owned();
            self.said.push(format!("{} {first} ({} {number})", ["a", "b"][who], m.method()));
            for at in arrivals(&self.link, &mut self.rng, self.now) {
                self.count += 1;
                self.queue.insert((at, self.count), (1 - who, bytes.clone()));
            }
        }
        result
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let next = self.queue.keys().next().map(|(at, _)| *at);
            let wakes = self.phones.iter().filter_map(Phone::deadline);
            let Some(at) = wakes.chain(next).min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            if next == Some(at) {
                if let Some((_, (who, bytes))) = self.queue.pop_first() {
                    self.act(who, |p, now| p.receive(now, &bytes));
                }
                continue;
            }
            (0..2).for_each(|who| self.act(who, |p, now| p.wake(now)));
        }
        self.now = end;
    }

    fn call(&mut self) -> usize {
        self.act(0, |p, now| p.call(now, "sip:bob@example.com"))
    }

    /// Both calls are over, and nobody saw a flaw.
    fn end(&mut self) {
        self.run(Duration::from_secs(400));
        for phone in &self.phones {
            assert_eq!(phone.flaws, Vec::<String>::new(), "{}\n{}", phone.name, self.said.join("\n"));
            for c in phone.calls() {
                assert_eq!(c.state, State::Over, "{} {:#?}\n{}", phone.name, c, self.said.join("\n"));
                assert!(!c.is_busy(), "{}", self.said.join("\n"));
            }
        }
    }

    fn endings(&self) -> [Option<Ending>; 2] {
        [0, 1].map(|who| self.phones[who].calls().last().and_then(|c| c.ending.clone()))
    }
}

#[test]
fn a_call_is_answered_and_ended_by_the_caller() {
    let mut line = Line::new(1);
    line.phones[1].manners = Manners::answers(MS(2_000));
    let call = line.call();
    line.run(MS(5_000));
    assert_eq!(line.phones[0].talk().statuses, [180, 200]);
    assert_eq!([line.phones[0].talk().state, line.phones[1].talk().state], [State::Talking; 2]);
    line.act(0, |p, now| p.hang_up(now, call));
    line.end();
    assert_eq!(line.endings(), [Some(Ending::HungUp), Some(Ending::PeerHungUp)]);
    let count = line.phones[0].talk().cseq;
    let wanted = ["a INVITE (INVITE 1)", "b 180 (INVITE 1)", "b 200 (INVITE 1)", "a ACK (ACK 1)"];
    let wanted = wanted.into_iter().chain(["a BYE (BYE 2)", "b 200 (BYE 2)"]);
    let shift =
        |line: &str| line.replace(" 2)", &format!(" {})", count + 1)).replace(" 1)", &format!(" {count})"));
    assert_eq!(line.said, wanted.map(shift).collect::<Vec<_>>());
}

#[test]
fn the_callee_hangs_up() {
    let mut line = Line::new(2);
    line.phones[1].manners = Manners::answers(MS(10)).then(MS(3_000), Step::HangUp);
    line.call();
    line.end();
    assert_eq!(line.endings(), [Some(Ending::PeerHungUp), Some(Ending::HungUp)]);
}

#[test]
fn a_cancel_waits_for_a_provisional_response() {
    let mut line = Line::new(3);
    line.phones[1].manners.script = vec![(MS(300), Step::Early { status: 180, fork: 0, media: false })];
    let call = line.call();
    line.act(0, |p, now| p.hang_up(now, call));
    line.run(MS(200));
    assert!(!line.said.iter().any(|s| s.contains("CANCEL")));
    line.end();
    assert_eq!(line.endings(), [Some(Ending::Cancelled), Some(Ending::Cancelled)]);
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let mut line = Line::new(4);
    line.phones[1].manners = Manners::answers(MS(995));
    let call = line.call();
    line.run(MS(1_000));
    line.act(0, |p, now| p.hang_up(now, call));
    line.end();
    assert!(line.said.iter().any(|s| s.starts_with("a CANCEL")));
    assert!(line.said.iter().any(|s| s.starts_with("a ACK")));
    assert_eq!(line.endings(), [Some(Ending::HungUp), Some(Ending::PeerHungUp)]);
}

#[test]
fn a_callee_that_ignores_the_cancel_is_hung_up_on() {
    let mut line = Line::new(5);
    line.phones[1].manners = Manners { minds_cancel: false, ..Manners::answers(MS(2_000)) };
    let call = line.call();
    line.run(MS(1_000));
    line.act(0, |p, now| p.hang_up(now, call));
    line.end();
    assert_eq!(line.endings(), [Some(Ending::HungUp), Some(Ending::PeerHungUp)]);
}

#[test]
fn refusals_are_acknowledged_and_silence_is_408() {
    for status in [486, 480, 603, 302] {
        let mut line = Line::new(6);
        line.phones[1].manners = Manners::refuses(MS(500), status);
        line.call();
        line.end();
        assert_eq!(line.endings(), [Some(Ending::Refused(status)), Some(Ending::Refused(status))]);
    }
    let mut line = Line::new(7);
    line.link = Link::lossy(1.0);
    line.call();
    line.run(Duration::from_secs(40));
    assert_eq!(line.phones[0].talk().ending, Some(Ending::Refused(408)));
    assert_eq!(line.said.len(), 7);
}

#[test]
fn a_callee_that_learns_of_its_end_before_the_ack_says_bye_after_it() {
    let mut line = Line::new(8);
    line.phones[1].manners = Manners::answers(MS(100));
    line.phones[0].manners.acknowledges = false;
    line.call();
    line.run(MS(500));
    let now = line.now;
    line.phones[1].changed(now, 0, 0, "INFO", 481, None);
    line.run(MS(10_000));
    assert!(!line.said.iter().any(|s| s.contains("BYE")), "{:?}", line.said);
    line.end();
    assert!(line.said.iter().any(|s| s.starts_with("b BYE")), "{:?}", line.said);
    assert_eq!(line.endings(), [Some(Ending::PeerHungUp), Some(Ending::Lost("no such dialog"))]);
}

#[test]
fn an_answer_without_an_ack_is_repeated_and_then_ended() {
    let mut line = Line::new(8);
    line.phones[1].manners = Manners::answers(MS(100));
    line.phones[0].manners.acknowledges = false;
    line.call();
    line.end();
    assert_eq!(line.said.iter().filter(|s| s.starts_with("b 200 (INVITE")).count(), 11);
    assert_eq!(line.endings(), [Some(Ending::PeerHungUp), Some(Ending::Lost("no ACK"))]);
}

#[test]
fn every_device_of_a_fork_that_answers_late_is_hung_up_on() {
    let mut line = Line::new(9);
    let early = |fork| Step::Early { status: 183, fork, media: true };
    line.phones[1].manners.script =
        vec![(MS(0), early(0)), (MS(10), early(1)), (MS(100), Step::Answer { fork: 1 })];
    let call = line.call();
    line.run(MS(1_000));
    assert_eq!(line.phones[0].talk().dialogs.len(), 2);
    line.act(0, |p, now| p.hang_up(now, call));
    line.end();
}

#[test]
fn reliable_responses_are_acknowledged_in_order() {
    for (delayed, seed) in [(false, 10), (true, 11)] {
        let mut line = Line::new(seed);
        line.phones[0].manners =
            Manners { reliable: Reliable::Supported, delayed_offer: delayed, ..Manners::default() };
        let early = |status, media| Step::Early { status, fork: 0, media };
        let script =
            vec![(MS(0), early(183, true)), (MS(1), early(180, false)), (MS(2), Step::Answer { fork: 0 })];
        line.phones[1].manners = Manners { reliable: Reliable::Required, script, ..Manners::default() };
        let call = line.call();
        line.run(MS(1_000));
        assert_eq!(line.phones[0].talk().state, State::Talking, "{}", line.said.join("\n"));
        assert_eq!(line.said.iter().filter(|s| s.contains("a PRACK")).count(), 2, "{}", line.said.join("\n"));
        line.act(0, |p, now| p.hang_up(now, call));
        line.end();
    }
}

#[test]
fn hold_and_resume_count_the_version_and_answer_the_direction() {
    for update in [false, true] {
        let mut line = Line::new(12);
        line.phones[1].manners = Manners::answers(MS(100));
        let call = line.call();
        line.run(MS(1_000));
        match update {
            true => line.act(0, |p, now| p.update(now, call, Direction::SendOnly)),
            false => line.act(0, |p, now| p.hold(now, call)),
        }
        line.run(MS(1_000));
        assert_eq!(line.phones[1].talk().direction(), Direction::RecvOnly);
        line.act(0, |p, now| p.resume(now, call));
        line.run(MS(1_000));
        assert_eq!(line.phones[1].talk().direction(), Direction::SendRecv);
        let versions: Vec<u64> =
            line.phones[1].talk().heard.iter().filter_map(|s| media::origin(s).map(|(_, v)| v)).collect();
        assert_eq!(versions.windows(2).map(|w| w[1] - w[0]).collect::<Vec<_>>(), [1, 1]);
        line.act(1, |p, now| p.hang_up(now, 0));
        line.end();
    }
}

#[test]
fn two_new_sessions_at_once_meet_491_and_both_come_through_later() {
    let mut line = Line::new(13);
    line.phones[1].manners = Manners::answers(MS(100));
    let call = line.call();
    line.run(MS(1_000));
    line.act(0, |p, now| p.hold(now, call));
    line.act(1, |p, now| p.change(now, 0, Direction::SendRecv));
    line.run(MS(10_000));
    let told = |who: usize| line.phones[who].talk().told.iter().map(|(_, s)| *s).collect::<Vec<_>>();
    assert_eq!([told(0), told(1)], [[491, 200], [491, 200]], "{}", line.said.join("\n"));
    line.act(0, |p, now| p.hang_up(now, call));
    line.end();
}

#[test]
fn two_byes_that_cross_end_the_call_for_both() {
    let mut line = Line::new(14);
    line.phones[1].manners = Manners::answers(MS(100));
    let call = line.call();
    line.run(MS(1_000));
    line.act(0, |p, now| p.hang_up(now, call));
    line.act(1, |p, now| p.hang_up(now, 0));
    line.end();
    assert_eq!(line.endings(), [Some(Ending::HungUp), Some(Ending::HungUp)]);
}

#[test]
fn a_session_is_refreshed_while_both_live_and_ended_when_one_is_gone() {
    let mut line = Line::new(15);
    let timer = |m: Manners| Manners { session_expires: 90, ..m };
    line.phones[0].manners = timer(Manners::default());
    line.phones[1].manners = timer(Manners::answers(MS(100)));
    line.call();
    line.run(Duration::from_secs(400));
    assert_eq!(line.phones[1].talk().state, State::Talking);
    assert!(line.said.iter().filter(|s| s.starts_with("a UPDATE")).count() > 7);
    line.act(0, |p, _| p.power_off());
    line.run(Duration::from_secs(200));
    assert_eq!(line.phones[1].talk().ending, Some(Ending::Lost("the session expired")));
    line.end();
}

#[test]
fn too_brief_a_session_is_asked_for_again() {
    let mut line = Line::new(16);
    line.phones[0].manners.session_expires = 90;
    line.phones[1].manners = Manners { session_expires: 1800, min_se: 300, ..Manners::answers(MS(100)) };
    let call = line.call();
    line.run(MS(1_000));
    assert_eq!(line.phones[0].talk().statuses, [422, 180, 200]);
    line.act(0, |p, now| p.hang_up(now, call));
    line.run(MS(1_000));
    assert_eq!(line.phones[0].talk().state, State::Over);
}

#[test]
fn calls_end_for_both_whatever_is_lost_doubled_or_late() {
    for seed in 0..400 {
        let mut line = Line::new(seed);
        line.link = if seed % 2 == 0 { Link::BAD } else { Link::lossy(0.05) };
        let reliable = if seed % 3 == 0 { Reliable::Required } else { Reliable::Supported };
        line.phones[0].manners.reliable = Reliable::Supported;
        line.phones[0].manners.delayed_offer = seed % 5 == 0;
        let media = seed % 7 == 0;
        let early = Step::Early { status: 180, fork: 0, media };
        line.phones[1].manners.script =
            vec![(MS(20), early), (MS(100 + seed * 10 % 3_000), Step::Answer { fork: 0 })];
        line.phones[1].manners.reliable = reliable;
        let call = line.call();
        line.run(MS(seed * 37 % 6_000));
        if seed % 4 == 0 {
            line.act(0, |p, now| p.hold(now, call));
            line.act(1, |p, now| {
                if !p.calls().is_empty() {
                    p.hold(now, 0)
                }
            });
            line.run(MS(seed * 13 % 4_000));
        }
        if seed % 11 == 0 {
            line.act(1, |p, now| {
                if !p.calls().is_empty() {
                    p.hang_up(now, 0)
                }
            });
        }
        line.act(0, |p, now| p.hang_up(now, call));
        line.end();
    }
}
