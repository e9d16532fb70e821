//! The REST API: accounts, logins, and what goes on in the engine, over HTTP.
//!
//! A server makes an [`Api`] and serves its [`router`], with
//! [`into_make_service_with_connect_info`](axum::Router::into_make_service_with_connect_info) so that sources are
//! known. Each request passes, in this order: the rate of its source, its credentials, its rights by the table of
//! routes, the rate of its account, the size of its body. Then it runs on a thread that may block.
//!
//! Whatever goes wrong is a problem document (RFC 9457). No answer but the public keys may be kept by a cache.

mod accounts;
mod call;
mod engine;
mod exchange;
mod limit;
mod openapi;
mod own;
mod problem;
mod routes;
mod sign_in;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{ConnectInfo, Query, RawPathParams, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use tokio::sync::Semaphore;

pub use exchange::{Call, Exchange, ExchangeError, Health, Presence, Registration, Subscription};
pub use limit::Rate;
pub use openapi::document as openapi;

use crate::Seconds;
use crate::login::{Login, source};
use crate::scope::Scope;
use crate::store::UserError;
use call::Caller;
use limit::Buckets;
use problem::Problem;
use routes::{ROUTES, Route};

/// How the API is bounded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ApiConfig {
    /// Requests of one source, of whomever.
    pub source: Rate,
    /// Requests of one account.
    pub account: Rate,
    /// The largest body, in bytes.
    pub body: usize,
    /// How long a body may take to come.
    pub patience: Duration,
    /// Requests at work at once.
    pub at_once: usize,
}

impl Default for ApiConfig {
    /// 20 a second of a source, 10 of an account, 64 KiB within 10 s, 64 at once.
    fn default() -> ApiConfig {
        ApiConfig {
            source: Rate { per_second: 20, burst: 100, most: 10_000 },
            account: Rate { per_second: 10, burst: 50, most: 10_000 },
            body: 64 * 1024,
            patience: Duration::from_secs(10),
            at_once: 64,
        }
    }
}

/// What the routes work on.
pub struct Api {
    login: Arc<Login>,
    exchange: Arc<dyn Exchange>,
    clock: Box<dyn Fn() -> Seconds + Send + Sync>,
    config: ApiConfig,
    sources: Buckets,
    accounts: Buckets,
    turns: Arc<Semaphore>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Api {
    /// Over logins and an engine. `clock` says what time it is.
    pub fn new(
        login: Arc<Login>,
        exchange: Arc<dyn Exchange>,
        clock: impl Fn() -> Seconds + Send + Sync + 'static,
        config: ApiConfig,
    ) -> Api {
        Api {
            login,
            exchange,
            clock: Box::new(clock),
            sources: Buckets::new(config.source),
            accounts: Buckets::new(config.account),
            turns: Arc::new(Semaphore::new(config.at_once.max(1))),
            config,
        }
    }

    /// Who asks, by an access token or an API key (RFC 6750 s2.1).
    fn authenticate(&self, headers: &HeaderMap, now: Seconds) -> Result<Caller, Problem> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = values.next().ok_or_else(Problem::unauthenticated)?;
        if values.next().is_some() {
            return Err(Problem::bad_request("more than one Authorization header"));
        }
        let text = value.to_str().map_err(|_| Problem::invalid_token())?;
        let (scheme, credentials) = text.split_once(' ').ok_or_else(Problem::unauthenticated)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Problem::unauthenticated());
        }
        let unknown = |error| match error {
            UserError::NotFound(_) => Problem::invalid_token(),
            other => other.into(),
        };
        let store = self.login.store();
        let (account, names, login) = if crate::store::is_api_key(credentials) {
            let owner = store.api_key_owner(credentials, now).map_err(unknown)?;
            (owner.account, owner.key.scopes, false)
        } else {
            let claims = self.login.verify(credentials, now).map_err(|_| Problem::invalid_token())?;
            let names = claims.scopes().map(Into::into).collect();
            (store.account(&claims.sub).map_err(unknown)?, names, true)
        };
        if !account.enabled {
            return Err(Problem::invalid_token());
        }
        // By the role of now: whoever was made less than he was when he got this may less.
        let may = |scope: &Scope| scope.role() <= account.role;
        let scopes = names.iter().filter_map(|name| Scope::named(name)).filter(may).collect();
        Ok(Caller { account, scopes, login })
    }

    /// For a page that is none of [`router`]'s: the answer to who asks by these headers, if he may not see it. Blocks.
    pub fn refusal(&self, headers: &HeaderMap, scope: Scope) -> Option<Response> {
        let problem = self.caller(headers, scope, (self.clock)()).err()?;
        Some(finish(Err(problem)))
    }

    fn authorize(&self, route: &Route, headers: &HeaderMap, now: Seconds) -> Result<Option<Caller>, Problem> {
        route.scope.map(|scope| self.caller(headers, scope, now)).transpose()
    }

    fn caller(&self, headers: &HeaderMap, scope: Scope, now: Seconds) -> Result<Caller, Problem> {
        let caller = self.authenticate(headers, now)?;
        if !self.accounts.take(caller.account.id, now) {
            return Err(Problem::too_many(1));
        }
        if caller.scopes.contains(&scope) { Ok(caller) } else { Err(Problem::forbidden(scope)) }
    }

    /// A body, if the route takes one.
    async fn body(&self, route: &Route, request: Request) -> Result<Bytes, Problem> {
        if route.takes.is_none() {
            return Ok(Bytes::new());
        }
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        // A form of a foreign page cannot send this type without asking first.
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Problem::not_json());
        }
        let read = axum::body::to_bytes(request.into_body(), self.config.body);
        match tokio::time::timeout(self.config.patience, read).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(_)) => Err(Problem::too_large()),
            Err(_) => Err(Problem::too_slow()),
        }
    }
}

