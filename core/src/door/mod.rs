//! The engine's doors: plain data the world sees. Everything that enters or leaves the engine is a value of this room.
//!
//! Nothing here has behaviour beyond construction and formatting, so that inputs and commands can be logged, stored,
//! compared and replayed. Secrets are wrapped in [`Secret`], whose `Debug` shows nothing.

mod agent;
mod call;
mod command;
mod event;
mod input;
mod presence;
mod query;
mod record;
mod route;
mod stored;
mod stored_binding;
mod ua;
mod ua_call;
mod view;

pub use agent::{
    AgentAccount, AgentEvent, AgentHop, AgentStep, AgentToken, AgentWish, DeviceTold, Notice, NoticeRefusal,
};
pub use call::{CallEnd, CallEvent, CallRecord, CallRefusal, CallStage, CallView, LegRecord, LegView};
pub use command::{CloseReason, Command, Reply, ReplyBody, Transmit};
pub use event::{AuthVerdict, BindingCause, BindingEvent, Event, Outcome, TrunkEvent, TrunkStep};
pub use input::{BadFrame, FlowDownReason, Input, KeepAlive, Request, Revoked, SendError, Waiting};
pub use presence::{
    Buddy, BuddyList, MessageClass, MessageCounts, MessageSummary, OwnPresence, PresenceCause,
    PresenceChange, PresenceDevice, PresenceOrigin, PresenceRefusal, PresenceSource, PresenceState,
    PresenceView, SubscriptionEvent, SubscriptionState, SubscriptionStep, SubscriptionView,
};
pub use query::{
    Answer, CredentialsAnswer, CredentialsQuery, IntrospectAnswer, IntrospectQuery, KeysAnswer, KeysQuery,
    MediaAnswer, MediaQuery, MediaStep, Query, Ticket,
};
pub use record::{RecordError, VERSION as RECORD_VERSION};
pub use route::{ResolveQuery, Resolved, RouteAnswer, RouteQuery, RouteTarget};
pub use stored::{
    StoredDialog, StoredForm, StoredMessage, StoredPeer, StoredPublication, StoredStanding,
    StoredSubscription, StoredTie,
};
pub use stored_binding::StoredBinding;
pub(crate) use stored_binding::{Laid, Parts};
pub use ua::{
    Changes, UaAccount, UaEvent, UaPresence, UaRefusal, UaRegistration, UaRegistrationView, UaRequest,
    UaState, UaStep, UaView,
};
pub use ua_call::{UaCallRequest, UaCallState, UaCallStep, UaCallView};
pub use view::{
    BindingView, Change, FlowId, Identity, PeerIdentity, SaveSeq, Scheme, Secret, Subject, Transport,
};
