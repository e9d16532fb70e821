//! Provisional responses that are acknowledged, of user agents: RFC 3262.

use super::calls::{Sent, response};
use super::ua::*;
use super::*;
use crate::door::{UaCallRequest as Do, UaCallStep as Step, UaRefusal, UaRequest, UaStep};

/// First words of what was sent: a method, or a status.
fn words(phone: &Phone) -> Vec<&str> {
    let word = |sent: &'_ Sent| -> usize {
        let first = sent.first();
        let rest = first.strip_prefix("SIP/2.0 ").unwrap_or(first);
        rest.find(' ').unwrap_or(rest.len())
    };
    let text = |sent: &'_ Sent| sent.first().strip_prefix("SIP/2.0 ").map_or(0, |_| 8);
    phone.sent.iter().map(|sent| &sent.first()[text(sent)..text(sent) + word(sent)]).collect()
}

fn steps(phone: &Phone) -> Vec<&Step> {
    let mut all = Vec::new();
    for step in &phone.told {
        if let UaStep::Call { step, .. } = step {
            all.push(step);
        }
    }
    all
}

/// A reliable provisional response to this INVITE.
fn reliable(invite: &Sent, status: &str, tag: &str, rseq: u32, sdp: &str) -> String {
    let text = response(invite, status, tag, "192.0.2.99:5060", sdp);
    text.replace("CSeq: ", &format!("Require: 100rel\r\nRSeq: {rseq}\r\nCSeq: "))
}

fn ask(phone: &mut Phone, request: Do) {
    phone.does(UaRequest::Call(request));
}

/// One that is called by this INVITE, and the URI by which.
fn called(change: impl Fn(String) -> String) -> (Phone, String) {
    let mut phone = Phone::registered();
    let own = own_contact(&mut phone);
    phone.hears(&change(within("INVITE", 1, &own, "", SDP)));
    assert!(matches!(steps(&phone)[..], [Step::Incoming { .. }]), "{:?}", phone.sent);
    (phone, own)
}

fn requires(text: String) -> String {
    text.replace("Contact: ", "Require: 100rel\r\nContact: ")
}

fn supports(text: String) -> String {
    text.replace("Contact: ", "Supported: 100rel\r\nContact: ")
}

fn without_offer(text: String) -> String {
    let head = text.split("Content-Type").next().unwrap_or_default();
    format!("{head}Content-Length: 0\r\n\r\n")
}

fn prack(own: &str, tag: &str, (number, rack): (u32, &str), sdp: &str) -> String {
    within("PRACK", number, own, tag, sdp).replace("Contact: ", &format!("RAck: {rack}\r\nContact: "))
}

#[test]
fn each_reliable_response_to_a_call_is_acknowledged_where_it_came_from() {
    let mut phone = Phone::registered();
    let invite = begin(&mut phone);
    assert!(invite.one("Supported").contains("100rel") && invite.one("Allow").contains("PRACK"));
    phone.hears(&reliable(&invite, "183 Session Progress", "b", 7, SDP));
    assert!(matches!(steps(&phone)[..], [Step::Progress { status: 183, sdp }] if !sdp.is_empty()));
    let first = phone.request();
    assert_eq!(first.first(), "PRACK sip:x@192.0.2.99:5060 SIP/2.0");
    let number: u32 = invite.one("CSeq").split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    assert_eq!(first.one("RAck"), format!("7 {number} INVITE"));
    assert_eq!((first.one("CSeq"), first.tag("To")), (&*format!("{} PRACK", number + 1), "b"));
    assert_eq!(first.one("Contact"), "", "RFC 3261 s20: PRACK has none");
    // It came again, and one that is behind a gap.
    for rseq in [7, 9] {
        phone.hears(&reliable(&invite, "180 Ringing", "b", rseq, ""));
        assert!(phone.sent.is_empty() && phone.told.is_empty(), "{rseq}");
    }
    // The next, and that of another phone, which counts for itself.
    for (tag, rseq) in [("b", 8), ("c", 7)] {
        phone.hears(&reliable(&invite, "180 Ringing", tag, rseq, ""));
        assert_eq!((words(&phone), phone.request().tag("To")), (vec!["PRACK"], tag));
        assert!(matches!(steps(&phone)[..], [Step::Progress { status: 180, .. }]));
    }
    // The 2xx describes nothing any more, and the next request has the next number.
    phone.hears(&response(&invite, "200 OK", "b", SERVER, ""));
    assert!(matches!(steps(&phone)[..], [Step::Established { sdp }] if sdp.is_empty()));
    assert_eq!(phone.request().one("CSeq"), format!("{number} ACK"));
    ask(&mut phone, Do::HangUp { call: 2 });
    assert_eq!(phone.request().one("CSeq"), format!("{} BYE", number + 4));
}

