//! Digest: the vectors of the standards, and phones that answer challenges.

use super::*;
use crate::auth::digest::{Answer, KnownA2};
use crate::auth::info::AuthInfo;
use crate::config::HashedCredential;
use crate::wire::Value;

fn line_of(info: &AuthInfo) -> Vec<u8> {
    Value::written(|value| info.value(value))
}

mod store;
mod uri;

const WRONG: &str = "wrong password";
const RIGHT: &str = "zanzibar";

/// `H(parts joined)` in hexadecimal.
pub(super) fn hex(algorithm: DigestAlgorithm, parts: &[&str]) -> String {
    let parts: Vec<&[u8]> = parts.iter().map(|p| p.as_bytes()).collect();
    let mut out = Vec::new();
    text::push_hex(&hash::digest(algorithm, &parts)[..algorithm.len()], &mut out);
    String::from_utf8(out).expect("hexadecimal")
}

/// A phone's answer, by the letter of RFC 7616 s3.4.
#[derive(Clone)]
pub(super) struct Phone {
    user: String,
    password: &'static str,
    algorithm: DigestAlgorithm,
    session: bool,
    qop: &'static str,
    uri: String,
    method: &'static str,
    body: &'static str,
    cnonce: &'static str,
    nc: u32,
    extra: &'static str,
}

pub(super) fn phone(password: &'static str) -> Phone {
    Phone {
        user: "bob".into(),
        password,
        algorithm: DigestAlgorithm::Sha256,
        session: false,
        qop: "auth",
        uri: "sip:example.com".into(),
        method: "REGISTER",
        body: "",
        cnonce: "0a4f113b",
        nc: 1,
        extra: "",
    }
}

impl Phone {
    fn ha1(&self, nonce: &str) -> String {
        let ha1 = hex(self.algorithm, &[&self.user, ":example.com:", self.password]);
        if self.session { hex(self.algorithm, &[&ha1, ":", nonce, ":", self.cnonce]) } else { ha1 }
    }

    fn response(&self, nonce: &str, method: &str, body: &str) -> String {
        let h = |parts: &[&str]| hex(self.algorithm, parts);
        let ha2 = match self.qop {
            "auth-int" => h(&[method, ":", &self.uri, ":", &h(&[body])]),
            _ => h(&[method, ":", &self.uri]),
        };
        let ha1 = self.ha1(nonce);
        match self.qop {
            "" => h(&[&ha1, ":", nonce, ":", &ha2]),
            qop => h(&[&ha1, ":", nonce, ":", &format!("{:08x}:{}:{qop}", self.nc, self.cnonce), ":", &ha2]),
        }
    }

    pub(super) fn answer(&self, nonce: &str) -> String {
        let Phone { user, algorithm, uri, qop, nc, cnonce, extra, .. } = self;
        let response = self.response(nonce, self.method, self.body);
        let (token, sess) = (algorithm.token(), if self.session { "-sess" } else { "" });
        let mut line = format!(
            "Digest username=\"{user}\", realm=\"example.com\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm={token}{sess}{extra}"
        );
        if !qop.is_empty() {
            write!(line, ", qop={qop}, nc={nc:08x}").expect("memory");
        }
        if !qop.is_empty() || self.session {
            write!(line, ", cnonce=\"{cnonce}\"").expect("memory");
        }
        line
    }

    fn request<'t>(&self, nonce: &str) -> Request<'t> {
        Request { method: self.method, body: self.body, ..register() }.with(self.answer(nonce))
    }
}

fn verdict_of(world: &mut World, phone: &Phone) -> AuthVerdict {
    let nonce = world.nonce();
    why(&world.check(&phone.request(&nonce)))
}

const OK: AuthVerdict = AuthVerdict::Ok(Scheme::Digest);

/// Whether credentials of an example are right.
fn right(line: &str, method: &str, user: &str, realm: &str, password: &str) -> bool {
    let Ok(Credentials::Digest(shown)) = Credentials::parse(line.as_bytes()) else { panic!("{line}") };
    let answer = Answer::read(&shown, true).expect("complete credentials");
    let ha1 = HashedCredential::of(answer.algorithm, user, realm, password);
    let a2 = answer.a2(&mut KnownA2::default(), method.as_bytes(), b"");
    answer.matches(&answer.expected(&answer.proof(&ha1), &a2.request))
}

