//! The one FIFO of commands, and the arena that messages are written into.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Origin;
use crate::base::Time;
use crate::door::{Change, Command, Event, FlowId, Query, Reply, ReplyBody, SaveSeq, Transmit};
use crate::wire::{Arena, Date};

/// Commands in the order of cause, and the arena.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Command>,
    arena: Arena,
    last_save: u64,
    /// The date of the second in which one was last asked for.
    date: Option<(u64, Date)>,
}

impl Clone for Outbox {
    /// The copy starts a chunk of its own: what stands in the arena is always empty between writes.
    fn clone(&self) -> Outbox {
        Outbox { queue: self.queue.clone(), arena: Arena::new(), last_save: self.last_save, date: self.date }
    }
}

impl Outbox {
    /// Lends the arena. A writer writes its message there and takes it out; then it is given back with
    /// [`restore`](Outbox::restore), and meanwhile the outbox can be used for everything else.
    pub(crate) fn lend(&mut self) -> Arena {
        core::mem::take(&mut self.arena)
    }

    /// Takes the arena back.
    pub(crate) fn restore(&mut self, arena: Arena) {
        self.arena = arena;
    }

    /// The date of an instant. Written once a second at most, however many responses bear it.
    pub(crate) fn date(&mut self, time: Time) -> Date {
        match self.date {
            Some((second, date)) if second == time.as_secs() => date,
            _ => self.date.insert((time.as_secs(), Date::of(time))).1,
        }
    }

    /// Sends a response back to where its request came from, or on along `to`.
    pub(crate) fn transmit(&mut self, to: &Origin, since: Time, after: Option<SaveSeq>, payload: Bytes) {
        let &Origin { flow, remote, local, .. } = to;
        self.queue.push_back(Command::Transmit(Transmit { flow, remote, local, since, after, payload }));
    }

    /// Asks the host.
    pub(crate) fn ask(&mut self, query: Query) {
        self.queue.push_back(Command::Ask(query));
    }

    /// Has a change made durable; the number of the save.
    pub(crate) fn save(&mut self, change: Change) -> SaveSeq {
        self.last_save += 1;
        let seq = SaveSeq(self.last_save);
        self.queue.push_back(Command::Save(seq, change));
        seq
    }

    /// Tells an event. The caller asks `Settings::tell` first, so that an unwanted event is never built.
    pub(crate) fn tell(&mut self, event: Event) {
        self.queue.push_back(Command::Tell(event));
    }

    /// Replies to a request of the host, if it wanted a reply.
    pub(crate) fn reply(&mut self, to: Option<u64>, body: ReplyBody) {
        if let Some(to) = to {
            self.queue.push_back(Command::Reply(Reply { to, body }));
        }
    }

    /// Sends a keep-alive.
    pub(crate) fn ping(&mut self, flow: FlowId, remote: core::net::SocketAddr, local: core::net::SocketAddr) {
        self.queue.push_back(Command::Ping { flow, remote, local });
    }

    /// Anything else.
    pub(crate) fn push(&mut self, command: Command) {
        self.queue.push_back(command);
    }

    /// The oldest command.
    pub(crate) fn pop(&mut self) -> Option<Command> {
        let command = self.queue.pop_front();
        if self.queue.is_empty() && self.queue.capacity() > 4096 {
            // A burst is over: give its memory back.
            self.queue = VecDeque::new();
        }
        command
    }

    /// How many commands wait.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}
