use std::sync::mpsc;

use strowger_core::door::Ticket;

use super::*;
use crate::once::{Forbidden, serve_once};

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn query(endpoint: &str) -> IntrospectQuery {
    IntrospectQuery {
        ticket: Ticket::new(1, 2),
        endpoint: endpoint.into(),
        client_id: "sip server".into(),
        client_secret: Secret("a:b?é>".into()),
        token: Secret((*b"2YotnFZFE/jr1z=CsicM+WpAA").into()),
    }
}

#[test]
fn a_token_is_asked_about_in_a_form_with_basic_credentials() {
    let (addr, server) = serve_once(ok(r#"{"active":false}"#));
    let answer = introspect(&query(&format!("http://{addr}/introspect"))).expect("an answer");
    assert_eq!(answer, br#"{"active":false}"#);
    let (head, body) = server.join().expect("served");
    assert!(head.starts_with("POST /introspect HTTP/1.1\r\n"), "{head}");
    let lower = head.to_ascii_lowercase();
    assert!(lower.contains("content-type: application/x-www-form-urlencoded\r\n"), "{head}");
    // `printf 'sip%20server:a%3Ab%3F%C3%A9%3E' | base64`
    assert!(head.contains("Basic c2lwJTIwc2VydmVyOmElM0FiJTNGJUMzJUE5JTNF\r\n"), "{head}");
    assert_eq!(body, "token=2YotnFZFE%2Fjr1z%3DCsicM%2BWpAA&token_type_hint=access_token");
}

#[test]
fn credentials_are_padded_base64_of_the_usual_alphabet() {
    assert_eq!(basic("Aladdin", "open_sesame"), "Basic QWxhZGRpbjpvcGVuX3Nlc2FtZQ==");
    assert_eq!(
        basic("s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw"),
        "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3"
    );
}

#[test]
fn a_server_elsewhere_is_asked_by_https_only_and_a_redirect_takes_nothing_along() {
    for endpoint in ["http://192.0.2.1/", "/etc/passwd", "file:///etc/passwd", "ftp://127.0.0.1/", ""] {
        assert!(matches!(introspect(&query(endpoint)), Err(FetchError::Endpoint(_))), "{endpoint}");
    }
    let elsewhere = Forbidden::new();
    for (status, code) in [("307 Moved", 307), ("204 Nothing", 204), ("401 No", 401)] {
        let (addr, _server) = serve_once(elsewhere.redirect(status));
        let refused = introspect(&query(&format!("http://{addr}/"))).expect_err(status);
        let FetchError::Http(error) = &refused else { panic!("{status}: {refused}") };
        assert!(matches!(**error, ureq::Error::StatusCode(said) if said == code), "{status}: {refused}");
    }
    assert!(!elsewhere.was_visited());
    let (addr, _server) = serve_once(ok(&" ".repeat(MAX_BYTES as usize + 1)));
    assert!(matches!(introspect(&query(&format!("http://{addr}/"))), Err(FetchError::TooLarge)));
}

#[test]
fn the_workers_answer_each_query_and_nothing_secret_is_shown() {
    let (tx, rx) = mpsc::channel();
    let introspector = Introspector::start(move |query, answer, error| {
        let _ = tx.send((format!("{query:?}"), answer, error.is_some()));
    })
    .expect("threads");
    let (addr, _server) = serve_once(ok("{}"));
    introspector.ask(query(&format!("http://{addr}/"))).expect("room");
    let wait = || rx.recv_timeout(Duration::from_secs(20)).expect("an answer");
    let (shown, answer, failed) = wait();
    assert!(
        matches!(answer, Answer::Introspected(ticket, IntrospectAnswer::Document(_)) if ticket == Ticket::new(1, 2))
    );
    assert!(!failed && !shown.contains("a:b") && !shown.contains("2Yotn"), "{shown}");
    introspector.ask(query("gopher://x/")).expect("room");
    assert!(matches!(wait(), (_, Answer::Introspected(_, IntrospectAnswer::Unavailable), true)));
}
