//! What it costs to take a REGISTER of 14 header lines and 900 bytes apart.

use std::hint::black_box;

use strowger_benches::corpus::REGISTER;
use strowger_benches::counting::Counting;
use strowger_benches::micro::{self, Case};
use strowger_core::wire::{Bounds, ContactValue, Layout, Message, parse};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    micro::main(&[
        ("structural", || boxed(|m| _ = black_box(m))),
        ("seven_typed", || boxed(seven_typed)),
        ("essentials", || boxed(|m| _ = black_box(m.essentials()))),
    ]);
}

fn boxed(look: fn(Message<'_>)) -> Box<dyn Case> {
    Box::new(move || {
        let mut layout = Layout::new();
        look(parse(black_box(REGISTER), &mut layout, &Bounds::default()).expect("a good message"));
    })
}

/// Via, From, To, CSeq, Call-ID, Contact and Expires, each with what a registrar asks of it.
fn seven_typed(m: Message<'_>) {
    let via = m.via().expect("a Via");
    black_box((via.branch(), via.rport()));
    black_box(m.from().expect("a From").tag());
    black_box(m.to().expect("a To").uri.user());
    black_box(m.cseq().expect("a CSeq").number);
    black_box(m.call_id().expect("a Call-ID"));
    for contact in m.contacts() {
        if let ContactValue::Addr(addr) = contact.expect("a Contact") {
            black_box(addr.uri.host());
        }
    }
    black_box(m.expires());
}
