//! Routes about what goes on in the engine.

use axum::http::StatusCode;
use serde_json::json;

use super::Api;
use super::call::{Answer, Call, Page};
use super::exchange::Registration;
use super::own::Items;
use super::problem::Problem;
use crate::store::canonical_aor;

/// The address of record of a path.
fn aor(call: &Call) -> Result<String, Problem> {
    canonical_aor(call.param("aor")?).ok_or_else(Problem::not_found)
}

fn number(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}

/// `after` where things have numbers; 0 if it is not said.
fn after(call: &Call) -> Result<u64, Problem> {
    let after = call.number("after").unwrap_or(Ok(0));
    after.map_err(|_| Problem::bad_request("after: a number"))
}

pub(super) fn health(api: &Api, _: &Call) -> Result<Answer, Problem> {
    let health = api.exchange.health();
    let status = if health.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(Answer::json(&health)?.status(status))
}

pub(super) fn registrations(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let limit = call.limit()?;
    let items = api.exchange.registrations(call.query("after"), limit)?;
    // A page counts addresses of record, of which each may have several phones.
    let mut aors: Vec<&str> = items.iter().map(|item: &Registration| &*item.aor).collect();
    aors.dedup();
    let next = aors.last().filter(|_| aors.len() >= limit).map(|aor| aor.to_string());
    Answer::json(&Page { items, next })
}

pub(super) fn registration(api: &Api, call: &Call) -> Result<Answer, Problem> {
    Answer::json(&Items { items: api.exchange.registration(&aor(call)?)? })
}

pub(super) fn unregister(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let removed = api.exchange.remove_registration(&aor(call)?, call.query("contact"))?;
    Answer::json(&json!({ "removed": removed }))
}

pub(super) fn presence(api: &Api, call: &Call) -> Result<Answer, Problem> {
    Answer::json(&api.exchange.presence(&aor(call)?)?)
}

pub(super) fn subscriptions(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let (after, limit) = (after(call)?, call.limit()?);
    Page::of(api.exchange.subscriptions(after, limit)?, limit, |item| item.id.to_string())
}

pub(super) fn calls(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let (after, limit) = (after(call)?, call.limit()?);
    Page::of(api.exchange.calls(after, limit)?, limit, |call| call.id.to_string())
}

pub(super) fn call(api: &Api, call: &Call) -> Result<Answer, Problem> {
    Answer::json(&api.exchange.call(number(call.param("id")?)?)?)
}

pub(super) fn end_call(api: &Api, call: &Call) -> Result<Answer, Problem> {
    api.exchange.end_call(number(call.param("id")?)?)?;
    Ok(Answer::nothing())
}
