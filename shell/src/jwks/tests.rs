use std::io::Write;
use std::net::TcpListener;
use std::sync::mpsc;

use strowger_core::door::Ticket;

use super::*;
use crate::once::{Forbidden, serve_once};

fn ok(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn temp(name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("strowger-jwks-{}-{name}", std::process::id()));
    fs::write(&path, bytes).expect("write");
    path
}

#[test]
fn a_key_set_is_fetched_with_its_lifetime() {
    let (addr, server) =
        serve_once(ok("Cache-Control: public, Max-Age=600\r\nAge: 100\r\n", r#"{"keys":[]}"#));
    let fetched = fetch(&format!("http://{addr}/keys")).expect("fetched");
    assert_eq!(
        fetched,
        Fetched { json: br#"{"keys":[]}"#.to_vec(), max_age: Some(Duration::from_secs(500)) }
    );
    assert!(server.join().expect("served").0.starts_with("GET /keys "));
}

#[test]
fn a_key_set_that_is_too_large_is_refused() {
    let (addr, _server) = serve_once(ok("", &" ".repeat(MAX_BYTES as usize + 1)));
    assert!(matches!(fetch(&format!("http://{addr}/")), Err(FetchError::TooLarge)));
    let path = temp("large", &vec![b' '; MAX_BYTES as usize + 1]);
    assert!(matches!(fetch(path.to_str().expect("utf-8")), Err(FetchError::TooLarge)));
    fs::remove_file(path).expect("remove");
}

#[test]
fn what_is_no_key_set_is_refused() {
    for body in ["", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":["#, "<html>Please log in</html>"] {
        let (addr, _server) = serve_once(ok("", body));
        assert!(matches!(fetch(&format!("http://{addr}/")), Err(FetchError::NoKeySet)), "{body}");
    }
}

#[test]
fn a_redirect_out_of_this_machine_is_not_followed() {
    let elsewhere = Forbidden::new();
    let (addr, _server) = serve_once(elsewhere.redirect("302 Found"));
    let result = fetch(&format!("http://{addr}/"));
    // The redirect itself is what came; it holds no keys.
    assert!(result.is_err());
    assert!(!elsewhere.was_visited());
}

#[test]
fn a_server_that_is_silent_or_takes_for_ever_is_given_up() {
    let patience = Duration::from_millis(200);
    let is_late = |addr| {
        let error = read_url(&format!("http://{addr}/"), patience).expect_err("nothing whole came");
        matches!(error, FetchError::Http(error) if matches!(*error, ureq::Error::Timeout(_)))
    };
    let silent = TcpListener::bind("127.0.0.1:0").expect("bound");
    assert!(is_late(silent.local_addr().expect("bound")));
    // A byte now and then is not enough: all of it must be there in time.
    let slow = TcpListener::bind("127.0.0.1:0").expect("bound");
    let addr = slow.local_addr().expect("bound");
    let server = thread::Builder::new().spawn(move || {
        let (mut stream, _) = slow.accept().expect("asked");
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n");
        while stream.write_all(b" ").is_ok() {
            thread::park_timeout(Duration::from_millis(20));
        }
    });
    let server = server.expect("a thread");
    assert!(is_late(addr));
    server.join().expect("it was hung up on");
}

#[test]
fn an_error_status_is_an_error() {
    let (addr, _server) = serve_once("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".into());
    assert!(matches!(fetch(&format!("http://{addr}/")), Err(FetchError::Http(_))));
}

#[test]
fn cleartext_from_elsewhere_is_refused_before_asking() {
    for source in [
        "http://192.0.2.1/keys",
        "http://localhost@192.0.2.1/",
        "ftp://127.0.0.1/",
        "http://localhost.example/",
        "",
    ] {
        assert!(matches!(fetch(source), Err(FetchError::Source(_))), "{source}");
    }
    for source in [
        "https://login.example/keys",
        "http://[::1]:80/",
        "http://localhost:1/",
        "/etc/keys.json",
        "file:///k",
    ] {
        assert!(is_source(source), "{source}");
    }
}

#[test]
fn lifetimes_are_read_from_cache_control() {
    let secs = |s| Some(Duration::from_secs(s));
    assert_eq!(max_age("max-age=60", None), secs(60));
    assert_eq!(max_age("private, MAX-AGE=\"60\"", Some("70")), secs(0));
    assert_eq!(max_age("max-age=60, no-store", None), secs(0));
    assert_eq!(max_age("s-maxage=60", None), None);
    assert_eq!(max_age("max-age=abc", None), None);
}

#[test]
fn the_worker_answers_each_query() {
    let path = temp("worker", br#"{"keys":[]}"#);
    let (tx, rx) = mpsc::channel();
    let fetcher = KeyFetcher::start(move |_, answer, error| {
        let _ = tx.send((answer, error.is_some()));
    })
    .expect("thread");
    for (index, source) in [path.to_str().expect("utf-8"), "gopher://x/"].into_iter().enumerate() {
        let ticket = Ticket::new(index as u32, 0);
        fetcher.ask(KeysQuery { ticket, issuer: 0, source: source.into(), discover: false }).expect("room");
    }
    let wait = || rx.recv_timeout(Duration::from_secs(20)).expect("an answer");
    assert!(matches!(wait(), (Answer::Keys(_, KeysAnswer::Document { max_age: None, .. }), false)));
    assert!(matches!(wait(), (Answer::Keys(_, KeysAnswer::Unavailable), true)));
    fs::remove_file(path).expect("remove");
}
