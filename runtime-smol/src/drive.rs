//! The loop: it has the driver do what there is to do, and waits when there is nothing.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use async_io::Timer;
use futures_lite::future::yield_now;
use strowger_shell::driver::Driver;

use crate::Outside;

/// Rounds of work after which the reactor gets a look at the other sockets, however busy this one is.
const ROUNDS_PER_TURN: u32 = 16;

/// Runs until the server is stopped, or drained.
pub(crate) async fn drive(mut driver: Driver<Outside>) {
    driver.begin();
    let mut timer = Timer::never();
    // When it fires, if it does.
    let mut due = None;
    let mut rounds: u32 = 0;
    while !driver.is_stopped() {
        if driver.round() {
            rounds = rounds.wrapping_add(1);
            if rounds.is_multiple_of(ROUNDS_PER_TURN) {
                yield_now().await;
            }
            continue;
        }
        rounds = 0;
        let next = driver.deadline();
        // One that moved away is looked at again when the timer fires.
        if due.is_none_or(|due| next < due) {
            due = Some(next);
            timer.set_at(next);
        }
        poll_fn(|cx| poll_ready(&mut driver, &mut timer, &mut due, cx)).await;
    }
    driver.finish();
}

/// Ready when there is anything to do.
fn poll_ready(
    driver: &mut Driver<Outside>,
    timer: &mut Timer,
    due: &mut Option<Instant>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    // Everything is asked, so that everything wakes.
    let mut ready = driver.poll_ready(cx).is_ready();
    for port in driver.ports() {
        ready |= port.watched().poll_ready(cx).is_ready();
    }
    if Pin::new(timer).poll(cx).is_ready() {
        *due = None;
        ready = true;
    }
    if ready { Poll::Ready(()) } else { Poll::Pending }
}
