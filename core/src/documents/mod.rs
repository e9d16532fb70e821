//! Event documents: bytes in, values, bytes out. No state, no clock, no `Ctx`; every room that notifies prints with these.
//!
//! - [`xml`]: the one safe XML reader and the writer that cannot emit ill-formed XML (quick-xml stays inside).
//! - [`pidf`]: presence documents (RFC 3863) with the data model (RFC 4479) and RPID (RFC 4480).
//! - [`compose`]: many sources, one presence document.
//! - [`diff`]: what changed between two presence documents (RFC 5262), and the patcher.
//! - [`winfo`], [`reginfo`], [`dialog_info`]: who watches (RFC 3858), what is registered (RFC 3680), who is in which call
//!   (RFC 4235).
//! - `json` (feature `jwt`): JSON objects that say nothing twice.
//! - [`mwi`]: messages waiting (RFC 3842). [`rlmi`]: the states of a list in one body (RFC 4662).
//!
//! Readers tolerate what peers get wrong without harm and refuse what would be ambiguous or costly; what they do not
//! know survives as canonical fragments. Printing is deterministic: equal values give equal bytes.

pub mod compose;
pub mod dialog_info;
pub mod diff;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(feature = "jwt")]
pub mod json;
pub mod mwi;
pub mod pidf;
pub mod reginfo;
pub mod rlmi;
mod sequence;
pub mod winfo;
pub mod xml;

pub use sequence::{Extent, Sequence, Taken};
pub use xml::{Bounds, DocumentError, Fault, Versioned};
