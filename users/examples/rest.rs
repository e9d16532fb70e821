//! The REST API alone, without an engine behind it, in a folder that is given.
//!
//! ```text
//! cargo run -p strowger-users --example rest -- /tmp/accounts 127.0.0.1:8080
//! curl -s -H 'Content-Type: application/json' -d '{"username":"admin","password":"..."}' http://127.0.0.1:8080/auth/login
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use strowger_users::keys::{KeyRing, RingConfig};
use strowger_users::login::{Login, LoginConfig};
use strowger_users::rest::{
    Api, ApiConfig, Call, Exchange, ExchangeError, Health, Presence, Registration, Subscription, router,
};
use strowger_users::store::{Store, StoreConfig};
use strowger_users::tokens::{Issuer, TokenConfig};

/// Nobody is registered, and nobody calls.
struct Nothing;

impl Exchange for Nothing {
    fn registrations(&self, _: Option<&str>, _: usize) -> Result<Vec<Registration>, ExchangeError> {
        Ok(Vec::new())
    }
    fn registration(&self, _: &str) -> Result<Vec<Registration>, ExchangeError> {
        Ok(Vec::new())
    }
    fn remove_registration(&self, _: &str, _: Option<&str>) -> Result<usize, ExchangeError> {
        Ok(0)
    }
    fn presence(&self, _: &str) -> Result<Presence, ExchangeError> {
        Err(ExchangeError::NotFound)
    }
    fn subscriptions(&self, _: u64, _: usize) -> Result<Vec<Subscription>, ExchangeError> {
        Ok(Vec::new())
    }
    fn calls(&self, _: u64, _: usize) -> Result<Vec<Call>, ExchangeError> {
        Ok(Vec::new())
    }
    fn call(&self, _: u64) -> Result<Call, ExchangeError> {
        Err(ExchangeError::NotFound)
    }
    fn end_call(&self, _: u64) -> Result<(), ExchangeError> {
        Err(ExchangeError::NotFound)
    }
    fn health(&self) -> Health {
        Health { ok: true, status: "ok".into() }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().ok_or("which folder?")?);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8080".into());
    std::fs::create_dir_all(&folder)?;
    let clock = || SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() as i64);
    let config = StoreConfig { realms: vec!["example.com".into()], ..StoreConfig::default() };
    let store = Store::open(&folder.join("users.db"), config)?;
    if let Some(password) = store.first_admin("admin", clock())? {
        println!("{}", password.0);
    }
    let ring = Arc::new(KeyRing::open(&folder.join("keys"), RingConfig::default(), clock())?);
    let issuer = Issuer::new(ring, TokenConfig::new(format!("http://{address}"), "example.com"));
    let login = Arc::new(Login::new(Arc::new(store), Arc::new(issuer), LoginConfig::default()));
    let api = Arc::new(Api::new(login, Arc::new(Nothing), clock, ApiConfig::default()));
    let listener = tokio::net::TcpListener::bind(&address).await?;
    let service = router(api).into_make_service_with_connect_info::<std::net::SocketAddr>();
    axum::serve(listener, service).await?;
    Ok(())
}
