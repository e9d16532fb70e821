//! Diffs printed, applied and refused; the example of the RFC; and that patching gives the new document, always.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::documents::fixture::{self, lines};
use crate::documents::pidf::{Note, PresenceState};
use crate::documents::xml::{Fragment, Node};

fn tuple(id: &str, basic: &str, more: &str) -> String {
    format!("<tuple id='{id}'><status><basic>{basic}</basic></status>{more}</tuple>")
}

fn document(inner: &str) -> Pidf {
    let text = format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
         xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' entity='sip:bob@example.com'>{inner}</presence>"
    );
    Pidf::parse(text.as_bytes(), &Bounds::default()).expect("a document")
}

/// The old document, then the diff: what a watcher has in the end.
fn patched(old: &Pidf, diff: &Versioned) -> Pidf {
    let mut copy = Replica::default();
    assert_eq!(copy.apply(full(old).body(1).as_bytes(), &Bounds::ours()), Ok(Applied::Full));
    let body = diff.body(2);
    assert_eq!(copy.apply(body.as_bytes(), &Bounds::ours()), Ok(Applied::Patched), "{body}");
    assert_eq!(copy.version(), Some(2));
    copy.document().expect("a document").clone()
}

#[test]
fn small_changes_are_small_diffs() {
    let desk = tuple("desk", "open", "<contact priority='0.8'>sip:bob@192.0.2.7</contact>");
    let gone = desk.replace("open", "closed");
    let person =
        "<dm:person id='p'><rpid:activities><rpid:busy/></rpid:activities><dm:note>hm</dm:note></dm:person>";
    // Something that stays, so that a diff is worth its while.
    let stays: String =
        (0..4).map(|n| tuple(&format!("s{n}"), "open", "<note>here to stay</note>")).collect();
    let with = |inner: &str| document(&format!("{stays}{inner}"));
    let rows = [
        ("a phone goes", with(&desk), with(&gone)),
        ("a phone comes", with(""), with(&desk)),
        ("a phone leaves", with(&desk), with("")),
        ("a phone comes in front", document(&stays), document(&format!("{desk}{stays}"))),
        ("another priority", with(&desk), with(&desk.replace("0.8", "0.7"))),
        ("no priority", with(&desk), with(&desk.replace(" priority='0.8'", ""))),
        ("some priority", with(&desk.replace(" priority='0.8'", "")), with(&desk)),
        ("another activity", with(person), with(&person.replace("busy", "away"))),
        ("no activity", with(person), with(&person.replace("<rpid:busy/>", ""))),
        ("an activity more", with(person), with(&person.replace("<rpid:busy/>", "<rpid:busy/><rpid:meal/>"))),
        ("another note", with(person), with(&person.replace("hm", "a &lt; b"))),
        ("an empty note", with(person), with(&person.replace("hm", ""))),
        (
            "a note of the presentity",
            with(""),
            with("<note xml:lang='en'>x</note><note xml:lang='fr'>y</note>"),
        ),
        ("an unknown part", with("<x xmlns='urn:x'>1</x>"), with("<x xmlns='urn:x'>2</x>")),
        (
            "an unknown part within",
            with(&desk.replace("<contact", "<x xmlns='urn:x'>1</x><contact")),
            with(&desk.replace("<contact", "<x xmlns='urn:x'>2</x><contact")),
        ),
        ("nothing", with(&desk), with(&desk)),
    ];
    let mut out = String::new();
    for (name, old, new) in rows {
        let diff = changes(&old, &new).expect("worth its while");
        let body = lines(&diff.body(2));
        let operations: Vec<_> = body.lines().skip(2).filter(|line| *line != "</p:pidf-diff>").collect();
        out += &format!("# {name}\n{}\n\n", operations.join("\n"));
        assert_eq!(patched(&old, &diff), new, "{name}");
    }
    assert_snapshot!(out);
}

#[test]
fn whole_bodies_as_they_are_sent() {
    let old = Pidf::of_state("sip:bob@example.com", None, PresenceState::Available, "");
    let mut new = Pidf::of_state("sip:bob@example.com", None, PresenceState::Away, "");
    new.extensions.push(Fragment::parse("<a xmlns='urn:x'/>").expect("well-formed"));
    let mut long = old.clone();
    long.notes = vec![Note::new(&"n".repeat(400))];
    new.notes.clone_from(&long.notes);
    let diff = changes(&long, &new).expect("worth its while");
    assert_snapshot!(format!("{}\n\n{}", lines(&full(&old).body(1)), lines(&diff.body(2))));
}

