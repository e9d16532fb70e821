//! From the names a token or a store uses to canonical addresses of record (RFC 3261 s10.3 step 5).
//!
//! Exactly or not at all: what cannot be read as an address of ours names nobody.

use crate::base::text::AorBuf;
use crate::config::Domains;
use crate::wire::Uri;

/// The canonical AoRs among these names, each once, in order.
pub(super) fn canonical_aors<'n>(names: impl Iterator<Item = &'n str>, domains: &Domains) -> Vec<Box<str>> {
    let mut aors: Vec<Box<str>> = Vec::new();
    for name in names {
        if let Some(aor) = canonical_aor(name, domains)
            && !aors.contains(&aor)
        {
            aors.push(aor);
        }
    }
    aors
}

/// The canonical AoR of a name: a SIP URI, `user@domain`, or a bare user of the default domain. `None` for anything
/// else, and for a domain that is not ours.
fn canonical_aor(name: &str, domains: &Domains) -> Option<Box<str>> {
    let is_uri = name.get(..4).is_some_and(|s| s.eq_ignore_ascii_case("sip:"))
        || name.get(..5).is_some_and(|s| s.eq_ignore_ascii_case("sips:"));
    let written;
    let uri = if is_uri {
        name
    } else if name.contains('@') {
        written = format!("sip:{name}");
        &written
    } else {
        written = format!("sip:{name}@{}", domains.names().first()?);
        &written
    };
    let uri = Uri::parse(uri.as_bytes()).ok()?;
    // More than an address is no match: neither "bob:x" nor "bob@example.com?y=z".
    let more = !is_uri && (uri.port().is_some() || !uri.params().is_empty());
    if uri.password().is_some() || !uri.headers().is_empty() || more {
        return None;
    }
    let mut aor = AorBuf::new();
    if !domains.aor(&uri, &mut aor) {
        return None;
    }
    core::str::from_utf8(&aor).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DomainConfig;

    #[test]
    fn a_name_means_an_address_exactly_or_not_at_all() {
        let domains =
            Domains::new(&[DomainConfig { name: "example.com".into(), aliases: vec!["192.0.2.1".into()] }]);
        let aor = |name: &str| canonical_aor(name, &domains);
        for name in [
            "bob",
            "bob@example.com",
            "sip:bob@example.com",
            "SIPS:bob@EXAMPLE.com:5061;transport=tls",
            "b%6fb@192.0.2.1",
        ] {
            assert_eq!(aor(name).as_deref(), Some("bob@example.com"), "{name}");
        }
        for name in [
            "",
            "@",
            "bob@",
            "@example.com",
            "bob@example.com.evil.net",
            "bob@elsewhere.com",
            "bob@example.com@elsewhere.com",
            "bob:secret",
            "sip:bob:x@example.com",
            "bob@example.com?a=b",
            "bob@example.com;x",
            "bob@example.com:5060",
            "sip:example.com",
            "tel:+1201",
            "bob\r\n",
            "b ob",
            "https://example.com/bob",
            "bob\u{e9}",
            "mailto:bob@example.com",
        ] {
            assert_eq!(aor(name), None, "{name}");
        }
        let names = ["bob", "sip:bob@example.com", "x@else.net", "ann"];
        let aors = canonical_aors(names.into_iter(), &domains);
        assert_eq!(aors.iter().map(|s| &**s).collect::<Vec<_>>(), ["bob@example.com", "ann@example.com"]);
    }
}
