//! Calls for the rest of the program: which there are, an end to one, and one of its own.

use strowger_core::door::{CallRefusal, CallView, ReplyBody, Request};
use thiserror::Error;

use crate::handle::{Handle, HandleError};

/// Looks at live calls, ends them and begins them. Cheap to clone, usable from any thread and any runtime, inside an
/// `on_route` closure as well.
#[derive(Clone, Debug)]
pub struct CallsHandle {
    engine: Handle,
}

/// Why nothing can be said of a call, or done for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The server is not running, or ended before it replied.
    #[error("the server is not running")]
    Stopped,
    /// Too many requests wait for the engine.
    #[error("too many requests wait for the engine")]
    Busy,
    /// The server takes calls, but not this.
    #[error(transparent)]
    Refused(#[from] CallRefusal),
}

impl CallsHandle {
    pub(crate) fn new(engine: Handle) -> CallsHandle {
        CallsHandle { engine }
    }

    /// Live calls behind this number (0 for the beginning), in the order of their begin: at most `limit`, and at most
    /// 1,000. The last one's number is where the next page begins.
    pub async fn list(&self, after: u64, limit: usize) -> Result<Vec<CallView>, CallError> {
        match self.ask(Request::Calls { after, limit }).await? {
            ReplyBody::Calls(calls) => Ok(calls),
            other => Err(refusal(&other)),
        }
    }

    /// One live call.
    pub async fn look_up(&self, id: u64) -> Result<CallView, CallError> {
        match self.ask(Request::Call { id }).await? {
            ReplyBody::Calls(calls) => calls.into_iter().next().ok_or(CallRefusal::Unknown.into()),
            other => Err(refusal(&other)),
        }
    }

    /// Ends a live call: who is in it gets BYE, who rings CANCEL, and a caller who still waits 480.
    pub async fn hang_up(&self, id: u64) -> Result<(), CallError> {
        match self.ask(Request::HangUp { id }).await? {
            ReplyBody::Done => Ok(()),
            other => Err(refusal(&other)),
        }
    }

    /// Calls somebody and, when he answers, somebody else, and connects them (RFC 3725); gives the number of the call.
    /// Each is a URI, `user@domain`, a user of the default domain, or a number. The first one's phones ring, and show the
    /// second one as the caller; the second one is called as if the first had called him. What becomes of it is told by
    /// events, by its record and by [`look_up`](Self::look_up); who fails ends it for the other.
    pub async fn dial(&self, caller: &str, callee: &str) -> Result<u64, CallError> {
        match self.ask(Request::Dial { caller: caller.into(), callee: callee.into() }).await? {
            ReplyBody::Dialled(id) => Ok(id),
            other => Err(refusal(&other)),
        }
    }

    async fn ask(&self, request: Request) -> Result<ReplyBody, CallError> {
        let awaited = self.engine.ask(request).map_err(unreached)?;
        awaited.await.ok_or(CallError::Stopped)
    }
}

fn unreached(error: HandleError) -> CallError {
    match error {
        HandleError::Busy => CallError::Busy,
        HandleError::Stopped | HandleError::Full | HandleError::Refused(_) => CallError::Stopped,
    }
}

fn refusal(body: &ReplyBody) -> CallError {
    match body {
        ReplyBody::NoCall(why) => CallError::Refused(*why),
        // The engine answers these requests with nothing else.
        _ => CallError::Stopped,
    }
}
