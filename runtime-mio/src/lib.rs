//! Strowger on mio: one thread, one poll loop, and a program that blocks where it likes.
//!
//! A server to which phones register:
//!
//! ```
//! # fn lobby() -> Result<(), strowger_mio::StartError> {
//! # use strowger_mio::{SimpleB2bua, Wait};
//! SimpleB2bua::new("Lobby", 5060)
//!     .account("alice", "a long secret")
//!     .enable_registration()
//!     .start().wait()
//! # }
//! ```
//!
//! Whatever a handle or a server is asked, [`Wait::wait`] blocks for, in any thread; no async runtime is needed, and none
//! is there:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use strowger_mio::{Route, RouteCall, SimpleB2bua, Wait};
//!
//! let server = SimpleB2bua::new("Lobby", 0)
//!     .account("alice", "a long secret")
//!     .enable_registration()
//!     // Runs in a thread of its own pool, and may block there.
//!     .on_route(async |call: RouteCall| if call.caller.is_none() { Route::reject(403) } else { Route::default() })
//!     .bind().wait()?;
//! assert!(server.handle().lookup("alice@localhost").wait()?.is_empty());
//! server.handle().shutdown()?;
//! server.stopped().wait()?;
//! # Ok(())
//! # }
//! ```
//!
//! # How it runs
//!
//! One thread has everything: the engine, the UDP sockets, the listeners, every connection, and the questions to name
//! servers. Around and around it goes:
//!
//! 1. The driver of `strowger-shell` does rounds: commands out, a batch of datagrams from each socket that has some, what
//!    connections have brought, what is due. Sixteen at most, then the others get their turn.
//! 2. What the engine ordered meanwhile is begun: connections to be opened, name servers to be asked.
//! 3. Connections that were woken go on: by their socket, by an order of the engine, by room in its inbox, by their deadline.
//!    Each is the same state machine as under the other runtimes, polled with its socket.
//! 4. Listeners that have somebody are accepted from, unless there are as many connections as there may be.
//! 5. With nothing left to do, `epoll` waits until the next deadline. There is no timer but its timeout.
//!
//! Sockets are watched edge-triggered: whoever is told that there is something takes until there is nothing.
//!
//! Four things have threads of their own, because they block: the store, the fetching of keys, questions about tokens, and
//! what the program is asked ([`on_route`](shell::builder::SimpleB2bua::on_route) and
//! [`credentials`](shell::builder::SimpleB2bua::credentials)). The last run in a small pool, [`WORKERS`] at once, one
//! question per thread to its end: such a closure may block, and one that takes longer than
//! [`RoutingOptions::patience`](shell::options::RoutingOptions::patience) is not waited for.
#![forbid(unsafe_code)]

mod bell;
mod drive;
mod pool;
mod wire;

use std::net::UdpSocket;

use mio::{Poll, Registry, Token};
use strowger_shell::asking::Work;
use strowger_shell::dns::Exchange;
use strowger_shell::driver::Errands;
use strowger_shell::server::{Prepared, Runtime, Start};
use strowger_shell::stream::Opening;

use crate::bell::Bells;
use crate::drive::{Loop, WAKER};
use crate::pool::Pool;
use crate::wire::Watched;

pub use crate::pool::WORKERS;
pub use strowger_shell::prelude::*;
pub use strowger_shell::promise::Wait;

/// The runtime.
#[derive(Debug)]
pub enum Mio {}

/// A SIP server on mio.
pub type SimpleB2bua = strowger_shell::builder::SimpleB2bua<Mio>;

/// A SIP user agent on mio.
pub type SimplePeer = strowger_shell::peer::SimplePeer<Mio>;

/// A running server on mio.
pub type Server = strowger_shell::server::Server<Mio>;

impl Runtime for Mio {
    fn start(start: Start) -> Result<Server, StartError> {
        let Prepared { server, launch, listeners, streams } = start.prepare()?;
        let poll = Poll::new().map_err(StartError::Thread)?;
        let bells = Bells::new(mio::Waker::new(poll.registry(), WAKER).map_err(StartError::Thread)?);
        let registry = poll.registry().try_clone().map_err(StartError::Thread)?;
        let listeners = listeners
            .into_iter()
            .map(|bound| bound.watch(|socket| Ok(mio::net::TcpListener::from_std(socket))))
            .collect::<Result<Vec<_>, _>>()?;
        let pool = Pool::new();
        let errands =
            move || Ok(Outside { registry, watched: 0, openings: Vec::new(), exchanges: Vec::new(), pool });
        launch.spawn(errands, move |driver| Loop::new(poll, bells, listeners, streams).run(driver))?;
        Ok(server)
    }
}

/// What the loop does between its rounds.
struct Outside {
    registry: Registry,
    watched: usize,
    openings: Vec<Opening>,
    exchanges: Vec<Exchange>,
    pool: Pool,
}

impl Errands for Outside {
    type Socket = Watched;

    fn watch(&mut self, socket: UdpSocket) -> std::io::Result<Watched> {
        let token = Token(self.watched);
        self.watched += 1;
        Watched::new(socket, self.registry.try_clone()?, token)
    }

    fn open(&mut self, opening: Opening) {
        self.openings.push(opening);
    }

    fn exchange(&mut self, exchange: Exchange) {
        self.exchanges.push(exchange);
    }

    fn run(&mut self, work: Work) {
        self.pool.run(work);
    }
}
