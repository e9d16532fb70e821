use super::*;
use crate::audit::Audit;

/// A message of a flow: who says it, and when.
type Said = (By, u64, Sip);

fn place() -> Place {
    Place { flow: 2, stream: false, remote: "10.0.0.2:5060".parse().expect("an address") }
}

fn sdp(id: &str, version: u32) -> Vec<u8> {
    format!("v=0\r\no=x {id} {version} IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\n").into_bytes()
}

fn described(m: &mut Sip, id: &str, version: u32) {
    m.push("Content-Type", "application/sdp");
    m.body = sdp(id, version);
}

/// Who is who on the leg of the caller and on that of the callee.
struct Side {
    call: &'static str,
    caller: &'static str,
    callee: &'static str,
    ours: &'static str,
    theirs: &'static str,
    /// Contact and sent-by of both.
    from: &'static str,
    to: &'static str,
}

const A: Side = Side {
    call: "aaaaaaaaaa",
    caller: "<sip:alice@example.com>;tag=alicetag0",
    callee: "<sip:bob@example.com>",
    ours: ";tag=ourtagaaaa",
    theirs: "",
    from: "10.0.0.2:5060",
    to: "192.0.2.1:5060",
};

const B: Side = Side {
    call: "bbbbbbbbbb",
    caller: "<sip:alice@example.com>;tag=ourtagbbbb",
    callee: "<sip:bob@example.com>",
    ours: "",
    theirs: ";tag=bobtag0000",
    from: "192.0.2.1:5060",
    to: "10.0.0.3:5060",
};

impl Side {
    fn tag(&self) -> String {
        format!("{}{}", self.ours, self.theirs)
    }

    /// A request of the caller's side; within the dialog if the method is not the first.
    fn asks(&self, method: &str, branch: &str, number: u32) -> Sip {
        let within = !matches!(method, "INVITE" | "CANCEL");
        let uri = if within { format!("sip:x@{}", self.to) } else { "sip:bob@example.com".to_owned() };
        let mut m = Sip::new(format!("{method} {uri} SIP/2.0"));
        let to = if within { format!("{}{}", self.callee, self.tag()) } else { self.callee.to_owned() };
        m.push("Via", format!("SIP/2.0/UDP {};branch=z9hG4bK{branch}", self.from));
        m.push("Max-Forwards", if self.from.starts_with("192") { "69" } else { "70" });
        if method == "INVITE" && self.from.starts_with("192") {
            m.push("Max-Breadth", "60");
        }
        m.push("From", self.caller).push("To", to).push("Call-ID", self.call);
        m.push("CSeq", format!("{number} {method}"));
        if matches!(method, "INVITE" | "UPDATE") {
            m.push("Contact", format!("<sip:x@{}>", self.from)).push("Supported", "100rel, timer");
        }
        m
    }

    /// The same of the callee's side, within the dialog.
    fn asks_back(&self, method: &str, branch: &str, number: u32) -> Sip {
        let mut m = Sip::new(format!("{method} sip:x@{} SIP/2.0", self.from));
        m.push("Via", format!("SIP/2.0/UDP {};branch=z9hG4bK{branch}", self.to)).push("Max-Forwards", "70");
        m.push("From", format!("{}{}", self.callee, self.tag())).push("To", self.caller);
        m.push("Call-ID", self.call).push("CSeq", format!("{number} {method}"));
        if matches!(method, "INVITE" | "UPDATE") {
            m.push("Contact", format!("<sip:x@{}>", self.to));
        }
        m
    }

    fn answers(&self, request: &Sip, status: u16) -> Sip {
        let mut m = Sip::new(format!("SIP/2.0 {status} So"));
        for name in ["Via", "From", "Call-ID", "CSeq", "Record-Route"] {
            for value in request.lines(name) {
                m.push(name, value);
            }
        }
        let to = request.header("To").unwrap_or_default();
        let tag = if to.contains("tag=") || status == 100 { String::new() } else { self.tag() };
        m.push("To", format!("{to}{tag}"));
        if request.method() == "INVITE" && (101..300).contains(&status) {
            m.push("Contact", format!("<sip:x@{}>", self.to));
        }
        m
    }
}

