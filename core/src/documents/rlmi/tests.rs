//! Lists and the bodies around them, printed, read back, and refused.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::documents::fixture::lines;

fn rlmi() -> Rlmi {
    let name = |lang: Option<&str>, text: &str| Note { lang: lang.map(Box::from), text: text.into() };
    let resource = |user: &str, instances: Vec<Instance>| Resource {
        uri: format!("sip:{user}@vancouver.example.com").into(),
        names: vec![name(None, user)],
        instances,
    };
    let instance = |id: &str, state, reason: Option<&str>, cid: Option<&str>| Instance {
        id: id.into(),
        state,
        reason: reason.map(Box::from),
        cid: cid.map(Box::from),
    };
    Rlmi {
        uri: "sip:adam-friends@lists.vancouver.example.com".into(),
        extent: Extent::Full,
        names: vec![name(Some("en"), "Buddy List"), name(Some("fr"), "Liste d'amis")],
        resources: vec![
            resource(
                "bob",
                vec![instance("juwigmtboe", InstanceState::Active, None, Some("bob@example.com"))],
            ),
            resource("jim", vec![instance("oflzxqzuvg", InstanceState::Terminated, Some("rejected"), None)]),
            resource("ed", vec![instance("grqhzsppxb", InstanceState::Pending, None, None)]),
            Resource {
                uri: "sip:sue@vancouver.example.com".into(),
                names: Vec::new(),
                instances: Vec::new(),
            },
        ],
    }
}

fn parse(text: &str) -> Result<(Rlmi, u32), DocumentError> {
    Rlmi::parse(text.as_bytes(), &Bounds::default())
}

#[test]
fn a_list_is_printed_and_read_back() {
    let rlmi = rlmi();
    assert_snapshot!(lines(&rlmi.print().body(7)));
    assert_eq!(parse(&rlmi.print().body(7)), Ok((rlmi, 7)));
}

#[test]
fn a_notification_of_a_list_is_one_body() {
    let root = rlmi().print().body(0);
    let parts = [
        Part {
            content_type: "application/rlmi+xml;charset=\"UTF-8\"",
            content_id: "list@example.com",
            body: root.as_bytes(),
        },
        Part {
            content_type: "application/pidf+xml",
            content_id: "bob@example.com",
            body: b"<presence/>\r\n",
        },
    ];
    let printed = Multipart::print("50UBfW7LSCVLtggUPe5z", &parts);
    let text = String::from_utf8(printed.body.clone()).expect("text");
    assert_snapshot!(format!("{}\n\n{}", printed.content_type, lines(&text.replace('\r', ""))));
    assert_eq!(Multipart::parts(&printed.content_type, &printed.body), Ok(parts.to_vec()));
}

