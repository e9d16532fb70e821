//! Who is in which call: the state behind the package `dialog` (RFC 4235), and behind on-the-phone (DECISIONS 29).
//!
//! The bridge says where each side of a call stands. A side is kept while its call lives; of those that are over a few
//! are remembered while somebody watches, so that each watcher hears once what ended them.
//!
//! | a watcher | is told |
//! |---|---|
//! | the user himself | all his dialogs, then those that changed: who with, which way, by which Call-ID and tags |
//! | somebody whom he allows | whether he is in a call, as one virtual dialog without any names (RFC 4235 s3.7.2) |
//! | anybody else | what is told of somebody who never calls |

use std::collections::{BTreeMap, VecDeque};

use crate::base::Time;
use crate::config::Limits;
use crate::ctx::{CallPhase, CallState};
use crate::documents::Extent;
use crate::documents::dialog_info::{DialogEntry, DialogInfo, DialogState, Direction, Participant};

/// Dialogs that are over and remembered, of one user.
const ENDED: usize = 16;
/// Dialogs in one document at most: the newest.
const SHOWN: usize = 32;

/// One side of a call, and what watchers need to know beside.
#[derive(Clone, Debug)]
struct Seen {
    call: CallState,
    /// When it was begun.
    begun: Time,
    /// The change that made it what it is.
    change: u64,
}

/// The calls of one user.
#[derive(Clone, Debug, Default)]
struct Line {
    /// By their numbers.
    live: Vec<Seen>,
    /// The last that ended, oldest first.
    ended: VecDeque<Seen>,
    /// The last change that cannot be told any more by itself.
    lost: u64,
}

/// The calls of all users.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    users: BTreeMap<Box<str>, Line>,
    /// Sides of calls that live.
    live: usize,
    /// The last change of anybody.
    change: u64,
}

/// What a change means beyond the dialogs themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Phoned {
    /// Since when the user is on the phone.
    pub(crate) since: Option<Time>,
    /// That changed.
    pub(crate) changed: bool,
}

impl Lines {
    /// How many sides of calls live.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// One side of a call stands elsewhere. `watched`: somebody will ask what ended it.
    pub(crate) fn on_call(&mut self, limits: &Limits, now: Time, call: CallState, watched: bool) -> Phoned {
        let names = call.names.clone();
        let aor = names.aor();
        let over = matches!(call.state, CallPhase::Terminated { .. });
        let full = self.live >= limits.calls.saturating_mul(limits.legs_per_call);
        let line = match self.users.get_mut(aor) {
            Some(line) => line,
            None if over || full => return Phoned { since: None, changed: false },
            None => self.users.entry(aor.into()).or_default(),
        };
        let before = line.on_phone_since();
        let place = line.live.binary_search_by_key(&call.id, |seen| seen.call.id);
        if place.is_err() && (over || full) {
            return Phoned { since: before, changed: false };
        }
        self.change += 1;
        let change = self.change;
        match place {
            Ok(at) if over => {
                let begun = line.live.remove(at).begun;
                self.live -= 1;
                if watched {
                    line.end(Seen { call, begun, change });
                }
            }
            Ok(at) => {
                if let Some(seen) = line.live.get_mut(at) {
                    (seen.call, seen.change) = (call, change);
                }
            }
            Err(at) => {
                // Most are in one call at most.
                if line.live.is_empty() {
                    line.live.reserve_exact(1);
                }
                line.live.insert(at, Seen { call, begun: now, change });
                self.live += 1;
            }
        }
        let since = line.on_phone_since();
        if !watched {
            (line.ended, line.lost) = (VecDeque::new(), change);
            if line.live.is_empty() {
                self.users.remove(aor);
            }
        }
        Phoned { since, changed: since != before }
    }

    /// Who is on the phone, and since when.
    pub(crate) fn on_phone(&self) -> impl Iterator<Item = (&str, Time)> {
        self.users.iter().filter_map(|(aor, line)| Some((&**aor, line.on_phone_since()?)))
    }

    /// Nobody watches a user any more: what is over is forgotten.
    pub(crate) fn forget(&mut self, aor: &str) {
        let Some(line) = self.users.get_mut(aor) else { return };
        (line.ended, line.lost) = (VecDeque::new(), self.change);
        if line.live.is_empty() {
            self.users.remove(aor);
        }
    }

