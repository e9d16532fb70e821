//! SIP messages as phones and the audit read and write them (RFC 3261 s7, s25.1).
//!
//! Written apart from the engine's own reader on purpose: two readers do not share a mistake. This one is slow, strict
//! about what the engine may send, and holds everything as text.

use std::fmt;
use std::net::IpAddr;

/// A message taken apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sip {
    /// Request-Line or Status-Line, without its line end.
    pub start: String,
    /// Header fields in order: name in its long form as commonly written, value with folding undone.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What is wrong with a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flaw(pub String);

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const COMPACT: [(&str, &str); 17] = [
    ("a", "Accept-Contact"),
    ("b", "Referred-By"),
    ("c", "Content-Type"),
    ("d", "Request-Disposition"),
    ("e", "Content-Encoding"),
    ("f", "From"),
    ("i", "Call-ID"),
    ("k", "Supported"),
    ("l", "Content-Length"),
    ("m", "Contact"),
    ("o", "Event"),
    ("r", "Refer-To"),
    ("s", "Subject"),
    ("t", "To"),
    ("u", "Allow-Events"),
    ("v", "Via"),
    ("x", "Session-Expires"),
];

fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
}

impl Sip {
    /// Reads the head only and forgives a body of another length: for what the engine was sent.
    pub fn head(bytes: &[u8]) -> Result<Sip, Flaw> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
        let mut head = Sip::take_apart(&bytes[..end])?;
        head.body = bytes[end..].to_vec();
        Ok(head)
    }

    /// Reads one message strictly: every line ends in CRLF, names are tokens, no control characters but those of
    /// folding and quoted pairs, and the body is as long as Content-Length says.
    pub fn read(bytes: &[u8]) -> Result<Sip, Flaw> {
        let message = Sip::take_apart(bytes)?;
        match message.header("Content-Length").map(|v| v.parse::<usize>()) {
            Some(Ok(length)) if length == message.body.len() => Ok(message),
            Some(_) => Err(Flaw("Content-Length is not the length of the body".into())),
            None if message.body.is_empty() => Ok(message),
            None => Err(Flaw("a body without Content-Length".into())),
        }
    }

    fn take_apart(bytes: &[u8]) -> Result<Sip, Flaw> {
        let flaw = |text: &str| Err(Flaw(text.to_owned()));
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            return flaw("the head has no end");
        };
        let head = &bytes[..end];
        let body = bytes[end + 4..].to_vec();
        let mut lines: Vec<String> = Vec::new();
        let mut rest = head;
        loop {
            let cut = rest.windows(2).position(|w| w == b"\r\n");
            let line = &rest[..cut.unwrap_or(rest.len())];
            if line.contains(&b'\r') || line.contains(&b'\n') {
                return flaw("CR or LF outside of a line end");
            }
            let text = String::from_utf8_lossy(line).into_owned();
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                let Some(last) = lines.last_mut() else { return flaw("folding before the first line") };
                last.push(' ');
                last.push_str(text.trim());
            } else {
                lines.push(text);
            }
            match cut {
                Some(cut) => rest = &rest[cut + 2..],
                None => break,
            }
        }
        let mut lines = lines.into_iter();
        let start = lines.next().unwrap_or_default();
        let mut headers = Vec::new();
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                return flaw("a header line without a colon");
            };
            let name = name.trim_end();
            if !is_token(name) {
                return Err(Flaw(format!("{name:?} is no header name")));
            }
            headers.push((long_name(name), value.trim().to_owned()));
        }
        let message = Sip { start, headers, body };
        if message.status().is_none() && message.request_line().is_none() {
            return Err(Flaw(format!("{:?} is neither a Request-Line nor a Status-Line", message.start)));
        }
        Ok(message)
    }

    /// A message to be filled.
    pub fn new(start: impl Into<String>) -> Sip {
        Sip { start: start.into(), ..Sip::default() }
    }

    /// Adds a header field.
    pub fn push(&mut self, name: &str, value: impl Into<String>) -> &mut Sip {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Replaces all header fields of a name by one.
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Sip {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.push(name, value)
    }

    /// The bytes, with Content-Length added.
    pub fn write(&self) -> Vec<u8> {
        let mut out = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.header("Content-Length").is_none() {
            out.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        out.extend_from_slice(&self.body);
        out
    }

    /// The status code; `None` for a request.
    pub fn status(&self) -> Option<u16> {
        let rest = self.start.strip_prefix("SIP/2.0 ")?;
        let (code, _) = rest.split_once(' ')?;
        let code = (code.len() == 3).then_some(code)?.parse().ok()?;
        (100..700).contains(&code).then_some(code)
    }

    fn request_line(&self) -> Option<(&str, &str)> {
        let mut parts = self.start.split(' ');
        match (parts.next()?, parts.next()?, parts.next()?, parts.next()) {
            (method, uri, "SIP/2.0", None) if is_token(method) => Some((method, uri)),
            _ => None,
        }
    }

    /// The method of a request; that of CSeq for a response.
    pub fn method(&self) -> &str {
        match self.request_line() {
            Some((method, _)) => method,
            None => self.header("CSeq").and_then(|v| v.split_whitespace().nth(1)).unwrap_or_default(),
        }
    }

    /// True for a request.
    pub fn is_request(&self) -> bool {
        self.request_line().is_some()
    }

    /// The first value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// All values of a header field, comma lists taken apart.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let lines = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        lines.flat_map(|(_, v)| split_list(v, ',')).filter(|v| !v.is_empty()).collect()
    }

    /// All lines of a header field as they are: for challenges, whose commas separate parameters.
    pub fn lines(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// True if a comma list contains this token.
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.values(name).iter().any(|v| v.eq_ignore_ascii_case(token))
    }

    /// The number and method of CSeq.
    pub fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.header("CSeq")?.split_once(' ')?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// The top Via.
    pub fn via(&self) -> Option<Via> {
        Via::read(self.values("Via").first()?)
    }
}

