use super::*;

fn uri(text: &str) -> Uri<'_> {
    Uri::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_sip_uri_falls_into_its_parts() {
    let uri = uri("sips:alice:se%20cret@Example.com:5061;transport=tcp;lr?Subject=a&Priority=urgent"
        .replace(";x", "")
        .leak());
    assert_eq!(uri.scheme(), UriScheme::Sips);
    assert_eq!(uri.user(), Some(&b"alice"[..]));
    assert_eq!(uri.password(), Some(&b"se%20cret"[..]));
    assert_eq!(uri.host(), Some(Host::Name(b"example.com")));
    assert_eq!(uri.port(), Some(5061));
    assert_eq!(uri.transport(), Some(&b"tcp"[..]));
    assert!(uri.has_lr() && uri.is_secure());
    assert_eq!(uri.headers(), b"Subject=a&Priority=urgent");
}
