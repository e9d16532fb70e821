//! A configured server at work: reload, tokens, logs, metrics.
#![allow(clippy::disallowed_methods)] // Tests of a process have the process's clock.

mod common;

use std::time::{Duration, SystemTime};

use common::{Folder, Phone, Running, answered, get, header};
use rustix::process::Signal;
use strowger_core::base::Time;
use strowger_core::base::hash::DigestAlgorithm;
use strowger_sim::issuer::Issuer;

const ACCOUNTS: &str =
    "[[domain]]\nname = \"example.com\"\n[[account]]\nusername = \"alice\"\npassword = \"wonderland\"\n";

fn start(folder: &Folder, config: &str, more: &[&str]) -> Running {
    let file = folder.write("strowger.toml", config);
    let mut args = vec!["-c", file.to_str().expect("utf-8")];
    args.extend(more);
    Running::local(folder, &args)
}

#[test]
fn hup_takes_new_accounts_in_and_a_bad_file_keeps_the_old_ones() {
    let folder = Folder::new();
    let mut server = start(&folder, ACCOUNTS, &[]);
    let to = server.addr("udp");
    let register = |user: &str, password: &str| {
        Phone::udp(to, user, "example.com").register(DigestAlgorithm::Md5, password)
    };
    assert!(register("alice", "wonderland").starts_with("SIP/2.0 200 "));
    assert!(register("bob", "builder").starts_with("SIP/2.0 401 "));
    folder.write(
        "strowger.toml",
        &format!("{ACCOUNTS}[[account]]\nusername = \"bob\"\npassword = \"builder\"\n"),
    );
    server.signal(Signal::HUP);
    server.wait_for_log("reloaded");
    answered(|| register("bob", "builder"), 200);
    folder.write("strowger.toml", "[[acount]]\n");
    server.signal(Signal::HUP);
    let log = server.wait_for_log("the old settings stay");
    assert!(log.contains("did you mean"), "{log}");
    assert!(register("alice", "wonderland").starts_with("SIP/2.0 200 "));
    assert!(register("bob", "builder").starts_with("SIP/2.0 200 "));
}

#[test]
fn a_phone_with_a_token_registers_and_one_with_anothers_does_not() {
    let folder = Folder::new();
    let issuer = Issuer::new("https://login.example.com/", 7);
    let keys = folder.path("keys.json");
    std::fs::write(&keys, issuer.document()).expect("written");
    let config = format!(
        "{ACCOUNTS}[auth.jwt]\nallow_cleartext = true\nauthz_server = \"https://login.example.com/\"\n\
         [[auth.jwt.issuer]]\nissuer = \"https://login.example.com/\"\naudiences = [\"sip\"]\njwks = {keys:?}\n"
    );
    let mut server = start(&folder, &config, &[]);
    server.wait_for_log("keys fetched");
    let to = server.addr("udp");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let token = |sub: &str, audience: &str| {
        let token = issuer.token(Time::from_secs(now.as_secs()), sub, audience, Duration::from_secs(300));
        format!("Expires: 600\r\nAuthorization: Bearer {token}\r\n")
    };
    let mut carol = Phone::udp(to, "carol", "example.com");
    let challenge = carol.ask("REGISTER", "");
    assert!(
        challenge.contains("WWW-Authenticate: Bearer") && challenge.contains("WWW-Authenticate: Digest"),
        "{challenge}"
    );
    answered(|| carol.ask("REGISTER", &token("carol@example.com", "sip")), 200);
    let other = carol.ask("REGISTER", &token("dave@example.com", "sip"));
    assert!(other.starts_with("SIP/2.0 403 "), "{other}");
    let foreign = carol.ask("REGISTER", &token("carol@example.com", "another"));
    assert!(foreign.starts_with("SIP/2.0 401 "), "{foreign}");
}

#[test]
fn hup_reads_keys_again_and_a_key_that_is_gone_opens_nothing() {
    let folder = Folder::new();
    let (old, new) =
        (Issuer::new("https://login.example.com/", 7), Issuer::new("https://login.example.com/", 8));
    let keys = folder.write("keys.json", &common::text(&old.document()));
    let config = format!(
        "{ACCOUNTS}[auth.jwt]\nallow_cleartext = true\nauthz_server = \"https://login.example.com/\"\n\
         [[auth.jwt.issuer]]\nissuer = \"https://login.example.com/\"\naudiences = [\"sip\"]\njwks = {keys:?}\n"
    );
    let mut server = start(&folder, &config, &[]);
    server.wait_for_log("keys fetched");
    let to = server.addr("udp");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let token = |issuer: &Issuer| {
        let now = Time::from_secs(now.as_secs());
        let token = issuer.token(now, "carol@example.com", "sip", Duration::from_secs(300));
        format!("Expires: 600\r\nAuthorization: Bearer {token}\r\n")
    };
    let mut carol = Phone::udp(to, "carol", "example.com");
    let mut ask = |issuer: &Issuer, status: u16| {
        answered(|| carol.ask("REGISTER", &token(issuer)), status);
    };
    ask(&old, 200);
    folder.write("keys.json", &common::text(&new.document()));
    server.signal(Signal::HUP);
    server.wait_for_log("reloaded");
    ask(&old, 401);
    ask(&new, 200);
}

