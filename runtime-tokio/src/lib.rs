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
//! The engine and the UDP sockets share one thread: datagrams are received in batches and answered without passing a
//! channel, a task or a lock. Stream connections are tasks on the runtime of the program; each reads only when the
//! engine has room for what it brings. There is one timer in the whole server, however many phones are registered.
//!
//! [`SimpleB2bua`] is the builder, [`Server`] what runs, [`Handle`] talks to it from anywhere, [`PresenceHandle`] about
//! presence and [`CallsHandle`] about calls.
#![forbid(unsafe_code)]

mod accept;
mod b2bua;
mod bind;
mod engine_loop;
mod error;
mod hooks;
mod inbox;
mod resolver;
mod routing;
mod server;
mod storage;
mod stream;
mod udp;
mod watched;

pub use b2bua::{SimpleB2bua, machine_domain};
pub use bind::{Granted, everywhere};
pub use error::StartError;
pub use hooks::{Credentials, Hooks, Lookup, Notice, OnEvent, OnNotice, OnRoute, Routed};
pub use server::Server;
pub use strowger_core as core;
pub use strowger_shell as shell;
pub use strowger_shell::calls::{CallError, CallsHandle};
pub use strowger_shell::handle::{Handle, HandleError, NotifyError, Snapshot};
pub use strowger_shell::news::{Changes, PresenceNews};
pub use strowger_shell::options::Options;
pub use strowger_shell::presence::{PresenceError, PresenceHandle};
pub use strowger_shell::route::{Route, RouteCall};
