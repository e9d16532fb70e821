//! Hashes: the digests of SIP authentication, HMAC-SHA-256, nothing else.

/// Digest algorithms of RFC 7616 and RFC 8760, without the `-sess` suffix, weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DigestAlgorithm {
    /// MD5.
    Md5,
    /// SHA-256.
    Sha256,
    /// SHA-512-256.
    Sha512_256,
}

impl DigestAlgorithm {
    /// All of them, strongest first: the order of challenges.
    pub const STRONGEST_FIRST: [DigestAlgorithm; 3] =
        [DigestAlgorithm::Sha512_256, DigestAlgorithm::Sha256, DigestAlgorithm::Md5];

    /// The token of RFC 8760: `MD5`, `SHA-256`, `SHA-512-256`.
    pub const fn token(self) -> &'static str {
        match self {
            DigestAlgorithm::Md5 => "MD5",
            DigestAlgorithm::Sha256 => "SHA-256",
            DigestAlgorithm::Sha512_256 => "SHA-512-256",
        }
    }

    /// Length of a hash in bytes: 16 or 32.
    pub const fn len(self) -> usize {
        match self {
            DigestAlgorithm::Md5 => 16,
            _ => 32,
        }
    }
}

