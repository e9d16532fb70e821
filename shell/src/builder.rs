//! The builder's face: a server in a few lines.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use strowger_core::config::{
    AccountConfig, Config, DomainConfig, IssuerConfig, JwtConfig, ListConfig, ListenerConfig,
};
use strowger_core::door::{CredentialsAnswer, CredentialsQuery, Event, Secret};

use crate::calls::CallsHandle;
use crate::error::StartError;
use crate::handle::Handle;
use crate::hooks::{Hooks, Notice};
use crate::names;
use crate::options::Options;
use crate::presence::PresenceHandle;
use crate::route::{Route, RouteCall};
use crate::server::{Line, Runtime, Server, Start};
use crate::socket::everywhere;
use crate::store::Store;

/// A SIP server, on the runtime that its crate is named after.
///
/// It listens on UDP and TCP, IPv4 and IPv6, on all addresses of the machine. Every address and the host name mean one
/// default domain, so that a phone configured with any of them works; [`domain`](SimpleB2bua::domain) names another.
///
/// Whoever is neither an account nor the bearer of an accepted token gets challenged and no further.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), strowger_tokio::StartError> {
/// use strowger_tokio::SimpleB2bua;
///
/// let server = SimpleB2bua::new("Lobby", 0).account("alice", "a long secret").enable_registration();
/// let handle = server.handle();
/// let running = server.bind().await?;
/// println!("listening on port {}", running.listeners()[0].addr.port());
/// assert!(handle.lookup("alice@localhost").await.unwrap().is_empty());
/// handle.shutdown().unwrap();
/// running.stopped().await
/// # }
/// ```
#[must_use = "a server does nothing until it is started"]
pub struct SimpleB2bua<R> {
    config: Config,
    options: Options,
    hooks: Hooks,
    line: Line,
    runtime: PhantomData<fn() -> R>,
}

