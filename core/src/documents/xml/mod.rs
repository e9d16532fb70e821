//! XML 1.0 with namespaces, as event documents need it: no DTD, no entities but the five, no processing instructions.
//!
//! A document becomes a bounded tree of [`Element`]s. Prefixes are resolved and forgotten; a subtree that nobody here
//! understands is kept as a [`Fragment`], canonical text that means the same wherever it is put.

mod error;
mod fragment;
mod name;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use error::{DocumentError, Fault};
pub use fragment::Fragment;
pub(crate) use fragment::write_in_document;
pub use name::{Name, Namespace, NcName, ns};
pub use read::{Bounds, read};
pub use write::{Tag, Versioned, Writer};

/// An element with everything in it.
#[derive(Clone, Debug)]
pub struct Element {
    /// Its name, namespace resolved.
    pub name: Name,
    /// Attributes in the order they came, namespace declarations left out.
    pub attributes: Vec<Attribute>,
    /// Prefixes declared on this element, empty for the default: selectors of patches use them in their text.
    pub declared: Vec<(Box<str>, Namespace)>,
    /// Content in order; text that runs together is one node.
    pub children: Vec<Node>,
    /// Where the start tag begins in the document, in bytes.
    pub at: usize,
}

/// One attribute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribute {
    /// Its name; without a prefix it is in no namespace.
    pub name: Name,
    /// Its value, references resolved and white space normalised (XML 1.0 s3.3.3).
    pub value: Box<str>,
}

/// What stands in an element.
#[derive(Clone, Debug)]
pub enum Node {
    /// A child element.
    Element(Element),
    /// Text, references and CDATA sections resolved.
    Text(Box<str>),
}

impl Element {
    /// True for this namespace and local name.
    pub fn is(&self, namespace: &str, local: &str) -> bool {
        self.name.is(namespace, local)
    }

    /// The value of an attribute in no namespace.
    pub fn attribute(&self, local: &str) -> Option<&str> {
        self.attributes.iter().find(|a| a.name.is("", local)).map(|a| &*a.value)
    }

    /// `xml:lang` of this element itself.
    pub fn lang(&self) -> Option<&str> {
        self.attributes.iter().find(|a| a.name.is(ns::XML, "lang")).map(|a| &*a.value)
    }

    /// The child elements.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// All text directly in the element, as it stands.
    pub fn text(&self) -> String {
        self.children
            .iter()
            .filter_map(|node| match node {
                Node::Text(text) => Some(&**text),
                Node::Element(_) => None,
            })
            .collect()
    }

    /// The text without white space at its ends, `None` if nothing is left.
    pub fn trimmed(&self) -> Option<Box<str>> {
        let text = self.text();
        Some(trim(&text)).filter(|text| !text.is_empty()).map(Box::from)
    }

    /// A fault of this element.
    pub const fn fault(&self, what: &'static str, fault: Fault) -> DocumentError {
        DocumentError { what, fault, at: self.at }
    }
}

/// White space of XML (XML 1.0 s2.3): narrower than that of Unicode.
pub fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// Text without white space of XML at its ends.
pub fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Characters that may stand in a document at all (XML 1.0 s2.2).
pub fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}
