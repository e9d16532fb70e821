//! NOTIFY that the host has sent to phones which did not ask for it.

use super::calls::*;
use super::transfers::find;
use super::*;
use crate::door::{DeviceTold, Notice, NoticeRefusal};

fn replies(commands: &[Command]) -> Vec<ReplyBody> {
    let replies = commands.iter().filter_map(|command| match command {
        Command::Reply(reply) => Some(reply.body.clone()),
        _ => None,
    });
    replies.collect()
}

fn ask(calls: &mut Calls, aor: &str, notice: Notice) -> (Vec<Sent>, Vec<ReplyBody>) {
    let request = Request::SendNotify { aor: aor.into(), notice };
    let commands = calls.host.input(Input::Host { reply: Some(3), request });
    let told = replies(&commands);
    (calls.sent(commands), told)
}

fn from(calls: &mut Calls, at: &str, text: &str) -> Vec<ReplyBody> {
    let (remote, local) = (addr(at), addr("192.0.2.1:5060"));
    let input = Input::Message { flow: UDP, remote, local, data: text.as_bytes() };
    replies(&calls.host.input(input))
}

#[test]
fn every_phone_is_told_and_what_each_says_is_the_reply() {
    let mut calls = Calls::new(calls_config());
    calls.register("bob", BOB2, ";q=0.3");
    let (sent, told) = ask(&mut calls, "sip:bob@example.com", Notice::new("check-sync;reboot=true"));
    assert!(told.is_empty(), "not before they have answered");
    let (one, two) = (find(&sent, BOB, "NOTIFY").clone(), find(&sent, BOB2, "NOTIFY").clone());
    insta::assert_snapshot!("a_notify_nobody_asked_for", one.text.replace("\r\n", "\n"));
    assert!(from(&mut calls, BOB, &response(&one, "200 OK", "b1", "", "")).is_empty());
    let told = from(&mut calls, BOB2, &response(&two, "481 Subscription Does Not Exist", "b2", "", ""));
    let device =
        |at: &str, status| DeviceTold { contact: format!("sip:bob@{at}").into(), remote: addr(at), status };
    assert_eq!(told, [ReplyBody::Notified(vec![device(BOB, 200), device(BOB2, 481)])]);
    calls.finish();
}

#[test]
fn a_body_goes_with_its_type_and_silence_is_told_too() {
    let mut calls = Calls::new(calls_config());
    let body = b"Messages-Waiting: yes\r\n".to_vec();
    let notice = Notice::with("message-summary", "application/simple-message-summary", body);
    let (sent, _) = ask(&mut calls, "bob@example.com", notice);
    let notify = find(&sent, BOB, "NOTIFY");
    assert_eq!((notify.one("Event"), notify.body()), ("message-summary", "Messages-Waiting: yes\r\n"));
    let commands = calls.host.wait(Duration::from_secs(40));
    let told = replies(&commands);
    assert!(matches!(&told[..], [ReplyBody::Notified(told)] if told[0].status == 408), "{told:?}");
    calls.finish();
}

#[test]
fn who_has_no_phone_is_told_nothing_and_that_is_said_at_once() {
    let mut config = calls_config();
    config.accounts.push(AccountConfig { username: "dave".into(), ..config.accounts[0].clone() });
    let mut calls = Calls::new(config);
    let (sent, told) = ask(&mut calls, "dave@example.com", Notice::new("check-sync"));
    assert_eq!((sent.len(), told), (0, vec![ReplyBody::Notified(Vec::new())]));
}

#[test]
fn nothing_the_host_says_begins_another_header() {
    let mut calls = Calls::new(calls_config());
    let body = || b"x".to_vec();
    let cases = [
        (Notice::new("check-sync\r\nX: y"), NoticeRefusal::BadEvent),
        (Notice::new(""), NoticeRefusal::BadEvent),
        (Notice::new("a\nb"), NoticeRefusal::BadEvent),
        (Notice::with("check-sync", "text/plain\r\nX: y", body()), NoticeRefusal::BadContentType),
        (Notice::with("check-sync", "plain", body()), NoticeRefusal::BadContentType),
        (Notice::with("check-sync", "", body()), NoticeRefusal::BadContentType),
        (Notice::with("check-sync", "text/plain", vec![b'x'; 65_000]), NoticeRefusal::TooLarge),
    ];
    for (notice, refusal) in cases {
        let (sent, told) = ask(&mut calls, "bob@example.com", notice);
        assert_eq!((sent.len(), told), (0, vec![ReplyBody::NoNotice(refusal)]));
    }
    for aor in ["bob@elsewhere.example", "", "bob@example.com\r\n"] {
        let (sent, told) = ask(&mut calls, aor, Notice::new("check-sync"));
        assert_eq!((sent.len(), told), (0, vec![ReplyBody::NoNotice(NoticeRefusal::NotOurs)]), "{aor:?}");
    }
}
