//! Logins over real files.

use proptest::prelude::*;

use super::*;
use crate::keys::{Algorithm, KeyRing, RingConfig};
use crate::password::Cost;
use crate::scratch::Scratch;
use crate::store::{DigestWish, NewAccount, Patch, Role, StoreConfig};
use crate::tokens::TokenConfig;

const NOW: Seconds = 1_800_000_000;
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const PASSWORD: &str = "builder builder";

struct World {
    _scratch: Scratch,
    login: Login,
}

impl World {
    fn new() -> World {
        let scratch = Scratch::new();
        let config = StoreConfig { cost: Cost::least(), sessions: 3, ..StoreConfig::default() };
        let store = Store::open(&scratch.path("users.db"), config).unwrap();
        let ring = RingConfig { algorithm: Algorithm::EdDsa, ..RingConfig::default() };
        let ring = Arc::new(KeyRing::open(&scratch.path("keys"), ring, NOW).unwrap());
        let issuer = Issuer::new(ring, TokenConfig::new("https://sip.example.com", "example.com"));
        let config = LoginConfig { refresh: 1000, session: 5000, ..LoginConfig::default() };
        let login = Login::new(Arc::new(store), Arc::new(issuer), config);
        login.store().create(&NewAccount::named("bob").with_password(PASSWORD), NOW).unwrap();
        World { _scratch: scratch, login }
    }

    fn login(&self, now: Seconds) -> Tokens {
        self.login.password("bob", PASSWORD, None, HERE, now).unwrap()
    }

    fn change(&self, patch: Patch, now: Seconds) {
        self.login.store().change("bob", &patch, now).unwrap();
    }

    fn works(&self, tokens: &Tokens, now: Seconds) -> bool {
        self.login.verify(&tokens.access.0, now).is_ok()
    }
}

#[test]
fn a_login_goes_on_by_refreshing_until_its_end() {
    let world = World::new();
    let mut tokens = world.login(NOW);
    assert_eq!(
        (tokens.expires_in, tokens.refresh_expires_in, tokens.scopes.join(" ")),
        (600, 1000, "sip own".into())
    );
    assert!(world.works(&tokens, NOW));
    for now in (1..6).map(|n| NOW + 900 * n) {
        tokens = world.login.refresh(&tokens.refresh.0, now).unwrap();
        assert!(world.works(&tokens, now));
    }
    assert_eq!(tokens.refresh_expires_in, 500, "not past the end of the login");
    assert!(matches!(world.login.refresh(&tokens.refresh.0, NOW + 5000), Err(LoginError::Refused)));
}

#[test]
fn an_old_refresh_token_ends_the_login_with_all_its_tokens() {
    let world = World::new();
    let first = world.login(NOW);
    let other = world.login(NOW);
    let second = world.login.refresh(&first.refresh.0, NOW).unwrap();
    assert!(matches!(world.login.refresh(&first.refresh.0, NOW), Err(LoginError::Refused)));
    assert!(matches!(world.login.refresh(&second.refresh.0, NOW), Err(LoginError::Refused)));
    assert!(!world.works(&first, NOW) && !world.works(&second, NOW));
    assert!(world.works(&other, NOW), "another login of the same account goes on");
    world.login.refresh(&other.refresh.0, NOW).unwrap();
}

#[test]
fn what_ends_a_login_ends_its_access_tokens_at_once() {
    let world = World::new();
    let tokens = world.login(NOW);
    world.login.logout(&tokens.refresh.0, NOW).unwrap();
    assert_eq!(world.login.verify(&tokens.access.0, NOW), Err(TokenError::Revoked));
    world.login.logout(&tokens.refresh.0, NOW).expect("once more is fine");

    let tokens = world.login(NOW);
    world.login.store().set_password("bob", "another password", DigestWish::Keep, NOW).unwrap();
    assert!(!world.works(&tokens, NOW) && world.login.refresh(&tokens.refresh.0, NOW).is_err());
    let tokens = world.login.password("bob", "another password", None, HERE, NOW).unwrap();
    assert!(world.works(&tokens, NOW), "in the same second as the change");

    world.change(Patch { enabled: Some(false), ..Patch::default() }, NOW);
    assert!(!world.works(&tokens, NOW) && world.login.refresh(&tokens.refresh.0, NOW).is_err());
    assert!(matches!(
        world.login.password("bob", "another password", None, HERE, NOW),
        Err(LoginError::Refused)
    ));
    world.change(Patch { enabled: Some(true), ..Patch::default() }, NOW);
    assert!(!world.works(&tokens, NOW), "what was dead stays dead");

    let tokens = world.login.password("bob", "another password", None, HERE, NOW).unwrap();
    world.login.store().delete("bob", NOW).unwrap();
    assert!(!world.works(&tokens, NOW) && world.login.refresh(&tokens.refresh.0, NOW).is_err());
}

