//! A server to which phones register, on one thread.
//!
//! ```text
//! cargo run -p strowger-mio --example five_lines_mio
//! ```

use strowger_mio::{SimpleB2bua, StartError, Wait};

fn main() -> Result<(), StartError> {
    SimpleB2bua::new("Lobby", 5070).account("alice", "a long secret").enable_registration().start().wait()
}
