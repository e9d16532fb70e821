//! Names of elements and attributes: a namespace and a local part (Namespaces in XML 1.0).

use core::fmt;
use core::ops::Deref;
use std::borrow::Cow;

/// The namespaces of the documents we read and print, and the prefixes that are customary for them.
///
/// Some phones do not resolve namespaces: baresip looks for the bytes `<basic>` and `<rpid:busy/>`, pjsip for `dm:person`.
/// So PIDF is the default namespace and these prefixes are always the same.
pub mod ns {
    /// `xml:lang`, `xml:space`.
    pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
    /// RFC 3863.
    pub const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
    /// RFC 5262.
    pub const PIDF_DIFF: &str = "urn:ietf:params:xml:ns:pidf-diff";
    /// RFC 4479.
    pub const DATA_MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";
    /// RFC 4480.
    pub const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";
    /// RFC 4482.
    pub const CIPID: &str = "urn:ietf:params:xml:ns:pidf:cipid";
    /// RFC 5196.
    pub const CAPS: &str = "urn:ietf:params:xml:ns:pidf:caps";
    /// RFC 4119.
    pub const GEOPRIV: &str = "urn:ietf:params:xml:ns:pidf:geopriv10";
    /// RFC 3858.
    pub const WATCHERINFO: &str = "urn:ietf:params:xml:ns:watcherinfo";
    /// RFC 3680.
    pub const REGINFO: &str = "urn:ietf:params:xml:ns:reginfo";
    /// RFC 5628.
    pub const GRUUINFO: &str = "urn:ietf:params:xml:ns:gruuinfo";
    /// RFC 4235.
    pub const DIALOG_INFO: &str = "urn:ietf:params:xml:ns:dialog-info";
    /// RFC 4662.
    pub const RLMI: &str = "urn:ietf:params:xml:ns:rlmi";

    pub(crate) const CUSTOMARY: [(&str, &str); 11] = [
        (XML, "xml"),
        (PIDF, "pidf"),
        (PIDF_DIFF, "p"),
        (DATA_MODEL, "dm"),
        (RPID, "rpid"),
        (CIPID, "ci"),
        (CAPS, "caps"),
        (GEOPRIV, "gp"),
        (WATCHERINFO, "wi"),
        (REGINFO, "ri"),
        (GRUUINFO, "gr"),
    ];

    /// The prefix a namespace is known by.
    pub fn prefix(namespace: &str) -> Option<&'static str> {
        CUSTOMARY.iter().find(|(uri, _)| *uri == namespace).map(|(_, prefix)| *prefix)
    }
}

/// A namespace name; empty for none. Those known here cost nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Namespace(Cow<'static, str>);

impl Namespace {
    /// No namespace.
    pub const NONE: Namespace = Namespace(Cow::Borrowed(""));

    /// By its URI.
    pub fn new(uri: &str) -> Namespace {
        match ns::CUSTOMARY.iter().find(|(known, _)| *known == uri) {
            Some((known, _)) => Namespace(Cow::Borrowed(known)),
            None if uri.is_empty() => Namespace::NONE,
            None => Namespace(Cow::Owned(uri.to_owned())),
        }
    }
}

impl Deref for Namespace {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

/// A name without a colon: an NCName of Namespaces in XML. What is one is safe to print as a tag.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NcName(Cow<'static, str>);

impl NcName {
    /// `None` if it is no name.
    pub fn new(text: &str) -> Option<NcName> {
        is_ncname(text).then(|| NcName(Cow::Owned(text.to_owned())))
    }

    /// A name known when this is compiled.
    ///
    /// # Panics
    ///
    /// If it is no name: in a constant, when compiling; never on what a peer sent.
    pub const fn known(text: &'static str) -> NcName {
        let bytes = text.as_bytes();
        assert!(!bytes.is_empty() && bytes[0].is_ascii_alphabetic(), "a name begins with a letter");
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at].is_ascii_alphanumeric() || matches!(bytes[at], b'-' | b'_'), "a name");
            at += 1;
        }
        NcName(Cow::Borrowed(text))
    }
}

impl Deref for NcName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NcName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

/// A namespace and a local name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The namespace.
    pub namespace: Namespace,
    /// The local part.
    pub local: NcName,
}

impl Name {
    /// True for this namespace and local name.
    pub fn is(&self, namespace: &str, local: &str) -> bool {
        *self.local == *local && *self.namespace == *namespace
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}{}", &*self.namespace, &*self.local)
    }
}

/// XML 1.0 s2.3 NameStartChar without the colon.
fn starts_name(c: char) -> bool {
    matches!(c, 'A'..='Z' | '_' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
        | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
        | '\u{10000}'..='\u{EFFFF}')
}

/// True for an NCName.
pub(super) fn is_ncname(text: &str) -> bool {
    let mut chars = text.chars();
    let more = |c: char| {
        starts_name(c)
            || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
    };
    chars.next().is_some_and(starts_name) && chars.all(more)
}
