//! What people do with it.

use super::*;

#[tokio::test]
async fn an_account_is_made_used_and_taken_away() {
    let world = World::new();
    let admin = world.token("admin").await;
    let new = json!({
        "username": "bob", "password": PASSWORD, "digest": true, "display_name": "Bob",
        "aors": ["sip:bob@Example.com"]
    });
    let made = world.ask(&admin, "POST", "/users", new.clone()).await;
    assert_eq!((made.status, made.header("location")), (StatusCode::CREATED, Some("/users/bob")));
    let bob = made.json();
    assert_eq!(
        (&bob["aors"][0], &bob["digest"], &bob["role"]),
        (&json!("bob@example.com"), &json!(true), &json!("user"))
    );
    assert!(!made.body.contains(PASSWORD) && !made.body.contains("argon2"));
    let again = world.ask(&admin, "POST", "/users", new).await;
    assert_eq!((again.status, &again.json()["field"]), (StatusCode::CONFLICT, &json!("username")));

    let login = world.login("bob").await;
    let token = login["access_token"].as_str().unwrap();
    assert_eq!(world.ask(token, "GET", "/me", Value::Null).await.json(), bob);
    let phones = world.ask(token, "GET", "/me/registrations", Value::Null).await;
    assert_eq!(phones.json()["items"][0]["aor"], "bob@example.com");
    let mail = world.ask(token, "PATCH", "/me", json!({ "email": "bob@example.com" })).await;
    assert_eq!(mail.json()["email"], "bob@example.com");

    let off = world.ask(&admin, "PATCH", "/users/bob", json!({ "enabled": false })).await;
    assert_eq!(off.json()["enabled"], false);
    let refused = world.ask(token, "GET", "/me", Value::Null).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(refused.header("www-authenticate").unwrap().contains("invalid_token"));
    let refresh = json!({ "refresh_token": login["refresh_token"] });
    assert_eq!(world.ask("", "POST", "/auth/refresh", refresh).await.problem(), "login");

    assert_eq!(world.ask(&admin, "DELETE", "/users/bob", Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.ask(&admin, "GET", "/users/bob", Value::Null).await.problem(), "not-found");
    assert_eq!(world.ask(&admin, "DELETE", "/users/admin", Value::Null).await.problem(), "last-admin");
}

#[tokio::test]
async fn a_login_is_refreshed_and_an_old_token_ends_it() {
    let world = World::new();
    let first = world.login("user").await;
    assert_eq!((&first["token_type"], &first["expires_in"]), (&json!("Bearer"), &json!(600)));
    world.wait(500);
    let refresh = |login: &Value| json!({ "refresh_token": login["refresh_token"] });
    let second = world.ask("", "POST", "/auth/refresh", refresh(&first)).await;
    assert_eq!((second.status, second.header("cache-control")), (StatusCode::OK, Some("no-store")));
    let second = second.json();
    let works = async |login: &Value| {
        let token = login["access_token"].as_str().unwrap();
        world.ask(token, "GET", "/me", Value::Null).await.status == StatusCode::OK
    };
    assert!(works(&first).await && works(&second).await);
    assert_eq!(world.ask("", "POST", "/auth/refresh", refresh(&first)).await.problem(), "login");
    assert_eq!(world.ask("", "POST", "/auth/refresh", refresh(&second)).await.problem(), "login");
    assert!(!works(&first).await && !works(&second).await);
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_it_and_ends_what_was() {
    let world = World::new();
    let token = world.token("user").await;
    let change = |current: &str, new: &str| json!({ "current": current, "new": new });
    let wrong = world.ask(&token, "POST", "/me/password", change("wrong wrong", "another password")).await;
    assert_eq!(wrong.problem(), "wrong-password");
    let short = world.ask(&token, "POST", "/me/password", change(PASSWORD, "short")).await;
    assert_eq!(
        (short.status, &short.json()["field"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("password"))
    );
    let done = world.ask(&token, "POST", "/me/password", change(PASSWORD, "another password")).await;
    assert_eq!(done.status, StatusCode::NO_CONTENT);
    assert_eq!(world.ask(&token, "GET", "/me", Value::Null).await.status, StatusCode::UNAUTHORIZED);

    let admin = world.token("admin").await;
    let body = json!({ "password": PASSWORD, "digest": true });
    assert_eq!(world.ask(&admin, "PUT", "/users/user/password", body).await.status, StatusCode::NO_CONTENT);
    world.login("user").await;
    let shown = world.ask(&admin, "GET", "/users/user", Value::Null).await;
    assert_eq!(shown.json()["digest"], true);
    assert_eq!(
        world.ask(&admin, "DELETE", "/users/user/digest", Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(world.ask(&admin, "GET", "/users/user", Value::Null).await.json()["digest"], false);
}

#[tokio::test]
async fn an_api_key_is_made_used_and_deleted() {
    let world = World::new();
    let token = world.token("operator").await;
    let wish = json!({ "name": "dashboard", "scopes": ["engine:read"], "expires": NOW + 50 });
    let made = world.ask(&token, "POST", "/me/keys", wish).await.json();
    let key = made["api_key"].as_str().unwrap();
    assert_eq!(world.ask(key, "GET", "/calls", Value::Null).await.json()["items"][0]["id"], 7);
    assert_eq!(world.ask(key, "DELETE", "/calls/7", Value::Null).await.problem(), "forbidden");
    let listed = world.ask(&token, "GET", "/me/keys", Value::Null).await;
    assert_eq!((&listed.json()["items"][0]["last_used"], listed.body.contains(key)), (&json!(NOW), false));
    let path = format!("/me/keys/{}", made["id"].as_str().unwrap());
    assert_eq!(world.ask(&token, "DELETE", &path, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.ask(&token, "DELETE", &path, Value::Null).await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.ask(key, "GET", "/calls", Value::Null).await.problem(), "invalid-token");
}

#[tokio::test]
async fn an_operator_sees_what_goes_on_and_may_end_it() {
    let world = World::new();
    let token = world.token("operator").await;
    let get = async |path: &str| world.ask(&token, "GET", path, Value::Null).await;
    let page = get("/registrations?limit=2").await.json();
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (2, &json!("bob@example.com")));
    assert_eq!(
        get("/registrations?after=bob@example.com").await.json(),
        json!({ "items": [], "next": null })
    );
    assert_eq!(
        get("/registrations/sip%3Abob@EXAMPLE.com").await.json()["items"][0]["aor"],
        "bob@example.com"
    );
    assert_eq!(get("/presence/bob@example.com").await.json()["open"], true);
    assert_eq!(get("/presence/eve@example.com").await.status, StatusCode::NOT_FOUND);
    for (page, ids, next) in [
        ("", vec![4, 9], Value::Null),
        ("?limit=1", vec![4], json!("4")),
        ("?limit=1&after=4", vec![9], json!("9")),
        ("?after=9", vec![], Value::Null),
    ] {
        let found = get(&format!("/subscriptions{page}")).await.json();
        let items = found["items"].as_array().unwrap().iter();
        assert_eq!(items.map(|one| one["id"].as_u64().unwrap()).collect::<Vec<_>>(), ids, "{page}");
        assert_eq!(found["next"], next, "{page}");
    }
    assert_eq!(get("/subscriptions?after=x").await.problem(), "bad-request");
    assert_eq!(get("/calls?after=7").await.json()["items"], json!([]));
    assert_eq!(get("/calls/7").await.json()["id"], 7);
    assert_eq!(get("/calls/8").await.status, StatusCode::NOT_FOUND);
    assert_eq!(get("/health").await.json(), json!({ "ok": true, "status": "ok" }));
    let delete = async |path: &str| world.ask(&token, "DELETE", path, Value::Null).await;
    assert_eq!(delete("/calls/7").await.status, StatusCode::NO_CONTENT);
    assert_eq!(delete("/registrations/bob@example.com?contact=sip%3Ab%401.2.3.4").await.json()["removed"], 1);
    let done = world.fake.done.lock().unwrap().clone();
    assert_eq!(done, ["end 7", "unregister bob@example.com Some(\"sip:b@1.2.3.4\")"]);
}

#[tokio::test]
async fn accounts_are_listed_by_pages() {
    let world = World::new();
    let token = world.token("operator").await;
    let page = world.ask(&token, "GET", "/users?limit=2", Value::Null).await.json();
    assert_eq!((&page["items"][0]["username"], &page["next"]), (&json!("admin"), &json!("operator")));
    let page = world.ask(&token, "GET", "/users?limit=2&after=operator", Value::Null).await.json();
    assert_eq!((&page["items"][0]["username"], &page["next"]), (&json!("user"), &Value::Null));
}

#[tokio::test]
async fn the_public_keys_may_be_kept_and_asked_for_again_cheaply() {
    let world = World::new();
    let first = world.ask("", "GET", "/auth/jwks.json", Value::Null).await;
    assert_eq!(first.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(first.json()["keys"][0]["crv"], "Ed25519");
    let etag = first.header("etag").unwrap();
    for known in [etag.to_string(), format!("\"x\", W/{etag}")] {
        let request = Request::get("/auth/jwks.json").header(header::IF_NONE_MATCH, known);
        let again = world.send(request, Body::empty()).await;
        assert_eq!(
            (again.status, &*again.body, again.header("etag")),
            (StatusCode::NOT_MODIFIED, "", Some(etag))
        );
    }
    world.login.issuer().ring().rotate(NOW).unwrap();
    let request = Request::get("/auth/jwks.json").header(header::IF_NONE_MATCH, etag);
    let rotated = world.send(request, Body::empty()).await;
    assert_eq!((rotated.status, rotated.json()["keys"].as_array().unwrap().len()), (StatusCode::OK, 2));
}

#[test]
fn it_is_served_over_a_socket() {
    let world = World::new();
    let (_runtime, ask) = over_a_socket(&world);
    let body = json!({ "username": "user", "password": PASSWORD }).to_string();
    let login = ask(&format!(
        "POST /auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(login.starts_with("HTTP/1.1 200 OK\r\n"), "{login}");
    let body: Value = serde_json::from_str(login.split_once("\r\n\r\n").unwrap().1).unwrap();
    let token = body["access_token"].as_str().unwrap();
    let me = ask(&format!(
        "GET /me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: bearer {token}\r\n\r\n"
    ));
    assert!(me.starts_with("HTTP/1.1 200 OK\r\n") && me.contains("\"username\":\"user\""), "{me}");
    let long = ask(&format!(
        "GET /me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        "a".repeat(9000)
    ));
    assert!(long.starts_with("HTTP/1.1 401"), "{long}");
}