/// A call through us, answered and ended by its caller: what we say breaks no law.
fn whole() -> Vec<Said> {
    let mut invite = A.asks("INVITE", "alicebranch1", 1);
    described(&mut invite, "1", 1);
    let mut onward = B.asks("INVITE", "ourbranch1", 1);
    described(&mut onward, "1", 1);
    let mut answered = B.answers(&onward, 200);
    described(&mut answered, "2", 1);
    let mut back = A.answers(&invite, 200);
    described(&mut back, "2", 1);
    let bye = A.asks("BYE", "alicebranch3", 2);
    let bye_on = B.asks("BYE", "ourbranch3", 2);
    vec![
        (By::Them, 0, invite.clone()),                    // 0
        (By::Us, 0, A.answers(&invite, 100)),             // 1
        (By::Us, 0, onward.clone()),                      // 2
        (By::Them, 10, B.answers(&onward, 180)),          // 3
        (By::Us, 10, A.answers(&invite, 180)),            // 4
        (By::Them, 20, answered),                         // 5
        (By::Us, 20, B.asks("ACK", "ourbranch2", 1)),     // 6
        (By::Us, 20, back),                               // 7
        (By::Them, 30, A.asks("ACK", "alicebranch2", 1)), // 8
        (By::Them, 1_000, bye.clone()),                   // 9
        (By::Us, 1_000, A.answers(&bye, 200)),            // 10
        (By::Us, 1_000, bye_on.clone()),                  // 11
        (By::Them, 1_010, B.answers(&bye_on, 200)),       // 12
    ]
}

fn verdict(flow: &[Said]) -> Vec<&'static str> {
    let mut audit = Audit::new();
    for (by, ms, m) in flow {
        let at = Time::from_millis(*ms);
        let theirs = match m.header("Call-ID") {
            Some("bbbbbbbbbb") => "10.0.0.3:5060",
            _ => "10.0.0.2:5060",
        };
        let place = Place { remote: theirs.parse().expect("an address"), ..place() };
        match by {
            By::Them => audit.came(at, place, &m.write()),
            By::Us => audit.went(at, place, &m.write()),
        }
    }
    audit.end(Time::from_secs(100));
    let mut names: Vec<&str> = audit.findings.iter().map(|f| f.rule).collect();
    names.dedup();
    names
}

/// One message is changed.
fn edited(at: usize, edit: impl FnOnce(&mut Sip)) -> Vec<Said> {
    let mut flow = whole();
    edit(&mut flow[at].2);
    flow
}

/// Some are left out.
fn without(leave: impl Fn(usize) -> bool) -> Vec<Said> {
    whole().into_iter().enumerate().filter(|(i, _)| !leave(*i)).map(|(_, said)| said).collect()
}

/// Others come before one.
fn before(at: usize, more: Vec<(By, Sip)>) -> Vec<Said> {
    let mut flow = whole();
    let ms = flow.get(at).map_or(2_000, |said| said.1);
    flow.splice(at..at, more.into_iter().map(|(by, m)| (by, ms, m)));
    flow
}

fn with(mut m: Sip, edit: impl FnOnce(&mut Sip)) -> Sip {
    edit(&mut m);
    m
}

