//! What each part of the engine is told to do: listeners, authentication, registrar, trusted peers, events.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::DigestAlgorithm;
use crate::door::{Secret, Transport};

/// A listening socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerConfig {
    /// What it speaks.
    pub transport: Transport,
    /// The bound address; may be a wildcard, which never reaches a message.
    pub addr: SocketAddr,
    /// Host (and port) written into Via and Contact towards peers outside [`Config::local_nets`](super::Config::local_nets).
    pub advertised: Option<(String, Option<u16>)>,
    /// Digest algorithms offered here instead of those of [`DigestConfig`].
    pub algorithms: Option<Vec<DigestAlgorithm>>,
}

/// A network in CIDR form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IpNet {
    /// Base address.
    pub addr: IpAddr,
    /// Prefix length in bits.
    pub prefix: u8,
}

impl IpNet {
    /// Parses `10.0.0.0/8`, `fd00::/8`, or a single address.
    pub fn parse(text: &str) -> Option<IpNet> {
        let (addr, prefix) = match text.split_once('/') {
            Some((addr, prefix)) => (addr.parse::<IpAddr>().ok()?, Some(prefix.parse::<u8>().ok()?)),
            None => (text.parse::<IpAddr>().ok()?, None),
        };
        let max = if addr.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(max);
        (prefix <= max).then_some(IpNet { addr, prefix })
    }

    /// True if the address lies in the network. IPv4-mapped IPv6 addresses count as IPv4.
    pub fn contains(&self, addr: IpAddr) -> bool {
        match (self.addr, addr.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(addr)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                u32::from(net) & mask == u32::from(addr) & mask
            }
            (IpAddr::V6(net), IpAddr::V6(addr)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                u128::from(net) & mask == u128::from(addr) & mask
            }
            _ => false,
        }
    }
}

/// What a method asks of a request out of dialog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthPolicy {
    /// No credentials. Only sensible on closed networks.
    Open,
    /// Digest or Bearer, whatever is configured and may travel here.
    Any,
    /// Only Digest.
    Digest,
    /// Only Bearer.
    Bearer,
    /// The method is refused with 403 for everyone.
    Deny,
}

/// Policy per method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policies {
    /// REGISTER.
    pub register: AuthPolicy,
    /// INVITE.
    pub invite: AuthPolicy,
    /// MESSAGE.
    pub message: AuthPolicy,
    /// SUBSCRIBE.
    pub subscribe: AuthPolicy,
    /// PUBLISH.
    pub publish: AuthPolicy,
    /// OPTIONS: open by default, and answered alike for every target (DECISIONS 4). Who proves who he is is answered as a
    /// call of his would be.
    pub options: AuthPolicy,
    /// All other methods.
    pub other: AuthPolicy,
}

impl Default for Policies {
    fn default() -> Policies {
        Policies {
            register: AuthPolicy::Any,
            invite: AuthPolicy::Any,
            message: AuthPolicy::Any,
            subscribe: AuthPolicy::Any,
            publish: AuthPolicy::Any,
            options: AuthPolicy::Open,
            other: AuthPolicy::Any,
        }
    }
}

/// SIP Digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DigestConfig {
    /// Offer Digest at all.
    pub enabled: bool,
    /// The realm; empty means the default domain's name.
    pub realm: String,
    /// Algorithms offered, any order; challenges go out strongest first.
    pub algorithms: Vec<DigestAlgorithm>,
    /// How long a nonce may be used; older ones earn `stale=true`.
    pub nonce_lifetime: Duration,
    /// Send `nextnonce` when a nonce has used up this share of its life, in percent; 0 sends it never.
    pub next_nonce_percent: u8,
    /// Offer `auth-int` beside `auth`.
    pub auth_int: bool,
    /// Offer `userhash` (RFC 7616 s3.4.4).
    pub userhash: bool,
    /// Accept answers without `qop` (RFC 2069 style), which cannot be protected against replay.
    pub allow_no_qop: bool,
    /// Bind nonces to the source address of the challenge.
    pub bind_source: bool,
    /// Ask the host for users that are not local accounts.
    pub foreign_store: bool,
    /// With such a store each failed check is answered so long after the request came, so that time tells nothing: longer
    /// than the store takes to answer.
    pub foreign_delay: Duration,
    /// How long what the host said of a user holds, unless it says otherwise before
    /// ([`Request::ForgetUser`](crate::door::Request::ForgetUser)). Zero asks with each request.
    pub foreign_lifetime: Duration,
    /// Key of the nonces, kept across restarts. All zeros draws one from the seed.
    pub secret: Secret<[u8; 32]>,
    /// Number of this start, part of every nonce: a nonce of another start is stale, not wrong.
    pub boot_epoch: u32,
}

impl Default for DigestConfig {
    fn default() -> DigestConfig {
        DigestConfig {
            enabled: true,
            realm: String::new(),
            algorithms: vec![DigestAlgorithm::Sha256, DigestAlgorithm::Md5],
            nonce_lifetime: Duration::from_secs(300),
            next_nonce_percent: 50,
            auth_int: false,
            userhash: false,
            allow_no_qop: false,
            bind_source: false,
            foreign_store: false,
            foreign_delay: Duration::from_millis(20),
            foreign_lifetime: Duration::from_secs(300),
            secret: Secret([0; 32]),
            boot_epoch: 0,
        }
    }
}

