//! The phone's registration: RFC 3261 s10.2, one REGISTER at a time, CSeq rising under one Call-ID.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Phone, is_for};
use crate::Time;
use crate::message::{Sip, param};
use crate::rng::Rng;

/// Where a registration stands, as the phone believes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Nothing asked.
    Idle,
    /// A REGISTER is on its way.
    Trying,
    /// The server granted it until then.
    Registered {
        /// End of the granted time, counted from the answer.
        until: Time,
    },
    /// The server has removed it.
    Gone,
    /// It failed with this status.
    Failed {
        /// Status code; 408 and 503 may be made up.
        status: u16,
    },
}

/// What the phone knows of its registration.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Where it stands.
    pub state: State,
    /// Expiry granted last, in seconds.
    pub granted: u32,
    /// `pub-gruu` granted last.
    pub public_gruu: Option<String>,
    /// `temp-gruu` granted last.
    pub temporary_gruu: Option<String>,
    /// Flow-Timer granted last.
    pub flow_timer: Option<u32>,
    /// Contacts listed in the last 200.
    pub contacts: Vec<String>,
    pub(super) tag: String,
    pub(super) branch: String,
    call_id: String,
    cseq: u32,
    wanted: u32,
    tries: u32,
    wake_at: Option<Time>,
    own_contacts: Option<Vec<String>>,
}

impl Registration {
    pub(super) fn new(rng: &mut Rng, addr: SocketAddr) -> Registration {
        Registration {
            state: State::Idle,
            granted: 0,
            public_gruu: None,
            temporary_gruu: None,
            flow_timer: None,
            contacts: Vec::new(),
            tag: rng.word(),
            branch: String::new(),
            call_id: format!("{}@{}", rng.word(), addr.ip()),
            cseq: 1 + rng.below(1000) as u32,
            wanted: 0,
            tries: 0,
            wake_at: None,
            own_contacts: None,
        }
    }

    pub(super) fn stop(&mut self) {
        self.wake_at = None;
        self.branch.clear();
        self.state = State::Idle;
    }

    pub(super) fn wake_at(&self) -> Option<Time> {
        self.wake_at
    }

    pub(super) fn wake_after(&mut self, now: Time, wait: Duration) {
        self.wake_at = Some(now + wait);
    }

    pub(super) fn is_due(&self, now: Time) -> bool {
        self.wake_at.is_some_and(|at| at <= now)
    }
}

impl Phone {
    /// Asks to be registered for so many seconds; 0 unregisters.
    pub fn register(&mut self, now: Time, expires: u32) {
        self.stopped = false;
        self.registration.wanted = expires;
        self.registration.tries = 0;
        self.registration.own_contacts = None;
        self.send_register(now);
    }

    /// Sends a REGISTER with these Contact values and this Expires, if any: none at all is a query.
    pub fn register_contacts(&mut self, now: Time, contacts: &[&str], expires: u32) {
        self.registration.wanted = expires;
        self.registration.tries = 0;
        self.registration.own_contacts = Some(contacts.iter().map(|c| (*c).to_owned()).collect());
        self.send_register(now);
    }

    pub(super) fn send_register(&mut self, now: Time) {
        self.registration.wake_at = None;
        self.registration.cseq += 1;
        let uri = format!("sip:{}", self.domain);
        let mut m = self.draft("REGISTER", &uri, &self.aor());
        let r = &self.registration;
        m.push("Call-ID", r.call_id.as_str()).push("CSeq", format!("{} REGISTER", r.cseq));
        match &r.own_contacts {
            Some(contacts) => {
                for contact in contacts {
                    m.push("Contact", contact.as_str());
                }
            }
            None => {
                m.push("Contact", self.contact_value());
            }
        }
        if r.own_contacts.as_ref().is_none_or(|c| !c.is_empty()) {
            m.push("Expires", r.wanted.to_string());
        }
        let mut supported = Vec::new();
        if self.habits.reg_id.is_some() {
            supported.extend(["path", "outbound"]);
        }
        if self.habits.gruu {
            supported.push("gruu");
        }
        if !supported.is_empty() {
            m.push("Supported", supported.join(", "));
        }
        for (name, value) in &self.habits.headers {
            m.push(name, value.as_str());
        }
        let tries = self.registration.tries;
        self.add_credentials(&mut m, "REGISTER", &uri, tries);
        self.registration.state = State::Trying;
        self.registration.branch = self.start(now, "REGISTER", &m);
    }

    fn contact_value(&self) -> String {
        let mut value = format!("<{}>", self.contact());
        if let Some(instance) = &self.habits.instance {
            value.push_str(&format!(";+sip.instance=\"<{instance}>\""));
        }
        if let Some(id) = self.habits.reg_id {
            value.push_str(&format!(";reg-id={id}"));
        }
        value
    }

    pub(super) fn register_answered(&mut self, now: Time, status: u16, m: Option<&Sip>) {
        self.registration.tries += 1;
        match (status, m) {
            (200, Some(m)) => self.registered(now, m),
            (401, Some(m)) => match self.take_challenge(m, self.registration.tries) {
                true => self.send_register(now),
                false => self.failed(now, 401, None),
            },
            (423, Some(m)) => {
                // RFC 3261 s10.2.8: ask again for at least Min-Expires.
                let least = m.header("Min-Expires").and_then(|v| v.parse().ok()).unwrap_or(3600);
                if self.registration.tries < 4 && least > self.registration.wanted {
                    self.registration.wanted = least;
                    self.send_register(now);
                } else {
                    self.failed(now, status, None);
                }
            }
            (503, Some(m)) => {
                let wait = m.header("Retry-After").and_then(|v| v.split([' ', ';']).next()?.parse().ok());
                self.failed(now, status, wait.map(Duration::from_secs));
            }
            _ => self.failed(now, status, None),
        }
    }

    fn failed(&mut self, now: Time, status: u16, wait: Option<Duration>) {
        self.registration.state = State::Failed { status };
        let retry = !self.habits.retry.is_zero() && (status == 408 || status >= 500) && !self.stopped;
        if retry {
            self.registration.tries = 0;
            self.registration.wake_after(now, wait.unwrap_or(self.habits.retry));
        }
    }

    fn registered(&mut self, now: Time, m: &Sip) {
        self.take_info(m);
        let own = self.contact();
        let r = &mut self.registration;
        r.tries = 0;
        r.contacts = m.values("Contact").into_iter().map(str::to_owned).collect();
        r.flow_timer = m.header("Flow-Timer").and_then(|v| v.parse().ok());
        // RFC 3261 s10.2.4: the granted time is that of its own Contact in the answer.
        let Some(mine) = r.contacts.iter().find(|c| is_for(c, &own)).cloned() else {
            r.state = State::Gone;
            return;
        };
        r.granted = param(&mine, "expires").and_then(|v| v.parse().ok()).unwrap_or(0);
        r.public_gruu = param(&mine, "pub-gruu").map(str::to_owned);
        r.temporary_gruu = param(&mine, "temp-gruu").map(str::to_owned);
        let granted = Duration::from_secs(r.granted.into());
        r.state = State::Registered { until: now + granted };
        if self.habits.refresh_percent > 0 && r.own_contacts.is_none() && !self.stopped {
            r.wake_at = Some(now + granted * self.habits.refresh_percent / 100);
        }
    }
}
