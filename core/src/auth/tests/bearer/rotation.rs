//! Keys that come, change and go.

use super::*;

#[test]
fn keys_rotate_and_tokens_of_a_key_that_left_die_with_it() {
    let mut world = ready(|_| {});
    let old = token();
    assert_eq!(verdict(&mut world, &old), OK);
    let new = sign(&HEADER.replace("\"a\"", "\"b\""), &claims("", ""), Algorithm::RS256, &rsa(RSA_B));
    assert_eq!(verdict(&mut world, &new), AuthVerdict::Refused, "keys are fresh: not asked for again yet");
    world.sleep(Duration::from_secs(60));
    assert!(matches!(world.check(&bearer(&new)), Verdict::Park(Need::Keys(0))));
    answer(&mut world, document(set(&[rsa_jwk("a", RSA_A_N), rsa_jwk("b", RSA_B_N)])));
    assert_eq!(why(&world.ask(&bearer(&new), Wait::KeysDone)), OK);
    assert_eq!((verdict(&mut world, &old), world.auth.tokens()), (OK, 2));

    world.sleep(Duration::from_secs(60));
    let unknown = sign(&HEADER.replace("\"a\"", "\"c\""), &claims("", ""), Algorithm::RS256, &rsa(RSA_B));
    assert!(matches!(world.check(&bearer(&unknown)), Verdict::Park(_)));
    answer(&mut world, document(set(&[rsa_jwk("b", RSA_B_N)])));
    assert_eq!(world.auth.tokens(), 1);
    assert_eq!((verdict(&mut world, &old), verdict(&mut world, &new)), (AuthVerdict::Refused, OK));
}

#[test]
fn a_storm_of_invented_key_names_makes_one_question() {
    let mut world = ready(|_| {});
    world.sleep(Duration::from_secs(60));
    let invented = |i: usize| {
        sign(&HEADER.replace("\"a\"", &format!("\"x{i}\"")), &claims("", ""), Algorithm::RS256, &rsa(RSA_B))
    };
    let tokens: Vec<String> = (0..20).map(invented).collect();
    // While the question is under way all wait for it: the engine asks once.
    for token in &tokens {
        assert!(matches!(world.check(&bearer(token)), Verdict::Park(Need::Keys(0))));
    }
    answer(&mut world, document(set(&[rsa_jwk("a", RSA_A_N)])));
    for token in &tokens {
        assert_eq!(why(&world.ask(&bearer(token), Wait::KeysDone)), AuthVerdict::Refused);
    }
    // And nobody may ask again before the interval is over.
    world.sleep(Duration::from_secs(59));
    for token in &tokens {
        assert_eq!(verdict(&mut world, token), AuthVerdict::Refused);
    }
    world.sleep(SECOND);
    assert!(matches!(world.check(&bearer(&tokens[0])), Verdict::Park(_)));
}

#[test]
fn without_keys_requests_wait_then_503_and_digest_still_works() {
    let mut world = keyless(|_| {});
    let token = token();
    assert!(matches!(world.check(&bearer(&token)), Verdict::Park(Need::Keys(0))));
    answer(&mut world, KeysAnswer::Unavailable);
    for wait in [Wait::KeysDone, Wait::First, Wait::Final] {
        let verdict = world.ask(&bearer(&token), wait);
        assert_eq!((status(&verdict), why(&verdict)), (503, AuthVerdict::Unavailable));
    }
    // What is bad anyway is said to be bad without keys.
    assert_eq!(verdict(&mut world, "x"), AuthVerdict::Malformed);
    let nonce = world.nonce();
    let phone = digest::phone("zanzibar").answer(&nonce);
    assert_eq!(why(&world.check(&register().with(phone))), AuthVerdict::Ok(Scheme::Digest));
}

#[test]
fn a_deadline_without_an_answer_is_503() {
    let mut world = keyless(|_| {});
    let token = token();
    assert!(matches!(world.check(&bearer(&token)), Verdict::Park(_)));
    world.sleep(5 * SECOND);
    let verdict = world.ask(&bearer(&token), Wait::Final);
    assert_eq!((status(&verdict), why(&verdict)), (503, AuthVerdict::Unavailable));
}