/// The routes of an API.
pub fn router(api: Arc<Api>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let serve =
            move |State(api): State<Arc<Api>>,
                  params: Result<RawPathParams, RawPathParamsRejection>,
                  request: Request| async move { finish(serve(api, route, params, request).await) };
        router = router.route(route.path, on(route.verb.filter(), serve));
    }
    router
        .fallback(async || finish(Err(Problem::not_found())))
        .method_not_allowed_fallback(async || finish(Err(Problem::method())))
        .with_state(api)
}

async fn serve(
    api: Arc<Api>,
    route: &'static Route,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let now = (api.clock)();
    let connection = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let from = connection.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.ip());
    if !api.sources.take(source(from), now) {
        return Err(Problem::too_many(1));
    }
    let params = params.map_err(|_| Problem::not_found())?;
    let params = params.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let query = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
    let Query(query) = query.map_err(|_| Problem::bad_request("the query cannot be read"))?;
    if let Some((name, _)) = query.iter().find(|(name, _)| !route.query.contains(&&**name)) {
        let known = route.query.join(", ");
        let name: String = name.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
        return Err(Problem::bad_request(format!("{name}: not a parameter of this ({known})")));
    }
    let headers = request.headers().clone();
    // Who it is is looked up in the store, which blocks.
    let known = headers.clone();
    let caller = blocking(&api, move |api| api.authorize(route, &known, now)).await?;
    // No turn is taken while a body comes in, or whoever sends slowly would take them all.
    let body = api.body(route, request).await?;
    let call = call::Call { now, from, caller, params, query, headers, body };
    Ok(blocking(&api, move |api| (route.run)(api, &call)).await?.into_response())
}

/// Runs something that blocks, if not too much does already. A thread that panics is an error of ours, told as such.
async fn blocking<T: Send + 'static>(
    api: &Arc<Api>,
    work: impl FnOnce(&Api) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let turn = Arc::clone(&api.turns).try_acquire_owned().map_err(|_| Problem::busy())?;
    let api = Arc::clone(api);
    let work = move || {
        let done = work(&api);
        drop(turn);
        done
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Problem::unavailable()))
}

fn finish(result: Result<Response, Problem>) -> Response {
    let mut response = result.unwrap_or_else(IntoResponse::into_response);
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
