//! How many branches a call may have at once, here and further on: RFC 5393 s5.3, RFC 7332 s6.
//!
//! It is copied and divided, and never counted down from hop to hop: that is what Max-Forwards is for, and RFC 5393 s5.3.3
//! forbids it of this one. Of DECISIONS 22 only the copying is for both.
//!
//! What a caller allows, at most [`MOST`], is divided among those who ring together. Who would be left with none rings
//! when the others have ended: the search goes on serially. What one group was given is there for the next one again. Of a
//! branch that was cancelled nothing more is counted, although its final response may be out: a phone that is gone gives
//! none, and what CANCEL reaches forks no further.

use super::call::{Call, Hop};
use crate::ctx::Refusal;
use crate::wire::{Header, Message, Status};

/// RFC 5393 s5.3.3: what a request is given that has none, and the most that one may have.
const MOST: u16 = 60;

/// What an INVITE allows: refused with 440 if that is nothing.
pub(super) fn check(msg: Message<'_>) -> Result<u16, Refusal> {
    let Some(value) = msg.header(Header::MaxBreadth) else { return Ok(MOST) };
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    // RFC 5393 s5.3.1: one positive number, and nothing else.
    match crate::base::text::clamp_u32(value).filter(|_| digits) {
        None => Err(Refusal::because(Status::BAD_REQUEST, "Malformed Max-Breadth")),
        Some(0) => Err(Refusal::plain(Status::MAX_BREADTH_EXCEEDED)),
        Some(breadth) => Ok(breadth.min(u32::from(MOST)) as u16),
    }
}

/// What is given to each of so many: all of it, and those who are first get what cannot be divided.
fn share(breadth: u16, of: usize, which: usize) -> u16 {
    let of = of.clamp(1, usize::from(u16::MAX)) as u16;
    breadth / of + u16::from(which < usize::from(breadth % of))
}

impl Call {
    /// Those of a group who may ring together, each with its share; the others are the next group.
    pub(super) fn within_breadth(&mut self, mut group: Vec<Hop>) -> Vec<Hop> {
        let breadth = self.incoming.as_ref().map_or(MOST, |incoming| incoming.breadth);
        if group.len() > usize::from(breadth) {
            self.queue.push_front(group.split_off(breadth.into()));
        }
        let of = group.len();
        for (i, hop) in group.iter_mut().enumerate() {
            hop.breadth = share(breadth, of, i);
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_is_given_and_nobody_gets_nothing() {
        for breadth in 1..=MOST {
            for of in 1..=usize::from(breadth) {
                let shares = (0..of).map(|i| share(breadth, of, i));
                assert_eq!(shares.clone().sum::<u16>(), breadth);
                assert!(
                    shares.clone().min() > Some(0) && shares.clone().max() <= shares.min().map(|s| s + 1)
                );
            }
        }
    }
}