#[test]
fn a_prack_that_is_challenged_says_who_we_are() {
    let mut phone = Phone::new();
    let invite = begin(&mut phone);
    phone.hears(&reliable(&invite, "180 Ringing", "b", 1, ""));
    let prack = phone.request();
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n";
    phone.answered(&prack, "407 Proxy Authentication Required", challenge);
    let again = phone.request();
    assert_eq!((again.first(), again.one("RAck")), (prack.first(), prack.one("RAck")));
    assert!(again.one("Proxy-Authorization").contains("username=\"alice\""));
    phone.answered(&again, "407 Proxy Authentication Required", challenge);
    assert!(phone.sent.is_empty(), "once");
    phone.hears(&ok(&invite, "b"));
    assert_eq!(words(&phone), ["ACK"]);
}

/// A request of the callee in the early dialog of this INVITE of ours.
fn early(invite: &Sent, method: &str, number: u32, sdp: &str) -> String {
    let contact = invite.one("Contact").trim_start_matches('<').split('>').next().unwrap_or_default();
    within(method, number, contact, "x", sdp)
        .replace("Call-ID: in", &format!("Call-ID: {}", invite.one("Call-ID")))
        .replace("<sip:alice@example.org>;tag=x", invite.one("From"))
}

/// The same session on hold.
fn held() -> String {
    format!("{}a=sendonly\r\n", SDP.replacen(" 1 IN", " 2 IN", 1))
}

/// The version of a description, and which way media go in it.
fn said(sdp: &str) -> (&str, &str) {
    let version = sdp.split(' ').nth(2).unwrap_or_default();
    let direction = sdp.lines().find(|line| ["a=sendrecv", "a=recvonly", "a=sendonly"].contains(line));
    (version, direction.unwrap_or_default())
}

#[test]
fn what_comes_in_an_early_dialog_is_answered() {
    let mut phone = Phone::registered();
    let invite = begin(&mut phone);
    phone.hears(&reliable(&invite, "183 Session Progress", "b", 7, SDP));
    for (method, sdp, status) in
        [("UPDATE", "", "200"), ("UPDATE", "v=0\r\n", "488"), ("OPTIONS", "", "200"), ("BYE", "", "481")]
    {
        let mut phone = phone.clone();
        phone.hears(&early(&invite, method, 5, sdp));
        assert_eq!(words(&phone), [status], "{method}");
        phone.hears(&ok(&invite, "b"));
        assert!(matches!(steps(&phone)[..], [Step::Established { .. }]));
    }
}

#[test]
fn a_callee_may_change_the_session_before_he_answers_when_ours_is_agreed() {
    let mut phone = Phone::registered();
    let invite = begin(&mut phone);
    // RFC 3311 s5.2: our offer has no answer that could be relied on.
    phone.hears(&reliable(&invite, "180 Ringing", "b", 7, ""));
    phone.hears(&early(&invite, "UPDATE", 4, &held()));
    assert_eq!(words(&phone), ["491"]);
    phone.hears(&reliable(&invite, "183 Session Progress", "b", 8, SDP));
    phone.hears(&early(&invite, "UPDATE", 5, &held()));
    let agreed = phone.sent[0].clone();
    assert_eq!((agreed.first(), said(agreed.body())), ("SIP/2.0 200 OK", ("2", "a=recvonly")));
    assert!(agreed.one("Contact").starts_with("<sip:") && agreed.one("Allow").contains("UPDATE"));
    assert!(matches!(steps(&phone)[..], [Step::Changed { sdp }] if **sdp == *held().as_bytes()));
    // And back; the 2xx changes nothing of it, whatever it says (RFC 3261 s13.2.1).
    phone.hears(&early(&invite, "UPDATE", 6, &SDP.replacen(" 1 IN", " 3 IN", 1)));
    assert_eq!(said(phone.sent[0].body()), ("3", "a=sendrecv"));
    phone.hears(&ok(&invite, "b"));
    assert!(matches!(steps(&phone)[..], [Step::Established { sdp }] if sdp.is_empty()));
    phone.hears(&early(&invite, "INVITE", 7, &held().replacen(" 2 IN", " 4 IN", 1)).replace(";tag=x", ""));
    assert_eq!(said(phone.sent[0].body()), ("4", "a=recvonly"), "it is the same session");
}

