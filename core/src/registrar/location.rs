//! The location store: addresses of record and their bindings, found by AoR, by Contact URI, by flow and by what was
//! asked for.
//!
//! Invariants: a record has at least one binding; each binding stands in its record, in the group of its contact and,
//! if it came over a stream that is up, in the group of its flow, and by what it was granted on, if that is known; empty, the store holds no memory but a small floor.

use smallvec::SmallVec;

use super::binding::{Binding, BindingKey, Draft, Flags};
use super::groups::Groups;
use super::names::Names;
use crate::base::{HashKey, Index, Key, Slab, Time, TimerKey};
use crate::door::FlowId;
use crate::wire::Uri;

/// Names an address of record while it has bindings.
pub(crate) type RecordKey = Key<Record>;

/// An address of record with bindings.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Canonical: `user@domain`.
    pub(super) name: Box<str>,
    /// The half of its hash that the index does not know: whoever has both has the name.
    check: u64,
    /// In the order they were made.
    pub(super) bindings: SmallVec<[BindingKey; 2]>,
    /// The last epoch of temporary GRUUs given to an instance.
    pub(super) epochs: u32,
    /// The last temporary GRUU minted.
    pub(super) gruus: u32,
}

/// All bindings.
#[derive(Clone, Debug)]
pub(super) struct Location {
    hash: HashKey,
    records: Slab<Record>,
    bindings: Slab<Binding>,
    by_aor: Index<RecordKey>,
    by_contact: Groups<()>,
    /// By the hash of what was asked for (`unchanged`), where there is one.
    by_asked: Index<BindingKey>,
    /// Stream flows only, each with its timer for silence.
    by_flow: Groups<TimerKey>,
    names: Names,
    last_id: u64,
}

impl Location {
    pub(super) fn new(hash: HashKey) -> Location {
        Location {
            hash,
            records: Slab::new(),
            bindings: Slab::new(),
            by_aor: Index::new(),
            by_contact: Groups::new(),
            by_asked: Index::new(),
            by_flow: Groups::new(),
            names: Names::default(),
            last_id: 0,
        }
    }

    // Getters.

    pub(super) fn find(&self, aor: &[u8]) -> Option<RecordKey> {
        let (hash, check) = self.name_hash(aor);
        self.by_aor.find(hash, |key| self.records.get(key).is_some_and(|record| record.check == check))
    }

    /// 128 bits under a secret key are taken for the name: to compare it would be one more look at memory far away.
    fn name_hash(&self, aor: &[u8]) -> (u64, u64) {
        let wide = self.hash.hash_wide(aor);
        ((wide >> 64) as u64, wide as u64)
    }

    /// True while the record has bindings.
    pub(super) fn has(&self, record: RecordKey) -> bool {
        self.records.contains(record)
    }

    pub(super) fn record_mut(&mut self, key: RecordKey) -> Option<&mut Record> {
        self.records.get_mut(key)
    }

    pub(super) fn get(&self, key: BindingKey) -> Option<&Binding> {
        self.bindings.get(key)
    }

    /// The binding of that number. Only a restore looks for it so.
    pub(super) fn numbered(&self, id: u64) -> Option<BindingKey> {
        self.bindings.iter().find(|(_, binding)| binding.id == id).map(|(key, _)| key)
    }

    /// For fields no index depends on.
    pub(super) fn get_mut(&mut self, key: BindingKey) -> Option<&mut Binding> {
        self.bindings.get_mut(key)
    }

    /// The binding that was granted on this.
    pub(super) fn asked(&self, asked: u64) -> Option<BindingKey> {
        self.by_asked.find(asked, |key| self.bindings.get(key).is_some_and(|binding| binding.asked == asked))
    }

    /// The AoR of a binding.
    pub(super) fn name(&self, binding: &Binding) -> &str {
        self.records.get(binding.record).map_or("", |record| &record.name)
    }

    /// The bindings of a record in the order they were made, those past their end among them.
    pub(super) fn of(&self, record: RecordKey) -> impl Iterator<Item = (BindingKey, &Binding)> + Clone {
        let keys = self.records.get(record).map_or(&[][..], |record| &record.bindings);
        keys.iter().filter_map(|key| Some((*key, self.bindings.get(*key)?)))
    }

    /// The binding of a record that has one and no more.
    pub(super) fn only(&self, record: RecordKey) -> Option<(BindingKey, &Binding)> {
        match self.records.get(record)?.bindings.as_slice() {
            &[key] => Some((key, self.bindings.get(key)?)),
            _ => None,
        }
    }

    /// The bindings of a record that may not be.
    pub(super) fn of_any(
        &self,
        record: Option<RecordKey>,
    ) -> impl Iterator<Item = (BindingKey, &Binding)> + Clone {
        self.of(record.unwrap_or(RecordKey::from_bits(0)))
    }

