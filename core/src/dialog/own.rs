//! Our own address, as Via and Contact say it: RFC 3261 s18.1.1, s8.1.1.8.

use core::net::IpAddr;

use smallvec::SmallVec;

use crate::config::Settings;
use crate::ctx::Origin;
use crate::door::Transport;
use crate::wire::{Header, Host, RequestWriter, Value, Writer};

/// RFC 7118 appendix B.1: who opens a WebSocket cannot be reached but over it, and says so.
const NOWHERE: &[u8] = b"ws.invalid";

/// What we call ourselves towards a peer: never a wildcard.
#[derive(Clone, Debug)]
pub(crate) struct OwnAddress {
    /// A host as it stands in a Via: an IPv6 address has its brackets.
    host: SmallVec<[u8; 48]>,
    /// The port, if there is one.
    pub(crate) port: Option<u16>,
    /// RFC 5923 s8.1: what is for that address may come back over the connection.
    alias: bool,
}

impl OwnAddress {
    /// The advertised address of the listener for peers outside our networks, else the address the peer sent to.
    pub(crate) fn towards(settings: &Settings, peer: &Origin) -> OwnAddress {
        if peer.transport.is_web() && peer.flow.is_dialled() {
            return OwnAddress { host: NOWHERE.into(), port: None, alias: false };
        }
        let listener = settings.listeners.get(usize::from(peer.listener));
        // The address must be one where the same is spoken.
        let alias = peer.transport == Transport::Tls
            && peer.flow.is_dialled()
            && listener.is_some_and(|listener| listener.transport == Transport::Tls);
        let near = settings.local_nets.iter().any(|net| net.contains(peer.remote.ip()));
        let advertised = listener.and_then(|listener| listener.advertised.as_ref()).filter(|_| !near);
        match advertised {
            Some((name, port)) => OwnAddress {
                host: match Host::parse_bare(name.as_bytes()).ok().and_then(|host| host.ip()) {
                    Some(ip) => bracketed(ip),
                    None => name.as_bytes().into(),
                },
                port: Some(port.unwrap_or(peer.local.port())),
                alias,
            },
            None => OwnAddress { host: bracketed(peer.local.ip()), port: Some(peer.local.port()), alias },
        }
    }

    /// The host, with brackets if it is an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        core::str::from_utf8(&self.host).unwrap_or_default()
    }

    /// Our Via, with this branch.
    pub(crate) fn write_via(&self, writer: &mut RequestWriter<'_>, peer: &Origin, branch: &str) {
        writer.via(peer.transport.via_token(), (self.host(), self.port), branch, self.alias);
    }

    /// Our Contact.
    pub(crate) fn write_contact(&self, writer: &mut Writer<'_>, peer: &Origin) {
        self.write_contact_of(writer, peer, "");
    }

    /// The same with a user part; empty for none.
    pub(crate) fn write_contact_of(&self, writer: &mut Writer<'_>, peer: &Origin, user: &str) {
        self.write_contact_with(writer, peer, (user, true), |_| {});
    }

    /// The same with parameters behind it. `sips` where TLS is spoken: RFC 5630 s5.1.1.1 wants one for a `sips:` address of
    /// record, and no other.
    pub(crate) fn write_contact_with(
        &self,
        writer: &mut Writer<'_>,
        peer: &Origin,
        (user, sips): (&str, bool),
        params: impl FnOnce(&mut Value<'_>),
    ) {
        writer.value(Header::Contact, |value| {
            let sips = sips && peer.transport.is_secure();
            value.literal(if sips { "<sips:" } else { "<sip:" });
            if !user.is_empty() {
                value.text(user.as_bytes());
                value.literal("@");
            }
            value.text(&self.host);
            if let Some(port) = self.port {
                value.literal(":");
                value.number(port.into());
            }
            if peer.transport != Transport::Udp && !sips {
                value.literal(";transport=");
                value.text(peer.transport.uri_param().as_bytes());
            }
            value.literal(">");
            params(value);
        });
    }
}

/// An address as it stands in a URI.
fn bracketed(ip: IpAddr) -> SmallVec<[u8; 48]> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            // The longest has fifteen characters; this is written for each message of a call.
            let mut text = [b'.'; 16];
            let mut at = 0;
            for octet in ip.octets() {
                for (least, digit) in [(100, octet / 100), (10, octet / 10 % 10), (0, octet % 10)] {
                    if octet >= least {
                        if let Some(place) = text.get_mut(at) {
                            *place = b'0' + digit;
                        }
                        at += 1;
                    }
                }
                at += 1;
            }
            SmallVec::from_slice(text.get(..at - 1).unwrap_or_default())
        }
        IpAddr::V6(ip) => SmallVec::from_slice(format!("[{ip}]").as_bytes()),
    }
}
