//! What a REGISTER asks for, read and checked as far as that can be done without changing anything: RFC 3261 s10.3
//! steps 1 to 7, RFC 3327 s5.3, RFC 5630 s5.2.
//!
//! A contact that is bound already, byte for byte, was checked when it came first: only its parameters are read again.

use core::fmt::Debug;

use smallvec::SmallVec;

use super::binding::{Binding, BindingKey, Flags, NO_Q, Text};
use super::location::{Location, RecordKey};
use super::{nat, outbound};
use crate::base::Time;
use crate::base::text::{self, eq_ignore_case};
use crate::config::{AorBuf, PathMode, RegistrarConfig, Settings};
use crate::ctx::{Extra, Origin, Refusal};
use crate::wire::{
    ContactValue, Essentials, Header, Message, NameAddr, Param, Params, Status, Uri, UriScheme, qvalue, split,
};

pub(super) type Buffer = SmallVec<[u8; 128]>;

/// What a REGISTER says beside its contacts.
pub(super) struct Request<'r, 'm> {
    pub(super) now: Time,
    pub(super) origin: &'r Origin,
    pub(super) ess: &'r Essentials<'m>,
    pub(super) msg: Message<'m>,
    /// It had one Via: the sender is the phone itself.
    pub(super) direct: bool,
    /// Contacts may lie elsewhere than the source.
    pub(super) may_be_foreign: bool,
    /// It has a Path, from an edge that may add one.
    pub(super) has_path: bool,
    /// The URI of the first Path value has `ob`.
    pub(super) path_has_ob: bool,
    /// All Path values are sips URIs.
    path_is_secure: bool,
    expires: Option<u32>,
}

impl Request<'_, '_> {
    /// Does the client support an extension?
    pub(super) fn supports(&self, tag: &[u8]) -> bool {
        self.msg.has_token(Header::Supported, tag)
    }
}

/// What the Contact headers ask for.
pub(super) enum Asked {
    /// Nothing: a query.
    Query,
    /// `*`.
    RemoveAll,
    /// What stands in the plan.
    Contacts,
}

/// One contact of the request and what is to become of it.
#[derive(Debug)]
pub(super) struct Wanted<'m> {
    /// The Contact URI as it came.
    pub(super) uri: &'m [u8],
    /// The same, unless it was found by its bytes and not read again.
    read: Option<Uri<'m>>,
    params: Params<'m>,
    /// Thousandths, or `NO_Q`.
    pub(super) q: u16,
    q_is_bad: bool,
    has_other_params: bool,
    /// Seconds asked for; 0 removes. `None` leaves it to us.
    pub(super) requested: Option<u32>,
    pub(super) instance: &'m [u8],
    pub(super) reg_id: u32,
    pub(super) flags: Flags,
    /// A binding that has this Contact URI byte for byte.
    pub(super) known: Option<BindingKey>,
    /// What the whole request asks for, as a hash (`unchanged`), if it asks for nothing else; or 0.
    pub(super) asked: u64,
    /// The binding it is about.
    pub(super) hit: Option<BindingKey>,
}

pub(super) type Plan<'m> = SmallVec<[Wanted<'m>; 2]>;

impl<'m> Wanted<'m> {
    fn new(uri: &'m [u8], expires: Option<u32>, known: Option<BindingKey>) -> Wanted<'m> {
        Wanted {
            uri,
            read: None,
            params: Params::default(),
            q: NO_Q,
            q_is_bad: false,
            has_other_params: false,
            requested: expires,
            instance: b"",
            reg_id: 0,
            flags: Flags::default(),
            known,
            asked: 0,
            hit: None,
        }
    }

    fn read_param(&mut self, param: &Param<'m>) {
        let value = || param.value().unwrap_or_default();
        match kind(param.name) {
            Kind::Q => match qvalue(value()) {
                Ok(q) => self.q = q,
                Err(_) => self.q_is_bad = true,
            },
            // RFC 3261 s20.10: what is no number counts as the default; what is too large is the largest.
            Kind::Expires => self.requested = text::clamp_u32(value()),
            Kind::Instance => {
                let value = value();
                let inner = value.strip_prefix(b"<").and_then(|value| value.strip_suffix(b">"));
                self.instance = inner.unwrap_or(value);
            }
            Kind::RegId => {
                self.reg_id = text::decimal_u32(value()).filter(|id| (1..1 << 31).contains(id)).unwrap_or(0);
            }
            Kind::Gruu => {}
            Kind::Other => self.has_other_params = true,
        }
    }

    pub(super) fn is_removal(&self) -> bool {
        self.requested == Some(0)
    }

    /// The Contact URI, read.
    pub(super) fn contact(&self) -> Option<Uri<'m>> {
        self.read.or_else(|| Uri::parse(self.uri).ok())
    }

