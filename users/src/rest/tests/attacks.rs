//! What attackers send.

use super::*;

async fn log_in(world: &World, username: &str, password: &str, from: [u8; 4]) -> Reply {
    let request = Request::post("/auth/login")
        .header(header::CONTENT_TYPE, "application/json")
        .extension(ConnectInfo(SocketAddr::from((from, 4711))));
    world.send(request, json!({ "username": username, "password": password }).to_string()).await
}

#[tokio::test]
async fn an_unknown_name_and_a_wrong_password_are_told_alike_byte_for_byte() {
    let world = World::new();
    let off = crate::store::Patch { enabled: Some(false), ..Default::default() };
    world.login.store().change("operator", &off, NOW).unwrap();
    let replies = [
        log_in(&world, "user", "wrong wrong", [192, 0, 2, 1]).await,
        log_in(&world, "nobody", "wrong wrong", [192, 0, 2, 2]).await,
        log_in(&world, "operator", PASSWORD, [192, 0, 2, 3]).await,
        log_in(&world, "'; DROP TABLE account; --", PASSWORD, [192, 0, 2, 4]).await,
        log_in(&world, "", "", [192, 0, 2, 5]).await,
        log_in(&world, "user", &"x".repeat(5000), [192, 0, 2, 6]).await,
    ];
    assert_eq!(replies[0].status, StatusCode::UNAUTHORIZED);
    assert!(replies[0].header("www-authenticate").is_some());
    for reply in &replies {
        assert_eq!(reply, &replies[0]);
    }
}

