//! The phone's client transactions: RFC 3261 s17.1.2 with timers E, F, K, and the parts of s17.1.1 (A, B, D) it needs.

use std::time::Duration;

use super::{T1, T2, T4};
use crate::Time;
use crate::message::Sip;

/// Whether the final response is in.
#[derive(Clone, Debug)]
pub(super) enum Finished {
    /// Waiting.
    No,
    /// Kept until Timer K (or D), to recognise repetitions.
    Yes(Sip),
}

/// One request of the phone.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) branch: String,
    pub(super) method: String,
    pub(super) bytes: Vec<u8>,
    pub(super) finished: Finished,
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
            finished: Finished::No,
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

    pub(super) fn done(&mut self, now: Time, response: Sip) {
        self.finished = Finished::Yes(response);
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
