//! Routes about all accounts.

use axum::http::{StatusCode, header};
use serde::Deserialize;
use strowger_core::door::Secret;

use super::Api;
use super::call::{Answer, Call, Page};
use super::own::{Items, logged_in, make_key_for};
use super::problem::Problem;
use super::sign_in::secret;
use crate::scope::Scope;
use crate::store::{Account, DigestWish, NewAccount, Patch, Role, Store};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBody {
    username: String,
    #[serde(default, deserialize_with = "maybe_secret")]
    password: Option<Secret<String>>,
    #[serde(default)]
    digest: bool,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    email: String,
    role: Option<Role>,
    enabled: Option<bool>,
    #[serde(default)]
    aors: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PatchBody {
    display_name: Option<String>,
    email: Option<String>,
    role: Option<Role>,
    enabled: Option<bool>,
    aors: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PasswordBody {
    #[serde(deserialize_with = "secret")]
    password: Secret<String>,
    digest: Option<bool>,
}

fn maybe_secret<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Secret<String>>, D::Error> {
    Ok(Option::<String>::deserialize(d)?.map(Secret))
}

fn store(api: &Api) -> &Store {
    api.login.store()
}

/// An API key provisions phones: it makes and changes accounts of the least role. What gives more than that, or makes other
/// keys, takes a login, or else a key would be worth all that its scopes leave out.
fn within_a_key(call: &Call, role: Role) -> Result<(), Problem> {
    let fits = call.caller()?.login || role == Role::User;
    if fits { Ok(()) } else { Err(Problem::login_needed()) }
}

/// The account that the path names, if it may be changed.
fn target(api: &Api, call: &Call) -> Result<Account, Problem> {
    let account = store(api).account(call.param("username")?)?;
    within_a_key(call, account.role)?;
    Ok(account)
}

pub(super) fn list(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let limit = call.limit()?;
    let accounts = store(api).accounts(call.query("after"), limit)?;
    Page::of(accounts, limit, |account: &Account| account.username.clone())
}

pub(super) fn create(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let body: NewBody = call.json()?;
    let new = NewAccount {
        username: body.username,
        password: body.password,
        digest: body.digest,
        display_name: body.display_name,
        email: body.email,
        role: body.role.unwrap_or(Role::User),
        enabled: body.enabled.unwrap_or(true),
        aors: body.aors,
    };
    within_a_key(call, new.role)?;
    let account = store(api).create(&new, call.now)?;
    // The characters of a username need no escape in a path.
    let location = format!("/users/{}", account.username);
    Ok(Answer::json(&account)?.status(StatusCode::CREATED).with(header::LOCATION, &location))
}

pub(super) fn show(api: &Api, call: &Call) -> Result<Answer, Problem> {
    Answer::json(&store(api).account(call.param("username")?)?)
}

pub(super) fn change(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let PatchBody { display_name, email, role, enabled, aors } = call.json()?;
    within_a_key(call, role.unwrap_or(Role::User))?;
    let patch = Patch { display_name, email, role, enabled, aors };
    Answer::json(&store(api).change(&target(api, call)?.username, &patch, call.now)?)
}

pub(super) fn delete(api: &Api, call: &Call) -> Result<Answer, Problem> {
    store(api).delete(&target(api, call)?.username, call.now)?;
    Ok(Answer::nothing())
}

pub(super) fn password(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let body: PasswordBody = call.json()?;
    let digest = match body.digest {
        None => DigestWish::Keep,
        Some(true) => DigestWish::Store,
        Some(false) => DigestWish::Drop,
    };
    store(api).set_password(&target(api, call)?.username, &body.password.0, digest, call.now)?;
    Ok(Answer::nothing())
}

pub(super) fn drop_digest(api: &Api, call: &Call) -> Result<Answer, Problem> {
    store(api).disable_digest(&target(api, call)?.username, call.now)?;
    Ok(Answer::nothing())
}

pub(super) fn logout(api: &Api, call: &Call) -> Result<Answer, Problem> {
    store(api).end_sessions(&target(api, call)?.username, call.now)?;
    Ok(Answer::nothing())
}

pub(super) fn keys(api: &Api, call: &Call) -> Result<Answer, Problem> {
    Answer::json(&Items { items: store(api).api_keys(call.param("username")?)? })
}

pub(super) fn make_key(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let account = store(api).account(call.param("username")?)?;
    // A key of another administrator would be a way around the scopes of one's own.
    let caller = logged_in(call)?;
    let may: Vec<Scope> =
        Scope::of(account.role).into_iter().filter(|scope| caller.scopes.contains(scope)).collect();
    make_key_for(api, call, &account.username, &may)
}

pub(super) fn delete_key(api: &Api, call: &Call) -> Result<Answer, Problem> {
    store(api).delete_api_key(&target(api, call)?.username, call.param("id")?)?;
    Ok(Answer::nothing())
}
