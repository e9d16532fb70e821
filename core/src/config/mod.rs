//! What an engine is told to be: [`Config`] as a host writes it, [`Settings`] as the engine reads it.
//!
//! `Config` is plain data with safe defaults; [`Config::validate`] checks all of it at once and returns every fault
//! with the path of the field. Settings are immutable and shared (`Arc`); a reload is a new value.

mod accounts;
mod calls;
mod domains;
mod limits;
mod lists;
mod mailboxes;
mod messages;
mod policy;
mod presence;
mod settings;

pub use crate::base::hash::DigestAlgorithm;
pub use crate::base::text::AorBuf;
pub use accounts::{Account, AccountConfig, Accounts, HashedCredential};
pub(crate) use calls::is_private;
pub use calls::{
    CallsConfig, ForwardConfig, MediaConfig, MediaMode, NumberRule, NumberUser, NumbersConfig, RouteConfig,
    RouteTo, TrunkConfig, Voicemail,
};
pub(crate) use calls::{pattern, uri_of};
pub use domains::{DomainConfig, Domains};
pub use limits::{Limits, Timers};
pub use lists::{List, ListConfig, ListMembers, Lists};
pub use mailboxes::{MailboxRule, MessageSummaryConfig};
pub use messages::MessagesConfig;
pub(crate) use policy::Template;
pub use policy::{
    AuthPolicy, DigestConfig, IntrospectionConfig, IpNet, IssuerConfig, JwtAlgorithm, JwtConfig,
    ListenerConfig, MaxContacts, OutboundMode, PathMode, Policies, RegistrarConfig, Tell,
};
pub(crate) use presence::fits;
pub use presence::{EventsConfig, PresenceConfig, WatchAction, WatchPolicy, WatchRule};
pub use settings::{Config, ConfigError, Settings};
