//! Tokens that are no JWT: an authorization server is asked about them (RFC 7662).

use super::*;
use crate::config::{IntrospectionConfig, JwtConfig};
use crate::door::{Answer, IntrospectAnswer, IntrospectQuery, Revoked};

const ISSUER: &str = "https://as.example.com";
const SECOND: Duration = Duration::from_secs(1);

fn opaque() -> Config {
    let mut config = config();
    config.policies.register = AuthPolicy::Bearer;
    config.jwt = Some(JwtConfig {
        authz_server: Some(ISSUER.into()),
        allow_cleartext: true,
        introspection: Some(IntrospectionConfig {
            endpoint: "https://as.example.com/introspect".into(),
            client_id: "strowger".into(),
            client_secret: Secret("between-us".into()),
            issuer: ISSUER.into(),
            audiences: vec!["sip".into()],
            ..IntrospectionConfig::default()
        }),
        ..JwtConfig::default()
    });
    config
}

fn bring(host: &mut Host, token: &str, cseq: u32) -> Vec<Command> {
    let more = format!("Authorization: Bearer {token}\r\n");
    host.udp(&request("REGISTER", "sip:example.com", cseq, &more))
}

fn questions(commands: &[Command]) -> Vec<IntrospectQuery> {
    let asked = commands.iter().filter_map(|command| match command {
        Command::Ask(Query::Introspect(query)) => Some(query.clone()),
        _ => None,
    });
    asked.collect()
}

fn question(commands: &[Command]) -> IntrospectQuery {
    let mut asked = questions(commands);
    assert_eq!(asked.len(), 1, "{}", shown(commands));
    asked.remove(0)
}

fn said(host: &mut Host, query: &IntrospectQuery, json: &str) -> Vec<Command> {
    let document = IntrospectAnswer::Document(Secret(json.as_bytes().into()));
    host.input(Input::Answer(Answer::Introspected(query.ticket, document)))
}

/// What the server says of a token that is good for ten minutes, and more.
fn active(more: &str) -> String {
    let now = START.as_secs();
    let exp = now + 600;
    format!(
        r#"{{"active":true,"sub":"bob","aud":"sip","iat":{now},"exp":{exp},"token_type":"Bearer"{more}}}"#
    )
}

fn statuses(commands: &[Command]) -> Vec<u16> {
    let all = commands.iter().filter_map(|command| status(core::slice::from_ref(command)));
    all.filter(|status| *status >= 200).collect()
}

/// The answer to one request with a token of which the server says this.
fn judged(change: impl FnOnce(&mut IntrospectionConfig), json: &str) -> (u16, String) {
    let mut config = opaque();
    let asked = config.jwt.as_mut().and_then(|jwt| jwt.introspection.as_mut()).expect("asked");
    change(asked);
    let mut host = Host::new(config);
    let query = question(&bring(&mut host, "2YotnFZFEjr1zCsicMWpAA", 1));
    let answer = said(&mut host, &query, json);
    (status(&answer).expect("an answer"), shown(&answer))
}

