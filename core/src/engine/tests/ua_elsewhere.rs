//! Calls of user agents that go elsewhere: redirected (RFC 3261 s8.1.3.4), transferred (RFC 3515), in the place of others
//! (RFC 3891).

use super::calls::{Sent, response};
use super::ua::*;
use crate::door::{ReplyBody, UaCallRequest as Do, UaCallStep as Step, UaRefusal, UaRequest, UaStep};

fn steps(phone: &Phone) -> Vec<&Step> {
    let mut all = Vec::new();
    for step in &phone.told {
        if let UaStep::Call { step, .. } = step {
            all.push(step);
        }
    }
    all
}

/// First lines of what was sent, without the version.
fn lines(phone: &Phone) -> Vec<String> {
    let line = |sent: &Sent| sent.first().replace("SIP/2.0", "").trim().to_owned();
    phone.sent.iter().map(line).collect()
}

fn ask(phone: &mut Phone, request: Do) {
    phone.does(UaRequest::Call(request));
}

/// The INVITE is refused so, with this Contact.
fn refused(phone: &mut Phone, invite: &Sent, status: &str, contact: &str) {
    let contact = if contact.is_empty() { String::new() } else { format!("Contact: {contact}\r\n") };
    phone.answered(invite, status, &contact);
}

/// The INVITE that went out with the last step, and whom that was told to be for.
fn redirected(phone: &Phone) -> Option<(Sent, String)> {
    let to = steps(phone).into_iter().find_map(|step| match step {
        Step::Redirected { to } => Some(to.to_string()),
        _ => None,
    });
    to.map(|to| {
        (phone.sent.iter().find(|sent| sent.first().starts_with("INVITE")).cloned().expect("one"), to)
    })
}

#[test]
fn a_call_goes_to_where_it_is_redirected_the_most_preferred_first() {
    let mut phone = Phone::new();
    let invite = begin(&mut phone);
    let contacts = "<sip:carol@192.0.2.50>;q=0.3, <tel:+1555>, <sip:dave@192.0.2.51?Subject=x>;q=0.9";
    refused(&mut phone, &invite, "302 Moved Temporarily", contacts);
    let (second, to) = redirected(&phone).expect("another");
    assert_eq!((to.as_str(), second.first()), ("sip:dave@192.0.2.51", "INVITE sip:dave@192.0.2.51 SIP/2.0"));
    assert_eq!((second.to.as_str(), second.body()), (SERVER, SDP), "by the server, as ever");
    for name in ["Call-ID", "From", "To"] {
        assert_eq!(second.one(name), invite.one(name), "RFC 3261 s8.1.3.4");
    }
    let number = |sent: &Sent| sent.one("CSeq").split(' ').next().and_then(|n| n.parse::<u32>().ok());
    assert_eq!(number(&second), number(&invite).map(|n| n + 1));
    assert_eq!(second.one("Subject"), "");
    // He is not there; the other one is asked who he is, and answers.
    refused(&mut phone, &second, "404 Not Found", "");
    let (third, to) = redirected(&phone).expect("the other one");
    assert_eq!(to, "sip:carol@192.0.2.50");
    phone.answered(
        &third,
        "407 Proxy Authentication Required",
        "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n",
    );
    let third = phone.request();
    assert_eq!(third.first(), "INVITE sip:carol@192.0.2.50 SIP/2.0");
    phone.hears(&ok(&third, "c"));
    assert!(matches!(steps(&phone)[..], [Step::Established { .. }]));
}

