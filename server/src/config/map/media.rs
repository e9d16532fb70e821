//! Who relays media, and for which calls.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use strowger_core::config::{Config, ConfigError, MediaMode};
use strowger_shell::options::{MediaOptions, Options};
use strowger_shell::relay::{RelayOptions, RtpengineOptions};

use super::file;

pub(super) fn media(
    from: file::Media,
    config: &mut Config,
    options: &mut Options,
    errors: &mut Vec<ConfigError>,
) {
    let mut refuse = |key: &str, message: &str| {
        errors.push(ConfigError { path: format!("media.{key}"), message: message.into() });
    };
    let mode = match from.mode {
        file::MediaMode::Off => return,
        file::MediaMode::Auto => MediaMode::Auto,
        file::MediaMode::Always => MediaMode::Always,
    };
    if let Some(calls) = &mut config.calls {
        calls.media.mode = mode;
        calls.media.local.clone_from(&config.local_nets);
    }
    if let Some(at) = from.rtpengine {
        match at.strip_prefix("udp:").and_then(|at| at.parse().ok()) {
            Some(at) => options.media = MediaOptions::Rtpengine(RtpengineOptions::new(at)),
            None => refuse("rtpengine", "must be udp:address:port"),
        }
        return;
    }
    let both = from.advertised.iter().any(|addr| addr.is_ipv6());
    let any = if both { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let mut relay = RelayOptions::new(from.address.unwrap_or(any));
    if relay.address.is_unspecified() && from.advertised.is_empty() {
        refuse("advertised", "is needed: the address at which phones find the relay");
    }
    relay.advertised = from.advertised;
    if let Some([first, last]) = from.ports {
        if first < 1024 || last <= first || last - first < 3 {
            refuse(
                "ports",
                "must be two ports from 1024 on, the first and the last, with two pairs at least",
            );
        }
        relay.ports = first..=last;
    }
    if let Some(silence) = from.silence {
        // RFC 3550 s6.2: even who only listens says so by RTCP, each five seconds or so.
        if silence.0 < Duration::from_secs(10) {
            refuse("silence", "must be at least 10s");
        }
        relay.silence = silence.0;
    }
    options.media = MediaOptions::Relay(relay);
}
