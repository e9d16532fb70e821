//! From the file's words to the engine's configuration.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use strowger_core::config::{
    AccountConfig, Config, ConfigError, DigestAlgorithm, DigestConfig, DomainConfig, EventsConfig,
    ForwardConfig, IntrospectionConfig, IssuerConfig, JwtConfig, Limits, ListConfig, ListMembers,
    ListenerConfig, MailboxRule, MessageSummaryConfig, MessagesConfig, OutboundMode, PathMode, Policies,
    PresenceConfig, RegistrarConfig, Timers, WatchRule,
};
use strowger_shell::jwks;
use strowger_shell::options::{Durability, Options, StorageOptions, WebOptions};
use strowger_tokio::{everywhere, machine_domain};
use strowger_users::keys::Algorithm;
use strowger_users::rest::{ApiConfig, Rate};

use super::units::Span;
use super::{DRAIN_TIMEOUT, Loaded, STATE_FILE, certificates, file};
use crate::office::OfficeConfig;

/// The port of SIP (RFC 3261 s19.1.2).
pub(crate) const SIP_PORT: u16 = 5060;

/// How many changes may wait for the disk at most.
const MAX_QUEUE: usize = 16_000;

/// How long changes of state may be collected at most.
const MAX_INTERVAL: Duration = Duration::from_secs(60);

/// More requests of the REST API a second than anybody has.
const MAX_API_RATE: u32 = 100_000;

macro_rules! set {
    ($to:expr, $from:expr; $($field:ident),* $(,)?) => {
        $(if let Some(value) = $from.$field { $to.$field = value.into(); })*
    };
}

mod calls;
mod media;

impl From<Span> for Duration {
    fn from(span: Span) -> Duration {
        span.0
    }
}

impl From<super::units::Size> for usize {
    fn from(size: super::units::Size) -> usize {
        size.0
    }
}

/// Maps everything; faults that the engine does not look for are returned beside it.
pub(super) fn map(file: file::File) -> (Loaded, Vec<ConfigError>) {
    let mut errors = Vec::new();
    let mut config = Config::new("localhost");
    let drain_timeout = file.server.drain_timeout.map_or(DRAIN_TIMEOUT, Duration::from);
    let state_dir = file.server.state_dir;
    if let Some(name) = file.server.name {
        config.server_name = name;
    }
    config.domains = match file.domain.is_empty() {
        true => vec![machine_domain()],
        false => file.domain.into_iter().map(|d| DomainConfig { name: d.name, aliases: d.aliases }).collect(),
    };
    config.listeners = match file.listen.is_empty() {
        true => everywhere(SIP_PORT),
        false => file.listen.into_iter().map(listener).collect(),
    };
    config.accounts = accounts(file.account, &mut errors);
    config.digest = digest(file.auth.digest);
    config.jwt = file.auth.jwt.map(|jwt| tokens(jwt, &mut errors));
    config.policies = policies(file.auth.policy);
    config.registrar = registrar(file.registrar, &mut errors);
    config.events = events(file.events, &mut errors);
    config.presence = presence(file.presence, &mut errors);
    config.lists = lists(file.list, &mut errors);
    config.messages = messages(file.messages, &mut errors);
    config.message_summary = message_summary(file.message_summary, &mut errors);
    let call_records = file.calls.records.clone();
    config.calls =
        calls::calls(file.calls, file.route, file.trunk, file.numbers, &config.listeners, &mut errors);
    config.local_nets = file.network.local.into_iter().map(|net| net.0).collect();
    config.trusted = file.network.trusted.into_iter().map(|net| net.0).collect();
    config.allowed_sources = file.network.allowed.into_iter().map(|net| net.0).collect();
    config.limits = limits(file.limits);
    config.timers = timers(file.timers);
    let mut options = options(file.connections);
    options.stream.web = Arc::new(WebOptions { origins: file.websocket.origins, ..WebOptions::default() });
    media::media(file.media, &mut config, &mut options, &mut errors);
    let certificates = certificates::map(file.tls, &config.listeners, &mut errors);
    let state_file = storage(file.storage, &mut options, &mut errors);
    let office = file.accounts.and_then(|accounts| office(accounts, &mut errors));
    let http_certificates = certificates::of_http(&file.http, certificates.as_ref(), &mut errors);
    let api = api(&file.http, &mut errors);
    let http = file.http.listen.map(|listen| listen.0);
    let file::Log { format: log_format, level: log_level } = file.log;
    let log_level = log_level.map(|level| level.0);
    let loaded = Loaded {
        config,
        options,
        certificates,
        http_certificates,
        api,
        state_dir,
        state_file,
        office,
        drain_timeout,
        http,
        phone: file.http.phone,
        log_format,
        log_level,
        call_records,
    };
    (loaded, errors)
}