    fn is_secure(&self) -> bool {
        self.uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"sips:"))
    }

    pub(super) fn same_instance(&self, binding: &Binding) -> bool {
        !self.instance.is_empty() && eq_ignore_case(self.instance, binding.instance())
    }

    /// The binding this contact names beyond doubt.
    pub(super) fn is_exactly(&self, binding: &Binding) -> bool {
        let instance = self.same_instance(binding);
        if self.reg_id != 0 && binding.reg_id != 0 {
            // RFC 5626 s6: the contact URI is not compared.
            return instance && self.reg_id == binding.reg_id;
        }
        // Two phones behind two routers may well have one contact URI; what tells them apart is the instance.
        let strangers = !self.instance.is_empty() && !instance && !binding.instance().is_empty();
        !strangers && same_contact(self.uri, binding.contact())
    }

    /// A binding of the same phone, before it was restarted.
    pub(super) fn is_loosely(&self, binding: &Binding) -> bool {
        self.same_instance(binding) && (self.reg_id == 0 || binding.reg_id == 0)
    }

    /// The parameters that are kept, each with its semicolon, as they came.
    pub(super) fn other_params(&self) -> Buffer {
        let mut out = Buffer::new();
        if !self.has_other_params {
            return out;
        }
        for param in self.params.iter().filter(|param| matches!(kind(param.name), Kind::Other)) {
            out.push(b';');
            out.extend_from_slice(param.name);
            if let Some(value) = param.raw {
                out.push(b'=');
                out.extend_from_slice(value);
            }
        }
        out
    }

    /// The text of the binding, but for its Path.
    pub(super) fn text<'a>(&self, request: &Request<'_, 'm>, params: &'a [u8]) -> Text<'a>
    where
        'm: 'a,
    {
        Text {
            received: request.origin.remote,
            local: request.origin.local,
            contact: self.uri,
            params,
            call_id: request.ess.call_id,
            user_agent: request.msg.header(Header::UserAgent).unwrap_or_default(),
            instance: self.instance,
        }
    }
}

/// RFC 3261 s19.1.4, but for one thing: RFC 5630 s5.1.1.1 takes the sip and the sips form of a contact for the same.
fn same_contact(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    let (Ok(a), Ok(b)) = (Uri::parse(a), Uri::parse(b)) else { return false };
    match (a.scheme(), b.scheme()) {
        (UriScheme::Sip, UriScheme::Sips) | (UriScheme::Sips, UriScheme::Sip) => {
            let plain = |uri: &Uri<'_>| -> Buffer {
                let colon = uri.raw().iter().position(|b| *b == b':').unwrap_or(0);
                let mut out = Buffer::from_slice(b"sip");
                out.extend_from_slice(uri.raw().get(colon..).unwrap_or_default());
                out
            };
            let (a, b) = (plain(&a), plain(&b));
            matches!((Uri::parse(&a), Uri::parse(&b)), (Ok(a), Ok(b)) if a.equivalent(&b))
        }
        _ => a.equivalent(&b),
    }
}

/// Contact parameters that are not simply kept.
enum Kind {
    Q,
    Expires,
    Instance,
    RegId,
    /// RFC 5627 s5.1: a client cannot name its GRUUs.
    Gruu,
    Other,
}

fn kind(name: &[u8]) -> Kind {
    let is = |known: &[u8]| eq_ignore_case(name, known);
    match name.len() {
        1 if is(b"q") => Kind::Q,
        6 if is(b"reg-id") => Kind::RegId,
        7 if is(b"expires") => Kind::Expires,
        8 if is(b"pub-gruu") => Kind::Gruu,
        9 if is(b"temp-gruu") => Kind::Gruu,
        13 if is(b"+sip.instance") => Kind::Instance,
        _ => Kind::Other,
    }
}

fn bad(reason: &'static str) -> Refusal {
    Refusal::because(Status::BAD_REQUEST, reason)
}

