//! What the REST API shows of a running engine, and does to it: with phones that register, watch, publish and call.

mod common;

use common::dialog::{ask, call, take, with_body};
use common::rest::{admin, log_in};
use common::{Folder, Phone, Running, becomes, rest};
use serde_json::{Value, json};

const CONFIG: &str = "[[domain]]\nname = \"example.com\"\n[accounts]\nalgorithm = \"ES256\"\n\
     [auth.policy]\nregister = \"open\"\npublish = \"open\"\nsubscribe = \"open\"\ninvite = \"open\"\n\
     [presence]\nwatchers = \"everyone\"\n[registrar]\nnat_keepalive = \"0s\"\n";

fn start(folder: &Folder) -> Running {
    let file = folder.write("strowger.toml", CONFIG);
    Running::local(folder, &["-c", file.to_str().expect("utf-8"), "--http", "127.0.0.1:0"])
}

/// A request to bob, whoever sends it.
fn to_bob(request: &str, user: &str) -> String {
    let request = request.replacen("sip:example.com", "sip:bob@example.com", 1);
    request.replace(&format!("To: <sip:{user}@"), "To: <sip:bob@")
}

#[test]
fn what_goes_on_is_shown_and_ended() {
    let folder = Folder::new();
    let server = start(&folder);
    let (http, udp) = (server.http(), server.addr("udp"));
    let token = admin(&folder, http);
    let get = |path: &str| rest::ask(http, "GET", path, &token, None);
    let items = |path: &str| match get(path) {
        (200, mut body) => body["items"].take(),
        other => panic!("{path}: {other:?}"),
    };
    let [mut alice, mut bob] = ["alice", "bob"].map(|user| Phone::udp(udp, user, "example.com"));

    assert!(bob.ask("REGISTER", "Expires: 600\r\nUser-Agent: Lamp 1\r\n").starts_with("SIP/2.0 200 "));
    for path in ["/registrations", "/registrations/bob@example.com"] {
        let found = items(path);
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
        assert_eq!(
            (&found[0]["aor"], &found[0]["user_agent"]),
            (&json!("bob@example.com"), &json!("Lamp 1"))
        );
        assert_eq!(found[0]["contact"], format!("sip:bob@{};transport=udp", bob.local));
        assert_eq!(found[0]["received"], bob.local.to_string());
    }

    let subscribe = alice.request("SUBSCRIBE", "Event: presence\r\nExpires: 600\r\n");
    assert!(ask(&mut alice, &to_bob(&subscribe, "alice")).starts_with("SIP/2.0 200 "));
    take(&mut alice, "NOTIFY");
    let watching = items("/subscriptions");
    let of = |name: &str| watching[0][name].as_str().unwrap_or_default();
    assert_eq!([of("event"), of("target"), of("state")], ["presence", "bob@example.com", "active"]);

    let publish =
        bob.request("PUBLISH", "Event: presence\r\nExpires: 600\r\nContent-Type: application/pidf+xml\r\n");
    let body = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.com\"><tuple id=\"t\"><status>\
                <basic>open</basic></status><note>At the lighthouse</note></tuple></presence>";
    assert!(ask(&mut bob, &with_body(&to_bob(&publish, "bob"), body)).starts_with("SIP/2.0 200 "));
    let (status, presence) = get("/presence/bob@example.com");
    assert_eq!(
        (status, &presence["open"], &presence["note"]),
        (200, &json!(true), &json!("At the lighthouse"))
    );

    call(&mut alice, &mut bob);
    let calls = items("/calls");
    assert_eq!(
        (calls.as_array().map(Vec::len), &calls[0]["stage"]),
        (Some(1), &json!("answered")),
        "{calls}"
    );
    let path = format!("/calls/{}", calls[0]["id"]);
    assert_eq!(get(&path), (200, calls[0].clone()));
    assert_eq!(rest::ask(http, "DELETE", &path, &token, None).0, 204);
    take(&mut alice, "BYE");
    take(&mut bob, "BYE");
    becomes(|| get(&path).0, 404);
    assert_eq!(items("/calls"), json!([]));
    assert_eq!(rest::ask(http, "DELETE", &path, &token, None).0, 404);

    let path = "/registrations/bob@example.com";
    let removed = rest::ask(http, "DELETE", path, &token, None);
    assert!((200..300).contains(&removed.0), "{removed:?}");
    assert_eq!(items(path), json!([]));
}

