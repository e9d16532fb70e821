//! The phone as an event publication agent: RFC 3903 s4, one PUBLISH at a time per publication, the newest wish behind it.

use std::time::Duration;

use super::Phone;
use crate::Time;
use crate::message::Sip;
use crate::rng::Rng;

/// Where a publication stands, as the phone believes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// The first PUBLISH is on its way.
    Trying,
    /// It lives.
    Live {
        /// End of the granted time.
        until: Time,
    },
    /// It was removed.
    Gone,
    /// PUBLISH failed with this status.
    Failed {
        /// Status code; 408 and 503 may be made up.
        status: u16,
    },
}

/// What a PUBLISH does (RFC 3903 s4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Does {
    /// Initial, or modifies.
    State,
    /// Refreshes.
    Refresh,
    /// Removes.
    Remove,
}

/// A publication of the phone.
#[derive(Clone, Debug)]
pub struct Publication {
    /// What it publishes.
    pub document: Vec<u8>,
    /// Where it stands.
    pub standing: Standing,
    /// The entity tag of the last 200.
    pub etag: Option<String>,
    /// Status codes of all final answers.
    pub statuses: Vec<u16>,
    /// Seconds granted last.
    pub granted: u32,
    /// Seconds asked for.
    pub expires: u32,
    /// Header fields that replace those of the same name; an empty value leaves the field out.
    pub headers: Vec<(String, String)>,
    /// About whom it is, where it is not about the phone itself.
    pub uri: Option<String>,
    /// Event.
    pub event: String,
    /// Content-Type.
    pub kind: String,
    pub(super) branch: String,
    pub(super) wake_at: Option<Time>,
    does: Does,
    next: Option<Does>,
    call_id: String,
    cseq: u32,
    tries: u32,
}

impl Publication {
    fn new(document: &[u8], expires: u32, rng: &mut Rng) -> Publication {
        Publication {
            document: document.into(),
            standing: Standing::Trying,
            etag: None,
            statuses: Vec::new(),
            granted: 0,
            expires,
            headers: Vec::new(),
            uri: None,
            event: "presence".into(),
            kind: "application/pidf+xml".into(),
            branch: String::new(),
            wake_at: None,
            does: Does::State,
            next: None,
            call_id: rng.word(),
            cseq: rng.below(1000) as u32,
            tries: 0,
        }
    }

    /// True while the phone believes that it is published.
    pub fn is_live(&self, now: Time) -> bool {
        matches!(self.standing, Standing::Live { until } if now < until)
    }

    /// True while an answer is awaited.
    pub fn is_busy(&self) -> bool {
        !self.branch.is_empty()
    }

    pub(super) fn stop(&mut self) {
        self.wake_at = None;
        self.next = None;
        self.branch.clear();
    }
}

impl Phone {
    /// Publishes a document for so many seconds, and on. Returns the number of the publication.
    pub fn publish(&mut self, now: Time, document: impl AsRef<[u8]>, expires: u32) -> usize {
        self.publish_with(now, document, expires, &[])
    }

    /// The same, with header fields of its own.
    pub fn publish_with(
        &mut self,
        now: Time,
        document: impl AsRef<[u8]>,
        expires: u32,
        headers: &[(&str, &str)],
    ) -> usize {
        let mut publication = Publication::new(document.as_ref(), expires, &mut self.rng);
        publication.headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        self.publications.push(publication);
        let at = self.publications.len() - 1;
        self.send_publish(now, at, Does::State);
        at
    }

    /// Publishes what waits in the mailbox of somebody (RFC 3842). Returns the number of the publication.
    pub fn publish_mailbox(&mut self, now: Time, uri: &str, summary: &str, expires: u32) -> usize {
        let mut publication = Publication::new(summary.as_bytes(), expires, &mut self.rng);
        publication.uri = Some(uri.into());
        publication.event = "message-summary".into();
        publication.kind = "application/simple-message-summary".into();
        self.publications.push(publication);
        let at = self.publications.len() - 1;
        self.send_publish(now, at, Does::State);
        at
    }

    /// Publishes something else in its place.
    pub fn modify(&mut self, now: Time, publication: usize, document: impl AsRef<[u8]>) {
        self.publications[publication].document = document.as_ref().to_vec();
        self.plan_publish(now, publication, Does::State);
    }

    /// Refreshes a publication now.
    pub fn refresh_publication(&mut self, now: Time, publication: usize) {
        self.plan_publish(now, publication, Does::Refresh);
    }

    /// Removes a publication.
    pub fn unpublish(&mut self, now: Time, publication: usize) {
        self.plan_publish(now, publication, Does::Remove);
    }

    /// What it knows of a publication.
    pub fn published(&self, publication: usize) -> &Publication {
        &self.publications[publication]
    }

    /// The same, to change what it sends.
    pub fn published_mut(&mut self, publication: usize) -> &mut Publication {
        &mut self.publications[publication]
    }

