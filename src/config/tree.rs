//! The tree of values from file and environment, and the parsing of its tables.
//!
//! Overlays the two sources, and reports unknown keys and values of the wrong kind. `keys` lists the keys; `read` interprets
//! them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use figment::providers::{Format, Toml};
use figment::value::Value;
use figment::{Figment, Profile, Provider};

use super::ConfigError;
use super::keys::KEYS;
use super::values::is_placeholder;
use crate::node::Nudge;

/// The prefix of variables.
const ENV_PREFIX: &str = "ROOMKEEPER_";

/// The errors found so far.
#[derive(Default)]
pub(super) struct Problems(pub(super) Vec<ConfigError>);

impl Problems {
    pub(super) fn add(&mut self, key: impl Into<String>, problem: impl fmt::Display) {
        self.0.push(ConfigError {
            key: key.into(),
            problem: problem.to_string(),
        });
    }
}

/// A value of either source. A variable is text, and the expected type determines its meaning.
#[derive(Clone)]
pub(super) enum Tree {
    Variable(String),
    Text(String),
    Flag(bool),
    Number(f64),
    List(Vec<Tree>),
    Table(BTreeMap<String, Tree>),
}

impl From<Value> for Tree {
    fn from(value: Value) -> Self {
        match value {
            Value::String(_, text) => Self::Text(text),
            Value::Char(_, c) => Self::Text(c.to_string()),
            Value::Bool(_, flag) => Self::Flag(flag),
            Value::Num(_, number) => Self::Number(match (number.to_i128(), number.to_f64()) {
                // No setting is large enough to be rounded.
                (Some(whole), _) => whole as f64,
                (None, fraction) => fraction.unwrap_or(f64::NAN),
            }),
            Value::Empty(..) => Self::Text(String::new()),
            Value::Dict(_, dict) => {
                Self::Table(dict.into_iter().map(|(k, v)| (k, v.into())).collect())
            }
            Value::Array(_, list) => Self::List(list.into_iter().map(Self::from).collect()),
        }
    }
}

impl Tree {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Variable(_) | Self::Text(_) => "a string",
            Self::Flag(_) => "true or false",
            Self::Number(_) => "a number",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    /// Parses a variable in place of a list or a table, in figment's syntax.
    fn structured(self) -> Self {
        match self {
            Self::Variable(text) => match text.parse::<Value>() {
                Ok(value @ (Value::Array(..) | Value::Dict(..))) => value.into(),
                Ok(_) | Err(_) => Self::Text(text),
            },
            other => other,
        }
    }
}

pub(super) fn parse_file(text: &str) -> Result<Tree, String> {
    let provider = Toml::string(text);
    let data = Figment::from(provider)
        .data()
        .map_err(|e| e.to_string())?
        .remove(&Profile::Default)
        .unwrap_or_default();
    Ok(Tree::Table(
        data.into_iter().map(|(k, v)| (k, v.into())).collect(),
    ))
}

pub(super) fn lay_over(
    mut tree: Tree,
    env: impl IntoIterator<Item = (String, String)>,
    problems: &mut Problems,
) -> Tree {
    // Sorted, so that a list's elements are appended in their order.
    let variables: BTreeMap<String, String> = env
        .into_iter()
        .filter(|(name, _)| name.starts_with(ENV_PREFIX))
        .collect();
    for (name, value) in variables {
        let path = name[ENV_PREFIX.len()..].to_ascii_lowercase();
        if !path.contains("__") {
            // `ROOMKEEPER_STORE_URL` would otherwise be ignored silently.
            let meant = KEYS.iter().find(|k| k.key.replace('.', "_") == path);
            if let Some(meant) = meant {
                let variable = meant.key.to_ascii_uppercase().replace('.', "__");
                problems.add(
                    &name,
                    format!("is not read (did you mean {ENV_PREFIX}{variable}?)"),
                );
            }
            continue;
        }
        let steps: Vec<&str> = path.split("__").collect();
        if !put(&mut tree, &steps, value) {
            problems.add(&name, "does not name a key");
        }
    }
    tree
}

