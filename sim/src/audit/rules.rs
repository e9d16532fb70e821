//! The rules over one response and its request. Each cites the section it comes from, and each has a vector below that
//! breaks it and nothing else.

use std::net::IpAddr;
use std::time::Duration;

use super::Case;
use crate::digest::{Challenge, params};
use crate::message::{Via, param, split_list, uri_of, without_tag};

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Section it comes from.
    pub cite: &'static str,
    /// The rule in a few words.
    pub name: &'static str,
    /// What is wrong, if it is broken.
    pub check: fn(&Case<'_>) -> Option<String>,
}

macro_rules! rules {
    ($($check:ident $cite:literal $name:literal,)*) => {
        /// All rules over responses.
        pub const RULES: &[Rule] = &[$(Rule { cite: $cite, name: $name, check: $check },)*];
    };
}

rules! {
    copies_via "RFC 3261 s8.2.6.2" "Via is copied, in order",
    copies_from "RFC 3261 s8.2.6.2" "From is copied",
    copies_to "RFC 3261 s8.2.6.2" "To is copied, but for the tag",
    copies_call "RFC 3261 s8.2.6.2" "Call-ID and CSeq are copied",
    tags_to "RFC 3261 s8.2.6.2" "all but 100 carry a To tag",
    goes_home "RFC 3261 s18.2.2" "the response goes where Via and rport say",
    names_source "RFC 3261 s18.2.1" "received names a source that sent-by does not",
    fills_rport "RFC 3581 s4" "rport is filled with the source port, and received is present",
    never_wildcard "RFC 3261 s18.1.1" "an address in a message can be reached: no wildcard",
    ack_is_silent "RFC 3261 s17" "ACK is never answered",
    challenges "RFC 3261 s22.2" "401 carries WWW-Authenticate",
    uas_only "RFC 3261 s22.2" "a UAS challenges by 401, not by 407",
    allows "RFC 3261 s8.2.1" "405 carries Allow",
    unsupported "RFC 3261 s8.2.2.3" "420 names the option tags in Unsupported",
    accepts "RFC 3261 s8.2.3" "415 names what is accepted",
    min_expires "RFC 3261 s10.3" "423 carries Min-Expires, and only an expiry below an hour earns it",
    no_6xx "RFC 3261 s10.3" "a registrar sends no 6xx",
    no_record_route "RFC 3261 s10.3" "a registrar sends no Record-Route",
    lists_expires "RFC 3261 s10.3" "each Contact of a 200 to REGISTER has expires",
    grants_no_more "RFC 3261 s10.3" "no expiry above the one asked for",
    forgets "RFC 3261 s10.3" "a removed contact is not listed",
    dates "RFC 3261 s20.17" "Date is in GMT",
    digest_is_whole "RFC 7616 s3.3" "a Digest challenge has realm, nonce and qop",
    strongest_first "RFC 8760 s2.3" "challenges come strongest first, one per algorithm",
    bearer_names_server "RFC 8898 s4" "authz_server is an https URI",
    provisional_late "RFC 4320 s4.1" "no provisional but a late 100 to a non-INVITE",
    no_408 "RFC 4320 s4.2" "no 408 to a non-INVITE",
    outbound_asked "RFC 5626 s6" "outbound is required only of who supports it",
    gruu_asked "RFC 5627 s5.3" "GRUUs go to who supports them",
    path_asked "RFC 3327 s5.3" "Path goes to who supports it",
    never_accepted "RFC 6665 s8.3.1" "SUBSCRIBE is answered 200, never 202",
    subscribed_is_whole "RFC 6665 s4.2.1.1" "a 2xx to SUBSCRIBE has Expires, no longer than asked, and Contact",
    published_is_whole "RFC 3903 s6" "a 2xx to PUBLISH has one SIP-ETag, and Expires no longer than asked",
    message_is_bare "RFC 3428 s7" "a 2xx to MESSAGE has no body and no Contact",
    allows_events "RFC 6665 s8.3.2" "489 carries Allow-Events",
    condition_asked "RFC 3903 s11.2.1" "412 answers a condition",
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn differs(name: &str, asked: &str, got: &str) -> Option<String> {
    (squeeze(asked) != squeeze(got)).then(|| format!("{name} {asked:?} became {got:?}"))
}

fn without_source(value: &str) -> String {
    let kept = split_list(value, ';').into_iter().filter(|p| {
        let name = p.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
        name != "received" && name != "rport"
    });
    kept.map(squeeze).collect::<Vec<_>>().join(";")
}

fn copies_via(c: &Case<'_>) -> Option<String> {
    let (asked, got) = (c.asked.message.values("Via"), c.response.values("Via"));
    if asked.len() != got.len() {
        return Some(format!("{} Via values became {}", asked.len(), got.len()));
    }
    let top = differs("Via", &without_source(asked.first()?), &without_source(got.first()?));
    top.or_else(|| asked.iter().zip(&got).skip(1).find_map(|(a, g)| differs("Via", a, g)))
}

fn copies_from(c: &Case<'_>) -> Option<String> {
    differs("From", c.asked.message.header("From")?, c.response.header("From").unwrap_or("nothing"))
}

fn copies_to(c: &Case<'_>) -> Option<String> {
    let asked = c.asked.message.header("To")?;
    let got = c.response.header("To").unwrap_or("nothing");
    match param(asked, "tag") {
        Some(_) => differs("To", asked, got),
        None => differs("To", &without_tag(asked), &without_tag(got)),
    }
}

fn copies_call(c: &Case<'_>) -> Option<String> {
    ["Call-ID", "CSeq"].iter().find_map(|name| {
        differs(name, c.asked.message.header(name)?, c.response.header(name).unwrap_or("nothing"))
    })
}

fn tags_to(c: &Case<'_>) -> Option<String> {
    let has = param(c.response.header("To")?, "tag").is_some_and(|t| !t.is_empty());
    (!has && c.response.status() != Some(100)).then(|| "no To tag".to_owned())
}

fn top_vias(c: &Case<'_>) -> Option<(Via, Via)> {
    Some((c.asked.message.via()?, c.response.via()?))
}

fn goes_home(c: &Case<'_>) -> Option<String> {
    let (asked, _) = top_vias(c)?;
    let source = c.asked.place.remote;
    if c.asked.place.stream {
        return (c.place.flow != c.asked.place.flow).then(|| format!("sent on flow {}", c.place.flow));
    }
    let to = c.place.remote;
    // RFC 3581 s4, and a NAT implies rport: sent-by that is not the source.
    let natted = asked.host_ip() != Some(source.ip());
    let symmetric = to == source && (asked.param("rport").is_some() || natted);
    let by_port =
        to.ip() == source.ip() && to.port() == asked.port.unwrap_or(5060) && asked.param("rport").is_none();
    let maddr = asked.param("maddr").flatten().and_then(|m| m.parse::<IpAddr>().ok());
    let by_maddr = maddr.is_some_and(|m| m == to.ip());
    (!symmetric && !by_port && !by_maddr).then(|| format!("sent to {to}, the request came from {source}"))
}

fn names_source(c: &Case<'_>) -> Option<String> {
    let (asked, got) = top_vias(c)?;
    let source = c.asked.place.remote.ip().to_canonical();
    let wanted = asked.host_ip().map(|ip| ip.to_canonical()) != Some(source);
    let named = got.received().map(|ip| ip.to_canonical()) == Some(source);
    (wanted && !named).then(|| format!("received is {:?}, the source {source}", got.param("received")))
}

fn fills_rport(c: &Case<'_>) -> Option<String> {
    let (asked, got) = top_vias(c)?;
    if asked.param("rport") != Some(None) || c.asked.place.stream {
        return None;
    }
    let source = c.asked.place.remote;
    let port = got.param("rport").flatten().and_then(|p| p.parse().ok());
    let right = port == Some(source.port())
        && got.received().map(|ip| ip.to_canonical()) == Some(source.ip().to_canonical());
    (!right).then(|| {
        format!("rport {:?}, received {:?}, the source {source}", got.param("rport"), got.param("received"))
    })
}

fn never_wildcard(c: &Case<'_>) -> Option<String> {
    let own = |text: &str| c.asked.message.headers.iter().any(|(_, v)| v.contains(text));
    let leaked = c
        .response
        .headers
        .iter()
        .find(|(_, v)| ["0.0.0.0", "[::]"].iter().any(|w| v.contains(w) && !own(w)))?;
    Some(format!("{}: {}", leaked.0, leaked.1))
}

fn ack_is_silent(c: &Case<'_>) -> Option<String> {
    (c.response.cseq().map(|(_, m)| m) == Some("ACK")).then(|| "an answer to ACK".to_owned())
}

fn needs(c: &Case<'_>, status: u16, header: &str) -> Option<String> {
    (c.response.status() == Some(status) && c.response.header(header).is_none())
        .then(|| format!("no {header}"))
}

fn challenges(c: &Case<'_>) -> Option<String> {
    needs(c, 401, "WWW-Authenticate")
}

fn uas_only(c: &Case<'_>) -> Option<String> {
    (c.response.status() == Some(407)).then(|| "a 407".to_owned())
}

fn allows(c: &Case<'_>) -> Option<String> {
    needs(c, 405, "Allow")
}

fn unsupported(c: &Case<'_>) -> Option<String> {
    if c.response.status() != Some(420) {
        return None;
    }
    let named = c.response.values("Unsupported");
    let asked = |tag: &str| {
        let m = &c.asked.message;
        ["Require", "Proxy-Require", "Supported"].iter().any(|h| m.lists(h, tag))
            || !m.lines("Path").is_empty()
    };
    (named.is_empty() || !named.iter().all(|t| asked(t))).then(|| format!("Unsupported: {named:?}"))
}

fn accepts(c: &Case<'_>) -> Option<String> {
    let some =
        ["Accept", "Accept-Encoding", "Accept-Language"].iter().any(|h| c.response.header(h).is_some());
    (c.response.status() == Some(415) && !some).then(|| "no Accept".to_owned())
}

fn is_register(c: &Case<'_>) -> bool {
    c.asked.message.method() == "REGISTER"
}

fn min_expires(c: &Case<'_>) -> Option<String> {
    if c.response.status() != Some(423) {
        return None;
    }
    let least: Option<u64> = c.response.header("Min-Expires").and_then(|v| v.parse().ok());
    let brief = asked_expiries(c)
        .iter()
        .any(|(_, e)| e.is_some_and(|e| e > 0 && e < 3600 && least.is_some_and(|l| e < l)));
    let asked: Option<u64> = c.asked.message.header("Expires").and_then(|v| v.parse().ok());
    let brief = match is_register(c) {
        true => brief,
        // RFC 6665 s4.2.1.1, RFC 3903 s6.
        false => asked.is_some_and(|e| e > 0 && e < 3600 && least.is_some_and(|l| e < l)),
    };
    (least.is_none() || !brief).then(|| format!("Min-Expires {least:?}"))
}

fn no_6xx(c: &Case<'_>) -> Option<String> {
    (is_register(c) && c.response.status()? >= 600).then(|| "a 6xx".to_owned())
}

fn no_record_route(c: &Case<'_>) -> Option<String> {
    (is_register(c) && c.response.header("Record-Route").is_some()).then(|| "Record-Route".to_owned())
}

/// The contacts of a REGISTER with the expiry asked for each.
fn asked_expiries<'a>(c: &Case<'a>) -> Vec<(&'a str, Option<u64>)> {
    let m = &c.asked.message;
    let number = |v: &str| v.parse::<u64>().ok();
    let general = m.header("Expires").and_then(number);
    let contacts = m.values("Contact").into_iter();
    contacts.map(|v| (uri_of(v), param(v, "expires").map_or(general, number))).collect()
}

