//! A phone without a mind of its own: it sends what it is told, and reads what comes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use strowger_core::door::Transport;

use crate::wire::Wire;

/// What a dialog is made of (RFC 3261 s12).
#[derive(Clone)]
struct Dialog {
    call_id: String,
    local: String,
    remote: String,
    target: String,
}

/// A request as it was sent.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) uri: String,
    pub(crate) from: String,
    to: String,
    call_id: String,
    cseq: u32,
    branch: String,
    pub(crate) fields: Vec<String>,
    pub(crate) body: String,
}

pub(crate) struct Phone {
    pub(crate) name: String,
    pub(crate) local: SocketAddr,
    transport: Transport,
    wire: Wire,
    /// On UDP what is not answered in time comes again.
    heard: BTreeSet<String>,
    requests: BTreeMap<String, String>,
    responses: BTreeMap<String, String>,
    pub(crate) sent: BTreeMap<String, Sent>,
    dialogs: BTreeMap<String, Dialog>,
    count: u32,
}

/// The value of a header field.
pub(crate) fn field<'m>(message: &'m str, name: &str) -> Option<&'m str> {
    let head = message.split("\r\n\r\n").next().unwrap_or_default();
    head.split("\r\n").skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn uri_of(value: &str) -> String {
    let inner = value.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or(value, |(uri, _)| uri).to_owned()
}

impl Phone {
    pub(crate) fn new(name: &str, transport: Transport, wire: Wire) -> Phone {
        Phone {
            name: name.into(),
            local: wire.local,
            transport,
            wire,
            heard: BTreeSet::new(),
            requests: BTreeMap::new(),
            responses: BTreeMap::new(),
            sent: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            count: 0,
        }
    }

    /// Its Contact.
    pub(crate) fn me(&self) -> String {
        format!("sip:{}@{};transport={}", self.name, self.host(), self.transport.uri_param())
    }

    /// Where it is; RFC 7118 appendix B.1: a browser does not know.
    fn host(&self) -> String {
        match self.transport {
            Transport::Ws | Transport::Wss => format!("{}.invalid", self.name),
            _ => self.local.to_string(),
        }
    }

