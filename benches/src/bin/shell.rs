//! A server on one of the runtimes, for the load generator: phones register without being asked who they are. UDP and TCP are
//! spoken on this port, TLS, WS and WSS on the next three; those that need a certificate with one only.
//! `shell tokio|smol|mio PORT [CERTIFICATE KEY]`; ends with its standard input.

use std::io::Read;
use std::net::SocketAddr;

use strowger_core::config::{AuthPolicy, Config, ListenerConfig};
use strowger_core::door::Transport;
use strowger_shell::hooks::Hooks;
use strowger_shell::options::Options;
use strowger_shell::promise::Wait;
use strowger_shell::server::{Runtime, Server};
use strowger_shell::tls::{TlsFiles, TlsServer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (runtime, port) = (args.next().unwrap_or_default(), args.next().unwrap_or_default().parse()?);
    let tls = match (args.next(), args.next()) {
        (Some(certificate), Some(key)) => {
            let (certificate, key) = (certificate.into(), key.into());
            Some(TlsServer::open(TlsFiles { certificate, key, ..TlsFiles::default() })?)
        }
        _ => None,
    };
    match &*runtime {
        "tokio" => {
            let own = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            let _entered = own.enter();
            serve::<strowger_tokio::Tokio>(port, tls)
        }
        "smol" => serve::<strowger_smol::Smol>(port, tls),
        "mio" => serve::<strowger_mio::Mio>(port, tls),
        other => Err(format!("{other:?} is none of tokio, smol, mio").into()),
    }
}

fn serve<R: Runtime>(port: u16, tls: Option<TlsServer>) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::new("example.com");
    config.policies.register = AuthPolicy::Open;
    config.registrar.get_or_insert_default();
    let listener = |(transport, port)| {
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        ListenerConfig { transport, addr, advertised: None, algorithms: None }
    };
    // UDP and TCP share the first number.
    let ports = Transport::ALL.into_iter().zip([port, port, port + 1, port + 2, port + 3]);
    let usable = ports.filter(|(transport, _)| tls.is_some() || !transport.is_secure());
    config.listeners = usable.map(listener).collect();
    let mut options = Options::default();
    options.stream.tls = tls;
    let server = Server::<R>::start(config, options, Hooks::default())?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    server.handle().shutdown()?;
    Ok(server.stopped().wait()?)
}