#[test]
fn requests_with_one_token_make_one_question_and_its_answer_holds_for_a_while() {
    let mut host = Host::new(opaque());
    let first = bring(&mut host, "2YotnFZFEjr1zCsicMWpAA", 1);
    let query = question(&first);
    assert_eq!((&*query.endpoint, &*query.client_id), ("https://as.example.com/introspect", "strowger"));
    assert_eq!((&*query.client_secret.0, &*query.token.0), ("between-us", &b"2YotnFZFEjr1zCsicMWpAA"[..]));
    assert!(!shown(&first).contains("2Yotn") && !shown(&first).contains("between-us"));
    assert!(questions(&bring(&mut host, "2YotnFZFEjr1zCsicMWpAA", 2)).is_empty());
    let other = question(&bring(&mut host, "2YotnFZFEjr1zCsicMWpAB", 3));
    assert_eq!(statuses(&said(&mut host, &query, &active(""))), [200, 200]);
    assert_eq!(statuses(&said(&mut host, &other, &active(""))), [200]);
    assert_eq!(host.engine.stats().counter(Counter::Introspections), 2);
    host.wait(299 * SECOND);
    assert_eq!(statuses(&bring(&mut host, "2YotnFZFEjr1zCsicMWpAA", 4)), [200]);
    host.wait(SECOND);
    let again = question(&bring(&mut host, "2YotnFZFEjr1zCsicMWpAA", 5));
    assert_eq!(
        statuses(&said(&mut host, &again, r#"{"active":false}"#)),
        [401],
        "it was taken back meanwhile"
    );
}

#[test]
fn an_answer_does_not_outlive_its_token() {
    let mut host = Host::new(opaque());
    let query = question(&bring(&mut host, "short", 1));
    let exp = START.as_secs() + 60;
    let json = format!(r#"{{"active":true,"sub":"bob","aud":["sip"],"exp":{exp}}}"#);
    assert_eq!(statuses(&said(&mut host, &query, &json)), [200]);
    host.wait(89 * SECOND);
    assert_eq!(statuses(&bring(&mut host, "short", 2)), [200], "with leeway");
    host.wait(SECOND);
    let query = question(&bring(&mut host, "short", 3));
    let answer = said(&mut host, &query, &json);
    assert!(status(&answer) == Some(401) && shown(&answer).contains("invalid_token"));
    host.wait(3600 * SECOND);
    assert_eq!(host.engine.sizes().tokens, 0);
}

#[test]
fn a_token_that_is_worth_nothing_is_asked_about_now_and_then() {
    let mut host = Host::new(opaque());
    let query = question(&bring(&mut host, "unknown", 1));
    let answer = said(&mut host, &query, r#"{"active":false}"#);
    assert!(status(&answer) == Some(401) && shown(&answer).contains("error=\"invalid_token\""));
    for cseq in 2..10 {
        let answer = bring(&mut host, "unknown", cseq);
        assert!(questions(&answer).is_empty() && status(&answer) == Some(401));
    }
    host.wait(10 * SECOND);
    let query = question(&bring(&mut host, "unknown", 10));
    assert_eq!(statuses(&said(&mut host, &query, &active(""))), [200], "it has heard of it now");
}

#[test]
fn a_server_that_cannot_be_asked_or_talks_nonsense_is_503_and_nothing_is_remembered() {
    let mut host = Host::new(opaque());
    let query = question(&bring(&mut host, "token", 1));
    let answer = Answer::Introspected(query.ticket, IntrospectAnswer::Unavailable);
    assert_eq!(statuses(&host.input(Input::Answer(answer))), [503]);
    for (i, json) in [
        "",
        "[]",
        "{}",
        "null",
        r#"{"active":"true"}"#,
        r#"{"active":1,"sub":"bob"}"#,
        r#"{"active":false,"active":true,"sub":"bob","aud":"sip"}"#,
        r#"{"active":true,"sub":7,"aud":"sip"}"#,
        r#"{"active":true,"sub":"bob","aud":{"sip":1}}"#,
        r#"{"active":true,"sub":"bob","aud":"sip","exp":"soon"}"#,
        r#"{"active":true,"sub":"bob","aud":"sip","scope":4}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let query = question(&bring(&mut host, "token", 2 + i as u32));
        assert_eq!(statuses(&said(&mut host, &query, json)), [503], "{json}");
    }
    let query = question(&bring(&mut host, "token", 100));
    assert_eq!(statuses(&said(&mut host, &query, &active(""))), [200]);
}

#[test]
fn what_is_said_of_a_token_is_held_against_the_configuration() {
    let plain = |json: &str| judged(|_| {}, json).0;
    assert_eq!(plain(&active("")), 200);
    assert_eq!(plain(&active(r#","iss":"https://as.example.com","scope":"a b","client_id":"c""#)), 200);
    assert_eq!(plain(r#"{"active":true,"sub":"bob","aud":"sip"}"#), 200, "it need not say when it dies");
    for bad in [
        r#","iss":"https://other.example""#.to_owned(),
        r#","cnf":{"jkt":"x"}"#.to_owned(),
        format!(r#","nbf":{}"#, START.as_secs() + 60),
    ] {
        assert_eq!(plain(&active(&bad)), 401, "{bad}");
    }
    for (from, to) in [
        ("\"sip\"", "\"mail\""),
        ("\"aud\":\"sip\",", ""),
        ("\"sub\":\"bob\",", ""),
        ("\"bob\"", "\"\""),
        ("Bearer", "DPoP"),
    ] {
        assert_eq!(plain(&active("").replace(from, to)), 401, "{to}");
    }
    assert_eq!(plain(&active("").replace("bob", "bob@elsewhere.example")), 403, "nobody here");
    assert_eq!(judged(|asked| asked.audiences.clear(), &active("").replace("\"aud\":\"sip\",", "")).0, 200);
}

#[test]
fn a_scope_that_is_asked_of_all_is_asked_of_these_tokens_too() {
    let mut config = opaque();
    config.jwt.as_mut().expect("tokens").scope = Some("sip".into());
    let mut host = Host::new(config);
    let query = question(&bring(&mut host, "one", 1));
    assert_eq!(statuses(&said(&mut host, &query, &active(r#","scope":"mail sip""#))), [200]);
    let query = question(&bring(&mut host, "two", 2));
    let answer = said(&mut host, &query, &active(r#","scope":"mail sipx""#));
    assert!(status(&answer) == Some(401) && shown(&answer).contains("invalid_scope"));
}

#[test]
fn what_looks_like_a_jwt_is_judged_as_one() {
    let mut host = Host::new(opaque());
    // {"alg":"none"}, {"alg":"RS256"}
    for (i, token) in
        ["eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJSUzI1NiJ9.e30.x", "e30.e30.e30"].iter().enumerate()
    {
        let answer = bring(&mut host, token, 1 + i as u32);
        assert!(questions(&answer).is_empty() && status(&answer) == Some(401), "{token}");
    }
    for (i, token) in
        ["a.b", "a.b.c", "e30.e30.e30.e30.e30", "..", "W10.e30.e30", "bm8.a.b"].iter().enumerate()
    {
        assert_eq!(&*question(&bring(&mut host, token, 10 + i as u32)).token.0, token.as_bytes());
    }
}

#[test]
fn late_double_and_forged_answers_change_nothing() {
    let mut host = Host::new(opaque());
    let query = question(&bring(&mut host, "token", 1));
    let forged = IntrospectQuery { ticket: Ticket::new(7, 7), ..query.clone() };
    assert!(said(&mut host, &forged, &active("")).is_empty());
    assert_eq!(statuses(&host.wait(host.engine.settings().limits.park_timeout)), [503], "nobody answered");
    assert!(said(&mut host, &query, &active("")).is_empty(), "late");
    let again = question(&bring(&mut host, "token", 2));
    assert!(said(&mut host, &query, &active("")).is_empty(), "the first ticket is not the second");
    assert_eq!(statuses(&said(&mut host, &again, &active(""))), [200]);
    assert!(said(&mut host, &again, r#"{"active":false}"#).is_empty(), "double");
    assert_eq!(host.engine.stats().drops(DropReason::BadTicket), 4);
    assert_eq!(statuses(&bring(&mut host, "token", 3)), [200]);
}

#[test]
fn a_subject_that_is_taken_back_is_asked_about_anew_and_its_old_tokens_are_refused() {
    let mut host = Host::new(opaque());
    let query = question(&bring(&mut host, "token", 1));
    assert_eq!(statuses(&said(&mut host, &query, &active(""))), [200]);
    let revoke = |issuer: &str| Request::Revoke {
        issuer: issuer.into(),
        tokens: Revoked::Subject { subject: "bob".into(), issued_before: START + SECOND },
        until: START + 900 * SECOND,
    };
    host.input(Input::Host { reply: None, request: revoke("https://other.example") });
    assert_eq!(statuses(&bring(&mut host, "token", 2)), [200], "another issuer's subjects are others");
    host.input(Input::Host { reply: None, request: revoke(ISSUER) });
    let query = question(&bring(&mut host, "token", 3));
    assert_eq!(statuses(&said(&mut host, &query, &active(""))), [401]);
}

#[test]
fn a_change_of_the_configuration_voids_what_was_asked_and_what_was_said() {
    let mut host = Host::new(opaque());
    let query = question(&bring(&mut host, "known", 1));
    assert_eq!(statuses(&said(&mut host, &query, &active(""))), [200]);
    let under_way = question(&bring(&mut host, "asked", 2));
    let mut config = opaque();
    let asked = config.jwt.as_mut().and_then(|jwt| jwt.introspection.as_mut()).expect("asked");
    asked.endpoint = "https://other.example/".into();
    host.input(Input::Reload(config.validate().expect("good")));
    assert!(said(&mut host, &under_way, &active("")).is_empty());
    for (cseq, token) in [(3, "known"), (4, "asked")] {
        let query = question(&bring(&mut host, token, cseq));
        assert_eq!(&*query.endpoint, "https://other.example/");
        assert_eq!(statuses(&said(&mut host, &query, &active(""))), [200]);
    }
}