#[test]
fn where_a_diff_is_no_use_there_is_none() {
    let old = Pidf::of_state("sip:bob@example.com", None, PresenceState::Available, "");
    let new = Pidf::of_state(
        "sip:bob@example.com",
        None,
        PresenceState::Offline,
        "all is new, and longer than before",
    );
    assert_eq!(changes(&old, &new), None, "a diff would be longer");
    assert_eq!(changes(&old, &Pidf { entity: "sip:eve@example.com".into(), ..old.clone() }), None);
}

const FULL: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<p:pidf-full xmlns="urn:ietf:params:xml:ns:pidf" xmlns:p="urn:ietf:params:xml:ns:pidf-diff"
   xmlns:r="urn:ietf:params:xml:ns:pidf:rpid" xmlns:c="urn:ietf:params:xml:ns:pidf:caps"
   xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" entity="pres:someone@example.com" version="567">
 <tuple id="sg89ae"><status><basic>open</basic></status><c:servcaps><c:audio>true</c:audio></c:servcaps>
  <contact priority="0.8">tel:09012345678</contact></tuple>
 <tuple id="cg231jcr"><status><basic>open</basic></status><contact priority="1.0">im:pep@example.com</contact></tuple>
 <tuple id="r1230d"><status><basic>closed</basic></status><contact priority="0.9">sip:pep@example.com</contact></tuple>
 <note xml:lang="en">Full state presence document</note>
 <dm:person id="p123">
  <r:activities>
   <r:on-the-phone/>
   <r:busy/>
  </r:activities>
 </dm:person>
</p:pidf-full>"#;

fn diff(operations: &str) -> String {
    format!(
        "<p:pidf-diff xmlns='urn:ietf:params:xml:ns:pidf' xmlns:p='urn:ietf:params:xml:ns:pidf-diff' \
         xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' xmlns:d='urn:ietf:params:xml:ns:pidf:data-model' \
         entity='pres:someone@example.com' version='568'>{operations}</p:pidf-diff>"
    )
}

fn holding() -> Replica {
    let mut copy = Replica::default();
    assert_eq!(copy.apply(FULL.as_bytes(), &Bounds::default()), Ok(Applied::Full));
    copy
}

#[test]
fn the_example_of_the_rfc_is_applied() {
    let mut copy = holding();
    let operations = r#"
   <p:add sel="presence/note" pos="before">
    <tuple id="ert4773">
     <status><basic>open</basic></status>
     <contact priority="0.4">mailto:pep@example.com</contact>
     <note xml:lang="en">This is a new tuple</note>
    </tuple>
   </p:add>
   <p:replace sel="*/tuple[@id='r1230d']/status/basic/text()"
      >open</p:replace>
   <p:remove sel="*/d:person/r:activities/r:busy" ws="after"/>
   <p:replace sel="*/tuple[@id='cg231jcr']/contact/@priority"
      >0.7</p:replace>"#;
    assert_eq!(copy.apply(diff(operations).as_bytes(), &Bounds::default()), Ok(Applied::Patched));
    assert_snapshot!(lines(&copy.document().expect("a document").print()));
    assert_eq!(copy.version(), Some(568));
}

