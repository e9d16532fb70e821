//! Status codes and their reason phrases, and the one place that says what a faulty message is answered with.
//! RFC 3261 s21 and the codes registered since.

use super::{Fault, ParseError};

/// A status code, 100 to 699.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Status(pub u16);

macro_rules! statuses {
    ($($name:ident $code:literal $reason:literal,)*) => {
        impl Status {
            $(#[doc = concat!("`", $code, " ", $reason, "`")] pub const $name: Status = Status($code);)*

            /// The phrase registered for the code; for an unknown code that of its class.
            pub const fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    100..=199 => "Session Progress",
                    200..=299 => "OK",
                    300..=399 => "Redirection",
                    400..=499 => "Bad Request",
                    500..=599 => "Server Internal Error",
                    _ => "Global Failure",
                }
            }
        }

        #[cfg(test)]
        const ALL: &[Status] = &[$(Status::$name,)*];
    };
}

statuses! {
    TRYING 100 "Trying",
    RINGING 180 "Ringing",
    FORWARDED 181 "Call Is Being Forwarded",
    QUEUED 182 "Queued",
    SESSION_PROGRESS 183 "Session Progress",
    EARLY_DIALOG_TERMINATED 199 "Early Dialog Terminated",
    OK 200 "OK",
    ACCEPTED 202 "Accepted",
    NO_NOTIFICATION 204 "No Notification",
    MULTIPLE_CHOICES 300 "Multiple Choices",
    MOVED_PERMANENTLY 301 "Moved Permanently",
    MOVED_TEMPORARILY 302 "Moved Temporarily",
    USE_PROXY 305 "Use Proxy",
    ALTERNATIVE_SERVICE 380 "Alternative Service",
    BAD_REQUEST 400 "Bad Request",
    UNAUTHORIZED 401 "Unauthorized",
    PAYMENT_REQUIRED 402 "Payment Required",
    FORBIDDEN 403 "Forbidden",
    NOT_FOUND 404 "Not Found",
    METHOD_NOT_ALLOWED 405 "Method Not Allowed",
    NOT_ACCEPTABLE 406 "Not Acceptable",
    PROXY_AUTHENTICATION_REQUIRED 407 "Proxy Authentication Required",
    REQUEST_TIMEOUT 408 "Request Timeout",
    GONE 410 "Gone",
    CONDITIONAL_REQUEST_FAILED 412 "Conditional Request Failed",
    ENTITY_TOO_LARGE 413 "Request Entity Too Large",
    URI_TOO_LONG 414 "Request-URI Too Long",
    UNSUPPORTED_MEDIA_TYPE 415 "Unsupported Media Type",
    UNSUPPORTED_URI_SCHEME 416 "Unsupported URI Scheme",
    UNKNOWN_RESOURCE_PRIORITY 417 "Unknown Resource-Priority",
    BAD_EXTENSION 420 "Bad Extension",
    EXTENSION_REQUIRED 421 "Extension Required",
    SESSION_INTERVAL_TOO_SMALL 422 "Session Interval Too Small",
    INTERVAL_TOO_BRIEF 423 "Interval Too Brief",
    BAD_LOCATION 424 "Bad Location Information",
    USE_IDENTITY_HEADER 428 "Use Identity Header",
    PROVIDE_REFERRER_IDENTITY 429 "Provide Referrer Identity",
    FLOW_FAILED 430 "Flow Failed",
    ANONYMITY_DISALLOWED 433 "Anonymity Disallowed",
    BAD_IDENTITY_INFO 436 "Bad Identity Info",
    UNSUPPORTED_CREDENTIAL 437 "Unsupported Credential",
    INVALID_IDENTITY_HEADER 438 "Invalid Identity Header",
    FIRST_HOP_LACKS_OUTBOUND 439 "First Hop Lacks Outbound Support",
    MAX_BREADTH_EXCEEDED 440 "Max-Breadth Exceeded",
    BAD_INFO_PACKAGE 469 "Bad Info Package",
    CONSENT_NEEDED 470 "Consent Needed",
    TEMPORARILY_UNAVAILABLE 480 "Temporarily Unavailable",
    NO_TRANSACTION 481 "Call/Transaction Does Not Exist",
    LOOP_DETECTED 482 "Loop Detected",
    TOO_MANY_HOPS 483 "Too Many Hops",
    ADDRESS_INCOMPLETE 484 "Address Incomplete",
    AMBIGUOUS 485 "Ambiguous",
    BUSY_HERE 486 "Busy Here",
    REQUEST_TERMINATED 487 "Request Terminated",
    NOT_ACCEPTABLE_HERE 488 "Not Acceptable Here",
    BAD_EVENT 489 "Bad Event",
    REQUEST_PENDING 491 "Request Pending",
    UNDECIPHERABLE 493 "Undecipherable",
    SECURITY_AGREEMENT_REQUIRED 494 "Security Agreement Required",
    SERVER_ERROR 500 "Server Internal Error",
    NOT_IMPLEMENTED 501 "Not Implemented",
    BAD_GATEWAY 502 "Bad Gateway",
    SERVICE_UNAVAILABLE 503 "Service Unavailable",
    SERVER_TIMEOUT 504 "Server Time-out",
    VERSION_NOT_SUPPORTED 505 "Version Not Supported",
    MESSAGE_TOO_LARGE 513 "Message Too Large",
    PRECONDITION_FAILURE 580 "Precondition Failure",
    BUSY_EVERYWHERE 600 "Busy Everywhere",
    DECLINE 603 "Decline",
    DOES_NOT_EXIST_ANYWHERE 604 "Does Not Exist Anywhere",
    NOT_ACCEPTABLE_ANYWHERE 606 "Not Acceptable",
    UNWANTED 607 "Unwanted",
    REJECTED 608 "Rejected",
}

