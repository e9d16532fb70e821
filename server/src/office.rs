//! The accounts of the server: where they are kept, the keys that sign their tokens, and what the engine is told of them.
//!
//! In the state folder: `accounts.db`, `keys/`, and `jwks.json`, which the SIP side reads as it reads the keys of any
//! issuer. Accounts of the configuration file stand beside those kept here, and win where both have a name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use strowger_core::base::Time;
use strowger_core::base::hash::DigestAlgorithm;
use strowger_core::config::{AccountConfig, Config, Domains, IssuerConfig, JwtAlgorithm, JwtConfig};
use strowger_core::door::{Request, Secret};
use strowger_users::Seconds;
use strowger_users::keys::{Algorithm, KeyRing, RingConfig};
use strowger_users::login::{Login, LoginConfig};
use strowger_users::store::{NewAccount, Store, StoreConfig, UserError};
use strowger_users::tokens::{Issuer, TokenConfig};
use tokio::sync::Notify;

use crate::cli::Complaint;
use crate::roll::Owned;
use crate::state::StateDir;

/// The file of accounts, in the state folder.
const STORE: &str = "accounts.db";
/// The folder of the keys.
const KEYS: &str = "keys";
/// Their public halves.
const JWKS: &str = "jwks.json";
/// The password of the first administrator, until somebody takes it away.
pub const ADMIN: &str = "admin.txt";
/// The claim of the addresses of record in our own tokens.
const AOR_CLAIM: &str = "aors";
/// Without this scope a token is not for phones.
const SCOPE: &str = "sip";
/// The SIP side looks at the public keys so often; each is published twice as long before it signs.
const KEYS_AGE: Duration = Duration::from_secs(300);
/// Seconds that the clocks of those who check tokens may be off.
const LEEWAY: Seconds = 60;

/// How accounts are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfficeConfig {
    /// `iss` of the tokens; `None` for `https://` and the name of the first domain.
    pub issuer: Option<String>,
    /// Of new keys.
    pub algorithm: Algorithm,
    /// How long an access token lives, in seconds.
    pub token_life: Seconds,
}

impl Default for OfficeConfig {
    /// RS256, ten minutes.
    fn default() -> OfficeConfig {
        OfficeConfig { issuer: None, algorithm: Algorithm::Rs256, token_life: 600 }
    }
}

impl OfficeConfig {
    /// Stands in for the issuer of the office, where a configuration is only looked at.
    pub fn stand_in(&self, config: &mut Config) {
        let issuer = self.issuer_of(config.domains.first().map_or("", |domain| &domain.name));
        let jwt = config.jwt.get_or_insert_with(JwtConfig::default);
        jwt.issuers.push(IssuerConfig {
            issuer,
            audiences: vec!["sip".into()],
            jwks: JWKS.into(),
            ..IssuerConfig::default()
        });
    }

    fn issuer_of(&self, domain: &str) -> String {
        self.issuer.clone().unwrap_or_else(|| format!("https://{domain}"))
    }
}

/// The accounts.
#[derive(Debug)]
pub struct Office {
    login: Arc<Login>,
    realm: String,
    state: StateDir,
    /// Set off by each change made here.
    changed: Arc<Notify>,
    /// The first administrator's password, at the start that made it.
    pub admin: Option<Secret<String>>,
}

/// What became of the accounts that were added to a configuration.
#[derive(Debug)]
pub struct Added {
    /// Those that are not for phones, and why.
    pub left_out: Vec<String>,
    /// The addresses of record of those that are disabled, unless others have them.
    pub disabled: Vec<Box<str>>,
}

/// What the clock says.
#[allow(clippy::disallowed_methods)] // Accounts live by the clock of the machine.
pub fn now() -> Seconds {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_secs() as Seconds
}

/// The Digest algorithms that somebody here is offered.
fn offered(config: &Config) -> Vec<DigestAlgorithm> {
    let of_listeners = config.listeners.iter().filter_map(|listener| listener.algorithms.as_deref());
    let is_offered = |one: &DigestAlgorithm| {
        of_listeners.clone().chain([&*config.digest.algorithms]).any(|some| some.contains(one))
    };
    DigestAlgorithm::STRONGEST_FIRST.into_iter().filter(is_offered).collect()
}

