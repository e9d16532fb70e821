//! The REST API, asked over plain HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use super::{Folder, PATIENCE};

/// A request over plain HTTP: status, and the body as JSON.
pub(crate) fn ask(
    to: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let mut stream = TcpStream::connect(to).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let bearer = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{bearer}{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

pub(crate) fn log_in(to: SocketAddr, username: &str, password: &str) -> (String, String) {
    let body = json!({ "username": username, "password": password });
    let (status, tokens) = ask(to, "POST", "/auth/login", "", Some(body));
    assert_eq!(status, 200, "{tokens}");
    let of = |name: &str| tokens[name].as_str().expect("a token").to_owned();
    (of("access_token"), of("refresh_token"))
}

pub(crate) fn admin(folder: &Folder, to: SocketAddr) -> String {
    let password =
        std::fs::read_to_string(folder.path("state").join("admin.txt")).expect("the first password");
    log_in(to, "admin", password.trim()).0
}
