//! What a phone says and hears beyond one request: bodies, dialogs, calls.

use super::{Phone, header};

/// With a body in place of none.
pub(crate) fn with_body(request: &str, body: &str) -> String {
    let (head, _) = request.split_once("Content-Length: 0").expect("a request without a body");
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Sends a request of several lines until it is answered.
pub(crate) fn ask(phone: &mut Phone, request: &str) -> String {
    let cseq = header(request, "CSeq").expect("a CSeq").to_owned();
    phone.send(request.as_bytes());
    loop {
        let answer = phone.receive();
        if answer.starts_with("SIP/2.0") && header(&answer, "CSeq") == Some(&cseq) {
            return answer;
        }
    }
}

/// The next request of this method, answered.
pub(crate) fn take(phone: &mut Phone, method: &str) -> String {
    loop {
        let request = phone.receive();
        if request.starts_with(&format!("{method} ")) {
            let mut answer = String::from("SIP/2.0 200 OK\r\n");
            for line in request.lines() {
                if ["Via", "From", "To", "Call-ID", "CSeq"].iter().any(|name| header(line, name).is_some()) {
                    answer.push_str(line);
                    answer.push_str("\r\n");
                }
            }
            phone.send(format!("{answer}Content-Length: 0\r\n\r\n").as_bytes());
            return request;
        }
    }
}

pub(crate) fn cseq(message: &str) -> u32 {
    header(message, "CSeq").and_then(|cseq| cseq.split(' ').next()?.parse().ok()).expect("a CSeq")
}

/// The next request of a phone in the dialog of this message: its own name is in From, as the message has it.
pub(crate) fn within(phone: &Phone, dialog: &str, method: &str, cseq: u32) -> String {
    let of = |name: &str| header(dialog, name).unwrap_or_else(|| panic!("no {name} in {dialog}"));
    let Phone { user, local, .. } = phone;
    let target = of("Contact").trim_matches(['<', '>']);
    format!(
        "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{method}{cseq};rport\r\nMax-Forwards: 70\r\n\
         From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nContact: <sip:{user}@{local}>\r\n\
         Content-Length: 0\r\n\r\n",
        of("From"),
        of("To"),
        of("Call-ID")
    )
}

/// Alice calls bob, who answers: what each of them knows of the dialog.
pub(crate) fn call(alice: &mut Phone, bob: &mut Phone) -> (String, String) {
    let invite = alice.request("INVITE", "").replacen("sip:example.com", "sip:bob@example.com", 1);
    alice.send(invite.replace("To: <sip:alice@", "To: <sip:bob@").as_bytes());
    let received = |phone: &mut Phone, wanted: &dyn Fn(&str) -> bool| loop {
        let message = phone.receive();
        if wanted(&message) {
            return message;
        }
    };
    let asked = received(bob, &|text| text.starts_with("INVITE "));
    let of = |name: &str| header(&asked, name).expect("a header");
    let own = format!("{};tag=bob", of("To"));
    bob.send(
        format!(
            "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: {own}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:bob@{}>\r\nContent-Length: 0\r\n\r\n",
            of("Via"),
            of("From"),
            of("Call-ID"),
            of("CSeq"),
            bob.local
        )
        .as_bytes(),
    );
    let ok = received(alice, &|text| text.starts_with("SIP/2.0 200 ") && text.contains(" INVITE\r\n"));
    alice.send(within(alice, &ok, "ACK", cseq(&ok)).as_bytes());
    received(bob, &|text| text.starts_with("ACK "));
    let bobs = format!(
        "From: {own}\r\nTo: {}\r\nCall-ID: {}\r\nContact: {}\r\n",
        of("From"),
        of("Call-ID"),
        of("Contact")
    );
    (ok, bobs)
}