#[tokio::test]
async fn who_guesses_is_told_to_wait_be_the_name_known_or_not() {
    let world = World::new();
    let mut seen = Vec::new();
    for name in ["user", "nobody"] {
        let mut replies = Vec::new();
        for n in 0..7 {
            replies.push(log_in(&world, name, "wrong wrong", [192, 0, 2, n]).await);
        }
        seen.push(replies);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(
        (seen[0][6].status, seen[0][6].header("retry-after")),
        (StatusCode::TOO_MANY_REQUESTS, Some("1"))
    );

    // One source with a list of names and passwords.
    let mut last = StatusCode::OK;
    for n in 0..25 {
        last = log_in(&world, &format!("name{n}"), "wrong wrong", [198, 51, 100, 7]).await.status;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        log_in(&world, "admin", PASSWORD, [198, 51, 100, 7]).await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(log_in(&world, "admin", PASSWORD, [198, 51, 100, 8]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn sources_and_accounts_have_a_rate() {
    let rate = |burst| Rate { per_second: 1, burst, most: 100 };
    let world = World::with(ApiConfig { source: rate(3), ..ApiConfig::default() });
    let ask = async |last: u8| {
        let from = ConnectInfo(SocketAddr::from(([192, 0, 2, last], 4711)));
        world.send(Request::get("/health").extension(from), Body::empty()).await
    };
    for status in [200, 200, 200, 429] {
        assert_eq!(ask(1).await.status, status);
    }
    let refused = ask(1).await;
    assert_eq!((&*refused.problem(), refused.header("retry-after")), ("too-many", Some("1")));
    assert_eq!(ask(2).await.status, 200);
    world.wait(1);
    assert_eq!(ask(1).await.status, 200);

    let many = rate(1000);
    let world = World::with(ApiConfig { source: many, account: rate(2), ..ApiConfig::default() });
    let (one, two) = (world.token("user").await, world.token("user").await);
    for (token, status) in [(&one, 200), (&two, 200), (&one, 429), (&two, 429)] {
        assert_eq!(world.ask(token, "GET", "/me", Value::Null).await.status, status);
    }
    let other = world.token("admin").await;
    assert_eq!(world.ask(&other, "GET", "/me", Value::Null).await.status, 200);
}

#[tokio::test]
async fn paths_lead_nowhere_else() {
    let world = World::new();
    let token = world.token("admin").await;
    for path in [
        "/users/..%2f..%2fetc%2fpasswd",
        "/users/%2e%2e/users",
        "/users/../users",
        "/users/%00",
        "/users/%ff%fe",
        "/users/a%0d%0aSet-Cookie:%20x=1",
        "//users",
        "/users/",
        "/users/user/",
        "/Users",
        "/users/user/password/x",
        "/users/'%20OR%20'1'='1",
        "/users/%25",
        "/me/keys/../../users",
        "/calls/-1",
        "/calls/99999999999999999999",
        "/calls/7%20OR%201=1",
        "/registrations/%0d%0a",
        "/presence/bob",
        "/auth/login/x",
        "/",
    ] {
        let reply = world.ask(&token, "GET", path, Value::Null).await;
        assert!(matches!(reply.status.as_u16(), 404 | 405), "{path}: {}", reply.status);
        assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{path}");
        assert_eq!(reply.header("set-cookie"), None);
    }
    for (method, path) in
        [("POST", "/me"), ("GET", "/auth/login"), ("PUT", "/users"), ("TRACE", "/me"), ("PATCH", "/health")]
    {
        let reply = world.ask(&token, method, path, Value::Null).await;
        assert_eq!((reply.status.as_u16(), &*reply.problem()), (405, "method"), "{method} {path}");
    }
    for query in [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=x",
        "offset=1",
        "limit=1&limit=%ff%00&x[]=1",
        "sort=username;DROP",
    ] {
        let reply = world.ask(&token, "GET", &format!("/users?{query}"), Value::Null).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn bodies_are_small_json_objects_of_known_members() {
    let world = World::new();
    let token = world.token("admin").await;
    let send = async |kind: &str, body: String| {
        let request = Request::post("/users")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, kind);
        world.send(request, body).await.status.as_u16()
    };
    let json = "application/json";
    let huge = format!("{{\"username\":\"{}\"}}", "a".repeat(70_000));
    let deep = format!("{{\"username\":{}1{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let aors: Vec<String> = (0..33).map(|n| format!("u{n}@example.com")).collect();
    for (kind, body, status) in [
        (json, huge, 413),
        (json, deep, 400),
        (json, String::new(), 400),
        (json, "[]".into(), 400),
        (json, format!("[\"x\",\"{PASSWORD}\",false,\"\",\"\",\"admin\",true,[]]"), 400),
        (json, "{\"username\":\"x\"".into(), 400),
        (json, "{\"username\":\"x\",\"username\":\"y\"}".into(), 400),
        (json, "{\"username\":\"x\",\"is_admin\":true}".into(), 400),
        (json, "{\"username\":7}".into(), 400),
        (json, "{\"username\":\"x\",\"role\":\"root\"}".into(), 400),
        (json, "{\"username\":\"x\\u0000\"}".into(), 422),
        (json, "{\"username\":\"x\\r\\nLocation: y\"}".into(), 422),
        (json, "{\"username\":\"x\",\"email\":\"a@b\\r\\nBcc: c@d\"}".into(), 422),
        (json, json!({ "username": "x", "aors": aors }).to_string(), 422),
        ("text/plain", "{\"username\":\"x\"}".into(), 415),
        ("application/x-www-form-urlencoded", "username=x".into(), 415),
        ("", "{\"username\":\"x\"}".into(), 415),
        ("application/json; charset=utf-8", "{\"username\":\"x\"}".into(), 201),
    ] {
        assert_eq!(
            send(kind, body.clone()).await,
            status,
            "{kind} {}",
            body.chars().take(60).collect::<String>()
        );
    }
    // What was sent is not sent back.
    let reply =
        world.ask("", "POST", "/auth/login", json!({ "username": "<script>", "password": [PASSWORD] })).await;
    assert!(
        reply.status == 400 && !reply.body.contains("script") && !reply.body.contains(PASSWORD),
        "{}",
        reply.body
    );
}

#[tokio::test]
async fn credentials_stand_in_one_header_and_nowhere_else() {
    let world = World::new();
    let token = world.token("admin").await;
    let bearer = format!("Bearer {token}");
    let ask = async |values: &[&str], path: &str| {
        let mut request = Request::get(path);
        for value in values {
            request = request.header(header::AUTHORIZATION, *value);
        }
        world.send(request, Body::empty()).await.status.as_u16()
    };
    assert_eq!(ask(&[&bearer], "/me").await, 200);
    assert_eq!(ask(&[&bearer, &bearer], "/me").await, 400);
    assert_eq!(ask(&[], &format!("/me?access_token={token}")).await, 400);
    for value in [
        "Basic YWRtaW46YWRtaW4=",
        "Bearer",
        "Bearer ",
        &token,
        &format!("Bearer  {token}"),
        &format!("{bearer} x"),
        "Bearer \u{e9}",
    ] {
        assert_eq!(ask(&[value], "/me").await, 401, "{value}");
    }
}

#[tokio::test]
async fn every_answer_says_that_it_is_not_to_be_kept_or_guessed_at() {
    let world = World::new();
    for path in ["/health", "/me", "/nothing", "/openapi.json"] {
        let reply = world.ask("", "GET", path, Value::Null).await;
        assert_eq!(
            (reply.header("cache-control"), reply.header("x-content-type-options")),
            (Some("no-store"), Some("nosniff"))
        );
    }
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let world = World::with(ApiConfig { patience: Duration::ZERO, ..ApiConfig::default() });
    let (_runtime, ask) = over_a_socket(&world);
    let reply = ask(
        "POST /auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: 50\r\n\r\n{",
    );
    assert!(reply.starts_with("HTTP/1.1 408 "), "{reply}");
}