#[test]
fn a_boundary_is_never_in_a_part() {
    let part = |body| Part { content_type: "text/plain", content_id: "x", body };
    let body = |parts: &[Part<'_>]| Multipart::print("b\"\r\n", parts);
    assert!(body(&[part(b"a")]).content_type.ends_with("boundary=\"b\""));
    let parts = [part(b"ab"), part(b"--b-0-"), part(b"b-1-")];
    let printed = body(&parts);
    assert!(printed.content_type.ends_with("boundary=\"b-2-\""), "{}", printed.content_type);
    assert_eq!(Multipart::parts(&printed.content_type, &printed.body), Ok(parts.to_vec()));
    assert!(Multipart::print("\r\n", &[part(b"a")]).content_type.ends_with("boundary=\"part\""));
}

#[test]
fn bodies_of_others_are_taken_apart() {
    // A preamble, white space behind delimiters, bare line feeds, the root not in front, nothing but a body.
    let body = b"preamble\r\n--x \r\ncontent-type: a/b\r\n\r\none\r\n--x\n\ntwo\n--xy\n\r\n--x\r\nContent-ID:<r>\r\n\r\n\r\n--x--\r\nafter --x\r\n";
    let parts = Multipart::parts("multipart/related; Boundary=x; start=\"<r>\"", body).expect("three parts");
    assert_eq!(
        parts,
        [
            Part { content_type: "", content_id: "r", body: b"" },
            Part { content_type: "a/b", content_id: "", body: b"one" },
            Part { content_type: "", content_id: "", body: b"two\n--xy\n" },
        ]
    );
    for (content_type, body, what, fault) in [
        ("multipart/related", &b"--x\r\n\r\n\r\n--x--"[..], "boundary", Fault::Missing),
        ("multipart/related;boundary=\"\"", b"----", "boundary", Fault::Missing),
        ("multipart/related;boundary=x", b"", "multipart", Fault::Truncated),
        ("multipart/related;boundary=x", b"--x\r\n\r\none\r\n", "multipart", Fault::Truncated),
        ("multipart/related;boundary=x", b"--x\r\n\r\none\r\n--x", "multipart", Fault::Truncated),
        ("multipart/related;boundary=x", b"--x--", "multipart", Fault::Missing),
        ("multipart/related;boundary=x", b"--x\r\nno colon\r\n\r\n--x--", "part", Fault::Malformed),
        ("multipart/related;boundary=x", b"--x\r\n\xFF:\xFF\r\n\r\n--x--", "part", Fault::Malformed),
    ] {
        let error = Multipart::parts(content_type, body).expect_err(content_type);
        assert_eq!((error.what, error.fault), (what, fault), "{}", body.escape_ascii());
    }
    let many = "--x\r\n\r\n\r\n".repeat(1_026) + "--x--";
    let error = Multipart::parts("multipart/related;boundary=x", many.as_bytes()).expect_err("too many");
    assert_eq!(error.fault, Fault::TooMany);
}

#[test]
fn incomplete_lists_are_refused() {
    let good = "<list xmlns='urn:ietf:params:xml:ns:rlmi' uri='sip:l' version='1' fullState='1'><resource uri='sip:a'><instance id='1' state='active'/></resource></list>";
    assert!(parse(good).is_ok());
    for (text, what, fault) in [
        (good.replace("list ", "liste ").replace("/list", "/liste"), "list", Fault::Root),
        (good.replace("uri='sip:l'", ""), "uri", Fault::Missing),
        (good.replace("version='1'", ""), "version", Fault::Missing),
        (good.replace("fullState='1'", ""), "fullState", Fault::Missing),
        (good.replace("fullState='1'", "fullState='yes'"), "fullState", Fault::Malformed),
        (good.replace("uri='sip:a'", ""), "uri", Fault::Missing),
        (good.replace("id='1'", ""), "id", Fault::Missing),
        (good.replace("active", "alive"), "state", Fault::Malformed),
        ("<!DOCTYPE a><a/>".to_owned(), "document", Fault::Doctype),
        ("<a>".repeat(10_000), "element", Fault::Depth),
    ] {
        let error = parse(&text).expect_err(&text);
        assert_eq!((error.what, error.fault), (what, fault), "{text}");
    }
}

proptest! {
    #[test]
    fn parts_come_out_as_they_went_in(bodies in proptest::collection::vec("[-b0\r\n]{0,12}", 1..5), boundary in "[b0-]{0,4}") {
        let parts: Vec<Part<'_>> = bodies
            .iter()
            .map(|body| Part { content_type: "a/b", content_id: "x", body: body.as_bytes() })
            .collect();
        let printed = Multipart::print(&boundary, &parts);
        prop_assert_eq!(Multipart::parts(&printed.content_type, &printed.body), Ok(parts));
    }

    #[test]
    fn no_bytes_are_a_panic(body in "(--x-?-?|\r?\n|[a-c]:|<r>| ){0,12}", start in "[ -~]{0,9}") {
        let _ = Multipart::parts(&format!("a/b;start={start};boundary=x"), body.as_bytes());
        let _ = Multipart::parts(&start, body.as_bytes());
    }
}
