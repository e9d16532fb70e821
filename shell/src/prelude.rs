//! What a program needs of a server, the same under every runtime: runtime crates show these names as their own.

pub use strowger_core as core;

pub use crate as shell;
pub use crate::builder::machine_domain;
pub use crate::calls::{CallError, CallsHandle};
pub use crate::error::StartError;
pub use crate::handle::{Handle, HandleError, NotifyError, Snapshot};
pub use crate::hooks::{Credentials, Hooks, Lookup, Notice, OnEvent, OnNotice, OnRoute, Routed};
pub use crate::news::{Changes, PresenceNews};
pub use crate::options::Options;
pub use crate::peer::{Peer, PeerCall, PeerError, PeerEvent, PeerEvents};
pub use crate::presence::{PresenceError, PresenceHandle};
pub use crate::route::{Route, RouteCall};
pub use crate::socket::{Granted, everywhere};
