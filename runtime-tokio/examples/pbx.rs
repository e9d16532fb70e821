//! A PBX: phones register with a password, call each other, and who does not answer has a voicemail.
//!
//! ```text
//! cargo run -p strowger-tokio --example pbx [-- port]
//! ```
//!
//! Let phones register as `alice`, `bob` and `voicemail` (password `a long secret`) at port 5070 (or the one that is given) of this machine. A call
//! to bob rings him for twenty seconds, then the voicemail; a call from somebody who did not say who he is goes nowhere.

use std::time::Duration;

use strowger_tokio::{Route, RouteCall, SimpleB2bua, StartError};

const PASSWORD: &str = "a long secret";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(5070);
    SimpleB2bua::new("Pbx", port)
        .account("alice", PASSWORD)
        .account("bob", PASSWORD)
        .account("voicemail", PASSWORD)
        .enable_registration()
        .enable_messages()
        .on_route(async |call: RouteCall| match call.caller {
            None => Route::reject(403),
            Some(_) if call.is_message => Route::default(),
            Some(_) => Route::to(format!("sip:{}", call.to))
                .ringing(Duration::from_secs(20))
                .then("sip:voicemail@localhost"),
        })
        .start()
        .await
}
