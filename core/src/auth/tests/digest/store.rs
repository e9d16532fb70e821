//! Nonces that are remembered, and accounts that are kept elsewhere.

use super::*;

#[test]
fn bound_nonces_follow_the_address_and_not_the_port() {
    let mut world = world(|config| config.digest.bind_source = true);
    let nonce = world.nonce();
    world.remote = "192.0.2.9:40001".parse().expect("an address");
    assert_eq!(why(&world.check(&phone(RIGHT).request(&nonce))), OK);
    world.remote = "192.0.2.10:5060".parse().expect("an address");
    assert_eq!(why(&world.check(&phone(RIGHT).request(&nonce))), AuthVerdict::Missing);
}

#[test]
fn a_full_nonce_table_makes_older_nonces_stale_and_never_replayable() {
    let mut world = world(|config| config.limits.nonces = 2);
    let nonces: Vec<String> = (0..4)
        .map(|_| {
            world.sleep(Duration::from_millis(1));
            world.nonce()
        })
        .collect();
    let mut ask = |i: usize| why(&world.check(&phone(RIGHT).request(&nonces[i])));
    assert_eq!([ask(1), ask(2), ask(3)], [OK; 3]);
    assert_eq!([ask(0), ask(1)], [AuthVerdict::Stale; 2]);
    assert_eq!([ask(2), ask(3)], [AuthVerdict::Replay; 2]);
    assert_eq!(world.auth.nonces(), 2);
}

#[test]
fn a_foreign_user_is_asked_for_and_failures_are_held_back() {
    let mut world = world(|config| {
        config.digest.foreign_store = true;
        config.digest.foreign_lifetime = Duration::ZERO;
    });
    let nonce = world.nonce();
    let carol = |password| Phone { user: "carol".into(), ..phone(password) };
    let Verdict::Park(Need::Credentials { username, realm, algorithm }) =
        world.check(&carol(RIGHT).request(&nonce))
    else {
        panic!("not parked")
    };
    assert_eq!((&*username, &*realm, algorithm), ("carol", "example.com", DigestAlgorithm::Sha256));
    let known = || CredentialsAnswer::Known {
        credential: HashedCredential::of(DigestAlgorithm::Sha256, "carol", "example.com", RIGHT),
        aors: vec!["carol@example.com".into()],
    };
    let good = allowed(world.ask(&carol(RIGHT).request(&nonce), Wait::WithCredentials(known())));
    assert!(good.identity.owns("carol@example.com") && !good.identity.owns("bob@example.com"));

    let delay = world.settings.digest.foreign_delay;
    let failures = [
        (carol(WRONG), Wait::WithCredentials(known()), AuthVerdict::Wrong),
        (carol(RIGHT), Wait::WithCredentials(CredentialsAnswer::Unknown), AuthVerdict::UnknownUser),
        // A local account is not quicker to fail.
        (phone(WRONG), Wait::First, AuthVerdict::Wrong),
    ];
    for (phone, wait, expected) in failures {
        let verdict = world.ask(&phone.request(&nonce), wait);
        assert!(
            matches!(&verdict, Verdict::Delay(inner, d) if *d == delay && status(inner) == 401),
            "{verdict:?}"
        );
        assert_eq!(why(&verdict), expected);
    }
    for wait in [Wait::Final, Wait::WithCredentials(CredentialsAnswer::Unavailable)] {
        let verdict = world.ask(&carol(RIGHT).request(&nonce), wait);
        assert_eq!((status(&verdict), why(&verdict)), (503, AuthVerdict::Unavailable));
    }
}

#[test]
fn an_answer_of_the_store_for_another_algorithm_is_none() {
    let mut world = world(|config| config.digest.foreign_store = true);
    let nonce = world.nonce();
    let credential = HashedCredential::of(DigestAlgorithm::Md5, "carol", "example.com", RIGHT);
    let answer = CredentialsAnswer::Known { credential, aors: vec![] };
    let carol = Phone { user: "carol".into(), ..phone(RIGHT) };
    let verdict = world.ask(&carol.request(&nonce), Wait::WithCredentials(answer));
    assert_eq!(why(&verdict), AuthVerdict::UnknownUser);
}

#[test]
fn a_forged_nonce_never_reaches_the_store() {
    let mut world = world(|config| config.digest.foreign_store = true);
    let carol = Phone { user: "carol".into(), ..phone(RIGHT) };
    assert_eq!(why(&world.check(&carol.request("forged"))), AuthVerdict::Missing);
}

/// Carol, who is of the store.
fn carol(password: &'static str) -> Phone {
    Phone { user: "carol".into(), ..phone(password) }
}

fn known(password: &str) -> Wait {
    Wait::WithCredentials(CredentialsAnswer::Known {
        credential: HashedCredential::of(DigestAlgorithm::Sha256, "carol", "example.com", password),
        aors: vec!["carol@example.com".into()],
    })
}

fn asks(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Park(Need::Credentials { .. }))
}

#[test]
fn a_user_of_the_store_is_asked_for_again_when_he_is_forgotten_known_for_long_or_wrong() {
    let mut world = world(|config| config.digest.foreign_store = true);
    let nonce = world.nonce();
    let mut nc = 0;
    let mut next = |password| {
        nc += 1;
        Phone { nc, ..carol(password) }.request(&nonce)
    };
    assert!(asks(&world.check(&next(RIGHT))));
    assert_eq!(why(&world.ask(&next(RIGHT), known(RIGHT))), OK);
    // From now on he is known.
    assert_eq!(why(&world.check(&next(RIGHT))), OK);
    assert_eq!(world.auth.remembered().0, 1);
    // A wrong password may be a new one: the store decides.
    assert!(asks(&world.check(&next(WRONG))));
    assert!(matches!(world.ask(&next(WRONG), known(RIGHT)), Verdict::Delay(..)));
    assert_eq!(why(&world.ask(&next(WRONG), known(WRONG))), OK);
    assert_eq!(why(&world.check(&next(WRONG))), OK);
    world.auth.forget_user("somebody");
    assert_eq!(world.auth.remembered().0, 1);
    world.auth.forget_user("carol");
    assert!(asks(&world.check(&next(WRONG))));
    // Who is no user any more is known no more.
    assert_eq!(why(&world.ask(&next(RIGHT), known(RIGHT))), OK);
    let gone = Wait::WithCredentials(CredentialsAnswer::Unknown);
    assert!(matches!(world.ask(&next(RIGHT), gone), Verdict::Delay(..)));
    assert_eq!(world.auth.remembered().0, 0);
    // Nothing is remembered for ever.
    assert_eq!(why(&world.ask(&next(RIGHT), known(RIGHT))), OK);
    world.sleep(Duration::from_secs(301));
    assert_eq!(world.auth.remembered().0, 0);
}

#[test]
fn no_more_users_are_remembered_than_the_limit_and_none_without_a_lifetime() {
    for (limit, life, left) in [(0, 300, 0), (1, 300, 1), (9, 0, 0)] {
        let mut world = world(|config| {
            config.digest.foreign_store = true;
            config.digest.foreign_lifetime = Duration::from_secs(life);
            config.limits.users = limit;
        });
        let nonce = world.nonce();
        assert_eq!(why(&world.ask(&carol(RIGHT).request(&nonce), known(RIGHT))), OK);
        assert_eq!(world.auth.remembered().0, left);
    }
}
