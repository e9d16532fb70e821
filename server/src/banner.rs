//! What the server says when it is up: where it listens, who may register, and how to point a phone at it.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::net::{IpAddr, SocketAddr};

use strowger_core::config::ListenerConfig;
use strowger_shell::names;

use crate::cli::HttpAddr;
use crate::office::{self, Office};
use crate::plan::{self, Plan};

/// Whether passwords may be shown: to a person at a terminal, and never into a log (DECISIONS 32).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    /// A terminal.
    Person,
    /// A pipe, a file, a journal.
    Record,
}

impl Audience {
    /// Who reads standard output.
    pub fn of_stdout() -> Audience {
        if io::stdout().is_terminal() { Audience::Person } else { Audience::Record }
    }
}

/// The text.
pub fn text(
    plan: &Plan,
    office: Option<&Office>,
    listeners: &[ListenerConfig],
    http: HttpAddr,
    audience: Audience,
) -> String {
    let mut out = format!("Strowger {} is running.\n\n", env!("CARGO_PKG_VERSION"));
    for (i, listener) in listeners.iter().enumerate() {
        line(&mut out, if i == 0 { "Listening" } else { "" }, &listening(listener));
    }
    for (i, domain) in plan.config.domains.iter().enumerate() {
        let also = if domain.aliases.is_empty() {
            String::new()
        } else {
            format!(" (also {})", domain.aliases.join(", "))
        };
        line(&mut out, if i == 0 { "Domain" } else { "" }, &format!("{}{also}", domain.name));
    }
    match (&plan.demo, plan::accounts_file(plan)) {
        (Some(accounts), Some(file)) => {
            let names: Vec<&str> = accounts.iter().map(|account| account.username.as_str()).collect();
            line(&mut out, "Accounts", &format!("{}; passwords in {}", names.join(", "), file.display()));
            if audience == Audience::Person {
                for account in accounts {
                    let password =
                        account.password.as_ref().map_or("(hashed)", |password| password.0.as_str());
                    line(&mut out, "", &format!("{}  {password}", account.username));
                }
            }
        }
        _ => line(&mut out, "Accounts", &format!("{} from the configuration", plan.config.accounts.len())),
    }
    if office.is_some() {
        administrator(&mut out, plan, office, audience);
    }
    line(&mut out, "State", &plan.state.path().display().to_string());
    if let HttpAddr::At(addr) = http {
        let scheme = if plan.http_tls.is_some() { "https" } else { "http" };
        line(&mut out, "Metrics", &format!("{scheme}://{addr}/metrics, {scheme}://{addr}/health"));
        if office.is_some() {
            line(
                &mut out,
                "REST API",
                &format!("{scheme}://{addr}/auth/login, described by {scheme}://{addr}/openapi.json"),
            );
        }
    }
    if !plan.config.allowed_sources.is_empty() && plan.demo.is_some() {
        line(&mut out, "Serving", "this machine and private networks; --public serves everybody");
    }
    phone(&mut out, plan, listeners);
    out
}

/// Who may do everything: shown once, at the start that made him, and kept in a file until somebody removes it.
fn administrator(out: &mut String, plan: &Plan, office: Option<&Office>, audience: Audience) {
    let shown = office.and_then(|office| office.admin.as_ref()).filter(|_| audience == Audience::Person);
    match (shown, office::admin_file(&plan.state)) {
        (Some(password), _) => line(out, "Admin", &format!("admin  {}", password.0)),
        (None, Some(file)) => line(out, "Admin", &format!("admin; first password in {}", file.display())),
        (None, None) => {}
    }
}

fn line(out: &mut String, name: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "  {name:<10}{value}");
}

/// `udp:0.0.0.0:5060`, as on the command line.
fn listening(listener: &ListenerConfig) -> String {
    let mut text = format!("{}:{}", listener.transport.name(), listener.addr);
    if let Some((host, port)) = &listener.advertised {
        let _ = write!(text, "/{host}");
        if let Some(port) = port {
            let _ = write!(text, ":{port}");
        }
    }
    text
}

fn phone(out: &mut String, plan: &Plan, listeners: &[ListenerConfig]) {
    let Some(listener) = listeners.first() else { return };
    let demo = plan.demo.iter().flatten();
    let user =
        demo.chain(&plan.config.accounts).next().map_or("your user", |account| account.username.as_str());
    let server = match &listener.advertised {
        Some((host, _)) => host.clone(),
        None if listener.addr.ip().is_unspecified() => reachable().to_string(),
        None => listener.addr.ip().to_string(),
    };
    let port = match &listener.advertised {
        Some((_, Some(port))) => *port,
        _ => listener.addr.port(),
    };
    // Where the server's address is no name of the domain, a phone must be told both.
    let is_name = |name: &str| {
        plan.config
            .domains
            .iter()
            .any(|domain| domain.name == name || domain.aliases.iter().any(|a| a == name))
    };
    let address = match plan.config.domains.first() {
        Some(domain) if !is_name(&server) => format!("domain {}, server or proxy {server}", domain.name),
        _ => format!("domain {server}"),
    };
    let mut transports: Vec<String> =
        listeners.iter().map(|listener| listener.transport.via_token().to_owned()).collect();
    transports.sort_unstable_by(|a, b| b.cmp(a));
    transports.dedup();
    let transports = transports.join(" or ");
    let _ = write!(
        out,
        "\nTo register a softphone: user {user} with its password, {address}, port {port}, transport {transports}.\n"
    );
    if let Some(file) = plan::accounts_file(plan) {
        let _ = writeln!(out, "Show the passwords: cat {}", file.display());
    }
}

