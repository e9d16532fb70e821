//! The torture messages of RFC 4475, byte-exact, and those of RFC 5118, whose archive has lost the CRs and the empty lines,
//! each with the treatment it gets from the whole engine.
//!
//! The server is a registrar for example.com that asks nobody for credentials, so that every message reaches the room
//! it was made to torture. INVITE, MESSAGE and BYE are not switched on: a well-formed one is 405, or 481 in a dialog.

use std::path::Path;

use strowger_core::config::{AuthPolicy, Policies};
use strowger_core::stats::DropReason;
use strowger_sim::World;
use strowger_sim::message::Sip;
use strowger_sim::tape::Line;

use crate::s;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Treatment {
    /// Answered with this status.
    Answer(u16),
    /// Dropped and counted.
    Drop(DropReason),
}
use Treatment::{Answer, Drop};

/// RFC 4475, in the order of its sections.
const RFC4475: &[(&str, Treatment)] = &[
    ("wsinv", Answer(481)), // 3.1.1.1: well-formed, and it has a To tag
    ("intmeth", Answer(501)),
    ("esc01", Answer(405)),
    ("escnull", Answer(200)),
    ("esc02", Answer(501)),
    ("lwsdisp", Answer(200)),
    ("longreq", Answer(405)),
    ("dblreq", Answer(200)),
    ("semiuri", Answer(200)),
    ("transports", Answer(200)),
    ("mpart01", Answer(405)),
    ("unreason", Drop(DropReason::StrayResponse)),
    ("noreason", Drop(DropReason::StrayResponse)),
    ("badinv01", Answer(400)), // 3.1.2.1
    ("clerr", Answer(400)),
    ("ncl", Answer(400)),
    ("scalar02", Answer(400)),
    ("scalarlg", Drop(DropReason::StrayResponse)), // whatever its numbers, its branch is not ours
    ("quotbal", Answer(400)),
    ("ltgtruri", Answer(400)),
    ("lwsruri", Answer(400)),
    ("lwsstart", Answer(400)),
    ("trws", Answer(400)),
    ("escruri", Answer(400)),
    ("baddate", Answer(405)), // Date is of no importance to the answer
    ("regbadct", Answer(400)),
    ("badaspec", Answer(400)),
    ("baddn", Answer(400)),
    ("badvers", Answer(505)),
    ("mismatch01", Answer(400)),
    ("mismatch02", Answer(501)),
    ("bigcode", Drop(DropReason::NotSip)),
    ("badbranch", Answer(200)), // 3.2.1: matched as RFC 2543 does
    ("insuf", Answer(400)),     // 3.3.1
    ("unkscm", Answer(416)),
    ("novelsc", Answer(416)),
    ("unksm2", Answer(400)),
    ("bext01", Answer(420)),
    ("invut", Answer(405)),
    ("regaut01", Answer(200)), // nobody is asked for credentials here
    ("multi01", Answer(400)),
    ("mcl01", Answer(400)),
    ("bcast", Drop(DropReason::StrayResponse)),
    ("zeromf", Answer(200)),
    ("cparam01", Answer(200)),
    ("cparam02", Answer(200)),
    ("regescrt", Answer(403)), // the Contact names our own domain: DECISIONS 8 goes before 3.3.14
    ("sdp01", Answer(405)),
    ("inv2543", Answer(405)),           // 3.4.1
    ("test", Drop(DropReason::NotSip)), // in the archive, in no section: no Via, no version
];

/// RFC 5118, in the order of its sections. The server's own address is 2001:db8::10.
const RFC5118: &[(&str, Treatment)] = &[
    ("ipv6-good", Answer(200)),
    ("ipv6-bad", Answer(400)),
    ("port-ambiguous", Answer(404)), // well-formed, and not our address
    ("port-unambiguous", Answer(200)),
    ("via-received-param-with-delim", Answer(481)),
    ("via-received-param-no-delim", Answer(200)),
    ("ipv6-in-sdp", Answer(400)), // Content-Length is 268, the body has 251 bytes
    ("mult-ip-in-header", Answer(481)),
    ("mult-ip-in-sdp", Answer(405)),
    ("ipv4-mapped-ipv6", Answer(405)),
    ("ipv6-bug-abnf-3-colons", Answer(200)),
    ("ipv6-correct-abnf-2-colons", Answer(200)),
];

