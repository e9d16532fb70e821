//! The REGISTER algorithm: RFC 3261 s10.3 steps 4 to 7, all or none.
//!
//! A request is read into a plan first: each contact with what it asks for, and the binding it is about. Every reason to
//! refuse is found before the first change is made, so that there is nothing to take back. What a contact is about is
//! found in this order: the same instance and reg-id (RFC 5626 s6), the same instance (a phone that was restarted has a
//! new Call-ID, contact and port, and is still one phone), the same URI (RFC 3261 s19.1.4).

use smallvec::SmallVec;

use super::binding::{Binding, BindingKey, Draft, Flags, NO_Q, Text};
use super::location::RecordKey;
use super::{Registered, Registrar, nat, outbound};
use crate::base::Time;
use crate::base::ids::IdKind;
use crate::base::text::{self, eq_ignore_case};
use crate::config::{AorBuf, MaxContacts, PathMode, RegistrarConfig, Settings};
use crate::ctx::{Ctx, Extra, Origin, Refusal};
use crate::door::{BindingCause, Identity, SaveSeq, Scheme};
use crate::wire::{ContactValue, Essentials, Header, Message, NameAddr, Params, Status, Uri, UriScheme};
use core::time::Duration;

/// RFC 3261 s10.3 step 7: only what is shorter than an hour may be refused as too brief.
const HOUR: u32 = 3600;
/// What a client that hit a full table is told to wait, in seconds.
const RETRY_AFTER: u32 = 30;

type Bytes<const N: usize> = SmallVec<[u8; N]>;

/// What a REGISTER says beside its contacts.
pub(super) struct Request<'m> {
    pub(super) origin: Origin,
    pub(super) ess: Essentials<'m>,
    pub(super) msg: Message<'m>,
    /// It had one Via: the sender is the phone itself.
    pub(super) direct: bool,
    /// Contacts may lie elsewhere than the source.
    pub(super) may_be_foreign: bool,
    pub(super) supports: Supports,
    /// Path values joined by `, `.
    pub(super) path: Bytes<128>,
    /// The URI of the first Path value has `ob`.
    pub(super) path_has_ob: bool,
    /// All Path values are sips URIs.
    path_is_secure: bool,
    expires: Option<u32>,
}

/// Option tags of Supported that matter here.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Supports {
    pub(super) path: bool,
    pub(super) outbound: bool,
    pub(super) gruu: bool,
}

/// One contact of the request and what is to become of it.
pub(super) struct Wanted<'m> {
    pub(super) addr: NameAddr<'m>,
    q: u16,
    /// Seconds asked for; 0 removes. `None` asks for nothing.
    requested: Option<u32>,
    /// Seconds granted; 0 removes.
    granted: u32,
    pub(super) instance: &'m [u8],
    pub(super) reg_id: u32,
    flags: Flags,
    has_params: bool,
    /// The binding it is about.
    hit: Option<BindingKey>,
}

impl Wanted<'_> {
    pub(super) fn is_removal(&self) -> bool {
        self.requested == Some(0)
    }

    /// RFC 3261 s19.1.4, but for one thing: RFC 5630 s5.1.1.1 takes the sip and the sips form of a contact for the same.
    fn same_contact(&self, binding: &Binding) -> bool {
        same_contact(&self.addr.uri, binding.contact())
    }

    fn same_instance(&self, binding: &Binding) -> bool {
        !self.instance.is_empty() && eq_ignore_case(self.instance, binding.instance())
    }

    /// The binding this contact names beyond doubt.
    fn is_exactly(&self, binding: &Binding) -> bool {
        let instance = self.same_instance(binding);
        if self.reg_id != 0 && binding.reg_id != 0 {
            // RFC 5626 s6: the contact URI is not compared.
            return instance && self.reg_id == binding.reg_id;
        }
        // Two phones behind two routers may well have one contact URI; what tells them apart is the instance.
        let strangers = !self.instance.is_empty() && !binding.instance().is_empty() && !instance;
        !strangers && self.same_contact(binding)
    }

    /// A binding of the same phone, before it was restarted.
    fn is_loosely(&self, binding: &Binding) -> bool {
        self.same_instance(binding) && (self.reg_id == 0 || binding.reg_id == 0)
    }
}

