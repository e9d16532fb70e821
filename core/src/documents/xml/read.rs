//! Bytes to a tree of elements, everything bounded. XML 1.0 and Namespaces in XML 1.0, without a DTD.
//!
//! quick-xml splits the text into events and resolves prefixes; what it leaves to its user is checked here: characters,
//! names, references, declarations, what stands outside the root, and every bound. No entity is ever expanded.

use std::borrow::Cow;

use quick_xml::NsReader;
use quick_xml::events::{BytesDecl, BytesStart, Event};
use quick_xml::name::{QName, ResolveResult};

use super::name::is_ncname;
use super::{Attribute, DocumentError, Element, Fault, Name, Namespace, NcName, Node, is_char, is_space, ns};

/// Every bound of a document. Reaching one refuses the document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Most bytes of a document, and of all its unknown parts written out as fragments.
    pub bytes: usize,
    /// Deepest nesting; the root is at depth 1.
    pub depth: usize,
    /// Most elements.
    pub elements: usize,
    /// Most attributes of one element, declarations of namespaces among them.
    pub attributes: usize,
    /// Longest value of an attribute in bytes, and longest name of a namespace.
    pub value_bytes: usize,
    /// Longest name of an element or attribute in bytes, without its prefix.
    pub name_bytes: usize,
    /// Most different namespaces.
    pub namespaces: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            bytes: 65_536,
            depth: 32,
            elements: 2_000,
            attributes: 32,
            value_bytes: 4_096,
            name_bytes: 128,
            namespaces: 32,
        }
    }
}

impl Bounds {
    /// For what we printed ourselves: a document within the default bounds may pass them when it is printed our way.
    pub(crate) fn ours() -> Bounds {
        let default = Bounds::default();
        Bounds {
            bytes: usize::MAX,
            elements: 4 * default.elements,
            attributes: default.attributes + default.namespaces + 8,
            value_bytes: usize::MAX,
            namespaces: usize::MAX,
            ..default
        }
    }
}

/// Reads a whole document. White space before the declaration and a byte order mark are forgiven.
///
/// # Errors
///
/// [`DocumentError`] says what is wrong and where. Nothing of a faulty document is used.
pub fn read(document: &[u8], bounds: &Bounds) -> Result<Element, DocumentError> {
    if document.len() > bounds.bytes {
        return Err(DocumentError::whole(Fault::TooLong));
    }
    let text = core::str::from_utf8(document).map_err(|e| DocumentError {
        what: "document",
        fault: Fault::Utf8,
        at: e.valid_up_to(),
    })?;
    if let Some((at, _)) = text.char_indices().find(|&(_, c)| !is_char(c)) {
        // A byte order mark is U+FEFF and a character of XML; NUL and most controls are not.
        return Err(DocumentError { what: "document", fault: Fault::Character, at });
    }
    let body = text.strip_prefix('\u{FEFF}').unwrap_or(text).trim_start_matches(is_space);
    let skipped = text.len() - body.len();
    let mut reader = NsReader::from_str(body);
    let config = reader.config_mut();
    config.expand_empty_elements = true;
    config.check_comments = true;
    let mut reading = Reading {
        bounds,
        skipped,
        at: skipped,
        open: Vec::new(),
        root: None,
        text: String::new(),
        elements: 0,
        namespaces: Vec::new(),
        first: true,
    };
    reading.run(&mut reader).map_err(|Broken(what, fault)| DocumentError { what, fault, at: reading.at })?;
    // Unclosed elements were refused at the end of the input.
    reading.root.ok_or(DocumentError { what: "document", fault: Fault::Truncated, at: document.len() })
}

struct Broken(&'static str, Fault);

struct Reading<'b> {
    bounds: &'b Bounds,
    /// What stood before the text the reader was given.
    skipped: usize,
    /// Where the event at hand begins.
    at: usize,
    /// Text since the last tag.
    text: String,
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
    namespaces: Vec<Namespace>,
    first: bool,
}

