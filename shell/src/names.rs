//! The names of this machine: what a phone may have been told to call the server when nobody configured a domain.

use std::net::IpAddr;

/// Every address of this machine and `localhost`, in order, without link-local IPv6 addresses (which no URI can carry
/// without a zone).
pub fn addresses() -> Vec<IpAddr> {
    let mut found = interface_addresses();
    found.push(IpAddr::from([127, 0, 0, 1]));
    found.push(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST));
    found.retain(|ip| match ip {
        IpAddr::V4(v4) => !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_unicast_link_local(),
    });
    found.sort();
    found.dedup();
    found
}

/// The host name, lower case, if it has one that can stand in a SIP URI.
pub fn host_name() -> Option<String> {
    let name = system_host_name()?.to_ascii_lowercase();
    let good = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // RFC 3261 s25.1: the last label of a hostname begins with a letter.
    let last = name.rsplit('.').next()?;
    (name.split('.').all(good) && last.as_bytes().first()?.is_ascii_alphabetic()).then_some(name)
}

#[cfg(unix)]
fn interface_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        })
        .collect()
}

#[cfg(not(unix))]
fn interface_addresses() -> Vec<IpAddr> {
    Vec::new()
}

#[cfg(unix)]
fn system_host_name() -> Option<String> {
    nix::unistd::gethostname().ok()?.into_string().ok()
}

#[cfg(not(unix))]
fn system_host_name() -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_always_among_the_addresses() {
        let found = addresses();
        assert!(found.contains(&IpAddr::from([127, 0, 0, 1])));
        assert!(found.contains(&IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)));
        assert!(!found.iter().any(IpAddr::is_unspecified));
    }

    #[test]
    fn a_host_name_can_stand_in_a_uri() {
        if let Some(name) = host_name() {
            assert!(!name.is_empty() && !name.contains(['_', ' ']));
        }
    }
}
