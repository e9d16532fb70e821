//! What an operator gets wrong: one clear message with what to do, and exit code 2.

mod common;

use std::net::UdpSocket;

use common::{Folder, Running, run, text};

fn refused(args: &[&str]) -> String {
    let output = run(args);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn a_taken_port() {
    let folder = Folder::new();
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("bound");
    let state = folder.path("state");
    let said = refused(&[
        "serve",
        "--listen",
        &format!("udp:{addr}"),
        "--state-dir",
        state.to_str().expect("utf-8"),
        "--http",
        "off",
    ]);
    for wanted in [&addr.to_string(), "another program has this port", "--listen", "ss -lpu"] {
        assert!(said.contains(wanted), "{wanted} in {said}");
    }
    assert_eq!(said.trim().lines().count(), 1, "one message: {said}");
}

#[test]
fn a_listener_given_twice() {
    let folder = Folder::new();
    let state = folder.path("state");
    let free = UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let listen = format!("udp:{free}");
    let state = state.to_str().expect("utf-8");
    let said = refused(&["serve", "-l", &listen, "-l", &listen, "--state-dir", state, "--http", "off"]);
    assert!(said.contains("twice") && said.contains(&listen), "{said}");
}

#[test]
fn a_file_that_is_not_there() {
    for command in ["serve", "check"] {
        let said = refused(&[command, "-c", "/nowhere/strowger.toml"]);
        assert!(said.contains("/nowhere/strowger.toml") && said.contains("cannot read"), "{said}");
    }
}

#[test]
fn a_misspelt_key_is_named_by_line() {
    let folder = Folder::new();
    let file = folder.write("strowger.toml", "[registrar]\nmax_contact = 3\n");
    let file = file.to_str().expect("utf-8");
    for args in [&["serve", "-c", file][..], &["check", "-c", file], &["check", file]] {
        let said = refused(args);
        assert!(said.contains("line 2, column 1") && said.contains("did you mean `max_contacts`?"), "{said}");
    }
}

#[test]
fn a_bad_value_on_the_command_line() {
    let said = refused(&["serve", "--listen", "sctp:0.0.0.0:5060"]);
    assert!(said.contains("sctp") && said.contains("use udp, tcp, tls, ws or wss"), "{said}");
    let said = refused(&["serve", "--http", "here"]);
    assert!(said.contains("127.0.0.1:9060"), "{said}");
    let folder = Folder::new();
    let state = folder.path("state");
    let said =
        refused(&["serve", "--log-level", "strowger=loud", "--state-dir", state.to_str().expect("utf-8")]);
    assert!(said.contains("loud"), "{said}");
    // A lone word is no level either, on the command line as in a file.
    let said = refused(&["serve", "--log-level", "loud"]);
    assert!(said.contains("\"loud\" is not a log level") && said.contains("error, warn, info"), "{said}");
    let file = folder.write("strowger.toml", "[log]\nlevel = \"loud\"\n");
    let said = refused(&["check", file.to_str().expect("utf-8")]);
    assert!(said.contains("line 2, column 9") && said.contains("is not a log level"), "{said}");
}

#[test]
fn an_address_of_another_machine() {
    let folder = Folder::new();
    let state = folder.path("state");
    let said = refused(&[
        "serve",
        "--listen",
        "udp:192.0.2.77:5060",
        "--state-dir",
        state.to_str().expect("utf-8"),
        "--http",
        "off",
    ]);
    assert!(said.contains("this machine does not have that address"), "{said}");
}

#[test]
fn a_state_folder_that_cannot_be() {
    let said = refused(&["serve", "--state-dir", "/dev/null/state"]);
    assert!(said.contains("--state-dir"), "{said}");
}

#[test]
fn a_good_file_passes_the_check_with_its_warnings() {
    let folder = Folder::new();
    let file = folder.write("strowger.toml", "[auth.policy]\nregister = \"open\"\n");
    let output = run(&["check", "-c", file.to_str().expect("utf-8")]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("good") && said.contains("warning: auth.policy.register"), "{said}");
}

#[test]
fn metrics_whose_port_is_taken_do_not_stop_the_server() {
    let folder = Folder::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("bound").to_string();
    let mut server = Running::local(&folder, &["--http", &addr]);
    assert!(!server.banner.contains("Metrics"), "{}", server.banner);
    server.wait_for_log("no metrics");
    let mut phone = common::Phone::udp(server.addr("udp"), "1001", "127.0.0.1");
    assert!(phone.ask("OPTIONS", "").starts_with("SIP/2.0 200 "));
}
