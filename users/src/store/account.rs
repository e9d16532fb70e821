//! What an account is, and what its parts may look like.

use std::fmt;

use serde::{Deserialize, Serialize};
use strowger_core::base::text;
use strowger_core::door::Secret;
use strowger_core::wire::{Host, Uri};

use super::error::{UserError, invalid};
use super::revocation::Revocation;
use crate::{Seconds, password};

/// The most addresses of record of one account.
pub const MOST_AORS: usize = 32;

/// What somebody may do. Each may all that the one before may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// What is his own.
    User,
    /// See everything that goes on, end calls and remove bindings.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Role; 3] = [Role::User, Role::Operator, Role::Admin];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    /// The role of a name.
    pub fn named(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// An account as it is stored, without any secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Account {
    /// Never given to another account, not even when this one is deleted.
    #[serde(skip)]
    pub id: i64,
    /// Digest username, `sub` of tokens; never changes.
    pub username: String,
    /// Shown to people.
    pub display_name: String,
    /// Empty if there is none.
    pub email: String,
    /// What it may do.
    pub role: Role,
    /// A disabled account can do nothing.
    pub enabled: bool,
    /// `user@domain`, the first is the main one.
    pub aors: Vec<String>,
    /// It has a password.
    pub password: bool,
    /// It has Digest credentials.
    pub digest: bool,
    /// When it was made.
    pub created: Seconds,
    /// When it was last changed.
    pub changed: Seconds,
}

/// An account to be.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Letters, digits and `._+-@`, at most 64.
    pub username: String,
    /// `None` cannot log in with a password.
    pub password: Option<Secret<String>>,
    /// Whether Digest credentials are stored; they need the password.
    pub digest: bool,
    /// Shown to people.
    pub display_name: String,
    /// May be empty.
    pub email: String,
    /// What it may do.
    pub role: Role,
    /// Whether it works at once.
    pub enabled: bool,
    /// `user@domain` or SIP URIs.
    pub aors: Vec<String>,
}

impl NewAccount {
    /// An enabled user without anything else.
    pub fn named(username: impl Into<String>) -> NewAccount {
        NewAccount {
            username: username.into(),
            password: None,
            digest: false,
            display_name: String::new(),
            email: String::new(),
            role: Role::User,
            enabled: true,
            aors: Vec::new(),
        }
    }

    /// With a password.
    pub fn with_password(self, password: impl Into<String>) -> NewAccount {
        NewAccount { password: Some(Secret(password.into())), ..self }
    }
}

/// What of an account shall change; `None` stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Patch {
    /// See [`Account::display_name`].
    pub display_name: Option<String>,
    /// See [`Account::email`].
    pub email: Option<String>,
    /// See [`Account::role`].
    pub role: Option<Role>,
    /// See [`Account::enabled`].
    pub enabled: Option<bool>,
    /// All of them, in place of those there are.
    pub aors: Option<Vec<String>>,
}

/// Something about an account has changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountChange {
    /// Its number.
    pub account: i64,
    /// Its name.
    pub username: String,
    /// What.
    pub what: Change,
}

/// What has changed about an account.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Change {
    /// It is there.
    Created,
    /// Display name, e-mail or role.
    Profile,
    /// Its addresses of record.
    Aors {
        /// Those it no longer has: bindings of them must go.
        lost: Vec<String>,
    },
    /// It works from now on.
    Enabled,
    /// It does not work any more: bindings, credentials and tokens must go.
    Disabled,
    /// It is gone, with these addresses of record.
    Deleted {
        /// Its addresses of record.
        aors: Vec<String>,
    },
    /// Its password, and its Digest credentials with it.
    Password,
    /// Its Digest credentials.
    Digest,
    /// Its API keys.
    ApiKeys,
    /// Some of its access tokens are dead before their time.
    Revoked(Revocation),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Change::Created => "created",
            Change::Profile => "profile changed",
            Change::Aors { .. } => "addresses of record changed",
            Change::Enabled => "enabled",
            Change::Disabled => "disabled",
            Change::Deleted { .. } => "deleted",
            Change::Password => "password changed",
            Change::Digest => "digest credentials changed",
            Change::ApiKeys => "API keys changed",
            Change::Revoked(_) => "tokens revoked",
        })
    }
}

pub(super) fn check_username(name: &str) -> Result<(), UserError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._+-@".contains(c);
    if name.is_empty()
        || name.len() > 64
        || !name.chars().all(fits)
        || !name.starts_with(char::is_alphanumeric)
    {
        return invalid("username", "1 to 64 letters, digits and ._+-@, the first a letter or digit");
    }
    Ok(())
}

