//! The Date header: `Sat, 13 Nov 2010 23:29:00 GMT`, the one form of RFC 3261 s20.17.

use core::ops::Deref;

use super::grammar::{Parsed, space, whole};
use super::{Fault, ParseError};
use crate::base::Time;
use crate::base::text::decimal_u32;
use nom::Parser;
use nom::bytes::complete::{tag, take};
use nom::combinator::{map_opt, verify};
use nom::sequence::{delimited, preceded, terminated};

const WEEKDAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// A date as text, on the stack. Dereferences to its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Date([u8; 29]);

impl Date {
    /// The second an instant lies in. `Time` ends in the year 2554, so four digits of a year are enough.
    pub fn of(time: Time) -> Date {
        let seconds = time.as_secs();
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        if let Some(name) = WEEKDAYS.get((days % 7) as usize) {
            put(&mut text, 0, *name);
        }
        put(&mut text, 5, &digits(day));
        if let Some(name) = MONTHS.get(month as usize - 1) {
            put(&mut text, 8, *name);
        }
        put(&mut text, 12, &digits(year / 100));
        put(&mut text, 14, &digits(year % 100));
        put(&mut text, 17, &digits(second / 3600));
        put(&mut text, 20, &digits(second / 60 % 60));
        put(&mut text, 23, &digits(second % 60));
        Date(text)
    }

    /// Reads a date. The day of the week must be one, and is not compared with the rest.
    ///
    /// Before 1970 or behind the end of [`Time`], or a day the month does not have, is [`Fault::Range`].
    pub fn parse(input: &[u8]) -> Result<Time, ParseError> {
        whole(input, delimited(space, fields, space))
            .and_then(|fields| instant(fields).ok_or(Fault::Range))
            .map_err(|fault| ParseError::new("Date", fault))
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Date {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Year, month, day, hour, minute, second.
type Fields = [u32; 6];

fn fields(input: &[u8]) -> Parsed<'_, Fields> {
    let weekday =
        verify(take(3_usize), |name: &[u8]| WEEKDAYS.iter().any(|day| day.eq_ignore_ascii_case(name)));
    let month = map_opt(take(3_usize), |name: &[u8]| {
        MONTHS
            .iter()
            .position(|month| month.eq_ignore_ascii_case(name))
            .and_then(|at| u32::try_from(at + 1).ok())
    });
    let sp = || tag(&b" "[..]);
    let (rest, (_, day, month, year)) = (
        terminated(weekday, tag(&b", "[..])),
        terminated(number(2), sp()),
        terminated(month, sp()),
        terminated(number(4), sp()),
    )
        .parse(input)?;
    let colon = || tag(&b":"[..]);
    let (rest, (hour, minute, second)) =
        (number(2), preceded(colon(), number(2)), preceded(colon(), number(2))).parse(rest)?;
    let (rest, _) = tag(&b" GMT"[..]).parse(rest)?;
    Ok((rest, [year, month, day, hour, minute, second]))
}

fn number<'m>(digits: usize) -> impl Parser<&'m [u8], Output = u32, Error = ()> {
    map_opt(take(digits), decimal_u32)
}

fn instant([year, month, day, hour, minute, second]: Fields) -> Option<Time> {
    // A leap second is the last second of its minute here.
    if year < 1970 || day == 0 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days(year, month, day);
    if civil(u64::from(days)) != (u64::from(year), u64::from(month), u64::from(day)) {
        return None;
    }
    let seconds = u64::from(days) * 86_400 + u64::from(hour * 3600 + minute * 60 + second.min(59));
    let time = Time::from_secs(seconds);
    (time < Time::MAX).then_some(time)
}

/// Days since the epoch of a day of the Gregorian calendar; years begin in March, eras are 400 years long.
fn days(year: u32, month: u32, day: u32) -> u32 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a number of days since the epoch: [`days`] backwards.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Two decimal digits of a number below 100.
fn digits(number: u64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

fn put(text: &mut [u8; 29], at: usize, part: &[u8]) {
    if let Some(place) = text.get_mut(at..at + part.len()) {
        place.copy_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(seconds: u64) -> String {
        String::from_utf8(Date::of(Time::from_secs(seconds)).to_vec()).expect("a date is ASCII")
    }

    #[test]
    fn the_example_of_the_rfc_reads_and_prints() {
        let time = Date::parse(b"Sat, 13 Nov 2010 23:29:00 GMT").expect("RFC 3261 s20.17");
        assert_eq!(time, Time::from_secs(1_289_690_940));
        assert_eq!(text(1_289_690_940), "Sat, 13 Nov 2010 23:29:00 GMT");
    }

    #[test]
    fn days_at_the_edges_print() {
        assert_eq!(text(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(text(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(text(4_107_542_399), "Sun, 28 Feb 2100 23:59:59 GMT");
        assert_eq!(text(4_107_542_400), "Mon, 01 Mar 2100 00:00:00 GMT");
        assert_eq!(text(u64::MAX), "Sun, 21 Jul 2554 23:34:33 GMT");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for (text, fault) in [
            (&b""[..], Fault::Malformed),
            (b"Sat, 13 Nov 2010 23:29:00", Fault::Malformed),
            (b"Sat, 13 Nov 2010 23:29:00 EST", Fault::Malformed),
            (b"Sat, 13 Nov 2010 23:29:00 GMT x", Fault::Malformed),
            (b"Xat, 13 Nov 2010 23:29:00 GMT", Fault::Malformed),
            (b"Sat, 13 Nox 2010 23:29:00 GMT", Fault::Malformed),
            (b"Sat, 1 Nov 2010 23:29:00 GMT", Fault::Malformed),
            (b"Saturday, 13-Nov-10 23:29:00 GMT", Fault::Malformed),
            (b"Sat, 31 Nov 2010 23:29:00 GMT", Fault::Range),
            (b"Sat, 00 Nov 2010 23:29:00 GMT", Fault::Range),
            (b"Sat, 29 Feb 2100 23:29:00 GMT", Fault::Range),
            (b"Sat, 13 Nov 2010 24:00:00 GMT", Fault::Range),
            (b"Sat, 13 Nov 2010 23:60:00 GMT", Fault::Range),
            (b"Sat, 13 Nov 1969 23:29:00 GMT", Fault::Range),
            (b"Sat, 13 Nov 9999 23:29:00 GMT", Fault::Range),
        ] {
            assert_eq!(Date::parse(text), Err(ParseError::new("Date", fault)), "{}", text.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn a_printed_date_reads_as_the_same_second(seconds in 0..18_446_744_073_u64) {
            let date = Date::of(Time::from_secs(seconds));
            prop_assert_eq!(Date::parse(&date), Ok(Time::from_secs(seconds)));
        }

        #[test]
        fn the_calendar_agrees_with_jiff(seconds in 0..18_446_744_073_i64) {
            let jiff = jiff::Timestamp::from_second(seconds).expect("in range");
            let text = jiff.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            prop_assert_eq!(text.as_bytes(), &*Date::of(Time::from_secs(seconds as u64)));
        }
    }
}
