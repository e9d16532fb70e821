//! Writing XML that is well-formed whatever is written: names are checked values, text is escaped, elements are closed.

use core::fmt::Write as _;

use super::{Fragment, NcName, is_char};

/// A document under construction. Equal calls give equal bytes; no white space is added.
#[derive(Debug)]
pub struct Writer {
    out: String,
    /// Where the names of the open elements stand in `out`.
    open: Vec<(usize, usize)>,
    slot: Option<usize>,
}

impl Writer {
    /// Begins with the declaration.
    pub fn document() -> Writer {
        Writer::continuing("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned())
    }

    /// Goes on behind what was written elsewhere; for parts that [`Writer::append`] puts in their place.
    pub(crate) fn continuing(out: String) -> Writer {
        Writer { out, open: Vec::new(), slot: None }
    }

    /// Begins an element. The name and its prefix are constants of the caller.
    pub fn tag(&mut self, name: &'static str) -> Tag<'_> {
        self.begin(&[name])
    }

    /// Begins an element with a name of the document's own; `prefix` is declared by the caller, empty for none.
    pub fn tag_named(&mut self, prefix: &str, local: &NcName) -> Tag<'_> {
        match prefix {
            "" => self.begin(&[local]),
            _ => self.begin(&[prefix, ":", local]),
        }
    }

    fn begin(&mut self, name: &[&str]) -> Tag<'_> {
        self.out.push('<');
        let from = self.out.len();
        name.iter().for_each(|part| self.out.push_str(part));
        let name = (from, self.out.len());
        Tag { writer: self, name }
    }

    /// An element with text and nothing else.
    pub fn leaf(&mut self, name: &'static str, text: &str) {
        self.tag(name).text(text);
    }

    /// Text in the open element.
    pub fn text(&mut self, text: &str) {
        escape(text, Place::Text, &mut self.out);
    }

    /// A fragment as it is: it declares all that it uses.
    pub fn fragment(&mut self, fragment: &Fragment) {
        self.out.push_str(fragment.as_str());
    }

    /// What another writer wrote, all its elements closed.
    pub(crate) fn append(&mut self, part: Writer) {
        self.out.push_str(&part.finish());
    }

    /// Closes the innermost open element; nothing if none is open.
    pub fn close(&mut self) {
        if let Some((from, to)) = self.open.pop() {
            self.out.push_str("</");
            self.out.extend_from_within(from..to);
            self.out.push('>');
        }
    }

    /// The document, all elements closed.
    pub fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.out
    }

    /// The document with a gap for its version, where [`Tag::version`] stood.
    pub fn finish_versioned(mut self) -> Versioned {
        let at = self.slot.take();
        let text = self.finish();
        Versioned { at: at.unwrap_or(text.len()), text: text.into_boxed_str() }
    }
}

/// A start tag: attributes, then one of the ways to go on. A tag that is dropped is a bug of the caller.
#[must_use = "a tag that is not ended leaves half an element"]
#[derive(Debug)]
pub struct Tag<'w> {
    writer: &'w mut Writer,
    name: (usize, usize),
}

impl Tag<'_> {
    /// One attribute.
    pub fn attr(self, name: &'static str, value: &str) -> Self {
        self.attr_in("", name, value)
    }

    /// One attribute, if there is a value.
    pub fn maybe(self, name: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    /// An attribute with a number.
    pub fn number(self, name: &'static str, value: Option<u64>) -> Self {
        match value {
            Some(value) => self.attr(name, itoa::Buffer::new().format(value)),
            None => self,
        }
    }

    pub(super) fn attr_in(self, prefix: &str, local: &str, value: &str) -> Self {
        let out = &mut self.writer.out;
        out.push(' ');
        if !prefix.is_empty() {
            out.push_str(prefix);
            out.push(':');
        }
        out.push_str(local);
        out.push_str("=\"");
        escape(value, Place::Attribute, out);
        out.push('"');
        self
    }

    /// `version=""` with a gap that [`Versioned`] fills.
    pub fn version(self) -> Self {
        let out = &mut self.writer.out;
        out.push_str(" version=\"");
        self.writer.slot = Some(out.len());
        out.push('"');
        self
    }

    /// The element stays open for its content.
    pub fn open(self) {
        self.writer.out.push('>');
        self.writer.open.push(self.name);
    }

    /// The element has no content.
    pub fn empty(self) {
        self.writer.out.push_str("/>");
    }

    /// The element has this text and is closed; no text makes it empty.
    pub fn text(self, text: &str) {
        if text.is_empty() {
            return self.empty();
        }
        let writer = self.writer;
        writer.out.push('>');
        writer.open.push(self.name);
        writer.text(text);
        writer.close();
    }
}

/// A body whose version is filled in per subscription: printed once, copied for each watcher.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Versioned {
    text: Box<str>,
    at: usize,
}

impl Versioned {
    /// The body with its version.
    pub fn body(&self, version: u32) -> String {
        let (head, tail) = self.parts();
        let mut out = String::with_capacity(self.text.len() + 10);
        let _ = write!(out, "{head}{version}{tail}");
        out
    }

    /// What stands before and behind the version.
    pub fn parts(&self) -> (&str, &str) {
        self.text.split_at_checked(self.at).unwrap_or((&self.text, ""))
    }

    /// Bytes without the version.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Never: there is always a document.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

enum Place {
    Text,
    Attribute,
}

/// What a reader would not give back as it is becomes a reference; what XML cannot carry becomes U+FFFD.
fn escape(text: &str, place: Place, out: &mut String) {
    for c in text.chars() {
        match (c, &place) {
            ('&', _) => out.push_str("&amp;"),
            ('<', _) => out.push_str("&lt;"),
            ('>', _) => out.push_str("&gt;"),
            ('\r', _) => out.push_str("&#13;"),
            ('"', Place::Attribute) => out.push_str("&quot;"),
            ('\n', Place::Attribute) => out.push_str("&#10;"),
            ('\t', Place::Attribute) => out.push_str("&#9;"),
            (c, _) if is_char(c) => out.push(c),
            _ => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
}
