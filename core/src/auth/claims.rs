//! What a token says: its JOSE header and its claims, read without trust (RFC 7515 s4.1, RFC 7519 s4, RFC 8725 s3).
//!
//! Nothing here looks at the signature. A name that stands twice is refused, in the header and in the claims: RFC 7519
//! s4 lets a reader take the last one, and two readers that differ are an attack.

use core::time::Duration;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::base::Time;
use crate::config::{JwtAlgorithm, Template};
use crate::documents::json::Object;

/// What is wrong with a token before its signature is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// It does not follow its grammar.
    Malformed,
    /// An algorithm, a type or a critical header that is not taken.
    Refused,
}

/// The header of a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) algorithm: JwtAlgorithm,
    pub(super) kid: Option<String>,
}

impl Header {
    pub(super) fn parse(json: &[u8]) -> Result<Header, Fault> {
        let Object(mut members) = serde_json::from_slice(json).map_err(|_| Fault::Malformed)?;
        // RFC 7515 s4.1.11: a header that must be understood and is not makes the token invalid. We understand none.
        if members.contains_key("crit") {
            return Err(Fault::Refused);
        }
        let mut text = |name: &str| match members.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Fault::Malformed),
        };
        let algorithm = algorithm(&text("alg")?.ok_or(Fault::Malformed)?).ok_or(Fault::Refused)?;
        // RFC 8725 s3.11: a token made for something else is not an access token. RFC 9068 s2.1: at+jwt.
        if let Some(typ) = text("typ")? {
            let typ = typ.to_ascii_lowercase();
            if !matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt") {
                return Err(Fault::Refused);
            }
        }
        // RFC 7519 s5.2: a nested token is not a set of claims.
        if text("cty")?.is_some() {
            return Err(Fault::Refused);
        }
        Ok(Header { algorithm, kid: text("kid")? })
    }
}

/// The algorithm of a token in `alg`. `none` and the HMAC family do not exist here.
fn algorithm(name: &str) -> Option<JwtAlgorithm> {
    Some(match name {
        "RS256" => JwtAlgorithm::Rs256,
        "RS384" => JwtAlgorithm::Rs384,
        "RS512" => JwtAlgorithm::Rs512,
        "PS256" => JwtAlgorithm::Ps256,
        "PS384" => JwtAlgorithm::Ps384,
        "PS512" => JwtAlgorithm::Ps512,
        "ES256" => JwtAlgorithm::Es256,
        "ES384" => JwtAlgorithm::Es384,
        "EdDSA" => JwtAlgorithm::EdDsa,
        _ => return None,
    })
}

/// The name of an algorithm in a key's `alg`, the other way round.
pub(super) fn algorithm_named(name: &str) -> Option<JwtAlgorithm> {
    // RFC 9864 s2.2: Ed25519 is EdDSA with its curve said.
    if name == "Ed25519" { Some(JwtAlgorithm::EdDsa) } else { algorithm(name) }
}

/// The claims of a token.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Claims {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) audience: Vec<String>,
    pub(super) expires: Time,
    not_before: Option<Time>,
    pub(super) issued_at: Option<Time>,
    /// `sid`, if there is one and it is text: the login it came from.
    pub(super) session: Option<String>,
    /// `jti`, if there is one and it is text.
    pub(super) id: Option<String>,
    pub(super) scopes: Vec<String>,
    /// What the claim of the AoRs names; empty if it is absent or of another type.
    pub(super) aors: Vec<String>,
}

