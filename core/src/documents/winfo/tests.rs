//! Bodies printed, read back, and refused.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::documents::fixture::lines;

fn watcher(id: &str, status: Status, event: WatcherEvent) -> Watcher {
    Watcher {
        id: id.into(),
        uri: "sip:userA@example.net".into(),
        status,
        event,
        display_name: None,
        lang: None,
        expiration: None,
        duration_subscribed: None,
    }
}

fn list(watchers: Vec<Watcher>) -> WatcherList {
    WatcherList { resource: "sip:professor@example.net".into(), package: "presence".into(), watchers }
}

fn parse(text: &str) -> Result<(Watcherinfo, u32), DocumentError> {
    Watcherinfo::parse(text.as_bytes(), &Bounds::default())
}

#[test]
fn the_example_of_the_rfc_is_read() {
    let text = r#"<?xml version="1.0"?>
<watcherinfo xmlns="urn:ietf:params:xml:ns:watcherinfo"
             version="0" state="full">
  <watcher-list resource="sip:professor@example.net" package="presence">
    <watcher status="active"
             id="8ajksjda7s"
             duration-subscribed="509"
             event="approved" >sip:userA@example.net</watcher>
    <watcher status="pending"
             id="hh8juja87s997-ass7"
             display-name="Mr. Subscriber"
             event="subscribe">sip:userB@example.org</watcher>
  </watcher-list>
</watcherinfo>"#;
    let (winfo, version) = parse(text).expect("RFC 3858 s5");
    assert_snapshot!(lines(&winfo.print().body(version)));
    assert_eq!(parse(&winfo.print().body(7)), Ok((winfo, 7)));
}

#[test]
fn every_status_and_event_has_its_word() {
    let mut watchers = Vec::new();
    for (number, event) in WatcherEvent::ALL.iter().enumerate() {
        let status = Status::ALL[number % Status::ALL.len()];
        watchers.push(Watcher {
            display_name: Some("\"A\" & <b>".into()),
            lang: Some("en".into()),
            expiration: Some(3600),
            duration_subscribed: Some(0),
            ..watcher(&format!("w{number}"), status, *event)
        });
    }
    let winfo = Watcherinfo { extent: Extent::Partial, lists: vec![list(watchers), list(Vec::new())] };
    assert_snapshot!(lines(&winfo.print().body(u32::MAX)));
    assert_eq!(parse(&winfo.print().body(0)), Ok((winfo, 0)));
}

#[test]
fn incomplete_documents_are_refused() {
    let root = |inner: &str| {
        format!(
            "<watcherinfo xmlns='urn:ietf:params:xml:ns:watcherinfo' version='0' state='full'>{inner}</watcherinfo>"
        )
    };
    let one = |watcher: &str| {
        root(&format!("<watcher-list resource='sip:a' package='presence'>{watcher}</watcher-list>"))
    };
    let good = "<watcher id='1' status='active' event='approved'>sip:b</watcher>";
    assert!(parse(&one(good)).is_ok());
    for (text, what, fault) in [
        (root("").replace("version='0'", ""), "version", Fault::Missing),
        (root("").replace("version='0'", "version='4294967296'"), "version", Fault::Malformed),
        (root("").replace("full", "half"), "state", Fault::Malformed),
        (root("").replace("watcherinfo", "presence"), "watcherinfo", Fault::Root),
        (root("<watcher-list package='presence'/>"), "resource", Fault::Missing),
        (root("<watcher-list resource='sip:a'/>"), "package", Fault::Missing),
        (one(&good.replace("id='1'", "")), "id", Fault::Missing),
        (one(&good.replace("active", "asleep")), "status", Fault::Malformed),
        (one(&good.replace("approved", "x")), "event", Fault::Malformed),
        (one(&good.replace("sip:b", " ")), "watcher", Fault::Missing),
        (one(&good.repeat(2)), "watcher", Fault::Repeated),
        (
            "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>".to_owned(),
            "document",
            Fault::Doctype,
        ),
        ("<a>".repeat(10_000), "element", Fault::Depth),
    ] {
        let error = parse(&text).expect_err(&text);
        assert_eq!((error.what, error.fault), (what, fault), "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read(
        names in proptest::collection::vec(("[!-~é]{1,9}", any::<Option<u64>>(), proptest::option::of("[ -~]{0,9}")), 0..5),
        version: u32,
    ) {
        let watchers = names.iter().enumerate().map(|(number, (uri, seconds, name))| Watcher {
            uri: uri.as_str().into(),
            expiration: *seconds,
            display_name: name.as_deref().map(Box::from),
            ..watcher(&format!("{number}"), Status::Waiting, WatcherEvent::Timeout)
        });
        let winfo = Watcherinfo { extent: Extent::Full, lists: vec![list(watchers.collect())] };
        prop_assert_eq!(parse(&winfo.print().body(version)), Ok((winfo, version)));
    }
}