/// How state is kept, and in which file, if at all.
fn storage(from: file::Storage, options: &mut Options, errors: &mut Vec<ConfigError>) -> Option<PathBuf> {
    let durability = match from.mode {
        file::StorageMode::WriteBehind => Durability::WriteBehind,
        file::StorageMode::Strict => Durability::Strict,
        file::StorageMode::None => return None,
    };
    options.storage = StorageOptions::new(durability);
    set!(options.storage, from; interval, batch, queue, queue_bytes);
    let mut refuse = |key: &str, message: &str| {
        errors.push(ConfigError { path: format!("storage.{key}"), message: message.into() });
    };
    if options.storage.interval > MAX_INTERVAL {
        refuse("interval", "a minute at most: that much may be lost, or wait");
    }
    for (key, value) in [("batch", options.storage.batch), ("queue", options.storage.queue)] {
        if value == 0 {
            refuse(key, "one at least");
        }
    }
    if options.storage.queue > MAX_QUEUE {
        refuse("queue", "16000 at most: no more can be taken back should they fail");
    }
    Some(from.file.unwrap_or_else(|| STATE_FILE.into()))
}

/// How the REST API is bounded.
fn api(from: &file::Http, errors: &mut Vec<ConfigError>) -> ApiConfig {
    let mut to = ApiConfig::default();
    for (key, wanted, rate) in [
        ("source_rate", from.source_rate, &mut to.source),
        ("account_rate", from.account_rate, &mut to.account),
    ] {
        match wanted {
            Some(wanted @ 1..=MAX_API_RATE) => {
                *rate = Rate { per_second: wanted, burst: wanted * 5, ..*rate };
            }
            Some(_) => errors.push(ConfigError {
                path: format!("http.{key}"),
                message: format!("requests a second, 1 to {MAX_API_RATE}"),
            }),
            None => {}
        }
    }
    to
}

/// How accounts are kept, if they are.
fn office(from: file::Accounts, errors: &mut Vec<ConfigError>) -> Option<OfficeConfig> {
    let mut to = OfficeConfig::default();
    let mut refuse = |key: &str, message: &str| {
        errors.push(ConfigError { path: format!("accounts.{key}"), message: message.into() });
    };
    if let Some(name) = from.algorithm {
        match Algorithm::named(&name) {
            Some(algorithm) => to.algorithm = algorithm,
            None => refuse("algorithm", "write RS256, ES256 or EdDSA"),
        }
    }
    if let Some(life) = from.token_life.map(Duration::from) {
        to.token_life = life.as_secs() as i64;
        if !(60..=3600).contains(&to.token_life) {
            refuse(
                "token_life",
                "between a minute and an hour: a token that is out cannot be called back by everybody",
            );
        }
    }
    to.issuer = from.issuer;
    from.enabled.unwrap_or(true).then_some(to)
}

fn listener(from: file::Listener) -> ListenerConfig {
    let advertised = from.advertised.map(|a| (a.host, a.port));
    let mut listener = ListenerConfig::from(from.bind);
    listener.advertised = advertised.or(listener.advertised);
    listener.algorithms = from.algorithms.map(|all| all.into_iter().map(|hash| hash.0).collect());
    listener
}

