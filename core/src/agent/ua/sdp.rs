//! Our last session description as the answer to another offer: RFC 3264 s6, s8. Directions follow the offer, media that
//! the offer has and we do not are refused; all else stays as the host gave it.

/// Who sends and who receives, as one side says it: it sends, it receives.
type Direction = (bool, bool);

const BOTH: Direction = (true, true);

/// The answer; `None` if the offer has fewer media than ours, or is none.
pub(super) fn answer(own: &[u8], offer: &[u8], version: u64) -> Option<Vec<u8>> {
    let (own_head, own_media) = sections(own);
    let (offer_head, offered) = sections(offer);
    if offered.is_empty() || own_media.len() > offered.len() {
        return None;
    }
    let (own_default, offer_default) = (direction(&own_head, BOTH), direction(&offer_head, BOTH));
    let mut out = Vec::with_capacity(own.len() + 64);
    for line in own_head.iter().filter(|line| of_direction(line).is_none()) {
        match line.strip_prefix(b"o=") {
            Some(origin) => write_origin(&mut out, origin, version),
            None => push(&mut out, &[line]),
        }
    }
    for (i, theirs) in offered.iter().enumerate() {
        let media = theirs.first()?;
        let Some(ours) = own_media.get(i) else {
            push(&mut out, &[&refused(media)?]);
            continue;
        };
        if port(media) == Some(b"0") {
            push(&mut out, &[&refused(media)?]);
            continue;
        }
        let (sends, receives) = direction(ours, own_default);
        let (they_send, they_receive) = direction(theirs, offer_default);
        for line in ours.iter().filter(|line| of_direction(line).is_none()) {
            push(&mut out, &[line]);
        }
        push(&mut out, &[b"a=", name((sends && they_receive, receives && they_send))]);
    }
    Some(out)
}

/// The same by what was said last: RFC 3264 s8, of a higher version if anything in it is different.
pub(super) fn again(own: &[u8], sent: &[u8], offer: &[u8]) -> Option<Vec<u8>> {
    let version = version(sent);
    let same = answer(own, offer, version).filter(|answer| **answer == *sent);
    same.or_else(|| answer(own, offer, version.wrapping_add(1)))
}

/// The version of a description, as its origin says it.
pub(super) fn version(sdp: &[u8]) -> u64 {
    let origin = lines(sdp).find_map(|line| line.strip_prefix(b"o=")).unwrap_or_default();
    let word = origin.split(|b| *b == b' ').nth(2).unwrap_or_default();
    core::str::from_utf8(word).ok().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn lines(sdp: &[u8]) -> impl Iterator<Item = &[u8]> {
    let bare = |line: &'_ [u8]| line.len() - usize::from(line.ends_with(b"\r"));
    sdp.split(|b| *b == b'\n')
        .map(move |line| line.get(..bare(line)).unwrap_or_default())
        .filter(|line| !line.is_empty())
}

/// What stands before the media, and each of them from its line on.
fn sections(sdp: &[u8]) -> (Vec<&[u8]>, Vec<Vec<&[u8]>>) {
    let (mut head, mut media) = (Vec::new(), Vec::<Vec<&[u8]>>::new());
    for line in lines(sdp) {
        if line.starts_with(b"m=") {
            media.push(vec![line]);
        } else if let Some(section) = media.last_mut() {
            section.push(line);
        } else {
            head.push(line);
        }
    }
    (head, media)
}

fn of_direction(line: &[u8]) -> Option<Direction> {
    match line {
        b"a=sendrecv" => Some(BOTH),
        b"a=sendonly" => Some((true, false)),
        b"a=recvonly" => Some((false, true)),
        b"a=inactive" => Some((false, false)),
        _ => None,
    }
}

fn direction(section: &[&[u8]], default: Direction) -> Direction {
    section.iter().find_map(|line| of_direction(line)).unwrap_or(default)
}

fn name(direction: Direction) -> &'static [u8] {
    match direction {
        (true, true) => b"sendrecv",
        (true, false) => b"sendonly",
        (false, true) => b"recvonly",
        (false, false) => b"inactive",
    }
}

fn port(media: &[u8]) -> Option<&[u8]> {
    media.split(|b| *b == b' ').nth(1)
}

/// The line of media that are not taken.
fn refused(media: &[u8]) -> Option<Vec<u8>> {
    let mut words = media.splitn(3, |b| *b == b' ');
    let (kind, _, rest) = (words.next()?, words.next()?, words.next()?);
    Some([kind, b" 0 ", rest].concat())
}

/// RFC 4566 s5.2: user, id, version, and where.
fn write_origin(out: &mut Vec<u8>, origin: &[u8], version: u64) {
    let mut words = origin.splitn(4, |b| *b == b' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(user), Some(id), Some(_), Some(rest)) => {
            push(
                out,
                &[b"o=", user, b" ", id, b" ", itoa::Buffer::new().format(version).as_bytes(), b" ", rest],
            );
        }
        _ => push(out, &[b"o=", origin]),
    }
}

fn push(out: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "v=0\r\no=- 5 7 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\n";

    fn offer(direction: &str) -> String {
        format!("v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n{direction}")
    }

    #[test]
    fn directions_follow_the_offer() {
        for (offered, own, answered) in [
            ("", "", "a=sendrecv"),
            ("a=sendonly\r\n", "", "a=recvonly"),
            ("a=recvonly\r\n", "", "a=sendonly"),
            ("a=inactive\r\n", "", "a=inactive"),
            ("a=sendonly\r\n", "a=sendonly\r\n", "a=inactive"),
            ("", "a=recvonly\r\n", "a=recvonly"),
        ] {
            let answer =
                answer(format!("{OWN}{own}").as_bytes(), offer(offered).as_bytes(), 8).expect("an answer");
            let answer = String::from_utf8(answer).expect("text");
            assert!(answer.ends_with(&format!("a=rtpmap:0 PCMU/8000\r\n{answered}\r\n")), "{answer}");
            assert!(answer.contains("o=- 5 8 IN IP4 192.0.2.9\r\n"), "{answer}");
        }
        assert_eq!(version(OWN.as_bytes()), 7);
    }

    #[test]
    fn media_we_do_not_have_are_refused_and_fewer_than_ours_are_no_offer() {
        let more = offer("") + "m=video 6000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";
        let answered = answer(OWN.as_bytes(), more.as_bytes(), 8).expect("an answer");
        assert!(String::from_utf8_lossy(&answered).ends_with("m=video 0 RTP/AVP 96\r\n"));
        let ours = format!("{OWN}m=video 6000 RTP/AVP 96\r\n");
        assert_eq!(answer(ours.as_bytes(), offer("").as_bytes(), 8), None);
        for odd in [&b""[..], b"m=", b"\xff\n\n", b"m=audio\r\nm=audio 1"] {
            let _ = answer(OWN.as_bytes(), odd, 1);
            let _ = answer(odd, OWN.as_bytes(), 1);
        }
    }
}
