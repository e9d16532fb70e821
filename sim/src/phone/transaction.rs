//! The phone's client transactions: RFC 3261 s17.1.2 with timers E, F, K, and the parts of s17.1.1 (A, B, D) it needs.

use std::time::Duration;

use super::{T1, T2, T4};
use crate::Time;
use crate::message::Sip;

/// A final response, as far as its copies are the same (RFC 3261 s8.2.7, s17.2.2): a challenge without state may carry
/// another nonce each time.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Said {
    start: String,
    to: Option<String>,
}

impl Said {
    fn of(response: &Sip) -> Said {
        Said { start: response.start.clone(), to: response.header("To").map(str::to_owned) }
    }
}

/// One request of the phone.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) branch: String,
    pub(super) method: String,
    pub(super) bytes: Vec<u8>,
    /// Final responses that came, kept until Timer K (or D) to recognise repetitions.
    answers: Vec<Said>,
    /// Lives of the server since it was sent. What was answered in one the next knows nothing of: a copy that was on its way
    /// is a new request to that, and may get an answer of its own, once.
    lives: usize,
    stream: bool,
    interval: Duration,
    resend_at: Option<Time>,
    over_at: Option<Time>,
    proceeding: bool,
}

impl Transaction {
    pub(super) fn new(now: Time, branch: String, method: &str, bytes: Vec<u8>, stream: bool) -> Transaction {
        Transaction {
            branch,
            method: method.to_owned(),
            bytes,
            answers: Vec::new(),
            lives: 1,
            stream,
            interval: T1,
            // RFC 3261 s17.1.2.2: no Timer E on a reliable transport.
            resend_at: (!stream).then_some(now + T1),
            over_at: Some(now + 64 * T1),
            proceeding: false,
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.resend_at.into_iter().chain(self.over_at).min()
    }

    pub(super) fn retransmit(&mut self, now: Time) -> Option<Vec<u8>> {
        let at = self.resend_at.filter(|at| *at <= now && self.over_at.is_none_or(|over| now < over))?;
        // RFC 3261 s17.1.2.2: the interval doubles up to T2, and is T2 in Proceeding. An INVITE's doubles on.
        self.interval = match (self.method.as_str(), self.proceeding) {
            ("INVITE", _) => self.interval * 2,
            (_, true) => T2,
            (_, false) => (self.interval * 2).min(T2),
        };
        self.resend_at = Some(at + self.interval);
        Some(self.bytes.clone())
    }

    pub(super) fn provisional(&mut self) {
        self.proceeding = true;
        if self.method == "INVITE" {
            // RFC 3261 s17.1.1.2: no more retransmissions, and no Timer B.
            (self.resend_at, self.over_at) = (None, None);
        }
    }

    /// The server begins a new life.
    pub(super) fn outlive(&mut self) {
        self.lives += 1;
    }

    /// Whether a final response is in.
    pub(super) fn is_finished(&self) -> bool {
        !self.answers.is_empty()
    }

    /// A final response came after the first. If it should not have, that one, and this.
    pub(super) fn again(&mut self, response: &Sip) -> Result<(), [String; 2]> {
        let said = Said::of(response);
        if self.answers.contains(&said) {
            return Ok(());
        }
        if self.answers.len() >= self.lives {
            let first = self.answers.first().map(|first| first.start.clone()).unwrap_or_default();
            return Err([first, said.start]);
        }
        self.answers.push(said);
        Ok(())
    }

    pub(super) fn done(&mut self, now: Time, response: &Sip) {
        self.answers.push(Said::of(response));
        self.resend_at = None;
        let linger = match (self.stream, self.method.as_str()) {
            (true, _) => Duration::ZERO,
            (false, "INVITE") => 64 * T1,
            (false, _) => T4,
        };
        self.over_at = Some(now + linger);
    }

    pub(super) fn is_over(&self, now: Time) -> bool {
        self.over_at.is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: &str, tag: &str) -> Sip {
        let mut m = Sip::new(format!("SIP/2.0 {status}"));
        m.push("To", format!("<sip:bob@example.com>;tag={tag}"));
        m
    }

    #[test]
    fn each_life_of_the_server_answers_once() {
        let now = Time::from_secs(1);
        let mut asked = Transaction::new(now, "z9hG4bKa".into(), "REFER", Vec::new(), false);
        asked.done(now, &response("481 Gone", "1"));
        assert_eq!(asked.again(&response("481 Gone", "1")), Ok(()));
        let two = Err(["SIP/2.0 481 Gone".to_owned(), "SIP/2.0 200 OK".to_owned()]);
        assert_eq!(asked.again(&response("200 OK", "1")), two);
        assert!(asked.again(&response("481 Gone", "2")).is_err(), "another tag is another answer");
        asked.outlive();
        assert_eq!(asked.again(&response("200 OK", "2")), Ok(()));
        assert_eq!(asked.again(&response("200 OK", "2")), Ok(()));
        assert_eq!(asked.again(&response("481 Gone", "1")), Ok(()), "a late copy");
        assert!(asked.again(&response("200 OK", "3")).is_err());
    }
}
