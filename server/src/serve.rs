//! `strowger serve`: put everything together, say so, and obey signals until the end.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use strowger_core::config::{ListenerConfig, MediaMode};
use strowger_core::door::Transport;
use strowger_shell::store::{Store, StoreError};
use strowger_tokio::{Handle, Hooks, Server, StartError};
use strowger_users::rest::{Api, Exchange};
use strowger_users::state::StateStore;

use crate::banner::{self, Audience};
use crate::cli::{Complaint, HttpAddr, ServeArgs};
use crate::exchange::Switchboard;
use crate::http::{self, Pages};
use crate::keeper::Keeper;
use crate::logs::{self, Ears, Log, Lost};
use crate::office::{self, Office};
use crate::plan::{self, Occasion, Plan};
use crate::records::Records;
use crate::roll::Roll;
use crate::workroom::Workroom;

/// How long the end of the program waits for a log that is slow to take its last lines.
const WRITE_OUT: Duration = Duration::from_secs(10);
/// The same if it was told twice to end.
const WRITE_OUT_NOW: Duration = Duration::from_secs(1);

/// Runs a server until it is told to end.
pub fn run(args: ServeArgs) -> Result<ExitCode, Complaint> {
    let mut plan = plan::make(&args, Occasion::Start)?;
    let log = Log::start(plan.log_format, &plan.log_level)?;
    logs::choose(&mut plan.config.tell, plan.call_records.is_some());
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Complaint(format!("cannot start: {error}")))?;
    let done = runtime.block_on(serve(args, plan, &log));
    log.close(WRITE_OUT);
    done
}

async fn serve(args: ServeArgs, mut plan: Plan, log: &Log) -> Result<ExitCode, Complaint> {
    let mut signals =
        Signals::new().map_err(|error| Complaint(format!("cannot receive signals: {error}")))?;
    let lost = Lost::default();
    let records = plan.call_records.as_deref().map(Records::open).transpose()?;
    let Ears { on_event, on_notice } = log.open(lost.clone(), records)?;
    let office = office(&plan)?;
    let mut config = plan.config.clone();
    let mut hooks = Hooks {
        on_event: Some(on_event),
        on_notice: Some(on_notice),
        store: store(&plan)?,
        ..Hooks::default()
    };
    let workroom = Workroom::open().map_err(|error| Complaint(format!("cannot start: {error}")))?;
    let (accounts, state, options) = (office.clone(), plan.state.clone(), plan.options.clone());
    let runtime = tokio::runtime::Handle::current();
    let started = workroom.run(move || {
        let (mut left_out, mut disabled) = (Vec::new(), Vec::new());
        if let Some(office) = accounts {
            let added = office.add_to(&mut config).map_err(|error| Complaint(error.to_string()))?;
            hooks.first = office.taken_back();
            (left_out, disabled) = (added.left_out, added.disabled);
        }
        let (roll, gone) = Roll::open(&state, &office::owned(&config, disabled))?;
        hooks.first.extend(gone);
        let _entered = runtime.enter();
        Ok::<_, Complaint>((Server::start(config, options, hooks), Arc::new(roll), left_out))
    });
    let started = started.await.ok_or_else(|| Complaint("cannot start: an error in the program".into()))?;
    let (server, roll, left_out) = started?;
    plan.warnings.extend(left_out.into_iter().map(|account| format!("not for phones: {account}")));
    let server = server.map_err(|error| unstarted(&plan, error))?;
    let (handle, listeners) = (server.handle(), server.listeners().to_vec());
    let draining = Arc::new(AtomicBool::new(false));
    let keeper = office.as_ref().map(|office| {
        let mut base = plan.config.clone();
        base.listeners.clone_from(&listeners);
        Arc::new(Keeper::new(Arc::clone(office), handle.clone(), base, Arc::clone(&roll), workroom))
    });
    if let Some(keeper) = &keeper {
        tokio::spawn(Arc::clone(keeper).keep());
    }
    tokio::spawn(Arc::clone(&roll).keep());
    let exchange = Arc::new(Switchboard::new(handle.clone(), draining.clone()));
    let api = office.as_ref().map(|office| {
        let exchange = Arc::clone(&exchange) as Arc<dyn Exchange>;
        Arc::new(Api::new(Arc::clone(office.login()), exchange, office::now, plan.api))
    });
    let phone = plan.phone.clone();
    let http = open_http(&plan, Pages { handle: handle.clone(), exchange, lost, api, phone }).await;
    warn(&plan, &server);
    say(&banner::text(&plan, office.as_deref(), &listeners, http, Audience::of_stdout()));

    let mut stopped = std::pin::pin!(server.stopped());
    loop {
        tokio::select! {
            done = &mut stopped => {
                done.map_err(complaint)?;
                roll.close().await;
                tracing::info!(target: "strowger", "stopped");
                return Ok(ExitCode::SUCCESS);
            }
            signal = signals.next() => match signal {
                Signal::Reload => reload(&args, &plan, &listeners, &handle, (keeper.as_deref(), &roll)).await,
                // The first asks, the second insists.
                Signal::End if draining.swap(true, Ordering::Relaxed) => {
                    tracing::warn!(target: "strowger", "told again to end: ending now");
                    log.close(WRITE_OUT_NOW);
                    return Ok(ExitCode::SUCCESS);
                }
                Signal::End => {
                    if handle.drain(plan.drain_timeout).is_err() {
                        return Ok(ExitCode::SUCCESS);
                    }
                    tracing::info!(target: "strowger", limit = ?plan.drain_timeout, "draining; a second signal ends at once");
                }
            },
        }
    }
}

