//! Programs of registrations, removals, waiting and dying flows against a model that is a plain vector.

use proptest::prelude::*;

use super::{Phone, World};
use crate::door::{FlowId, Transport};

/// What can happen.
#[derive(Clone, Debug)]
enum Op {
    /// A contact over UDP, or over one of two streams; `ahead` is the step of the CSeq, 0 for a repetition.
    Register { contact: u8, instance: u8, call: u8, ahead: u8, expires: u16, over: u8 },
    /// `Contact: *`.
    RemoveAll { call: u8, ahead: u8 },
    /// Time passes.
    Wait(u16),
    /// A stream dies; the next registration over it opens another.
    Die(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..4_u8, 0..3_u8, 0..3_u8, 0..3_u8, prop_oneof![Just(0), Just(100), Just(300)], 0..3_u8).prop_map(
            |(contact, instance, call, ahead, expires, over)| Op::Register { contact, instance, call, ahead, expires, over }
        ),
        1 => (0..3_u8, 0..3_u8).prop_map(|(call, ahead)| Op::RemoveAll { call, ahead }),
        2 => (1..200_u16).prop_map(Op::Wait),
        1 => (1..3_u8).prop_map(Op::Die),
    ]
}

/// A binding of the model.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Row {
    contact: u8,
    /// 0 for none.
    instance: u8,
    call: u8,
    cseq: u32,
    ends: u64,
    refreshed: u64,
    flow: Option<FlowId>,
    over: u8,
}

#[derive(Default)]
struct Model {
    rows: Vec<Row>,
    now: u64,
    cseqs: [u32; 3],
    flows: [Option<FlowId>; 3],
}

const MOST: usize = 3;

impl Model {
    fn expire(&mut self) {
        let now = self.now;
        self.rows.retain(|row| row.ends > now);
    }

    /// The registrar's rules in the simplest words: the index of the row a contact is about.
    fn hit(&self, contact: u8, instance: u8) -> Option<usize> {
        let strangers = |row: &Row| instance != 0 && row.instance != 0 && instance != row.instance;
        let newest = |same: &dyn Fn(&Row) -> bool| {
            let rows = self.rows.iter().enumerate().filter(|(_, row)| same(row));
            rows.max_by_key(|(i, row)| (row.refreshed, *i)).map(|(i, _)| i)
        };
        newest(&|row| row.contact == contact && !strangers(row))
            .or_else(|| newest(&|row| instance != 0 && row.instance == instance))
    }

    /// 200 or another status.
    fn register(&mut self, new: Row, remove: bool) -> u16 {
        let hit = self.hit(new.contact, new.instance);
        let former: Vec<usize> = match remove {
            true => Vec::new(),
            false => (0..self.rows.len())
                .filter(|i| Some(*i) != hit && new.instance != 0 && self.rows[*i].instance == new.instance)
                .collect(),
        };
        let late = |row: &Row| row.call == new.call && new.cseq <= row.cseq;
        if hit.iter().chain(&former).any(|i| late(&self.rows[*i])) {
            let repeats = hit.is_some_and(|i| {
                let row = &self.rows[i];
                !remove
                    && row.call == new.call
                    && row.cseq == new.cseq
                    && row.contact == new.contact
                    && row.over == new.over
            });
            return if repeats { 200 } else { 500 };
        }
        let mut gone = former;
        match (hit, remove) {
            (Some(i), true) => gone.push(i),
            (None, true) => {}
            (Some(i), false) => self.rows[i] = new,
            (None, false) => {
                if self.rows.len() - gone.len() == MOST {
                    let free = (0..self.rows.len()).filter(|i| !gone.contains(i));
                    gone.extend(free.min_by_key(|i| (self.rows[*i].refreshed, *i)));
                }
                self.rows.push(new);
            }
        }
        gone.sort_unstable();
        for i in gone.into_iter().rev() {
            self.rows.remove(i);
        }
        200
    }