/// What the document says of who may, on the server that runs, for everything in the document: nobody and every role.
#[test]
fn everything_in_the_document_is_for_those_whom_it_names() {
    let folder = Folder::new();
    let file = folder
        .write("strowger.toml", &format!("{CONFIG}[http]\nsource_rate = 10000\naccount_rate = 10000\n"));
    let server = Running::local(&folder, &["-c", file.to_str().expect("utf-8"), "--http", "127.0.0.1:0"]);
    let http = server.http();
    let token = admin(&folder, http);
    let mut tokens = vec![("nobody", String::new())];
    for role in ["user", "operator"] {
        let new = json!({ "username": role, "password": "a long secret", "role": role });
        assert_eq!(rest::ask(http, "POST", "/users", &token, Some(new)).0, 201);
        tokens.push((role, log_in(http, role, "a long secret").0));
    }
    tokens.push(("admin", token));
    let document: Value = serde_json::from_str(include_str!("../../users/openapi.json")).expect("JSON");
    let (mut asked, mut guarded) = (0, 0);
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let at =
            path.replace("{username}", "nobody").replace("{aor}", "nobody@example.com").replace("{id}", "0");
        for (verb, operation) in operations.as_object().expect("operations") {
            // `Needs the scope `x`: role and above.`
            let needs = operation["description"].as_str().unwrap_or_default();
            let least = needs.split(": ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("nobody");
            let rank = |role: &str| tokens.iter().position(|(name, _)| *name == role).expect("a role");
            guarded += usize::from(rank(least) > 0);
            assert_eq!(rank(least) > 0, operation["security"].is_array(), "{verb} {path}");
            let body = operation["requestBody"].is_object().then(|| json!({ "x": 1 }));
            for (role, token) in &tokens {
                let (status, said) = rest::ask(http, &verb.to_ascii_uppercase(), &at, token, body.clone());
                let open = rank(role) >= rank(least);
                let refused = if *role == "nobody" { status == 401 } else { status == 403 };
                assert_eq!(refused, !open, "{verb} {path} by {role}: {status} {said}");
                asked += 1;
            }
        }
    }
    assert!(asked > 120 && guarded > 25, "{asked} {guarded}");
}

#[test]
fn logins_keys_and_passwords_hold_for_as_long_as_they_should() {
    let folder = Folder::new();
    let server = start(&folder);
    let http = server.http();
    let token = admin(&folder, http);
    let new = json!({ "username": "carol", "password": "carols secret", "role": "operator" });
    assert_eq!(rest::ask(http, "POST", "/users", &token, Some(new)).0, 201);
    let (carol, refresh) = log_in(http, "carol", "carols secret");

    let wish = json!({ "name": "lamps", "scopes": ["engine:read"] });
    let (status, made) = rest::ask(http, "POST", "/me/keys", &carol, Some(wish));
    let key = made["api_key"].as_str().unwrap_or_default();
    assert_eq!(status, 201, "{made}");
    assert_eq!(rest::ask(http, "GET", "/calls", key, None).0, 200);
    assert_eq!(rest::ask(http, "DELETE", "/calls/1", key, None).0, 403);
    assert_eq!(rest::ask(http, "GET", "/me", key, None).0, 403);
    let path = format!("/me/keys/{}", made["id"].as_str().expect("its name"));
    assert_eq!(rest::ask(http, "DELETE", &path, &carol, None).0, 204);
    assert_eq!(rest::ask(http, "GET", "/calls", key, None).0, 401);

    // A refresh token is good once; shown again it ends all that came of it.
    let turn = |refresh: &str| {
        rest::ask(http, "POST", "/auth/refresh", "", Some(json!({ "refresh_token": refresh })))
    };
    let of = |tokens: &Value, name: &str| tokens[name].as_str().expect("a token").to_owned();
    let (status, second) = turn(&refresh);
    assert_eq!(status, 200, "{second}");
    assert_eq!(rest::ask(http, "GET", "/me", &of(&second, "access_token"), None).0, 200);
    assert_eq!(turn(&refresh).0, 401);
    assert_eq!(turn(&of(&second, "refresh_token")).0, 401);
    assert_eq!(rest::ask(http, "GET", "/me", &of(&second, "access_token"), None).0, 401);

    let (carol, _) = log_in(http, "carol", "carols secret");
    let change = json!({ "current": "carols secret", "new": "another secret" });
    assert_eq!(rest::ask(http, "POST", "/me/password", &carol, Some(change)).0, 204);
    assert_eq!(rest::ask(http, "GET", "/me", &carol, None).0, 401);
    log_in(http, "carol", "another secret");
}
