//! Lists of presentities that one subscription covers (RFC 4662): named ones, and those made of accounts.

use std::collections::BTreeMap;

use super::accounts::AccountConfig;
use super::presence::fits;
use super::settings::{Faults, canonical_pattern};
use super::{Domains, Limits};
use crate::door::Identity;

/// Most bytes that the addresses of one list may have together: the first NOTIFY names them all.
const NAMES: usize = 55_000;
/// What an address takes beside itself.
const AROUND: usize = 30;

/// A list as a host writes it. Who subscribes to its address is told of all its members in one subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListConfig {
    /// Its address: a URI, `user@domain`, or a user of the default domain. Nobody else may have it.
    pub address: String,
    /// What people call it; may be empty.
    pub name: String,
    /// Whose presence it tells.
    pub members: ListMembers,
    /// Who may subscribe: patterns as in [`WatchRule`](super::WatchRule). Empty: the members of a named list, everybody
    /// of the domain, everybody of the group. To all others the address is one about which nothing is known.
    pub subscribers: Vec<String>,
}

/// Whose presence a list tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListMembers {
    /// These addresses of record.
    Named(Vec<String>),
    /// All accounts of a domain, each with its first address, but for those that are
    /// [`unlisted`](super::AccountConfig::unlisted); empty is the default domain. A subscriber does not find himself in
    /// it, nor anybody whom the rules let him not watch.
    Domain(String),
    /// The same of all accounts of a [group](super::AccountConfig::groups).
    Group(String),
}

impl ListConfig {
    /// A buddy list: everybody of the default domain, as `buddies`.
    pub fn buddies() -> ListConfig {
        ListConfig {
            address: "buddies".into(),
            name: "Buddies".into(),
            members: ListMembers::Domain(String::new()),
            subscribers: Vec::new(),
        }
    }
}

/// A list as the engine keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct List {
    /// Its address, canonical.
    pub aor: Box<str>,
    /// What people call it.
    pub name: Box<str>,
    /// Canonical addresses of record.
    pub members: Vec<Box<str>>,
    /// It is made of accounts: those stay out whom a subscriber may not watch, and he himself.
    pub automatic: bool,
    subscribers: Vec<Box<str>>,
}

impl List {
    /// As whom somebody may subscribe who is known by this canonical AoR, and proved to be these; `None` if he may not.
    pub(crate) fn subscriber<'w>(&self, watcher: &'w str, who: &'w Identity) -> Option<&'w str> {
        let named = |aor: &&str| self.subscribers.iter().any(|pattern| fits(pattern, aor));
        core::iter::once(watcher).chain(who.aors.iter().map(|aor| &**aor)).find(named)
    }

    /// The same, as a question.
    pub(crate) fn is_for(&self, watcher: &str, who: &Identity) -> bool {
        self.subscriber(watcher, who).is_some()
    }
}

/// All lists, found by address and by member.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    all: Vec<List>,
    by_address: BTreeMap<Box<str>, u32>,
    by_member: BTreeMap<Box<str>, Vec<(u32, u32)>>,
}

impl Lists {
    fn new(all: Vec<List>) -> Lists {
        let mut by_member: BTreeMap<Box<str>, Vec<(u32, u32)>> = BTreeMap::new();
        for (i, list) in all.iter().enumerate() {
            for (j, member) in list.members.iter().enumerate() {
                by_member.entry(member.clone()).or_default().push((i as u32, j as u32));
            }
        }
        let by_address = all.iter().zip(0..).map(|(list, i)| (list.aor.clone(), i)).collect();
        Lists { all, by_address, by_member }
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All of them, in the order of the configuration.
    pub fn all(&self) -> &[List] {
        &self.all
    }

    /// The list with this canonical address.
    pub fn get(&self, aor: &str) -> Option<&List> {
        self.all.get(*self.by_address.get(aor)? as usize)
    }

    /// The lists with this member, and its place in each.
    pub fn of(&self, member: &str) -> impl Iterator<Item = (&List, usize)> {
        let places = self.by_member.get(member).map_or(&[][..], |places| places);
        places.iter().filter_map(|(i, j)| Some((self.all.get(*i as usize)?, *j as usize)))
    }
}

/// An account that may be a member.
struct Person<'a> {
    aors: Vec<Box<str>>,
    account: &'a AccountConfig,
}

