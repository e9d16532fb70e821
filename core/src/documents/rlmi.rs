//! The states of a list in one body: `multipart/related` whose root is `application/rlmi+xml` (RFC 4662, RFC 2387).
//!
//! [`Rlmi`] is the table of contents, [`Multipart`] the body around it and its parts. The boundary is made from what the
//! caller gives, and changed until no part holds it: equal parts give equal bytes.

use super::sequence::version;
use super::winfo::{mandatory, words};
use super::xml::{self, Bounds, DocumentError, Element, Fault, Versioned, Writer, ns, trim};
use super::{Extent, pidf::Note};

mod multipart;
#[cfg(test)]
mod tests;

pub use multipart::{Multipart, Part};

/// The media type of the root part (RFC 4662 s5.1).
pub const CONTENT_TYPE: &str = "application/rlmi+xml";

/// What a notification says about a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rlmi {
    /// The URI of the list.
    pub uri: Box<str>,
    /// Whether every resource is there.
    pub extent: Extent,
    /// Names of the list for people.
    pub names: Vec<Note>,
    /// The resources.
    pub resources: Vec<Resource>,
}

/// One resource of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resource {
    /// Its URI.
    pub uri: Box<str>,
    /// Names for people.
    pub names: Vec<Note>,
    /// Its virtual subscriptions: none while its state is not known (RFC 4662 s4.5), else one for each notifier.
    pub instances: Vec<Instance>,
}

/// One virtual subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Instance {
    /// Names it within the resource.
    pub id: Box<str>,
    /// Where it stands.
    pub state: InstanceState,
    /// Why it is terminated: the `reason` of a Subscription-State header. Mandatory then.
    pub reason: Option<Box<str>>,
    /// The Content-ID of the part with its state, without brackets. Mandatory while active.
    pub cid: Option<Box<str>>,
}

words! {
    /// Where a virtual subscription stands (RFC 4662 s5.5).
    InstanceState {
        /// Its state is in a part.
        Active = "active",
        /// No decision yet.
        Pending = "pending",
        /// It is over.
        Terminated = "terminated",
    }
}

impl Rlmi {
    /// The document, with a gap for the version of the subscription.
    pub fn print(&self) -> Versioned {
        let full = if self.extent == Extent::Full { "true" } else { "false" };
        let mut writer = Writer::document();
        let tag = writer.tag("list").attr("xmlns", ns::RLMI).attr("uri", &self.uri).version();
        tag.attr("fullState", full).open();
        write_names(&self.names, &mut writer);
        for resource in &self.resources {
            let tag = writer.tag("resource").attr("uri", &resource.uri);
            if resource.names.is_empty() && resource.instances.is_empty() {
                tag.empty();
                continue;
            }
            tag.open();
            write_names(&resource.names, &mut writer);
            for instance in &resource.instances {
                let tag =
                    writer.tag("instance").attr("id", &instance.id).attr("state", instance.state.as_str());
                tag.maybe("reason", instance.reason.as_deref()).maybe("cid", instance.cid.as_deref()).empty();
            }
            writer.close();
        }
        writer.finish_versioned()
    }

    /// Reads a document and its version.
    ///
    /// # Errors
    ///
    /// XML that [`xml::read`] refuses, another root, an attribute missing that RFC 4662 s5 makes mandatory (the `reason` and
    /// `cid` of instances are forgiven), a word that it does not have.
    pub fn parse(document: &[u8], bounds: &Bounds) -> Result<(Rlmi, u32), DocumentError> {
        let root = xml::read(document, bounds)?;
        if !root.is(ns::RLMI, "list") {
            return Err(root.fault("list", Fault::Root));
        }
        let extent = match root.attribute("fullState").map(trim) {
            Some("true" | "1") => Extent::Full,
            Some("false" | "0") => Extent::Partial,
            Some(_) => return Err(root.fault("fullState", Fault::Malformed)),
            None => return Err(root.fault("fullState", Fault::Missing)),
        };
        let resources = root.elements().filter(|e| e.is(ns::RLMI, "resource"));
        let resources = resources.map(|e| Resource::read(e, root.lang())).collect::<Result<_, _>>()?;
        let rlmi = Rlmi { uri: mandatory(&root, "uri")?, extent, names: names(&root, None), resources };
        Ok((rlmi, version(&root)?))
    }
}

impl Resource {
    fn read(element: &Element, lang: Option<&str>) -> Result<Resource, DocumentError> {
        let instances = element.elements().filter(|e| e.is(ns::RLMI, "instance"));
        let uri = mandatory(element, "uri")?;
        let instances = instances.map(Instance::read).collect::<Result<_, _>>()?;
        Ok(Resource { uri, names: names(element, lang), instances })
    }
}

impl Instance {
    fn read(element: &Element) -> Result<Instance, DocumentError> {
        let state = mandatory(element, "state")?;
        Ok(Instance {
            id: mandatory(element, "id")?,
            state: InstanceState::parse(&state).ok_or(element.fault("state", Fault::Malformed))?,
            reason: element.attribute("reason").map(Box::from),
            cid: element.attribute("cid").map(Box::from),
        })
    }
}

fn names(element: &Element, lang: Option<&str>) -> Vec<Note> {
    let lang = element.lang().or(lang);
    element
        .elements()
        .filter(|e| e.is(ns::RLMI, "name"))
        .map(|e| Note { lang: e.lang().or(lang).map(Box::from), text: e.text().into() })
        .collect()
}

fn write_names(names: &[Note], writer: &mut Writer) {
    names.iter().for_each(|name| writer.tag("name").maybe("xml:lang", name.lang.as_deref()).text(&name.text));
}