/// Sets a variable's value at a path. Returns false if the path is invalid.
fn put(tree: &mut Tree, steps: &[&str], value: String) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        *tree = Tree::Variable(value);
        return true;
    };
    if step.is_empty() {
        return false;
    }
    let index = step.parse::<usize>().ok();
    if let Tree::Table(table) = tree {
        let child = table.entry((*step).to_owned()).or_insert_with(|| {
            let into_list = rest.first().is_some_and(|s| s.parse::<usize>().is_ok());
            if into_list {
                Tree::List(Vec::new())
            } else {
                Tree::Table(BTreeMap::new())
            }
        });
        return put(child, rest, value);
    }
    if let (Tree::List(list), Some(index)) = (tree, index) {
        // The index after the last one adds an element; a gap is an error.
        if index == list.len() {
            list.push(Tree::Table(BTreeMap::new()));
        }
        return list
            .get_mut(index)
            .is_some_and(|child| put(child, rest, value));
    }
    false
}

/// A table that is being parsed. Known keys are taken out; the remaining ones are unknown.
pub(super) struct Section<'a> {
    pub(super) path: String,
    pub(super) table: BTreeMap<String, Tree>,
    pub(super) problems: &'a mut Problems,
}

impl<'a> Section<'a> {
    pub(super) fn new(path: String, tree: Tree, problems: &'a mut Problems) -> Self {
        let table = match tree.structured() {
            Tree::Table(table) => table,
            other => {
                problems.add(&path, format!("expected a table, found {}", other.kind()));
                BTreeMap::new()
            }
        };
        Self {
            path,
            table,
            problems,
        }
    }

    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    pub(super) fn problem(&mut self, key: &str, problem: impl fmt::Display) {
        let key = self.key(key);
        self.problems.add(key, problem);
    }

    fn take(&mut self, key: &str) -> Option<Tree> {
        self.table.remove(key)
    }

