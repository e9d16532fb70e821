//! Subscriptions, publications, and who may watch whom.

use core::time::Duration;

/// The notifier (RFC 6665), for all event packages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventsConfig {
    /// Granted when nothing is asked, in seconds.
    pub default_expires: u32,
    /// Shortest granted, in seconds: less gets 423 (RFC 6665 s4.2.1.1, only when below one hour).
    pub min_expires: u32,
    /// Longest granted, in seconds.
    pub max_expires: u32,
    /// Keep a subscription whose NOTIFY was not answered, until it expires. RFC 6665 s4.2.2 says that it SHOULD be
    /// removed; then one lost packet costs a phone its lamps until it subscribes anew.
    pub keep_silent: bool,
    /// Shortest interval at which a subscriber may have the same state told again (RFC 6446 `min-rate`): who asks for
    /// more is granted this.
    pub repeat_interval: Duration,
}

impl Default for EventsConfig {
    fn default() -> EventsConfig {
        EventsConfig {
            default_expires: 3600,
            min_expires: 60,
            max_expires: 7200,
            keep_silent: false,
            repeat_interval: Duration::from_secs(10),
        }
    }
}

/// Presence: RFC 3856 and RFC 3903.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PresenceConfig {
    /// Granted to a PUBLISH when nothing is asked, in seconds.
    pub publish_default_expires: u32,
    /// Shortest granted, in seconds: less gets 423.
    pub publish_min_expires: u32,
    /// Longest granted, in seconds.
    pub publish_max_expires: u32,
    /// Largest document accepted, in bytes; a larger one gets 413.
    pub max_document_bytes: usize,
    /// The first change of a presentity is told at once; what follows within this time is told at its end, in one
    /// (RFC 3856 s6.10). Zero tells each change.
    pub pacing: Duration,
    /// How long a phone whose connection broke still counts as there, and how long what it published outlives its last
    /// binding (DECISIONS 11 and 29). A phone that is back in time was never away.
    pub offline_grace: Duration,
    /// Publications of phones live until their own end, whatever becomes of the bindings of their phones.
    pub publications_outlive_bindings: bool,
    /// Who may watch, where no rule says otherwise.
    pub watchers: WatchPolicy,
    /// Rules for presentities and watchers; the first that fits decides.
    pub rules: Vec<WatchRule>,
}

impl Default for PresenceConfig {
    /// Everybody may watch within his domain, changes are told every five seconds at most.
    fn default() -> PresenceConfig {
        PresenceConfig {
            publish_default_expires: 3600,
            publish_min_expires: 60,
            publish_max_expires: 7200,
            max_document_bytes: 16 << 10,
            pacing: Duration::from_secs(5),
            offline_grace: Duration::from_secs(30),
            publications_outlive_bindings: false,
            watchers: WatchPolicy::SameDomain,
            rules: Vec::new(),
        }
    }
}

/// Who may watch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatchPolicy {
    /// Everybody who is let in by the policy of SUBSCRIBE.
    Everyone,
    /// Those of the presentity's domain.
    SameDomain,
    /// The presentity alone.
    Nobody,
}

/// What a rule does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatchAction {
    /// The watcher sees the presence.
    Allow,
    /// The watcher is shown a presentity about which nothing is known, and cannot tell.
    Block,
    /// The subscription is pending until the presentity decides.
    Confirm,
}

/// One rule. A pattern is an AoR (`bob@example.com`), all of a domain (`*@example.com`), or everybody (`*`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchRule {
    /// Who is watched.
    pub presentity: Box<str>,
    /// Who watches.
    pub watcher: Box<str>,
    /// What happens.
    pub action: WatchAction,
}

/// Does a canonical AoR fit a pattern of a rule? A pattern is an AoR, `*@domain`, or `*`.
pub(crate) fn fits(pattern: &str, aor: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(domain) => aor.ends_with(domain),
        None => pattern == aor,
    }
}