impl<R> fmt::Debug for SimpleB2bua<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimpleB2bua").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<R: Runtime> SimpleB2bua<R> {
    /// A server of this name (the `Server` header) on this port; port 0 takes a free one.
    pub fn new(name: impl Into<String>, port: u16) -> SimpleB2bua<R> {
        let mut config = Config::new("localhost");
        config.server_name = name.into();
        config.domains = vec![machine_domain()];
        config.listeners = everywhere(port);
        SimpleB2bua {
            config,
            options: Options::default(),
            hooks: Hooks::default(),
            line: Line::new(),
            runtime: PhantomData,
        }
    }

    /// Serves this domain. The names of the machine stay its aliases.
    pub fn domain(mut self, name: impl Into<String>) -> SimpleB2bua<R> {
        let mut aliases = machine_domain();
        aliases.aliases.push(aliases.name);
        self.config.domains = vec![DomainConfig { name: name.into(), aliases: aliases.aliases }];
        self
    }

    /// Listens here instead of everywhere.
    pub fn listen(mut self, listeners: impl IntoIterator<Item = ListenerConfig>) -> SimpleB2bua<R> {
        self.config.listeners = listeners.into_iter().collect();
        self
    }

    /// Adds an account that logs in by Digest and owns `user@domain`.
    pub fn account(mut self, user: impl Into<String>, password: impl Into<String>) -> SimpleB2bua<R> {
        let password = Some(Secret(password.into()));
        self.config.accounts.push(AccountConfig {
            username: user.into(),
            password,
            ..AccountConfig::default()
        });
        self
    }

    /// Lets phones register (RFC 3261 s10, RFC 5626, RFC 3327, RFC 5627).
    pub fn enable_registration(mut self) -> SimpleB2bua<R> {
        self.config.registrar.get_or_insert_default();
        self
    }

    /// Serves presence: phones publish (RFC 3903) and watch (RFC 3856), with registrations as a further source, and the
    /// program does both by [`presence_handler`](SimpleB2bua::presence_handler).
    ///
    /// Users of one domain may watch each other, and a change is told at once; what follows within five seconds is told
    /// at their end, in one. [`configure`](SimpleB2bua::configure) changes that and more
    /// ([`PresenceConfig`](strowger_core::config::PresenceConfig)).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use strowger_tokio::SimpleB2bua;
    /// use strowger_tokio::core::door::PresenceState;
    ///
    /// let server = SimpleB2bua::new("Lobby", 0).account("alice", "a long secret").enable_registration().enable_presence();
    /// let running = server.bind().await?;
    /// let presence = running.presence_handler();
    /// presence.update_presence("alice@localhost", PresenceState::Away, "At lunch", Duration::from_secs(1800)).await?;
    /// let alice = presence.get_presence("alice@localhost").await?;
    /// assert_eq!((alice.state, alice.note.as_deref()), (PresenceState::Away, Some("At lunch")));
    /// # running.handle().shutdown()?;
    /// # Ok(running.stopped().await?)
    /// # }
    /// ```
    pub fn enable_presence(mut self) -> SimpleB2bua<R> {
        self.config.presence.get_or_insert_default();
        self
    }

    /// Serves presence, and a buddy list: who subscribes to `buddies` of the default domain is told of all other accounts
    /// of it in one subscription (RFC 4662), each as far as he may watch it. Accounts that are
    /// [`unlisted`](AccountConfig::unlisted) stay out. Lists of groups, and of names, are in
    /// [`Config::lists`](strowger_core::config::Config::lists).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use strowger_tokio::SimpleB2bua;
    ///
    /// let server = SimpleB2bua::new("Lobby", 0).account("alice", "a long secret").account("bob", "another one");
    /// let running = server.enable_buddy_lists().bind().await?;
    /// let buddies = running.presence_handler().get_buddy_list("alice@localhost").await?;
    /// assert!(buddies.buddies[0].aor.starts_with("bob@"));
    /// # running.handle().shutdown()?;
    /// # Ok(running.stopped().await?)
    /// # }
    /// ```
    pub fn enable_buddy_lists(mut self) -> SimpleB2bua<R> {
        self.config.lists.push(ListConfig::buddies());
        self.enable_presence()
    }

    /// Tells phones that subscribe to it how many messages wait for their users (RFC 3842). The program says it by
    /// [`set_message_summary`](PresenceHandle::set_message_summary), or a messaging server by PUBLISH.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use strowger_tokio::SimpleB2bua;
    /// use strowger_tokio::core::door::MessageSummary;
    ///
    /// let server = SimpleB2bua::new("Lobby", 0).account("alice", "a long secret").enable_message_summary();
    /// let running = server.bind().await?;
    /// let mailboxes = running.presence_handler();
    /// mailboxes.set_message_summary("alice@localhost", MessageSummary::voice("sip:*97@localhost", 2, 5)).await?;
    /// assert!(mailboxes.message_summary("alice@localhost").await?.is_some_and(|summary| summary.waiting));
    /// # running.handle().shutdown()?;
    /// # Ok(running.stopped().await?)
    /// # }
    /// ```
    pub fn enable_message_summary(mut self) -> SimpleB2bua<R> {
        self.config.message_summary.get_or_insert_default();
        self
    }

    /// Takes calls: to the phones of whoever is called, then to where he forwards to, then to his voicemail. Calls stay
    /// within; routes, trunks, numbers and who may call what are in
    /// [`CallsConfig`](strowger_core::config::CallsConfig).
    pub fn enable_calls(mut self) -> SimpleB2bua<R> {
        self.config.calls.get_or_insert_default();
        self
    }

    /// Carries instant messages (RFC 3428): to all phones of whoever they are for, or kept for the next one that
    /// registers; how long says [`MessagesConfig`](strowger_core::config::MessagesConfig).
    pub fn enable_messages(mut self) -> SimpleB2bua<R> {
        self.config.messages.get_or_insert_default();
        self
    }

    /// Asks this closure where each new call, and message, goes. It may look things up meanwhile: other calls do not wait
    /// for it, and the caller hears 100 Trying. An answer that takes longer than
    /// [`Limits::park_timeout`](strowger_core::config::Limits::park_timeout) comes too late, and the caller gets 503.
    ///
    /// It is told who calls, as the credentials of that request prove, whom, with which phones, and whether he is
    /// there. What it needs beside that, such as a database, is cloned for each call:
    /// `move |call| { let users = users.clone(); async move { .. } }`. It answers with a [`Route`], or with whatever becomes one: a URI, a status, `None` for where the call goes
    /// without it. Where it sends a call, permissions are not asked again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), strowger_tokio::StartError> {
    /// use strowger_tokio::{Route, RouteCall, SimpleB2bua};
    /// use strowger_tokio::core::door::PresenceState;
    ///
    /// let server = SimpleB2bua::new("Lobby", 0)
    ///     .account("alice", "a long secret")
    ///     .account("voicemail", "another one")
    ///     .enable_registration()
    ///     .enable_presence()
    ///     .on_route(async |call: RouteCall| match call.state() {
    ///         _ if call.caller.is_none() => Route::reject(403),
    ///         Some(PresenceState::DoNotDisturb) => Route::to("sip:voicemail@localhost"),
    ///         Some(PresenceState::Busy) => Route::busy(),
    ///         // Where it goes without asking: her phones, what she forwards to, her voicemail.
    ///         _ => Route::default(),
    ///     });
    /// let running = server.bind().await?;
    /// # running.handle().shutdown().unwrap();
    /// # running.stopped().await
    /// # }
    /// ```
    pub fn on_route<F, D>(mut self, on_route: F) -> SimpleB2bua<R>
    where
        F: Fn(RouteCall) -> D + Send + Sync + 'static,
        D: Future<Output: Into<Route>> + Send + 'static,
    {
        self.hooks.on_route = Some(Arc::new(move |call| {
            let routed = on_route(call);
            Box::pin(async move { routed.await.into() })
        }));
        self.enable_calls()
    }

    /// A whole server: phones register, publish and watch presence, and call and write to each other, by Digest or by Bearer tokens
    /// signed with the keys at this URL or file. What was set before stays as it is, an
    /// [`on_route`](SimpleB2bua::on_route) among it.
    ///
    /// ```
    /// # async fn whole() -> Result<(), strowger_tokio::StartError> {
    /// # use strowger_tokio::SimpleB2bua;
    /// SimpleB2bua::new("Exchange", 5060).enable_sip_server("https://login.example/keys").start().await
    /// # }
    /// ```
    pub fn enable_sip_server(self, jwks_url: impl Into<String>) -> SimpleB2bua<R> {
        self.enable_registration().enable_presence().enable_calls().enable_messages().enable_auth(jwks_url)
    }

    /// Accepts Bearer tokens (RFC 8898) signed with the keys at this URL or file, beside Digest.
    ///
    /// The issuer is taken to be the URL's scheme and host, and the audience the server's domain;
    /// [`issuer`](SimpleB2bua::issuer) says otherwise. Tokens are accepted over TLS and WSS only; the claim that names
    /// the addresses of record is `sub`. Everything else is in [`configure`](SimpleB2bua::configure).
    pub fn enable_auth(self, jwks_url: impl Into<String>) -> SimpleB2bua<R> {
        let jwks = jwks_url.into();
        let issuer = origin(&jwks);
        self.issuer(issuer, [""; 0], jwks)
    }

    /// Accepts Bearer tokens of this issuer for one of these audiences, or without any for the server's domain, signed
    /// with the keys at this URL or file. The last word on an issuer's keys wins.
    pub fn issuer<A: Into<String>>(
        mut self,
        issuer: impl Into<String>,
        audiences: impl IntoIterator<Item = A>,
        jwks_url: impl Into<String>,
    ) -> SimpleB2bua<R> {
        let (issuer, jwks) = (issuer.into(), jwks_url.into());
        let jwt = self.config.jwt.get_or_insert_with(JwtConfig::default);
        jwt.issuers.retain(|known| known.issuer != issuer && (jwks.is_empty() || known.jwks != jwks));
        jwt.issuers.push(IssuerConfig {
            issuer,
            audiences: audiences.into_iter().map(Into::into).collect(),
            jwks,
            ..IssuerConfig::default()
        });
        self
    }

    /// Accepts Bearer tokens of this OpenID Connect issuer, an https URL, for one of these audiences. Its metadata say
    /// where its keys are (OpenID Connect Discovery 1.0, RFC 8414).
    pub fn discover<A: Into<String>>(
        self,
        issuer: impl Into<String>,
        audiences: impl IntoIterator<Item = A>,
    ) -> SimpleB2bua<R> {
        self.issuer(issuer, audiences, "")
    }

    /// Changes anything else of the engine's configuration.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> SimpleB2bua<R> {
        change(&mut self.config);
        self
    }

    /// Bounds and deadlines of the sockets.
    pub fn options(mut self, options: Options) -> SimpleB2bua<R> {
        self.options = options;
        self
    }

    /// Is told every event of the kinds chosen in [`Config::tell`], in order, in the engine's thread: it must not block.
    /// Binding changes are chosen by this call.
    pub fn on_event(mut self, on_event: impl FnMut(Event) + Send + 'static) -> SimpleB2bua<R> {
        self.config.tell.bindings = true;
        self.hooks.on_event = Some(Box::new(on_event));
        self
    }

    /// Is told when keys were fetched, or could not be.
    pub fn on_notice(mut self, on_notice: impl Fn(Notice) + Send + Sync + 'static) -> SimpleB2bua<R> {
        self.hooks.on_notice = Some(Arc::new(on_notice));
        self
    }

    /// Keeps registrations, publications, subscriptions and messages over restarts: what is in the store is there again
    /// before the server listens. Changes are written in batches behind what is answered, or before that, as
    /// [`Options::storage`](crate::options::Options::storage) says.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), strowger_tokio::StartError> {
    /// use strowger_tokio::SimpleB2bua;
    /// use strowger_tokio::shell::store::MemoryStore;
    ///
    /// let store = MemoryStore::new();
    /// for _ in 0..2 {
    ///     let server = SimpleB2bua::new("Lobby", 0).account("alice", "a long secret").enable_registration();
    ///     let running = server.store(store.clone()).bind().await?;
    ///     running.handle().shutdown().unwrap();
    ///     running.stopped().await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn store(mut self, store: impl Store + 'static) -> SimpleB2bua<R> {
        self.hooks.store = Some(Box::new(store));
        self
    }

    /// Asks this closure for the Digest credentials of users that are not accounts.
    pub fn credentials<F, A>(mut self, store: F) -> SimpleB2bua<R>
    where
        F: Fn(CredentialsQuery) -> A + Send + 'static,
        A: Future<Output = CredentialsAnswer> + Send + 'static,
    {
        self.config.digest.foreign_store = true;
        self.hooks.credentials = Some(Box::new(move |query| Box::pin(store(query))));
        self
    }

    /// Talks to the engine once it runs: look-ups, removal, numbers, reload, drain, shutdown. What is asked before the
    /// start is served at the start.
    pub fn handle(&self) -> Handle {
        self.line.handle.clone()
    }

    /// Reads and publishes presence once the server runs.
    pub fn presence_handler(&self) -> PresenceHandle {
        self.line.handle.presence_handler()
    }

    /// Looks at live calls, ends them and begins them, once the server runs. It may be moved into
    /// [`on_route`](SimpleB2bua::on_route).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use strowger_tokio::SimpleB2bua;
    ///
    /// let server = SimpleB2bua::new("Lobby", 0).account("alice", "a long secret").enable_calls().bind().await?;
    /// let calls = server.calls_handler();
    /// for call in calls.list(0, 100).await? {
    ///     println!("{} calls {}: {:?}", call.caller, call.callee, call.stage);
    ///     calls.hang_up(call.id).await?;
    /// }
    /// // Click to dial: her phone rings, and when she answers, the other's.
    /// let id = calls.dial("alice", "sip:bob@localhost").await;
    /// # assert!(id.is_err(), "there is no bob");
    /// # server.handle().shutdown()?;
    /// # Ok(server.stopped().await?)
    /// # }
    /// ```
    pub fn calls_handler(&self) -> CallsHandle {
        self.line.handle.calls_handler()
    }

    /// Binds everything and starts; the server then runs by itself until a handle ends it.
    pub async fn bind(self) -> Result<Server<R>, StartError> {
        let SimpleB2bua { config, options, hooks, line, .. } = self;
        R::start(Start { line, config: for_the_domain(config), options, hooks })
    }

    /// Starts, and waits until a handle ends the server.
    pub async fn start(self) -> Result<(), StartError> {
        self.bind().await?.stopped().await
    }
}

