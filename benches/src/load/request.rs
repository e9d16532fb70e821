//! The requests sent: one text with the numbers of the user and of the request patched into it.

use std::net::SocketAddr;

use strowger_core::door::Transport;

/// Digits of a user's number.
const USER: usize = 7;
/// Digits of a CSeq number.
const CSEQ: usize = 10;
/// CSeq numbers start here, so that all have as many digits.
const FIRST_CSEQ: u32 = 1_000_000_000;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// REGISTER with one Contact, as a desk phone sends it.
    Register,
    /// OPTIONS to the domain.
    Options,
}

impl Kind {
    pub(crate) fn method(self) -> &'static str {
        match self {
            Kind::Register => "REGISTER",
            Kind::Options => "OPTIONS",
        }
    }
}

/// A request with gaps.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    head: Vec<u8>,
    users: Vec<usize>,
    cseqs: Vec<usize>,
    /// What the Via of an answer starts with.
    pub(crate) via: Vec<u8>,
    /// What tells this run from others; ends branch and Call-ID.
    pub(crate) salt: String,
    pub(crate) uri: String,
    pub(crate) kind: Kind,
}

const TAIL: &[u8] = b"Content-Length: 0\r\n\r\n";

impl Template {
    /// `local` is the address the generator sends from and registers, over this transport.
    pub(crate) fn new(
        kind: Kind,
        domain: &str,
        (transport, local): (Transport, SocketAddr),
        salt: &str,
    ) -> Template {
        let (token, param) = (transport.via_token(), transport.uri_param());
        let method = kind.method();
        let uri = format!("sip:{domain}");
        let (user, cseq) = ("#".repeat(USER), "@@@@@@@@@@");
        let at = "\u{1}"; // a real at sign, apart from the gap
        let contact = match kind {
            Kind::Register => {
                format!("Contact: <sip:u{user}{at}{local};transport={param}>\r\nExpires: 3600\r\n")
            }
            Kind::Options => "Accept: application/sdp\r\n".into(),
        };
        let text = format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/{token} {local};branch=z9hG4bK{user}{cseq}{salt};rport\r\n\
             Max-Forwards: 70\r\n\
             From: \"User {user}\" <sip:u{user}{at}{domain}>;tag={user}{salt}\r\n\
             To: \"User {user}\" <sip:u{user}{at}{domain}>\r\n\
             Call-ID: {user}{salt}{at}{local}\r\n\
             CSeq: {cseq} {method}\r\n\
             {contact}\
             User-Agent: Desk Phone 7 (firmware 4.2.1)\r\n\
             Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, MESSAGE, UPDATE, PRACK\r\n\
             Supported: replaces, timer\r\n"
        );
        let head = text.into_bytes();
        let gaps = |mark: &str| {
            let found = memchr::memmem::find_iter(&head, mark.as_bytes());
            found.collect::<Vec<_>>()
        };
        let (users, cseqs) = (gaps(&user), gaps(cseq));
        let head = head.iter().map(|&b| if b == 1 { b'@' } else { b }).collect();
        let via = format!("SIP/2.0/{token} {local};branch=z9hG4bK").into_bytes();
        Template { head, users, cseqs, via, salt: salt.into(), uri, kind }
    }

    /// Writes a request; `auth` adds its lines.
    pub(crate) fn write(&self, out: &mut Vec<u8>, user: u32, cseq: u32, auth: impl FnOnce(&mut Vec<u8>)) {
        out.clear();
        out.extend_from_slice(&self.head);
        let (user, cseq) = (digits::<USER>(user), digits::<CSEQ>(FIRST_CSEQ + cseq));
        for &at in &self.users {
            out[at..at + USER].copy_from_slice(&user);
        }
        for &at in &self.cseqs {
            out[at..at + CSEQ].copy_from_slice(&cseq);
        }
        auth(out);
        out.extend_from_slice(TAIL);
    }

    /// The user and the number that a branch (behind its magic cookie) was made from; `None` if it is not ours.
    pub(crate) fn read_branch(&self, branch: &[u8]) -> Option<(u32, u32)> {
        let (user, rest) = branch.split_at_checked(USER)?;
        let (cseq, rest) = rest.split_at_checked(CSEQ)?;
        rest.starts_with(self.salt.as_bytes()).then_some(())?;
        Some((number(user)?, read_cseq(cseq)?))
    }

    /// True if a Call-ID is that of this user.
    pub(crate) fn is_call_id(&self, value: &[u8], user: u32) -> bool {
        let rest =
            value.strip_prefix(&digits::<USER>(user)).and_then(|v| v.strip_prefix(self.salt.as_bytes()));
        rest.is_some_and(|rest| {
            rest.first() == Some(&b'@') && self.via.windows(rest.len() - 1).any(|w| w == &rest[1..])
        })
    }
}

pub(crate) fn read_cseq(text: &[u8]) -> Option<u32> {
    number(text)?.checked_sub(FIRST_CSEQ)
}

pub(crate) fn digits<const N: usize>(mut number: u32) -> [u8; N] {
    let mut out = [b'0'; N];
    for place in out.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out
}

fn number(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0_u32, |n, b| match b.is_ascii_digit() {
        true => n.checked_mul(10)?.checked_add(u32::from(b - b'0')),
        false => None,
    })
}

/// The name and the password of a user, as `loadgen prepare` writes them.
pub(crate) fn credentials(user: u32) -> (String, String) {
    (format!("u{user:07}"), format!("secret{user:07}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_filled_in_everywhere() {
        let local = "127.0.0.1:4444".parse().expect("an address");
        let template = Template::new(Kind::Register, "example.com", (Transport::Udp, local), "5a17");
        let mut out = Vec::new();
        template.write(&mut out, 42, 7, |out| out.extend_from_slice(b"Authorization: x\r\n"));
        let text = String::from_utf8(out).expect("text");
        assert!(!text.contains(['#', '\u{1}']) && !text.contains("@@"), "{text}");
        assert!(text.contains("branch=z9hG4bK000004210000000075a17;rport\r\n"), "{text}");
        assert!(text.contains("Contact: <sip:u0000042@127.0.0.1:4444;transport=udp>\r\n"), "{text}");
        assert!(text.contains("CSeq: 1000000007 REGISTER\r\n"), "{text}");
        assert!(text.ends_with("Authorization: x\r\nContent-Length: 0\r\n\r\n"), "{text}");
        assert_eq!(template.read_branch(b"000004210000000075a17"), Some((42, 7)));
        assert_eq!(template.read_branch(b"000004210000000075a18"), None);
        assert!(template.is_call_id(b"00000425a17@127.0.0.1:4444", 42));
        assert!(!template.is_call_id(b"00000425a17@127.0.0.1:4444", 43));
    }
}
