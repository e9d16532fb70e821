//! Session timers of user agents: RFC 4028.

use super::calls::{Sent, response};
use super::ua::*;
use crate::door::{Changes, UaAccount, UaCallRequest as Do, UaCallStep as Step, UaRequest, UaStep};

fn steps(phone: &Phone) -> Vec<String> {
    let of_calls = |step: &UaStep| match step {
        UaStep::Call { step: Step::Ended { status, .. }, .. } => Some(format!("Ended {status}")),
        UaStep::Call { step, .. } => Some(word(step)),
        _ => None,
    };
    phone.told.iter().filter_map(of_calls).collect()
}

/// The methods of what was sent, and how many.
fn methods(phone: &Phone) -> Vec<&str> {
    let mut all: Vec<&str> = phone
        .sent
        .iter()
        .filter_map(|sent| sent.first().split(' ').next())
        .filter(|m| *m != "SIP/2.0")
        .collect();
    all.dedup();
    all
}

/// A response with these lines.
fn with(request: &Sent, status: &str, lines: &str, sdp: &str) -> String {
    response(request, status, "b", SERVER, sdp).replace("CSeq: ", &format!("{lines}CSeq: "))
}

/// One that has called, and was answered with these lines.
fn calling(lines: &str) -> (Phone, Sent) {
    let mut phone = Phone::new();
    let invite = begin(&mut phone);
    phone.hears(&with(&invite, "200 OK", lines, SDP));
    assert_eq!((steps(&phone), methods(&phone)), (vec!["Established".to_owned()], vec!["ACK"]));
    (phone, invite)
}

/// One that is called by an INVITE with these lines, and takes it: the URI by which, our tag, and the 200.
fn called(account: UaAccount, lines: &str) -> (Phone, String, String, Sent) {
    let mut phone = Phone::with(account);
    phone.does(UaRequest::Register);
    let register = phone.request();
    let contact = register.one("Contact").to_owned();
    phone.answered(&register, "200 OK", &format!("Contact: {contact};expires=360000\r\n"));
    let own = contact.trim_start_matches('<').split('>').next().unwrap_or_default().to_owned();
    phone.hears(&said("INVITE", 1, &own, "", lines, SDP));
    phone.does(UaRequest::Call(Do::Answer { call: 2, sdp: SDP.as_bytes().into() }));
    let ok = phone.sent[0].clone();
    let tag = ok.tag("To").to_owned();
    phone.hears(&within("ACK", 1, &own, &tag, ""));
    assert_eq!(steps(&phone), ["Established"]);
    (phone, own, tag, ok)
}

fn said(method: &str, number: u32, own: &str, tag: &str, lines: &str, sdp: &str) -> String {
    within(method, number, own, tag, sdp).replace("Contact: ", &format!("{lines}Contact: "))
}

#[test]
fn a_call_asks_for_an_interval_and_for_a_longer_one_where_that_is_too_brief() {
    let mut phone = Phone::new();
    let invite = begin(&mut phone);
    assert_eq!((invite.one("Session-Expires"), invite.one("Min-SE")), ("1800", ""));
    assert!(invite.one("Supported").split(", ").any(|tag| tag == "timer"));
    phone.hears(&with(&invite, "422 Session Interval Too Small", "Min-SE: 3600\r\n", ""));
    let again = phone.request();
    assert_eq!((again.one("Session-Expires"), again.one("Min-SE")), ("3600", "3600"));
    assert_eq!((again.one("Call-ID"), again.body()), (invite.one("Call-ID"), SDP));
    assert!(steps(&phone).is_empty());
    // One that wants no longer one gets no other.
    phone.hears(&with(&again, "422 Session Interval Too Small", "Min-SE: 90\r\n", ""));
    assert_eq!(steps(&phone), ["Ended 422"]);
}

#[test]
fn whoever_is_to_refresh_does_at_half_the_interval() {
    for (allow, method) in [("Allow: INVITE, UPDATE\r\n", "UPDATE"), ("Allow: INVITE\r\n", "INVITE")] {
        let agreed = "Session-Expires: 600;refresher=uac\r\nRequire: timer\r\n";
        let (mut phone, invite) = calling(&format!("{allow}{agreed}"));
        for _ in 0..20 {
            phone.waits(299);
            assert!(phone.sent.is_empty());
            phone.waits(1);
            let refresh = phone.request();
            assert_eq!(methods(&phone), [method]);
            assert_eq!(refresh.one("Session-Expires"), "600;refresher=uac");
            assert_eq!(refresh.body(), if method == "INVITE" { SDP } else { "" });
            assert_eq!(refresh.one("Call-ID"), invite.one("Call-ID"));
            let sdp = if method == "INVITE" { SDP } else { "" };
            phone.hears(&with(&refresh, "200 OK", agreed, sdp));
            assert_eq!(steps(&phone), [""; 0], "nothing has changed");
        }
        assert_eq!(phone.view().calls.len(), 1);
    }
}

