//! What a store refuses, and why.

use crate::password::HashError;

/// Why a change or a question was refused. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// There is no such account, key or session.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// Another account has it already.
    #[error("{field} {value:?} is taken")]
    Taken {
        /// `username` or `aors`.
        field: &'static str,
        /// What was wanted.
        value: String,
    },
    /// A value cannot be.
    #[error("{field}: {why}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// What it must be.
        why: &'static str,
    },
    /// There would be no enabled administrator left.
    #[error("this is the last enabled administrator")]
    LastAdmin,
    /// The password is not that of the account.
    #[error("the password is wrong")]
    WrongPassword,
    /// Too many passwords are being checked: try again in a second.
    #[error("too many passwords are being checked")]
    Busy,
    /// The database refused: a full disk, a read-only file, a damaged one.
    #[error("the account store: {0}")]
    Storage(#[from] rusqlite::Error),
}

impl From<HashError> for UserError {
    fn from(error: HashError) -> UserError {
        match error {
            HashError::Busy => UserError::Busy,
            HashError::Cost => UserError::Invalid { field: "password", why: "cannot be hashed at this cost" },
        }
    }
}

pub(crate) fn invalid<T>(field: &'static str, why: &'static str) -> Result<T, UserError> {
    Err(UserError::Invalid { field, why })
}
