//! The server with nothing configured, as a newcomer meets it.

mod common;

use std::fs;

use common::{Folder, Phone, Running, demo_password, get, text};
use rustix::process::Signal;
use strowger_core::base::hash::DigestAlgorithm;

#[test]
fn a_phone_with_a_demo_account_registers_over_udp_and_tcp() {
    let folder = Folder::new();
    let server = Running::local(&folder, &[]);
    let password = demo_password(&folder.path("state"), "1001");
    // The machine's address is its domain: what a newcomer types into a phone.
    let mut udp = Phone::udp(server.addr("udp"), "1001", "127.0.0.1");
    let ok = udp.register(DigestAlgorithm::Md5, &password);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    let mut tcp = Phone::tcp(server.addr("tcp"), "1001", "localhost");
    let ok = tcp.register(DigestAlgorithm::Md5, &password);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    assert_eq!(
        ok.matches("Contact:").count() + ok.matches(", <sip:").count(),
        2,
        "both phones are bindings: {ok}"
    );
    let mut stranger = Phone::udp(server.addr("udp"), "1002", "127.0.0.1");
    let refused = stranger.register(DigestAlgorithm::Md5, "guess");
    assert!(refused.starts_with("SIP/2.0 401 "), "{refused}");
}

#[test]
fn it_says_where_it_listens_and_keeps_passwords_out_of_pipes() {
    let folder = Folder::new();
    let server = Running::local(&folder, &["--http", "127.0.0.1:0"]);
    let password = demo_password(&folder.path("state"), "1002");
    for wanted in [
        "Strowger",
        "udp:127.0.0.1:",
        "tcp:127.0.0.1:",
        "1001, 1002, 1003",
        "accounts.toml",
        "/metrics",
        "Domain",
    ] {
        assert!(server.banner.contains(wanted), "{wanted} in {}", server.banner);
    }
    assert!(!server.banner.contains(&password));
    let (status, metrics) = get(server.http(), "/metrics");
    assert!(status.contains("200") && metrics.contains("strowger_registered_aors 0"), "{metrics}");
}

#[cfg(unix)]
#[test]
fn what_it_keeps_is_for_its_owner_only_and_stays() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let read = |name: &str| fs::read_to_string(folder.path("state").join(name)).expect(name);
    drop(Running::local(&folder, &[]));
    let (secret, accounts, boot) = (read("secret"), read("accounts.toml"), read("boot"));
    for name in ["secret", "accounts.toml"] {
        let mode = fs::metadata(folder.path("state").join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    drop(Running::local(&folder, &[]));
    assert_eq!((read("secret"), read("accounts.toml")), (secret, accounts));
    assert_ne!(read("boot"), boot);
}

#[test]
fn a_nonce_from_before_a_restart_is_stale_and_not_wrong() {
    let folder = Folder::new();
    let server = Running::local(&folder, &["--domain", "example.com"]);
    let password = demo_password(&folder.path("state"), "1001");
    let mut phone = Phone::udp(server.addr("udp"), "1001", "example.com");
    let challenge = phone.ask("REGISTER", "");
    drop(server);
    let server = Running::local(&folder, &["--domain", "example.com"]);
    let mut phone = Phone::udp(server.addr("udp"), "1001", "example.com");
    let credentials = phone.answer(&challenge, DigestAlgorithm::Md5, &password, 1);
    let again = phone.ask("REGISTER", &credentials);
    assert!(again.starts_with("SIP/2.0 401 ") && again.contains("stale=true"), "{again}");
    let credentials = phone.answer(&again, DigestAlgorithm::Md5, &password, 1);
    assert!(phone.ask("REGISTER", &credentials).starts_with("SIP/2.0 200 "));
}

#[test]
fn it_ends_in_order_when_told_to() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = Folder::new();
        let server = Running::local(&folder, &[]);
        let mut phone = Phone::udp(server.addr("udp"), "1001", "127.0.0.1");
        assert!(phone.ask("OPTIONS", "").starts_with("SIP/2.0 200 "));
        server.signal(signal);
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("draining") && log.contains("stopped"), "{log}");
    }
}

#[test]
fn every_address_and_both_ip_versions_are_served_without_arguments_for_listeners() {
    let folder = Folder::new();
    let state = folder.path("state");
    let state = state.to_str().expect("utf-8");
    // The default port may be taken on the machine of the test: a wildcard on a free one is as good.
    let server = Running::start(&[
        "--state-dir",
        state,
        "--http",
        "off",
        "--listen",
        "udp:0.0.0.0:0",
        "--listen",
        "udp:[::]:0",
    ]);
    let port = server.addr("udp").port();
    let to = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut phone = Phone::udp(to, "1001", "localhost");
    let ok = phone.ask("OPTIONS", "");
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    assert!(!ok.contains("0.0.0.0"), "a wildcard leaked: {ok}");
    let password = demo_password(&folder.path("state"), "1001");
    let ok = phone.register(DigestAlgorithm::Md5, &password);
    assert!(ok.starts_with("SIP/2.0 200 ") && !ok.contains("0.0.0.0"), "{ok}");
}

#[test]
fn help_teaches() {
    let help = common::run(&["--help"]);
    let help = text(&help.stdout);
    for wanted in ["Examples:", "strowger check /etc", "--listen", "--public", "Signals:"] {
        assert!(help.contains(wanted), "{wanted} in {help}");
    }
}
