//! Programs with calls: what is done, step by step. The phones that do it are in `phones`, what the engine owes them in
//! `debts`. RFC 3261, RFC 3262, RFC 3311, RFC 3428, RFC 3515, RFC 3891, RFC 4028.

use arbitrary::Arbitrary;

use super::ops::{Op, Span};
use super::phones::extensions;
use super::world::{Host, Rooms};
use crate::door::{Answer, Input, RouteAnswer, SendError, Ticket};
use crate::wire::Method;

const METHODS: [&str; 12] = [
    "BYE",
    "INVITE",
    "UPDATE",
    "INFO",
    "MESSAGE",
    "OPTIONS",
    "NOTIFY",
    "REFER",
    "PRACK",
    "SUBSCRIBE",
    "FOO",
    "BYE",
];
/// One operation of a program with calls. What was last is number 0.
#[derive(Clone, Debug, Arbitrary)]
#[allow(missing_docs)]
pub enum CallStep {
    Base(Op),
    Wait(Pause),
    /// A call.
    Invite {
        from: u8,
        to: u8,
        slot: u8,
        says: u8,
    },
    /// A call that is answered and acknowledged: where most of what may happen begins.
    Talk {
        from: u8,
        to: u8,
        slot: u8,
        says: u8,
    },
    /// A phone answers what it was asked.
    Respond {
        back: u8,
        status: u8,
        tag: u8,
        says: u8,
    },
    /// All that waits for an answer of a phone or of the relay gets one, and every 2xx its ACK.
    Calm,
    Ack {
        back: u8,
        says: u8,
    },
    Cancel {
        back: u8,
    },
    Prack {
        back: u8,
        says: u8,
    },
    /// A request within a dialog.
    Within {
        back: u8,
        method: u8,
        says: u8,
        wrong: u8,
    },
    Refer {
        back: u8,
        to: u8,
        other: u8,
        says: u8,
    },
    Message {
        from: u8,
        to: u8,
        slot: u8,
        says: u8,
    },
    /// The host answers what it was asked.
    Answer {
        how: u8,
    },
    ForgedRoute {
        index: u8,
    },
    /// What was sent last could not be.
    SendFailed {
        back: u8,
    },
    /// A connection the engine asked for is there, or will not be.
    Opened {
        up: bool,
    },
}

/// A length of time that matters to calls.
#[derive(Clone, Copy, Debug, Arbitrary)]
#[allow(missing_docs)]
pub enum Pause {
    Blink,
    Resend,
    Second,
    Ring,
    TimerB,
    Minute,
    Refresh,
}

impl Pause {
    fn time(self) -> core::time::Duration {
        core::time::Duration::from_millis(match self {
            Pause::Blink => 20,
            Pause::Resend => 500,
            Pause::Second => 1_000,
            Pause::Ring => 10_000,
            Pause::TimerB => 32_000,
            Pause::Minute => 61_000,
            Pause::Refresh => 300_000,
        })
    }
}

/// Any header fields, of the caller and behind a NUL of the callee, in the requests and responses of a whole call: what
/// comes of it can be read, and nothing is left.
pub fn call_headers(data: &[u8]) {
    let mut host = Host::new(true, Rooms::Calls);
    let register = Op::Register {
        user: 1,
        slot: 4,
        contact: 4,
        expires: Span::Hour,
        cseq: 1,
        call: 1,
        features: 0,
        right: true,
    };
    host.run(&register);
    let mut halves = data.splitn(2, |b| *b == 0).map(|half| {
        let lines = half.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        // An empty line would end the head.
        lines.filter(|line| !line.is_empty()).flat_map(|line| [line, b"\r\n"].concat()).collect::<Vec<u8>>()
    });
    host.calling.more = [halves.next().unwrap_or_default(), halves.next().unwrap_or_default()];
    host.calling.debts.forgive_all();
    let newest = |host: &Host| host.calling.heard.iter().rev().position(|heard| heard.last.is_none());
    let respond = |host: &mut Host, status: usize| {
        if let Some(newest) = newest(host) {
            host.respond(newest, status, 0, 3);
        }
    };
    host.invite(0, 1, 0, 3);
    respond(&mut host, 2);
    host.call_step(&CallStep::Prack { back: 0, says: 0 });
    respond(&mut host, 4);
    respond(&mut host, 4);
    host.calm();
    for method in ["INVITE", "UPDATE", "INFO", "REFER", "MESSAGE", "OPTIONS"] {
        // The caller's dialog is the first, and the callee's the last.
        for at in [0, host.calling.talks.len() - 1] {
            host.within(at, method, "", 1, 0);
            respond(&mut host, 4);
            host.calm();
        }
    }
    host.call_step(&CallStep::Wait(Pause::Refresh));
    host.calm();
    host.within(0, "BYE", "", 0, 0);
    host.end();
}

impl Host {
    pub(super) fn call_step(&mut self, step: &CallStep) {
        match step {
            CallStep::Base(op) => self.run(op),
            CallStep::Wait(pause) => {
                self.now = self.now + pause.time();
                self.settle(self.now);
            }
            CallStep::Invite { from, to, slot, says } => self.invite(*from, *to, *slot, *says),
            CallStep::Talk { from, to, slot, says } => {
                self.invite(*from, *to, *slot, says | 1);
                self.relay();
                let newest = self.calling.heard.iter().rev().position(|h| h.method == Method::Invite);
                let Some(newest) = newest else { return };
                self.respond(newest, 4, *says, 1);
                self.relay();
                self.ack(0, 0);
            }
            CallStep::Respond { back, status, tag, says } => {
                self.respond(usize::from(*back % 32), usize::from(*status), *tag, *says);
            }
            CallStep::Calm => self.calm(),
            CallStep::Ack { back, says } => self.ack(usize::from(*back % 16), *says),
            CallStep::Cancel { back } => self.cancel(usize::from(*back % 16)),
            CallStep::Prack { back, says } => {
                let Some(at) = self.talk(*back) else { return };
                let talk = &self.calling.talks[at];
                let rack = (talk.rseq.unwrap_or(7), talk.invite.0.max(1));
                let more = format!("RAck: {} {} INVITE\r\n", rack.0, rack.1);
                self.within(at, "PRACK", &more, *says & 1, 0);
            }
            CallStep::Within { back, method, says, wrong } => {
                let Some(at) = self.talk(*back) else { return };
                let method = METHODS[usize::from(*method) % METHODS.len()];
                let more = match method {
                    "NOTIFY" => "Event: refer\r\nSubscription-State: active\r\n".to_owned(),
                    "INVITE" | "UPDATE" => extensions(*says & 0b0001_1010),
                    "REFER" => "Refer-To: <sip:u1@example.com>\r\n".to_owned(),
                    _ => String::new(),
                };
                self.within(at, method, &more, *says, *wrong);
            }
            CallStep::Refer { back, to, other, says } => self.refer(*back, *to, *other, *says),
            CallStep::Message { from, to, slot, says } => self.text_message(*from, *to, *slot, *says),
            CallStep::Answer { how } => self.answer(*how),
            CallStep::ForgedRoute { index } => {
                let ticket = Ticket::new(u32::from(index % 4), u32::from(index / 4));
                self.feed(Input::Answer(Answer::Route(ticket, RouteAnswer::Unavailable)));
            }
            CallStep::SendFailed { back } => {
                let last = self.calling.last.iter().rev().nth(usize::from(back % 8));
                let Some((flow, remote)) = last.copied() else { return };
                self.feed(Input::SendFailed { flow, remote, reason: SendError::Refused });
            }
            CallStep::Opened { up } => self.opened(*up),
        }
    }
}
