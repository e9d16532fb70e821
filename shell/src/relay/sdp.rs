//! Session descriptions with the addresses of the relay: `c=`, the ports of `m=`, `a=rtcp`; without ICE, which would go
//! around it. Nothing else changes. RFC 4566 s5.7, s5.14, RFC 3605, RFC 8839.

use std::net::IpAddr;

use strowger_core::wire::sdp::lines;

/// What ICE says of itself.
const ICE: [&[u8]; 8] = [
    b"a=candidate:",
    b"a=ice-ufrag:",
    b"a=ice-pwd:",
    b"a=ice-options:",
    b"a=ice-lite",
    b"a=ice-mismatch",
    b"a=remote-candidates:",
    b"a=end-of-candidates",
];

/// One `m=` line: where its media are wanted, and whether they are RTP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stream {
    /// As it is described; its port is never 0.
    pub(super) at: (Option<IpAddr>, u16),
    /// RTP of some kind.
    pub(super) rtp: bool,
}

/// The streams, in order; `None` for one that is refused (port 0), or whose port cannot be read.
pub(super) fn streams(sdp: &[u8]) -> Vec<Option<Stream>> {
    let mut common = None;
    let mut found: Vec<Option<Stream>> = Vec::new();
    for line in lines(sdp) {
        if let Some((_, port, rest)) = media(line) {
            let rtp =
                rest.split(|b| *b == b' ').next().is_some_and(|kind| kind.windows(4).any(|w| w == b"RTP/"));
            found.push((port != 0).then_some(Stream { at: (common, port), rtp }));
        } else if let Some(addr) = connection(line) {
            match found.last_mut() {
                Some(Some(stream)) => stream.at.0 = Some(addr),
                Some(None) => {}
                None => common = Some(addr),
            }
        }
    }
    found
}

/// The description with the relay at this address, and of each stream at this port.
pub(super) fn rewrite(sdp: &[u8], addr: IpAddr, ports: &[Option<u16>]) -> Vec<u8> {
    let family = if addr.is_ipv4() { "IP4" } else { "IP6" };
    let connected = format!("c=IN {family} {addr}");
    let bare = !lines(sdp).any(|line| line.starts_with(b"c="));
    let mut out = Vec::with_capacity(sdp.len() + 32);
    let mut put = |line: &[u8]| {
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    };
    let mut ports = ports.iter();
    let mut port = None;
    for line in lines(sdp).filter(|line| !line.is_empty()) {
        if bare && line.starts_with(b"t=") {
            put(connected.as_bytes());
        }
        if let Some((name, _, rest)) = media(line) {
            port = ports.next().copied().flatten();
            match port {
                Some(port) => put(&[name, format!(" {port} ").as_bytes(), rest].concat()),
                None => put(line),
            }
        } else if line.starts_with(b"c=") {
            // RFC 3264 s8.4: nowhere stays nowhere.
            match connection(line).is_some_and(|addr| addr.is_unspecified()) {
                true => put(line),
                false => put(connected.as_bytes()),
            }
        } else if line.starts_with(b"a=rtcp:") {
            if let Some(port) = port {
                put(format!("a=rtcp:{}", port + 1).as_bytes());
            }
        } else if !ICE.iter().any(|ice| line.starts_with(ice)) {
            put(line);
        }
    }
    out
}

/// Name and port of an `m=` line, and what is behind them.
fn media(line: &[u8]) -> Option<(&[u8], u16, &[u8])> {
    let rest = line.strip_prefix(b"m=")?;
    let space = rest.iter().position(|b| *b == b' ')?;
    let (name, rest) = (line.get(..space + 2)?, rest.get(space + 1..)?);
    let space = rest.iter().position(|b| *b == b' ')?;
    let (port, rest) = (rest.get(..space)?, rest.get(space + 1..)?);
    // RFC 4566 s5.14: several ports in a row have their count behind the first.
    let port = std::str::from_utf8(port.split(|b| *b == b'/').next()?).ok()?.parse().ok()?;
    Some((name, port, rest))
}

fn connection(line: &[u8]) -> Option<IpAddr> {
    let value = std::str::from_utf8(line.strip_prefix(b"c=")?).ok()?;
    value.split_ascii_whitespace().nth(2)?.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &[u8] = b"v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 0 101\r\na=rtcp:4005 IN IP4 10.0.0.9\r\na=rtpmap:101 telephone-event/8000\r\n\
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\na=candidate:1 1 UDP 1 10.0.0.9 4000 typ host\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=sendrecv\r\n\
        m=video 0 RTP/AVP 97\r\nm=image 4010 udptl t38\r\nc=IN IP4 0.0.0.0\r\n";

    #[test]
    fn only_where_media_go_is_changed() {
        let at = |text: &str| text.parse::<IpAddr>().expect("an address");
        let shown = rewrite(OFFER, at("192.0.2.1"), &[Some(30000), None, Some(30002)]);
        let expected = "v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
            m=audio 30000 RTP/AVP 0 101\r\na=rtcp:30001\r\na=rtpmap:101 telephone-event/8000\r\n\
            a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\na=sendrecv\r\n\
            m=video 0 RTP/AVP 97\r\nm=image 30002 udptl t38\r\nc=IN IP4 0.0.0.0\r\n";
        assert_eq!(String::from_utf8_lossy(&shown), expected);
        let shown = rewrite(b"v=0\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n", at("2001:db8::1"), &[Some(30000)]);
        assert_eq!(shown, b"v=0\r\nc=IN IP6 2001:db8::1\r\nt=0 0\r\nm=audio 30000 RTP/AVP 0\r\n");
    }

    #[test]
    fn streams_are_where_their_own_line_says_or_that_of_all() {
        let found = streams(OFFER);
        assert_eq!(found.len(), 3);
        let first = found[0].as_ref().expect("audio");
        assert_eq!((first.at, first.rtp), ((Some("10.0.0.9".parse().expect("one")), 4000), true));
        assert!(found[1].is_none());
        assert!(!found[2].as_ref().expect("fax").rtp);
        for odd in [&b"m="[..], b"m=audio", b"m=audio x RTP/AVP 0", b"m=audio 70000 RTP/AVP 0", b"\xff"] {
            assert!(streams(odd).is_empty());
            rewrite(odd, "192.0.2.1".parse().expect("one"), &[Some(1)]);
        }
    }
}
