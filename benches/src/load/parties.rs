//! Who calls and who is called, without a socket: what they send, and what they make of what comes. RFC 3261 s8, s12, s13.
//!
//! A call has a number. The caller's Call-ID has it, and the session name of the offer; from there the callee takes it into
//! its tag. So it is found again on the far side of a proxy and of a back-to-back user agent alike.

use std::io::Write as _;
use std::net::SocketAddr;

/// A caller and a callee; users take turns.
#[derive(Clone, Debug)]
pub struct Parties {
    /// The server's domain.
    pub domain: String,
    /// Where the caller is.
    pub caller: SocketAddr,
    /// Where the callees are registered.
    pub callee: SocketAddr,
    /// How many users call, and are called.
    pub users: u32,
    /// What tells this run from others.
    pub salt: String,
}

/// What a message was, and of which call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// A request.
    Request(Method, u32),
    /// A response to a request of this method.
    Response(Method, u16, u32),
    /// The answer to a REGISTER.
    Registered(u16),
    /// Nothing that is expected.
    Wrong(&'static str),
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "they are named as they are written")]
pub enum Method {
    Invite,
    Ack,
    Bye,
}

/// What the caller keeps of the answer: its way back.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answered {
    to: Box<str>,
    target: Box<str>,
    routes: Box<[Box<str>]>,
}

const PHONE: &str = "User-Agent: Desk Phone 7 (firmware 4.2.1)\r\n\
                     Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, MESSAGE, UPDATE, PRACK\r\n\
                     Supported: replaces, timer\r\n";

impl Parties {
    /// The REGISTER of a callee.
    pub fn register(&self, out: &mut Vec<u8>, user: u32) {
        let Parties { domain, callee, salt, .. } = self;
        out.clear();
        let _ = write!(
            out,
            "REGISTER sip:{domain} SIP/2.0\r\nVia: SIP/2.0/UDP {callee};branch=z9hG4bKr{user}x{salt};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:b{user}@{domain}>;tag=r{user}\r\nTo: <sip:b{user}@{domain}>\r\n\
             Call-ID: r{user}x{salt}\r\nCSeq: 1 REGISTER\r\nContact: <sip:b{user}@{callee}>\r\nExpires: 3600\r\n\
             {PHONE}Content-Length: 0\r\n\r\n"
        );
    }

