use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

use strowger_core::door::{Answer, KeysAnswer, KeysQuery, Ticket};

use super::super::{KeyFetcher, MAX_BYTES};
use super::*;
use crate::once::Forbidden;

/// A web server on loopback that answers so many requests, each by its path, and tells the paths.
fn serve(
    requests: usize,
    answer: impl Fn(SocketAddr, &str) -> String + Send + 'static,
) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind loopback");
    let addr = listener.local_addr().expect("bound");
    let server = Builder::new().spawn(move || {
        let mut asked = Vec::new();
        for _ in 0..requests {
            let (stream, _) = listener.accept().expect("accept");
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                reader.read_line(&mut head).expect("request head");
            }
            let path = head.split(' ').nth(1).expect("path").to_owned();
            let _ = reader.get_mut().write_all(answer(addr, &path).as_bytes());
            asked.push(path);
        }
        asked
    });
    (addr, server.expect("thread"))
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn missing() -> String {
    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into()
}

const KEYS: &[u8] = br#"{"keys":[]}"#;

/// An issuer with a path, which knows OpenID only or OAuth only.
fn keys_of(addr: SocketAddr, path: &str, known: &str) -> String {
    match path {
        "/the/keys" => ok(r#"{"keys":[]}"#),
        path if path == known => ok(&format!(
            r#"{{"issuer":"http://{addr}/realm/","token_endpoint":"x","jwks_uri":"http://{addr}/the/keys"}}"#
        )),
        _ => missing(),
    }
}

#[test]
fn an_openid_issuer_says_where_its_keys_are() {
    let known = "/realm/.well-known/openid-configuration";
    let (addr, server) =
        serve(2, |addr, path| keys_of(addr, path, "/realm/.well-known/openid-configuration"));
    let fetched = discover(&format!("http://{addr}/realm/")).expect("keys");
    assert_eq!(fetched, Fetched { json: KEYS.to_vec(), max_age: Some(Duration::from_secs(60)) });
    assert_eq!(server.join().expect("served"), [known, "/the/keys"]);
}

#[test]
fn an_authorization_server_without_openid_says_so_too() {
    let (addr, server) =
        serve(3, |addr, path| keys_of(addr, path, "/.well-known/oauth-authorization-server/realm"));
    assert_eq!(discover(&format!("http://{addr}/realm/")).expect("keys").json, KEYS);
    assert_eq!(
        server.join().expect("served"),
        [
            "/realm/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server/realm",
            "/the/keys"
        ]
    );
}

#[test]
fn metadata_of_another_issuer_are_not_used() {
    // The slash at the end is part of its name.
    let (addr, server) =
        serve(1, |addr, _| ok(&format!(r#"{{"issuer":"http://{addr}/","jwks_uri":"http://{addr}/k"}}"#)));
    assert!(matches!(discover(&format!("http://{addr}")), Err(FetchError::OtherIssuer(_))));
    assert_eq!(server.join().expect("served").len(), 1);
    let long = format!(r#"{{"issuer":"{}","jwks_uri":"https://a/"}}"#, "x".repeat(5000));
    let error = jwks_uri("https://a", long.as_bytes()).expect_err("another");
    assert!(error.to_string().len() < 300, "{error}");
}

#[test]
fn keys_are_taken_by_https_only_and_from_no_file() {
    let of = |issuer: &str, uri: &str| {
        jwks_uri(issuer, format!(r#"{{"issuer":"{issuer}","jwks_uri":"{uri}"}}"#).as_bytes())
    };
    let (far, near) = ("https://login.example", "http://127.0.0.1:8080");
    for issuer in [far, near] {
        for uri in [
            "file:///etc/passwd",
            "/etc/passwd",
            "keys.json",
            "",
            "http://192.0.2.1/keys",
            "http://login.example/keys",
            "http://127.0.0.1@192.0.2.1/",
            "ftp://login.example/keys",
            "HTTPS",
        ] {
            let refused = of(issuer, uri);
            assert!(matches!(&refused, Err(FetchError::KeysElsewhere(named)) if **named == *uri), "{uri}");
        }
        assert_eq!(of(issuer, "https://keys.example/k").expect("https"), "https://keys.example/k");
    }
    // Nobody far away points at what listens here.
    assert!(matches!(of(far, "http://127.0.0.1/admin"), Err(FetchError::KeysElsewhere(_))));
    assert_eq!(of(near, "http://[::1]/keys").expect("this machine"), "http://[::1]/keys");
}

#[test]
fn what_is_no_metadata_is_an_error_and_no_crash() {
    let deep = "[".repeat(20_000);
    for json in [
        "",
        "{",
        "null",
        "[]",
        "{}",
        &deep,
        r#"{"issuer":"https://a"}"#,
        r#"{"issuer":"https://a","jwks_uri":null}"#,
        r#"{"issuer":["https://a"],"jwks_uri":"https://a/k"}"#,
        r#"{"issuer":"https://a","jwks_uri":"https://a/k","jwks_uri":"https://b/k"}"#,
        r#"{"issuer":"https://a","jwks_uri":"https://a/k"} x"#,
    ] {
        assert!(matches!(jwks_uri("https://a", json.as_bytes()), Err(FetchError::Metadata(_))), "{json:.60}");
    }
    assert!(matches!(jwks_uri("https://a", b"\xff\xfe"), Err(FetchError::Metadata(_))));
}

#[test]
fn metadata_that_are_huge_down_or_moved_away_are_refused() {
    let (addr, _server) = serve(1, |_, _| ok(&" ".repeat(MAX_BYTES as usize + 1)));
    assert!(matches!(discover(&format!("http://{addr}")), Err(FetchError::TooLarge)));
    let (addr, server) = serve(1, |_, _| "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".into());
    assert!(matches!(discover(&format!("http://{addr}")), Err(FetchError::Http(_))));
    assert_eq!(server.join().expect("served").len(), 1);
    let elsewhere = Forbidden::new();
    let redirect = elsewhere.redirect("302 Found");
    let (addr, server) = serve(1, move |_, _| redirect.clone());
    assert!(discover(&format!("http://{addr}")).is_err());
    assert_eq!(server.join().expect("served").len(), 1);
    assert!(!elsewhere.was_visited());
}

#[test]
fn only_an_https_url_without_query_can_be_discovered() {
    for issuer in [
        "",
        "login.example",
        "urn:login",
        "/etc/issuer",
        "file:///etc/issuer",
        "http://login.example",
        "https://",
        "https:///x",
        "https://login.example/?tenant=1",
        "https://login.example/#x",
    ] {
        assert!(matches!(discover(issuer), Err(FetchError::Issuer(_))), "{issuer}");
    }
    for issuer in ["https://login.example", "https://login.example:8443/realms/one/", "http://localhost:80"] {
        assert!(is_discoverable(issuer), "{issuer}");
    }
}

#[test]
fn the_worker_discovers_for_a_query_that_asks_it_to() {
    let (addr, _server) =
        serve(2, |addr, path| keys_of(addr, path, "/realm/.well-known/openid-configuration"));
    let (tx, rx) = mpsc::channel();
    let fetcher = KeyFetcher::start(move |_, answer, error| {
        let _ = tx.send((answer, error.is_some()));
    })
    .expect("thread");
    let file = std::env::temp_dir().join(format!("strowger-discovery-{}", std::process::id()));
    fs::write(&file, KEYS).expect("write");
    let path = file.to_str().expect("utf-8");
    for source in [&format!("http://{addr}/realm/"), path] {
        let query = KeysQuery { ticket: Ticket::new(0, 0), issuer: 0, source: source.into(), discover: true };
        fetcher.ask(query).expect("room");
    }
    let wait = || rx.recv_timeout(Duration::from_secs(20)).expect("an answer");
    assert!(matches!(wait(), (Answer::Keys(_, KeysAnswer::Document { .. }), false)));
    // A file is no issuer.
    assert!(matches!(wait(), (Answer::Keys(_, KeysAnswer::Unavailable), true)));
    fs::remove_file(file).expect("remove");
}
