//! Puts REGISTER and OPTIONS over any transport, presence or calls over UDP, on a running server over loopback and reports what
//! each transaction cost it.

// A load generator reads the clock.
#![allow(clippy::disallowed_methods)]

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Parser, Subcommand, ValueEnum};
use strowger_benches::issuer;
use strowger_benches::load::{self, Algorithm, Auth, CallPlan, Kind, Over, Pace, Plan, Tokens, WatchPlan};
use strowger_core::door::Transport;

/// A load generator that checks every answer.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send requests and report.
    Run(Run),
    /// Subscribe, publish, and report how long each NOTIFY took.
    Watch(Watch),
    /// Call, answer, hang up, and report what each call cost.
    Calls(Calls),
    /// Write what a server needs to know the users: accounts.toml, jwks.json, and tokens.txt for the generator.
    Prepare {
        /// How many users.
        #[arg(long, default_value_t = 10_000)]
        users: u32,
        /// Write tokens too.
        #[arg(long)]
        tokens: bool,
        /// Domain of the users.
        #[arg(long, default_value = "example.com")]
        domain: String,
        /// Folder for the files.
        dir: PathBuf,
    },
    /// Write a certificate for localhost that vouches for itself: cert.pem and key.pem.
    Certificate {
        /// Folder for the files.
        dir: PathBuf,
    },
}

#[derive(Args)]
struct Run {
    /// Address of the server.
    target: SocketAddr,
    /// What to send.
    #[arg(long, value_enum, default_value = "refresh")]
    mode: Mode,
    /// Over what: udp, tcp, tls, ws, wss.
    #[arg(long, default_value = "udp", value_parser = transport)]
    transport: Transport,
    /// Connections that the users share, where there are any.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Who vouches for the server, for TLS and WSS: a PEM file.
    #[arg(long)]
    authority: Option<PathBuf>,
    /// How to authenticate.
    #[arg(long, value_enum, default_value = "none")]
    auth: How,
    /// Digest algorithm.
    #[arg(long, value_enum, default_value = "sha-256")]
    algorithm: Algorithm,
    /// File with one Bearer token per line, in the order of the users.
    #[arg(long)]
    tokens: Option<PathBuf>,
    /// Domain of the users.
    #[arg(long, default_value = "example.com")]
    domain: String,
    /// Users that take turns.
    #[arg(long, default_value_t = 10_000)]
    users: u32,
    /// Number of the first user.
    #[arg(long, default_value_t = 0)]
    first: u32,
    /// Transactions to measure; new bindings end with the last user.
    #[arg(long, default_value_t = 100_000)]
    transactions: u64,
    /// Most transactions outstanding at once.
    #[arg(long, default_value_t = 64)]
    window: usize,
    /// Transactions per second at a fixed rate, instead of a window.
    #[arg(long)]
    rate: Option<u64>,
    /// Repeat unanswered requests as RFC 3261 says.
    #[arg(long)]
    retransmit: bool,
    /// Seconds after which an unanswered transaction is missing.
    #[arg(long, default_value_t = 2)]
    patience: u64,
    /// Process whose CPU time is counted, with all it started.
    #[arg(long = "pid")]
    pids: Vec<u32>,
}

#[derive(Args)]
struct Watch {
    /// Address of the server.
    target: SocketAddr,
    /// Domain of the users.
    #[arg(long, default_value = "example.com")]
    domain: String,
    /// Presentities, which publish in turn.
    #[arg(long, default_value_t = 1)]
    presentities: u32,
    /// Watchers of each.
    #[arg(long, default_value_t = 1000)]
    watchers: u32,
    /// PUBLISH requests to measure.
    #[arg(long, default_value_t = 50)]
    publishes: u32,
    /// Sockets the watchers share.
    #[arg(long, default_value_t = 32)]
    sockets: usize,
    /// Milliseconds of rest after each PUBLISH.
    #[arg(long, default_value_t = 5)]
    gap: u64,
    /// Seconds after which a NOTIFY is missing.
    #[arg(long, default_value_t = 5)]
    patience: u64,
    /// Process whose CPU time is counted, with all it started.
    #[arg(long = "pid")]
    pids: Vec<u32>,
}

