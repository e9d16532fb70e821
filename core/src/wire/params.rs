//! Parameters behind a semicolon: those of headers (`generic-param`) and those of URIs. RFC 3261 s25.1.

use super::grammar::{NAME, PARAM, SPACE, TOKEN, VALUE, cut, cut_escaped, is, run};
use super::split::quoted_end;
use super::{Fault, ParseError};

/// The most parameters one value or URI may have.
const MOST: usize = 64;

/// A list `;name=value;name`, validated and borrowed as it came, with its first semicolon.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params<'m> {
    raw: &'m [u8],
}

/// One parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Param<'m> {
    /// The name as it was written; names are compared without case.
    pub name: &'m [u8],
    /// The value as it was written, with its quotes if it has some; `None` without `=`.
    pub raw: Option<&'m [u8]>,
}

impl<'m> Param<'m> {
    /// The value without quotes. Quoted pairs inside stay as they are.
    pub fn value(&self) -> Option<&'m [u8]> {
        self.raw.map(strip_quotes)
    }
}

impl<'m> Params<'m> {
    /// No parameters.
    pub const EMPTY: Params<'static> = Params { raw: b"" };

    /// Reads the parameters of a header value: nothing, or a semicolon and what follows it to the end.
    ///
    /// Empty parameters (`;;`) and white space around `;` and `=` are tolerated. A value is a quoted string or visible
    /// bytes without separators.
    pub fn parse(input: &'m [u8]) -> Result<Params<'m>, ParseError> {
        Params::header(input, |_, _| {}).map_err(|fault| ParseError::new("parameters", fault))
    }

    /// Like [`Params::parse`], and shows each parameter and where it ends on the way. A function of its own: inside
    /// another, its loops are short of registers.
    #[inline(never)]
    pub(crate) fn header(
        input: &'m [u8],
        mut seen: impl FnMut(Param<'m>, usize),
    ) -> Result<Params<'m>, Fault> {
        let (mut rest, mut left) = (input, MOST);
        while !rest.is_empty() {
            let (param, behind) = match plain(rest) {
                Some(found) => found,
                None => match next_odd(rest)? {
                    Some(found) => found,
                    None => break,
                },
            };
            seen(param, input.len() - behind.len());
            rest = behind;
            left = left.checked_sub(1).ok_or(Fault::TooMany)?;
        }
        Ok(Params { raw: input })
    }

    /// What is behind the URI parameters that the input begins with: what no URI parameter has, or nothing.
    #[inline(always)]
    pub(crate) fn behind_uri_params(input: &[u8]) -> Result<&[u8], Fault> {
        let mut rest = input;
        for _ in 0..MOST {
            while let [b';', behind @ ..] = rest {
                rest = behind;
            }
            let (name, mut behind) = cut_escaped(rest, PARAM);
            if name.is_empty() {
                // Nothing, or no parameter: an empty one at the end is tolerated.
                return Ok(rest);
            }
            // RFC 3261 s25.1 has no second `=`; base64 padding stands in values all the same.
            while let [b'=', value @ ..] = behind {
                (_, behind) = cut_escaped(value, PARAM);
            }
            rest = behind;
            if !matches!(rest, [b';', ..]) {
                return Ok(rest);
            }
        }
        Err(Fault::TooMany)
    }

    /// Parameters that were validated before.
    pub(crate) fn known(raw: &'m [u8]) -> Params<'m> {
        Params { raw }
    }

    /// All of it as it came, with the first semicolon; empty if there are none.
    pub fn raw(&self) -> &'m [u8] {
        self.raw
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The parameters in order.
    pub fn iter(&self) -> ParamsIter<'m> {
        ParamsIter { raw: self.raw, at: 0 }
    }

    /// The first parameter of a name, compared without case: its value as written, `Some(None)` if it has none.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<Option<&'m [u8]>> {
        self.find(name).map(|param| param.raw)
    }

    /// The first parameter of a name. Skips the others from semicolon to semicolon.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Param<'m>> {
        let mut at = 0;
        loop {
            let start = run(self.raw, at + 1, SPACE);
            let here = self.raw.get(start..)?;
            if let Some((head, tail)) = here.split_at_checked(name.len())
                && is_name(head, name)
                && !tail.first().is_some_and(|byte| is(*byte, NAME))
            {
                return next::<KNOWN>(self.raw, at).ok().flatten().map(|(param, _)| param);
            }
            at = start;
            loop {
                at += memchr::memchr2(b';', b'"', self.raw.get(at..)?)?;
                match self.raw.get(at..)? {
                    [b';', ..] => break,
                    quoted => at += quoted_end(quoted)?,
                }
            }
        }
    }

    /// The value of the first parameter of a name, without quotes; `None` also if it has no value.
    #[inline]
    pub fn value(&self, name: &[u8]) -> Option<&'m [u8]> {
        self.get(name).flatten().map(strip_quotes)
    }

    /// Whether there is a parameter of that name, compared without case.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }
}

