//! What went wrong, as a client is told (RFC 9457), in one place.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::exchange::ExchangeError;
use crate::Seconds;
use crate::login::LoginError;
use crate::scope::Scope;
use crate::store::UserError;

/// A refusal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Problem {
    #[serde(rename = "type", serialize_with = "urn")]
    kind: &'static str,
    title: &'static str,
    #[serde(serialize_with = "number")]
    status: StatusCode,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Box<str>>,
    /// Which member of the body is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip)]
    retry_after: Option<Seconds>,
    #[serde(skip)]
    challenge: Option<Box<str>>,
}

fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

/// RFC 9457 s3.1.1: a name for people and programs, not a place.
fn urn<S: serde::Serializer>(kind: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("urn:strowger:problem:{kind}"))
}

impl Problem {
    pub(super) fn new(status: StatusCode, kind: &'static str, title: &'static str) -> Problem {
        Problem { kind, title, status, detail: None, field: None, retry_after: None, challenge: None }
    }

    pub(super) fn bad_request(detail: impl Into<Box<str>>) -> Problem {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "bad-request", "The request is malformed");
        Problem { detail: Some(detail.into()), ..problem }
    }

    pub(super) fn not_found() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing")
    }

    pub(super) fn method() -> Problem {
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "Not a method of this resource")
    }

    pub(super) fn too_large() -> Problem {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large")
    }

    pub(super) fn too_slow() -> Problem {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "The body did not come in time")
    }

    pub(super) fn not_json() -> Problem {
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "The body must be application/json")
    }

    /// RFC 6750 s3: nobody said who asks.
    pub(super) fn unauthenticated() -> Problem {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "Credentials are needed");
        Problem { challenge: Some("Bearer realm=\"strowger\"".into()), ..problem }
    }

    /// RFC 6750 s3.1: what was said is worth nothing. Why is not told.
    pub(super) fn invalid_token() -> Problem {
        let problem =
            Problem::new(StatusCode::UNAUTHORIZED, "invalid-token", "The token or key is not valid");
        Problem { challenge: Some("Bearer realm=\"strowger\", error=\"invalid_token\"".into()), ..problem }
    }

    /// RFC 6750 s3.1: it is good, but not for this.
    pub(super) fn forbidden(scope: Scope) -> Problem {
        let problem = Problem::new(StatusCode::FORBIDDEN, "forbidden", "This is not allowed");
        let challenge =
            format!("Bearer realm=\"strowger\", error=\"insufficient_scope\", scope=\"{}\"", scope.name());
        Problem { challenge: Some(challenge.into()), ..problem }
    }

    /// An API key where a login is asked for.
    pub(super) fn login_needed() -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "login-needed", "This takes a login, not an API key")
    }

    pub(super) fn refused_login() -> Problem {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "login", "The login was refused");
        Problem { challenge: Some("Bearer realm=\"strowger\"".into()), ..problem }
    }

    pub(super) fn invalid(field: &'static str, why: impl Into<Box<str>>) -> Problem {
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "A value cannot be");
        Problem { field: Some(field), detail: Some(why.into()), ..problem }
    }

    pub(super) fn too_many(retry_after: Seconds) -> Problem {
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many", "Too many requests");
        Problem { retry_after: Some(retry_after.max(1)), ..problem }
    }

    pub(super) fn busy() -> Problem {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Too much to do, try again");
        Problem { retry_after: Some(1), ..problem }
    }

    pub(super) fn unavailable() -> Problem {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "This does not work now");
        Problem { retry_after: Some(5), ..problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after));
        }
        if let Some(Ok(value)) = self.challenge.as_deref().map(HeaderValue::from_str) {
            headers.insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Problem {
        let detail = Some(error.to_string().into());
        match error {
            UserError::NotFound(_) => Problem::not_found(),
            UserError::Taken { field, .. } => {
                let problem = Problem::new(StatusCode::CONFLICT, "taken", "Another account has it");
                Problem { field: Some(field), detail, ..problem }
            }
            UserError::Invalid { field, why } => Problem::invalid(field, why),
            UserError::LastAdmin => {
                Problem::new(StatusCode::CONFLICT, "last-admin", "It is the last enabled administrator")
            }
            UserError::WrongPassword => {
                Problem::new(StatusCode::FORBIDDEN, "wrong-password", "The password is wrong")
            }
            UserError::Busy => Problem::busy(),
            // What a database says is not for clients.
            UserError::Storage(_) => Problem::unavailable(),
        }
    }
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Problem {
        match error {
            LoginError::Refused => Problem::refused_login(),
            LoginError::Wait(seconds) => Problem::too_many(seconds),
            LoginError::Scope => Problem::invalid("scope", "unknown, or more than the account may"),
            LoginError::Busy => Problem::busy(),
            LoginError::Token(_) => Problem::unavailable(),
            LoginError::Store(error) => error.into(),
        }
    }
}

impl From<ExchangeError> for Problem {
    fn from(error: ExchangeError) -> Problem {
        match error {
            ExchangeError::NotFound => Problem::not_found(),
            ExchangeError::Invalid(why) => Problem::bad_request(why),
            ExchangeError::Unavailable => Problem::unavailable(),
            ExchangeError::Unsupported => {
                Problem::new(StatusCode::NOT_IMPLEMENTED, "unsupported", "This server does not do that")
            }
        }
    }
}
