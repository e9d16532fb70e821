//! The phone in calls: what it knows of each, how it behaves, and what a story makes it do (RFC 3261 s12 to s15).
//!
//! The caller's side is in `caller`, the callee's in `callee`, what passes within a dialog in `within`, reliable
//! provisional responses in `reliable`, session timers in `session`. None of it shares code with the engine.

mod callee;
mod caller;
mod dialog;
mod media;
mod reliable;
mod session;
mod within;

use std::collections::VecDeque;
use std::time::Duration;

use super::{Phone, T1, T2};
use crate::Time;
use crate::message::Sip;

use callee::Incoming;
use caller::Invite;
pub use dialog::Dialog;
pub use media::Direction;
use media::Media;
use session::Session;
use within::Pending;

/// What a phone allows.
pub(super) const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, INFO, NOTIFY, REFER, MESSAGE, UPDATE";

/// Which side of a call a phone is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// It called.
    Caller,
    /// It was called.
    Callee,
}

/// Where a call stands, as the phone believes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// INVITE was sent or has come, and nothing was said to it but 100.
    Trying,
    /// Somebody rings.
    Ringing,
    /// Answered.
    Talking,
    /// CANCEL or BYE is on its way.
    Leaving,
    /// Nothing is left.
    Over,
}

/// How a call ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// INVITE got this final response, or sent it. 408 and 503 may be made up.
    Refused(u16),
    /// The caller gave up before an answer.
    Cancelled,
    /// This phone said BYE.
    HungUp,
    /// The other one did.
    PeerHungUp,
    /// Something that had to come did not.
    Lost(&'static str),
}

/// One thing a callee does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Says 100.
    Trying,
    /// Says another provisional response, as the device of that number behind its address: each has a tag of its own.
    Early {
        /// Status code.
        status: u16,
        /// Which device.
        fork: usize,
        /// With a session description.
        media: bool,
    },
    /// Answers, as that device.
    Answer {
        /// Which device.
        fork: usize,
    },
    /// Refuses with this status.
    Refuse(u16),
    /// Says 302 with this Contact.
    Redirect(String),
    /// Hangs up.
    HangUp,
    /// Is never heard of again.
    Vanish,
}

/// What a phone thinks of reliable provisional responses (RFC 3262).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reliable {
    /// Never heard of them.
    Unknown,
    /// Supports them.
    Supported,
    /// Insists, as a caller; uses them, as a callee.
    Required,
}

/// How a phone behaves in calls.
#[derive(Clone, Debug)]
pub struct Manners {
    /// What it does with a new call, and how long after its INVITE.
    pub script: Vec<(Duration, Step)>,
    /// Says 486 to a second call.
    pub one_call: bool,
    /// Stops at a CANCEL; else it goes on as if none had come, but for the 200.
    pub minds_cancel: bool,
    /// Acknowledges answers.
    pub acknowledges: bool,
    /// Answers BYE.
    pub answers_bye: bool,
    /// See [`Reliable`].
    pub reliable: Reliable,
    /// Session-Expires it asks for (RFC 4028); zero knows nothing of it.
    pub session_expires: u32,
    /// Min-SE it insists on.
    pub min_se: u32,
    /// Leaves the offer to the other side.
    pub delayed_offer: bool,
    /// What it says to a new session within a call.
    pub change: u16,
    /// Knows UPDATE (RFC 3311).
    pub update: bool,
    /// Calls the Contact of a 3xx.
    pub follows: bool,
    /// Gives up a call that is not answered for so long.
    pub patience: Option<Duration>,
}

impl Default for Manners {
    fn default() -> Manners {
        Manners {
            script: vec![(Duration::ZERO, Step::Early { status: 180, fork: 0, media: false })],
            one_call: false,
            minds_cancel: true,
            acknowledges: true,
            answers_bye: true,
            reliable: Reliable::Unknown,
            session_expires: 0,
            min_se: 90,
            delayed_offer: false,
            change: 200,
            update: true,
            follows: false,
            patience: None,
        }
    }
}

impl Manners {
    /// Rings at once and answers after that.
    pub fn answers(after: Duration) -> Manners {
        Manners::default().then(after, Step::Answer { fork: 0 })
    }

    /// Rings at once and refuses after that.
    pub fn refuses(after: Duration, status: u16) -> Manners {
        Manners::default().then(after, Step::Refuse(status))
    }

    /// Says this at once and nothing else.
    pub fn says(status: u16) -> Manners {
        Manners { script: vec![(Duration::ZERO, Step::Refuse(status))], ..Manners::default() }
    }

