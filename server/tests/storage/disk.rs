//! Disks that fail under a running server, each mounted where only that server sees it: one that becomes read-only, as
//! the system makes one with a fault, and one that is full. Needs the right to mount; without it the tests say so.

use std::process::{Command, Stdio};

use super::common::{Folder, Phone, Running, becomes, get, metric, strowger};
use super::{config, publish};

/// What to mount at the state folder.
#[derive(Clone, Copy)]
enum Disk {
    /// An ext2 of its own, which becomes read-only at the first fault.
    Fragile,
    /// In memory, of so many KiB.
    Small(u32),
}

impl Disk {
    fn mount(self, folder: &Folder) -> String {
        let (state, image) = (folder.path("state"), folder.path("image"));
        let (state, image) = (state.display(), image.display());
        match self {
            Disk::Fragile => format!(
                "truncate -s 8M {image} && mke2fs -q -F -O ^has_journal {image} && \
                 mount -t ext4 -o loop,errors=remount-ro {image} {state}"
            ),
            Disk::Small(size) => format!("mount -t tmpfs -o size={size}k tmpfs {state}"),
        }
    }
}

fn is_given(script: &str) -> bool {
    let quiet = |command: &mut Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    quiet(Command::new("unshare").args(["-m", "sh", "-c", script])).is_ok_and(|status| status.success())
}

/// A server whose state folder is on a disk of its own; `None`, and a word why, where that cannot be had.
fn start_on(disk: Disk, folder: &Folder, config: &str) -> Option<Running> {
    std::fs::create_dir_all(folder.path("state")).expect("a folder");
    let mount = disk.mount(folder);
    if !is_given(&mount) {
        println!("skipped: this system does not let the test mount a disk of its own ({mount})");
        return None;
    }
    let program = strowger(&[]).get_program().to_str().expect("utf-8").to_owned();
    let script = format!(
        "{mount} && exec {program} serve -c {config} --state-dir {} --listen udp:127.0.0.1:0 --listen tcp:127.0.0.1:0 \
         --http 127.0.0.1:0 --log-level warn,strowger::storage=info",
        folder.path("state").display()
    );
    Some(Running::spawn(Command::new("unshare").args(["-m", "sh", "-c", &script])))
}

/// Runs a script where the server sees its disk.
fn within(server: &Running, script: &str) {
    let target = server.child.id().to_string();
    let status = Command::new("nsenter").args(["-t", &target, "-m", "sh", "-c", script]).status();
    assert!(status.expect("nsenter is there").success(), "{script}");
}

/// Has the system find a fault on the disk.
fn break_disk(server: &Running, folder: &Folder) {
    let state = folder.path("state").display().to_string();
    let device = format!("$(basename $(awk '$2 == \"{state}\" {{ print $1 }}' /proc/mounts))");
    within(server, &format!("echo broken > /sys/fs/ext4/{device}/trigger_fs_error"));
}

fn health(server: &Running) -> (String, String) {
    get(server.http(), "/health")
}

fn register(phone: &mut Phone) -> String {
    phone.ask("REGISTER", "Expires: 600\r\n")
}

/// A server on a disk that can be broken, with Bob's binding; and Carol's phone.
fn bob_is_there(folder: &Folder, config: &str) -> Option<(Running, Phone)> {
    let server = start_on(Disk::Fragile, folder, config)?;
    let [mut bob, carol] = ["bob", "carol"].map(|user| Phone::udp(server.addr("udp"), user, "example.com"));
    assert!(register(&mut bob).starts_with("SIP/2.0 200 "));
    Some((server, carol))
}

#[test]
fn strict_answers_500_and_504_on_a_disk_that_became_read_only_and_serves_what_it_knows() {
    let folder = Folder::new();
    let config = config(&folder, "mode = \"strict\"");
    let Some((mut server, mut carol)) = bob_is_there(&folder, &config) else { return };
    assert!(health(&server).1.contains("\"ok\""), "{:?}", health(&server));
    break_disk(&server, &folder);
    let refused = register(&mut carol);
    assert!(refused.starts_with("SIP/2.0 500 "), "{refused}");
    assert!(publish(&mut carol).starts_with("SIP/2.0 504 "));
    server.wait_for_log("state cannot be stored");
    assert_eq!(metric(&server, "strowger_registered_contacts"), 1, "Bob is there as before");
    assert_eq!(metric(&server, "strowger_store_failing"), 1);
    let (head, body) = health(&server);
    assert!(head.starts_with("HTTP/1.1 200 ") && body.contains("state cannot be stored"), "{head}{body}");
}

#[test]
fn write_behind_serves_on_over_a_disk_that_became_read_only_and_says_so() {
    let folder = Folder::new();
    let config = config(&folder, "interval = \"5ms\"");
    let Some((mut server, mut carol)) = bob_is_there(&folder, &config) else { return };
    becomes(|| metric(&server, "strowger_store_committed_total"), 1);
    break_disk(&server, &folder);
    assert!(register(&mut carol).starts_with("SIP/2.0 200 "));
    server.wait_for_log("state cannot be stored");
    assert!(publish(&mut carol).starts_with("SIP/2.0 200 "));
    assert_eq!(metric(&server, "strowger_registered_contacts"), 2);
    becomes(|| metric(&server, "strowger_store_failing"), 1);
    assert!(health(&server).1.contains("state cannot be stored"), "{:?}", health(&server));
}

/// Fills the rest of the disk with something else.
const FILL: &str = "cat /dev/zero > filler 2>/dev/null; true";

#[test]
fn strict_answers_200_again_when_a_full_disk_has_room_again() {
    let folder = Folder::new();
    let config = config(&folder, "mode = \"strict\"");
    let Some(mut server) = start_on(Disk::Small(2048), &folder, &config) else { return };
    let mut phone = Phone::udp(server.addr("udp"), "u", "example.com");
    assert!(register(&mut phone).starts_with("SIP/2.0 200 "));
    let state = folder.path("state").display().to_string();
    within(&server, &format!("cd {state} && {FILL}"));
    let mut registered = 1;
    let refused = loop {
        phone.user = format!("u{registered}");
        let answer = register(&mut phone);
        if !answer.starts_with("SIP/2.0 200 ") {
            break answer;
        }
        registered += 1;
        assert!(registered < 5000, "the disk is not full");
    };
    assert!(refused.starts_with("SIP/2.0 500 "), "{refused}");
    assert!(health(&server).1.contains("state cannot be stored"), "{:?}", health(&server));
    within(&server, &format!("rm {state}/filler"));
    assert!(register(&mut phone).starts_with("SIP/2.0 200 "));
    server.wait_for_log("state is stored again");
    assert!(health(&server).1.contains("\"ok\""), "{:?}", health(&server));
    assert_eq!(metric(&server, "strowger_store_failing"), 0);
}