    // RFC 3903 s4: no PUBLISH while another one of the same publication waits for its answer.
    fn plan_publish(&mut self, now: Time, publication: usize, does: Does) {
        let p = &mut self.publications[publication];
        p.tries = 0;
        if p.is_busy() {
            // A refresh is nothing beside what else is to be said.
            if does != Does::Refresh || p.next.is_none() {
                p.next = Some(does);
            }
            return;
        }
        self.send_publish(now, publication, does);
    }

    fn send_publish(&mut self, now: Time, publication: usize, does: Does) {
        let p = &mut self.publications[publication];
        p.wake_at = None;
        p.cseq += 1;
        p.does = does;
        let p = p.clone();
        let uri = p.uri.clone().unwrap_or_else(|| self.aor());
        let mut m = self.draft("PUBLISH", &uri, &uri);
        m.push("Call-ID", p.call_id.as_str()).push("CSeq", format!("{} PUBLISH", p.cseq));
        m.push("Event", p.event.as_str());
        m.push("Expires", if does == Does::Remove { "0".to_owned() } else { p.expires.to_string() });
        if let Some(etag) = &p.etag {
            m.push("SIP-If-Match", etag.as_str());
        }
        // RFC 3903 s4.3, s4.5: refresh and removal have no body; without a tag it is an initial one.
        if does == Does::State || p.etag.is_none() && does == Does::Refresh {
            m.push("Content-Type", p.kind.as_str());
            m.body.clone_from(&p.document);
        }
        let body = m.body.clone();
        self.add_credentials_for(&mut m, "PUBLISH", &uri, &body, p.tries);
        for (name, value) in &p.headers {
            m.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
            if !value.is_empty() {
                m.push(name, value.as_str());
            }
        }
        self.publications[publication].branch = self.start(now, "PUBLISH", &m);
    }

    pub(super) fn publish_answered(&mut self, now: Time, at: usize, status: u16, m: Option<&Sip>) {
        let p = &mut self.publications[at];
        p.statuses.push(status);
        p.branch.clear();
        p.tries += 1;
        let (tries, does) = (p.tries, p.does);
        match (status, m) {
            (200, Some(m)) => return self.was_published(now, at, m),
            (401, Some(m)) => {
                if self.take_challenge(m, tries) {
                    return self.send_publish(now, at, does);
                }
                self.publications[at].standing = Standing::Failed { status };
            }
            // RFC 3903 s4.1: the state is gone there; publish it anew, unless it was to go.
            (412, Some(_)) => {
                p.etag = None;
                if does == Does::Remove || tries > 3 {
                    p.standing = Standing::Gone;
                } else {
                    return self.send_publish(now, at, Does::State);
                }
            }
            (423, Some(m)) => {
                let least = m.header("Min-Expires").and_then(|v| v.parse().ok()).unwrap_or(3600);
                if tries < 4 && p.expires < least {
                    p.expires = least;
                    return self.send_publish(now, at, does);
                }
                p.standing = Standing::Failed { status };
            }
            (_, m) => {
                let wait = m.and_then(|m| m.header("Retry-After"));
                let wait = wait.and_then(|v| v.split([' ', ';']).next()?.parse().ok());
                if !p.is_live(now) || status != 408 && status < 500 {
                    p.standing = Standing::Failed { status };
                }
                if (status == 408 || status >= 500) && !self.habits.retry.is_zero() && !self.stopped {
                    p.tries = 0;
                    p.next = p.next.or(Some(does));
                    p.wake_at = Some(now + wait.map_or(self.habits.retry, Duration::from_secs));
                    return;
                }
            }
        }
        self.publish_next(now, at);
    }

    fn was_published(&mut self, now: Time, at: usize, m: &Sip) {
        self.take_info(m);
        let percent = self.habits.refresh_percent;
        let p = &mut self.publications[at];
        p.tries = 0;
        let Some(granted) = m.header("Expires").and_then(|v| v.parse::<u32>().ok()) else {
            return self.flaws.push("no Expires in a 200 to PUBLISH".into());
        };
        let Some(etag) = m.header("SIP-ETag") else {
            return self.flaws.push("no SIP-ETag in a 200 to PUBLISH".into());
        };
        p.granted = granted;
        if granted == 0 {
            (p.standing, p.etag, p.wake_at) = (Standing::Gone, None, None);
        } else {
            let span = Duration::from_secs(granted.into());
            (p.standing, p.etag) = (Standing::Live { until: now + span }, Some(etag.to_owned()));
            if percent > 0 && !self.stopped {
                p.wake_at = Some(now + span * percent / 100);
            }
        }
        self.publish_next(now, at);
    }

    fn publish_next(&mut self, now: Time, at: usize) {
        if let Some(does) = self.publications[at].next.take() {
            self.send_publish(now, at, does);
        }
    }

    pub(super) fn wake_publication(&mut self, now: Time, at: usize) {
        let p = &mut self.publications[at];
        if p.wake_at.is_some_and(|due| due <= now) {
            p.wake_at = None;
            let does = p.next.take().unwrap_or(Does::Refresh);
            if !p.is_busy() {
                self.send_publish(now, at, does);
            }
        }
    }
}
