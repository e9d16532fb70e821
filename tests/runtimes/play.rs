//! Plays a scenario, and writes down what the phones hear.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use strowger_core::door::Transport;
use strowger_sim::digest::{Answer, Challenge, authorization};

use crate::normal::Normal;
use crate::phone::{Phone, field};
use crate::secure::Certificate;
use crate::servers::{PASSWORD, Running, Runtime, start};
use crate::wire::Wire;

/// One line of a scenario, with the lines below it.
struct Step<'s> {
    line: &'s str,
    fields: Vec<String>,
    body: String,
}

fn steps(scenario: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for line in scenario.lines() {
        let line = line.split(" # ").next().unwrap_or_default().trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match (line.strip_prefix("    "), steps.last_mut()) {
            (Some(below), Some(step)) => match below.strip_prefix('|') {
                Some(text) => step.body += &format!("{}\r\n", text.strip_prefix(' ').unwrap_or(text)),
                None => step.fields.push(below.into()),
            },
            _ => steps.push(Step { line, fields: Vec::new(), body: String::new() }),
        }
    }
    steps
}

/// The transcript, with a server at this address.
pub(crate) fn play(runtime: Runtime, (transport, ip): (Transport, IpAddr), scenario: &str) -> String {
    let mut steps = steps(scenario).into_iter();
    let first = steps.next().expect("a line for the server").line;
    let words: Vec<&str> = first.strip_prefix("server ").expect("a line for the server").split(' ').collect();
    let server = start(runtime, (transport, ip), &words);
    let mut normal = Normal::default();
    normal.port(server.addr.port(), "server");
    let mut stage = Stage { transport, server, phones: BTreeMap::new(), normal, transcript: String::new() };
    for step in steps {
        if step.line == "server ends" {
            let Stage { server, mut transcript, .. } = stage;
            let ended = (server.into_end())();
            let _ = writeln!(transcript, "the server ended: {ended}");
            return transcript;
        }
        stage.act(&step);
    }
    let Stage { server, transcript, .. } = stage;
    server.handle.shutdown().expect("running");
    assert!((server.into_end())(), "it ends in order");
    transcript
}

struct Stage {
    transport: Transport,
    server: Running,
    phones: BTreeMap<String, Phone>,
    normal: Normal,
    transcript: String,
}

impl Stage {
    fn act(&mut self, step: &Step<'_>) {
        let line = step.line;
        if line == "server drains" {
            let _ = writeln!(self.transcript, "the server drains\n");
            return self.server.handle.drain(Duration::from_secs(30)).expect("running");
        }
        let name = line.split([':', ' ']).next().unwrap_or_default().to_owned();
        if !self.phones.contains_key(&name) {
            let trust = self.server.certificate.as_ref().map(Certificate::believer);
            let wire = Wire::open(self.transport, self.server.addr, trust.as_ref()).expect("a way there");
            let phone = Phone::new(&name, self.transport, wire);
            self.normal.port(phone.local.port(), &name);
            self.phones.insert(name.clone(), phone);
        }
        let phone = self.phones.get_mut(&name).expect("just made");
        let fill = |text: &str| {
            let text = text.replace("{me}", &phone.me()).replace("{token}", &self.server.token);
            text.replace("{server}", &self.server.addr.to_string())
        };
        let fields: Vec<String> = step.fields.iter().map(|line| fill(line)).collect();
        let rest = line[name.len()..].trim_start_matches(':').trim();
        let mut words = rest.split(' ');
        match (words.next().unwrap_or_default(), words.next()) {
            ("<", Some(wanted)) => {
                let heard = phone.hear();
                let first = heard.lines().next().unwrap_or_default();
                let is_wanted = first.split(' ').any(|word| word == wanted);
                assert!(is_wanted, "{line}: {heard}\nafter\n{}", self.transcript);
                let shown = self.normal.message(&heard);
                let _ = writeln!(self.transcript, "{name} hears\n{}\n", indented(shown.trim_end()));
            }
            ("proves", Some(method)) => {
                let _ = writeln!(self.transcript, "{name} proves who she is: {method}\n");
                let credentials = prove(phone, method);
                phone.again(method, credentials);
            }
            (status, Some(method)) if status.bytes().all(|b| b.is_ascii_digit()) => {
                let _ = writeln!(self.transcript, "{name} answers {status} {method}\n");
                phone.answer(status, method, &fields, &step.body);
            }
            (method, uri) => {
                let _ = writeln!(self.transcript, "{name} sends {rest}\n");
                phone.request(method, uri, &fields, &step.body);
            }
        }
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Credentials for the first challenge that was heard.
fn prove(phone: &Phone, method: &str) -> String {
    let challenged = phone.response(method).expect("a challenge");
    let (name, value) =
        [("Authorization", "WWW-Authenticate"), ("Proxy-Authorization", "Proxy-Authenticate")]
            .into_iter()
            .find_map(|(answer, challenge)| Some((answer, field(challenged, challenge)?)))
            .expect("a challenge");
    let sent = &phone.sent[method];
    let challenge = Challenge::read(value).expect("Digest");
    let answer = Answer {
        username: &phone.name,
        password: PASSWORD,
        method,
        uri: &sent.uri,
        body: sent.body.as_bytes(),
        nc: 1,
        cnonce: "scripted",
        integrity: false,
        hide_name: false,
    };
    format!("{name}: {}", authorization(&challenge, &answer))
}
