//! The language of routes, numbers and permissions: a text, or its beginning and `*`; and what it becomes.

use std::borrow::Cow;

use super::NumberRule;

/// What the `*` of a pattern stands for; empty for a pattern without one. `None` if the pattern does not fit.
///
/// Only the last character is a wildcard: `*97` is what people dial, and `*97*` is whatever begins with it.
pub(crate) fn captured<'t>(pattern: &str, text: &'t str) -> Option<&'t str> {
    match pattern.strip_suffix('*') {
        Some(start) => text.strip_prefix(start),
        None => (pattern == text).then_some(""),
    }
}

/// A place that patterns are compared with: `user@host`, at a domain of ours or elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place<'t> {
    /// The number, or the user.
    pub(crate) user: &'t str,
    /// The canonical name of a domain of ours, or another host in lower case.
    pub(crate) domain: &'t str,
    /// Is it one of ours?
    pub(crate) is_ours: bool,
}

/// Like [`captured`], for a pattern that may name a domain: without one it means ours, `@*` means every other.
pub(crate) fn fits<'t>(pattern: &str, place: &Place<'t>) -> Option<&'t str> {
    let (user, is_meant) = match pattern.rsplit_once('@') {
        None => (pattern, place.is_ours),
        Some((user, "*")) => (user, !place.is_ours),
        Some((user, domain)) => (user, domain == place.domain),
    };
    if is_meant { captured(user, place.user) } else { None }
}

/// Does a list of permissions allow it? The first that fits decides, `!` forbids, and what fits none is forbidden.
pub(crate) fn allows(list: &[String], place: &Place<'_>) -> bool {
    let decides = |pattern: &String| {
        let (pattern, allow) = match pattern.strip_prefix('!') {
            Some(pattern) => (pattern, false),
            None => (pattern.as_str(), true),
        };
        fits(pattern, place).map(|_| allow)
    };
    list.iter().find_map(decides).unwrap_or(false)
}

/// Puts what was captured into a template. Neither users nor hosts hold braces, so that nothing is filled in twice.
pub(crate) fn fill(template: &str, rest: &str, user: &str, domain: &str) -> String {
    if !template.contains('{') {
        return template.into();
    }
    template.replace("{rest}", rest).replace("{user}", user).replace("{domain}", domain)
}

/// The number as the first rule that fits writes it; as it is, if none does.
pub(crate) fn rewritten(rules: &[NumberRule], number: &str) -> String {
    let by =
        |rule: &NumberRule| captured(&rule.pattern, number).map(|rest| fill(&rule.becomes, rest, number, ""));
    rules.iter().find_map(by).unwrap_or_else(|| number.into())
}

/// The number that a text is: digits, `*` and `#` behind a plus sign or none; visual separators (RFC 3966 s5.1.1) are
/// left out, and what is behind a semicolon. `None` for any other text.
pub(crate) fn number(text: &str) -> Option<String> {
    let text = text.split_once(';').map_or(text, |(number, _)| number);
    // What most texts are: a name.
    if text.bytes().next().is_none_or(|first| first.is_ascii_alphabetic()) {
        return None;
    }
    let (plus, mut digits) = text.strip_prefix('+').map_or(("", text), |digits| ("+", digits));
    let mut number = String::with_capacity(text.len());
    number.push_str(plus);
    while let Some(c) = digits.chars().next() {
        let mut rest = digits.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '0'..='9' | '*' | '#' => number.push(c),
            // What a SIP URI must escape is no other digit.
            '%' => {
                rest = rest.strip_prefix("23")?;
                number.push('#');
            }
            '-' | '.' | '(' | ')' => {}
            _ => return None,
        }
        digits = rest;
    }
    number.bytes().any(|b| b.is_ascii_digit()).then_some(number)
}

/// A number or user as the user part of a URI.
pub(crate) fn user_part(text: &str) -> Cow<'_, str> {
    if text.contains('#') { Cow::Owned(text.replace('#', "%23")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_text_or_its_beginning() {
        for (pattern, text, rest) in [
            ("1001", "1001", Some("")),
            ("1001", "10011", None),
            ("+44*", "+442079460000", Some("2079460000")),
            ("+44*", "+44", Some("")),
            ("+44*", "44", None),
            ("*", "anything", Some("anything")),
            ("*97", "*97", Some("")),
            ("*97", "197", None),
            ("*97*", "*9712", Some("12")),
        ] {
            assert_eq!(captured(pattern, text), rest, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_without_a_domain_means_ours() {
        let at = |user, domain, is_ours| Place { user, domain, is_ours };
        for (pattern, place, rest) in [
            ("sales", at("sales", "example.com", true), Some("")),
            ("sales", at("sales", "partner.example", false), None),
            ("*@partner.example", at("bob", "partner.example", false), Some("bob")),
            ("b*@partner.example", at("bob", "partner.example", false), Some("ob")),
            ("*@partner.example", at("bob", "evil.partner.example", false), None),
            ("*@*", at("bob", "anywhere.example", false), Some("bob")),
            ("*@*", at("bob", "example.com", true), None),
            ("bob@example.com", at("bob", "example.com", true), Some("")),
            ("bob@example.com", at("bob", "office.example", true), None),
        ] {
            assert_eq!(fits(pattern, &place), rest, "{pattern} {place:?}");
        }
    }

    #[test]
    fn the_first_permission_that_fits_decides() {
        let list = ["!+4490*", "+44*", "*@partner.example"].map(String::from);
        let ours = |user| Place { user, domain: "example.com", is_ours: true };
        assert!(allows(&list, &ours("+442079460000")));
        assert!(!allows(&list, &ours("+44901")));
        assert!(!allows(&list, &ours("+1900")));
        assert!(allows(&list, &Place { user: "bob", domain: "partner.example", is_ours: false }));
        assert!(!allows(&[], &ours("+44")));
    }

    #[test]
    fn a_number_is_known_by_its_digits() {
        for (text, expected) in [
            ("+44-20.7946(0000)", Some("+442079460000")),
            ("1001", Some("1001")),
            ("*97", Some("*97")),
            ("%2331%23", Some("#31#")),
            ("7042;phone-context=example.com", Some("7042")),
            ("+", None),
            ("*", None),
            ("bob", None),
            ("1001a", None),
            ("44+20", None),
        ] {
            assert_eq!(number(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn rules_rewrite_by_the_first_that_fits() {
        let rules = [NumberRule::new("00*", "+{rest}"), NumberRule::new("0*", "+44{rest}")];
        for (number, written) in
            [("00331234", "+331234"), ("02079460000", "+442079460000"), ("1001", "1001"), ("+1555", "+1555")]
        {
            assert_eq!(rewritten(&rules, number), written);
        }
    }
}
