//! Passwords as Argon2id hashes (RFC 9106), so many at once and no more.
//!
//! A hash costs tens of milliseconds and megabytes on purpose. A [`Hasher`] lets a few run at a time and a bounded
//! number wait; whoever comes then is told that it is busy. A check against nobody's hash costs the same as one against
//! somebody's.

use std::sync::{Condvar, Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};

/// The shortest password that is taken, in characters.
pub const SHORTEST: usize = 8;
/// The longest, in bytes.
pub const LONGEST: usize = 1024;

/// What a hash costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
    /// Hashes at once.
    pub at_once: usize,
    /// Callers that may wait for their turn.
    pub waiting: usize,
}

impl Default for Cost {
    /// 19 MiB, two passes, one lane; two at once and 64 waiting.
    fn default() -> Cost {
        Cost { memory_kib: 19 * 1024, passes: 2, lanes: 1, at_once: 2, waiting: 64 }
    }
}

impl Cost {
    /// As little as the algorithm allows: for tests.
    pub fn least() -> Cost {
        Cost { memory_kib: 8, passes: 1, ..Cost::default() }
    }
}

/// Why there is no hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// Too many callers wait already: try again in a second.
    #[error("too many passwords are being checked")]
    Busy,
    /// The cost is out of the bounds of the algorithm.
    #[error("these Argon2 parameters are not possible")]
    Cost,
}

/// What comes of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Check {
    /// Not the password.
    Wrong,
    /// It is, and the hash is as it would be made today.
    Right,
    /// It is, and the hash was made at another cost: make a new one.
    Outdated,
}

/// Makes and checks hashes.
#[derive(Debug)]
pub struct Hasher {
    params: Params,
    cost: Cost,
    /// With what a hash begins that is made today.
    prefix: String,
    /// Nobody's hash.
    dummy: String,
    turns: Mutex<Turns>,
    freed: Condvar,
    /// The parameters of the hashes that were checked against.
    #[cfg(test)]
    checks: Mutex<Vec<String>>,
}

#[derive(Debug, Default)]
struct Turns {
    running: usize,
    waiting: usize,
}

/// A turn, given back when dropped.
struct Turn<'h>(&'h Hasher);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.turns.lock().unwrap_or_else(PoisonError::into_inner).running -= 1;
        self.0.freed.notify_one();
    }
}

impl Hasher {
    /// With this cost. Computes one hash.
    pub fn new(cost: Cost) -> Result<Hasher, HashError> {
        let params =
            Params::new(cost.memory_kib, cost.passes, cost.lanes, None).map_err(|_| HashError::Cost)?;
        let prefix = format!("$argon2id$v=19$m={},t={},p={}$", cost.memory_kib, cost.passes, cost.lanes);
        let (turns, freed) = Default::default();
        let mut hasher = Hasher {
            params,
            cost,
            prefix,
            dummy: String::new(),
            turns,
            freed,
            #[cfg(test)]
            checks: Mutex::default(),
        };
        hasher.dummy = hasher.hash(&crate::random::text::<32>())?;
        Ok(hasher)
    }

    /// The hash of a password with a salt of its own, as a PHC string.
    pub fn hash(&self, password: &str) -> Result<String, HashError> {
        let _turn = self.turn()?;
        let hash = self.argon2().hash_password(password.as_bytes()).map_err(|_| HashError::Cost)?;
        Ok(hash.to_string())
    }

    /// Whether this is the password of a hash. Of `None` it is not, after the same time.
    pub fn check(&self, password: &str, hash: Option<&str>) -> Result<Check, HashError> {
        let _turn = self.turn()?;
        // A password that cannot have been set costs the same, too.
        let password = if password.len() > LONGEST { "" } else { password };
        let against = hash.unwrap_or(&self.dummy);
        #[cfg(test)]
        self.checks.lock().unwrap().push(against.split('$').nth(3).unwrap_or_default().into());
        let right = self.argon2().verify_password(password.as_bytes(), against).is_ok();
        Ok(match hash {
            Some(hash) if right && hash.starts_with(&self.prefix) => Check::Right,
            Some(_) if right => Check::Outdated,
            _ => Check::Wrong,
        })
    }

    /// What was worked since the last call, check by check.
    #[cfg(test)]
    pub(crate) fn take_checks(&self) -> Vec<String> {
        std::mem::take(&mut self.checks.lock().unwrap())
    }

    fn argon2(&self) -> Argon2<'_> {
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone())
    }

    fn turn(&self) -> Result<Turn<'_>, HashError> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.running >= self.cost.at_once.max(1) {
            if turns.waiting >= self.cost.waiting {
                return Err(HashError::Busy);
            }
            turns.waiting += 1;
            while turns.running >= self.cost.at_once.max(1) {
                turns = self.freed.wait(turns).unwrap_or_else(PoisonError::into_inner);
            }
            turns.waiting -= 1;
        }
        turns.running += 1;
        Ok(Turn(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_own_hash_only() {
        let hasher = Hasher::new(Cost::least()).unwrap();
        let (one, two) = (hasher.hash("correct horse").unwrap(), hasher.hash("correct horse").unwrap());
        assert_ne!(one, two);
        assert!(one.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{one}");
        assert_eq!(hasher.check("correct horse", Some(&one)), Ok(Check::Right));
        assert_eq!(hasher.check("correct hors", Some(&one)), Ok(Check::Wrong));
        assert_eq!(hasher.check("correct horse", None), Ok(Check::Wrong));
        assert_eq!(hasher.check("correct horse", Some("not a hash")), Ok(Check::Wrong));
        assert_eq!(hasher.check(&"x".repeat(LONGEST + 1), Some(&one)), Ok(Check::Wrong));
    }

    #[test]
    fn a_hash_of_another_cost_is_outdated() {
        let old = Hasher::new(Cost::least()).unwrap().hash("correct horse").unwrap();
        let new = Hasher::new(Cost { passes: 2, ..Cost::least() }).unwrap();
        assert_eq!(new.check("correct horse", Some(&old)), Ok(Check::Outdated));
        assert!(matches!(Hasher::new(Cost { lanes: 0, ..Cost::least() }), Err(HashError::Cost)));
    }

    #[test]
    fn so_many_run_at_once_so_many_wait_and_the_next_is_told() {
        let hasher = Hasher::new(Cost { at_once: 1, waiting: 1, ..Cost::least() }).unwrap();
        let running = hasher.turn().unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| hasher.hash("correct horse").map(|_| ()));
            while hasher.turns.lock().unwrap().waiting == 0 {
                std::thread::yield_now();
            }
            assert_eq!(hasher.hash("battery staple").map(|_| ()), Err(HashError::Busy));
            drop(running);
            assert_eq!(waits.join().unwrap(), Ok(()));
        });
        assert_eq!(hasher.turns.lock().unwrap().running, 0);
    }
}
