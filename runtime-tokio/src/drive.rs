//! The loop: it has the driver do what there is to do, and waits when there is nothing.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use strowger_shell::driver::Driver;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::Outside;

/// Rounds of work after which the reactor gets a look at the other sockets, however busy this one is.
const ROUNDS_PER_TURN: u32 = 16;

/// Runs until the server is stopped, or drained.
pub(crate) async fn drive(mut driver: Driver<Outside>) {
    driver.begin();
    let mut sleep = pin!(sleep_until(Instant::from_std(driver.deadline())));
    let mut rounds = 0;
    while !driver.is_stopped() {
        if driver.round() {
            rounds += 1;
            if rounds % ROUNDS_PER_TURN == 0 {
                tokio::task::yield_now().await;
            }
            continue;
        }
        rounds = 0;
        let deadline = Instant::from_std(driver.deadline());
        // One that moved away is looked at again when the timer fires.
        if deadline < sleep.deadline() || sleep.is_elapsed() {
            sleep.as_mut().reset(deadline);
        }
        poll_fn(|cx| poll_ready(&mut driver, sleep.as_mut(), cx)).await;
    }
    driver.finish();
}

/// Ready when there is anything to do.
fn poll_ready(driver: &mut Driver<Outside>, sleep: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    // Everything is asked, so that everything wakes.
    let mut ready = driver.poll_ready(cx).is_ready();
    for port in driver.ports() {
        ready |= port.watched().poll_ready(cx).is_ready();
    }
    ready |= sleep.poll(cx).is_ready();
    if ready { Poll::Ready(()) } else { Poll::Pending }
}
