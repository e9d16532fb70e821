//! The command line.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::listen::Listen;
use crate::desk::{DeskArgs, KeyCommand, TokenCommand, UserCommand};
use crate::{check, desk, logs, serve};

/// Exit code for what the operator can put right: a taken port, an unreadable file, a bad value.
const OPERATOR: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  strowger
      Start with nothing configured: UDP and TCP on port 5060, three demo
      accounts, phones of this machine and of private networks only.

  strowger serve --listen udp:127.0.0.1:5070 --listen tcp:127.0.0.1:5070
      Listen on these sockets only.

  strowger serve --listen udp:0.0.0.0:5060/203.0.113.5 --domain example.com
      Listen on all addresses, call ourselves 203.0.113.5 towards phones on
      the Internet, and serve example.com.

  strowger serve -c /etc/strowger.toml --log-format json
      Everything from a file. server/strowger.example.toml shows every setting.

  strowger check /etc/strowger.toml
      Look at a file without starting: exit code 0 when it is good, 2 when not.

Signals:
  TERM and INT drain and end the server, a second one ends it at once; the
  exit code is 0 either way.
  HUP reads accounts, keys and policy again.";

/// A SIP server: phones register, with passwords (Digest) or tokens (Bearer).
#[derive(Parser, Debug)]
#[command(name = "strowger", version, about, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the server in the foreground. Without a file it serves demo accounts to private networks.
    #[command(after_help = EXAMPLES)]
    Serve(ServeArgs),
    /// Check a configuration file and say what is wrong with it, by line.
    Check(CheckArgs),
    /// Accounts: add, list, change, remove. A running server takes it over within a second.
    User(DeskArgs<UserCommand>),
    /// Access tokens: issue one, look at one.
    Token(DeskArgs<TokenCommand>),
    /// The keys that sign tokens: list them, turn them.
    Key(DeskArgs<KeyCommand>),
}

/// What `serve` is told. Values given here win over the file.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// The configuration file (TOML).
    #[arg(short, long, value_name = "FILE", env = "STROWGER_CONFIG")]
    pub config: Option<PathBuf>,
    /// Listen here: udp or tcp, an address (IPv6 in brackets), a port (0 takes a free one), and after a slash the
    /// address to advertise to phones outside. May be given several times.
    #[arg(short, long, value_name = "PROTO:ADDR:PORT[/ADVERTISED]")]
    pub listen: Vec<Listen>,
    /// The domain to serve: the part of an address behind the @.
    #[arg(short, long, value_name = "NAME")]
    pub domain: Option<String>,
    /// Where to keep secrets, and the demo accounts.
    #[arg(long, value_name = "DIR", env = "STROWGER_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// How to write logs, on standard error.
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What to log: error, warn, info, debug, or directives such as "info,strowger::request=warn".
    #[arg(long, value_name = "LEVEL", env = "STROWGER_LOG", value_parser = log_level)]
    pub log_level: Option<String>,
    /// Serve phones from everywhere, not only from this machine and private networks. A file implies it.
    #[arg(long)]
    pub public: bool,
    /// Where to serve /metrics and /health; "off" for nowhere. Default 127.0.0.1:9060.
    #[arg(long, value_name = "ADDR:PORT")]
    pub http: Option<HttpAddr>,
}

#[derive(Args, Debug)]
struct CheckArgs {
    /// The configuration file (TOML).
    #[arg(short, long, value_name = "FILE", env = "STROWGER_CONFIG", required_unless_present = "file")]
    config: Option<PathBuf>,
    /// The same, without the option's name.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// How logs are written.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Where HTTP is served, if at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HttpAddr {
    /// Nowhere.
    Off,
    /// Here.
    At(SocketAddr),
}

impl std::str::FromStr for HttpAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<HttpAddr, String> {
        if text == "off" {
            return Ok(HttpAddr::Off);
        }
        text.parse()
            .map(HttpAddr::At)
            .map_err(|_| "write an address and a port, such as 127.0.0.1:9060, or \"off\"".into())
    }
}

fn log_level(text: &str) -> Result<String, String> {
    logs::filter(text).map(|_| text.into())
}

/// Something the operator must put right, said in one message.
#[derive(Debug)]
pub struct Complaint(pub String);

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let Cli { command, serve } = Cli::parse();
    let done = match command {
        None => serve::run(serve),
        Some(Command::Serve(args)) => serve::run(args),
        Some(Command::Check(CheckArgs { config, file })) => check::run(&file.or(config).unwrap_or_default()),
        Some(Command::User(args)) => desk::user(args),
        Some(Command::Token(args)) => desk::token(args),
        Some(Command::Key(args)) => desk::key(args),
    };
    match done {
        Ok(code) => code,
        Err(complaint) => {
            eprintln!("strowger: {complaint}");
            ExitCode::from(OPERATOR)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_arguments_serve_with_defaults() {
        let cli = Cli::try_parse_from(["strowger"]).expect("valid");
        assert!(cli.command.is_none() && cli.serve.listen.is_empty() && !cli.serve.public);
    }

    #[test]
    fn options_of_serve_stand_with_and_without_its_name() {
        for args in
            [&["strowger", "serve", "--listen", "udp:[::1]:0"][..], &["strowger", "--listen", "udp:[::1]:0"]]
        {
            let cli = Cli::try_parse_from(args).expect("valid");
            let serve = match cli.command {
                Some(Command::Serve(serve)) => serve,
                _ => cli.serve,
            };
            assert_eq!(serve.listen.len(), 1);
        }
        assert!(Cli::try_parse_from(["strowger", "--listen", "5060"]).is_err());
    }
}