    /// Bindings whose contact has this hash (`Uri::hash_equivalent` under [`hash`](Self::hash)).
    pub(super) fn with_contact(&self, hash: u64) -> impl Iterator<Item = (BindingKey, &Binding)> {
        self.by_contact.members(hash).iter().filter_map(|key| Some((*key, self.bindings.get(*key)?)))
    }

    /// Bindings made over a stream that is up.
    pub(super) fn on_flow(&self, flow: FlowId) -> &[BindingKey] {
        self.by_flow.members(flow.0)
    }

    /// The timer for silence of a stream that holds bindings.
    pub(super) fn silence_mut(&mut self, flow: FlowId) -> Option<&mut TimerKey> {
        self.by_flow.extra_mut(flow.0)
    }

    /// All bindings, in an order that is the same in every run.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = (BindingKey, &Binding)> {
        self.bindings.iter()
    }

    /// Records in the order of their names, behind a name.
    pub(super) fn after(&self, name: Option<&str>) -> impl Iterator<Item = RecordKey> {
        self.names.after(name, |key| self.records.get(key).map_or("", |record| &record.name))
    }

    pub(super) fn hash(&self) -> &HashKey {
        &self.hash
    }

    /// How many AoRs have bindings.
    pub(super) fn aors(&self) -> usize {
        self.records.len()
    }

    /// How many bindings there are.
    pub(super) fn len(&self) -> usize {
        self.bindings.len()
    }

    // Mutators.

    /// Adds a binding to the record of an AoR, which is made if there is none. `contact` is what was written into the
    /// text; `id` is that of a restored binding, which keeps it.
    pub(super) fn add(
        &mut self,
        (aor, record): (&str, Option<RecordKey>),
        (text, contact): (Draft, &Uri<'_>),
        id: Option<u64>,
        now: Time,
    ) -> BindingKey {
        let record = record.unwrap_or_else(|| self.add_record(aor));
        let id = id.unwrap_or(self.last_id + 1);
        self.last_id = self.last_id.max(id);
        let key = self.bindings.insert(Binding::new(text, record, id, now));
        self.attach(key, contact.hash_equivalent(&self.hash));
        key
    }

    /// Puts back a binding that was taken out.
    pub(super) fn put_back(&mut self, aor: &str, mut binding: Binding) -> BindingKey {
        binding.record = self.find(aor.as_bytes()).unwrap_or_else(|| self.add_record(aor));
        let contact = binding.contact_uri().hash_equivalent(&self.hash);
        let key = self.bindings.insert(binding);
        self.attach(key, contact);
        key
    }

    /// Enters a binding into its record and the group of its contact. Its flow is entered by [`move_to`](Self::move_to).
    fn attach(&mut self, key: BindingKey, contact: u64) {
        let Some(binding) = self.bindings.get(key) else { return };
        if let Some(record) = self.records.get_mut(binding.record) {
            record.bindings.push(key);
        }
        self.by_contact.insert(contact, key);
        if binding.asked != 0 {
            self.by_asked.insert(binding.asked, key);
        }
        let flow = (binding.transport.is_reliable()).then(|| binding.own_flow()).flatten();
        if let Some(flow) = flow {
            self.by_flow.insert(flow.0, key);
        }
    }

    fn add_record(&mut self, aor: &str) -> RecordKey {
        let (hash, check) = self.name_hash(aor.as_bytes());
        let record = Record { name: aor.into(), check, bindings: SmallVec::new(), epochs: 0, gruus: 0 };
        let key = self.records.insert(record);
        self.by_aor.insert(hash, key);
        let records = &self.records;
        self.names.insert(key, aor, |key| records.get(key).map_or("", |record| &record.name));
        key
    }

    /// Numbers the next temporary GRUU of a binding.
    pub(super) fn mint(&mut self, key: BindingKey) {
        let Some(binding) = self.bindings.get_mut(key) else { return };
        let Some(record) = self.records.get_mut(binding.record) else { return };
        record.gruus += 1;
        binding.gruu = record.gruus;
    }

    /// Keeps what a binding was granted on; 0 for what must be read each time.
    pub(super) fn set_asked(&mut self, key: BindingKey, asked: u64) {
        let Some(binding) = self.bindings.get_mut(key) else { return };
        let before = core::mem::replace(&mut binding.asked, asked);
        if before == asked {
            return;
        }
        if before != 0 {
            self.by_asked.remove(before, |k| k == key);
        }
        if asked != 0 {
            self.by_asked.insert(asked, key);
        }
    }

    /// Writes new text into a binding.
    pub(super) fn rewrite(&mut self, key: BindingKey, text: Draft, contact: &[u8]) {
        let Some(binding) = self.bindings.get_mut(key) else { return };
        if binding.contact() == contact {
            binding.rewrite(text);
            return;
        }
        let before = binding.contact_uri().hash_equivalent(&self.hash);
        binding.rewrite(text);
        let after = binding.contact_uri().hash_equivalent(&self.hash);
        if before != after {
            self.by_contact.remove(before, key);
            self.by_contact.insert(after, key);
        }
    }

    /// Sets how a binding is reached: its flow, the transport and the flags. Returns the timer for silence of a flow that
    /// thereby lost its last binding, to be disarmed.
    pub(super) fn move_to(
        &mut self,
        key: BindingKey,
        flow: FlowId,
        transport: crate::door::Transport,
        flags: Flags,
    ) -> TimerKey {
        let Some(binding) = self.bindings.get_mut(key) else { return TimerKey::NONE };
        if (binding.flow, binding.transport, binding.flags) == (flow, transport, flags) {
            return TimerKey::NONE;
        }
        let grouped = |b: &Binding| if b.transport.is_reliable() { b.own_flow() } else { None };
        let before = grouped(binding);
        (binding.flow, binding.transport, binding.flags) = (flow, transport, flags);
        let after = grouped(binding);
        if before == after {
            return TimerKey::NONE;
        }
        if let Some(flow) = after {
            self.by_flow.insert(flow.0, key);
        }
        before.and_then(|flow| self.by_flow.remove(flow.0, key)).unwrap_or_default()
    }

    /// Takes a binding out, and its record if it was the last one. Also returns the name of the AoR and the timer for
    /// silence of a flow that thereby lost its last binding, to be disarmed.
    pub(super) fn take(&mut self, key: BindingKey) -> Option<Taken> {
        let binding = self.bindings.remove(key)?;
        let contact = binding.contact_uri().hash_equivalent(&self.hash);
        self.by_contact.remove(contact, key);
        if binding.asked != 0 {
            self.by_asked.remove(binding.asked, |k| k == key);
        }
        let flow = if binding.transport.is_reliable() { binding.own_flow() } else { None };
        let silence = flow.and_then(|flow| self.by_flow.remove(flow.0, key)).unwrap_or_default();
        let record = self.records.get_mut(binding.record).expect("invariant: a binding has a record");
        record.bindings.retain(|k| *k != key);
        if !record.bindings.is_empty() {
            if record.bindings.spilled() && record.bindings.len() <= 2 {
                record.bindings.shrink_to_fit();
            }
            return Some(Taken { aor: record.name.clone(), binding, silence });
        }
        let name = core::mem::take(&mut record.name);
        let (hash, _) = self.name_hash(name.as_bytes());
        self.by_aor.remove(hash, |k| k == binding.record);
        let records = &self.records;
        let name_of = |key: RecordKey| match records.get(key) {
            Some(_) if key == binding.record => &*name,
            Some(record) => &*record.name,
            None => "",
        };
        self.names.remove(binding.record, &name, name_of);
        self.records.remove(binding.record);
        Some(Taken { aor: name, binding, silence })
    }

    /// True without any binding.
    pub(super) fn is_empty(&self) -> bool {
        self.bindings.is_empty()
    }

    /// True if every table is empty.
    #[cfg(test)]
    pub(super) fn holds_nothing(&self) -> bool {
        self.records.is_empty()
            && self.bindings.is_empty()
            && self.by_aor.is_empty()
            && self.by_contact.is_empty()
            && self.by_asked.is_empty()
            && self.by_flow.is_empty()
            && self.names.is_empty()
    }

    /// Panics unless every index agrees with the bindings.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut listed = 0;
        for (key, record) in self.records.iter() {
            assert!(!record.bindings.is_empty(), "{} has no binding", record.name);
            assert_eq!(self.find(record.name.as_bytes()), Some(key));
            listed += record.bindings.len();
            assert!(record.bindings.iter().all(|b| self.bindings.get(*b).is_some_and(|b| b.record == key)));
        }
        assert_eq!(listed, self.bindings.len());
        let mut grouped = 0;
        for (key, binding) in self.bindings.iter() {
            let asked = self.by_asked.find(binding.asked, |k| k == key);
            assert_eq!(asked, (binding.asked != 0).then_some(key));
            let hash = binding.contact_uri().hash_equivalent(&self.hash);
            assert_eq!(self.with_contact(hash).filter(|(k, _)| *k == key).count(), 1);
            if let Some(flow) = binding.own_flow().filter(|_| binding.transport.is_reliable()) {
                assert_eq!(self.on_flow(flow).iter().filter(|k| **k == key).count(), 1);
                grouped += 1;
            }
        }
        assert!(grouped <= self.bindings.len());
        let names: Vec<&str> = self.after(None).filter_map(|k| Some(&*self.records.get(k)?.name)).collect();
        assert!(names.is_sorted() && names.len() == self.records.len());
    }
}

/// A binding that was taken out of the store.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) aor: Box<str>,
    pub(super) binding: Binding,
    /// To be disarmed.
    pub(super) silence: TimerKey,
}
