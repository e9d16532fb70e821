//! The bytes of a phone: datagrams, a stream, WebSocket, the last two also within TLS. Blocking, and apart from what the
//! server does them with as far as that goes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use strowger_core::door::Transport;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

use crate::phone::field;
use crate::secure::NAME;

/// Long enough for a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A stream, be it within TLS or not.
pub(crate) trait Duplex: Read + Write {}

impl<T: Read + Write> Duplex for T {}

/// What a phone speaks on.
pub(crate) struct Wire {
    pub(crate) local: SocketAddr,
    server: SocketAddr,
    kind: Kind,
}

enum Kind {
    Udp(UdpSocket),
    /// With what was read beyond the last message.
    Stream(Box<dyn Duplex>, Vec<u8>),
    Web(Box<WebSocket<Box<dyn Duplex>>>),
}

impl Wire {
    /// To this server; with whom it believes, where TLS is spoken.
    pub(crate) fn open(
        transport: Transport,
        server: SocketAddr,
        trust: Option<&Arc<ClientConfig>>,
    ) -> io::Result<Wire> {
        if transport == Transport::Udp {
            let socket = UdpSocket::bind(SocketAddr::new(server.ip(), 0))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            return Ok(Wire { local: socket.local_addr()?, server, kind: Kind::Udp(socket) });
        }
        let stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let stream = plain(transport, stream, trust)?;
        let kind = match transport {
            Transport::Ws | Transport::Wss => Kind::Web(Box::new(upgraded(stream)?)),
            _ => Kind::Stream(stream, Vec::new()),
        };
        Ok(Wire { local, server, kind })
    }

    /// Says something.
    pub(crate) fn write(&mut self, text: &str) -> io::Result<()> {
        match &mut self.kind {
            Kind::Udp(socket) => socket.send_to(text.as_bytes(), self.server).map(|_| ()),
            Kind::Stream(stream, _) => stream.write_all(text.as_bytes()).and_then(|()| stream.flush()),
            Kind::Web(socket) => socket.send(Message::text(text)).map_err(broken),
        }
    }

    /// Sends what keeps a way open, and waits for what answers it (RFC 5626 s4.4.1, RFC 6455 s5.5.2).
    pub(crate) fn keep_alive(&mut self) -> io::Result<()> {
        match &mut self.kind {
            Kind::Udp(_) => Err(io::ErrorKind::Unsupported.into()),
            Kind::Stream(stream, _) => {
                stream.write_all(b"\r\n\r\n").and_then(|()| stream.flush())?;
                stream.read_exact(&mut [0; 2])
            }
            Kind::Web(socket) => {
                socket.send(Message::Ping("?".into())).map_err(broken)?;
                match socket.read().map_err(broken)? {
                    Message::Pong(_) => Ok(()),
                    Message::Close(Some(why)) => Err(io::Error::other(u16::from(why.code).to_string())),
                    other => Err(io::Error::other(other.to_string())),
                }
            }
        }
    }

    /// The next message.
    pub(crate) fn read(&mut self) -> io::Result<String> {
        loop {
            let bytes = match &mut self.kind {
                Kind::Udp(socket) => {
                    let mut buffer = vec![0; 65_536];
                    let length = socket.recv(&mut buffer)?;
                    buffer.truncate(length);
                    buffer
                }
                Kind::Stream(stream, buffer) => {
                    if let Some(length) = whole(buffer) {
                        buffer.drain(..length).collect()
                    } else {
                        let mut chunk = [0; 4096];
                        match stream.read(&mut chunk)? {
                            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                            read => buffer.extend_from_slice(chunk.get(..read).unwrap_or_default()),
                        }
                        continue;
                    }
                }
                Kind::Web(socket) => match socket.read().map_err(broken)? {
                    Message::Text(text) => text.as_bytes().to_vec(),
                    Message::Binary(bytes) => bytes.to_vec(),
                    _ => continue,
                },
            };
            // What only keeps a way open is shorter.
            if bytes.len() > 4 {
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }
}

/// The stream that SIP or WebSocket is spoken on.
pub(crate) fn plain(
    transport: Transport,
    stream: TcpStream,
    trust: Option<&Arc<ClientConfig>>,
) -> io::Result<Box<dyn Duplex>> {
    if !transport.is_secure() {
        return Ok(Box::new(stream));
    }
    let name = NAME.try_into().map_err(io::Error::other)?;
    let trust = trust.ok_or(io::ErrorKind::InvalidInput)?.clone();
    let mut session = StreamOwned::new(ClientConnection::new(trust, name).map_err(io::Error::other)?, stream);
    while session.conn.is_handshaking() {
        session.conn.complete_io(&mut session.sock)?;
    }
    Ok(Box::new(session))
}

/// RFC 7118 s4.
fn upgraded(stream: Box<dyn Duplex>) -> io::Result<WebSocket<Box<dyn Duplex>>> {
    let mut request = format!("ws://{NAME}/").into_client_request().map_err(io::Error::other)?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("sip"));
    let (socket, response) = tungstenite::client(request, stream).map_err(|fault| match fault {
        tungstenite::HandshakeError::Failure(fault) => broken(fault),
        tungstenite::HandshakeError::Interrupted(_) => io::ErrorKind::TimedOut.into(),
    })?;
    assert_eq!(
        response.headers().get("Sec-WebSocket-Protocol").map(HeaderValue::as_bytes),
        Some(&b"sip"[..])
    );
    Ok(socket)
}

fn broken(fault: tungstenite::Error) -> io::Error {
    match fault {
        tungstenite::Error::Io(fault) => fault,
        fault => io::Error::other(fault),
    }
}

/// The length of the first message, if all of it is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(bytes);
    let head = text.find("\r\n\r\n")? + 4;
    let length: usize = field(&text, "Content-Length")?.parse().ok()?;
    (bytes.len() >= head + length).then_some(head + length)
}
