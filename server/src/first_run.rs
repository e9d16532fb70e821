//! What runs without a configuration file (DECISIONS 32): demo accounts with random passwords, one domain that every
//! name of the machine means, and nobody served from outside.

use strowger_core::config::{
    AccountConfig, CallsConfig, Config, DigestAlgorithm, DomainConfig, IpNet, MessageSummaryConfig,
    PresenceConfig, RegistrarConfig,
};
use strowger_shell::names;
use strowger_tokio::{everywhere, machine_domain};

use crate::cli::Complaint;
use crate::config::load_accounts;
use crate::state::StateDir;

/// The file of the demo accounts, in the state folder.
pub const ACCOUNTS: &str = "accounts.toml";

/// What phones are asked for their password for.
const REALM: &str = "strowger";

const USERS: [&str; 3] = ["1001", "1002", "1003"];

/// Loopback, private, link-local and unique-local networks.
const NEAR: [&str; 9] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "100.64.0.0/10",
    "::1/128",
    "fe80::/10",
    "fc00::/7",
];

/// The engine's configuration without a file. Accounts come apart.
pub fn config(domain: Option<&str>, public: bool) -> Config {
    let machine = machine_domain();
    let domain = match domain {
        Some(name) => {
            let mut aliases = machine.aliases;
            aliases.push(machine.name);
            DomainConfig { name: name.into(), aliases }
        }
        None => machine,
    };
    let mut config = Config::new(domain.name.clone());
    config.domains = vec![domain];
    config.listeners = everywhere(crate::config::SIP_PORT);
    config.registrar = Some(RegistrarConfig::default());
    config.presence = Some(PresenceConfig::default());
    config.message_summary = Some(MessageSummaryConfig::default());
    // Between accounts and nowhere else: there are no trunks, and nobody may relay.
    config.calls = Some(CallsConfig::default());
    // What runs without a file is there for any phone at hand, and some give up at the first challenge whose algorithm
    // they do not know, baresip 1.0 among them (DECISIONS 7). The passwords are random and the network is near.
    config.digest.algorithms = vec![DigestAlgorithm::Md5];
    // What is stored of a password holds for one realm: it stays when the machine is called otherwise.
    config.digest.realm = REALM.into();
    if !public {
        // What this machine sends to an address of its own comes from there, and that may be a public one.
        let own = names::addresses().into_iter().map(|addr| addr.to_string());
        let near = NEAR.into_iter().map(String::from);
        config.allowed_sources = near.chain(own).filter_map(|net| IpNet::parse(&net)).collect();
    }
    config
}

/// The demo accounts: read, or made at the first start.
pub fn accounts(state: &StateDir) -> Result<Vec<AccountConfig>, Complaint> {
    let text = match state.read(ACCOUNTS)? {
        Some(text) => text,
        None => {
            let text = draw();
            state.write(ACCOUNTS, text.as_bytes())?;
            text
        }
    };
    let name = state.path().join(ACCOUNTS).display().to_string();
    load_accounts(&name, &text).map_err(|faults| Complaint(faults.to_string()))
}

fn draw() -> String {
    let mut text = String::from(
        "# The passwords that the demo accounts were given at the first start. They are changed by: strowger user passwd NAME\n",
    );
    for user in USERS {
        text.push_str(&format!("\n[[account]]\nusername = \"{user}\"\npassword = \"{}\"\n", password()));
    }
    text
}

/// Sixteen characters that nobody confuses when typing them into a phone: 78 bits.
fn password() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789A";
    // One byte each: 32 divides 256, so every letter is equally likely.
    let seed = strowger_shell::seed();
    seed.iter().take(16).map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demo_accounts_are_readable_and_differ() {
        let accounts = load_accounts(ACCOUNTS, &draw()).expect("valid");
        assert_eq!(accounts.iter().map(|a| a.username.as_str()).collect::<Vec<_>>(), USERS);
        assert_ne!(accounts[0].password, accounts[1].password);
        assert_eq!(accounts[0].password.as_ref().map(|p| p.0.len()), Some(16));
    }

    #[test]
    fn strangers_are_not_served_unless_asked_for() {
        let near = config(None, false).allowed_sources;
        let served = |ip: &str| near.iter().any(|net| net.contains(ip.parse().expect("an address")));
        for ip in names::addresses() {
            assert!(near.iter().any(|net| net.contains(ip)), "{ip} is this machine");
        }
        for ip in ["127.0.0.1", "192.168.1.9", "10.2.3.4", "fe80::1", "fd12::1", "::1", "::ffff:10.0.0.1"] {
            assert!(served(ip), "{ip}");
        }
        for ip in ["8.8.8.8", "172.32.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert!(!served(ip), "{ip}");
        }
        assert!(config(None, true).allowed_sources.is_empty());
    }

    #[test]
    fn the_machines_names_stay_aliases_of_a_named_domain() {
        let config = config(Some("example.com"), false);
        assert_eq!(config.domains[0].name, "example.com");
        assert!(config.domains[0].aliases.iter().any(|alias| alias == "127.0.0.1"));
        assert!(config.domains[0].aliases.iter().any(|alias| alias == "localhost"));
        config.validate().expect("valid");
    }
}
