//! No runtime brings another one: what `cargo tree` says of the three crates.

use std::collections::BTreeSet;
use std::process::Command;

/// The names of everything that a crate is made of, on any platform.
fn tree(package: &str) -> BTreeSet<String> {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Command::new(cargo)
        .args([
            "tree",
            "--offline",
            "--locked",
            "-e",
            "normal",
            "--prefix",
            "none",
            "-f",
            "{lib}",
            "-p",
            package,
        ])
        .current_dir(workspace)
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let names: BTreeSet<String> = String::from_utf8_lossy(&tree.stdout)
        .lines()
        .filter_map(|line| line.split([' ', '(']).next())
        .map(|name| name.replace('-', "_"))
        .collect();
    assert!(names.contains("strowger_core"), "{names:?}");
    names
}

fn assert_free_of(package: &str, others: &[&str]) {
    let names = tree(package);
    let found: Vec<&&str> = others.iter().filter(|other| names.contains(**other)).collect();
    assert!(found.is_empty(), "{package} brings {found:?}");
}

#[test]
fn no_runtime_brings_another_one() {
    let smol = ["async_io", "async_executor", "smol", "polling", "strowger_smol"];
    // tokio itself stands on mio.
    assert_free_of("strowger-tokio", &[&smol[..], &["strowger_mio"]].concat());
    assert_free_of("strowger-smol", &["tokio", "mio", "strowger_tokio", "strowger_mio"]);
    assert_free_of("strowger-mio", &[&smol[..], &["tokio", "strowger_tokio"]].concat());
    assert_free_of("strowger-shell", &[&smol[..], &["tokio", "mio"]].concat());
    assert_free_of("strowger-core", &[&smol[..], &["tokio", "mio", "socket2"]].concat());
}
