//! Requests of ours. RFC 3261 s8.1.1.

use core::ops::{Deref, DerefMut};

use bytes::Bytes;

use super::Writer;
use crate::base::text;
use crate::wire::{Arena, Header, Method};

/// Writes a request.
#[derive(Debug)]
pub struct RequestWriter<'a> {
    lines: Writer<'a>,
}

impl<'a> RequestWriter<'a> {
    /// Begins a request. [`Method::Other`] has no name; see [`RequestWriter::named`].
    pub fn new(arena: &'a mut Arena, method: Method, uri: &[u8]) -> RequestWriter<'a> {
        RequestWriter::named(arena, method.as_str().as_bytes(), uri)
    }

    /// Begins a request with a method of that name; one that is no token becomes `UNKNOWN`.
    pub fn named(arena: &'a mut Arena, method: &[u8], uri: &[u8]) -> RequestWriter<'a> {
        let mut lines = Writer::new(arena);
        let mut out = lines.out();
        out.raw(if text::is_token(method) { method } else { b"UNKNOWN" });
        out.raw(b" ");
        if uri.iter().any(|&b| b <= b' ' || b == 0x7f) {
            for &b in uri {
                match b <= b' ' || b == 0x7f {
                    true => {
                        out.raw(b"%");
                        text::push_hex(&[b], out.out);
                    }
                    false => out.raw(&[b]),
                }
            }
        } else {
            out.raw(uri);
        }
        out.raw(b" SIP/2.0\r\n");
        RequestWriter { lines }
    }

    /// A Via of ours: the transport token (`UDP`), sent-by (`host` with brackets if it is IPv6) and the branch. Over UDP
    /// `rport` is asked for (RFC 3581 s3).
    pub fn via(
        &mut self,
        transport: &str,
        (host, port): (&str, Option<u16>),
        branch: &str,
        alias: bool,
    ) -> &mut Self {
        self.lines.value(Header::Via, |v| {
            v.raw(b"SIP/2.0/");
            v.text(transport.as_bytes());
            v.raw(b" ");
            v.text(host.as_bytes());
            if let Some(port) = port {
                v.raw(b":");
                v.number(port.into());
            }
            v.raw(b";branch=");
            v.text(branch.as_bytes());
            if transport == "UDP" {
                v.raw(b";rport");
            }
            if alias {
                v.raw(b";alias");
            }
        });
        self
    }

    /// CSeq with the number and the name of a method.
    pub fn cseq(&mut self, number: u32, method: &[u8]) -> &mut Self {
        self.lines.value(Header::Cseq, |v| {
            v.number(u64::from(number));
            v.raw(b" ");
            v.text(method);
        });
        self
    }

    /// Ends the request with Content-Length and body and takes it out of the arena.
    pub fn finish(self) -> Bytes {
        self.lines.finish()
    }
}

impl<'a> Deref for RequestWriter<'a> {
    type Target = Writer<'a>;
    fn deref(&self) -> &Writer<'a> {
        &self.lines
    }
}

impl<'a> DerefMut for RequestWriter<'a> {
    fn deref_mut(&mut self) -> &mut Writer<'a> {
        &mut self.lines
    }
}
