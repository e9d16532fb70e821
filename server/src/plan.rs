//! What a start, or a reload, is to do: the command line over the file over what needs no file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use strowger_core::config::{AccountConfig, Config, ListenerConfig};
use strowger_core::door::Secret;
use strowger_shell::options::Options;
use strowger_shell::tls::{TlsFiles, TlsServer};
use strowger_users::rest::ApiConfig;

use crate::cli::{Complaint, HttpAddr, LogFormat, ServeArgs};
use crate::config::{self, Certificates, DRAIN_TIMEOUT, STATE_FILE};
use crate::first_run;
use crate::office::{Office, OfficeConfig};
use crate::state::StateDir;

/// Where metrics are served unless it is said otherwise.
const HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9060);

/// Everything a server is started with.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For the engine, complete.
    pub config: Config,
    /// For the sockets. Certificates are open at a start, and not for a reload.
    pub options: Options,
    /// Which certificates are shown and believed.
    pub certificates: Option<Certificates>,
    /// Kept between starts.
    pub state: StateDir,
    /// Where the engine's state is kept, if at all.
    pub state_file: Option<PathBuf>,
    /// How accounts are kept beside those of the file, if they are.
    pub office: Option<OfficeConfig>,
    /// How long live work may go on after the first TERM.
    pub drain_timeout: Duration,
    /// Where to serve metrics.
    pub http: HttpAddr,
    /// A folder served there under `/phone/`.
    pub phone: Option<PathBuf>,
    /// How the REST API is bounded there.
    pub api: ApiConfig,
    /// Which certificates are shown there; `None`: it is in clear text.
    pub http_certificates: Option<TlsFiles>,
    /// They, open, at a start.
    pub http_tls: Option<TlsServer>,
    /// How to write logs.
    pub log_format: LogFormat,
    /// What to log.
    pub log_level: String,
    /// Where to write call records.
    pub call_records: Option<PathBuf>,
    /// The demo accounts, when there is no file.
    pub demo: Option<Vec<AccountConfig>>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<String>,
}

/// Whether this is a start, which counts, or a reload, which does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Occasion {
    /// A start: it has a number of its own.
    Start,
    /// A reload within the start of this number, with these listeners bound.
    Reload(u32),
}

/// Reads everything and puts it together.
pub fn make(args: &ServeArgs, occasion: Occasion) -> Result<Plan, Complaint> {
    let mut plan = match &args.config {
        Some(path) => {
            let loaded = config::open(path)?;
            let warnings = config::warnings(&loaded);
            let state = StateDir::open(args.state_dir.clone().or(loaded.state_dir))?;
            Plan {
                warnings,
                state_file: loaded.state_file.map(|file| state.path().join(file)),
                office: loaded.office,
                config: loaded.config,
                options: loaded.options,
                certificates: loaded.certificates,
                state,
                drain_timeout: loaded.drain_timeout,
                http: loaded.http.unwrap_or(HttpAddr::At(HTTP)),
                phone: loaded.phone,
                api: loaded.api,
                http_certificates: loaded.http_certificates,
                http_tls: None,
                log_format: loaded.log_format.unwrap_or_default(),
                log_level: loaded.log_level.unwrap_or_else(|| "info".into()),
                call_records: loaded.call_records,
                demo: None,
            }
        }
        None => {
            let state = StateDir::open(args.state_dir.clone())?;
            let accounts = first_run::accounts(&state)?;
            let config = first_run::config(args.domain.as_deref(), args.public);
            Plan {
                office: Some(OfficeConfig::default()),
                config,
                options: Options::default(),
                certificates: None,
                state_file: Some(state.path().join(STATE_FILE)),
                state,
                drain_timeout: DRAIN_TIMEOUT,
                http: HttpAddr::At(HTTP),
                phone: None,
                api: ApiConfig::default(),
                http_certificates: None,
                http_tls: None,
                log_format: LogFormat::Text,
                log_level: "info".into(),
                call_records: None,
                demo: Some(accounts),
                warnings: Vec::new(),
            }
        }
    };
    command_line(&mut plan, args);
    if let Occasion::Start = occasion {
        config::certificates::open(plan.certificates.as_ref(), &mut plan.options.stream)?;
        let shared = plan.options.stream.tls.as_ref();
        plan.http_tls = config::certificates::open_http(plan.http_certificates.as_ref(), shared)?;
    }
    plan.config.digest.secret = Secret(plan.state.secret()?);
    plan.config.digest.boot_epoch = match occasion {
        Occasion::Start => plan.state.next_boot()?,
        Occasion::Reload(boot) => boot,
    };
    Ok(plan)
}

