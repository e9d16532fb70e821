//! Event documents: bytes in, values, bytes out. No state, no clock, no `Ctx`; every room that notifies prints with these.
//!
//! - [`xml`]: the one safe XML reader and the writer that cannot emit ill-formed XML (quick-xml stays inside).
//! - [`pidf`]: presence documents (RFC 3863) with the data model (RFC 4479) and RPID (RFC 4480).
//!
//! Readers tolerate what peers get wrong without harm and refuse what would be ambiguous or costly; what they do not
//! know survives as canonical fragments. Printing is deterministic: equal values give equal bytes.

#[cfg(test)]
pub(crate) mod fixture;
pub mod pidf;
pub mod xml;

pub use xml::{Bounds, DocumentError, Fault, Versioned};
