//! **strowger-core**: a SIP engine without I/O. It turns datagrams and timer ticks into commands.
//!
//! The engine is a pure function of (settings, seed, sequence of inputs). It never reads a clock, draws randomness,
//! opens a socket or file, spawns, locks, awaits or logs. A host (one of the shells, a simulator, a fuzzer, your own
//! loop) gives it bytes and time and does what it says:
//!
//! ```
//! use strowger_core::base::Time;
//! use strowger_core::config::{AccountConfig, Config, RegistrarConfig};
//! use strowger_core::door::{Command, FlowId, Input, Secret, Transport};
//! use strowger_core::Engine;
//!
//! let mut config = Config::new("example.com");
//! config.registrar = Some(RegistrarConfig::default());
//! config.accounts.push(AccountConfig {
//!     username: "bob".into(),
//!     password: Some(Secret("zanzibar".into())),
//!     ..AccountConfig::default()
//! });
//! let settings = config.validate().expect("the configuration above is complete");
//!
//! let now = Time::from_secs(1_700_000_000); // from a clock of the host
//! let mut engine = Engine::new(settings, [7; 32], now); // the seed: fresh at every start
//!
//! // A UDP socket was bound.
//! let (local, remote) = ("192.0.2.1:5060".parse().unwrap(), "192.0.2.9:5060".parse().unwrap());
//! let flow = FlowId(2);
//! engine.handle(now, Input::FlowUp { flow, listener: 0, transport: Transport::Udp, local, remote: None, peer: None });
//!
//! // A datagram came in.
//! let data = b"OPTIONS sip:example.com SIP/2.0\r\n\
//!     Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1;rport\r\n\
//!     From: <sip:probe@example.com>;tag=1\r\nTo: <sip:example.com>\r\n\
//!     Call-ID: 1@192.0.2.9\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
//! engine.handle(now, Input::Message { flow, remote, local, data });
//!
//! // Do what it says, then sleep until `poll_timeout` or the next datagram.
//! while let Some(command) = engine.poll_command() {
//!     if let Command::Transmit(transmit) = command {
//!         assert_eq!(transmit.remote, remote);
//!         assert!(transmit.payload.starts_with(b"SIP/2.0 200 OK\r\n"));
//!     }
//! }
//! assert_eq!(engine.poll_timeout(), None); // an OPTIONS ping leaves nothing behind
//! ```
//!
//! # The rooms, from the ground up
//!
//! - [`base`]: no SIP: time, ids, generational slab, keyed hash table, timer wheel, hashes, text.
//! - [`wire`]: bytes to views and back, without state: one scan, lazy typed views, writers, stream framing.
//! - [`documents`]: event documents without state: presence and its kin, the safe XML reader and writer.
//! - [`config`]: [`Config`](config::Config) as a host writes it, [`Settings`](config::Settings) as the engine reads it.
//! - [`door`]: plain data that enters and leaves: inputs, commands, queries, answers, events.
//! - [`stats`]: counters and sizes.
//! - `ctx`: what each room is handed for one pass; every reason to wake.
//! - `txn`: transactions (RFC 3261 s17, RFC 6026), response routing (s18.2, RFC 3581).
//! - `dialog`: a dialog with a peer (RFC 3261 s12). `events`: subscriptions and their NOTIFY requests (RFC 6665).
//! - `auth`: one pure decision: Digest (RFC 7616, RFC 8760) and Bearer (RFC 8898).
//! - `registrar`: REGISTER (RFC 3261 s10), Path, outbound, GRUU, the location store, the next hop to a phone.
//! - `agent`: the client side: user agents of the host, trunks, subscriptions and publications of ours at other servers.
//! - `presence`: PUBLISH (RFC 3903), who may watch, what a presentity is all in all (RFC 3856).
//! - `router`: where a call goes: accounts and their forwarding, routes, trunks, permissions.
//! - `mailboxes`: what waits in mailboxes (RFC 3842). `lines`: who is in which call (RFC 4235).
//! - `messages`: pager messages, to all phones of somebody or kept for the next one (RFC 3428).
//! - [`Engine`]: the doors, and the three files where the rooms meet.
//!
//! # Features
//!
//! - `jwt` (default): Bearer tokens. Off, the crate has no C code in its tree and checks for wasm32.
//! - `fuzzing`: entry points for the fuzz targets.

#![forbid(unsafe_code)]

mod agent;
pub mod base;
pub mod config;
pub mod documents;
pub mod door;
pub mod stats;
pub mod wire;

mod ctx;

mod auth;
mod bridge;
mod dialog;
mod events;
mod lines;
mod mailboxes;
mod messages;
mod presence;
mod proof;
mod registrar;
mod router;
mod txn;

mod engine;

#[cfg(test)]
mod written;

#[cfg(feature = "fuzzing")]
pub mod fuzzing;

pub use engine::Engine;
