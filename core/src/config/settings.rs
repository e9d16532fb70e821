//! From [`Config`] to [`Settings`]: every fault of a configuration is found at once and named by its path.

use std::sync::Arc;

use thiserror::Error;

use super::{
    Account, AccountConfig, Accounts, AuthPolicy, CallsConfig, DigestAlgorithm, DigestConfig, DomainConfig,
    Domains, EventsConfig, HashedCredential, IpNet, JwtConfig, Limits, ListConfig, ListenerConfig, Lists,
    MessageSummaryConfig, MessagesConfig, Policies, PresenceConfig, RegistrarConfig, Tell, Template, Timers,
    WatchRule,
};
use super::{calls, lists};
use crate::door::{Identity, Scheme};
use crate::wire::{Header, Host, PreparedLine, Uri};

/// An engine as a host describes it. Start from `Config::new` and set what differs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Value of the Server header of responses and of the User-Agent header of requests; empty sends none.
    pub server_name: String,
    /// Domains we are responsible for; the first is the default one. At least one.
    pub domains: Vec<DomainConfig>,
    /// Listening sockets, in the order of `FlowUp.listener`.
    pub listeners: Vec<ListenerConfig>,
    /// Networks whose peers see our real addresses; everybody else sees the advertised one (DECISIONS 13).
    pub local_nets: Vec<IpNet>,
    /// Peers that need no credentials and whose P-Asserted-Identity is believed.
    pub trusted: Vec<IpNet>,
    /// Networks whose requests are answered at all; empty means all (DECISIONS 32).
    pub allowed_sources: Vec<IpNet>,
    /// Local accounts.
    pub accounts: Vec<AccountConfig>,
    /// Digest.
    pub digest: DigestConfig,
    /// Bearer tokens.
    pub jwt: Option<JwtConfig>,
    /// What each method asks.
    pub policies: Policies,
    /// The registrar; `None` answers REGISTER with 405.
    pub registrar: Option<RegistrarConfig>,
    /// Subscriptions, of whatever package.
    pub events: EventsConfig,
    /// Presence; `None` answers PUBLISH and SUBSCRIBE with 405.
    pub presence: Option<PresenceConfig>,
    /// Lists that one subscription covers.
    pub lists: Vec<ListConfig>,
    /// Instant messages; `None` answers 405 to MESSAGE.
    pub messages: Option<MessagesConfig>,
    /// Messages waiting; `None` answers 489 to SUBSCRIBE and PUBLISH of that package.
    pub message_summary: Option<MessageSummaryConfig>,
    /// Calls; `None` answers 405 to INVITE.
    pub calls: Option<CallsConfig>,
    /// Bounds.
    pub limits: Limits,
    /// T1, T2, T4.
    pub timers: Timers,
    /// Which events are told.
    pub tell: Tell,
}

const PUBLISH_EXPIRES: &str = "publish_min_expires <= publish_default_expires <= publish_max_expires is needed, and \
     publish_min_expires at most 3600 (RFC 3903 s6)";

impl Config {
    /// A configuration for one domain, with safe defaults: Digest asked for everything but OPTIONS, no accounts, no
    /// registrar, nobody trusted.
    pub fn new(domain: impl Into<String>) -> Config {
        Config {
            server_name: "Strowger".into(),
            domains: vec![DomainConfig { name: domain.into(), aliases: Vec::new() }],
            listeners: Vec::new(),
            local_nets: Vec::new(),
            trusted: Vec::new(),
            allowed_sources: Vec::new(),
            accounts: Vec::new(),
            digest: DigestConfig::default(),
            jwt: None,
            policies: Policies::default(),
            registrar: None,
            events: EventsConfig::default(),
            presence: None,
            lists: Vec::new(),
            messages: None,
            message_summary: None,
            calls: None,
            limits: Limits::default(),
            timers: Timers::default(),
            tell: Tell::default(),
        }
    }

