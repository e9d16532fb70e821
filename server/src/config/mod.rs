//! The configuration file: read, checked against what exists, mapped to the engine's configuration.
//!
//! A fault is named with file, line and column, and a misspelt key with what was probably meant.

pub mod certificates;
pub mod faults;
mod file;
pub mod listen;
mod map;
pub mod units;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use strowger_core::config::{AccountConfig, AuthPolicy, Config, WatchPolicy};
use strowger_shell::options::{MediaOptions, Options};

use crate::cli::{Complaint, HttpAddr, LogFormat};
use strowger_shell::tls::TlsFiles;
use strowger_users::rest::ApiConfig;

use crate::office::OfficeConfig;
pub use certificates::Certificates;
pub use faults::{Fault, Faults, Place};
pub(crate) use map::SIP_PORT;

/// A file, understood.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// For the engine. Without nonce secret and boot epoch, which are kept in the state folder.
    pub config: Config,
    /// For the sockets. Certificates are not opened yet.
    pub options: Options,
    /// Which certificates are shown and believed.
    pub certificates: Option<Certificates>,
    /// How the REST API is bounded.
    pub api: ApiConfig,
    /// Which certificates are shown over HTTP; `None`: it is in clear text.
    pub http_certificates: Option<TlsFiles>,
    /// Where to keep state; `None` for the default place.
    pub state_dir: Option<PathBuf>,
    /// In which file of it the engine's state is kept; `None`: it ends with the server.
    pub state_file: Option<PathBuf>,
    /// How accounts are kept beside those of the file; `None`: they are not.
    pub office: Option<OfficeConfig>,
    /// How long live work may go on after the first TERM.
    pub drain_timeout: Duration,
    /// Where to serve metrics.
    pub http: Option<HttpAddr>,
    /// A folder served there under `/phone/`.
    pub phone: Option<PathBuf>,
    /// How to write logs.
    pub log_format: Option<LogFormat>,
    /// What to log.
    pub log_level: Option<String>,
    /// Where to write call records.
    pub call_records: Option<PathBuf>,
}

/// How long live work may go on after the first TERM, unless the file says otherwise (DECISIONS 20).
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(600);

/// The file of the engine's state, in the state folder.
pub const STATE_FILE: &str = "state.db";

/// Reads a file, with a message that says what to do when it cannot be read.
fn read(path: &Path) -> Result<String, Complaint> {
    fs::read_to_string(path).map_err(|error| {
        Complaint(format!(
            "cannot read {}: {error}. Give a TOML file that this user may read; server/strowger.example.toml is one.",
            path.display()
        ))
    })
}

/// Reads a file and understands it.
pub fn open(path: &Path) -> Result<Loaded, Complaint> {
    let text = read(path)?;
    load(&path.display().to_string(), &text).map_err(|faults| Complaint(faults.to_string()))
}

/// Understands a file, or tells every fault. Listeners are checked, not bound.
pub fn load(file: &str, text: &str) -> Result<Loaded, Faults> {
    let parsed: file::File = toml::from_str(text).map_err(|error| Faults::of_toml(file, text, &error))?;
    let (loaded, errors) = map::map(parsed);
    let mut errors = errors;
    let mut whole = loaded.config.clone();
    if let Some(office) = &loaded.office {
        // The accounts and keys themselves are in the state folder, which is not opened here.
        office.stand_in(&mut whole);
    }
    errors.extend(whole.validate().err().unwrap_or_default());
    if errors.is_empty() { Ok(loaded) } else { Err(Faults::of_meaning(file, text, &errors)) }
}

/// Understands a file of accounts.
pub fn load_accounts(file: &str, text: &str) -> Result<Vec<AccountConfig>, Faults> {
    let parsed: file::AccountsFile =
        toml::from_str(text).map_err(|error| Faults::of_toml(file, text, &error))?;
    let mut errors = Vec::new();
    let accounts = map::accounts(parsed.account, &mut errors);
    if errors.is_empty() { Ok(accounts) } else { Err(Faults::of_meaning(file, text, &errors)) }
}