fn registered<'a>(c: &Case<'a>) -> Vec<&'a str> {
    if is_register(c) && c.response.status() == Some(200) { c.response.values("Contact") } else { Vec::new() }
}

fn lists_expires(c: &Case<'_>) -> Option<String> {
    let number = |v: &str| param(v, "expires").is_some_and(|e| e.parse::<u32>().is_ok());
    registered(c).into_iter().find(|v| !number(v)).map(|v| format!("Contact: {v}"))
}

fn grants_no_more(c: &Case<'_>) -> Option<String> {
    let asked = asked_expiries(c);
    registered(c).into_iter().find_map(|v| {
        let granted: u64 = param(v, "expires")?.parse().ok()?;
        let (_, wanted) = asked.iter().rfind(|(uri, _)| *uri == uri_of(v))?;
        (granted > (*wanted)?).then(|| format!("{wanted:?} asked, Contact: {v}"))
    })
}

fn forgets(c: &Case<'_>) -> Option<String> {
    let asked = asked_expiries(c);
    let listed = registered(c);
    let star = asked.iter().any(|(uri, e)| *uri == "*" && *e == Some(0));
    let kept = listed.iter().find(|v| {
        star || asked.iter().rfind(|(uri, _)| *uri == uri_of(v)).is_some_and(|(_, e)| *e == Some(0))
    })?;
    Some(format!("Contact: {kept}"))
}