#[test]
fn redirections_come_to_an_end() {
    // To where it was already, to nobody, and to where we do not call.
    for contact in [
        "<sip:bob@example.org>",
        "<sip:BOB@EXAMPLE.org;user=phone>;q=1, <sip:bob@example.org>",
        "",
        "<mailto:bob@example.org>",
        "*",
    ] {
        let mut phone = Phone::new();
        let invite = begin(&mut phone);
        refused(&mut phone, &invite, "301 Moved Permanently", contact);
        if let Some((again, _)) = redirected(&phone) {
            refused(&mut phone, &again, "301 Moved Permanently", contact);
        }
        assert!(matches!(steps(&phone)[..], [Step::Ended { status: 301, remote: true }]), "{contact}");
    }
    // From one to the next, as often as the limit says.
    let mut phone = Phone::new();
    let mut invite = begin(&mut phone);
    let mut followed = 0;
    for i in 0..100 {
        refused(&mut phone, &invite, "302 Moved Temporarily", &format!("<sip:bob@192.0.2.{i}>"));
        let Some((next, _)) = redirected(&phone) else { break };
        (invite, followed) = (next, followed + 1);
    }
    assert_eq!(followed, crate::config::Limits::default().redirects);
    assert!(matches!(steps(&phone)[..], [Step::Ended { status: 302, .. }]));
    // As many at once as one may name.
    let mut phone = Phone::new();
    let mut invite = begin(&mut phone);
    let many: Vec<String> = (0..60).map(|i| format!("<sip:bob@192.0.2.{i}>")).collect();
    refused(&mut phone, &invite, "300 Multiple Choices", &many.join(", "));
    let mut followed = 0;
    while let Some((next, _)) = redirected(&phone) {
        (invite, followed) = (next, followed + 1);
        refused(&mut phone, &invite, "480 Temporarily Unavailable", "");
    }
    assert_eq!(followed, crate::config::Limits::default().redirects);
    assert!(matches!(steps(&phone)[..], [Step::Ended { status: 480, .. }]));
    assert!(phone.view().calls.is_empty());
}

#[test]
fn who_has_hung_up_or_is_refused_by_all_is_not_redirected() {
    let mut phone = Phone::new();
    let invite = begin(&mut phone);
    refused(&mut phone, &invite, "302 Moved Temporarily", "<sip:a@192.0.2.50>, <sip:b@192.0.2.51>");
    let (second, _) = redirected(&phone).expect("another");
    let mut declined = phone.clone();
    refused(&mut declined, &second, "603 Decline", "");
    assert!(matches!(steps(&declined)[..], [Step::Ended { status: 603, .. }]));
    ask(&mut phone, Do::HangUp { call: 1 });
    refused(&mut phone, &second, "302 Moved Temporarily", "<sip:c@192.0.2.52>");
    assert!(redirected(&phone).is_none() && phone.view().calls.is_empty());
    // One that is called securely is not called otherwise.
    let mut phone = Phone::new();
    phone.does(UaRequest::Call(Do::Begin { to: "sips:bob@example.org".into(), sdp: SDP.as_bytes().into() }));
    let invite = phone.request();
    refused(&mut phone, &invite, "302 Moved Temporarily", "<sip:bob@192.0.2.50>");
    assert!(matches!(steps(&phone)[..], [Step::Ended { status: 302, .. }]));
}

/// One that was called, and talks: the URI by which, our tag.
fn talking() -> (Phone, String, String) {
    let mut phone = Phone::registered();
    let own = own_contact(&mut phone);
    phone.hears(&within("INVITE", 1, &own, "", SDP));
    ask(&mut phone, Do::Answer { call: 2, sdp: SDP.as_bytes().into() });
    let tag = phone.sent[0].tag("To").to_owned();
    phone.hears(&within("ACK", 1, &own, &tag, ""));
    assert!(matches!(steps(&phone)[..], [Step::Established { .. }]));
    (phone, own, tag)
}

fn refer(number: u32, own: &str, tag: &str, lines: &str) -> String {
    within("REFER", number, own, tag, "").replace("Contact: ", &format!("{lines}Contact: "))
}

/// The same with REFER to carol, of which it was told.
fn referred(lines: &str) -> (Phone, String, String) {
    let (mut phone, own, tag) = talking();
    phone.hears(&refer(2, &own, &tag, lines));
    assert!(phone.sent.is_empty(), "{:?}", phone.sent);
    (phone, own, tag)
}

const CAROL: &str = "Refer-To: <sip:carol@example.org>\r\n";