    /// Checks everything and builds the settings, or returns every fault.
    pub fn validate(self) -> Result<Arc<Settings>, Vec<ConfigError>> {
        let mut faults = Faults(Vec::new());
        self.check(&mut faults);
        let domains = Domains::new(&self.domains);
        let realm = match (self.digest.realm.as_str(), domains.names().first()) {
            ("", Some(name)) => name.clone(),
            (realm, _) => realm.into(),
        };
        // A listener may offer an algorithm that no other does: every account gets a hash for it.
        let mut hashed = self.digest.algorithms.clone();
        hashed.extend(self.listeners.iter().flat_map(|l| l.algorithms.iter().flatten()));
        hashed.sort();
        hashed.dedup();
        let accounts = self
            .accounts
            .iter()
            .enumerate()
            .filter_map(|(i, a)| account(i, a, &hashed, &realm, &domains, &mut faults))
            .collect::<Vec<_>>();
        refuse_twins(&accounts, &mut faults);
        faults.unless(accounts.len() <= self.limits.accounts, || "accounts", "are more than limits.accounts");
        let mut presence = self.presence;
        if let Some(presence) = &mut presence {
            canonical_rules(&mut presence.rules, &domains, &mut faults);
        }
        let lists = lists::build(&self.lists, &self.accounts, &domains, &self.limits, &mut faults);
        let mut message_summary = self.message_summary;
        if let Some(config) = &mut message_summary {
            canonical_mailboxes(config, &domains, &mut faults);
        }
        let mut calls = self.calls;
        if let Some(calls) = &mut calls {
            calls::check(calls, self.listeners.len(), &domains, &mut faults);
        }
        if !faults.0.is_empty() {
            return Err(faults.0);
        }
        let mut digest = self.digest;
        digest.realm = realm.into();
        digest.algorithms.sort_by(|a, b| b.cmp(a));
        digest.algorithms.dedup();
        Ok(Arc::new(Settings {
            server_line: PreparedLine::new(Header::Server, self.server_name.as_bytes()),
            agent_line: PreparedLine::new(Header::UserAgent, self.server_name.as_bytes()),
            accounts: Accounts::new(accounts, &digest.realm),
            domains,
            listeners: self.listeners,
            local_nets: self.local_nets,
            trusted: self.trusted,
            allowed_sources: self.allowed_sources,
            digest,
            jwt: self.jwt,
            policies: self.policies,
            registrar: self.registrar,
            events: self.events,
            presence,
            lists,
            messages: self.messages,
            message_summary,
            calls,
            limits: self.limits,
            timers: self.timers,
            tell: self.tell,
        }))
    }