#[test]
fn the_examples_of_rfc_7616_verify() {
    // RFC 7616 s3.9.1
    for (algorithm, response) in [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ] {
        let line = format!(
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", algorithm={algorithm}, \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, qop=auth, \
             cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", response=\"{response}\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        );
        let check = |password| right(&line, "GET", "Mufasa", "http-auth@example.org", password);
        assert!(check("Circle of Life"), "{algorithm}");
        assert!(!check("Circle of life"), "{algorithm}");
    }
    // RFC 7616 s3.9.2, with the values of its erratum 4897: those printed are not SHA-512/256.
    let jason = "J\u{e4}s\u{f8}n Doe";
    let line = |user: &str| {
        format!(
            "Digest {user}, realm=\"api@example.org\", uri=\"/doe.json\", algorithm=SHA-512-256, \
             nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", nc=00000001, qop=auth, \
             cnonce=\"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v\", \
             response=\"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5\""
        )
    };
    let plain = line("username*=UTF-8''J%C3%A4s%C3%B8n%20Doe");
    let hashed =
        line("username=\"793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b\", userhash=true");
    for line in [plain, hashed] {
        assert!(right(&line, "GET", jason, "api@example.org", "Secret, or not?"), "{line}");
    }
}

#[test]
fn the_example_of_rfc_2617_verifies_with_and_without_qop() {
    let line = |rest: &str| {
        format!(
            "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", uri=\"/dir/index.html\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", {rest}"
        )
    };
    // RFC 2617 s3.5
    let qop =
        line("qop=auth, nc=00000001, cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\"");
    let legacy = line("response=\"670fd8c2df070c60b045671b8b24ff02\"");
    for line in [qop, legacy] {
        assert!(right(&line, "GET", "Mufasa", "testrealm@host.com", "Circle Of Life"), "{line}");
    }
}

#[test]
fn every_algorithm_session_and_qop_verifies() {
    let mut world = world(|config| {
        config.digest.algorithms = DigestAlgorithm::STRONGEST_FIRST.to_vec();
        config.digest.allow_no_qop = true;
    });
    for algorithm in DigestAlgorithm::STRONGEST_FIRST {
        for session in [false, true] {
            // RFC 8760 s2.6 item 7: the hash of an empty body is that of nothing.
            for (qop, body) in [("auth", ""), ("auth-int", ""), ("auth-int", "v=0"), ("", "")] {
                let good = Phone { algorithm, session, qop, body, ..phone(RIGHT) };
                assert_eq!(verdict_of(&mut world, &good), OK, "{algorithm:?} {session} {qop} {body}");
                let bad = Phone { password: WRONG, ..good };
                assert_eq!(
                    verdict_of(&mut world, &bad),
                    AuthVerdict::Wrong,
                    "{algorithm:?} {session} {qop} {body}"
                );
            }
        }
    }
}

#[test]
fn auth_int_covers_the_body() {
    let mut world = world(|_| {});
    let nonce = world.nonce();
    let signed = Phone { qop: "auth-int", body: "v=0", ..phone(RIGHT) };
    let changed = Request { body: "v=1", ..signed.request(&nonce) };
    assert_eq!(why(&world.check(&changed)), AuthVerdict::Wrong);
}

#[test]
fn a_client_without_qop_is_let_in_only_if_configured() {
    let legacy = Phone { qop: "", ..phone(RIGHT) };
    assert_eq!(verdict_of(&mut world(|_| {}), &legacy), AuthVerdict::Malformed);
    let allowed = allowed({
        let mut world = world(|config| config.digest.allow_no_qop = true);
        let nonce = world.nonce();
        world.check(&legacy.request(&nonce))
    });
    assert_eq!(allowed.info, None);
}

#[test]
fn an_unknown_user_cannot_be_told_from_a_wrong_password() {
    let answers = ["bob", "nobody"].map(|user| {
        let mut world = world(|_| {});
        let nonce = world.nonce();
        let phone = Phone { user: user.into(), ..phone(WRONG) };
        match world.check(&phone.request(&nonce)) {
            Verdict::Challenge(challenge, why) => (lines(&world.settings, &challenge), why),
            other => panic!("{other:?}"),
        }
    });
    let [(wrong, why_wrong), (unknown, why_unknown)] = answers;
    // Even the nonces are equal: the draws have the same number.
    assert_eq!(wrong, unknown);
    assert_eq!((why_wrong, why_unknown), (AuthVerdict::Wrong, AuthVerdict::UnknownUser));
    assert!(!wrong[0].contains("stale"));
}

#[test]
fn a_stale_nonce_is_said_to_be_stale_only_to_who_knows_the_password() {
    let mut world = world(|_| {});
    let nonce = world.nonce();
    world.sleep(Duration::from_secs(300));
    let (lines, why) = world.challenged(&phone(RIGHT).request(&nonce));
    assert_eq!(why, AuthVerdict::Stale);
    assert!(lines.iter().all(|line| line.contains(", stale=true")), "{lines:?}");
    let (lines, why) = world.challenged(&phone(WRONG).request(&nonce));
    assert_eq!(why, AuthVerdict::Wrong);
    assert!(!lines[0].contains("stale"), "{lines:?}");
}

#[test]
fn a_nonce_of_another_server_earns_a_plain_challenge() {
    let mut world = world(|_| {});
    for nonce in ["", "dcd98b7102dd2f0e8b11d0f600bfb0c093"] {
        let (lines, why) = world.challenged(&phone(RIGHT).request(nonce));
        assert_eq!(why, AuthVerdict::Missing);
        assert!(!lines[0].contains("stale"), "{lines:?}");
    }
    // RFC 8760 s2.7: a first request may carry empty parameters.
    let empty =
        "Digest username=\"bob\", realm=\"example.com\", nonce=\"\", uri=\"sip:example.com\", response=\"\"";
    assert_eq!(world.challenged(&register().with(empty)).1, AuthVerdict::Missing);
}

#[test]
fn a_nonce_outlives_a_restart_as_stale_when_its_key_is_kept() {
    let keep = |config: &mut Config| config.digest.secret = Secret([9; 32]);
    let nonce = world(keep).nonce();
    let mut after = world(|config| {
        keep(config);
        config.digest.boot_epoch = 1;
    });
    assert_eq!(after.challenged(&phone(RIGHT).request(&nonce)).1, AuthVerdict::Stale);
}

#[test]
fn a_count_is_used_once_and_only_by_a_right_answer() {
    let mut world = world(|_| {});
    let nonce = world.nonce();
    let mut ask = |phone: Phone| why(&world.check(&phone.request(&nonce)));
    assert_eq!(ask(phone(WRONG)), AuthVerdict::Wrong);
    assert_eq!(ask(phone(RIGHT)), OK);
    assert_eq!(ask(phone(RIGHT)), AuthVerdict::Replay);
    assert_eq!(ask(Phone { nc: 3, ..phone(RIGHT) }), OK);
    assert_eq!(ask(Phone { nc: 2, ..phone(RIGHT) }), OK);
    assert_eq!(ask(Phone { nc: 2, ..phone(RIGHT) }), AuthVerdict::Replay);
    assert_eq!(ask(Phone { nc: 0, ..phone(RIGHT) }), AuthVerdict::Replay);
    assert_eq!(world.auth.nonces(), 1);
}

#[test]
fn a_replay_is_challenged_as_stale_and_names_who_was_replayed() {
    let mut world = world(|_| {});
    let nonce = world.nonce();
    let request = phone(RIGHT).request(&nonce);
    let first = allowed(world.check(&request));
    let Verdict::Challenge(challenge, AuthVerdict::Replay) = world.check(&request) else {
        panic!("not a replay")
    };
    assert_eq!(challenge.replayed(), Some(&first.identity));
    assert!(lines(&world.settings, &challenge)[0].contains("stale=true"));
}

#[test]
fn strangers_leave_nothing_behind_and_phones_nothing_after_the_lifetime() {
    let mut world = world(|_| {});
    let nonce = world.nonce();
    world.check(&phone(WRONG).request(&nonce));
    assert_eq!((world.auth.nonces(), world.timers.len()), (0, 0));
    world.check(&phone(RIGHT).request(&nonce));
    assert_eq!((world.auth.nonces(), world.timers.len()), (1, 1));
    world.sleep(Duration::from_secs(301));
    assert_eq!((world.auth.nonces(), world.timers.len()), (0, 0));
}

#[test]
fn what_comes_back_proves_the_password_and_hands_out_the_next_nonce() {
    let mut world = world(|_| {});
    let nonce = world.nonce();
    let first = phone(RIGHT);
    let info = allowed(world.check(&first.request(&nonce))).info.expect("credentials with qop");
    let rspauth = first.response(&nonce, "", "");
    let expected = format!("qop=auth, rspauth=\"{rspauth}\", cnonce=\"0a4f113b\", nc=00000001");
    assert_eq!(String::from_utf8(line_of(&info)), Ok(expected));

    world.sleep(Duration::from_secs(150));
    let second = Phone { nc: 2, ..first };
    let info = allowed(world.check(&second.request(&nonce))).info.expect("credentials with qop");
    let line = String::from_utf8(line_of(&info)).expect("ASCII");
    let next = param(&line, "nextnonce");
    world.sleep(Duration::from_secs(151));
    assert_eq!(why(&world.check(&Phone { nc: 3, ..phone(RIGHT) }.request(&nonce))), AuthVerdict::Stale);
    assert_eq!(why(&world.check(&phone(RIGHT).request(&next))), OK);
}

#[test]
fn rspauth_of_a_session_under_auth_int_covers_an_empty_body() {
    let mut world = world(|_| {});
    let nonce = world.nonce();
    let phone = Phone { qop: "auth-int", session: true, body: "v=0", ..phone(RIGHT) };
    let info = allowed(world.check(&phone.request(&nonce))).info.expect("credentials with qop");
    let line = String::from_utf8(line_of(&info)).expect("ASCII");
    assert_eq!(param(&line, "rspauth"), phone.response(&nonce, "", ""));
}

#[test]
fn the_credentials_for_our_realm_are_used_and_others_passed_over() {
    let mut world = world(|_| {});
    let nonce = world.nonce();
    let other = "Digest username=\"x\", realm=\"elsewhere\", nonce=\"n\", uri=\"sip:x\", response=\"00\"";
    assert_eq!(why(&world.check(&register().with(other))), AuthVerdict::Missing);
    assert_eq!(why(&world.check(&register().with("Basic Ym9iOng="))), AuthVerdict::Missing);
    let ours = phone(RIGHT).answer(&nonce);
    assert_eq!(why(&world.check(&register().with(other).with("Digest ,,=").with(ours))), OK);
}

#[test]
fn an_unknown_algorithm_is_passed_over_for_a_known_one() {
    let mut world = world(|_| {});
    let nonce = world.nonce();
    let aka = phone(RIGHT).answer(&nonce).replace("algorithm=SHA-256", "algorithm=AKAv1-MD5");
    assert_eq!(why(&world.check(&register().with(aka.clone()))), AuthVerdict::NotAllowed);
    assert_eq!(why(&world.check(&register().with(aka).with(phone(RIGHT).answer(&nonce)))), OK);
}

#[test]
fn credentials_that_cannot_be_read_get_400() {
    let mut world = world(|_| {});
    let nonce = world.nonce();
    let good = phone(RIGHT).answer(&nonce);
    let cut = |name: &str| {
        let mut parts: Vec<&str> = good.strip_prefix("Digest ").expect("a scheme").split(", ").collect();
        parts.retain(|part| !part.starts_with(&format!("{name}=")));
        format!("Digest {}", parts.join(", "))
    };
    let bad = [
        cut("username"),
        cut("uri"),
        cut("response"),
        cut("nc"),
        cut("cnonce"),
        cut("qop"),
        format!("{good}, nc=00000002"),
        format!("{good}, username*=UTF-8''bob"),
        good.replace("nc=00000001", "nc=1"),
        good.replace("nc=00000001", "nc=0000000g"),
        good.replace("qop=auth", "qop=auth-conf"),
        good.replace("response=\"", "response=\"00"),
        good.replace("cnonce=\"", "cnonce=\"\u{1}"),
        "Digest username=\"bob".into(),
        "Digest".into(),
    ];
    for line in &bad[..14] {
        let verdict = world.check(&register().with(line.as_str()));
        assert_eq!((status(&verdict), why(&verdict)), (400, AuthVerdict::Malformed), "{line}");
    }
    assert_eq!(why(&world.check(&register().with(bad[14].as_str()))), AuthVerdict::Missing);
}

#[test]
fn quirks_of_phones_are_understood() {
    let mut world = world(|_| {});
    let good = |world: &mut World| phone(RIGHT).answer(&world.nonce());
    type Quirk = fn(String) -> String;
    let quirks: [Quirk; 5] = [
        |line| line.replace("algorithm=SHA-256", "algorithm=\"sha-256\""),
        |line| line.replace("qop=auth", "qop=\"auth\""),
        |line| line.replace("Digest ", "dIGEST\t"),
        |line| line.replace(", ", ","),
        |line| format!("{line}, opaque=\"\", vendor=x"),
    ];
    for (i, quirk) in quirks.into_iter().enumerate() {
        let line = quirk(good(&mut world));
        assert_eq!(why(&world.check(&register().with(line.as_str()))), OK, "quirk {i}: {line}");
    }
    let upper = good(&mut world);
    let (_, response) = upper.split_once("response=\"").expect("a response");
    let response = response.split('"').next().expect("its end").to_owned();
    let upper = upper.replace(&response, &response.to_uppercase());
    assert_eq!(why(&world.check(&register().with(upper))), OK);
}

#[test]
fn a_user_may_be_hidden_in_a_hash() {
    let mut world = world(|config| {
        config.digest.userhash = true;
        config.digest.algorithms = DigestAlgorithm::STRONGEST_FIRST.to_vec();
    });
    for algorithm in DigestAlgorithm::STRONGEST_FIRST {
        for (user, expected) in [("bob", OK), ("eve", AuthVerdict::UnknownUser)] {
            let nonce = world.nonce();
            let phone = Phone { algorithm, extra: ", userhash=true", user: user.into(), ..phone(RIGHT) };
            let hash = hex(algorithm, &[user, ":example.com"]);
            let line = phone
                .answer(&nonce)
                .replace(&format!("username=\"{user}\""), &format!("username=\"{hash}\""));
            assert_eq!(why(&world.check(&register().with(line))), expected, "{algorithm:?} {user}");
        }
    }
}

#[test]
fn a_name_in_extended_notation_or_with_quoted_pairs_is_found() {
    let mut world = world(|_| {});
    for (written, expected) in [
        ("username*=utf-8'en'b%6Fb", OK),
        ("username=\"b\\ob\"", OK),
        ("username*=UTF-8''eve", AuthVerdict::UnknownUser),
        ("username*=ISO-8859-1''bob", AuthVerdict::Malformed),
        ("username*=bob", AuthVerdict::Malformed),
    ] {
        let nonce = world.nonce();
        let line = phone(RIGHT).answer(&nonce).replace("username=\"bob\"", written);
        assert_eq!(why(&world.check(&register().with(line))), expected, "{written}");
    }
}

#[test]
fn an_account_answers_only_by_its_algorithms() {
    let mut world = world(|config| {
        let mut old = account("old");
        old.algorithms = vec![DigestAlgorithm::Md5];
        config.accounts.push(old);
    });
    let who = |algorithm| Phone { user: "old".into(), algorithm, ..phone(RIGHT) };
    assert_eq!(verdict_of(&mut world, &who(DigestAlgorithm::Md5)), OK);
    assert_eq!(verdict_of(&mut world, &who(DigestAlgorithm::Sha256)), AuthVerdict::Wrong);
    let (lines, _) = world.challenged(&Request { who: "sip:old@example.com", ..register() });
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("algorithm=MD5"), "{lines:?}");
}

