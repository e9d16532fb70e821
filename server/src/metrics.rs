//! Prometheus metrics out of one snapshot of the engine, made at the scrape. No label carries a user, an address of
//! record or a Call-ID.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use strowger_core::door::CallEnd;
use strowger_core::stats::{AUTH_LABELS, Counter, DropReason};
use strowger_core::wire::Method;
use strowger_shell::gate::StoreStats;
use strowger_shell::handle::PerTransport;
use strowger_shell::latency::{BOUNDS, Latency};
use strowger_shell::relay::{RelayStats, RtpengineStats};
use strowger_tokio::Snapshot;

/// What is exported.
#[derive(Debug)]
pub struct Export {
    /// The engine's and the sockets' numbers.
    pub snapshot: Box<Snapshot>,
    /// Log lines lost.
    pub log_lines_lost: u64,
}

impl Export {
    /// The text of a scrape (OpenMetrics).
    pub fn text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut out = String::new();
        // Writing to a string cannot fail, and the collector fails only where writing does.
        let _ = text::encode(&mut out, &registry);
        out
    }
}

/// A label and its value.
type Label = (&'static str, &'static str);

/// A family under way.
struct Family<'a, 'e> {
    encoder: &'a mut DescriptorEncoder<'e>,
    name: &'static str,
    help: &'static str,
    kind: MetricType,
}

impl Family<'_, '_> {
    fn write<const N: usize>(self, values: impl IntoIterator<Item = ([Label; N], u64)>) -> fmt::Result {
        let counts = matches!(self.kind, MetricType::Counter);
        let mut metric = self.encoder.encode_descriptor(self.name, self.help, None, self.kind)?;
        for (labels, value) in values {
            if N == 0 {
                write_value(&mut metric, counts, value)?;
            } else {
                write_value(&mut metric.encode_family(&labels)?, counts, value)?;
            }
        }
        Ok(())
    }
}

