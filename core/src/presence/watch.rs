//! Who may see what of whom (DECISIONS 1 and 4): what was decided, then rules in their order, then the policy.

use super::Presence;
use crate::config::{Limits, PresenceConfig, WatchAction, WatchPolicy, fits};
use crate::door::Identity;
use crate::events::Standing;

impl Presence {
    /// What a watcher may be told of a presentity. Nobody learns from it that he is refused.
    pub(crate) fn standing(
        &self,
        config: &PresenceConfig,
        who: &Identity,
        watcher: &str,
        presentity: &str,
    ) -> Standing {
        // Not `owns`: where nobody is asked to prove who he is, the rules still say who sees whom.
        if watcher == presentity || who.aors.iter().any(|own| **own == *presentity) {
            return Standing::Active;
        }
        self.judge(config, watcher, presentity)
    }

    /// The same of a watcher who is not the presentity himself.
    pub(super) fn judge(&self, config: &PresenceConfig, watcher: &str, presentity: &str) -> Standing {
        match self.decision(watcher, presentity) {
            Some(true) => Standing::Active,
            Some(false) => Standing::Blocked,
            None => by_rule(config, watcher, presentity),
        }
    }

    /// Do the rules hide a presentity from a watcher? Not if it once decided about him: then what it decides does not
    /// show in who is hidden.
    pub(super) fn is_hidden(&self, config: &PresenceConfig, watcher: &str, presentity: &str) -> bool {
        by_rule(config, watcher, presentity) == Standing::Blocked
            && self.decision(watcher, presentity).is_none()
    }

    fn decision(&self, watcher: &str, presentity: &str) -> Option<bool> {
        // Most presentities never decide anything.
        let pair = || (presentity.into(), watcher.into());
        self.decisions.get(&(!self.decisions.is_empty()).then(pair)?).copied()
    }

    /// Remembers what a presentity decided about a watcher. False if there is no room.
    pub(crate) fn decide(&mut self, limits: &Limits, presentity: &str, watcher: &str, allow: bool) -> bool {
        let pair = (presentity.into(), watcher.into());
        if self.decisions.len() >= limits.watch_decisions && !self.decisions.contains_key(&pair) {
            return false;
        }
        self.decisions.insert(pair, allow);
        true
    }
}

fn by_rule(config: &PresenceConfig, watcher: &str, presentity: &str) -> Standing {
    let rule =
        config.rules.iter().find(|rule| fits(&rule.presentity, presentity) && fits(&rule.watcher, watcher));
    match rule.map(|rule| rule.action) {
        Some(WatchAction::Allow) => return Standing::Active,
        Some(WatchAction::Block) => return Standing::Blocked,
        Some(WatchAction::Confirm) => return Standing::Pending,
        None => {}
    }
    let allowed = match config.watchers {
        WatchPolicy::Everyone => true,
        WatchPolicy::SameDomain => !watcher.is_empty() && domain(watcher) == domain(presentity),
        WatchPolicy::Nobody => false,
    };
    if allowed { Standing::Active } else { Standing::Blocked }
}

fn domain(aor: &str) -> Option<&str> {
    aor.rsplit_once('@').map(|(_, domain)| domain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::WatchRule;
    use crate::door::Scheme;

    fn who(aors: &[&str]) -> Identity {
        Identity {
            scheme: Scheme::Digest,
            account: "x".into(),
            aors: aors.iter().map(|aor| (*aor).into()).collect(),
            scopes: Vec::new(),
            foreign_contacts: false,
        }
    }

    #[test]
    fn rules_go_before_the_policy_and_the_first_that_fits_decides() {
        let rule = |presentity: &str, watcher: &str, action| WatchRule {
            presentity: presentity.into(),
            watcher: watcher.into(),
            action,
        };
        let config = PresenceConfig {
            rules: vec![
                rule("boss@a.example", "bob@a.example", WatchAction::Allow),
                rule("boss@a.example", "*@a.example", WatchAction::Confirm),
                rule("boss@a.example", "*", WatchAction::Block),
                rule("*", "ann@b.example", WatchAction::Allow),
            ],
            ..PresenceConfig::default()
        };
        let mut room = Presence::new(&crate::base::Ids::new(&[1; 32]));
        for (watcher, presentity, expected) in [
            ("bob@a.example", "boss@a.example", Standing::Active),
            ("carol@a.example", "boss@a.example", Standing::Pending),
            ("ann@b.example", "boss@a.example", Standing::Blocked),
            ("boss@a.example", "boss@a.example", Standing::Active),
            ("ann@b.example", "bob@a.example", Standing::Active),
            ("dan@b.example", "bob@a.example", Standing::Blocked),
            ("carol@a.example", "bob@a.example", Standing::Active),
        ] {
            assert_eq!(
                room.standing(&config, &who(&[watcher]), watcher, presentity),
                expected,
                "{watcher} {presentity}"
            );
        }
        // What was decided goes before the rules.
        let carol = |room: &Presence| {
            room.standing(&config, &who(&["carol@a.example"]), "carol@a.example", "boss@a.example")
        };
        assert!(room.decide(&Limits::default(), "boss@a.example", "carol@a.example", true));
        assert_eq!(carol(&room), Standing::Active);
        assert!(room.decide(&Limits::default(), "boss@a.example", "carol@a.example", false));
        assert_eq!(carol(&room), Standing::Blocked);
        let full = Limits { watch_decisions: 1, ..Limits::default() };
        assert!(!room.decide(&full, "boss@a.example", "dan@a.example", true));
    }

    #[test]
    fn where_nobody_proves_who_he_is_the_rules_hold_for_whom_he_says_he_is() {
        let rule =
            WatchRule { presentity: "*".into(), watcher: "eve@a.example".into(), action: WatchAction::Block };
        let config = PresenceConfig { rules: vec![rule], ..PresenceConfig::default() };
        let nobody = Identity { scheme: Scheme::None, ..who(&[]) };
        for (watcher, expected) in [
            ("bob@a.example", Standing::Active),
            ("eve@a.example", Standing::Blocked),
            ("ann@b.example", Standing::Blocked),
            ("", Standing::Blocked),
        ] {
            let room = Presence::new(&crate::base::Ids::new(&[1; 32]));
            assert_eq!(room.standing(&config, &nobody, watcher, "bob@a.example"), expected, "{watcher}");
        }
    }
}
