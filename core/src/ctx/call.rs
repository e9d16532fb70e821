//! A call as other rooms see it: what the bridge tells of each of its sides.

use crate::base::Time;
use crate::documents::dialog_info::DialogEvent;

/// Where one side of a call stands. Told anew with each change, and once more when it is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CallState {
    /// Names this side over all its changes; never used again for the same address of record.
    pub(crate) id: u64,
    /// Whose it is: a canonical address of record.
    pub(crate) aor: Box<str>,
    /// He called; else he was called.
    pub(crate) initiator: bool,
    /// Where it stands.
    pub(crate) state: CallPhase,
    /// The URI of the other; empty if it must not be shown.
    pub(crate) remote: Box<str>,
    /// The display name of the other; empty for none.
    pub(crate) remote_display: Box<str>,
    /// Call-ID of the dialog between him and us.
    pub(crate) call_id: Box<str>,
    /// His tag; empty while there is none.
    pub(crate) local_tag: Box<str>,
    /// Our tag towards him; empty while there is none.
    pub(crate) remote_tag: Box<str>,
    /// Since when it stands as it stands.
    pub(crate) since: Time,
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
