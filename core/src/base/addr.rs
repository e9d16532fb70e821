//! An address with its port as bytes: 4 or 6, the address, the scope of an IPv6 one, the port, both big-endian. It stands in
//! bindings and in what is stored of them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Room for one.
pub(crate) const ADDR_BYTES: usize = 23;

/// An address as bytes.
pub(crate) struct Addr([u8; ADDR_BYTES]);

impl Addr {
    pub(crate) fn of(addr: SocketAddr) -> Addr {
        let mut out = [0; ADDR_BYTES];
        let [p, q] = addr.port().to_be_bytes();
        match addr {
            SocketAddr::V4(v4) => {
                let [a, b, c, d] = v4.ip().octets();
                if let Some(place) = out.first_chunk_mut() {
                    *place = [4, a, b, c, d, p, q];
                }
            }
            SocketAddr::V6(v6) => {
                let address = [6].into_iter().chain(v6.ip().octets());
                let mut bytes = address.chain(v6.scope_id().to_be_bytes()).chain([p, q]);
                out.fill_with(|| bytes.next().unwrap_or(0));
            }
        }
        Addr(out)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        let len = if self.0.first() == Some(&4) { 7 } else { self.0.len() };
        self.0.get(..len).unwrap_or_default()
    }
}

/// Reads what [`Addr`] wrote, and what stands behind it; `None` if it did not write it.
pub(crate) fn read_addr(bytes: &[u8]) -> Option<(SocketAddr, &[u8])> {
    match bytes {
        [4, a, b, c, d, p, q, rest @ ..] => {
            let ip = IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d));
            Some((SocketAddr::new(ip, u16::from_be_bytes([*p, *q])), rest))
        }
        [6, rest @ ..] => {
            let (ip, rest) = rest.split_first_chunk::<16>()?;
            let (scope, rest) = rest.split_first_chunk::<4>()?;
            let (port, rest) = rest.split_first_chunk::<2>()?;
            let (ip, scope) = (Ipv6Addr::from(*ip), u32::from_be_bytes(*scope));
            Some((SocketAddr::V6(SocketAddrV6::new(ip, u16::from_be_bytes(*port), 0, scope)), rest))
        }
        _ => None,
    }
}

/// Numbers compare quicker than addresses; several addresses may have one.
pub(crate) fn addr_number(addr: SocketAddr) -> u64 {
    let ip = match addr.ip() {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip) as u64 ^ (u128::from(ip) >> 64) as u64,
    };
    ip.rotate_left(16) ^ u64::from(addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_back_and_one_that_is_cut_off_is_none() {
        for text in ["192.0.2.7:5060", "[2001:db8::1]:5061", "[fe80::1%3]:5060"] {
            let addr = text.parse().expect("an address");
            let bytes = [Addr::of(addr).as_bytes(), b"behind"].concat();
            assert_eq!(read_addr(&bytes), Some((addr, &b"behind"[..])));
            for length in 0..bytes.len() - 6 {
                assert_eq!(read_addr(&bytes[..length]), None);
            }
        }
        assert_eq!(read_addr(b"5 is no family"), None);
    }
}
