//! What is wrong with a document, and where.

use thiserror::Error;

/// A fault of the peer's document: which part, what is wrong with it, and where in the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{what} at byte {at}: {fault}")]
pub struct DocumentError {
    /// The part: `document`, `element`, `attribute`, or the name of the element or attribute it is about.
    pub what: &'static str,
    /// What is wrong.
    pub fault: Fault,
    /// Offset in bytes, of the start tag or near the fault.
    pub at: usize,
}

impl DocumentError {
    /// A fault of the whole document.
    pub const fn whole(fault: Fault) -> DocumentError {
        DocumentError { what: "document", fault, at: 0 }
    }
}

/// What is wrong with a part of a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Fault {
    /// More bytes than [`Bounds`](super::Bounds) allow: of the document, or of its fragments written out.
    #[error("too long")]
    TooLong,
    /// Not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// The declaration names another encoding, or another version of XML.
    #[error("unsupported encoding or version")]
    Encoding,
    /// Not well-formed.
    #[error("not well-formed")]
    Syntax,
    /// A document type declaration, whatever is in it.
    #[error("document type declaration")]
    Doctype,
    /// A processing instruction.
    #[error("processing instruction")]
    Instruction,
    /// A reference to an entity that is not one of the five, or to a character that may not stand in XML.
    #[error("unknown reference")]
    Reference,
    /// A character that may not stand where it stands.
    #[error("forbidden character")]
    Character,
    /// A name that is none.
    #[error("bad name")]
    Name,
    /// A prefix that is not declared, or a declaration that is not allowed.
    #[error("bad namespace")]
    Namespace,
    /// Nested deeper than allowed.
    #[error("nested too deep")]
    Depth,
    /// More elements, attributes, namespaces or parts than allowed.
    #[error("too many")]
    TooMany,
    /// Twice where it may stand once: an attribute, an id.
    #[error("repeated")]
    Repeated,
    /// It ends before all elements are closed, or before anything began.
    #[error("truncated")]
    Truncated,
    /// Something stands behind the root element.
    #[error("trailing content")]
    Trailing,
    /// Another kind of document.
    #[error("wrong root element")]
    Root,
    /// Mandatory and absent.
    #[error("missing")]
    Missing,
    /// It does not follow its grammar.
    #[error("malformed")]
    Malformed,
    /// It does not fit the document it is about: a patch whose target is not there, another entity.
    #[error("does not fit")]
    Mismatch,
}
