//! The real router over real files, and a fake engine.

mod attacks;
mod roles;
mod stories;

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::keys::{Algorithm, KeyRing, RingConfig};
use crate::login::LoginConfig;
use crate::password::Cost;
use crate::scratch::Scratch;
use crate::store::{NewAccount, Role, Store, StoreConfig};
use crate::tokens::{Issuer, TokenConfig};

const NOW: Seconds = 1_800_000_000;
const PASSWORD: &str = "builder builder";

/// An engine with one phone, one watcher and one call.
#[derive(Debug, Default)]
struct Fake {
    done: Mutex<Vec<String>>,
}

impl Exchange for Fake {
    fn registrations(&self, after: Option<&str>, _: usize) -> Result<Vec<Registration>, ExchangeError> {
        let all = ["alice@example.com", "bob@example.com"];
        let later = all.iter().filter(|aor| after.is_none_or(|after| **aor > after));
        Ok(later.map(|aor| Registration { aor: aor.to_string(), ..Registration::default() }).collect())
    }

    fn registration(&self, aor: &str) -> Result<Vec<Registration>, ExchangeError> {
        let all = self.registrations(None, 10)?;
        Ok(all.into_iter().filter(|registration| registration.aor == aor).collect())
    }

    fn remove_registration(&self, aor: &str, contact: Option<&str>) -> Result<usize, ExchangeError> {
        self.done.lock().unwrap().push(format!("unregister {aor} {contact:?}"));
        Ok(1)
    }

    fn presence(&self, aor: &str) -> Result<Presence, ExchangeError> {
        match aor {
            "bob@example.com" => Ok(Presence { aor: aor.into(), open: true, ..Presence::default() }),
            _ => Err(ExchangeError::NotFound),
        }
    }

    fn subscriptions(&self, after: u64, limit: usize) -> Result<Vec<Subscription>, ExchangeError> {
        let all = [4, 9].map(|id| Subscription { id, event: "presence".into(), ..Subscription::default() });
        Ok(all.into_iter().filter(|one| one.id > after).take(limit).collect())
    }

    fn calls(&self, after: u64, _: usize) -> Result<Vec<Call>, ExchangeError> {
        Ok(if after < 7 { vec![Call { id: 7, ..Call::default() }] } else { vec![] })
    }

    fn call(&self, id: u64) -> Result<Call, ExchangeError> {
        if id == 7 { Ok(Call { id, ..Call::default() }) } else { Err(ExchangeError::NotFound) }
    }

    fn end_call(&self, id: u64) -> Result<(), ExchangeError> {
        self.done.lock().unwrap().push(format!("end {id}"));
        self.call(id).map(|_| ())
    }

    fn health(&self) -> Health {
        Health { ok: true, status: "ok".into() }
    }
}

/// What came back.
#[derive(Clone, PartialEq, Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// What kind of problem it is; empty if it is none.
    fn problem(&self) -> String {
        let json = self.json();
        let kind = json["type"].as_str().unwrap_or_default();
        kind.trim_start_matches("urn:strowger:problem:").into()
    }
}

/// A server with accounts of each role.
struct World {
    _scratch: Scratch,
    router: Router,
    login: Arc<Login>,
    fake: Arc<Fake>,
    now: Arc<AtomicI64>,
}

impl World {
    fn new() -> World {
        let many = Rate { per_second: 1_000_000, burst: 1_000_000, most: 100 };
        World::with(ApiConfig { source: many, account: many, ..ApiConfig::default() })
    }

    fn with(config: ApiConfig) -> World {
        let scratch = Scratch::new();
        let store =
            StoreConfig { cost: Cost::least(), realms: vec!["example.com".into()], ..StoreConfig::default() };
        let store = Store::open(&scratch.path("users.db"), store).unwrap();
        for role in Role::ALL {
            let aors = vec![format!("{}@example.com", role.name())];
            let new = NewAccount { role, aors, ..NewAccount::named(role.name()) };
            store.create(&new.with_password(PASSWORD), NOW).unwrap();
        }
        let ring = RingConfig { algorithm: Algorithm::EdDsa, ..RingConfig::default() };
        let ring = Arc::new(KeyRing::open(&scratch.path("keys"), ring, NOW).unwrap());
        let issuer = Issuer::new(ring, TokenConfig::new("https://sip.example.com", "example.com"));
        let login = Arc::new(Login::new(Arc::new(store), Arc::new(issuer), LoginConfig::default()));
        let (fake, now) = (Arc::new(Fake::default()), Arc::new(AtomicI64::new(NOW)));
        let clock = Arc::clone(&now);
        let api = Api::new(
            Arc::clone(&login),
            Arc::clone(&fake) as Arc<dyn Exchange>,
            move || clock.load(Ordering::Relaxed),
            config,
        );
        World { _scratch: scratch, router: router(Arc::new(api)), login, fake, now }
    }

    async fn send(&self, request: axum::http::request::Builder, body: impl Into<Body>) -> Reply {
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    /// A request by whoever has this token.
    async fn ask(&self, token: &str, method: &str, path: &str, body: Value) -> Reply {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_null() {
            return self.send(request, Body::empty()).await;
        }
        self.send(request.header(header::CONTENT_TYPE, "application/json"), body.to_string()).await
    }

    async fn login(&self, username: &str) -> Value {
        let body = json!({ "username": username, "password": PASSWORD });
        let reply = self.ask("", "POST", "/auth/login", body).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        reply.json()
    }

    async fn token(&self, username: &str) -> String {
        self.login(username).await["access_token"].as_str().unwrap().into()
    }

    fn wait(&self, seconds: Seconds) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }
}

/// Serves a world on a socket for as long as the runtime lives, and sends texts there.
fn over_a_socket(world: &World) -> (tokio::runtime::Runtime, impl Fn(&str) -> String + use<>) {
    use std::io::{Read, Write};
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let service = world.router.clone().into_make_service_with_connect_info::<SocketAddr>();
    runtime.spawn(async move { axum::serve(listener, service).await });
    let ask = move |text: &str| {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        socket.write_all(text.as_bytes()).unwrap();
        let mut reply = String::new();
        socket.read_to_string(&mut reply).unwrap();
        reply
    };
    (runtime, ask)
}

#[test]
fn the_committed_document_is_what_the_routes_are() {
    let committed: Value = serde_json::from_str(include_str!("../../openapi.json")).unwrap_or_default();
    if committed != openapi() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json.new");
        std::fs::write(path, format!("{:#}\n", openapi())).unwrap();
        panic!(
            "users/openapi.json is not what the routes are; look at openapi.json.new and put it in its place"
        );
    }
}

#[test]
fn every_schema_the_document_names_is_in_it() {
    let document = openapi();
    let text = document.to_string();
    let mut seen = 0;
    for part in text.split("#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(!document["components"]["schemas"][name].is_null(), "{name}");
        seen += 1;
    }
    assert!(seen > 50);
}