fn write_value(metric: &mut MetricEncoder<'_>, counts: bool, value: u64) -> fmt::Result {
    if counts {
        metric.encode_counter::<[Label; 0], u64, u64>(&value, None)
    } else {
        metric.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl Collector for Export {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let Snapshot { stats, sizes, sockets, latency, notify_latency, store, relay, rtpengine } =
            &*self.snapshot;
        let methods = || {
            let named = |method: Method| if method == Method::Other { "other" } else { method.as_str() };
            Method::ALL.into_iter().chain([Method::Other]).map(move |method| (method, named(method)))
        };
        let counter = |counter| stats.counter(counter);

        let requests =
            methods().map(|(method, name)| ([("method", name), ("direction", "in")], stats.requests(method)));
        counters(encoder, "strowger_sip_requests", "SIP requests, retransmissions included")
            .write(requests)?;
        const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"];
        let responses = methods().flat_map(|(method, name)| {
            CLASSES.iter().enumerate().map(move |(i, class)| {
                let labels = [("method", name), ("code_class", class), ("direction", "out")];
                (labels, stats.responses(method, i + 1))
            })
        });
        counters(encoder, "strowger_sip_responses", "SIP responses sent")
            .write(responses.filter(|(_, n)| *n > 0))?;
        counters(encoder, "strowger_sip_retransmissions", "Retransmissions").write([
            ([("direction", "in")], counter(Counter::Retransmissions)),
            ([("direction", "out")], counter(Counter::Resent)),
        ])?;
        counters(encoder, "strowger_register", "Changes of bindings, and requests refused").write([
            ([("result", "registered")], counter(Counter::Registered)),
            ([("result", "refreshed")], counter(Counter::Refreshed)),
            ([("result", "unregistered")], counter(Counter::Unregistered)),
            ([("result", "expired")], counter(Counter::Expired)),
            ([("result", "replaced")], counter(Counter::Replaced)),
            ([("result", "refused")], counter(Counter::RegisterRefused)),
        ])?;
        let auth = AUTH_LABELS.iter().enumerate().map(|(i, label)| {
            let (result, scheme) = label.strip_prefix("ok_").map_or((*label, ""), |scheme| ("ok", scheme));
            ([("scheme", scheme), ("result", result)], stats.auth(i))
        });
        counters(encoder, "strowger_auth", "What authentication found").write(auth)?;
        let drops = DropReason::ALL.iter().map(|reason| ([("reason", reason.text())], stats.drops(*reason)));
        counters(encoder, "strowger_dropped", "Input dropped without an answer").write(drops)?;
        let ends = CallEnd::ALL.map(|end| ([("cause", end.text())], stats.call_ends(end)));
        counters(encoder, "strowger_calls_ended", "Calls that ended").write(ends)?;
        for (what, help) in PLAIN {
            counters(encoder, plain_name(*what), help).write([([], counter(*what))])?;
        }

        for (name, help, value) in [
            ("strowger_registered_aors", "Addresses of record with bindings", sizes.aors),
            ("strowger_registered_contacts", "Bindings", sizes.bindings),
            ("strowger_transactions", "Transactions in memory", sizes.transactions),
            ("strowger_transaction_bytes", "Bytes they hold", sizes.transaction_bytes),
            ("strowger_parked_requests", "Requests waiting for an answer of the host", sizes.parked),
            ("strowger_subscriptions", "Subscriptions", sizes.subscriptions),
            ("strowger_publications", "Publications", sizes.publications),
            ("strowger_presentities", "Presentities published for or watched", sizes.presentities),
            ("strowger_mailboxes", "Mailboxes about which something is known", sizes.mailboxes),
            ("strowger_live_calls", "Calls, ringing and answered", sizes.calls),
            ("strowger_media_sessions", "Sessions whose media a relay was asked about", sizes.media_sessions),
            ("strowger_trunks_down", "Trunks that do not answer", sizes.trunks_down),
            (
                "strowger_servers_overloaded",
                "Servers that asked to be left alone for a while (503 with Retry-After)",
                sizes.servers_overloaded,
            ),
            (
                "strowger_trunks_registered",
                "Trunks at which the server is registered",
                sizes.trunks_registered,
            ),
            ("strowger_messages", "Instant messages on their way", sizes.messages),
            (
                "strowger_stored_messages",
                "Instant messages kept for those who are not there",
                sizes.stored_messages,
            ),
            ("strowger_nonces", "Nonces remembered", sizes.nonces),
            ("strowger_tokens", "Tokens remembered", sizes.tokens),
            ("strowger_timers", "Timers armed", sizes.timers),
        ] {
            gauges(encoder, name, help).write([([], value as u64)])?;
        }
        let by_transport = |counts: PerTransport| {
            counts.iter().map(|(each, count)| ([("transport", each.name())], count)).collect::<Vec<_>>()
        };
        let now = by_transport(sockets.connections);
        gauges(encoder, "strowger_connections", "Stream connections").write(now)?;
        for (name, help, counts) in [
            ("strowger_connections_accepted", "Stream connections accepted, and up", sockets.accepted),
            (
                "strowger_handshakes_failed",
                "Stream connections on which TLS or WebSocket was not agreed on",
                sockets.handshakes_failed,
            ),
        ] {
            counters(encoder, name, help).write(by_transport(counts))?;
        }
        let ended = sockets.ended.iter().map(|(reason, count)| ([("reason", reason.text())], count));
        counters(encoder, "strowger_connections_ended", "Stream connections that were up, and ended")
            .write(ended)?;
        for (name, help, value) in [
            ("strowger_connections_turned_away", "Stream connections over a limit", sockets.turned_away),
            ("strowger_datagrams_received", "UDP datagrams received", sockets.datagrams_received),
            ("strowger_datagrams_sent", "UDP datagrams sent", sockets.datagrams_sent),
            ("strowger_datagrams_lost", "UDP datagrams lost to a full socket", sockets.datagrams_lost),
            ("strowger_send_errors", "UDP datagrams the system refused to send", sockets.send_errors),
            ("strowger_log_lines_lost", "Log lines lost to a slow reader", self.log_lines_lost),
        ] {
            counters(encoder, name, help).write([([], value)])?;
        }
        let help = "From a message's arrival to the sending of what it caused";
        histogram(encoder, "strowger_answer_seconds", help, latency)?;
        let help =
            "From a PUBLISH, a SUBSCRIBE or the end of the pacing interval to the sending of the NOTIFY";
        histogram(encoder, "strowger_notify_seconds", help, notify_latency)?;
        if let Some(relay) = relay {
            relayed(encoder, relay)?;
        }
        if let Some(engine) = rtpengine {
            outside(encoder, engine)?;
        }
        if let Some(store) = store {
            stored(encoder, store)?;
        }
        let version = [([("version", env!("CARGO_PKG_VERSION"))], 1)];
        gauges(encoder, "strowger_build_info", "The version that runs").write(version)
    }
}

/// What the rtpengine says.
fn outside(encoder: &mut DescriptorEncoder<'_>, engine: &RtpengineStats) -> fmt::Result {
    gauges(encoder, "strowger_rtpengine_up", "Whether the rtpengine answers")
        .write([([], engine.up.into())])?;
    counters(encoder, "strowger_rtpengine_questions", "What the rtpengine was asked").write([
        ([("result", "described")], engine.described),
        ([("result", "refused")], engine.refused),
        ([("result", "unanswered")], engine.unanswered),
        ([("result", "deleted")], engine.deleted),
    ])
}

/// What the relay has done.
fn relayed(encoder: &mut DescriptorEncoder<'_>, relay: &RelayStats) -> fmt::Result {
    for (name, help, value) in [
        ("strowger_relay_sessions", "Sessions whose media are relayed", relay.sessions),
        ("strowger_relay_ports", "Ports of the relay in use", relay.ports),
    ] {
        gauges(encoder, name, help).write([([], value as u64)])?;
    }
    for (name, help, value) in [
        ("strowger_relay_packets", "Packets of media passed on", relay.packets),
        ("strowger_relay_bytes", "Bytes of them", relay.bytes),
        ("strowger_relay_silent", "Sessions that were silent for too long", relay.silent),
        ("strowger_relay_refused", "Descriptions that could not be relayed", relay.refused),
    ] {
        counters(encoder, name, help).write([([], value)])?;
    }
    counters(encoder, "strowger_relay_dropped", "Packets of media dropped").write([
        ([("reason", "foreign")], relay.foreign),
        ([("reason", "early")], relay.early),
        ([("reason", "odd")], relay.odd),
        ([("reason", "lost")], relay.lost),
    ])
}

/// What became of changes of state.
fn stored(encoder: &mut DescriptorEncoder<'_>, store: &StoreStats) -> fmt::Result {
    for (name, help, value) in [
        ("strowger_store_pending", "Changes of state that wait to be stored", store.pending),
        ("strowger_store_pending_bytes", "Bytes of them", store.pending_bytes),
        ("strowger_store_failing", "1 while state cannot be stored", u64::from(store.failing)),
        ("strowger_store_held_messages", "Messages that wait for their changes (strict)", store.held),
    ] {
        gauges(encoder, name, help).write([([], value)])?;
    }
    for (name, help, value) in [
        ("strowger_store_changes", "Changes of state", store.saves),
        ("strowger_store_commits", "Commits that succeeded", store.commits),
        ("strowger_store_committed", "Changes in them", store.committed),
        ("strowger_store_failures", "Commits that failed", store.failures),
        ("strowger_store_lost", "Changes that are not stored", store.lost),
        (
            "strowger_store_dropped_messages",
            "Messages dropped because too many waited (strict)",
            store.dropped,
        ),
    ] {
        counters(encoder, name, help).write([([], value)])?;
    }
    histogram(encoder, "strowger_store_commit_seconds", "How long commits took", &store.latency)
}

/// Counters of the engine that are exported as they are.
const PLAIN: &[(Counter, &str)] = &[
    (Counter::Messages, "Messages handled"),
    (Counter::Bytes, "Bytes of them"),
    (Counter::ParseErrors, "Messages that could not be parsed"),
    (Counter::TransactionsForgotten, "Transactions forgotten early, to stay in the budget"),
    (Counter::Overload, "Requests answered 503 because a limit was reached"),
    (Counter::TokenHits, "Tokens found in the cache"),
    (Counter::TokenVerifications, "Token signatures verified"),
    (Counter::KeyFetches, "Key sets asked for"),
    (Counter::Introspections, "Tokens an authorization server was asked about"),
    (Counter::ClockBackwards, "Inputs whose time was before the last one"),
    (Counter::Parked, "Requests parked for an answer of the host"),
    (Counter::ParkTimeouts, "Parked requests whose answer came too late"),
    (Counter::MediaAsked, "Session descriptions that a relay was asked about"),
    (Counter::MediaRefused, "Session descriptions that no relay took"),
    (Counter::Stun, "STUN Binding requests answered"),
    (Counter::Pongs, "Keep-alives answered"),
    (Counter::Pings, "Keep-alives sent"),
    (Counter::Subscribed, "Subscriptions made"),
    (Counter::Unsubscribed, "Subscriptions that ended"),
    (Counter::SubscriptionsLost, "Subscriptions whose subscriber refused or did not answer a NOTIFY"),
    (Counter::Notified, "NOTIFY requests sent, retransmissions not included"),
    (Counter::Connected, "Connections opened towards phones"),
    (Counter::LargeDatagrams, "Requests over 1300 bytes that had no other way than a datagram"),
    (Counter::Published, "Publications made"),
    (Counter::PublicationsEnded, "Publications that ended"),
    (Counter::Calls, "Calls that were asked for"),
    (Counter::CallsAnswered, "Of them those that were answered"),
    (Counter::CallsDismissed, "Answers that nobody waited for any more: acknowledged and ended"),
    (Counter::MessagesTaken, "Instant messages that a phone took"),
    (Counter::MessagesKept, "Instant messages kept for later"),
    (Counter::MessagesExpired, "Kept messages that nobody came for"),
];

fn plain_name(counter: Counter) -> &'static str {
    match counter {
        Counter::Messages => "strowger_sip_messages",
        Counter::Bytes => "strowger_sip_bytes",
        Counter::ParseErrors => "strowger_sip_parse_errors",
        Counter::TransactionsForgotten => "strowger_transactions_forgotten",
        Counter::Overload => "strowger_overload",
        Counter::TokenHits => "strowger_token_cache_hits",
        Counter::TokenVerifications => "strowger_token_verifications",
        Counter::KeyFetches => "strowger_key_fetches",
        Counter::Introspections => "strowger_introspections",
        Counter::ClockBackwards => "strowger_clock_backwards",
        Counter::Parked => "strowger_requests_parked",
        Counter::ParkTimeouts => "strowger_park_timeouts",
        Counter::MediaAsked => "strowger_media_asked",
        Counter::MediaRefused => "strowger_media_refused",
        Counter::Stun => "strowger_stun_answers",
        Counter::Pongs => "strowger_keepalives_answered",
        Counter::Pings => "strowger_keepalives_sent",
        Counter::Subscribed => "strowger_subscriptions_made",
        Counter::Unsubscribed => "strowger_subscriptions_ended",
        Counter::SubscriptionsLost => "strowger_subscriptions_lost",
        Counter::Notified => "strowger_notifies_sent",
        Counter::Connected => "strowger_connections_opened",
        Counter::LargeDatagrams => "strowger_large_datagrams",
        Counter::Published => "strowger_publications_made",
        Counter::PublicationsEnded => "strowger_publications_ended",
        Counter::Calls => "strowger_calls_begun",
        Counter::CallsAnswered => "strowger_calls_answered",
        Counter::CallsDismissed => "strowger_calls_dismissed",
        Counter::MessagesTaken => "strowger_messages_taken",
        Counter::MessagesKept => "strowger_messages_kept",
        Counter::MessagesExpired => "strowger_messages_expired",
        _ => "strowger_other",
    }
}

