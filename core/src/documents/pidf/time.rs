//! Timestamps: RFC 3339, always printed in UTC.

use jiff::Timestamp;
use jiff::civil::DateTime;

use crate::base::Time;
use crate::documents::xml::trim;

/// Reads a date and time; without an offset it is taken for UTC. `None` for what is none, or lies outside of [`Time`].
pub(crate) fn parse_time(text: &str) -> Option<Time> {
    let text = trim(text);
    // jiff reads more forms than RFC 3339 has, time zones in brackets among them.
    let plain =
        |b: u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b':' | b'.' | b'T' | b't' | b'Z' | b'z');
    if text.len() > 40 || !text.bytes().all(plain) || !text.contains(['T', 't']) {
        return None;
    }
    let instant = match text.parse::<Timestamp>() {
        Ok(instant) => instant,
        Err(_) => text.parse::<DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp(),
    };
    u64::try_from(instant.as_nanosecond()).ok().map(Time::from_nanos)
}

/// `2001-10-27T16:49:29Z`, with as many digits of a fraction as it has.
pub(crate) fn format_time(time: Time) -> String {
    Timestamp::from_nanosecond(i128::from(time.as_nanos()))
        .expect("invariant: the years 1970 to 2554 are within what jiff can say")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_the_forms_that_phones_send() {
        let time = Time::from_secs(1_004_201_369);
        for text in [
            "2001-10-27T16:49:29Z",
            " 2001-10-27T16:49:29Z\n",
            "2001-10-27T18:49:29+02:00",
            "2001-10-27T16:49:29",
            "2001-10-27t16:49:29.000z",
        ] {
            assert_eq!(parse_time(text), Some(time), "{text}");
        }
        assert_eq!(format_time(time), "2001-10-27T16:49:29Z");
        assert_eq!(format_time(Time::from_millis(1_500)), "1970-01-01T00:00:01.5Z");
        assert_eq!(format_time(Time::MAX), "2554-07-21T23:34:33.709551615Z");
        assert_eq!(parse_time("2554-07-21T23:34:33.709551615Z"), Some(Time::MAX));
        for text in [
            "",
            "now",
            "2001-10-27",
            "1969-12-31T23:59:59Z",
            "2001-13-27T16:49:29Z",
            "2001-10-27T16:49:29[Europe/Paris]",
            "2554-07-21T23:34:34Z",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
