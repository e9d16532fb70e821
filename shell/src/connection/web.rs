//! WebSocket between the bytes of the socket, or of TLS, and SIP: tungstenite over buffers in memory (RFC 6455, RFC 7118).
//!
//! A message of SIP is a message of WebSocket, neither more nor less (RFC 7118 s5), and needs no Content-Length.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use strowger_core::wire::framer::Framer;
use tungstenite::client::IntoClientRequest;
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::handshake::MidHandshake;
use tungstenite::handshake::client::ClientHandshake;
use tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response, ServerHandshake};
use tungstenite::http::{HeaderValue, StatusCode, header};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Error, HandshakeError, Message, Utf8Bytes, WebSocket};

use crate::options::WebOptions;

/// RFC 7118 s4.1.
const SUBPROTOCOL: &str = "sip";

/// What is read at once, and kept while a connection is silent.
const READ: usize = 2 << 10;

/// A request or response of HTTP that is longer is judged before its end is there.
const HEAD: usize = 8 << 10;

/// The bytes on their way, in memory.
#[derive(Debug, Default)]
struct Pipe {
    came: Vec<u8>,
    taken: usize,
    /// How many the library has taken since the beginning.
    handed: u64,
    goes: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut left = self.came.get(self.taken..).unwrap_or_default();
        if left.is_empty() {
            // Between messages nothing is kept.
            (self.came, self.taken) = (Vec::new(), 0);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = left.read(buffer)?;
        (self.taken, self.handed) = (self.taken + read, self.handed + read as u64);
        Ok(read)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.goes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Looks at the request that begins a connection.
#[derive(Debug)]
struct Check(Arc<WebOptions>);

impl Callback for Check {
    fn on_request(self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        let values = |name| request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
        let asked = |value: &str| value.split(',').any(|one| one.trim().eq_ignore_ascii_case(SUBPROTOCOL));
        if !values(header::SEC_WEBSOCKET_PROTOCOL).any(asked) {
            let text = "SIP is spoken here: ask for the WebSocket subprotocol \"sip\" (RFC 7118)\n";
            return Err(refusal(StatusCode::BAD_REQUEST, text));
        }
        let allowed = |origin: &str| self.0.origins.iter().any(|one| one.eq_ignore_ascii_case(origin));
        // A program that is no browser has no origin, and nothing to be protected from.
        if !self.0.origins.is_empty() && !values(header::ORIGIN).all(allowed) {
            return Err(refusal(StatusCode::FORBIDDEN, "Pages of this origin may not connect\n"));
        }
        let headers = response.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        Ok(response)
    }
}

fn refusal(status: StatusCode, text: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    response
}

/// How a connection begins, on either side.
#[derive(Debug)]
enum Handshake {
    Server(MidHandshake<ServerHandshake<Pipe, Check>>),
    Client(MidHandshake<ClientHandshake<Pipe>>),
}

impl Handshake {
    fn pipe(&mut self) -> &mut Pipe {
        match self {
            Handshake::Server(handshake) => handshake.get_mut().get_mut(),
            Handshake::Client(handshake) => handshake.get_mut().get_mut(),
        }
    }

    /// Goes on with what came.
    fn shake(self) -> State {
        let later = |handshake| State::Shaking(Box::new(handshake));
        match self {
            Handshake::Server(handshake) => match handshake.handshake() {
                Ok(socket) => State::Open(Box::new(socket)),
                Err(HandshakeError::Interrupted(handshake)) => later(Handshake::Server(handshake)),
                Err(HandshakeError::Failure(fault)) => State::Over(answer_to(&fault)),
            },
            Handshake::Client(handshake) => match handshake.handshake() {
                // RFC 6455 s4.1: no extension was asked for.
                Ok((_, answer)) if answer.headers().contains_key(header::SEC_WEBSOCKET_EXTENSIONS) => {
                    State::Over(Vec::new())
                }
                Ok((socket, _)) => State::Open(Box::new(socket)),
                Err(HandshakeError::Interrupted(handshake)) => later(Handshake::Client(handshake)),
                // Who answers so is told nothing.
                Err(HandshakeError::Failure(_)) => State::Over(Vec::new()),
            },
        }
    }
}

/// One side of a WebSocket connection.
#[derive(Debug)]
pub(super) struct Web {
    state: State,
    /// The message that came last.
    current: Bytes,
    /// At a server's side: how many bytes the messages that came took at least, with all that came before them. If the
    /// library has taken as many, it holds no part of another one.
    accounted: Option<u64>,
}

#[derive(Debug)]
enum State {
    Shaking(Box<Handshake>),
    Open(Box<WebSocket<Pipe>>),
    /// What is left to be said.
    Over(Vec<u8>),
}

/// What came out of a WebSocket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Came {
    /// A message of SIP: [`Web::message`].
    Message,
    Ping,
    Pong,
    /// A ping of WebSocket, answered by the library and no business of SIP, or a keep-alive of nothing.
    Quiet,
    /// The peer is done.
    Closed,
    /// The rules were broken; why waits to be written.
    Broken,
}

impl Web {
    /// The server's side.
    pub(super) fn accept(options: Arc<WebOptions>, message_bytes: usize) -> Web {
        let config = Some(config(message_bytes));
        let handshake = ServerHandshake::start(Pipe::default(), Check(options), config);
        Web {
            state: State::Shaking(Box::new(Handshake::Server(handshake))),
            current: Bytes::new(),
            accounted: None,
        }
    }

