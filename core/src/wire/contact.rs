//! Contact: RFC 3261 s20.10, with the parameters of RFC 5626 (outbound) and RFC 3840 (capabilities).

use super::params::{Param, is_name};
use super::{Fault, NameAddr, ParseError};
use crate::base::text::{clamp_u32, decimal_u32, trim};

/// One element of Contact.
#[derive(Clone, Copy, Debug)]
pub enum ContactValue<'m> {
    /// `*`: all bindings.
    Star,
    /// An address.
    Addr(NameAddr<'m>),
}

/// The `expires` parameter of a Contact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExpiresParam {
    /// Not there.
    Absent,
    /// Seconds; what does not fit 32 bits is the largest that does.
    Value(u32),
    /// There and not a number: to be taken as 3600 (RFC 3261 s20.10).
    Malformed,
}

impl<'m> ContactValue<'m> {
    /// Reads one element of a Contact header, without the commas around it.
    #[inline]
    pub fn parse(input: &'m [u8]) -> Result<ContactValue<'m>, ParseError> {
        let input = trim(input);
        if input == b"*" {
            return Ok(ContactValue::Star);
        }
        NameAddr::named("Contact", input).map(ContactValue::Addr)
    }

    /// The address; `None` for `*`.
    pub fn addr(&self) -> Option<&NameAddr<'m>> {
        match self {
            ContactValue::Star => None,
            ContactValue::Addr(addr) => Some(addr),
        }
    }

    /// The preference in thousandths, 0 to 1000; 1000 if it is not there.
    ///
    /// More than 1 is [`Fault::Range`], anything else that is no `qvalue` of RFC 3261 s25.1 [`Fault::Malformed`].
    pub fn q(&self) -> Result<u16, ParseError> {
        match self.value(b"q") {
            None => Ok(1000),
            Some(text) => qvalue(text).map_err(|fault| ParseError::new("Contact", fault)),
        }
    }

    /// The `expires` parameter.
    pub fn expires(&self) -> ExpiresParam {
        match self.value(b"expires") {
            None => ExpiresParam::Absent,
            Some(text) => clamp_u32(text).map_or(ExpiresParam::Malformed, ExpiresParam::Value),
        }
    }

    /// The `+sip.instance` parameter without its quotes and angle brackets; `None` also if it is empty.
    pub fn instance(&self) -> Option<&'m [u8]> {
        let value = self.value(b"+sip.instance")?;
        // RFC 5626 s4.1: a quoted string around angle brackets around a URN.
        let inner = value.strip_prefix(b"<").and_then(|value| value.strip_suffix(b">")).unwrap_or(value);
        (!inner.is_empty()).then_some(inner)
    }

    /// The `reg-id` parameter of RFC 5626, 1 to 2^31 - 1; `None` also if it is out of range.
    pub fn reg_id(&self) -> Option<u32> {
        self.value(b"reg-id").and_then(decimal_u32).filter(|id| (1..1 << 31).contains(id))
    }

    /// The parameters that are none of `q`, `expires`, `reg-id`, `+sip.instance`: capabilities, most of them.
    pub fn other_params(&self) -> impl Iterator<Item = Param<'m>> + use<'m> {
        let params = self.addr().map(|addr| addr.params).unwrap_or_default();
        params.iter().filter(|param| {
            ![&b"q"[..], b"expires", b"reg-id", b"+sip.instance"]
                .iter()
                .any(|known| is_name(param.name, known))
        })
    }

    /// The value of a parameter without quotes; nothing if it has none.
    fn value(&self, name: &[u8]) -> Option<&'m [u8]> {
        let param = self.addr()?.params.find(name)?;
        Some(param.value().unwrap_or_default())
    }
}

/// A `qvalue` in thousandths: up to three digits behind the point, and none is needed before it. For callers that go
/// over the parameters themselves; [`ContactValue::q`] for all others.
pub fn qvalue(text: &[u8]) -> Result<u16, Fault> {
    let dot = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let (whole, fraction) = text.split_at_checked(dot).ok_or(Fault::Malformed)?;
    let fraction = fraction.strip_prefix(b".").unwrap_or_default();
    let digits = whole.len() + fraction.len();
    if digits == 0 || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(Fault::Malformed);
    }
    if fraction.len() > 3 {
        return Err(Fault::Malformed);
    }
    let ones = if whole.is_empty() { 0 } else { decimal_u32(whole).ok_or(Fault::Range)? };
    let mut thousandths = 0;
    for place in 0..3 {
        thousandths = thousandths * 10 + fraction.get(place).map_or(0, |digit| u32::from(digit - b'0'));
    }
    match ones.saturating_mul(1000).saturating_add(thousandths) {
        value if value <= 1000 => u16::try_from(value).map_err(|_| Fault::Range),
        _ => Err(Fault::Range),
    }
}

#[cfg(test)]
mod tests;
