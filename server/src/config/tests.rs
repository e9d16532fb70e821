use std::time::Duration;

use strowger_core::config::{
    DigestAlgorithm, ListMembers, MaxContacts, OutboundMode, PathMode, WatchAction, WatchPolicy,
};
use strowger_core::door::Transport;

use super::*;

mod calls;
mod every;

const EXAMPLE: &str = include_str!("../../strowger.example.toml");

fn fault(text: &str) -> String {
    load("strowger.toml", text).expect_err("a fault").to_string()
}

#[test]
fn the_example_file_is_valid_and_says_what_is_default() {
    let loaded = load("strowger.example.toml", EXAMPLE).expect("valid");
    assert_eq!(loaded.config.domains[0].name, "example.com");
    assert_eq!(loaded.config.accounts.len(), 2);
    assert!(loaded.config.jwt.is_none());
}

/// Every line of the example that is commented out as `#key = value` is taken in: it must be known and valid too.
#[test]
fn what_the_example_only_mentions_exists() {
    let taken_in: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let loaded = load("strowger.example.toml", &taken_in).map_err(|faults| faults.to_string());
    let loaded = loaded.unwrap_or_else(|faults| panic!("{faults}"));
    let jwt = loaded.config.jwt.expect("tokens");
    assert_eq!(jwt.issuers[0].audiences, ["sip.example.com"]);
    assert!(matches!(loaded.config.registrar.expect("on").path, PathMode::From(_)));
}

#[test]
fn an_empty_file_is_a_server_without_accounts() {
    let loaded = load("strowger.toml", "").expect("valid");
    assert!(loaded.config.registrar.is_some() && loaded.config.presence.is_some());
    assert!(loaded.config.allowed_sources.is_empty());
    assert!(warnings(&loaded).iter().any(|warning| warning.contains("nobody can register")));
}

#[test]
fn http_in_clear_text_beyond_this_machine_is_warned_of() {
    for (http, warned) in [
        ("listen = \"192.0.2.1:8060\"", true),
        ("listen = \"[::]:8060\"", true),
        ("listen = \"[::ffff:127.0.0.1]:8060\"", false),
        ("listen = \"127.0.0.1:8060\"", false),
        ("listen = \"off\"", false),
        ("listen = \"192.0.2.1:8060\"\ntls = true\ncertificate = \"c.pem\"\nkey = \"k.pem\"", false),
    ] {
        let loaded = load("strowger.toml", &format!("[accounts]\n[http]\n{http}\n")).expect(http);
        let found = warnings(&loaded)
            .iter()
            .any(|warning| warning.contains("passwords and tokens travel unencrypted"));
        assert_eq!(found, warned, "{http}");
    }
}

