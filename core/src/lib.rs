//! Strowger: a SIP engine without I/O.
#![forbid(unsafe_code)]

pub mod base;
pub mod wire;