impl Office {
    /// Opens everything, or makes it with an administrator, and with these accounts.
    pub fn open(
        state: &StateDir,
        config: &Config,
        wanted: &OfficeConfig,
        demo: &[AccountConfig],
    ) -> Result<Office, Complaint> {
        let domain = config.domains.first().map_or("localhost", |domain| &domain.name).to_string();
        let realm = match config.digest.realm.as_str() {
            "" => domain.clone(),
            realm => realm.into(),
        };
        let path = state.path().join(STORE);
        let fresh = !path.exists();
        let kept = StoreConfig {
            realms: vec![realm.clone()],
            algorithms: offered(config),
            revocations: wanted.token_life + LEEWAY,
            ..StoreConfig::default()
        };
        let mut store = Store::open(&path, kept).map_err(|error| unusable(&path, &error))?;
        let changed = Arc::new(Notify::new());
        let wake = Arc::clone(&changed);
        store.listen(move |_| wake.notify_one());
        let keys = state.path().join(KEYS);
        let ring = RingConfig {
            algorithm: wanted.algorithm,
            ahead: 2 * KEYS_AGE.as_secs() as Seconds,
            tokens: wanted.token_life + LEEWAY,
            ..RingConfig::default()
        };
        let ring = KeyRing::open(&keys, ring, now()).map_err(|error| unusable(&keys, &error))?;
        let issuer = wanted.issuer_of(&domain);
        let tokens =
            TokenConfig { life: wanted.token_life, leeway: LEEWAY / 2, ..TokenConfig::new(issuer, domain) };
        let issuer = Arc::new(Issuer::new(Arc::new(ring), tokens));
        let login = Arc::new(Login::new(Arc::new(store), issuer, LoginConfig::default()));
        let mut office = Office { login, realm, state: state.clone(), changed, admin: None };
        if fresh {
            office.furnish(demo).map_err(|error| unusable(&path, &error))?;
            if let Some(password) = &office.admin {
                state.write(ADMIN, format!("{}\n", password.0).as_bytes())?;
            }
        }
        office.publish()?;
        Ok(office)
    }

    /// Logs people in.
    pub fn login(&self) -> &Arc<Login> {
        &self.login
    }

    /// The store.
    pub fn store(&self) -> &Store {
        self.login.store()
    }

    /// Waits for a change made through this office.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Who may do everything, and the accounts to begin with.
    fn furnish(&mut self, demo: &[AccountConfig]) -> Result<(), UserError> {
        self.admin = self.store().first_admin("admin", now())?;
        for account in demo {
            let Some(password) = &account.password else { continue };
            let new = NewAccount {
                digest: true,
                // An alias that the machine always has, whatever its name.
                aors: vec![format!("{}@localhost", account.username)],
                ..NewAccount::named(&account.username)
            };
            self.store().create(&new.with_password(&password.0), now())?;
        }
        Ok(())
    }

    /// Writes the public keys where the SIP side reads them.
    pub fn publish(&self) -> Result<(), Complaint> {
        let jwks = self.login.issuer().ring().jwks(now());
        let known = self.state.read(JWKS)?;
        if known.as_deref() != Some(&jwks.body) {
            self.state.write(JWKS, jwks.body.as_bytes())?;
        }
        Ok(())
    }

    /// Takes over what other processes did. True if anything is new.
    pub fn refresh(&self) -> Result<bool, UserError> {
        self.store().refresh()
    }

    /// Drops what is over, and turns the keys when it is time.
    pub fn sweep(&self) -> Result<(), Complaint> {
        let keys = self.state.path().join(KEYS);
        self.login.issuer().ring().tick(now()).map_err(|error| unusable(&keys, &error))?;
        let path = self.state.path().join(STORE);
        self.store().sweep(now()).map_err(|error| unusable(&path, &error))?;
        self.publish()
    }

    /// What an engine has to know before a phone reaches it: which tokens are good no more.
    pub fn taken_back(&self) -> Vec<Request> {
        let issuer = &self.login.issuer().config().issuer;
        let revocations = self.store().revocations().all();
        let revoked = revocations.into_iter().map(|one| Request::Revoke {
            issuer: issuer.as_str().into(),
            tokens: one.tokens(),
            until: Time::from_secs(u64::try_from(one.until).unwrap_or(0)),
        });
        revoked.collect()
    }

