//! Routes for everybody: login and what follows from it, public keys, this API's document.

use axum::http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use strowger_core::door::Secret;

use super::Api;
use super::call::{Answer, Call};
use super::problem::Problem;
use crate::Seconds;
use crate::login::Tokens;

/// A secret text of a body.
pub(super) fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
    String::deserialize(deserializer).map(Secret)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginBody {
    username: String,
    #[serde(deserialize_with = "secret")]
    password: Secret<String>,
    scope: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshBody {
    #[serde(deserialize_with = "secret")]
    refresh_token: Secret<String>,
}

/// RFC 6749 s5.1.
#[derive(Serialize)]
struct TokensBody {
    access_token: String,
    token_type: &'static str,
    expires_in: Seconds,
    refresh_token: String,
    refresh_expires_in: Seconds,
    scope: String,
    username: String,
}

fn tokens(tokens: Tokens) -> Result<Answer, Problem> {
    Answer::json(&TokensBody {
        access_token: tokens.access.0,
        token_type: "Bearer",
        expires_in: tokens.expires_in,
        refresh_token: tokens.refresh.0,
        refresh_expires_in: tokens.refresh_expires_in,
        scope: tokens.scopes.join(" "),
        username: tokens.account.username,
    })
}

pub(super) fn login(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let body: LoginBody = call.json()?;
    let scopes: Option<Vec<String>> =
        body.scope.map(|scope| scope.split(' ').filter(|name| !name.is_empty()).map(Into::into).collect());
    tokens(api.login.password(&body.username, &body.password.0, scopes.as_deref(), call.from, call.now)?)
}

pub(super) fn refresh(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let body: RefreshBody = call.json()?;
    tokens(api.login.refresh(&body.refresh_token.0, call.now)?)
}

pub(super) fn logout(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let body: RefreshBody = call.json()?;
    api.login.logout(&body.refresh_token.0, call.now)?;
    Ok(Answer::nothing())
}

pub(super) fn jwks(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let jwks = api.login.issuer().ring().jwks(call.now);
    // RFC 9110 s13.1.2: compared weakly, and one of a list is enough.
    let known =
        call.headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(
            |value| {
                value
                    .split(',')
                    .map(|tag| tag.trim().trim_start_matches("W/"))
                    .any(|tag| tag == jwks.etag || tag == "*")
            },
        );
    let answer = Answer::text(jwks.body)
        .with(header::ETAG, &jwks.etag)
        .with(header::CACHE_CONTROL, &jwks.cache_control);
    Ok(if known { answer.without_body().status(StatusCode::NOT_MODIFIED) } else { answer })
}

pub(super) fn openapi(_: &Api, _: &Call) -> Result<Answer, Problem> {
    Answer::json(&super::openapi::document())
}
