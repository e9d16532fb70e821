//! The engine's state in an SQLite file, as a log: bindings, publications, subscriptions, decisions and messages survive the
//! end of the program, however it ends.
//!
//! Each commit is one row of the table `part`: the records of its changes one behind the other (their format is that of
//! [`Change::to_record`], with a version in each), and a check sum. Nothing else is written for a change, and nothing is
//! searched: a row per binding would cost several times what the server spends on a whole REGISTER. SQLite gives what a log
//! needs and is hard to make: commits that are whole or not there, and the repair of what a crash left behind.
//!
//! What takes the place of what, an index in memory knows; parts in which nothing counts any more are deleted some dozens
//! at a time, and when more than half of the log is of no use, its oldest parts are written anew, a few with each
//! commit. A start reads the log once.
//!
//! The file is locked while it is open, so that two servers cannot write one state.

mod index;
mod part;

use std::path::Path;

use rusqlite::{Connection, ErrorCode, params};
use strowger_core::door::{Change, Subject};
use strowger_shell::options::Durability;
use strowger_shell::store::{Folded, Store, StoreError};

use crate::sqlite::{self, Kind, OpenError};
use index::{Index, PartId};
use part::PartError;

/// What the file is to SQLite: "STRW".
pub const KIND: Kind = Kind {
    name: "state store",
    application_id: 0x5354_5257,
    migrations: &["CREATE TABLE part (id INTEGER PRIMARY KEY, records BLOB NOT NULL) STRICT"],
    // Of 1, 2 and 4 KiB the cheapest, for small commits and for large ones.
    page_size: 2048,
};

/// Of a small log nothing is written anew.
const SLACK: u64 = 8 << 20;
/// So many parts are deleted together: a commit that only adds one costs half as much.
const IDLE: usize = 64;
/// Parts written anew with one commit, and bytes of them: as long as something waits, a commit is to be quick.
const ANEW: usize = 64;
const ANEW_BYTES: usize = 1 << 20;

/// The state of one server in one file.
#[derive(Debug)]
pub struct StateStore {
    connection: Connection,
    index: Index,
    next: PartId,
    slack: u64,
    idle: usize,
    /// Used again for each commit: no memory is asked for.
    records: Vec<u8>,
    lengths: Vec<u32>,
}

