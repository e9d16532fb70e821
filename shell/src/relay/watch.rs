//! Which sockets have something to read: by epoll on Linux, whose cost is that of the ones that have, and by poll elsewhere.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

/// Longest wait, in milliseconds.
const PATIENCE: u16 = 1000;

#[cfg(not(target_os = "linux"))]
pub(super) use every::Watch;
#[cfg(target_os = "linux")]
pub(super) use ready::Watch;

#[cfg(target_os = "linux")]
mod ready {
    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

    use super::{Arc, PATIENCE, UdpSocket, io};

    /// Sockets that are watched.
    #[derive(Debug)]
    pub(in super::super) struct Watch(Epoll);

    impl Watch {
        pub(in super::super) fn new() -> io::Result<Watch> {
            Ok(Watch(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
        }

        pub(in super::super) fn add(&self, name: u16, socket: &Arc<UdpSocket>) -> io::Result<()> {
            Ok(self.0.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, name.into()))?)
        }

        pub(in super::super) fn remove(&self, _: u16, socket: &Arc<UdpSocket>) {
            // One that is closed is watched no more in any case.
            let _ = self.0.delete(socket);
        }

        /// Waits until some have, and says which.
        pub(in super::super) fn wait(&self, ready: &mut Vec<u16>) {
            let mut events = [EpollEvent::empty(); 64];
            let count = self.0.wait(&mut events, PATIENCE).unwrap_or(0);
            ready.extend(events.iter().take(count).filter_map(|event| u16::try_from(event.data()).ok()));
        }
    }
}

#[cfg(any(test, not(target_os = "linux")))]
mod every {
    use std::collections::BTreeMap;
    use std::os::fd::AsFd;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::{Arc, PATIENCE, UdpSocket, io};

    type Sockets = BTreeMap<u16, Arc<UdpSocket>>;

    /// Sockets that are watched. One that comes while somebody waits is seen the next time.
    #[derive(Debug)]
    pub(in super::super) struct Watch(Mutex<Sockets>);

    impl Watch {
        pub(in super::super) fn new() -> io::Result<Watch> {
            Ok(Watch(Mutex::default()))
        }

        fn lock(&self) -> MutexGuard<'_, Sockets> {
            // Nothing panics while the lock is held.
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(in super::super) fn add(&self, name: u16, socket: &Arc<UdpSocket>) -> io::Result<()> {
            self.lock().insert(name, socket.clone());
            Ok(())
        }

        pub(in super::super) fn remove(&self, name: u16, _: &Arc<UdpSocket>) {
            self.lock().remove(&name);
        }

        /// Waits until some have, and says which.
        pub(in super::super) fn wait(&self, ready: &mut Vec<u16>) {
            let sockets = self.lock().clone();
            let mut fds: Vec<PollFd<'_>> =
                sockets.values().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
            if poll(&mut fds, PollTimeout::from(PATIENCE)).is_ok() {
                let found = fds.iter().zip(sockets.keys()).filter(|(fd, _)| fd.any().unwrap_or(true));
                ready.extend(found.map(|(_, name)| *name));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    macro_rules! watches {
        ($($name:ident: $way:ident),*) => {$(
            #[test]
            fn $name() {
                let watch = $way::Watch::new().expect("a watch");
                let [one, other] = [(), ()].map(|()| {
                    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
                    Arc::new(socket)
                });
                watch.add(1, &one).expect("added");
                watch.add(2, &other).expect("added");
                let mut ready = Vec::new();
                for (socket, expected) in [(&other, vec![2]), (&one, vec![1, 2])] {
                    socket.send_to(b"x", socket.local_addr().expect("bound")).expect("sent");
                    ready.clear();
                    while ready.len() < expected.len() {
                        ready.clear();
                        watch.wait(&mut ready);
                    }
                    ready.sort_unstable();
                    assert_eq!(ready, expected);
                }
                watch.remove(2, &other);
                ready.clear();
                watch.wait(&mut ready);
                assert_eq!(ready, [1]);
            }
        )*};
    }

    #[cfg(target_os = "linux")]
    watches!(those_that_are_ready_are_named: ready);
    watches!(those_that_are_ready_are_named_elsewhere: every);
}
