//! The file as it is written: every section and key there is. A key that is left out keeps its default; a key that does
//! not exist is a fault.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::listen::{Advertised, Listen};
use super::units::{
    Hash, Hidden, Mailbox, Net, PastMax, Policy, Priority, Signature, Size, Span, Watch, Watchers,
};
use crate::cli::LogFormat;

/// The whole file.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) server: Server,
    pub(super) listen: Vec<Listener>,
    pub(super) domain: Vec<Domain>,
    pub(super) account: Vec<Account>,
    pub(super) auth: Auth,
    pub(super) registrar: Registrar,
    pub(super) events: Events,
    pub(super) presence: Presence,
    pub(super) list: Vec<List>,
    pub(super) messages: Messages,
    pub(super) message_summary: MessageSummary,
    pub(super) calls: Calls,
    pub(super) media: Media,
    pub(super) route: Vec<Route>,
    pub(super) trunk: Vec<Trunk>,
    pub(super) numbers: Numbers,
    pub(super) network: Network,
    pub(super) limits: Limits,
    pub(super) connections: Connections,
    pub(super) tls: Option<Tls>,
    pub(super) websocket: WebSocket,
    pub(super) timers: Timers,
    pub(super) storage: Storage,
    pub(super) accounts: Option<Accounts>,
    pub(super) http: Http,
    pub(super) log: Log,
}

