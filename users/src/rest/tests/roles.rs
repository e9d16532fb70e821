//! Who may use which route: the whole table.

use super::*;
use crate::store::{ApiKeyWish, Patch};

/// A request to a route that does no harm if it gets through: to nobody, with a body that says nothing.
async fn knock(world: &World, route: &Route, token: &str) -> Reply {
    let path = route
        .path
        .replace("{username}", "nobody")
        .replace("{aor}", "nobody@example.com")
        .replace("{id}", "0");
    let body = if route.takes.is_some() { json!({ "x": 1 }) } else { Value::Null };
    world.ask(token, route.verb.name(), &path, body).await
}

/// `-` nobody known, `no` not allowed, `yes` it got through.
fn verdict(reply: &Reply) -> &'static str {
    match (reply.status.as_u16(), &*reply.problem()) {
        (401, "unauthenticated" | "invalid-token") => "-",
        (403, "forbidden") => "no",
        (401 | 403 | 429, other) => panic!("{other}"),
        _ => "yes",
    }
}

#[tokio::test]
async fn each_route_is_for_those_who_may_use_it() {
    let world = World::new();
    let mut table = String::from("route                                     nobody user   operat admin\n");
    let mut tokens = vec![String::new()];
    for role in Role::ALL {
        tokens.push(world.token(role.name()).await);
    }
    for route in ROUTES {
        table.push_str(&format!("{:<41}", format!("{} {}", route.verb.name(), route.path)));
        for (n, token) in tokens.iter().enumerate() {
            let verdict = verdict(&knock(&world, route, token).await);
            let expected = match (route.scope, n.checked_sub(1).map(|n| Role::ALL[n])) {
                (None, _) => "yes",
                (Some(_), None) => "-",
                (Some(scope), Some(role)) if scope.role() <= role => "yes",
                _ => "no",
            };
            assert_eq!(verdict, expected, "{} {} by {n}", route.verb.name(), route.path);
            table.push_str(&format!(" {verdict:<6}"));
        }
        table.push('\n');
    }
    let table: Vec<&str> = table.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(table.join("\n"));
}

