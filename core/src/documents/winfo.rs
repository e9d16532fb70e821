//! Who watches: `application/watcherinfo+xml` (RFC 3858) of the package `*.winfo` (RFC 3857).

use super::sequence::{Extent, version};
use super::xml::{self, Bounds, DocumentError, Element, Fault, Versioned, Writer, ns, trim};

#[cfg(test)]
mod tests;

/// The media type (RFC 3858 s8.1).
pub const CONTENT_TYPE: &str = "application/watcherinfo+xml";

/// Watchers of some resources.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watcherinfo {
    /// All watchers, or those that changed. A watcher who is gone is told once as [`Status::Terminated`].
    pub extent: Extent,
    /// One list for each resource and package.
    pub lists: Vec<WatcherList>,
}

/// Watchers of one resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatcherList {
    /// The URI that is watched.
    pub resource: Box<str>,
    /// The package it is watched for, `presence` most often.
    pub package: Box<str>,
    /// Who watches.
    pub watchers: Vec<Watcher>,
}

/// One subscription as the watched one may see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watcher {
    /// Names the subscription as long as it lives; a token (RFC 3858 s3).
    pub id: Box<str>,
    /// The authenticated identity of the watcher.
    pub uri: Box<str>,
    /// Where the subscription stands.
    pub status: Status,
    /// What brought it there.
    pub event: WatcherEvent,
    /// A name for people.
    pub display_name: Option<Box<str>>,
    /// The language of that name.
    pub lang: Option<Box<str>>,
    /// Seconds from now until it expires.
    pub expiration: Option<u64>,
    /// Seconds since it was made.
    pub duration_subscribed: Option<u64>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// By the word on the wire.
            pub fn parse(word: &str) -> Option<$name> {
                match word { $($word => Some($name::$variant),)* _ => None }
            }
        }
    };
}
pub(super) use words;

words! {
    /// Where a subscription stands (RFC 3857 s4.7.1).
    Status {
        /// It waits for a decision and may be notified of that.
        Pending = "pending",
        /// It is notified.
        Active = "active",
        /// It is over without a decision, which is still wanted.
        Waiting = "waiting",
        /// It is over.
        Terminated = "terminated",
    }
}

words! {
    /// What brought a subscription where it stands (RFC 3857 s4.7.1).
    WatcherEvent {
        /// It was made.
        Subscribe = "subscribe",
        /// The decision was yes.
        Approved = "approved",
        /// The notifier gave it up; the watcher may come again at once.
        Deactivated = "deactivated",
        /// The notifier gave it up; the watcher may come again later.
        Probation = "probation",
        /// The decision was no.
        Rejected = "rejected",
        /// It was not refreshed.
        Timeout = "timeout",
        /// No decision came in time.
        Giveup = "giveup",
        /// The resource is gone.
        Noresource = "noresource",
    }
}

impl Watcherinfo {
    /// The body, with a gap for the version of the subscription.
    pub fn print(&self) -> Versioned {
        let mut writer = Writer::document();
        let tag = writer.tag("watcherinfo").attr("xmlns", ns::WATCHERINFO).version();
        tag.attr("state", self.extent.as_str()).open();
        for list in &self.lists {
            let tag = writer.tag("watcher-list").attr("resource", &list.resource);
            tag.attr("package", &list.package).open();
            list.watchers.iter().for_each(|watcher| watcher.write(&mut writer));
            writer.close();
        }
        writer.finish_versioned()
    }

    /// Reads a body and its version.
    ///
    /// # Errors
    ///
    /// XML that [`xml::read`] refuses, another root, an attribute missing that RFC 3858 s3 makes mandatory, a word that it
    /// does not have, an id that stands twice.
    pub fn parse(document: &[u8], bounds: &Bounds) -> Result<(Watcherinfo, u32), DocumentError> {
        let root = xml::read(document, bounds)?;
        if !root.is(ns::WATCHERINFO, "watcherinfo") {
            return Err(root.fault("watcherinfo", Fault::Root));
        }
        let lists = root.elements().filter(|e| e.is(ns::WATCHERINFO, "watcher-list"));
        let lists = lists.map(WatcherList::read).collect::<Result<_, _>>()?;
        Ok((Watcherinfo { extent: Extent::of(&root)?, lists }, version(&root)?))
    }
}

impl WatcherList {
    fn read(element: &Element) -> Result<WatcherList, DocumentError> {
        let watchers = element.elements().filter(|e| e.is(ns::WATCHERINFO, "watcher"));
        let watchers = watchers.map(Watcher::read).collect::<Result<Vec<_>, _>>()?;
        let mut ids: Vec<&str> = watchers.iter().map(|w| &*w.id).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(element.fault("watcher", Fault::Repeated));
        }
        Ok(WatcherList {
            resource: mandatory(element, "resource")?,
            package: mandatory(element, "package")?,
            watchers,
        })
    }
}

impl Watcher {
    fn write(&self, writer: &mut Writer) {
        let tag = writer.tag("watcher").attr("id", &self.id).attr("status", self.status.as_str());
        let tag = tag.attr("event", self.event.as_str()).maybe("display-name", self.display_name.as_deref());
        let tag = tag.maybe("xml:lang", self.lang.as_deref()).number("expiration", self.expiration);
        tag.number("duration-subscribed", self.duration_subscribed).text(&self.uri);
    }

    fn read(element: &Element) -> Result<Watcher, DocumentError> {
        let word = |what| mandatory(element, what);
        let number = |name| element.attribute(name).and_then(|text| trim(text).parse().ok());
        Ok(Watcher {
            id: word("id")?,
            uri: element.trimmed().ok_or(element.fault("watcher", Fault::Missing))?,
            status: Status::parse(&word("status")?).ok_or(element.fault("status", Fault::Malformed))?,
            event: WatcherEvent::parse(&word("event")?).ok_or(element.fault("event", Fault::Malformed))?,
            display_name: element.attribute("display-name").map(Box::from),
            lang: element.lang().map(Box::from),
            expiration: number("expiration"),
            duration_subscribed: number("duration-subscribed"),
        })
    }
}

/// An attribute that must be there and say something.
pub(super) fn mandatory(element: &Element, what: &'static str) -> Result<Box<str>, DocumentError> {
    let value = element.attribute(what).map(trim).filter(|value| !value.is_empty());
    value.map(Box::from).ok_or(element.fault(what, Fault::Missing))
}