    fn remove_all(&mut self, call: u8, cseq: u32) -> u16 {
        if self.rows.iter().any(|row| row.call == call && cseq <= row.cseq) {
            return 500;
        }
        self.rows.clear();
        200
    }
}

fn contact(number: u8) -> String {
    format!("sip:bob@198.51.100.7:{}", 6000 + u16::from(number))
}

fn run(ops: &[Op]) {
    let mut world = World::with(|config| {
        config.max_contacts = MOST;
        config.min_expires = 10;
    });
    let mut model = Model::default();
    for op in ops {
        match *op {
            Op::Register { contact: number, instance, call, ahead, expires, over } => {
                let cseq = &mut model.cseqs[usize::from(call)];
                *cseq += u32::from(ahead);
                let cseq = *cseq;
                let mut phone =
                    Phone::at("198.51.100.7:5060").call(&format!("{call}"), cseq).without_expires();
                phone.remote.set_port(5060 + u16::from(over));
                let device = if instance == 0 {
                    String::new()
                } else {
                    format!(";+sip.instance=\"<urn:{instance}>\"")
                };
                phone.contacts = vec![format!("<{}>{device};expires={expires}", contact(number))];
                if over > 0 {
                    let slot = &mut model.flows[usize::from(over)];
                    let remote = phone.remote.to_string();
                    phone.flow = *slot.get_or_insert_with(|| world.connect(Transport::Tcp, &remote));
                }
                let row = Row {
                    contact: number,
                    instance,
                    call,
                    cseq,
                    ends: model.now + u64::from(expires),
                    refreshed: model.now,
                    flow: (over > 0).then_some(phone.flow),
                    over,
                };
                let status = model.register(row, expires == 0);
                let answer = world.send(&phone);
                assert!(
                    answer.starts_with(&format!("SIP/2.0 {status}")),
                    "{op:?}: {answer}\n{:#?}",
                    model.rows
                );
                if status == 200 {
                    let listed = answer.lines().filter(|line| line.starts_with("Contact")).count();
                    assert_eq!(listed, model.rows.len(), "{op:?}: {answer}");
                }
            }
            Op::RemoveAll { call, ahead } => {
                let cseq = &mut model.cseqs[usize::from(call)];
                *cseq += u32::from(ahead);
                let cseq = *cseq;
                let phone = Phone::at("198.51.100.7:5060")
                    .call(&format!("{call}"), cseq)
                    .contact("*")
                    .without_expires()
                    .header("Expires: 0");
                let status = model.remove_all(call, cseq);
                let answer = world.send(&phone);
                assert!(answer.starts_with(&format!("SIP/2.0 {status}")), "{op:?}: {answer}");
            }
            Op::Wait(seconds) => {
                model.now += u64::from(seconds);
                model.expire();
                world.sleep(u64::from(seconds));
            }
            Op::Die(over) => {
                if let Some(flow) = model.flows[usize::from(over)].take() {
                    world.disconnect(flow);
                    for row in model.rows.iter_mut().filter(|row| row.flow == Some(flow)) {
                        row.flow = None;
                    }
                }
            }
        }
        let mut expected: Vec<_> = model
            .rows
            .iter()
            .map(|row| {
                let flow = if row.over == 0 { Some(crate::ctx::fixture::Fixture::UDP) } else { row.flow };
                (contact(row.contact), row.call.to_string(), row.cseq, row.ends, flow)
            })
            .collect();
        let start = 1_700_000_000;
        let mut found: Vec<_> = world
            .lookup("bob@example.com")
            .into_iter()
            .map(|view| {
                let ends = view.expires_at.as_secs() - start;
                (view.contact.to_string(), view.call_id.to_string(), view.cseq, ends, view.flow)
            })
            .collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "after {op:?}");
    }
    world.sleep(400);
    world.assert_empty();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_program_leaves_what_the_model_says(ops in proptest::collection::vec(op(), 1..60)) {
        run(&ops);
    }
}