#[test]
fn failures_back_off_and_keep_the_old_keys() {
    let mut world = keyless(|_| {});
    world.with(|auth, ctx| auth.wants_keys_at_start(ctx));
    let mut waits = Vec::new();
    for _ in 0..12 {
        answer(&mut world, KeysAnswer::Unavailable);
        let mut waited = 0;
        while world.sleep(SECOND).is_empty() {
            waited += 1;
        }
        waits.push(waited + 1);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    answer(&mut world, document(set(&[rsa_jwk("a", RSA_A_N)])));
    // A refresh that fails takes nothing away.
    let fetches = world.sleep(Duration::from_secs(3600));
    assert_eq!(fetches, [0]);
    answer(&mut world, document("not JSON"));
    let late = token_with(&(START.as_secs() + 600).to_string(), &(START.as_secs() + 90_000).to_string());
    assert_eq!(verdict(&mut world, &late), OK);
    assert_eq!(world.sleep(Duration::from_secs(60)), [0]);
}

#[test]
fn a_question_that_is_never_answered_is_asked_again() {
    let mut world = keyless(|_| {});
    assert_eq!(world.with(|auth, ctx| auth.wants_keys_at_start(ctx)), [0]);
    assert_eq!(world.with(|auth, ctx| auth.wants_keys_at_start(ctx)), [0; 0]);
    assert_eq!(world.sleep(Duration::from_secs(29)), [0; 0]);
    assert_eq!(world.sleep(Duration::from_secs(3)), [0]);
}

#[test]
fn the_age_a_server_names_is_clamped() {
    for (named, expected) in [(None, 3600), (Some(1), 60), (Some(600), 600), (Some(1 << 40), 3600)] {
        let mut world = keyless(|_| {});
        world.with(|auth, ctx| auth.wants_keys_at_start(ctx));
        let json = Secret(set(&[rsa_jwk("a", RSA_A_N)]).into_bytes().into());
        answer(&mut world, KeysAnswer::Document { json, max_age: named.map(Duration::from_secs) });
        assert_eq!(world.sleep(Duration::from_secs(expected) - SECOND), [0; 0], "{named:?}");
        assert_eq!(world.sleep(SECOND), [0], "{named:?}");
    }
}

#[test]
fn an_answer_nobody_asked_for_is_ignored() {
    let mut world = ready(|_| {});
    answer(&mut world, document(set(&[rsa_jwk("a", RSA_B_N)])));
    assert_eq!(verdict(&mut world, &token()), OK);
    world.with(|auth, ctx| auth.keys_answer(ctx, 7, KeysAnswer::Unavailable));
}

#[test]
fn a_reload_keeps_keys_of_issuers_that_stay_and_judges_tokens_anew() {
    let mut world = ready(|_| {});
    let token = token();
    assert_eq!(verdict(&mut world, &token), OK);
    // The same issuer, now the second of two, and for another audience.
    let mut changed = jwt();
    changed.issuers[0].audiences = vec!["mail".into()];
    changed
        .issuers
        .insert(0, IssuerConfig { issuer: "https://new.example.com".into(), ..jwt().issuers[0].clone() });
    world.reload(|config| config.jwt = Some(changed.clone()));
    assert_eq!((verdict(&mut world, &token), world.auth.tokens()), (AuthVerdict::Refused, 0));
    assert_eq!(verdict(&mut world, &token_with(r#""sip""#, r#""mail""#)), OK);
    assert_eq!(world.with(|auth, ctx| auth.wants_keys_at_start(ctx)), [0, 1], "the old one's may be others");
    world.reload(|config| config.jwt = None);
    assert_eq!((world.auth.tokens(), world.timers.len()), (0, 0));
    assert_eq!(verdict(&mut world, &token), AuthVerdict::NotAllowed);
}

#[test]
fn a_reload_asks_for_keys_again_and_one_that_was_taken_back_is_worth_nothing() {
    let mut world = ready(|_| {});
    let token = token();
    assert_eq!(verdict(&mut world, &token), OK);
    world.reload(|config| config.jwt = Some(jwt()));
    assert_eq!(world.with(|auth, ctx| auth.wants_keys_at_start(ctx)), [0]);
    assert_eq!((verdict(&mut world, &token), world.auth.tokens()), (OK, 1), "until there is an answer");
    // Reloaded once more while the question is under way: its answer may be older than that.
    world.reload(|config| config.jwt = Some(jwt()));
    assert_eq!(world.with(|auth, ctx| auth.wants_keys_at_start(ctx)), [0; 0]);
    answer(&mut world, document(set(&[rsa_jwk("a", RSA_A_N)])));
    assert_eq!(world.sleep(SECOND), [0]);
    answer(&mut world, document(set(&[rsa_jwk("b", RSA_B_N)])));
    assert_eq!((verdict(&mut world, &token), world.auth.tokens()), (AuthVerdict::Refused, 0));
    // An issuer that cannot be asked locks nobody out.
    let other = sign(&HEADER.replace("\"a\"", "\"b\""), &claims("", ""), Algorithm::RS256, &rsa(RSA_B));
    world.reload(|config| config.jwt = Some(jwt()));
    assert_eq!(world.with(|auth, ctx| auth.wants_keys_at_start(ctx)), [0]);
    answer(&mut world, KeysAnswer::Unavailable);
    assert_eq!(verdict(&mut world, &other), OK);
}
