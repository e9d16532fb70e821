//! Questions the engine asks, and their answers. Each carries a typed ticket; a late, double or forged answer is
//! counted and ignored.

use core::fmt;
use core::marker::PhantomData;
use core::net::IpAddr;
use core::time::Duration;

use super::{ResolveQuery, Resolved, RouteAnswer, RouteQuery, Secret};
use crate::config::{DigestAlgorithm, HashedCredential};

/// Names one outstanding question of kind `K`. Opaque to the host, which hands it back with the answer.
pub struct Ticket<K> {
    /// Slot in the table of outstanding questions.
    pub index: u32,
    /// Generation of that slot.
    pub generation: u32,
    kind: PhantomData<fn() -> K>,
}

impl<K> Ticket<K> {
    /// A ticket for a slot; for the engine, and for a host that stores tickets outside the process.
    pub const fn new(index: u32, generation: u32) -> Ticket<K> {
        Ticket { index, generation, kind: PhantomData }
    }

    pub(crate) const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    pub(crate) const fn from_bits(bits: u64) -> Ticket<K> {
        Ticket::new(bits as u32, (bits >> 32) as u32)
    }
}

impl<K> Clone for Ticket<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Ticket<K> {}
impl<K> PartialEq for Ticket<K> {
    fn eq(&self, other: &Self) -> bool {
        (self.index, self.generation) == (other.index, other.generation)
    }
}
impl<K> Eq for Ticket<K> {}
impl<K> fmt::Debug for Ticket<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({}.{})", self.index, self.generation)
    }
}

/// What the engine wants to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Query {
    /// The Digest credential of a user that is not a local account.
    Credentials(CredentialsQuery),
    /// The key set of a token issuer.
    Keys(KeysQuery),
    /// What a token is worth that is no JWT.
    Introspect(IntrospectQuery),
    /// Where a call goes.
    Route(Box<RouteQuery>),
    /// Where a name is.
    Resolve(ResolveQuery),
    /// What a session description becomes, so that its media go over a relay.
    Media(Box<MediaQuery>),
}

/// Asks a foreign store for the HA1 of a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CredentialsQuery {
    /// To be handed back.
    pub ticket: Ticket<CredentialsQuery>,
    /// The username of the credentials, as sent.
    pub username: Box<str>,
    /// The realm they are for.
    pub realm: Box<str>,
    /// The algorithm the client chose.
    pub algorithm: DigestAlgorithm,
}

/// Asks for the JWKS document of an issuer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeysQuery {
    /// To be handed back.
    pub ticket: Ticket<KeysQuery>,
    /// Index in [`JwtConfig::issuers`](crate::config::JwtConfig::issuers).
    pub issuer: u16,
    /// Where the document lives, as configured; the issuer itself where that is to be discovered.
    pub source: Box<str>,
    /// The issuer's metadata say where the keys are (OpenID Connect Discovery 1.0 s4, RFC 8414 s3).
    pub discover: bool,
}

/// Asks an authorization server about a token (RFC 7662 s2.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IntrospectQuery {
    /// To be handed back.
    pub ticket: Ticket<IntrospectQuery>,
    /// Where to ask, as configured.
    pub endpoint: Box<str>,
    /// As whom to ask.
    pub client_id: Box<str>,
    /// The secret of that client.
    pub client_secret: Secret<Box<str>>,
    /// The token, as the client sent it.
    pub token: Secret<Box<[u8]>>,
}

/// Whether a session description offers or answers (RFC 3264).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MediaStep {
    /// It is the offer.
    Offer,
    /// It is the answer.
    Answer,
}

/// Asks for a session description with the addresses of a relay. The host keeps what it lends to a call until
/// [`Event::MediaDone`](super::Event::MediaDone).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MediaQuery {
    /// To be handed back.
    pub ticket: Ticket<MediaQuery>,
    /// The session, for all that is described in it: one call, or several that go on as one.
    pub call: u64,
    /// What this description is.
    pub step: MediaStep,
    /// The tag of who describes himself.
    pub from: Box<str>,
    /// The tag of who is shown it; empty if that is not known yet, as with an offer to several phones.
    pub to: Box<str>,
    /// Where the messages of who describes himself come from, where that is known: his media may, too.
    pub source: Option<IpAddr>,
    /// An address of who is shown it, where one is known: for its family.
    pub near: Option<IpAddr>,
    /// Who is shown it speaks WebRTC.
    pub to_webrtc: bool,
    /// The description, as it came.
    pub sdp: Box<[u8]>,
}

/// What a relay makes of a session description.
#[derive(Clone, Debug)]
pub enum MediaAnswer {
    /// The description to show instead.
    Description(Box<[u8]>),
    /// It cannot connect these two ways of sending media: 488.
    Unsupported,
    /// There is no relay, or no room in it.
    Unavailable,
}

/// The answer to a [`Query`].
#[derive(Clone, Debug)]
pub enum Answer {
    /// To a [`CredentialsQuery`].
    Credentials(Ticket<CredentialsQuery>, CredentialsAnswer),
    /// To a [`KeysQuery`].
    Keys(Ticket<KeysQuery>, KeysAnswer),
    /// To an [`IntrospectQuery`].
    Introspected(Ticket<IntrospectQuery>, IntrospectAnswer),
    /// To a [`RouteQuery`].
    Route(Ticket<RouteQuery>, RouteAnswer),
    /// To a [`ResolveQuery`]: the ways in the order to try them; none if there is none.
    Resolved(Ticket<ResolveQuery>, Vec<Resolved>),
    /// To a [`MediaQuery`].
    Media(Ticket<MediaQuery>, MediaAnswer),
}

/// What a credential store knows.
#[derive(Clone, Debug)]
pub enum CredentialsAnswer {
    /// The user exists: the hash for the algorithm asked, and the AoRs it owns (`user@domain`).
    Known {
        /// HA1 for the algorithm of the query.
        credential: HashedCredential,
        /// The addresses of record the account owns.
        aors: Vec<Box<str>>,
    },
    /// No such user, or it may not use this algorithm.
    Unknown,
    /// The store cannot be asked now.
    Unavailable,
}

/// What the fetch of a key set brought.
#[derive(Clone, Debug)]
pub enum KeysAnswer {
    /// The document, unparsed, and how long it may be kept.
    Document {
        /// JSON of RFC 7517, at most 64 KiB looked at.
        json: Secret<Box<[u8]>>,
        /// Cache lifetime the server named; clamped by the configuration.
        max_age: Option<Duration>,
    },
    /// It could not be had.
    Unavailable,
}

/// What an authorization server said of a token.
#[derive(Clone, Debug)]
pub enum IntrospectAnswer {
    /// Its answer, unparsed: JSON of RFC 7662 s2.2, whether the token is active or not.
    Document(Secret<Box<[u8]>>),
    /// It could not be asked, or answered with an error.
    Unavailable,
}