#[test]
fn without_a_refresh_the_call_is_over() {
    // The other side was to do it: RFC 4028 s10, 32 seconds before the end.
    let (mut phone, _) = calling("Session-Expires: 600;refresher=uas\r\nRequire: timer\r\n");
    phone.waits(567);
    assert!(phone.sent.is_empty());
    phone.waits(1);
    assert_eq!((methods(&phone), steps(&phone)), (vec!["BYE"], vec!["Ended 408".to_owned()]));
    // We did, and nobody answers.
    let (mut phone, _) = calling("Allow: UPDATE\r\nSession-Expires: 600;refresher=uac\r\nRequire: timer\r\n");
    phone.waits(300);
    assert_eq!(methods(&phone), ["UPDATE"]);
    phone.waits(40);
    assert_eq!((methods(&phone), steps(&phone)), (vec!["UPDATE", "BYE"], vec!["Ended 408".to_owned()]));
    phone.waits(60);
    assert!(phone.view().calls.is_empty());
}

#[test]
fn a_refresh_that_is_refused_is_tried_as_the_answer_says() {
    let agreed = "Allow: INVITE, UPDATE\r\nSession-Expires: 600;refresher=uac\r\nRequire: timer\r\n";
    for (status, lines, wait, then, told) in [
        ("405 Method Not Allowed", "", 0, "INVITE", None),
        ("422 Session Interval Too Small", "Min-SE: 3600\r\n", 0, "UPDATE", None),
        ("491 Request Pending", "", 4, "UPDATE", None),
        ("500 Server Internal Error", "Retry-After: 7\r\n", 7, "UPDATE", None),
        ("500 Server Internal Error", "", 150, "UPDATE", None),
        ("481 Call/Transaction Does Not Exist", "", 0, "BYE", Some("Ended 481")),
    ] {
        let (mut phone, _) = calling(agreed);
        phone.waits(300);
        let refresh = phone.request();
        phone.hears(&with(&refresh, status, lines, ""));
        if wait > 0 {
            assert!(phone.sent.is_empty(), "{status}");
            phone.waits(wait);
        }
        assert_eq!(methods(&phone), [then], "{status}");
        assert_eq!(steps(&phone).first().map(String::as_str), told, "{status}");
        if then == "UPDATE" && lines.starts_with("Min-SE") {
            assert_eq!(phone.request().one("Session-Expires"), "3600;refresher=uac");
        }
    }
    // Whatever it says, the end comes.
    let (mut phone, _) = calling(agreed);
    for _ in 0..20 {
        phone.waits(60);
        if methods(&phone) == ["UPDATE"] {
            let refresh = phone.request();
            phone.hears(&with(&refresh, "488 Not Acceptable Here", "", ""));
        }
        if !steps(&phone).is_empty() {
            break;
        }
    }
    assert_eq!((methods(&phone).last(), steps(&phone)), (Some(&"BYE"), vec!["Ended 408".to_owned()]));
}

#[test]
fn who_calls_us_is_granted_what_he_asks_for() {
    let lines = "Supported: timer\r\nSession-Expires: 600;refresher=uac\r\n";
    let (mut phone, own, tag, ok) = called(account(), lines);
    assert_eq!((ok.one("Session-Expires"), ok.one("Require")), ("600;refresher=uac", "timer"));
    for i in 0..5 {
        phone.waits(500);
        assert!(phone.sent.is_empty(), "he refreshes");
        phone.hears(&said("UPDATE", 2 + i, &own, &tag, lines, ""));
        assert_eq!(phone.sent[0].one("Session-Expires"), "600;refresher=uac");
    }
    phone.waits(568);
    assert_eq!((methods(&phone), steps(&phone)), (vec!["BYE"], vec!["Ended 408".to_owned()]));
    // Who leaves it to us has it done, and who knows nothing of it as well: that is ours to know.
    for (lines, says) in [
        ("Supported: timer\r\nSession-Expires: 600;refresher=uas\r\nAllow: UPDATE\r\n", "600;refresher=uas"),
        ("Allow: UPDATE\r\n", ""),
    ] {
        let (mut phone, _, _, ok) = called(account(), lines);
        assert_eq!(ok.one("Session-Expires"), says);
        phone.waits(if says.is_empty() { 900 } else { 300 });
        assert_eq!(methods(&phone), ["UPDATE"], "{lines}");
    }
    let mut phone = Phone::registered();
    let own = own_contact(&mut phone);
    let brief = "Supported: timer\r\nSession-Expires: 60\r\n";
    phone.hears(&said("INVITE", 1, &own, "", brief, SDP));
    assert!(phone.sent[0].first().starts_with("SIP/2.0 422") && phone.sent[0].one("Min-SE") == "90");
    assert!(phone.told.is_empty());
}

#[test]
fn an_offer_that_only_refreshes_is_nobodys_business() {
    let mut account = account();
    account.changes = Changes::Ask;
    let (mut phone, own, tag, _) = called(account, "");
    phone.hears(&said("INVITE", 2, &own, &tag, "", SDP));
    assert!(phone.told.is_empty() && phone.sent[0].first().starts_with("SIP/2.0 200"), "{:?}", phone.sent);
    assert_eq!(phone.sent[0].body(), SDP);
    phone.hears(&within("ACK", 2, &own, &tag, ""));
    phone.hears(&said("INVITE", 3, &own, &tag, "", &SDP.replace("4000", "4002")));
    assert_eq!(steps(&phone), ["Offered"]);
}
