//! How long a login takes that is refused: by a wrong password, by an unknown name, by a disabled account. The kinds take
//! turns, so that what else the machine does falls on all alike.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use strowger_users::keys::{KeyRing, RingConfig};
use strowger_users::login::{Lockout, Login, LoginConfig};
use strowger_users::store::{NewAccount, Patch, Store, StoreConfig};
use strowger_users::tokens::{Issuer, TokenConfig};

const NOW: i64 = 1_800_000_000;
const PASSWORD: &str = "builder builder";
const ROUNDS: usize = 100;

#[allow(clippy::disallowed_methods)] // It measures.
fn main() {
    let folder = std::env::temp_dir().join(format!("strowger-bench-logins-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let store = Store::open(&folder.join("accounts.db"), StoreConfig::default()).expect("a store");
    for name in ["bob", "locked"] {
        store.create(&NewAccount::named(name).with_password(PASSWORD), NOW).expect("an account");
    }
    store.change("locked", &Patch { enabled: Some(false), ..Patch::default() }, NOW).expect("disabled");
    let ring = Arc::new(KeyRing::open(&folder.join("keys"), RingConfig::default(), NOW).expect("keys"));
    let issuer = Issuer::new(ring, TokenConfig::new("https://sip.example.com", "example.com"));
    let patient = Lockout { free: u32::MAX, ..LoginConfig::default().account };
    let config = LoginConfig { account: patient, source: patient, ..LoginConfig::default() };
    let login = Login::new(Arc::new(store), Arc::new(issuer), config);

    let kinds = [("wrong password", "bob"), ("unknown name", "nobody"), ("disabled account", "locked")];
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for ((_, name), times) in kinds.iter().zip(&mut times) {
            let began = Instant::now();
            let refused = login.password(name, "wrong wrong", None, IpAddr::V4(Ipv4Addr::LOCALHOST), NOW);
            times.push(began.elapsed().as_micros());
            assert!(refused.is_err());
        }
    }
    for ((kind, _), mut times) in kinds.iter().zip(times) {
        times.sort_unstable();
        let [low, middle, high] = [1, 5, 9].map(|tenth| times[times.len() * tenth / 10]);
        println!("{kind}: p10_us={low} p50_us={middle} p90_us={high}");
    }
    let _ = std::fs::remove_dir_all(&folder);
}
