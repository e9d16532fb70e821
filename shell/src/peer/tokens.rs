//! The token of a peer: had from the program, renewed before it expires, and had anew when a server does not take it
//! (RFC 8898 s2.1.3). A thread of its own, for a login may block.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;

use strowger_core::door::{AgentToken, Request, Secret, UaRequest};

use super::UA;
use crate::clock::Clock;
use crate::handle::{Call, Handle};
use crate::promise::{Awaited, Promise, promise};
use crate::token::{Denial, Grant, TokenKeeper, Want};

/// What a program is asked for a token by.
pub(super) type Provider = Box<dyn FnMut(Want) -> Result<Grant, Denial> + Send>;

/// Hears that a server has not taken a token. When it is dropped the thread ends.
pub(super) type Refusals = Sender<()>;

/// Asks for a first token, and keeps it. What is awaited is that first one, or none if there is none to be had now.
pub(super) fn keep(
    provider: Provider,
    handle: Handle,
) -> io::Result<(Refusals, Awaited<Option<AgentToken>>)> {
    let ((refusals, refused), (first, awaited)) = (channel(), promise());
    let kept = Kept { provider, handle, refused, first: Some(first), again: false };
    thread::Builder::new().name("strowger-token".into()).spawn(move || kept.run())?;
    Ok((refusals, awaited))
}

struct Kept {
    provider: Provider,
    handle: Handle,
    refused: Receiver<()>,
    first: Option<Promise<Option<AgentToken>>>,
    /// A server has said no since the last token: it is asked again with the next one.
    again: bool,
}

impl Kept {
    fn run(mut self) {
        let (clock, mut keeper) = (Clock::start(), TokenKeeper::new());
        let mut held = Secret(String::new());
        loop {
            let now = clock.now();
            let until = match keeper.poll(now) {
                Want::Nothing { until } => until,
                want => {
                    match (self.provider)(want) {
                        Ok(grant) => {
                            held = grant.access.clone();
                            keeper.granted(clock.now(), grant);
                            self.bring(&held);
                        }
                        Err(denial) => {
                            keeper.denied(clock.now(), denial);
                            self.first.take().into_iter().for_each(|first| first.keep(None));
                        }
                    }
                    continue;
                }
            };
            let heard = match until {
                None => self.refused.recv().map_err(RecvTimeoutError::from),
                Some(until) => self.refused.recv_timeout(until.since(clock.now())),
            };
            match heard {
                Ok(()) => {
                    self.again = true;
                    keeper.refused(clock.now(), &held.0);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn bring(&mut self, token: &Secret<String>) {
        let token = AgentToken { token: Secret(token.0.as_str().into()), in_clear: false };
        if let Some(first) = self.first.take() {
            return first.keep(Some(token));
        }
        let again = std::mem::take(&mut self.again).then_some(UaRequest::Register);
        for request in [Some(UaRequest::Renew(Some(token))), again].into_iter().flatten() {
            // A peer that has ended needs none.
            let _ = self.handle.send(Call::Ask(Request::Ua { ua: UA, request }, None));
        }
    }
}
