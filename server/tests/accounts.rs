//! Accounts as an operator and his users meet them: the command line, the REST API, and phones that notice at once.
#![allow(clippy::disallowed_methods)] // Tests of a process have the process's threads.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::desk::desk;
use common::rest::{admin, ask, log_in};
use common::{Folder, Phone, Running, answered, becomes, demo_password};
use rustix::process::Signal;
use serde_json::{Value, json};
use strowger_core::base::hash::DigestAlgorithm;

/// Tokens over UDP, for a phone small enough to be read.
const CONFIG: &str = "[[domain]]\nname = \"example.com\"\n[accounts]\nalgorithm = \"ES256\"\n\
                      [auth.jwt]\nallow_cleartext = true\nauthz_server = \"https://login.example.com/\"\n";

fn with_file(folder: &Folder) -> Running {
    let file = folder.write("strowger.toml", CONFIG);
    Running::local(folder, &["-c", file.to_str().expect("utf-8"), "--http", "127.0.0.1:0"])
}

fn bearer(token: &str) -> String {
    format!("Expires: 600\r\nAuthorization: Bearer {token}\r\n")
}

#[test]
fn a_user_made_over_rest_registers_by_digest_until_he_is_disabled() {
    let folder = Folder::new();
    let server = Running::local(&folder, &["--http", "127.0.0.1:0"]);
    let (http, udp) = (server.http(), server.addr("udp"));
    let token = admin(&folder, http);
    let new = json!({ "username": "carol", "password": "carols secret", "digest": true, "aors": ["carol@localhost"] });
    assert_eq!(ask(http, "POST", "/users", &token, Some(new)).0, 201);
    let register =
        |password: &str| Phone::udp(udp, "carol", "127.0.0.1").register(DigestAlgorithm::Md5, password);
    answered(|| register("carols secret"), 200);
    let (status, found) = ask(http, "GET", "/registrations/carol@localhost", &token, None);
    assert_eq!((status, found["items"].as_array().map(Vec::len)), (200, Some(1)), "{found}");
    assert_eq!(ask(http, "PATCH", "/users/carol", &token, Some(json!({ "enabled": false }))).0, 200);
    answered(|| register("carols secret"), 401);
    let phones = || {
        let (_, found) = ask(http, "GET", "/registrations/carol@localhost", &token, None);
        found["items"].as_array().map_or(0, Vec::len)
    };
    becomes(phones, 0);
    // The demo accounts are accounts like any other.
    let password = demo_password(&folder.path("state"), "1001");
    assert_eq!(log_in(http, "1001", &password).0.split('.').count(), 3);
    assert_eq!(ask(http, "DELETE", "/users/1001", &token, None).0, 204);
    let mut phone = Phone::udp(udp, "1001", "127.0.0.1");
    answered(|| phone.register(DigestAlgorithm::Md5, &password), 401);
}

#[test]
fn a_token_of_a_login_registers_and_calls_until_the_logout_and_until_he_is_disabled() {
    let folder = Folder::new();
    let mut server = with_file(&folder);
    server.wait_for_log("keys fetched");
    let (http, udp) = (server.http(), server.addr("udp"));
    let (added, said) =
        desk(&folder, &["user", "add", "carol", "--password-file", "-", "--json"], "carols secret\n");
    assert!(added && said.contains("\"carol@example.com\""), "{said}");
    let mut phone = Phone::udp(udp, "carol", "example.com");
    // Added by another process: taken over within a second.
    let (first, refresh) = log_in(http, "carol", "carols secret");
    let mut register = |token: &str| phone.ask("REGISTER", &bearer(token));
    answered(|| register(&first), 200);
    let (second, _) = log_in(http, "carol", "carols secret");
    assert!(register(&second).starts_with("SIP/2.0 200 "));
    // A logout ends its own tokens.
    let logout = json!({ "refresh_token": refresh });
    assert_eq!(ask(http, "POST", "/auth/logout", "", Some(logout)).0, 204);
    answered(|| register(&first), 401);
    assert!(register(&second).starts_with("SIP/2.0 200 "));
    // Who calls is known; there is only nobody of that name.
    let call = phone.ask("INVITE", &bearer(&second));
    assert!(call.starts_with("SIP/2.0 404 "), "{call}");
    let mut register = |token: &str| phone.ask("REGISTER", &bearer(token));
    // Disabled, he neither registers nor calls, with whatever token.
    assert_eq!(
        ask(http, "PATCH", "/users/carol", &admin(&folder, http), Some(json!({ "enabled": false }))).0,
        200
    );
    answered(|| register(&second), 401);
    let call = phone.ask("INVITE", &bearer(&second));
    assert!(call.starts_with("SIP/2.0 401 "), "{call}");
    assert_eq!(ask(http, "GET", "/me", &second, None).0, 401);
}

