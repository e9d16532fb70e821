//! What is registered: `application/reginfo+xml` of the package `reg` (RFC 3680), with GRUUs (RFC 5628).

use super::sequence::{Extent, version};
use super::winfo::{mandatory, words};
use super::xml::{self, Bounds, DocumentError, Element, Fault, Versioned, Writer, ns, trim};

#[cfg(test)]
mod tests;

/// The media type (RFC 3680 s9.2).
pub const CONTENT_TYPE: &str = "application/reginfo+xml";

/// Registrations of some addresses of record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reginfo {
    /// All contacts, or those that changed. A contact that is gone is told once as terminated.
    pub extent: Extent,
    /// One for each address of record.
    pub registrations: Vec<Registration>,
}

/// The registration of one address of record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// The address of record, a URI.
    pub aor: Box<str>,
    /// Names it in all documents of the subscription.
    pub id: Box<str>,
    /// Where it stands.
    pub state: RegistrationState,
    /// Its contacts.
    pub contacts: Vec<RegContact>,
}

/// One contact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegContact {
    /// Names it in all documents of the subscription.
    pub id: Box<str>,
    /// Registered or gone. RFC 3680 s5.1 has two words; they follow from the event.
    pub event: ContactEvent,
    /// Its URI.
    pub uri: Box<str>,
    /// Its display name.
    pub display_name: Option<Box<str>>,
    /// Seconds it has been registered.
    pub duration_registered: Option<u64>,
    /// Seconds until it expires; mandatory for [`ContactEvent::Shortened`].
    pub expires: Option<u64>,
    /// Seconds after which its owner may register again; mandatory for [`ContactEvent::Probation`].
    pub retry_after: Option<u64>,
    /// Priority in thousandths.
    pub q: Option<u16>,
    /// Call-ID of the last REGISTER that touched it.
    pub call_id: Option<Box<str>>,
    /// CSeq of that REGISTER.
    pub cseq: Option<u64>,
    /// Parameters that RFC 3261 does not know: names, and values as they stand in the header, quotes and all.
    pub params: Vec<(Box<str>, Box<str>)>,
    /// Its public GRUU.
    pub public_gruu: Option<Box<str>>,
    /// Its newest temporary GRUU, and the CSeq that made the oldest one still valid. Only for those who may register.
    pub temporary_gruu: Option<(Box<str>, u64)>,
}

words! {
    /// Where a registration stands (RFC 3680 s4.7.1).
    RegistrationState {
        /// Nothing was registered yet.
        Init = "init",
        /// Something is registered.
        Active = "active",
        /// Nothing is registered any more.
        Terminated = "terminated",
    }
}

words! {
    /// What brought a contact where it stands (RFC 3680 s4.7.2).
    ContactEvent {
        /// Its phone registered it.
        Registered = "registered",
        /// It was made without a REGISTER.
        Created = "created",
        /// Its phone registered it again.
        Refreshed = "refreshed",
        /// It will end earlier than was agreed.
        Shortened = "shortened",
        /// It was not refreshed.
        Expired = "expired",
        /// It was removed, and its phone should register again.
        Deactivated = "deactivated",
        /// It was removed, and its phone may register again later.
        Probation = "probation",
        /// Its phone removed it.
        Unregistered = "unregistered",
        /// It was removed, and its phone may not register again.
        Rejected = "rejected",
    }
}

impl ContactEvent {
    /// True if the contact is registered after it.
    pub const fn is_active(self) -> bool {
        use ContactEvent::{Created, Refreshed, Registered, Shortened};
        matches!(self, Registered | Created | Refreshed | Shortened)
    }
}

impl Reginfo {
    /// The body, with a gap for the version of the subscription.
    pub fn print(&self) -> Versioned {
        let mut writer = Writer::document();
        let gruu = |c: &RegContact| c.public_gruu.is_some() || c.temporary_gruu.is_some();
        let gruus = self.registrations.iter().flat_map(|r| &r.contacts).any(gruu);
        let tag = writer.tag("reginfo").attr("xmlns", ns::REGINFO);
        let tag = tag.maybe("xmlns:gr", gruus.then_some(ns::GRUUINFO)).version();
        tag.attr("state", self.extent.as_str()).open();
        for registration in &self.registrations {
            let tag = writer.tag("registration").attr("aor", &registration.aor).attr("id", &registration.id);
            tag.attr("state", registration.state.as_str()).open();
            registration.contacts.iter().for_each(|contact| contact.write(&mut writer));
            writer.close();
        }
        writer.finish_versioned()
    }