/// JSON Web Signature algorithms that are accepted. HMAC and `none` do not exist here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum JwtAlgorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl JwtAlgorithm {
    /// All of them.
    pub const ALL: [JwtAlgorithm; 9] = [
        JwtAlgorithm::Rs256,
        JwtAlgorithm::Rs384,
        JwtAlgorithm::Rs512,
        JwtAlgorithm::Ps256,
        JwtAlgorithm::Ps384,
        JwtAlgorithm::Ps512,
        JwtAlgorithm::Es256,
        JwtAlgorithm::Es384,
        JwtAlgorithm::EdDsa,
    ];
}

/// One issuer of tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IssuerConfig {
    /// Required `iss`.
    pub issuer: String,
    /// Accepted `aud`: the token must name at least one. Must not be empty.
    pub audiences: Vec<String>,
    /// Where the JWKS document lives: an https URL, a file path; handed to the host in a `Keys` query. Empty: the issuer
    /// is an https URL and says so itself (OpenID Connect Discovery 1.0).
    pub jwks: String,
    /// Accepted algorithms.
    pub algorithms: Vec<JwtAlgorithm>,
    /// Shortest and longest time a key set is kept before it is asked for again.
    pub keys_min_age: Duration,
    /// See `keys_min_age`.
    pub keys_max_age: Duration,
    /// The claim in which this issuer names the AoRs, or a template, if not that of [`JwtConfig::aor_claim`].
    pub aor_claim: Option<String>,
    /// What its tokens must have in `scope`, beside what [`JwtConfig::scope`] asks of all.
    pub scope: Option<String>,
}

impl IssuerConfig {
    /// Where its keys are asked for, and whether that is only where one learns where they are.
    pub fn key_source(&self) -> (&str, bool) {
        if self.jwks.is_empty() { (&self.issuer, true) } else { (&self.jwks, false) }
    }
}

impl Default for IssuerConfig {
    /// No issuer yet; RS256, ES256 and EdDSA; keys kept between a minute and a day.
    fn default() -> IssuerConfig {
        IssuerConfig {
            issuer: String::new(),
            audiences: Vec::new(),
            jwks: String::new(),
            algorithms: vec![JwtAlgorithm::Rs256, JwtAlgorithm::Es256, JwtAlgorithm::EdDsa],
            keys_min_age: Duration::from_secs(60),
            keys_max_age: Duration::from_secs(86_400),
            aor_claim: None,
            scope: None,
        }
    }
}

/// Who is asked about tokens that are no JWT (RFC 7662).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IntrospectionConfig {
    /// Where to ask: an https URL; handed to the host in an `Introspect` query.
    pub endpoint: String,
    /// As whom to ask.
    pub client_id: String,
    /// The secret of that client.
    pub client_secret: Secret<String>,
    /// Whose tokens they are: `iss` of an answer that has one, and the name by which they are taken back.
    pub issuer: String,
    /// Accepted `aud`: the answer must name at least one. Empty: the server knows which tokens are for whom it answers.
    pub audiences: Vec<String>,
    /// Longest time an answer is believed; the life of the token ends it before.
    pub max_age: Duration,
}

impl Default for IntrospectionConfig {
    /// Nobody yet; answers are believed for five minutes.
    fn default() -> IntrospectionConfig {
        IntrospectionConfig {
            endpoint: String::new(),
            client_id: String::new(),
            client_secret: Secret::default(),
            issuer: String::new(),
            audiences: Vec::new(),
            max_age: Duration::from_secs(300),
        }
    }
}

/// Bearer tokens, RFC 8898.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JwtConfig {
    /// Accepted issuers. At least one, unless there is introspection.
    pub issuers: Vec<IssuerConfig>,
    /// `authz_server` of the challenge: an https URI. Without it Bearer is accepted but never offered (DECISIONS 6).
    pub authz_server: Option<String>,
    /// `scope` of the challenge, and required of tokens when given.
    pub scope: Option<String>,
    /// Claim that names the AoRs: a string or an array of strings, each a URI or `user@domain` or a bare user of the
    /// default domain. Or a template around such a claim, `{preferred_username}@example.com`: its values are letters, digits
    /// and `-_.!~*'+` then, and others name nobody.
    pub aor_claim: String,
    /// Leeway for `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// Accept and offer Bearer over UDP, TCP and WS too. Tokens can then be stolen on the way (RFC 8898 s2.1.2).
    pub allow_cleartext: bool,
    /// Shortest time between two fetches of one key set for an unknown `kid`.
    pub refetch_interval: Duration,
    /// Who is asked about tokens that are no JWT; without it they are refused.
    pub introspection: Option<IntrospectionConfig>,
}

