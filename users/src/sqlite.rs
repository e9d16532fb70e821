//! How a database file is opened: whose it is, which version it has, who may read it.
//!
//! A file belongs to a kind by its `application_id`, and to a version by its `user_version`; migrations bring an older
//! version up, each in a transaction of its own. A file of another program, of a newer version, or damaged is reported
//! and left as it is.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

/// How long a writer waits for another process that holds the file.
const BUSY: Duration = Duration::from_secs(5);
/// With what every SQLite file begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// What a database file is for.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name, for messages: "account store".
    pub name: &'static str,
    /// `PRAGMA application_id`.
    pub application_id: i32,
    /// SQL per version: the first makes version 1 of an empty file. Never changed once released, only added to.
    pub migrations: &'static [&'static str],
    /// Bytes of a page of a new file: a power of two. Each commit writes whole pages.
    pub page_size: u32,
}

/// Why a file was not opened. In every case it is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is not an SQLite file, or one of another program.
    #[error("{} is not a strowger {kind}; it was left as it is", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was wanted.
        kind: &'static str,
    },
    /// A newer release has written it.
    #[error("{} has version {found} of the {kind}, this release knows up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// What was wanted.
        kind: &'static str,
        /// Its version.
        found: i64,
        /// The newest known here.
        known: usize,
    },
    /// It is damaged.
    #[error("{} is damaged ({detail}); it was left as it is: restore it from a backup", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        detail: String,
    },
    /// The file system refused something.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// SQLite refused something else.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
}

/// Opens a file, or makes it with mode 0600, and brings it to the newest version. Write-ahead log, foreign keys on,
/// `synchronous = NORMAL`: a committed transaction survives a killed process; set `FULL` to have it survive a power cut.
pub fn open(path: &Path, kind: &Kind) -> Result<Connection, OpenError> {
    let io = |source| OpenError::Io { path: path.into(), source };
    let fault = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign { path: path.into(), kind: kind.name },
        Some(ErrorCode::DatabaseCorrupt) => {
            OpenError::Corrupt { path: path.into(), detail: source.to_string() }
        }
        _ => OpenError::Sqlite { path: path.into(), source },
    };
    let foreign = || OpenError::Foreign { path: path.into(), kind: kind.name };

    create_private(path).map_err(io)?;
    // Looked at before SQLite is: it takes a file shorter than its header for a damaged one, and writes to an empty one.
    let mut head = [0; 16];
    let length = std::fs::metadata(path).map_err(io)?.len();
    if length > 0 {
        let mut file = std::fs::File::open(path).map_err(io)?;
        if file.read_exact(&mut head).is_err() || head != *MAGIC {
            return Err(foreign());
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(fault)?;
    connection.busy_timeout(BUSY).map_err(fault)?;

    let pragma =
        |connection: &Connection, name: &str| connection.pragma_query_value(None, name, |row| row.get(0));
    let id: i64 = pragma(&connection, "application_id").map_err(fault)?;
    let version: i64 = pragma(&connection, "user_version").map_err(fault)?;
    let objects: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)).map_err(fault)?;
    let empty = id == 0 && version == 0 && objects == 0;
    if !empty && id != i64::from(kind.application_id) {
        return Err(foreign());
    }
    let from = usize::try_from(version).unwrap_or(usize::MAX);
    if from > kind.migrations.len() {
        let known = kind.migrations.len();
        return Err(OpenError::Newer { path: path.into(), kind: kind.name, found: version, known });
    }
    let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(fault)?;
    if check != "ok" {
        return Err(OpenError::Corrupt { path: path.into(), detail: check });
    }

    if empty {
        connection.pragma_update(None, "page_size", kind.page_size).map_err(fault)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(fault)?;
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(fault)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(fault)?;
    // What is deleted is overwritten: a hash must not stay behind in a free page.
    connection.pragma_update(None, "secure_delete", true).map_err(fault)?;
    connection.pragma_update(None, "trusted_schema", false).map_err(fault)?;
    migrate(&mut connection, kind).map_err(fault)?;
    Ok(connection)
}

