use std::thread;

use super::*;
use crate::promise::Wait;

fn spawn<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    thread::Builder::new().spawn(run).expect("a thread")
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn items_come_out_in_order_and_no_more_fit_than_may() {
    let (sender, mut receiver) = queue(2);
    assert_eq!((sender.try_send(1), sender.try_send(2)), (Ok(()), Ok(())));
    assert_eq!(sender.try_send(3), Err(Refused::Full(3)));
    assert_eq!((receiver.try_recv(), receiver.try_recv(), receiver.try_recv()), (Some(1), Some(2), None));
    drop(sender);
    assert_eq!(receiver.recv().wait(), None);
}

#[test]
fn a_permit_holds_its_room_and_gives_it_back() {
    let (sender, mut receiver) = queue(1);
    let permit = sender.try_reserve().expect("room");
    assert_eq!(sender.try_send(1), Err(Refused::Full(1)));
    permit.send(2);
    assert_eq!(receiver.try_recv(), Some(2));
    drop(sender.try_reserve().expect("room"));
    assert_eq!(sender.try_send(3), Ok(()));
}

#[test]
fn whoever_waits_longest_has_room_first_and_one_who_goes_away_passes_it_on() {
    let (sender, mut receiver) = queue(1);
    sender.try_send(0).expect("room");
    let (mut first, mut second) = (sender.reserve(), sender.reserve());
    assert!(poll_once(&mut first).is_pending() && poll_once(&mut second).is_pending());
    assert_eq!(receiver.try_recv(), Some(0));
    assert_eq!(sender.shared.lock().for_room.len(), 1, "the first was told");
    drop(first);
    assert!(sender.shared.lock().for_room.is_empty(), "and passed it on");
    assert!(matches!(poll_once(&mut second), Poll::Ready(Ok(_))));
}

#[test]
fn the_end_of_the_receiver_reaches_everybody_who_waits() {
    let (sender, receiver) = queue(1);
    sender.try_send(0).expect("room");
    let waiting = spawn({
        let sender = sender.clone();
        move || sender.send(1).wait()
    });
    let mut closed = sender.closed();
    assert!(poll_once(&mut closed).is_pending());
    drop(receiver);
    assert_eq!(waiting.join().expect("joined"), Err(Closed));
    assert!(poll_once(&mut closed).is_ready());
    assert_eq!(sender.try_send(2), Err(Refused::Closed(2)));
}

#[test]
fn nothing_is_lost_between_many_threads() {
    let (sender, mut receiver) = queue(3);
    let threads: Vec<_> = (0..4u64)
        .map(|n| {
            let sender = sender.clone();
            spawn(move || (0..500).try_for_each(|i| sender.send(n * 500 + i).wait()))
        })
        .collect();
    drop(sender);
    let mut seen = Vec::new();
    while let Some(item) = receiver.recv().wait() {
        seen.push(item);
    }
    assert!(threads.into_iter().all(|thread| thread.join().expect("joined") == Ok(())));
    seen.sort_unstable();
    assert_eq!(seen, (0..2000).collect::<Vec<_>>());
}
