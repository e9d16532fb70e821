//! Bodies printed, read back, and refused.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::documents::fixture::lines;

fn info(extent: Extent, dialogs: Vec<DialogEntry>) -> DialogInfo {
    DialogInfo { extent, entity: "sip:alice@example.com".into(), dialogs }
}

fn participant(uri: &str, display: Option<&str>) -> Participant {
    Participant { identity: Some(uri.into()), display: display.map(Box::from), target: Some(uri.into()) }
}

fn parse(text: &str) -> Result<(DialogInfo, u32), DocumentError> {
    DialogInfo::parse(text.as_bytes(), &Bounds::default())
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    let text = r#"<?xml version="1.0" encoding="UTF-8"?>
   <dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
     xsi:schemaLocation="urn:ietf:params:xml:ns:dialog-info"
     version="1" state="full" entity="sip:alice@example.com">
     <dialog id="123456">
        <state>confirmed</state>
        <duration>274</duration>
        <local>
          <identity display="Alice">sip:alice@example.com</identity>
          <target uri="sip:alice@pc33.example.com">
            <param pname="isfocus" pval="true"/>
            <param pname="class" pval="personal"/>
          </target>
        </local>
        <remote>
          <identity display="Bob">sip:bob@example.org</identity>
          <target uri="sip:bobster@phone21.example.org"/>
        </remote>
     </dialog>
   </dialog-info>"#;
    let (read, version) = parse(text).expect("RFC 4235 s4.2, with the entity it demands");
    assert_snapshot!(lines(&read.print().body(version)));
    assert_eq!(parse(&read.print().body(7)), Ok((read, 7)));
}

#[test]
fn every_state_and_every_end_is_printed() {
    let mut dialogs: Vec<DialogEntry> = DialogState::ALL
        .iter()
        .map(|state| DialogEntry { id: state.as_str().into(), state: *state, ..DialogEntry::default() })
        .collect();
    dialogs.extend(DialogEvent::ALL.iter().map(|event| DialogEntry {
        id: event.as_str().into(),
        event: Some(*event),
        code: (*event == DialogEvent::Rejected).then_some(486),
        ..DialogEntry::default()
    }));
    let info = info(Extent::Full, dialogs);
    assert_snapshot!(lines(&info.print().body(0)));
    assert_eq!(parse(&info.print().body(0)), Ok((info, 0)));
}

#[test]
fn a_dialog_with_everything_is_printed() {
    let info = info(
        Extent::Partial,
        vec![DialogEntry {
            id: "d1".into(),
            call_id: Some("a84b4c76e66710".into()),
            local_tag: Some("1928301774".into()),
            remote_tag: Some("456887766".into()),
            direction: Some(Direction::Recipient),
            state: DialogState::Early,
            event: None,
            code: None,
            duration: Some(9),
            local: participant("sip:alice@example.com", None),
            remote: participant("sip:bob@example.org;a=\"b\"", Some("Bob <&> \"B\"")),
        }],
    );
    assert_snapshot!(lines(&info.print().body(3)));
    assert_eq!(parse(&info.print().body(3)), Ok((info, 3)));
}

#[test]
fn nobody_in_a_call_is_a_document_without_dialogs() {
    assert_snapshot!(lines(&info(Extent::Full, Vec::new()).print().body(0)));
}

#[test]
fn incomplete_documents_are_refused() {
    let root = |inner: &str| {
        format!(
            "<dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info' version='0' state='full' entity='sip:a'>{inner}</dialog-info>"
        )
    };
    let good = "<dialog id='1' direction='initiator'><state>early</state></dialog>";
    assert!(parse(&root(good)).is_ok());
    for (text, what, fault) in [
        (root("").replace("state='full'", ""), "state", Fault::Missing),
        (root("").replace("version='0'", ""), "version", Fault::Missing),
        (root("").replace("entity='sip:a'", ""), "entity", Fault::Missing),
        (root("").replace("dialog-info", "dialog"), "dialog-info", Fault::Root),
        (root(&good.replace("id='1'", "")), "id", Fault::Missing),
        (root(&good.replace("initiator", "both")), "direction", Fault::Malformed),
        (root(&good.replace("early", "late")), "state", Fault::Malformed),
        (root("<dialog id='1'/>"), "state", Fault::Missing),
        ("<!DOCTYPE a><a/>".to_owned(), "document", Fault::Doctype),
        ("<a>".repeat(10_000), "element", Fault::Depth),
    ] {
        let error = parse(&text).expect_err(&text);
        assert_eq!((error.what, error.fault), (what, fault), "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read(
        rows in proptest::collection::vec(
            ("[!-~é]{1,9}", 0..5_usize, proptest::option::of(0..7_usize), any::<Option<u64>>(), "[ -~]{0,5}"), 0..5),
        version: u32,
    ) {
        let dialogs = rows.iter().map(|(text, state, event, number, name)| DialogEntry {
            id: text.as_str().into(),
            call_id: number.map(|_| text.as_str().into()),
            state: DialogState::ALL[*state],
            event: event.map(|at| DialogEvent::ALL[at]),
            code: event.map(|at| 100 + at as u16),
            duration: *number,
            local: participant(text, Some(name)),
            direction: number.map(|n| Direction::ALL[(n % 2) as usize]),
            ..DialogEntry::default()
        });
        let info = info(Extent::Full, dialogs.collect());
        prop_assert_eq!(parse(&info.print().body(version)), Ok((info, version)));
    }
}