fn same_contact(uri: &Uri<'_>, stored: &[u8]) -> bool {
    if uri.raw() == stored {
        return true;
    }
    let Ok(stored) = Uri::parse(stored) else { return false };
    match (uri.scheme(), stored.scheme()) {
        (UriScheme::Sip, UriScheme::Sips) | (UriScheme::Sips, UriScheme::Sip) => {
            let behind = |uri: &Uri<'_>| -> Bytes<128> {
                let colon = uri.raw().iter().position(|b| *b == b':').unwrap_or(0);
                let mut out = Bytes::from_slice(b"sip");
                out.extend_from_slice(uri.raw().get(colon..).unwrap_or_default());
                out
            };
            let (a, b) = (behind(uri), behind(&stored));
            matches!((Uri::parse(&a), Uri::parse(&b)), (Ok(a), Ok(b)) if a.equivalent(&b))
        }
        _ => uri.equivalent(&stored),
    }
}

type Plan<'m> = SmallVec<[Wanted<'m>; 2]>;

/// What the Contact headers ask for. Nearly always contacts; kept on the stack.
#[allow(clippy::large_enum_variant, reason = "a box would be an allocation for every REGISTER")]
enum Asked<'m> {
    /// Nothing: a query.
    Query,
    /// `*`.
    RemoveAll,
    /// These.
    Contacts(Plan<'m>),
}

impl Registrar {
    /// Serves a REGISTER of `who`. Changes all it asks for or nothing; saves are emitted at once, events wait for
    /// [`tell_pending`](Self::tell_pending), so that they come after the response.
    pub(crate) fn register(
        &mut self,
        ctx: &mut Ctx<'_>,
        origin: &Origin,
        msg: Message<'_>,
        ess: &Essentials<'_>,
        who: &Identity,
    ) -> Result<Registered, Refusal> {
        let settings: &Settings = ctx.settings;
        let config =
            settings.registrar.as_ref().ok_or(Refusal::with(Status::METHOD_NOT_ALLOWED, Extra::Allow))?;
        let mut aor = AorBuf::new();
        let aor = canonical_aor(settings, ess, &mut aor)?;
        // RFC 3261 s10.3 step 4. Nothing before this depends on the user.
        if !who.owns(aor) {
            return Err(Refusal::plain(Status::FORBIDDEN));
        }
        let may_be_foreign = who.foreign_contacts || who.scheme == Scheme::Trusted;
        let request = read_request(settings, config, origin, msg, ess, may_be_foreign)?;
        let asked = read_contacts(settings, config, &request)?;
        self.undo.begin();
        if let Some(record) = self.location.find(aor.as_bytes()) {
            self.purge(ctx, record);
        }
        let record = self.location.find(aor.as_bytes());
        match asked {
            Asked::Query => Ok(self.registered(record, &request, &[], None)),
            Asked::RemoveAll => {
                let save = self.remove_all(ctx, &request, record)?;
                Ok(self.registered(None, &request, &[], save))
            }
            Asked::Contacts(plan) => self.update(ctx, config, &request, aor, record, plan),
        }
    }

    /// DECISIONS 16: the answer to a REGISTER that repeats the last accepted one, whose transaction was forgotten early.
    /// `None` if it is any other.
    pub(crate) fn repeated(
        &mut self,
        ctx: &mut Ctx<'_>,
        origin: &Origin,
        msg: Message<'_>,
        ess: &Essentials<'_>,
    ) -> Option<Registered> {
        let settings: &Settings = ctx.settings;
        let config = settings.registrar.as_ref()?;
        let mut aor = AorBuf::new();
        let aor = canonical_aor(settings, ess, &mut aor).ok()?;
        let record = self.location.find(aor.as_bytes())?;
        let request = read_request(settings, config, origin, msg, ess, false).ok()?;
        let Ok(Asked::Contacts(mut plan)) = read_contacts(settings, config, &request) else { return None };
        self.match_bindings(ctx.now, record, &mut plan);
        self.is_repetition(&request, &plan).then(|| {
            let save = self.undo.last_save(aor);
            self.registered(Some(record), &request, &plan, save)
        })
    }

