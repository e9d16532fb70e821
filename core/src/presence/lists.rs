//! Lists in one subscription (RFC 4662): what of a list a watcher has not been told yet, as one body.
//!
//! There is no subscription behind it for each member. A list that somebody watches keeps a number for each member, that
//! of its last change, and a subscription keeps two: up to which change it was told, and from which member on it was
//! told nothing yet. So a list costs the same however many watch it, and a watcher the same however long the list is.
//!
//! Each member is judged by who may watch it, as if it were watched alone. Of whom a watcher may see nothing he is shown
//! the neutral document, once, and no change. In a list made of accounts those do not stand whom the rules hide from
//! him; what a member himself decided about him does not show in who stands there.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Presence, entity};
use crate::config::{List, Settings};
use crate::ctx::Phone;
use crate::documents::Extent;
use crate::documents::pidf::Note;
use crate::documents::rlmi::{self, Instance, InstanceState, Multipart, Part, Resource, Rlmi};
use crate::events::Standing;

/// Bytes that a part and its resource take beside the document and the addresses.
const AROUND: usize = 260;

/// The changes of a list that somebody watches.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    last: u64,
    /// The number of the last change of each member that changed.
    of: BTreeMap<u32, u64>,
    /// The same by number.
    members: BTreeMap<u64, u32>,
}

/// All lists that somebody watches, by their addresses.
pub(super) type Watched = BTreeMap<Box<str>, Changes>;

/// How much of a list a subscription was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Told {
    /// Changes up to this number.
    pub(crate) changes: u64,
    /// Members before this one.
    pub(crate) members: u32,
}

/// What a NOTIFY of a list shall say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Telling<'t> {
    /// Who is told: a canonical AoR, or empty.
    pub(crate) watcher: &'t str,
    /// What he was told.
    pub(crate) told: Told,
    /// He shall be told everything.
    pub(crate) whole: bool,
    /// The number of the document.
    pub(crate) version: u32,
    /// Bytes the body should not exceed.
    pub(crate) limit: usize,
}

/// A body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ListBody {
    /// `multipart/related` with its parameters.
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
    /// What the watcher has been told with it.
    pub(crate) told: Told,
    /// More is to follow.
    pub(crate) more: bool,
}

impl Presence {
    /// A member of a list changed, and may be told.
    pub(crate) fn list_changed(&mut self, list: &List, member: usize) {
        if let Some(changes) = self.lists.get_mut(&list.aor) {
            changes.last += 1;
            let member = member as u32;
            if let Some(before) = changes.of.insert(member, changes.last) {
                changes.members.remove(&before);
            }
            changes.members.insert(changes.last, member);
        }
    }

    /// Nobody watches a list any more, or it has other members now.
    pub(crate) fn forget_list(&mut self, aor: &str) {
        self.lists.remove(aor);
    }

    /// Does a member stand in the list of a watcher?
    pub(crate) fn stands(&self, settings: &Settings, list: &List, watcher: &str, member: &str) -> bool {
        let hidden = || {
            let config = settings.presence.as_ref();
            config.is_none_or(|config| self.is_hidden(config, watcher, member))
        };
        !list.automatic || !(is_own(settings, watcher, member) || hidden())
    }

    /// What of a member a watcher may be told.
    pub(crate) fn standing_in_list(&self, settings: &Settings, watcher: &str, member: &str) -> Standing {
        match &settings.presence {
            Some(_) if is_own(settings, watcher, member) => Standing::Active,
            Some(config) => self.judge(config, watcher, member),
            None => Standing::Blocked,
        }
    }