    fn check(&self, faults: &mut Faults) {
        let l = &self.limits;
        faults.unless(!self.domains.is_empty(), || "domains", "name at least one domain");
        for (i, d) in self.domains.iter().enumerate() {
            for name in std::iter::once(&d.name).chain(&d.aliases) {
                faults.unless(
                    Host::parse(name.as_bytes()).or_else(|_| Host::parse_bare(name.as_bytes())).is_ok(),
                    || format!("domains[{i}]"),
                    "must be a host name or an address",
                );
            }
        }
        faults.unless(is_clean(&self.server_name), || "server_name", "must be printable ASCII");
        faults.unless(
            is_quotable(&self.digest.realm),
            || "digest.realm",
            "must be printable, without quotes and backslashes",
        );
        faults.unless(
            !self.digest.enabled || !self.digest.algorithms.is_empty(),
            || "digest.algorithms",
            "name at least one algorithm",
        );
        faults.unless(
            !self.digest.nonce_lifetime.is_zero(),
            || "digest.nonce_lifetime",
            "must be above zero",
        );
        faults.unless(
            self.digest.next_nonce_percent <= 100,
            || "digest.next_nonce_percent",
            "must be 0 to 100",
        );
        faults.unless(
            (1_000..=65_535).contains(&l.message_bytes),
            || "limits.message_bytes",
            "must be 1,000 to 65,535",
        );
        faults.unless((16..=1_000).contains(&l.headers), || "limits.headers", "must be 16 to 1,000");
        faults.unless(
            l.transaction_bytes >= 64 << 10,
            || "limits.transaction_bytes",
            "must be at least 64 KiB",
        );
        faults.unless(l.timers_per_call > 0, || "limits.timers_per_call", "must be above zero");
        faults.unless(l.notifies_per_call > 0, || "limits.notifies_per_call", "must be above zero");
        faults.unless(l.contacts_per_request > 0, || "limits.contacts_per_request", "must be above zero");
        let t = &self.timers;
        faults.unless(
            !t.t1.is_zero() && t.t1 <= t.t2 && !t.t4.is_zero(),
            || "timers",
            "T1 and T4 must be above zero, and T1 at most T2",
        );
        let e = &self.events;
        faults.unless(
            e.min_expires <= e.default_expires && e.default_expires <= e.max_expires && e.min_expires <= 3600,
            || "events",
            "min_expires <= default_expires <= max_expires is needed, and min_expires at most 3600 (RFC 6665 s4.2.1.1)",
        );
        faults.unless(!e.repeat_interval.is_zero(), || "events.repeat_interval", "must be above zero");
        if let Some(p) = &self.presence {
            let [min, default, max] =
                [p.publish_min_expires, p.publish_default_expires, p.publish_max_expires];
            faults.unless(min <= default && default <= max && min <= 3600, || "presence", PUBLISH_EXPIRES);
            faults.unless(
                (1_000..=60_000).contains(&p.max_document_bytes),
                || "presence.max_document_bytes",
                "must be 1,000 to 60,000",
            );
        }
        faults.unless(
            self.lists.is_empty() || self.presence.is_some(),
            || "lists",
            "presence is switched off, and lists tell nothing else",
        );
        faults.unless(
            (1_000..=40_000).contains(&l.list_notify_bytes),
            || "limits.list_notify_bytes",
            "must be 1,000 to 40,000",
        );
        if let Some(m) = &self.messages {
            faults.unless(
                m.default_expires <= m.max_expires,
                || "messages",
                "default_expires must not exceed max_expires",
            );
        }
        if let Some(m) = &self.message_summary {
            let [min, default, max] =
                [m.publish_min_expires, m.publish_default_expires, m.publish_max_expires];
            faults.unless(
                min <= default && default <= max && min <= 3600,
                || "message_summary",
                PUBLISH_EXPIRES,
            );
            let example = m.account_of("user@example.com");
            faults.unless(
                Uri::parse(example.as_bytes()).is_ok() && example.bytes().all(|b| b.is_ascii_graphic()),
                || "message_summary.account",
                "must be a URI such as sip:{user}@voicemail.example.com",
            );
        }
        if let Some(r) = &self.registrar {
            faults.unless(
                r.min_expires <= r.default_expires && r.default_expires <= r.max_expires,
                || "registrar",
                "min_expires <= default_expires <= max_expires is needed",
            );
            faults.unless(
                r.min_expires <= 3600,
                || "registrar.min_expires",
                "must be at most 3600 (RFC 3261 s10.3 step 7)",
            );
            faults.unless(
                r.nat_max_expires >= r.min_expires,
                || "registrar.nat_max_expires",
                "must be at least min_expires",
            );
            faults.unless(r.max_contacts > 0, || "registrar.max_contacts", "must be above zero");
            faults.unless(
                r.expires_jitter_percent <= 50,
                || "registrar.expires_jitter_percent",
                "must be 0 to 50",
            );
            for (i, route) in r.service_route.iter().enumerate() {
                let inner = route.strip_prefix('<').and_then(|s| s.strip_suffix('>'));
                let good = inner.is_some_and(|uri| Uri::parse(uri.as_bytes()).is_ok());
                faults.unless(
                    good,
                    || format!("registrar.service_route[{i}]"),
                    "must be a SIP URI in angle brackets, such as <sip:edge.example.com;lr>",
                );
            }
        }
        if let Some(jwt) = &self.jwt {
            faults.unless(
                !jwt.issuers.is_empty() || jwt.introspection.is_some(),
                || "jwt.issuers",
                "name at least one issuer",
            );
            if let Some(asked) = &jwt.introspection {
                for (value, name) in [
                    (&asked.endpoint, "jwt.introspection.endpoint"),
                    (&asked.client_id, "jwt.introspection.client_id"),
                    (&asked.issuer, "jwt.introspection.issuer"),
                ] {
                    faults.unless(!value.is_empty(), || name, "must not be empty");
                }
                faults.unless(!asked.max_age.is_zero(), || "jwt.introspection.max_age", "must be above zero");
            }
            let https = |uri: &str| uri.starts_with("https://") && is_quotable(uri);
            // RFC 8898 s4: the authorization server is named by an https URI.
            faults.unless(
                jwt.authz_server.as_deref().is_none_or(https),
                || "jwt.authz_server",
                "must be an https URI",
            );
            faults.unless(
                jwt.scope.as_deref().is_none_or(is_quotable),
                || "jwt.scope",
                "must be printable, without quotes",
            );
            faults.unless(
                !jwt.aor_claim.is_empty(),
                || "jwt.aor_claim",
                "name the claim that holds the AoRs, for example \"sub\"",
            );
            let template =
                |text: &str| Template::of(text).map_or(!text.contains(['{', '}']), |one| one.is_good());
            let wanted = "a template is one claim in braces in the user of an address: {sub}@example.com";
            faults.unless(template(&jwt.aor_claim), || "jwt.aor_claim", wanted);
            for (i, issuer) in jwt.issuers.iter().enumerate() {
                faults.unless(
                    issuer.aor_claim.as_deref().is_none_or(|claim| !claim.is_empty() && template(claim)),
                    || format!("jwt.issuers[{i}].aor_claim"),
                    wanted,
                );
                faults.unless(
                    !issuer.issuer.is_empty(),
                    || format!("jwt.issuers[{i}].issuer"),
                    "must not be empty",
                );
                faults.unless(
                    !issuer.audiences.is_empty(),
                    || format!("jwt.issuers[{i}].audiences"),
                    "name at least one audience",
                );
                faults.unless(
                    !issuer.algorithms.is_empty(),
                    || format!("jwt.issuers[{i}].algorithms"),
                    "name at least one algorithm",
                );
                faults.unless(
                    issuer.keys_min_age <= issuer.keys_max_age,
                    || format!("jwt.issuers[{i}]"),
                    "keys_min_age must not exceed keys_max_age",
                );
            }
        }
        let only_bearer = [
            self.policies.register,
            self.policies.invite,
            self.policies.message,
            self.policies.subscribe,
            self.policies.publish,
            self.policies.other,
        ];
        faults.unless(
            self.jwt.is_some() || !only_bearer.contains(&AuthPolicy::Bearer),
            || "policies",
            "a method asks for Bearer, but jwt is not configured",
        );
    }
}