    /// Never says a word to an INVITE.
    pub fn silent() -> Manners {
        Manners { script: Vec::new(), ..Manners::default() }
    }

    /// With one more thing it does.
    pub fn then(mut self, after: Duration, step: Step) -> Manners {
        self.script.push((after, step));
        self
    }
}

/// A call as one phone knows it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which side it is on.
    pub side: Side,
    /// Where it stands.
    pub state: State,
    /// How it ended, once it did.
    pub ending: Option<Ending>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Status codes of all responses to INVITE that made a difference: got as a caller, said as a callee.
    pub statuses: Vec<u16>,
    /// Its dialogs: several if the call was forked.
    pub dialogs: Vec<Dialog>,
    /// Requests that came within it, and the status of what was said.
    pub asked: Vec<(String, u16)>,
    /// Requests it sent within it, and the status of what was answered.
    pub told: Vec<(String, u16)>,
    /// Session descriptions that came, in order.
    pub heard: Vec<String>,
    /// Other bodies that came: tones, messages.
    pub notes: Vec<String>,
    /// What NOTIFYs told of a transfer: the status line of each.
    pub transfer: Vec<String>,
    /// Value of Call-ID.
    pub call_id: String,
    /// Request-URI, as the caller; From, as the callee.
    pub peer: String,
    /// The INVITE that came, or the last one sent.
    pub invite: Option<Sip>,
    tag: String,
    cseq: u32,
    headers: Vec<(String, String)>,
    tries: u32,
    media: Media,
    wanted: Direction,
    session: Session,
    /// The dialog that was answered first.
    talking: Option<usize>,
    invites: Vec<Invite>,
    incoming: Vec<Incoming>,
    pending: Vec<Pending>,
    script: VecDeque<(Time, Step)>,
    give_up_at: Option<Time>,
    change_at: Option<Time>,
    leave_when_acknowledged: bool,
}

impl Call {
    fn new(side: Side, call_id: String, tag: String, peer: String, media: Media) -> Call {
        Call {
            side,
            state: State::Trying,
            ending: None,
            ended_at: None,
            statuses: Vec::new(),
            dialogs: Vec::new(),
            asked: Vec::new(),
            told: Vec::new(),
            heard: Vec::new(),
            notes: Vec::new(),
            transfer: Vec::new(),
            call_id,
            peer,
            invite: None,
            tag,
            cseq: 0,
            headers: Vec::new(),
            tries: 0,
            media,
            wanted: Direction::SendRecv,
            session: Session::default(),
            talking: None,
            invites: Vec::new(),
            incoming: Vec::new(),
            pending: Vec::new(),
            script: VecDeque::new(),
            give_up_at: None,
            change_at: None,
            leave_when_acknowledged: false,
        }
    }

    /// The dialog it talks in.
    pub fn dialog(&self) -> Option<&Dialog> {
        self.dialogs.get(self.talking?)
    }

    /// The same, to spoil it.
    pub fn dialog_mut(&mut self) -> Option<&mut Dialog> {
        self.dialogs.get_mut(self.talking?)
    }

    /// The last response to its INVITE.
    pub fn last(&self) -> Option<u16> {
        self.statuses.last().copied()
    }

    /// True if somebody answered at some time.
    pub fn was_answered(&self) -> bool {
        self.talking.is_some()
    }

    /// The session id of its own descriptions: names the call to the other side.
    pub fn session_id(&self) -> &str {
        &self.media.id
    }

    /// The session id of the last description that came.
    pub fn peer_session_id(&self) -> Option<&str> {
        media::origin(self.heard.last()?).map(|(id, _)| id)
    }

    /// The direction of media in what it last said.
    pub fn direction(&self) -> Direction {
        self.media.direction
    }

    /// True while a transaction of it is not finished.
    pub fn is_busy(&self) -> bool {
        self.invites.iter().any(Invite::is_open)
            || self.incoming.iter().any(Incoming::is_open)
            || !self.pending.is_empty()
    }

    fn over(&mut self, now: Time, ending: Ending) {
        if self.state != State::Over {
            self.ended_at = Some(now);
        }
        self.invites.iter_mut().for_each(|invite| invite.wait_no_longer(now));
        self.stop(ending);
    }

    fn stop(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
        self.state = State::Over;
        self.script.clear();
        (self.give_up_at, self.change_at) = (None, None);
        self.session.stop();
        self.dialogs.iter_mut().for_each(|d| d.over = true);
    }