#[test]
fn everything_reaches_the_engines_configuration() {
    let loaded = load(
        "strowger.toml",
        r#"
        [server]
        name = "Exchange"
        drain_timeout = "1m"
        [[listen]]
        bind = "udp:0.0.0.0:5060/203.0.113.5"
        algorithms = ["md5"]
        [[listen]]
        bind = "tcp:[::1]:5062"
        advertised = "sip.example.com:5080"
        [[domain]]
        name = "example.com"
        aliases = ["example.net", "192.0.2.1"]
        [[account]]
        username = "alice"
        password = "hush"
        aors = ["alice@example.com", "sip:a@example.net"]
        [[account]]
        username = "bob"
        ha1 = { SHA-256 = "0000000000000000000000000000000000000000000000000000000000000000" }
        algorithms = ["SHA-256"]
        disabled = true
        [auth.digest]
        realm = "exchange"
        algorithms = ["SHA-512-256", "MD5"]
        nonce_lifetime = 60
        [auth.policy]
        options = "digest"
        [registrar]
        default_expires = "10m"
        max_expires = "20m"
        max_contacts = 3
        past_max_contacts = "refuse"
        outbound = false
        [events]
        max_expires = "90m"
        keep_silent = true
        [presence]
        publish_min_expires = "30s"
        max_document = "8KiB"
        pacing = "500ms"
        watchers = "everyone"
        [[presence.rule]]
        presentity = "alice@example.com"
        watcher = "*@example.net"
        action = "confirm"
        [[list]]
        address = "team"
        members = ["alice@example.com"]
        subscribers = ["*"]
        [[list]]
        address = "all@example.com"
        name = "All"
        domain = "example.com"
        [messages]
        store = false
        default_expires = "1h"
        [message_summary]
        account = "sip:{user}@vm.example.com"
        publishers = ["vm@example.com"]
        accept_notify = true
        publish_max_expires = "2d"
        [[message_summary.rule]]
        mailbox = "support@example.com"
        watcher = "*@example.com"
        [limits]
        mailboxes = 5
        subscriptions = 10
        publications_per_presentity = 2
        message = "32KiB"
        transactions = "1MiB"
        [connections]
        per_source = 7
        idle = "90s"
        keep_alives = 9
        [timers]
        t1 = "250ms"
        [network]
        trusted = ["10.0.0.0/8"]
        [http]
        listen = "off"
        [log]
        format = "json"
        "#,
    );
    let Loaded { config, options, drain_timeout, http, log_format, .. } =
        loaded.unwrap_or_else(|f| panic!("{f}"));
    assert_eq!((config.server_name.as_str(), drain_timeout), ("Exchange", Duration::from_secs(60)));
    assert_eq!(config.listeners[0].advertised, Some(("203.0.113.5".into(), None)));
    assert_eq!(config.listeners[0].algorithms, Some(vec![DigestAlgorithm::Md5]));
    assert_eq!(config.listeners[1].transport, Transport::Tcp);
    assert_eq!(config.listeners[1].advertised, Some(("sip.example.com".into(), Some(5080))));
    assert_eq!(config.accounts[0].aors.len(), 2);
    assert!(config.accounts[1].disabled && config.accounts[1].ha1.len() == 1);
    assert_eq!(config.digest.algorithms, [DigestAlgorithm::Sha512_256, DigestAlgorithm::Md5]);
    assert_eq!(config.digest.nonce_lifetime, Duration::from_secs(60));
    assert_eq!(config.policies.options, AuthPolicy::Digest);
    let registrar = config.registrar.expect("on");
    assert_eq!((registrar.default_expires, registrar.max_expires, registrar.max_contacts), (600, 1200, 3));
    assert_eq!(registrar.max_contacts_policy, MaxContacts::Refuse);
    assert_eq!(registrar.outbound, OutboundMode::Off);
    assert_eq!((config.events.max_expires, config.events.keep_silent), (5400, true));
    let presence = config.presence.as_ref().expect("on");
    assert_eq!((presence.publish_min_expires, presence.max_document_bytes), (30, 8 << 10));
    assert_eq!((presence.pacing, presence.watchers), (Duration::from_millis(500), WatchPolicy::Everyone));
    assert_eq!(presence.rules[0].action, WatchAction::Confirm);
    assert_eq!(config.lists[0].members, ListMembers::Named(vec!["alice@example.com".into()]));
    assert_eq!(
        (config.lists[1].name.as_str(), &config.lists[0].subscribers[..]),
        ("All", &["*".to_owned()][..])
    );
    let messages = config.message_summary.as_ref().expect("on");
    assert_eq!(messages.account_of("bob@example.com"), "sip:bob@vm.example.com");
    assert_eq!((messages.accept_notify, messages.publish_max_expires), (true, 172_800));
    assert_eq!(
        (&*messages.publishers[0], &*messages.rules[0].mailbox),
        ("vm@example.com", "support@example.com")
    );
    let messages = config.messages.as_ref().expect("on");
    assert_eq!((messages.store, messages.default_expires, messages.max_expires), (false, 3600, 2_592_000));
    assert_eq!(config.limits.mailboxes, 5);
    assert_eq!((config.limits.subscriptions, config.limits.publications_per_presentity), (10, 2));
    assert_eq!((config.limits.message_bytes, config.limits.transaction_bytes), (32 << 10, 1 << 20));
    assert_eq!((options.stream.connections_per_source, options.stream.keep_alives), (7, 9));
    assert_eq!(options.stream.idle, Duration::from_secs(90));
    assert_eq!(config.timers.t1, Duration::from_millis(250));
    assert_eq!(config.trusted.len(), 1);
    assert_eq!((http, log_format), (Some(HttpAddr::Off), Some(LogFormat::Json)));
}

#[test]
fn a_list_that_cannot_be_is_named() {
    let start = "[[domain]]\nname = \"a.example\"\n[[account]]\nusername = \"bob\"\npassword = \"x\"\n";
    let none = fault(&format!("{start}[[list]]\naddress = \"team\"\n"));
    insta::assert_snapshot!("a_list_of_nobody", none);
    let text = "[[list]]\naddress = \"bob\"\nmembers = [\"carol@a.example\", \"dave@b.example\"]\n[[list]]\n\
                address = \"lab\"\ngroup = \"lab\"\n[[list]]\naddress = \"nested\"\nmembers = [\"lab@a.example\"]\n\
                subscribers = [\"*@b.example\"]\n";
    insta::assert_snapshot!("lists_that_cannot_be", fault(&format!("{start}{text}")));
}