#[test]
fn a_caller_may_change_the_session_before_he_is_answered_when_his_is_agreed() {
    let update = |own: &str, tag: &str, number: u32, sdp: &str| within("UPDATE", number, own, tag, sdp);
    // Nothing was said of the session, or not so that it is sure to be heard.
    let (mut phone, own) = called(supports);
    ask(&mut phone, Do::Ring { call: 2, sdp: Box::default() });
    let tag = phone.sent[0].tag("To").to_owned();
    phone.hears(&update(&own, &tag, 2, &held()));
    let refused = phone.sent[0].clone();
    assert_eq!(refused.first(), "SIP/2.0 500 Server Internal Error");
    assert!((0..=10).contains(&refused.one("Retry-After").parse().expect("seconds")));
    phone.hears(&update(&own, &tag, 3, ""));
    assert_eq!((words(&phone), phone.sent[0].body()), (vec!["200"], ""));
    ask(&mut phone, Do::Ring { call: 2, sdp: SDP.as_bytes().into() });
    let rack = format!("{} 1 INVITE", phone.sent[0].one("RSeq"));
    phone.hears(&prack(&own, &tag, (4, &rack), ""));
    assert_eq!(words(&phone), ["200"]);
    phone.hears(&update(&own, &tag, 5, &held()));
    let agreed = phone.sent[0].clone();
    assert_eq!((agreed.first(), said(agreed.body())), ("SIP/2.0 200 OK", ("2", "a=recvonly")));
    assert!(matches!(steps(&phone)[..], [Step::Changed { sdp }] if **sdp == *held().as_bytes()));
    // The 2xx describes nothing, and what follows goes on from there.
    ask(&mut phone, Do::Answer { call: 2, sdp: SDP.as_bytes().into() });
    assert_eq!((words(&phone), phone.sent[0].body()), (vec!["200"], ""));
    phone.hears(&within("ACK", 1, &own, &tag, ""));
    phone.hears(&update(&own, &tag, 6, &SDP.replacen(" 1 IN", " 3 IN", 1)));
    assert_eq!(said(phone.sent[0].body()), ("3", "a=sendrecv"));
    // Ours has no answer: it waits for the PRACK.
    let (mut phone, own) = called(|text| without_offer(supports(text)));
    ask(&mut phone, Do::Ring { call: 2, sdp: SDP.as_bytes().into() });
    let tag = phone.sent[0].tag("To").to_owned();
    phone.hears(&update(&own, &tag, 2, &held()));
    assert_eq!(words(&phone), ["491"]);
}

#[test]
fn what_has_to_be_acknowledged_is_repeated_until_it_is() {
    let (mut phone, own) = called(requires);
    ask(&mut phone, Do::Ring { call: 2, sdp: Box::default() });
    let ringing = phone.sent[0].clone();
    assert_eq!((words(&phone), ringing.one("Require")), (vec!["180"], "100rel"));
    let (rseq, tag) = (ringing.one("RSeq").to_owned(), ringing.tag("To").to_owned());
    // After half a second, one, two and four more (RFC 3262 s3).
    let mut repeated = Vec::new();
    for _ in 0..10 {
        phone.waits(1);
        assert!(phone.sent.iter().all(|sent| sent.text == ringing.text));
        repeated.push(phone.sent.len());
    }
    assert_eq!(repeated, [1, 1, 0, 1, 0, 0, 0, 1, 0, 0]);
    for (bad, status) in [("1 1 INVITE", "481"), ("x", "400"), (&*format!("{rseq} 2 INVITE"), "481")] {
        phone.hears(&prack(&own, &tag, (2, bad), "").replace("PRACK2", bad.split(' ').next().unwrap_or("")));
        assert_eq!(words(&phone), [status], "{bad}");
    }
    phone.hears(&prack(&own, &tag, (3, &format!("{rseq} 1 INVITE")), ""));
    assert_eq!((words(&phone), phone.told.len()), (vec!["200"], 0));
    phone.waits(20);
    assert!(phone.sent.is_empty());
    ask(&mut phone, Do::Answer { call: 2, sdp: SDP.as_bytes().into() });
    assert_eq!((words(&phone), phone.sent[0].body()), (vec!["200"], SDP));
    phone.hears(&within("ACK", 1, &own, &tag, ""));
    assert!(matches!(steps(&phone)[..], [Step::Established { .. }]));
}