    fn deadline(&self) -> Option<Time> {
        let invites = self.invites.iter().filter_map(Invite::deadline);
        let incoming = self.incoming.iter().filter_map(Incoming::deadline);
        let script = self.script.iter().map(|(at, _)| *at).min();
        let own = [script, self.give_up_at, self.change_at, self.session.deadline()];
        invites.chain(incoming).chain(own.into_iter().flatten()).min()
    }
}

impl Phone {
    /// Calls somebody. Returns the number of the call.
    pub fn call(&mut self, now: Time, uri: &str) -> usize {
        self.call_with(now, uri, &[])
    }

    /// The same, with header fields that replace those of the same name.
    pub fn call_with(&mut self, now: Time, uri: &str, headers: &[(&str, &str)]) -> usize {
        self.stopped = false;
        let call_id = format!("{}@{}", self.rng.word(), self.addr.ip());
        let (tag, media) = (self.rng.word(), Media::new(&mut self.rng));
        let mut call = Call::new(Side::Caller, call_id, tag, uri.into(), media);
        call.headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        call.cseq = self.rng.below(1000) as u32;
        call.give_up_at = self.manners.patience.map(|span| now + span);
        self.calls.push(call);
        let at = self.calls.len() - 1;
        self.send_invite(now, at);
        at
    }

    /// All calls so far.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// One of them, to spoil it.
    pub fn call_mut(&mut self, call: usize) -> &mut Call {
        &mut self.calls[call]
    }

    /// The last call: that of most stories.
    pub fn talk(&self) -> &Call {
        self.calls.last().expect("a call")
    }

    /// Ends a call, whichever way is right where it stands: CANCEL, BYE or a refusal.
    pub fn hang_up(&mut self, now: Time, call: usize) {
        let c = &mut self.calls[call];
        c.script.clear();
        c.give_up_at = None;
        match (c.state, c.side) {
            (State::Leaving | State::Over, _) => {}
            (State::Talking, _) => self.leave(now, call),
            (_, Side::Caller) => self.cancel(now, call),
            (_, Side::Callee) => self.do_step(now, call, Step::Refuse(603)),
        }
    }

    pub(super) fn calls_deadline(&self) -> Option<Time> {
        self.calls.iter().filter_map(Call::deadline).min()
    }

    pub(super) fn wake_calls(&mut self, now: Time) {
        for call in 0..self.calls.len() {
            self.wake_invites(now, call);
            self.wake_incoming(now, call);
            self.wake_session(now, call);
            let c = &mut self.calls[call];
            if c.give_up_at.is_some_and(|at| at <= now) {
                self.hang_up(now, call);
            }
            if self.calls[call].change_at.is_some_and(|at| at <= now) {
                self.calls[call].change_at = None;
                self.send_change(now, call);
            }
            while let Some(i) = self.calls[call].script.iter().position(|(at, _)| *at <= now) {
                let Some((_, step)) = self.calls[call].script.remove(i) else { break };
                self.do_step(now, call, step);
            }
        }
    }

    pub(super) fn stop_calls(&mut self) {
        for c in &mut self.calls {
            c.stop(Ending::Lost("switched off"));
            (c.invites, c.incoming, c.pending) = Default::default();
        }
    }

    /// What a call says of the phone: where to reach it and what it can do.
    fn add_abilities(&self, m: &mut Sip) {
        let update = if self.manners.update { ALLOW } else { ALLOW.trim_end_matches(", UPDATE") };
        m.push("Contact", format!("<{}>", self.contact())).push("Allow", update);
        let mut supported = vec!["replaces"];
        if self.manners.reliable != Reliable::Unknown {
            supported.push("100rel");
        }
        if self.manners.session_expires > 0 {
            supported.push("timer");
        }
        m.push("Supported", supported.join(", "));
    }
}

/// A message that is repeated until something stops it.
#[derive(Clone, Debug)]
struct Repeat {
    bytes: Vec<u8>,
    interval: Duration,
    most: Duration,
    at: Time,
    end: Time,
}

impl Repeat {
    fn new(now: Time, bytes: Vec<u8>, most: Duration) -> Repeat {
        Repeat { bytes, interval: T1, most, at: now + T1, end: now + 64 * T1 }
    }

    fn deadline(&self) -> Time {
        self.at.min(self.end)
    }

    fn due(&mut self, now: Time) -> Option<Vec<u8>> {
        (self.at <= now && now < self.end).then_some(())?;
        self.interval = (self.interval * 2).min(self.most);
        self.at = self.at + self.interval;
        Some(self.bytes.clone())
    }

    fn is_over(&self, now: Time) -> bool {
        self.end <= now
    }
}

#[cfg(test)]
mod tests;