    /// RFC 3261 s10.3 step 6: all bindings go, or none.
    fn remove_all(
        &mut self,
        ctx: &mut Ctx<'_>,
        request: &Request<'_>,
        record: Option<RecordKey>,
    ) -> Result<Option<SaveSeq>, Refusal> {
        let keys: SmallVec<[BindingKey; 8]> =
            record.into_iter().flat_map(|record| self.location.of(record)).map(|(key, _)| key).collect();
        if keys.iter().any(|key| self.location.get(*key).is_some_and(|b| is_out_of_order(request, b))) {
            return Err(out_of_order());
        }
        let mut save = None;
        for key in keys {
            save = self.remove_binding(ctx, key, BindingCause::Unregistered).or(save);
        }
        Ok(save)
    }

    /// RFC 3261 s10.3 step 7.
    fn update(
        &mut self,
        ctx: &mut Ctx<'_>,
        config: &RegistrarConfig,
        request: &Request<'_>,
        aor: &str,
        record: Option<RecordKey>,
        mut plan: Plan<'_>,
    ) -> Result<Registered, Refusal> {
        if let Some(record) = record {
            self.match_bindings(ctx.now, record, &mut plan);
        }
        let replaced = record.map_or_else(SmallVec::new, |record| self.replaced_by(record, &plan));
        let touched = plan.iter().filter_map(|wanted| wanted.hit).chain(replaced.iter().copied());
        if touched.filter_map(|key| self.location.get(key)).any(|b| is_out_of_order(request, b)) {
            if self.is_repetition(request, &plan) {
                let save = self.undo.last_save(aor);
                return Ok(self.registered(record, request, &plan, save));
            }
            return Err(out_of_order());
        }
        let evicted = self.make_room(ctx.settings, config, record, &plan, &replaced)?;
        // Nothing can fail from here on.
        let mut save = None;
        for key in replaced.into_iter().chain(evicted) {
            save = self.remove_binding(ctx, key, BindingCause::Replaced).or(save);
        }
        for wanted in &mut plan {
            let done = match (wanted.hit, wanted.is_removal()) {
                (None, true) => None,
                (Some(key), true) => self.remove_binding(ctx, key, BindingCause::Unregistered),
                (hit, false) => {
                    wanted.granted = grant(ctx, config, request, wanted);
                    self.write_binding(ctx, config, request, aor, wanted, hit)
                }
            };
            save = done.or(save);
        }
        let record = self.location.find(aor.as_bytes());
        let registered = self.registered(record, request, &plan, save);
        if registered.flow_timer && request.origin.transport.is_reliable() && config.flow_timer > 0 {
            self.watch(ctx, config, request.origin.flow);
        }
        Ok(registered)
    }

    /// Finds the binding each contact is about; no binding is found twice.
    fn match_bindings(&self, now: Time, record: RecordKey, plan: &mut Plan<'_>) {
        for pass in [Wanted::is_exactly, Wanted::is_loosely] {
            for i in 0..plan.len() {
                let Some(wanted) = plan.get(i).filter(|wanted| wanted.hit.is_none()) else { continue };
                let free = self.location.of(record).filter(|(key, binding)| {
                    binding.is_live(now) && plan.iter().all(|other| other.hit != Some(*key))
                });
                // Of several the newest: the older ones are its former lives.
                let hit = free
                    .filter(|(_, binding)| pass(wanted, binding))
                    .max_by_key(|(_, binding)| binding.refreshed)
                    .map(|(key, _)| key);
                if let Some(wanted) = plan.get_mut(i) {
                    wanted.hit = hit;
                }
            }
        }
    }

    /// Other bindings of the instances in the plan, which are former lives of the same phones.
    fn replaced_by(&self, record: RecordKey, plan: &Plan<'_>) -> SmallVec<[BindingKey; 4]> {
        if plan.iter().all(|wanted| wanted.instance.is_empty() || wanted.is_removal()) {
            return SmallVec::new();
        }
        let former =
            |binding: &Binding| plan.iter().any(|wanted| !wanted.is_removal() && wanted.is_loosely(binding));
        self.location
            .of(record)
            .filter(|(key, binding)| plan.iter().all(|other| other.hit != Some(*key)) && former(binding))
            .map(|(key, _)| key)
            .collect()
    }