#[test]
fn a_listener_has_its_own_algorithms_and_takes_no_weaker_one() {
    let mut world = world(|config| config.listeners[0].algorithms = Some(vec![DigestAlgorithm::Sha256]));
    let (lines, _) = world.challenged(&register());
    assert_eq!(lines.len(), 1);
    assert_eq!(verdict_of(&mut world, &phone(RIGHT)), OK);
    let downgraded = Phone { algorithm: DigestAlgorithm::Md5, ..phone(RIGHT) };
    assert_eq!(verdict_of(&mut world, &downgraded), AuthVerdict::Wrong);
}

#[test]
fn a_listener_may_offer_an_algorithm_no_other_has() {
    let mut world = world(|config| {
        config.digest.algorithms = vec![DigestAlgorithm::Sha256];
        config.listeners[0].algorithms = Some(vec![DigestAlgorithm::Md5]);
    });
    let old = Phone { algorithm: DigestAlgorithm::Md5, ..phone(RIGHT) };
    assert_eq!(verdict_of(&mut world, &old), OK);
}

#[test]
fn a_disabled_account_does_not_exist() {
    let mut world = world(|config| config.accounts[0].disabled = true);
    assert_eq!(verdict_of(&mut world, &phone(RIGHT)), AuthVerdict::UnknownUser);
}

