//! Partial presence documents: `pidf-full`, then `pidf-diff` by `pidf-diff` (RFC 5262, RFC 5263, patches of RFC 5261).
//!
//! [`full`] and [`changes`] print bodies with a gap for the version, which counts per subscription (RFC 5263 s4.4), so one
//! body serves every watcher. [`Replica`] is the watcher's side: it keeps the document and applies what comes.
//!
//! A diff names what it changes by `id` where there is one, else by name and number; parts in namespaces that this
//! crate has no prefix for are replaced whole, and found as `*[n]`.

mod make;
mod patch;
mod select;
#[cfg(test)]
mod tests;

use super::pidf::Pidf;
use super::xml::{self, Bounds, DocumentError, Element, Fault, Tag, Versioned, Writer, ns};

/// The media type of both kinds (RFC 5262 s5.2).
pub const CONTENT_TYPE: &str = "application/pidf-diff+xml";

/// The whole document, for the first notification and after each SUBSCRIBE.
pub fn full(document: &Pidf) -> Versioned {
    let mut writer = Writer::document();
    let tag = writer.tag("p:pidf-full").attr("xmlns:p", ns::PIDF_DIFF);
    document.root(tag).version().open();
    document.content(&mut writer);
    writer.finish_versioned()
}

/// What turns the old document into the new one. `None` where only the whole document will do: another entity, parts in
/// another order, or so much is new that [`full`] is not longer.
pub fn changes(old: &Pidf, new: &Pidf) -> Option<Versioned> {
    if old.entity != new.entity {
        return None;
    }
    let mut writer = Writer::document();
    let tag = writer.tag("p:pidf-diff").attr("xmlns", ns::PIDF).attr("xmlns:p", ns::PIDF_DIFF);
    let tag = tag.attr("xmlns:dm", ns::DATA_MODEL).attr("xmlns:rpid", ns::RPID);
    tag.attr("entity", &new.entity).version().open();
    let whole = full(new);
    make::changes(&tree(old)?, &tree(new)?, &mut writer)?;
    let diff = writer.finish_versioned();
    (diff.len() < whole.len()).then_some(diff)
}

fn tree(document: &Pidf) -> Option<Element> {
    xml::read(document.print().as_bytes(), &Bounds::ours()).ok()
}

/// What a watcher keeps of one subscription.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    held: Option<Held>,
}

#[derive(Clone, Debug)]
struct Held {
    root: Element,
    document: Pidf,
    version: u32,
}

/// What came of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Applied {
    /// A whole document took the place of what was there.
    Full,
    /// A diff was applied.
    Patched,
    /// Its version is not newer: it was left out (RFC 5263 s4.5).
    Stale,
    /// Versions are missing, or there is nothing to patch yet: the subscription must be refreshed. Nothing has changed.
    Gap,
}

impl Replica {
    /// Takes a body of [`CONTENT_TYPE`]. After an error nothing has changed, and the subscription should be refreshed.
    ///
    /// # Errors
    ///
    /// A document that cannot be read, has no version, or names what is not there; a patched document out of `bounds`.
    pub fn apply(&mut self, body: &[u8], bounds: &Bounds) -> Result<Applied, DocumentError> {
        let root = xml::read(body, bounds)?;
        let version = root.attribute("version").ok_or(root.fault("version", Fault::Missing))?;
        let version: u32 = xml::trim(version).parse().map_err(|_| root.fault("version", Fault::Malformed))?;
        if self.version().is_some_and(|known| version <= known) {
            return Ok(Applied::Stale);
        }
        if root.is(ns::PIDF_DIFF, "pidf-full") {
            let document = Pidf::of_root(&root, bounds)?;
            self.held = Some(Held { root, document, version });
            return Ok(Applied::Full);
        }
        if !root.is(ns::PIDF_DIFF, "pidf-diff") {
            return Err(root.fault("pidf-diff", Fault::Root));
        }
        match &mut self.held {
            Some(held) if held.version.checked_add(1) == Some(version) => {
                if root.attribute("entity").is_some_and(|entity| *entity != *held.document.entity) {
                    return Err(root.fault("entity", Fault::Mismatch));
                }
                let patched = patch::apply(&held.root, &root, bounds)?;
                let document = Pidf::of_root(&patched, bounds)?;
                *held = Held { root: patched, document, version };
                Ok(Applied::Patched)
            }
            _ => Ok(Applied::Gap),
        }
    }

    /// The document as it is now.
    pub fn document(&self) -> Option<&Pidf> {
        self.held.as_ref().map(|held| &held.document)
    }

    /// The version of the last body that was taken.
    pub fn version(&self) -> Option<u32> {
        self.held.as_ref().map(|held| held.version)
    }
}

/// The prefix a selector of ours uses for a namespace.
fn selector_prefix(namespace: &str) -> Option<&'static str> {
    match namespace {
        ns::PIDF => Some(""),
        ns::DATA_MODEL => Some("dm:"),
        ns::RPID => Some("rpid:"),
        _ => None,
    }
}

/// Begins one operation on what a selector finds.
fn operation<'w>(writer: &'w mut Writer, name: &'static str, selector: &str) -> Tag<'w> {
    writer.tag(name).attr("sel", selector)
}