impl StateStore {
    /// Opens the file, or makes it. A strict store waits for the disk with each commit; the other one leaves that to the
    /// system: a killed server loses nothing by that, a power cut may cost the last seconds.
    pub fn open(path: &Path, durability: Durability) -> Result<StateStore, StoreError> {
        let connection = sqlite::open(path, &KIND).map_err(|error| match error {
            OpenError::Foreign { path, .. } => StoreError::Foreign(path.display().to_string().into()),
            OpenError::Newer { found, .. } => StoreError::Later(u32::try_from(found).unwrap_or(u32::MAX)),
            OpenError::Corrupt { detail, .. } => StoreError::Corrupt(detail.into()),
            OpenError::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                    StoreError::ReadOnly(source.to_string().into())
                }
                _ => StoreError::Io(source.to_string().into()),
            },
            OpenError::Sqlite { source, .. } => fault(&source),
        })?;
        let synchronous = match durability {
            Durability::WriteBehind => "NORMAL",
            Durability::Strict => "FULL",
        };
        for (name, value) in [
            ("synchronous", synchronous),
            ("locking_mode", "EXCLUSIVE"),
            // What is here is no secret; whoever may read the file may read the newest of it anyway.
            ("secure_delete", "OFF"),
            ("cache_size", "-4096"),
        ] {
            connection.pragma_update_and_check(None, name, value, |_| Ok(())).or_else(
                |error| match error {
                    rusqlite::Error::QueryReturnedNoRows => Ok(()),
                    error => Err(fault(&error)),
                },
            )?;
        }
        // The lock is taken with the first transaction, and kept.
        connection.execute_batch("BEGIN IMMEDIATE; COMMIT").map_err(|error| fault(&error))?;
        Ok(StateStore {
            connection,
            index: Index::default(),
            next: 1,
            slack: SLACK,
            idle: IDLE,
            records: Vec::new(),
            lengths: Vec::new(),
        })
    }

    /// Bytes of the log, not of the file.
    pub fn bytes(&self) -> u64 {
        self.index.bytes()
    }

    /// How many things are kept.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// True if nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Less of no use is kept; for tests.
    #[cfg(test)]
    fn with_slack(mut self, slack: u64) -> StateStore {
        (self.slack, self.idle) = (slack, 4);
        self
    }

    /// Reads the whole log.
    fn read(&mut self, mut each: impl FnMut(Change)) -> Result<(), StoreError> {
        let mut index = Index::default();
        let mut next = 1;
        {
            let mut parts = self
                .connection
                .prepare("SELECT id, records FROM part ORDER BY id")
                .map_err(|error| fault(&error))?;
            let mut rows = parts.query([]).map_err(|error| fault(&error))?;
            while let Some(row) = rows.next().map_err(|error| fault(&error))? {
                let id: PartId = row.get(0).map_err(|error| fault(&error))?;
                let records = row.get_ref(1).and_then(|blob| Ok(blob.as_blob()?));
                let records = records.map_err(|error| fault(&error))?;
                index.add_part(id, records.len());
                part::read(records, |change, bytes| {
                    index.apply(id, &change, bytes);
                    each(change);
                })
                .map_err(|error| match error {
                    PartError::Later(version) => StoreError::Later(version.into()),
                    PartError::Broken => {
                        StoreError::Corrupt(format!("part {id} is not what was written").into())
                    }
                })?;
                index.end_part(id);
                next = id + 1;
            }
        }
        (self.index, self.next) = (index, next);
        Ok(())
    }

    /// What of the oldest parts is to be written anew, as changes, and the parts.
    fn stale(&self) -> Result<(Vec<Change>, Vec<PartId>), StoreError> {
        let (mut changes, mut parts) = (Vec::new(), Vec::new());
        let Some(oldest) = self.index.oldest().filter(|_| self.index.is_wasteful(self.slack)) else {
            return Ok((changes, parts));
        };
        let mut select = self
            .connection
            .prepare_cached("SELECT id, records FROM part WHERE id >= ?1 ORDER BY id LIMIT ?2")
            .map_err(|error| fault(&error))?;
        let mut rows = select.query(params![oldest, ANEW as i64]).map_err(|error| fault(&error))?;
        let mut bytes = 0;
        while bytes < ANEW_BYTES
            && let Some(row) = rows.next().map_err(|error| fault(&error))?
        {
            let id: PartId = row.get(0).map_err(|error| fault(&error))?;
            let records =
                row.get_ref(1).and_then(|blob| Ok(blob.as_blob()?)).map_err(|error| fault(&error))?;
            bytes += records.len();
            let read = part::read(records, |change, _| changes.extend(self.still(id, change)));
            read.map_err(|_| StoreError::Corrupt(format!("part {id} is not what was written").into()))?;
            parts.push(id);
        }
        Ok((changes, parts))
    }

    /// What a change in an old part still says: the whole of its subject as it is now, or nothing. A refresh is younger
    /// than its binding, which is therefore written anew now or was before, and says it.
    fn still(&self, id: PartId, mut change: Change) -> Option<Change> {
        let place = self.index.place_of(&change).filter(|place| place.whole == id)?;
        if matches!(change, Change::RefreshBinding { .. }) {
            return None;
        }
        if let (Some(refresh), Some(Subject::Binding(id))) = (place.refresh, change.subject()) {
            let (expires_at, cseq) = (refresh.expires_at, refresh.cseq);
            change.absorb(Change::RefreshBinding { id, expires_at, cseq });
        }
        Some(change)
    }

    /// Writes a part; the bytes of each record are noted.
    fn write(&mut self, id: PartId, changes: &[Change]) -> rusqlite::Result<()> {
        part::begin(&mut self.records);
        for change in changes {
            let took = part::push(&mut self.records, change);
            self.lengths.push(took as u32);
        }
        part::seal(&mut self.records);
        let mut insert = self.connection.prepare_cached("INSERT INTO part (id, records) VALUES (?1, ?2)")?;
        insert.execute(params![id, self.records])?;
        Ok(())
    }

    /// Deletes parts and writes new ones, or does nothing of it; how large the new ones are.
    fn transaction(&mut self, gone: &[PartId], new: [&[Change]; 2]) -> rusqlite::Result<[usize; 2]> {
        // A statement alone is a transaction.
        if gone.is_empty()
            && let [&[], only] = new
        {
            if only.is_empty() {
                return Ok([0, 0]);
            }
            self.write(self.next, only)?;
            return Ok([0, self.records.len()]);
        }
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        // The parts of a time become idle one after the other.
        for run in gone.chunk_by(|one, next| one + 1 == *next) {
            if let (Some(first), Some(last)) = (run.first(), run.last()) {
                let mut delete =
                    self.connection.prepare_cached("DELETE FROM part WHERE id BETWEEN ?1 AND ?2")?;
                delete.execute([first, last])?;
            }
        }
        let mut sizes = [0; 2];
        let written = new.into_iter().zip(&mut sizes).filter(|(part, _)| !part.is_empty());
        for (id, (part, size)) in (self.next..).zip(written) {
            self.write(id, part)?;
            *size = self.records.len();
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(sizes)
    }
}

impl Store for StateStore {
    fn load(&mut self, each: &mut dyn FnMut(Change)) -> Result<(), StoreError> {
        let mut folded = Folded::default();
        self.read(|change| folded.apply(change))?;
        folded.into_changes().for_each(each);
        Ok(())
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let (anew, mut gone) = self.stale()?;
        if self.index.may_be_idle() >= self.idle || self.index.is_wasteful(self.slack) {
            gone.extend(self.index.idle());
        }
        gone.sort_unstable();
        gone.dedup();
        self.lengths.clear();
        let sizes = self.transaction(&gone, [&anew, changes]).map_err(|error| {
            // What failed must not stand half done under the next commit.
            if !self.connection.is_autocommit() {
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            gone.iter().for_each(|id| self.index.end_part(*id));
            fault(&error)
        })?;
        // From here on it is durable.
        let mut lengths = self.lengths.iter();
        for (part, size) in [&anew[..], changes].into_iter().zip(sizes).filter(|(part, _)| !part.is_empty()) {
            self.index.add_part(self.next, size);
            for (change, length) in part.iter().zip(&mut lengths) {
                self.index.apply(self.next, change, *length as usize);
            }
            self.index.end_part(self.next);
            self.next += 1;
        }
        for id in gone {
            self.index.remove_part(id);
        }
        Ok(())
    }

    fn close(&mut self) {
        // The log of SQLite becomes part of the file; if not now, then with the next start.
        let _ = self.connection.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()));
    }
}

fn fault(error: &rusqlite::Error) -> StoreError {
    let text = || error.to_string().into();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(text()),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::ReadOnly(text()),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(text()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse,
        _ => StoreError::Io(text()),
    }
}

#[cfg(test)]
mod tests;