impl Claims {
    /// Reads the claims. `iss`, `sub`, `aud` and `exp` must be there and of their type. `aor_claim` names the claim in which
    /// an issuer says whose addresses of record they are, or is a template with it.
    pub(super) fn parse<'c>(json: &[u8], aor_claim: impl FnOnce(&str) -> &'c str) -> Result<Claims, Fault> {
        let Object(members) = serde_json::from_slice(json).map_err(|_| Fault::Malformed)?;
        let required = |name: &str| match members.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
            Some(_) => Err(Fault::Malformed),
            None => Err(Fault::Refused),
        };
        let date = |name: &str| members.get(name).map(numeric_date).transpose();
        let issuer = required("iss")?;
        let audience = match members.get("aud") {
            Some(value) => strings(value).ok_or(Fault::Malformed)?,
            None => return Err(Fault::Refused),
        };
        Ok(Claims {
            aors: named(&members, aor_claim(&issuer)),
            issuer,
            subject: required("sub")?,
            audience,
            expires: date("exp")?.ok_or(Fault::Refused)?,
            not_before: date("nbf")?,
            issued_at: date("iat")?,
            session: members.get("sid").and_then(Value::as_str).map(Into::into),
            id: members.get("jti").and_then(Value::as_str).map(Into::into),
            scopes: scopes(&members)?,
        })
    }

    /// Reads what an authorization server says of a token (RFC 7662 s2.2); `None` if it is not active. `issuer` is whose
    /// tokens they are, and `latest` when they die if the server does not say.
    pub(super) fn introspected(
        json: &[u8],
        issuer: &str,
        latest: Time,
        aor_claim: &str,
    ) -> Result<Option<Claims>, Fault> {
        let Object(members) = serde_json::from_slice(json).map_err(|_| Fault::Malformed)?;
        match members.get("active") {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => return Ok(None),
            _ => return Err(Fault::Malformed),
        }
        let text = |name: &str| match members.get(name) {
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Null) | None => Ok(None),
            Some(_) => Err(Fault::Malformed),
        };
        let date = |name: &str| members.get(name).map(numeric_date).transpose();
        // A token that is bound to a key is not good for whoever bears it.
        if text("token_type")?.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer"))
            || members.contains_key("cnf")
            || text("iss")?.is_some_and(|named| named != issuer)
        {
            return Err(Fault::Refused);
        }
        let subject = text("sub")?.filter(|sub| !sub.is_empty()).ok_or(Fault::Refused)?;
        Ok(Some(Claims {
            issuer: issuer.into(),
            subject: subject.clone(),
            audience: members.get("aud").map_or(Some(Vec::new()), strings).ok_or(Fault::Malformed)?,
            expires: date("exp")?.unwrap_or(latest),
            not_before: date("nbf")?,
            issued_at: date("iat")?,
            session: members.get("sid").and_then(Value::as_str).map(Into::into),
            id: members.get("jti").and_then(Value::as_str).map(Into::into),
            scopes: scopes(&members)?,
            aors: named(&members, aor_claim),
        }))
    }

    /// Whether the token is alive at this wall time.
    pub(super) fn alive(&self, wall: Time, leeway: Duration) -> bool {
        // RFC 7519 s4.1.4: on or after exp it must not be accepted.
        let begun = |at: Option<Time>| at.is_none_or(|at| at <= wall + leeway);
        wall < self.expires + leeway && begun(self.not_before) && begun(self.issued_at)
    }
}

/// True if this is the text of a JSON object whose names are all different, as that of a JOSE header is.
pub(super) fn is_object(json: &[u8]) -> bool {
    serde_json::from_slice::<Object>(json).is_ok()
}

fn scopes(members: &BTreeMap<String, Value>) -> Result<Vec<String>, Fault> {
    match members.get("scope") {
        // RFC 8693 s4.2: one string, separated by spaces. Some issuers send a list.
        Some(Value::String(text)) => Ok(text.split(' ').filter(|s| !s.is_empty()).map(Into::into).collect()),
        Some(value) => strings(value).ok_or(Fault::Malformed),
        None => Ok(Vec::new()),
    }
}

/// The names in the claim of the AoRs, or what a template makes of them.
fn named(members: &BTreeMap<String, Value>, aor_claim: &str) -> Vec<String> {
    let of = |claim: &str| members.get(claim).and_then(strings).unwrap_or_default();
    let Some(Template { before, claim, after }) = Template::of(aor_claim) else { return of(aor_claim) };
    // A value is the whole of what it stands for: nothing in it may look like another part of an address.
    let is_user = |name: &String| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.!~*'+".contains(&b))
    };
    of(claim).iter().filter(|name| is_user(name)).map(|name| format!("{before}{name}{after}")).collect()
}

