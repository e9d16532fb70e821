//! Five states that people know, and how PIDF and RPID say them.
//!
//! | state | tuples | activities of the person |
//! |---|---|---|
//! | Available | open | none |
//! | Busy | open | `busy` |
//! | DoNotDisturb | open | `busy`, `<other>` with the text `do not disturb` |
//! | Away | open | `away` |
//! | Offline | closed | none |
//!
//! Busy is not closed (RFC 4480 s3.2: the person can still be reached). RPID has no word for do-not-disturb; a watcher
//! that knows RPID only sees busy. Back: all tuples closed, or none there, is Offline whatever the person does; then
//! the strongest of the activities speaks; an idle `user-input` is Away.

use super::{Basic, Input, ListKind, Listed, Note, Person, Pidf, Rich, Value};
use crate::documents::xml::NcName;

/// What a person is, in one word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PresenceState {
    /// Reachable and willing.
    Available,
    /// Reachable and occupied.
    Busy,
    /// Reachable by force only.
    DoNotDisturb,
    /// Reachable, but not there.
    Away,
    /// Not reachable.
    Offline,
}

/// Occupied: may answer, would rather not.
const BUSY: [&str; 9] = [
    "busy",
    "on-the-phone",
    "meeting",
    "appointment",
    "presentation",
    "performance",
    "steering",
    "worship",
    "in-a-call",
];

/// Not at the phone.
const AWAY: [&str; 15] = [
    "away",
    "breakfast",
    "dinner",
    "holiday",
    "in-transit",
    "meal",
    "permanent-absence",
    "playing",
    "shopping",
    "sleeping",
    "spectator",
    "travel",
    "tv",
    "vacation",
    "be-right-back",
];

/// How vendors spell it, as words of their own and as texts of `<other>`.
const DO_NOT_DISTURB: [&str; 4] = ["do-not-disturb", "donotdisturb", "dnd", "do not disturb"];

impl PresenceState {
    /// All of them.
    pub const ALL: [PresenceState; 5] = [
        PresenceState::Available,
        PresenceState::Busy,
        PresenceState::DoNotDisturb,
        PresenceState::Away,
        PresenceState::Offline,
    ];

    /// What the tuples of somebody in this state say.
    pub const fn basic(self) -> Basic {
        match self {
            PresenceState::Offline => Basic::Closed,
            _ => Basic::Open,
        }
    }

    /// The activities of somebody in this state.
    pub fn activities(self) -> Listed {
        const BUSY: NcName = NcName::known("busy");
        const AWAY: NcName = NcName::known("away");
        match self {
            PresenceState::Available | PresenceState::Offline => Listed::default(),
            PresenceState::Busy => Listed::of([BUSY]),
            PresenceState::Away => Listed::of([AWAY]),
            PresenceState::DoNotDisturb => {
                let mut listed = Listed::of([BUSY]);
                listed.values.push(Value::Other(Note::new("do not disturb")));
                listed
            }
        }
    }

    /// What a list of activities means, of somebody who can be reached.
    pub fn of_activities(listed: &Listed) -> PresenceState {
        let among = |words: &[&str], word: &str| words.iter().any(|w| word.eq_ignore_ascii_case(w));
        let others = listed.values.iter().filter_map(|value| match value {
            Value::Other(note) => Some(note.text.trim()),
            _ => None,
        });
        if listed.words().chain(others).any(|word| among(&DO_NOT_DISTURB, word)) {
            PresenceState::DoNotDisturb
        } else if listed.words().any(|word| among(&BUSY, word)) {
            PresenceState::Busy
        } else if listed.words().any(|word| among(&AWAY, word)) {
            PresenceState::Away
        } else {
            PresenceState::Available
        }
    }
}

impl Person {
    /// What this person is, of somebody who can be reached.
    pub fn state(&self) -> PresenceState {
        let mut states = self.elements.iter().filter_map(|element| match element {
            Rich::Listed(ListKind::Activities, listed) => Some(PresenceState::of_activities(listed)),
            _ => None,
        });
        // Several lists have time ranges that should not overlap; without a clock the strongest speaks.
        let strongest = |a: PresenceState, b: PresenceState| if rank(b) > rank(a) { b } else { a };
        let first = states.next().unwrap_or(PresenceState::Available);
        match states.fold(first, strongest) {
            PresenceState::Available if idle(&self.elements) => PresenceState::Away,
            state => state,
        }
    }
}

impl Pidf {
    /// The document of somebody in this state: one tuple, one person, the note for both kinds of readers.
    pub fn of_state(entity: &str, contact: Option<super::Contact>, state: PresenceState, note: &str) -> Pidf {
        let notes: Vec<Note> = if note.is_empty() { Vec::new() } else { vec![Note::new(note)] };
        let mut pidf = Pidf::new(entity);
        pidf.notes.clone_from(&notes);
        pidf.tuples.push(super::Tuple {
            id: "t1".into(),
            basic: Some(state.basic()),
            contact,
            ..super::Tuple::default()
        });
        pidf.persons.push(Person {
            id: "p1".into(),
            elements: vec![Rich::Listed(ListKind::Activities, state.activities())],
            notes,
            timestamp: None,
        });
        pidf
    }

    /// What the presentity is, all in all.
    pub fn state(&self) -> PresenceState {
        if self.tuples.iter().all(|tuple| tuple.basic == Some(Basic::Closed)) {
            return PresenceState::Offline;
        }
        let states = self.persons.iter().map(Person::state);
        let state = states.max_by_key(|&state| rank(state)).unwrap_or(PresenceState::Available);
        // X-Lite says it at the tuple: nobody at any of the phones that are reachable.
        let mut open = self.tuples.iter().filter(|tuple| tuple.basic != Some(Basic::Closed));
        if state == PresenceState::Available && open.all(|tuple| idle(&tuple.elements)) {
            return PresenceState::Away;
        }
        state
    }

    /// What the presentity says about it: the note of a person, else of the presentity, else of a tuple.
    pub fn note(&self) -> Option<&Note> {
        let persons = self.persons.iter().flat_map(|person| &person.notes);
        let tuples = self.tuples.iter().flat_map(|tuple| &tuple.notes);
        persons.chain(&self.notes).chain(tuples).find(|note| !note.text.trim().is_empty())
    }
}

fn rank(state: PresenceState) -> u8 {
    match state {
        PresenceState::Available => 0,
        PresenceState::Away => 1,
        PresenceState::Busy => 2,
        PresenceState::DoNotDisturb => 3,
        PresenceState::Offline => 4,
    }
}

fn idle(elements: &[Rich]) -> bool {
    elements.iter().any(|e| matches!(e, Rich::UserInput(user) if user.input == Input::Idle))
}
