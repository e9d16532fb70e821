//! `strowger user`, `token` and `key`: accounts and tokens from the command line. They work on the files of the state
//! folder, whether a server runs on them or not. No password is ever an argument: it would stand in the list of
//! processes.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use strowger_users::keys::Step;
use strowger_users::store::{Account, DigestWish, NewAccount, Patch, Role, UserError};

use crate::cli::Complaint;
use crate::office::{self, Office};
use crate::plan;

/// Accounts that are listed in one go.
const PAGE: usize = 1000;

/// A command, and which accounts it is about.
#[derive(Args, Debug)]
pub struct DeskArgs<C: Subcommand> {
    #[command(subcommand)]
    command: C,
    /// The configuration file of the server, if it has one.
    #[arg(short, long, value_name = "FILE", env = "STROWGER_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// The state folder of the server.
    #[arg(long, value_name = "DIR", env = "STROWGER_STATE_DIR", global = true)]
    state_dir: Option<PathBuf>,
    /// The domain of a server without a file, if it was given one.
    #[arg(short, long, value_name = "NAME", global = true)]
    domain: Option<String>,
    /// Say it as JSON.
    #[arg(long, global = true)]
    json: bool,
}

/// What can be done with accounts.
#[derive(Subcommand, Debug)]
pub enum UserCommand {
    /// Add an account. Its password is asked for, or read from a file.
    Add {
        /// Letters, digits and ._+-@
        name: String,
        /// An address of record, user@domain; several times for several. Without one: the name at the domain.
        #[arg(long, value_name = "USER@DOMAIN")]
        aor: Vec<String>,
        /// Shown to people.
        #[arg(long, value_name = "TEXT", default_value = "")]
        display_name: String,
        /// An e-mail address.
        #[arg(long, value_name = "ADDRESS", default_value = "")]
        email: String,
        /// What it may do.
        #[arg(long, value_enum, default_value = "user")]
        role: RoleArg,
        /// Keep what Digest needs, so that phones with a password can register. As good as the password: see the manual.
        #[arg(long)]
        digest: bool,
        /// Where its password comes from.
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// List all accounts.
    List,
    /// Give an account another password; ends its logins.
    Passwd {
        /// The account.
        name: String,
        /// Where its password comes from.
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Refuse an account everything, at once.
    Disable {
        /// The account.
        name: String,
    },
    /// Let it in again.
    Enable {
        /// The account.
        name: String,
    },
    /// Delete an account.
    Rm {
        /// The account.
        name: String,
    },
    /// Say which addresses of record an account has, in place of those it had.
    Aor {
        /// The account.
        name: String,
        /// user@domain
        #[arg(required = true, value_name = "USER@DOMAIN")]
        aors: Vec<String>,
    },
}

/// What can be done with tokens.
#[derive(Subcommand, Debug)]
pub enum TokenCommand {
    /// Issue an access token for an account, as a login would.
    Issue {
        /// The account.
        name: String,
        /// What it may be used for; several times for several. Without it: all that the account may.
        #[arg(long, value_name = "SCOPE")]
        scope: Vec<String>,
    },
    /// Say whether a token is good, and what it says. It is read from standard input, or from a file.
    Verify {
        /// The file; "-" is standard input.
        #[arg(default_value = "-")]
        file: PathBuf,
    },
}

/// What can be done with keys.
#[derive(Subcommand, Debug)]
pub enum KeyCommand {
    /// Make the next key. It is published at once and signs in ten minutes; the one before stays good for its tokens.
    Rotate,
    /// List all keys.
    List,
}

/// What an account may do.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum RoleArg {
    /// What is its own.
    User,
    /// See everything that goes on, end calls, remove registrations.
    Operator,
    /// Everything.
    Admin,
}

/// Where a password comes from.
#[derive(Args, Debug)]
pub struct PasswordArgs {
    /// Read the password from the first line of this file; "-" is standard input. Without it you are asked.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// What is said in the end: for people, and for programs.
struct Said {
    text: String,
    json: Value,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Role {
        match role {
            RoleArg::User => Role::User,
            RoleArg::Operator => Role::Operator,
            RoleArg::Admin => Role::Admin,
        }
    }
}

impl<C: Subcommand> DeskArgs<C> {
    fn run(self, act: impl FnOnce(&Office, &Self) -> Result<Said, Complaint>) -> Result<ExitCode, Complaint> {
        let office = plan::office(self.config.as_deref(), self.state_dir.clone(), self.domain.as_deref())?;
        let said = act(&office, &self)?;
        let text = if self.json { format!("{}\n", said.json) } else { said.text };
        // Whoever reads may have gone.
        let _ = io::stdout().lock().write_all(text.as_bytes());
        Ok(ExitCode::SUCCESS)
    }
}

/// `strowger user`.
pub fn user(args: DeskArgs<UserCommand>) -> Result<ExitCode, Complaint> {
    args.run(|office, args| {
        let (store, now) = (office.store(), office::now());
        let patched = |name: &str, patch: Patch| store.change(name, &patch, now).map(one).map_err(refused);
        match &args.command {
            UserCommand::Add { name, aor, display_name, email, role, digest, password } => {
                let aors = match aor.is_empty() {
                    true => vec![format!("{name}@{}", office.login().issuer().config().audience)],
                    false => aor.clone(),
                };
                let new = NewAccount {
                    aors,
                    display_name: display_name.clone(),
                    email: email.clone(),
                    role: (*role).into(),
                    digest: *digest,
                    ..NewAccount::named(name)
                };
                let new = new.with_password(password.read(&format!("Password for {name}"))?);
                store.create(&new, now).map(one).map_err(refused)
            }
            UserCommand::List => {
                let mut all = Vec::new();
                loop {
                    let after = all.last().map(|account: &Account| account.username.clone());
                    let page = store.accounts(after.as_deref(), PAGE).map_err(refused)?;
                    if page.is_empty() {
                        return Ok(many(&all));
                    }
                    all.extend(page);
                }
            }
            UserCommand::Passwd { name, password } => {
                let password = password.read(&format!("New password for {name}"))?;
                store.set_password(name, &password, DigestWish::Keep, now).map_err(refused)?;
                store.account(name).map(one).map_err(refused)
            }
            UserCommand::Disable { name } => {
                patched(name, Patch { enabled: Some(false), ..Patch::default() })
            }
            UserCommand::Enable { name } => patched(name, Patch { enabled: Some(true), ..Patch::default() }),
            UserCommand::Rm { name } => {
                store.delete(name, now).map_err(refused)?;
                Ok(Said { text: format!("{name} is deleted\n"), json: json!({ "deleted": name }) })
            }
            UserCommand::Aor { name, aors } => {
                patched(name, Patch { aors: Some(aors.clone()), ..Patch::default() })
            }
        }
    })
}

/// `strowger token`.
pub fn token(args: DeskArgs<TokenCommand>) -> Result<ExitCode, Complaint> {
    args.run(|office, args| match &args.command {
        TokenCommand::Issue { name, scope } => {
            let scopes = (!scope.is_empty()).then_some(scope.as_slice());
            let issued = office.login().issue(name, scopes, office::now());
            let issued = issued.map_err(|error| Complaint(format!("no token for {name}: {error}")))?;
            let claims = json!(issued.claims);
            let json = json!({ "access_token": issued.text.0, "claims": claims });
            Ok(Said { text: format!("{}\n", issued.text.0), json })
        }
        TokenCommand::Verify { file } => {
            let text = first_line(file)?;
            match office.login().verify(text.trim(), office::now()) {
                Ok(claims) => {
                    let json = json!(claims);
                    Ok(Said { text: format!("good: {json}\n"), json })
                }
                Err(error) => Err(Complaint(format!("the token is not good: {error}"))),
            }
        }
    })
}

/// `strowger key`.
pub fn key(args: DeskArgs<KeyCommand>) -> Result<ExitCode, Complaint> {
    args.run(|office, args| {
        let (ring, now) = (office.login().issuer().ring(), office::now());
        if matches!(args.command, KeyCommand::Rotate) {
            ring.rotate(now).map_err(|error| Complaint(format!("no new key: {error}")))?;
            office.publish()?;
        }
        let keys = ring.list(now);
        let mut text = String::new();
        for key in &keys {
            let step = match key.step {
                Step::Next => format!("signs in {} s", key.signs_from - now),
                Step::Current => "signs".into(),
                Step::Old => format!("good for {} s more", key.dies.unwrap_or(now) - now),
            };
            text.push_str(&format!("{}  {}  {step}\n", key.kid, key.algorithm.name()));
        }
        Ok(Said { text, json: json!(keys) })
    })
}

fn one(account: Account) -> Said {
    let json = json!(account);
    Said { text: row(&account), json }
}

fn many(accounts: &[Account]) -> Said {
    Said { text: accounts.iter().map(row).collect(), json: json!(accounts) }
}

fn row(account: &Account) -> String {
    let state = if account.enabled { "" } else { "  disabled" };
    let digest = if account.digest { "  digest" } else { "" };
    let line =
        format!("{}  {}  {}{digest}{state}", account.username, account.role.name(), account.aors.join(","));
    format!("{}\n", line.trim_end())
}

fn refused(error: UserError) -> Complaint {
    Complaint(error.to_string())
}

impl PasswordArgs {
    fn read(&self, prompt: &str) -> Result<String, Complaint> {
        if let Some(file) = &self.password_file {
            return first_line(file);
        }
        if !io::stdin().is_terminal() {
            return Err(Complaint(
                "nobody can be asked for a password here: give --password-file FILE, or --password-file - and the password on standard input".into(),
            ));
        }
        let ask = |prompt: String| {
            rpassword::prompt_password(prompt)
                .map_err(|error| Complaint(format!("cannot read a password: {error}")))
        };
        let first = ask(format!("{prompt}: "))?;
        if ask("Once more: ".into())? != first {
            return Err(Complaint("the two passwords differ".into()));
        }
        Ok(first)
    }
}

/// The first line of a file, without its end.
fn first_line(file: &Path) -> Result<String, Complaint> {
    /// Longer than any token or password.
    const MOST: u64 = 16 * 1024;
    let mut line = String::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().take(MOST).read_line(&mut line)
    } else {
        std::fs::File::open(file).and_then(|file| io::BufReader::new(file.take(MOST)).read_line(&mut line))
    };
    read.map_err(|error| Complaint(format!("cannot read {}: {error}", file.display())))?;
    Ok(line.trim_end_matches(['\r', '\n']).into())
}