fn is_clean(text: &str) -> bool {
    text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

pub(super) fn is_quotable(text: &str) -> bool {
    is_clean(text) && !text.contains(['"', '\\'])
}

fn account(
    i: usize,
    a: &AccountConfig,
    offered: &[DigestAlgorithm],
    realm: &str,
    domains: &Domains,
    faults: &mut Faults,
) -> Option<Account> {
    if a.disabled {
        return None;
    }
    let path = |field: &str| format!("accounts[{i}].{field}");
    faults.unless(
        !a.username.is_empty() && is_quotable(&a.username),
        || path("username"),
        "must be printable, without quotes",
    );
    let mut credentials = Vec::new();
    for (algorithm, hex) in &a.ha1 {
        match HashedCredential::from_hex(*algorithm, &hex.0) {
            Some(credential) => credentials.push(credential),
            None => faults.add(
                path("ha1"),
                format!("must be {} hexadecimal digits for {}", algorithm.len() * 2, algorithm.token()),
            ),
        }
    }
    if let Some(password) = &a.password {
        for algorithm in if a.algorithms.is_empty() { offered } else { &a.algorithms } {
            if !credentials.iter().any(|c| c.algorithm == *algorithm) {
                credentials.push(HashedCredential::of(*algorithm, &a.username, realm, &password.0));
            }
        }
    }
    if !a.algorithms.is_empty() {
        credentials.retain(|c| a.algorithms.contains(&c.algorithm));
    }
    faults.unless(
        !credentials.is_empty() || a.without_password,
        || path("password"),
        "give a password, or an HA1 for an accepted algorithm",
    );
    let domain = if a.domain.is_empty() { domains.names().first().map_or("", |n| n) } else { &a.domain };
    let own = [format!("{}@{}", a.username, domain)];
    let mut aors = Vec::new();
    for text in if a.aors.is_empty() { &own[..] } else { &a.aors } {
        match domains.canonical_aor(text) {
            Some(aor) => aors.push(aor),
            None => faults.add(path("aors"), format!("{text:?} is not user@domain of a configured domain")),
        }
    }
    let account = a.username.as_str().into();
    let foreign_contacts = a.foreign_contacts;
    let identity = Identity { scheme: Scheme::Digest, account, aors, scopes: Vec::new(), foreign_contacts };
    let (forward, voicemail) = calls::check_account(a, i, domain, faults);
    Some(Account {
        identity: Arc::new(identity),
        credentials,
        forward,
        voicemail,
        pickup: a.pickup.clone(),
        may_relay: a.may_relay,
        dial: a.dial.clone(),
    })
}

/// A rule is compared byte for byte with canonical AoRs: its patterns become such.
fn canonical_rules(rules: &mut [WatchRule], domains: &Domains, faults: &mut Faults) {
    for (i, rule) in rules.iter_mut().enumerate() {
        for (name, pattern) in [("presentity", &mut rule.presentity), ("watcher", &mut rule.watcher)] {
            canonical_pattern(pattern, || format!("presence.rules[{i}].{name}"), domains, faults);
        }
    }
}

fn canonical_mailboxes(config: &mut MessageSummaryConfig, domains: &Domains, faults: &mut Faults) {
    for (i, rule) in config.rules.iter_mut().enumerate() {
        for (name, pattern) in [("mailbox", &mut rule.mailbox), ("watcher", &mut rule.watcher)] {
            canonical_pattern(pattern, || format!("message_summary.rules[{i}].{name}"), domains, faults);
        }
    }
    for (i, publisher) in config.publishers.iter_mut().enumerate() {
        match domains.canonical_aor(publisher) {
            Some(aor) => *publisher = aor,
            None => faults.add(
                format!("message_summary.publishers[{i}]"),
                format!("{publisher:?} is not user@domain of a configured domain"),
            ),
        }
    }
}

pub(super) fn canonical_pattern(
    pattern: &mut Box<str>,
    path: impl FnOnce() -> String,
    domains: &Domains,
    faults: &mut Faults,
) {
    let everybody = pattern.strip_prefix("*@").map(|domain| domains.canonical_aor(&format!("x@{domain}")));
    let fitting = match (&**pattern, everybody) {
        ("*", _) => return,
        (_, Some(one)) => one.map(|one| one.replacen('x', "*", 1).into()),
        (aor, None) => domains.canonical_aor(aor),
    };
    match fitting {
        Some(fitting) => *pattern = fitting,
        None => faults.add(
            path(),
            format!("{pattern:?} is neither user@domain nor *@domain of a configured domain, nor *"),
        ),
    }
}

fn refuse_twins(accounts: &[Account], faults: &mut Faults) {
    let mut names: Vec<&str> = accounts.iter().map(|a| &*a.identity.account).collect();
    let mut aors: Vec<&str> =
        accounts.iter().flat_map(|a| a.identity.aors.iter().map(|aor| &**aor)).collect();
    for (what, list) in [("username", &mut names), ("AoR", &mut aors)] {
        list.sort_unstable();
        for pair in list.windows(2) {
            if let [a, b] = pair
                && a == b
            {
                faults.add("accounts", format!("two accounts have the {what} {a:?}"));
            }
        }
    }
}

pub(super) struct Faults(Vec<ConfigError>);

impl Faults {
    pub(super) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(ConfigError { path: path.into(), message: message.into() });
    }

    pub(super) fn unless<P: Into<String>>(&mut self, good: bool, path: impl FnOnce() -> P, message: &str) {
        if !good {
            self.add(path(), message);
        }
    }
}

