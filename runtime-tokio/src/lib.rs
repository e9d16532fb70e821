//! Strowger on tokio: the engine with sockets and a clock.
//!
//! A server to which phones register:
//!
//! ```
//! # async fn lobby() -> Result<(), strowger_tokio::StartError> {
//! # use strowger_tokio::SimpleB2bua;
//! SimpleB2bua::new("Lobby", 5060)
//!     .account("alice", "a long secret")
//!     .enable_registration()
//!     .start().await
//! # }
//! ```
//!
//! # How it runs
//!
//! The **thread of the engine** has the engine and the UDP sockets, under a runtime of its own that serves nothing else. It
//! does rounds as long as there is something to do: commands out, a batch of datagrams from each socket that has some, what
//! connections have brought, what is due. Datagrams are answered without passing a channel, a task or a lock. After
//! sixteen rounds the reactor gets a look at the other sockets; with nothing left to do the thread waits for its sockets, for
//! the inbox, and for one timer, however many phones are registered. A socket is watched for room to send only while
//! something waits for it.
//!
//! On the **runtime of the program**, inside which a server must be started, is everything else: a task for each connection,
//! which is the same state machine as under the other runtimes, polled with its socket; a task for each listener, one for each
//! question to a name server, and what the program is asked ([`on_route`](shell::builder::SimpleB2bua::on_route) and
//! [`credentials`](shell::builder::SimpleB2bua::credentials)). A connection reads only when the engine has room for what it
//! brings.
//!
//! What there is to wait for is all that this crate adds to `strowger-shell`: the loop and the builder are those of every
//! runtime.
//!
//! [`SimpleB2bua`] is the builder, [`Server`] what runs, [`Handle`] talks to it from anywhere, [`PresenceHandle`] about
//! presence and [`CallsHandle`] about calls. [`SimplePeer`] is the client side.
#![forbid(unsafe_code)]

mod drive;
mod io;
mod watched;

use std::net::UdpSocket;

use strowger_shell::asking::Work;
use strowger_shell::dns::Exchange;
use strowger_shell::driver::Errands;
use strowger_shell::inbox::Inbound;
use strowger_shell::server::{Prepared, Runtime, Start};
use strowger_shell::stream::{Opening, Streams};

use crate::watched::Watched;

pub use strowger_shell::prelude::*;

/// The runtime.
#[derive(Debug)]
pub enum Tokio {}

/// A SIP server on tokio.
pub type SimpleB2bua = strowger_shell::builder::SimpleB2bua<Tokio>;

/// A SIP user agent on tokio.
pub type SimplePeer = strowger_shell::peer::SimplePeer<Tokio>;

/// A running server on tokio.
pub type Server = strowger_shell::server::Server<Tokio>;

impl Runtime for Tokio {
    /// Call inside a tokio runtime with I/O and time: connections, and what the program is asked, live there.
    fn start(start: Start) -> Result<Server, StartError> {
        let ambient = tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let Prepared { server, launch, listeners, streams } = start.prepare()?;
        for bound in listeners {
            tokio::spawn(io::accept(bound.watch(tokio::net::TcpListener::from_std)?, streams.clone()));
        }
        let own = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let own = own.map_err(StartError::Thread)?;
        let errands = Outside { ambient, own: own.handle().clone(), streams };
        launch.spawn(move || Ok(errands), move |driver| own.block_on(drive::drive(driver)))?;
        Ok(server)
    }
}

/// What the loop has done on the runtime of the program.
struct Outside {
    ambient: tokio::runtime::Handle,
    /// That of the engine's thread, which serves nothing else.
    own: tokio::runtime::Handle,
    streams: Streams,
}

impl Errands for Outside {
    type Socket = Watched;

    fn watch(&mut self, socket: UdpSocket) -> std::io::Result<Watched> {
        let _entered = self.own.enter();
        Watched::new(socket)
    }

    fn open(&mut self, opening: Opening) {
        self.ambient.spawn(io::open(opening, self.streams.clone()));
    }

    fn exchange(&mut self, exchange: Exchange) {
        let inbox = self.streams.inbox.clone();
        self.ambient.spawn(async move {
            let (number, answer) = io::exchange(exchange).await;
            let _ = inbox.send(Inbound::Exchanged(number, answer)).await;
        });
    }

    fn run(&mut self, work: Work) {
        self.ambient.spawn(work);
    }
}
