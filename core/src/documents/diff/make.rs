//! Two trees to the operations between them (RFC 5261 s4). Operations apply one after the other, so each selector is
//! that of the moment: removals from the back, then what changed within, then additions from the front.

use super::{operation, selector_prefix};
use crate::documents::xml::{Element, Fragment, Node, Writer, ns, write_in_document};

/// Most pairs of children that are compared with each other; wider documents are sent whole.
const PAIRS: usize = 40_000;

/// Writes the operations between two roots; `None` if only the whole document will do.
pub(super) fn changes(old: &Element, new: &Element, writer: &mut Writer) -> Option<()> {
    let (old, new) = (elements_only(old)?, elements_only(new)?);
    children("*", &old, &new, writer)
}

/// The children of an element that has no text of its own.
fn elements_only(element: &Element) -> Option<Vec<&Element>> {
    let of = |node: &'_ Node| matches!(node, Node::Element(_));
    element.children.iter().all(of).then(|| element.elements().collect())
}

/// The text of an element that has no elements; `None` within for no text at all.
fn text_only(element: &Element) -> Option<Option<&str>> {
    match element.children.as_slice() {
        [] => Some(None),
        [Node::Text(text)] => Some(Some(text)),
        _ => None,
    }
}

fn same(a: &Element, b: &Element) -> bool {
    Fragment::of(a) == Fragment::of(b)
}

fn children(path: &str, old: &[&Element], new: &[&Element], writer: &mut Writer) -> Option<()> {
    let pairs = common(old, new)?;
    let mut now: Vec<&Element> = old.to_vec();
    for at in (0..old.len()).rev() {
        if !pairs.iter().any(|(kept, _)| *kept == at) {
            let step = step(&now, at)?;
            operation(writer, "p:remove", &format!("{path}/{step}")).empty();
            now.remove(at);
        }
    }
    for (at, (_, to)) in pairs.iter().enumerate() {
        let (from, to) = (*now.get(at)?, *new.get(*to)?);
        if !same(from, to) {
            element(&format!("{path}/{}", step(&now, at)?), from, to, writer);
            if let Some(place) = now.get_mut(at) {
                *place = to;
            }
        }
    }
    for (at, added) in new.iter().enumerate() {
        if pairs.iter().any(|(_, kept)| *kept == at) {
            continue;
        }
        match at < now.len() {
            true => {
                let before = format!("{path}/{}", step(&now, at)?);
                operation(writer, "p:add", &before).attr("pos", "before").open();
            }
            false => operation(writer, "p:add", path).open(),
        }
        write_in_document(added, writer);
        writer.close();
        now.insert(at.min(now.len()), added);
    }
    Some(())
}

/// Which children are the same ones, as pairs of places that rise on both sides: a longest common subsequence.
fn common(old: &[&Element], new: &[&Element]) -> Option<Vec<(usize, usize)>> {
    if old.len().saturating_mul(new.len()) > PAIRS {
        return None;
    }
    let keys = |own: &[&Element]| own.iter().map(|e| key(e, old, new)).collect::<Vec<_>>();
    let (a, b) = (keys(old), keys(new));
    let width = b.len() + 1;
    let mut longest = vec![0_u32; (a.len() + 1) * width];
    let cell = |table: &[u32], i: usize, j: usize| table.get(i * width + j).copied().unwrap_or(0);
    for (i, from) in a.iter().enumerate().rev() {
        for (j, to) in b.iter().enumerate().rev() {
            let value = match from == to {
                true => 1 + cell(&longest, i + 1, j + 1),
                false => cell(&longest, i + 1, j).max(cell(&longest, i, j + 1)),
            };
            if let Some(place) = longest.get_mut(i * width + j) {
                *place = value;
            }
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while let (Some(from), Some(to)) = (a.get(i), b.get(j)) {
        if from == to {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if cell(&longest, i + 1, j) >= cell(&longest, i, j + 1) {
            i += 1;
        } else {
            j += 1;
        }
    }
    Some(pairs)
}

/// What makes a child the same one: its id; its name, if nothing else is called so; else all of it.
fn key(element: &Element, old: &[&Element], new: &[&Element]) -> (String, String) {
    let name = format!("{:?}", element.name);
    let among = |own: &[&Element]| own.iter().filter(|e| e.name == element.name).count();
    let rest = match element.attribute("id") {
        Some(id) => format!("#{id}"),
        None if among(old) < 2 && among(new) < 2 => String::new(),
        None => Fragment::of(element).as_str().to_owned(),
    };
    (name, rest)
}

/// One element of the same name turns into the other.
fn element(path: &str, old: &Element, new: &Element, writer: &mut Writer) {
    // What was written for it so far stays valid if the element cannot be changed in part: nothing was.
    let mut attempt = Writer::continuing(String::new());
    let known = selector_prefix(&old.name.namespace).is_some();
    if known && within(path, old, new, &mut attempt).is_some() {
        writer.append(attempt);
    } else {
        operation(writer, "p:replace", path).open();
        write_in_document(new, writer);
        writer.close();
    }
}

fn within(path: &str, old: &Element, new: &Element, writer: &mut Writer) -> Option<()> {
    attributes(path, old, new, writer)?;
    if let (Some(from), Some(to)) = (text_only(old), text_only(new)) {
        match (from, to) {
            _ if from == to => {}
            (Some(_), Some(to)) => operation(writer, "p:replace", &format!("{path}/text()")).text(to),
            (Some(_), None) => operation(writer, "p:remove", &format!("{path}/text()")).empty(),
            (None, Some(to)) => operation(writer, "p:add", path).text(to),
            (None, None) => {}
        }
        return Some(());
    }
    children(path, &elements_only(old)?, &elements_only(new)?, writer)
}

fn attributes(path: &str, old: &Element, new: &Element, writer: &mut Writer) -> Option<()> {
    let name = |attribute: &crate::documents::xml::Attribute| match &*attribute.name.namespace {
        "" => Some(format!("@{}", &*attribute.name.local)),
        ns::XML => Some(format!("@xml:{}", &*attribute.name.local)),
        _ => None,
    };
    for attribute in &old.attributes {
        let selector = format!("{path}/{}", name(attribute)?);
        match new.attributes.iter().find(|a| a.name == attribute.name) {
            None => operation(writer, "p:remove", &selector).empty(),
            Some(now) if now.value != attribute.value => {
                operation(writer, "p:replace", &selector).text(&now.value)
            }
            Some(_) => {}
        }
    }
    for attribute in &new.attributes {
        if !old.attributes.iter().any(|a| a.name == attribute.name) {
            operation(writer, "p:add", path).attr("type", &name(attribute)?).text(&attribute.value);
        }
    }
    Some(())
}

/// The selector of one among its siblings.
fn step(siblings: &[&Element], at: usize) -> Option<String> {
    let element = siblings.get(at)?;
    let Some(prefix) = selector_prefix(&element.name.namespace) else {
        return Some(format!("*[{}]", at + 1));
    };
    let local = &*element.name.local;
    let alike = || siblings.iter().enumerate().filter(|(_, e)| e.name == element.name);
    if let Some(id) = element.attribute("id")
        && alike().filter(|(_, e)| e.attribute("id") == Some(id)).count() == 1
        && let Some(quote) = ['\'', '"'].into_iter().find(|quote| !id.contains(*quote))
    {
        return Some(format!("{prefix}{local}[@id={quote}{id}{quote}]"));
    }
    if alike().count() == 1 {
        return Some(format!("{prefix}{local}"));
    }
    let number = 1 + alike().take_while(|(place, _)| *place < at).count();
    Some(format!("{prefix}{local}[{number}]"))
}
