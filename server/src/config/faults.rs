//! What is wrong with a file: where, what, and what was probably meant. No secret is ever quoted.

use std::fmt;
use std::ops::Range;

use strowger_core::config::ConfigError;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// All faults of one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Faults {
    /// The file's name, as given.
    pub file: String,
    /// In the order of the file where it is known.
    pub faults: Vec<Fault>,
}

/// One fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Line and column from 1, and the line itself, when known.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// A place in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line, with everything in quotes hidden where secrets may stand.
    pub text: String,
    /// How many characters are meant.
    pub width: usize,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            fault.write(f, &self.file)?;
        }
        Ok(())
    }
}

impl Fault {
    fn write(&self, f: &mut fmt::Formatter<'_>, file: &str) -> fmt::Result {
        let Some(Place { line, column, text, width }) = &self.place else {
            write!(f, "{file}: {}", self.message)?;
            return self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"));
        };
        writeln!(f, "{file}, line {line}, column {column}: {}", self.message)?;
        writeln!(f, "{line:>5} | {text}")?;
        write!(f, "      | {}{}", " ".repeat(column - 1), "^".repeat((*width).max(1)))?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " {hint}"))
    }
}

impl Faults {
    /// The one fault of a file that cannot be read as what it should be.
    pub(super) fn of_toml(file: &str, text: &str, error: &toml::de::Error) -> Faults {
        let place = error.span().map(|span| place(text, span));
        let sensitive = error.span().is_none_or(|span| is_sensitive(text, span.start));
        let message = error.message().trim();
        let (message, hint) = match unknown(message) {
            Some((wrong, known)) => {
                let hint = match closest(wrong, &known) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("known here: {}", known.join(", ")),
                };
                (format!("unknown key `{wrong}`"), Some(hint))
            }
            None if sensitive => (without_value(message), None),
            None => (message.replace('\n', ", "), None),
        };
        Faults { file: file.into(), faults: vec![Fault { place, message, hint }] }
    }

    /// Faults of the meaning, at the places their paths name.
    pub(super) fn of_meaning(file: &str, text: &str, errors: &[ConfigError]) -> Faults {
        let table = DeTable::parse(text).ok();
        let mut faults: Vec<Fault> = errors
            .iter()
            .map(|error| {
                let path = file_path(&error.path);
                let span = table.as_ref().and_then(|table| find(table, &path));
                let place = span.map(|span| place(text, span));
                Fault { place, message: format!("{}: {}", shown(&path), error.message), hint: None }
            })
            .collect();
        faults.sort_by_key(|fault| fault.place.as_ref().map_or(0, |place| place.line));
        Faults { file: file.into(), faults }
    }
}

/// A step on the way to a value.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

/// The engine's name of a setting, as a path in the file.
fn file_path(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, rest)) => (name, rest.trim_end_matches(']').parse().ok()),
            None => (part, None),
        };
        let first = steps.is_empty();
        let names: &[&str] = match name {
            "digest" if first => &["auth", "digest"],
            "jwt" if first => &["auth", "jwt"],
            "policies" if first => &["auth", "policy"],
            "server_name" if first => &["server", "name"],
            "accounts" if first => &["account"],
            "domains" if first => &["domain"],
            "listeners" if first => &["listen"],
            "lists" if first => &["list"],
            "routes" if first => &["route"],
            "trunks" if first => &["trunk"],
            "issuers" => &["issuer"],
            "message_bytes" => &["message"],
            "transaction_bytes" => &["transactions"],
            "list_notify_bytes" => &["list_notify"],
            "max_document_bytes" => &["max_document"],
            "message_bytes_stored" => &["stored_message"],
            "rules" => &["rule"],
            _ => &[],
        };
        match names {
            [] => steps.push(Step::Key(name.into())),
            names => steps.extend(names.iter().map(|name| Step::Key((*name).into()))),
        }
        steps.extend(index.map(Step::Index));
    }
    steps
}

fn shown(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.extend([".", key]),
            // People count from one.
            Step::Index(index) => text.push_str(&format!(" no. {}", index + 1)),
        }
    }
    text
}

/// The place of a path, or of as much of it as there is.
fn find(table: &Spanned<DeTable<'_>>, path: &[Step]) -> Option<Range<usize>> {
    let Some((Step::Key(first), rest)) = path.split_first() else { return None };
    let (key, value) = table.get_ref().iter().find(|(key, _)| key.get_ref() == first)?;
    Some(find_value(value, rest).unwrap_or_else(|| key.span()))
}

