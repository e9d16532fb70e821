//! What idle connections cost a running server: opens so many of each kind, sends OPTIONS over each, keeps them, and reads
//! the memory of the server's process.
//!
//! `connections SERVER-BINARY [COUNT]` prints bytes of resident memory per connection for TCP, TLS, WS and WSS.
#![allow(clippy::disallowed_methods)] // A load generator has the machine's clock.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::{env, fs};

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const OPTIONS: &str = "OPTIONS sip:localhost SIP/2.0\r\nVia: SIP/2.0/TRANSPORT a.invalid;branch=z9hG4bKs1\r\nMax-Forwards: 70\r\n\
    From: <sip:probe@localhost>;tag=1\r\nTo: <sip:localhost>\r\nCall-ID: idle\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n";

/// One kind of connection.
struct Kind {
    name: &'static str,
    tls: bool,
    web: bool,
}

const KINDS: [Kind; 4] = [
    Kind { name: "tcp", tls: false, web: false },
    Kind { name: "tls", tls: true, web: false },
    Kind { name: "ws", tls: false, web: true },
    Kind { name: "wss", tls: true, web: true },
];

trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let binary = args.next().ok_or("which server binary?")?;
    let count: usize = args.next().map_or(Ok(10_000), |count| count.parse())?;
    let folder = env::temp_dir().join(format!("strowger-connections-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(&binary, count, &folder);
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(binary: &str, count: usize, folder: &Path) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    fs::write(folder.join("cert.pem"), made.cert.pem())?;
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())?;
    let config = client_config(&folder.join("cert.pem"))?;
    println!("{count} idle connections, each after one OPTIONS: resident memory of the server");
    for kind in &KINDS {
        // A server of its own: memory that was given back is not told apart from memory that is kept.
        let (mut child, addr) = serve(binary, kind, count, folder)?;
        let before = resident(&child)?;
        let connections = (0..count).map(|_| open(addr, kind, &config)).collect::<Result<Vec<_>>>()?;
        let after = resident(&child)?;
        let each = (after - before) / count;
        println!("{:4} {each:7} bytes each, {:5.1} MB in all", kind.name, after as f64 / 1e6);
        drop(connections);
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

fn client_config(certificate: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(certificate)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

fn serve(binary: &str, kind: &Kind, count: usize, folder: &Path) -> Result<(Child, SocketAddr)> {
    let path = |name: &str| folder.join(name).display().to_string();
    let text = format!(
        "[[domain]]\nname = \"localhost\"\n[[listen]]\nbind = \"{}:127.0.0.1:0\"\n[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n\
         [connections]\ntotal = {count}\nper_source = {count}\nidle = \"1h\"\n[storage]\nmode = \"none\"\n[auth.policy]\nregister = \"open\"\n",
        kind.name,
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
    let mut banner = BufReader::new(child.stdout.take().ok_or("no output")?);
    let prefix = format!("{}:", kind.name);
    let mut line = String::new();
    loop {
        line.clear();
        if banner.read_line(&mut line)? == 0 {
            return Err("the server did not start".into());
        }
        if let Some(addr) = line.split_whitespace().find_map(|word| word.strip_prefix(&prefix)) {
            return Ok((child, addr.parse()?));
        }
    }
}

fn open(addr: SocketAddr, kind: &Kind, config: &Arc<ClientConfig>) -> Result<Box<dyn Wire>> {
    let socket = TcpStream::connect(addr)?;
    let mut wire: Box<dyn Wire> = match kind.tls {
        true => {
            let session = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
            Box::new(StreamOwned::new(session, socket))
        }
        false => Box::new(socket),
    };
    let request = OPTIONS.replace("TRANSPORT", &kind.name.to_uppercase());
    match kind.web {
        true => {
            wire.write_all(UPGRADE.as_bytes())?;
            read_head(&mut wire)?;
            let mut frame = vec![0x81, 0x80 | 126];
            frame.extend((request.len() as u16).to_be_bytes());
            // A mask of zeros changes nothing.
            frame.extend([0; 4]);
            frame.extend(request.as_bytes());
            wire.write_all(&frame)?;
        }
        false => wire.write_all(request.as_bytes())?,
    }
    read_head(&mut wire)?;
    Ok(wire)
}

fn read_head(wire: &mut dyn Wire) -> io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        wire.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(())
}

/// Bytes of resident memory of a process.
fn resident(child: &Child) -> Result<usize> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<usize>()? * 1024)
}
