//! Accounts in real files.

use std::sync::{Arc, Mutex};

use strowger_core::config::{DigestAlgorithm, HashedCredential};

use super::*;
use crate::scratch::Scratch;

const NOW: Seconds = 1_800_000_000;

/// A store in a file of its own, and what it told.
struct World {
    scratch: Scratch,
    store: Store,
    told: Arc<Mutex<Vec<AccountChange>>>,
}

fn config() -> StoreConfig {
    StoreConfig { cost: Cost::least(), realms: vec!["example.com".into()], ..StoreConfig::default() }
}

impl World {
    fn new() -> World {
        let scratch = Scratch::new();
        let (store, told) = World::open(&scratch);
        World { scratch, store, told }
    }

    fn open(scratch: &Scratch) -> (Store, Arc<Mutex<Vec<AccountChange>>>) {
        let mut store = Store::open(&scratch.path("users.db"), config()).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&told);
        store.listen(move |change| into.lock().unwrap().push(change.clone()));
        (store, told)
    }

    fn reopened(self) -> World {
        let World { scratch, store, .. } = self;
        drop(store);
        let (store, told) = World::open(&scratch);
        World { scratch, store, told }
    }

    fn told(&self) -> Vec<String> {
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        told.iter().map(|change| format!("{}: {}", change.username, change.what)).collect()
    }

    fn bob(&self) -> Account {
        let new = NewAccount { aors: vec!["bob@example.com".into()], ..NewAccount::named("bob") };
        self.store.create(&new.with_password("builder builder"), NOW).unwrap()
    }

    fn admin(&self, name: &str) -> Account {
        self.store.create(&NewAccount { role: Role::Admin, ..NewAccount::named(name) }, NOW).unwrap()
    }
}

#[test]
fn an_account_is_made_found_changed_and_deleted_and_each_step_is_told() {
    let world = World::new();
    world.admin("root");
    let bob = world.bob();
    assert_eq!((bob.role, bob.enabled, bob.password, bob.digest), (Role::User, true, true, false));
    assert_eq!(world.store.account("BOB").unwrap(), bob);
    assert_eq!(world.store.account_of("sip:bob@EXAMPLE.com").unwrap(), bob);
    assert_eq!(world.told(), ["root: created", "bob: created"]);

    let patch = Patch {
        display_name: Some("Bob".into()),
        aors: Some(vec!["sip:b@example.com".into(), "bob@example.com".into()]),
        ..Patch::default()
    };
    let changed = world.store.change("bob", &patch, NOW + 5).unwrap();
    assert_eq!(changed.aors, ["b@example.com", "bob@example.com"]);
    assert_eq!((changed.created, changed.changed), (NOW, NOW + 5));
    assert_eq!(world.told(), ["bob: profile changed", "bob: addresses of record changed"]);
    assert_eq!(world.store.revoked_since("bob"), None);

    let world = world.reopened();
    assert_eq!(world.store.account("bob").unwrap(), changed);
    world.store.delete("bob", NOW + 9).unwrap();
    assert!(matches!(world.store.account("bob"), Err(UserError::NotFound("account"))));
    assert!(matches!(world.store.account_of("b@example.com"), Err(UserError::NotFound("account"))));
    assert_eq!(world.told(), ["bob: tokens revoked", "bob: deleted"]);
    let again = world.bob();
    assert!(again.id > bob.id, "a number is never given again");
}

#[test]
fn names_and_addresses_belong_to_one_account() {
    let world = World::new();
    world.bob();
    for name in ["bob", "BOB"] {
        let taken = world.store.create(&NewAccount::named(name), NOW);
        assert!(matches!(taken, Err(UserError::Taken { field: "username", .. })), "{name}");
    }
    let eve = NewAccount {
        aors: vec!["eve@example.com".into(), "BOB@example.com".into()],
        ..NewAccount::named("eve")
    };
    world.store.create(&eve, NOW).expect("users of addresses differ by case");
    let mut eve = NewAccount { aors: vec!["sips:bob@Example.com".into()], ..NewAccount::named("eve2") };
    let taken = world.store.create(&eve, NOW);
    assert!(matches!(taken, Err(UserError::Taken { field: "aors", value }) if value == "bob@example.com"));
    assert!(matches!(world.store.account("eve2"), Err(UserError::NotFound(_))), "nothing of it is left");
    eve.aors.clear();
    world.store.create(&eve, NOW).unwrap();
    let patch = Patch { aors: Some(vec!["bob@example.com".into()]), ..Patch::default() };
    assert!(matches!(world.store.change("eve2", &patch, NOW), Err(UserError::Taken { .. })));
}

