//! **strowger-sim**: a world around one engine, in which everything is decided by a seed.
//!
//! A [`World`] has virtual time, a [`network`] that delays, loses, doubles, reorders, rebinds and breaks, [`phone`]s
//! scripted apart from the engine (their own messages, digests and timers), and stand-ins for the store, the foreign
//! credentials and the issuer of tokens, each with faults to inject. While it runs, invariants are checked after each
//! step and an [`audit`] reads everything the engine sends against rules that cite an RFC; when it ends, every table
//! of the engine must be empty. What happened is a [`tape`]: its hash is the same for the same seed, and a
//! [`ladder`] draws it as text.

#![forbid(unsafe_code)]

pub mod audit;
pub mod digest;
#[cfg(feature = "jwt")]
pub mod issuer;
pub mod ladder;
pub mod message;
pub mod network;
pub mod phone;
pub mod replay;
pub mod rng;
pub mod store;
pub mod tape;
pub mod world;

pub use ladder::Ladder;
pub use strowger_core::base::Time;
pub use world::{PhoneId, Relay, World};
