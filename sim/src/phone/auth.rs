//! The phone's credentials: Digest (RFC 7616 s3.4) and Bearer (RFC 8898 s2), for any request that may be challenged.

use super::Phone;
use crate::digest::{self, Answer, Challenge};
use crate::message::Sip;

impl Phone {
    /// Adds what is known to a request: a token, or an answer to the last challenge. The first try has it only if the
    /// phone does not wait to be asked.
    pub(super) fn add_credentials(&mut self, m: &mut Sip, method: &str, uri: &str, tries: u32) {
        self.add_credentials_for(m, method, uri, b"", tries);
    }

    /// The same for a request with a body.
    pub(super) fn add_credentials_for(
        &mut self,
        m: &mut Sip,
        method: &str,
        uri: &str,
        body: &[u8],
        tries: u32,
    ) {
        if !self.habits.preemptive && tries == 0 {
            return;
        }
        if let Some(token) = &self.habits.token {
            m.push("Authorization", format!("Bearer {token}"));
        } else if let Some(value) = self.credentials(method, uri, body) {
            m.push("Authorization", value);
        }
    }

    /// Takes a challenge in answer to the `tries`-th try. True if the request is to be sent again.
    pub(super) fn take_challenge(&mut self, m: &Sip, tries: u32) -> bool {
        let bearer = m.lines("WWW-Authenticate").iter().any(|v| v.starts_with("Bearer"));
        if self.habits.token.is_some() {
            // A token sent and refused is not sent again.
            let sent = self.habits.preemptive || tries > 1;
            return bearer && !sent;
        }
        let offered: Vec<Challenge> =
            m.lines("WWW-Authenticate").iter().filter_map(|v| Challenge::read(v)).collect();
        let known = |c: &&Challenge| {
            self.habits.algorithms.is_empty()
                || self.habits.algorithms.iter().any(|a| c.algorithm.eq_ignore_ascii_case(a))
        };
        let Some(chosen) = offered.iter().find(known).cloned() else { return false };
        // RFC 3261 s22.2: the same credentials are not tried twice, unless only the nonce was old.
        let again = tries == 1 || chosen.stale && tries < 4;
        self.challenge = again.then_some(chosen);
        self.nc = 0;
        again
    }

    /// Takes what a 2xx says about the next nonce (RFC 7616 s3.5).
    pub(super) fn take_info(&mut self, m: &Sip) {
        for value in m.lines("Authentication-Info") {
            for (name, value) in digest::params(value) {
                if let ("nextnonce", Some(c)) = (name.as_str(), &mut self.challenge) {
                    c.nonce = value;
                    self.nc = 0;
                }
            }
        }
    }

    fn credentials(&mut self, method: &str, uri: &str, body: &[u8]) -> Option<String> {
        let challenge = self.challenge.clone()?;
        self.nc += 1;
        let cnonce = self.rng.word();
        let answer = Answer {
            username: self.login.as_ref().unwrap_or(&self.user),
            password: &self.password,
            method,
            uri,
            body,
            nc: self.nc,
            cnonce: &cnonce,
            integrity: self.habits.integrity,
            hide_name: self.habits.hide_name,
        };
        Some(digest::authorization(&challenge, &answer))
    }
}
