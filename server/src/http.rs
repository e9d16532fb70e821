//! `/metrics`, `/health`, the REST API and a phone page, on loopback unless told otherwise.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use strowger_tokio::Handle;
use strowger_users::rest::{self, Api};
use tokio::net::TcpListener;

use crate::files;
use crate::logs::Lost;
use crate::metrics::Export;

/// An engine that does not give its numbers for this long is not healthy.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the pages are made from.
#[derive(Clone, Debug)]
pub struct Pages {
    /// The engine.
    pub handle: Handle,
    /// Set while the server drains.
    pub draining: Arc<AtomicBool>,
    /// Log lines lost.
    pub lost: Lost,
    /// The API, if accounts are kept.
    pub api: Option<Arc<Api>>,
    /// A folder served under `/phone/`.
    pub phone: Option<PathBuf>,
}

/// Binds and serves for as long as the runtime lives; the address that was bound.
pub async fn serve(addr: SocketAddr, pages: Pages) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(addr).await?;
    let bound = listener.local_addr()?;
    let (api, phone) = (pages.api.clone(), pages.phone.clone());
    let routes =
        Router::new().route("/metrics", get(metrics)).route("/health", get(health)).with_state(pages);
    let routes = match phone {
        Some(root) => {
            let files = Router::new().fallback(move |request| files::serve(root.clone(), request));
            let folder = get(async || Redirect::permanent("/phone/"));
            routes.route("/phone", folder).nest_service("/phone/", files)
        }
        None => routes,
    };
    let routes = match api {
        Some(api) => routes.fallback_service(rest::router(api)),
        None => routes,
    };
    let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(bound)
}

async fn metrics(State(pages): State<Pages>) -> Response {
    match tokio::time::timeout(PATIENCE, pages.handle.snapshot()).await {
        Ok(Ok(snapshot)) => {
            let text = Export { snapshot, log_lines_lost: pages.lost.count() }.text();
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the engine does not answer\n").into_response(),
    }
}

async fn health(State(pages): State<Pages>) -> (StatusCode, &'static str) {
    if pages.draining.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    match tokio::time::timeout(PATIENCE, pages.handle.snapshot()).await {
        Ok(Ok(_)) => (StatusCode::OK, "ok\n"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the engine does not answer\n"),
    }
}