/// Builds all lists, or says what is wrong with them.
pub(super) fn build(
    lists: &[ListConfig],
    accounts: &[AccountConfig],
    domains: &Domains,
    limits: &Limits,
    faults: &mut Faults,
) -> Lists {
    let default = domains.names().first().map_or("", |name| name);
    let people: Vec<Person<'_>> = match lists.is_empty() {
        true => Vec::new(),
        false => accounts.iter().filter(|a| !a.disabled).map(|a| Person::of(a, default, domains)).collect(),
    };
    let mut all: Vec<List> = Vec::new();
    // Where each of them stands in the configuration.
    let mut places: Vec<usize> = Vec::new();
    for (i, config) in lists.iter().enumerate() {
        let path = |field: &str| format!("lists[{i}].{field}");
        let address = match config.address.contains('@') {
            true => config.address.clone(),
            false => format!("{}@{default}", config.address),
        };
        let Some(aor) = domains.canonical_aor(&address) else {
            faults.add(path("address"), format!("{address:?} is not user@domain of a configured domain"));
            continue;
        };
        if all.iter().any(|list| list.aor == aor) || people.iter().any(|person| person.aors.contains(&aor)) {
            faults.add(path("address"), format!("{aor:?} is that of an account or of another list"));
        }
        let (members, mut subscribers) = members(config, &people, domains, default, &path, faults);
        for (j, pattern) in config.subscribers.iter().enumerate() {
            let mut pattern = pattern.as_str().into();
            canonical_pattern(&mut pattern, || path(&format!("subscribers[{j}]")), domains, faults);
            if j == 0 {
                subscribers.clear();
            }
            subscribers.push(pattern);
        }
        let bytes: usize = members.iter().map(|member| member.len() + AROUND).sum();
        if members.len() > limits.list_members || bytes > NAMES {
            let message = format!(
                "has {} members who take {bytes} bytes: at most {} of {NAMES} bytes are possible \
                 (limits.list_members); make several of it, such as one for each group",
                members.len(),
                limits.list_members
            );
            faults.add(path("members"), message);
        }
        let automatic = !matches!(config.members, ListMembers::Named(_));
        places.push(i);
        all.push(List { aor, name: config.name.as_str().into(), members, automatic, subscribers });
    }
    let lists = Lists::new(all);
    for (i, list) in places.into_iter().zip(&lists.all) {
        if let Some(nested) = list.members.iter().find(|member| lists.get(member).is_some()) {
            faults
                .add(format!("lists[{i}].members"), format!("{nested:?} is itself a list: name its members"));
        }
    }
    lists
}

