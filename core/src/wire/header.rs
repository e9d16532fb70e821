//! The table of header names. RFC 3261 s7.3, s20 and the registry of the extensions this project needs.
//!
//! A name is looked up with one hash of four of its bytes and, as a rule, one comparison. Columns: the name, its compact
//! form, and its shape: `One` stands once and has one value, `List` has comma-separated values and may be repeated,
//! `Line` is one value a line and may be repeated (credentials, texts with commas in them).

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    One,
    List,
    Line,
}

macro_rules! headers {
    ($($variant:ident $name:literal $compact:literal $shape:ident,)*) => {
        /// A header this project knows by name, or [`Header::Other`].
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Header {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
            /// A name not in the table; it is kept in the message.
            Other,
        }

        const NAMED: usize = [$(Header::$variant,)*].len();
        const NAMES: [&str; NAMED] = [$($name,)*];
        static LINE_STARTS: [&str; Header::COUNT] = [$(concat!($name, ": "),)* ""];
        const COMPACT: [u8; NAMED] = [$($compact,)*];
        const SHAPES: [Shape; NAMED] = [$(Shape::$shape,)*];

        impl Header {
            /// Every header with a name, in the order of the enum.
            pub const ALL: [Header; NAMED] = [$(Header::$variant,)*];
        }
    };
}

headers! {
    Accept "Accept" 0 List,
    AcceptContact "Accept-Contact" b'a' List,
    AcceptEncoding "Accept-Encoding" 0 List,
    AcceptLanguage "Accept-Language" 0 List,
    AcceptResourcePriority "Accept-Resource-Priority" 0 List,
    AlertInfo "Alert-Info" 0 List,
    Allow "Allow" 0 List,
    AllowEvents "Allow-Events" b'u' List,
    AnswerMode "Answer-Mode" 0 Line,
    AuthenticationInfo "Authentication-Info" 0 Line,
    Authorization "Authorization" 0 Line,
    CallId "Call-ID" b'i' One,
    CallInfo "Call-Info" 0 List,
    Contact "Contact" b'm' List,
    ContentDisposition "Content-Disposition" 0 One,
    ContentEncoding "Content-Encoding" b'e' List,
    ContentId "Content-ID" 0 One,
    ContentLanguage "Content-Language" 0 List,
    ContentLength "Content-Length" b'l' Line,
    ContentType "Content-Type" b'c' One,
    Cseq "CSeq" 0 One,
    Date "Date" 0 Line,
    Diversion "Diversion" 0 List,
    ErrorInfo "Error-Info" 0 List,
    Event "Event" b'o' One,
    Expires "Expires" 0 One,
    FeatureCaps "Feature-Caps" 0 List,
    FlowTimer "Flow-Timer" 0 One,
    From "From" b'f' One,
    Geolocation "Geolocation" 0 List,
    GeolocationError "Geolocation-Error" 0 Line,
    GeolocationRouting "Geolocation-Routing" 0 Line,
    HistoryInfo "History-Info" 0 List,
    Identity "Identity" b'y' Line,
    IdentityInfo "Identity-Info" b'n' Line,
    InfoPackage "Info-Package" 0 One,
    InReplyTo "In-Reply-To" 0 List,
    Join "Join" 0 One,
    MaxBreadth "Max-Breadth" 0 One,
    MaxForwards "Max-Forwards" 0 One,
    MimeVersion "MIME-Version" 0 Line,
    MinExpires "Min-Expires" 0 One,
    MinSe "Min-SE" 0 One,
    Organization "Organization" 0 Line,
    PAccessNetworkInfo "P-Access-Network-Info" 0 List,
    PAnswerState "P-Answer-State" 0 Line,
    PAssertedIdentity "P-Asserted-Identity" 0 List,
    PAssertedService "P-Asserted-Service" 0 List,
    PAssociatedUri "P-Associated-URI" 0 List,
    PCalledPartyId "P-Called-Party-ID" 0 Line,
    PChargingFunctionAddresses "P-Charging-Function-Addresses" 0 Line,
    PChargingVector "P-Charging-Vector" 0 Line,
    PEarlyMedia "P-Early-Media" 0 List,
    PPreferredIdentity "P-Preferred-Identity" 0 List,
    PPreferredService "P-Preferred-Service" 0 List,
    PVisitedNetworkId "P-Visited-Network-ID" 0 List,
    Path "Path" 0 List,
    Priority "Priority" 0 Line,
    PrivAnswerMode "Priv-Answer-Mode" 0 Line,
    Privacy "Privacy" 0 Line,
    ProxyAuthenticate "Proxy-Authenticate" 0 Line,
    ProxyAuthenticationInfo "Proxy-Authentication-Info" 0 Line,
    ProxyAuthorization "Proxy-Authorization" 0 Line,
    ProxyRequire "Proxy-Require" 0 List,
    Rack "RAck" 0 One,
    Reason "Reason" 0 List,
    RecordRoute "Record-Route" 0 List,
    RecvInfo "Recv-Info" 0 List,
    ReferEventsAt "Refer-Events-At" 0 Line,
    ReferSub "Refer-Sub" 0 One,
    ReferTo "Refer-To" b'r' One,
    ReferredBy "Referred-By" b'b' One,
    RejectContact "Reject-Contact" b'j' List,
    RemotePartyId "Remote-Party-ID" 0 List,
    Replaces "Replaces" 0 One,
    ReplyTo "Reply-To" 0 Line,
    RequestDisposition "Request-Disposition" b'd' List,
    Require "Require" 0 List,
    ResourcePriority "Resource-Priority" 0 List,
    RetryAfter "Retry-After" 0 Line,
    Route "Route" 0 List,
    Rseq "RSeq" 0 One,
    SecurityClient "Security-Client" 0 List,
    SecurityServer "Security-Server" 0 List,
    SecurityVerify "Security-Verify" 0 List,
    Server "Server" 0 Line,
    ServiceRoute "Service-Route" 0 List,
    SessionExpires "Session-Expires" b'x' One,
    SessionId "Session-ID" 0 One,
    SipEtag "SIP-ETag" 0 One,
    SipIfMatch "SIP-If-Match" 0 One,
    Subject "Subject" b's' Line,
    SubscriptionState "Subscription-State" 0 One,
    Supported "Supported" b'k' List,
    SuppressIfMatch "Suppress-If-Match" 0 One,
    TargetDialog "Target-Dialog" 0 One,
    Timestamp "Timestamp" 0 Line,
    To "To" b't' One,
    Unsupported "Unsupported" 0 List,
    UserAgent "User-Agent" 0 Line,
    UserToUser "User-to-User" 0 List,
    Via "Via" b'v' List,
    Warning "Warning" 0 List,
    WwwAuthenticate "WWW-Authenticate" 0 Line,
}

