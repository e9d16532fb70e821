//! The header and the claims of an access token, read without trust (RFC 7515 s4.1, RFC 7519 s4, RFC 8725 s3).
//!
//! A name that stands twice is refused: two readers that take another one of both are an attack.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use strowger_core::documents::json::Object;

use super::TokenError;
use crate::Seconds;
use crate::store::Role;

/// What a token says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// The name of the account.
    pub sub: String,
    /// For whom it is meant.
    #[serde(serialize_with = "one_or_many")]
    pub aud: Vec<String>,
    /// From when on it is worth nothing.
    pub exp: Seconds,
    /// When it was made.
    pub iat: Seconds,
    /// Before when it is worth nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<Seconds>,
    /// Its own name.
    pub jti: String,
    /// The login it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// RFC 9068 s2.2 asks for it.
    pub client_id: String,
    /// What it may be used for, separated by spaces.
    pub scope: String,
    /// What its account might do when it was made.
    pub role: Role,
    /// Addresses of record of its account, as `user@domain`.
    pub aors: Vec<String>,
}

/// RFC 7519 s4.1.3: one audience may be a string.
fn one_or_many<S: serde::Serializer>(values: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match values {
        [one] => serializer.serialize_str(one),
        many => many.serialize(serializer),
    }
}

/// The header of a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: String,
}

/// What stands in a header, or in claims.
struct Members(BTreeMap<String, Value>);

impl Members {
    fn parse(json: &[u8]) -> Result<Members, TokenError> {
        let Object(members) = serde_json::from_slice(json).map_err(|_| TokenError::Malformed)?;
        Ok(Members(members))
    }

    fn text(&self, name: &str) -> Result<Option<&str>, TokenError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(TokenError::Malformed),
        }
    }

    fn needed(&self, name: &str) -> Result<String, TokenError> {
        self.text(name)?.filter(|text| !text.is_empty()).map(Into::into).ok_or(TokenError::Malformed)
    }

    /// RFC 7519 s2: seconds, a fraction allowed.
    fn date(&self, name: &str) -> Result<Option<Seconds>, TokenError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let whole = value.as_i64().or_else(|| {
            // Past what fits the cast saturates.
            value.as_f64().filter(|secs| secs.is_finite()).map(|secs| secs as Seconds)
        });
        whole.map(Some).ok_or(TokenError::Malformed)
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, TokenError> {
        match self.0.get(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text.clone()]),
            Some(Value::Array(list)) => {
                let text = |value: &Value| value.as_str().map(Into::into).ok_or(TokenError::Malformed);
                list.iter().map(text).collect()
            }
            Some(_) => Err(TokenError::Malformed),
        }
    }
}

impl Header {
    pub(super) fn parse(json: &[u8]) -> Result<Header, TokenError> {
        let object = Members::parse(json)?;
        // RFC 7515 s4.1.11: what must be understood and is not makes the token invalid. We understand none.
        if object.0.contains_key("crit") || object.0.contains_key("cty") {
            return Err(TokenError::Refused);
        }
        // RFC 8725 s3.11: a token made for something else is not an access token. We make no other.
        let typ = object.needed("typ")?.to_ascii_lowercase();
        if typ.strip_prefix("application/").unwrap_or(&typ) != "at+jwt" {
            return Err(TokenError::Refused);
        }
        Ok(Header { alg: object.needed("alg")?, kid: object.needed("kid")? })
    }
}

impl Claims {
    pub(super) fn parse(json: &[u8]) -> Result<Claims, TokenError> {
        let object = Members::parse(json)?;
        let date = |name: &str| object.date(name)?.ok_or(TokenError::Malformed);
        Ok(Claims {
            iss: object.needed("iss")?,
            sub: object.needed("sub")?,
            aud: object.texts("aud")?,
            exp: date("exp")?,
            iat: date("iat")?,
            nbf: object.date("nbf")?,
            jti: object.needed("jti")?,
            sid: object.text("sid")?.map(Into::into),
            client_id: object.text("client_id")?.unwrap_or_default().into(),
            scope: object.text("scope")?.unwrap_or_default().into(),
            role: object.text("role")?.and_then(Role::named).unwrap_or(Role::User),
            aors: object.texts("aors")?,
        })
    }

    /// Its scopes.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scope.split(' ').filter(|scope| !scope.is_empty())
    }
}
