//! The promise of the documentation: a server to which phones register takes fewer than five lines.

#[test]
fn a_register_server_takes_fewer_than_five_lines() {
    let source = include_str!("../src/lib.rs");
    let docs: Vec<&str> =
        source.lines().filter_map(|line| line.strip_prefix("//! ").or(line.strip_prefix("//!"))).collect();
    let start = docs.iter().position(|line| line.starts_with("```")).expect("an example");
    let example = docs[start + 1..].iter().take_while(|line| !line.starts_with("```"));
    let shown: Vec<&&str> =
        example.filter(|line| !line.starts_with('#') && !line.trim().is_empty()).collect();
    assert!(shown.iter().any(|line| line.contains("enable_registration")), "{shown:?}");
    assert!(shown.len() < 5, "{shown:#?}");
}