#[test]
fn a_transfer_that_is_followed_is_a_call_of_which_the_other_side_hears() {
    let (mut phone, ..) = referred(&format!("{CAROL}Referred-By: <sip:bob@example.org>\r\n"));
    let told = Step::Referred {
        to: "sip:carol@example.org".into(),
        by: "<sip:bob@example.org>".into(),
        replaces: false,
    };
    assert_eq!(steps(&phone), [&told]);
    ask(&mut phone, Do::Follow { call: 2, sdp: SDP.as_bytes().into() });
    assert_eq!(phone.last, Some(ReplyBody::Begun(3)));
    assert_eq!(lines(&phone)[0], "202 Accepted");
    assert!(phone.sent[0].one("Contact").starts_with("<sip:"), "RFC 3515 s2.2");
    let notify = phone.sent[1].clone();
    assert!(notify.first().starts_with("NOTIFY sip:192.0.2.77:5060"));
    assert_eq!((notify.one("Event"), notify.one("Subscription-State")), ("refer;id=2", "active;expires=180"));
    assert_eq!(notify.one("Content-Type"), "message/sipfrag;version=2.0");
    assert_eq!(notify.body(), "SIP/2.0 100 Trying\r\n");
    let invite = phone.sent[2].clone();
    assert_eq!(invite.first(), "INVITE sip:carol@example.org SIP/2.0");
    assert_eq!((invite.one("Referred-By"), invite.one("Replaces")), ("<sip:bob@example.org>", ""));
    // One NOTIFY is on its way at a time; what is old by then is not said.
    phone.hears(&response(&invite, "180 Ringing", "c", SERVER, ""));
    assert!(lines(&phone).is_empty());
    phone.hears(&response(&invite, "183 Session Progress", "c", SERVER, ""));
    phone.answered(&notify, "200 OK", "");
    let second = phone.request();
    assert_eq!(second.body(), "SIP/2.0 183 Session Progress\r\n");
    phone.answered(&second, "200 OK", "");
    phone.hears(&ok(&invite, "c"));
    let last = phone.sent.iter().find(|sent| sent.first().starts_with("NOTIFY")).cloned().expect("one");
    assert_eq!(
        (last.one("Subscription-State"), last.body()),
        ("terminated;reason=noresource", "SIP/2.0 200 OK\r\n")
    );
    phone.answered(&last, "200 OK", "");
    assert_eq!(phone.view().calls.len(), 2, "the old one is there until somebody ends it");
    ask(&mut phone, Do::HangUp { call: 3 });
    assert_eq!(lines(&phone).len(), 1, "and nobody hears of the new one any more");
}

#[test]
fn what_came_of_a_transfer_may_be_asked_for_again_and_left() {
    let (mut phone, own, tag) = referred(CAROL);
    ask(&mut phone, Do::Follow { call: 2, sdp: SDP.as_bytes().into() });
    let (notify, invite) = (phone.sent[1].clone(), phone.sent[2].clone());
    phone.answered(&notify, "200 OK", "");
    phone.hears(&response(&invite, "180 Ringing", "c", SERVER, ""));
    let notify = phone.request();
    phone.answered(&notify, "200 OK", "");
    let subscribe = |number: u32, lines: &str| {
        within("SUBSCRIBE", number, &own, &tag, "").replace("Contact: ", &format!("{lines}Contact: "))
    };
    // RFC 6665 s4.2.1.1: there is one way to have less of it, and that is none.
    for (number, lines, status) in [
        (3, "Event: refer;id=9\r\n", "481"),
        (4, "Event: refer;id=2\r\nExpires: 60\r\n", "423"),
        (5, "Event: presence\r\n", "405"),
    ] {
        phone.hears(&subscribe(number, lines));
        let refused = phone.sent[0].clone();
        assert!(refused.first().starts_with(&format!("SIP/2.0 {status}")), "{lines}: {}", refused.text);
        assert_eq!(refused.one("Min-Expires"), if status == "423" { "180" } else { "" });
    }
    phone.hears(&subscribe(6, "Event: refer;id=2\r\nExpires: 3600\r\n"));
    assert_eq!((phone.sent[0].first(), phone.sent[0].one("Expires")), ("SIP/2.0 200 OK", "180"));
    assert!(phone.sent[0].one("Contact").starts_with("<sip:"));
    let again = phone.sent[1].clone();
    assert_eq!((again.one("Event"), again.one("Subscription-State")), ("refer;id=2", "active;expires=180"));
    assert_eq!(again.body(), "SIP/2.0 180 Ringing\r\n");
    phone.answered(&again, "200 OK", "");
    phone.hears(&subscribe(7, "Event: refer\r\nExpires: 0\r\n"));
    assert_eq!((phone.sent[0].first(), phone.sent[0].one("Expires")), ("SIP/2.0 200 OK", "0"));
    let last = phone.sent[1].clone();
    assert_eq!(last.one("Subscription-State"), "terminated;reason=timeout");
    assert_eq!(last.body(), "SIP/2.0 180 Ringing\r\n");
    phone.answered(&last, "200 OK", "");
    phone.hears(&subscribe(8, "Event: refer;id=2\r\n"));
    assert_eq!(lines(&phone), ["481 Call/Transaction Does Not Exist"]);
    phone.hears(&ok(&invite, "c"));
    assert_eq!(lines(&phone).len(), 1, "ACK, and nobody hears of it: {:?}", phone.sent);
    assert_eq!(phone.view().calls.len(), 2);
}

