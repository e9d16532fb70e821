//! DNS messages on the wire: one question out, the records that answer it back. RFC 1035 s4, RFC 2782, RFC 3403.
//!
//! Total on any bytes: a name that points forward, or at itself, ends the reading, and so does a record that is longer than
//! the message.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Data, Kind, Question};

const IN: u16 = 1;
const CNAME: u16 = 5;
const SOA: u16 = 6;
/// A name has at most 255 bytes, and so at most as many labels.
const LABELS: usize = 128;
/// Aliases that are followed within an answer.
const ALIASES: usize = 8;
/// Records looked at in a message.
const RECORDS: usize = 512;

impl Kind {
    const fn code(self) -> u16 {
        match self {
            Kind::A => 1,
            Kind::Aaaa => 28,
            Kind::Srv => 33,
            Kind::Naptr => 35,
        }
    }
}

/// What a response says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Reply {
    /// These records, perhaps none, and for how many seconds.
    Records(Vec<Data>, u32),
    /// It did not fit.
    Truncated,
    /// The server does not know, or does not want to say.
    Refused,
}

/// The question as a datagram; `None` if the name cannot be asked for.
pub(super) fn query(id: u16, question: &Question) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(64);
    out.extend(id.to_be_bytes());
    // RFC 1035 s4.1.1: a query that wants the server to ask on.
    out.extend([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
    if question.name.len() > 253 {
        return None;
    }
    for label in question.name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?;
        out.push(length);
        out.extend(label.bytes());
    }
    out.push(0);
    out.extend(question.kind.code().to_be_bytes());
    out.extend(IN.to_be_bytes());
    Some(out)
}

/// Is this a response to that question? Anything else is not for us, or forged.
pub(super) fn is_reply(message: &[u8], id: u16, question: &Question) -> bool {
    opened(message, id, question).is_some()
}

/// Reads the response to a question; `None` if it is none, or malformed.
pub(super) fn reply(message: &[u8], id: u16, question: &Question) -> Option<Reply> {
    let (mut reader, head) = opened(message, id, question)?;
    if head.truncated {
        return Some(Reply::Truncated);
    }
    // RFC 1035 s4.1.1, RFC 2308 s2: 0 has an answer, or none of this kind; 3 says that there is no such name.
    if !matches!(head.rcode, 0 | 3) {
        return Some(Reply::Refused);
    }
    let mut records = Vec::new();
    for _ in 0..head.answers.min(RECORDS) {
        records.push(reader.record()?);
    }
    let (mut name, mut ttl) = (question.name.clone(), u32::MAX);
    for _ in 0..ALIASES {
        let alias = records.iter().find_map(|record| match &record.data {
            RecordData::Alias(to) if record.name == name => Some((to.clone(), record.ttl)),
            _ => None,
        });
        let Some((to, alias_ttl)) = alias else { break };
        (name, ttl) = (to, ttl.min(alias_ttl));
    }
    let mut found = Vec::new();
    for record in records {
        if let RecordData::Data(kind, data) = record.data
            && (kind, &record.name) == (question.kind, &name)
        {
            ttl = ttl.min(record.ttl);
            found.push(data);
        }
    }
    if found.is_empty() {
        // RFC 2308 s5: that there is nothing holds as long as the SOA says.
        ttl = 0;
        for _ in 0..head.authorities.min(RECORDS) {
            match reader.record() {
                Some(Record { data: RecordData::Nothing(minimum), ttl: own, .. }) => ttl = minimum.min(own),
                Some(_) => {}
                None => break,
            }
        }
    }
    Some(Reply::Records(found, ttl))
}

struct Head {
    truncated: bool,
    rcode: u8,
    answers: usize,
    authorities: usize,
}

/// Reads header and question.
fn opened<'m>(message: &'m [u8], id: u16, question: &Question) -> Option<(Reader<'m>, Head)> {
    let mut reader = Reader { message, at: 0 };
    let (own, flags) = (reader.u16()?, reader.u16()?);
    let [questions, answers, authorities, _] = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
    // A response, of a plain query, to one question.
    if own != id || flags & 0xF800 != 0x8000 || questions != 1 {
        return None;
    }
    let (name, kind, class) = (reader.name()?, reader.u16()?, reader.u16()?);
    if name != question.name || kind != question.kind.code() || class != IN {
        return None;
    }
    let head = Head {
        truncated: flags & 0x0200 != 0,
        rcode: (flags & 0x0F) as u8,
        answers: usize::from(answers),
        authorities: usize::from(authorities),
    };
    Some((reader, head))
}