    /// The client's side: asks this host, on a port that is not the usual one, for this path. `None` if nobody can be asked
    /// for so.
    pub(super) fn connect(
        (host, port): (&str, Option<u16>),
        path: &str,
        message_bytes: usize,
    ) -> Option<Web> {
        let host = host.trim_matches(['[', ']']);
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let uri = format!("ws://{host}{port}/{}", path.trim_start_matches('/'));
        let mut request = uri.into_client_request().ok()?;
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        let config = Some(config(message_bytes));
        let handshake = ClientHandshake::start(Pipe::default(), request, config).ok()?;
        // It speaks first.
        Some(Web { state: Handshake::Client(handshake).shake(), current: Bytes::new(), accounted: None })
    }

    fn pipe(&mut self) -> Option<&mut Pipe> {
        match &mut self.state {
            State::Shaking(handshake) => Some(handshake.pipe()),
            State::Open(socket) => Some(socket.get_mut()),
            State::Over(_) => None,
        }
    }

    /// Bytes came. True once, when both sides have agreed; `Err` if they will not.
    pub(super) fn received(&mut self, bytes: Vec<u8>) -> Result<bool, ()> {
        let Some(pipe) = self.pipe() else { return Ok(false) };
        let fresh = bytes.len();
        match pipe.came.is_empty() {
            true => (pipe.came, pipe.taken) = (bytes, 0),
            false => pipe.came.extend_from_slice(&bytes),
        }
        let State::Shaking(handshake) = &mut self.state else { return Ok(false) };
        // The library takes what comes in many small pieces for an attack; here it has a deadline.
        if !is_whole(&handshake.pipe().came, fresh) {
            return Ok(false);
        }
        let State::Shaking(handshake) = std::mem::replace(&mut self.state, State::Over(Vec::new())) else {
            return Ok(false);
        };
        let serves = matches!(*handshake, Handshake::Server(_));
        self.state = handshake.shake();
        match &self.state {
            State::Shaking(_) => Ok(false),
            State::Open(socket) => {
                // The library lets nothing follow a request.
                self.accounted = serves.then(|| socket.get_ref().handed);
                Ok(true)
            }
            State::Over(_) => Err(()),
        }
    }