/// Maps accounts; the names of `ha1` are checked here.
pub(super) fn accounts(from: Vec<file::Account>, errors: &mut Vec<ConfigError>) -> Vec<AccountConfig> {
    let account = |(i, a): (usize, file::Account)| {
        let mut ha1 = Vec::new();
        for (name, hash) in a.ha1 {
            let all = [DigestAlgorithm::Md5, DigestAlgorithm::Sha256, DigestAlgorithm::Sha512_256];
            match all.into_iter().find(|algorithm| algorithm.token().eq_ignore_ascii_case(&name)) {
                Some(algorithm) => ha1.push((algorithm, hash.0)),
                None => errors.push(ConfigError {
                    path: format!("accounts[{i}].ha1"),
                    message: "its keys are algorithms: MD5, SHA-256, SHA-512-256".into(),
                }),
            }
        }
        AccountConfig {
            username: a.username,
            domain: a.domain.unwrap_or_default(),
            password: a.password.map(|password| password.0),
            ha1,
            aors: a.aors,
            algorithms: a.algorithms.into_iter().map(|hash| hash.0).collect(),
            foreign_contacts: a.foreign_contacts,
            groups: a.groups,
            unlisted: a.unlisted,
            forward: ForwardConfig {
                always: a.forward.always,
                busy: a.forward.busy,
                no_answer: a.forward.no_answer,
                offline: a.forward.offline,
                do_not_disturb: a.forward.do_not_disturb,
                after: a.forward.after.map(Duration::from),
            },
            voicemail: a.voicemail.map(|mailbox| mailbox.0).unwrap_or_default(),
            pickup: a.pickup,
            may_relay: a.may_relay,
            dial: a.dial,
            without_password: false,
            disabled: a.disabled,
        }
    };
    from.into_iter().enumerate().map(account).collect()
}

fn digest(from: file::Digest) -> DigestConfig {
    let mut to = DigestConfig::default();
    set!(to, from; enabled, realm, nonce_lifetime, next_nonce_percent, auth_int, userhash, allow_no_qop, bind_source);
    if let Some(algorithms) = from.algorithms {
        to.algorithms = algorithms.into_iter().map(|hash| hash.0).collect();
    }
    to
}

fn tokens(from: file::Jwt, errors: &mut Vec<ConfigError>) -> JwtConfig {
    let mut to = JwtConfig { authz_server: from.authz_server, scope: from.scope, ..JwtConfig::default() };
    set!(to, from; aor_claim, leeway, allow_cleartext, refetch_interval);
    if let Some(from) = from.introspection {
        if !jwks::is_url(&from.endpoint) {
            errors.push(ConfigError {
                path: "jwt.introspection.endpoint".into(),
                message: "must be an https URL (http is accepted for this machine only)".into(),
            });
        }
        let mut asked = IntrospectionConfig {
            endpoint: from.endpoint,
            client_id: from.client_id,
            client_secret: from.client_secret.0,
            issuer: from.issuer,
            audiences: from.audiences,
            ..IntrospectionConfig::default()
        };
        set!(asked, from; max_age);
        to.introspection = Some(asked);
    }
    for (i, from) in from.issuer.into_iter().enumerate() {
        if from.jwks.is_none() && !jwks::is_discoverable(&from.issuer) {
            errors.push(ConfigError {
                path: format!("jwt.issuers[{i}].issuer"),
                message: "must be an https URL without query, so that its keys can be discovered; or name them in jwks"
                    .into(),
            });
        }
        if from.jwks.as_deref().is_some_and(|source| !jwks::is_source(source)) {
            errors.push(ConfigError {
                path: format!("jwt.issuers[{i}].jwks"),
                message:
                    "must be an https URL or the path of a file (http is accepted for this machine only)"
                        .into(),
            });
        }
        let mut issuer = IssuerConfig {
            issuer: from.issuer,
            audiences: from.audiences,
            jwks: from.jwks.unwrap_or_default(),
            aor_claim: from.aor_claim,
            ..IssuerConfig::default()
        };
        set!(issuer, from; keys_min_age, keys_max_age);
        if let Some(algorithms) = from.algorithms {
            issuer.algorithms = algorithms.into_iter().map(|signature| signature.0).collect();
        }
        to.issuers.push(issuer);
    }
    to
}