/// What `user`, `token` and `key` work on: the accounts of the server that is started with the same options.
pub fn office(
    config: Option<&Path>,
    state_dir: Option<PathBuf>,
    domain: Option<&str>,
) -> Result<Office, Complaint> {
    let (config, wanted, state, demo) = match config {
        Some(path) => {
            let loaded = config::open(path)?;
            let wanted = loaded.office.ok_or_else(|| {
                Complaint(format!("{} keeps no accounts: write a section [accounts] into it", path.display()))
            })?;
            (loaded.config, wanted, StateDir::open(state_dir.or(loaded.state_dir))?, Vec::new())
        }
        None => {
            let state = StateDir::open(state_dir)?;
            let demo = first_run::accounts(&state)?;
            (first_run::config(domain, false), OfficeConfig::default(), state, demo)
        }
    };
    Office::open(&state, &config, &wanted, &demo)
}

fn command_line(plan: &mut Plan, args: &ServeArgs) {
    if !args.listen.is_empty() {
        plan.config.listeners = args.listen.iter().cloned().map(ListenerConfig::from).collect();
    }
    if let (Some(name), Some(first), true) =
        (&args.domain, plan.config.domains.first_mut(), args.config.is_some())
    {
        first.name.clone_from(name);
    }
    if let Some(http) = args.http {
        plan.http = http;
    }
    if let Some(format) = args.log_format {
        plan.log_format = format;
    }
    if let Some(level) = &args.log_level {
        plan.log_level.clone_from(level);
    }
}

/// The file of the demo accounts, for the banner.
pub fn accounts_file(plan: &Plan) -> Option<PathBuf> {
    plan.demo.is_some().then(|| plan.state.path().join(first_run::ACCOUNTS))
}

#[cfg(test)]
mod tests {
    use strowger_core::door::Transport;

    use super::*;

    /// What a start with these arguments would listen on.
    fn listeners(name: &str, config: Option<&str>, listen: &[&str]) -> Vec<(Transport, String)> {
        let folder = std::env::temp_dir().join(format!("strowger-plan-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("made");
        let file = config.map(|text| {
            let file = folder.join("strowger.toml");
            std::fs::write(&file, text).expect("written");
            file
        });
        let args = ServeArgs {
            config: file,
            state_dir: Some(folder.join("state")),
            listen: listen.iter().map(|one| one.parse().expect("a listener")).collect(),
            ..ServeArgs::default()
        };
        let plan = make(&args, Occasion::Start).expect("a plan");
        std::fs::remove_dir_all(&folder).expect("removed");
        plan.config.listeners.into_iter().map(|one| (one.transport, one.addr.to_string())).collect()
    }

    #[test]
    fn without_a_listener_it_is_udp_and_tcp_on_5060_of_all_addresses_with_a_file_and_without() {
        let mut wanted = Vec::new();
        for addr in ["0.0.0.0:5060", "[::]:5060"] {
            wanted.extend([(Transport::Udp, addr.to_owned()), (Transport::Tcp, addr.to_owned())]);
        }
        if std::net::UdpSocket::bind("[::1]:0").is_err() {
            wanted.truncate(2);
        }
        assert_eq!(listeners("bare", None, &[]), wanted);
        assert_eq!(listeners("file", Some("[[domain]]\nname = \"example.com\"\n"), &[]), wanted);
    }

    #[test]
    fn a_listener_of_the_command_line_goes_before_those_of_the_file_and_those_of_none() {
        let file = "[[listen]]\nbind = \"udp:127.0.0.1:5070\"\n";
        let told = [(Transport::Tcp, "127.0.0.1:5080".to_owned())];
        assert_eq!(listeners("told", None, &["tcp:127.0.0.1:5080"]), told);
        assert_eq!(listeners("over", Some(file), &["tcp:127.0.0.1:5080"]), told);
        assert_eq!(listeners("own", Some(file), &[]), [(Transport::Udp, "127.0.0.1:5070".to_owned())]);
    }
}
