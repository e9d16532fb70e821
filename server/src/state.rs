//! What is kept between starts, in one folder: the key of the nonces, the number of this start, and the demo accounts.
//! Files are readable by their owner only.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::cli::Complaint;

/// The folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// Opens the folder, and makes it when it is not there.
    pub fn open(wanted: Option<PathBuf>) -> Result<StateDir, Complaint> {
        let path = wanted.unwrap_or_else(default_place);
        make_folder(&path).map_err(|error| {
            Complaint(format!(
                "cannot make the state folder {}: {error}. Choose another one with --state-dir.",
                path.display()
            ))
        })?;
        Ok(StateDir { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key of the nonces: drawn at the first start, then kept, so that a restart makes no phone's nonce wrong.
    pub fn secret(&self) -> Result<[u8; 32], Complaint> {
        let path = self.path.join("secret");
        match fs::read_to_string(&path) {
            Ok(text) => unhex(text.trim()).ok_or_else(|| {
                Complaint(format!(
                    "{} does not hold 64 hexadecimal digits. Delete it to have a new secret drawn; phones then log in again.",
                    path.display()
                ))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = strowger_shell::seed();
                self.write("secret", format!("{}\n", hex(&secret)).as_bytes())?;
                Ok(secret)
            }
            Err(error) => Err(self.complain("read", &path, &error)),
        }
    }

    /// The number of this start: one more than that of the last.
    pub fn next_boot(&self) -> Result<u32, Complaint> {
        let path = self.path.join("boot");
        let last = match fs::read_to_string(&path) {
            // A damaged count starts anew: old nonces may then pass for stale ones, never for good ones.
            Ok(text) => text.trim().parse::<u32>().unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(self.complain("read", &path, &error)),
        };
        let boot = last.wrapping_add(1);
        self.write("boot", format!("{boot}\n").as_bytes())?;
        Ok(boot)
    }

    /// Reads a file of the folder; `None` if it is not there.
    pub fn read(&self, name: &str) -> Result<Option<String>, Complaint> {
        let path = self.path.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.complain("read", &path, &error)),
        }
    }

    /// Writes a file of the folder, whole or not at all.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Complaint> {
        let path = self.path.join(name);
        let new = self.path.join(format!("{name}.new"));
        let written = private_file(&new).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, &path)
        });
        written.map_err(|error| self.complain("write", &path, &error))?;
        Ok(path)
    }

    fn complain(&self, verb: &str, path: &Path, error: &io::Error) -> Complaint {
        Complaint(format!(
            "cannot {verb} {}: {error}. Choose another state folder with --state-dir.",
            path.display()
        ))
    }
}

/// systemd's folder, else the user's, else one here.
#[allow(clippy::disallowed_methods)] // The environment is where a server's places come from.
fn default_place() -> PathBuf {
    let folder =
        |name: &str| std::env::var(name).ok().filter(|value| value.starts_with('/')).map(PathBuf::from);
    folder("STATE_DIRECTORY")
        .or_else(|| folder("XDG_STATE_HOME").map(|home| home.join("strowger")))
        .or_else(|| folder("HOME").map(|home| home.join(".local/state/strowger")))
        .unwrap_or_else(|| PathBuf::from("strowger-state"))
}

#[cfg(unix)]
fn make_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

fn private_file(path: &Path) -> io::Result<fs::File> {
    // A file left behind may have another mode: it is made anew.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    strowger_core::base::text::unhex(text.as_bytes(), &mut bytes).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> StateDir {
        let path = std::env::temp_dir().join(format!("strowger-state-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        StateDir::open(Some(path)).expect("made")
    }

    #[test]
    fn the_secret_is_drawn_once_and_kept() {
        let state = folder("secret");
        let first = state.secret().expect("drawn");
        assert_eq!(state.secret().expect("kept"), first);
        assert_ne!(first, [0; 32]);
        fs::write(state.path().join("secret"), "zz").expect("damaged");
        assert!(state.secret().expect_err("refused").0.contains("Delete it"));
        fs::remove_dir_all(state.path()).expect("removed");
    }

    #[test]
    fn every_start_has_its_number() {
        let state = folder("boot");
        assert_eq!([state.next_boot().expect("1"), state.next_boot().expect("2")], [1, 2]);
        fs::remove_dir_all(state.path()).expect("removed");
    }

    #[cfg(unix)]
    #[test]
    fn files_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let state = folder("mode");
        let path = state.write("accounts.toml", b"x").expect("written");
        assert_eq!(fs::metadata(path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(state.path()).expect("there").permissions().mode() & 0o777, 0o700);
        fs::remove_dir_all(state.path()).expect("removed");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let error = StateDir::open(Some("/dev/null/x".into())).expect_err("impossible");
        assert!(error.0.contains("/dev/null/x") && error.0.contains("--state-dir"), "{error}");
    }
}
