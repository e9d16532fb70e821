//! `name-addr` and `addr-spec`: From, To, Contact, Route, Refer-To and their kind. RFC 3261 s20.10, s25.1.

use super::grammar::{DISPLAY, SPACE, is, run};
use super::params::{Param, is_name};
use super::split::quoted_end;
use super::{Fault, Params, ParseError, Uri};
use crate::base::text::trim;

/// A URI with a display name and the parameters of its header.
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'m> {
    /// The display name: without quotes, its quoted pairs as they came; `None` if there is none or it is empty.
    pub display: Option<&'m [u8]>,
    /// The URI.
    pub uri: Uri<'m>,
    /// The parameters of the header, behind the `>` or behind a URI without brackets.
    pub params: Params<'m>,
    tag: Option<&'m [u8]>,
}

impl<'m> NameAddr<'m> {
    /// Reads one element of a header, without the commas around it.
    ///
    /// An unquoted display name may hold any byte but controls and `" : ; , < >`, so UTF-8 and dots pass. A repeated tag
    /// is [`Fault::Repeated`].
    #[inline]
    pub fn parse(input: &'m [u8]) -> Result<NameAddr<'m>, ParseError> {
        NameAddr::read(input).map_err(|fault| ParseError::new("address", fault))
    }

    #[inline]
    pub(crate) fn read(input: &'m [u8]) -> Result<NameAddr<'m>, Fault> {
        let input = trim(input);
        let (display, rest) = match input {
            [b'<', rest @ ..] => (None, rest),
            [b'"', ..] => {
                let end = quoted_end(input).ok_or(Fault::Malformed)?;
                let display = input.get(1..end - 1).filter(|display| !display.is_empty());
                match trim(input.get(end..).unwrap_or_default()) {
                    [b'<', rest @ ..] => (display, rest),
                    _ => return Err(Fault::Malformed),
                }
            }
            _ => match input.split_at_checked(run(input, 0, DISPLAY)) {
                Some((display, [b'<', rest @ ..])) => (Some(trim(display)), rest),
                _ => return read_bare(input),
            },
        };
        let (uri, behind) = Uri::prefix(rest).map_err(inside)?;
        match behind {
            [b'>', params @ ..] => NameAddr::with(display, uri, params),
            _ => Err(Fault::Malformed),
        }
    }

    /// The `tag` parameter, if it is there and not empty.
    pub fn tag(&self) -> Option<&'m [u8]> {
        self.tag
    }

    #[inline]
    fn with(display: Option<&'m [u8]>, uri: Uri<'m>, params: &'m [u8]) -> Result<NameAddr<'m>, Fault> {
        let (mut tag, mut tags) = (None, 0_u32);
        let params = Params::header(params, |param: Param<'m>| {
            if is_name(param.name, b"tag") {
                tag = param.value().filter(|tag| !tag.is_empty());
                tags += 1;
            }
        })?;
        // RFC 3261 s7.3.1: a parameter stands at most once. Two tags would be two dialogs.
        if tags > 1 { Err(Fault::Repeated) } else { Ok(NameAddr { display, uri, params, tag }) }
    }
}

/// `addr-spec`.
#[inline(never)]
fn read_bare(input: &[u8]) -> Result<NameAddr<'_>, Fault> {
    let end = input.iter().position(|byte| *byte == b';' || is(*byte, SPACE)).unwrap_or(input.len());
    let (uri, params) = input.split_at_checked(end).ok_or(Fault::Malformed)?;
    // RFC 3261 s20: without brackets a semicolon begins the parameters of the header, and a question mark or a comma
    // cannot be in the URI.
    if uri.iter().any(|byte| matches!(byte, b'?' | b',')) {
        return Err(Fault::Malformed);
    }
    NameAddr::with(None, Uri::read(uri).map_err(inside)?, params)
}