#[test]
fn a_password_that_was_changed_while_it_was_checked_begins_no_login() {
    let world = World::new();
    let proof = world.login.store().prove("bob", PASSWORD).unwrap();
    world.login.store().set_password("bob", "another password", DigestWish::Keep, NOW).unwrap();
    let begun = world.login.store().begin_session(&proof, &["sip".into()], 10, NOW + 10, NOW);
    assert!(matches!(begun, Err(UserError::WrongPassword)));
    let proof = world.login.store().prove("bob", "another password").unwrap();
    world.login.store().begin_session(&proof, &["sip".into()], 10, NOW + 10, NOW).unwrap();
    world.login.store().delete("bob", NOW).unwrap();
    let begun = world.login.store().begin_session(&proof, &["sip".into()], 10, NOW + 10, NOW);
    assert!(matches!(begun, Err(UserError::WrongPassword)));
}

#[test]
fn fewer_rights_kill_the_access_tokens_but_not_the_login() {
    let world = World::new();
    let root = NewAccount { role: Role::Admin, ..NewAccount::named("root") };
    world.login.store().create(&root, NOW).unwrap();
    world.change(Patch { role: Some(Role::Admin), ..Patch::default() }, NOW);
    let tokens = world.login(NOW);
    assert!(tokens.scopes.contains(&"accounts:write".to_string()));
    world.change(Patch { role: Some(Role::User), ..Patch::default() }, NOW);
    assert!(!world.works(&tokens, NOW));
    let tokens = world.login.refresh(&tokens.refresh.0, NOW).unwrap();
    assert_eq!(tokens.scopes, ["sip", "own"]);
    assert!(world.works(&tokens, NOW));
}

#[test]
fn scopes_can_be_fewer_but_not_more() {
    let world = World::new();
    let with = |scopes: &[&str]| {
        let scopes: Vec<String> = scopes.iter().map(|s| s.to_string()).collect();
        world.login.password("bob", PASSWORD, Some(&scopes), HERE, NOW).map(|tokens| tokens.scopes.join(" "))
    };
    assert_eq!(with(&["sip"]).unwrap(), "sip");
    assert_eq!(with(&["own", "sip", "own"]).unwrap(), "sip own");
    for bad in [&["accounts:write"][..], &["sip", "x"], &[], &["sip own"]] {
        assert!(matches!(with(bad), Err(LoginError::Scope)), "{bad:?}");
    }
}

