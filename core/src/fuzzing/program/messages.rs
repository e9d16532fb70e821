//! The requests that the users of a program send.

use super::world::{Host, USERS, remote};
use crate::base::{hash, text};
use crate::config::DigestAlgorithm;

impl Host {
    #[allow(clippy::too_many_arguments)] // the parts of one message
    pub(super) fn register(
        &self,
        user: u8,
        slot: u8,
        contact: u8,
        expires: &str,
        cseq: u8,
        call: u8,
        features: u8,
    ) -> String {
        let user = user % USERS;
        let number = u32::from(cseq);
        let transport = if slot.is_multiple_of(4) { "UDP" } else { "TCP" };
        let mut m = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/{transport} {};branch=z9hG4bK{user}.{slot}.{number}.{call}.{};rport\r\n\
             From: <sip:u{user}@example.com>;tag=1\r\nTo: <sip:u{user}@example.com>\r\nCall-ID: {call}\r\n\
             CSeq: {number} REGISTER\r\nMax-Forwards: 70\r\n",
            remote(slot),
            self.steps,
        );
        match contact {
            255 => m.push_str("Contact: *\r\n"),
            254 => {}
            _ => {
                let instance = if features & 1 != 0 { ";+sip.instance=\"<urn:uuid:i>\"" } else { "" };
                let reg = if features & 2 != 0 { ";reg-id=1" } else { "" };
                m.push_str(&format!(
                    "Contact: <sip:u{user}@10.0.0.{}>;q=0.{}{instance}{reg}\r\n",
                    contact % 6,
                    contact % 10
                ));
                if features & 4 != 0 {
                    m.push_str(&format!(
                        "Contact: <sip:u{user}@10.0.0.7>;expires={}\r\n",
                        u32::from(features) * 20
                    ));
                }
            }
        }
        if features & 8 == 0 || contact == 255 {
            m.push_str(&format!("Expires: {expires}\r\n"));
        }
        if features & 16 != 0 {
            m.push_str("Supported: path, outbound, gruu\r\n");
        }
        m
    }

    /// What proves who sends a request; nothing where nobody asks.
    pub(super) fn credentials(&mut self, (method, uri): (&str, &str), user: u8, right: bool) -> String {
        let Some(nonce) = self.nonce.clone().filter(|_| !self.open) else { return String::new() };
        let user = user % USERS;
        self.uses += 1;
        let hex = |parts: &[&[u8]]| {
            let mut out = [0; 32];
            let digest = hash::digest(DigestAlgorithm::Md5, parts);
            text::hex_into(digest.get(..16).unwrap_or_default(), &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        let (name, password) = (format!("u{user}"), if right { format!("p{user}") } else { "wrong".into() });
        let a1 = hex(&[name.as_bytes(), b":example.com:", password.as_bytes()]);
        let a2 = hex(&[method.as_bytes(), b":", uri.as_bytes()]);
        let nc = format!("{:08x}", self.uses);
        let response =
            hex(&[a1.as_bytes(), b":", nonce.as_bytes(), b":", nc.as_bytes(), b":c:auth:", a2.as_bytes()]);
        format!(
            "Authorization: Digest username=\"{name}\", realm=\"example.com\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm=MD5, qop=auth, nc={nc}, cnonce=\"c\"\r\n"
        )
    }

    pub(super) fn simple(&mut self, method: &str, slot: u8, branch: u8) {
        let cseq = if matches!(method, "CANCEL" | "ACK") { "INVITE" } else { method };
        let m = format!(
            "{method} sip:u0@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK{cseq}{branch};rport\r\n\
             From: <sip:a@example.com>;tag=1\r\nTo: <sip:u0@example.com>\r\nCall-ID: {branch}\r\nCSeq: 1 {method}\r\n\
             Content-Length: 0\r\n\r\n",
            remote(slot)
        );
        self.send(slot, m.as_bytes());
    }
}