#[test]
fn logs_have_a_line_per_request_and_no_secret() {
    let folder = Folder::new();
    let server = start(&folder, ACCOUNTS, &["--log-format", "json"]);
    let mut phone = Phone::udp(server.addr("udp"), "alice", "example.com");
    let challenge = phone.ask("REGISTER", "Expires: 600\r\nUser-Agent: evil\u{1b}[31m\"phone\"\r\n");
    let nonce =
        challenge.split("nonce=\"").nth(1).expect("a nonce").split('"').next().expect("its end").to_owned();
    let credentials = phone.answer(&challenge, DigestAlgorithm::Md5, "wonderland", 1);
    let ok = phone
        .ask("REGISTER", &format!("Expires: 600\r\nUser-Agent: evil\u{1b}[31m\"phone\"\r\n{credentials}"));
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    server.signal(Signal::TERM);
    let log = server.wait().1;
    assert!(log.contains("\"status\":401") && log.contains("\"status\":200"), "{log}");
    assert!(log.contains("\"auth\":\"ok_digest\"") && log.contains("\"aor\":\"alice@example.com\""), "{log}");
    // Who he is stands where he proved it, and nowhere else.
    let accounts = |account: &str| log.matches(&format!("\"account\":\"{account}\"")).count();
    assert_eq!((accounts("alice"), accounts("")), (1, 1), "{log}");
    assert!(log.contains("\"cause\":\"registered\""), "{log}");
    for secret in ["wonderland", &nonce, "response=", "\u{1b}"] {
        assert!(!log.contains(secret), "{secret:?} in {log}");
    }
    for line in log.lines() {
        assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    }
}

#[test]
fn the_end_waits_until_every_answered_request_is_in_the_log() {
    // More than a pipe holds: the writer stands still until somebody reads.
    const REQUESTS: usize = 1000;
    let folder = Folder::new();
    let server = start(&folder, ACCOUNTS, &[]);
    let mut phone = Phone::udp(server.addr("udp"), "alice", "example.com");
    for _ in 0..REQUESTS {
        assert!(phone.ask("OPTIONS", "").starts_with("SIP/2.0 200 "));
    }
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    assert_eq!(log.matches("method=\"OPTIONS\"").count(), REQUESTS, "{log}");
    assert!(status.success() && log.trim_end().ends_with("stopped"), "{log}");
}

#[test]
fn metrics_and_health_tell_what_happened() {
    let folder = Folder::new();
    let server = start(&folder, ACCOUNTS, &["--http", "127.0.0.1:0"]);
    let mut phone = Phone::udp(server.addr("udp"), "alice", "example.com");
    assert!(phone.register(DigestAlgorithm::Md5, "wonderland").starts_with("SIP/2.0 200 "));
    let mut stranger = Phone::udp(server.addr("udp"), "mallory", "example.com");
    assert!(stranger.register(DigestAlgorithm::Md5, "guess").starts_with("SIP/2.0 401 "));
    let (status, metrics) = get(server.http(), "/metrics");
    assert!(status.contains(" 200 "), "{status}");
    for wanted in [
        "strowger_sip_requests_total{method=\"REGISTER\",direction=\"in\"} 4",
        "strowger_sip_responses_total{method=\"REGISTER\",code_class=\"2xx\",direction=\"out\"} 1",
        "strowger_sip_responses_total{method=\"REGISTER\",code_class=\"4xx\",direction=\"out\"} 3",
        "strowger_auth_total{scheme=\"digest\",result=\"ok\"} 1",
        "strowger_auth_total{scheme=\"\",result=\"missing\"} 2",
        "strowger_auth_total{scheme=\"\",result=\"unknown_user\"} 1",
        "strowger_register_total{result=\"registered\"} 1",
        "strowger_registered_aors 1",
        "strowger_registered_contacts 1",
        "strowger_answer_seconds_count",
    ] {
        assert!(metrics.contains(wanted), "{wanted} in\n{metrics}");
    }
    assert!(!metrics.contains("alice"), "no user in a label");
    let healthy = "{\"ok\":true,\"status\":\"ok\"}";
    assert_eq!(get(server.http(), "/health"), ("HTTP/1.1 200 OK".into(), healthy.into()));
    assert!(get(server.http(), "/nothing").0.contains(" 404 "));
}

#[test]
fn a_phone_is_told_the_domain_and_the_address_where_they_differ() {
    let folder = Folder::new();
    let server = start(&folder, ACCOUNTS, &[]);
    let port = server.addr("udp").port();
    let wanted = format!(
        "user alice with its password, domain example.com, server or proxy 127.0.0.1, port {port}, transport UDP or TCP."
    );
    assert!(server.banner.contains(&wanted), "{}", server.banner);
    drop(server);
    let alias = ACCOUNTS.replace("\n[[account]]", "\naliases = [\"127.0.0.1\"]\n[[account]]");
    let server = start(&folder, &alias, &[]);
    assert!(server.banner.contains("domain 127.0.0.1, port "), "{}", server.banner);
}

#[test]
fn an_advertised_address_and_a_service_route_reach_the_phone() {
    let folder = Folder::new();
    let config = format!("{ACCOUNTS}[registrar]\nservice_route = [\"<sip:edge.example.com;lr>\"]\n");
    let server = start(&folder, &config, &[]);
    let mut phone = Phone::tcp(server.addr("tcp"), "alice", "example.com");
    let ok = phone.register(DigestAlgorithm::Md5, "wonderland");
    assert_eq!(header(&ok, "Service-Route"), Some("<sip:edge.example.com;lr>"), "{ok}");
}