/// What is allowed and probably not meant.
pub fn warnings(loaded: &Loaded) -> Vec<String> {
    let config = &loaded.config;
    let mut warnings = Vec::new();
    if loaded.state_file.is_none() {
        warnings.push(
            "storage.mode is \"none\": registrations, subscriptions and kept messages end with the server"
                .into(),
        );
    }
    let policies = &config.policies;
    for (method, policy) in [
        ("register", policies.register),
        ("invite", policies.invite),
        ("message", policies.message),
        ("publish", policies.publish),
    ] {
        if policy == AuthPolicy::Open {
            warnings.push(format!("auth.policy.{method} is \"open\": everybody may, without credentials"));
        }
    }
    if config.accounts.is_empty()
        && config.jwt.is_none()
        && loaded.office.is_none()
        && policies.register != AuthPolicy::Open
    {
        warnings.push("there are no accounts and no token issuers: nobody can register".into());
    }
    if config.registrar.is_none() {
        warnings.push("the registrar is off: REGISTER is answered with 405".into());
    }
    if let Some(presence) = &config.presence {
        if policies.subscribe == AuthPolicy::Open && presence.watchers == WatchPolicy::Everyone {
            warnings.push("auth.policy.subscribe is \"open\" and presence.watchers \"everyone\": anybody may watch anybody".into());
        }
    } else {
        let refused = match config.message_summary {
            Some(_) => "489 but for message-summary",
            None => "405",
        };
        warnings.push(format!("presence is off: PUBLISH and SUBSCRIBE are answered with {refused}"));
    }
    match &config.calls {
        None => warnings.push("calls are off: INVITE is answered with 405".into()),
        Some(calls) if !calls.trunks.is_empty() => {
            let may_dial =
                |account: &AccountConfig| account.dial.as_ref().is_some_and(|dial| !dial.is_empty());
            if calls.dial.is_empty() && !config.accounts.iter().any(may_dial) {
                warnings.push(
                    "there are trunks, and nobody may call over them: give dial to [calls] or to accounts"
                        .into(),
                );
            }
            for trunk in calls.trunks.iter().filter(|trunk| trunk.listener.is_some()) {
                if trunk.sources.is_empty() && trunk.tls_names.is_empty() {
                    warnings.push(format!(
                        "trunk {} takes calls from everybody who finds its listener: give sources or tls_names",
                        trunk.name
                    ));
                }
            }
        }
        Some(_) => {}
    }
    if let MediaOptions::Relay(relay) = &loaded.options.media {
        let hidden = |addr: &IpAddr| match addr {
            IpAddr::V4(addr) => addr.is_private() || addr.is_loopback(),
            IpAddr::V6(addr) => addr.is_unique_local() || addr.is_loopback(),
        };
        let shown = relay.advertised.iter().chain(relay.advertised.is_empty().then_some(&relay.address));
        if let Some(addr) = shown.into_iter().find(|addr| hidden(addr)) {
            warnings.push(format!(
                "media.advertised: {addr} is private: phones elsewhere cannot send to the relay"
            ));
        }
    }
    if config.calls.is_none() && loaded.options.media != MediaOptions::Nobody {
        warnings.push("calls are off: nothing in [media] is used".into());
    }
    if config.jwt.as_ref().is_some_and(|jwt| jwt.allow_cleartext) {
        warnings.push(
            "auth.jwt.allow_cleartext lets tokens travel unencrypted: whoever listens can use them".into(),
        );
    }
    if config.jwt.as_ref().is_some_and(|jwt| jwt.authz_server.is_none()) {
        warnings.push(
            "auth.jwt.authz_server is not set: tokens are accepted, but no challenge offers Bearer".into(),
        );
    }
    if config.digest.allow_no_qop {
        warnings.push("auth.digest.allow_no_qop accepts answers that can be replayed".into());
    }
    if let Some(HttpAddr::At(addr)) = loaded.http
        && loaded.http_certificates.is_none()
        && !addr.ip().to_canonical().is_loopback()
    {
        let spoken =
            if loaded.office.is_some() { "passwords and tokens travel" } else { "metrics are served" };
        warnings.push(format!(
            "http.listen {addr} in clear text: {spoken} unencrypted beyond this machine; set http.tls"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests;
