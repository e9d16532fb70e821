//! One request as the routes see it, and their answer.

use std::net::IpAddr;
use std::num::ParseIntError;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Api;
use super::problem::Problem;
use crate::Seconds;
use crate::scope::Scope;
use crate::store::Account;

/// The most items of one page.
const PAGE: u64 = 1000;

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) account: Account,
    /// What he may, by his credentials and by his role.
    pub(super) scopes: Vec<Scope>,
    /// Whether he has logged in, rather than brought an API key.
    pub(super) login: bool,
}

/// A request.
pub(super) struct Call {
    pub(super) now: Seconds,
    pub(super) from: IpAddr,
    /// Where the route asks for somebody, there is somebody.
    pub(super) caller: Option<Caller>,
    pub(super) params: Vec<(String, String)>,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    pub(super) fn caller(&self) -> Result<&Caller, Problem> {
        self.caller.as_ref().ok_or_else(Problem::unauthenticated)
    }

    /// A part of the path.
    pub(super) fn param(&self, name: &str) -> Result<&str, Problem> {
        let found = self.params.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value).ok_or_else(Problem::not_found)
    }

    /// A parameter; an empty one is none.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|value| !value.is_empty())
    }

    /// A parameter that is a number; an empty one is no number.
    pub(super) fn number(&self, name: &str) -> Option<Result<u64, ParseIntError>> {
        self.given(name).map(str::parse)
    }

    fn given(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value)
    }

    /// `limit`: 100 if it is not said.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        match self.number("limit") {
            None => Ok(100),
            Some(Ok(limit @ 1..=PAGE)) => Ok(limit as usize),
            Some(_) => Err(Problem::bad_request("limit: 1 to 1000")),
        }
    }

    /// The body. What cannot be read is told by place, not by content.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        // A list of the values would be read as well.
        if self.body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Problem::bad_request("not a JSON object"));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            let why = match error.classify() {
                serde_json::error::Category::Data => "not what is expected",
                _ => "not JSON",
            };
            Problem::bad_request(format!("{why} at line {} column {}", error.line(), error.column()))
        })
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    body: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    pub(super) fn json(body: &impl Serialize) -> Result<Answer, Problem> {
        let text = serde_json::to_string(body).map_err(|_| Problem::unavailable())?;
        Ok(Answer::text(text))
    }

    pub(super) fn text(body: String) -> Answer {
        Answer { status: StatusCode::OK, body: Some(body), headers: Vec::new() }
    }

    pub(super) fn nothing() -> Answer {
        Answer { status: StatusCode::NO_CONTENT, body: None, headers: Vec::new() }
    }

    pub(super) fn status(self, status: StatusCode) -> Answer {
        Answer { status, ..self }
    }

    pub(super) fn without_body(self) -> Answer {
        Answer { body: None, ..self }
    }

    /// A header; a value that cannot be one is left out.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Answer {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    pub(super) fn into_response(self) -> Response {
        let typed = self.body.is_some();
        let mut response = Response::new(self.body.map_or_else(Body::empty, Body::from));
        *response.status_mut() = self.status;
        if typed {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// A page of a list.
#[derive(Serialize)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// What to ask for with `after`; `null` on the last page.
    pub(super) next: Option<String>,
}

impl<T: Serialize> Page<T> {
    /// A page is not the last if it is full.
    pub(super) fn of(items: Vec<T>, limit: usize, name: impl Fn(&T) -> String) -> Result<Answer, Problem> {
        let next = items.last().filter(|_| items.len() >= limit).map(name);
        Answer::json(&Page { items, next })
    }
}

/// What answers a request.
pub(super) type Run = fn(&Api, &Call) -> Result<Answer, Problem>;