    /// True if this is the last accepted request once more, from the same place: the same Call-ID, CSeq and contacts.
    fn is_repetition(&self, request: &Request<'_>, plan: &Plan<'_>) -> bool {
        let mut repeats = false;
        for wanted in plan {
            match wanted.hit.and_then(|key| self.location.get(key)) {
                None if wanted.is_removal() => {}
                Some(binding)
                    if !wanted.is_removal()
                        && binding.cseq == request.ess.cseq.number
                        && binding.call_id() == request.ess.call_id
                        && binding.contact() == wanted.addr.uri.raw()
                        && binding.q == wanted.q
                        && binding.params() == other_params(wanted.addr.params).as_slice()
                        && binding.received() == request.origin.remote =>
                {
                    repeats = true;
                }
                _ => return false,
            }
        }
        repeats
    }

    /// Checks every bound; names the bindings that have to go for the new ones.
    fn make_room(
        &self,
        settings: &Settings,
        config: &RegistrarConfig,
        record: Option<RecordKey>,
        plan: &Plan<'_>,
        replaced: &[BindingKey],
    ) -> Result<SmallVec<[BindingKey; 4]>, Refusal> {
        let new = plan.iter().filter(|wanted| wanted.hit.is_none() && !wanted.is_removal()).count();
        if new == 0 {
            return Ok(SmallVec::new());
        }
        let gone = plan.iter().filter(|wanted| wanted.hit.is_some() && wanted.is_removal()).count();
        let present = record.map_or(0, |record| self.location.of(record).count());
        let kept = present - gone - replaced.len();
        let mut evicted = SmallVec::new();
        if kept + new > config.max_contacts {
            let excess = kept + new - config.max_contacts;
            let mut free: SmallVec<[(Time, u64, BindingKey); 16]> = record
                .into_iter()
                .flat_map(|record| self.location.of(record))
                .filter(|(key, _)| {
                    !replaced.contains(key) && plan.iter().all(|wanted| wanted.hit != Some(*key))
                })
                .map(|(key, binding)| (binding.refreshed, binding.id, key))
                .collect();
            if config.max_contacts_policy == MaxContacts::Refuse || free.len() < excess {
                return Err(Refusal::because(Status::FORBIDDEN, "Too Many Contacts"));
            }
            free.sort_unstable();
            evicted.extend(free.into_iter().take(excess).map(|(_, _, key)| key));
        }
        let limits = &settings.limits;
        let full = (record.is_none() && self.location.aors() >= limits.aors)
            || self.location.len() + new > limits.bindings + gone + replaced.len() + evicted.len();
        match full {
            true => Err(Refusal::with(Status::SERVICE_UNAVAILABLE, Extra::RetryAfter(RETRY_AFTER))),
            false => Ok(evicted),
        }
    }

    /// Adds or refreshes one binding.
    fn write_binding(
        &mut self,
        ctx: &mut Ctx<'_>,
        config: &RegistrarConfig,
        request: &Request<'_>,
        aor: &str,
        wanted: &Wanted<'_>,
        hit: Option<BindingKey>,
    ) -> Option<SaveSeq> {
        let params = if wanted.has_params { other_params(wanted.addr.params) } else { Bytes::new() };
        let text = wanted_text(request, wanted, &params);
        let draft = Draft::new(&text);
        let origin = &request.origin;
        let now = ctx.now;
        let mut retired = None;
        let (key, cause) = match hit.and_then(|key| Some((key, self.location.get(key)?))) {
            None => {
                let key = self.location.add(aor, &draft, None, now);
                self.undo.note(aor, self.location.get(key).map_or(0, |b| b.id), || None);
                let epoch = self.epoch_for(key, wanted.instance, None);
                if let Some(binding) = self.location.get_mut(key) {
                    binding.epoch = epoch;
                }
                (key, BindingCause::Registered)
            }
            Some((key, old)) => {
                let moved = old.contact() != text.contact
                    || old.received() != origin.remote
                    || (old.transport.is_reliable() && old.own_flow() != Some(origin.flow));
                // A restored or upgraded phone: what holds this record together is its instance.
                let former = (!old.instance().is_empty()).then(|| old.call_id() == text.call_id);
                retired = (moved && wanted.same_instance(old)).then(|| old.own_flow()).flatten();
                self.undo.note(aor, old.id, || Some(Box::new(old.clone())));
                let epoch = match former {
                    Some(true) if wanted.same_instance(old) => old.epoch,
                    // RFC 5627 s5.1: another Call-ID voids all temporary GRUUs of the instance.
                    _ => self.epoch_for(key, wanted.instance, former),
                };
                if let Some(binding) = self.location.get_mut(key) {
                    binding.epoch = epoch;
                }
                self.location.rewrite(key, &draft, text.contact);
                (key, if moved { BindingCause::Moved } else { BindingCause::Refreshed })
            }
        };
        let gruu = match self.location.get(key).map(|b| b.record).and_then(|r| self.location.record_mut(r)) {
            Some(record) if request.supports.gruu && config.gruu && !wanted.instance.is_empty() => {
                record.gruus += 1;
                record.gruus
            }
            _ => 0,
        };
        let silence = self.location.move_to(key, origin.flow, origin.transport, wanted.flags);
        ctx.timers.disarm(silence);
        if let Some(binding) = self.location.get_mut(key) {
            binding.q = wanted.q;
            binding.reg_id = wanted.reg_id;
            binding.cseq = request.ess.cseq.number;
            binding.refreshed = now;
            binding.expires_at = now + Duration::from_secs(u64::from(wanted.granted));
            binding.gruu = if gruu != 0 { gruu } else { binding.gruu };
        }
        self.arm_timers(ctx, config, key);
        let save = self.saved_and_noted(ctx, key, cause);
        if let Some(flow) = retired {
            self.retire_later(ctx, flow, origin.flow);
        }
        save
    }

