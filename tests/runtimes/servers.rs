//! The servers that scenarios are played against.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use strowger_core::config::{
    AccountConfig, AuthPolicy, CallsConfig, Config, DomainConfig, IssuerConfig, JwtConfig, ListenerConfig,
};
use strowger_core::door::{Secret, Transport};
use strowger_shell::handle::Handle;
use strowger_shell::hooks::Hooks;
use strowger_shell::options::Options;
use strowger_shell::promise::Wait;
use strowger_shell::route::{Route, RouteCall};
use strowger_shell::server::{Runtime as Runs, Server};
use strowger_sim::issuer::Issuer;

use crate::secure::Certificate;

/// What every account knows.
pub(crate) const PASSWORD: &str = "a long secret";

/// The year 2100.
const LATER: u64 = 4_102_444_800;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Runtime {
    Tokio,
    Smol,
    Mio,
}

impl Runtime {
    pub(crate) const ALL: [Runtime; 3] = [Runtime::Tokio, Runtime::Smol, Runtime::Mio];
}

/// A server, with whatever it needs to live.
pub(crate) struct Running {
    pub(crate) handle: Handle,
    pub(crate) addr: SocketAddr,
    /// Waits until it has ended.
    pub(crate) ended: Ended,
    pub(crate) token: String,
    /// What it shows, where TLS is spoken.
    pub(crate) certificate: Option<Certificate>,
    keys: Option<PathBuf>,
}

impl Running {
    /// Waits until it has ended; true if it did so in order.
    pub(crate) fn into_end(mut self) -> impl FnOnce() -> bool {
        let ended = std::mem::replace(&mut self.ended, Box::new(|| false));
        move || {
            let ended = ended();
            drop(self);
            ended
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(keys) = &self.keys {
            let _ = std::fs::remove_file(keys);
        }
    }
}

/// Starts what the words of the file ask for, with one listener at this address.
pub(crate) fn start(runtime: Runtime, (transport, ip): (Transport, IpAddr), words: &[&str]) -> Running {
    let issuer = Issuer::new("https://login.example", 7);
    let claims = json!({ "iss": issuer.name, "aud": "example.com", "sub": "alice@example.com", "iat": 0, "exp": LATER });
    let token = issuer.sign(&claims);
    let keys = words.contains(&"bearer").then(|| {
        let file = format!("strowger-keys-{}-{runtime:?}-{transport:?}-{ip}.json", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, issuer.document()).expect("a key file");
        path
    });
    let config = config((transport, ip), words, keys.as_ref().map(|path| path.display().to_string()));
    let hooks = Hooks {
        on_route: words.contains(&"route").then(|| -> strowger_shell::hooks::OnRoute {
            Arc::new(|call: RouteCall| {
                Box::pin(async move {
                    match &*call.to {
                        "desk@example.com" => Route::to("sip:bob@example.com"),
                        _ => Route::default(),
                    }
                })
            })
        }),
        ..Hooks::default()
    };
    let certificate = transport.is_secure().then(Certificate::new);
    let mut options = Options::default();
    options.stream.tls = certificate.as_ref().map(|certificate| certificate.server.clone());
    let (server, ended) = launch(runtime, config, options, hooks);
    let addr = server.1[0].addr;
    Running { handle: server.0, addr, ended, token, certificate, keys }
}

/// Talks to a server, and where it listens.
pub(crate) type Reached = (Handle, Vec<ListenerConfig>);

/// Waits until a server has ended; true if it did so in order.
pub(crate) type Ended = Box<dyn FnOnce() -> bool>;

/// Starts a server on a runtime.
pub(crate) fn launch(runtime: Runtime, config: Config, options: Options, hooks: Hooks) -> (Reached, Ended) {
    match runtime {
        Runtime::Tokio => {
            // Connections of a server on tokio live on the runtime of the program.
            let own = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let own = own.expect("a runtime");
            let (reached, ended) = {
                let _entered = own.enter();
                run::<strowger_tokio::Tokio>(config, options, hooks)
            };
            let ended = move || {
                let ended = ended();
                drop(own);
                ended
            };
            (reached, Box::new(ended))
        }
        Runtime::Smol => run::<strowger_smol::Smol>(config, options, hooks),
        Runtime::Mio => run::<strowger_mio::Mio>(config, options, hooks),
    }
}

fn run<R: Runs>(config: Config, options: Options, hooks: Hooks) -> (Reached, Ended) {
    let server = Server::<R>::start(config, options, hooks).expect("a server");
    let reached = (server.handle(), server.listeners().to_vec());
    (reached, Box::new(move || server.stopped().wait().is_ok()))
}

fn config((transport, ip): (Transport, IpAddr), words: &[&str], keys: Option<String>) -> Config {
    let mut config = Config::new("example.com");
    config.server_name = "Scenario".into();
    config.domains = vec![DomainConfig { name: "example.com".into(), ..DomainConfig::default() }];
    let addr = SocketAddr::new(ip, 0);
    config.listeners = vec![ListenerConfig { transport, addr, advertised: None, algorithms: None }];
    let policy = match () {
        () if words.contains(&"digest") => AuthPolicy::Digest,
        () if words.contains(&"bearer") => AuthPolicy::Bearer,
        () => AuthPolicy::Open,
    };
    let policies = &mut config.policies;
    (policies.register, policies.invite, policies.message) = (policy, policy, policy);
    (policies.subscribe, policies.publish, policies.other) = (policy, policy, policy);
    if let Some(jwks) = keys {
        let issuer = IssuerConfig {
            issuer: "https://login.example".into(),
            audiences: vec!["example.com".into()],
            jwks,
            ..IssuerConfig::default()
        };
        config.jwt = Some(JwtConfig {
            issuers: vec![issuer],
            allow_cleartext: true,
            authz_server: Some("https://login.example".into()),
            ..JwtConfig::default()
        });
    }
    config.registrar.get_or_insert_default();
    for word in words {
        match *word {
            "presence" => drop(config.presence.get_or_insert_default()),
            "messages" => drop(config.messages.get_or_insert_default()),
            "calls" | "route" => drop(config.calls.get_or_insert(CallsConfig::default())),
            "digest" | "bearer" => {}
            other => {
                let names = other.strip_prefix("accounts=").unwrap_or_else(|| panic!("{other}: not known"));
                accounts(&mut config, &names.split(',').collect::<Vec<_>>());
            }
        }
    }
    config
}

/// Has accounts of these names, which all have the same password.
pub(crate) fn accounts(config: &mut Config, names: &[&str]) {
    let account = |name: &&str| AccountConfig {
        username: (*name).into(),
        password: Some(Secret(PASSWORD.into())),
        ..AccountConfig::default()
    };
    config.accounts = names.iter().map(account).collect();
}