    /// The INVITE of a call.
    pub fn invite(&self, out: &mut Vec<u8>, call: u32) {
        let Parties { domain, caller, salt, users, .. } = self;
        let user = call % users.max(&1);
        let sdp = session(caller, call);
        out.clear();
        let _ = write!(
            out,
            "INVITE sip:b{user}@{domain} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {caller};branch=z9hG4bKi{call}x{salt};rport\r\nMax-Forwards: 70\r\n\
             From: \"Caller {user}\" <sip:a{user}@{domain}>;tag=a{call}x{salt}\r\nTo: <sip:b{user}@{domain}>\r\n\
             Call-ID: k{call}x{salt}\r\nCSeq: 1 INVITE\r\nContact: <sip:a{user}@{caller}>\r\n{PHONE}\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
    }

    /// What the callee is sent.
    pub fn callee_hears(&self, data: &[u8]) -> Heard {
        let Some(text) = head(data) else { return Heard::Wrong("not text") };
        if let Some(status) = status(text) {
            return Heard::Registered(status);
        }
        let method = match text.split(' ').next() {
            Some("INVITE") => Method::Invite,
            Some("ACK") => Method::Ack,
            Some("BYE") => Method::Bye,
            _ => return Heard::Wrong("a request that nobody expects"),
        };
        let call = match method {
            Method::Invite => body(data).and_then(|sdp| number(sdp, "s=call ")),
            _ => value(text, "To").and_then(|to| number(to, ";tag=b")),
        };
        call.map_or(Heard::Wrong("a request of no call"), |call| Heard::Request(method, call))
    }

    /// What the caller is sent.
    pub fn caller_hears(&self, data: &[u8]) -> Heard {
        let Some(text) = head(data) else { return Heard::Wrong("not text") };
        let Some(status) = status(text) else { return Heard::Wrong("a request to the caller") };
        let method = match value(text, "CSeq") {
            Some("1 INVITE") => Method::Invite,
            Some("2 BYE") => Method::Bye,
            _ => return Heard::Wrong("an answer to what was not asked"),
        };
        let Some(call) = value(text, "Call-ID").and_then(|id| number(id, "k")) else {
            return Heard::Wrong("an answer of no call");
        };
        let tag = format!(";tag=a{call}x{}", self.salt);
        if !value(text, "From").is_some_and(|from| from.ends_with(&tag)) {
            return Heard::Wrong("From is not that of the request");
        }
        if method == Method::Invite
            && status == 200
            && body(data).and_then(|s| number(s, "s=call ")) != Some(call)
        {
            return Heard::Wrong("the session is another's");
        }
        Heard::Response(method, status, call)
    }

    /// The callee's response to a request; 200 to INVITE has its session.
    pub fn answer(&self, out: &mut Vec<u8>, request: &[u8], status: &str, call: u32) {
        let Some(text) = head(request) else { return };
        let (invite, callee) = (text.starts_with("INVITE "), self.callee);
        out.clear();
        let _ = write!(out, "SIP/2.0 {status}\r\n");
        for line in text.lines().skip(1) {
            if ["Via:", "Record-Route:", "From:", "Call-ID:", "CSeq:"]
                .iter()
                .any(|name| line.starts_with(name))
            {
                let _ = write!(out, "{line}\r\n");
            }
        }
        let to = value(text, "To").unwrap_or_default();
        let tagged = !status.starts_with("100") && !to.contains(";tag=");
        let _ = match tagged {
            true => write!(out, "To: {to};tag=b{call}x{}\r\n", self.salt),
            false => write!(out, "To: {to}\r\n"),
        };
        if invite && tagged {
            let _ = write!(out, "Contact: <sip:b@{callee}>\r\n{PHONE}");
        }
        if invite && status.starts_with('2') {
            let sdp = session(&callee, call);
            let _ =
                write!(out, "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len());
        } else {
            out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        }
    }

    /// What the caller keeps of a 200 to its INVITE.
    pub fn answered(&self, ok: &[u8]) -> Option<Answered> {
        let text = head(ok)?;
        let target = value(text, "Contact")?.split_once('<')?.1.split_once('>')?.0;
        let routes = values(text, "Record-Route").map(Box::from).collect::<Vec<_>>();
        // RFC 3261 s12.1.2: in reverse order.
        Some(Answered {
            to: value(text, "To")?.into(),
            target: target.into(),
            routes: routes.into_iter().rev().collect(),
        })
    }

    /// ACK or BYE of the caller.
    pub fn within(&self, out: &mut Vec<u8>, method: Method, answered: &Answered, call: u32) {
        let Parties { domain, caller, salt, users, .. } = self;
        let user = call % users.max(&1);
        let (name, number, branch) = match method {
            Method::Bye => ("BYE", 2, 'e'),
            _ => ("ACK", 1, 'k'),
        };
        out.clear();
        let _ = write!(
            out,
            "{name} {} SIP/2.0\r\nVia: SIP/2.0/UDP {caller};branch=z9hG4bK{branch}{call}x{salt};rport\r\n",
            answered.target
        );
        for route in &answered.routes {
            let _ = write!(out, "Route: {route}\r\n");
        }
        let _ = write!(
            out,
            "Max-Forwards: 70\r\nFrom: \"Caller {user}\" <sip:a{user}@{domain}>;tag=a{call}x{salt}\r\nTo: {}\r\n\
             Call-ID: k{call}x{salt}\r\nCSeq: {number} {name}\r\nUser-Agent: Desk Phone 7 (firmware 4.2.1)\r\n\
             Content-Length: 0\r\n\r\n",
            answered.to
        );
    }
}

/// An offer or an answer of the usual size.
fn session(at: &SocketAddr, call: u32) -> String {
    let ip = at.ip();
    format!(
        "v=0\r\no=- {call} 1 IN IP4 {ip}\r\ns=call {call}\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio 30000 RTP/AVP 9 8 0 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n"
    )
}

fn head(data: &[u8]) -> Option<&str> {
    let end = memchr::memmem::find(data, b"\r\n\r\n")?;
    std::str::from_utf8(data.get(..end)?).ok()
}

fn body(data: &[u8]) -> Option<&str> {
    let end = memchr::memmem::find(data, b"\r\n\r\n")?;
    std::str::from_utf8(data.get(end + 4..)?).ok()
}

fn status(head: &str) -> Option<u16> {
    head.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

fn values<'m>(head: &'m str, name: &'static str) -> impl Iterator<Item = &'m str> {
    head.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn value<'m>(head: &'m str, name: &'static str) -> Option<&'m str> {
    values(head, name).next()
}

/// The number behind a mark.
fn number(text: &str, mark: &str) -> Option<u32> {
    let rest = text.split_once(mark)?.1;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_nothing_changes_on_its_way_is_understood_on_both_sides() {
        let parties = Parties {
            domain: "example.com".into(),
            caller: "127.0.0.1:4001".parse().expect("an address"),
            callee: "127.0.0.1:4002".parse().expect("an address"),
            users: 10,
            salt: "5a17".into(),
        };
        let (mut invite, mut out) = (Vec::new(), Vec::new());
        parties.invite(&mut invite, 42);
        assert_eq!(parties.callee_hears(&invite), Heard::Request(Method::Invite, 42));
        parties.answer(&mut out, &invite, "180 Ringing", 42);
        assert_eq!(parties.caller_hears(&out), Heard::Response(Method::Invite, 180, 42));
        parties.answer(&mut out, &invite, "200 OK", 42);
        assert_eq!(parties.caller_hears(&out), Heard::Response(Method::Invite, 200, 42));
        let answered = parties.answered(&out).expect("an answer");
        for method in [Method::Ack, Method::Bye] {
            parties.within(&mut out, method, &answered, 42);
            assert_eq!(parties.callee_hears(&out), Heard::Request(method, 42));
        }
        let bye = out.clone();
        parties.answer(&mut out, &bye, "200 OK", 42);
        assert_eq!(parties.caller_hears(&out), Heard::Response(Method::Bye, 200, 42));
        let other = String::from_utf8_lossy(&out).replace("tag=a42", "tag=a43");
        assert!(matches!(parties.caller_hears(other.as_bytes()), Heard::Wrong(_)));
    }
}