/// An AoR around the value of a claim, as in [`JwtConfig::aor_claim`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Template<'t> {
    pub(crate) before: &'t str,
    pub(crate) claim: &'t str,
    pub(crate) after: &'t str,
}

impl<'t> Template<'t> {
    /// `None` if this is the name of a claim and nothing more.
    pub(crate) fn of(text: &'t str) -> Option<Template<'t>> {
        let (before, rest) = text.split_once('{')?;
        let (claim, after) = rest.split_once('}')?;
        Some(Template { before, claim, after })
    }

    /// One claim, in what comes before an `@`.
    pub(crate) fn is_good(&self) -> bool {
        let Template { before, claim, after } = *self;
        let braces = [before, claim, after].iter().any(|part| part.contains(['{', '}']));
        !braces && !claim.is_empty() && !before.contains('@') && after.contains('@')
    }
}

impl JwtConfig {
    /// The claim in which an issuer names the AoRs, or a template.
    pub fn aor_claim_of(&self, issuer: &str) -> &str {
        let own = self.issuers.iter().find(|one| one.issuer == issuer);
        own.and_then(|one| one.aor_claim.as_deref()).unwrap_or(&self.aor_claim)
    }
}

impl Default for JwtConfig {
    /// No issuer yet; the AoR is in `sub`, tokens travel encrypted only.
    fn default() -> JwtConfig {
        JwtConfig {
            issuers: Vec::new(),
            authz_server: None,
            scope: None,
            aor_claim: "sub".into(),
            leeway: Duration::from_secs(30),
            allow_cleartext: false,
            refetch_interval: Duration::from_secs(30),
            introspection: None,
        }
    }
}

/// What happens to the contact that is one too many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MaxContacts {
    /// The binding that was refreshed longest ago is replaced.
    ReplaceOldest,
    /// 403.
    Refuse,
}

/// Whether Path (RFC 3327) is accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathMode {
    /// A REGISTER with Path gets 420 with Unsupported: path.
    Refuse,
    /// Accepted from these edges only, 420 else (DECISIONS 8).
    From(Vec<IpNet>),
}

/// Whether outbound (RFC 5626) is granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutboundMode {
    /// Granted to phones that ask for it.
    On,
    /// `reg-id` is ignored.
    Off,
}

/// The registrar.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistrarConfig {
    /// Granted when nothing is asked, in seconds.
    pub default_expires: u32,
    /// Shortest granted, in seconds: less gets 423 (RFC 3261 s10.3 step 7, only when below one hour).
    pub min_expires: u32,
    /// Longest granted, in seconds.
    pub max_expires: u32,
    /// Longest granted to a NATed UDP binding, in seconds (DECISIONS 13).
    pub nat_max_expires: u32,
    /// The granted value is shortened by a keyed draw of at most this share, in percent, so that fleets spread out.
    pub expires_jitter_percent: u8,
    /// Most bindings of one AoR.
    pub max_contacts: usize,
    /// What happens past it.
    pub max_contacts_policy: MaxContacts,
    /// Path.
    pub path: PathMode,
    /// Outbound.
    pub outbound: OutboundMode,
    /// `Flow-Timer` granted to outbound flows, in seconds.
    pub flow_timer: u32,
    /// Mint GRUUs (RFC 5627) for phones that support them.
    pub gruu: bool,
    /// `Service-Route` values for the 200 (RFC 3608), each with angle brackets.
    pub service_route: Vec<String>,
    /// Keep-alive interval for NATed UDP bindings; zero sends none.
    pub nat_keepalive: Duration,
    /// Tell `Expiring` this long before a binding ends; zero never.
    pub expiring_notice: Duration,
}

impl Default for RegistrarConfig {
    fn default() -> RegistrarConfig {
        RegistrarConfig {
            default_expires: 3600,
            min_expires: 60,
            max_expires: 7200,
            nat_max_expires: 300,
            expires_jitter_percent: 0,
            max_contacts: 10,
            max_contacts_policy: MaxContacts::ReplaceOldest,
            path: PathMode::Refuse,
            outbound: OutboundMode::On,
            flow_timer: 120,
            gruu: true,
            service_route: Vec::new(),
            nat_keepalive: Duration::from_secs(25),
            expiring_notice: Duration::ZERO,
        }
    }
}

/// Which events are told. An event nobody wants is never built.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tell {
    /// One `Outcome` per request.
    pub outcomes: bool,
    /// `Binding` events.
    pub bindings: bool,
    /// `Dropped` events (they are counted in any case).
    pub drops: bool,
    /// `Save` commands: false for a host without a store.
    pub changes: bool,
    /// The host stores changes behind what is sent, and never says that it could not: what was before them is not kept.
    pub behind: bool,
    /// `Presence` and `Subscription` events from the start on. Without it they are told while somebody listens
    /// ([`Request::Listen`](crate::door::Request::Listen)).
    pub presence: bool,
    /// `Call` events, with a record of each call when it is over.
    pub calls: bool,
}

impl Tell {
    /// Whether a change may turn out not to be durable: then what was before it must be known until it is.
    pub(crate) fn may_fail(&self) -> bool {
        self.changes && !self.behind
    }
}
