//! Which names are ours, and the canonical form of an address of record.

use core::cmp::Ordering;
use core::net::IpAddr;

use crate::base::text::{self, AorBuf, owned};
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
    // Lower-case host names and what they mean, sorted by length, then bytes.
    hosts: Vec<(Box<[u8]>, u16)>,
    addresses: Vec<(IpAddr, u16)>,
}

/// The order of host names: by length, then bytes, without regard to case.
fn compare(own: &[u8], host: &[u8]) -> Ordering {
    own.len().cmp(&host.len()).then_with(|| own.iter().copied().cmp(host.iter().map(u8::to_ascii_lowercase)))
}

impl Domains {
    /// Builds the table; names and aliases are folded to lower case. Of two domains with one name the first wins.
    pub fn new(config: &[DomainConfig]) -> Domains {
        let mut domains = Domains::default();
        for (i, domain) in config.iter().enumerate() {
            let i = i as u16;
            domains.names.push(domain.name.trim_matches(['[', ']']).to_ascii_lowercase().into());
            for host in core::iter::once(&domain.name).chain(&domain.aliases) {
                let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
                match host.parse::<IpAddr>() {
                    Ok(address) => domains.addresses.push((address.to_canonical(), i)),
                    Err(_) => domains.hosts.push((host.into_bytes().into(), i)),
                }
            }
        }
        domains.hosts.sort_by(|a, b| compare(&a.0, &b.0));
        domains.hosts.dedup_by(|later, first| later.0 == first.0);
        domains.addresses.sort();
        domains.addresses.dedup_by_key(|(address, _)| *address);
        domains
    }

    /// The canonical name of the domain a host means; `None` if it is not ours.
    pub fn canonical(&self, host: Host<'_>) -> Option<&str> {
        self.names.get(usize::from(self.index(host)?)).map(|name| &**name)
    }

    /// The place in [`names`](Self::names) of the domain a host means.
    #[inline]
    pub(crate) fn index(&self, host: Host<'_>) -> Option<u16> {
        Some(match host {
            Host::Name(name) => {
                // Nearly every request names the default domain, and in its own spelling.
                if self.names.first().is_some_and(|first| first.as_bytes() == name) {
                    return Some(0);
                }
                let at = self.hosts.binary_search_by(|(own, _)| compare(own, name)).ok()?;
                self.hosts.get(at)?.1
            }
            Host::V4(_) | Host::V6(_) => {
                let address = host.ip()?.to_canonical();
                let at = self.addresses.binary_search_by(|(own, _)| own.cmp(&address)).ok()?;
                self.addresses.get(at)?.1
            }
        })
    }

    /// Canonical names, the default first.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Writes the canonical AoR of a URI: parameters and password removed, escapes of the user decoded where they
    /// need not be escaped, host folded and aliases resolved (RFC 3261 s10.3 step 5). False if the URI has no user
    /// or its domain is not ours; `out` is then empty.
    pub fn aor(&self, uri: &Uri<'_>, out: &mut AorBuf) -> bool {
        self.aor_in(uri, out).is_some()
    }

    /// The canonical AoR of `user@domain` or a SIP URI; `None` if it is none, or of no domain of ours.
    pub fn canonical_aor(&self, text: &str) -> Option<Box<str>> {
        let mut uri = String::new();
        if !text.starts_with("sip:") && !text.starts_with("sips:") {
            uri.push_str("sip:");
        }
        uri.push_str(text);
        let mut out = AorBuf::new();
        let uri = Uri::parse(uri.as_bytes()).ok()?;
        self.aor(&uri, &mut out).then(|| owned(&out))
    }

    /// The same; the place in [`names`](Self::names) of its domain.
    pub(crate) fn aor_in(&self, uri: &Uri<'_>, out: &mut AorBuf) -> Option<u16> {
        out.clear();
        let (user, domain) = (uri.user()?, self.index(uri.host()?)?);
        if user.is_empty() {
            return None;
        }
        text::canonical_user(user, out);
        out.push(b'@');
        out.extend_from_slice(self.names.get(usize::from(domain))?.as_bytes());
        Some(domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains() -> Domains {
        let domain = |name: &str, aliases: &[&str]| DomainConfig {
            name: name.into(),
            aliases: aliases.iter().map(|a| (*a).into()).collect(),
        };
        Domains::new(&[
            domain("Example.com", &["pbx.example.com", "192.0.2.1", "2001:DB8::1"]),
            domain("office.example", &["[2001:db8::2]", "pbx.example.com"]),
        ])
    }

    #[test]
    fn aliases_and_addresses_mean_their_domain_in_any_spelling() {
        let domains = domains();
        for (host, meaning) in [
            ("example.com", Some("example.com")),
            ("EXAMPLE.COM", Some("example.com")),
            ("PBX.example.com", Some("example.com")),
            ("192.0.2.1", Some("example.com")),
            ("[2001:0db8:0::1]", Some("example.com")),
            ("[::ffff:192.0.2.1]", Some("example.com")),
            ("[2001:db8::2]", Some("office.example")),
            ("office.example", Some("office.example")),
            ("192.0.2.2", None),
            ("xample.com", None),
            ("example.com.evil", None),
        ] {
            let host = Host::parse(host.as_bytes()).expect("a host");
            assert_eq!(domains.canonical(host), meaning, "{host:?}");
        }
    }

    #[test]
    fn an_aor_is_canonical_and_needs_a_user_and_a_domain_of_ours() {
        let domains = domains();
        for (uri, aor) in [
            ("sip:bob@example.com", Some("bob@example.com")),
            ("sips:bob:secret@PBX.EXAMPLE.COM:5070;transport=tcp?x=y", Some("bob@example.com")),
            ("sip:%62ob@192.0.2.1", Some("bob@example.com")),
            // RFC 3261 s19.1.4: the user part keeps its case.
            ("sip:Bob@example.com", Some("Bob@example.com")),
            ("sip:a%40b@example.com", Some("a%40b@example.com")),
            ("sip:example.com", None),
            ("sip:bob@elsewhere.invalid", None),
            ("tel:+15551234", None),
        ] {
            let mut out = AorBuf::new();
            let found = domains.aor(&Uri::parse(uri.as_bytes()).expect("a URI"), &mut out);
            assert_eq!(found.then(|| core::str::from_utf8(&out).expect("ASCII")), aor, "{uri}");
        }
    }
}