fn dates(c: &Case<'_>) -> Option<String> {
    let date = c.response.header("Date")?;
    let parts: Vec<&str> = date.split(' ').collect();
    let good = matches!(parts[..], [day, d, _, y, t, "GMT"]
        if day.len() == 4 && d.len() == 2 && y.len() == 4 && t.len() == 8 && t.as_bytes()[2] == b':');
    (!good).then(|| format!("Date: {date}"))
}

fn offered(c: &Case<'_>) -> Vec<Challenge> {
    c.response.lines("WWW-Authenticate").into_iter().filter_map(Challenge::read).collect()
}

fn digest_is_whole(c: &Case<'_>) -> Option<String> {
    let bad =
        offered(c).into_iter().find(|d| d.realm.is_empty() || d.nonce.is_empty() || d.qop.is_empty())?;
    Some(format!("{bad:?}"))
}

fn strongest_first(c: &Case<'_>) -> Option<String> {
    let strength = |a: &str| match a.to_ascii_uppercase().as_str() {
        "SHA-512-256" => 3,
        "SHA-256" => 2,
        _ => 1,
    };
    let order: Vec<u8> = offered(c).iter().map(|d| strength(&d.algorithm)).collect();
    (!order.windows(2).all(|w| w[0] > w[1])).then(|| format!("strengths {order:?}"))
}

