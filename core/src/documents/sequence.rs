//! Documents that count: whole state first, then changes, and what a watcher does when one is missing
//! (RFC 3858 s4, RFC 3680 s5.2, RFC 4662 s5.6).

use super::xml::{self, DocumentError, Element, Fault};

/// How much a document tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Extent {
    /// All there is.
    Full,
    /// What has changed.
    Partial,
}

impl Extent {
    /// The word of the `state` attribute.
    pub const fn as_str(self) -> &'static str {
        match self {
            Extent::Full => "full",
            Extent::Partial => "partial",
        }
    }

    /// The `state` attribute of a root element.
    pub(super) fn of(root: &Element) -> Result<Extent, DocumentError> {
        match root.attribute("state").map(xml::trim) {
            Some("full") => Ok(Extent::Full),
            Some("partial") => Ok(Extent::Partial),
            Some(_) => Err(root.fault("state", Fault::Malformed)),
            None => Err(root.fault("state", Fault::Missing)),
        }
    }
}

/// The `version` attribute of a root element.
pub(super) fn version(root: &Element) -> Result<u32, DocumentError> {
    let text = root.attribute("version").ok_or(root.fault("version", Fault::Missing))?;
    xml::trim(text).parse().map_err(|_| root.fault("version", Fault::Malformed))
}

/// A watcher's count of the documents of one subscription.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sequence(Option<u32>);

/// What a watcher does with a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// Flush the tables and fill them from it.
    Whole,
    /// Update the tables.
    Change,
    /// Update the tables, and refresh the subscription: documents are missing.
    ChangeAfterGap,
    /// Leave it out: it is not newer.
    Stale,
}

impl Sequence {
    /// Counts a document.
    pub fn take(&mut self, version: u32, extent: Extent) -> Taken {
        let taken = match (self.0, extent) {
            (Some(known), _) if version <= known => return Taken::Stale,
            (_, Extent::Full) => Taken::Whole,
            (Some(known), Extent::Partial) if known.checked_add(1) == Some(version) => Taken::Change,
            (_, Extent::Partial) => Taken::ChangeAfterGap,
        };
        self.0 = Some(version);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_document_is_noticed_and_an_old_one_is_left_out() {
        let mut sequence = Sequence::default();
        let mut take = |version, extent| sequence.take(version, extent);
        assert_eq!(take(0, Extent::Full), Taken::Whole);
        assert_eq!(take(1, Extent::Partial), Taken::Change);
        assert_eq!(take(1, Extent::Partial), Taken::Stale);
        assert_eq!(take(3, Extent::Partial), Taken::ChangeAfterGap);
        assert_eq!(take(2, Extent::Full), Taken::Stale);
        assert_eq!(take(9, Extent::Full), Taken::Whole);
        assert_eq!(take(u32::MAX, Extent::Partial), Taken::ChangeAfterGap);
        assert_eq!(take(0, Extent::Full), Taken::Stale, "versions do not wrap");
        assert_eq!(Sequence::default().take(5, Extent::Partial), Taken::ChangeAfterGap);
    }
}