fn message(rfc: &str, name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("torture").join(rfc).join(format!("{name}.dat"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn open_world() -> World {
    World::with(1, |c| {
        let open = AuthPolicy::Open;
        c.policies = Policies {
            register: open,
            invite: open,
            message: open,
            subscribe: open,
            publish: open,
            options: open,
            other: open,
        };
    })
}

/// What the engine sent back, and what it dropped.
fn treat(bytes: &[u8], v6: bool) -> (World, Vec<Vec<u8>>, Option<DropReason>) {
    let mut world = open_world();
    let addr = if v6 { "[2001:db8::bad]:5060" } else { "203.0.113.9:5060" };
    let sender = world.phone_at("sender", "bob", addr.parse().expect("an address"));
    world.act(sender, |p, _| p.raw(bytes));
    world.run_for(s(1));
    let sent = world.tape.lines.iter().filter_map(|l| match l {
        Line::Sent { from, bytes, .. } if from == "server" => Some(bytes.clone()),
        _ => None,
    });
    let sent = sent.collect();
    let dropped =
        world.engine().and_then(|e| DropReason::ALL.iter().copied().find(|r| e.stats().drops(*r) > 0));
    (world, sent, dropped)
}

/// What was sent back, and a row for each message of what became of it.
fn check(rfc: &str, table: &[(&str, Treatment)]) -> (String, String) {
    let (mut faults, mut shown, mut rows) = (Vec::new(), String::new(), String::new());
    let mut sections = sections(rfc);
    for (name, expected) in table {
        let (world, sent, dropped) = treat(&message(rfc, name), rfc == "rfc5118");
        let got = match (sent.first().map(|b| Sip::read(b)), dropped) {
            (Some(Ok(m)), _) => m.status().map(Answer),
            (None, Some(reason)) => Some(Drop(reason)),
            _ => None,
        };
        if got != Some(*expected) {
            let line = sent.first().and_then(|b| b.split(|c| *c == b'\r').next()).unwrap_or_default();
            faults.push(format!(
                "{name}: expected {expected:?}, got {got:?} {}",
                String::from_utf8_lossy(line)
            ));
        }
        let line =
            sent.first().map(|b| String::from_utf8_lossy(b).lines().next().unwrap_or_default().to_owned());
        let line = line.as_deref().and_then(|line| line.strip_prefix("SIP/2.0 ")).unwrap_or("-");
        let section = sections.next().unwrap_or_else(|| "-".into());
        rows.push_str(&format!("| {section} | `{name}` | {} | {line} |\n", expected.said()));
        shown.push_str(&format!("=== {name}: {expected:?}\n"));
        for bytes in sent {
            let text = String::from_utf8_lossy(&bytes).replace('\r', "");
            shown.extend(text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }));
        }
        world.finish();
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    (shown, rows)
}

/// In which section each message is described.
fn sections(rfc: &str) -> impl Iterator<Item = String> {
    let parts: &[(&str, u32)] = match rfc {
        "rfc4475" => &[("3.1.1", 13), ("3.1.2", 19), ("3.2", 1), ("3.3", 15), ("3.4", 1)],
        _ => &[("4", 10)],
    };
    parts.iter().flat_map(move |(part, last)| {
        // Two sections of RFC 5118 have two messages each.
        let times = |number: u32| if *part == "4" && (number == 5 || number == 10) { 2 } else { 1 };
        (1..=*last).flat_map(move |number| vec![format!("{part}.{number}"); times(number)])
    })
}

impl Treatment {
    /// In the words of the published table.
    fn said(self) -> String {
        match self {
            Answer(200..300) => "accepted".into(),
            Answer(400 | 505) => "rejected: malformed".into(),
            Answer(_) => "well-formed, refused".into(),
            Drop(reason) => format!("dropped: {}", reason.text()),
        }
    }
}

/// The table that readers of the repository are shown is what happens.
fn publish(rfc: &str, rows: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("torture").join(format!("{rfc}.md"));
    let name = rfc.replace("rfc", "RFC ");
    let table = format!(
        "# {name}, message by message\n\nWhat a registrar that asks for no credentials, and does neither calls nor messages, makes of the messages of {name}:\n\
         `tests/stories/torture.rs` sends them, and keeps this table true.\n\n| section | message | treatment | answer |\n| --- | --- | --- | --- |\n{rows}"
    );
    if std::env::var_os("INSTA_UPDATE").is_some_and(|wanted| wanted == "always") {
        std::fs::write(&path, &table).expect("written");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), table, "INSTA_UPDATE=always writes it");
}

#[test]
fn the_messages_of_rfc_4475_are_treated_as_expected_and_the_table_says_so() {
    let (shown, rows) = check("rfc4475", RFC4475);
    insta::assert_snapshot!("the_messages_of_rfc_4475_are_treated_as_expected", shown);
    publish("rfc4475", &rows);
}

#[test]
fn the_messages_of_rfc_5118_are_treated_as_expected_and_the_table_says_so() {
    let (shown, rows) = check("rfc5118", RFC5118);
    insta::assert_snapshot!("the_messages_of_rfc_5118_are_treated_as_expected", shown);
    publish("rfc5118", &rows);
}

#[test]
fn every_file_has_its_expected_treatment() {
    for (rfc, table) in [("rfc4475", RFC4475), ("rfc5118", RFC5118)] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("torture").join(rfc);
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder of the messages")
            .filter_map(|e| e.ok()?.file_name().into_string().ok()?.strip_suffix(".dat").map(str::to_owned))
            .collect();
        let mut named: Vec<String> = table.iter().map(|(n, _)| (*n).to_owned()).collect();
        files.sort();
        named.sort();
        assert_eq!(files, named);
    }
}