#[test]
fn selectors_find_exactly_one_node_or_nothing() {
    let root = holding().held.expect("a document").root;
    let with_namespaces = xml::read(diff("").as_bytes(), &Bounds::default()).expect("a diff");
    let scope: Vec<_> = with_namespaces.declared.iter().collect();
    let found = |selector: &str| {
        select::find(&root, selector, &scope).map(|found| {
            let mut node = None;
            let mut element = &root;
            for place in found.way {
                node = element.children.get(place);
                if let Some(Node::Element(child)) = node {
                    element = child;
                }
            }
            match (found.part, node) {
                (select::Part::Attribute(name), _) => format!("{}@{}", &*element.name.local, &*name.local),
                (_, Some(Node::Text(text))) => text.to_string(),
                _ => element.attribute("id").unwrap_or(&element.name.local).to_owned(),
            }
        })
    };
    for (selector, expected) in [
        ("*", Some("pidf-full")),
        ("/p:pidf-full", Some("pidf-full")),
        ("presence", Some("pidf-full")),
        ("tuple", None),
        ("*/note", Some("note")),
        ("*/tuple", None),
        ("*/tuple[2]", Some("cg231jcr")),
        ("*/*[4]", Some("note")),
        ("*/tuple[0]", None),
        ("*/tuple[4]", None),
        ("*/tuple[@id=\"r1230d\"]", Some("r1230d")),
        ("*/tuple[contact='im:pep@example.com']", Some("cg231jcr")),
        ("*/note[.='Full state presence document']", Some("note")),
        ("*/tuple[status][1]", None),
        ("*/tuple[1]/c:servcaps", None),
        ("*/tuple[1]/contact/text()", Some("tel:09012345678")),
        ("*/tuple[1]/contact/text()[1]", Some("tel:09012345678")),
        ("*/tuple[1]/contact/text()[2]", None),
        ("*/note/@xml:lang", Some("note@lang")),
        ("*/tuple[1]/@id", Some("sg89ae@id").map(|_| "tuple@id")),
        ("*/tuple[1]/@id/x", None),
        ("*/d:person/r:activities/r:busy", Some("busy")),
        ("*/q:person", None),
        ("*/tuple[@id='a/b']", None),
        ("*//note", None),
        ("", None),
        ("*/", None),
        ("*/tuple[", None),
        ("*/tuple[@id='x]", None),
        ("*/tuple[@id=x]", None),
        ("*/tuple]1[", None),
        ("id('x')", None),
        ("*/namespace::p", None),
    ] {
        assert_eq!(found(selector).as_deref(), expected, "{selector}");
    }
}

#[test]
fn a_diff_that_does_not_fit_changes_nothing() {
    for (operations, fault) in [
        ("<p:remove sel='*/tuple[9]'/>", Fault::Mismatch),
        ("<p:remove sel='*'/>", Fault::Mismatch),
        ("<p:remove/>", Fault::Missing),
        ("<p:remove sel='*/note' ws='after'/><p:remove sel='*/note'/>", Fault::Mismatch),
        ("<p:remove sel='*/note/text()' ws='both'/>", Fault::Mismatch),
        ("<p:move sel='*/note'/>", Fault::Malformed),
        ("<remove sel='*/note'/>", Fault::Malformed),
        ("<p:add sel='*/note/@xml:lang'>x</p:add>", Fault::Mismatch),
        ("<p:add sel='*/note' type='@xml:lang'>x</p:add>", Fault::Mismatch),
        ("<p:add sel='*/note' pos='above'><x/></p:add>", Fault::Mismatch),
        ("<p:replace sel='*/note'>text</p:replace>", Fault::Mismatch),
        ("<p:replace sel='*/note'><note/><note/></p:replace>", Fault::Mismatch),
        ("<p:replace sel='*/@entity'></p:replace>", Fault::Missing),
        ("<p:replace sel='*/tuple[1]/@id'>r1230d</p:replace>", Fault::Repeated),
    ] {
        let mut copy = holding();
        let before = copy.document().cloned();
        let error = copy.apply(diff(operations).as_bytes(), &Bounds::default()).expect_err(operations);
        assert_eq!(error.fault, fault, "{operations}");
        assert_eq!((copy.document().cloned(), copy.version()), (before, Some(567)), "{operations}");
    }
    let other = diff("").replace("pres:someone", "pres:other");
    assert_eq!(
        holding().apply(other.as_bytes(), &Bounds::default()).map_err(|e| e.fault),
        Err(Fault::Mismatch)
    );
}

#[test]
fn versions_decide_what_is_taken() {
    let mut copy = Replica::default();
    let bounds = Bounds::default();
    assert_eq!(copy.apply(diff("").as_bytes(), &bounds), Ok(Applied::Gap), "there is nothing to patch yet");
    let mut copy = holding();
    let version = |version: &str| diff("").replace("568", version);
    assert_eq!(copy.apply(version("567").as_bytes(), &bounds), Ok(Applied::Stale));
    assert_eq!(copy.apply(version("569").as_bytes(), &bounds), Ok(Applied::Gap));
    assert_eq!(copy.apply(version("568").as_bytes(), &bounds), Ok(Applied::Patched));
    assert_eq!(copy.apply(FULL.as_bytes(), &bounds), Ok(Applied::Stale));
    assert_eq!(copy.apply(FULL.replace("567", "999").as_bytes(), &bounds), Ok(Applied::Full));
    for (text, fault) in [
        (version("x"), Fault::Malformed),
        (diff("").replace("version='568'", ""), Fault::Missing),
        (diff("").replace("pidf-diff>", "pidf-dif>").replace("p:pidf-diff ", "p:pidf-dif "), Fault::Root),
    ] {
        let text = text.replace("568", "1000");
        assert_eq!(copy.apply(text.as_bytes(), &bounds).map_err(|e| e.fault), Err(fault), "{text}");
    }
}