/// A call that its caller gives up.
fn given_up(edit: impl FnOnce(&mut Vec<Said>)) -> Vec<&'static str> {
    let mut flow = whole();
    flow.truncate(5);
    let (invite, onward) = (flow[0].2.clone(), flow[2].2.clone());
    let cancel = A.asks("CANCEL", "alicebranch1", 1);
    let ack = |side: &Side, branch: &str| {
        with(side.asks("CANCEL", branch, 1), |m| {
            m.start = m.start.replace("CANCEL", "ACK");
            m.set("CSeq", "1 ACK").set("To", format!("{}{}", side.callee, side.tag()));
        })
    };
    flow.extend([
        (By::Them, 50, cancel.clone()),                  // 5
        (By::Us, 50, A.answers(&cancel, 200)),           // 6
        (By::Us, 50, A.answers(&invite, 487)),           // 7
        (By::Us, 50, B.asks("CANCEL", "ourbranch1", 1)), // 8
        (By::Them, 60, ack(&A, "alicebranch1")),         // 9
        (By::Them, 70, B.answers(&onward, 487)),         // 10
        (By::Us, 70, ack(&B, "ourbranch1")),             // 11
    ]);
    edit(&mut flow);
    verdict(&flow)
}

/// A reliable response on the way from bob to alice.
fn reliably(edit: impl FnOnce(&mut Vec<Said>)) -> Vec<&'static str> {
    let mut flow = whole();
    let (invite, onward) = (flow[0].2.clone(), flow[2].2.clone());
    let reliable = |m: Sip, rseq: u32| {
        with(m, |m| {
            m.push("Require", "100rel").push("RSeq", rseq.to_string());
        })
    };
    let rack = |m: Sip, rseq: u32| {
        with(m, |m| {
            m.push("RAck", format!("{rseq} 1 INVITE"));
        })
    };
    let (one, two) =
        (rack(B.asks("PRACK", "ourbranchp", 2), 7), rack(A.asks("PRACK", "alicebranchp", 2), 70));
    let more = [
        (By::Them, 12, reliable(B.answers(&onward, 183), 7)), // 5
        (By::Us, 12, one.clone()),                            // 6
        (By::Us, 12, reliable(A.answers(&invite, 183), 70)),  // 7
        (By::Them, 14, B.answers(&one, 200)),                 // 8
        (By::Them, 14, two.clone()),                          // 9
        (By::Us, 14, A.answers(&two, 200)),                   // 10
    ];
    flow.splice(5..5, more);
    flow[15].2.set("CSeq", "3 BYE");
    flow[16].2.set("CSeq", "3 BYE");
    flow[17].2.set("CSeq", "3 BYE");
    flow[18].2.set("CSeq", "3 BYE");
    edit(&mut flow);
    verdict(&flow)
}

/// A new session that we offer to bob while they talk.
fn changed(number: u32, edit: impl FnOnce(&mut Vec<Said>)) -> Vec<&'static str> {
    let mut flow = whole();
    let again = with(B.asks("UPDATE", "ourbranchu", number), |m| described(m, "1", 2));
    let answer = with(B.answers(&again, 200), |m| described(m, "2", 2));
    flow.splice(9..9, [(By::Us, 500, again), (By::Them, 510, answer)]);
    flow[13].2.set("CSeq", "3 BYE");
    flow[14].2.set("CSeq", "3 BYE");
    edit(&mut flow);
    verdict(&flow)
}

#[test]
fn right_calls_break_no_law() {
    assert_eq!(verdict(&whole()), Vec::<&str>::new());
    assert_eq!(given_up(|_| {}), Vec::<&str>::new());
    assert_eq!(reliably(|_| {}), Vec::<&str>::new());
    assert_eq!(changed(2, |_| {}), Vec::<&str>::new());
}