    /// The epoch of temporary GRUUs for a binding of an instance that is new here, or whose Call-ID changed.
    fn epoch_for(&mut self, key: BindingKey, instance: &[u8], same_call: Option<bool>) -> u32 {
        if instance.is_empty() {
            return 0;
        }
        let Some(record) = self.location.get(key).map(|binding| binding.record) else { return 0 };
        let siblings: SmallVec<[(BindingKey, u32); 8]> = self
            .location
            .of(record)
            .filter(|(k, b)| *k != key && eq_ignore_case(b.instance(), instance))
            .map(|(k, b)| (k, b.epoch))
            .collect();
        // RFC 5627 s5.1: one more flow of the instance voids nothing.
        if same_call.is_none()
            && let Some((_, epoch)) = siblings.first()
        {
            return *epoch;
        }
        let Some(record) = self.location.record_mut(record) else { return 0 };
        record.epochs += 1;
        let epoch = record.epochs;
        for (sibling, _) in siblings {
            if let Some(binding) = self.location.get_mut(sibling) {
                binding.epoch = epoch;
            }
        }
        epoch
    }

    fn registered(
        &self,
        record: Option<RecordKey>,
        request: &Request<'_>,
        plan: &[Wanted<'_>],
        save: Option<SaveSeq>,
    ) -> Registered {
        let flow = plan.iter().any(|wanted| wanted.flags.has(Flags::OUTBOUND) && !wanted.is_removal());
        // RFC 5626 s6: the tag is required of the client only if it said that it has it.
        let outbound = flow && request.supports.outbound;
        Registered {
            record,
            save,
            outbound,
            flow_timer: outbound && request.direct && outbound::keeps_alive(request.origin.transport),
            gruu: request.supports.gruu,
            path: request.supports.path && !request.path.is_empty(),
        }
    }
}

/// RFC 3261 s10.3 steps 1 and 5.
fn canonical_aor<'b>(
    settings: &Settings,
    ess: &Essentials<'_>,
    out: &'b mut AorBuf,
) -> Result<&'b str, Refusal> {
    const FOREIGN: Refusal = Refusal::plain(Status::NOT_FOUND);
    // RFC 3261 s10.2: the address of record is a SIP or SIPS URI.
    if !matches!(ess.to.uri.scheme(), UriScheme::Sip | UriScheme::Sips) {
        return Err(bad("To Needs a SIP URI"));
    }
    if !settings.domains.aor(&ess.to.uri, out) {
        return Err(FOREIGN);
    }
    let aor = core::str::from_utf8(out).map_err(|_| FOREIGN)?;
    // An address of ours may stand for every domain; a name is one of them.
    let host = ess.uri.and_then(|uri| uri.host()).filter(|host| host.ip().is_none());
    let asked = host.map(|host| settings.domains.canonical(host));
    let domain = aor.rsplit_once('@').map(|(_, domain)| domain);
    match asked {
        Some(asked) if asked != domain => Err(FOREIGN),
        _ => Ok(aor),
    }
}