impl<'m> IntoIterator for Params<'m> {
    type Item = Param<'m>;
    type IntoIter = ParamsIter<'m>;
    fn into_iter(self) -> ParamsIter<'m> {
        self.iter()
    }
}

/// Parameters in order.
#[derive(Clone, Debug)]
pub struct ParamsIter<'m> {
    raw: &'m [u8],
    at: usize,
}

impl<'m> Iterator for ParamsIter<'m> {
    type Item = Param<'m>;
    #[inline]
    fn next(&mut self) -> Option<Param<'m>> {
        // What was validated once reads without a fault.
        let (param, end) = next::<KNOWN>(self.raw, self.at).ok().flatten()?;
        self.at = end;
        Some(param)
    }
}

/// Names are tokens: what comes from the network.
const STRICT: bool = true;
/// Names are whatever they are: what was validated before, of a header or of a URI.
const KNOWN: bool = false;

/// What nearly all parameters are: `;name` or `;name=value`, without white space. `None` says only that [`next`]
/// must look.
#[inline(always)]
fn plain(input: &[u8]) -> Option<(Param<'_>, &[u8])> {
    let [b';', input @ ..] = input else { return None };
    let (name, behind) = cut(input, TOKEN);
    if name.is_empty() {
        return None;
    }
    match behind {
        [] | [b';', ..] => Some((Param { name, raw: None }, behind)),
        [b'=', behind @ ..] => {
            let (value, behind) = match behind {
                [b'"', ..] => behind.split_at_checked(quoted_end(behind)?)?,
                _ => cut(behind, VALUE),
            };
            let ends = matches!(behind, [] | [b';', ..]);
            ends.then_some((Param { name, raw: Some(value) }, behind))
        }
        _ => None,
    }
}

#[inline(never)]
fn next_odd(input: &[u8]) -> Result<Option<(Param<'_>, &[u8])>, Fault> {
    let next = next::<STRICT>(input, 0)?;
    Ok(next.map(|(param, end)| (param, input.get(end..).unwrap_or_default())))
}

/// The next parameter at or behind `at`, and where it ends.
#[inline(always)]
fn next<const KIND: bool>(input: &[u8], mut at: usize) -> Result<Option<(Param<'_>, usize)>, Fault> {
    loop {
        match input.get(at) {
            Some(b';') => at += 1,
            None => return Ok(None),
            Some(byte) if is(*byte, SPACE) => {
                at = run(input, at, SPACE);
                continue;
            }
            Some(_) => return Err(Fault::Malformed),
        }
        match input.get(at) {
            None | Some(b';') => {}
            Some(byte) if is(*byte, SPACE) => {
                at = run(input, at, SPACE);
                if input.get(at).is_some_and(|byte| *byte != b';') {
                    break;
                }
            }
            Some(_) => break,
        }
    }
    let start = at;
    at = run(input, at, if KIND == STRICT { TOKEN } else { NAME });
    let name = input.get(start..at).unwrap_or_default();
    if name.is_empty() {
        return Err(Fault::Malformed);
    }
    if input.get(at).is_some_and(|byte| is(*byte, SPACE)) {
        at = run(input, at, SPACE);
    }
    if input.get(at) != Some(&b'=') {
        return Ok(Some((Param { name, raw: None }, at)));
    }
    at += 1;
    if input.get(at).is_some_and(|byte| is(*byte, SPACE)) {
        at = run(input, at, SPACE);
    }
    let start = at;
    at = if input.get(at) == Some(&b'"') {
        at + input.get(at..).and_then(quoted_end).ok_or(Fault::Malformed)?
    } else {
        run(input, at, VALUE)
    };
    Ok(Some((Param { name, raw: input.get(start..at) }, at)))
}

/// Whether a parameter has this name, which is in lower case: most write it so.
#[inline(always)]
pub(crate) fn is_name(name: &[u8], known: &[u8]) -> bool {
    name.len() == known.len() && (name == known || name.eq_ignore_ascii_case(known))
}

fn strip_quotes(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

#[cfg(test)]
mod tests;