/// One fault of a configuration.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{path}: {message}")]
pub struct ConfigError {
    /// Where: `registrar.min_expires`, `accounts[3].aors`.
    pub path: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// A validated configuration, shared and immutable. Fields mean the same as those of [`Config`].
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct Settings {
    /// The Server header, ready to be sent.
    pub server_line: PreparedLine,
    /// The User-Agent header of our own requests, ready to be sent.
    pub agent_line: PreparedLine,
    pub domains: Domains,
    pub listeners: Vec<ListenerConfig>,
    pub local_nets: Vec<IpNet>,
    pub trusted: Vec<IpNet>,
    pub allowed_sources: Vec<IpNet>,
    pub accounts: Accounts,
    /// With the realm filled in and the algorithms strongest first.
    pub digest: DigestConfig,
    pub jwt: Option<JwtConfig>,
    pub policies: Policies,
    pub registrar: Option<RegistrarConfig>,
    pub events: EventsConfig,
    pub presence: Option<PresenceConfig>,
    pub lists: Lists,
    pub messages: Option<MessagesConfig>,
    pub message_summary: Option<MessageSummaryConfig>,
    pub calls: Option<CallsConfig>,
    pub limits: Limits,
    pub timers: Timers,
    pub tell: Tell,
}

impl Settings {
    /// True if anything can be published.
    pub fn has_publications(&self) -> bool {
        self.presence.is_some() || self.message_summary.is_some()
    }

    /// True if anything can be subscribed to.
    pub fn has_events(&self) -> bool {
        self.has_publications() || self.calls.is_some()
    }
}
