//! What authentication decides, as plain values.

use core::time::Duration;
use std::sync::Arc;

use super::challenge::Challenge;
use super::info::AuthInfo;
use crate::config::DigestAlgorithm;
use crate::ctx::{Extra, Refusal};
use crate::door::{AuthVerdict, CredentialsAnswer, Identity, Secret};
use crate::wire::Status;

/// `Retry-After` when keys or the credential store cannot be asked, in seconds.
const RETRY_AFTER: u32 = 5;

/// What authentication decides about a request. The caller counts the verdict and answers.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// It may go on.
    Allow(Allowed),
    /// 401, with the challenge written into it.
    Challenge(Challenge, AuthVerdict),
    /// This answer.
    Refuse(Refusal, AuthVerdict),
    /// Something must be found out first; then `check` is called again with the same request.
    Park(Need),
    /// This verdict, after a wait, so that time tells nothing.
    Delay(Box<Verdict>, Duration),
}

/// A request that may go on.
#[derive(Clone, Debug)]
pub(crate) struct Allowed {
    /// Who it is from.
    pub(crate) identity: Arc<Identity>,
    /// How that was found.
    pub(crate) verdict: AuthVerdict,
    /// To be written into the response.
    pub(crate) info: Option<AuthInfo>,
}

/// What must be found out.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(not(feature = "jwt"), allow(dead_code))]
pub(crate) enum Need {
    /// The keys of an issuer, by its index. One question serves all who wait.
    Keys(u16),
    /// What an authorization server says of a token, by its SHA-256. One question serves all who bring it.
    Introspection {
        /// The SHA-256.
        name: [u8; 32],
        /// As sent.
        token: Secret<Box<[u8]>>,
    },
    /// The credential of a user that is not a local account.
    Credentials {
        /// As sent.
        username: Box<str>,
        /// Ours.
        realm: Box<str>,
        /// The one the client chose.
        algorithm: DigestAlgorithm,
    },
}

/// What the caller of `check` found out already.
#[derive(Clone, Debug)]
pub(crate) enum Wait {
    /// Nothing: the first time.
    First,
    /// The store's answer.
    WithCredentials(CredentialsAnswer),
    /// The keys, or a server, were asked and an answer came: decide with what is there.
    KeysDone,
    /// The deadline passed: decide with what is there.
    Final,
}

pub(super) fn allow(identity: &Arc<Identity>, verdict: AuthVerdict) -> Verdict {
    Verdict::Allow(Allowed { identity: Arc::clone(identity), verdict, info: None })
}

pub(super) fn malformed() -> Verdict {
    Verdict::Refuse(Refusal::because(Status::BAD_REQUEST, "Malformed credentials"), AuthVerdict::Malformed)
}

pub(super) fn unavailable() -> Verdict {
    Verdict::Refuse(
        Refusal::with(Status::SERVICE_UNAVAILABLE, Extra::RetryAfter(RETRY_AFTER)),
        AuthVerdict::Unavailable,
    )
}