impl Header {
    /// How many values the enum has, [`Header::Other`] included.
    pub const COUNT: usize = NAMED + 1;

    /// The header of that name, long or compact, in any case (RFC 3261 s7.3.1, s7.3.3).
    #[inline]
    pub fn of(name: &[u8]) -> Header {
        if let [letter] = name {
            return BY_LETTER[usize::from(letter.to_ascii_lowercase())];
        }
        let Some(mut slot) = slot(name) else { return Header::Other };
        loop {
            let header = BY_NAME[slot % SLOTS];
            if header == Header::Other {
                return Header::Other;
            }
            let known = header.name().as_bytes();
            if known == name || known.eq_ignore_ascii_case(name) {
                return header;
            }
            slot += 1;
        }
    }

    /// The header whose name stands at the beginning of a line and directly before a colon, and the length of what
    /// stands before the colon; [`Header::Other`] says only that it is not in the table. `None` if there is no colon in
    /// the first 16 bytes, or less is there. Compares eight bytes at a time.
    #[inline(always)]
    pub(super) fn before_colon(line: &[u8]) -> Option<(Header, usize)> {
        let ([first, second], []) = line.first_chunk::<16>()?.as_chunks::<8>() else { return None };
        let word = u64::from_le_bytes(*first);
        let colon = colon(word);
        if colon != 0 {
            let len = (colon.trailing_zeros() / 8) as usize;
            let name = folded(word) & MASKS.get(len)?;
            let header = if len == 1 { BY_LETTER[name as usize & 0xff] } else { Header::packed([name, 0]) };
            return Some((header, len));
        }
        let second = u64::from_le_bytes(*second);
        let len = (self::colon(second).trailing_zeros() / 8) as usize;
        let name = [folded(word), folded(second) & MASKS.get(len)?];
        Some((Header::packed(name), 8 + len))
    }

