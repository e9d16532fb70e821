//! Routes about one's own account.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use strowger_core::door::Secret;

use super::Api;
use super::call::{Answer, Call, Caller};
use super::problem::Problem;
use super::sign_in::secret;
use crate::Seconds;
use crate::login::LoginError;
use crate::scope::Scope;
use crate::store::{ApiKey, ApiKeyWish, DigestWish, NewApiKey, Patch};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PatchBody {
    display_name: Option<String>,
    email: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PasswordBody {
    #[serde(deserialize_with = "secret")]
    current: Secret<String>,
    #[serde(deserialize_with = "secret")]
    new: Secret<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    name: String,
    scopes: Vec<String>,
    expires: Option<Seconds>,
}

#[derive(Serialize)]
struct NewKeyBody {
    #[serde(flatten)]
    key: ApiKey,
    /// Shown this once.
    api_key: String,
}

#[derive(Serialize)]
pub(super) struct Items<T> {
    pub(super) items: Vec<T>,
}

/// An API key that is out of hand must not be able to make others or to lock its owner out.
pub(super) fn logged_in(call: &Call) -> Result<&Caller, Problem> {
    let caller = call.caller()?;
    if caller.login { Ok(caller) } else { Err(Problem::login_needed()) }
}

pub(super) fn show(_: &Api, call: &Call) -> Result<Answer, Problem> {
    Answer::json(&call.caller()?.account)
}

pub(super) fn change(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let PatchBody { display_name, email } = call.json()?;
    let patch = Patch { display_name, email, ..Patch::default() };
    Answer::json(&api.login.store().change(&call.caller()?.account.username, &patch, call.now)?)
}

pub(super) fn password(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let caller = logged_in(call)?;
    let body: PasswordBody = call.json()?;
    let username = &caller.account.username;
    match api.login.confirm(username, &body.current.0, call.from, call.now) {
        Ok(_) => {}
        // He is logged in: it is not he who is refused.
        Err(LoginError::Refused) => return Err(crate::store::UserError::WrongPassword.into()),
        Err(error) => return Err(error.into()),
    }
    api.login.store().set_password(username, &body.new.0, DigestWish::Keep, call.now)?;
    Ok(Answer::nothing())
}

pub(super) fn keys(api: &Api, call: &Call) -> Result<Answer, Problem> {
    Answer::json(&Items { items: api.login.store().api_keys(&call.caller()?.account.username)? })
}

pub(super) fn make_key(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let caller = logged_in(call)?;
    make_key_for(api, call, &caller.account.username, &caller.scopes)
}

pub(super) fn delete_key(api: &Api, call: &Call) -> Result<Answer, Problem> {
    api.login.store().delete_api_key(&call.caller()?.account.username, call.param("id")?)?;
    Ok(Answer::nothing())
}

pub(super) fn registrations(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let mut items = Vec::new();
    for aor in &call.caller()?.account.aors {
        items.extend(api.exchange.registration(aor)?);
    }
    Answer::json(&Items { items })
}

/// Makes a key that may no more than this.
pub(super) fn make_key_for(api: &Api, call: &Call, username: &str, may: &[Scope]) -> Result<Answer, Problem> {
    let KeyBody { name, scopes, expires } = call.json()?;
    let fits = |name: &String| Scope::named(name).is_some_and(|scope| may.contains(&scope));
    if !scopes.iter().all(fits) {
        return Err(Problem::invalid("scopes", "unknown, or more than may be given"));
    }
    let wish = ApiKeyWish { name, scopes, expires };
    let NewApiKey { key, text } = api.login.store().create_api_key(username, &wish, call.now)?;
    Ok(Answer::json(&NewKeyBody { key, api_key: text.0 })?.status(StatusCode::CREATED))
}
