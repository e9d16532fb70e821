//! A server on one of the runtimes, for the load generator: phones register over UDP without being asked who they are.
//! `shell tokio|smol|mio PORT`; ends with its standard input.

use std::io::Read;
use std::net::SocketAddr;

use strowger_core::config::{AuthPolicy, Config, ListenerConfig};
use strowger_core::door::Transport;
use strowger_shell::hooks::Hooks;
use strowger_shell::options::Options;
use strowger_shell::promise::Wait;
use strowger_shell::server::{Runtime, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (runtime, port) = (args.next().unwrap_or_default(), args.next().unwrap_or_default().parse()?);
    match &*runtime {
        "tokio" => {
            let own = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            let _entered = own.enter();
            serve::<strowger_tokio::Tokio>(port)
        }
        "smol" => serve::<strowger_smol::Smol>(port),
        "mio" => serve::<strowger_mio::Mio>(port),
        other => Err(format!("{other:?} is none of tokio, smol, mio").into()),
    }
}

fn serve<R: Runtime>(port: u16) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::new("example.com");
    config.policies.register = AuthPolicy::Open;
    config.registrar.get_or_insert_default();
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    config.listeners =
        vec![ListenerConfig { transport: Transport::Udp, addr, advertised: None, algorithms: None }];
    let server = Server::<R>::start(config, Options::default(), Hooks::default())?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    server.handle().shutdown()?;
    Ok(server.stopped().wait()?)
}