/// Tokens of an issuer without an audience are for the domain, which may have been named later than the issuer.
fn for_the_domain(mut config: Config) -> Config {
    let domain = config.domains.first().map(|domain| &domain.name);
    for issuer in config.jwt.iter_mut().flat_map(|jwt| &mut jwt.issuers) {
        if issuer.audiences.is_empty() {
            issuer.audiences.extend(domain.cloned());
        }
    }
    config
}

/// The default domain of a machine nobody configured (DECISIONS 32): its host name, with every local address and
/// `localhost` as aliases.
pub fn machine_domain() -> DomainConfig {
    let mut aliases: Vec<String> = names::addresses().iter().map(ToString::to_string).collect();
    aliases.push("localhost".into());
    match names::host_name().filter(|name| name != "localhost") {
        Some(name) => DomainConfig { name, aliases },
        None => {
            aliases.pop();
            DomainConfig { name: "localhost".into(), aliases }
        }
    }
}

/// Scheme and authority of a URL; a file path stays what it is.
fn origin(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            format!("{scheme}://{}", rest.split(['/', '?', '#']).next().unwrap_or_default())
        }
        None => url.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A runtime for servers that are not started.
    struct Nowhere;

    impl Runtime for Nowhere {
        fn start(_: Start) -> Result<Server<Nowhere>, StartError> {
            Err(StartError::NoRuntime)
        }
    }

    type SimpleB2bua = super::SimpleB2bua<Nowhere>;

    #[test]
    fn the_issuer_of_a_url_is_its_origin() {
        assert_eq!(origin("https://login.example:8443/.well-known/jwks.json"), "https://login.example:8443");
        assert_eq!(origin("https://login.example?x"), "https://login.example");
        assert_eq!(origin("/etc/keys.json"), "/etc/keys.json");
    }

    #[test]
    fn the_last_word_on_an_issuers_keys_wins() {
        let server = SimpleB2bua::new("Lobby", 0)
            .domain("example.com")
            .enable_auth("https://login.example/keys")
            .issuer("urn:login", ["phones"], "https://login.example/keys");
        let issuers = server.config.jwt.expect("jwt").issuers;
        assert_eq!(issuers.len(), 1);
        assert_eq!((issuers[0].issuer.as_str(), issuers[0].audiences[0].as_str()), ("urn:login", "phones"));
    }

    #[test]
    fn issuers_whose_keys_are_discovered_stand_beside_each_other() {
        let [one, two] = ["https://one.example", "https://two.example"];
        let server =
            SimpleB2bua::new("Test", 0).discover(one, ["a"]).discover(two, ["a"]).discover(one, ["b"]);
        let issuers = server.config.jwt.expect("jwt").issuers;
        let sources: Vec<_> = issuers.iter().map(IssuerConfig::key_source).collect();
        assert_eq!(sources, [(two, true), (one, true)]);
    }

    #[test]
    fn a_whole_server_leaves_what_was_set_before() {
        let plain = SimpleB2bua::new("Lobby", 0).enable_sip_server("https://login.example/keys");
        let config = for_the_domain(plain.config).validate().expect("valid");
        assert!(config.registrar.is_some() && config.presence.is_some() && config.calls.is_some());
        assert!(config.messages.is_some());
        assert!(config.jwt.is_some() && plain.hooks.on_route.is_none());
        let server = SimpleB2bua::new("Lobby", 0)
            .on_route(async |_| None::<Route>)
            .configure(|config| config.calls.as_mut().expect("calls").ring_timeout = Duration::from_secs(7))
            .enable_sip_server("https://login.example/keys");
        assert!(server.hooks.on_route.is_some());
        assert_eq!(server.config.calls.map(|calls| calls.ring_timeout), Some(Duration::from_secs(7)));
    }

    #[test]
    fn the_configuration_of_the_builder_is_valid() {
        let server = SimpleB2bua::new("Lobby", 0).account("alice", "secret").enable_registration();
        server.config.validate().expect("valid");
    }

    #[test]
    fn tokens_are_for_the_domain_whichever_was_named_first() {
        let keys = "https://login.example/keys";
        let before = SimpleB2bua::new("Lobby", 0).domain("example.com").enable_auth(keys);
        let after = SimpleB2bua::new("Lobby", 0).enable_auth(keys).domain("example.com");
        for server in [before, after] {
            let config = for_the_domain(server.config);
            config.clone().validate().expect("valid");
            assert_eq!(config.jwt.expect("jwt").issuers[0].audiences, ["example.com"]);
        }
    }
}
