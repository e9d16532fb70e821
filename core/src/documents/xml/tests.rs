//! What is read, what is refused and as what, and that nothing ill-formed is ever written.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Element, DocumentError> {
    read(text.as_bytes(), &Bounds::default())
}

fn canonical(text: &str) -> String {
    Fragment::parse(text).unwrap_or_else(|e| panic!("{e}: {text}")).as_str().to_owned()
}

fn fault(bytes: &[u8]) -> Fault {
    read(bytes, &Bounds::default()).expect_err("refused").fault
}

#[test]
fn prefixes_are_resolved_and_forgotten() {
    let forms = [
        "<a xmlns='urn:x'><b c='1' d='2'/></a>",
        "<p:a xmlns:p='urn:x'><p:b d='2' c='1'></p:b></p:a>",
        "<?xml version='1.0'?><q:a xmlns:q='urn:x'><b xmlns='urn:x' c='1' d=\"2\"/></q:a><!-- end -->\n",
        "\u{FEFF}\r\n<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"no\" ?><a xmlns='&#117;rn:x'><b c='1' d='2'/></a>",
    ];
    for form in forms {
        assert_eq!(canonical(form), "<n1:a xmlns:n1=\"urn:x\"><n1:b c=\"1\" d=\"2\"/></n1:a>", "{form}");
    }
}

#[test]
fn a_fragment_means_the_same_wherever_it_stands() {
    for (text, expected) in [
        ("<a/>", "<a xmlns=\"\"/>"),
        (
            "<a><b xmlns='urn:x'><c xmlns=''/></b></a>",
            "<a xmlns=\"\" xmlns:n1=\"urn:x\"><n1:b><c/></n1:b></a>",
        ),
        (
            "<a xmlns='urn:x'><c xmlns=''><d/></c></a>",
            "<n1:a xmlns:n1=\"urn:x\"><c xmlns=\"\"><d/></c></n1:a>",
        ),
        (
            "<x:a xmlns:x='urn:x' xmlns:p='urn:ietf:params:xml:ns:pidf'><x:b p:mustUnderstand='1' xml:lang='en'/></x:a>",
            "<n1:a xmlns:n1=\"urn:x\" xmlns:pidf=\"urn:ietf:params:xml:ns:pidf\"><n1:b xml:lang=\"en\" pidf:mustUnderstand=\"1\"/></n1:a>",
        ),
        (
            "<a>&lt;b&gt; &amp;amp; <![CDATA[<c>&amp;]]>&#x41;</a>",
            "<a xmlns=\"\">&lt;b&gt; &amp;amp; &lt;c&gt;&amp;amp;A</a>",
        ),
        ("<a b='&#10; &quot;\r\n\t'/>", "<a xmlns=\"\" b=\"&#10; &quot;  \"/>"),
        ("<a>\r\n&#13;\r</a>", "<a xmlns=\"\">\n&#13;\n</a>"),
    ] {
        assert_eq!(canonical(text), expected);
        assert_eq!(canonical(expected), expected, "canonical text is its own canonical text");
    }
}

