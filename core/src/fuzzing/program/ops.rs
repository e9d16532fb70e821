//! The operations of a program, and what each does to the world.

use std::time::Duration;

use arbitrary::Arbitrary;

use super::world::{Host, USERS, remote, settings};
use crate::door::{Answer, Change, CredentialsAnswer, FlowDownReason, Input, KeepAlive, Request, SendError};

/// A program.
#[derive(Clone, Debug, Arbitrary)]
pub struct Program {
    /// Nobody is asked for credentials.
    pub open: bool,
    /// What is done, one after the other.
    pub ops: Vec<Op>,
}

/// One operation. Numbers are folded into the few users and slots there are.
#[derive(Clone, Debug, Arbitrary)]
#[allow(missing_docs)]
pub enum Op {
    Register { user: u8, slot: u8, contact: u8, expires: Span, cseq: u8, call: u8, features: u8, right: bool },
    Remove { user: u8, slot: u8, cseq: u8, call: u8 },
    Options { slot: u8, branch: u8 },
    Invite { slot: u8, branch: u8 },
    Cancel { slot: u8, branch: u8 },
    Ack { slot: u8, branch: u8 },
    Again { back: u8, slot: u8 },
    Raw { slot: u8, bytes: Vec<u8> },
    FlowUp { slot: u8 },
    FlowDown { slot: u8 },
    Ping { slot: u8 },
    SendFailed { slot: u8 },
    Wait(Span),
    WaitForTimer,
    EarlyTimeout,
    Backwards,
    Answer { known: u8 },
    ForgedAnswer { index: u8 },
    Saved,
    SaveFailed,
    Lookup { user: u8 },
    List,
    Drop { user: u8 },
    Restore,
    Drain,
    Reload { open: bool },
    Clock { offset: i16 },
}

/// A length of time worth trying, in seconds.
#[derive(Clone, Copy, Debug, Arbitrary)]
#[allow(missing_docs)]
pub enum Span {
    Zero,
    Brief,
    Minute,
    Hour,
    Huge,
}

impl Span {
    pub(super) fn secs(self) -> u64 {
        match self {
            Span::Zero => 0,
            Span::Brief => 1,
            Span::Minute => 61,
            Span::Hour => 3_600,
            Span::Huge => 1 << 31,
        }
    }
}

/// What credentials of a REGISTER are for.
pub(super) const REGISTER: (&str, &str) = ("REGISTER", "sip:example.com");

impl Host {
    pub(super) fn run(&mut self, op: &Op) {
        match op {
            Op::Register { user, slot, contact, expires, cseq, call, features, right } => {
                let expires = expires.secs().to_string();
                let mut m = self.register(*user, *slot, *contact, &expires, *cseq, *call, *features);
                m.push_str(&self.credentials(REGISTER, *user, *right));
                m.push_str("Content-Length: 0\r\n\r\n");
                let before = self.engine.sizes().bindings;
                self.send(*slot, m.as_bytes());
                if !*right && !self.open {
                    assert!(self.engine.sizes().bindings <= before, "wrong credentials bind nothing");
                }
            }
            Op::Remove { user, slot, cseq, call } => {
                let mut m = self.register(*user, *slot, 255, "0", *cseq, *call, 0);
                m.push_str(&self.credentials(REGISTER, *user, true));
                m.push_str("Content-Length: 0\r\n\r\n");
                self.send(*slot, m.as_bytes());
            }
            Op::Options { slot, branch } => self.simple("OPTIONS", *slot, *branch),
            Op::Invite { slot, branch } => self.simple("INVITE", *slot, *branch),
            Op::Cancel { slot, branch } => self.simple("CANCEL", *slot, *branch),
            Op::Ack { slot, branch } => self.simple("ACK", *slot, *branch),
            Op::Again { back, slot } => {
                if let Some(m) = self.sent.iter().rev().nth(usize::from(*back)).cloned() {
                    self.send(*slot, &m);
                }
            }
            Op::Raw { slot, bytes } => self.send(*slot, bytes),
            Op::FlowUp { slot } => self.flow_up(*slot),
            // The listener stays.
            Op::FlowDown { slot } if slot.is_multiple_of(4) => {}
            Op::FlowDown { slot } => {
                self.up.remove(&(slot % 4));
                self.feed(Input::FlowDown { flow: self.flow(*slot), reason: FlowDownReason::Closed });
            }
            Op::Ping { slot } => {
                self.feed(Input::KeepAlive {
                    flow: self.flow(*slot),
                    remote: remote(*slot),
                    kind: KeepAlive::Ping,
                });
            }
            Op::SendFailed { slot } => {
                self.feed(Input::SendFailed {
                    flow: self.flow(*slot),
                    remote: remote(*slot),
                    reason: SendError::Refused,
                });
            }
            Op::Wait(span) => {
                self.now = self.now + Duration::from_secs(span.secs().min(100_000));
                self.settle(self.now);
            }
            Op::WaitForTimer => {
                if let Some(at) = self.engine.poll_timeout() {
                    self.now = self.now.max(at);
                    self.feed(Input::Timeout);
                }
            }
            Op::EarlyTimeout => {
                let before = self.engine.poll_timeout();
                self.feed(Input::Timeout);
                if before.is_none_or(|at| at > self.now) {
                    assert!(self.engine.poll_timeout() >= before, "an early Timeout moves nothing");
                }
            }
            Op::Backwards => {
                let now = self.now;
                self.now = now - Duration::from_secs(1);
                self.feed(Input::Timeout);
                self.now = now;
            }
            Op::Answer { known } => self.answer(*known),
            Op::ForgedAnswer { index } => {
                let ticket = crate::door::Ticket::new(u32::from(*index), 1);
                self.feed(Input::Answer(Answer::Credentials(ticket, CredentialsAnswer::Unknown)));
            }
            Op::Saved => {
                if !self.unsaved.is_empty() {
                    let (seq, change) = self.unsaved.remove(0);
                    self.store(change);
                    self.feed(Input::Saved(seq));
                }
            }
            Op::SaveFailed => {
                if !self.unsaved.is_empty() {
                    let (seq, _) = self.unsaved.remove(0);
                    self.exact = false;
                    self.feed(Input::SaveFailed(seq));
                }
            }
            Op::Lookup { user } => {
                self.host(Request::Lookup { aor: format!("u{}@example.com", user % USERS).into() })
            }
            Op::List => self.host(Request::List { after: None, limit: 10 }),
            Op::Drop { user } => {
                let aor = format!("u{}@example.com", user % USERS).into();
                self.host(Request::RemoveBinding { aor, contact: None });
            }
            Op::Restore => {
                if let Some(stored) = self.stored.pop() {
                    self.exact = false;
                    self.host(Request::Restore(Box::new(Change::PutBinding(stored))));
                }
            }
            Op::Drain => self.host(Request::Drain { timeout: Duration::from_secs(60) }),
            Op::Reload { open } => {
                self.open = self.open || *open;
                self.feed(Input::Reload(settings(*open, self.rooms)));
            }
            Op::Clock { offset } => {
                self.feed(Input::Clock { wall_offset: i64::from(*offset) * 1_000_000_000 });
            }
        }
    }
}