// RFC 5118 s4.6 and RFC 4475 s3.1.2.15: what these messages are about, without what else is wrong with them.
#[test]
fn two_messages_whose_framing_is_wrong_are_tortured_with_right_framing_too() {
    let sdp =
        String::from_utf8(message("rfc5118", "ipv6-in-sdp")).expect("it is ASCII").replace(": 268", ": 251");
    let name = [message("rfc4475", "baddn"), b"\r\n".to_vec()].concat();
    for (bytes, v6, expected) in [(sdp.as_bytes(), true, 405), (&name, false, 400)] {
        let (world, sent, _) = treat(bytes, v6);
        assert_eq!(sent.first().and_then(|b| Sip::read(b).ok()?.status()), Some(expected));
        world.finish();
    }
}

// RFC 4475 s3.1.1.4: a user part with an escaped NUL is not shortened, and two contacts are two.
#[test]
fn escaped_nulls_make_two_contacts_of_one_whole_name() {
    let (mut world, _, _) = treat(&message("rfc4475", "escnull"), false);
    let mut contacts = world.contacts("null-%00-null@example.com");
    contacts.sort();
    assert_eq!(contacts, ["sip:%00%00@host5.example.com", "sip:%00@host5.example.com"]);
    world.finish();
}

// RFC 4475 s3.3.12, s3.3.13: whose parameter it is depends on the angle brackets.
#[test]
fn a_parameter_outside_of_brackets_is_not_part_of_the_contact_uri() {
    for (name, uri) in [
        ("cparam01", "sip:+19725552222@gw1.example.net"),
        ("cparam02", "sip:+19725552222@gw1.example.net;unknownparam"),
    ] {
        let (mut world, _, _) = treat(&message("rfc4475", name), false);
        assert_eq!(world.contacts("watson@example.com"), [uri]);
        world.finish();
    }
}

// RFC 4475 s3.3.14: escaped header fields of a contact are kept, if the contact is not our own door.
#[test]
fn escaped_headers_of_a_contact_are_kept() {
    let text = String::from_utf8(message("rfc4475", "regescrt")).expect("it is ASCII");
    let elsewhere = text.replace("<sip:user@example.com?", "<sip:user@host5.example.net?");
    let (mut world, _, _) = treat(elsewhere.as_bytes(), false);
    assert_eq!(
        world.contacts("user@example.com"),
        ["sip:user@host5.example.net?Route=%3Csip:sip.example.com%3E"]
    );
    world.finish();
}

// RFC 4475 s3.3.7: a registrar that wants credentials challenges an unknown scheme.
#[test]
fn an_unknown_authorization_scheme_is_challenged() {
    let mut world = World::new(2);
    let sender = world.phone_at("sender", "bob", "203.0.113.9:5060".parse().expect("an address"));
    world.act(sender, |p, _| p.raw(message("rfc4475", "regaut01")));
    world.run_for(s(1));
    let last = world.tape.lines.iter().rev().find_map(|l| match l {
        Line::Sent { from, bytes, .. } if from == "server" => Sip::read(bytes).ok(),
        _ => None,
    });
    assert_eq!(last.and_then(|m| m.status()), Some(401));
    world.finish();
}
