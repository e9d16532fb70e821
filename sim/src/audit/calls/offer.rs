//! Offers and answers of one dialog, from both sides: RFC 3264, RFC 3261 s13.2.1, RFC 6337.

use super::laws::{ANSWER, Law, OFFER, ORIGIN, SAME_ANSWER};
use crate::message::Sip;

/// Who said something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum By {
    /// The engine.
    Us,
    /// The other side.
    Them,
}

/// Where the exchange stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exchange {
    /// Nothing was said.
    Nothing,
    /// An offer waits.
    Offered(By),
    /// The last offer has its answer.
    Agreed,
}

/// What kind of message carries or could carry a description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Carrier {
    /// The first INVITE or one within the dialog, PRACK, UPDATE.
    Request,
    /// An unreliable provisional response.
    Preview,
    /// A reliable provisional response.
    Reliable,
    /// A 2xx to INVITE; whether the INVITE had an offer, and whether it is the first.
    Accepts { offered: bool, first: bool },
    /// A 2xx to PRACK or UPDATE; whether that had an offer.
    Agrees { offered: bool },
    /// The ACK of a 2xx; whether its INVITE had an offer.
    Ack { offered: bool },
}

/// The exchange of one dialog.
#[derive(Clone, Debug)]
pub(super) struct Talks {
    pub(super) stands: Exchange,
    /// The number of the last request that could say something: an older one may be refused once more.
    asked: Option<u32>,
    /// What we said last.
    said: Option<String>,
    /// What we said first as an answer to the first INVITE.
    answered: Option<String>,
}

pub(super) fn description(m: &Sip) -> Option<String> {
    let sdp = m.header("Content-Type").is_some_and(|v| v.to_ascii_lowercase().starts_with("application/sdp"));
    (sdp && !m.body.is_empty()).then(|| String::from_utf8_lossy(&m.body).into_owned())
}

impl Talks {
    /// A dialog of an INVITE, from this side, with or without an offer.
    pub(super) fn new(invite: &Sip, by: By) -> Talks {
        let sdp = description(invite);
        let stands = if sdp.is_some() { Exchange::Offered(by) } else { Exchange::Nothing };
        Talks { stands, asked: number(invite), said: sdp.filter(|_| by == By::Us), answered: None }
    }

    /// Takes what a message says; what is wrong with it, if we said it.
    pub(super) fn take(&mut self, by: By, carrier: Carrier, m: &Sip) -> Option<(Law, String)> {
        let sdp = description(m);
        // RFC 3261 s14.2: it crosses ours, and will be refused.
        let crosses =
            carrier == Carrier::Request && by == By::Them && self.stands == Exchange::Offered(By::Us);
        if crosses && m.method() == "INVITE" {
            return None;
        }
        // An offer before the last one has its answer will be refused; that one still waits.
        let too_soon = by == By::Them && self.stands == Exchange::Offered(By::Them);
        if carrier == Carrier::Request && !too_soon {
            self.asked = number(m);
        }
        let found = match sdp {
            Some(sdp) => {
                let found = self.described(by, carrier, &sdp);
                let origin = (by == By::Us).then(|| self.origin(&sdp)).flatten();
                if by == By::Us {
                    self.said = Some(sdp);
                }
                found.or(origin)
            }
            None => self.bare(by, carrier),
        };
        found.filter(|_| by == By::Us).map(|(law, why)| (law, format!("{why} in {}", m.start)))
    }

    /// An offer was refused: what was agreed before it still is.
    pub(super) fn refused(&mut self, m: &Sip) {
        if number(m) == self.asked {
            self.stands = Exchange::Agreed;
        }
    }

    fn described(&mut self, by: By, carrier: Carrier, sdp: &str) -> Option<(Law, String)> {
        let theirs = if by == By::Us { By::Them } else { By::Us };
        let fault = |law: Law, why: &str| Some((law, why.to_owned()));
        match (carrier, self.stands) {
            (Carrier::Preview, _) => return self.same(by, sdp),
            (Carrier::Ack { offered: true }, _) => return fault(ANSWER, "an answer to nothing"),
            (_, Exchange::Offered(who)) if who == theirs => {
                self.stands = Exchange::Agreed;
                return match carrier {
                    // RFC 3262 s5, RFC 3261 s13.2.1: an answer belongs to what answers the offer.
                    Carrier::Request => None,
                    _ => self.same(by, sdp),
                };
            }
            (_, Exchange::Offered(_)) => return fault(OFFER, "a second offer"),
            (Carrier::Reliable | Carrier::Accepts { offered: true, first: true }, Exchange::Agreed) => {
                return self.same(by, sdp);
            }
            (Carrier::Accepts { offered: false, first: true }, Exchange::Agreed) => {
                return fault(OFFER, "an offer after an exchange by reliable responses");
            }
            (Carrier::Ack { .. }, _) => return fault(ANSWER, "an answer to nothing"),
            (Carrier::Agrees { .. }, _) => return fault(ANSWER, "an answer to nothing"),
            _ => {}
        }
        self.stands = Exchange::Offered(by);
        None
    }

    fn bare(&mut self, by: By, carrier: Carrier) -> Option<(Law, String)> {
        let theirs = if by == By::Us { By::Them } else { By::Us };
        let waits = self.stands == Exchange::Offered(theirs);
        let fault = |why: &str| Some((ANSWER, why.to_owned()));
        match carrier {
            Carrier::Accepts { offered: true, .. } if waits => fault("no answer"),
            Carrier::Accepts { offered: false, first } if !first || self.stands == Exchange::Nothing => {
                fault("no offer")
            }
            Carrier::Agrees { offered: true } if waits => fault("no answer"),
            // RFC 3311 s5.1: what the callee offered after his answer waits for that of an UPDATE.
            Carrier::Ack { offered: false } if waits => fault("no answer"),
            _ => None,
        }
    }

    // RFC 3261 s13.2.1: the same exact answer, wherever it is said.
    fn same(&mut self, by: By, sdp: &str) -> Option<(Law, String)> {
        if by == By::Them {
            return None;
        }
        let before = self.answered.get_or_insert_with(|| sdp.to_owned());
        (before != sdp).then(|| (SAME_ANSWER, format!("{before:?} became {sdp:?}")))
    }

    /// A new exchange begins: another answer may follow.
    pub(super) fn again(&mut self) {
        self.answered = None;
    }

    fn origin(&self, sdp: &str) -> Option<(Law, String)> {
        let before = self.said.as_deref()?;
        let (old, new) = (origin(before)?, origin(sdp)?);
        // The numbers are those of the other leg: one that was refused there is missing here.
        let rises = if before == sdp { new.1 == old.1 } else { new.1 > old.1 };
        (new.0 != old.0 || !rises).then(|| (ORIGIN, format!("{old:?} became {new:?}")))
    }
}

fn number(m: &Sip) -> Option<u32> {
    m.cseq().map(|(number, _)| number)
}

/// Username with session id, and version.
fn origin(sdp: &str) -> Option<(String, u64)> {
    let line = sdp.lines().find_map(|line| line.strip_prefix("o="))?;
    let words: Vec<&str> = line.split(' ').collect();
    Some((format!("{} {}", words.first()?, words.get(1)?), words.get(2)?.parse().ok()?))
}
