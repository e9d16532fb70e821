//! Strowger on tokio: the engine with sockets and a clock.
#![forbid(unsafe_code)]