fn policies(from: file::Policies) -> Policies {
    let mut to = Policies::default();
    let all = [
        (&mut to.register, from.register),
        (&mut to.invite, from.invite),
        (&mut to.message, from.message),
        (&mut to.subscribe, from.subscribe),
        (&mut to.publish, from.publish),
        (&mut to.options, from.options),
        (&mut to.other, from.other),
    ];
    for (to, from) in all {
        if let Some(policy) = from {
            *to = policy.0;
        }
    }
    to
}

/// What goes over the wire in whole seconds.
struct Seconds<'e> {
    section: &'static str,
    errors: &'e mut Vec<ConfigError>,
}

impl Seconds<'_> {
    fn set(&mut self, to: &mut u32, from: Option<Span>, name: &str) {
        let Some(Span(span)) = from else { return };
        match u32::try_from(span.as_secs()) {
            Ok(seconds) if span.subsec_nanos() == 0 => *to = seconds,
            _ => self.errors.push(ConfigError {
                path: format!("{}.{name}", self.section),
                message: "must be whole seconds".into(),
            }),
        }
    }
}

fn registrar(from: file::Registrar, errors: &mut Vec<ConfigError>) -> Option<RegistrarConfig> {
    let mut to = RegistrarConfig::default();
    let mut seconds = Seconds { section: "registrar", errors };
    seconds.set(&mut to.default_expires, from.default_expires, "default_expires");
    seconds.set(&mut to.min_expires, from.min_expires, "min_expires");
    seconds.set(&mut to.max_expires, from.max_expires, "max_expires");
    seconds.set(&mut to.nat_max_expires, from.nat_max_expires, "nat_max_expires");
    seconds.set(&mut to.flow_timer, from.flow_timer, "flow_timer");
    set!(to, from; expires_jitter_percent, max_contacts, gruu, service_route, nat_keepalive);
    if let Some(past) = from.past_max_contacts {
        to.max_contacts_policy = past.0;
    }
    if let Some(edges) = from.path_from {
        to.path = PathMode::From(edges.into_iter().map(|net| net.0).collect());
    }
    if let Some(outbound) = from.outbound {
        to.outbound = if outbound { OutboundMode::On } else { OutboundMode::Off };
    }
    from.enabled.unwrap_or(true).then_some(to)
}

fn events(from: file::Events, errors: &mut Vec<ConfigError>) -> EventsConfig {
    let mut to = EventsConfig::default();
    let mut seconds = Seconds { section: "events", errors };
    seconds.set(&mut to.default_expires, from.default_expires, "default_expires");
    seconds.set(&mut to.min_expires, from.min_expires, "min_expires");
    seconds.set(&mut to.max_expires, from.max_expires, "max_expires");
    set!(to, from; keep_silent, repeat_interval);
    to
}

fn presence(from: file::Presence, errors: &mut Vec<ConfigError>) -> Option<PresenceConfig> {
    let mut to = PresenceConfig::default();
    let mut seconds = Seconds { section: "presence", errors };
    seconds.set(&mut to.publish_default_expires, from.publish_default_expires, "publish_default_expires");
    seconds.set(&mut to.publish_min_expires, from.publish_min_expires, "publish_min_expires");
    seconds.set(&mut to.publish_max_expires, from.publish_max_expires, "publish_max_expires");
    set!(to, from; pacing, offline_grace, publications_outlive_bindings);
    if let Some(size) = from.max_document {
        to.max_document_bytes = size.0;
    }
    if let Some(watchers) = from.watchers {
        to.watchers = watchers.0;
    }
    let rule = |rule: file::Rule| WatchRule {
        presentity: rule.presentity.into(),
        watcher: rule.watcher.into(),
        action: rule.action.0,
    };
    to.rules = from.rule.into_iter().map(rule).collect();
    from.enabled.unwrap_or(true).then_some(to)
}