#[test]
fn a_misspelt_key_is_named_with_what_was_meant() {
    insta::assert_snapshot!(fault("[registrar]\nmax_contacts = 3\nmin_expire = \"30s\"\n"), @r#"
strowger.toml, line 3, column 1: unknown key `min_expire`
    3 | min_expire = "30s"
      | ^^^^^^^^^^ did you mean `min_expires`?
"#);
}

#[test]
fn a_misspelt_section_is_named_with_what_was_meant() {
    insta::assert_snapshot!(fault("[registar]\nmax_contacts = 3\n"), @r#"
strowger.toml, line 1, column 2: unknown key `registar`
    1 | [registar]
      |  ^^^^^^^^ did you mean `registrar`?
"#);
}

#[test]
fn a_key_nobody_knows_is_named_with_those_there_are() {
    insta::assert_snapshot!(fault("[timers]\ncolour = 1\n"), @r#"
strowger.toml, line 2, column 1: unknown key `colour`
    2 | colour = 1
      | ^^^^^^ known here: t1, t2, t4
"#);
}

#[test]
fn a_value_without_its_unit_is_named() {
    insta::assert_snapshot!(fault("[auth.digest]\nnonce_lifetime = \"5 parsecs\"\n"), @r#"
strowger.toml, line 2, column 18: invalid value: string "5 parsecs", expected a length of time such as "500ms", "30s", "5m", "2h" or "1d"
    2 | nonce_lifetime = "5 parsecs"
      |                  ^^^^^^^^^^^
"#);
}

#[test]
fn a_listener_that_is_none_is_named() {
    insta::assert_snapshot!(fault("[[listen]]\nbind = \"udp:5060\"\n"), @r#"
strowger.toml, line 2, column 8: "5060" is not an address and a port: write it as 0.0.0.0:5060, 192.0.2.1:5060 or [::]:5060
    2 | bind = "udp:5060"
      |        ^^^^^^^^^^
"#);
}

#[test]
fn broken_toml_is_named() {
    insta::assert_snapshot!(fault("[registrar\nmin_expires = 3\n"), @r#"
strowger.toml, line 1, column 11: unclosed table, expected `]`
    1 | [registrar
      |           ^
"#);
}

#[test]
fn faults_of_meaning_are_named_by_line_and_all_at_once() {
    let text = "[[domain]]\nname = \"example.com\"\n\n[registrar]\nmin_expires = \"2h\"\nmax_contacts = 0\n\n\
                [[account]]\nusername = \"alice\"\npassword = \"hush\"\naors = [\"alice@elsewhere.org\"]\n";
    insta::assert_snapshot!(fault(text), @r#"
strowger.toml, line 4, column 1: registrar: min_expires <= default_expires <= max_expires is needed
    4 | [registrar]
      | ^^^^^^^^^^^
strowger.toml, line 4, column 2: registrar.nat_max_expires: must be at least min_expires
    4 | [registrar]
      |  ^^^^^^^^^
strowger.toml, line 5, column 15: registrar.min_expires: must be at most 3600 (RFC 3261 s10.3 step 7)
    5 | min_expires = "2h"
      |               ^^^^
strowger.toml, line 6, column 16: registrar.max_contacts: must be above zero
    6 | max_contacts = 0
      |                ^
strowger.toml, line 11, column 8: account no. 1.aors: "alice@elsewhere.org" is not user@domain of a configured domain
   11 | aors = ["*******************"]
      |        ^^^^^^^^^^^^^^^^^^^^^^^
"#);
}

#[test]
fn templates_of_addresses_that_cannot_be_are_named() {
    let file = |claim: &str| {
        format!(
            "[[domain]]\nname = \"example.com\"\n[auth.jwt]\naor_claim = \"{claim}\"\n[[auth.jwt.issuer]]\n\
             issuer = \"https://login.example.com/\"\naudiences = [\"sip\"]\naor_claim = \"{claim}\"\n"
        )
    };
    for good in [
        "sub",
        "https://example.com/claims/aor",
        "{sub}@example.com",
        "sip:x-{preferred_username}@example.com",
    ] {
        let loaded = load("strowger.toml", &file(good)).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(loaded.config.jwt.expect("tokens").issuers[0].aor_claim.as_deref(), Some(good));
    }
    for bad in [
        "{sub}",
        "{}@example.com",
        "{sub@example.com",
        "sub}",
        "x@{sub}",
        "{a}{b}@example.com",
        "{sub}@{iss}",
    ] {
        let said = fault(&file(bad));
        assert!(said.contains("line 4, ") && said.contains("line 8, "), "{bad}: {said}");
        assert!(said.contains("a template is one claim in braces"), "{said}");
    }
}

#[test]
fn faults_about_presence_are_named_by_line() {
    insta::assert_snapshot!(fault("[presence]\nwatcher = \"everyone\"\n"), @r#"
strowger.toml, line 2, column 1: unknown key `watcher`
    2 | watcher = "everyone"
      | ^^^^^^^ did you mean `watchers`?
"#);
    insta::assert_snapshot!(fault("[presence]\nwatchers = \"friends\"\n"), @r#"
strowger.toml, line 2, column 12: invalid value: string "friends", expected one of "everyone", "same_domain", "nobody"
    2 | watchers = "friends"
      |            ^^^^^^^^^
"#);
    let text = "[[domain]]\nname = \"example.com\"\n[presence]\nmax_document = 10\npublish_min_expires = \"3h\"\n\
                publish_max_expires = \"90500ms\"\n\
                [[presence.rule]]\npresentity = \"*\"\nwatcher = \"bob@elsewhere.org\"\naction = \"block\"\n";
    insta::assert_snapshot!(fault(text), @r#"
strowger.toml, line 3, column 1: presence: publish_min_expires <= publish_default_expires <= publish_max_expires is needed, and publish_min_expires at most 3600 (RFC 3903 s6)
    3 | [presence]
      | ^^^^^^^^^^
strowger.toml, line 4, column 16: presence.max_document: must be 1,000 to 60,000
    4 | max_document = 10
      |                ^^
strowger.toml, line 6, column 23: presence.publish_max_expires: must be whole seconds
    6 | publish_max_expires = "90500ms"
      |                       ^^^^^^^^^
strowger.toml, line 9, column 11: presence.rule no. 1.watcher: "bob@elsewhere.org" is neither user@domain nor *@domain of a configured domain, nor *
    9 | watcher = "bob@elsewhere.org"
      |           ^^^^^^^^^^^^^^^^^^^
"#);
}

#[test]
fn presence_can_be_switched_off_and_says_so() {
    let loaded = load("strowger.toml", "[presence]\nenabled = false\n").expect("valid");
    assert!(loaded.config.presence.is_none());
    assert!(warnings(&loaded).iter().any(|warning| warning.contains("presence is off")));
}

#[test]
fn a_fault_beside_a_password_does_not_show_it() {
    for text in [
        "[[account]]\nusername = \"alice\"\npasword = \"hush-hush\"\n",
        "[[account]]\nusername = \"alice\"\npassword = 8675309\n",
        "[[account]]\nusername = \"alice\"\nha1 = { MD5 = \"hush-hush\" }\n",
        "[[acount]]\nusername = \"alice\"\npassword = \"hush-hush\"\n",
        "[[account]]\nusername = \"alice\" password = \"hush-hush\"\n",
    ] {
        let fault = fault(text);
        assert!(!fault.contains("hush-hush") && !fault.contains("8675309"), "{fault}");
    }
}

#[test]
fn a_key_source_that_cannot_be_fetched_is_named() {
    let text = "[auth.jwt]\n[[auth.jwt.issuer]]\nissuer = \"https://login.example\"\naudiences = [\"sip\"]\n\
                jwks = \"http://login.example/keys\"\n";
    insta::assert_snapshot!(fault(text), @r#"
strowger.toml, line 5, column 8: auth.jwt.issuer no. 1.jwks: must be an https URL or the path of a file (http is accepted for this machine only)
    5 | jwks = "http://login.example/keys"
      |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^
"#);
}

#[test]
fn an_issuer_without_keys_must_be_one_that_says_where_they_are() {
    let text = "[auth.jwt]\n[[auth.jwt.issuer]]\nissuer = \"urn:login\"\naudiences = [\"sip\"]\n";
    insta::assert_snapshot!(fault(text), @r#"
strowger.toml, line 3, column 10: auth.jwt.issuer no. 1.issuer: must be an https URL without query, so that its keys can be discovered; or name them in jwks
    3 | issuer = "urn:login"
      |          ^^^^^^^^^^^
"#);
}

#[test]
fn a_server_for_introspection_is_asked_by_https_only() {
    let text = "[auth.jwt.introspection]\nendpoint = \"http://login.example/introspect\"\nclient_id = \"sip\"\n\
                client_secret = \"between us\"\nissuer = \"https://login.example\"\n";
    insta::assert_snapshot!(fault(text), @r#"
strowger.toml, line 2, column 12: auth.jwt.introspection.endpoint: must be an https URL (http is accepted for this machine only)
    2 | endpoint = "*******************************"
      |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
"#);
    let odd = text.replace("\"between us\"", "12345").replace("http:", "https:");
    for odd in [odd.as_str(), "[auth.jwt]\nintrospection = { client_secret = 12345 }\n"] {
        assert!(!fault(odd).contains("12345"), "{}", fault(odd));
    }
    let good =
        load("strowger.toml", &text.replace("http:", "https:")).expect("no issuer beside it is needed");
    let asked = good.config.jwt.and_then(|jwt| jwt.introspection).expect("asked");
    assert_eq!((asked.client_id.as_str(), asked.max_age), ("sip", Duration::from_secs(300)));
    assert!(!format!("{asked:?}").contains("between us"));
}