    #[inline(always)]
    fn packed(name: [u64; 2]) -> Header {
        let mut slot = packed_slot(name);
        loop {
            let (known, header) = BY_PACKED[slot % SLOTS];
            if known == name || header == Header::Other {
                return header;
            }
            slot += 1;
        }
    }

    /// The name as its RFC writes it; empty for [`Header::Other`].
    #[inline]
    pub const fn name(self) -> &'static str {
        if (self as usize) < NAMED { NAMES[self as usize] } else { "" }
    }

    /// The name with a colon and a space behind it; empty for [`Header::Other`].
    #[inline]
    pub(super) fn line_start(self) -> &'static str {
        LINE_STARTS[self as usize]
    }

    /// The compact form, where one is registered.
    pub const fn compact(self) -> Option<u8> {
        match (self as usize) < NAMED && COMPACT[self as usize] != 0 {
            true => Some(COMPACT[self as usize]),
            false => None,
        }
    }

    /// True if its values are separated by commas and may be spread over several lines (RFC 3261 s7.3.1).
    pub const fn is_list(self) -> bool {
        (self as usize) < NAMED && matches!(SHAPES[self as usize], Shape::List)
    }

    /// True if a message may hold it once. A message that holds it twice is refused: it means different things to
    /// different readers. Content-Length is looked at by its value.
    #[inline]
    pub const fn is_single(self) -> bool {
        (self as usize) < NAMED && matches!(SHAPES[self as usize], Shape::One)
    }
}

const SLOTS: usize = 512;

// Open addressing with linear probing, built when compiled.
static BY_NAME: [Header; SLOTS] = {
    let mut table = [Header::Other; SLOTS];
    let mut i = 0;
    while i < NAMED {
        let Some(mut at) = slot(NAMES[i].as_bytes()) else { panic!("no name is shorter than two letters") };
        while table[at % SLOTS] as usize != Header::Other as usize {
            at += 1;
        }
        table[at % SLOTS] = Header::ALL[i];
        i += 1;
    }
    table
};

// Every byte 1.
const EACH: u64 = u64::MAX / 0xff;

// The first bytes of a word.
static MASKS: [u64; 8] = {
    let mut masks = [0; 8];
    let mut i = 1;
    while i < 8 {
        masks[i] = masks[i - 1] << 8 | 0xff;
        i += 1;
    }
    masks
};

// Names of up to 15 bytes in lower case, eight bytes to a number; open addressing like BY_NAME.
static BY_PACKED: [([u64; 2], Header); SLOTS] = {
    let mut table = [([0; 2], Header::Other); SLOTS];
    let mut i = 0;
    while i < NAMED {
        let name = NAMES[i].as_bytes();
        if name.len() < 16 {
            let mut packed = [0; 2];
            let mut at = 0;
            while at < name.len() {
                packed[at / 8] |= (name[at] as u64) << (at % 8 * 8);
                at += 1;
            }
            packed = [folded(packed[0]), folded(packed[1])];
            let mut at = packed_slot(packed);
            while table[at % SLOTS].1 as usize != Header::Other as usize {
                at += 1;
            }
            table[at % SLOTS] = (packed, Header::ALL[i]);
        }
        i += 1;
    }
    table
};

/// Where the search for a packed name begins; the factor was chosen so that no two names begin at the same place.
#[inline(always)]
const fn packed_slot([first, second]: [u64; 2]) -> usize {
    ((first ^ second.rotate_left(21)).wrapping_mul(0xa0c0_b3f9_9ebc_f365) >> (64 - 9)) as usize
}

/// The lowest bit set marks the first colon in a word; zero if there is none.
#[inline(always)]
const fn colon(word: u64) -> u64 {
    let others = word ^ (EACH * b':' as u64);
    others.wrapping_sub(EACH) & !others & (EACH * 0x80)
}

/// Letters in lower case. Only what is at 0x40 and above changes: a CR must not pass for a hyphen.
#[inline(always)]
const fn folded(word: u64) -> u64 {
    word | ((word & (EACH * 0x40)) >> 1)
}

static BY_LETTER: [Header; 256] = {
    let mut table = [Header::Other; 256];
    let mut i = 0;
    while i < NAMED {
        if COMPACT[i] != 0 {
            table[COMPACT[i] as usize] = Header::ALL[i];
        }
        i += 1;
    }
    table
};

