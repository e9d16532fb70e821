//! The client side of SIP Digest as a phone computes it (RFC 7616 s3.4, RFC 8760), apart from the engine's hashes.

use md5::{Digest as _, Md5};
use sha2::{Sha256, Sha512_256};

use crate::message::split_list;

/// One Digest challenge.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Challenge {
    /// `realm`.
    pub realm: String,
    /// `nonce`.
    pub nonce: String,
    /// `opaque`.
    pub opaque: Option<String>,
    /// `algorithm` as sent; `MD5` if absent.
    pub algorithm: String,
    /// The values of `qop`.
    pub qop: Vec<String>,
    /// `stale=true`.
    pub stale: bool,
    /// `userhash=true`.
    pub userhash: bool,
}

/// The parameters of a challenge or of Authentication-Info, unquoted, in order.
pub fn params(text: &str) -> Vec<(String, String)> {
    let pairs = split_list(text, ',').into_iter().filter_map(|p| p.split_once('='));
    pairs.map(|(n, v)| (n.trim().to_ascii_lowercase(), v.trim().trim_matches('"').to_owned())).collect()
}

impl Challenge {
    /// Reads a WWW-Authenticate value; `None` unless it is Digest.
    pub fn read(value: &str) -> Option<Challenge> {
        let (scheme, rest) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let mut c = Challenge { algorithm: "MD5".into(), ..Challenge::default() };
        for (name, value) in params(rest) {
            match name.as_str() {
                "realm" => c.realm = value,
                "nonce" => c.nonce = value,
                "opaque" => c.opaque = Some(value),
                "algorithm" => c.algorithm = value,
                "qop" => c.qop = value.split(',').map(|q| q.trim().to_owned()).collect(),
                "stale" => c.stale = value.eq_ignore_ascii_case("true"),
                "userhash" => c.userhash = value.eq_ignore_ascii_case("true"),
                _ => {}
            }
        }
        Some(c)
    }
}

/// What a phone answers a challenge with.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    /// Login name.
    pub username: &'a str,
    /// Password.
    pub password: &'a str,
    /// Method of the request.
    pub method: &'a str,
    /// Request-URI, repeated in `uri`.
    pub uri: &'a str,
    /// Body of the request, for `auth-int`.
    pub body: &'a [u8],
    /// How often this nonce was used, this time included.
    pub nc: u32,
    /// The client's nonce.
    pub cnonce: &'a str,
    /// Use `auth-int` if it is offered.
    pub integrity: bool,
    /// Send the hash of the username if the challenge invites to.
    pub hide_name: bool,
}

/// Hexadecimal hash of the parts joined by colons. The algorithm may carry `-sess`.
pub fn hash(algorithm: &str, parts: &[&[u8]]) -> String {
    let text = parts.join(&b':');
    let bytes = match algorithm.to_ascii_uppercase().trim_end_matches("-SESS") {
        "SHA-256" => Sha256::digest(&text).to_vec(),
        "SHA-512-256" => Sha512_256::digest(&text).to_vec(),
        _ => Md5::digest(&text).to_vec(),
    };
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The value of an Authorization header field.
pub fn authorization(challenge: &Challenge, answer: &Answer<'_>) -> String {
    let c = challenge;
    let h = |parts: &[&str]| hash(&c.algorithm, &parts.iter().map(|p| p.as_bytes()).collect::<Vec<_>>());
    let mut a1 = h(&[answer.username, &c.realm, answer.password]);
    if c.algorithm.to_ascii_uppercase().ends_with("-SESS") {
        a1 = h(&[&a1, &c.nonce, answer.cnonce]);
    }
    let integrity = answer.integrity && c.qop.iter().any(|q| q == "auth-int");
    let a2 = if integrity {
        let body = hash(&c.algorithm, &[answer.body]);
        h(&[answer.method, answer.uri, &body])
    } else {
        h(&[answer.method, answer.uri])
    };
    let qop = if integrity { "auth-int" } else { "auth" };
    let nc = format!("{:08x}", answer.nc);
    let response = if c.qop.is_empty() {
        h(&[&a1, &c.nonce, &a2])
    } else {
        h(&[&a1, &c.nonce, &nc, answer.cnonce, qop, &a2])
    };
    let hidden = c.userhash && answer.hide_name;
    let username = if hidden { h(&[answer.username, &c.realm]) } else { answer.username.to_owned() };
    let mut out = format!(
        "Digest username=\"{username}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{response}\", algorithm={}",
        c.realm, c.nonce, answer.uri, c.algorithm
    );
    if !c.qop.is_empty() {
        out.push_str(&format!(", qop={qop}, nc={nc}, cnonce=\"{}\"", answer.cnonce));
    }
    if let Some(opaque) = &c.opaque {
        out.push_str(&format!(", opaque=\"{opaque}\""));
    }
    if hidden {
        out.push_str(", userhash=true");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7616 s3.9.1: the worked example for MD5 and SHA-256.
    #[test]
    fn the_examples_of_rfc_7616_come_out() {
        let answer = Answer {
            username: "Mufasa",
            password: "Circle of Life",
            method: "GET",
            uri: "/dir/index.html",
            body: b"",
            nc: 1,
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            integrity: false,
            hide_name: false,
        };
        for (algorithm, expected) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let challenge = Challenge::read(&format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            ))
            .expect("a Digest challenge");
            assert!(authorization(&challenge, &answer).contains(&format!("response=\"{expected}\"")));
        }
    }
}