fn bad(reason: &'static str) -> Refusal {
    Refusal::because(Status::BAD_REQUEST, reason)
}

/// RFC 3261 s10.3 step 7: the update is aborted and the request fails, with the status the same step gives to failure.
fn out_of_order() -> Refusal {
    Refusal::because(Status::SERVER_ERROR, "CSeq Out of Order")
}

/// RFC 3261 s10.3 steps 6 and 7: what has the Call-ID of the binding must have a higher CSeq.
fn is_out_of_order(request: &Request<'_>, binding: &Binding) -> bool {
    request.ess.cseq.number <= binding.cseq && binding.call_id() == request.ess.call_id
}

fn read_request<'m>(
    settings: &Settings,
    config: &RegistrarConfig,
    origin: &Origin,
    msg: Message<'m>,
    ess: &Essentials<'m>,
    may_be_foreign: bool,
) -> Result<Request<'m>, Refusal> {
    let mut request = Request {
        origin: *origin,
        ess: *ess,
        msg,
        direct: msg.values(Header::Via).nth(1).is_none(),
        may_be_foreign,
        supports: Supports::default(),
        path: Bytes::new(),
        path_has_ob: false,
        path_is_secure: true,
        expires: msg.expires(),
    };
    for tag in msg.values(Header::Supported).take(settings.limits.values) {
        let supports = &mut request.supports;
        supports.path |= eq_ignore_case(tag, b"path");
        supports.outbound |= eq_ignore_case(tag, b"outbound");
        supports.gruu |= eq_ignore_case(tag, b"gruu");
    }
    if msg.header(Header::Path).is_some() {
        read_path(settings, config, &mut request)?;
    }
    Ok(request)
}

/// RFC 3327 s5.3, DECISIONS 8: a Path makes us send requests to whoever it names, so only configured edges may add one.
fn read_path(
    settings: &Settings,
    config: &RegistrarConfig,
    request: &mut Request<'_>,
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
        } else {
            request.path.extend_from_slice(b", ");
        }
        request.path_is_secure &= hop.uri.is_secure();
        request.path.extend_from_slice(value);
    }
    Ok(())
}

/// Reads all Contact values and checks each as far as that can be done without the bindings there are.
fn read_contacts<'m>(
    settings: &Settings,
    config: &RegistrarConfig,
    request: &Request<'m>,
) -> Result<Asked<'m>, Refusal> {
    let mut plan: Plan<'m> = SmallVec::new();
    let (mut star, mut count) = (false, 0);
    for value in request.msg.values(Header::Contact) {
        count += 1;
        if count > settings.limits.contacts_per_request {
            return Err(bad("Too Many Contacts"));
        }
        let contact = ContactValue::parse(value).map_err(|_| bad("Malformed Contact"))?;
        match contact {
            ContactValue::Star => star = true,
            ContactValue::Addr(addr) => {
                let wanted = read_contact(&contact, addr, request.expires)?;
                // The same contact twice: the later one says how it shall be.
                let twin = plan.iter_mut().find(|other| is_twin(other, &wanted));
                match twin {
                    Some(twin) => *twin = wanted,
                    None => plan.push(wanted),
                }
            }
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
    outbound::apply(config, request, &mut plan)?;
    for wanted in plan.iter_mut().filter(|wanted| !wanted.is_removal()) {
        check_contact(settings, config, request, wanted)?;
    }
    let secure = |wanted: &Wanted<'_>| wanted.addr.uri.is_secure();
    let mut kept = plan.iter().filter(|wanted| !wanted.is_removal());
    if kept.clone().any(secure) {
        // RFC 5630 s5.2: a sips contact needs sips all the way.
        let uri_is_secure = request.ess.uri.is_some_and(|uri| uri.is_secure());
        let first_hop = !request.direct || request.origin.transport.is_secure();
        if !(kept.all(secure) && uri_is_secure && request.path_is_secure && first_hop) {
            return Err(bad("SIPS Contact Needs SIPS Throughout"));
        }
    }
    Ok(Asked::Contacts(plan))
}

fn is_twin(a: &Wanted<'_>, b: &Wanted<'_>) -> bool {
    a.reg_id == b.reg_id
        && eq_ignore_case(a.instance, b.instance)
        && ((a.reg_id != 0 && !a.instance.is_empty()) || same_contact(&a.addr.uri, b.addr.uri.raw()))
}

/// Reads one contact in one pass over its parameters.
fn read_contact<'m>(
    contact: &ContactValue<'m>,
    addr: NameAddr<'m>,
    expires: Option<u32>,
) -> Result<Wanted<'m>, Refusal> {
    let mut wanted = Wanted {
        addr,
        q: NO_Q,
        requested: expires,
        granted: 0,
        instance: b"",
        reg_id: 0,
        flags: Flags::default(),
        has_params: false,
        hit: None,
    };
    for param in addr.params {
        match kind(param.name) {
            Kind::Q => wanted.q = contact.q().map_err(|_| bad("Malformed q"))?,
            // RFC 3261 s20.10: what is no number counts as the default; what is too large is the largest.
            Kind::Expires => wanted.requested = param.value().and_then(text::clamp_u32),
            Kind::Instance => wanted.instance = contact.instance().unwrap_or_default(),
            Kind::RegId => wanted.reg_id = contact.reg_id().unwrap_or(0),
            Kind::Gruu => {}
            Kind::Other => wanted.has_params = true,
        }
    }
    Ok(wanted)
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

