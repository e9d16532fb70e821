//! Bytes to views and back; no state. One scan finds the lines of a message; typed views read a value when it is asked
//! for and borrow from the message; writers append to an arena and cannot emit CR or LF from a value.

mod arena;
mod build;
mod contact;
mod credentials;
mod cseq;
mod date;
mod error;
mod event;
pub mod framer;
mod grammar;
mod header;
mod host;
mod layout;
mod message;
mod method;
mod name_addr;
mod params;
mod parse;
mod scan;
pub mod sdp;
pub mod split;
mod status;
pub mod stun;
mod typed;
mod uri;
mod via;

pub use arena::Arena;
pub use build::{PreparedLine, RequestWriter, ResponseWriter, StatusLine, Value, Writer};
pub use contact::{ContactValue, ExpiresParam, qvalue};
pub use credentials::{
    AuthValue, BearerChallenge, Challenge, Credentials, DigestChallenge, DigestCredentials,
};
pub use cseq::Cseq;
pub use date::Date;
pub use error::{Fault, ParseError};
pub use event::{Event, SubState, SubscriptionState};
pub use header::Header;
pub use host::Host;
pub use layout::{Bounds, Layout};
pub use message::{Held, Kind, Line, Message, Values};
pub use method::Method;
pub use name_addr::NameAddr;
pub use params::{Param, Params, ParamsIter};
pub use parse::{Reject, parse};
pub use status::Status;
pub use typed::Essentials;
pub use uri::{Uri, UriScheme};
pub use via::{Rport, Via};
