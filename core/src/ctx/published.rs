//! What the 200 to a PUBLISH says (RFC 3903 s6), whichever room keeps what was published.

use crate::base::ids::IdText;

/// What the 200 says.
pub(crate) struct Published {
    /// The new entity tag.
    pub(crate) etag: IdText,
    /// Seconds granted.
    pub(crate) expires: u32,
    /// True if what is told may have changed.
    pub(crate) changed: bool,
}