#[test]
fn what_is_not_well_formed_or_not_wanted_is_refused() {
    let table: &[(&str, Fault)] = &[
        ("", Fault::Truncated),
        ("   ", Fault::Truncated),
        ("<a>", Fault::Truncated),
        ("<a", Fault::Syntax),
        ("<a></b>", Fault::Syntax),
        ("</a>", Fault::Syntax),
        ("<a/></a>", Fault::Syntax),
        ("<a/><b/>", Fault::Trailing),
        ("<a/>x", Fault::Trailing),
        ("<a/>&amp;", Fault::Trailing),
        ("<a/><![CDATA[ ]]>", Fault::Trailing),
        ("x<a/>", Fault::Syntax),
        ("<a/>\0", Fault::Character),
        ("<a>\u{1}</a>", Fault::Character),
        ("<a>\u{FFFF}</a>", Fault::Character),
        ("<a>]]></a>", Fault::Character),
        ("<a b='<'/>", Fault::Character),
        ("<a>&#0;</a>", Fault::Reference),
        ("<a>&#xD800;</a>", Fault::Reference),
        ("<a>&#+65;</a>", Fault::Reference),
        ("<a>&nbsp;</a>", Fault::Reference),
        ("<a b='&nbsp;'/>", Fault::Reference),
        ("<a b='&amp'/>", Fault::Reference),
        ("<a>&amp</a>", Fault::Syntax),
        ("<a b=1/>", Fault::Syntax),
        ("<a b/>", Fault::Syntax),
        ("<a b='1' b='2'/>", Fault::Repeated),
        ("<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", Fault::Repeated),
        ("<a xmlns='u' xmlns='v'/>", Fault::Repeated),
        ("<p:a/>", Fault::Namespace),
        ("<a p:b='1'/>", Fault::Namespace),
        ("<a xmlns:p=''/>", Fault::Namespace),
        ("<a xmlns:xmlns='u'/>", Fault::Namespace),
        ("<a xmlns:xml='u'/>", Fault::Namespace),
        ("<1a/>", Fault::Name),
        ("<a:b:c xmlns:a='u'/>", Fault::Name),
        ("<a 1b='2'/>", Fault::Name),
        ("<a\"b/>", Fault::Syntax),
        ("<a&b/>", Fault::Name),
        ("<!DOCTYPE a><a/>", Fault::Doctype),
        ("<a><?php x?></a>", Fault::Instruction),
        ("<?xml-stylesheet href='x'?><a/>", Fault::Instruction),
        ("<a/><?xml version='1.0'?>", Fault::Instruction),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><a/>", Fault::Encoding),
        ("<?xml version='2.0'?><a/>", Fault::Encoding),
        ("<!-- -- --><a/>", Fault::Syntax),
    ];
    for (text, expected) in table {
        assert_eq!(fault(text.as_bytes()), *expected, "{text}");
    }
    assert_eq!(fault(b"<a>\xFF</a>"), Fault::Utf8);
    assert_eq!(fault(b"<a>\xC0\xAF</a>"), Fault::Utf8);
    assert_eq!(fault(b"\xFE\xFF\0<\0a\0/\0>"), Fault::Utf8);
}

#[test]
fn a_fault_says_where_it_is() {
    let error = parse("\r\n<a>\n <b>\n  <c d='&x;'/></b></a>").expect_err("refused");
    assert_eq!(error.to_string(), "attribute at byte 13: unknown reference");
    let error = read(b"<a>\xFF", &Bounds::default()).expect_err("refused");
    assert_eq!(error.to_string(), "document at byte 3: not UTF-8");
}

#[test]
fn entity_bombs_and_external_entities_expand_to_nothing() {
    let bomb = "<!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;\">]><a>&lol2;</a>";
    assert_eq!(fault(bomb.as_bytes()), Fault::Doctype);
    let external = "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>";
    assert_eq!(fault(external.as_bytes()), Fault::Doctype);
    let parameter = "<!DOCTYPE a [<!ENTITY % x SYSTEM \"http://192.0.2.1/\"> %x;]><a/>";
    assert_eq!(fault(parameter.as_bytes()), Fault::Doctype);
    assert_eq!(fault(b"<a><!DOCTYPE a></a>"), Fault::Doctype);
}

