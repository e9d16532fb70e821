//! Strowger on smol: the engine with sockets and a clock, on `async-io` and `async-executor`.
//!
//! A server to which phones register:
//!
//! ```
//! # async fn lobby() -> Result<(), strowger_smol::StartError> {
//! # use strowger_smol::SimpleB2bua;
//! SimpleB2bua::new("Lobby", 5060)
//!     .account("alice", "a long secret")
//!     .enable_registration()
//!     .start().await
//! # }
//! ```
//!
//! What a program awaits of a server or a handle it may await anywhere, under `smol::block_on` or any other executor:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # strowger_smol::block_on(async {
//! use strowger_smol::{Route, RouteCall, SimpleB2bua};
//!
//! let server = SimpleB2bua::new("Lobby", 0)
//!     .account("alice", "a long secret")
//!     .enable_registration()
//!     .on_route(async |call: RouteCall| if call.caller.is_none() { Route::reject(403) } else { Route::default() })
//!     .bind().await?;
//! assert!(server.handle().lookup("alice@localhost").await?.is_empty());
//! server.handle().shutdown()?;
//! server.stopped().await?;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! # How it runs
//!
//! A server brings its own two threads, for smol has no runtime that a program must be inside of.
//!
//! The **thread of the engine** has the engine and the UDP sockets. It does rounds as long as there is something to do:
//! commands out, a batch of datagrams from each socket that has some, what connections have brought, what is due; datagrams
//! are answered without passing a queue, a task or a lock. With nothing left to do it waits under `async_io::block_on`,
//! so that it turns the reactor itself: for its sockets, for the inbox, and for one timer, however many phones are
//! registered. A socket is watched for room to send only while something waits for it.
//!
//! The **thread of everything else** runs an executor: a task for each connection, which is the same state machine as under
//! the other runtimes, polled with its socket; a task for each listener, one for each question to a name server, and what
//! the program is asked ([`on_route`](shell::builder::SimpleB2bua::on_route) and
//! [`credentials`](shell::builder::SimpleB2bua::credentials)). Such closures are async: they may use `async-io`, and should
//! not block. A connection reads only when the engine has room for what it brings.
#![forbid(unsafe_code)]

mod drive;
mod io;
mod wire;

use std::net::UdpSocket;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_executor::Executor;
use async_io::{Async, Timer};
use strowger_shell::asking::Work;
use strowger_shell::dns::Exchange;
use strowger_shell::driver::Errands;
use strowger_shell::inbox::Inbound;
use strowger_shell::server::{Prepared, Runtime, Start};
use strowger_shell::stream::{Opening, Streams};

use crate::wire::Watched;

pub use async_io::block_on;
pub use strowger_shell::prelude::*;

/// How long connections may take to write what the engine said last.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The runtime.
#[derive(Debug)]
pub enum Smol {}

/// A SIP server on smol.
pub type SimpleB2bua = strowger_shell::builder::SimpleB2bua<Smol>;

/// A SIP user agent on smol.
pub type SimplePeer = strowger_shell::peer::SimplePeer<Smol>;

/// A running server on smol.
pub type Server = strowger_shell::server::Server<Smol>;

impl Runtime for Smol {
    fn start(start: Start) -> Result<Server, StartError> {
        let Prepared { server, launch, listeners, streams } = start.prepare()?;
        let executor = Arc::new(Executor::new());
        for bound in listeners {
            let accepting =
                io::accept(executor.clone(), bound.watch(Async::new_nonblocking)?, streams.clone());
            executor.spawn(accepting).detach();
        }
        let closed = streams.inbox.closed();
        let own = executor.clone();
        let others = move || {
            // Everything ends when the engine is gone; what does not is dropped with the executor.
            block_on(own.run(async {
                closed.await;
                Timer::after(LAST_WORDS).await;
            }));
        };
        let errands = move || Ok(Outside { executor, streams });
        launch.spawn(errands, |driver| block_on(drive::drive(driver)))?;
        thread::Builder::new().name("strowger-smol".into()).spawn(others).map_err(StartError::Thread)?;
        Ok(server)
    }
}

/// What the loop has done by the executor.
struct Outside {
    executor: Arc<Executor<'static>>,
    streams: Streams,
}

impl Errands for Outside {
    type Socket = Watched;

    fn watch(&mut self, socket: UdpSocket) -> std::io::Result<Watched> {
        Watched::new(socket)
    }

    fn open(&mut self, opening: Opening) {
        self.executor.spawn(io::open(opening, self.streams.clone())).detach();
    }

    fn exchange(&mut self, exchange: Exchange) {
        let inbox = self.streams.inbox.clone();
        let asking = async move {
            let (number, answer) = io::exchange(exchange).await;
            let _ = inbox.send(Inbound::Exchanged(number, answer)).await;
        };
        self.executor.spawn(asking).detach();
    }

    fn run(&mut self, work: Work) {
        self.executor.spawn(work).detach();
    }
}
