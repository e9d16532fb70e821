//! Instant messages.

/// Pager messages: RFC 3428.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessagesConfig {
    /// Keep what nobody is there to take, and deliver it to the next phone that registers. Without it such a message is
    /// refused.
    pub store: bool,
    /// How long a message is kept that does not say by Expires, in seconds.
    pub default_expires: u32,
    /// How long one is kept at most, in seconds.
    pub max_expires: u32,
}

impl Default for MessagesConfig {
    /// Kept for a week, and for a month at most.
    fn default() -> MessagesConfig {
        MessagesConfig { store: true, default_expires: 7 * 86_400, max_expires: 30 * 86_400 }
    }
}