#[test]
fn every_bound_is_a_fault_and_its_last_value_is_none() {
    let bounds = Bounds::default();
    let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
    assert!(parse(&nested(bounds.depth)).is_ok());
    assert_eq!(fault(nested(bounds.depth + 1).as_bytes()), Fault::Depth);
    // With the size allowed, 10,000 elements deep is still only too deep.
    let roomy = Bounds { bytes: 1 << 20, elements: 20_000, ..bounds };
    let deep = read(nested(10_000).as_bytes(), &roomy).expect_err("too deep");
    assert_eq!((deep.fault, deep.at), (Fault::Depth, 3 * bounds.depth));

    let wide = |n: usize| format!("<a>{}</a>", "<b/>".repeat(n - 1));
    assert!(parse(&wide(bounds.elements)).is_ok());
    assert_eq!(fault(wide(bounds.elements + 1).as_bytes()), Fault::TooMany);

    let attributes = |n: usize| format!("<a{}/>", (0..n).map(|i| format!(" b{i}=''")).collect::<String>());
    assert!(parse(&attributes(bounds.attributes)).is_ok());
    assert_eq!(fault(attributes(bounds.attributes + 1).as_bytes()), Fault::TooMany);

    let value = |n: usize| format!("<a b='{}'/>", "v".repeat(n));
    assert!(parse(&value(bounds.value_bytes)).is_ok());
    assert_eq!(fault(value(bounds.value_bytes + 1).as_bytes()), Fault::TooLong);

    let name = |n: usize| format!("<{}/>", "n".repeat(n));
    assert!(parse(&name(bounds.name_bytes)).is_ok());
    assert_eq!(fault(name(bounds.name_bytes + 1).as_bytes()), Fault::TooLong);

    let namespaces =
        |n: usize| format!("<a>{}</a>", (0..n).map(|i| format!("<b xmlns='u{i}'/>")).collect::<String>());
    assert!(parse(&namespaces(bounds.namespaces)).is_ok());
    assert_eq!(fault(namespaces(bounds.namespaces + 1).as_bytes()), Fault::TooMany);

    let size = |n: usize| format!("<a>{}</a>", "x".repeat(n - 7));
    assert!(parse(&size(bounds.bytes)).is_ok());
    assert_eq!(fault(size(bounds.bytes + 1).as_bytes()), Fault::TooLong);
}

#[test]
fn the_worst_documents_that_fit_are_read_in_linear_work() {
    // Thousands of references in one text, and of declarations that go out of scope again.
    let references = format!("<a>{}</a>", "&lt;".repeat(16_000));
    assert_eq!(parse(&references).expect("it fits").text().len(), 16_000);
    let declarations = format!("<a>{}</a>", "<b xmlns:x='u'/>".repeat(1_900));
    assert_eq!(parse(&declarations).expect("it fits").elements().count(), 1_900);
}

#[test]
fn a_version_is_filled_into_its_gap() {
    let mut writer = Writer::document();
    writer.tag("list").attr("xmlns", "urn:x").version().attr("state", "full").empty();
    let versioned = writer.finish_versioned();
    let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<list xmlns=\"urn:x\" version=\"4294967295\" state=\"full\"/>";
    assert_eq!(versioned.body(u32::MAX), expected);
    assert_eq!(versioned.len() + 10, expected.len());
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,12}", "[<>&'\"\r\n\t\\[\\]a\u{0}\u{7f}\u{fffe}-]{0,12}", any::<String>()]
}

proptest! {
    #[test]
    fn whatever_is_written_can_be_read_again(value in any_text(), text in any_text()) {
        let mut writer = Writer::document();
        writer.tag("a").attr("b", &value).open();
        writer.leaf("c", &text);
        writer.text(&text);
        let root = parse(&writer.finish()).expect("well-formed");
        let safe = |s: &str| s.chars().map(|c| if is_char(c) { c } else { '\u{FFFD}' }).collect::<String>();
        prop_assert_eq!(root.attribute("b"), Some(&*safe(&value)));
        prop_assert_eq!(root.text(), safe(&text));
        prop_assert_eq!(root.elements().next().map(Element::text), Some(safe(&text)));
    }

    #[test]
    fn no_bytes_are_a_panic_and_what_is_read_is_canonical_once(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "(<[a-c:]{1,3}( xmlns(:[a-c])?='[uv]?')?( [a-c]='[&;<a]{0,3}')?/?>|</[a-c]>|&(amp|lt|#6[0-9]|x);|[ x]){0,12}"
                .prop_map(String::into_bytes),
        ]
    ) {
        if let Ok(root) = read(&bytes, &Bounds::default()) {
            let once = Fragment::of(&root);
            let again = Fragment::parse(once.as_str());
            prop_assert_eq!(again, Ok(once));
        }
    }
}