#[test]
fn what_cannot_be_is_refused_by_field() {
    let world = World::new();
    let field = |new: &NewAccount| match world.store.create(new, NOW) {
        Err(UserError::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    let bob = || NewAccount::named("bob");
    assert_eq!(field(&NewAccount::named("'; DROP TABLE account; --")), "username");
    assert_eq!(field(&NewAccount { display_name: "a\r\nb".into(), ..bob() }), "display_name");
    assert_eq!(field(&NewAccount { email: "x".into(), ..bob() }), "email");
    assert_eq!(field(&NewAccount { aors: vec!["tel:+49".into()], ..bob() }), "aors");
    assert_eq!(field(&bob().with_password("short")), "password");
    assert_eq!(field(&bob().with_password("x".repeat(1025))), "password");
    assert_eq!(field(&NewAccount { digest: true, ..bob() }), "digest");
    assert_eq!(world.store.count().unwrap(), 0);
}

#[test]
fn text_that_is_sql_is_text() {
    let world = World::new();
    world.bob();
    for text in ["' OR '1'='1", "bob' --", "%", "_", "bob\0", "*"] {
        assert!(matches!(world.store.account(text), Err(UserError::NotFound(_))), "{text}");
        assert!(matches!(world.store.check_password(text, text), Err(UserError::WrongPassword)), "{text}");
        assert!(world.store.api_key_owner(text, NOW).is_err());
    }
    let name = "Robert'); DROP TABLE account;--";
    let patch = Patch { display_name: Some(name.into()), ..Patch::default() };
    assert_eq!(world.store.change("bob", &patch, NOW).unwrap().display_name, name);
}

#[test]
fn pages_follow_the_order_of_names() {
    let world = World::new();
    for name in ["dora", "Bob", "alice", "carol"] {
        world.store.create(&NewAccount::named(name), NOW).unwrap();
    }
    let names = |after, limit| -> Vec<String> {
        world.store.accounts(after, limit).unwrap().into_iter().map(|account| account.username).collect()
    };
    assert_eq!(names(None, 3), ["alice", "Bob", "carol"]);
    assert_eq!(names(Some("carol"), 3), ["dora"]);
    assert_eq!(names(Some("dora"), 3), [""; 0]);
    assert_eq!(names(None, usize::MAX).len(), 4);
}

#[test]
fn wrong_unknown_disabled_and_without_a_password_are_one_error() {
    let world = World::new();
    world.bob();
    world.store.create(&NewAccount::named("mute"), NOW).unwrap();
    assert_eq!(world.store.check_password("bob", "builder builder").unwrap().username, "bob");
    for (name, password) in [("bob", "builder"), ("nobody", "builder builder"), ("mute", "")] {
        assert!(
            matches!(world.store.check_password(name, password), Err(UserError::WrongPassword)),
            "{name}"
        );
    }
    let off = Patch { enabled: Some(false), ..Patch::default() };
    world.store.change("bob", &off, NOW).unwrap();
    assert!(matches!(world.store.check_password("bob", "builder builder"), Err(UserError::WrongPassword)));
}

#[test]
fn a_hash_of_another_cost_is_made_anew_at_the_next_login() {
    let World { scratch, store, .. } = {
        let world = World::new();
        world.bob();
        world
    };
    drop(store);
    let cost = Cost { passes: 2, ..Cost::least() };
    let store = Store::open(&scratch.path("users.db"), StoreConfig { cost, ..config() }).unwrap();
    let hash =
        || store.read().query_row("SELECT password FROM account", [], |row| row.get::<_, String>(0)).unwrap();
    assert!(hash().contains("t=1"));
    assert!(store.check_password("bob", "builder").is_err());
    assert!(hash().contains("t=1"));
    store.check_password("bob", "builder builder").unwrap();
    assert!(hash().contains("t=2"));
    store.check_password("bob", "builder builder").unwrap();
}

#[test]
fn the_last_enabled_administrator_stays() {
    let world = World::new();
    world.admin("root");
    world.bob();
    let off = Patch { enabled: Some(false), ..Patch::default() };
    let less = Patch { role: Some(Role::Operator), ..Patch::default() };
    for patch in [&off, &less] {
        assert!(matches!(world.store.change("root", patch, NOW), Err(UserError::LastAdmin)));
    }
    assert!(matches!(world.store.delete("root", NOW), Err(UserError::LastAdmin)));
    world.admin("second");
    world.store.change("root", &off, NOW).unwrap();
    assert!(matches!(world.store.delete("second", NOW), Err(UserError::LastAdmin)));
    world.store.delete("root", NOW).unwrap();
}

#[test]
fn the_first_administrator_is_made_once() {
    let world = World::new();
    world.bob();
    let password = world.store.first_admin("admin", NOW).unwrap().expect("there was none");
    assert_eq!(world.store.check_password("admin", &password.0).unwrap().role, Role::Admin);
    assert!(world.store.first_admin("admin", NOW).unwrap().is_none());
    assert!(matches!(World::new().store.first_admin("a b", NOW), Err(UserError::Invalid { .. })));
}

#[test]
fn digest_credentials_are_of_the_password_and_only_where_wanted() {
    let world = World::new();
    world.bob();
    let ha1 = |algorithm, password: &str| HashedCredential::of(algorithm, "bob", "example.com", password);
    let stored = || -> Vec<HashedCredential> {
        let config = world.store.sip_account("example.com", "bob").unwrap();
        config.ha1.iter().map(|(a, hex)| HashedCredential::from_hex(*a, &hex.0).unwrap()).collect()
    };
    assert_eq!(stored(), []);
    assert!(matches!(world.store.enable_digest("bob", "wrong", NOW), Err(UserError::WrongPassword)));
    world.store.enable_digest("bob", "builder builder", NOW).unwrap();
    let (md5, sha) = (DigestAlgorithm::Md5, DigestAlgorithm::Sha256);
    assert_eq!(stored(), [ha1(md5, "builder builder"), ha1(sha, "builder builder")]);
    assert!(world.store.sip_account("elsewhere.com", "bob").unwrap().ha1.is_empty());

    world.store.set_password("bob", "second password", DigestWish::Keep, NOW).unwrap();
    assert_eq!(stored(), [ha1(md5, "second password"), ha1(sha, "second password")]);
    world.store.set_password("bob", "third password", DigestWish::Drop, NOW).unwrap();
    assert_eq!(stored(), []);
    world.store.set_password("bob", "fourth password", DigestWish::Store, NOW).unwrap();
    assert_eq!(stored().len(), 2);
    world.store.disable_digest("bob", NOW).unwrap();
    assert_eq!(stored(), []);
    let config = world.store.sip_accounts("example.com", None, 10).unwrap().remove(0);
    assert_eq!(
        (&*config.username, config.disabled, config.aors),
        ("bob", false, vec!["bob@example.com".to_string()])
    );
}

#[test]
fn an_api_key_is_shown_once_and_works_until_it_expires_or_its_account_does_not() {
    let world = World::new();
    world.bob();
    let wish = ApiKeyWish { name: "ci".into(), scopes: vec!["own".into()], expires: Some(NOW + 100) };
    let made = world.store.create_api_key("bob", &wish, NOW).unwrap();
    assert!(!format!("{made:?}").contains(&made.text.0));
    let owner = |now| world.store.api_key_owner(&made.text.0, now).ok().map(|owner| owner.account.username);
    assert_eq!(owner(NOW + 99).as_deref(), Some("bob"));
    assert_eq!(world.store.api_keys("bob").unwrap()[0].last_used, Some(NOW + 99));
    assert_eq!(owner(NOW + 100), None);
    assert!(world.store.api_key_owner(&made.text.0.replace("strowger_", "Strowger_"), NOW).is_err());
    let file = std::fs::read(world.scratch.path("users.db-wal")).unwrap();
    assert!(!file.windows(43).any(|part| part == &made.text.0.as_bytes()[9..]), "it is not in the file");

    let set = |enabled| {
        world.store.change("bob", &Patch { enabled: Some(enabled), ..Patch::default() }, NOW).unwrap()
    };
    set(false);
    assert_eq!(owner(NOW), None);
    set(true);
    assert_eq!(owner(NOW).as_deref(), Some("bob"));
    world.admin("eve");
    assert!(matches!(world.store.delete_api_key("eve", &made.key.id), Err(UserError::NotFound("API key"))));
    world.store.delete_api_key("bob", &made.key.id).unwrap();
    assert_eq!(owner(NOW), None);
    for wish in [
        ApiKeyWish { expires: Some(NOW), ..wish.clone() },
        ApiKeyWish { scopes: vec![], ..wish.clone() },
        ApiKeyWish { scopes: vec!["a b".into()], ..wish.clone() },
        ApiKeyWish { name: "a\nb".into(), ..wish },
    ] {
        assert!(matches!(world.store.create_api_key("bob", &wish, NOW), Err(UserError::Invalid { .. })));
    }
}

#[test]
fn who_may_less_than_before_loses_the_tokens_he_has_and_keeps_none_over_a_restart() {
    let world = World::new();
    world.bob();
    let token = |issued| TokenRef { subject: "bob", session: None, id: "j", issued };
    let set = |world: &World, patch: Patch, now| drop(world.store.change("bob", &patch, now).unwrap());
    set(&world, Patch { aors: Some(vec![]), ..Patch::default() }, NOW);
    assert!(world.store.is_revoked(token(NOW)) && !world.store.is_revoked(token(NOW + 1)));
    assert_eq!(world.store.issue_time("bob", NOW), NOW + 1);
    // In the same second: what was issued in between is dead, too.
    set(&world, Patch { enabled: Some(false), ..Patch::default() }, NOW);
    assert!(world.store.is_revoked(token(NOW + 1)));
    assert_eq!(world.store.issue_time("bob", NOW), NOW + 2);
    assert_eq!(world.store.issue_time("bob", NOW + 60), NOW + 60);

    let world = world.reopened();
    assert!(world.store.is_revoked(token(NOW + 1)));
    world.store.sweep(NOW + 86_400).unwrap();
    assert!(world.store.revocations().is_empty());
    assert!(world.reopened().store.revocations().is_empty());
}

#[test]
fn a_change_that_fails_is_not_told_and_leaves_nothing() {
    let world = World::new();
    world.bob();
    world.told();
    world.store.read().pragma_update(None, "query_only", true).unwrap();
    let patch = Patch { enabled: Some(false), ..Patch::default() };
    assert!(matches!(world.store.change("bob", &patch, NOW), Err(UserError::Storage(_))));
    world.store.read().pragma_update(None, "query_only", false).unwrap();
    assert!(world.store.account("bob").unwrap().enabled);
    assert_eq!((world.told(), world.store.revocations().len()), (vec![], 0));
}

#[test]
fn a_full_disk_refuses_a_change_and_the_store_goes_on() {
    let world = World::new();
    world.bob();
    let pages: i64 = world.store.read().pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    world.store.read().pragma_update(None, "max_page_count", pages).unwrap();
    let mut refused = 0;
    for n in 0..500 {
        let new = NewAccount { display_name: "x".repeat(120), ..NewAccount::named(format!("u{n}")) };
        refused += usize::from(matches!(world.store.create(&new, NOW), Err(UserError::Storage(_))));
    }
    assert!(refused > 0);
    assert_eq!(world.store.count().unwrap(), 501 - refused);
    world.store.read().pragma_update(None, "max_page_count", 100_000).unwrap();
    world.store.create(&NewAccount::named("after"), NOW).unwrap();
}

#[test]
fn threads_share_a_store() {
    let world = World::new();
    std::thread::scope(|scope| {
        for t in 0..4 {
            let store = &world.store;
            scope.spawn(move || {
                for n in 0..10 {
                    store.create(&NewAccount::named(format!("u{t}-{n}")), NOW).unwrap();
                    let same = store.create(&NewAccount::named(format!("same{n}")), NOW);
                    assert!(matches!(same, Ok(_) | Err(UserError::Taken { .. })));
                }
            });
        }
    });
    assert_eq!(world.store.count().unwrap(), 50);
}

#[test]
fn what_another_process_has_done_is_taken_over() {
    let World { scratch, store: here, .. } = World::new();
    let (there, _) = World::open(&scratch);
    assert!(!here.refresh().unwrap());
    here.create(&NewAccount::named("bob"), NOW).unwrap();
    assert!(!here.refresh().unwrap(), "what it did itself is no news");
    there.change("bob", &Patch { enabled: Some(false), ..Patch::default() }, NOW + 1).unwrap();
    assert_eq!(here.revoked_since("bob"), None);
    assert!(here.refresh().unwrap());
    assert_eq!(here.revoked_since("bob"), Some(NOW + 1));
    assert!(!here.refresh().unwrap());
}
