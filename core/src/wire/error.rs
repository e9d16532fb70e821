//! What can be wrong with a message. The answer to each fault is decided in one place, `status.rs`.

use thiserror::Error;

/// A fault of the peer: which part of the message, and what is wrong with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{what}: {fault}")]
pub struct ParseError {
    /// The part: a header's canonical name, `Request-Line`, `Status-Line`, `Request-URI`, `body`, `message`.
    pub what: &'static str,
    /// What is wrong.
    pub fault: Fault,
}

impl ParseError {
    /// A fault in a part.
    pub const fn new(what: &'static str, fault: Fault) -> ParseError {
        ParseError { what, fault }
    }
}

/// What is wrong with a part of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Fault {
    /// A mandatory header is absent (RFC 3261 s8.1.1).
    #[error("missing")]
    Missing,
    /// A header that may stand once stands twice.
    #[error("repeated")]
    Repeated,
    /// It does not follow its grammar.
    #[error("malformed")]
    Malformed,
    /// A number is out of its range.
    #[error("out of range")]
    Range,
    /// CSeq names another method than the start line (RFC 3261 s8.2).
    #[error("does not match")]
    Mismatch,
    /// More of it than `Limits` allows.
    #[error("too many")]
    TooMany,
    /// Longer than `Limits` allows, or than the datagram.
    #[error("too long")]
    TooLong,
    /// The body is shorter than Content-Length says (RFC 3261 s18.3).
    #[error("truncated")]
    Truncated,
    /// Not SIP/2.0.
    #[error("unsupported version")]
    Version,
    /// A URI scheme that is not known here.
    #[error("unsupported scheme")]
    Scheme,
    /// Not a SIP message at all.
    #[error("not SIP")]
    NotSip,
}