    pub(super) fn section(&mut self, key: &str) -> Section<'_> {
        let path = self.key(key);
        let tree = self
            .take(key)
            .unwrap_or_else(|| Tree::Table(BTreeMap::new()));
        Section::new(path, tree, self.problems)
    }

    fn wrong_kind(&mut self, key: &str, expected: &str, found: &Tree) {
        self.problem(key, format!("expected {expected}, found {}", found.kind()));
    }

    pub(super) fn list(&mut self, key: &str) -> Vec<Tree> {
        match self.take(key).map(Tree::structured) {
            None => Vec::new(),
            Some(Tree::List(list)) => list,
            Some(other) => {
                self.wrong_kind(key, "a list", &other);
                Vec::new()
            }
        }
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.take(key)? {
            Tree::Text(text) | Tree::Variable(text) => Some(text),
            other => {
                self.wrong_kind(key, "a string", &other);
                None
            }
        }
    }

    /// Takes a required string.
    pub(super) fn required(&mut self, key: &str) -> Option<String> {
        if !self.table.contains_key(key) {
            self.problem(key, "is missing");
        }
        self.text(key)
    }

    /// Reports a secret that is still the placeholder of an example. Returns true if it is.
    pub(super) fn refuse_placeholder(&mut self, key: &str, secret: &str, own: &str) -> bool {
        let is_placeholder = is_placeholder(secret);
        if is_placeholder {
            self.problem(
                key,
                format!("is still the example's placeholder: set {own}"),
            );
        }
        is_placeholder
    }

    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for (i, item) in self.list(key).into_iter().enumerate() {
            match item {
                Tree::Text(text) | Tree::Variable(text) => texts.push(text),
                other => {
                    self.wrong_kind(&format!("{key}[{i}]"), "a string", &other);
                }
            }
        }
        texts
    }

    /// Takes one string, or a list of them.
    pub(super) fn text_or_texts(&mut self, key: &str) -> Vec<String> {
        let is_list = match self.table.get(key) {
            Some(Tree::List(_)) => true,
            Some(Tree::Variable(text)) => text.trim_start().starts_with('['),
            Some(Tree::Text(_) | Tree::Flag(_) | Tree::Number(_) | Tree::Table(_)) | None => false,
        };
        if is_list {
            self.texts(key)
        } else {
            self.text(key).into_iter().collect()
        }
    }

    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(
        &mut self,
        key: &str,
        text: &str,
    ) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(e) => {
                self.problem(key, e);
                None
            }
        }
    }

    pub(super) fn flag(&mut self, key: &str) -> bool {
        self.flag_or(key, false)
    }

    pub(super) fn flag_or(&mut self, key: &str, default: bool) -> bool {
        match self.take(key) {
            None => default,
            Some(Tree::Flag(flag)) => flag,
            Some(Tree::Variable(text)) => match text.as_str() {
                "true" => true,
                "false" => false,
                _ => {
                    self.problem(key, "expected true or false");
                    false
                }
            },
            Some(other) => {
                self.wrong_kind(key, "true or false", &other);
                false
            }
        }
    }

    pub(super) fn number(&mut self, key: &str, default: f64, min: f64, max: f64) -> f64 {
        let number = match self.take(key) {
            None => return default,
            Some(Tree::Number(number)) => number,
            Some(Tree::Variable(text)) => text.trim().parse().unwrap_or(f64::NAN),
            Some(other) => {
                self.wrong_kind(key, "a number", &other);
                return default;
            }
        };
        if (min..=max).contains(&number) {
            number
        } else {
            self.problem(key, format!("expected a number from {min} to {max}"));
            default
        }
    }

    pub(super) fn seconds(&mut self, key: &str, default: f64, min: f64, max: f64) -> Duration {
        Duration::from_secs_f64(self.number(key, default, min, max))
    }

    /// Takes the wake-ups of a node: a keyword or a number.
    pub(super) fn nudge(&mut self, key: &str, default: Nudge) -> Nudge {
        let read = match self.take(key) {
            None => return default,
            Some(Tree::Number(ms)) => Nudge::every_ms(ms),
            Some(Tree::Text(text) | Tree::Variable(text)) => text.trim().parse(),
            Some(other) => {
                self.wrong_kind(key, "a string or a number", &other);
                return default;
            }
        };
        read.unwrap_or_else(|unfit| {
            self.problem(key, unfit);
            default
        })
    }

    /// Takes a name in FreeSWITCH, restricted to characters without a special meaning there.
    pub(super) fn profile(&mut self, key: &str, default: &str) -> String {
        let name = self.text(key).unwrap_or_else(|| default.to_owned());
        let ok = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if !ok {
            self.problem(
                key,
                format!("{name:?} is not 1 to 64 characters of A-Z a-z 0-9 _ - ."),
            );
        }
        name
    }

    /// Takes an absolute path on the nodes, restricted to characters without a special meaning in a command.
    pub(super) fn directory(&mut self, key: &str, default: &str) -> String {
        let path = self.text(key).unwrap_or_else(|| default.to_owned());
        let ok = path.starts_with('/')
            && path.len() <= 400
            && path.bytes().all(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'/')
            });
        if !ok {
            self.problem(
                key,
                format!("{path:?} is not an absolute path of up to 400 characters of A-Z a-z 0-9 - . _ ~ /"),
            );
        }
        path
    }

    /// Takes the name of a module of FreeSWITCH.
    pub(super) fn module(&mut self, key: &str, default: &str) -> String {
        let name = self.text(key).unwrap_or_else(|| default.to_owned());
        let ok = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !ok {
            self.problem(
                key,
                format!("{name:?} is not 1 to 64 characters of a-z 0-9 _"),
            );
        }
        name
    }

    /// Reports the remaining keys as unknown.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            let path = self.key(key);
            let known = generic(&self.path);
            let siblings = KEYS.iter().filter_map(|doc| {
                let rest = match known.as_str() {
                    "" => doc.key,
                    parent => doc.key.strip_prefix(parent)?.strip_prefix('.')?,
                };
                rest.split(['.', '[']).next()
            });
            let nearest = siblings
                .map(|name| (strsim::levenshtein(name, key), name))
                .min()
                .filter(|(distance, name)| *distance <= 2.max(name.len() / 3));
            match nearest {
                Some((_, name)) => {
                    self.problems
                        .add(path, format!("unknown key (did you mean {name:?}?)"));
                }
                None => self.problems.add(path, "unknown key"),
            }
        }
    }
}

/// Converts a path to its form in [`KEYS`]: `apps[3].webhooks[0]` to `apps[].webhooks[]`.
fn generic(path: &str) -> String {
    path.chars().filter(|c| !c.is_ascii_digit()).collect()
}
