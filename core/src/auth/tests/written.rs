//! Challenges and Authentication-Info are read as they were meant.

use proptest::prelude::*;

use super::*;
use crate::auth::challenge::{BearerChallenge, BearerError, Challenge, DigestChallenge};
use crate::auth::info::{AuthInfo, Qop};
use crate::config::{IssuerConfig, JwtConfig};
use crate::wire::{AuthValue, Value};

fn is(said: Option<AuthValue<'_>>, meant: &[u8]) -> bool {
    said.is_some_and(|said| said.is(meant))
}

proptest! {
    #[test]
    fn challenges(
        realm in "[!#-\\[\\]-~]([ !#-\\[\\]-~]{0,20}[!#-\\[\\]-~])?",
        (server, scope) in ("https://[a-z.]{1,10}/[a-z]{0,5}", proptest::option::of("[a-z][a-z ]{0,9}")),
        (stale, auth_int, userhash) in any::<(bool, bool, bool)>(),
        error in proptest::option::of(any::<bool>()),
    ) {
        let mut world = world(|config| {
            config.digest.realm.clone_from(&realm);
            (config.digest.auth_int, config.digest.userhash) = (auth_int, userhash);
            let issuer = IssuerConfig {
                issuer: server.clone(),
                audiences: vec!["sip".into()],
                jwks: "keys".into(),
                ..IssuerConfig::default()
            };
            config.jwt = Some(JwtConfig {
                issuers: vec![issuer],
                authz_server: Some(server.clone()),
                scope: scope.clone(),
                ..JwtConfig::default()
            });
        });
        let nonce = world.auth.nonces.mint(&mut world.ids, world.now, None);
        let error = error.map(|token| if token { BearerError::InvalidToken } else { BearerError::InvalidScope });
        let challenge = Challenge {
            digest: Some(DigestChallenge {
                algorithms: DigestAlgorithm::STRONGEST_FIRST.into_iter().collect(),
                nonce,
                stale,
            }),
            bearer: Some(BearerChallenge { error }),
            replayed: None,
        };
        let mut lines = Vec::new();
        challenge.each(&world.settings, |line| lines.push(line.to_vec()));
        prop_assert_eq!(lines.len(), 4);
        for (line, algorithm) in lines.iter().zip(DigestAlgorithm::STRONGEST_FIRST) {
            let Ok(wire::Challenge::Digest(said)) = wire::Challenge::parse(line) else { panic!("{lines:?}") };
            prop_assert!(is(said.realm, realm.as_bytes()) && is(said.nonce, nonce.as_bytes()));
            prop_assert!(is(said.algorithm, algorithm.token().as_bytes()));
            prop_assert_eq!(is(said.stale, b"true"), stale);
            prop_assert_eq!(is(said.userhash, b"true"), userhash);
            let qop: Vec<&[u8]> = said.qop.expect("always").tokens().collect();
            prop_assert_eq!(qop, if auth_int { vec![&b"auth"[..], b"auth-int"] } else { vec![&b"auth"[..]] });
        }
        let Ok(wire::Challenge::Bearer(said)) = wire::Challenge::parse(&lines[3]) else { panic!("{lines:?}") };
        prop_assert!(is(said.realm, realm.as_bytes()) && is(said.authz_server, server.as_bytes()));
        let read = |value: Option<AuthValue<'_>>| value.map(|value| String::from_utf8_lossy(value.raw()).into_owned());
        prop_assert_eq!(read(said.scope), scope);
        let named = error.map(|error| match error {
            BearerError::InvalidToken => "invalid_token".to_owned(),
            BearerError::InvalidScope => "invalid_scope".to_owned(),
        });
        prop_assert_eq!(read(said.error), named);
    }

    #[test]
    fn authentication_info(
        algorithm in 0..3_usize,
        qop in 0..3_usize,
        rspauth in any::<[u8; 32]>(),
        cnonce in "[!#-\\[\\]-~]{1,30}",
        (count, next) in any::<(u32, bool)>(),
    ) {
        let mut world = world(|_| {});
        let algorithm = DigestAlgorithm::STRONGEST_FIRST[algorithm];
        let qop = [Qop::None, Qop::Auth, Qop::AuthInt][qop];
        let nonce = world.auth.nonces.mint(&mut world.ids, world.now, None);
        let text = format!("{count:08x}");
        let info = AuthInfo {
            algorithm,
            qop,
            rspauth,
            cnonce: cnonce.as_bytes().into(),
            count: text.as_bytes().try_into().expect("eight digits"),
            next: next.then_some(nonce),
        };
        // Its parameters have the form of those of credentials.
        let line = [b"Digest ", &*Value::written(|value| info.value(value))].concat();
        let said = match Credentials::parse(&line) {
            Ok(Credentials::Digest(said)) => said,
            _ if qop == Qop::None && !next => return Ok(()),
            other => panic!("{other:?}"),
        };
        let proves = qop != Qop::None;
        prop_assert_eq!(said.qop.map(|said| said.raw()).unwrap_or_default(), qop.token());
        prop_assert_eq!(is(said.cnonce, cnonce.as_bytes()), proves);
        prop_assert_eq!(is(said.nc, text.as_bytes()), proves);
        let line = String::from_utf8(line).expect("ASCII");
        let quoted = |name: &str| Some(line.split_once(&format!("{name}=\""))?.1.split('"').next()?.to_owned());
        let mut hex = [0; 64];
        let hex = text::hex_into(&rspauth[..algorithm.len()], &mut hex);
        prop_assert_eq!(quoted("rspauth").map(String::into_bytes), proves.then(|| hex.to_vec()));
        prop_assert_eq!(quoted("nextnonce").map(String::into_bytes), next.then(|| nonce.as_bytes().to_vec()));
    }
}
