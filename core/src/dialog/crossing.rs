//! Which headers cross from one leg to the other: DECISIONS 23.
//!
//! | headers | cross |
//! |---|---|
//! | what names the transaction, the dialog and the way: Via, From, To, Call-ID, CSeq, Contact, Route, Record-Route, Path | never |
//! | what each leg agrees for itself: Allow, Supported, Require, Session-Expires, RSeq | never |
//! | credentials and challenges | never |
//! | Proxy-Require, Max-Forwards, Max-Breadth, Timestamp, Server, User-Agent | never |
//! | identities that are believed of trusted peers only | between trusted peers |
//! | all others with a name, `Recv-Info` and `Info-Package` among them, and the body with what describes it | always |
//! | headers without a name here | between local users |

use crate::wire::{Header, Message, Writer};

/// Between whom a message crosses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Crossing {
    /// What the sender says of identities is believed.
    pub(crate) trusted: bool,
    /// Both are users of ours.
    pub(crate) local: bool,
}

impl Crossing {
    fn takes(self, header: Header) -> bool {
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
            | Header::HistoryInfo
            | Header::Identity
            | Header::IdentityInfo => self.trusted,
            Header::Other => self.local,
            _ => true,
        }
    }

    /// Copies the lines that cross, each as it came.
    pub(crate) fn write(self, writer: &mut Writer<'_>, msg: Message<'_>) {
        for line in msg.lines().filter(|line| self.takes(line.header)) {
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
