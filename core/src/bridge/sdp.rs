//! The one line of a session description that a bridge may have to change: whose session it is. RFC 3264 s8, RFC 4566
//! s5.2: on one leg it stays the same session, and each description of it has a higher version, whoever is at the other
//! end.

/// The session of one leg.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// User and id, as they stand in `o=`.
    name: Box<[u8]>,
    version: u64,
}

impl Session {
    /// That of a description that was sent; `None` if it has none.
    pub(super) fn of(sdp: &[u8]) -> Option<Session> {
        let (before, version, _) = origin(sdp)?;
        let name = sdp.get(before.0..before.1)?.into();
        Some(Session { name, version })
    }

    /// It was shown up to this version already.
    pub(super) fn after(self, version: u64) -> Session {
        Session { version: self.version.max(version), ..self }
    }

    /// Which version of this session a description is; 0 if it is of another.
    pub(super) fn version_of(&self, sdp: &[u8]) -> u64 {
        Session::of(sdp).filter(|other| other.name == self.name).map_or(0, |other| other.version)
    }

    /// The description as the next one of this session; `None` if it has no line that says whose it is.
    pub(super) fn next(&mut self, sdp: &[u8]) -> Option<Vec<u8>> {
        origin(sdp)?;
        self.version = self.version.wrapping_add(1);
        self.this(sdp)
    }

    /// The description as the last one of this session.
    pub(super) fn this(&self, sdp: &[u8]) -> Option<Vec<u8>> {
        let ((start, _), _, rest) = origin(sdp)?;
        let mut out = Vec::with_capacity(sdp.len() + 24);
        out.extend_from_slice(sdp.get(..start)?);
        out.extend_from_slice(&self.name);
        out.push(b' ');
        out.extend_from_slice(itoa::Buffer::new().format(self.version).as_bytes());
        out.extend_from_slice(sdp.get(rest..)?);
        Some(out)
    }
}

/// Is it another description of the same version of the same session? That must not be (RFC 3264 s8).
pub(super) fn is_told_otherwise(before: &[u8], sdp: &[u8]) -> bool {
    let named = |sdp| {
        let ((start, end), version, _) = origin(sdp)?;
        Some((sdp.get(start..end)?, version))
    };
    before != sdp && named(before).is_some_and(|before| named(sdp) == Some(before))
}

