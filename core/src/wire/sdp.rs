//! The few lines of a session description that decide how its media travel. RFC 4566 s5.7, RFC 8839.

use core::net::IpAddr;

/// The lines, without their ends.
pub fn lines(sdp: &[u8]) -> impl Iterator<Item = &[u8]> {
    sdp.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Where media are wanted: the address of the first `c=` that names one. One that is unspecified (RFC 3264 s8.4: nowhere)
/// is none, and neither is a name.
pub fn connection(sdp: &[u8]) -> Option<IpAddr> {
    lines(sdp).filter_map(address).find(|addr| !addr.is_unspecified())
}

/// The address a `c=` line names.
fn address(line: &[u8]) -> Option<IpAddr> {
    let value = core::str::from_utf8(line.strip_prefix(b"c=")?).ok()?;
    let mut words = value.split_ascii_whitespace();
    let (Some("IN"), Some(_), Some(addr)) = (words.next(), words.next(), words.next()) else { return None };
    // RFC 4566 s5.7: a multicast address has its TTL behind it.
    addr.split('/').next()?.parse().ok()
}

/// True if it is of a browser, or of what speaks like one: DTLS-SRTP with feedback, over ICE (RFC 8827, RFC 8829).
pub fn is_webrtc(sdp: &[u8]) -> bool {
    let secure = |line: &[u8]| line.starts_with(b"m=") && find(line, b"TLS/RTP/SAVPF");
    lines(sdp).any(secure) && lines(sdp).any(|line| line.starts_with(b"a=ice-ufrag:"))
}

fn find(line: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(line, what).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_media_are_wanted_is_the_first_address_that_is_one() {
        let at = |text: &str| connection(text.as_bytes()).map(|addr| addr.to_string());
        assert_eq!(at("v=0\r\nc=IN IP4 10.0.0.1\r\n").as_deref(), Some("10.0.0.1"));
        assert_eq!(
            at("c=IN IP4 0.0.0.0\nm=audio 9 RTP/AVP 0\nc=IN IP6 2001:db8::1").as_deref(),
            Some("2001:db8::1")
        );
        assert_eq!(at("c=IN IP4 224.2.1.1/127\r\n").as_deref(), Some("224.2.1.1"));
        for odd in ["", "c=", "c=IN IP4", "c=IN IP4 pc.example.com", "c=ATM NSAP 1.2.3.4", "c=IN IP4 \u{e9}"]
        {
            assert_eq!(at(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_browser_is_known_by_its_keys_and_candidates() {
        let browser = b"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-ufrag:x\r\n";
        assert!(is_webrtc(browser));
        assert!(!is_webrtc(b"m=audio 9 RTP/AVP 0\r\na=ice-ufrag:x\r\n"));
        assert!(!is_webrtc(b"m=audio 9 RTP/SAVP 0\r\na=crypto:1 x\r\n"));
    }
}
