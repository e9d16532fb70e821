//! What must not go from one leg of a call to another, and what must: RFC 7092 s3, RFC 3261 s22, RFC 7332.

use std::collections::{BTreeMap, BTreeSet};

use super::laws::{CREDENTIALS, CROSSING, Law, MAX_BREADTH, MAX_FORWARDS};
use crate::message::{Sip, param};

const SECRETS: [&str; 5] =
    ["Authorization", "Proxy-Authorization", "WWW-Authenticate", "Proxy-Authenticate", "Authentication-Info"];

/// They name other dialogs on purpose.
const NAMES_OTHERS: [&str; 8] = [
    "Replaces",
    "Refer-To",
    "Referred-By",
    "Target-Dialog",
    "In-Reply-To",
    "Session-ID",
    "History-Info",
    "Join",
];

/// What is known of all legs.
#[derive(Clone, Debug, Default)]
pub(super) struct Crossing {
    /// Words of identifiers, and the Call-IDs of their legs.
    words: BTreeMap<String, BTreeSet<String>>,
    secrets: BTreeSet<String>,
    /// Max-Forwards of INVITEs that came; `None` where there was none.
    hops: BTreeSet<Option<u32>>,
    /// Max-Breadth of the same.
    breadths: BTreeSet<u32>,
}

/// RFC 5393 s5.3.3: what a request is given that has none, and the most there is.
const BREADTH: u32 = 60;

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| w.len() >= 8)
}

fn identifiers(m: &Sip) -> Vec<String> {
    let tag = |name: &str| m.header(name).and_then(|v| param(v, "tag")).map(str::to_owned);
    let own = [m.header("Call-ID").map(str::to_owned), tag("From"), tag("To")];
    let branches = m.values("Via").into_iter().filter_map(|v| param(v, "branch").map(str::to_owned));
    own.into_iter().flatten().chain(branches).collect()
}

impl Crossing {
    pub(super) fn came(&mut self, m: &Sip) {
        // What is called for a transfer begins anew.
        if m.is_request() && m.method() == "REFER" {
            self.hops.insert(None);
            self.breadths.insert(BREADTH);
        }
        for name in SECRETS {
            self.secrets.extend(m.lines(name).into_iter().map(str::to_owned));
        }
    }

    /// An INVITE came that makes a leg.
    pub(super) fn invited(&mut self, m: &Sip) {
        self.hops.insert(m.header("Max-Forwards").and_then(|v| v.parse().ok()));
        self.breadths.insert(m.header("Max-Breadth").and_then(|v| v.parse().ok()).unwrap_or(BREADTH));
    }

    /// A message of a call: its identifiers are those of its leg.
    pub(super) fn learn(&mut self, m: &Sip) {
        let call = m.header("Call-ID").unwrap_or_default();
        for id in identifiers(m) {
            for word in words(&id) {
                self.words.entry(word.to_owned()).or_default().insert(call.to_owned());
            }
        }
    }

    pub(super) fn forget(&mut self, call: &str) {
        self.words.retain(|_, owners| {
            owners.remove(call);
            !owners.is_empty()
        });
        if self.words.is_empty() {
            *self = Crossing::default();
        }
    }

    pub(super) fn secrets(&self, m: &Sip) -> Option<(Law, String)> {
        let leaked = SECRETS.iter().find(|n| m.lines(n).iter().any(|v| self.secrets.contains(*v)))?;
        Some((CREDENTIALS, format!("{leaked} in {}", m.start)))
    }

    pub(super) fn identifiers(&self, m: &Sip) -> Option<(Law, String)> {
        let call = m.header("Call-ID").unwrap_or_default();
        let start = ("the first line".to_owned(), m.start.clone());
        let named = |name: &str| NAMES_OTHERS.iter().any(|n| n.eq_ignore_ascii_case(name));
        let fields = m.headers.iter().filter(|(name, _)| !named(name)).chain(std::iter::once(&start));
        for (name, value) in fields {
            let foreign =
                words(value).find(|w| self.words.get(*w).is_some_and(|owners| !owners.contains(call)));
            if let Some(word) = foreign {
                return Some((CROSSING, format!("{word} of another leg in {name} of {}", m.start)));
            }
        }
        None
    }

    /// How what came is divided is not known here, only that none has more.
    pub(super) fn breadth(&self, m: &Sip) -> Option<(Law, String)> {
        let breadth: u32 = m.header("Max-Breadth").and_then(|v| v.parse().ok()).unwrap_or(0);
        let most = self.breadths.last().map_or(BREADTH, |most| BREADTH.min(*most));
        (breadth == 0 || breadth > most).then(|| (MAX_BREADTH, format!("{breadth}, of {:?}", self.breadths)))
    }

    pub(super) fn hops(&self, m: &Sip) -> Option<(Law, String)> {
        let hops: u32 = m.header("Max-Forwards").and_then(|v| v.parse().ok()).unwrap_or(0);
        // One of our own, or one that had none.
        let fresh = hops == 70 && (self.hops.is_empty() || self.hops.contains(&None));
        (!fresh && !self.hops.contains(&Some(hops + 1)))
            .then(|| (MAX_FORWARDS, format!("{hops}, of {:?}", self.hops)))
    }
}
