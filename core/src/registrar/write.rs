//! The 200 to a REGISTER: all bindings, each with what is left of it. RFC 3261 s10.3 step 8.

use smallvec::SmallVec;

use super::binding::{Binding, NO_Q};
use super::gruu::write_public;
use super::{Registered, Registrar, seconds_left};
use crate::base::text::Push;
use crate::ctx::Ctx;
use crate::wire::{Date, Header, Message, ResponseWriter};

type Line = SmallVec<[u8; 384]>;

impl Registrar {
    /// Writes the headers of the 200.
    pub(crate) fn write_ok(
        &self,
        ctx: &Ctx<'_>,
        writer: &mut ResponseWriter<'_>,
        registered: &Registered,
        msg: Message<'_>,
    ) {
        let bindings = registered.record.into_iter().flat_map(|record| self.location.of(record));
        for (_, binding) in bindings.filter(|(_, binding)| binding.is_live(ctx.now)) {
            let mut line = Line::new();
            self.write_contact(ctx, &mut line, registered, binding);
            writer.header(Header::Contact, &line);
        }
        // RFC 3261 s10.3 step 8: SHOULD; a phone without a clock sets it by this.
        writer.header(Header::Date, Date::of(ctx.wall()).as_bytes());
        if registered.path {
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

    fn write_contact(&self, ctx: &Ctx<'_>, line: &mut Line, registered: &Registered, binding: &Binding) {
        line.push(b'<');
        line.push_bytes(binding.contact());
        line.push(b'>');
        line.push_bytes(binding.params());
        if binding.q != NO_Q {
            write_q(line, binding.q);
        }
        line.push_bytes(b";expires=");
        line.push_bytes(itoa::Buffer::new().format(seconds_left(binding, ctx.now)).as_bytes());
        let instance = binding.instance();
        if instance.is_empty() {
            return;
        }
        line.push_bytes(b";+sip.instance=\"<");
        line.push_bytes(instance);
        line.push_bytes(b">\"");
        if binding.reg_id != 0 {
            line.push_bytes(b";reg-id=");
            line.push_bytes(itoa::Buffer::new().format(binding.reg_id).as_bytes());
        }
        let minted = ctx.settings.registrar.as_ref().is_some_and(|config| config.gruu);
        if registered.gruu && minted {
            // RFC 5630 s5.2.1: a GRUU has the scheme of the contact.
            let secure = binding.contact_uri().is_secure();
            let aor = self.location.name(binding);
            line.push_bytes(b";pub-gruu=\"");
            write_public(line, secure, aor, instance);
            line.push(b'"');
            let mut temporary = SmallVec::<[u8; 128]>::new();
            if self.write_temporary(&mut temporary, secure, aor, binding) {
                line.push_bytes(b";temp-gruu=\"");
                line.push_bytes(&temporary);
                line.push(b'"');
            }
        }
    }
}

/// `;q=0.7`: at most three digits behind the point (RFC 3261 s25.1).
fn write_q(line: &mut Line, q: u16) {
    if q >= 1000 {
        line.push_bytes(b";q=1.0");
        return;
    }
    line.push_bytes(b";q=0.");
    let digits = [q / 100, q / 10 % 10, q % 10].map(|digit| b'0' + digit as u8);
    let len = digits.iter().rposition(|digit| *digit != b'0').unwrap_or(0) + 1;
    line.push_bytes(digits.get(..len).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_is_written_as_short_as_it_can_be() {
        for (q, text) in [(0, ";q=0.0"), (5, ";q=0.005"), (700, ";q=0.7"), (750, ";q=0.75"), (1000, ";q=1.0")]
        {
            let mut line = Line::new();
            write_q(&mut line, q);
            assert_eq!(String::from_utf8_lossy(&line), text);
        }
    }
}
