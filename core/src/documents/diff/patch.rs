//! Applying a `pidf-diff` (RFC 5261 s4): all operations or none, in order, each to what the one before left.

use super::select::{self, Found, Part, Scope};
use crate::documents::xml::{Attribute, Bounds, DocumentError, Element, Fault, Fragment, Node, is_space, ns};

/// The document after the operations of a diff.
pub(super) fn apply(document: &Element, diff: &Element, bounds: &Bounds) -> Result<Element, DocumentError> {
    let mut patched = document.clone();
    for operation in diff.elements() {
        // RFC 5262 s7 has these three; what else is there is not known, and then the result is not known either.
        let known = *operation.name.namespace == *ns::PIDF_DIFF;
        let scope: Vec<_> = diff.declared.iter().chain(&operation.declared).collect();
        let selector = operation.attribute("sel").ok_or(operation.fault("sel", Fault::Missing))?;
        let found =
            select::find(&patched, selector, &scope).ok_or(operation.fault("sel", Fault::Mismatch))?;
        let done = match &*operation.name.local {
            "add" if known => add(&mut patched, found, operation, &scope),
            "replace" if known => replace(&mut patched, found, operation),
            "remove" if known => remove(&mut patched, found, operation),
            _ => return Err(operation.fault("pidf-diff", Fault::Malformed)),
        };
        done.ok_or(operation.fault("sel", Fault::Mismatch))?;
        // What is added can be added to again: the bounds hold for the result of every step.
        settle(&mut patched, 1, bounds, &mut 0).map_err(|fault| operation.fault("pidf-diff", fault))?;
    }
    if Fragment::of(&patched).as_str().len() > bounds.bytes.saturating_mul(2) {
        return Err(diff.fault("pidf-diff", Fault::TooLong));
    }
    Ok(patched)
}

/// Texts that met become one; the bounds of a document hold.
fn settle(element: &mut Element, depth: usize, bounds: &Bounds, elements: &mut usize) -> Result<(), Fault> {
    *elements += 1;
    if depth > bounds.depth {
        return Err(Fault::Depth);
    }
    if *elements > bounds.elements || element.attributes.len() > bounds.attributes {
        return Err(Fault::TooMany);
    }
    element.children.dedup_by(|after, before| match (after, before) {
        (Node::Text(after), Node::Text(before)) => {
            *before = format!("{before}{after}").into();
            true
        }
        _ => false,
    });
    element.children.iter_mut().try_for_each(|child| match child {
        Node::Element(child) => settle(child, depth + 1, bounds, elements),
        Node::Text(_) => Ok(()),
    })
}

/// The element at the end of a way.
fn element<'e>(root: &'e mut Element, way: &[usize]) -> Option<&'e mut Element> {
    way.iter().try_fold(root, |element, place| match element.children.get_mut(*place)? {
        Node::Element(child) => Some(child),
        Node::Text(_) => None,
    })
}

/// The parent of what a way leads to, and the place in it.
fn parent<'e>(root: &'e mut Element, way: &[usize]) -> Option<(&'e mut Element, usize)> {
    let (place, above) = way.split_last()?;
    Some((element(root, above)?, *place))
}

/// RFC 5261 s4.3.
fn add(root: &mut Element, found: Found, operation: &Element, scope: &Scope<'_>) -> Option<()> {
    if found.part != Part::Node {
        return None;
    }
    if let Some(kind) = operation.attribute("type") {
        let name = select::attribute(kind.strip_prefix('@')?, scope)?;
        let target = element(root, &found.way)?;
        let absent = !target.attributes.iter().any(|a| a.name == name);
        return absent.then(|| target.attributes.push(Attribute { name, value: operation.text().into() }));
    }
    let added = operation.children.iter().cloned();
    match operation.attribute("pos") {
        None => element(root, &found.way)?.children.extend(added),
        Some("prepend") => drop(element(root, &found.way)?.children.splice(0..0, added)),
        Some(side @ ("before" | "after")) => {
            let (parent, place) = parent(root, &found.way)?;
            let place = place + usize::from(side == "after");
            parent.children.splice(place..place, added);
        }
        Some(_) => return None,
    }
    Some(())
}

/// RFC 5261 s4.4.
fn replace(root: &mut Element, found: Found, operation: &Element) -> Option<()> {
    if let Part::Attribute(name) = found.part {
        let target = element(root, &found.way)?;
        let attribute = target.attributes.iter_mut().find(|a| a.name == name)?;
        attribute.value = operation.text().into();
        return Some(());
    }
    let (parent, place) = parent(root, &found.way)?;
    let node = parent.children.get_mut(place)?;
    match node {
        Node::Element(old) => {
            let mut elements = operation.elements();
            *old = elements.next()?.clone();
            elements.next().is_none().then_some(())
        }
        Node::Text(old) => {
            *old = operation.text().into();
            if old.is_empty() {
                parent.children.remove(place);
            }
            Some(())
        }
    }
}

/// RFC 5261 s4.5.
fn remove(root: &mut Element, found: Found, operation: &Element) -> Option<()> {
    if let Part::Attribute(name) = found.part {
        let target = element(root, &found.way)?;
        let place = target.attributes.iter().position(|a| a.name == name)?;
        target.attributes.remove(place);
        return Some(());
    }
    let (parent, place) = parent(root, &found.way)?;
    let children = &mut parent.children;
    children.get(place)?;
    children.remove(place);
    let blank = |node: Option<&Node>| matches!(node, Some(Node::Text(text)) if text.chars().all(is_space));
    let (before, after) = match operation.attribute("ws") {
        None => (false, false),
        Some("before") => (true, false),
        Some("after") => (false, true),
        Some("both") => (true, true),
        Some(_) => return None,
    };
    if after {
        blank(children.get(place)).then(|| children.remove(place))?;
    }
    if before {
        let place = place.checked_sub(1)?;
        blank(children.get(place)).then(|| children.remove(place))?;
    }
    Some(())
}
