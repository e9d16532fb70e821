//! Hundreds of seeds: what a live watcher accepted last is what is composed of the live publications, whatever was
//! lost, doubled, overtaken, crashed or refreshed before, once the network is quiet and the interval has passed.

use strowger_sim::network::Link;
use strowger_sim::phone::Via;
use strowger_sim::rng::Rng;

use super::*;

/// A device of bob, and what it says.
struct Device {
    phone: PhoneId,
    publication: Option<usize>,
    says: String,
}

/// A watcher of bob.
struct Watcher {
    phone: PhoneId,
    watch: usize,
}

struct Chaos {
    world: World,
    rng: Rng,
    devices: Vec<Device>,
    watchers: Vec<Watcher>,
    words: u32,
    /// Publications live whatever becomes of their phones.
    outlives: bool,
}

impl Chaos {
    fn new(seed: u64, change: impl FnOnce(&mut Config)) -> Chaos {
        let outlives = seed.is_multiple_of(3);
        let mut world = world_with(seed, |c| {
            change(c);
            if let Some(config) = &mut c.presence {
                config.publications_outlive_bindings = outlives;
            }
        });
        let mut devices = Vec::new();
        for name in ["desk", "mobile", "web"] {
            let phone = world.phone_of(name, "bob");
            world[phone].habits.retry = s(5);
            world.link(phone, Link::BAD);
            devices.push(Device { phone, publication: None, says: String::new() });
        }
        let mut watchers = Vec::new();
        for name in ["alice", "carol"] {
            let phone = world.phone(name);
            world[phone].habits.retry = s(5);
            world.link(phone, Link::BAD);
            // Every other world has one watcher on connections that break.
            if name == "carol" && seed % 2 == 1 {
                world[phone].habits.via = Via::Tcp;
            }
            let watch = world.act(phone, |p, now| p.watch(now, "sip:bob@example.com", 600));
            watchers.push(Watcher { phone, watch });
        }
        Chaos { world, rng: Rng::fork(seed, 77), devices, watchers, words: 0, outlives }
    }

    fn document(&mut self, device: usize) -> String {
        self.words += 1;
        let says = format!("word{};", self.words);
        let basic = if self.rng.chance(0.7) { "open" } else { "closed" };
        let document = pidf("bob", &format!("d{device}"), basic, &says);
        self.devices[device].says = says;
        document
    }

    fn device_acts(&mut self) {
        let at = self.rng.below(3) as usize;
        let (phone, publication) = (self.devices[at].phone, self.devices[at].publication);
        match (self.rng.below(10), publication) {
            (0, _) => self.world.act(phone, |p, now| p.register(now, 120)),
            (1, _) => self.world.act(phone, |p, now| p.register(now, 0)),
            (2, _) => {
                self.world.note("a device loses power and starts again");
                self.world.act(phone, |p, _| p.reboot(p.addr));
                self.devices[at].publication = None;
            }
            (3, Some(own)) => {
                self.world.act(phone, |p, now| p.unpublish(now, own));
                self.devices[at].publication = None;
            }
            (5, Some(own)) => {
                self.world.note("the same again");
                let same = self.world[phone].published(own).document.clone();
                self.world.act(phone, |p, now| p.modify(now, own, same));
            }
            (4, Some(own)) => self.world.act(phone, |p, now| p.refresh_publication(now, own)),
            (_, Some(own)) => {
                let document = self.document(at);
                self.world.act(phone, |p, now| p.modify(now, own, document));
            }
            (_, None) => {
                let document = self.document(at);
                let expires = 60 + self.rng.below(200) as u32;
                let own = self.world.act(phone, |p, now| p.publish(now, document, expires));
                self.devices[at].publication = Some(own);
            }
        }
    }