/// An answer that takes none of the media that were offered (RFC 3264 s6): for an offer that nobody wants any more.
pub(super) fn declined(offer: &[u8]) -> Vec<u8> {
    let mut out = b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\n".to_vec();
    let lines = || offer.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let time = lines().find(|line| line.starts_with(b"t=")).unwrap_or(b"t=0 0");
    out.extend_from_slice(time);
    out.extend_from_slice(b"\r\n");
    for line in lines().filter(|line| line.starts_with(b"m=")) {
        let mut words = line.splitn(3, |b| *b == b' ');
        let (Some(media), Some(_), Some(rest)) = (words.next(), words.next(), words.next()) else { continue };
        out.extend_from_slice(media);
        out.extend_from_slice(b" 0 ");
        out.extend_from_slice(rest);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// An answer that takes the media that were offered and sends none, to nowhere ("black hole", RFC 3725 s4.3): for an offer
/// that will be followed by another. What is more than plain RTP is not taken yet.
pub(super) fn held(offer: &[u8]) -> Vec<u8> {
    let mut out = b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\n".to_vec();
    let lines = || offer.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let time = lines().find(|line| line.starts_with(b"t=")).unwrap_or(b"t=0 0");
    out.extend_from_slice(time);
    out.extend_from_slice(b"\r\n");
    let mut taken = false;
    for line in lines() {
        if line.starts_with(b"m=") {
            let mut words = line.splitn(4, |b| *b == b' ');
            let parts = (words.next(), words.next(), words.next(), words.next());
            let (Some(media), Some(port), Some(kind), Some(formats)) = parts else {
                taken = false;
                continue;
            };
            taken = kind == b"RTP/AVP" && port != b"0";
            for part in [media, if taken { b" 9 " } else { b" 0 " }, kind, b" ", formats, b"\r\n"] {
                out.extend_from_slice(part);
            }
            if taken {
                out.extend_from_slice(b"a=inactive\r\n");
            }
        } else if taken && (line.starts_with(b"a=rtpmap:") || line.starts_with(b"a=fmtp:")) {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

/// An offer to somebody who has more media lines in his session than it has: none of them goes away (RFC 3264 s8), those it
/// knows nothing of are refused. `None` if it has enough.
pub(super) fn padded(offer: &[u8], before: &[u8]) -> Option<Vec<u8>> {
    let known = media(offer).count();
    let mut missing = media(before).skip(known).peekable();
    missing.peek()?;
    let mut out = offer.to_vec();
    if !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    for line in missing {
        let mut words = line.splitn(3, |b| *b == b' ');
        let (Some(media), Some(_), Some(rest)) = (words.next(), words.next(), words.next()) else { continue };
        for part in [media, b" 0 ", rest.trim_ascii_end(), b"\r\nc=IN IP4 0.0.0.0\r\n"] {
            out.extend_from_slice(part);
        }
    }
    Some(out)
}

/// The answer to such an offer for whoever made it: what he did not offer is not answered (RFC 3264 s6). `None` if there is
/// nothing of that.
pub(super) fn trimmed<'a>(answer: &'a [u8], offer: &[u8]) -> Option<&'a [u8]> {
    let known = media(offer).count();
    let mut at = 0;
    let mut found = 0;
    for line in answer.split_inclusive(|b| *b == b'\n') {
        found += usize::from(line.starts_with(b"m="));
        if found > known {
            return answer.get(..at);
        }
        at += line.len();
    }
    None
}

fn media(sdp: &[u8]) -> impl Iterator<Item = &[u8]> {
    sdp.split(|b| *b == b'\n').filter(|line| line.starts_with(b"m="))
}

/// Is it a description of a session, and nothing around it?
pub(super) fn is_sdp(kind: &[u8]) -> bool {
    kind.split(|b| *b == b';')
        .next()
        .is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"application/sdp"))
}

/// Where user and id stand, the version, and where what follows it begins.
fn origin(sdp: &[u8]) -> Option<((usize, usize), u64, usize)> {
    let mut at = 0;
    for line in sdp.split_inclusive(|b| *b == b'\n') {
        if let Some(value) = line.strip_prefix(b"o=") {
            let spaces: Vec<usize> =
                value.iter().enumerate().filter(|(_, b)| **b == b' ').map(|(i, _)| i).take(3).collect();
            let [_, id_end, version_end] = *spaces.as_slice() else { return None };
            let version = value.get(id_end + 1..version_end)?;
            let version = core::str::from_utf8(version).ok()?.parse().unwrap_or(0);
            let start = at + 2;
            return Some(((start, start + id_end), version, start + version_end));
        }
        // RFC 4566 s5: it is the second line; what has none of it in its session part has none.
        if line.starts_with(b"m=") {
            return None;
        }
        at += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[u8] = b"v=0\r\no=alice 12 7 IN IP4 192.0.2.8\r\ns=-\r\nm=audio 9 RTP/AVP 0\r\n";
    const OTHER: &[u8] = b"v=0\r\no=- 99 1 IN IP6 2001:db8::1\r\ns=x\r\n";

    #[test]
    fn a_session_stays_and_its_version_rises() {
        let mut session = Session::of(FIRST).expect("a session");
        let next = session.next(OTHER).expect("a description");
        assert_eq!(next, b"v=0\r\no=alice 12 8 IN IP6 2001:db8::1\r\ns=x\r\n");
        let again = session.next(OTHER).expect("a description");
        assert_eq!(again, b"v=0\r\no=alice 12 9 IN IP6 2001:db8::1\r\ns=x\r\n");
    }

    #[test]
    fn what_has_changed_and_says_it_has_not_is_noticed() {
        let told = |from, to| {
            is_told_otherwise(FIRST, &String::from_utf8_lossy(FIRST).replace(from, to).into_bytes())
        };
        assert!(told("audio 9", "audio 11") && told("192.0.2.8", "192.0.2.9"));
        assert!(!told("", "") && !told(" 7 ", " 8 ") && !told("alice 12", "alice 13") && !told("o=", "x="));
        assert!(!is_told_otherwise(b"", FIRST));
    }

    #[test]
    fn an_offer_that_nobody_wants_is_answered_with_no_media() {
        let offer = b"v=0\r\no=a 1 1 IN IP4 x\r\ns=-\r\nt=1 2\r\nm=audio 4000 RTP/AVP 0 8\r\na=sendrecv\r\nm=video 5 RTP/AVP 96\r\n";
        let expected = b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=1 2\r\nm=audio 0 RTP/AVP 0 8\r\nm=video 0 RTP/AVP 96\r\n";
        assert_eq!(declined(offer), expected);
        assert!(declined(b"\xff").ends_with(b"t=0 0\r\n"));
    }

    #[test]
    fn media_that_somebody_has_does_not_go_away_and_is_nobody_elses() {
        let before = b"v=0\r\nm=audio 9 RTP/AVP 0\r\na=inactive\r\nm=video 9 RTP/AVP 97 98\r\n";
        let offer = b"v=0\r\nm=audio 4000 RTP/AVP 8\r\na=x";
        let padded = padded(offer, before).expect("one line is missing");
        let expected =
            "v=0\r\nm=audio 4000 RTP/AVP 8\r\na=x\r\nm=video 0 RTP/AVP 97 98\r\nc=IN IP4 0.0.0.0\r\n";
        assert_eq!(String::from_utf8_lossy(&padded), expected);
        assert!(super::padded(before, offer).is_none() && super::padded(b"", b"\xff\n").is_none());
        assert_eq!(trimmed(before, offer), Some(&b"v=0\r\nm=audio 9 RTP/AVP 0\r\na=inactive\r\n"[..]));
        assert_eq!(trimmed(offer, before), None);
        assert!(
            is_sdp(b"Application/SDP ;x=y") && !is_sdp(b"multipart/mixed;boundary=\"m=\"") && !is_sdp(b"")
        );
    }

    #[test]
    fn who_has_to_wait_is_heard_by_nobody() {
        let offer = b"v=0\r\no=a 1 1 IN IP4 x\r\ns=-\r\nc=IN IP4 192.0.2.8\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 96\r\n\
            a=rtpmap:96 opus/48000\r\na=sendrecv\r\nm=video 5 RTP/SAVP 97\r\na=rtpmap:97 H264/90000\r\nm=odd\r\n";
        let expected = b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 9 RTP/AVP 0 96\r\na=inactive\r\n\
            a=rtpmap:96 opus/48000\r\nm=video 0 RTP/SAVP 97\r\n";
        assert_eq!(String::from_utf8_lossy(&held(offer)), String::from_utf8_lossy(expected));
    }

    #[test]
    fn what_says_not_whose_it_is_is_left_alone() {
        for odd in
            [&b""[..], b"v=0\r\ns=-\r\n", b"o=a b\r\n", b"m=audio\r\no=a 1 1 IN IP4 x\r\n", b"\xff\xfe"]
        {
            assert!(Session::of(odd).is_none());
            assert!(Session { name: b"a 1"[..].into(), version: 1 }.next(odd).is_none());
        }
    }
}
