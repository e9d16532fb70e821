//! Bytes to views and back; no state. One scan finds the lines of a message; typed views read a value when it is asked
//! for and borrow from the message; writers append to an arena and cannot emit CR or LF from a value.

mod error;
mod header;
mod method;
pub mod split;
mod status;

pub use error::{Fault, ParseError};
pub use header::Header;
pub use method::Method;
pub use status::Status;