    /// Adds the accounts, and their issuer, to what the engine shall know.
    pub fn add_to(&self, config: &mut Config) -> Result<Added, UserError> {
        let (mut left_out, mut disabled, mut beyond) = (Vec::new(), Vec::new(), 0);
        let mut names: BTreeSet<String> = config.accounts.iter().map(|one| one.username.clone()).collect();
        let domains = Domains::new(&config.domains);
        let of_file = config.accounts.iter();
        let mut taken: BTreeSet<Box<str>> = of_file.flat_map(|one| addresses(&domains, one)).collect();
        let offered = offered(config);
        let mut after: Option<String> = None;
        loop {
            let page = self.store().sip_accounts(&self.realm, after.as_deref(), 1000)?;
            after = page.last().map(|account| account.username.clone());
            let Some(_) = after else { break };
            for mut account in page {
                if account.disabled {
                    if !account.aors.is_empty() {
                        disabled.extend(addresses(&domains, &account));
                    }
                    continue;
                }
                if config.accounts.len() >= config.limits.accounts {
                    beyond += 1;
                    continue;
                }
                let had = account.aors.len();
                account
                    .aors
                    .retain(|aor| domains.canonical_aor(aor).is_some_and(|aor| !taken.contains(&aor)));
                if names.contains(&account.username) {
                    left_out
                        .push(format!("{}: the configuration has an account of this name", account.username));
                } else if account.aors.is_empty() {
                    // Who has no address here can have no phone here.
                    if had > 0 {
                        left_out.push(format!(
                            "{}: none of its addresses is of a domain here and free",
                            account.username
                        ));
                    }
                } else {
                    if !account.ha1.is_empty() && !account.ha1.iter().any(|(one, _)| offered.contains(one)) {
                        left_out.push(format!(
                            "{} by Digest: its credentials are of no algorithm offered here; set its password again",
                            account.username
                        ));
                    }
                    names.insert(account.username.clone());
                    taken.extend(addresses(&domains, &account));
                    config.accounts.push(account);
                }
            }
        }
        let issuer = self.login.issuer().config();
        let jwt = config.jwt.get_or_insert_with(JwtConfig::default);
        jwt.issuers.retain(|one| one.issuer != issuer.issuer);
        jwt.issuers.push(IssuerConfig {
            issuer: issuer.issuer.clone(),
            audiences: vec![issuer.audience.clone()],
            jwks: self.state.path().join(JWKS).display().to_string(),
            algorithms: vec![JwtAlgorithm::Rs256, JwtAlgorithm::Es256, JwtAlgorithm::EdDsa],
            keys_min_age: Duration::from_secs(1),
            keys_max_age: KEYS_AGE,
            aor_claim: Some(AOR_CLAIM.into()),
            scope: Some(SCOPE.into()),
        });
        if beyond > 0 {
            left_out.push(format!("{beyond} accounts: limits.accounts is reached"));
        }
        disabled.retain(|aor| !taken.contains(aor));
        Ok(Added { left_out, disabled })
    }
}

/// The addresses of record of all accounts; `disabled` are those of accounts that the configuration leaves out for that.
pub fn owned(config: &Config, disabled: Vec<Box<str>>) -> Owned {
    let domains = Domains::new(&config.domains);
    let mut owned = Owned { disabled: disabled.into_iter().collect(), ..Owned::default() };
    for account in &config.accounts {
        let side = if account.disabled { &mut owned.disabled } else { &mut owned.now };
        side.extend(addresses(&domains, account));
    }
    owned.disabled.retain(|aor| !owned.now.contains(aor));
    owned
}

/// The addresses of record of an account, in canonical form.
fn addresses(domains: &Domains, account: &AccountConfig) -> Vec<Box<str>> {
    let domain = match account.domain.as_str() {
        "" => domains.names().first().map_or("", |first| first),
        domain => domain,
    };
    let own = [format!("{}@{domain}", account.username)];
    let all = if account.aors.is_empty() { &own[..] } else { &account.aors };
    all.iter().filter_map(|aor| domains.canonical_aor(aor)).collect()
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Complaint {
    Complaint(format!(
        "cannot use {}: {error}. Choose another state folder with --state-dir.",
        path.display()
    ))
}

/// Where the first administrator's password is, if it is still there.
pub fn admin_file(state: &StateDir) -> Option<PathBuf> {
    let path = state.path().join(ADMIN);
    path.exists().then_some(path)
}