/// A file of accounts and nothing else.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AccountsFile {
    pub(super) account: Vec<Account>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Server {
    pub(super) name: Option<String>,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) drain_timeout: Option<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listener {
    pub(super) bind: Listen,
    pub(super) advertised: Option<Advertised>,
    pub(super) algorithms: Option<Vec<Hash>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Domain {
    pub(super) name: String,
    #[serde(default)]
    pub(super) aliases: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    pub(super) username: String,
    pub(super) domain: Option<String>,
    pub(super) password: Option<Hidden>,
    #[serde(default)]
    pub(super) ha1: BTreeMap<String, Hidden>,
    #[serde(default)]
    pub(super) aors: Vec<String>,
    #[serde(default)]
    pub(super) algorithms: Vec<Hash>,
    #[serde(default)]
    pub(super) foreign_contacts: bool,
    #[serde(default)]
    pub(super) groups: Vec<String>,
    #[serde(default)]
    pub(super) unlisted: bool,
    #[serde(default)]
    pub(super) forward: Forward,
    pub(super) voicemail: Option<Mailbox>,
    #[serde(default)]
    pub(super) pickup: Vec<String>,
    #[serde(default)]
    pub(super) may_relay: bool,
    pub(super) dial: Option<Vec<String>>,
    #[serde(default)]
    pub(super) disabled: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Forward {
    pub(super) always: Option<String>,
    pub(super) busy: Option<String>,
    pub(super) no_answer: Option<String>,
    pub(super) offline: Option<String>,
    pub(super) do_not_disturb: bool,
    pub(super) after: Option<Span>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Auth {
    pub(super) digest: Digest,
    pub(super) jwt: Option<Jwt>,
    pub(super) policy: Policies,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Digest {
    pub(super) enabled: Option<bool>,
    pub(super) realm: Option<String>,
    pub(super) algorithms: Option<Vec<Hash>>,
    pub(super) nonce_lifetime: Option<Span>,
    pub(super) next_nonce_percent: Option<u8>,
    pub(super) auth_int: Option<bool>,
    pub(super) userhash: Option<bool>,
    pub(super) allow_no_qop: Option<bool>,
    pub(super) bind_source: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Jwt {
    #[serde(default)]
    pub(super) issuer: Vec<Issuer>,
    pub(super) authz_server: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) aor_claim: Option<String>,
    pub(super) leeway: Option<Span>,
    pub(super) allow_cleartext: Option<bool>,
    pub(super) refetch_interval: Option<Span>,
    pub(super) introspection: Option<Introspection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Introspection {
    pub(super) endpoint: String,
    pub(super) client_id: String,
    pub(super) client_secret: Hidden,
    pub(super) issuer: String,
    #[serde(default)]
    pub(super) audiences: Vec<String>,
    pub(super) max_age: Option<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Issuer {
    pub(super) issuer: String,
    pub(super) audiences: Vec<String>,
    pub(super) jwks: Option<String>,
    pub(super) aor_claim: Option<String>,
    pub(super) algorithms: Option<Vec<Signature>>,
    pub(super) keys_min_age: Option<Span>,
    pub(super) keys_max_age: Option<Span>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Policies {
    pub(super) register: Option<Policy>,
    pub(super) invite: Option<Policy>,
    pub(super) message: Option<Policy>,
    pub(super) subscribe: Option<Policy>,
    pub(super) publish: Option<Policy>,
    pub(super) options: Option<Policy>,
    pub(super) other: Option<Policy>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Registrar {
    pub(super) enabled: Option<bool>,
    pub(super) default_expires: Option<Span>,
    pub(super) min_expires: Option<Span>,
    pub(super) max_expires: Option<Span>,
    pub(super) nat_max_expires: Option<Span>,
    pub(super) expires_jitter_percent: Option<u8>,
    pub(super) max_contacts: Option<usize>,
    pub(super) past_max_contacts: Option<PastMax>,
    pub(super) path_from: Option<Vec<Net>>,
    pub(super) outbound: Option<bool>,
    pub(super) flow_timer: Option<Span>,
    pub(super) gruu: Option<bool>,
    pub(super) service_route: Option<Vec<String>>,
    pub(super) nat_keepalive: Option<Span>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Events {
    pub(super) default_expires: Option<Span>,
    pub(super) min_expires: Option<Span>,
    pub(super) max_expires: Option<Span>,
    pub(super) keep_silent: Option<bool>,
    pub(super) repeat_interval: Option<Span>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Presence {
    pub(super) enabled: Option<bool>,
    pub(super) publish_default_expires: Option<Span>,
    pub(super) publish_min_expires: Option<Span>,
    pub(super) publish_max_expires: Option<Span>,
    pub(super) max_document: Option<Size>,
    pub(super) pacing: Option<Span>,
    pub(super) offline_grace: Option<Span>,
    pub(super) publications_outlive_bindings: Option<bool>,
    pub(super) watchers: Option<Watchers>,
    pub(super) rule: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) presentity: String,
    pub(super) watcher: String,
    pub(super) action: Watch,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    pub(super) address: String,
    pub(super) name: Option<String>,
    pub(super) members: Option<Vec<String>>,
    pub(super) domain: Option<String>,
    pub(super) group: Option<String>,
    #[serde(default)]
    pub(super) subscribers: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Messages {
    pub(super) enabled: Option<bool>,
    pub(super) store: Option<bool>,
    pub(super) default_expires: Option<Span>,
    pub(super) max_expires: Option<Span>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MessageSummary {
    pub(super) enabled: Option<bool>,
    pub(super) account: Option<String>,
    pub(super) publishers: Vec<String>,
    pub(super) accept_notify: Option<bool>,
    pub(super) publish_default_expires: Option<Span>,
    pub(super) publish_min_expires: Option<Span>,
    pub(super) publish_max_expires: Option<Span>,
    pub(super) rule: Vec<MailboxRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MailboxRule {
    pub(super) mailbox: String,
    pub(super) watcher: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Calls {
    pub(super) enabled: Option<bool>,
    pub(super) ring_timeout: Option<Span>,
    pub(super) target_timeout: Option<Span>,
    pub(super) max_duration: Option<Span>,
    pub(super) session_timers: Option<bool>,
    pub(super) session_expires: Option<Span>,
    pub(super) min_se: Option<Span>,
    pub(super) single_early_dialog: Option<bool>,
    pub(super) decline_is_local: Option<bool>,
    pub(super) voicemail: Option<String>,
    pub(super) emergency: Option<String>,
    pub(super) dial: Option<Vec<String>>,
    pub(super) records: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Media {
    pub(super) mode: MediaMode,
    pub(super) address: Option<IpAddr>,
    pub(super) advertised: Vec<IpAddr>,
    pub(super) ports: Option<[u16; 2]>,
    pub(super) silence: Option<Span>,
    pub(super) rtpengine: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub(super) enum MediaMode {
    #[default]
    Off,
    Auto,
    Always,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    pub(super) pattern: String,
    pub(super) to: Option<String>,
    pub(super) trunk: Option<String>,
    pub(super) targets: Option<Vec<Target>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Target {
    pub(super) to: Option<String>,
    pub(super) trunk: Option<String>,
    pub(super) q: Option<Priority>,
    pub(super) timeout: Option<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trunk {
    pub(super) name: String,
    pub(super) uri: String,
    pub(super) username: Option<String>,
    pub(super) password: Option<Hidden>,
    #[serde(default)]
    pub(super) sources: Vec<Net>,
    pub(super) listener: Option<Listen>,
    #[serde(default)]
    pub(super) tls_names: Vec<String>,
    pub(super) max_calls: Option<u32>,
    pub(super) qualify: Option<Span>,
    #[serde(default)]
    pub(super) register: bool,
    pub(super) register_as: Option<String>,
    pub(super) register_expires: Option<Span>,
    pub(super) from: Option<String>,
    #[serde(default)]
    pub(super) asserted: bool,
    #[serde(default)]
    pub(super) called: Vec<NumberRule>,
    #[serde(default)]
    pub(super) calling: Vec<NumberRule>,
    #[serde(default)]
    pub(super) inbound: Vec<NumberRule>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Numbers {
    pub(super) rule: Vec<NumberRule>,
    pub(super) users: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberRule {
    pub(super) pattern: String,
    pub(super) becomes: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Network {
    pub(super) local: Vec<Net>,
    pub(super) trusted: Vec<Net>,
    pub(super) allowed: Vec<Net>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) message: Option<Size>,
    pub(super) headers: Option<usize>,
    pub(super) header_values: Option<usize>,
    pub(super) contacts_per_request: Option<usize>,
    pub(super) aors: Option<usize>,
    pub(super) accounts: Option<usize>,
    pub(super) bindings: Option<usize>,
    pub(super) binding: Option<Size>,
    pub(super) transactions: Option<Size>,
    pub(super) parked: Option<usize>,
    pub(super) park_timeout: Option<Span>,
    pub(super) nonces: Option<usize>,
    pub(super) tokens: Option<usize>,
    pub(super) revocations: Option<usize>,
    pub(super) users: Option<usize>,
    pub(super) token: Option<Size>,
    pub(super) subscriptions: Option<usize>,
    pub(super) publications: Option<usize>,
    pub(super) publications_per_presentity: Option<usize>,
    pub(super) watch_decisions: Option<usize>,
    pub(super) mailboxes: Option<usize>,
    pub(super) list_members: Option<usize>,
    pub(super) list_notify: Option<Size>,
    pub(super) notifies_per_call: Option<usize>,
    pub(super) notifies_per_second: Option<u32>,
    pub(super) notifies_per_host: Option<u32>,
    pub(super) subscriptions_per_watcher: Option<usize>,
    pub(super) subscriptions_per_source: Option<usize>,
    pub(super) connecting: Option<usize>,
    pub(super) calls: Option<usize>,
    pub(super) calls_per_account: Option<usize>,
    pub(super) calls_per_source: Option<usize>,
    pub(super) legs_per_call: Option<usize>,
    pub(super) redirects: Option<usize>,
    pub(super) overloaded: Option<usize>,
    pub(super) retry_after: Option<Span>,
    pub(super) messages_waiting: Option<usize>,
    pub(super) stored_messages: Option<usize>,
    pub(super) stored_messages_per_aor: Option<usize>,
    pub(super) stored_message: Option<Size>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Connections {
    pub(super) total: Option<usize>,
    pub(super) per_source: Option<usize>,
    pub(super) idle: Option<Span>,
    pub(super) message_deadline: Option<Span>,
    pub(super) write_deadline: Option<Span>,
    pub(super) write_queue: Option<Size>,
    pub(super) keep_alives: Option<u32>,
    pub(super) udp_buffer: Option<Size>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Timers {
    pub(super) t1: Option<Span>,
    pub(super) t2: Option<Span>,
    pub(super) t4: Option<Span>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http {
    pub(super) listen: Option<HttpListen>,
    pub(super) phone: Option<PathBuf>,
    pub(super) source_rate: Option<u32>,
    pub(super) account_rate: Option<u32>,
    pub(super) tls: bool,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Accounts {
    pub(super) enabled: Option<bool>,
    pub(super) issuer: Option<String>,
    pub(super) algorithm: Option<String>,
    pub(super) token_life: Option<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) client_authorities: Option<PathBuf>,
    #[serde(default)]
    pub(super) client_certificates: ClientCertificates,
    pub(super) authorities: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum ClientCertificates {
    #[default]
    Optional,
    Required,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WebSocket {
    pub(super) origins: Vec<String>,
}

/// Where HTTP is served: an address, or `"off"`.
pub(super) struct HttpListen(pub(super) crate::cli::HttpAddr);

impl<'de> Deserialize<'de> for HttpListen {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<HttpListen, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map(HttpListen).map_err(serde::de::Error::custom)
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Storage {
    pub(super) mode: StorageMode,
    pub(super) file: Option<PathBuf>,
    pub(super) interval: Option<Span>,
    pub(super) batch: Option<usize>,
    pub(super) queue: Option<usize>,
    pub(super) queue_bytes: Option<Size>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum StorageMode {
    #[default]
    WriteBehind,
    Strict,
    None,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) format: Option<LogFormat>,
    pub(super) level: Option<LogLevel>,
}

/// What to log.
pub(super) struct LogLevel(pub(super) String);

impl<'de> Deserialize<'de> for LogLevel {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<LogLevel, D::Error> {
        let text = String::deserialize(deserializer)?;
        match crate::logs::filter(&text) {
            Ok(_) => Ok(LogLevel(text)),
            Err(fault) => Err(serde::de::Error::custom(fault)),
        }
    }
}