impl Reading<'_> {
    fn run(&mut self, reader: &mut NsReader<&[u8]>) -> Result<(), Broken> {
        loop {
            self.at = self.skipped + usize::try_from(reader.buffer_position()).unwrap_or(0);
            let event = reader.read_event().map_err(|error| match error {
                quick_xml::Error::Namespace(_) => Broken("element", Fault::Namespace),
                _ => Broken("document", Fault::Syntax),
            })?;
            match event {
                Event::Decl(declaration) if self.first => check_declaration(&declaration)?,
                Event::Start(start) => {
                    self.flush();
                    let element = self.element(reader, &start)?;
                    self.open.push(element);
                }
                // Empty elements are expanded; the names of end tags are checked by quick-xml.
                Event::Empty(_) => return Err(Broken("document", Fault::Syntax)),
                Event::End(_) => self.close()?,
                Event::Text(text) => {
                    let text = text.into_inner();
                    if text.contains("]]>") {
                        return Err(Broken("text", Fault::Character));
                    }
                    self.text(&line_ends(&text))?;
                }
                Event::CData(text) => {
                    if self.open.is_empty() {
                        return Err(self.outside());
                    }
                    self.text(&line_ends(&text.into_inner()))?;
                }
                Event::GeneralRef(reference) => {
                    if self.open.is_empty() {
                        return Err(self.outside());
                    }
                    let c = resolve(&reference.into_inner()).ok_or(Broken("text", Fault::Reference))?;
                    self.text(c.encode_utf8(&mut [0; 4]))?;
                }
                Event::Comment(_) => {}
                Event::Decl(_) | Event::PI(_) => return Err(Broken("document", Fault::Instruction)),
                Event::DocType(_) => return Err(Broken("document", Fault::Doctype)),
                Event::Eof => break,
            }
            self.first = false;
        }
        if self.open.is_empty() { Ok(()) } else { Err(Broken("document", Fault::Truncated)) }
    }

    fn element(&mut self, reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Result<Element, Broken> {
        if self.root.is_some() {
            return Err(Broken("document", Fault::Trailing));
        }
        if self.open.len() >= self.bounds.depth {
            return Err(Broken("element", Fault::Depth));
        }
        self.elements += 1;
        if self.elements > self.bounds.elements {
            return Err(Broken("element", Fault::TooMany));
        }
        let (namespace, _) = reader.resolver().resolve_element(start.name());
        let name = self.name("element", start.name(), namespace)?;
        let mut attributes: Vec<Attribute> = Vec::new();
        let mut declared = Vec::new();
        // Repeated ones are looked for below, with namespaces resolved.
        for (count, attribute) in start.attributes().with_checks(false).enumerate() {
            if count >= self.bounds.attributes {
                return Err(Broken("attribute", Fault::TooMany));
            }
            let attribute = attribute.map_err(|_| Broken("attribute", Fault::Syntax))?;
            if attribute.value.len() > self.bounds.value_bytes {
                return Err(Broken("attribute", Fault::TooLong));
            }
            let value = unescape(&attribute.value)?;
            if attribute.key.as_namespace_binding().is_some() {
                let (local, prefix) = attribute.key.decompose();
                // Namespaces in XML 1.0 s2.2: a prefix cannot be undeclared.
                if prefix.is_some() && (value.is_empty() || !is_ncname(local.into_inner())) {
                    return Err(Broken("attribute", Fault::Namespace));
                }
                let mut others = start.attributes();
                let others = others.with_checks(false).take(count).flatten();
                if others.filter(|other| other.key == attribute.key).count() > 0 {
                    return Err(Broken("attribute", Fault::Repeated));
                }
                let prefix = if prefix.is_some() { local.into_inner() } else { "" };
                declared.push((prefix.into(), Namespace::new(&value)));
                continue;
            }
            let (namespace, _) = reader.resolver().resolve_attribute(attribute.key);
            let name = self.name("attribute", attribute.key, namespace)?;
            if attributes.iter().any(|other| other.name == name) {
                return Err(Broken("attribute", Fault::Repeated));
            }
            attributes.push(Attribute { name, value: value.into() });
        }
        Ok(Element { name, attributes, declared, children: Vec::new(), at: self.at })
    }

    fn name(
        &mut self,
        what: &'static str,
        name: QName<'_>,
        resolved: ResolveResult<'_>,
    ) -> Result<Name, Broken> {
        let (local, prefix) = name.decompose();
        if local.into_inner().len() > self.bounds.name_bytes {
            return Err(Broken(what, Fault::TooLong));
        }
        let local = NcName::new(local.into_inner()).ok_or(Broken(what, Fault::Name))?;
        let namespace = match resolved {
            ResolveResult::Unbound => Namespace::NONE,
            ResolveResult::Unknown(_) => return Err(Broken(what, Fault::Namespace)),
            ResolveResult::Bound(uri) => {
                if prefix.is_some_and(|p| !is_ncname(p.into_inner())) {
                    return Err(Broken(what, Fault::Name));
                }
                if uri.0.len() > self.bounds.value_bytes {
                    return Err(Broken(what, Fault::TooLong));
                }
                // The resolver keeps the value as it was written.
                Namespace::new(&unescape(uri.0)?)
            }
        };
        if !namespace.is_empty() && *namespace != *ns::XML && !self.namespaces.contains(&namespace) {
            if self.namespaces.len() >= self.bounds.namespaces {
                return Err(Broken("namespace", Fault::TooMany));
            }
            self.namespaces.push(namespace.clone());
        }
        Ok(Name { namespace, local })
    }

    fn close(&mut self) -> Result<(), Broken> {
        self.flush();
        let element = self.open.pop().ok_or(Broken("document", Fault::Syntax))?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(Node::Element(element)),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Broken> {
        if self.open.is_empty() && !text.chars().all(is_space) {
            return Err(self.outside());
        }
        if !self.open.is_empty() {
            self.text.push_str(text);
        }
        Ok(())
    }

    /// What was gathered becomes one node.
    fn flush(&mut self) {
        if let Some(element) = self.open.last_mut()
            && !self.text.is_empty()
        {
            element.children.push(Node::Text(self.text.as_str().into()));
            self.text.clear();
        }
    }

    fn outside(&self) -> Broken {
        Broken("document", if self.root.is_some() { Fault::Trailing } else { Fault::Syntax })
    }
}

/// XML 1.0 s2.8: version 1.x; UTF-8, or ASCII, which is UTF-8 too.
fn check_declaration(declaration: &BytesDecl<'_>) -> Result<(), Broken> {
    let version = declaration.version().map_err(|_| Broken("document", Fault::Syntax))?;
    let encoding = match declaration.encoding() {
        Some(encoding) => Some(encoding.map_err(|_| Broken("document", Fault::Syntax))?),
        None => None,
    };
    let known =
        encoding.is_none_or(|e| e.eq_ignore_ascii_case("utf-8") || e.eq_ignore_ascii_case("us-ascii"));
    if version.starts_with("1.") && known { Ok(()) } else { Err(Broken("document", Fault::Encoding)) }
}

/// XML 1.0 s2.11: every line end is a line feed.
fn line_ends(text: &str) -> Cow<'_, str> {
    if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The value of an attribute: line ends and tabs are spaces, then references are resolved (XML 1.0 s3.3.3).
fn unescape(raw: &str) -> Result<String, Broken> {
    if raw.contains('<') {
        return Err(Broken("attribute", Fault::Character));
    }
    let raw = line_ends(raw).replace(['\n', '\t'], " ");
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw.as_str();
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (name, behind) = after.split_once(';').ok_or(Broken("attribute", Fault::Reference))?;
        out.push(resolve(name).ok_or(Broken("attribute", Fault::Reference))?);
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

/// What stands between `&` and `;`: one of the five, or a character by its number.
fn resolve(name: &str) -> Option<char> {
    let Some(number) = name.strip_prefix('#') else {
        return match name {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "apos" => Some('\''),
            "quot" => Some('"'),
            _ => None,
        };
    };
    let (digits, radix) = match number.strip_prefix('x') {
        Some(hex) => (hex, 16),
        None => (number, 10),
    };
    // `from_str_radix` would take a sign.
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).filter(|&c| is_char(c))
}
