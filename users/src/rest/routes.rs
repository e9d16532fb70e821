//! Every route: what it takes, what it gives, and who may use it.
//!
//! This table is what the router is built from, what rights are checked by, and what the OpenAPI document says.

use axum::routing::MethodFilter;

use super::call::Run;
use super::{accounts, engine, own, sign_in};
use crate::scope::Scope;
use Scope::{AccountsRead, AccountsWrite, EngineRead, EngineWrite, Own};
use Verb::{Delete, Get, Patch, Post, Put};

/// A method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    pub(super) const fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Patch => MethodFilter::PATCH,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// A route.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) verb: Verb,
    pub(super) path: &'static str,
    /// What one must have to use it; `None` is for everybody. The least role follows from it.
    pub(super) scope: Option<Scope>,
    pub(super) run: Run,
    pub(super) summary: &'static str,
    /// The schema of the body.
    pub(super) takes: Option<&'static str>,
    /// The status of success, and the schema of its body.
    pub(super) gives: (u16, Option<&'static str>),
    /// What may stand behind the question mark.
    pub(super) query: &'static [&'static str],
}

const fn route(
    verb: Verb,
    path: &'static str,
    scope: Option<Scope>,
    run: Run,
    gives: (u16, Option<&'static str>),
    summary: &'static str,
) -> Route {
    Route { verb, path, scope, run, summary, takes: None, gives, query: &[] }
}

impl Route {
    const fn takes(self, schema: &'static str) -> Route {
        Route { takes: Some(schema), ..self }
    }

    const fn asks(self, query: &'static [&'static str]) -> Route {
        Route { query, ..self }
    }
}

const PAGED: &[&str] = &["after", "limit"];

/// All of them.
pub(super) static ROUTES: &[Route] = &[
    route(Post, "/auth/login", None, sign_in::login, (200, Some("Tokens")), "Log in by password")
        .takes("Login"),
    route(
        Post,
        "/auth/refresh",
        None,
        sign_in::refresh,
        (200, Some("Tokens")),
        "Take a refresh token for the next one",
    )
    .takes("Refresh"),
    route(Post, "/auth/logout", None, sign_in::logout, (204, None), "End the login of a refresh token")
        .takes("Refresh"),
    route(
        Get,
        "/auth/jwks.json",
        None,
        sign_in::jwks,
        (200, Some("Jwks")),
        "The keys that sign access tokens",
    ),
    route(Get, "/openapi.json", None, sign_in::openapi, (200, Some("Any")), "This document"),
    route(Get, "/health", None, engine::health, (200, Some("Health")), "Whether all is well"),
    route(Get, "/me", Some(Own), own::show, (200, Some("Account")), "One's own account"),
    route(Patch, "/me", Some(Own), own::change, (200, Some("Account")), "Change one's own account")
        .takes("OwnPatch"),
    route(
        Post,
        "/me/password",
        Some(Own),
        own::password,
        (204, None),
        "Change one's own password; ends all logins",
    )
    .takes("OwnPassword"),
    route(Get, "/me/keys", Some(Own), own::keys, (200, Some("ApiKeys")), "One's own API keys"),
    route(
        Post,
        "/me/keys",
        Some(Own),
        own::make_key,
        (201, Some("NewApiKey")),
        "Make an API key of one's own",
    )
    .takes("ApiKeyWish"),
    route(Delete, "/me/keys/{id}", Some(Own), own::delete_key, (204, None), "Delete an API key of one's own"),
    route(
        Get,
        "/me/registrations",
        Some(Own),
        own::registrations,
        (200, Some("Registrations")),
        "One's own phones",
    ),
    route(Get, "/users", Some(AccountsRead), accounts::list, (200, Some("Accounts")), "Accounts by name")
        .asks(PAGED),
    route(Post, "/users", Some(AccountsWrite), accounts::create, (201, Some("Account")), "Make an account")
        .takes("NewAccount"),
    route(Get, "/users/{username}", Some(AccountsRead), accounts::show, (200, Some("Account")), "An account"),
    route(
        Patch,
        "/users/{username}",
        Some(AccountsWrite),
        accounts::change,
        (200, Some("Account")),
        "Change an account",
    )
    .takes("Patch"),
    route(
        Delete,
        "/users/{username}",
        Some(AccountsWrite),
        accounts::delete,
        (204, None),
        "Delete an account",
    ),
    route(
        Put,
        "/users/{username}/password",
        Some(AccountsWrite),
        accounts::password,
        (204, None),
        "Set a password; ends all logins",
    )
    .takes("Password"),
    route(
        Delete,
        "/users/{username}/digest",
        Some(AccountsWrite),
        accounts::drop_digest,
        (204, None),
        "Delete the Digest credentials",
    ),
    route(
        Post,
        "/users/{username}/logout",
        Some(AccountsWrite),
        accounts::logout,
        (204, None),
        "End all logins of an account",
    ),
    route(
        Get,
        "/users/{username}/keys",
        Some(AccountsRead),
        accounts::keys,
        (200, Some("ApiKeys")),
        "API keys of an account",
    ),
    route(
        Post,
        "/users/{username}/keys",
        Some(AccountsWrite),
        accounts::make_key,
        (201, Some("NewApiKey")),
        "Make an API key of an account",
    )
    .takes("ApiKeyWish"),
    route(
        Delete,
        "/users/{username}/keys/{id}",
        Some(AccountsWrite),
        accounts::delete_key,
        (204, None),
        "Delete an API key of an account",
    ),
    route(
        Get,
        "/registrations",
        Some(EngineRead),
        engine::registrations,
        (200, Some("RegistrationPage")),
        "Registered phones",
    )
    .asks(PAGED),
    route(
        Get,
        "/registrations/{aor}",
        Some(EngineRead),
        engine::registration,
        (200, Some("Registrations")),
        "Phones of an address of record",
    ),
    route(
        Delete,
        "/registrations/{aor}",
        Some(EngineWrite),
        engine::unregister,
        (200, Some("Removed")),
        "Remove phones of an address of record",
    )
    .asks(&["contact"]),
    route(
        Get,
        "/presence/{aor}",
        Some(EngineRead),
        engine::presence,
        (200, Some("Presence")),
        "What somebody is",
    ),
    route(
        Get,
        "/subscriptions",
        Some(EngineRead),
        engine::subscriptions,
        (200, Some("SubscriptionPage")),
        "Who watches what",
    )
    .asks(PAGED),
    route(Get, "/calls", Some(EngineRead), engine::calls, (200, Some("CallPage")), "Live calls").asks(PAGED),
    route(Get, "/calls/{id}", Some(EngineRead), engine::call, (200, Some("Call")), "A live call"),
    route(Delete, "/calls/{id}", Some(EngineWrite), engine::end_call, (204, None), "End a live call"),
];
