//! Selectors of patches: the part of XPath that RFC 5261 s4.1 allows, as far as presence documents need it.
//!
//! Steps are `*` or a name, narrowed by `[n]`, `[@attribute='value']`, `[child='value']` and `[.='value']`; the last step
//! may be `text()`, `text()[n]` or `@attribute`. Not supported: `id()`, `namespace::`, comments and instructions, which are
//! not kept.

use crate::documents::xml::{Element, Name, Namespace, NcName, Node, ns, trim};

/// What a selector finds: the way down in places of child nodes, and what is there.
#[derive(PartialEq, Debug)]
pub(super) struct Found {
    pub(super) way: Vec<usize>,
    pub(super) part: Part,
}

#[derive(PartialEq, Debug)]
pub(super) enum Part {
    /// An element or a text node, where the way ends.
    Node,
    /// An attribute of the element where the way ends; it may not be there.
    Attribute(Name),
}

/// Prefixes in force, the innermost last; the empty one is the default namespace, which counts in selectors.
pub(super) type Scope<'a> = [&'a (Box<str>, Namespace)];

/// Finds exactly one node; `None` if there is none, or more, or the selector is not understood.
pub(super) fn find(root: &Element, selector: &str, scope: &Scope<'_>) -> Option<Found> {
    let selector = trim(selector);
    let mut steps = split(selector.strip_prefix('/').unwrap_or(selector))?.into_iter().peekable();
    let first = Step::parse(steps.next()?, scope)?;
    // Selectors may call the root as that of PIDF (RFC 5262 s6).
    let presence = matches!(&first.test, Test::Name(name) if name.is(ns::PIDF, "presence"));
    if !(first.filters.is_empty() && (presence || first.test.fits(root))) {
        return None;
    }
    let (mut element, mut way) = (root, Vec::new());
    while let Some(step) = steps.next() {
        if let Some(name) = step.strip_prefix('@') {
            let name = attribute(name, scope)?;
            return steps.peek().is_none().then_some(Found { way, part: Part::Attribute(name) });
        }
        if let Some(rest) = step.strip_prefix("text()") {
            way.push(text(element, rest)?);
            return steps.peek().is_none().then_some(Found { way, part: Part::Node });
        }
        let (place, child) = Step::parse(step, scope)?.only(element)?;
        way.push(place);
        element = child;
    }
    Some(Found { way, part: Part::Node })
}

/// An attribute's name; without a prefix it is in no namespace.
pub(super) fn attribute(name: &str, scope: &Scope<'_>) -> Option<Name> {
    match name.contains(':') {
        true => self::name(name, scope),
        false => Some(Name { namespace: Namespace::NONE, local: NcName::new(name)? }),
    }
}

fn name(name: &str, scope: &Scope<'_>) -> Option<Name> {
    let (prefix, local) = name.split_once(':').unwrap_or(("", name));
    let local = NcName::new(local)?;
    let namespace = match scope.iter().rev().find(|(known, _)| **known == *prefix) {
        Some((_, namespace)) => namespace.clone(),
        None if prefix.is_empty() => Namespace::NONE,
        None if prefix == "xml" => Namespace::new(ns::XML),
        None => return None,
    };
    Some(Name { namespace, local })
}

/// The text node meant by `text()`, with a number behind it or none.
fn text(element: &Element, number: &str) -> Option<usize> {
    let mut texts = element.children.iter().enumerate().filter(|(_, node)| matches!(node, Node::Text(_)));
    if number.is_empty() {
        let only = texts.next()?;
        return texts.next().is_none().then_some(only.0);
    }
    let number: usize = number.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?;
    texts.nth(number.checked_sub(1)?).map(|(place, _)| place)
}

/// Cuts at slashes outside of quotes.
fn split(selector: &str) -> Option<Vec<&str>> {
    let (mut quote, mut from, mut steps) = (None, 0, Vec::new());
    for (at, c) in selector.char_indices() {
        match (quote, c) {
            (None, '/') => {
                steps.push(selector.get(from..at)?);
                from = at + 1;
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    steps.push(selector.get(from..)?);
    (quote.is_none() && steps.iter().all(|step| !step.is_empty())).then_some(steps)
}

enum Test {
    Any,
    Name(Name),
}

impl Test {
    fn fits(&self, element: &Element) -> bool {
        match self {
            Test::Any => true,
            Test::Name(name) => element.name == *name,
        }
    }
}

enum Filter<'s> {
    Number(usize),
    Attribute(Name, &'s str),
    Child(Name, &'s str),
    Text(&'s str),
}

struct Step<'s> {
    test: Test,
    filters: Vec<Filter<'s>>,
}

impl<'s> Step<'s> {
    fn parse(step: &'s str, scope: &Scope<'_>) -> Option<Step<'s>> {
        let (test, mut rest) = step.split_at(step.find('[').unwrap_or(step.len()));
        let test = match trim(test) {
            "*" => Test::Any,
            named => Test::Name(name(named, scope)?),
        };
        let mut filters = Vec::new();
        while let Some(inner) = rest.strip_prefix('[') {
            let (filter, behind) = Filter::parse(inner, scope)?;
            filters.push(filter);
            rest = trim(behind);
        }
        rest.is_empty().then_some(Step { test, filters })
    }

    /// The one child that fits, and its place among all child nodes.
    fn only<'e>(&self, parent: &'e Element) -> Option<(usize, &'e Element)> {
        let elements = parent.children.iter().enumerate().filter_map(|(place, node)| match node {
            Node::Element(element) => Some((place, element)),
            Node::Text(_) => None,
        });
        let mut fitting: Vec<_> = elements.filter(|(_, element)| self.test.fits(element)).collect();
        for filter in &self.filters {
            match filter {
                Filter::Number(number) => {
                    fitting = fitting.into_iter().skip(number.checked_sub(1)?).take(1).collect();
                }
                _ => fitting.retain(|(_, element)| filter.fits(element)),
            }
        }
        match fitting.as_slice() {
            [only] => Some(*only),
            _ => None,
        }
    }
}

impl<'s> Filter<'s> {
    /// What stands behind `[`, and what stands behind its `]`.
    fn parse(inner: &'s str, scope: &Scope<'_>) -> Option<(Filter<'s>, &'s str)> {
        let (left, rest) = inner.split_at(inner.find(['=', ']'])?);
        let left = trim(left);
        if let Some(behind) = rest.strip_prefix(']') {
            return Some((Filter::Number(left.parse().ok()?), behind));
        }
        let rest = trim(rest.strip_prefix('=')?);
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (value, behind) = rest.strip_prefix(quote)?.split_once(quote)?;
        let behind = trim(behind).strip_prefix(']')?;
        let filter = match (left, left.strip_prefix('@')) {
            (".", _) => Filter::Text(value),
            (_, Some(named)) => Filter::Attribute(attribute(named, scope)?, value),
            (named, None) => Filter::Child(name(named, scope)?, value),
        };
        Some((filter, behind))
    }

    fn fits(&self, element: &Element) -> bool {
        match self {
            Filter::Number(_) => true,
            Filter::Attribute(name, value) => {
                element.attributes.iter().any(|a| a.name == *name && *a.value == **value)
            }
            Filter::Child(name, value) => element.elements().any(|c| c.name == *name && c.text() == *value),
            Filter::Text(value) => element.text() == *value,
        }
    }
}