/// A URI in a header that has no scheme is malformed, and not of a scheme that is not supported.
fn inside(fault: Fault) -> Fault {
    if fault == Fault::Scheme { Fault::Malformed } else { fault }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addr(text: &str) -> NameAddr<'_> {
        NameAddr::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn addresses_that_are_seen_are_taken() {
        for (text, display, uri, tag) in [
            // RFC 3261 s20.10, s20.20, s20.39
            ("\"Mr. Watson\" <sip:watson@h.com>;q=0.7; expires=3600", "Mr. Watson", "sip:watson@h.com", ""),
            (
                "\"A. G. Bell\" <sip:agb@bell-telephone.com> ;tag=a48s",
                "A. G. Bell",
                "sip:agb@bell-telephone.com",
                "a48s",
            ),
            (
                "sip:+12125551212@server.phone2net.com;tag=887s",
                "",
                "sip:+12125551212@server.phone2net.com",
                "887s",
            ),
            (
                "Anonymous <sip:c8oqz84zk7z@privacy.org>;tag=hyh8",
                "Anonymous",
                "sip:c8oqz84zk7z@privacy.org",
                "hyh8",
            ),
            ("<sip:a@h;tag=uri>", "", "sip:a@h;tag=uri", ""),
            ("<sip:a@h;x=1?y=2>;tag=t", "", "sip:a@h;x=1?y=2", "t"),
            ("sip:a@h ; tag=t", "", "sip:a@h", "t"),
            ("sip:a@h", "", "sip:a@h", ""),
            ("\"\" <sip:a@h>", "", "sip:a@h", ""),
            ("\"\"<sip:a@h>", "", "sip:a@h", ""),
            ("  Bob\r\n Smith<sip:a@h> ", "Bob\r\n Smith", "sip:a@h", ""),
            ("Jörg Müller <sip:a@h>", "Jörg Müller", "sip:a@h", ""),
            ("bob@example.com (work) <sip:a@h>", "bob@example.com (work)", "sip:a@h", ""),
            ("\"a \\\" <b>;c\" <sip:a@h>;TAG=t", "a \\\" <b>;c", "sip:a@h", "t"),
            ("\"日本\" <tel:+1-201-555-0123>;tag=\"q\"", "日本", "tel:+1-201-555-0123", "q"),
            ("<urn:service:sos>;tag=", "", "urn:service:sos", ""),
            ("<http://www.example.com/a,b;c>", "", "http://www.example.com/a,b;c", ""),
            ("sip:a@[2001:db8::1]:5060;tag=t", "", "sip:a@[2001:db8::1]:5060", "t"),
        ] {
            let addr = addr(text);
            assert_eq!(
                addr.display.map(String::from_utf8_lossy).as_deref().unwrap_or_default(),
                display,
                "{text}"
            );
            assert_eq!(addr.uri.raw(), uri.as_bytes(), "{text}");
            assert_eq!(addr.tag().unwrap_or_default(), tag.as_bytes(), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "*",
            "Bob",
            "<>",
            "<sip:a@h",
            "sip:a@h>",
            "<sip:a@h>>",
            "<<sip:a@h>>",
            "< sip:a@h >",
            "\"Bob <sip:a@h>",
            "\"Bob\\\" <sip:a@h>",
            "\"Bob\" Smith <sip:a@h>",
            "\"Bob\" sip:a@h",
            "Bob \"B\" <sip:a@h>",
            // RFC 4475 s3.1.2.15: a comma in a display name without quotes.
            "Bell, Alexander <sip:a.g.bell@example.com>;tag=43",
            "<sip:a@h> x",
            "<sip:a@h>tag=1",
            "<sip:a@h>, <sip:b@h>",
            // RFC 4475 s3.1.2.13: headers need brackets.
            "sip:user@example.com?Route=%3Csip:sip.example.com%3E",
            "sip:a,b@h",
            "<sip:a@h>;tag=\"x",
        ] {
            assert_eq!(NameAddr::parse(text.as_bytes()).expect_err(text).fault, Fault::Malformed, "{text}");
        }
    }

    #[test]
    fn a_second_tag_is_a_fault() {
        let fault = |text: &str| NameAddr::parse(text.as_bytes()).expect_err(text).fault;
        assert_eq!(fault("<sip:a@h>;tag=1;TAG=2"), Fault::Repeated);
        assert_eq!(fault("sip:a@h;tag=1;tag=1"), Fault::Repeated);
    }

    proptest! {
        #[test]
        fn a_printed_address_reads_as_its_parts(
            display in proptest::option::of("([ !#-\\[\\]-~ü]|\\\\[\"\\\\]){1,12}"),
            user in "[a-z]{1,6}",
            tag in proptest::option::of("[a-z0-9.-]{1,8}"),
        ) {
            let mut text = String::new();
            if let Some(display) = &display {
                text.push_str(&format!("\"{display}\" "));
            }
            text.push_str(&format!("<sip:{user}@h>"));
            if let Some(tag) = &tag {
                text.push_str(&format!(";x;tag={tag}"));
            }
            let addr = addr(&text);
            prop_assert_eq!(addr.display, display.as_ref().map(|display| display.as_bytes()));
            prop_assert_eq!(addr.uri.user(), Some(user.as_bytes()));
            prop_assert_eq!(addr.tag(), tag.as_ref().map(|tag| tag.as_bytes()));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(prop_oneof![
            Just(b"sip:a@h".to_vec()), Just(b"<".to_vec()), Just(b">".to_vec()), Just(b"\"".to_vec()),
            Just(b"\\".to_vec()), Just(b";".to_vec()), Just(b" ".to_vec()), any::<u8>().prop_map(|byte| vec![byte])], 0..12)) {
            let _ = NameAddr::parse(&bytes.concat());
        }
    }
}