#[test]
fn each_law_is_broken_by_its_vector_and_by_nothing_else() {
    let set = |at: usize, name: &'static str, value: &'static str| {
        verdict(&edited(at, |m| {
            m.set(name, value);
        }))
    };
    let drop_header =
        |at: usize, name: &'static str| verdict(&edited(at, |m| m.headers.retain(|(n, _)| n != name)));
    let start = |at: usize, from: &'static str, to: &'static str| {
        verdict(&edited(at, |m| m.start = m.start.replace(from, to)))
    };
    let again = || {
        with(B.asks("INVITE", "ourbranch9", 2), |m| {
            m.start = "INVITE sip:x@10.0.0.3:5060 SIP/2.0".into();
            m.set("To", format!("{}{}", B.callee, B.tag()));
            described(m, "1", 2);
        })
    };
    let vectors: Vec<(Law, Vec<&str>)> = vec![
        (OWN_VIA, set(2, "Via", "SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKourbranch1")),
        (CONTACT, drop_header(2, "Contact")),
        (CONTACT, drop_header(4, "Contact")),
        (RECORD_ROUTE, {
            let mut flow = whole();
            flow[0].2.push("Record-Route", "<sip:p1;lr>, <sip:p2;lr>");
            for at in [4, 7] {
                flow[at].2.push("Record-Route", "<sip:p2;lr>, <sip:p1;lr>");
            }
            verdict(&flow)
        }),
        (BARE_100, set(1, "To", "<sip:bob@example.com>;tag=ourtagaaaa")),
        (PROVISIONAL_LAST, verdict(&before(8, vec![(By::Us, whole()[4].2.clone())]))),
        (
            DIALOG,
            set(11, "To", "<sip:bob@example.com>;tag=another000")
                .into_iter()
                .filter(|n| *n != HANGING.name)
                .collect(),
        ),
        (URIS, set(11, "To", "<sip:bobby@example.com>;tag=bobtag0000")),
        (TARGET, start(11, "sip:x@10.0.0.3:5060", "sip:bob@example.com")),
        (CSEQ, set(11, "CSeq", "4 BYE")),
        (ENDED, verdict(&before(13, vec![(By::Us, B.asks("INFO", "ourbranch8", 3))]))),
        (EARLY_BYE, verdict(&before(5, vec![(By::Us, with(A.asks_back("BYE", "ourbranch7", 5), |_| {}))]))),
        (GLARE, {
            let first = again();
            let second = with(again(), |m| {
                m.set("CSeq", "3 INVITE").set("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKourbranchx");
                m.headers.retain(|(n, _)| n != "Content-Type");
                m.body.clear();
            });
            let mut flow = before(9, vec![(By::Us, first), (By::Us, second)]);
            flow[13].2.set("CSeq", "4 BYE");
            verdict(&flow)
        }),
        (ACK_FINAL, verdict(&before(5, vec![(By::Us, B.asks("ACK", "ourbranch2", 1))]))),
        (
            ACK_REFUSAL,
            given_up(|flow| {
                flow[11].2.set("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKourbranch6");
            }),
        ),
        (ACK_ANSWER, set(6, "Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKourbranch1")),
        (ACKED, verdict(&without(|i| i == 6))),
        (ACKED, given_up(|flow| drop(flow.remove(11)))),
        (
            CANCEL_MATCHES,
            given_up(|flow| {
                flow[8].2.set("To", "<sip:bob@example.com>;tag=bobtag0000");
            }),
        ),
        (CANCEL_TIMELY, given_up(|flow| drop(flow.remove(3)))),
        (CANCELLED, given_up(|flow| flow[7].2.start = "SIP/2.0 480 So".into())),
        (REPEATED, verdict(&without(|i| i >= 8)).into_iter().filter(|n| *n != HANGING.name).collect()),
        (HANGING, verdict(&without(|i| i >= 11))),
        (
            RSEQ,
            reliably(|flow| {
                let mut second = flow[7].clone();
                second.2.set("RSeq", "71");
                flow.insert(8, second);
            }),
        ),
        (RELIABLE_ASKED, reliably(|flow| flow[0].2.headers.retain(|(n, _)| n != "Supported"))),
        (
            RACK,
            reliably(|flow| {
                flow[6].2.set("RAck", "8 1 INVITE");
            }),
        ),
        (
            OFFER,
            changed(2, |flow| {
                let second = with(flow[9].2.clone(), |m| {
                    m.set("CSeq", "3 UPDATE")
                        .set("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKourbranchw");
                    m.body = sdp("1", 3);
                });
                flow.insert(10, (By::Us, 500, second));
                flow[14].2.set("CSeq", "4 BYE");
            }),
        ),
        (ANSWER, {
            verdict(&edited(7, |m| {
                m.headers.retain(|(n, _)| n != "Content-Type");
                m.body.clear();
            }))
        }),
        (ANSWER, verdict(&edited(6, |m| described(m, "1", 1)))),
        (SAME_ANSWER, {
            verdict(&edited(4, |m| {
                m.push("Content-Type", "application/sdp");
                m.body = [sdp("2", 0), b"a=early\r\n".to_vec()].concat();
            }))
        }),
        (ORIGIN, changed(2, |flow| flow[9].2.body = [sdp("1", 1), b"a=sendonly\r\n".to_vec()].concat())),
        (ORIGIN, changed(2, |flow| flow[9].2.body = sdp("5", 2))),
        (MAX_FORWARDS, set(2, "Max-Forwards", "70")),
        (MAX_BREADTH, set(2, "Max-Breadth", "61")),
        (CREDENTIALS, {
            let mut flow = whole();
            flow[0].2.push("Authorization", "Digest username=\"alice\"");
            flow[2].2.push("Authorization", "Digest username=\"alice\"");
            verdict(&flow)
        }),
        (CROSSING, set(2, "Subject", "about aaaaaaaaaa")),
        (CROSSING, set(2, "Organization", "alicetag0")),
        (TIMER_ASKED, {
            let mut flow = whole();
            flow[0].2.set("Supported", "100rel");
            flow[7].2.push("Session-Expires", "1800;refresher=uac");
            verdict(&flow)
        }),
        (MIN_SE, set(2, "Session-Expires", "60")),
        (LOST_TONE, verdict(&before(5, vec![(By::Us, A.answers(&whole()[0].2, 199))]))),
    ];
    for (law, found) in &vectors {
        assert_eq!(found, &[law.name], "{law:?}");
    }
    for law in LAWS {
        assert!(vectors.iter().any(|(l, _)| l == law), "no vector for {law:?}");
    }
}

