//! Tokens that are taken back before their time.

use super::*;
use crate::door::Revoked;

const ISSUER: &str = "https://as.example.com";

fn revoke(world: &mut World, issuer: &str, what: Revoked, until: u64) -> bool {
    let until = Time::from_secs(START.as_secs() + until);
    world.with(|auth, ctx| auth.revoke(ctx, issuer, &what, until))
}

fn issued(seconds: i64, id: &str) -> String {
    let now = START.as_secs();
    let iat = now as i64 + seconds;
    token_with(&format!("\"iat\":{now}"), &format!("\"iat\":{iat},\"jti\":\"{id}\""))
}

#[test]
fn what_a_subject_was_given_before_is_refused_and_what_it_is_given_later_is_not() {
    let mut world = ready(|_| {});
    let (seen, unseen, later) = (issued(-60, "a"), issued(-50, "b"), issued(-10, "c"));
    assert_eq!(verdict(&mut world, &seen), OK);
    let before = Time::from_secs(START.as_secs() - 30);
    let all = || Revoked::Subject { subject: "u-1".into(), issued_before: before };
    revoke(&mut world, "https://other.example", all(), 900);
    assert_eq!(verdict(&mut world, &seen), OK, "another issuer's subjects are others");
    revoke(&mut world, ISSUER, all(), 900);
    assert_eq!(verdict(&mut world, &seen), AuthVerdict::Refused, "remembered as good or not");
    assert_eq!(verdict(&mut world, &unseen), AuthVerdict::Refused);
    let undated = token_with(&format!(",\"iat\":{}", START.as_secs()), "");
    assert_eq!(verdict(&mut world, &undated), AuthVerdict::Refused, "it does not say when it was issued");
    assert_eq!(verdict(&mut world, &later), OK);
    assert_eq!(world.auth.remembered().1, 2);
    world.sleep(Duration::from_secs(901));
    assert_eq!(world.auth.remembered().1, 0, "when they are dead anyhow nothing is remembered");
}

#[test]
fn one_token_is_taken_back_by_its_name() {
    let mut world = ready(|_| {});
    let (one, other) = (issued(-60, "a"), issued(-60, "b"));
    assert_eq!([verdict(&mut world, &one), verdict(&mut world, &other)], [OK; 2]);
    revoke(&mut world, ISSUER, Revoked::Token { jti: "a".into() }, 900);
    assert_eq!([verdict(&mut world, &one), verdict(&mut world, &other)], [AuthVerdict::Refused, OK]);
}

#[test]
fn a_login_is_taken_back_with_all_that_came_from_it() {
    let mut world = ready(|_| {});
    let from = |sid: &str, jti: &str| issued(-60, &format!("{jti}\",\"sid\":\"{sid}"));
    let (one, two, other) = (from("s", "a"), from("s", "b"), from("t", "s"));
    assert_eq!([verdict(&mut world, &one), verdict(&mut world, &other)], [OK; 2]);
    revoke(&mut world, ISSUER, Revoked::Session { sid: "s".into() }, 900);
    for (token, expected) in [(&one, AuthVerdict::Refused), (&two, AuthVerdict::Refused), (&other, OK)] {
        assert_eq!(verdict(&mut world, token), expected);
    }
}

#[test]
fn a_subject_that_was_taken_back_later_stays_so() {
    let mut world = ready(|_| {});
    for before in [30, 50] {
        let issued_before = Time::from_secs(START.as_secs() - before);
        revoke(&mut world, ISSUER, Revoked::Subject { subject: "u-1".into(), issued_before }, 900);
    }
    assert_eq!(verdict(&mut world, &issued(-40, "a")), AuthVerdict::Refused);
}

#[test]
fn a_revocation_outlives_a_change_of_the_configuration_and_the_newest_is_refused_at_the_limit() {
    let mut world = ready(|_| {});
    world.reload(|config| {
        config.jwt = Some(jwt());
        config.limits.revocations = 2;
    });
    for (id, lasts, done) in [
        ("a", 900, true),
        ("b", 900, true),
        ("c", 900, false),
        ("a", 950, true), // is one of them
        ("d", 0, true),   // is dead already, and not remembered
    ] {
        let token = Revoked::Token { jti: id.into() };
        assert_eq!((id, revoke(&mut world, ISSUER, token, lasts)), (id, done));
        assert!(world.auth.remembered().1 <= 2);
    }
    for (id, expected) in [("a", AuthVerdict::Refused), ("b", AuthVerdict::Refused), ("c", OK)] {
        assert_eq!(verdict(&mut world, &issued(-60, id)), expected);
    }
}
