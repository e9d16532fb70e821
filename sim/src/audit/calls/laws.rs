//! The laws over calls, one line each. Every one has a vector in the tests that breaks it.

/// One law.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Law {
    /// Section it comes from.
    pub cite: &'static str,
    /// The law in a few words.
    pub name: &'static str,
}

macro_rules! laws {
    ($($law:ident $cite:literal $name:literal,)*) => {
        $(pub(super) const $law: Law = Law { cite: $cite, name: $name };)*
        /// All laws over calls.
        pub const LAWS: &[Law] = &[$($law,)*];
    };
}

laws! {
    OWN_VIA "RFC 3261 s8.1.1.7" "a request has one Via, our own, and it is true",
    CONTACT "RFC 3261 s8.1.1.8, s12.1.1" "what makes or refreshes a dialog has one Contact",
    RECORD_ROUTE "RFC 3261 s12.1.1" "Record-Route is copied, in order",
    BARE_100 "RFC 3261 s8.2.6.2" "100 speaks for nobody: it has no To tag",
    PROVISIONAL_LAST "RFC 3261 s17.2.1" "no provisional response follows a final one",
    DIALOG "RFC 3261 s12.2.1.1" "a request within a dialog has its tags",
    URIS "RFC 3261 s12.2.1.1" "From and To are those of the dialog",
    TARGET "RFC 3261 s12.2.1.1" "a request goes to the remote target through the route set",
    CSEQ "RFC 3261 s12.2.1.1" "CSeq rises by one with each request of ours",
    ENDED "RFC 3261 s15" "nothing is sent into a dialog that has ended",
    EARLY_BYE "RFC 3261 s15" "a callee says no BYE before its answer is acknowledged",
    GLARE "RFC 3261 s14.1" "no re-INVITE while another INVITE is under way",
    ACK_FINAL "RFC 3261 s17.1.1.3" "an ACK follows a final response, with the CSeq number of its INVITE",
    ACK_REFUSAL "RFC 3261 s17.1.1.3" "the ACK of a refusal has Via, Request-URI and tags of its transaction",
    ACK_ANSWER "RFC 3261 s13.2.2.4" "the ACK of a 2xx has a branch of its own and goes along the dialog",
    ACKED "RFC 3261 s13.2.2.4, s17.1.1.2" "every final response to INVITE is acknowledged",
    CANCEL_MATCHES "RFC 3261 s9.1" "CANCEL repeats what names its INVITE",
    CANCEL_TIMELY "RFC 3261 s9.1" "CANCEL follows a provisional response and no final one",
    CANCELLED "RFC 3261 s9.2" "a cancelled INVITE is answered 487",
    REPEATED "RFC 3261 s13.3.1.4" "a 2xx is repeated until its ACK, and then the session is ended",
    HANGING "RFC 3261 s15" "every call ends for both sides",
    RSEQ "RFC 3262 s3" "RSeq rises by one, and not before the PRACK of the last",
    RELIABLE_ASKED "RFC 3262 s3" "only who knows reliable responses gets them, and never as 100",
    RACK "RFC 3262 s7.2" "RAck names a response that came, once",
    OFFER "RFC 3264 s4, RFC 6337 s2" "no offer while another one waits for its answer",
    ANSWER "RFC 3261 s13.2.1, RFC 3264 s5" "an offer has its answer where it belongs, and no answer comes without one",
    SAME_ANSWER "RFC 3261 s13.2.1" "the answer of a dialog stays what it was said to be",
    ORIGIN "RFC 3264 s8" "o= keeps its session, and its version rises with each change",
    MAX_FORWARDS "RFC 7332 s5" "Max-Forwards goes on, less one",
    MAX_BREADTH "RFC 5393 s5.3.3" "each INVITE of ours has Max-Breadth, and no more of it than came",
    CREDENTIALS "RFC 3261 s22" "no credentials or challenges go from one leg to the other",
    CROSSING "RFC 7092 s3" "no Call-ID, tag or branch goes from one leg to the other",
    TIMER_ASKED "RFC 4028 s9" "a session timer is granted to who asked, or kept by us",
    MIN_SE "RFC 4028 s5, s6" "422 carries Min-SE, and no interval is below 90 s",
    LOST_TONE "RFC 6228 s4" "199 goes to who supports it",
}
