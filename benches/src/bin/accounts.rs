//! Makes the accounts of a server that is to be measured: `accounts FOLDER COUNT` puts `accounts.db` there, with `user0` to
//! `userN` at example.com and what Digest needs of them. Their password hashes are the cheapest there are: nobody logs in.

use std::path::PathBuf;
use std::time::Instant;

use strowger_users::password::Cost;
use strowger_users::store::{NewAccount, Store, StoreConfig};

const DOMAIN: &str = "example.com";
const NOW: i64 = 1_700_000_000;

#[allow(clippy::disallowed_methods)] // It measures.
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, count] = &args[..] else { panic!("accounts FOLDER COUNT") };
    let (folder, count) = (PathBuf::from(folder), count.parse::<u32>().expect("a number"));
    std::fs::create_dir_all(&folder).expect("a folder");
    let config = StoreConfig { cost: Cost::least(), realms: vec![DOMAIN.into()], ..StoreConfig::default() };
    let store = Store::open(&folder.join("accounts.db"), config).expect("a store");
    let began = Instant::now();
    for number in 0..count {
        let name = format!("user{number}");
        let aors = vec![format!("{name}@{DOMAIN}")];
        let new = NewAccount { aors, digest: true, ..NewAccount::named(&name) };
        store.create(&new.with_password(format!("password {number}")), NOW).expect("an account");
    }
    println!("accounts={count} seconds={:.1}", began.elapsed().as_secs_f64());
}
