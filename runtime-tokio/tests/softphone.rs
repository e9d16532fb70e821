//! Two softphones of the example at a server in one process: one plays a tone from a file, the other hears it, and who
//! watches sees that they talk.

use std::time::Duration;

use strowger_tokio::SimpleB2bua;
use strowger_tokio::core::config::ListenerConfig;
use strowger_tokio::core::door::Transport;
use tokio::sync::mpsc;

#[path = "../examples/softphone/main.rs"]
mod softphone;

use softphone::Options;
use softphone::sound::{samples, wav};

const PATIENCE: Duration = Duration::from_secs(30);

/// A phone that is told what to do, and tells what happens.
struct Typed {
    lines: mpsc::Sender<String>,
    said: mpsc::UnboundedReceiver<String>,
}

impl Typed {
    fn start(options: Options) -> (Typed, impl Future<Output = ()>) {
        let (lines, typed) = mpsc::channel(4);
        let (sender, said) = mpsc::unbounded_channel();
        let run = async move {
            let told = softphone::run(options, typed, |line| drop(sender.send(line))).await;
            told.expect("the phone runs");
        };
        (Typed { lines, said }, run)
    }

    async fn hears(&mut self, wanted: &str) {
        let mut all = Vec::new();
        loop {
            let said = tokio::time::timeout(PATIENCE, self.said.recv()).await;
            let said =
                said.unwrap_or_else(|_| panic!("not said in time: {wanted}; but {all:?}")).expect("it runs");
            if said.contains(wanted) {
                return;
            }
            all.push(said);
        }
    }

    async fn types(&self, line: &str) {
        self.lines.send(line.into()).await.expect("it runs");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn sound_from_a_file_arrives_in_a_file() {
    let folder = std::env::temp_dir().join(format!("strowger-softphone-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    // A second of a square wave of 500 Hz: eight samples up, eight down.
    let tone: Vec<i16> = (0..8_000).map(|n| if n / 8 % 2 == 0 { 8_000 } else { -8_000 }).collect();
    std::fs::write(folder.join("tone.wav"), wav(&tone)).expect("written");
    assert_eq!(samples(&wav(&tone)).as_deref(), Some(&tone[..]));

    let listener = ListenerConfig {
        transport: Transport::Udp,
        addr: ([127, 0, 0, 1], 0).into(),
        advertised: None,
        algorithms: None,
    };
    let server = SimpleB2bua::new("Lobby", 0)
        .domain("localhost")
        .listen([listener])
        .account("alice", "a long secret")
        .account("bob", "another one")
        .enable_registration()
        .enable_presence()
        .enable_calls()
        .bind()
        .await
        .expect("bound");
    let address = server.listeners()[0].addr.to_string();
    let phone = |user: &str, password: &str, play: Option<&str>, record: Option<&str>| Options {
        aor: format!("sip:{user}@localhost"),
        password: password.into(),
        server: format!("sip:{address}"),
        play: play.map(|name| folder.join(name)),
        record: record.map(|name| folder.join(name)),
    };
    let (mut alice, run_alice) = Typed::start(phone("alice", "a long secret", Some("tone.wav"), None));
    let (mut bob, run_bob) = Typed::start(phone("bob", "another one", None, Some("heard.wav")));
    let story = async {
        alice.hears("registered").await;
        bob.hears("registered").await;
        bob.types("watch alice@localhost").await;
        bob.hears("alice@localhost is Available").await;
        alice.types("call bob@localhost").await;
        bob.hears("alice@localhost calls").await;
        alice.hears("talking").await;
        // The whole second has to pass, at twenty milliseconds a packet.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        alice.types("hang up").await;
        bob.hears("over").await;
        alice.hears("over").await;
        alice.types("quit").await;
        bob.types("quit").await;
    };
    tokio::join!(run_alice, run_bob, story);
    let heard = samples(&std::fs::read(folder.join("heard.wav")).expect("recorded")).expect("a WAV file");
    let loud = heard.iter().filter(|sample| sample.unsigned_abs() > 7_000).count();
    assert!(loud > 4_000, "{loud} loud samples of {}", heard.len());
    server.handle().shutdown().expect("it runs");
    server.stopped().await.expect("ended");
    std::fs::remove_dir_all(&folder).expect("removed");
}