#[test]
fn one_is_on_its_way_at_a_time_and_the_answer_does_not_overtake_a_description() {
    let (mut phone, own) = called(supports);
    ask(&mut phone, Do::Ring { call: 2, sdp: Box::default() });
    assert_eq!((words(&phone), phone.sent[0].one("RSeq")), (vec!["180"], ""), "nobody asked for that");
    ask(&mut phone, Do::Ring { call: 2, sdp: SDP.as_bytes().into() });
    let early = phone.sent[0].clone();
    assert_eq!((words(&phone), early.one("Require"), early.body()), (vec!["183"], "100rel", SDP));
    ask(&mut phone, Do::Ring { call: 2, sdp: Box::default() });
    assert!(phone.sent.is_empty(), "it waits");
    ask(&mut phone, Do::Answer { call: 2, sdp: SDP.as_bytes().into() });
    assert!(phone.sent.is_empty(), "and so does this");
    for again in
        [Do::Answer { call: 2, sdp: SDP.as_bytes().into() }, Do::Ring { call: 2, sdp: Box::default() }]
    {
        ask(&mut phone, again);
        assert_eq!(phone.last, Some(ReplyBody::NoUa(UaRefusal::NotNow)));
    }
    let number: u32 = early.one("RSeq").parse().expect("a number");
    let tag = early.tag("To").to_owned();
    phone.hears(&prack(&own, &tag, (2, &format!("{number} 1 INVITE")), ""));
    assert_eq!(words(&phone), ["200", "180", "200"], "PRACK, ringing, and INVITE: {:?}", phone.sent);
    assert_eq!(phone.sent[1].one("RSeq"), (number + 1).to_string());
    assert_eq!(phone.sent[2].body(), "", "it is described already");
    // RFC 3262 s3: the last one is not repeated, but what acknowledges it is taken.
    phone.hears(&prack(&own, &tag, (3, &format!("{} 1 INVITE", number + 1)), ""));
    assert_eq!(words(&phone), ["200"]);
    phone.hears(&within("ACK", 1, &own, &tag, ""));
    assert!(matches!(steps(&phone)[..], [Step::Established { .. }]));
    phone.waits(60);
    assert!(phone.sent.iter().all(|sent| !sent.first().starts_with("SIP/2.0")), "{:?}", phone.sent);
}

#[test]
fn an_offer_of_the_callee_is_answered_by_prack() {
    let (mut phone, own) = called(|text| without_offer(supports(text)));
    ask(&mut phone, Do::Ring { call: 2, sdp: SDP.as_bytes().into() });
    let early = phone.sent[0].clone();
    let rack = format!("{} 1 INVITE", early.one("RSeq"));
    phone.hears(&prack(&own, early.tag("To"), (2, &rack), SDP));
    assert_eq!((words(&phone), phone.sent[0].body()), (vec!["200"], ""));
    assert!(matches!(steps(&phone)[..], [Step::Changed { sdp }] if **sdp == *SDP.as_bytes()));
    ask(&mut phone, Do::Answer { call: 2, sdp: SDP.as_bytes().into() });
    assert_eq!((words(&phone), phone.sent[0].body()), (vec!["200"], ""));
    phone.hears(&within("ACK", 1, &own, early.tag("To"), ""));
    assert!(matches!(steps(&phone)[..], [Step::Established { .. }]));
    // Who cannot acknowledge one is not made an offer that he may not hear.
    let (mut phone, _) = called(without_offer);
    ask(&mut phone, Do::Ring { call: 2, sdp: SDP.as_bytes().into() });
    assert_eq!((words(&phone), phone.sent[0].body()), (vec!["183"], ""));
}

#[test]
fn who_never_acknowledges_has_no_call() {
    let (mut phone, own) = called(requires);
    ask(&mut phone, Do::Ring { call: 2, sdp: SDP.as_bytes().into() });
    let tag = phone.sent[0].tag("To").to_owned();
    ask(&mut phone, Do::Answer { call: 2, sdp: SDP.as_bytes().into() });
    let mut cancelled = phone.clone();
    phone.waits(33);
    assert!(words(&phone).contains(&"504"), "{:?}", words(&phone));
    assert!(matches!(steps(&phone)[..], [Step::Ended { status: 408, remote: true }]));
    assert!(phone.view().calls.is_empty());
    phone.hears(&prack(&own, &tag, (2, "1 1 INVITE"), ""));
    assert_eq!(words(&phone), ["481"]);
    // Who gives up meanwhile, or hangs up, ends it as ever.
    let mut rejected = cancelled.clone();
    cancelled.hears(&within("CANCEL", 1, &own, "", ""));
    assert_eq!(words(&cancelled), ["200", "487"]);
    ask(&mut rejected, Do::HangUp { call: 2 });
    assert_eq!(words(&rejected), ["486"]);
    assert!(cancelled.view().calls.is_empty() && rejected.view().calls.is_empty());
}