fn find_value(value: &Spanned<DeValue<'_>>, path: &[Step]) -> Option<Range<usize>> {
    let Some((step, rest)) = path.split_first() else { return Some(value.span()) };
    match (step, value.get_ref()) {
        (Step::Key(key), DeValue::Table(table)) => {
            let (found, inner) = table.iter().find(|(name, _)| name.get_ref() == key)?;
            Some(find_value(inner, rest).unwrap_or_else(|| found.span()))
        }
        (Step::Index(index), DeValue::Array(array)) => {
            let inner = array.get(*index)?;
            Some(find_value(inner, rest).unwrap_or_else(|| inner.span()))
        }
        _ => None,
    }
}

fn place(text: &str, span: Range<usize>) -> Place {
    let start = floor(text, span.start);
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let line = text[line_start..line_end].trim_end_matches('\r');
    let end = floor(text, span.end).clamp(start, line_start + line.len().max(start - line_start));
    Place {
        line: text[..start].matches('\n').count() + 1,
        column: text[line_start..start].chars().count() + 1,
        text: if is_sensitive(text, start) { hide_values(line) } else { line.into() },
        width: text[start..end].chars().count(),
    }
}

fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// True in sections where passwords and hashes stand, however their keys are misspelt.
fn is_sensitive(text: &str, at: usize) -> bool {
    let at = floor(text, at);
    let (before, after) = text.split_at(at);
    let line = [before.rsplit('\n').next(), after.split('\n').next()].map(Option::unwrap_or_default).concat();
    if ["secret", "introsp"].iter().any(|word| line.contains(word)) {
        return true;
    }
    let header = before.lines().rev().map(str::trim_start).find(|line| line.starts_with('['));
    header.is_some_and(|header| {
        let name = header.trim_start_matches('[').trim_start();
        ["acc", "tru", "auth.jwt.intr"].iter().any(|start| name.starts_with(start))
    })
}

/// The line with its values replaced, character by character, so that columns stay true.
fn hide_values(line: &str) -> String {
    let (mut quote, mut value) = (None, false);
    line.chars()
        .map(|c| match quote {
            Some(open) if c == open => {
                quote = None;
                c
            }
            Some(_) => '*',
            None => {
                quote = matches!(c, '"' | '\'').then_some(c);
                value |= c == '=';
                if value && c.is_alphanumeric() { '*' } else { c }
            }
        })
        .collect()
}

/// "invalid type: integer `1234`, expected a string" without the value.
fn without_value(message: &str) -> String {
    match (message.strip_prefix("invalid "), message.rsplit_once(", expected ")) {
        (Some(rest), Some((_, expected))) => {
            let kind = rest.split(':').next().unwrap_or("value");
            format!("invalid {kind}, expected {expected}")
        }
        (Some(_), None) => "invalid value".into(),
        _ => message.replace('\n', ", "),
    }
}

/// The wrong key and the known ones, out of what serde says.
fn unknown(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (wrong, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).collect();
    Some((wrong, known))
}

/// The known word that was probably meant.
pub(crate) fn closest<'k>(wrong: &str, known: &[&'k str]) -> Option<&'k str> {
    let wrong = wrong.to_ascii_lowercase().replace('-', "_");
    let scored = known.iter().map(|known| (distance(&wrong, known), *known));
    let (score, best) = scored.min_by_key(|(score, _)| *score)?;
    let contained = wrong.len() >= 3 && (best.contains(&wrong) || wrong.contains(best));
    (score <= (best.len() / 3).max(1) || contained).then_some(best)
}

/// Levenshtein distance, with a swap of neighbours as one step.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_found_and_far_ones_are_not() {
        let known = ["min_expires", "max_expires", "default_expires", "gruu"];
        assert_eq!(closest("min_expire", &known), Some("min_expires"));
        assert_eq!(closest("max-expires", &known), Some("max_expires"));
        assert_eq!(closest("grru", &known), Some("gruu"));
        assert_eq!(closest("colour", &known), None);
    }

    #[test]
    fn secrets_are_hidden_and_columns_stay() {
        assert_eq!(hide_values(r#"pasword = "hush" # it's"#), r#"pasword = "****" # **'*"#);
        assert_eq!(hide_values("password = 1234"), "password = ****");
        assert_eq!(
            without_value("invalid type: integer `1234`, expected a string"),
            "invalid type, expected a string"
        );
    }

    #[test]
    fn paths_of_the_engine_become_paths_of_the_file() {
        assert_eq!(shown(&file_path("accounts[2].aors")), "account no. 3.aors");
        assert_eq!(shown(&file_path("digest.realm")), "auth.digest.realm");
        assert_eq!(shown(&file_path("jwt.issuers[0].audiences")), "auth.jwt.issuer no. 1.audiences");
        assert_eq!(shown(&file_path("registrar")), "registrar");
        assert_eq!(shown(&file_path("presence.rules[1].watcher")), "presence.rule no. 2.watcher");
    }
}