#[test]
fn a_transfer_that_comes_to_nothing_says_why() {
    for (status, said) in
        [("486 Busy Here", "SIP/2.0 486 Busy Here\r\n"), ("302 Moved", "SIP/2.0 302 Moved Temporarily\r\n")]
    {
        let (mut phone, ..) = referred(CAROL);
        ask(&mut phone, Do::Follow { call: 2, sdp: SDP.as_bytes().into() });
        let (notify, invite) = (phone.sent[1].clone(), phone.sent[2].clone());
        phone.answered(&notify, "200 OK", "");
        refused(&mut phone, &invite, status, "");
        let last = phone.sent.iter().find(|sent| sent.first().starts_with("NOTIFY")).cloned().expect("one");
        assert_eq!((last.body(), last.one("Subscription-State")), (said, "terminated;reason=noresource"));
        assert_eq!(phone.view().calls.len(), 1);
    }
    // Given up by the host.
    let (mut phone, ..) = referred(CAROL);
    ask(&mut phone, Do::Follow { call: 2, sdp: SDP.as_bytes().into() });
    let (notify, invite) = (phone.sent[1].clone(), phone.sent[2].clone());
    phone.answered(&notify, "200 OK", "");
    phone.hears(&response(&invite, "180 Ringing", "c", SERVER, ""));
    let notify = phone.request();
    ask(&mut phone, Do::HangUp { call: 3 });
    assert!(phone.request().first().starts_with("CANCEL"));
    refused(&mut phone, &invite, "487 Request Terminated", "");
    phone.answered(&notify, "200 OK", "");
    assert_eq!(phone.request().body(), "SIP/2.0 487 Request Terminated\r\n");
    // Who is told and does not know what of: he hears no more, and the call stays.
    let (mut phone, ..) = referred(CAROL);
    ask(&mut phone, Do::Follow { call: 2, sdp: SDP.as_bytes().into() });
    let (notify, invite) = (phone.sent[1].clone(), phone.sent[2].clone());
    phone.answered(&notify, "481 Subscription Does Not Exist", "");
    phone.hears(&ok(&invite, "c"));
    assert_eq!(lines(&phone).len(), 1, "ACK");
    assert_eq!(phone.view().calls.len(), 2);
}

#[test]
fn a_transfer_into_the_place_of_another_says_so() {
    let uri = "<sip:carol@example.org?Replaces=x%40y%3Bto-tag%3D1%3Bfrom-tag%3D2&Subject=no>";
    let (mut phone, ..) = referred(&format!("Refer-To: {uri}\r\n"));
    assert!(matches!(steps(&phone)[..], [Step::Referred { replaces: true, by, .. }] if by.is_empty()));
    ask(&mut phone, Do::Follow { call: 2, sdp: SDP.as_bytes().into() });
    let invite = phone.sent[2].clone();
    assert_eq!(invite.first(), "INVITE sip:carol@example.org SIP/2.0");
    assert_eq!((invite.one("Replaces"), invite.one("Require")), ("x@y;to-tag=1;from-tag=2", "replaces"));
    assert_eq!(invite.one("Subject"), "");
}

#[test]
fn nobody_hears_of_a_transfer_who_does_not_want_to() {
    let (mut phone, ..) = referred(&format!("{CAROL}Refer-Sub: false\r\nRequire: norefersub\r\n"));
    ask(&mut phone, Do::Follow { call: 2, sdp: SDP.as_bytes().into() });
    assert_eq!(lines(&phone), ["202 Accepted", "INVITE sip:carol@example.org"]);
    assert_eq!(phone.sent[0].one("Refer-Sub"), "false");
    let invite = phone.sent[1].clone();
    phone.hears(&ok(&invite, "c"));
    assert_eq!(lines(&phone).len(), 1, "ACK");
}

