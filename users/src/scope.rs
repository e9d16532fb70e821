//! What a token or an API key may be used for, and who may hold such a thing.

use crate::store::Role;

/// One right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Scope {
    /// Register, publish, watch and call, on the SIP side.
    Sip,
    /// See and change one's own account.
    Own,
    /// See all accounts.
    AccountsRead,
    /// Change all accounts.
    AccountsWrite,
    /// See registrations, presence, subscriptions and calls.
    EngineRead,
    /// Remove registrations, end calls.
    EngineWrite,
}

impl Scope {
    /// All of them.
    pub const ALL: [Scope; 6] = [
        Scope::Sip,
        Scope::Own,
        Scope::AccountsRead,
        Scope::AccountsWrite,
        Scope::EngineRead,
        Scope::EngineWrite,
    ];

    /// Its name in `scope`.
    pub const fn name(self) -> &'static str {
        match self {
            Scope::Sip => "sip",
            Scope::Own => "own",
            Scope::AccountsRead => "accounts:read",
            Scope::AccountsWrite => "accounts:write",
            Scope::EngineRead => "engine:read",
            Scope::EngineWrite => "engine:write",
        }
    }

    /// The scope of a name.
    pub fn named(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.name() == name)
    }

    /// The least role that may have it. It is asked at each use: a token outlives a role.
    pub const fn role(self) -> Role {
        match self {
            Scope::Sip | Scope::Own => Role::User,
            Scope::AccountsRead | Scope::EngineRead | Scope::EngineWrite => Role::Operator,
            Scope::AccountsWrite => Role::Admin,
        }
    }

    /// All that a role may have.
    pub fn of(role: Role) -> Vec<Scope> {
        Scope::ALL.into_iter().filter(|scope| scope.role() <= role).collect()
    }
}