#[test]
fn what_the_desk_changes_holds_at_once_for_phones_and_tokens() {
    let folder = Folder::new();
    let mut server = with_file(&folder);
    server.wait_for_log("keys fetched");
    let (http, udp) = (server.http(), server.addr("udp"));
    let run = |args: &[&str], input: &str| {
        let (good, said) = desk(&folder, args, input);
        assert!(good, "{args:?}: {said}");
    };
    let file = folder.write("password", "daves secret\n");
    let file = file.to_str().expect("utf-8");
    run(&["user", "add", "dave", "--digest", "--password-file", file], "");
    let mut phone = Phone::udp(udp, "dave", "example.com");
    let mut register = |password: &str, status: u16| {
        answered(|| phone.register(DigestAlgorithm::Sha256, password), status);
    };
    let login = |password: &str| {
        let body = json!({ "username": "dave", "password": password });
        ask(http, "POST", "/auth/login", "", Some(body))
    };
    let token = admin(&folder, http);
    let phones = |wanted: usize| {
        let count = || {
            let (_, found) = ask(http, "GET", "/registrations/dave@example.com", &token, None);
            found["items"].as_array().map_or(0, Vec::len)
        };
        becomes(count, wanted);
    };
    register("daves secret", 200);
    phones(1);
    let (mine, _) = log_in(http, "dave", "daves secret");
    assert_eq!(ask(http, "GET", "/me", &mine, None).0, 200);
    run(&["user", "disable", "dave"], "");
    register("daves secret", 401);
    phones(0);
    assert_eq!((ask(http, "GET", "/me", &mine, None).0, login("daves secret").0), (401, 401));
    run(&["user", "enable", "dave"], "");
    register("daves secret", 200);
    run(&["user", "passwd", "dave", "--password-file", "-"], "another secret\n");
    register("daves secret", 401);
    register("another secret", 200);
    assert_eq!((login("daves secret").0, login("another secret").0), (401, 200));
    run(&["user", "aor", "dave", "other@example.com"], "");
    phones(0);
    run(&["user", "rm", "dave"], "");
    register("another secret", 401);
    assert_eq!(login("another secret").0, 401);
}

#[test]
fn accounts_keys_and_what_was_revoked_outlive_a_killed_server() {
    let folder = Folder::new();
    let mut server = with_file(&folder);
    server.wait_for_log("keys fetched");
    let http = server.http();
    let new = json!({ "username": "carol", "password": "carols secret", "aors": ["carol@example.com"] });
    assert_eq!(ask(http, "POST", "/users", &admin(&folder, http), Some(new)).0, 201);
    let (first, refresh) = log_in(http, "carol", "carols secret");
    let (second, _) = log_in(http, "carol", "carols secret");
    let logout = json!({ "refresh_token": refresh });
    assert_eq!(ask(http, "POST", "/auth/logout", "", Some(logout)).0, 204);
    let (_, keys) = ask(http, "GET", "/auth/jwks.json", "", None);
    drop(server); // by SIGKILL

    let mut server = with_file(&folder);
    server.wait_for_log("keys fetched");
    let (http, udp) = (server.http(), server.addr("udp"));
    assert_eq!(ask(http, "GET", "/auth/jwks.json", "", None).1, keys);
    let mut phone = Phone::udp(udp, "carol", "example.com");
    let refused = phone.ask("REGISTER", &bearer(&first));
    assert!(refused.starts_with("SIP/2.0 401 "), "{refused}");
    let ok = phone.ask("REGISTER", &bearer(&second));
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    assert_eq!(ask(http, "GET", "/me", &first, None).0, 401);
    assert_eq!(ask(http, "GET", "/me", &second, None).0, 200);
    log_in(http, "carol", "carols secret");
}

#[test]
fn accounts_beyond_the_limit_are_not_for_phones_and_that_is_said() {
    let folder = Folder::new();
    let file = folder.write("strowger.toml", &format!("{CONFIG}[limits]\naccounts = 2\n"));
    for name in ["carol", "dave", "erin"] {
        let (added, said) =
            desk(&folder, &["user", "add", name, "--digest", "--password-file", "-"], "a long secret\n");
        assert!(added, "{said}");
    }
    let mut server = Running::local(&folder, &["-c", file.to_str().expect("utf-8")]);
    let log = server.wait_for_log("limits.accounts is reached");
    // The administrator has no address of record, and counts for nothing.
    assert!(log.contains("not for phones: 1 accounts"), "{log}");
    let udp = server.addr("udp");
    let register =
        |name: &str| Phone::udp(udp, name, "example.com").register(DigestAlgorithm::Sha256, "a long secret");
    assert!(register("carol").starts_with("SIP/2.0 200 ") && register("dave").starts_with("SIP/2.0 200 "));
    assert!(register("erin").starts_with("SIP/2.0 401 "));
}

