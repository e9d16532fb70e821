//! The Contact of a 200 is read as the one that was registered.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::wire::{ContactValue, ExpiresParam, Param, Uri};

proptest! {
    #[test]
    fn contacts(
        (user, param) in ("[a-z0-9+.-]{1,8}", option::of("[a-z]{1,5}=[a-z0-9.]{1,5}")),
        others in vec(("x-[a-z]{1,6}", option::of("[A-Za-z0-9.]{1,6}|\"[ !#-\\[\\]-~]{0,8}\"")), 0..3),
        q in option::of(0..=1000_u16),
        expires in 60..3600_u32,
        device in option::of(("[a-f0-9]{8}-[a-f0-9]{4}", option::of(1..9_u32))),
        gruu in any::<bool>(),
    ) {
        let mut world = World::new();
        let uri = match &param {
            Some(param) => format!("sip:{user}@192.0.2.9:5060;{param}"),
            None => format!("sip:{user}@192.0.2.9:5060"),
        };
        let mut contact = format!("<{uri}>;expires={expires}");
        let mut names: Vec<&String> = others.iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        // RFC 3261 s7.3.1: a parameter stands at most once.
        prop_assume!(names.len() == others.len());
        for (name, value) in &others {
            contact += &value.as_ref().map_or(format!(";{name}"), |value| format!(";{name}={value}"));
        }
        if let Some(q) = q {
            contact += &format!(";q={}.{:03}", q / 1000, q % 1000);
        }
        if let Some((instance, reg_id)) = &device {
            contact += &format!(";+sip.instance=\"<urn:uuid:{instance}>\"");
            contact += &reg_id.map_or(String::new(), |number| format!(";reg-id={number}"));
        }
        let supported = if gruu { "Supported: outbound, gruu" } else { "Supported: outbound" };
        let answer = world.send(&Phone::at("192.0.2.9:5060").contact(&contact).header(supported));
        let line = answer.lines().find_map(|line| line.strip_prefix("Contact: "));
        let line = line.unwrap_or_else(|| panic!("{answer}"));
        let [meant, written] = [&contact, line].map(|text| ContactValue::parse(text.as_bytes()).expect("well-formed"));
        prop_assert_eq!(written.addr().map(|addr| addr.uri.raw()), Some(uri.as_bytes()), "{}", line);
        prop_assert_eq!(written.q(), meant.q());
        prop_assert_eq!(written.expires(), ExpiresParam::Value(expires));
        prop_assert_eq!((written.instance(), written.reg_id()), (meant.instance(), meant.reg_id()), "{}", line);
        let is_gruu = |param: &Param<'_>| [&b"pub-gruu"[..], b"temp-gruu"].contains(&param.name);
        let rest = |of: &ContactValue<'_>| {
            let params = of.other_params().filter(|param| !is_gruu(param));
            params.map(|param| (param.name.to_vec(), param.raw.map(<[u8]>::to_vec))).collect::<Vec<_>>()
        };
        prop_assert_eq!(rest(&written), rest(&meant), "{}", line);
        let gruus: Vec<_> = written.other_params().filter(is_gruu).collect();
        prop_assert_eq!(gruus.len(), if gruu && device.is_some() { 2 } else { 0 }, "{}", line);
        for gruu in gruus {
            let uri = Uri::parse(gruu.value().expect("quoted")).expect("well-formed");
            prop_assert!(uri.params().contains(b"gr"), "{}", line);
        }
    }
}