fn counters<'a, 'e>(
    encoder: &'a mut DescriptorEncoder<'e>,
    name: &'static str,
    help: &'static str,
) -> Family<'a, 'e> {
    Family { encoder, name, help, kind: MetricType::Counter }
}

fn gauges<'a, 'e>(
    encoder: &'a mut DescriptorEncoder<'e>,
    name: &'static str,
    help: &'static str,
) -> Family<'a, 'e> {
    Family { encoder, name, help, kind: MetricType::Gauge }
}

fn histogram(
    encoder: &mut DescriptorEncoder<'_>,
    name: &'static str,
    help: &'static str,
    latency: &Latency,
) -> fmt::Result {
    let bounds = BOUNDS.iter().copied().chain([f64::MAX]);
    let buckets: Vec<(f64, u64)> = bounds.zip(latency.counts().iter().copied()).collect();
    let count = latency.counts().iter().sum();
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    metric.encode_histogram::<[Label; 0]>(latency.seconds(), count, &buckets, None)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use strowger_core::door::Transport;
    use strowger_core::stats::{Sizes, Stats};
    use strowger_shell::handle::SocketStats;

    use super::*;

    fn export() -> Export {
        let mut latency = Latency::default();
        latency.record(Duration::from_micros(70));
        let mut sizes = Sizes::default();
        (sizes.aors, sizes.bindings) = (3, 4);
        let sockets = SocketStats {
            datagrams_received: 7,
            connections: [(Transport::Tcp, 2)].into(),
            ..SocketStats::default()
        };
        let snapshot = Box::new(Snapshot {
            stats: Stats::default(),
            sizes,
            sockets,
            latency,
            notify_latency: Latency::default(),
            relay: None,
            rtpengine: None,
            store: Some(StoreStats { commits: 5, latency, ..StoreStats::default() }),
        });
        Export { snapshot, log_lines_lost: 0 }
    }

    #[test]
    fn names_types_and_values_are_what_dashboards_expect() {
        insta::assert_snapshot!(export().text().replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    }

    #[test]
    fn no_counter_of_the_engine_is_forgotten() {
        let apart = [
            Counter::Retransmissions,
            Counter::Resent,
            Counter::Registered,
            Counter::Refreshed,
            Counter::Unregistered,
            Counter::Expired,
            Counter::Replaced,
            Counter::RegisterRefused,
            Counter::Timers,
            Counter::SaveFailures,
        ];
        for counter in Counter::ALL {
            let plain = PLAIN.iter().any(|(plain, _)| plain == counter);
            assert!(plain != apart.contains(counter), "{}", counter.text());
            assert!(!plain || plain_name(*counter) != "strowger_other", "{}", counter.text());
        }
    }
}
