//! The directory of a key ring: `ring.json`, a PKCS #8 file per key, and a lock between processes.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Algorithm, KeyError, SigningKey};
use crate::Seconds;

/// The largest `ring.json` that is read.
const LARGEST: u64 = 256 * 1024;

/// What the ring knows about a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Noted {
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    pub(super) created: Seconds,
    pub(super) signs_from: Seconds,
    pub(super) dies: Option<Seconds>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ring {
    keys: Vec<Noted>,
}

/// The directory, while no other process changes it.
#[derive(Debug)]
pub(super) struct Locked {
    dir: PathBuf,
    _lock: File,
}

impl Locked {
    /// Makes the directory if there is none, and waits for another process that has it.
    pub(super) fn new(dir: &Path) -> Result<Locked, KeyError> {
        if !dir.is_dir() {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(dir).map_err(|source| KeyError::Io { path: dir.into(), source })?;
        }
        let path = dir.join("lock");
        let io = |source| KeyError::Io { path: path.clone(), source };
        let lock = private().create(true).truncate(false).open(&path).map_err(io)?;
        lock.lock().map_err(io)?;
        Ok(Locked { dir: dir.into(), _lock: lock })
    }

    pub(super) fn load(&self) -> Result<Vec<Noted>, KeyError> {
        let path = self.dir.join("ring.json");
        let io = |source| KeyError::Io { path: path.clone(), source };
        let length = match fs::metadata(&path) {
            Ok(data) => data.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io(error)),
        };
        if length > LARGEST {
            return Err(KeyError::Corrupt(path));
        }
        let text = fs::read(&path).map_err(io)?;
        let ring: Ring = serde_json::from_slice(&text).map_err(|_| KeyError::Corrupt(path.clone()))?;
        Ok(ring.keys)
    }

    pub(super) fn save(&self, keys: &[Noted]) -> Result<(), KeyError> {
        let ring = Ring { keys: keys.to_vec() };
        let text = serde_json::to_vec_pretty(&ring).map_err(|_| KeyError::Corrupt(self.dir.clone()))?;
        self.write("ring.json", &text)
    }

    pub(super) fn load_key(&self, noted: &Noted) -> Result<SigningKey, KeyError> {
        let path = self.key_path(&noted.kid).ok_or_else(|| KeyError::Corrupt(self.dir.join("ring.json")))?;
        let io = |source| KeyError::Io { path: path.clone(), source };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            if fs::metadata(&path).map_err(io)?.permissions().mode() & 0o077 != 0 {
                return Err(KeyError::Exposed(path));
            }
        }
        let der = fs::read(&path).map_err(io)?;
        let key = SigningKey::from_pkcs8(noted.algorithm, &der);
        // The name is the thumbprint: another key under it is not the one that was published.
        key.ok().filter(|key| key.kid() == noted.kid).ok_or(KeyError::Corrupt(path))
    }

    pub(super) fn save_key(&self, kid: &str, der: &[u8]) -> Result<(), KeyError> {
        self.write(&format!("{kid}.p8"), der)
    }

    /// A file that stays is one that nobody reads.
    pub(super) fn remove(&self, kid: &str) {
        if let Some(path) = self.key_path(kid) {
            let _ = fs::remove_file(path);
        }
    }

    fn key_path(&self, kid: &str) -> Option<PathBuf> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        (kid.len() == 43 && kid.chars().all(fits)).then(|| self.dir.join(format!("{kid}.p8")))
    }

    /// Whole or not at all: a new file takes the place of the old one once it is on the disk.
    fn write(&self, name: &str, content: &[u8]) -> Result<(), KeyError> {
        let (path, new) = (self.dir.join(name), self.dir.join("new"));
        let io = |source| KeyError::Io { path: path.clone(), source };
        let _ = fs::remove_file(&new);
        let mut file = private().create_new(true).open(&new).map_err(io)?;
        file.write_all(content).and_then(|()| file.sync_all()).map_err(io)?;
        fs::rename(&new, &path).map_err(io)?;
        #[cfg(unix)]
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(io)?;
        Ok(())
    }
}

/// How files are made here: for their owner only.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
