//! The phone's instant messages (RFC 3428): what it sends, each proved when it is asked, and what it gets.

use super::watcher::Say;
use super::{Phone, Transaction};
use crate::Time;
use crate::message::Sip;

/// A message the phone sends.
#[derive(Clone, Debug)]
pub struct Text {
    /// To whom: a URI.
    pub to: String,
    /// What it says.
    pub body: String,
    /// Header fields beside the usual ones; those of the same name are replaced.
    pub headers: Vec<(String, String)>,
    /// Status codes of all final answers.
    pub statuses: Vec<u16>,
    branch: String,
    call_id: String,
    cseq: u32,
}

impl Text {
    /// The last final answer.
    pub fn status(&self) -> Option<u16> {
        self.statuses.last().copied()
    }
}

/// A message the phone got. A repeated request is the same message.
#[derive(Clone, Debug)]
pub struct Got {
    /// When it came first.
    pub at: Time,
    /// What it says.
    pub body: String,
    /// What the phone said to it; `None` for nothing.
    pub said: Option<u16>,
    /// The request.
    pub message: Sip,
}

impl Phone {
    /// Sends a message. Returns its number.
    pub fn text(&mut self, now: Time, to: &str, body: &str) -> usize {
        self.text_with(now, to, body, &[])
    }

    /// The same, with header fields of its own.
    pub fn text_with(&mut self, now: Time, to: &str, body: &str, headers: &[(&str, &str)]) -> usize {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let (call_id, statuses) = (self.rng.word(), Vec::new());
        let (to, body, branch) = (to.to_owned(), body.to_owned(), String::new());
        self.texts.push(Text { to, body, headers, statuses, branch, call_id, cseq: 0 });
        let at = self.texts.len() - 1;
        self.send_text(now, at);
        at
    }

    /// What it knows of a message it sent.
    pub fn sent(&self, text: usize) -> &Text {
        &self.texts[text]
    }

    /// Messages it got, oldest first.
    pub fn inbox(&self) -> &[Got] {
        &self.inbox
    }

    /// What those say to which the phone said 2xx.
    pub fn read(&self) -> Vec<&str> {
        let taken = |got: &&Got| got.said.is_some_and(|status| status < 300);
        self.inbox.iter().filter(taken).map(|got| got.body.as_str()).collect()
    }

    fn send_text(&mut self, now: Time, at: usize) {
        let text = &mut self.texts[at];
        text.cseq += 1;
        let tries = text.statuses.len() as u32;
        let text = text.clone();
        let mut m = self.draft("MESSAGE", &text.to, &text.to);
        m.push("Call-ID", text.call_id.as_str()).push("CSeq", format!("{} MESSAGE", text.cseq));
        m.push("Content-Type", "text/plain;charset=UTF-8");
        m.body = text.body.clone().into_bytes();
        let body = m.body.clone();
        self.add_credentials_for(&mut m, "MESSAGE", &text.to, &body, tries);
        for (name, value) in &text.headers {
            m.set(name, value.as_str());
        }
        self.texts[at].branch = self.start(now, "MESSAGE", &m);
    }

    /// True if the answer was to a message.
    pub(super) fn text_answered(&mut self, now: Time, t: &Transaction, status: u16, m: Option<&Sip>) -> bool {
        let Some(at) = self.texts.iter().position(|text| text.branch == t.branch) else { return false };
        self.texts[at].statuses.push(status);
        let tries = self.texts[at].statuses.len() as u32;
        let Some(m) = m else { return true };
        if status == 401 && self.take_challenge(m, tries) {
            self.send_text(now, at);
        } else if status < 300 {
            self.take_info(m);
            // RFC 3428 s7.
            if !m.body.is_empty() || m.header("Contact").is_some() {
                self.flaws.push("a 2xx to MESSAGE with a body or a Contact".into());
            }
        }
        true
    }

    /// A message came, for the first time.
    pub(super) fn texted(&mut self, now: Time, m: &Sip) -> Say {
        // RFC 3428 s4, s9: table 1 and 2.
        for name in ["Contact", "Record-Route", "Authorization", "Proxy-Authorization"] {
            if m.header(name).is_some() {
                self.flaws.push(format!("a MESSAGE with {name}"));
            }
        }
        if m.header("Max-Forwards").is_none() || !m.header("From").is_some_and(|from| from.contains(";tag="))
        {
            self.flaws.push("a MESSAGE without Max-Forwards or a From tag".into());
        }
        let said = self.habits.texts;
        let body = String::from_utf8_lossy(&m.body).into_owned();
        self.inbox.push(Got { at: now, body, said, message: m.clone() });
        said.map_or(Say::Nothing, Say::Status)
    }
}