fn as_invite(m: Sip) -> Sip {
    with(m, |m| {
        m.start = m.start.replace("UPDATE", "INVITE");
        let number = m.header("CSeq").unwrap_or_default().replace("UPDATE", "INVITE");
        m.set("CSeq", number);
    })
}

#[test]
fn dialogs_of_one_fork_are_told_apart_by_both_tags() {
    let mut flow = whole();
    let onward = flow[2].2.clone();
    let fork = with(B.answers(&onward, 180), |m| {
        m.set("To", format!("{};tag=bobtag0001", B.callee));
    });
    let again = with(as_invite(B.asks_back("UPDATE", "bobbranchi", 7)), |m| described(m, "2", 2));
    let answer = with(B.answers(&again, 200), |m| described(m, "1", 2));
    // It is answered in the dialog that ends, and never acknowledged.
    flow.splice(9..9, [(By::Them, 500, again), (By::Us, 510, answer)]);
    flow.insert(3, (By::Them, 5, fork));
    assert_eq!(verdict(&flow), Vec::<&str>::new());
}

#[test]
fn an_answer_that_comes_after_a_refusal_of_the_same_phone_is_not_waited_for() {
    let mut flow = whole();
    flow.truncate(11);
    let again = with(as_invite(B.asks("UPDATE", "ourbranchi", 2)), |m| described(m, "1", 2));
    let ack = with(B.asks("ACK", "ourbranchi", 2), |_| {});
    let late = with(B.answers(&again, 200), |m| described(m, "2", 2));
    let refused = B.answers(&again, 481);
    let more = [(By::Us, 500, again), (By::Them, 510, refused), (By::Us, 510, ack), (By::Them, 520, late)];
    flow.splice(9..9, more);
    assert_eq!(verdict(&flow), Vec::<&str>::new());
}