#[test]
fn every_digest_challenge() {
    let mut all = String::new();
    let mut show = |title: &str, mut world: World, request: Request<'_>| {
        let (lines, why) = world.challenged(&request);
        writeln!(all, "{title}: {why:?}\n  {}\n", lines.join("\n  ")).expect("memory");
    };
    show("as configured by default", world(|_| {}), register());
    show(
        "all algorithms",
        world(|c| c.digest.algorithms = DigestAlgorithm::STRONGEST_FIRST.to_vec()),
        register(),
    );
    show("with auth-int", world(|c| c.digest.auth_int = true), register());
    show("with userhash", world(|c| c.digest.userhash = true), register());
    let mut stale = world(|_| {});
    let nonce = stale.nonce();
    stale.sleep(Duration::from_secs(300));
    show("stale", stale, phone(RIGHT).request(&nonce));
    let mut used = world(|_| {});
    let nonce = used.nonce();
    used.check(&phone(RIGHT).request(&nonce));
    show("replayed", used, phone(RIGHT).request(&nonce));
    insta::assert_snapshot!(all);
}

#[test]
fn every_authentication_info() {
    let mut all = String::new();
    let mut show = |title: &str, wait: u64, phone: Phone| {
        let mut world = world(|config| config.digest.allow_no_qop = true);
        let nonce = world.nonce();
        world.sleep(Duration::from_secs(wait));
        let info = allowed(world.check(&phone.request(&nonce))).info;
        let line = info.map_or("none".into(), |info| String::from_utf8(line_of(&info)).expect("ASCII"));
        writeln!(all, "{title}\n  {line}\n").expect("memory");
    };
    show("SHA-256", 0, phone(RIGHT));
    show("MD5", 0, Phone { algorithm: DigestAlgorithm::Md5, ..phone(RIGHT) });
    show("auth-int", 0, Phone { qop: "auth-int", ..phone(RIGHT) });
    show("with the next nonce", 150, phone(RIGHT));
    show("without qop", 0, Phone { qop: "", ..phone(RIGHT) });
    show("without qop, with the next nonce", 150, Phone { qop: "", ..phone(RIGHT) });
    insta::assert_snapshot!(all);
}