    fn watcher_acts(&mut self) {
        let at = self.rng.below(2) as usize;
        let (phone, watch) = (self.watchers[at].phone, self.watchers[at].watch);
        match self.rng.below(4) {
            0 => self.world.act(phone, |p, now| {
                if p.watched(watch).is_live(now) {
                    p.refresh_watch(now, watch);
                }
            }),
            1 => {
                self.world.note("a watcher loses power and starts again");
                let watch = self.world.act(phone, |p, now| {
                    p.reboot(p.addr);
                    p.watch(now, "sip:bob@example.com", 600)
                });
                self.watchers[at].watch = watch;
            }
            2 if self.world[phone].habits.via == Via::Tcp => self.world.break_flow(phone, true),
            2 => {
                self.world.act(phone, |p, now| p.unwatch(now, watch));
                let watch = self.world.act(phone, |p, now| p.watch(now, "sip:bob@example.com", 600));
                self.watchers[at].watch = watch;
            }
            _ => {
                self.world.act(phone, |p, now| p.watch(now, "sip:bob@example.com", 0));
            }
        }
    }

    /// Time passes until nothing has changed for longer than the interval and any repetition.
    fn quiet(&mut self) {
        for id in self.devices.iter().map(|d| d.phone).chain(self.watchers.iter().map(|w| w.phone)) {
            self.world.link(id, Link::GOOD);
        }
        self.world.run_for(s(40));
        let mut before = composed(&mut self.world, "bob@example.com");
        for _ in 0..100 {
            self.world.run_for(s(12));
            let now = composed(&mut self.world, "bob@example.com");
            if now == before {
                return;
            }
            before = now;
        }
        panic!("bob is never quiet");
    }

    fn check(&mut self, seed: u64) {
        let document = composed(&mut self.world, "bob@example.com");
        for watcher in &self.watchers {
            let watch = self.world[watcher.phone].watched(watcher.watch);
            let name = &self.world[watcher.phone].name;
            assert!(watch.is_live(self.world.now), "seed {seed}: {name} is {:?}", watch.standing);
            assert_eq!(watch.document.as_deref(), Some(&*document), "seed {seed}: {name}\n{}", self.tail());
        }
        // What the devices believe to be published is there, told apart from the engine's own view.
        for device in &self.devices {
            let phone = &self.world[device.phone];
            let live =
                device.publication.map(|own| phone.published(own)).filter(|p| p.is_live(self.world.now));
            // One whose phone is not registered any more may say nothing until it is refreshed.
            let bound = self.outlives || phone.is_registered(self.world.now);
            if bound && live.is_some_and(|p| !p.is_busy()) {
                assert!(document.contains(&device.says), "seed {seed}: {}\n{}", phone.name, self.tail());
            }
        }
    }

    fn tail(&self) -> String {
        let ladder = self.world.ladder().only(SHOWN).bodies().to_string();
        let lines: Vec<&str> = ladder.lines().collect();
        lines[lines.len().saturating_sub(300)..].join("\n")
    }
}

fn run(seed: u64, change: impl FnOnce(&mut Config)) {
    let mut chaos = Chaos::new(seed, change);
    for _ in 0..3 {
        for _ in 0..25 {
            match chaos.rng.below(5) {
                0 => chaos.watcher_acts(),
                _ => chaos.device_acts(),
            }
            let pause = chaos.rng.below(4_000);
            chaos.world.run_for(ms(pause));
        }
        chaos.quiet();
        chaos.check(seed);
        for id in chaos.devices.iter().map(|d| d.phone).chain(chaos.watchers.iter().map(|w| w.phone)) {
            chaos.world.link(id, Link::BAD);
        }
    }
    chaos.world.finish();
}

#[test]
fn what_a_live_watcher_saw_last_is_what_is_published() {
    (0..200).for_each(|seed| run(seed, |_| {}));
}

#[test]
fn the_same_without_pacing_and_with_one_notify_per_call() {
    for seed in 1_000..1_100 {
        run(seed, |c| {
            c.presence = Some(PresenceConfig { pacing: s(0), ..PresenceConfig::default() });
            c.limits.notifies_per_call = 1;
            c.events.keep_silent = seed % 2 == 0;
        });
    }
}