/// Where the search for a name begins: from its length and three letters without their case. The factors were chosen so
/// that no two names of the table begin at the same place.
#[inline]
const fn slot(name: &[u8]) -> Option<usize> {
    let n = name.len();
    if n < 2 {
        return None;
    }
    let a = (name[0] | 0x20) as usize;
    let b = (name[n / 2] | 0x20) as usize;
    let c = (name[n - 1] | 0x20) as usize;
    Some((a * 9 + b * 220 + c * 464 + n * 241) % SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_header_in_any_case() {
        for header in Header::ALL {
            let name = header.name();
            assert_eq!(Header::of(name.as_bytes()), header, "{name}");
            assert_eq!(Header::of(name.to_ascii_uppercase().as_bytes()), header, "{name}");
            assert_eq!(Header::of(name.to_ascii_lowercase().as_bytes()), header, "{name}");
        }
    }

    #[test]
    fn names_before_a_colon_are_found_like_names() {
        let of = |text: &str| {
            let mut line = [b' '; 16];
            text.bytes().zip(&mut line).for_each(|(b, slot)| *slot = b);
            Header::before_colon(&line)
        };
        for header in Header::ALL {
            let name = header.name();
            let expected = (name.len() < 16).then_some((header, name.len()));
            assert_eq!(of(&format!("{name}: x")), expected, "{name}");
            assert_eq!(of(&format!("{}:x:", name.to_ascii_uppercase())), expected, "{name}");
            assert_eq!(of(&format!("{}:x:", name.to_ascii_lowercase())), expected, "{name}");
            if let Some(letter) = header.compact() {
                assert_eq!(of(&format!("{}:", char::from(letter))), Some((header, 1)));
                assert_eq!(of(&format!("{}:", char::from(letter.to_ascii_uppercase()))), Some((header, 1)));
            }
        }
        for text in [
            ":",
            "Via : x",
            " Via:",
            "Viaa:",
            "q:",
            "X-Own: a",
            "\0\0:",
            "Content-Length :",
            "Vi\0:",
            "Call\rID:",
            "Content\rLength:",
            "\x16ia:",
        ] {
            let colon = text.find(':').expect("has one");
            assert_eq!(of(text), Some((Header::Other, colon)), "{text:?}");
        }
        for text in ["", "Via", "Via                 :", "Content-Length  :"] {
            assert_eq!(of(text), None, "{text:?}");
        }
    }

    #[test]
    fn compact_forms_are_one_letter_each_in_either_case() {
        for header in Header::ALL {
            let Some(letter) = header.compact() else { continue };
            assert_eq!(Header::of(&[letter]), header);
            assert_eq!(Header::of(&[letter.to_ascii_uppercase()]), header);
        }
        assert_eq!(Header::ALL.iter().filter(|h| h.compact().is_some()).count(), 20);
    }

    #[test]
    fn names_that_nearly_match_are_unknown() {
        for name in ["", "q", "Vi", "Viaa", "Fron", "Call_ID", "Call-I", "\u{e9}", "CSeq ", "X-Via"] {
            assert_eq!(Header::of(name.as_bytes()), Header::Other, "{name}");
        }
        assert_eq!(Header::of(&[0xe6]), Header::Other);
    }

    #[test]
    fn the_table_has_room_and_short_runs() {
        let mut longest = 0;
        let mut run = 0;
        for header in BY_NAME.iter().chain(&BY_NAME) {
            run = if *header == Header::Other { 0 } else { run + 1 };
            longest = longest.max(run);
        }
        assert!(longest <= 8, "{longest}");
    }

    #[test]
    fn shapes_follow_the_rfcs() {
        assert!(Header::Via.is_list() && Header::Contact.is_list() && Header::Supported.is_list());
        // RFC 3261 s7.3.1: these four are not comma-separated lists.
        for header in [
            Header::WwwAuthenticate,
            Header::Authorization,
            Header::ProxyAuthenticate,
            Header::ProxyAuthorization,
        ] {
            assert!(!header.is_list() && !header.is_single());
        }
        assert!(Header::From.is_single() && Header::Cseq.is_single());
        assert!(!Header::Other.is_list() && !Header::Other.is_single());
    }
}
