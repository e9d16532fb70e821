//! What can go wrong when a server starts or ends.

use std::io;
use std::net::SocketAddr;

use strowger_core::config::ConfigError;
use strowger_core::door::Transport;
use thiserror::Error;

use crate::store::StoreError;

/// Why a server could not start, or ended by itself.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration has faults: all of them.
    #[error("the configuration has faults: {}", list(.0))]
    Config(Vec<ConfigError>),
    /// A listener's address cannot be had.
    #[error("cannot listen on {transport:?} {addr}: {source}")]
    Bind {
        /// What it speaks.
        transport: Transport,
        /// The address as configured.
        addr: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// What an earlier life has left cannot be read. It was left as it is.
    #[error("the stored state cannot be used: {0}")]
    Store(StoreError),
    /// A listener of TLS or WSS, and no certificate.
    #[error("a {0:?} listener needs a certificate: set Options::stream.tls")]
    Certificate(Transport),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// It was started outside a tokio runtime with I/O and time.
    #[error("start the server inside a tokio runtime with I/O and time enabled")]
    NoRuntime,
    /// The engine's thread ended without being asked to.
    #[error("the engine's thread ended without being asked to")]
    Ended,
}

fn list(faults: &[ConfigError]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
