//! Calls go by what the callee is: who does not want to be disturbed has his voicemail, who is busy says so, who is away
//! rings on all his phones and on the desk beside him.
//!
//! ```text
//! cargo run -p strowger-tokio --example presence_routing [-- port]
//! ```
//!
//! Let phones register as `alice`, `bob`, `desk` and `voicemail` (password `a long secret`) at port 5070 (or the one that is given) of this machine,
//! publish what they are, and call each other.

use strowger_tokio::core::door::PresenceState;
use strowger_tokio::{Route, RouteCall, SimpleB2bua, StartError};

const PASSWORD: &str = "a long secret";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(5070);
    let accounts = ["alice", "bob", "desk", "voicemail"];
    let server = SimpleB2bua::new("Exchange", port).enable_registration().enable_presence();
    accounts
        .into_iter()
        .fold(server, |server, name| server.account(name, PASSWORD))
        .on_route(async |call: RouteCall| match call.state() {
            Some(PresenceState::DoNotDisturb) => Route::to("sip:voicemail@localhost"),
            Some(PresenceState::Busy) => Route::busy(),
            Some(PresenceState::Away) => Route::to(format!("sip:{}", call.to)).and("sip:desk@localhost"),
            // Where it goes without asking: his phones, what he forwards to.
            _ => Route::default(),
        })
        .start()
        .await
}
