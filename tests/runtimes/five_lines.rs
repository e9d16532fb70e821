//! The promise of the documentation: a server to which phones register takes fewer than five lines, on every runtime.

const CRATES: [&str; 3] = [
    include_str!("../../runtime-tokio/src/lib.rs"),
    include_str!("../../runtime-smol/src/lib.rs"),
    include_str!("../../runtime-mio/src/lib.rs"),
];

#[test]
fn a_register_server_takes_fewer_than_five_lines() {
    for source in CRATES {
        let docs: Vec<&str> = source
            .lines()
            .filter_map(|line| line.strip_prefix("//! ").or(line.strip_prefix("//!")))
            .collect();
        let start = docs.iter().position(|line| line.starts_with("```")).expect("an example");
        let example = docs[start + 1..].iter().take_while(|line| !line.starts_with("```"));
        let shown: Vec<&&str> =
            example.filter(|line| !line.starts_with('#') && !line.trim().is_empty()).collect();
        assert!(shown.iter().any(|line| line.contains("enable_registration")), "{shown:?}");
        assert!(shown.len() < 5, "{shown:#?}");
    }
}