/// Parameters that are kept, each with its semicolon, as they came.
fn other_params(params: Params<'_>) -> Bytes<128> {
    let mut out = Bytes::new();
    for param in params.iter().filter(|param| matches!(kind(param.name), Kind::Other)) {
        out.push(b';');
        out.extend_from_slice(param.name);
        if let Some(value) = param.raw {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
    out
}

/// Checks a contact that is to be kept, and finds out how it can be reached.
fn check_contact(
    settings: &Settings,
    config: &RegistrarConfig,
    request: &Request<'_>,
    wanted: &mut Wanted<'_>,
) -> Result<(), Refusal> {
    // Only a SIP URI can be sent to; RFC 5627 s5.1 has the status.
    if !wanted.addr.uri.is_sip() {
        return Err(Refusal::because(Status::FORBIDDEN, "Contact Must Be a SIP URI"));
    }
    if nat::names_us(settings, &request.origin, &wanted.addr.uri) {
        return Err(Refusal::because(Status::FORBIDDEN, "Contact Names This Server"));
    }
    let limit = settings.limits.binding_bytes.min(usize::from(u16::MAX));
    if wanted_text(request, wanted, wanted.addr.params.raw()).bytes() > limit {
        return Err(bad("Contact Too Large"));
    }
    nat::judge(request, wanted.addr.uri, &mut wanted.flags);
    // RFC 3261 s10.3 step 7: 423 if and only if 0 < requested < one hour and below our minimum.
    if let Some(requested) = wanted.requested
        && requested < config.min_expires.min(HOUR)
    {
        return Err(Refusal::with(Status::INTERVAL_TOO_BRIEF, Extra::MinExpires(config.min_expires)));
    }
    Ok(())
}

fn wanted_text<'a>(request: &'a Request<'_>, wanted: &Wanted<'a>, params: &'a [u8]) -> Text<'a> {
    Text {
        received: request.origin.remote,
        local: request.origin.local,
        contact: wanted.addr.uri.raw(),
        params,
        call_id: request.ess.call_id,
        user_agent: request.msg.header(Header::UserAgent).unwrap_or_default(),
        instance: wanted.instance,
        path: &request.path,
    }
}

/// RFC 3261 s10.3 step 7: we may choose less than what is requested, never more.
fn grant(ctx: &mut Ctx<'_>, config: &RegistrarConfig, request: &Request<'_>, wanted: &Wanted<'_>) -> u32 {
    let requested = wanted.requested.unwrap_or(config.default_expires);
    let mut granted = requested.min(config.max_expires);
    if nat::wants_keepalive(request.origin.transport, wanted.flags) {
        granted = granted.min(config.nat_max_expires);
    }
    let share = u64::from(granted) * u64::from(config.expires_jitter_percent) / 100;
    if share > 0 {
        let floor = granted.min(config.min_expires);
        granted = granted.saturating_sub(ctx.ids.below(IdKind::Jitter, share + 1) as u32).max(floor);
    }
    granted.max(1)
}

impl<'m> Wanted<'m> {
    /// The flags, for the rooms that decide upon them.
    pub(super) fn flags_mut(&mut self) -> &mut Flags {
        &mut self.flags
    }
}