impl Status {
    /// The code.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// 1xx.
    pub const fn is_provisional(self) -> bool {
        self.0 < 200
    }

    /// 2xx to 6xx.
    pub const fn is_final(self) -> bool {
        self.0 >= 200
    }

    /// 2xx.
    pub const fn is_success(self) -> bool {
        self.0 >= 200 && self.0 < 300
    }
}

impl From<&ParseError> for Status {
    fn from(error: &ParseError) -> Status {
        match (error.fault, error.what) {
            // RFC 3261 s21.5.6: the version is not supported.
            (Fault::Version, _) => Status::VERSION_NOT_SUPPORTED,
            // RFC 3261 s21.4.14: the scheme of the Request-URI is unknown to the server.
            (Fault::Scheme, "Request-URI") => Status::UNSUPPORTED_URI_SCHEME,
            // RFC 3261 s21.4.12, s21.4.11, s21.5.7: what is too long says which code.
            (Fault::TooLong, "Request-URI") => Status::URI_TOO_LONG,
            (Fault::TooLong, "body") => Status::ENTITY_TOO_LARGE,
            (Fault::TooLong, "message") => Status::MESSAGE_TOO_LARGE,
            // RFC 3261 s21.4.1: everything else is malformed syntax.
            (
                Fault::Missing
                | Fault::Repeated
                | Fault::Malformed
                | Fault::Range
                | Fault::Mismatch
                | Fault::TooMany
                | Fault::TooLong
                | Fault::Truncated
                | Fault::Scheme
                | Fault::NotSip,
                _,
            ) => Status::BAD_REQUEST,
        }
    }
}

impl From<ParseError> for Status {
    fn from(error: ParseError) -> Status {
        Status::from(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_range_ascending_and_have_a_phrase() {
        for pair in ALL.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
        }
        for status in ALL {
            assert!((100..700).contains(&status.0));
            assert!(!status.reason().is_empty());
        }
        assert_eq!(Status(299).reason(), "OK");
        assert_eq!(Status(777).reason(), "Global Failure");
    }

    #[test]
    fn each_fault_has_its_answer() {
        let answer = |what, fault| Status::from(ParseError::new(what, fault)).0;
        assert_eq!(answer("Request-Line", Fault::Version), 505);
        assert_eq!(answer("Request-URI", Fault::Scheme), 416);
        assert_eq!(answer("To", Fault::Scheme), 400);
        assert_eq!(answer("Request-URI", Fault::TooLong), 414);
        assert_eq!(answer("message", Fault::TooLong), 513);
        assert_eq!(answer("body", Fault::TooLong), 413);
        assert_eq!(answer("body", Fault::Truncated), 400);
        assert_eq!(answer("Call-ID", Fault::Missing), 400);
        assert_eq!(answer("CSeq", Fault::Mismatch), 400);
    }
}