/// Reads accounts, keys and policy again. A fault keeps what was.
async fn reload(
    args: &ServeArgs,
    running: &Plan,
    listeners: &[ListenerConfig],
    handle: &Handle,
    (keeper, roll): (Option<&Keeper>, &Roll),
) {
    let boot = running.config.digest.boot_epoch;
    let mut plan = match plan::make(args, Occasion::Reload(boot)) {
        Ok(plan) => plan,
        Err(Complaint(complaint)) => {
            // One line, also for faults that show the place in the file.
            let error = complaint.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            tracing::error!(target: "strowger", %error, "reload failed, the old settings stay");
            return;
        }
    };
    reload_certificates(running);
    // The certificates of a reload are those that are open already.
    plan.options.stream.tls.clone_from(&running.options.stream.tls);
    plan.options.stream.tls_client.clone_from(&running.options.stream.tls_client);
    let kept = plan.options == running.options
        && plan.state_file == running.state_file
        && plan.certificates == running.certificates
        && (plan.http, plan.api, &plan.http_certificates)
            == (running.http, running.api, &running.http_certificates);
    if plan.config.listeners != running.config.listeners || !kept {
        tracing::warn!(target: "strowger", "changed listeners, [http], connection limits, paths of certificates, addresses of the relay and storage need a restart; the old ones stay");
    }
    if plan.call_records != running.call_records {
        tracing::warn!(target: "strowger", "another place for call records needs a restart; the old one stays");
    }
    plan.config.listeners = listeners.to_vec();
    // No call is sent to a relay that was not started.
    if plan.options.media != running.options.media
        && let (Some(calls), Some(before)) = (&mut plan.config.calls, &running.config.calls)
        && calls.media.mode != MediaMode::Off
    {
        calls.media.mode = before.media.mode;
    }
    logs::choose(&mut plan.config.tell, running.call_records.is_some());
    let accounts = plan.config.accounts.len();
    let base = plan.config.clone();
    if let (Some(office), Some(_)) = (&plan.office, keeper) {
        office.stand_in(&mut plan.config);
    }
    match plan.config.validate() {
        Ok(_) if keeper.is_some() => {
            if let Some(keeper) = keeper {
                keeper.rebase(base).await;
                tracing::info!(target: "strowger", accounts, "reloaded");
            }
        }
        Ok(settings) => match handle.reload(settings) {
            Ok(()) => {
                roll.update(handle, office::owned(&base, Vec::new())).await;
                tracing::info!(target: "strowger", accounts, "reloaded");
            }
            Err(error) => tracing::error!(target: "strowger", %error, "reload failed, the old settings stay"),
        },
        Err(faults) => {
            let faults = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            tracing::error!(target: "strowger", error = %faults, "reload failed, the old settings stay");
        }
    }
}

/// Reads the certificates again; connections that are up keep theirs.
fn reload_certificates(running: &Plan) {
    let own = running.http_tls.iter().filter(|own| Some(*own) != running.options.stream.tls.as_ref());
    for tls in running.options.stream.tls.iter().chain(own) {
        match tls.reload() {
            Ok(()) => tracing::info!(target: "strowger", "certificates reloaded"),
            Err(error) => {
                tracing::error!(target: "strowger", %error, "certificates not reloaded, the old ones stay");
            }
        }
    }
}

/// Serves metrics; without them the server still serves phones.
async fn open_http(plan: &Plan, pages: Pages) -> HttpAddr {
    let HttpAddr::At(addr) = plan.http else { return HttpAddr::Off };
    match http::serve(addr, plan.http_tls.clone(), pages).await {
        Ok(bound) => HttpAddr::At(bound),
        Err(error) => {
            tracing::warn!(target: "strowger", %addr, %error, "no metrics: the address cannot be had; choose another with --http");
            HttpAddr::Off
        }
    }
}

fn warn(plan: &Plan, server: &Server) {
    for warning in &plan.warnings {
        tracing::warn!(target: "strowger", "{warning}");
    }
    // The system counts its own overhead: what it grants for a request is twice as much.
    let wanted = plan.options.datagram.socket_buffer;
    let receive = server.granted().iter().map(|granted| granted.receive).min().unwrap_or(usize::MAX);
    if receive < wanted {
        let hint =
            "bursts may be lost; as root: sysctl -w net.core.rmem_max=4194304 net.core.wmem_max=4194304";
        tracing::warn!(target: "strowger", granted = receive, wanted, "small UDP receive buffer: {hint}");
    }
}