/// The version is read again under the lock: another process may be migrating the same file.
fn migrate(connection: &mut Connection, kind: &Kind) -> rusqlite::Result<()> {
    loop {
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: i64 = step.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let next = usize::try_from(version).ok().and_then(|version| kind.migrations.get(version));
        let Some(sql) = next else { return Ok(()) };
        step.execute_batch(sql)?;
        step.pragma_update(None, "application_id", kind.application_id)?;
        step.pragma_update(None, "user_version", version + 1)?;
        step.commit()?;
    }
}

/// Makes the file if there is none, readable by its owner only. SQLite gives its log and shared memory the same mode.
pub(crate) fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    const FIRST: Kind = Kind {
        name: "box of things",
        application_id: 77,
        migrations: &["CREATE TABLE a (x INTEGER)"],
        page_size: 4096,
    };
    const SECOND: Kind = Kind {
        migrations: &["CREATE TABLE a (x INTEGER)", "ALTER TABLE a ADD y INTEGER NOT NULL DEFAULT 5"],
        ..FIRST
    };

    #[test]
    fn an_older_file_is_brought_up_and_keeps_what_is_in_it() {
        let scratch = Scratch::new();
        let path = scratch.path("box");
        open(&path, &FIRST).unwrap().execute("INSERT INTO a VALUES (1)", []).unwrap();
        for _ in 0..2 {
            let both: (i64, i64) = open(&path, &SECOND)
                .unwrap()
                .query_row("SELECT x, y FROM a", [], |r| Ok((r.get(0)?, r.get(1)?)))
                .unwrap();
            assert_eq!(both, (1, 5));
        }
        assert!(matches!(open(&path, &FIRST), Err(OpenError::Newer { found: 2, known: 1, .. })));
    }

    #[test]
    #[cfg(unix)]
    fn only_its_owner_may_read_the_file_and_its_log() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new();
        let path = scratch.path("box");
        let held = open(&path, &FIRST).unwrap();
        held.execute("INSERT INTO a VALUES (1)", []).unwrap();
        for name in ["box", "box-wal", "box-shm"] {
            let mode = std::fs::metadata(scratch.path(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_file_of_something_else_is_reported_and_left_as_it_is() {
        let scratch = Scratch::new();
        let path = scratch.path("box");
        for text in ["x", "not a database, but longer than sixteen bytes"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(open(&path, &FIRST), Err(OpenError::Foreign { .. })), "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        std::fs::remove_file(&path).unwrap();
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(open(&path, &FIRST), Err(OpenError::Foreign { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before);
        let other = Kind { application_id: 78, ..FIRST };
        open(&scratch.path("other"), &other).unwrap();
        assert!(matches!(open(&scratch.path("other"), &FIRST), Err(OpenError::Foreign { .. })));
    }

    #[test]
    fn a_damaged_file_is_reported_and_left_as_it_is() {
        let scratch = Scratch::new();
        let path = scratch.path("box");
        {
            let connection = open(&path, &FIRST).unwrap();
            for x in 0..2000 {
                connection.execute("INSERT INTO a VALUES (?1)", [x]).unwrap();
            }
        }
        let mut bytes = std::fs::read(&path).unwrap();
        for byte in bytes.iter_mut().skip(4096 * 2) {
            *byte ^= 0x5a;
        }
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(open(&path, &FIRST), Err(OpenError::Corrupt { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        std::fs::write(&path, &bytes[..4096 + 100]).unwrap();
        assert!(open(&path, &FIRST).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), &bytes[..4096 + 100]);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_reported() {
        let scratch = Scratch::new();
        assert!(matches!(open(&scratch.path("no/such/place"), &FIRST), Err(OpenError::Io { .. })));
    }
}
