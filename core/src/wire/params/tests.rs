use proptest::prelude::*;

use super::*;

fn list(text: &str) -> Vec<(String, Option<String>)> {
    let string = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let params = Params::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
    params.iter().map(|param| (string(param.name), param.raw.map(string))).collect()
}

#[test]
fn parameters_come_in_order_as_written() {
    let expected =
        [("a", Some("1")), ("B", None), ("c", Some("\"x;y\\\"=\"")), ("d", Some("")), ("e", Some("a=="))];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
    assert_eq!(list(";a=1;B;c=\"x;y\\\"=\";d=;e=a=="), expected);
    assert_eq!(list(" ; a = 1 ;\r\n B;;c =\t\"x;y\\\"=\" ; d= ;e=a== ;; "), expected);
}

#[test]
fn none_is_a_list_too() {
    for text in ["", " ", ";", " ;; ; "] {
        let params = Params::parse(text.as_bytes()).expect(text);
        assert!(params.is_empty() && list(text).is_empty());
    }
}

#[test]
fn names_are_found_without_case_and_values_without_quotes() {
    let params = Params::parse(b";TAG=x;q=\"a\\\"b\";lr;tag=y").expect("well-formed");
    assert_eq!(params.value(b"tag"), Some(&b"x"[..]));
    assert_eq!(params.get(b"Q"), Some(Some(&b"\"a\\\"b\""[..])));
    assert_eq!(params.value(b"Q"), Some(&b"a\\\"b"[..]));
    assert_eq!((params.get(b"lr"), params.value(b"lr"), params.contains(b"LR")), (Some(None), None, true));
    assert_eq!(params.get(b"ta"), None);
}

#[test]
fn what_is_no_list_is_refused() {
    for text in [
        "a=1",
        ";=1",
        ";a b",
        ";a=b c",
        ";a=\"b",
        ";a=\"b\\\"",
        ";a=\"b\"c",
        ";a,b",
        ";a=b,c=d",
        ";a=<b>",
        ";a@b=1",
        ";ä=1",
        ";a=\x01",
        "x;a",
    ] {
        assert_eq!(Params::parse(text.as_bytes()).expect_err(text).fault, Fault::Malformed);
    }
    assert!(Params::parse(";a".repeat(MOST).as_bytes()).is_ok());
    assert_eq!(Params::parse(";a".repeat(MOST + 1).as_bytes()).expect_err("too many").fault, Fault::TooMany);
}

proptest! {
    #[test]
    fn a_printed_list_reads_as_it_was(params in proptest::collection::vec(
        ("[a-z+.-]{1,5}", proptest::option::of("[a-z0-9:/=?@]{0,4}|\"([ -!#-\\[\\]-~]|\\\\[ -~]){0,5}\"")), 0..6),
        space in prop_oneof![Just(""), Just(" "), Just("\r\n\t")]) {
        let mut text = String::new();
        for (name, value) in &params {
            text.push_str(&format!("{space};{space}{name}"));
            if let Some(value) = value {
                text.push_str(&format!("{space}={space}{value}"));
            }
        }
        prop_assert_eq!(list(&text), params);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(prop_oneof![
        Just(b';'), Just(b'='), Just(b'"'), Just(b'\\'), Just(b' '), Just(b'a'), any::<u8>()], 0..40)) {
        if let Ok(params) = Params::parse(&bytes) {
            // What was validated once is iterated to its end.
            let names: usize = params.iter().map(|param| param.name.len()).sum();
            prop_assert!(names <= bytes.len());
            let left = params.iter().fold(0, |_, param| {
                let value = param.raw.unwrap_or(param.name);
                value.as_ptr() as usize + value.len() - bytes.as_ptr() as usize
            });
            prop_assert!(bytes[left..].iter().all(|byte| matches!(byte, b';' | b'=' | b' ' | b'\t' | b'\r' | b'\n')));
        }
    }
}