struct Record {
    name: String,
    ttl: u32,
    data: RecordData,
}

enum RecordData {
    Data(Kind, Data),
    Alias(String),
    Nothing(u32),
    Other,
}

struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Reader<'m> {
    fn take(&mut self, count: usize) -> Option<&'m [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.message.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// A text of at most 255 bytes.
    fn text(&mut self) -> Option<String> {
        let [length] = self.array()?;
        self.take(usize::from(length)).map(|text| String::from_utf8_lossy(text).into_owned())
    }

    /// A name in lower case; empty is the root. RFC 1035 s4.1.4: a pointer leads backwards only.
    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        let (mut reader, mut jumped) = (Reader { message: self.message, at: self.at }, false);
        let mut limit = self.at;
        for _ in 0..LABELS {
            let [length] = reader.array()?;
            match length {
                0 => {
                    if !jumped {
                        self.at = reader.at;
                    }
                    return Some(name);
                }
                1..=63 => {
                    let label = reader.take(usize::from(length))?;
                    // What is no host name leads nowhere; a dot within a label would make another name of it.
                    if !label.iter().all(|b| b.is_ascii_graphic() && *b != b'.') {
                        return None;
                    }
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.extend(label.iter().map(|b| char::from(b.to_ascii_lowercase())));
                    if name.len() > 255 {
                        return None;
                    }
                }
                0xC0..=0xFF => {
                    let [low] = reader.array()?;
                    let to = usize::from(length & 0x3F) << 8 | usize::from(low);
                    if !jumped {
                        self.at = reader.at;
                    }
                    if to >= limit {
                        return None;
                    }
                    (reader.at, limit, jumped) = (to, to, true);
                }
                _ => return None,
            }
        }
        None
    }

    fn record(&mut self) -> Option<Record> {
        let name = self.name()?;
        let [kind, class] = [self.u16()?, self.u16()?];
        // RFC 2181 s8: a TTL with the highest bit is zero.
        let ttl = self.u32().map(|ttl| if ttl > i32::MAX as u32 { 0 } else { ttl })?;
        let length = usize::from(self.u16()?);
        let end = self.at.checked_add(length).filter(|end| *end <= self.message.len())?;
        let mut inner = Reader { message: self.message.get(..end)?, at: self.at };
        self.at = end;
        // A record that is not as it should be is as if it were not there; the others stand.
        let data =
            if class == IN { inner.data(kind).unwrap_or(RecordData::Other) } else { RecordData::Other };
        Some(Record { name, ttl, data })
    }

    fn data(&mut self, kind: u16) -> Option<RecordData> {
        Some(match kind {
            1 => RecordData::Data(Kind::A, Data::A(Ipv4Addr::from(self.array::<4>()?))),
            28 => RecordData::Data(Kind::Aaaa, Data::Aaaa(Ipv6Addr::from(self.array::<16>()?))),
            33 => {
                let [priority, weight, port] = [self.u16()?, self.u16()?, self.u16()?];
                RecordData::Data(Kind::Srv, Data::Srv { priority, weight, port, target: self.name()? })
            }
            35 => {
                let [order, preference] = [self.u16()?, self.u16()?];
                let [flags, service] = [self.text()?.to_ascii_lowercase(), self.text()?.to_ascii_uppercase()];
                let _regexp = self.text()?;
                let replacement = self.name()?;
                RecordData::Data(Kind::Naptr, Data::Naptr { order, preference, flags, service, replacement })
            }
            CNAME => RecordData::Alias(self.name()?),
            SOA => {
                let _ = (self.name()?, self.name()?, self.take(16)?);
                RecordData::Nothing(self.u32()?)
            }
            _ => RecordData::Other,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A response as a server writes it, with the name of the question pointed at.
    pub(in crate::dns) fn response(query: &[u8], records: &[(Kind, u32, Vec<u8>)]) -> Vec<u8> {
        let mut out = query.to_vec();
        out[2] = 0x81;
        out[3] = 0x80;
        out[7] = records.len() as u8;
        for (kind, ttl, data) in records {
            out.extend([0xC0, 12]);
            out.extend(kind.code().to_be_bytes());
            out.extend(IN.to_be_bytes());
            out.extend(ttl.to_be_bytes());
            out.extend((data.len() as u16).to_be_bytes());
            out.extend(data);
        }
        out
    }

    fn encoded(name: &str) -> Vec<u8> {
        let mut out = Vec::new();
        for label in name.split('.').filter(|label| !label.is_empty()) {
            out.push(label.len() as u8);
            out.extend(label.bytes());
        }
        out.push(0);
        out
    }

    pub(in crate::dns) fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Vec<u8> {
        let numbers = [priority, weight, port].into_iter().flat_map(u16::to_be_bytes);
        numbers.chain(encoded(target)).collect()
    }

    fn naptr(flags: &str, service: &str, replacement: &str) -> Vec<u8> {
        let mut out = vec![0, 10, 0, 20];
        for text in [flags, service, ""] {
            out.push(text.len() as u8);
            out.extend(text.bytes());
        }
        out.extend(encoded(replacement));
        out
    }

    #[test]
    fn a_question_is_asked_and_its_answer_read() {
        let question = Question::new("_sip._udp.Example.com.", Kind::Srv);
        let asked = query(7, &question).expect("a name");
        let answer = response(
            &asked,
            &[
                (Kind::Srv, 300, srv(10, 5, 5070, "SIP1.example.com")),
                (Kind::Srv, 60, srv(20, 0, 5060, "")),
                (Kind::A, 1, vec![192, 0, 2, 1]),
            ],
        );
        let server = |priority, weight, port, target: &str| Data::Srv {
            priority,
            weight,
            port,
            target: target.into(),
        };
        let expected = vec![server(10, 5, 5070, "sip1.example.com"), server(20, 0, 5060, "")];
        assert_eq!(reply(&answer, 7, &question), Some(Reply::Records(expected, 60)));
        for (id, other) in [(8, question.clone()), (7, Question::new("_sip._udp.example.net", Kind::Srv))] {
            assert_eq!(reply(&answer, id, &other), None);
            assert!(!is_reply(&answer, id, &other));
        }
        assert!(!is_reply(&asked, 7, &question), "a query is no response");
    }

    #[test]
    fn services_aliases_and_addresses_are_read() {
        let question = Question::new("example.com", Kind::Naptr);
        let asked = query(1, &question).expect("a name");
        let answer = response(&asked, &[(Kind::Naptr, 9, naptr("S", "sip+d2t", "_sip._tcp.example.com"))]);
        let service = Data::Naptr {
            order: 10,
            preference: 20,
            flags: "s".into(),
            service: "SIP+D2T".into(),
            replacement: "_sip._tcp.example.com".into(),
        };
        assert_eq!(reply(&answer, 1, &question), Some(Reply::Records(vec![service], 9)));

        let question = Question::new("www.example.com", Kind::Aaaa);
        let asked = query(1, &question).expect("a name");
        let mut answer = response(&asked, &[(Kind::Srv, 50, encoded("host.example.com"))]);
        // The record becomes an alias; behind it stands the address of what it leads to.
        answer[asked.len() + 3] = 5;
        answer[7] = 2;
        answer.extend(encoded("host.example.com"));
        answer.extend([0, 28, 0, 1, 0, 0, 0, 90, 0, 16]);
        answer.extend(Ipv6Addr::LOCALHOST.octets());
        let expected = Reply::Records(vec![Data::Aaaa(Ipv6Addr::LOCALHOST)], 50);
        assert_eq!(reply(&answer, 1, &question), Some(expected));
    }

    #[test]
    fn names_that_cannot_be_asked_for_are_not() {
        for name in ["", "a..b", &"x".repeat(64), &"abcdefg.".repeat(40)] {
            assert_eq!(query(1, &Question::new(name, Kind::A)), None, "{name}");
        }
    }

    #[test]
    fn a_name_that_points_at_itself_ends_the_reading() {
        let question = Question::new("example.com", Kind::A);
        let mut answer = response(&query(1, &question).expect("a name"), &[(Kind::A, 1, vec![1, 2, 3, 4])]);
        let at = answer.len() - 16;
        answer[at + 1] = at as u8;
        assert_eq!(reply(&answer, 1, &question), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..80) {
            let question = Question::new("example.com", Kind::Srv);
            let asked = query(1, &question).expect("a name");
            let good = response(&asked, &[(Kind::Srv, 1, srv(1, 1, 1, "sip.example.com"))]);
            let _ = reply(good.get(..cut).unwrap_or(&good), 1, &question);
            let mut head = response(&asked, &[]);
            head[7] = 9;
            head.extend(&bytes);
            let _ = reply(&head, 1, &question);
            let _ = reply(&bytes, 1, &question);
        }
    }
}
