//! Byte helpers without allocation: classes of characters, hexadecimal, base64url, decimal numbers, user parts.

use smallvec::SmallVec;

/// A canonical AoR under construction: `user@domain` in ASCII.
pub type AorBuf = SmallVec<[u8; 96]>;
