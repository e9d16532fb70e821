//! Calls: how long they ring and last, where they go, and what is at the other end of a trunk.
//!
//! One small language serves routes, numbers and permissions. A *pattern* is compared with a number (`+442079460000`), a
//! user of ours, or `user@host`; it is that text, or the beginning of it followed by one `*`, which stands for the rest,
//! also for none. With a domain behind `@` it means that domain, `@*` every one that is not ours. What it becomes may hold `{rest}` (what the `*` stood for), `{user}` (all that was compared, up to the
//! `@`) and `{domain}`.

mod check;
pub(crate) mod pattern;

pub(crate) use check::uri_of;
pub(super) use check::{check, check_account};

use core::net::IpAddr;
use core::time::Duration;

use super::IpNet;
use crate::door::Secret;

/// Calls through the engine, as a back-to-back user agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallsConfig {
    /// How long a call may ring, wherever it goes meanwhile, before the caller is told that nobody answered.
    pub ring_timeout: Duration,
    /// How long one group of phones, or one target, rings before the next one or what is said for no answer.
    pub target_timeout: Duration,
    /// How long a call may last.
    pub max_duration: Duration,
    /// `Session-Expires` we ask for and grant, in seconds (RFC 4028).
    pub session_expires: u32,
    /// `Min-SE`, in seconds; at least 90.
    pub min_se: u32,
    /// Use session timers at all.
    pub session_timers: bool,
    /// Callers are shown one early dialog, and no media before the answer: for phones that lose their way in more.
    pub single_early_dialog: bool,
    /// A phone that declines (6xx) ends its own ringing only, not that of all others.
    pub decline_is_local: bool,
    /// Where calls go that an account does not take and for which it says nothing else: a URI, in which `{user}` and
    /// `{domain}` stand for those of the account.
    pub voicemail: Option<String>,
    /// Ask the host where each new call goes ([`Query::Route`](crate::door::Query::Route)).
    pub ask_route: bool,
    /// Where calls go that are not for an account. The first that fits decides.
    pub routes: Vec<RouteConfig>,
    /// Other telephone systems.
    pub trunks: Vec<TrunkConfig>,
    /// How telephone numbers are written, and whose they are.
    pub numbers: NumbersConfig,
    /// Where calls to `urn:service:sos` and its kin go: a URI, or a number for the routes. Without it they get 404.
    pub emergency: Option<String>,
    /// What accounts may call that do not say themselves: patterns of numbers and of `user@host` outside, the first that
    /// fits decides, one that begins with `!` forbids. Nothing by default: calls stay within.
    pub dial: Vec<String>,
    /// Whether sound goes over a relay.
    pub media: MediaConfig,
}

/// When the media of a call go over a relay, which the host has ([`Query::Media`](crate::door::Query::Media)).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MediaConfig {
    /// Which calls.
    pub mode: MediaMode,
    /// Networks whose phones reach each other without help. Empty: all private ones.
    pub local: Vec<IpNet>,
    /// How long the relay may take to answer.
    pub patience: Duration,
}

impl Default for MediaConfig {
    fn default() -> MediaConfig {
        MediaConfig { mode: MediaMode::Off, local: Vec::new(), patience: Duration::from_secs(2) }
    }
}

impl MediaConfig {
    /// True for an address in a network whose phones reach each other.
    pub(crate) fn is_local(&self, addr: IpAddr) -> bool {
        match self.local.is_empty() {
            true => is_private(addr),
            false => self.local.iter().any(|net| net.contains(addr)),
        }
    }
}

/// True for an address that means something within its own network only: RFC 1918, RFC 6598, RFC 3927, RFC 4193,
/// RFC 4291 s2.5.6, and this machine.
pub(crate) fn is_private(addr: IpAddr) -> bool {
    match addr.to_canonical() {
        IpAddr::V4(addr) => {
            let [a, b, ..] = addr.octets();
            addr.is_private() || addr.is_loopback() || addr.is_link_local() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(addr) => addr.is_loopback() || addr.is_unique_local() || addr.is_unicast_link_local(),
    }
}

/// Which calls have their media relayed. One that should be and cannot is refused: 488 if the relay cannot connect browsers
/// with plain phones, else 503. One offer is for all who ring: of several phones of somebody only those ring that speak as
/// the caller does (WebRTC or not), if there are any.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MediaMode {
    /// None: descriptions pass as they are.
    #[default]
    Off,
    /// Those whose parties could not reach each other: an address is private and the other one is elsewhere, or one has
    /// IPv4 and the other IPv6.
    Auto,
    /// All but those between browsers, which find their own way.
    Always,
}

impl Default for CallsConfig {
    /// Calls between accounts and nothing else.
    fn default() -> CallsConfig {
        CallsConfig {
            ring_timeout: Duration::from_secs(180),
            target_timeout: Duration::from_secs(30),
            max_duration: Duration::from_secs(12 * 3600),
            session_expires: 1800,
            min_se: 90,
            session_timers: true,
            single_early_dialog: false,
            decline_is_local: false,
            voicemail: None,
            ask_route: false,
            routes: Vec::new(),
            trunks: Vec::new(),
            numbers: NumbersConfig::default(),
            emergency: None,
            dial: Vec::new(),
            media: MediaConfig::default(),
        }
    }
}

