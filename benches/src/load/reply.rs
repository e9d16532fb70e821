//! The check of an answer: Via, Call-ID and CSeq are those of the request, and a 200 to REGISTER lists the binding.

use memchr::{memchr, memchr_iter, memmem};

use super::auth::{Algorithm, Challenge, param};
use super::request::{Kind, Template, digits, read_cseq};

/// What an answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) user: u32,
    pub(crate) cseq: u32,
}

/// What is wrong with an answer.
pub(crate) type Wrong = &'static str;

pub(crate) fn read(reply: &[u8], template: &Template) -> Result<Reply, Wrong> {
    let status = reply.strip_prefix(b"SIP/2.0 ").and_then(|rest| rest.get(..3)).ok_or("not a response")?;
    let status = status.iter().fold(0_u16, |n, b| n * 10 + u16::from(b.wrapping_sub(b'0')));
    let (mut from, mut call_id, mut cseq, mut listed) = (None, None, None, false);
    let mut start = 0;
    for end in memchr_iter(b'\n', reply) {
        let line = &reply[start..end.saturating_sub(1).max(start)];
        start = end + 1;
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_at_checked(memchr(b':', line).unwrap_or(0)) else { continue };
        let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii_start();
        match name {
            b"Via" | b"v" if from.is_none() => {
                let branch = value.strip_prefix(&template.via[..]).ok_or("Via is not ours")?;
                from = Some(template.read_branch(branch).ok_or("branch is not ours")?);
            }
            b"Call-ID" | b"i" => call_id = Some(value),
            b"CSeq" => cseq = Some(value),
            b"Contact" | b"m" => {
                let Some((user, _)) = from else { continue };
                listed |= memmem::find(value, &digits::<7>(user)).is_some();
            }
            _ => {}
        }
    }
    let (user, number) = from.ok_or("no Via")?;
    if !call_id.is_some_and(|value| template.is_call_id(value, user)) {
        return Err("Call-ID is not that of the request");
    }
    let (echoed, method) = cseq.and_then(|c| c.split_at_checked(memchr(b' ', c)?)).ok_or("no CSeq")?;
    if read_cseq(echoed) != Some(number) || method.trim_ascii() != template.kind.method().as_bytes() {
        return Err("CSeq is not that of the request");
    }
    if template.kind == Kind::Register && status == 200 && !listed {
        return Err("the 200 does not list the binding");
    }
    Ok(Reply { status, user, cseq: number })
}

/// The challenge for this algorithm in a 401.
pub(crate) fn challenge(reply: &[u8], algorithm: Algorithm) -> Option<Challenge> {
    values(reply, b"WWW-Authenticate").find_map(|value| Challenge::read(value, algorithm))
}

/// The nonce to use from now on, if the server names one.
pub(crate) fn next_nonce(reply: &[u8]) -> Option<String> {
    let value = values(reply, b"Authentication-Info").next()?;
    param(std::str::from_utf8(value).ok()?, "nextnonce").map(str::to_owned)
}

fn values<'r>(reply: &'r [u8], name: &'static [u8]) -> impl Iterator<Item = &'r [u8]> {
    let lines = reply.split(|&b| b == b'\n');
    lines.filter_map(move |line| line.strip_prefix(name)?.strip_prefix(b":")).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> Template {
        let local = "127.0.0.1:4444".parse().expect("an address");
        Template::new(Kind::Register, "example.com", (strowger_core::door::Transport::Udp, local), "5a17")
    }

    const OK: &str = "SIP/2.0 200 OK\r
Via: SIP/2.0/UDP 127.0.0.1:4444;branch=z9hG4bK000004210000000075a17;rport=4444;received=127.0.0.1\r
From: <sip:u0000042@example.com>;tag=00000425a17\r
To: <sip:u0000042@example.com>;tag=a\r
Call-ID: 00000425a17@127.0.0.1:4444\r
CSeq: 1000000007 REGISTER\r
Contact: <sip:u0000042@127.0.0.1:4444;transport=udp>;expires=3600\r
Authentication-Info: nextnonce=\"abc\", qop=auth\r
Content-Length: 0\r
\r
";

    #[test]
    fn a_good_answer_is_read() {
        assert_eq!(read(OK.as_bytes(), &template()), Ok(Reply { status: 200, user: 42, cseq: 7 }));
        assert_eq!(next_nonce(OK.as_bytes()).as_deref(), Some("abc"));
    }

    #[test]
    fn each_thing_that_is_not_that_of_the_request_is_found() {
        for (there, instead) in [
            ("127.0.0.1:4444;branch", "127.0.0.1:4445;branch"),
            ("000004210000000075a17;", "000004210000000075a1;"),
            ("Call-ID: 0000042", "Call-ID: 0000043"),
            ("CSeq: 1000000007", "CSeq: 1000000008"),
            ("07 REGISTER", "07 OPTIONS"),
            ("<sip:u0000042@127", "<sip:u0000043@127"),
            ("SIP/2.0 200", "SIP/3.0 200"),
        ] {
            assert!(OK.contains(there));
            assert!(read(OK.replace(there, instead).as_bytes(), &template()).is_err(), "{there}");
        }
    }
}