    /// The next thing that came.
    pub(super) fn next(&mut self) -> Option<Came> {
        let State::Open(socket) = &mut self.state else { return None };
        let pipe = socket.get_mut();
        if pipe.taken == pipe.came.len() && self.accounted == Some(pipe.handed) {
            // Asking costs more than knowing, and between messages nothing is kept.
            (pipe.came, pipe.taken) = (Vec::new(), 0);
            return None;
        }
        let read = socket.read();
        if let (Some(accounted), Ok(message)) = (&mut self.accounted, &read) {
            *accounted += frame_bytes(message.len());
        }
        let message = match read {
            Ok(Message::Text(text)) => Bytes::from(text),
            Ok(Message::Binary(bytes)) => bytes,
            Ok(Message::Ping(_)) => {
                // The answer to it would wait for the next read.
                let _ = socket.flush();
                return Some(Came::Quiet);
            }
            Ok(Message::Frame(_)) => return Some(Came::Quiet),
            Ok(Message::Pong(_)) => return Some(Came::Pong),
            Ok(Message::Close(_)) => {
                // The answer to it is written with the next flush.
                let _ = socket.flush();
                return Some(Came::Closed);
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Some(Came::Closed),
            Err(error) => {
                let code = match error {
                    Error::Capacity(CapacityError::MessageTooLong { .. }) => CloseCode::Size,
                    Error::Utf8(_) => CloseCode::Invalid,
                    _ => CloseCode::Protocol,
                };
                self.part(code);
                return Some(Came::Broken);
            }
        };
        // RFC 5626 s4.4.1 over RFC 7118 s6.
        Some(match &message[..] {
            [] => Came::Quiet,
            bytes if bytes == Framer::PING => Came::Ping,
            bytes if bytes == Framer::PONG => Came::Pong,
            _ => {
                self.current = message;
                Came::Message
            }
        })
    }

    /// The message that came last.
    pub(super) fn message(&self) -> &[u8] {
        &self.current
    }

    /// Everything that came was looked at.
    pub(super) fn settle(&mut self) {
        self.current = Bytes::new();
    }

    /// Frames a message. A keep-alive is a ping of WebSocket: browsers answer it by themselves.
    pub(super) fn send(&mut self, message: Bytes) -> Result<(), ()> {
        let State::Open(socket) = &mut self.state else { return Err(()) };
        let message = match &message[..] {
            bytes if bytes == Framer::PING => Message::Ping(Bytes::new()),
            _ => match Utf8Bytes::try_from(message.clone()) {
                Ok(text) => Message::Text(text),
                Err(_) => Message::Binary(message),
            },
        };
        socket.send(message).map_err(|_| ())
    }

    /// RFC 6455 s7.1.2: says that we go away.
    pub(super) fn close(&mut self) {
        self.part(CloseCode::Away);
    }

    /// RFC 6455 s7.4.1: says that the peer broke no rule of WebSocket, and one of ours (1008).
    pub(super) fn refuse(&mut self) {
        self.part(CloseCode::Policy);
    }

    fn part(&mut self, code: CloseCode) {
        if let State::Open(socket) = &mut self.state {
            // The pong to the last ping would come behind it.
            let _ = socket.flush();
            let _ = socket.close(Some(CloseFrame { code, reason: Utf8Bytes::default() }));
            let _ = socket.flush();
        }
    }

    /// What is to be written; empty mostly.
    pub(super) fn output(&mut self) -> Vec<u8> {
        match &mut self.state {
            State::Over(last) => std::mem::take(last),
            State::Shaking(_) | State::Open(_) => {
                self.pipe().map(|pipe| std::mem::take(&mut pipe.goes)).unwrap_or_default()
            }
        }
    }
}

fn config(message_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ)
        .write_buffer_size(0)
        .max_message_size(Some(message_bytes))
        .max_frame_size(Some(message_bytes))
}

/// How many bytes a masked frame has at least (RFC 6455 s5.2).
fn frame_bytes(payload: usize) -> u64 {
    let length = match payload {
        ..=125 => 0,
        126..=0xffff => 2,
        _ => 8,
    };
    2 + length + 4 + payload as u64
}

/// Whether the request or response that so many bytes were added to is there as a whole, or will never be one.
fn is_whole(head: &[u8], added: usize) -> bool {
    let begins = |with: &[u8; 4]| with.starts_with(head.get(..4).unwrap_or(head));
    let tail = head.get(head.len().saturating_sub(added + 3)..).unwrap_or_default();
    let ends = |end: &[u8]| tail.windows(end.len()).any(|there| there == end);
    !begins(b"GET ") && !begins(b"HTTP") || head.len() > HEAD || ends(b"\n\r\n") || ends(b"\n\n")
}

/// What a client is told whose request is no upgrade to WebSocket.
fn answer_to(error: &Error) -> Vec<u8> {
    let response = match error {
        // Our own refusal: it went with the pipe that it was written to.
        Error::Http(response) => {
            let mut bytes = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
            for (name, value) in response.headers() {
                bytes.extend_from_slice(format!("{name}: ").as_bytes());
                bytes.extend_from_slice(value.as_bytes());
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(response.body().as_deref().unwrap_or_default());
            return bytes;
        }
        Error::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader | ProtocolError::MissingUpgradeWebSocketHeader,
        ) => "426 Upgrade Required\r\nUpgrade: websocket",
        Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => {
            "426 Upgrade Required\r\nSec-WebSocket-Version: 13"
        }
        Error::Protocol(ProtocolError::WrongHttpMethod) => "405 Method Not Allowed\r\nAllow: GET",
        _ => "400 Bad Request",
    };
    format!("HTTP/1.1 {response}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").into_bytes()
}
