//! The keys of issuers of tokens, as the host is asked for them.

use super::*;
use crate::config::{IssuerConfig, JwtAlgorithm, JwtConfig};
use crate::door::{Answer, KeysAnswer, KeysQuery};

const KEYS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"o","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn signed() -> Config {
    let mut config = config();
    config.jwt = Some(JwtConfig {
        issuers: vec![IssuerConfig {
            issuer: "https://as.example.com".into(),
            audiences: vec!["sip".into()],
            jwks: "file:keys.json".into(),
            algorithms: vec![JwtAlgorithm::EdDsa],
            keys_min_age: Duration::from_secs(60),
            keys_max_age: Duration::from_secs(3600),
            aor_claim: None,
            scope: None,
        }],
        authz_server: Some("https://as.example.com".into()),
        ..JwtConfig::default()
    });
    config
}

fn asked(commands: &[Command]) -> Vec<KeysQuery> {
    let asked = commands.iter().filter_map(|command| match command {
        Command::Ask(Query::Keys(query)) => Some(query.clone()),
        _ => None,
    });
    asked.collect()
}

fn said(host: &mut Host, query: &KeysQuery) -> Vec<Command> {
    let json = Secret(KEYS.as_bytes().into());
    let answer = KeysAnswer::Document { json, max_age: None };
    host.input(Input::Answer(Answer::Keys(query.ticket, answer)))
}

#[test]
fn a_reload_asks_for_keys_again_though_nothing_of_the_configuration_is_new() {
    let mut host = Host::new(signed());
    let reload = |host: &mut Host| asked(&host.input(Input::Reload(signed().validate().expect("good"))));
    let started = asked(&host.input(Input::Timeout));
    assert_eq!(started.len(), 1);
    assert_eq!(asked(&said(&mut host, &started[0])), []);
    let again = reload(&mut host);
    assert_eq!((again.len(), &*again[0].source), (1, "file:keys.json"));
    assert_ne!(again[0].ticket, started[0].ticket);
    // Reloaded before the answer is there: it may be older, so another question follows it.
    assert_eq!(reload(&mut host), []);
    assert_eq!(asked(&said(&mut host, &again[0])), []);
    let last = asked(&host.wait(Duration::from_secs(1)));
    assert_eq!(last.len(), 1);
    assert_eq!(asked(&said(&mut host, &last[0])), []);
    assert_eq!(asked(&host.wait(Duration::from_secs(600))), []);
    assert_eq!(host.engine.stats().drops(DropReason::BadTicket), 0);
}
