//! Who is in which call: `application/dialog-info+xml` of the package `dialog` (RFC 4235).

use super::sequence::{Extent, version};
use super::winfo::{mandatory, words};
use super::xml::{self, Bounds, DocumentError, Element, Fault, Versioned, Writer, ns, trim};

#[cfg(test)]
mod tests;

/// The media type (RFC 4235 s5.1).
pub const CONTENT_TYPE: &str = "application/dialog-info+xml";

/// Dialogs of one user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DialogInfo {
    /// All dialogs, or those that changed. A dialog that is over is told once as [`DialogState::Terminated`].
    pub extent: Extent,
    /// The URI of the user whose dialogs they are.
    pub entity: Box<str>,
    /// The dialogs.
    pub dialogs: Vec<DialogEntry>,
}

/// One dialog, or what is to become one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DialogEntry {
    /// Names it in all documents of the subscription.
    pub id: Box<str>,
    /// Its Call-ID.
    pub call_id: Option<Box<str>>,
    /// The tag of the user himself.
    pub local_tag: Option<Box<str>>,
    /// The tag of the other side.
    pub remote_tag: Option<Box<str>>,
    /// Who called whom.
    pub direction: Option<Direction>,
    /// Where it stands.
    pub state: DialogState,
    /// What ended it.
    pub event: Option<DialogEvent>,
    /// The response that ended it.
    pub code: Option<u16>,
    /// Seconds since it was begun.
    pub duration: Option<u64>,
    /// The user himself.
    pub local: Participant,
    /// The other side.
    pub remote: Participant,
}

/// One side of a dialog.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Participant {
    /// The URI it is known by.
    pub identity: Option<Box<str>>,
    /// A name for people, if there is an identity.
    pub display: Option<Box<str>>,
    /// Where it is reached.
    pub target: Option<Box<str>>,
}

words! {
    /// Where a dialog stands (RFC 4235 s3.7.1).
    #[derive(Default)]
    DialogState {
        /// An INVITE is out, and nothing came back.
        Trying = "trying",
        /// Something came back, without a tag.
        Proceeding = "proceeding",
        /// It rings.
        Early = "early",
        /// It was answered.
        Confirmed = "confirmed",
        /// It is over.
        #[default]
        Terminated = "terminated",
    }
}

words! {
    /// What ended a dialog (RFC 4235 s3.7.1).
    DialogEvent {
        /// The caller gave up.
        Cancelled = "cancelled",
        /// The INVITE was answered with an error.
        Rejected = "rejected",
        /// Another dialog took its place (RFC 3891).
        Replaced = "replaced",
        /// The user hung up.
        LocalBye = "local-bye",
        /// The other side hung up.
        RemoteBye = "remote-bye",
        /// A request within it found nothing.
        Error = "error",
        /// A request within it was not answered.
        Timeout = "timeout",
    }
}

words! {
    /// Who called whom (RFC 4235 s4.1.1).
    Direction {
        /// The user called.
        Initiator = "initiator",
        /// The user was called.
        Recipient = "recipient",
    }
}

impl DialogInfo {
    /// The body, with a gap for the version of the subscription.
    pub fn print(&self) -> Versioned {
        let mut writer = Writer::document();
        let tag = writer.tag("dialog-info").attr("xmlns", ns::DIALOG_INFO).version();
        tag.attr("state", self.extent.as_str()).attr("entity", &self.entity).open();
        self.dialogs.iter().for_each(|dialog| dialog.write(&mut writer));
        writer.finish_versioned()
    }

    /// Reads a body and its version.
    ///
    /// # Errors
    ///
    /// XML that [`xml::read`] refuses, another root, an attribute missing that RFC 4235 s4.1 makes mandatory, a word that
    /// it does not have.
    pub fn parse(document: &[u8], bounds: &Bounds) -> Result<(DialogInfo, u32), DocumentError> {
        let root = xml::read(document, bounds)?;
        if !root.is(ns::DIALOG_INFO, "dialog-info") {
            return Err(root.fault("dialog-info", Fault::Root));
        }
        let dialogs = root.elements().filter(|e| e.is(ns::DIALOG_INFO, "dialog"));
        let dialogs = dialogs.map(DialogEntry::read).collect::<Result<_, _>>()?;
        let info = DialogInfo { extent: Extent::of(&root)?, entity: mandatory(&root, "entity")?, dialogs };
        Ok((info, version(&root)?))
    }
}

impl DialogEntry {
    fn write(&self, writer: &mut Writer) {
        let tag = writer.tag("dialog").attr("id", &self.id).maybe("call-id", self.call_id.as_deref());
        let tag = tag.maybe("local-tag", self.local_tag.as_deref());
        let tag = tag.maybe("remote-tag", self.remote_tag.as_deref());
        tag.maybe("direction", self.direction.map(Direction::as_str)).open();
        let tag = writer.tag("state").maybe("event", self.event.map(DialogEvent::as_str));
        tag.number("code", self.code.map(u64::from)).text(self.state.as_str());
        if let Some(seconds) = self.duration {
            writer.leaf("duration", itoa::Buffer::new().format(seconds));
        }
        self.local.write("local", writer);
        self.remote.write("remote", writer);
        writer.close();
    }

    fn read(element: &Element) -> Result<DialogEntry, DocumentError> {
        let child = |name| element.elements().find(move |e| e.is(ns::DIALOG_INFO, name));
        let known = |what: &'static str| move |()| element.fault(what, Fault::Malformed);
        let state = child("state").ok_or(element.fault("state", Fault::Missing))?;
        let word = state.trimmed().unwrap_or_default();
        let text = |name| element.attribute(name).map(Box::from);
        let direction = element.attribute("direction").map(|word| Direction::parse(trim(word)).ok_or(()));
        Ok(DialogEntry {
            id: mandatory(element, "id")?,
            call_id: text("call-id"),
            local_tag: text("local-tag"),
            remote_tag: text("remote-tag"),
            direction: direction.transpose().map_err(known("direction"))?,
            state: DialogState::parse(&word).ok_or(()).map_err(known("state"))?,
            // What ended it is for people; a word that is not known ends it all the same.
            event: state.attribute("event").and_then(|word| DialogEvent::parse(trim(word))),
            code: state.attribute("code").and_then(|code| trim(code).parse().ok()),
            duration: child("duration").and_then(Element::trimmed).and_then(|text| text.parse().ok()),
            local: child("local").map(Participant::read).unwrap_or_default(),
            remote: child("remote").map(Participant::read).unwrap_or_default(),
        })
    }
}

impl Participant {
    fn write(&self, name: &'static str, writer: &mut Writer) {
        if self.identity.is_none() && self.target.is_none() {
            return;
        }
        writer.tag(name).open();
        if let Some(identity) = &self.identity {
            // RFC 4235 s4.1.6.1 and its examples say `display`, its schema `display-name`; phones read the former.
            writer.tag("identity").maybe("display", self.display.as_deref()).text(identity);
        }
        if let Some(target) = &self.target {
            writer.tag("target").attr("uri", target).empty();
        }
        writer.close();
    }

    fn read(element: &Element) -> Participant {
        let child = |name| element.elements().find(move |e| e.is(ns::DIALOG_INFO, name));
        let identity = child("identity");
        let display = identity.and_then(|e| e.attribute("display").or_else(|| e.attribute("display-name")));
        let identity = identity.and_then(Element::trimmed);
        Participant {
            display: display.map(Box::from).filter(|_| identity.is_some()),
            identity,
            target: child("target").and_then(|e| e.attribute("uri")).map(Box::from),
        }
    }
}
