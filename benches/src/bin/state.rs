//! What the store of state costs: the start with 100,000 bindings in it, and commits of refreshes.
//! `state` prints times; `state refresh COUNT BATCH` commits so many refreshes, and `state new COUNT BATCH` so many new
//! bindings, in batches of that size, for valgrind.

use std::time::Instant;

use strowger_benches::load::Kind;
use strowger_benches::micro;
use strowger_benches::world::{Show, World};
use strowger_core::base::Time;
use strowger_core::door::{BindingView, Change, FlowId, Input, Request, StoredBinding, Transport};
use strowger_shell::options::Durability;
use strowger_shell::store::Store;
use strowger_users::state::StateStore;

const BINDINGS: u64 = 100_000;
const BATCH: u64 = 500;

fn binding(id: u64) -> Change {
    let addr = ([192, 0, 2, (id % 250) as u8], 5060).into();
    let view = BindingView {
        aor: format!("user{id}@example.com").into(),
        contact: format!("sip:user{id}@192.0.2.{}:5060;transport=udp", id % 250).into(),
        params: "".into(),
        q: 1000,
        expires_at: Time::from_secs(2_000_000_000),
        since: Time::from_secs(1_000_000_000),
        call_id: format!("f81d4fae7dec11d0a765{id}").into(),
        cseq: 1,
        user_agent: "Phone 1.0".into(),
        instance: format!("urn:uuid:f81d4fae-7dec-11d0-a765-{id:012}").into(),
        reg_id: None,
        path: "".into(),
        transport: Transport::Udp,
        received: addr,
        local: ([192, 0, 2, 254], 5060).into(),
        flow: Some(FlowId(2)),
        reachable: true,
    };
    Change::PutBinding(StoredBinding::new(id, &view).expect("short"))
}

fn refresh(id: u64) -> Change {
    Change::RefreshBinding { id, expires_at: Time::from_secs(2_000_000_100), cseq: 2 }
}

/// Commits the refreshes of some rounds over all bindings, or new bindings.
struct Commits {
    store: StateStore,
    next: u64,
    new: bool,
    batch: u64,
}

impl Commits {
    fn changes(&mut self) -> Vec<Change> {
        let each = |_| {
            self.next += 7;
            if self.new { binding(BINDINGS + self.next) } else { refresh(self.next % BINDINGS) }
        };
        (0..self.batch).map(each).collect()
    }
}

/// A commit alone, without the making of its changes.
struct Commit<'c>(&'c mut StateStore, &'c [Change]);

impl micro::Case for Commit<'_> {
    fn run(&mut self) {
        self.0.commit(self.1).expect("committed");
    }
}

#[allow(clippy::disallowed_methods)] // A bench measures time.
fn main() {
    let dir = std::env::temp_dir().join(format!("strowger-state-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let path = dir.join("state.db");
    let mut store = StateStore::open(&path, Durability::WriteBehind).expect("a store");
    let began = Instant::now();
    for start in (0..BINDINGS).step_by(BATCH as usize) {
        let changes: Vec<Change> = (start..start + BATCH).map(binding).collect();
        store.commit(&changes).expect("committed");
    }
    println!("write_us_per_binding={:.2}", began.elapsed().as_secs_f64() * 1e6 / BINDINGS as f64);
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut commits = Commits { store, next: 0, new: false, batch: BATCH };
    let commit = |commits: &mut Commits| {
        let changes = commits.changes();
        micro::measured(&mut Commit(&mut commits.store, &changes));
    };
    if let [kind, count, batch] = &args[..] {
        let number = |text: &String| text.parse::<u64>().expect("a number");
        (commits.new, commits.batch) = (kind == "new", number(batch));
        for _ in 0..number(count) / commits.batch {
            commit(&mut commits);
        }
    } else {
        let began = Instant::now();
        for _ in 0..2_000 {
            commit(&mut commits);
        }
        let each = began.elapsed().as_secs_f64() * 1e6 / (2_000 * BATCH) as f64;
        println!("refresh_us={each:.3} log_bytes={}", commits.store.bytes());
        drop(commits);

        let began = Instant::now();
        let mut store = StateStore::open(&path, Durability::WriteBehind).expect("a store");
        let mut kept = Vec::new();
        store.load(&mut |change| kept.push(change)).expect("loaded");
        let loaded = began.elapsed();
        let mut world = World::new(Kind::Register, Show::Nothing, 1, std::time::Duration::from_millis(1));
        let count = kept.len();
        for change in kept {
            let request = Request::Restore(Box::new(change));
            world.engine.handle(Time::from_secs(1_600_000_000), Input::Host { reply: None, request });
        }
        println!(
            "bindings={count} load_ms={} start_ms={} {:?}",
            loaded.as_millis(),
            began.elapsed().as_millis(),
            world.engine.sizes()
        );
    }
    std::fs::remove_dir_all(&dir).expect("removed");
}
