//! The voicemail of the example at a server in one process: a message is left, the lamp is lit, it is heard, and the lamp
//! goes out.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use strowger_tokio::core::config::ListenerConfig;
use strowger_tokio::core::door::{Transport, UaCallStep, UaRequest, UaStep};
use strowger_tokio::{Peer, PeerEvent, PeerEvents, SimplePeer};
use tokio::time::{interval, timeout};

#[path = "../examples/voicemail/main.rs"]
mod voicemail;

use voicemail::Machine;
use voicemail::sound::{Sound, address_in, samples};

const PATIENCE: Duration = Duration::from_secs(30);

async fn phone(user: &str, server: SocketAddr) -> (Peer, PeerEvents) {
    let phone = SimplePeer::new(format!("sip:{user}@localhost")).password("a long secret");
    phone.server(format!("sip:{server}")).start().await.expect("started")
}

/// Calls, says these samples and hangs up; or listens until it is hung up on. What was heard.
async fn call(phone: &Peer, whom: &str, says: Vec<i16>) -> Vec<i16> {
    let listens = says.is_empty();
    let mut sound = Sound::playing([127, 0, 0, 1].into(), says).expect("a socket");
    let mut call = phone.call(whom, sound.description("sendrecv")).await.expect("called");
    let (mut talks, mut leaves, mut look) = (false, false, interval(Duration::from_millis(20)));
    loop {
        tokio::select! {
            step = call.next() => match step {
                Some(UaCallStep::Established { sdp, .. }) => {
                    sound.towards(address_in(&sdp));
                    talks = true;
                }
                Some(UaCallStep::Ended { status, .. }) => {
                    assert_eq!(status, 200);
                    return sound.heard().to_vec();
                }
                Some(_) => {}
                None => return sound.heard().to_vec(),
            },
            never = sound.flow(), if talks => match never {},
            _ = look.tick() => if !listens && !leaves && sound.has_played() {
                leaves = true;
                call.hang_up().await.expect("hung up");
            },
        }
    }
}

/// What the lamp of a phone is told next.
async fn lamp(events: &mut PeerEvents) -> String {
    let told = async {
        loop {
            if let PeerEvent::Told(UaStep::Notified { body, .. }) = events.next().await.expect("it runs") {
                return String::from_utf8_lossy(&body).into_owned();
            }
        }
    };
    timeout(PATIENCE, told).await.expect("told in time")
}

fn recorded(folder: &Path) -> Vec<i16> {
    let files: Vec<_> =
        std::fs::read_dir(folder).expect("a mailbox").map(|file| file.expect("a file").path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    samples(&std::fs::read(file).expect("readable")).expect("a WAV file")
}

fn loud(samples: &[i16]) -> usize {
    samples.iter().filter(|sample| sample.unsigned_abs() > 7_000).count()
}

#[tokio::test(flavor = "current_thread")]
async fn a_message_is_left_shown_and_heard() {
    let folder = std::env::temp_dir().join(format!("strowger-voicemail-{}", std::process::id()));
    let listener = ListenerConfig {
        transport: Transport::Udp,
        addr: ([127, 0, 0, 1], 0).into(),
        advertised: None,
        algorithms: None,
    };
    let server = voicemail::pbx(0).listen([listener]).bind().await.expect("bound");
    let at = server.listeners()[0].addr;
    // A tenth of a second of silence is the prompt.
    let machine = Machine::new(&folder, vec![0; 800], server.presence_handler());
    let story = async {
        let (bob, mut lamps) = phone("bob", at).await;
        let (alice, _) = phone("alice", at).await;
        let watch = UaRequest::Subscribe {
            target: "sip:bob@localhost".into(),
            event: "message-summary".into(),
            expires: 600,
        };
        bob.ask(watch).await.expect("watches");
        assert!(lamp(&mut lamps).await.starts_with("Messages-Waiting: no"));
        // Bob is not there: nobody answers but the voicemail, once it has registered.
        let square: Vec<i16> = (0..12_000).map(|n| if n / 8 % 2 == 0 { 8_000 } else { -8_000 }).collect();
        let bindings = server.handle();
        while bindings.lookup("voicemail@localhost").await.expect("it runs").is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The first half second goes under the prompt and the beep.
        let heard = call(&alice, "sip:bob@localhost", square).await;
        assert!(loud(&heard) > 1_000, "the beep: {} of {}", loud(&heard), heard.len());
        let lit = lamp(&mut lamps).await;
        assert!(lit.starts_with("Messages-Waiting: yes") && lit.contains("Voice-Message: 1/0"), "{lit}");
        let kept = recorded(&folder.join("bob/new"));
        assert!(loud(&kept) > 4_000, "{} loud samples of {}", loud(&kept), kept.len());
        // He calls in, and hears it.
        let heard = call(&bob, "sip:voicemail@localhost", Vec::new()).await;
        assert!(loud(&heard) > 4_000, "{} loud samples of {}", loud(&heard), heard.len());
        let lit = lamp(&mut lamps).await;
        assert!(lit.starts_with("Messages-Waiting: no") && lit.contains("Voice-Message: 0/1"), "{lit}");
        assert_eq!(recorded(&folder.join("bob/old")), kept);
        alice.close().await.expect("closed");
        bob.close().await.expect("closed");
    };
    let server_uri = format!("sip:{at}");
    tokio::select! {
        () = story => {}
        over = machine.answer(&server_uri) => panic!("{over:?}"),
    }
    server.handle().shutdown().expect("it runs");
    server.stopped().await.expect("ended");
    std::fs::remove_dir_all(&folder).expect("removed");
}
