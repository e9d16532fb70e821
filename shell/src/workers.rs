//! Threads that ask the web for what the engine wants to know, and where their answers go.

use std::io;

use crate::hooks::{Notice, OnNotice};
use crate::inbox::Inbound;
use crate::introspect::Introspector;
use crate::jwks::KeyFetcher;
use crate::promise::Wait;
use crate::queue::Sender;

/// Starts the worker that fetches keys; its answers go into the inbox.
pub(crate) fn key_fetcher(inbox: Sender<Inbound>, notices: OnNotice) -> io::Result<KeyFetcher> {
    KeyFetcher::start(move |query, answer, error| {
        notices(match error {
            Some(error) => {
                Notice::KeysUnavailable { source: query.source.clone(), error: error.to_string().into() }
            }
            None => Notice::KeysFetched { source: query.source.clone() },
        });
        let _ = inbox.send(Inbound::Answer(answer)).wait();
    })
}

/// Starts the workers that ask about tokens; the answers go into the inbox.
pub(crate) fn introspector(inbox: Sender<Inbound>, notices: OnNotice) -> io::Result<Introspector> {
    Introspector::start(move |query, answer, error| {
        if let Some(error) = error {
            let (endpoint, error) = (query.endpoint.clone(), error.to_string().into());
            notices(Notice::IntrospectionUnavailable { endpoint, error });
        }
        let _ = inbox.send(Inbound::Answer(answer)).wait();
    })
}