fn say(text: &str) {
    // Nobody may be reading.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    let _ = io::stdout().lock().flush();
}

/// Opens the accounts.
fn office(plan: &Plan) -> Result<Option<Arc<Office>>, Complaint> {
    let Some(wanted) = &plan.office else { return Ok(None) };
    let demo = plan.demo.as_deref().unwrap_or_default();
    Office::open(&plan.state, &plan.config, wanted, demo).map(|office| Some(Arc::new(office)))
}

/// Opens the file of the engine's state.
fn store(plan: &Plan) -> Result<Option<Box<dyn Store>>, Complaint> {
    let Some(path) = &plan.state_file else { return Ok(None) };
    match StateStore::open(path, plan.options.storage.durability) {
        Ok(store) => Ok(Some(Box::new(store))),
        Err(error) => Err(unusable(plan, &error)),
    }
}

/// Why the state of an earlier life cannot be had, and what to do.
fn unusable(plan: &Plan, error: &StoreError) -> Complaint {
    let path = plan.state_file.as_deref().unwrap_or(plan.state.path()).display();
    let what = match error {
        StoreError::Foreign(_) => {
            "it is not a state file of Strowger, and was left as it is. Move it away".into()
        }
        StoreError::Corrupt(what) => format!(
            "it is damaged ({what}), and was left as it is. Move it away to begin without registrations, which phones \
             make anew, or put a copy of it back"
        ),
        StoreError::Later(version) => format!(
            "a later version of Strowger wrote it (version {version}). Run that version, or move the file away"
        ),
        StoreError::InUse => {
            "another server uses it. End that one, or give this one a state folder of its own".into()
        }
        other => format!("{other}. Make room or give rights there"),
    };
    Complaint(format!(
        "cannot use {path}: {what}, or choose another folder with --state-dir. [storage] mode = \"none\" keeps no state."
    ))
}

/// Why it did not start.
fn unstarted(plan: &Plan, error: StartError) -> Complaint {
    if let StartError::Bind { transport, addr, source } = &error {
        let is_same = |listener: &&ListenerConfig| (&listener.transport, &listener.addr) == (transport, addr);
        if source.kind() == io::ErrorKind::AddrInUse
            && plan.config.listeners.iter().filter(is_same).count() > 1
        {
            let proto = transport.name();
            return Complaint(format!("cannot listen on {proto}:{addr} twice: give every listener once"));
        }
    }
    match &error {
        StartError::Store(why) => unusable(plan, why),
        _ => complaint(error),
    }
}

fn complaint(error: StartError) -> Complaint {
    Complaint(match error {
        StartError::Bind { transport, addr, source } => {
            let proto = transport.name();
            let ip = if addr.is_ipv6() { format!("[{}]", addr.ip()) } else { addr.ip().to_string() };
            match source.kind() {
                io::ErrorKind::AddrInUse => format!(
                    "cannot listen on {proto}:{addr}: another program has this port. End it (ss -lp{} 'sport = :{}' \
                     shows it), or choose other ports, such as --listen udp:{ip}:5070 --listen tcp:{ip}:5070",
                    if transport == Transport::Udp { "u" } else { "t" },
                    addr.port(),
                ),
                io::ErrorKind::PermissionDenied if addr.port() < 1024 => format!(
                    "cannot listen on {proto}:{addr}: ports below 1024 need a privilege (CAP_NET_BIND_SERVICE). \
                     Choose a higher one with --listen",
                ),
                io::ErrorKind::AddrNotAvailable => format!(
                    "cannot listen on {proto}:{addr}: this machine does not have that address. Choose one that \
                     `ip address` shows, or 0.0.0.0 or [::] for all",
                ),
                _ => format!(
                    "cannot listen on {proto}:{addr}: {source}. Choose another address or port with --listen"
                ),
            }
        }
        StartError::Certificate(transport) => {
            let proto = transport.name();
            format!(
                "cannot listen on {proto} without a certificate: give one in section [tls] of a file with --config"
            )
        }
        StartError::Config(faults) => {
            let faults = faults.iter().map(ToString::to_string).collect::<Vec<_>>();
            format!("the settings are not right: {}", faults.join("; "))
        }
        other => other.to_string(),
    })
}

/// What signals ask for.
enum Signal {
    End,
    Reload,
}

#[cfg(unix)]
struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
    hup: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.term.recv() => Signal::End,
            _ = self.int.recv() => Signal::End,
            _ = self.hup.recv() => Signal::Reload,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals)
    }

    async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::End,
            Err(_) => std::future::pending().await,
        }
    }
}

/// Thousands of connections need as many file descriptors: the soft limit is raised to the hard one.
#[cfg(unix)]
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With the limit as it is, accepting pauses earlier.
    let _ = setrlimit(Resource::Nofile, limit);
}

#[cfg(not(unix))]
fn raise_file_limit() {}
