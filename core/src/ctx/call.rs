//! A call as other rooms see it: what the bridge tells of each of its sides.

use std::sync::Arc;

use crate::base::Time;
use crate::documents::dialog_info::DialogEvent;

/// Where one side of a call stands. Told anew with each change, and once more when it is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CallState {
    /// Names this side over all its changes; never used again for the same address of record.
    pub(crate) id: u64,
    /// Whose it is, and with whom.
    pub(crate) names: Arc<CallNames>,
    /// He called; else he was called.
    pub(crate) initiator: bool,
    /// Where it stands.
    pub(crate) state: CallPhase,
    /// Since when it stands as it stands.
    pub(crate) since: Time,
}

/// What is written of one side of a call. It is made once and shared by all that is told of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CallNames {
    text: Box<str>,
    /// Ends of all parts but the last, in the order of [`CallNames::new`].
    ends: [u32; 5],
}

impl CallNames {
    /// - `aor`: whose side it is, a canonical address of record;
    /// - `remote`: the URI of the other, empty if it must not be shown, and his display name, empty for none;
    /// - `call_id` of the dialog between him and us;
    /// - `local_tag`: his tag, empty while there is none; `remote_tag`: ours towards him, the same.
    pub(crate) fn new(
        aor: &[u8],
        remote: [&[u8]; 2],
        call_id: &[u8],
        [local_tag, remote_tag]: [&[u8]; 2],
    ) -> CallNames {
        let parts = [aor, remote[0], remote[1], call_id, local_tag, remote_tag];
        let joined = parts.concat();
        // Parts that are text each are text together, and the other way round unless one ends within a character.
        let cut = |part: &&[u8]| part.last().is_some_and(|last| !last.is_ascii());
        if !parts.iter().any(cut)
            && let Ok(text) = String::from_utf8(joined)
        {
            return CallNames::of(text, parts.map(<[u8]>::len));
        }
        let parts = parts.map(String::from_utf8_lossy);
        CallNames::of(parts.concat(), parts.each_ref().map(|part| part.len()))
    }

    fn of(text: String, lengths: [usize; 6]) -> CallNames {
        let (mut ends, mut at) = ([0; 5], 0);
        for (end, length) in ends.iter_mut().zip(lengths) {
            at += length as u32;
            *end = at;
        }
        CallNames { text: text.into_boxed_str(), ends }
    }

    fn part(&self, number: usize) -> &str {
        let start =
            number.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        let end = self.ends.get(number).map_or(self.text.len(), |end| *end as usize);
        self.text.get(start..end).unwrap_or_default()
    }

    /// Whose side it is: a canonical address of record.
    pub(crate) fn aor(&self) -> &str {
        self.part(0)
    }

    /// The URI of the other; empty if it must not be shown.
    pub(crate) fn remote(&self) -> &str {
        self.part(1)
    }

    /// The display name of the other; empty for none.
    pub(crate) fn remote_display(&self) -> &str {
        self.part(2)
    }

    /// Call-ID of the dialog between him and us.
    pub(crate) fn call_id(&self) -> &str {
        self.part(3)
    }

    /// His tag; empty while there is none.
    pub(crate) fn local_tag(&self) -> &str {
        self.part(4)
    }

    /// Our tag towards him; empty while there is none.
    pub(crate) fn remote_tag(&self) -> &str {
        self.part(5)
    }
}

/// Where one side of a call stands (RFC 4235 s3.7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CallPhase {
    /// An INVITE is out, and nothing came back.
    Trying,
    /// Something came back, without a tag.
    Proceeding,
    /// It rings.
    Early,
    /// It was answered.
    Confirmed,
    /// It is over.
    Terminated {
        /// The response that ended it, if it was one.
        code: Option<u16>,
        /// What ended it.
        event: DialogEvent,
    },
}