    fn dialog_of(method: &str) -> &'static str {
        if matches!(method, "SUBSCRIBE" | "NOTIFY") { "SUBSCRIBE" } else { "INVITE" }
    }

    /// Sends a request: to a URI, or within a dialog.
    pub(crate) fn request(&mut self, method: &str, uri: Option<&str>, fields: &[String], body: &str) {
        self.count += 1;
        let branch = format!("z9hG4bK-{}-{}", self.name, self.count);
        let own = format!("<sip:{}@example.com>", self.name);
        let dialog = self.dialogs.get(Phone::dialog_of(method)).cloned();
        let invite = self.sent.get("INVITE").cloned();
        let failed = self.responses.get("INVITE").is_some_and(|response| response.as_str() >= "SIP/2.0 300");
        let mut sent = match (method, uri, dialog, invite) {
            // RFC 3261 s9.1, s17.1.1.3: of the same transaction.
            ("CANCEL", ..) | ("ACK", ..) if method == "CANCEL" || failed => {
                let invite = self.sent["INVITE"].clone();
                let response = self.responses.get("INVITE").and_then(|response| field(response, "To"));
                let to = if failed { response.unwrap_or(&invite.to).to_owned() } else { invite.to.clone() };
                Sent { to, ..invite }
            }
            (_, Some(uri), ..) => Sent {
                uri: uri.into(),
                from: format!("{own};tag={}-{}", self.name, self.count),
                to: if method == "REGISTER" { own } else { format!("<{uri}>") },
                call_id: format!("{}-{}@phone", self.name, self.count),
                cseq: self.count,
                branch,
                fields: Vec::new(),
                body: String::new(),
            },
            (_, None, Some(dialog), invite) => Sent {
                uri: dialog.target,
                from: dialog.local,
                to: dialog.remote,
                call_id: dialog.call_id,
                cseq: match invite {
                    Some(invite) if method == "ACK" => invite.cseq,
                    _ => self.count,
                },
                branch,
                fields: Vec::new(),
                body: String::new(),
            },
            (_, None, None, _) => panic!("{} has no dialog for {method}", self.name),
        };
        (sent.fields, sent.body) = (fields.to_vec(), body.into());
        self.put(method, &sent);
        if !matches!(method, "ACK" | "CANCEL") {
            self.responses.remove(method);
            self.sent.insert(method.into(), sent);
        }
    }

    /// Sends the last request of this method again, with one header field more.
    pub(crate) fn again(&mut self, method: &str, credentials: String) {
        self.count += 1;
        let mut sent = self.sent[method].clone();
        sent.cseq = self.count;
        sent.branch = format!("z9hG4bK-{}-{}", self.name, self.count);
        sent.fields.push(credentials);
        self.responses.remove(method);
        self.put(method, &sent);
        self.sent.insert(method.into(), sent);
    }

    fn put(&mut self, method: &str, sent: &Sent) {
        let Sent { uri, from, to, call_id, cseq, branch, fields, body } = sent;
        let (host, via) = (self.host(), self.transport.via_token());
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{via} {host};branch={branch};rport\r\nMax-Forwards: 70\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n"
        );
        let is_given = fields.iter().any(|line| line.starts_with("Contact:"));
        if !is_given && !matches!(method, "ACK" | "CANCEL" | "BYE" | "REGISTER" | "PUBLISH" | "MESSAGE") {
            text += &format!("Contact: <{}>\r\n", self.me());
        }
        self.end(text, fields, body);
    }

    fn end(&mut self, mut text: String, fields: &[String], body: &str) {
        for line in fields {
            text += line;
            text += "\r\n";
        }
        text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        self.wire.write(&text).expect("sent");
    }

    /// Answers the last request of this method.
    pub(crate) fn answer(&mut self, status: &str, method: &str, fields: &[String], body: &str) {
        let request = self.requests.get(method).unwrap_or_else(|| panic!("{} heard no {method}", self.name));
        let value = |name| field(request, name).unwrap_or_default().to_owned();
        let head = request.split("\r\n\r\n").next().unwrap_or_default();
        let vias: String = head
            .split("\r\n")
            .filter(|line| line.starts_with("Via:"))
            .map(|line| format!("{line}\r\n"))
            .collect();
        let mut to = value("To");
        if !to.contains(";tag=") && status != "100" {
            to += &format!(";tag={}", self.name);
        }
        let (from, call_id, cseq, target) =
            (value("From"), value("Call-ID"), value("CSeq"), value("Contact"));
        let mut text = format!(
            "SIP/2.0 {status} Scripted\r\n{vias}From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n"
        );
        if matches!(method, "INVITE" | "SUBSCRIBE" | "UPDATE") && status < "300" {
            text += &format!("Contact: <{}>\r\n", self.me());
            let dialog = Dialog { call_id, local: to, remote: from, target: uri_of(&target) };
            self.dialogs.insert(Phone::dialog_of(method).into(), dialog);
        }
        self.end(text, fields, body);
    }

    /// The next message that is none of those that came before.
    pub(crate) fn hear(&mut self) -> String {
        let text = loop {
            let text =
                self.wire.read().unwrap_or_else(|error| panic!("{} hears nothing: {error}", self.name));
            if self.heard.insert(text.clone()) {
                break text;
            }
        };
        let (_, method) = field(&text, "CSeq").and_then(|cseq| cseq.split_once(' ')).expect("a CSeq");
        let method = method.to_owned();
        if text.starts_with("SIP/2.0 ") {
            if matches!(&*method, "INVITE" | "SUBSCRIBE")
                && text.as_str() < "SIP/2.0 300"
                && field(&text, "To").is_some_and(|to| to.contains(";tag="))
            {
                let value = |name| field(&text, name).unwrap_or_default().to_owned();
                let dialog = Dialog {
                    call_id: value("Call-ID"),
                    local: value("From"),
                    remote: value("To"),
                    target: uri_of(&value("Contact")),
                };
                self.dialogs.insert(method.clone(), dialog);
            }
            self.responses.insert(method, text.clone());
        } else {
            self.requests.insert(method, text.clone());
        }
        text
    }

    /// The last answer to a request of this method.
    pub(crate) fn response(&self, method: &str) -> Option<&str> {
        self.responses.get(method).map(String::as_str)
    }
}
