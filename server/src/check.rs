//! `strowger check`: everything that can be found wrong in a configuration file without starting.

use std::path::Path;
use std::process::ExitCode;

use strowger_shell::options::{Durability, StorageOptions};

use crate::cli::Complaint;
use crate::config;

/// Reads and validates the file; says what it would do.
pub fn run(path: &Path) -> Result<ExitCode, Complaint> {
    let mut loaded = config::open(path)?;
    config::certificates::open(loaded.certificates.as_ref(), &mut loaded.options.stream)?;
    let shared = loaded.options.stream.tls.as_ref();
    config::certificates::open_http(loaded.http_certificates.as_ref(), shared)?;
    let domains: Vec<&str> = loaded.config.domains.iter().map(|domain| domain.name.as_str()).collect();
    println!(
        "{}: good. {} listeners, {} accounts, domain {}.",
        path.display(),
        loaded.config.listeners.len(),
        loaded.config.accounts.len(),
        domains.join(", "),
    );
    if let Some(file) = &loaded.state_file {
        let StorageOptions { durability, interval, .. } = loaded.options.storage;
        let how = match durability {
            Durability::WriteBehind => format!("written behind, every {interval:?}"),
            Durability::Strict => "strict, on the disk before it is answered".into(),
        };
        println!("State: in {}, {how}.", file.display());
    }
    for warning in config::warnings(&loaded) {
        println!("warning: {warning}");
    }
    Ok(ExitCode::SUCCESS)
}