/// RFC 3261 s10.3 steps 1 and 5.
pub(super) fn canonical_aor<'b>(
    settings: &Settings,
    ess: &Essentials<'_>,
    out: &'b mut AorBuf,
) -> Result<&'b str, Refusal> {
    const FOREIGN: Refusal = Refusal::plain(Status::NOT_FOUND);
    // RFC 3261 s10.2: the address of record is a SIP or SIPS URI.
    if !ess.to.uri.is_sip() {
        return Err(bad("To Needs a SIP URI"));
    }
    let domain = settings.domains.aor_in(&ess.to.uri, out).ok_or(FOREIGN)?;
    let aor = core::str::from_utf8(out).map_err(|_| FOREIGN)?;
    // RFC 3261 s10.3 step 5: the AoR must be one of the domain asked. An address of ours may stand for all of them.
    let host = ess.uri.and_then(|uri| uri.host()).filter(|host| host.ip().is_none());
    let fits = host.is_none_or(|host| settings.domains.index(host) == Some(domain));
    if fits { Ok(aor) } else { Err(FOREIGN) }
}

/// Reads everything but the contacts.
pub(super) fn read_request<'r, 'm>(
    settings: &Settings,
    config: &RegistrarConfig,
    now: Time,
    (origin, msg, ess): (&'r Origin, Message<'m>, &'r Essentials<'m>),
    may_be_foreign: bool,
) -> Result<Request<'r, 'm>, Refusal> {
    let mut request = Request {
        now,
        origin,
        ess,
        msg,
        direct: ess.is_direct,
        may_be_foreign,
        has_path: false,
        path_has_ob: false,
        path_is_secure: true,
        expires: msg.expires(),
    };
    if msg.header(Header::Path).is_some() {
        read_path(settings, config, &mut request)?;
    }
    Ok(request)
}

/// RFC 3327 s5.3, DECISIONS 8: a Path makes us send requests to whoever it names, so only configured edges may add one.
#[cold]
fn read_path(
    settings: &Settings,
    config: &RegistrarConfig,
    request: &mut Request<'_, '_>,
) -> Result<(), Refusal> {
    let source = request.origin.remote.ip();
    let trusted = match &config.path {
        PathMode::Refuse => false,
        PathMode::From(edges) => edges.iter().any(|net| net.contains(source)),
    };
    if !trusted {
        return Err(Refusal::with(Status::BAD_EXTENSION, Extra::Unsupported("path".into())));
    }
    for (i, value) in request.msg.values(Header::Path).enumerate() {
        let hop = NameAddr::parse(value).map_err(|_| bad("Malformed Path"))?;
        if i >= settings.limits.values || !hop.uri.is_sip() {
            return Err(bad("Malformed Path"));
        }
        if i == 0 {
            request.path_has_ob = hop.uri.params().contains(b"ob");
        }
        request.has_path = true;
        request.path_is_secure &= hop.uri.is_secure();
    }
    Ok(())
}

/// Reads all Contact values into the plan and checks them. `record` is the AoR, if it has bindings.
pub(super) fn read_contacts<'m>(
    settings: &Settings,
    config: &RegistrarConfig,
    request: &Request<'_, 'm>,
    location: &Location,
    record: Option<RecordKey>,
    plan: &mut Plan<'m>,
) -> Result<Asked, Refusal> {
    let (mut star, mut count) = (false, 0);
    let mut read = |value: &'m [u8]| {
        count += 1;
        if count > settings.limits.contacts_per_request {
            return Err(bad("Too Many Contacts"));
        }
        match read_contact(value, request, location.of_any(record))? {
            None => star = true,
            Some(wanted) if wanted.q_is_bad => return Err(bad("Malformed q")),
            // The same contact twice: the later one says how it shall be.
            Some(wanted) => match plan.iter_mut().find(|other| is_twin(other, &wanted)) {
                Some(twin) => *twin = wanted,
                None => plan.push(wanted),
            },
        }
        Ok(())
    };
    for line in request.msg.headers(Header::Contact).filter(|line| !line.is_empty()) {
        match memchr::memchr(b',', line) {
            None => read(line)?,
            Some(_) => split::commas(line).try_for_each(&mut read)?,
        }
    }
    if star {
        // RFC 3261 s10.3 step 6: alone, and with Expires: 0.
        return match (count, request.expires) {
            (1, Some(0)) => Ok(Asked::RemoveAll),
            _ => Err(bad("Wildcard Needs Expires 0")),
        };
    }
    if plan.is_empty() {
        return Ok(Asked::Query);
    }
    outbound::apply(config, request, plan)?;
    let mut secure = false;
    for wanted in plan.iter_mut().filter(|wanted| !wanted.is_removal()) {
        let known = wanted.known.and_then(|known| location.get(known));
        check_contact(settings, config, request, known, wanted)?;
        secure |= wanted.is_secure();
    }
    if secure {
        check_security(request, plan)?;
    }
    Ok(Asked::Contacts)
}

