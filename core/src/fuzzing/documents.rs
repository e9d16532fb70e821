//! Event documents as peers may send them.

use crate::base::{Ids, Time};
use crate::documents::compose::{ByRule, Compose, Inputs, Publication, Services};
use crate::documents::diff::{self, Applied, Replica};
use crate::documents::mwi::Summary;
use crate::documents::pidf::Pidf;
use crate::documents::reginfo::Reginfo;
use crate::documents::rlmi::{Multipart, Rlmi};
use crate::documents::winfo::Watcherinfo;
use crate::documents::xml::{self, Bounds, Fragment};

/// Documents with NUL between them: what is read prints and reads the same, patching gives the new document, and what is
/// composed of them does not depend on their order.
pub fn pidf(data: &[u8]) {
    let parts: Vec<&[u8]> = data.split(|b| *b == 0).take(4).collect();
    let bounds = Bounds::default();
    let mut copy = Replica::default();
    for part in &parts {
        if let Ok(root) = xml::read(part, &bounds) {
            let once = Fragment::of(&root);
            let again = xml::read(once.as_str().as_bytes(), &Bounds::ours()).map(|root| Fragment::of(&root));
            assert_eq!(again.as_ref(), Ok(&once), "canonical text is its own canonical text");
        }
        // A watcher's copy: whole documents and diffs as they come.
        if let Ok(Applied::Full | Applied::Patched) = copy.apply(part, &bounds) {
            inverse(copy.document().expect("a document was taken"));
        }
        kin(part);
    }
    let documents: Vec<Pidf> = parts.iter().filter_map(|part| Pidf::parse(part, &bounds).ok()).collect();
    documents.iter().for_each(inverse);
    for pair in documents.windows(2) {
        if let [old, new] = pair {
            patching(old, new);
        }
    }
    composing(&documents);
}

fn inverse(document: &Pidf) {
    let printed = document.print();
    let again = Pidf::parse(printed.as_bytes(), &Bounds::ours());
    assert_eq!(again.as_ref(), Ok(document), "{printed}");
    let _ = (document.state(), document.note());
}

fn patching(old: &Pidf, new: &Pidf) {
    let Some(diff) = diff::changes(old, new) else { return };
    let mut copy = Replica::default();
    assert_eq!(copy.apply(diff::full(old).body(1).as_bytes(), &Bounds::ours()), Ok(Applied::Full));
    let body = diff.body(2);
    assert_eq!(copy.apply(body.as_bytes(), &Bounds::ours()), Ok(Applied::Patched), "{body}");
    assert_eq!(copy.document(), Some(new), "{body}");
}

fn composing(documents: &[Pidf]) {
    let ids = Ids::new(&[0; 32]);
    let mut publications: Vec<Publication<'_>> = documents
        .iter()
        .zip(1..)
        .map(|(document, lineage)| Publication {
            lineage,
            received: Time::from_secs(lineage),
            document,
            binding: None,
        })
        .collect();
    for services in [Services::Best, Services::All] {
        let compose = |publications: &[Publication<'_>]| {
            let entity = "sip:bob@example.com";
            let inputs = Inputs { entity, publications, registrations: &[], in_call: None, ids: &ids };
            ByRule { services }.compose(&inputs)
        };
        let once = compose(&publications);
        publications.reverse();
        assert_eq!(compose(&publications), once, "the order of publications does not matter");
        assert_eq!(once.document.tuples.len(), once.origins.len());
    }
}

/// The other documents: what is read prints and reads the same.
fn kin(part: &[u8]) {
    let (bounds, ours) = (Bounds::default(), Bounds::ours());
    if let Ok((winfo, version)) = Watcherinfo::parse(part, &bounds) {
        let body = winfo.print().body(version);
        assert_eq!(Watcherinfo::parse(body.as_bytes(), &ours), Ok((winfo, version)));
    }
    if let Ok((reginfo, version)) = Reginfo::parse(part, &bounds) {
        let body = reginfo.print().body(version);
        assert_eq!(Reginfo::parse(body.as_bytes(), &ours), Ok((reginfo, version)));
    }
    if let Ok((rlmi, version)) = Rlmi::parse(part, &bounds) {
        let body = rlmi.print().body(version);
        assert_eq!(Rlmi::parse(body.as_bytes(), &ours), Ok((rlmi, version)));
    }
    if let Ok(summary) = Summary::parse(part) {
        assert_eq!(Summary::parse(summary.print().as_bytes()), Ok(summary));
    }
    if let Ok(parts) = Multipart::parts("multipart/related;boundary=x", part) {
        let printed = Multipart::print("x", &parts);
        let again = Multipart::parts(&printed.content_type, &printed.body).expect("what we print we read");
        assert!(again.iter().map(|p| p.body).eq(parts.iter().map(|p| p.body)));
    }
}
