//! A presence document to bytes: equal values, equal bytes.

use super::{Basic, Contact, Device, Note, Person, Pidf, Rich, Tuple, format_time};
use crate::base::Time;
use crate::documents::xml::{Fragment, Tag, Writer, ns};

impl Pidf {
    /// The document as text. PIDF is the default namespace, `dm` and `rpid` are declared where used, no white space is
    /// added: some phones look for bytes.
    pub fn print(&self) -> String {
        let mut writer = Writer::document();
        self.root(writer.tag("presence")).open();
        self.content(&mut writer);
        writer.finish()
    }

    /// The attributes of a root element for this document: `entity` and the namespaces.
    pub(crate) fn root<'w>(&self, tag: Tag<'w>) -> Tag<'w> {
        let rich = |elements: &[Rich]| elements.iter().any(|e| !matches!(e, Rich::Other(_)));
        let rpid = self.tuples.iter().any(|t| rich(&t.elements))
            || self.persons.iter().any(|p| rich(&p.elements))
            || self.devices.iter().any(|d| rich(&d.elements));
        let model = !self.persons.is_empty()
            || !self.devices.is_empty()
            || self.tuples.iter().any(|t| !t.device_ids.is_empty());
        let tag = tag.attr("xmlns", ns::PIDF);
        let tag = tag.maybe("xmlns:dm", model.then_some(ns::DATA_MODEL));
        tag.maybe("xmlns:rpid", rpid.then_some(ns::RPID)).attr("entity", &self.entity)
    }

    /// Everything within the root element.
    pub(crate) fn content(&self, writer: &mut Writer) {
        self.tuples.iter().for_each(|tuple| tuple.write(writer));
        self.notes.iter().for_each(|note| write_note("note", note, writer));
        self.persons.iter().for_each(|person| person.write(writer));
        self.devices.iter().for_each(|device| device.write(writer));
        fragments(&self.extensions, writer);
    }
}

impl Tuple {
    /// RFC 3863 s4.4: status, extensions, contact, notes, timestamp.
    fn write(&self, writer: &mut Writer) {
        writer.tag("tuple").attr("id", &self.id).open();
        writer.tag("status").open();
        match self.basic {
            Some(Basic::Open) => writer.leaf("basic", "open"),
            Some(Basic::Closed) => writer.leaf("basic", "closed"),
            None => {}
        }
        fragments(&self.status, writer);
        writer.close();
        self.elements.iter().for_each(|element| element.write(writer));
        self.device_ids.iter().for_each(|id| writer.leaf("dm:deviceID", id));
        if let Some(contact) = &self.contact {
            contact.write(writer);
        }
        self.notes.iter().for_each(|note| write_note("note", note, writer));
        timestamp("timestamp", self.timestamp, writer);
        writer.close();
    }
}

impl Contact {
    fn write(&self, writer: &mut Writer) {
        let priority = self.priority.map(|thousandths| match thousandths.min(1000) {
            1000 => "1".to_owned(),
            0 => "0".to_owned(),
            n => format!("0.{n:03}").trim_end_matches('0').to_owned(),
        });
        writer.tag("contact").maybe("priority", priority.as_deref()).text(&self.uri);
    }
}

impl Person {
    /// RFC 4479 s5: extensions, notes, timestamp.
    fn write(&self, writer: &mut Writer) {
        writer.tag("dm:person").attr("id", &self.id).open();
        self.elements.iter().for_each(|element| element.write(writer));
        self.notes.iter().for_each(|note| write_note("dm:note", note, writer));
        timestamp("dm:timestamp", self.timestamp, writer);
        writer.close();
    }
}

impl Device {
    /// RFC 4479 s5: extensions, deviceID, notes, timestamp.
    fn write(&self, writer: &mut Writer) {
        writer.tag("dm:device").attr("id", &self.id).open();
        self.elements.iter().for_each(|element| element.write(writer));
        if !self.device_id.is_empty() {
            writer.leaf("dm:deviceID", &self.device_id);
        }
        self.notes.iter().for_each(|note| write_note("dm:note", note, writer));
        timestamp("dm:timestamp", self.timestamp, writer);
        writer.close();
    }
}

pub(super) fn write_note(name: &'static str, note: &Note, writer: &mut Writer) {
    writer.tag(name).maybe("xml:lang", note.lang.as_deref()).text(&note.text);
}

pub(super) fn times(tag: Tag<'_>, from: Option<Time>, until: Option<Time>) -> Tag<'_> {
    tag.maybe("from", from.map(format_time).as_deref()).maybe("until", until.map(format_time).as_deref())
}

fn timestamp(name: &'static str, time: Option<Time>, writer: &mut Writer) {
    if let Some(time) = time {
        writer.leaf(name, &format_time(time));
    }
}

fn fragments(fragments: &[Fragment], writer: &mut Writer) {
    fragments.iter().for_each(|fragment| writer.fragment(fragment));
}