/// Phones do not wait until a server has all its wits about it.
#[test]
fn what_was_taken_back_before_a_start_is_worth_nothing_from_the_first_datagram() {
    let folder = Folder::new();
    let file = folder.write("strowger.toml", CONFIG);
    let (config, state) = (file.display().to_string(), folder.path("state").display().to_string());
    let start = |port: u16| {
        let listen = format!("udp:127.0.0.1:{port}");
        Running::start(&[
            "serve",
            "-c",
            &config,
            "--state-dir",
            &state,
            "--listen",
            &listen,
            "--http",
            "127.0.0.1:0",
        ])
    };
    let mut server = start(0);
    server.wait_for_log("keys fetched");
    let (http, udp) = (server.http(), server.addr("udp"));
    for name in ["carol", "dave"] {
        let (added, said) = desk(&folder, &["user", "add", name, "--password-file", "-"], "a long secret\n");
        assert!(added, "{said}");
    }
    let (token, refresh) = log_in(http, "carol", "a long secret");
    let (daves, _) = log_in(http, "dave", "a long secret");
    let mut carol = Phone::udp(udp, "carol", "example.com");
    let mut dave = Phone::udp(udp, "dave", "example.com");
    for (phone, token) in [(&mut carol, &token), (&mut dave, &daves)] {
        answered(|| phone.ask("REGISTER", &bearer(token)), 200);
    }
    let logout = json!({ "refresh_token": refresh });
    assert_eq!(ask(http, "POST", "/auth/logout", "", Some(logout)).0, 204);
    server.signal(Signal::TERM);
    assert!(server.wait().0.success());
    let (disabled, said) = desk(&folder, &["user", "disable", "dave"], "");
    assert!(disabled, "{said}");

    // They ask all the time while it starts.
    let up = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> = [(carol, token.clone()), (dave, daves)]
        .map(|(mut phone, token)| {
            let up = Arc::clone(&up);
            std::thread::spawn(move || {
                let mut answers = Vec::new();
                loop {
                    let last = up.load(Ordering::Relaxed);
                    answers.extend(phone.try_ask("REGISTER", &bearer(&token)));
                    if last && !answers.is_empty() {
                        return answers;
                    }
                }
            })
        })
        .into();
    let server = start(udp.port());
    let admin = admin(&folder, server.http());
    // Whose account was disabled meanwhile has no phone any more.
    let (_, found) = ask(server.http(), "GET", "/registrations/dave@example.com", &admin, None);
    assert_eq!(found["items"], json!([]), "{found}");
    up.store(true, Ordering::Relaxed);
    for answers in asking.into_iter().map(|one| one.join().expect("answered")) {
        // 503 while the keys are on their way from their file.
        let refused =
            |answer: &String| answer.starts_with("SIP/2.0 401 ") || answer.starts_with("SIP/2.0 503 ");
        assert!(answers.iter().all(refused), "{answers:?}");
    }
}

#[test]
fn a_server_takes_the_tokens_of_another_one_by_its_published_keys() {
    let (there, here) = (Folder::new(), Folder::new());
    let issuer = with_file(&there);
    let http = issuer.http();
    let new = json!({ "username": "carol", "password": "carols secret", "aors": ["carol@example.com"] });
    assert_eq!(ask(http, "POST", "/users", &admin(&there, http), Some(new)).0, 201);
    let (token, _) = log_in(http, "carol", "carols secret");
    let (_, claims) = desk(&there, &["token", "verify", "--json"], &token);
    let claims: Value = serde_json::from_str(&claims).expect("JSON");
    let config = format!(
        "[[domain]]\nname = \"example.com\"\n[auth.jwt]\nallow_cleartext = true\n\
         authz_server = \"https://login.example.com/\"\naor_claim = \"aors\"\n\
         [[auth.jwt.issuer]]\nissuer = {}\naudiences = [{}]\njwks = \"http://{http}/auth/jwks.json\"\n",
        claims["iss"], claims["aud"],
    );
    let file = here.write("strowger.toml", &config);
    let mut server = Running::local(&here, &["-c", file.to_str().expect("utf-8")]);
    server.wait_for_log("keys fetched");
    let mut phone = Phone::udp(server.addr("udp"), "carol", "example.com");
    let ok = phone.ask("REGISTER", &bearer(&token));
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}\n{claims}");
    let forged = phone.ask("REGISTER", &bearer(&format!("{token}x")));
    assert!(forged.starts_with("SIP/2.0 401 "), "{forged}");
}

