//! A subtree nobody here understands, kept so that it means the same wherever it is printed.

use core::fmt;

use super::write::Writer;
use super::{Attribute, Bounds, DocumentError, Element, Name, Namespace, Node, ns, read};

/// One element as canonical text: all namespaces are declared on it, in the order of their first use, under their
/// customary prefixes or `n1`, `n2`; attributes are in the order of their names; text is as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Fragment {
    name: Name,
    text: Box<str>,
}

impl Fragment {
    /// The canonical text of an element.
    pub fn of(element: &Element) -> Fragment {
        let mut scope = Scope::default();
        scope.collect(element);
        let mut writer = Writer::continuing(String::new());
        write(element, &scope, Inside::Document, &mut writer);
        Fragment { name: element.name.clone(), text: writer.finish().into_boxed_str() }
    }

    /// Reads one element from text of its own.
    ///
    /// # Errors
    ///
    /// As [`read`].
    pub fn parse(text: &str) -> Result<Fragment, DocumentError> {
        read(text.as_bytes(), &Bounds::default()).map(|element| Fragment::of(&element))
    }

    /// The name of the element.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Namespaces and their prefixes.
#[derive(Default)]
struct Scope(Vec<(Namespace, String)>);

impl Scope {
    fn collect(&mut self, element: &Element) {
        self.add(&element.name.namespace);
        let mut attributes: Vec<_> = element.attributes.iter().map(|a| &a.name).collect();
        attributes.sort();
        attributes.into_iter().for_each(|name| self.add(&name.namespace));
        element.elements().for_each(|child| self.collect(child));
    }

    fn add(&mut self, namespace: &Namespace) {
        if namespace.is_empty()
            || **namespace == *ns::XML
            || self.0.iter().any(|(known, _)| known == namespace)
        {
            return;
        }
        let prefix = match ns::prefix(namespace) {
            Some(prefix) => prefix.to_owned(),
            None => {
                let number = 1 + self.0.iter().filter(|(known, _)| ns::prefix(known).is_none()).count();
                format!("n{number}")
            }
        };
        self.0.push((namespace.clone(), prefix));
    }

    fn prefix(&self, namespace: &Namespace) -> &str {
        match **namespace == *ns::XML {
            true => "xml",
            false => self.0.iter().find(|(known, _)| known == namespace).map_or("", |(_, prefix)| prefix),
        }
    }
}

/// What surrounds an element: whether a default namespace may be in force.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    /// The document, whose default namespace is not known: declarations are written here.
    Document,
    /// An element with a prefix: the default namespace is still that of the document.
    Prefixed,
    /// An element that has no namespace, and has said so.
    Bare,
}

fn write(element: &Element, scope: &Scope, inside: Inside, writer: &mut Writer) {
    let bare = element.name.namespace.is_empty();
    let mut tag = writer.tag_named(scope.prefix(&element.name.namespace), &element.name.local);
    if bare && inside != Inside::Bare {
        tag = tag.attr_in("", "xmlns", "");
    }
    if inside == Inside::Document {
        for (namespace, prefix) in &scope.0 {
            tag = tag.attr_in("xmlns", prefix, namespace);
        }
    }
    let mut attributes: Vec<_> = element.attributes.iter().collect();
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    for attribute in attributes {
        tag = tag.attr_in(scope.prefix(&attribute.name.namespace), &attribute.name.local, &attribute.value);
    }
    if element.children.is_empty() {
        return tag.empty();
    }
    tag.open();
    let inside = if bare || inside == Inside::Bare { Inside::Bare } else { Inside::Prefixed };
    for child in &element.children {
        match child {
            Node::Element(child) => write(child, scope, inside, writer),
            Node::Text(text) => writer.text(text),
        }
    }
    writer.close();
}

/// Writes an element into a document whose default namespace is PIDF and that declares `dm` and `rpid`: those keep the
/// prefixes of the document, everything else becomes a fragment.
pub(crate) fn write_in_document(element: &Element, writer: &mut Writer) {
    let prefix = match &*element.name.namespace {
        ns::PIDF => "",
        ns::DATA_MODEL => "dm",
        ns::RPID => "rpid",
        _ => return writer.fragment(&Fragment::of(element)),
    };
    let plain = |namespace: &str| namespace.is_empty() || *namespace == *ns::XML;
    if !element.attributes.iter().all(|a| plain(&a.name.namespace)) {
        return writer.fragment(&Fragment::of(element));
    }
    let mut tag = writer.tag_named(prefix, &element.name.local);
    for Attribute { name, value } in &element.attributes {
        tag = tag.attr_in(if name.namespace.is_empty() { "" } else { "xml" }, &name.local, value);
    }
    if element.children.is_empty() {
        return tag.empty();
    }
    tag.open();
    for child in &element.children {
        match child {
            Node::Element(child) => write_in_document(child, writer),
            Node::Text(text) => writer.text(text),
        }
    }
    writer.close();
}
