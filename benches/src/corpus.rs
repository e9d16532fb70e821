//! Messages the benchmarks share.

/// A REGISTER as a desk phone sends it: 14 header lines, 900 bytes.
pub const REGISTER: &[u8] = b"REGISTER sip:registrar.example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.101:5060;branch=z9hG4bK74b43a9bd41c4d8f;rport\r\n\
Max-Forwards: 70\r\n\
From: \"Alice Example\" <sip:alice@example.com>;tag=a73kszlfl4o1\r\n\
To: \"Alice Example\" <sip:alice@example.com>\r\n\
Call-ID: 843817637684230998sdasdh09@192.0.2.101\r\n\
CSeq: 1826 REGISTER\r\n\
Contact: <sip:alice@192.0.2.101:5060;transport=udp;ob>;reg-id=1;+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\"\r\n\
Expires: 3600\r\n\
Supported: replaces, outbound, path, gruu, 100rel, timer, norefersub, answermode\r\n\
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, SUBSCRIBE, INFO, MESSAGE, UPDATE, PRACK, PUBLISH\r\n\
Allow-Events: presence, message-summary, dialog, refer, reg, conference, talk, hold, line-seize, call-info, ua-profile, kpml\r\n\
User-Agent: ExamplePhone 4500/5.9.6.2873 (build 12; rev 7)\r\n\
Accept: application/sdp, application/pidf+xml\r\n\
Content-Length: 0\r\n\
\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_register_is_what_it_is_said_to_be() {
        let text = str::from_utf8(REGISTER).expect("text");
        assert_eq!(text.lines().filter(|line| line.contains(": ")).count(), 14);
        assert_eq!(text.len(), 900);
    }
}