    /// What the user himself is told who knows all up to the change `told`, or everything if that is `None`: the
    /// document, and the change he knows then. `None` if there is nothing new.
    pub(crate) fn document(
        &self,
        aor: &str,
        now: Time,
        told: Option<u64>,
        version: u32,
    ) -> Option<(String, u64)> {
        let none = Line::default();
        let line = self.users.get(aor).unwrap_or(&none);
        // What is lost has to be told by what is left.
        let told = told.filter(|told| *told >= line.lost);
        let mut shown: Vec<&Seen> = match told {
            Some(told) => line.live.iter().chain(&line.ended).filter(|seen| seen.change > told).collect(),
            None => line.live.iter().collect(),
        };
        if told.is_some() && shown.is_empty() {
            return None;
        }
        let mut extent = if told.is_some() { Extent::Partial } else { Extent::Full };
        if shown.len() > SHOWN {
            (shown, extent) = (line.live.iter().collect(), Extent::Full);
        }
        shown.sort_by_key(|seen| seen.change);
        let newest = shown.get(shown.len().saturating_sub(SHOWN)..).unwrap_or_default();
        let dialogs = newest.iter().map(|seen| seen.entry(now)).collect();
        let info = DialogInfo { extent, entity: format!("sip:{aor}").into(), dialogs };
        Some((info.print().body(version), self.change))
    }

    /// What somebody is told who may know whether the user is in a call, and nothing else, unless it is what he was `told`:
    /// the document, and what it told.
    pub(crate) fn outline(
        &self,
        aor: &str,
        blocked: bool,
        told: Option<u64>,
        version: u32,
    ) -> Option<(String, u64)> {
        let line = self.users.get(aor).filter(|_| !blocked);
        let state = line.map_or(DialogState::Terminated, Line::outline);
        let code = 1 + state as u64;
        if told == Some(code) {
            return None;
        }
        let dialogs = vec![DialogEntry { id: "line".into(), state, ..DialogEntry::default() }];
        let info = DialogInfo { extent: Extent::Full, entity: format!("sip:{aor}").into(), dialogs };
        Some((info.print().body(version), code))
    }
}

impl Line {
    /// Since when there has been an answered call.
    fn on_phone_since(&self) -> Option<Time> {
        let answered = self.live.iter().filter(|seen| seen.call.state == CallPhase::Confirmed);
        answered.map(|seen| seen.call.since).min()
    }

    /// A side is over.
    fn end(&mut self, seen: Seen) {
        self.ended.push_back(seen);
        if self.ended.len() > ENDED
            && let Some(oldest) = self.ended.pop_front()
        {
            self.lost = oldest.change;
        }
    }

    /// RFC 4235 s3.7.2: all dialogs as one. Who calls is busy; only who is called rings.
    fn outline(&self) -> DialogState {
        let states = self.live.iter().map(|seen| match seen.call.state {
            _ if seen.call.initiator => DialogState::Confirmed,
            CallPhase::Trying => DialogState::Trying,
            CallPhase::Proceeding => DialogState::Proceeding,
            CallPhase::Early => DialogState::Early,
            CallPhase::Confirmed => DialogState::Confirmed,
            CallPhase::Terminated { .. } => DialogState::Terminated,
        });
        states.filter(|state| *state != DialogState::Terminated).max().unwrap_or(DialogState::Terminated)
    }
}

