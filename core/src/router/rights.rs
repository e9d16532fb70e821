//! On whose permission a call goes on: that of the caller, or of whoever forwards it.

use super::Caller;
use crate::config::pattern::{Place, allows};
use crate::config::{Account, CallsConfig, Settings};
use crate::door::{Identity, Scheme};

/// Whose permissions count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Rights {
    /// Nobody's: our own users are reached and nothing else.
    Nobody,
    /// Of somebody who proved who he is, and is no local account.
    Known,
    /// Of the account that owns this AoR.
    Account(Box<str>),
    /// Of the operator, and of the host.
    Operator,
}

impl Rights {
    /// What a caller may.
    pub(super) fn of(settings: &Settings, caller: Caller<'_>, aor: &str) -> Rights {
        let owner = |aor: &str| settings.accounts.by_aor(aor).map(|_| Rights::Account(aor.into()));
        match caller {
            Caller::Host => Rights::Operator,
            Caller::Trunk(_) => Rights::Nobody,
            Caller::Trusted | Caller::Account(Identity { scheme: Scheme::Trusted, .. }) => {
                owner(aor).unwrap_or(Rights::Known)
            }
            Caller::Account(Identity { scheme: Scheme::None, .. }) => Rights::Nobody,
            // The AoRs are what the credentials prove; a token's subject may be spelt like an account of another user.
            Caller::Account(identity) => {
                identity.aors.iter().find_map(|aor| owner(aor)).unwrap_or(Rights::Known)
            }
        }
    }

    /// May a number on a trunk, or somebody at another domain by a route, be called?
    pub(super) fn may_dial(&self, settings: &Settings, calls: &CallsConfig, place: &Place<'_>) -> bool {
        match self {
            Rights::Nobody => false,
            Rights::Known => allows(&calls.dial, place),
            Rights::Account(aor) => {
                let own = self.account(settings, aor).and_then(|account| account.dial.as_ref());
                allows(own.unwrap_or(&calls.dial), place)
            }
            Rights::Operator => true,
        }
    }

    /// May any domain be called?
    pub(super) fn may_relay(&self, settings: &Settings) -> bool {
        match self {
            Rights::Nobody | Rights::Known => false,
            Rights::Account(aor) => self.account(settings, aor).is_some_and(|account| account.may_relay),
            Rights::Operator => true,
        }
    }

    fn account<'s>(&self, settings: &'s Settings, aor: &str) -> Option<&'s Account> {
        settings.accounts.by_aor(aor)
    }
}

/// May he send requests on to anybody?
pub(crate) fn may_relay(settings: &Settings, caller: Caller<'_>, aor: &str) -> bool {
    Rights::of(settings, caller, aor).may_relay(settings)
}

/// May he be told what is known of users (DECISIONS 4)?
pub(crate) fn is_authenticated(caller: Caller<'_>) -> bool {
    !matches!(caller, Caller::Account(Identity { scheme: Scheme::None, .. }))
}