#[test]
fn a_document_cannot_be_patched_out_of_its_bounds() {
    // Each diff goes as deep below the last one as a document may be.
    let mut copy = holding();
    let bounds = Bounds::default();
    let deep = format!("{}{}", "<x xmlns='urn:x'>".repeat(20), "</x>".repeat(20));
    let first = diff(&format!("<p:add sel='*'>{deep}</p:add>"));
    assert_eq!(copy.apply(first.as_bytes(), &bounds), Ok(Applied::Patched));
    let below = (0..20).map(|_| "/x:x").collect::<String>();
    let second = diff(&format!("<p:add sel='*{below}' xmlns:x='urn:x'>{deep}</p:add>")).replace("568", "569");
    assert_eq!(copy.apply(second.as_bytes(), &bounds).map_err(|e| e.fault), Err(Fault::Depth));
    // Each diff adds as much as a document may have.
    let wide = |version: u32| {
        diff(&format!("<p:add sel='*'>{}</p:add>", "<note/>".repeat(1_500)))
            .replace("568", &version.to_string())
    };
    assert_eq!(copy.apply(wide(569).as_bytes(), &bounds), Ok(Applied::Patched));
    assert_eq!(copy.apply(wide(570).as_bytes(), &bounds).map_err(|e| e.fault), Err(Fault::TooMany));
    assert_eq!(copy.version(), Some(569));
}

/// Every diff, whether it is worth its while or not.
fn any_change(old: &Pidf, new: &Pidf) -> Versioned {
    let mut writer = Writer::document();
    let tag = writer.tag("p:pidf-diff").attr("xmlns", ns::PIDF).attr("xmlns:p", ns::PIDF_DIFF);
    tag.attr("xmlns:dm", ns::DATA_MODEL).attr("xmlns:rpid", ns::RPID).version().open();
    let (old, new) = (tree(old).expect("printed"), tree(new).expect("printed"));
    make::changes(&old, &new, &mut writer).expect("a root without text");
    writer.finish_versioned()
}

/// A document, and another that shares much with it.
fn two() -> impl Strategy<Value = (Pidf, Pidf)> {
    (fixture::pidf(), fixture::pidf(), any::<[bool; 8]>()).prop_map(|(old, mut new, keep)| {
        let [tuples, persons, devices, notes, extensions, first, swap, person] = keep;
        if tuples {
            new.tuples.clone_from(&old.tuples);
        }
        if persons {
            new.persons.clone_from(&old.persons);
        }
        if devices {
            new.devices.clone_from(&old.devices);
        }
        if notes {
            new.notes.clone_from(&old.notes);
        }
        if extensions {
            new.extensions.clone_from(&old.extensions);
        }
        if first && !new.tuples.is_empty() {
            new.tuples.remove(0);
        }
        if swap {
            new.tuples.reverse();
        }
        if person && let (Some(a), Some(b)) = (new.persons.first_mut(), old.persons.first()) {
            a.elements.clone_from(&b.elements);
            a.elements.reverse();
        }
        (old, new)
    })
}

proptest! {
    #[test]
    fn patching_the_old_document_gives_the_new_one((old, new) in two()) {
        prop_assert_eq!(patched(&old, &any_change(&old, &new)), new);
    }

    #[test]
    fn no_selector_is_a_panic(selector in "(\\*|/|tuple|note|@id|\\[|\\]|=|'|\"|[1-3]|\\.|text\\(\\)|dm:|x){0,10}") {
        let root = holding().held.expect("a document").root;
        let scope: Vec<_> = root.declared.iter().collect();
        let _ = select::find(&root, &selector, &scope);
    }
}