    /// Who stands in the list of a watcher, and what he may be told of them.
    pub(crate) fn members<'l>(
        &self,
        settings: &Settings,
        list: &'l List,
        watcher: &str,
    ) -> Vec<(&'l str, Standing)> {
        let names = list.members.iter().map(|member| &**member);
        let standing = |member| (member, self.standing_in_list(settings, watcher, member));
        names.filter(|member| self.stands(settings, list, watcher, member)).map(standing).collect()
    }

    /// The next body for a watcher of a list; `None` if there is nothing that he may be told, but it is noted how far he
    /// is. `phones` is asked for the bindings of a member whose document has to be made anew.
    pub(crate) fn list_body(
        &mut self,
        settings: &Settings,
        list: &List,
        telling: &Telling<'_>,
        mut phones: impl FnMut(&str) -> Vec<Phone>,
    ) -> Result<ListBody, Told> {
        if !self.lists.contains_key(&list.aor) {
            self.lists.insert(list.aor.clone(), Changes::default());
        }
        let changes = self.lists.get(&list.aor);
        let last = changes.map_or(0, |changes| changes.last);
        let from = if telling.whole { Told { changes: last, members: 0 } } else { telling.told };
        // Of the others he is told everything anyhow.
        let known = |(_, member): &(u64, u32)| *member < from.members;
        let newer = changes.into_iter().flat_map(|changes| changes.members.range(from.changes + 1..));
        let changed: Vec<(u64, u32)> =
            newer.map(|(change, member)| (*change, *member)).filter(known).collect();
        let mut writer = Body::new(list, telling);
        let mut told = Told { changes: last, ..from };
        // Those of whom nothing was told yet, in their order.
        for (at, member) in list.members.iter().enumerate().skip(from.members as usize) {
            if self.stands(settings, list, telling.watcher, member) {
                let standing = self.standing_in_list(settings, telling.watcher, member);
                let document = self.document_in_list(standing, member, &mut phones);
                if !writer.add(member, document) {
                    break;
                }
            }
            told.members = at as u32 + 1;
        }
        // Then the changes that he sees, oldest first.
        for (change, at) in changed {
            let Some(member) = list.members.get(at as usize) else { continue };
            let sees = self.stands(settings, list, telling.watcher, member)
                && self.standing_in_list(settings, telling.watcher, member) == Standing::Active;
            if !sees {
                continue;
            }
            let document = self.document_in_list(Standing::Active, member, &mut phones);
            if !writer.add(member, document) {
                // Changes before this one are told, it is not.
                told.changes = change - 1;
                break;
            }
        }
        if telling.whole {
            for member in list.members.iter().skip(told.members as usize) {
                if self.stands(settings, list, telling.watcher, member) {
                    writer.name(member);
                }
            }
        } else if writer.is_empty() {
            return Err(told);
        }
        let more = (told.members as usize) < list.members.len() || told.changes < last;
        let Multipart { content_type, body } = writer.finish();
        Ok(ListBody { content_type, body, told, more })
    }

    /// `None` while it is not decided whether the watcher may see it.
    fn document_in_list(
        &mut self,
        standing: Standing,
        member: &str,
        phones: &mut impl FnMut(&str) -> Vec<Phone>,
    ) -> Option<Bytes> {
        match standing {
            Standing::Active => Some(self.document(member, || phones(member))),
            Standing::Blocked => Some(self.neutral(member)),
            Standing::Pending => None,
        }
    }
}

/// Is it he himself, by this address or by another of his account?
fn is_own(settings: &Settings, watcher: &str, member: &str) -> bool {
    let account = || settings.accounts.by_aor(watcher);
    watcher == member
        || account().is_some_and(|account| account.identity.aors.iter().any(|own| **own == *member))
}

/// The body as it grows.
struct Body<'l> {
    rlmi: Rlmi,
    parts: Vec<(String, Bytes)>,
    host: &'l str,
    version: u32,
    bytes: usize,
    limit: usize,
}

impl<'l> Body<'l> {
    fn new(list: &'l List, telling: &Telling<'_>) -> Body<'l> {
        let named = telling.whole && !list.name.is_empty();
        let names = if named { vec![Note::new(&list.name)] } else { Vec::new() };
        let extent = if telling.whole { Extent::Full } else { Extent::Partial };
        // The first names them all, and what is left of the room is for documents.
        let named: usize =
            if telling.whole { list.members.iter().map(|member| member.len() + 30).sum() } else { 0 };
        Body {
            rlmi: Rlmi { uri: entity(&list.aor).into(), extent, names, resources: Vec::new() },
            parts: Vec::new(),
            host: list.aor.rsplit_once('@').map_or("", |(_, host)| host),
            version: telling.version,
            bytes: 600 + named,
            limit: telling.limit,
        }
    }

    fn is_empty(&self) -> bool {
        self.rlmi.resources.is_empty()
    }

    /// A member with its document, or with none while it is pending. False if there is no room for it.
    fn add(&mut self, member: &str, document: Option<Bytes>) -> bool {
        let bytes = AROUND + 2 * member.len() + document.as_ref().map_or(0, Bytes::len);
        // A body that says nothing is of no use, and one document is always small enough.
        let first = self.parts.is_empty() && self.rlmi.extent == Extent::Partial;
        if self.bytes + bytes > self.limit && !first {
            return false;
        }
        self.bytes += bytes;
        let (state, cid) = match document {
            None => (InstanceState::Pending, None),
            Some(document) => {
                let cid = format!("{}.{}@{}", self.version, self.parts.len() + 1, self.host);
                self.parts.push((cid.clone(), document));
                (InstanceState::Active, Some(cid.into()))
            }
        };
        let instance = Instance { id: "1".into(), state, reason: None, cid };
        self.rlmi.resources.push(resource(member, vec![instance]));
        true
    }

    /// A member of whom the next body tells.
    fn name(&mut self, member: &str) {
        self.rlmi.resources.push(resource(member, Vec::new()));
    }

    fn finish(self) -> Multipart {
        let root = self.rlmi.print().body(self.version);
        let root_id = format!("{}.0@{}", self.version, self.host);
        let content_type = "application/rlmi+xml;charset=\"UTF-8\"";
        debug_assert!(content_type.starts_with(rlmi::CONTENT_TYPE));
        let mut parts = vec![Part { content_type, content_id: &root_id, body: root.as_bytes() }];
        parts.extend(self.parts.iter().map(|(content_id, document)| Part {
            content_type: super::PIDF,
            content_id,
            body: document,
        }));
        Multipart::print("next-part", &parts)
    }
}

fn resource(member: &str, instances: Vec<Instance>) -> Resource {
    Resource { uri: entity(member).into(), names: Vec::new(), instances }
}
