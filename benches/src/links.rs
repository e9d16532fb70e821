//! Connections of many clients to a server of their own: the server's binary as a process, blocking streams, TLS by rustls,
//! WebSocket by hand.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use strowger_core::door::Transport;

/// Whatever goes wrong.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Those with connections.
pub const STREAMS: [Transport; 4] = [Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

const OPTIONS: &str = "OPTIONS sip:localhost SIP/2.0\r\nVia: SIP/2.0/TRANSPORT a.invalid;branch=z9hG4bKs1\r\nMax-Forwards: 70\r\n\
    From: <sip:probe@localhost>;tag=1\r\nTo: <sip:localhost>\r\nCall-ID: idle\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n";

/// A stream, be it within TLS or not.
pub trait Wire: Read + Write + Send {
    /// Says that nothing more comes.
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for TcpStream {}

impl Wire for StreamOwned<ClientConnection, TcpStream> {
    fn finish(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.flush()
    }
}

/// A server with a certificate of its own, in a folder of its own; both are gone when it is dropped.
pub struct Served {
    child: Child,
    folder: PathBuf,
    addrs: Vec<(Transport, SocketAddr)>,
    trust: Arc<ClientConfig>,
}

impl Served {
    /// Starts it, for so many connections, all of which may come from one address.
    pub fn start(binary: &str, transports: &[Transport], connections: usize) -> Result<Served> {
        let folder = env::temp_dir().join(format!("strowger-links-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        fs::write(folder.join("cert.pem"), made.cert.pem())?;
        fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())?;
        let trust = trust(&folder.join("cert.pem"))?;
        let path = |name: &str| folder.join(name).display().to_string();
        let listen =
            |transport: &Transport| format!("[[listen]]\nbind = \"{}:127.0.0.1:0\"\n", transport.name());
        let text = format!(
            "[[domain]]\nname = \"localhost\"\n{}[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n\
             [connections]\ntotal = {connections}\nper_source = {connections}\nidle = \"1h\"\n\
             [storage]\nmode = \"none\"\n[auth.policy]\nregister = \"open\"\n",
            transports.iter().map(listen).collect::<String>(),
            path("cert.pem"),
            path("key.pem"),
        );
        fs::write(folder.join("strowger.toml"), text)?;
        let mut child = Command::new(binary)
            .args(["serve", "--http", "off", "-c", &path("strowger.toml"), "--state-dir", &path("state")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let banner = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut served = Served { child, folder, addrs: Vec::new(), trust };
        for line in banner.lines() {
            for word in line?.split_whitespace() {
                let known = STREAMS.into_iter().find_map(|transport| {
                    let addr = word.strip_prefix(transport.name())?.strip_prefix(':')?;
                    Some((transport, addr.parse::<SocketAddr>().ok()?))
                });
                served.addrs.extend(known.filter(|(transport, _)| transports.contains(transport)));
            }
            if served.addrs.len() == transports.len() {
                return Ok(served);
            }
        }
        Err("the server did not start".into())
    }

    /// A socket to it, on which nothing was said.
    pub fn connect(&self, transport: Transport) -> Result<TcpStream> {
        let found =
            self.addrs.iter().find(|(known, _)| *known == transport).ok_or("it does not listen there")?;
        let socket = TcpStream::connect(found.1)?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(socket)
    }

    /// A connection on which SIP can be spoken.
    pub fn open(&self, transport: Transport) -> Result<Box<dyn Wire>> {
        let socket = self.connect(transport)?;
        let mut wire: Box<dyn Wire> = match transport.is_secure() {
            true => {
                let session = ClientConnection::new(self.trust.clone(), ServerName::try_from("localhost")?)?;
                Box::new(StreamOwned::new(session, socket))
            }
            false => Box::new(socket),
        };
        if transport.is_web() {
            wire.write_all(UPGRADE.as_bytes())?;
            read_head(&mut *wire)?;
        }
        Ok(wire)
    }

    /// Bytes of resident memory.
    pub fn resident(&self) -> Result<usize> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<usize>()? * 1024)
    }

    /// Open files.
    pub fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn trust(certificate: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// What a client says: a message, or half of one.
pub fn say(wire: &mut dyn Wire, transport: Transport, whole: bool) -> Result<()> {
    let request = OPTIONS.replace("TRANSPORT", transport.via_token());
    let mut bytes = Vec::new();
    if transport.is_web() {
        bytes.extend([0x81, 0x80 | 126]);
        bytes.extend((request.len() as u16).to_be_bytes());
        // A mask of zeros changes nothing.
        bytes.extend([0; 4]);
    }
    bytes.extend(request.as_bytes());
    let length = if whole { bytes.len() } else { bytes.len() / 2 };
    wire.write_all(bytes.get(..length).unwrap_or_default())?;
    Ok(wire.flush()?)
}

/// RFC 6455 s5.5.1: a closing frame.
pub fn say_goodbye(wire: &mut dyn Wire, transport: Transport) -> Result<()> {
    if transport.is_web() {
        wire.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8])?;
    }
    Ok(wire.finish()?)
}

/// Reads to the end of a head, and so of an answer without a body.
pub fn read_head(wire: &mut dyn Wire) -> io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        wire.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(())
}
