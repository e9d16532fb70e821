//! Session descriptions of a phone, as little as offer and answer need: RFC 4566, RFC 3264 s5, s6, s8.

use std::net::SocketAddr;

use crate::rng::Rng;

/// Which way media flow, as its owner sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// Only from its owner: the other side is on hold.
    SendOnly,
    /// Only to its owner.
    RecvOnly,
    /// Not at all.
    Inactive,
}

impl Direction {
    fn token(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    /// The direction of a description.
    pub fn of(sdp: &str) -> Direction {
        let all = [Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
        let found = all.into_iter().find(|d| sdp.contains(&format!("a={}\r\n", d.token())));
        found.unwrap_or(Direction::SendRecv)
    }

    /// RFC 3264 s6.1: what answers an offer of this direction.
    fn answer(self) -> Direction {
        match self {
            Direction::SendOnly => Direction::RecvOnly,
            Direction::RecvOnly => Direction::SendOnly,
            other => other,
        }
    }
}

/// What a phone says of its media in one call.
#[derive(Clone, Debug)]
pub(super) struct Media {
    pub(super) id: String,
    pub(super) direction: Direction,
    version: u64,
    said: Option<String>,
}

impl Media {
    pub(super) fn new(rng: &mut Rng) -> Media {
        let id = (1_000_000 + rng.below(1_000_000_000)).to_string();
        Media { id, direction: Direction::SendRecv, version: rng.below(1000), said: None }
    }

    /// The description in this direction. RFC 3264 s8: the version rises by one with every change.
    pub(super) fn say(&mut self, user: &str, addr: SocketAddr, direction: Direction) -> String {
        let family = if addr.is_ipv4() { "IP4" } else { "IP6" };
        let ip = addr.ip();
        let rest = format!(
            "s=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8\r\na={}\r\n",
            direction.token()
        );
        if self.said.as_ref() != Some(&rest) {
            self.version += 1;
        }
        self.direction = direction;
        let text = format!("v=0\r\no={user} {} {} IN {family} {ip}\r\n{rest}", self.id, self.version);
        self.said = Some(rest);
        text
    }

    pub(super) fn answer(&mut self, user: &str, addr: SocketAddr, offer: &str) -> String {
        self.say(user, addr, Direction::of(offer).answer())
    }
}

/// The session id and version of a description.
pub(super) fn origin(sdp: &str) -> Option<(&str, u64)> {
    let line = sdp.lines().find_map(|line| line.strip_prefix("o="))?;
    let mut words = line.split(' ').skip(1);
    Some((words.next()?, words.next()?.parse().ok()?))
}