    /// Reads a body and its version.
    ///
    /// # Errors
    ///
    /// XML that [`xml::read`] refuses, another root, an attribute missing that RFC 3680 s5.1 makes mandatory, a word that
    /// it does not have.
    pub fn parse(document: &[u8], bounds: &Bounds) -> Result<(Reginfo, u32), DocumentError> {
        let root = xml::read(document, bounds)?;
        if !root.is(ns::REGINFO, "reginfo") {
            return Err(root.fault("reginfo", Fault::Root));
        }
        let registrations = root.elements().filter(|e| e.is(ns::REGINFO, "registration"));
        let registrations = registrations.map(Registration::read).collect::<Result<_, _>>()?;
        Ok((Reginfo { extent: Extent::of(&root)?, registrations }, version(&root)?))
    }
}

impl Registration {
    fn read(element: &Element) -> Result<Registration, DocumentError> {
        let state = mandatory(element, "state")?;
        let contacts = element.elements().filter(|e| e.is(ns::REGINFO, "contact"));
        Ok(Registration {
            aor: mandatory(element, "aor")?,
            id: mandatory(element, "id")?,
            state: RegistrationState::parse(&state).ok_or(element.fault("state", Fault::Malformed))?,
            contacts: contacts.map(RegContact::read).collect::<Result<_, _>>()?,
        })
    }
}

impl RegContact {
    fn write(&self, writer: &mut Writer) {
        let state = if self.event.is_active() { "active" } else { "terminated" };
        let tag = writer.tag("contact").attr("id", &self.id).attr("state", state);
        let tag =
            tag.attr("event", self.event.as_str()).number("duration-registered", self.duration_registered);
        let tag = tag.number("expires", self.expires).number("retry-after", self.retry_after);
        let q = self.q.map(|q| format!("{}.{:03}", q / 1000, q % 1000));
        let tag = tag.maybe("q", q.as_deref().map(|q| q.trim_end_matches('0').trim_end_matches('.')));
        tag.maybe("callid", self.call_id.as_deref()).number("cseq", self.cseq).open();
        writer.leaf("uri", &self.uri);
        if let Some(name) = &self.display_name {
            writer.leaf("display-name", name);
        }
        for (name, value) in &self.params {
            writer.tag("unknown-param").attr("name", name).text(value);
        }
        if let Some(gruu) = &self.public_gruu {
            writer.tag("gr:pub-gruu").attr("uri", gruu).empty();
        }
        if let Some((gruu, first)) = &self.temporary_gruu {
            writer.tag("gr:temp-gruu").attr("uri", gruu).number("first-cseq", Some(*first)).empty();
        }
        writer.close();
    }

    fn read(element: &Element) -> Result<RegContact, DocumentError> {
        let event = mandatory(element, "event")?;
        let number = |name| element.attribute(name).and_then(|text| trim(text).parse().ok());
        let child = |namespace, name| element.elements().find(move |e| e.is(namespace, name));
        let uri = child(ns::REGINFO, "uri").and_then(Element::trimmed);
        let params = element.elements().filter(|e| e.is(ns::REGINFO, "unknown-param"));
        let params = params.map(|e| Ok((mandatory(e, "name")?, e.trimmed().unwrap_or_default())));
        let temporary = child(ns::GRUUINFO, "temp-gruu")
            .and_then(|e| Some((e.attribute("uri")?.into(), trim(e.attribute("first-cseq")?).parse().ok()?)));
        Ok(RegContact {
            id: mandatory(element, "id")?,
            event: ContactEvent::parse(&event).ok_or(element.fault("event", Fault::Malformed))?,
            uri: uri.ok_or(element.fault("uri", Fault::Missing))?,
            display_name: child(ns::REGINFO, "display-name").and_then(Element::trimmed),
            duration_registered: number("duration-registered"),
            expires: number("expires"),
            retry_after: number("retry-after"),
            q: element.attribute("q").and_then(|q| super::pidf::thousandths(trim(q))),
            call_id: element.attribute("callid").map(Box::from),
            cseq: number("cseq"),
            params: params.collect::<Result<_, _>>()?,
            public_gruu: child(ns::GRUUINFO, "pub-gruu").and_then(|e| e.attribute("uri")).map(Box::from),
            temporary_gruu: temporary,
        })
    }
}
