//! Mailboxes as folders: `bob/new` and `bob/old`, a WAV file for each message, in the order they came.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::sound::wav;

/// Most messages in a mailbox.
const MOST: usize = 100;

/// All mailboxes.
pub(crate) struct Mailboxes {
    folder: PathBuf,
}

impl Mailboxes {
    /// In this folder, which need not be there.
    pub(crate) fn new(folder: &Path) -> Mailboxes {
        Mailboxes { folder: folder.into() }
    }

    /// Can that be the name of a folder, and of no other one?
    pub(crate) fn may_have(&self, user: &str) -> bool {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b'.');
        (1..=64).contains(&user.len()) && !user.starts_with('.') && user.bytes().all(plain)
    }

    /// Whose there are.
    pub(crate) fn all(&self) -> io::Result<Vec<String>> {
        let names =
            list(&self.folder)?.into_iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
        Ok(names.filter(|user| self.may_have(user)).collect())
    }

    /// Keeps a message.
    pub(crate) fn put(&self, user: &str, samples: &[i16]) -> io::Result<()> {
        let folder = self.of(user, "new")?;
        if list(&folder)?.len() >= MOST {
            return Err(io::Error::new(ErrorKind::StorageFull, format!("the mailbox of {user} is full")));
        }
        fs::create_dir_all(&folder)?;
        // In the order they came, whatever became of those before.
        let known = [list(&folder)?, list(&self.of(user, "old")?)?].concat();
        let last = known.iter().filter_map(|path| path.file_stem()?.to_str()?.parse::<u64>().ok()).max();
        let name = format!("{:06}", last.unwrap_or(0) + 1);
        // Whole, or not at all.
        let half = self.of(user, "")?.join(&name);
        fs::write(&half, wav(samples))?;
        fs::rename(half, folder.join(name + ".wav"))
    }

    /// What is new, oldest first.
    pub(crate) fn fresh(&self, user: &str) -> io::Result<Vec<PathBuf>> {
        if self.may_have(user) { list(&self.of(user, "new")?) } else { Ok(Vec::new()) }
    }

    /// These are old now.
    pub(crate) fn heard(&self, user: &str, messages: &[PathBuf]) -> io::Result<()> {
        for message in messages {
            let old = self.of(user, "old")?;
            fs::create_dir_all(&old)?;
            fs::rename(message, old.join(message.file_name().unwrap_or_default()))?;
        }
        Ok(())
    }

    /// How many are new, and how many old.
    pub(crate) fn count(&self, user: &str) -> io::Result<(u32, u32)> {
        let count = |which| Ok::<u32, io::Error>(list(&self.of(user, which)?)?.len() as u32);
        Ok((count("new")?, count("old")?))
    }

    fn of(&self, user: &str, which: &str) -> io::Result<PathBuf> {
        match self.may_have(user) {
            true => Ok(self.folder.join(user).join(which)),
            false => Err(ErrorKind::InvalidInput.into()),
        }
    }
}

/// What is in a folder, by name; nothing if it is not there.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    Ok(paths)
}