#[test]
fn a_phone_that_began_anew_and_refuses_once_more_hears_the_ack_again() {
    let again = with(as_invite(B.asks("UPDATE", "ourbranchi", 2)), |m| described(m, "1", 2));
    let ack = with(B.asks("ACK", "ourbranchi", 2), |_| {});
    let refused = B.answers(&again, 488);
    let anew = with(refused.clone(), |m| {
        m.set("To", format!("{};tag=another", B.callee));
    });
    let mut flow = whole();
    flow[11..].iter_mut().for_each(|(_, _, m)| _ = m.set("CSeq", "3 BYE"));
    let more =
        [(By::Us, 500, again), (By::Them, 510, refused), (By::Us, 510, ack.clone()), (By::Them, 520, anew)];
    flow.splice(9..9, more);
    assert_eq!(verdict(&flow), [ACKED.name]);
    flow.insert(13, (By::Us, 520, ack));
    assert_eq!(verdict(&flow), Vec::<&str>::new());
}

#[test]
fn what_a_phone_that_began_anew_says_of_an_invite_that_was_accepted_means_nothing() {
    let again = with(as_invite(B.asks("UPDATE", "ourbranchi", 2)), |m| described(m, "1", 2));
    let (answered, gone) = (with(B.answers(&again, 200), |m| described(m, "2", 2)), B.answers(&again, 481));
    let ack = with(B.asks("ACK", "ourbranchj", 2), |_| {});
    let mut flow = whole();
    flow[11..].iter_mut().for_each(|(_, _, m)| _ = m.set("CSeq", "3 BYE"));
    let more = [(By::Us, 500, again), (By::Them, 510, answered), (By::Us, 510, ack), (By::Them, 520, gone)];
    flow.splice(9..9, more);
    assert_eq!(verdict(&flow), Vec::<&str>::new());
}

#[test]
fn a_refusal_of_an_invite_that_was_never_answered_in_time_is_not_waited_for() {
    let again = with(as_invite(B.asks("UPDATE", "ourbranchi", 2)), |m| described(m, "1", 2));
    let refused = B.answers(&again, 488);
    let late_by = |ms: u64| {
        let mut flow = whole();
        flow[9..].iter_mut().for_each(|(_, at, _)| *at += 40_000);
        flow[11..].iter_mut().for_each(|(_, _, m)| _ = m.set("CSeq", "3 BYE"));
        flow.splice(9..9, [(By::Us, 500, again.clone()), (By::Them, 500 + ms, refused.clone())]);
        verdict(&flow)
    };
    assert_eq!(late_by(31_999), [ACKED.name]);
    assert_eq!(late_by(32_000), Vec::<&str>::new());
}

#[test]
fn a_caller_that_did_not_hear_of_an_early_dialog_has_not_ended_it() {
    let ours = |method: &str, branch: &str, number: u32| {
        with(A.asks_back(method, branch, number), |m| {
            m.set("Via", format!("SIP/2.0/UDP {};branch=z9hG4bK{branch}", A.to));
        })
    };
    let (early, late) = (ours("INFO", "ourbranchi", 7), ours("INFO", "ourbranchj", 8));
    let mut flow = whole();
    let unknown = |m: &Sip| {
        with(m.clone(), |answer| {
            answer.start = "SIP/2.0 481 Gone".into();
        })
    };
    let refused = unknown(&early);
    flow.splice(9..9, [(By::Us, 500, late.clone())]);
    flow.splice(5..5, [(By::Us, 11, early), (By::Them, 12, refused)]);
    assert_eq!(verdict(&flow), Vec::<&str>::new());
    // One who has answered the same after his ACK has.
    let mut flow = whole();
    let refused = unknown(&late);
    let again = with(ours("INFO", "ourbranchk", 9), |_| {});
    flow.splice(9..9, [(By::Us, 500, late), (By::Them, 510, refused), (By::Us, 520, again)]);
    assert_eq!(verdict(&flow), [ENDED.name]);
}
