//! What waits in mailboxes.

/// Messages waiting: the package `message-summary` (RFC 3842).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageSummaryConfig {
    /// `Message-Account` where whoever says what waits does not name one: what the user calls to hear his messages. A
    /// URI, in which `{user}` and `{domain}` stand for those of the mailbox; empty is the mailbox itself.
    pub account: String,
    /// Who may subscribe to a mailbox beside its owner.
    pub rules: Vec<MailboxRule>,
    /// Addresses of record that may PUBLISH for every mailbox: those of the messaging servers. Owners may for their own,
    /// trusted peers for all.
    pub publishers: Vec<Box<str>>,
    /// Take what a messaging server says by NOTIFY outside a subscription, from those who may PUBLISH. It holds until
    /// something else is said.
    pub accept_notify: bool,
    /// Granted to a PUBLISH when nothing is asked, in seconds.
    pub publish_default_expires: u32,
    /// Shortest granted, in seconds: less gets 423.
    pub publish_min_expires: u32,
    /// Longest granted, in seconds.
    pub publish_max_expires: u32,
}

impl Default for MessageSummaryConfig {
    /// Owners subscribe and nobody else, the mailbox is its own account, an hour is granted and a day at most.
    fn default() -> MessageSummaryConfig {
        MessageSummaryConfig {
            account: String::new(),
            rules: Vec::new(),
            publishers: Vec::new(),
            accept_notify: false,
            publish_default_expires: 3600,
            publish_min_expires: 60,
            publish_max_expires: 86_400,
        }
    }
}

impl MessageSummaryConfig {
    /// The account of a mailbox, a URI.
    pub fn account_of(&self, aor: &str) -> String {
        if self.account.is_empty() {
            return format!("sip:{aor}");
        }
        let (user, domain) = aor.rsplit_once('@').unwrap_or((aor, ""));
        self.account.replace("{user}", user).replace("{domain}", domain)
    }
}

/// Who may subscribe to which mailboxes. A pattern is an AoR (`bob@example.com`), all of a domain (`*@example.com`), or
/// everybody (`*`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MailboxRule {
    /// Whose mailbox.
    pub mailbox: Box<str>,
    /// Who may subscribe.
    pub watcher: Box<str>,
}