/// The address a phone in the same network would use: a private IPv4 address if there is one.
fn reachable() -> IpAddr {
    let addresses = names::addresses();
    let rank = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) if v4.is_loopback() => 3,
        IpAddr::V4(v4) if v4.is_private() => 0,
        IpAddr::V4(_) => 1,
        IpAddr::V6(v6) if v6.is_loopback() => 4,
        IpAddr::V6(_) => 2,
    };
    addresses.into_iter().min_by_key(rank).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)).ip())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use strowger_tokio::everywhere;

    use super::*;
    use crate::cli::ServeArgs;
    use crate::plan::Occasion;

    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn folder(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("strowger-banner-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("made");
        Folder(path)
    }

    /// What a start says to each audience, and which secrets there are.
    fn start(folder: &Folder, config: Option<&str>) -> ([String; 2], Vec<String>) {
        let file = config.map(|text| {
            let file = folder.0.join("strowger.toml");
            fs::write(&file, text).expect("written");
            file
        });
        let domain = config.is_none().then(|| "example.com".to_owned());
        let state_dir = Some(folder.0.join("state"));
        let args = ServeArgs { config: file, domain, state_dir, ..ServeArgs::default() };
        let plan = plan::make(&args, Occasion::Start).expect("a plan");
        let office = plan.office.as_ref().map(|wanted| {
            let demo = plan.demo.as_deref().unwrap_or_default();
            Office::open(&plan.state, &plan.config, wanted, demo).expect("an office")
        });
        let accounts = plan.demo.iter().flatten().chain(&plan.config.accounts);
        let mut secrets: Vec<String> =
            accounts.filter_map(|account| Some(account.password.as_ref()?.0.clone())).collect();
        let admin = fs::read_to_string(plan.state.path().join(office::ADMIN)).unwrap_or_default();
        secrets.extend(Some(admin.trim().to_owned()).filter(|admin| !admin.is_empty()));
        let http = HttpAddr::At("127.0.0.1:9060".parse().expect("an address"));
        let mut listeners = everywhere(5060);
        // The address of whoever runs this is in no snapshot.
        listeners.iter_mut().for_each(|listener| listener.addr.set_ip([192, 0, 2, 1].into()));
        listeners.truncate(2);
        let said = [Audience::Person, Audience::Record]
            .map(|audience| text(&plan, office.as_ref(), &listeners, http, audience));
        (said, secrets)
    }

    /// Without what differs from machine to machine, and from start to start.
    fn shown(said: &str, folder: &Folder, secrets: &[String]) -> String {
        let mut said = said.replace(&folder.0.display().to_string(), "FOLDER");
        for secret in secrets {
            said = said.replace(secret, "SECRET");
        }
        let line = |line: &str| match line.split_once(" (also ") {
            Some((domain, _)) => format!("{domain} (also OTHERS)"),
            None => line.replace(env!("CARGO_PKG_VERSION"), "VERSION"),
        };
        said.lines().map(|one| line(one) + "\n").collect()
    }

    #[test]
    fn passwords_are_shown_to_a_person_and_never_go_into_a_record() {
        let folder = folder("first");
        let (said, secrets) = start(&folder, None);
        assert_eq!(secrets.len(), 4, "three demo accounts and the administrator");
        let [person, record] = &said;
        for secret in &secrets {
            assert!(person.contains(secret) && !record.contains(secret), "{person}{record}");
        }
        insta::assert_snapshot!("to_a_person", shown(person, &folder, &secrets));
        insta::assert_snapshot!("to_a_record", shown(record, &folder, &secrets));
    }

    #[test]
    fn the_administrators_password_is_shown_at_the_start_that_made_it_and_no_more() {
        let folder = folder("again");
        let (_, secrets) = start(&folder, None);
        let ([person, record], again) = start(&folder, None);
        assert_eq!(again, secrets, "they stay");
        let (admin, demo) = secrets.split_last().expect("there are some");
        assert!(!person.contains(admin) && person.contains("first password in "), "{person}");
        assert!(demo.iter().all(|secret| person.contains(secret) && !record.contains(secret)));
        fs::remove_file(folder.0.join("state").join(office::ADMIN)).expect("removed");
        let ([person, _], _) = start(&folder, None);
        assert!(!person.contains("Admin"), "somebody took it away: {person}");
    }

    #[test]
    fn accounts_of_a_file_are_counted_and_their_passwords_shown_to_nobody() {
        let folder = folder("file");
        let file = "[[domain]]\nname = \"example.com\"\n[[account]]\nusername = \"alice\"\npassword = \"wonderland\"\n";
        let ([person, record], secrets) = start(&folder, Some(file));
        assert_eq!((secrets, &person), (vec!["wonderland".to_owned()], &record));
        insta::assert_snapshot!("of_a_file", shown(&person, &folder, &[]));
        assert!(!person.contains("wonderland"), "{person}");
    }
}
