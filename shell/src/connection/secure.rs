//! TLS between the bytes of the socket and those of SIP: rustls over buffers in memory.

use std::io::{self, Read, Write};

use rustls::Connection;
use strowger_core::door::PeerIdentity;

use crate::tls::identity;

/// One side of a TLS connection.
pub(super) struct Tls {
    session: Connection,
    shaken: bool,
}

/// TLS was violated, or could not be agreed on. What is to be said about it waits to be written.
#[derive(Debug)]
pub(super) struct Broken;

impl Tls {
    pub(super) fn new(session: Connection) -> Tls {
        Tls { session, shaken: false }
    }

    /// Bytes came from the socket; what they say is added to `plain`. True once the peer said that it is done.
    pub(super) fn received(&mut self, mut wire: &[u8], plain: &mut Vec<u8>) -> Result<bool, Broken> {
        let mut over = false;
        while !wire.is_empty() {
            self.session.read_tls(&mut wire).map_err(|_| Broken)?;
            let state = self.session.process_new_packets().map_err(|_| Broken)?;
            let had = plain.len();
            plain.resize(had + state.plaintext_bytes_to_read(), 0);
            let fresh = plain.get_mut(had..).unwrap_or_default();
            self.session.reader().read_exact(fresh).map_err(|_| Broken)?;
            over |= state.peer_has_closed();
            if over {
                break;
            }
        }
        Ok(over)
    }

    /// True once, when both sides have agreed.
    pub(super) fn just_shaken(&mut self) -> bool {
        let first = !self.shaken && !self.session.is_handshaking();
        self.shaken |= first;
        first
    }

    /// Who the peer proved to be.
    pub(super) fn peer(&self) -> Option<PeerIdentity> {
        identity(self.session.peer_certificates()?.first()?)
    }

    /// Encrypts; the result is added to `wire`.
    pub(super) fn send(&mut self, mut plain: &[u8], wire: &mut Vec<u8>) -> Result<(), Broken> {
        while !plain.is_empty() {
            let taken = self.session.writer().write(plain).map_err(|_| Broken)?;
            plain = plain.get(taken..).unwrap_or_default();
            self.flush(wire);
            if taken == 0 {
                return Err(Broken);
            }
        }
        Ok(())
    }

    /// What TLS itself has to say.
    pub(super) fn flush(&mut self, wire: &mut Vec<u8>) {
        while self.session.wants_write() {
            // Writing to memory does not fail.
            if io::Result::is_err(&self.session.write_tls(wire)) {
                return;
            }
        }
    }

    /// RFC 8446 s6.1: nothing more is sent.
    pub(super) fn close(&mut self, wire: &mut Vec<u8>) {
        self.session.send_close_notify();
        self.flush(wire);
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("shaken", &self.shaken).finish_non_exhaustive()
    }
}