/// A string, or a list of strings.
fn strings(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) => list.iter().map(|v| v.as_str().map(Into::into)).collect(),
        _ => None,
    }
}

/// RFC 7519 s2: seconds since the epoch, a fraction allowed. Before the epoch counts as the epoch.
fn numeric_date(value: &Value) -> Result<Time, Fault> {
    let Value::Number(number) = value else { return Err(Fault::Malformed) };
    if let Some(secs) = number.as_u64() {
        return Ok(Time::from_secs(secs));
    }
    // A cast of floating point saturates, and takes what is below zero to zero.
    let secs = number.as_f64().filter(|s| s.is_finite()).ok_or(Fault::Malformed)?;
    Ok(Time::from_nanos((secs * 1e9) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Time = Time::from_secs(1_800_000_000);
    const NONE: Duration = Duration::ZERO;

    fn header(json: &str) -> Result<Header, Fault> {
        Header::parse(json.as_bytes())
    }

    fn claims(json: &str) -> Result<Claims, Fault> {
        Claims::parse(json.as_bytes(), |_| "sip_aor")
    }

    fn with(extra: &str) -> Result<Claims, Fault> {
        claims(&format!(r#"{{"iss":"i","sub":"s","aud":"a","exp":1800000100{extra}}}"#))
    }

    #[test]
    fn a_header_names_an_asymmetric_algorithm_and_perhaps_a_key() {
        let good = header(r#"{"alg":"RS256","kid":"k1","typ":"JWT","jku":"https://evil.example"}"#);
        assert_eq!(good, Ok(Header { algorithm: JwtAlgorithm::Rs256, kid: Some("k1".into()) }));
        assert_eq!(header(r#"{"alg":"ES256","typ":"application/AT+JWT"}"#).map(|h| h.kid), Ok(None));
    }

    #[test]
    fn algorithms_that_do_not_exist_here_are_refused() {
        for alg in ["none", "None", "HS256", "HS512", "rs256", "RSA-OAEP", "", "ES512"] {
            assert_eq!(header(&format!(r#"{{"alg":"{alg}"}}"#)), Err(Fault::Refused), "{alg}");
        }
    }

    #[test]
    fn critical_headers_other_types_and_nesting_are_refused() {
        for bad in [
            r#""crit":["exp"]"#,
            r#""crit":[]"#,
            r#""typ":"logout+jwt""#,
            r#""typ":"JOSE""#,
            r#""cty":"JWT""#,
        ] {
            assert_eq!(header(&format!(r#"{{"alg":"RS256",{bad}}}"#)), Err(Fault::Refused), "{bad}");
        }
    }

    #[test]
    fn headers_that_are_no_object_of_different_names_are_malformed() {
        for bad in [
            "",
            "[]",
            "null",
            "{",
            r#"{"alg":1}"#,
            r#"{"kid":"k"}"#,
            r#"{"alg":"RS256","alg":"RS256"}"#,
            r#"{"alg":"RS256","kid":7}"#,
            r#"{"alg":"RS256","x":1,"x":2}"#,
            r#"{"alg":"RS256"} x"#,
        ] {
            assert_eq!(header(bad), Err(Fault::Malformed), "{bad}");
        }
    }

    #[test]
    fn claims_come_as_one_string_or_a_list() {
        let c = with(r#","scope":"sip  presence","sip_aor":["sip:a@x","b@x"]"#).expect("good claims");
        assert_eq!(
            (c.audience, c.scopes, c.aors),
            (vec!["a".into()], vec!["sip".into(), "presence".into()], vec!["sip:a@x".into(), "b@x".into()])
        );
        assert_eq!(with(r#","sip_aor":{"a":1}"#).map(|c| c.aors), Ok(vec![]));
        assert_eq!(with("").map(|c| c.aors), Ok(vec![]));
    }

    #[test]
    fn what_must_be_there_is_asked_for() {
        for name in ["iss", "sub", "aud", "exp"] {
            let json = r#"{"iss":"i","sub":"s","aud":"a","exp":1800000100}"#.replace(name, "other");
            assert_eq!(claims(&json), Err(Fault::Refused), "{name}");
        }
        for bad in [
            r#"{"iss":["i"],"sub":"s","aud":"a","exp":1}"#,
            r#"{"iss":"i","sub":"","aud":"a","exp":1}"#,
            r#"{"iss":"i","sub":"s","aud":[1],"exp":1}"#,
            r#"{"iss":"i","sub":"s","aud":"a","exp":"1"}"#,
            r#"{"iss":"i","sub":"s","aud":"a","exp":1,"exp":2}"#,
            r#"{"iss":"i","sub":"s","aud":"a","exp":1,"x":1,"x":1}"#,
            r#"{"iss":"i","sub":"s","aud":"a","exp":1,"nbf":true}"#,
            r#"["iss"]"#,
        ] {
            assert_eq!(claims(bad), Err(Fault::Malformed), "{bad}");
        }
    }

    #[test]
    fn a_template_makes_an_address_of_a_claim_that_holds_a_name_and_nothing_else() {
        let aors = |names: &str| {
            let json = format!(r#"{{"iss":"i","sub":"s","aud":"a","exp":1,"user":{names}}}"#);
            Claims::parse(json.as_bytes(), |_| "sip:{user}@example.com").map(|claims| claims.aors)
        };
        assert_eq!(aors(r#""bob""#), Ok(vec!["sip:bob@example.com".into()]));
        let good = r#"["bob","+1.201-555_0123","","b@x","bob@example.com;x=","b:secret","b%40x","b;p","bo\u00e9","b ","b\r\n","<b>","{user}"]"#;
        assert_eq!(
            aors(good),
            Ok(vec!["sip:bob@example.com".into(), "sip:+1.201-555_0123@example.com".into()])
        );
        assert_eq!(aors("7"), Ok(vec![]));
        let plain = |claim| {
            Claims::parse(br#"{"iss":"i","sub":"s","aud":"a","exp":1}"#, |_| claim).map(|claims| claims.aors)
        };
        assert_eq!([plain("{sub}@x"), plain("{user}@x")], [Ok(vec!["s@x".into()]), Ok(vec![])]);
    }

    #[test]
    fn a_token_lives_from_nbf_and_iat_until_exp_with_leeway() {
        let c = with(r#","nbf":1800000010,"iat":1800000010"#).expect("good claims");
        let at = |secs: u64| WALL + Duration::from_secs(secs);
        assert_eq!([9, 10, 99, 100].map(|s| c.alive(at(s), NONE)), [false, true, true, false]);
        let leeway = Duration::from_secs(5);
        assert_eq!([4, 5, 104, 105].map(|s| c.alive(at(s), leeway)), [false, true, true, false]);
    }

    #[test]
    fn dates_out_of_range_neither_live_for_ever_nor_overflow() {
        let exp = |n: &str| {
            claims(&format!(r#"{{"iss":"i","sub":"s","aud":"a","exp":{n}}}"#)).map(|c| c.alive(WALL, NONE))
        };
        assert_eq!(exp("-1"), Ok(false));
        assert_eq!(exp("1799999999.5"), Ok(false));
        assert_eq!(exp("1800000000.5"), Ok(true));
        assert_eq!(exp("18446744073709551615"), Ok(true));
        assert_eq!(exp("1e300"), Ok(true));
        assert_eq!(exp("1e999"), Err(Fault::Malformed));
        assert_eq!(with(r#","nbf":1e300"#).map(|c| c.alive(WALL, NONE)), Ok(false));
    }

    #[test]
    fn deep_nesting_is_malformed_and_not_a_crash() {
        let deep = format!(r#"{{"x":{}1{}}}"#, "[".repeat(4000), "]".repeat(4000));
        assert_eq!(claims(&deep), Err(Fault::Malformed));
    }
}