fn bearer_names_server(c: &Case<'_>) -> Option<String> {
    let bearer = c.response.lines("WWW-Authenticate").into_iter().find_map(|v| v.strip_prefix("Bearer "))?;
    let server = params(bearer).into_iter().find(|(n, _)| n == "authz_server");
    (!server.is_some_and(|(_, v)| v.starts_with("https://"))).then(|| bearer.to_owned())
}

fn provisional_late(c: &Case<'_>) -> Option<String> {
    let status = c.response.status()?;
    if status >= 200 || c.asked.message.method() == "INVITE" {
        return None;
    }
    // Timer E of a client reaches T2 after 0.5 + 1 + 2 seconds.
    let early = c.at.since(c.asked.at) < Duration::from_millis(3500) && !c.asked.place.stream;
    (status != 100 || early).then(|| format!("{status} after {:?}", c.at.since(c.asked.at)))
}

fn no_408(c: &Case<'_>) -> Option<String> {
    (c.asked.message.method() != "INVITE" && c.response.status() == Some(408)).then(|| "a 408".to_owned())
}

fn outbound_asked(c: &Case<'_>) -> Option<String> {
    let outbound = c.response.lists("Require", "outbound") || c.response.header("Flow-Timer").is_some();
    (outbound && !c.asked.message.lists("Supported", "outbound")).then(|| "outbound".to_owned())
}

fn gruu_asked(c: &Case<'_>) -> Option<String> {
    let gruu =
        registered(c).into_iter().find(|v| param(v, "pub-gruu").or(param(v, "temp-gruu")).is_some())?;
    let wanted = c.asked.message.lists("Supported", "gruu") || c.asked.message.lists("Require", "gruu");
    (!wanted || param(gruu, "+sip.instance").is_none()).then(|| format!("Contact: {gruu}"))
}

fn path_asked(c: &Case<'_>) -> Option<String> {
    (c.response.header("Path").is_some() && !c.asked.message.lists("Supported", "path"))
        .then(|| "Path".to_owned())
}

fn is_2xx_to(c: &Case<'_>, method: &str) -> bool {
    c.asked.message.method() == method && c.response.status().is_some_and(|s| (200..300).contains(&s))
}

/// Expires of the response is missing, or more than asked.
fn too_long(c: &Case<'_>) -> bool {
    let number = |m: &crate::message::Sip| m.header("Expires").and_then(|v| v.parse::<u64>().ok());
    let (asked, granted) = (number(&c.asked.message), number(c.response));
    granted.is_none_or(|granted| asked.is_some_and(|asked| granted > asked))
}

fn never_accepted(c: &Case<'_>) -> Option<String> {
    (c.asked.message.method() == "SUBSCRIBE" && c.response.status() == Some(202)).then(|| "a 202".to_owned())
}

fn subscribed_is_whole(c: &Case<'_>) -> Option<String> {
    let whole = !too_long(c) && c.response.values("Contact").len() == 1;
    (is_2xx_to(c, "SUBSCRIBE") && !whole).then(|| {
        format!("Expires {:?}, Contact {:?}", c.response.header("Expires"), c.response.header("Contact"))
    })
}

fn published_is_whole(c: &Case<'_>) -> Option<String> {
    let whole = !too_long(c) && c.response.lines("SIP-ETag").len() == 1;
    (is_2xx_to(c, "PUBLISH") && !whole).then(|| {
        format!("Expires {:?}, SIP-ETag {:?}", c.response.header("Expires"), c.response.lines("SIP-ETag"))
    })
}

fn message_is_bare(c: &Case<'_>) -> Option<String> {
    let more = !c.response.body.is_empty() || c.response.header("Contact").is_some();
    (is_2xx_to(c, "MESSAGE") && more).then(|| "a body, or Contact".to_owned())
}

fn allows_events(c: &Case<'_>) -> Option<String> {
    needs(c, 489, "Allow-Events")
}

fn condition_asked(c: &Case<'_>) -> Option<String> {
    let asked = c.asked.message.header("SIP-If-Match").is_some();
    (c.response.status() == Some(412) && !asked).then(|| "no SIP-If-Match".to_owned())
}

#[cfg(test)]
mod tests;
