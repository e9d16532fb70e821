//! A server to which phones register.
//!
//! ```text
//! cargo run -p strowger-tokio --example five_lines
//! ```

use strowger_tokio::{SimpleB2bua, StartError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    SimpleB2bua::new("Lobby", 5070).account("alice", "a long secret").enable_registration().start().await
}
