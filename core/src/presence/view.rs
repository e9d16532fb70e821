//! What the host sees of a presentity: all in all, device by device, and what it was composed of.

use super::Presence;
use super::publish::{HOST, Publication};
use crate::base::ids;
use crate::ctx::{Ctx, Phone};
use crate::documents::compose::Origin;
use crate::documents::pidf::{Basic, Note, Pidf};
use crate::door::{PresenceDevice, PresenceOrigin, PresenceSource, PresenceView};

impl Presence {
    /// What a presentity is now, with its sources.
    pub(crate) fn view(&self, ctx: &Ctx<'_>, aor: &str, registered: &[Phone], version: u64) -> PresenceView {
        let composed = self.compose(aor, registered);
        let by_lineage = |lineage: u64| self.publications_of(aor).find(|p| p.lineage == lineage);
        let devices = composed.document.tuples.iter().zip(&composed.origins).map(|(tuple, origin)| {
            let source = match *origin {
                Origin::Publication(lineage) => {
                    by_lineage(lineage).map_or(PresenceSource::Published, source_of)
                }
                Origin::Registration(_) => PresenceSource::Registered,
                Origin::Nobody => PresenceSource::Nobody,
            };
            PresenceDevice {
                id: tuple.id.clone(),
                contact: tuple.contact.as_ref().map(|contact| contact.uri.clone()),
                open: tuple.basic.map(|basic| basic == Basic::Open),
                note: tuple.notes.first().map(|note| note.text.clone()),
                source,
            }
        });
        let published = self.publications_of(aor).map(|publication| published(ctx, publication));
        PresenceView {
            aor: aor.into(),
            state: composed.state(),
            note: composed.note().map(|note: &Note| note.text.clone()),
            devices: devices.collect(),
            sources: published.chain(registered.iter().map(registered_source)).collect(),
            version,
            document: composed.document.print(),
        }
    }
}

fn source_of(publication: &Publication) -> PresenceSource {
    if publication.source == HOST { PresenceSource::Host } else { PresenceSource::Published }
}

fn published(ctx: &Ctx<'_>, publication: &Publication) -> PresenceOrigin {
    let phone = source_of(publication) == PresenceSource::Published;
    PresenceOrigin {
        source: source_of(publication),
        lineage: publication.lineage,
        etag: phone.then(|| (*ids::write(publication.etag)).into()),
        device: device_of(&publication.document).into(),
        from: phone.then_some(publication.source),
        since: ctx.at_wall(publication.received),
        expires_at: publication.expires_at,
        hidden: publication.hidden,
    }
}

fn registered_source(phone: &Phone) -> PresenceOrigin {
    PresenceOrigin {
        source: PresenceSource::Registered,
        lineage: phone.lineage,
        etag: None,
        device: phone.instance.clone(),
        from: Some(phone.source),
        since: phone.since,
        expires_at: phone.expires_at,
        hidden: false,
    }
}

/// The first device a document names.
fn device_of(document: &Pidf) -> &str {
    let devices = document.devices.iter().map(|device| &*device.device_id);
    let tuples = document.tuples.iter().flat_map(|tuple| tuple.device_ids.iter().map(|urn| &**urn));
    devices.chain(tuples).find(|urn| !urn.is_empty()).unwrap_or_default()
}
