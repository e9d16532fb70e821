//! Extensions of calls through the engine's doors: Target-Dialog (RFC 4538), Max-Breadth (RFC 5393), Info-Package (RFC 6086).

use super::calls::*;
use super::transfers::{CAROL, CAROL_OFFER, all_of, find, lines, three_with};
use super::*;

/// Everybody may ask for everything; what is his is another matter.
fn three_open() -> Calls {
    three_with(|config| config.policies.other = AuthPolicy::Open)
}

/// A REFER of this user outside any call, to carol.
fn refer_outside(user: &str, branch: &str, more: &str) -> String {
    format!(
        "REFER sip:192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{user}@example.com>;tag=r1\r\nTo: <sip:bob@example.com>\r\n\
         Call-ID: refer-{branch}\r\nCSeq: 1 REFER\r\nContact: <sip:{user}@{ALICE}>\r\n\
         Refer-To: <sip:carol@example.com>\r\nRequire: tdialog\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

fn target(ok: &Sent) -> String {
    let (call, ours, theirs) = (ok.one("Call-ID"), ok.tag("To"), ok.tag("From"));
    format!("Target-Dialog: {call};local-tag={ours};remote-tag={theirs}\r\n")
}

#[test]
fn a_refer_that_names_the_senders_call_is_done_in_that_call() {
    let mut calls = three_open();
    let (to_bob, ok) = established(&mut calls);
    let mut all = calls.from(ALICE, &refer_outside("alice", "out", &target(&ok)));
    let accepted = find(&all, ALICE, "SIP/2.0 200").clone();
    let trying = find(&all, ALICE, "NOTIFY").clone();
    assert_eq!((trying.one("Call-ID"), trying.tag("From")), ("refer-out", accepted.tag("To")));
    calls.from(ALICE, &response(&trying, "200 OK", "", "", ""));
    let to_carol = find(&all, CAROL, "INVITE").clone();
    let answered = calls.from(CAROL, &response(&to_carol, "200 OK", "c1", CAROL, CAROL_OFFER));
    let agreed = calls.from(BOB, &response(find(&answered, BOB, "INVITE"), "200 OK", "", BOB, ANSWER));
    all.extend(answered);
    all.extend(agreed);
    let last = find(&all[3..], ALICE, "NOTIFY").clone();
    assert_eq!(last.one("Call-ID"), "refer-out");
    let bye = calls.from(ALICE, &response(&last, "200 OK", "", "", ""));
    assert_eq!(find(&bye, ALICE, "BYE").one("Call-ID"), "call1", "the call itself");
    calls.from(ALICE, &response(find(&bye, ALICE, "BYE"), "200 OK", "", "", ""));
    all.extend(bye);
    let hung = calls.from(BOB, &by_callee("BYE", 7, &to_bob, "b1", "bye", ""));
    calls.from(CAROL, &response(find(&hung, CAROL, "BYE"), "200 OK", "", "", ""));
    insta::assert_snapshot!("a_refer_outside_the_call", format!("{}{}", all_of(&all), calls.finish()));
}

#[test]
fn a_refer_that_names_no_live_call_of_the_sender_is_forbidden() {
    let mut calls = three_open();
    let (to_bob, ok) = established(&mut calls);
    let (own, other) = (target(&ok), to_bob.tag("From"));
    let of_bob = format!("Target-Dialog: {};local-tag={other};remote-tag=b1\r\n", to_bob.one("Call-ID"));
    let turned =
        own.replace("local-tag", "x").replace("remote-tag", "local-tag").replace("x=", "remote-tag=");
    for (i, (user, header)) in [
        ("alice", String::new()),
        ("alice", "Target-Dialog: call1\r\n".into()),
        ("alice", "Target-Dialog: nothing;local-tag=1;remote-tag=2\r\n".into()),
        ("alice", turned),
        ("alice", of_bob),
        ("carol", own.clone()),
    ]
    .into_iter()
    .enumerate()
    {
        let sent = calls.from(ALICE, &refer_outside(user, &format!("no{i}"), &header));
        assert_eq!(lines(&sent), [(ALICE, "SIP/2.0 403 Forbidden")], "{user} {header}");
    }
    calls.caller_hangs_up(&ok, 2);
    let over = calls.from(ALICE, &refer_outside("alice", "over", &own));
    assert_eq!(lines(&over), [(ALICE, "SIP/2.0 403 Forbidden")]);
    calls.finish();
}

#[test]
fn breadth_is_divided_among_those_who_ring_and_the_rest_ring_later() {
    let phones = [BOB, BOB2, "192.0.2.20:5060"];
    let ring = |breadth: &str| {
        let mut calls = Calls::new(calls_config());
        phones[1..].iter().for_each(|phone| calls.register("bob", phone, ""));
        let mut sent = calls.from(ALICE, &invite(breadth));
        sent.retain(|sent| sent.first().starts_with("INVITE"));
        let shares: Vec<String> = sent.iter().map(|sent| sent.one("Max-Breadth").to_owned()).collect();
        (calls, sent, shares)
    };
    for (header, expected) in [
        ("", &["20", "20", "20"][..]),
        ("Max-Breadth: 500\r\n", &["20", "20", "20"]),
        ("Max-Breadth: 5\r\n", &["2", "2", "1"]),
        ("Max-Breadth: 3\r\n", &["1", "1", "1"]),
        ("Max-Breadth: 2\r\n", &["1", "1"]),
        ("Max-Breadth: 1\r\n", &["1"]),
    ] {
        let (mut calls, mut sent, shares) = ring(header);
        assert_eq!(shares, expected, "{header}");
        // All are tried in the end, never more at once.
        let mut tried = 0;
        while let Some(next) = sent.pop() {
            tried += 1;
            let more = calls.from(&next.to.clone(), &response(&next, "486 Busy Here", "b", "", ""));
            sent.extend(more.into_iter().filter(|sent| sent.first().starts_with("INVITE")));
        }
        assert_eq!(tried, 3, "{header}");
        calls.finish();
    }
    for (header, status) in
        [("Max-Breadth: 0\r\n", "440"), ("Max-Breadth: -1\r\n", "400"), ("Max-Breadth: 1x\r\n", "400")]
    {
        let mut calls = Calls::new(calls_config());
        let sent = calls.from(ALICE, &invite(header));
        assert!(sent[0].first().contains(status), "{header}: {:?}", lines(&sent));
        calls.finish();
    }
}

#[test]
fn info_of_a_package_goes_to_who_wants_it_and_no_further() {
    let mut calls = Calls::new(calls_config());
    let to_bob =
        find(&calls.from(ALICE, &invite("Recv-Info: foo\r\nRecv-Info: bar;x=1\r\n")), BOB, "INVITE").clone();
    assert_eq!(to_bob.all("Recv-Info"), ["foo", "bar;x=1"]);
    let with = |text: String, lines: &str| {
        text.replace("Content-", &format!("{lines}Content-")).replacen(
            &format!("{lines}Content-Length"),
            "Content-Length",
            usize::from(text.contains("Content-Type")),
        )
    };
    let answer = with(response(&to_bob, "200 OK", "b1", BOB, ANSWER), "Allow: UPDATE\r\nRecv-Info: baz\r\n");
    let ok = calls.from(BOB, &answer)[0].clone();
    assert_eq!(ok.all("Recv-Info"), ["baz"]);
    calls.from(ALICE, &by_caller("ACK", 1, &ok, "ack", ""));
    let mut told = String::new();
    let mut cseq = 1;
    let mut info = |calls: &mut Calls, who: &str, lines: &str| {
        cseq += 1;
        let branch = format!("i{cseq}");
        let (text, to) = match who {
            "alice" => (by_caller("INFO", cseq, &ok, &branch, ""), ALICE),
            _ => (by_callee("INFO", cseq, &to_bob, "b1", &branch, "").replace(ALICE, BOB), BOB),
        };
        let sent = calls.from(to, &with(text, lines));
        let first = &sent[0];
        let _ = writeln!(
            told,
            "{who:<5} {:<24} > {} {:?} {:?}",
            lines.trim_end(),
            first.first(),
            first.all("Recv-Info"),
            first.all("Info-Package")
        );
        if first.to != to {
            calls.from(&first.to.clone(), &response(first, "200 OK", "", "", ""));
        }
    };
    info(&mut calls, "alice", "Info-Package: baz;v=2\r\n");
    info(&mut calls, "alice", "Info-Package: foo\r\n");
    info(&mut calls, "alice", "Info-Package: BAZ\r\n");
    info(&mut calls, "alice", "Info-Package: \r\n");
    info(&mut calls, "alice", "");
    info(&mut calls, "bob", "Info-Package: foo\r\n");
    info(&mut calls, "bob", "Info-Package: bar\r\n");
    info(&mut calls, "bob", "Info-Package: baz\r\n");
    // What is said in a request that is refused does not hold.
    for (branch, status, cseq) in [("u1", "488 Not Acceptable Here", 50), ("u2", "200 OK", 51)] {
        let update = with(by_caller("UPDATE", cseq, &ok, branch, ""), "Recv-Info:\r\n");
        let sent = calls.from(ALICE, &update);
        assert_eq!(find(&sent, BOB, "UPDATE").all("Recv-Info:").len(), 0);
        assert!(find(&sent, BOB, "UPDATE").text.contains("\r\nRecv-Info:"), "{}", sent[0].text);
        calls.from(BOB, &response(find(&sent, BOB, "UPDATE"), status, "", BOB, ""));
        info(&mut calls, "bob", "Info-Package: foo\r\n");
    }
    insta::assert_snapshot!(told);
    calls.caller_hangs_up(&ok, 60);
    calls.finish();
}
