//! Rings in real directories.

use super::*;
use crate::scratch::Scratch;

const NOW: Seconds = 1_800_000_000;
const CONFIG: RingConfig = RingConfig { algorithm: Algorithm::Es256, ahead: 600, tokens: 1000, every: 0 };

fn ring(scratch: &Scratch) -> KeyRing {
    KeyRing::open(&scratch.path("keys"), CONFIG, NOW).unwrap()
}

fn steps(ring: &KeyRing, now: Seconds) -> Vec<Step> {
    ring.list(now).into_iter().map(|key| key.step).collect()
}

fn published(ring: &KeyRing, now: Seconds) -> Vec<String> {
    let set: serde_json::Value = serde_json::from_str(&ring.jwks(now).body).unwrap();
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().into()).collect()
}

#[test]
fn the_next_key_is_published_before_it_signs_and_the_old_one_until_its_tokens_are_gone() {
    let scratch = Scratch::new();
    let ring = ring(&scratch);
    let first = ring.signer(NOW).unwrap().kid().to_string();
    let etag = ring.jwks(NOW).etag;
    let second = ring.rotate(NOW).unwrap();
    assert_ne!(ring.jwks(NOW).etag, etag);
    assert_eq!(ring.jwks(NOW).cache_control, "public, max-age=300");
    for (now, signs, steps_are) in [
        (NOW, &first, vec![Step::Next, Step::Current]),
        (NOW + 599, &first, vec![Step::Next, Step::Current]),
        (NOW + 600, &second, vec![Step::Current, Step::Old]),
        (NOW + 1599, &second, vec![Step::Current, Step::Old]),
        (NOW + 1600, &second, vec![Step::Current]),
    ] {
        ring.tick(now).unwrap();
        assert_eq!(ring.signer(now).unwrap().kid(), signs, "{now}");
        assert_eq!(steps(&ring, now), steps_are, "{now}");
        assert_eq!(published(&ring, now).len(), steps_are.len(), "{now}");
        assert_eq!(ring.find(&first, now).is_some(), steps_are.len() == 2);
    }
    assert!(!scratch.path("keys").join(format!("{first}.p8")).exists());
}

#[test]
fn a_ring_outlives_its_process_and_another_process_may_turn_it() {
    let scratch = Scratch::new();
    let one = ring(&scratch);
    let two = ring(&scratch);
    assert_eq!(published(&one, NOW), published(&two, NOW));
    let next = two.rotate(NOW).unwrap();
    assert!(one.find(&next, NOW).is_none());
    assert!(one.tick(NOW).unwrap() && !one.tick(NOW).unwrap());
    assert_eq!(published(&one, NOW), published(&two, NOW));
    assert_eq!(one.jwks(NOW), ring(&scratch).jwks(NOW));
}

#[test]
fn it_turns_by_itself_when_it_is_time() {
    let scratch = Scratch::new();
    let config = RingConfig { every: 5000, ..CONFIG };
    let ring = KeyRing::open(&scratch.path("keys"), config, NOW).unwrap();
    assert!(!ring.tick(NOW + 4999).unwrap());
    assert!(ring.tick(NOW + 5000).unwrap());
    assert_eq!(steps(&ring, NOW + 5000), [Step::Next, Step::Current]);
    // A process that slept for long still publishes a key before it signs.
    assert!(ring.tick(NOW + 100_000).unwrap());
    assert_eq!(steps(&ring, NOW + 100_000), [Step::Next, Step::Current]);
}

#[test]
fn a_stolen_key_goes_at_once_and_another_signs() {
    let scratch = Scratch::new();
    let ring = ring(&scratch);
    let first = ring.signer(NOW).unwrap().kid().to_string();
    let second = ring.rotate(NOW).unwrap();
    ring.remove(&first, NOW).unwrap();
    let third = ring.signer(NOW).expect("one signs at once").kid().to_string();
    assert!(third != first && third != second);
    assert!(ring.find(&first, NOW).is_none() && !published(&ring, NOW).contains(&first));
    ring.remove(&third, NOW + 600).unwrap();
    assert_eq!(ring.signer(NOW + 600).unwrap().kid(), second);
    ring.tick(NOW + 10_000).unwrap();
    assert_eq!(ring.signer(NOW + 10_000).unwrap().kid(), second);
    assert!(matches!(ring.remove("x", NOW), Err(KeyError::NotFound)));
}

#[test]
#[cfg(unix)]
fn private_keys_are_for_their_owner_and_one_that_was_not_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let kid = ring(&scratch).signer(NOW).unwrap().kid().to_string();
    let mode =
        |name: &str| std::fs::metadata(scratch.path("keys").join(name)).unwrap().permissions().mode() & 0o777;
    let file = format!("{kid}.p8");
    assert_eq!((mode(""), mode(&file), mode("ring.json")), (0o700, 0o600, 0o600));
    let path = scratch.path("keys").join(&file);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let opened = KeyRing::open(&scratch.path("keys"), CONFIG, NOW);
    assert!(matches!(opened, Err(KeyError::Exposed(exposed)) if exposed == path));
}

#[test]
fn a_damaged_ring_is_reported_and_left_as_it_is() {
    let scratch = Scratch::new();
    let kid = ring(&scratch).signer(NOW).unwrap().kid().to_string();
    let open = || KeyRing::open(&scratch.path("keys"), CONFIG, NOW);
    let file = |name: &str| scratch.path("keys").join(name);
    let good = std::fs::read(file("ring.json")).unwrap();
    for bad in ["", "{}", "{\"keys\":[{\"kid\":\"../../x\"}]}", "[]"] {
        std::fs::write(file("ring.json"), bad).unwrap();
        assert!(matches!(open(), Err(KeyError::Corrupt(_))), "{bad}");
        assert_eq!(std::fs::read_to_string(file("ring.json")).unwrap(), bad);
    }
    let named =
        String::from_utf8(good.clone()).unwrap().replace(&kid, "../../../../../../../../../../../etc/passwd");
    std::fs::write(file("ring.json"), named).unwrap();
    assert!(matches!(open(), Err(KeyError::Corrupt(_))));
    std::fs::write(file("ring.json"), good).unwrap();
    let (_, other) = SigningKey::generate(Algorithm::Es256).unwrap();
    let p8 = file(&format!("{kid}.p8"));
    std::fs::write(&p8, other).unwrap();
    assert!(matches!(open(), Err(KeyError::Corrupt(_))), "another key under its name");
    std::fs::remove_file(&p8).unwrap();
    assert!(matches!(open(), Err(KeyError::Io { .. })));
}

#[test]
fn the_set_is_what_other_libraries_read() {
    for algorithm in Algorithm::ALL {
        let scratch = Scratch::new();
        let ring = KeyRing::open(&scratch.path("keys"), RingConfig { algorithm, ..CONFIG }, NOW).unwrap();
        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&ring.jwks(NOW).body).unwrap();
        let key = ring.signer(NOW).unwrap();
        let jwk = set.find(key.kid()).unwrap();
        assert_eq!(jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap(), key.kid());
    }
}