#[tokio::test]
async fn a_key_opens_the_routes_of_its_scope_and_no_others() {
    let world = World::new();
    for scope in Scope::ALL {
        let wish = ApiKeyWish { name: "k".into(), scopes: vec![scope.name().into()], expires: None };
        let key = world.login.store().create_api_key("admin", &wish, NOW).unwrap().text.0;
        let body = json!({ "username": "admin", "password": PASSWORD, "scope": scope.name() });
        let login = world.ask("", "POST", "/auth/login", body).await.json();
        for token in [&*key, login["access_token"].as_str().unwrap()] {
            for route in ROUTES {
                let expected = if route.scope.is_none_or(|wanted| wanted == scope) { "yes" } else { "no" };
                let reply = knock(&world, route, token).await;
                if (reply.status.as_u16(), &*reply.problem()) == (403, "login-needed") {
                    assert_eq!((expected, token), ("yes", &*key));
                    continue;
                }
                assert_eq!(verdict(&reply), expected, "{} {} with {scope:?}", route.verb.name(), route.path);
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_good_any_more_opens_nothing() {
    let world = World::new();
    let wish = ApiKeyWish { name: "k".into(), scopes: vec!["own".into()], expires: Some(NOW + 100) };
    let key = |name: &str| world.login.store().create_api_key(name, &wish, NOW).unwrap().text.0;
    let (off_key, gone_key, old_key) = (key("user"), key("operator"), key("admin"));
    let (off, gone, out, old) = (
        world.token("user").await,
        world.token("operator").await,
        world.login("admin").await,
        world.token("admin").await,
    );
    let disabled = Patch { enabled: Some(false), ..Patch::default() };
    world.login.store().change("user", &disabled, NOW).unwrap();
    world.login.store().delete("operator", NOW).unwrap();
    let body = json!({ "refresh_token": out["refresh_token"] });
    assert_eq!(world.ask("", "POST", "/auth/logout", body).await.status, StatusCode::NO_CONTENT);
    let out = out["access_token"].as_str().unwrap();
    for route in ROUTES.iter().filter(|route| route.scope.is_some()) {
        for token in [&*off, &gone, out, &off_key, &gone_key, "", "x", "a.b.c"] {
            assert_eq!(verdict(&knock(&world, route, token).await), "-", "{}", route.path);
        }
        assert_ne!(verdict(&knock(&world, route, &old).await), "-");
    }
    world.wait(630);
    for route in ROUTES.iter().filter(|route| route.scope.is_some()) {
        for token in [&old, &old_key] {
            assert_eq!(verdict(&knock(&world, route, token).await), "-", "{}", route.path);
        }
    }
}

#[tokio::test]
async fn nobody_gives_himself_more_than_he_has() {
    let world = World::new();
    let (user, operator) = (world.token("user").await, world.token("operator").await);
    for body in
        [json!({ "role": "admin" }), json!({ "aors": ["admin@example.com"] }), json!({ "enabled": true })]
    {
        assert_eq!(world.ask(&user, "PATCH", "/me", body.clone()).await.status, StatusCode::BAD_REQUEST);
        for token in [&user, &operator] {
            for name in ["user", "operator", "admin", "USER"] {
                let reply = world.ask(token, "PATCH", &format!("/users/{name}"), body.clone()).await;
                assert_eq!(reply.status, StatusCode::FORBIDDEN);
            }
        }
    }
    let wish = |scope: &str| json!({ "name": "k", "scopes": [scope] });
    for scope in ["accounts:write", "engine:read", "x", "own accounts:write"] {
        let reply = world.ask(&user, "POST", "/me/keys", wish(scope)).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{scope}");
    }
    // A key makes no keys, and a narrow login no wide ones.
    let reply = world.ask(&user, "POST", "/me/keys", wish("own")).await;
    assert_eq!(reply.status, StatusCode::CREATED);
    let key = reply.json()["api_key"].as_str().unwrap().to_string();
    for (path, body) in [
        ("/me/keys", wish("own")),
        ("/me/password", json!({ "current": PASSWORD, "new": "another password" })),
    ] {
        assert_eq!(world.ask(&key, "POST", path, body).await.problem(), "login-needed");
    }
    let body = json!({ "username": "admin", "password": PASSWORD, "scope": "own accounts:write" });
    let narrow = world.ask("", "POST", "/auth/login", body).await.json();
    let narrow = narrow["access_token"].as_str().unwrap();
    for path in ["/me/keys", "/users/admin/keys", "/users/operator/keys"] {
        let reply = world.ask(narrow, "POST", path, wish("engine:write")).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
    }
}

#[tokio::test]
async fn a_key_manages_phones_and_nobody_who_may_more() {
    let world = World::new();
    let wish =
        ApiKeyWish { name: "k".into(), scopes: vec!["accounts:write".into()], expires: Some(NOW + 60) };
    let key = world.login.store().create_api_key("admin", &wish, NOW).unwrap().text.0;
    let made = |name: &str, role: &str| json!({ "username": name, "password": PASSWORD, "role": role });
    let ask = async |verb, path: &str, body| world.ask(&key, verb, path, body).await;
    assert_eq!(ask("POST", "/users", made("phone", "user")).await.status, StatusCode::CREATED);
    let changed = ask("PATCH", "/users/phone", json!({ "display_name": "Desk" })).await;
    assert_eq!(changed.json()["display_name"], "Desk");
    let password = json!({ "password": "another password" });
    assert_eq!(ask("PUT", "/users/phone/password", password.clone()).await.status, StatusCode::NO_CONTENT);
    for role in ["operator", "admin"] {
        assert_eq!(ask("POST", "/users", made("more", role)).await.problem(), "login-needed");
        let more = json!({ "role": role });
        assert_eq!(ask("PATCH", "/users/phone", more).await.problem(), "login-needed");
    }
    // Its own administrator, and others.
    let keys = json!({ "name": "k", "scopes": ["accounts:write"] });
    for name in ["admin", "operator"] {
        let of = |rest: &str| format!("/users/{name}{rest}");
        assert_eq!(ask("PATCH", &of(""), json!({ "enabled": false })).await.problem(), "login-needed");
        assert_eq!(ask("PUT", &of("/password"), password.clone()).await.problem(), "login-needed");
        assert_eq!(ask("POST", &of("/keys"), keys.clone()).await.problem(), "login-needed");
        assert_eq!(ask("POST", &of("/logout"), Value::Null).await.problem(), "login-needed");
        assert_eq!(ask("DELETE", &of("/digest"), Value::Null).await.problem(), "login-needed");
        assert_eq!(ask("DELETE", &of("/keys/1"), Value::Null).await.problem(), "login-needed");
        assert_eq!(ask("DELETE", &of(""), Value::Null).await.problem(), "login-needed");
    }
    assert_eq!(ask("POST", "/users/phone/keys", keys).await.problem(), "login-needed");
    assert_eq!(ask("DELETE", "/users/phone", Value::Null).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn who_was_made_less_may_less_with_what_he_has() {
    let world = World::new();
    let wish =
        ApiKeyWish { name: "k".into(), scopes: vec!["own".into(), "accounts:read".into()], expires: None };
    let key = world.login.store().create_api_key("operator", &wish, NOW).unwrap().text.0;
    let token = world.token("operator").await;
    for token in [&key, &token] {
        assert_eq!(world.ask(token, "GET", "/users", Value::Null).await.status, StatusCode::OK);
    }
    let admin = world.token("admin").await;
    let reply = world.ask(&admin, "PATCH", "/users/operator", json!({ "role": "user" })).await;
    assert_eq!(reply.json()["role"], "user");
    assert_eq!(world.ask(&token, "GET", "/users", Value::Null).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.ask(&key, "GET", "/users", Value::Null).await.status, StatusCode::FORBIDDEN);
    assert_eq!(world.ask(&key, "GET", "/me", Value::Null).await.status, StatusCode::OK);
}