/// What is called by a pattern goes here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RouteConfig {
    /// What is called. Without `@` it is a user of ours that is no account, or a number.
    pub pattern: String,
    /// Where it goes.
    pub targets: Vec<RouteTo>,
}

/// One target of a route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteTo {
    /// A URI, `user@domain` of ours, or a number; with `{rest}`, `{user}` and `{domain}`. With a trunk it is the user there,
    /// and empty stands for `{user}`.
    pub to: String,
    /// The [name](TrunkConfig::name) of a trunk.
    pub trunk: Option<String>,
    /// Thousandths: targets of one value ring together, higher ones first.
    pub q: u16,
    /// How long it rings, if not [`target_timeout`](CallsConfig::target_timeout).
    pub timeout: Option<Duration>,
}

impl Default for RouteTo {
    fn default() -> RouteTo {
        RouteTo { to: String::new(), trunk: None, q: 1000, timeout: None }
    }
}

/// Another telephone system: a carrier, a gateway, another exchange.
///
/// Who calls from there is known by [`sources`](TrunkConfig::sources), or by the name in its certificate; a listener
/// alone is enough if one is named. Such calls reach our own users and numbers, and never another trunk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TrunkConfig {
    /// What routes and records call it.
    pub name: String,
    /// Where calls to it go: `sip:carrier.example;transport=tls`. Without a user.
    pub uri: String,
    /// Who we are there, when it asks; empty if it does not.
    pub username: String,
    /// The password for that.
    pub password: Option<Secret<String>>,
    /// Networks its calls come from.
    pub sources: Vec<IpNet>,
    /// The listener they come to, if only that one.
    pub listener: Option<u16>,
    /// Names one of which its TLS certificate has, lower case.
    pub tls_names: Vec<String>,
    /// Most calls at once, in both directions: one more from there gets 503, one more to there takes the next target.
    pub max_calls: Option<u32>,
    /// How often it is asked by OPTIONS whether it is there; at least a second. While it does not answer, or answers 503, no
    /// call is sent there. `None`: never, and it is taken to be there.
    pub qualify: Option<Duration>,
    /// Register there. What is sent to the Contact that was registered is of this trunk, wherever it comes from.
    pub register: bool,
    /// As whom: a URI with a user; empty for [`username`](TrunkConfig::username) at the host of [`uri`](TrunkConfig::uri).
    pub register_as: String,
    /// For how long at a time; at least a minute.
    pub register_expires: Duration,
    /// The From of calls to it: a URI with `{user}`, which stands for the caller's number, or his user. Empty: that at
    /// our domain.
    pub from: String,
    /// Tell it who calls by P-Asserted-Identity (RFC 3325): it is trusted, also with who does not want to be named. A trunk
    /// that is not is shown From alone.
    pub asserted: bool,
    /// How called numbers are written there; the first that fits decides, and what fits none stays.
    pub called: Vec<NumberRule>,
    /// How numbers of callers are written there.
    pub calling: Vec<NumberRule>,
    /// What the numbers it calls here are made before [`NumbersConfig::rules`].
    pub inbound: Vec<NumberRule>,
}

impl TrunkConfig {
    /// A trunk of this name, to this URI; nothing comes from it yet.
    pub fn new(name: impl Into<String>, uri: impl Into<String>) -> TrunkConfig {
        let register_expires = Duration::from_secs(3600);
        TrunkConfig { name: name.into(), uri: uri.into(), register_expires, ..TrunkConfig::default() }
    }
}

/// How telephone numbers are written, and whose they are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NumbersConfig {
    /// What is dialled, and how it is written from then on; the first that fits decides, and what fits none stays. Visual
    /// separators are gone before.
    pub rules: Vec<NumberRule>,
    /// Whose a number is, as the rules write it.
    pub users: Vec<NumberUser>,
}

/// A number of this pattern is written so.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NumberRule {
    /// The beginning of the number and `*`, or all of it.
    pub pattern: String,
    /// What it becomes; `{rest}` is what the `*` stood for.
    pub becomes: String,
}

impl NumberRule {
    /// `00*` becomes `+{rest}`.
    pub fn new(pattern: impl Into<String>, becomes: impl Into<String>) -> NumberRule {
        NumberRule { pattern: pattern.into(), becomes: becomes.into() }
    }
}

/// Whose a number is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NumberUser {
    /// The number as [`NumbersConfig::rules`] write it.
    pub number: String,
    /// `user@domain` of ours, or a user of the default domain.
    pub aor: String,
}

/// Where calls to an account go instead of its phones.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ForwardConfig {
    /// Each call, and at once: a URI, `user@domain`, a user of the account's domain, or a number.
    pub always: Option<String>,
    /// When all phones are busy.
    pub busy: Option<String>,
    /// When nobody answers.
    pub no_answer: Option<String>,
    /// When there is no phone.
    pub offline: Option<String>,
    /// Nothing rings: callers hear that it is busy, or the voicemail.
    pub do_not_disturb: bool,
    /// How long the phones ring, if not [`target_timeout`](CallsConfig::target_timeout).
    pub after: Option<Duration>,
}

/// Where calls go that an account does not take.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Voicemail {
    /// To [`CallsConfig::voicemail`].
    #[default]
    Common,
    /// Nowhere.
    Off,
    /// To this URI, in which `{user}` and `{domain}` stand for those of the account.
    To(String),
}
