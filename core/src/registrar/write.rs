//! The 200 to a REGISTER: all bindings, each with what is left of it. RFC 3261 s10.3 step 8.

use smallvec::SmallVec;

use super::binding::{Binding, NO_Q};
use super::gruu::write_public;
use super::{Registered, Registrar, seconds_left};
use crate::ctx::Ctx;
use crate::wire::{Header, Message, ResponseWriter, Value};

impl Registrar {
    /// Writes the headers of the 200.
    pub(crate) fn write_ok(
        &self,
        ctx: &mut Ctx<'_>,
        writer: &mut ResponseWriter<'_>,
        registered: &Registered,
        msg: Message<'_>,
    ) {
        for (_, binding) in self.location.of_any(registered.record) {
            if binding.is_live(ctx.now) {
                writer.value(Header::Contact, |value| self.write_contact(ctx, value, binding, msg));
            }
        }
        // RFC 3261 s10.3 step 8: SHOULD; a phone without a clock sets it by this.
        let wall = ctx.wall();
        writer.date(&ctx.out.date(wall));
        if msg.header(Header::Path).is_some() && msg.has_token(Header::Supported, b"path") {
            // RFC 3327 s5.3: so that the client sees who put itself on the path.
            writer.list(Header::Path, msg.values(Header::Path));
        }
        let Some(config) = ctx.settings.registrar.as_ref() else { return };
        for route in &config.service_route {
            writer.header(Header::ServiceRoute, route.as_bytes());
        }
        if registered.outbound {
            writer.header(Header::Require, b"outbound");
        }
        if registered.flow_timer && config.flow_timer > 0 {
            writer.number(Header::FlowTimer, config.flow_timer);
        }
    }

    fn write_contact(&self, ctx: &Ctx<'_>, value: &mut Value<'_>, binding: &Binding, msg: Message<'_>) {
        value.literal("<");
        value.text(binding.contact());
        value.literal(">");
        if !binding.params().is_empty() {
            value.text(binding.params());
        }
        if binding.q != NO_Q {
            write_q(value, binding.q);
        }
        value.literal(";expires=");
        value.number(u64::from(seconds_left(binding, ctx.now)));
        let instance = binding.instance();
        if instance.is_empty() {
            return;
        }
        value.literal(";+sip.instance=\"<");
        value.text(instance);
        value.literal(">\"");
        if binding.reg_id != 0 {
            value.literal(";reg-id=");
            value.number(u64::from(binding.reg_id));
        }
        let minted = ctx.settings.registrar.as_ref().is_some_and(|config| config.gruu);
        if minted && msg.has_token(Header::Supported, b"gruu") {
            self.write_gruus(value, binding);
        }
    }

    /// RFC 5627 s5.2.
    fn write_gruus(&self, value: &mut Value<'_>, binding: &Binding) {
        // RFC 5630 s5.2.1: a GRUU has the scheme of the contact.
        let secure = binding.contact_uri().is_secure();
        let aor = self.location.name(binding);
        let mut gruu = SmallVec::<[u8; 128]>::new();
        write_public(&mut gruu, secure, aor, binding.instance());
        value.literal(";pub-gruu=\"");
        value.text(&gruu);
        gruu.clear();
        if self.write_temporary(&mut gruu, secure, aor, binding) {
            value.literal("\";temp-gruu=\"");
            value.text(&gruu);
        }
        value.literal("\"");
    }
}

/// `;q=0.7`: at most three digits behind the point (RFC 3261 s25.1).
fn write_q(value: &mut Value<'_>, q: u16) {
    if q >= 1000 {
        return value.literal(";q=1.0");
    }
    let digits = [q / 100, q / 10 % 10, q % 10].map(|digit| b'0' + digit as u8);
    let len = digits.iter().rposition(|digit| *digit != b'0').unwrap_or(0) + 1;
    value.literal(";q=0.");
    value.text(digits.get(..len).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Method, RequestWriter};

    #[test]
    fn q_is_written_as_short_as_it_can_be() {
        for (q, text) in [(0, ";q=0.0"), (5, ";q=0.005"), (700, ";q=0.7"), (750, ";q=0.75"), (1000, ";q=1.0")]
        {
            let mut arena = crate::wire::Arena::new();
            let mut writer = RequestWriter::new(&mut arena, Method::Options, b"sip:x");
            writer.value(Header::Subject, |value| write_q(value, q));
            let message = writer.finish();
            let written = String::from_utf8_lossy(&message);
            assert!(written.contains(&format!("Subject: {text}\r\n")), "{written}");
        }
    }
}