impl Seen {
    fn entry(&self, now: Time) -> DialogEntry {
        let CallState { id, names, initiator, .. } = &self.call;
        let some = |text: &str| (!text.is_empty()).then(|| text.into());
        let (state, event, code) = match self.call.state {
            CallPhase::Trying => (DialogState::Trying, None, None),
            CallPhase::Proceeding => (DialogState::Proceeding, None, None),
            CallPhase::Early => (DialogState::Early, None, None),
            CallPhase::Confirmed => (DialogState::Confirmed, None, None),
            CallPhase::Terminated { code, event } => (DialogState::Terminated, Some(event), code),
        };
        let local = format!("sip:{}", names.aor());
        DialogEntry {
            id: format!("d{id:x}").into(),
            call_id: some(names.call_id()),
            local_tag: some(names.local_tag()),
            remote_tag: some(names.remote_tag()),
            direction: Some(if *initiator { Direction::Initiator } else { Direction::Recipient }),
            state,
            event,
            code,
            duration: Some(now.since(self.begun).as_secs()),
            local: Participant { identity: some(&local), display: None, target: some(&local) },
            remote: Participant {
                identity: some(names.remote()),
                display: some(names.remote_display()),
                target: some(names.remote()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ctx::CallNames;
    use crate::documents::dialog_info::DialogEvent;
    use crate::documents::fixture::lines;

    const START: Time = Time::from_secs(1_000);
    const OVER: CallPhase = CallPhase::Terminated { code: Some(486), event: DialogEvent::Rejected };

    fn call(id: u64, initiator: bool, state: CallPhase, since: u64) -> CallState {
        CallState {
            id,
            names: Arc::new(CallNames::new(
                b"bob@example.com",
                [b"sip:alice@example.com", b"Alice"],
                format!("c{id}").as_bytes(),
                [b"l", b"r"],
            )),
            initiator,
            state,
            since: Time::from_secs(since),
        }
    }

    fn say(room: &mut Lines, call: CallState, watched: bool) -> Phoned {
        room.on_call(&Limits::default(), START, call, watched)
    }

    fn outline(room: &Lines) -> String {
        let (body, _) = room.outline("bob@example.com", false, None, 0).expect("always");
        body.split_once("<state>").and_then(|(_, rest)| rest.split_once('<')).expect("a state").0.to_owned()
    }

    #[test]
    fn on_the_phone_is_since_the_oldest_answered_call() {
        let mut room = Lines::default();
        let at = |since: Option<u64>, changed| Phoned { since: since.map(Time::from_secs), changed };
        assert_eq!(say(&mut room, call(1, true, CallPhase::Early, 10), false), at(None, false));
        assert_eq!(say(&mut room, call(1, true, CallPhase::Confirmed, 20), false), at(Some(20), true));
        assert_eq!(say(&mut room, call(2, false, CallPhase::Confirmed, 30), false), at(Some(20), false));
        assert_eq!(say(&mut room, call(1, true, OVER, 40), false), at(Some(30), true));
        assert_eq!(say(&mut room, call(1, true, OVER, 40), false), at(Some(30), false));
        assert_eq!(say(&mut room, call(2, false, OVER, 50), false), at(None, true));
        assert_eq!((room.len(), room.users.len()), (0, 0));
    }

    #[test]
    fn others_see_one_dialog_that_says_whether_he_talks_or_rings() {
        let mut room = Lines::default();
        assert_eq!(outline(&room), "terminated");
        for (call, expected) in [
            (call(1, false, CallPhase::Trying, 1), "trying"),
            (call(1, false, CallPhase::Proceeding, 1), "proceeding"),
            (call(1, false, CallPhase::Early, 1), "early"),
            (call(2, true, CallPhase::Trying, 1), "confirmed"),
            (call(2, true, OVER, 1), "early"),
            (call(1, false, CallPhase::Confirmed, 1), "confirmed"),
            (call(1, false, OVER, 1), "terminated"),
        ] {
            say(&mut room, call, false);
            assert_eq!(outline(&room), expected);
        }
        say(&mut room, call(3, false, CallPhase::Confirmed, 1), false);
        let (body, told) = room.outline("bob@example.com", true, None, 0).expect("told nothing yet");
        assert!(body.contains("<state>terminated</state>"), "{body}");
        assert_eq!(room.outline("bob@example.com", true, Some(told), 1), None);
        assert!(room.outline("bob@example.com", false, Some(told), 1).is_some());
    }

    #[test]
    fn the_user_is_told_everything_and_then_what_changed() {
        let mut room = Lines::default();
        let mut told = String::new();
        let mut known = None;
        let mut version = 0;
        for calls in [
            vec![],
            vec![call(1, false, CallPhase::Early, 1_000)],
            vec![call(1, false, CallPhase::Confirmed, 1_005), call(2, true, CallPhase::Trying, 1_005)],
            vec![call(2, true, OVER, 1_006)],
        ] {
            calls.into_iter().for_each(|call| {
                say(&mut room, call, true);
            });
            let now = Time::from_secs(1_010);
            let (body, change) = room.document("bob@example.com", now, known, version).expect("news");
            told += &format!("{}\n\n", lines(&body));
            (known, version) = (Some(change), version + 1);
            assert_eq!(room.document("bob@example.com", now, known, version), None);
        }
        insta::assert_snapshot!(told);
        room.forget("bob@example.com");
        say(&mut room, call(1, false, OVER, 1_011), false);
        assert_eq!((room.len(), room.users.len()), (0, 0));
    }

    #[test]
    fn what_cannot_be_told_by_itself_is_told_in_full() {
        let mut room = Lines::default();
        say(&mut room, call(0, false, CallPhase::Confirmed, 1), true);
        let (_, known) = room.document("bob@example.com", START, None, 0).expect("everything");
        for id in 1..=(ENDED as u64 + 1) {
            say(&mut room, call(id, false, CallPhase::Early, 1), true);
            say(&mut room, call(id, false, OVER, 1), true);
        }
        let (body, _) = room.document("bob@example.com", START, Some(known), 1).expect("news");
        assert!(body.contains("state=\"full\"") && body.matches("<dialog ").count() == 1, "{body}");
        for id in 100..200 {
            say(&mut room, call(id, false, CallPhase::Early, 1), true);
        }
        let (body, _) = room.document("bob@example.com", START, Some(known + 40), 1).expect("news");
        assert!(body.contains("state=\"full\"") && body.matches("<dialog ").count() == SHOWN, "{body}");
        assert!(body.contains("\"dc7\"") && !body.contains("\"d64\""), "the newest: {body}");
    }

    #[test]
    fn there_is_a_bound() {
        let mut room = Lines::default();
        let limits = Limits { calls: 1, legs_per_call: 2, ..Limits::default() };
        for id in 0..9 {
            room.on_call(&limits, START, call(id, false, CallPhase::Early, 1), false);
        }
        assert_eq!(room.len(), 2);
    }
}
