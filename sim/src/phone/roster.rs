//! A list as a watcher keeps it: RFC 4662 s5.6, read with as little as will do.

use std::collections::BTreeMap;

/// What a phone knows of the members of a list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Roster {
    /// The version of the last body.
    pub version: Option<u32>,
    /// Members by their URIs.
    pub members: BTreeMap<String, Member>,
    /// How many bodies had the whole list, and how many a part of it.
    pub bodies: (u32, u32),
}

/// What a phone knows of a member.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Member {
    /// Where the subscription stands; empty while nothing is known.
    pub state: String,
    /// Its last document.
    pub document: Option<String>,
}

impl Roster {
    /// Takes a body. What is wrong with it, if something is.
    pub(super) fn take(&mut self, content_type: &str, body: &[u8]) -> Result<(), String> {
        let body = String::from_utf8_lossy(body);
        let boundary = quoted(content_type, "boundary=").ok_or("no boundary")?;
        let start = quoted(content_type, "start=").ok_or("no start")?;
        let mut parts: BTreeMap<String, (String, String)> = BTreeMap::new();
        let delimiter = format!("--{boundary}");
        if !body.trim_end().ends_with(&format!("{delimiter}--")) {
            return Err("it does not end".into());
        }
        for part in body.split(delimiter.as_str()).skip(1).filter(|part| !part.starts_with("--")) {
            let (head, content) = part.split_once("\r\n\r\n").ok_or("a part without a head")?;
            let field = |name: &str| {
                let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                line.map(str::to_owned).ok_or(format!("no {name}"))
            };
            let content = content.strip_suffix("\r\n").ok_or("a part without an end")?;
            let named = parts.insert(field("Content-ID")?, (field("Content-Type")?, content.to_owned()));
            if named.is_some() {
                return Err("two parts of one name".into());
            }
        }
        let (kind, root) = parts.remove(start.as_str()).ok_or("no root")?;
        if !kind.starts_with("application/rlmi+xml") {
            return Err(format!("a root of type {kind}"));
        }
        let (_, root) = root.split_once("<list ").ok_or("no list")?;
        let version: u32 = quoted(root, "version=").and_then(|v| v.parse().ok()).ok_or("no version")?;
        let whole = match quoted(root, "fullState=").as_deref() {
            Some("true") => true,
            Some("false") => false,
            other => return Err(format!("fullState is {other:?}")),
        };
        match self.version {
            None if version != 0 || !whole => return Err(format!("it begins with version {version}")),
            // RFC 4662 s5.6.1: the whole only has to be newer, as after a restart.
            Some(before) if version <= before || !whole && version != before + 1 => {
                return Err(format!("{version} after {before}"));
            }
            _ => self.version = Some(version),
        }
        self.bodies =
            if whole { (self.bodies.0 + 1, self.bodies.1) } else { (self.bodies.0, self.bodies.1 + 1) };
        if whole {
            self.members.clear();
        }
        for resource in root.split("<resource ").skip(1) {
            let uri = quoted(resource, "uri=").ok_or("a resource without a URI")?;
            let member = self.members.entry(uri.clone()).or_default();
            let Some((_, instance)) = resource.split_once("<instance ") else { continue };
            member.state = quoted(instance, "state=").ok_or("an instance without a state")?;
            let cid = quoted(instance, "cid=");
            member.document = match cid {
                Some(cid) => {
                    let (_, document) = parts.remove(&format!("<{cid}>")).ok_or(format!("no part {cid}"))?;
                    Some(document)
                }
                None if member.state == "active" => return Err(format!("{uri} is active without a part")),
                None => None,
            };
        }
        match parts.keys().next() {
            Some(part) => Err(format!("part {part} is of nobody")),
            None => Ok(()),
        }
    }
}

/// What stands in quotes behind a word.
fn quoted(text: &str, word: &str) -> Option<String> {
    let (_, rest) = text.split_once(word)?;
    Some(rest.strip_prefix('"')?.split('"').next()?.to_owned())
}
