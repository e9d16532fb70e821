//! Connections that come and go for minutes: over TCP, TLS, WS and WSS, with clean and abrupt ends at every step of their
//! lives. Fails if the server's memory or its open files grow.
//!
//! `churn SERVER-BINARY [SECONDS]` prints both every tenth of the time.
#![allow(clippy::disallowed_methods)] // It has the machine's clock.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;
use strowger_benches::links::{Result, STREAMS, Served, read_head, say, say_goodbye};
use strowger_core::door::Transport;

/// Clients at once, of each transport.
const CLIENTS: usize = 4;
/// Connections that each of them holds before it lets them go.
const TOGETHER: usize = 25;
/// Ends, one after the other.
const ENDS: u64 = 7;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let binary = args.next().ok_or("which server binary?")?;
    let seconds: u64 = args.next().map_or(Ok(180), |seconds| seconds.parse())?;
    let served = Served::start(&binary, &STREAMS, 20_000)?;
    let files = served.descriptors()?;
    println!("at the start: {:.1} MB, {files} open files", megabytes(&served)?);
    let (over, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let warm = thread::scope(|scope| -> Result<usize> {
        let clients = STREAMS.into_iter().flat_map(|transport| [transport; CLIENTS]);
        let work = |transport| {
            let (served, over, count) = (&served, &over, &count);
            scope.spawn(move || client(served, transport, over, count))
        };
        let threads: Vec<_> = clients.map(work).collect();
        let watched = watch(&served, &count, Duration::from_secs(seconds));
        over.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().map_err(|_| "a client panicked")??;
        }
        watched
    })?;
    // The last ones are gone once the server has seen their ends.
    let until = Instant::now() + Duration::from_secs(60);
    while served.descriptors()? > files && Instant::now() < until {
        thread::yield_now();
    }
    let (left, all) = (served.descriptors()?, count.load(Ordering::Relaxed));
    println!("at the end: {:.1} MB, {left} open files, after {all} connections", megabytes(&served)?);
    if left > files {
        return Err(format!("{} files are open that were not", left - files).into());
    }
    // What an allocator keeps differs from moment to moment.
    if served.resident()? > warm + warm / 16 + (2 << 20) {
        return Err("memory has grown since half of the time had passed".into());
    }
    Ok(())
}

/// Prints, and gives the memory after half of the time: until then sessions that may be taken up again fill their table.
fn watch(served: &Served, count: &AtomicU64, time: Duration) -> Result<usize> {
    let start = Instant::now();
    let mut warm = 0;
    for tenth in 1..=10u32 {
        thread::sleep((time * tenth / 10).saturating_sub(start.elapsed()));
        let (resident, files) = (served.resident()?, served.descriptors()?);
        if tenth == 5 {
            warm = resident;
        }
        let all = count.load(Ordering::Relaxed);
        println!(
            "{:5.0} s: {all:8} connections, {:5.1} MB, {files} open files",
            start.elapsed().as_secs_f64(),
            resident as f64 / 1e6
        );
    }
    Ok(warm)
}

fn megabytes(served: &Served) -> Result<f64> {
    Ok(served.resident()? as f64 / 1e6)
}

fn client(served: &Served, transport: Transport, over: &AtomicBool, count: &AtomicU64) -> Result<()> {
    let mut number = 0;
    while !over.load(Ordering::Relaxed) {
        let mut together = Vec::with_capacity(TOGETHER);
        for _ in 0..TOGETHER {
            together.push(live(served, transport, number % ENDS)?);
            number += 1;
        }
        count.fetch_add(TOGETHER as u64, Ordering::Relaxed);
        // A batch that is dropped ends without a word, all at once.
    }
    Ok(())
}

/// One connection, and as far as it gets: what is left of it, if it is still there.
fn live(served: &Served, transport: Transport, end: u64) -> Result<Option<Box<dyn Send>>> {
    if end < 2 {
        let socket = served.connect(transport)?;
        return Ok(match end {
            // Nothing was said.
            0 => Some(Box::new(socket)),
            // In the middle of a handshake, or of a message; with a reset.
            _ => {
                begin(&socket, transport)?;
                SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
                None
            }
        });
    }
    let mut wire = served.open(transport)?;
    say(&mut *wire, transport, end != 2)?;
    match end {
        // Half a message.
        2 => return Ok(Some(Box::new(wire))),
        // Nobody waits for the answer.
        3 => return Ok(None),
        _ => read_head(&mut *wire)?,
    }
    match end {
        // As it should be.
        4 => say_goodbye(&mut *wire, transport)?,
        // The answer to the goodbye is waited for.
        5 => {
            say_goodbye(&mut *wire, transport)?;
            if transport.is_web() || transport.is_secure() {
                let _ = wire.read_to_end(&mut Vec::new());
            }
        }
        // Dropped with the others.
        _ => return Ok(Some(Box::new(wire))),
    }
    Ok(None)
}

fn begin(mut socket: &TcpStream, transport: Transport) -> Result<()> {
    let begins: &[u8] = match transport {
        Transport::Tls | Transport::Wss => &[0x16, 3, 1, 1, 0, 1],
        Transport::Ws => b"GET / HT",
        _ => b"OPTIONS sip:",
    };
    Ok(std::io::Write::write_all(&mut socket, begins)?)
}
