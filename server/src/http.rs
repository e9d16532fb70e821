//! `/metrics`, `/health` and the REST API, on loopback and in clear text unless told otherwise.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use strowger_shell::tls::TlsServer;
use strowger_tokio::Handle;
use strowger_users::rest::{self, Api, Exchange, Health};
use strowger_users::scope::Scope;
use tokio::net::TcpListener;

use crate::exchange::Switchboard;
use crate::files;
use crate::links::{Limits, Links, Peer};
use crate::logs::Lost;
use crate::metrics::Export;

/// An engine that does not give its numbers for this long is not healthy.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the pages are made from.
#[derive(Clone, Debug)]
pub struct Pages {
    /// The engine.
    pub handle: Handle,
    /// The same for the API.
    pub exchange: Arc<Switchboard>,
    /// Log lines lost.
    pub lost: Lost,
    /// The API, if accounts are kept.
    pub api: Option<Arc<Api>>,
    /// A folder served under `/phone/`.
    pub phone: Option<PathBuf>,
}

/// Binds and serves for as long as the runtime lives, by TLS with a certificate; the address that was bound.
pub async fn serve(addr: SocketAddr, tls: Option<TlsServer>, pages: Pages) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(addr).await?;
    let bound = listener.local_addr()?;
    let guard = pages.api.clone().filter(|_| !bound.ip().is_loopback());
    let routes = routes(pages, guard).layer(middleware::map_request(known_source));
    let service = routes.into_make_service_with_connect_info::<Peer>();
    let links = Links::new(listener, tls, Limits::default());
    tokio::spawn(async move { axum::serve(links, service).await });
    Ok(bound)
}

/// The API knows sources by their addresses, however they came.
async fn known_source(ConnectInfo(Peer(addr)): ConnectInfo<Peer>, mut request: Request) -> Request {
    request.extensions_mut().insert(ConnectInfo(addr));
    request
}

/// The API has a `/health` of its own; without it there is the same one here.
///
/// Where others than this machine may come, the numbers are for those with the right to see the engine, if there are
/// accounts.
fn routes(pages: Pages, guard: Option<Arc<Api>>) -> Router {
    let (api, phone) = (pages.api.clone(), pages.phone.clone());
    let metrics = move |State(pages): State<Pages>, headers: HeaderMap| {
        let guard = guard.clone();
        async move {
            let refusal = match guard {
                None => None,
                // It looks into the store.
                Some(api) => tokio::task::spawn_blocking(move || api.refusal(&headers, Scope::EngineRead))
                    .await
                    .unwrap_or_else(|_| Some(StatusCode::INTERNAL_SERVER_ERROR.into_response())),
            };
            match refusal {
                None => metrics(pages).await,
                Some(refusal) => refusal,
            }
        }
    };
    let routes = Router::new().route("/metrics", get(metrics));
    let routes = match phone {
        Some(root) => {
            let files = Router::new().fallback(move |request| files::serve(root.clone(), request));
            let folder = get(async || Redirect::permanent("/phone/"));
            routes.route("/phone", folder).nest_service("/phone/", files)
        }
        None => routes,
    };
    match api {
        Some(api) => routes.with_state(pages).fallback_service(rest::router(api)),
        None => routes.route("/health", get(health)).with_state(pages),
    }
}

async fn metrics(pages: Pages) -> Response {
    match tokio::time::timeout(PATIENCE, pages.handle.snapshot()).await {
        Ok(Ok(snapshot)) => {
            let text = Export { snapshot, log_lines_lost: pages.lost.count() }.text();
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the engine does not answer\n").into_response(),
    }
}

async fn health(State(pages): State<Pages>) -> Health {
    // It waits for the engine.
    let asked = tokio::task::spawn_blocking(move || pages.exchange.health()).await;
    asked.unwrap_or_else(|_| Health { ok: false, status: "the engine does not answer".into() })
}