#[derive(Args)]
struct Calls {
    /// Address of the server.
    target: SocketAddr,
    /// Domain of the users.
    #[arg(long, default_value = "example.com")]
    domain: String,
    /// Users who call, and as many who are called.
    #[arg(long, default_value_t = 1000)]
    users: u32,
    /// Calls to measure.
    #[arg(long, default_value_t = 20_000)]
    calls: u32,
    /// Calls that stay up meanwhile.
    #[arg(long, default_value_t = 0)]
    live: u32,
    /// Most measured calls at once.
    #[arg(long, default_value_t = 32)]
    window: usize,
    /// Calls per second at a fixed rate, instead of a window.
    #[arg(long)]
    rate: Option<u64>,
    /// Seconds after which a call is missing.
    #[arg(long, default_value_t = 5)]
    patience: u64,
    /// Process whose CPU time is counted, with all it started.
    #[arg(long = "pid")]
    pids: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Mode {
    /// Each user registers for the first time.
    New,
    /// Users that are registered register again.
    Refresh,
    /// OPTIONS.
    Options,
}

#[derive(Clone, Copy, ValueEnum)]
enum How {
    /// Not at all.
    None,
    /// Digest, 401 and 200 each time.
    Digest,
    /// Digest, with the nonce of the first challenge.
    DigestReuse,
    /// Bearer.
    Bearer,
}

fn transport(name: &str) -> Result<Transport, String> {
    Transport::of_uri_param(name).ok_or_else(|| format!("{name} is no transport"))
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::Watch(args) => watch(&args),
        Command::Calls(args) => calls(&args),
        Command::Prepare { users, tokens, domain, dir } => {
            prepare(users, tokens, &domain, &dir).map(|()| true)
        }
        Command::Certificate { dir } => certificate(&dir).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("loadgen: {e}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Run) -> io::Result<bool> {
    let auth = match args.auth {
        How::None => Auth::None,
        How::Digest => Auth::Digest { algorithm: args.algorithm, reuse: false },
        How::DigestReuse => Auth::Digest { algorithm: args.algorithm, reuse: true },
        How::Bearer => {
            let path = args.tokens.as_ref().ok_or(io::Error::other("--auth bearer needs --tokens FILE"))?;
            let tokens = Tokens::read(path)?;
            if tokens.len() < (args.first + args.users) as usize {
                return Err(io::Error::other(format!(
                    "{} holds only {} tokens",
                    path.display(),
                    tokens.len()
                )));
            }
            Auth::Bearer(tokens)
        }
    };
    let (transport, connections) = (args.transport, args.connections);
    let plan = Plan {
        target: args.target,
        over: Over { transport, connections, authority: args.authority.clone() },
        domain: args.domain.clone(),
        kind: if args.mode == Mode::Options { Kind::Options } else { Kind::Register },
        auth,
        first: args.first,
        users: args.users,
        transactions: if args.mode == Mode::New { u64::from(args.users) } else { args.transactions },
        warm: args.mode == Mode::Refresh,
        pace: args.rate.map_or(Pace::Window(args.window), Pace::Rate),
        retransmit: args.retransmit,
        patience: Duration::from_secs(args.patience),
        pids: args.pids.clone(),
    };
    let report = load::run(&plan)?;
    println!("{report}");
    if let Some(example) = &report.example {
        eprintln!("{example}");
    }
    Ok(report.is_clean())
}

fn watch(args: &Watch) -> io::Result<bool> {
    let report = load::watch(&WatchPlan {
        target: args.target,
        domain: args.domain.clone(),
        presentities: args.presentities,
        watchers: args.watchers,
        publishes: args.publishes,
        sockets: args.sockets,
        gap: Duration::from_millis(args.gap),
        patience: Duration::from_secs(args.patience),
        pids: args.pids.clone(),
    })?;
    println!("{report}");
    Ok(report.missing == 0)
}

fn calls(args: &Calls) -> io::Result<bool> {
    let report = load::calls(&CallPlan {
        target: args.target,
        domain: args.domain.clone(),
        users: args.users,
        calls: args.calls,
        live: args.live,
        window: args.window,
        rate: args.rate,
        patience: Duration::from_secs(args.patience),
        pids: args.pids.clone(),
    })?;
    println!("{report}");
    if let Some(example) = &report.example {
        eprintln!("{example}");
    }
    Ok(report.is_clean())
}

fn certificate(dir: &Path) -> io::Result<()> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(io::Error::other)?;
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join("cert.pem"), made.cert.pem())?;
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem())
}

fn prepare(users: u32, tokens: bool, domain: &str, dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let mut accounts = String::new();
    for user in 0..users {
        let _ =
            write!(accounts, "[[accounts]]\nusername = \"u{user:07}\"\npassword = \"secret{user:07}\"\n\n");
    }
    std::fs::write(dir.join("accounts.toml"), accounts)?;
    std::fs::write(dir.join("jwks.json"), issuer::document())?;
    if tokens {
        let day = Duration::from_secs(86_400);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let lines = (0..users).map(|user| issuer::token(&format!("u{user:07}@{domain}"), now, day) + "\n");
        std::fs::write(dir.join("tokens.txt"), lines.collect::<String>())?;
    }
    Ok(())
}
