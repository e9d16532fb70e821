//! Which names are ours, and the canonical form of an address of record.

use smallvec::SmallVec;

use crate::base::text::{self, AorBuf};
use crate::wire::{Host, Uri};

/// A domain as a host writes it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DomainConfig {
    /// The canonical name; AoRs are stored under it.
    pub name: String,
    /// Other host names and addresses (IPv6 without brackets) that mean the same domain.
    pub aliases: Vec<String>,
}

/// All domains we are responsible for. The first is the default one.
#[derive(Clone, Debug, Default)]
pub struct Domains {
    names: Vec<Box<str>>,
    // (lower-case host without brackets, index into names), sorted by host.
    hosts: Vec<(Box<str>, u16)>,
}

impl Domains {
    /// Builds the table; names and aliases are folded to lower case.
    pub fn new(config: &[DomainConfig]) -> Domains {
        let mut domains = Domains::default();
        for (i, domain) in config.iter().enumerate() {
            let fold = |name: &str| name.trim_matches(['[', ']']).to_ascii_lowercase().into_boxed_str();
            domains.names.push(fold(&domain.name));
            domains.hosts.push((fold(&domain.name), i as u16));
            domains.hosts.extend(domain.aliases.iter().map(|a| (fold(a), i as u16)));
        }
        domains.hosts.sort();
        domains.hosts.dedup_by(|a, b| a.0 == b.0);
        domains
    }

    /// The canonical name of the domain a host means; `None` if it is not ours.
    pub fn canonical(&self, host: Host<'_>) -> Option<&str> {
        let mut folded: SmallVec<[u8; 64]> = SmallVec::new();
        host.write_folded(&mut folded);
        let at = self.hosts.binary_search_by(|(name, _)| name.as_bytes().cmp(&folded[..])).ok()?;
        self.names.get(usize::from(self.hosts.get(at)?.1)).map(|n| &**n)
    }

    /// Canonical names, the default first.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Writes the canonical AoR of a URI: parameters and password removed, escapes of the user decoded where they
    /// need not be escaped, host folded and aliases resolved (RFC 3261 s10.3 step 5). False if the URI has no user
    /// or its domain is not ours; `out` is then empty.
    pub fn aor(&self, uri: &Uri<'_>, out: &mut AorBuf) -> bool {
        out.clear();
        let (Some(user), Some(host)) = (uri.user(), uri.host()) else { return false };
        let Some(domain) = self.canonical(host) else { return false };
        if user.is_empty() {
            return false;
        }
        text::canonical_user(user, out);
        out.push(b'@');
        out.extend_from_slice(domain.as_bytes());
        true
    }
}
