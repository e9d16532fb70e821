//! Carries an [`Exchange`] out over a socket of its own. RFC 1035 s4.2, RFC 5452 s9.2.

use std::io::{self, IoSlice};
use std::net::{TcpStream, UdpSocket};
use std::task::{Context, Poll, ready};

use super::Exchange;
use crate::socket::{Io, dial, towards};

/// Room for an answer in a datagram.
const DATAGRAM: usize = 4096;

/// The socket of an exchange, for a runtime to watch.
#[derive(Debug)]
pub enum Asking {
    /// A question in a datagram.
    Datagram(UdpSocket),
    /// A question over a connection, which is being opened.
    Stream(TcpStream),
}

/// An exchange under way.
#[derive(Debug)]
pub struct Exchanging {
    exchange: Exchange,
    /// What is still to be sent.
    out: Vec<u8>,
    written: usize,
    /// What has come.
    answer: Vec<u8>,
}

impl Exchange {
    /// Opens its socket.
    pub fn begin(self) -> io::Result<(Exchanging, Asking)> {
        let (socket, out) = if self.stream {
            let length = u16::try_from(self.query.len()).map_err(io::Error::other)?;
            let framed = [&length.to_be_bytes()[..], &self.query].concat();
            (Asking::Stream(dial(self.server, None)?), framed)
        } else {
            (Asking::Datagram(towards(self.server)?), self.query.clone())
        };
        Ok((Exchanging { exchange: self, out, written: 0, answer: Vec::new() }, socket))
    }
}

impl Exchanging {
    /// Goes on as far as it can; ready with the answer, or without one. How long it may take is for its runtime to see.
    pub fn poll(&mut self, cx: &mut Context<'_>, io: &mut impl Io) -> Poll<Option<Vec<u8>>> {
        loop {
            let done = if self.written < self.out.len() {
                ready!(io.poll_writable(cx)).and_then(|()| self.write(io))
            } else {
                ready!(io.poll_readable(cx)).and_then(|()| self.read(io))
            };
            match done {
                Ok(true) => return Poll::Ready(Some(std::mem::take(&mut self.answer))),
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(None),
            }
        }
    }

    fn write(&mut self, io: &mut impl Io) -> io::Result<bool> {
        let rest = self.out.get(self.written..).unwrap_or_default();
        self.written += io.try_write(&[IoSlice::new(rest)])?;
        Ok(false)
    }

    fn read(&mut self, io: &mut impl Io) -> io::Result<bool> {
        if !self.exchange.stream {
            self.answer.resize(DATAGRAM, 0);
            let length = io.try_read(&mut self.answer)?;
            self.answer.truncate(length);
            return Ok(self.exchange.fits(&self.answer));
        }
        // RFC 1035 s4.2.2: the length stands in front in two bytes.
        let wanted = match self.answer.first_chunk::<2>() {
            Some(length) => 2 + usize::from(u16::from_be_bytes(*length)),
            None => 2,
        };
        let have = self.answer.len();
        self.answer.resize(wanted, 0);
        let read = io.try_read(self.answer.get_mut(have..).unwrap_or_default());
        self.answer.truncate(have + read.as_ref().copied().unwrap_or(0));
        if read? == 0 && wanted > have {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let is_whole = self
            .answer
            .first_chunk::<2>()
            .is_some_and(|length| self.answer.len() == 2 + usize::from(u16::from_be_bytes(*length)));
        if is_whole {
            self.answer.drain(..2);
        }
        Ok(is_whole)
    }
}