/// Reads one Contact value; `None` for `*`.
fn read_contact<'b, 'm>(
    value: &'m [u8],
    request: &Request<'_, 'm>,
    mut present: impl Iterator<Item = (BindingKey, &'b Binding)>,
) -> Result<Option<Wanted<'m>>, Refusal> {
    const MALFORMED: Refusal = Refusal::because(Status::BAD_REQUEST, "Malformed Contact");
    // The same bytes between the brackets.
    let known = value.strip_prefix(b"<").and_then(|inner| {
        present.find_map(|(key, binding)| {
            let behind = inner.strip_prefix(binding.contact())?.strip_prefix(b">")?;
            binding.is_live(request.now).then_some((key, inner.get(..binding.contact().len())?, behind))
        })
    });
    if let Some((key, uri, params)) = known {
        let mut wanted = Wanted::new(uri, request.expires, Some(key));
        let params = Params::header(params, |param, _| wanted.read_param(&param)).map_err(|_| MALFORMED)?;
        wanted.params = params;
        return Ok(Some(wanted));
    }
    let ContactValue::Addr(addr) = ContactValue::parse(value).map_err(|_| MALFORMED)? else {
        return Ok(None);
    };
    let mut wanted = Wanted::new(addr.uri.raw(), request.expires, None);
    wanted.read = Some(addr.uri);
    wanted.params = addr.params;
    addr.params.iter().for_each(|param| wanted.read_param(&param));
    Ok(Some(wanted))
}

fn is_twin(a: &Wanted<'_>, b: &Wanted<'_>) -> bool {
    a.reg_id == b.reg_id
        && eq_ignore_case(a.instance, b.instance)
        && ((a.reg_id != 0 && !a.instance.is_empty()) || same_contact(a.uri, b.uri))
}

/// Checks a contact that is to be kept, and finds out how it can be reached.
fn check_contact(
    settings: &Settings,
    config: &RegistrarConfig,
    request: &Request<'_, '_>,
    known: Option<&Binding>,
    wanted: &mut Wanted<'_>,
) -> Result<(), Refusal> {
    if known.is_none() {
        let uri = wanted.contact().ok_or(bad("Malformed Contact"))?;
        // Only a SIP URI can be sent to; RFC 5627 s5.1 has the status.
        if !uri.is_sip() {
            return Err(Refusal::because(Status::FORBIDDEN, "Contact Must Be a SIP URI"));
        }
        // DECISIONS 8: a contact that is us would make us call ourselves.
        if nat::names_us(settings, request.origin, &uri) {
            return Err(Refusal::because(Status::FORBIDDEN, "Contact Names This Server"));
        }
    }
    let limit = settings.limits.binding_bytes.min(usize::from(u16::MAX));
    let mut bytes = wanted.text(request, wanted.params.raw()).bytes();
    if request.has_path {
        bytes += request.msg.values(Header::Path).map(|value| value.len() + 2).sum::<usize>();
    }
    if bytes > limit {
        return Err(bad("Contact Too Large"));
    }
    if let Some(requested) = wanted.requested {
        Refusal::if_too_brief(requested, config.min_expires)?;
    }
    nat::judge(request, known, wanted);
    Ok(())
}

/// RFC 5630 s5.2: a sips contact needs sips all the way.
#[cold]
fn check_security(request: &Request<'_, '_>, plan: &[Wanted<'_>]) -> Result<(), Refusal> {
    let contacts = plan.iter().filter(|wanted| !wanted.is_removal()).all(Wanted::is_secure);
    let uri = request.ess.uri.is_some_and(|uri| uri.is_secure());
    let first_hop = !request.direct || request.origin.transport.is_secure();
    match contacts && uri && request.path_is_secure && first_hop {
        true => Ok(()),
        false => Err(bad("SIPS Contact Needs SIPS Throughout")),
    }
}
