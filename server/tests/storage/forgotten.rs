//! What an account had, and none has any more, ends also if no server ran meanwhile; what never was an account's does not.

use std::net::SocketAddr;

use super::common::desk::desk;
use super::common::dialog::{ask, take, with_body};
use super::common::{Folder, Phone, becomes, header, metric, until};
use super::{OPEN, publish, start};

/// Everybody may do everything: it does not matter here how it was proved.
fn configure(folder: &Folder, accounts: &str) -> String {
    let text = format!("{OPEN}[storage]\nmode = \"strict\"\n[accounts]\n{accounts}");
    folder.write("strowger.toml", &text).to_str().expect("utf-8").into()
}

fn addresses(folder: &Folder) -> String {
    std::fs::read_to_string(folder.path("state").join("addresses")).unwrap_or_default()
}

fn message(from: &mut Phone, to: &str) {
    let message = from.request("MESSAGE", "Content-Type: text/plain\r\n");
    let message = message.replacen("sip:example.com", &format!("sip:{to}@example.com"), 1);
    let message = message.replace(&format!("To: <sip:{}@", from.user), &format!("To: <sip:{to}@"));
    let kept = ask(from, &with_body(&message, "Are you there?"));
    assert!(kept.starts_with("SIP/2.0 202 "), "{kept}");
}

fn subscribe(from: &mut Phone, to: &str) {
    let subscribe = from.request("SUBSCRIBE", "Event: presence\r\nExpires: 600\r\n");
    let subscribe = subscribe.replacen("sip:example.com", &format!("sip:{to}@example.com"), 1);
    let subscribe = subscribe.replace(&format!("To: <sip:{}@", from.user), &format!("To: <sip:{to}@"));
    assert!(ask(from, &subscribe).starts_with("SIP/2.0 200 "));
    take(from, "NOTIFY");
}

#[test]
fn what_accounts_had_that_were_deleted_while_no_server_ran_is_gone_before_anything_is_heard() {
    let folder = Folder::new();
    let config = configure(&folder, "[[account]]\nusername = \"frank\"\npassword = \"a long secret\"\n");
    for name in ["carol", "dave", "gina", "heidi"] {
        let (added, said) = desk(&folder, &["user", "add", name, "--password-file", "-"], "a long secret\n");
        assert!(added, "{said}");
    }
    let server = start(&folder, &config, 0);
    let port = server.addr("udp").port();
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    // Erin has no account here: somebody else answers for her.
    let [mut carol, mut frank, mut gina, mut erin] =
        ["carol", "frank", "gina", "erin"].map(|user| Phone::udp(to, user, "example.com"));
    for phone in [&mut carol, &mut frank, &mut gina, &mut erin] {
        assert!(phone.ask("REGISTER", "Expires: 600\r\n").starts_with("SIP/2.0 200 "));
        assert!(publish(phone).starts_with("SIP/2.0 200 "));
    }
    subscribe(&mut carol, "erin");
    subscribe(&mut erin, "carol");
    message(&mut erin, "dave");
    message(&mut erin, "heidi");
    // When this is durable, so is everything before it.
    assert!(gina.ask("REGISTER", "Expires: 600\r\n").starts_with("SIP/2.0 200 "));
    until(|| addresses(&folder), |list| list.contains("frank@example.com\n"));
    drop(server);

    for (verb, name) in [("rm", "carol"), ("rm", "dave"), ("disable", "heidi")] {
        let (done, said) = desk(&folder, &["user", verb, name], "");
        assert!(done, "{said}");
    }
    let config = configure(&folder, "");
    let server = start(&folder, &config, port);
    assert_eq!(metric(&server, "strowger_registered_contacts"), 2, "of Gina and Erin");
    assert_eq!(metric(&server, "strowger_publications"), 2, "likewise");
    assert_eq!(metric(&server, "strowger_stored_messages"), 1, "of Heidi, who may come back");
    let last = take(&mut carol, "NOTIFY");
    assert_eq!(header(&last, "Subscription-State"), Some("terminated;reason=rejected"), "{last}");
    let told = take(&mut erin, "NOTIFY");
    assert!(told.contains("<basic>closed</basic>"), "{told}");
    becomes(|| metric(&server, "strowger_subscriptions"), 1);
    until(|| addresses(&folder), |list| !list.contains("carol@example.com"));
    assert!(addresses(&folder).contains("gina@example.com"));
    drop(server);

    // It stays so, and whoever comes under one of these addresses now is somebody else.
    let server = start(&folder, &config, port);
    assert_eq!(metric(&server, "strowger_registered_contacts"), 2);
    let mut carol = Phone::udp(to, "carol", "example.com");
    assert!(carol.ask("REGISTER", "Expires: 600\r\n").starts_with("SIP/2.0 200 "));
    drop(server);
    assert_eq!(metric(&start(&folder, &config, port), "strowger_registered_contacts"), 3);
}