pub(super) fn check_password(password: &str) -> Result<(), UserError> {
    if password.len() > password::LONGEST || password.chars().count() < password::SHORTEST {
        return invalid("password", "8 characters to 1024 bytes");
    }
    Ok(())
}

pub(super) fn check_display_name(name: &str) -> Result<(), UserError> {
    if name.chars().count() > 128 || name.chars().any(char::is_control) {
        return invalid("display_name", "at most 128 characters, no control characters");
    }
    Ok(())
}

pub(super) fn check_email(email: &str) -> Result<(), UserError> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || "<>,;:\\\"()[]".contains(c);
    let parts = email.split('@').collect::<Vec<_>>();
    let whole = matches!(*parts, [local, domain] if !local.is_empty() && !domain.is_empty());
    if !email.is_empty() && (email.len() > 254 || email.chars().any(odd) || !whole) {
        return invalid("email", "empty or an address with one @");
    }
    Ok(())
}

/// The addresses of record in their one form, each once.
pub(super) fn canonical_aors(aors: &[String]) -> Result<Vec<String>, UserError> {
    if aors.len() > MOST_AORS {
        return invalid("aors", "at most 32");
    }
    let mut out: Vec<String> = Vec::new();
    for written in aors {
        let Some(aor) = canonical_aor(written) else {
            return invalid(
                "aors",
                "each user@domain or sip:user@domain, without password, port or parameters",
            );
        };
        if !out.contains(&aor) {
            out.push(aor);
        }
    }
    Ok(out)
}

/// `user@domain` in the one form in which it is compared (RFC 3261 s10.3 step 5, s19.1.4).
pub fn canonical_aor(written: &str) -> Option<String> {
    let bare = !["sip:", "sips:"]
        .iter()
        .any(|scheme| written.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let uri = if bare { format!("sip:{written}") } else { written.into() };
    let uri = Uri::parse(uri.as_bytes()).ok()?;
    let more = uri.port().is_some() || !uri.params().is_empty() || !uri.headers().is_empty();
    if !uri.is_sip() || uri.password().is_some() || more {
        return None;
    }
    let mut user = Vec::new();
    text::canonical_user(uri.user()?, &mut user);
    let host = match uri.host()? {
        Host::Name(name) => std::str::from_utf8(name).ok()?.trim_end_matches('.').to_ascii_lowercase(),
        Host::V4(address) => address.to_string(),
        Host::V6(address) => format!("[{address}]"),
    };
    let aor = format!("{}@{host}", String::from_utf8(user).ok()?);
    (aor.len() <= 255).then_some(aor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_record_has_one_form() {
        for name in
            ["bob@example.com", "sip:bob@EXAMPLE.com", "sips:b%6fb@example.com.", "SIP:bob@example.com"]
        {
            assert_eq!(canonical_aor(name).as_deref(), Some("bob@example.com"), "{name}");
        }
        assert_eq!(canonical_aor("+49@192.0.2.1").as_deref(), Some("+49@192.0.2.1"));
        for name in [
            "",
            "bob",
            "@example.com",
            "bob@",
            "bob:x@example.com",
            "bob@example.com:5060",
            "bob@example.com;a=b",
            "bob@example.com?a=b",
            "tel:+49",
            "bob@a@b",
            "bob@exa mple.com",
            "bob@x\r\nVia: y",
            "sip:example.com",
        ] {
            assert_eq!(canonical_aor(name), None, "{name}");
        }
    }

    #[test]
    fn names_that_would_mean_something_elsewhere_are_refused() {
        for good in ["bob", "1001", "bob.smith+x@example.com", "A-b_c"] {
            assert!(check_username(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".bob",
            "a b",
            "a:b",
            "a/b",
            "../x",
            "a\"b",
            "a\r\nb",
            "a'; DROP TABLE account; --",
            "bób",
            "a%2f",
        ] {
            assert!(check_username(bad).is_err(), "{bad}");
        }
        assert!(check_username(&"a".repeat(64)).is_ok() && check_username(&"a".repeat(65)).is_err());
    }

    #[test]
    fn an_e_mail_address_carries_no_header() {
        for good in ["", "bob@example.com", "b+x@y"] {
            assert!(check_email(good).is_ok(), "{good}");
        }
        for bad in ["bob", "@x", "x@", "a@b@c", "a@b\r\nBcc: c@d", "a b@c", "<a@b>"] {
            assert!(check_email(bad).is_err(), "{bad}");
        }
    }
}
