//! Values with units, as people write them: `"30s"`, `"64KiB"`, networks, algorithms, secrets.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use strowger_core::config::{
    AuthPolicy, DigestAlgorithm, IpNet, JwtAlgorithm, MaxContacts, Voicemail, WatchAction, WatchPolicy,
};
use strowger_core::door::Secret;

/// A length of time: `"500ms"`, `"30s"`, `"5m"`, `"2h"`, `"1d"`, or a number of seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span(pub Duration);

/// A number of bytes: `"64KiB"`, `"128MiB"`, `"1GiB"`, `"500kB"`, or a plain number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size(pub usize);

const SPAN: &str = "a length of time such as \"500ms\", \"30s\", \"5m\", \"2h\" or \"1d\"";
const SIZE: &str = "a size such as \"64KiB\", \"128MiB\" or a number of bytes";

/// Reads a length of time.
pub fn span(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let nanos: u64 = match unit {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    number.checked_mul(nanos).map(Duration::from_nanos)
}

/// Reads a size.
pub fn size(text: &str) -> Option<usize> {
    let (number, unit) = split(text)?;
    let bytes: u64 = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return None,
    };
    usize::try_from(number.checked_mul(bytes)?).ok()
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.replace('_', "").parse().ok()?, unit.trim_start()))
}

struct Quantity<T> {
    expected: &'static str,
    text: fn(&str) -> Option<T>,
    number: fn(u64) -> Option<T>,
}

impl<T> Visitor<'_> for Quantity<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.text)(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        let value = u64::try_from(number).ok().and_then(self.number);
        value.ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        (self.number)(number).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let number = |seconds| Some(Span(Duration::from_secs(seconds)));
        deserializer.deserialize_any(Quantity { expected: SPAN, text: |text| span(text).map(Span), number })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        let number = |bytes| usize::try_from(bytes).ok().map(Size);
        deserializer.deserialize_any(Quantity { expected: SIZE, text: |text| size(text).map(Size), number })
    }
}

/// A value read from one string.
macro_rules! from_text {
    ($(#[$meta:meta])* $name:ident($inner:ty), $expected:literal, $read:expr) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct $name(pub $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                let read: fn(&str) -> Option<$inner> = $read;
                read(&text).map($name).ok_or_else(|| {
                    de::Error::invalid_value(de::Unexpected::Str(&text), &$expected)
                })
            }
        }
    };
}

from_text!(
    /// A network: `10.0.0.0/8`, `fd00::/8`, or one address.
    Net(IpNet),
    "a network such as 10.0.0.0/8, fd00::/8, or an address",
    IpNet::parse
);

from_text!(
    /// A Digest algorithm.
    Hash(DigestAlgorithm),
    "one of \"MD5\", \"SHA-256\", \"SHA-512-256\"",
    |text| {
        let all = [DigestAlgorithm::Md5, DigestAlgorithm::Sha256, DigestAlgorithm::Sha512_256];
        all.into_iter().find(|algorithm| algorithm.token().eq_ignore_ascii_case(text))
    }
);

from_text!(
    /// A signature algorithm of tokens.
    Signature(JwtAlgorithm),
    "one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA",
    |text| JwtAlgorithm::ALL.into_iter().find(|algorithm| format!("{algorithm:?}").eq_ignore_ascii_case(text))
);

from_text!(
    /// What a method asks.
    Policy(AuthPolicy),
    "one of \"open\", \"any\", \"digest\", \"bearer\", \"deny\"",
    |text| match text {
        "open" => Some(AuthPolicy::Open),
        "any" => Some(AuthPolicy::Any),
        "digest" => Some(AuthPolicy::Digest),
        "bearer" => Some(AuthPolicy::Bearer),
        "deny" => Some(AuthPolicy::Deny),
        _ => None,
    }
);

from_text!(
    /// What happens to the contact that is one too many.
    PastMax(MaxContacts),
    "one of \"replace-oldest\", \"refuse\"",
    |text| match text {
        "replace-oldest" => Some(MaxContacts::ReplaceOldest),
        "refuse" => Some(MaxContacts::Refuse),
        _ => None,
    }
);

from_text!(
    /// Who may watch presence.
    Watchers(WatchPolicy),
    "one of \"everyone\", \"same_domain\", \"nobody\"",
    |text| match text {
        "everyone" => Some(WatchPolicy::Everyone),
        "same_domain" => Some(WatchPolicy::SameDomain),
        "nobody" => Some(WatchPolicy::Nobody),
        _ => None,
    }
);

from_text!(
    /// What a rule about watchers does.
    Watch(WatchAction),
    "one of \"allow\", \"block\", \"confirm\"",
    |text| match text {
        "allow" => Some(WatchAction::Allow),
        "block" => Some(WatchAction::Block),
        "confirm" => Some(WatchAction::Confirm),
        _ => None,
    }
);

/// A priority: `0.5`, from 0 to 1 with three digits; kept in thousandths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Priority(pub u16);

impl<'de> Deserialize<'de> for Priority {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Priority, D::Error> {
        let q = f64::deserialize(deserializer)?;
        let thousandths = q * 1000.0;
        match (0.0..=1000.0).contains(&thousandths) {
            true => Ok(Priority(thousandths.round() as u16)),
            false => Err(de::Error::invalid_value(de::Unexpected::Float(q), &"a number from 0 to 1")),
        }
    }
}

/// Where calls go that an account does not take: `true` for the common voicemail, `false` for none, or a URI.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mailbox(pub Voicemail);

impl<'de> Deserialize<'de> for Mailbox {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Mailbox, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Mailbox;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URI, true for that of [calls], or false for none")
            }
            fn visit_bool<E: de::Error>(self, common: bool) -> Result<Mailbox, E> {
                Ok(Mailbox(if common { Voicemail::Common } else { Voicemail::Off }))
            }
            fn visit_str<E: de::Error>(self, uri: &str) -> Result<Mailbox, E> {
                Ok(Mailbox(Voicemail::To(uri.into())))
            }
        }
        deserializer.deserialize_any(Written)
    }
}

/// A string that is never shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hidden(pub Secret<String>);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hidden, D::Error> {
        Ok(Hidden(Secret(String::deserialize(deserializer)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_units() {
        assert_eq!(span("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(span("30 s"), Some(Duration::from_secs(30)));
        assert_eq!(span("2h"), Some(Duration::from_secs(7200)));
        for bad in ["", "s", "30", "-1s", "1.5s", "30 parsecs", "99999999999999999999s", "999999999999d"] {
            assert_eq!(span(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("64KiB"), Some(65_536));
        assert_eq!(size("1_000"), Some(1000));
        assert_eq!(size("2 MB"), Some(2_000_000));
        for bad in ["", "KiB", "64kib", "1e3", "99999999999GiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