/// The members of a list, and who may subscribe if nothing else is said.
fn members(
    config: &ListConfig,
    people: &[Person<'_>],
    domains: &Domains,
    default: &str,
    path: &impl Fn(&str) -> String,
    faults: &mut Faults,
) -> (Vec<Box<str>>, Vec<Box<str>>) {
    let listed = |person: &&Person<'_>| !person.account.unlisted;
    match &config.members {
        ListMembers::Named(names) => {
            let mut members: Vec<Box<str>> = Vec::new();
            for (j, name) in names.iter().enumerate() {
                match domains.canonical_aor(name) {
                    Some(member) if members.contains(&member) => {
                        faults.add(path(&format!("members[{j}]")), format!("{member:?} stands there twice"));
                    }
                    Some(member) => members.push(member),
                    None => {
                        let message = format!("{name:?} is not user@domain of a configured domain");
                        faults.add(path(&format!("members[{j}]")), message);
                    }
                }
            }
            (members.clone(), members)
        }
        ListMembers::Domain(domain) => {
            let domain = if domain.is_empty() { default } else { domain };
            let Some(any) = domains.canonical_aor(&format!("x@{domain}")) else {
                faults.add(path("domain"), format!("{domain:?} is not a configured domain"));
                return (Vec::new(), Vec::new());
            };
            let pattern: Box<str> = any.replacen('x', "*", 1).into();
            let first = |person: &Person<'_>| person.aors.iter().find(|aor| fits(&pattern, aor)).cloned();
            (people.iter().filter(listed).filter_map(first).collect(), vec![pattern])
        }
        ListMembers::Group(group) => {
            let within = |person: &&Person<'_>| person.account.groups.iter().any(|own| own == group);
            let group: Vec<&Person<'_>> = people.iter().filter(within).collect();
            if group.is_empty() {
                faults.add(path("group"), "no account is in this group");
            }
            let first = |person: &&Person<'_>| person.aors.first().cloned();
            let members = group.iter().copied().filter(listed).collect::<Vec<_>>();
            let all = group.iter().flat_map(|person| person.aors.iter().cloned()).collect();
            (members.iter().filter_map(first).collect(), all)
        }
    }
}

impl<'a> Person<'a> {
    fn of(account: &'a AccountConfig, default: &str, domains: &Domains) -> Person<'a> {
        let domain = if account.domain.is_empty() { default } else { &account.domain };
        let own = [format!("{}@{domain}", account.username)];
        let aors = if account.aors.is_empty() { &own[..] } else { &account.aors };
        Person { aors: aors.iter().filter_map(|aor| domains.canonical_aor(aor)).collect(), account }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::door::Scheme;

    fn account(user: &str, groups: &[&str]) -> AccountConfig {
        AccountConfig {
            username: user.into(),
            password: Some(crate::door::Secret("x".into())),
            groups: groups.iter().map(|group| (*group).into()).collect(),
            ..AccountConfig::default()
        }
    }

    fn list(address: &str, members: ListMembers) -> ListConfig {
        ListConfig { address: address.into(), name: String::new(), members, subscribers: Vec::new() }
    }

    fn config(lists: Vec<ListConfig>) -> Config {
        let mut config = Config::new("Example.com");
        config.accounts =
            vec![account("ann", &["sales"]), account("bob", &["sales", "lab"]), account("eve", &["sales"])];
        config.accounts[2].unlisted = true;
        config.accounts[1].aors = vec!["100@example.com".into(), "bob@example.com".into()];
        config.presence = Some(super::super::PresenceConfig::default());
        config.lists = lists;
        config
    }

    fn who(aor: &str) -> Identity {
        Identity {
            scheme: Scheme::Digest,
            account: "x".into(),
            aors: vec![aor.into()],
            scopes: Vec::new(),
            foreign_contacts: false,
        }
    }

    #[test]
    fn members_are_named_or_found_among_the_accounts_that_want_to_be() {
        let named = ListMembers::Named(vec!["sip:ann@EXAMPLE.com".into(), "zoe@example.com".into()]);
        let lists = vec![
            list("team", named),
            list("sip:all@example.com", ListMembers::Domain("example.com".into())),
            list("sales@example.com", ListMembers::Group("sales".into())),
            ListConfig { subscribers: vec!["*".into()], ..list("open", ListMembers::Group("lab".into())) },
        ];
        let settings = config(lists).validate().expect("valid");
        let lists = &settings.lists;
        let members = |aor: &str| lists.get(aor).expect("a list").members.join(" ");
        assert_eq!(members("team@example.com"), "ann@example.com zoe@example.com");
        assert_eq!(members("all@example.com"), "ann@example.com 100@example.com");
        assert_eq!(members("sales@example.com"), "ann@example.com 100@example.com");
        let of: Vec<_> = lists.of("100@example.com").map(|(list, at)| format!("{} {at}", list.aor)).collect();
        assert_eq!(of, ["all@example.com 1", "sales@example.com 1", "open@example.com 0"]);
        let is_for = |aor: &str, by: &str| lists.get(aor).expect("a list").is_for(by, &who(by));
        for (aor, by, expected) in [
            ("team@example.com", "zoe@example.com", true),
            ("team@example.com", "bob@example.com", false),
            ("all@example.com", "stranger@example.com", true),
            ("all@example.com", "stranger@example.org", false),
            ("sales@example.com", "eve@example.com", true),
            ("sales@example.com", "bob@example.com", true),
            ("sales@example.com", "zoe@example.com", false),
            ("open@example.com", "stranger@example.org", true),
        ] {
            assert_eq!(is_for(aor, by), expected, "{aor} {by}");
        }
    }

    #[test]
    fn every_fault_is_named_at_its_place() {
        let named = |names: &[&str]| ListMembers::Named(names.iter().map(|name| (*name).into()).collect());
        let mut config = config(vec![
            list("ann@example.com", named(&["bob@example.com", "bob@EXAMPLE.com", "x@elsewhere.org"])),
            list("x@elsewhere.org", named(&[])),
            list("a", ListMembers::Domain("elsewhere.org".into())),
            list("a", ListMembers::Group("nobody".into())),
            ListConfig {
                subscribers: vec!["*@elsewhere.org".into()],
                ..list("b", named(&["a@example.com"]))
            },
            list("c", named(&["1@example.com", "2@example.com", "3@example.com"])),
        ]);
        config.limits.list_members = 2;
        let faults = config.validate().expect_err("faults");
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(faults.join("\n"));
    }
}