/// The long form of a header name, capitalised as it is usually written.
fn long_name(name: &str) -> String {
    match COMPACT.iter().find(|(short, _)| short.eq_ignore_ascii_case(name)) {
        Some((_, long)) => (*long).to_owned(),
        None => name.to_owned(),
    }
}

/// Splits at a separator outside of quotes and angle brackets, and trims the pieces.
pub fn split_list(text: &str, separator: char) -> Vec<&str> {
    let (mut out, mut from, mut quoted, mut angle, mut escaped) = (Vec::new(), 0, false, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '<' => angle = true,
            '>' => angle = false,
            _ if c == separator && !angle => {
                out.push(text[from..at].trim());
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    out.push(text[from..].trim());
    out
}

/// The value of a parameter behind the first semicolon outside of brackets; `Some("")` if it has none.
pub fn param<'t>(value: &'t str, name: &str) -> Option<&'t str> {
    split_list(value, ';').into_iter().skip(1).find_map(|p| {
        let (n, v) = p.split_once('=').unwrap_or((p, ""));
        n.trim().eq_ignore_ascii_case(name).then_some(v.trim().trim_matches('"'))
    })
}

/// The URI of a name-addr or addr-spec.
pub fn uri_of(value: &str) -> &str {
    let plain = split_list(value, ';').first().copied().unwrap_or_default();
    match (plain.rfind('<'), plain.rfind('>')) {
        (Some(open), Some(close)) if open < close => &plain[open + 1..close],
        _ => plain,
    }
}

/// The value without a `tag` parameter, for comparing To headers.
pub fn without_tag(value: &str) -> String {
    let parts = split_list(value, ';');
    let kept =
        parts.iter().enumerate().filter(|(i, p)| *i == 0 || !p.to_ascii_lowercase().starts_with("tag"));
    kept.map(|(_, p)| *p).collect::<Vec<_>>().join(";")
}

/// One Via value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Via {
    /// `UDP`, `TCP`, ...
    pub transport: String,
    /// sent-by host, IPv6 without brackets.
    pub host: String,
    /// sent-by port.
    pub port: Option<u16>,
    /// Parameters in order.
    pub params: Vec<(String, Option<String>)>,
}

impl Via {
    /// Takes a value apart.
    pub fn read(value: &str) -> Option<Via> {
        let mut parts = split_list(value, ';').into_iter();
        let first = parts.next()?;
        let (protocol, sent_by) = first.rsplit_once(char::is_whitespace)?;
        let mut names = protocol.split('/').map(str::trim);
        let (_, _, transport) = (names.next()?, names.next()?, names.next()?.to_owned());
        let (host, port) = match sent_by.strip_prefix('[').and_then(|s| s.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => sent_by.split_once(':').map_or((sent_by, None), |(h, p)| (h, Some(p))),
        };
        let port = match port {
            Some(port) => Some(port.parse().ok()?),
            None => None,
        };
        let params = parts.map(|p| match p.split_once('=') {
            Some((n, v)) => (n.trim().to_ascii_lowercase(), Some(v.trim().to_owned())),
            None => (p.to_ascii_lowercase(), None),
        });
        Some(Via { transport, host: host.to_owned(), port, params: params.collect() })
    }

    /// A parameter: absent, without a value, or with one.
    pub fn param(&self, name: &str) -> Option<Option<&str>> {
        self.params.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_deref())
    }

    /// The branch; empty if there is none.
    pub fn branch(&self) -> &str {
        self.param("branch").flatten().unwrap_or_default()
    }

    /// The sent-by host as an address.
    pub fn host_ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The `received` parameter as an address, with or without brackets (RFC 5118 s4.5).
    pub fn received(&self) -> Option<IpAddr> {
        self.param("received")??.trim_matches(['[', ']']).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let mut m = Sip::new("OPTIONS sip:example.com SIP/2.0");
        m.push("Via", "SIP/2.0/UDP [2001:db8::1]:5062;rport;branch=z9hG4bK1").push("CSeq", "1 OPTIONS");
        m.body = b"hi".to_vec();
        let back = Sip::read(&m.write()).expect("strict");
        let via = back.via().expect("a Via");
        assert_eq!((via.host.as_str(), via.port, via.branch()), ("2001:db8::1", Some(5062), "z9hG4bK1"));
        assert_eq!(via.param("rport"), Some(None));
        assert_eq!((back.method(), back.cseq()), ("OPTIONS", Some((1, "OPTIONS"))));
    }

    #[test]
    fn bare_line_ends_and_wrong_lengths_are_flaws() {
        for bad in [
            &b"SIP/2.0 200 OK\r\nA: b\nInjected: c\r\nContent-Length: 0\r\n\r\n"[..],
            b"SIP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nhi",
            b"SIP/2.0 2000 OK\r\nContent-Length: 0\r\n\r\n",
            b"SIP/2.0 200 OK\r\nno colon\r\n\r\n",
        ] {
            assert!(Sip::read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn lists_respect_quotes_and_brackets() {
        assert_eq!(split_list(r#""a,b" <sip:x;y,z>;q=1, <sip:c>"#, ',').len(), 2);
        assert_eq!(param("<sip:x;expires=1>;expires=20", "expires"), Some("20"));
        assert_eq!(uri_of(r#""B, C" <sip:b@x;lr>;tag=1"#), "sip:b@x;lr");
        assert_eq!(without_tag("<sip:b@x>;tag=1"), "<sip:b@x>");
    }
}