#[test]
fn a_transfer_is_declined_by_the_host_or_by_its_silence() {
    let (mut phone, own, tag) = referred(CAROL);
    let mut silent = phone.clone();
    let mut gone = phone.clone();
    // There is one at a time.
    phone.hears(&refer(3, &own, &tag, CAROL));
    assert_eq!((lines(&phone), phone.told.len()), (vec!["500 Server Internal Error".to_owned()], 0));
    ask(&mut phone, Do::Decline { call: 2, status: 200 });
    assert_eq!(phone.last, Some(ReplyBody::NoUa(UaRefusal::BadValue)));
    ask(&mut phone, Do::Decline { call: 2, status: 603 });
    assert_eq!(lines(&phone), ["603 Decline"]);
    for request in [Do::Decline { call: 2, status: 603 }, Do::Follow { call: 2, sdp: SDP.as_bytes().into() }]
    {
        ask(&mut phone, request);
        assert_eq!(phone.last, Some(ReplyBody::NoUa(UaRefusal::NotNow)));
    }
    phone.hears(&refer(4, &own, &tag, CAROL));
    assert!(matches!(steps(&phone)[..], [Step::Referred { .. }]), "another time, another answer");
    silent.waits(19);
    assert!(!lines(&silent).contains(&"603 Decline".to_owned()));
    silent.waits(1);
    assert!(lines(&silent).contains(&"603 Decline".to_owned()), "{:?}", lines(&silent));
    gone.hears(&within("BYE", 3, &own, &tag, ""));
    assert_eq!(lines(&gone).len(), 2, "both are answered: {:?}", lines(&gone));
    assert!(gone.view().calls.is_empty());
    for (bad, status) in [
        ("", "400"),
        ("Refer-To: <sip:a@h>\r\nRefer-To: <sip:b@h>\r\n", "400"),
        ("Refer-To: x y\r\n", "400"),
        ("Refer-To: <tel:+1555>\r\n", "416"),
        ("Refer-To: <sip:a@h;method=BYE>\r\n", "603"),
        ("Refer-To: <sip:a@h?Replaces=x>\r\n", "400"),
    ] {
        let (mut phone, own, tag) = talking();
        phone.hears(&refer(2, &own, &tag, bad));
        assert!(lines(&phone)[0].starts_with(status) && phone.told.is_empty(), "{bad}: {:?}", lines(&phone));
    }
}

#[test]
fn a_call_in_the_place_of_another_ends_that_when_it_is_taken() {
    let (phone, own, tag) = talking();
    let replacing = |value: &str| {
        within("INVITE", 1, &own, "", SDP)
            .replace("Call-ID: in", "Call-ID: other")
            .replace("tag=b", "tag=c")
            .replace("z9hG4bKin", "z9hG4bKother")
            .replace("Contact: ", &format!("{value}Contact: "))
    };
    for (value, status) in [
        (format!("Replaces: in;to-tag={tag};from-tag=x\r\n"), "481"),
        ("Replaces: in;to-tag=x;from-tag=b\r\n".to_owned(), "481"),
        (format!("Replaces: in;to-tag={tag};from-tag=b;early-only\r\n"), "486"),
        ("Replaces: in\r\n".to_owned(), "400"),
    ] {
        let mut phone = phone.clone();
        phone.hears(&replacing(&value));
        assert!(
            lines(&phone)[0].starts_with(status) && phone.told.is_empty(),
            "{value}: {:?}",
            lines(&phone)
        );
    }
    let mut phone = phone;
    phone.hears(&replacing(&format!("Require: replaces\r\nReplaces: in;to-tag={tag};from-tag=b\r\n")));
    assert!(matches!(steps(&phone)[..], [Step::Incoming { replaces: Some(2), .. }]), "{:?}", phone.sent);
    // One that is refused changes nothing.
    let mut other = phone.clone();
    ask(&mut other, Do::Reject { call: 3, status: 486 });
    assert_eq!(other.view().calls.len(), 1);
    ask(&mut phone, Do::Answer { call: 3, sdp: SDP.as_bytes().into() });
    assert_eq!(lines(&phone)[0], "200 OK");
    assert!(lines(&phone)[1].starts_with("BYE") && phone.sent[1].one("Call-ID") == "in");
    assert!(matches!(
        phone.told[..],
        [UaStep::Call { call: 2, step: Step::Ended { status: 200, remote: false } }]
    ));
}