#[test]
fn guessing_is_slowed_down_alike_for_names_that_exist_and_names_that_do_not() {
    let world = World::new();
    let mut seen = Vec::new();
    for name in ["bob", "nobody"] {
        let mut answers = Vec::new();
        for n in 0..8 {
            let from = IpAddr::from([192, 0, 2, n]);
            answers.push(world.login.password(name, "wrong wrong", None, from, NOW).unwrap_err().to_string());
        }
        seen.push(answers);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!((&*seen[0][4], &*seen[0][5]), ("refused", "too many failures, wait 1 s"));
    let right = world.login.password("BOB", PASSWORD, None, HERE, NOW);
    assert!(matches!(right, Err(LoginError::Wait(1))), "also for the right one, in whatever case");
    world.login(NOW + 1);
}

#[test]
fn whatever_is_wrong_with_a_login_costs_one_check_of_todays_cost() {
    let world = World::new();
    let store = world.login.store();
    store.create(&NewAccount::named("locked").with_password(PASSWORD), NOW).unwrap();
    store.change("locked", &Patch { enabled: Some(false), ..Patch::default() }, NOW).unwrap();
    store.create(&NewAccount::named("keys-only"), NOW).unwrap();
    store.hasher().take_checks();
    let long = "x".repeat(crate::password::LONGEST + 1);
    for (name, password) in [
        ("bob", "wrong wrong"),
        ("nobody", "wrong wrong"),
        ("nobody", PASSWORD),
        ("locked", PASSWORD),
        ("keys-only", ""),
        ("' OR 1=1 --", PASSWORD),
        ("bob", &long),
        ("nobody", &long),
    ] {
        let refused = world.login.password(name, password, None, HERE, NOW);
        assert!(matches!(refused, Err(LoginError::Refused)), "{name}");
        assert_eq!(store.hasher().take_checks(), ["m=8,t=1,p=1"], "{name}");
    }
    world.login(NOW);
    assert_eq!(store.hasher().take_checks(), ["m=8,t=1,p=1"], "it is the same for who is let in");
}

#[test]
fn one_source_that_tries_many_names_is_slowed_down() {
    let world = World::new();
    let from = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
    for n in 0..20 {
        let tried = world.login.password(&format!("u{n}"), "wrong wrong", None, from(n), NOW);
        assert!(matches!(tried, Err(LoginError::Refused)));
    }
    let own = world.login.password("bob", PASSWORD, None, from(99), NOW);
    assert!(matches!(own, Err(LoginError::Wait(1))));
    world.login.password("bob", PASSWORD, None, from(99), NOW + 1).unwrap();
    let tried = world.login.password("u1", "wrong wrong", None, from(1), NOW + 1);
    assert!(matches!(tried, Err(LoginError::Refused)));
    let tried = world.login.password("u2", "wrong wrong", None, from(1), NOW + 1);
    assert!(matches!(tried, Err(LoginError::Wait(2))), "a login of one's own forgives no failures");
}

#[test]
fn an_account_has_so_many_logins_and_the_oldest_ends() {
    let world = World::new();
    let logins: Vec<Tokens> = (0..4).map(|n| world.login(NOW + n)).collect();
    assert_eq!(world.login.store().sessions("bob").unwrap(), 3);
    assert_eq!(logins.iter().map(|t| world.works(t, NOW + 4)).collect::<Vec<_>>(), [false, true, true, true]);
    assert!(world.login.refresh(&logins[0].refresh.0, NOW + 4).is_err());
}

#[test]
fn no_secret_is_seen_in_debug_or_in_the_file() {
    let world = World::new();
    let tokens = world.login(NOW);
    let shown = format!("{tokens:?} {:?}", world.login);
    let mut file = std::fs::read(world._scratch.path("users.db")).unwrap();
    file.extend(std::fs::read(world._scratch.path("users.db-wal")).unwrap());
    for secret in [&tokens.access.0, &tokens.refresh.0, PASSWORD] {
        assert!(!shown.contains(secret));
        assert!(!file.windows(secret.len()).any(|part| part == secret.as_bytes()));
    }
}

/// What may happen to the logins of an account.
#[derive(Clone, Copy, Debug)]
enum Step {
    Login,
    /// With whichever refresh token was ever given out.
    Refresh(prop::sample::Index),
    Logout(prop::sample::Index),
    NewPassword,
    Wait(Seconds),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    let any = any::<prop::sample::Index>;
    prop_oneof![
        2 => Just(Step::Login),
        6 => any().prop_map(Step::Refresh),
        1 => any().prop_map(Step::Logout),
        1 => Just(Step::NewPassword),
        2 => (1..700i64).prop_map(Step::Wait),
        1 => Just(Step::Sweep),
    ]
}

/// A login as the model sees it.
#[derive(Clone, Copy, Debug)]
struct Family {
    alive: bool,
    end: Seconds,
}

/// A refresh token as the model sees it.
#[derive(Clone, Debug)]
struct Given {
    tokens: Tokens,
    family: usize,
    used: bool,
    dies: Seconds,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn families_of_refresh_tokens_behave_as_the_model(steps in prop::collection::vec(step(), 1..40)) {
        let world = World::new();
        let (mut now, mut families, mut given) = (NOW, Vec::<Family>::new(), Vec::<Given>::new());
        for step in steps {
            match step {
                Step::Login => {
                    let tokens = world.login(now);
                    let mut alive: Vec<usize> = (0..families.len()).filter(|&f| families[f].alive).collect();
                    // Those that are over but not yet swept count as well.
                    while alive.len() >= 3 {
                        families[alive.remove(0)].alive = false;
                    }
                    let dies = now + 1000;
                    given.push(Given { tokens, family: families.len(), used: false, dies });
                    families.push(Family { alive: true, end: now + 5000 });
                    // One login a second, or which is the oldest would be for the store to say.
                    now += 1;
                }
                Step::Refresh(which) if !given.is_empty() => {
                    let at = which.index(given.len());
                    let one = given[at].clone();
                    let family = families[one.family];
                    let result = world.login.refresh(&one.tokens.refresh.0, now);
                    let good = family.alive && !one.used && now < one.dies && now < family.end;
                    prop_assert_eq!(result.is_ok(), good, "{:?}", one);
                    match result {
                        Ok(tokens) => {
                            given[at].used = true;
                            let dies = (now + 1000).min(family.end);
                            given.push(Given { tokens, family: one.family, used: false, dies });
                        }
                        // One that the sweep has forgotten is unknown, and ends nothing.
                        Err(_) if one.used && one.dies > now => families[one.family].alive = false,
                        Err(_) if one.used => return Ok(()),
                        Err(_) => {}
                    }
                }
                Step::Logout(which) if !given.is_empty() => {
                    let one = &given[which.index(given.len())];
                    world.login.logout(&one.tokens.refresh.0, now).unwrap();
                    if one.dies <= now {
                        return Ok(());
                    }
                    families[one.family].alive = false;
                }
                Step::NewPassword => {
                    world.login.store().set_password("bob", PASSWORD, DigestWish::Keep, now).unwrap();
                    families.iter_mut().for_each(|family| family.alive = false);
                }
                Step::Wait(secs) => now += secs,
                Step::Sweep => {
                    world.login.store().sweep(now).unwrap();
                    families.iter_mut().filter(|family| family.end <= now).for_each(|family| family.alive = false);
                }
                Step::Refresh(_) | Step::Logout(_) => {}
            }
            for one in &given {
                let family = families[one.family];
                // An access token dies with its login, or by its own time; the login may end by time before it.
                if !family.alive && now < family.end {
                    prop_assert!(!world.works(&one.tokens, now), "{:?}", one);
                }
            }
        }
    }
}