#[test]
fn what_is_remembered_of_one_request_never_serves_another() {
    let mut world = world(|config| config.digest.allow_no_qop = true);
    let long = format!("sip:example.com;x={}", "y".repeat(100));
    let register = phone(RIGHT);
    let invite = Phone { method: "INVITE", ..phone(RIGHT) };
    let md5 = Phone { algorithm: DigestAlgorithm::Md5, ..phone(RIGHT) };
    let sealed = Phone { qop: "auth-int", body: "v=0", ..phone(RIGHT) };
    let other = Phone { uri: "sip:192.0.2.1".into(), ..phone(RIGHT) };
    let long = Phone { uri: long, ..phone(RIGHT) };
    let bare = Phone { qop: "", ..phone(RIGHT) };
    for _ in 0..2 {
        for phone in [&register, &invite, &md5, &sealed, &other, &long, &bare, &register] {
            assert_eq!(verdict_of(&mut world, phone), OK, "{} {} {}", phone.method, phone.uri, phone.qop);
        }
    }
    // The bytes of method and URI together are the same here.
    let nonce = world.nonce();
    let swapped = Phone { method: "REGISTERsip:", uri: "example.com".into(), ..phone(RIGHT) };
    let line = swapped.answer(&nonce).replace("uri=\"example.com\"", "uri=\"sip:example.com\"");
    assert_eq!(why(&world.check(&super::register().with(line))), AuthVerdict::Wrong);
}
