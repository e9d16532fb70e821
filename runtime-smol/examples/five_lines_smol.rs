//! A server to which phones register.
//!
//! ```text
//! cargo run -p strowger-smol --example five_lines_smol
//! ```

use strowger_smol::{SimpleB2bua, StartError, block_on};

fn main() -> Result<(), StartError> {
    block_on(SimpleB2bua::new("Lobby", 5070).account("alice", "a long secret").enable_registration().start())
}
