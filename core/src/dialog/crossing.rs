//! Which headers cross from one leg to the other: DECISIONS 23.
//!
//! | headers | cross |
//! |---|---|
//! | what names the transaction, the dialog and the way: Via, From, To, Call-ID, CSeq, Contact, Route, Record-Route, Path | never |
//! | what each leg agrees for itself: Allow, Supported, Require, Session-Expires, RSeq | never |
//! | credentials and challenges | never |
//! | Proxy-Require, Max-Forwards, Max-Breadth, Timestamp, Server, User-Agent | never |
//! | identities that are believed of trusted peers only | from trusted peers, to who may hear them ([`Names`]) |
//! | Identity, with the Date that it signs (RFC 8224) | where From and To are what they were ([`write_signature`]) |
//! | Identity-Info, and an Identity beside it (RFC 4474): it signs what each leg has of its own | never |
//! | P-Early-Media (RFC 5009 s4: of a trust domain) | between local users, and from trusted peers |
//! | Session-ID (RFC 7989): its two halves are those of the ends | always, in requests and responses |
//! | all others with a name, `Recv-Info` and `Info-Package` among them, and the body with what describes it | always |
//! | headers without a name here | between local users |

use crate::wire::{Header, Message, Writer};

/// Between whom a message crosses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Crossing {
    /// What the sender says of identities is believed.
    pub(crate) trusted: bool,
    /// Which of that the receiver hears.
    pub(crate) names: Names,
    /// Both are users of ours.
    pub(crate) local: bool,
}

/// What a receiver hears of who a message is from, as trusted peers say it: RFC 3325 s5, s7.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Names {
    /// Everything: he is trusted to keep it to himself.
    All,
    /// What nobody asked to be kept from him.
    Public,
    /// Nothing.
    None,
}

impl Names {
    /// Does he hear who this one is from?
    pub(crate) fn hear(self, msg: Message<'_>) -> bool {
        match self {
            Names::All => true,
            Names::Public => !hides(msg),
            Names::None => false,
        }
    }
}

/// RFC 3325 s7, RFC 3323 s4.2: whether who sent a message is not to be named to whom it is no business of.
pub(crate) fn hides(msg: Message<'_>) -> bool {
    let says = |word: &[u8]| [&b"id"[..], b"user"].iter().any(|hidden| word.eq_ignore_ascii_case(hidden));
    let mut asked = msg.values(Header::Privacy);
    let nameless = || msg.is_request() && msg.from().is_ok_and(|from| from.uri.is_anonymous());
    asked.any(|value| value.split(|b| *b == b';').any(|word| says(word.trim_ascii()))) || nameless()
}

/// Copies what proves who sent a request to whom, and when (RFC 8224 s4), of one that [is signed](is_signed): for a leg that
/// names both as they were named.
pub(crate) fn write_signature(writer: &mut Writer<'_>, msg: Message<'_>) {
    // RFC 8224 s6.2 step 4: what it says of the time is compared with Date.
    for line in [Header::Date, Header::Identity].into_iter().flat_map(|header| msg.lines_of(header)) {
        writer.raw_line(line);
    }
}

/// Is it signed by RFC 8224? RFC 4474 had Identity-Info, and signed Call-ID, CSeq and Contact as well.
pub(crate) fn is_signed(msg: Message<'_>) -> bool {
    msg.header(Header::Identity).is_some() && msg.header(Header::IdentityInfo).is_none()
}

impl Crossing {
    fn takes(self, header: Header, named: bool) -> bool {
        match header {
            // Of the transaction, the dialog and the way.
            Header::Via
            | Header::From
            | Header::To
            | Header::CallId
            | Header::Cseq
            | Header::Contact
            | Header::Route
            | Header::RecordRoute
            | Header::Path
            | Header::ServiceRoute
            | Header::MaxForwards
            | Header::MaxBreadth
            | Header::Timestamp
            | Header::Date
            | Header::FlowTimer
            | Header::ContentLength
            // The writer puts it where the body is.
            | Header::ContentType => false,
            // Agreed on each leg.
            Header::Allow
            | Header::AllowEvents
            | Header::Supported
            | Header::Require
            | Header::ProxyRequire
            | Header::Unsupported
            | Header::SessionExpires
            | Header::MinSe
            | Header::Rseq
            | Header::Rack
            | Header::Event
            | Header::SubscriptionState
            | Header::ReferTo
            | Header::ReferSub
            | Header::ReferEventsAt
            | Header::ReferredBy
            | Header::Replaces
            | Header::Join
            | Header::TargetDialog
            | Header::SecurityClient
            | Header::SecurityServer
            | Header::SecurityVerify
            | Header::Server
            | Header::UserAgent => false,
            // Credentials.
            Header::Authorization
            | Header::ProxyAuthorization
            | Header::WwwAuthenticate
            | Header::ProxyAuthenticate
            | Header::AuthenticationInfo
            | Header::ProxyAuthenticationInfo => false,
            // RFC 3325 s9.1, RFC 3324: believed of trusted peers only.
            Header::PAssertedIdentity
            | Header::PAssertedService
            | Header::PAssociatedUri
            | Header::PCalledPartyId
            | Header::PChargingFunctionAddresses
            | Header::PChargingVector
            | Header::PAccessNetworkInfo
            | Header::PVisitedNetworkId
            | Header::RemotePartyId
            | Header::PPreferredIdentity
            | Header::PPreferredService
            | Header::Diversion
            | Header::HistoryInfo => named,
            // Written apart.
            Header::Identity | Header::IdentityInfo => false,
            Header::PEarlyMedia => self.trusted || self.local,
            Header::Other => self.local,
            _ => true,
        }
    }

    /// Copies the lines that cross, each as it came.
    pub(crate) fn write(self, writer: &mut Writer<'_>, msg: Message<'_>) {
        let named = self.trusted && self.names.hear(msg);
        for line in msg.lines().filter(|line| self.takes(line.header, named)) {
            writer.raw_line(line);
        }
    }

    /// The same with a body of the type the message says.
    pub(crate) fn write_with<'a>(self, writer: &mut Writer<'a>, msg: Message<'_>, body: &'a [u8]) {
        self.write(writer, msg);
        if !body.is_empty() {
            writer.body(msg.content_type().unwrap_or(b"application/sdp"), body);
        }
    }
}