fn lists(from: Vec<file::List>, errors: &mut Vec<ConfigError>) -> Vec<ListConfig> {
    let list = |(i, list): (usize, file::List)| {
        let members = match (list.members, list.domain, list.group) {
            (Some(members), None, None) => ListMembers::Named(members),
            (None, Some(domain), None) => ListMembers::Domain(domain),
            (None, None, Some(group)) => ListMembers::Group(group),
            _ => {
                errors.push(ConfigError {
                    path: format!("lists[{i}]"),
                    message: "needs one of members, domain and group, to say whose presence it tells".into(),
                });
                ListMembers::Named(Vec::new())
            }
        };
        let (name, subscribers) = (list.name.unwrap_or_default(), list.subscribers);
        ListConfig { address: list.address, name, members, subscribers }
    };
    from.into_iter().enumerate().map(list).collect()
}

fn messages(from: file::Messages, errors: &mut Vec<ConfigError>) -> Option<MessagesConfig> {
    let mut to = MessagesConfig::default();
    let mut seconds = Seconds { section: "messages", errors };
    seconds.set(&mut to.default_expires, from.default_expires, "default_expires");
    seconds.set(&mut to.max_expires, from.max_expires, "max_expires");
    set!(to, from; store);
    from.enabled.unwrap_or(true).then_some(to)
}

fn message_summary(
    from: file::MessageSummary,
    errors: &mut Vec<ConfigError>,
) -> Option<MessageSummaryConfig> {
    let mut to = MessageSummaryConfig::default();
    let mut seconds = Seconds { section: "message_summary", errors };
    seconds.set(&mut to.publish_default_expires, from.publish_default_expires, "publish_default_expires");
    seconds.set(&mut to.publish_min_expires, from.publish_min_expires, "publish_min_expires");
    seconds.set(&mut to.publish_max_expires, from.publish_max_expires, "publish_max_expires");
    set!(to, from; account, accept_notify);
    to.publishers = from.publishers.into_iter().map(Into::into).collect();
    let rule =
        |rule: file::MailboxRule| MailboxRule { mailbox: rule.mailbox.into(), watcher: rule.watcher.into() };
    to.rules = from.rule.into_iter().map(rule).collect();
    from.enabled.unwrap_or(true).then_some(to)
}

fn limits(from: file::Limits) -> Limits {
    let mut to = Limits::default();
    set!(to, from; headers, contacts_per_request, accounts, aors, bindings, parked, park_timeout, nonces, tokens, revocations, users);
    set!(to, from; subscriptions, publications, publications_per_presentity, watch_decisions, mailboxes, list_members, notifies_per_call, notifies_per_second);
    set!(to, from; notifies_per_host, subscriptions_per_watcher, subscriptions_per_source, connecting);
    set!(to, from; calls, calls_per_account, calls_per_source, legs_per_call, redirects, overloaded, retry_after);
    set!(to, from; messages_waiting, stored_messages, stored_messages_per_aor);
    for (to, from) in [
        (&mut to.message_bytes, from.message),
        (&mut to.binding_bytes, from.binding),
        (&mut to.transaction_bytes, from.transactions),
        (&mut to.token_bytes, from.token),
        (&mut to.list_notify_bytes, from.list_notify),
        (&mut to.message_bytes_stored, from.stored_message),
    ] {
        if let Some(size) = from {
            *to = size.0;
        }
    }
    if let Some(values) = from.header_values {
        to.values = values;
    }
    to
}

fn timers(from: file::Timers) -> Timers {
    let mut to = Timers::default();
    set!(to, from; t1, t2, t4);
    to
}

fn options(from: file::Connections) -> Options {
    let mut to = Options::default();
    set!(to.stream, from; idle, message_deadline, write_deadline, write_queue, keep_alives);
    if let Some(total) = from.total {
        to.stream.connections = total;
    }
    if let Some(per_source) = from.per_source {
        to.stream.connections_per_source = per_source;
    }
    if let Some(size) = from.udp_buffer {
        to.datagram.socket_buffer = size.0;
    }
    to
}