#[test]
fn numbers_that_others_than_this_machine_may_see_are_for_those_with_the_right_to() {
    let folder = Folder::new();
    let file = folder.write("strowger.toml", CONFIG);
    let server = Running::local(&folder, &["-c", file.to_str().expect("utf-8"), "--http", "0.0.0.0:0"]);
    let http = SocketAddr::from(([127, 0, 0, 1], server.http().port()));
    let token = admin(&folder, http);
    let new = json!({ "username": "carol", "password": "carols secret" });
    assert_eq!(ask(http, "POST", "/users", &token, Some(new)).0, 201);
    let (carol, _) = log_in(http, "carol", "carols secret");
    let status = |token: &str| ask(http, "GET", "/metrics", token, None).0;
    assert_eq!((status(""), status("x"), status(&carol), status(&token)), (401, 401, 403, 200));
    assert_eq!(ask(http, "GET", "/health", "", None).0, 200);
}

#[test]
fn every_command_of_the_desk_speaks_json_and_none_takes_a_password_as_an_argument() {
    let folder = Folder::new();
    folder.write("strowger.toml", CONFIG);
    for (args, input) in [
        (&["user", "add", "dave", "--password-file", "-"][..], "daves secret\n"),
        (&["user", "list"], ""),
        (&["user", "passwd", "dave", "--password-file", "-"], "another secret\n"),
        (&["user", "aor", "dave", "dave@example.com"], ""),
        (&["user", "disable", "dave"], ""),
        (&["user", "enable", "dave"], ""),
        (&["token", "issue", "dave"], ""),
        (&["key", "list"], ""),
        (&["key", "rotate"], ""),
        (&["user", "rm", "dave"], ""),
    ] {
        let (good, said) = desk(&folder, &[args, &["--json"]].concat(), input);
        assert!(good && serde_json::from_str::<Value>(&said).is_ok(), "{args:?}: {said}");
        assert!(!said.contains("secret"), "{said}");
    }
    let (good, said) = desk(&folder, &["user", "add", "erin", "--password", "erins secret"], "");
    assert!(!good && said.contains("--password-file"), "{said}");
}

#[test]
fn the_desk_adds_changes_and_lists_accounts_issues_tokens_and_turns_keys() {
    let folder = Folder::new();
    folder.write("strowger.toml", CONFIG);
    let mut out = String::new();
    let mut run = |args: &[&str], input: &str| {
        let (good, said) = desk(&folder, args, input);
        out.push_str(&format!("{} -> {good}\n{said}", args.join(" ")));
        said
    };
    run(
        &["user", "add", "dave", "--aor", "dave@example.com", "--digest", "--password-file", "-"],
        "daves secret\n",
    );
    run(&["user", "add", "erin", "--role", "operator", "--password-file", "-"], "erins secret\n");
    run(&["user", "add", "erin", "--password-file", "-"], "erins secret\n");
    run(&["user", "add", "x y", "--password-file", "-"], "long enough\n");
    run(&["user", "add", "frank", "--password-file", "-"], "short\n");
    run(&["user", "add", "frank"], "");
    run(&["user", "aor", "erin", "erin@example.com", "sip:200@example.com"], "");
    run(&["user", "passwd", "dave", "--password-file", "-"], "another secret\n");
    run(&["user", "disable", "dave"], "");
    run(&["user", "enable", "dave"], "");
    run(&["user", "rm", "nobody"], "");
    run(&["user", "list"], "");
    run(&["user", "rm", "dave"], "");
    insta::assert_snapshot!(out);
    let (good, token) = desk(&folder, &["token", "issue", "erin", "--scope", "sip"], "");
    assert!(good && token.trim().split('.').count() == 3, "{token}");
    let (good, claims) = desk(&folder, &["token", "verify", "--json"], &token);
    let claims: Value = serde_json::from_str(&claims).expect("JSON");
    assert!(good && claims["sub"] == "erin" && claims["scope"] == "sip", "{claims}");
    let (good, refused) = desk(&folder, &["token", "verify"], "a.b.c");
    assert!(!good && refused.contains("not good"), "{refused}");
    let (good, wide) = desk(&folder, &["token", "issue", "erin", "--scope", "accounts:write"], "");
    assert!(!good && wide.contains("scope"), "{wide}");
    let keys = |said: &str| serde_json::from_str::<Value>(said).expect("JSON").as_array().map_or(0, Vec::len);
    assert_eq!(keys(&desk(&folder, &["key", "list", "--json"], "").1), 1);
    assert_eq!(keys(&desk(&folder, &["key", "rotate", "--json"], "").1), 2);
    let jwks = std::fs::read_to_string(folder.path("state").join("jwks.json")).expect("published");
    assert_eq!(jwks.matches("\"kid\"").count(), 2, "the next one is published before it signs");
    assert!(!jwks.contains("\"d\""));
}
