//! What idle connections cost a running server: opens so many of each kind, sends OPTIONS over each, keeps them, and reads
//! the memory of the server's process.
//!
//! `connections SERVER-BINARY [COUNT] [TRANSPORT...]` prints bytes of resident memory per connection for TCP, TLS, WS and WSS.
//! Both ends need as many open files; `ulimit -n` says how many there may be.

use std::env;

use strowger_benches::links::{Result, STREAMS, Served, read_head, say};
use strowger_core::door::Transport;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let binary = args.next().ok_or("which server binary?")?;
    let count: usize = args.next().map_or(Ok(10_000), |count| count.parse())?;
    let named: Vec<Transport> = args.filter_map(|name| Transport::of_uri_param(&name)).collect();
    println!("{count} idle connections, each after one OPTIONS: resident memory of the server");
    for transport in if named.is_empty() { STREAMS.to_vec() } else { named } {
        // A server of its own: memory that was given back is not told apart from memory that is kept.
        let served = Served::start(&binary, &[transport], count)?;
        let before = served.resident()?;
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            let mut wire = served.open(transport)?;
            say(&mut *wire, transport, true)?;
            read_head(&mut *wire)?;
            connections.push(wire);
        }
        let after = served.resident()?;
        let each = (after - before) / count;
        println!("{:4} {each:7} bytes each, {:5.1} MB in all", transport.name(), after as f64 / 1e6);
    }
    Ok(())
}
