//! Checks the rules of `src/ARCHITECTURE.md`: the modules that each module may name, and the purity of the pure ones.
//!
//! Reads the sources as text: removes comments, literals and test modules, resolves every remaining path (in a `use` or
//! in an expression) to its module, and applies the rules. Snippets that break each rule show that the rules work. The
//! imports between files and folders form no cycle ([`Imports`]).
// The whole crate is test code, which the lint cannot know.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules that see no I/O, no clock and no randomness; `a/` is the file `a.rs` or the folder.
const PURE: &[&str] = &[
    "freeswitch-esl/frame/",
    "freeswitch-esl/json/",
    "freeswitch-esl/lines/",
    "freeswitch-esl/parser/",
    "freeswitch-esl/event/",
    "freeswitch-esl/command/",
    "freeswitch-esl/session/",
    "freeswitch-sim/core/",
    "roomkeeper-core/",
    "node/nudge/",
    "http/listen/head/",
    "reconciler/backlog/",
    "reconciler/conference_list/",
    "reconciler/table/",
    "reconciler/translate/",
    "reconciler/plans/",
    "store/encoding/",
    "store/contract/node_status/",
    "store/contract/fields/",
    "media/link/",
    "webhook/payload/",
    "webhook/sign/",
    "webhook/breaker/",
    "webhook/schedule/",
    "cli/replay/rehearsal/",
];

/// Names that a pure module never uses, from the start of a path.
const IMPURE: &[&[&str]] = &[
    &["tokio"],
    &["tokio_util"],
    &["redis"],
    &["axum"],
    &["reqwest"],
    &["hyper"],
    &["hyper_rustls"],
    &["hyper_util"],
    &["hyper", "server"],
    &["tower"],
    &["rand"],
    &["metrics"],
    &["std", "net"],
    &["std", "fs"],
    &["std", "env"],
    &["std", "thread"],
    &["std", "process"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
    &["crate", "store", "redis"],
    &["crate", "store", "memory"],
];

/// Calls that a pure module never makes, wherever they stand in a path.
const CLOCKS_AND_DICE: &[(&str, &str)] = &[
    ("Timestamp", "now"),
    ("clock", "now"),
    ("Zoned", "now"),
    ("Instant", "now"),
    ("SystemTime", "now"),
    ("Uuid", "new_v4"),
    ("Uuid", "now_v7"),
];

/// Which modules of this crate a module may name; the others it never does.
const ONLY: &[(&str, &[&str])] = &[
    ("store/encoding/keys.rs", &["ids", "store", "time"]),
    ("store/encoding/packed.rs", &[]),
    (
        "store/",
        &[
            "ids",
            "time",
            "clock",
            "room",
            "call",
            "store",
            "telemetry",
            "play_url",
            "entity",
            "orphans",
        ],
    ),
    (
        "webhook/",
        &[
            "ids",
            "time",
            "clock",
            "room",
            "call",
            "store",
            "webhook",
            "telemetry",
            "play_url",
            "tls",
        ],
    ),
];

/// Which modules a module never names.
const NEVER: &[(&str, &[&str])] = &[
    ("http/", &["esl", "sim", "lab", "app", "cli"]),
    // HTTP is one of several ways to change a tenant.
    ("tenants/", &["http", "reconciler", "node", "app", "cli"]),
    // The harness measures a controller from outside and calls none of its parts.
    (
        "roomkeeper-bench/",
        &[
            "http",
            "app",
            "node",
            "reconciler",
            "store",
            "webhook",
            "room",
            "call",
        ],
    ),
    (
        "reconciler/",
        &["http", "sim", "lab", "app", "cli", "config"],
    ),
    // It is a client of a controller over HTTP, or rehearses with the rules.
    ("cli/", &["http", "node", "sim", "lab"]),
    (
        "node/",
        &["room", "call", "store", "http", "webhook", "config", "sim"],
    ),
];

/// Files that may name what they otherwise must not.
const EXCEPT: &[(&str, &str)] = &[
    // The throughput of one connection is not visible from outside of a controller.
    ("roomkeeper-bench/commands.rs", "node"),
];

/// The Event Socket and rooms meet in these files and in no other.
const MEETING: &[&str] = &[
    // Translates events, snapshots and dumps.
    "reconciler/translate.rs",
    // Renders switch commands.
    "reconciler/render.rs",
    // Carries a snapshot's suspects from its first look to its second, and reads nothing of them.
    "reconciler/resync.rs",
];

// ---- the rules ------------------------------------------------------------------------------------------------------

/// The violations in this file.
fn violations(file: &str, source: &str) -> Vec<String> {
    let paths = paths(file, source);
    let mut found = Vec::new();
    if is_within(file, PURE) {
        for path in &paths {
            let named: Vec<&str> = path.iter().map(String::as_str).collect();
            if let Some(bad) = IMPURE.iter().find(|bad| named.starts_with(bad)) {
                found.push(format!("{file} is pure and names {}", bad.join("::")));
            }
            for pair in named.windows(2) {
                if CLOCKS_AND_DICE.contains(&(pair[0], pair[1])) {
                    found.push(format!("{file} is pure and calls {}::{}", pair[0], pair[1]));
                }
            }
        }
    }
    let ours: BTreeSet<&str> = paths.iter().filter_map(|path| module(path)).collect();
    // The most specific rule applies: it comes first.
    if let Some((_, allowed)) = ONLY.iter().find(|(at, _)| is_within(file, &[at])) {
        for module in ours.iter().filter(|module| !allowed.contains(module)) {
            found.push(format!(
                "{file} names {module}, and may name only {allowed:?}"
            ));
        }
    }
    for (_, banned) in NEVER.iter().filter(|(at, _)| is_within(file, &[at])) {
        let excepted = |module: &&&str| EXCEPT.contains(&(file, **module));
        let ours = ours.iter().filter(|module| !excepted(module));
        for module in ours.filter(|module| banned.contains(module)) {
            found.push(format!("{file} must never name {module}"));
        }
    }
    let room = ours.contains("room") || ours.contains("call");
    if ours.contains("esl") && room && !MEETING.contains(&file) {
        found.push(format!(
            "{file} names both the Event Socket and rooms; only {MEETING:?} may"
        ));
    }
    found
}

/// The module of this workspace that a path names: a module of the program, one of the core, or a whole protocol crate.
fn module(path: &[String]) -> Option<&str> {
    match path[0].as_str() {
        "crate" | "roomkeeper" | "roomkeeper_core" => path.get(1).map(String::as_str),
        "freeswitch_esl" => Some("esl"),
        "freeswitch_sim" => Some("sim"),
        _ => None,
    }
}

fn is_within(file: &str, places: &[&str]) -> bool {
    places.iter().any(|place| match place.strip_suffix('/') {
        Some(folder) => file.starts_with(place) || file == format!("{folder}.rs"),
        None => file == *place,
    })
}

// ---- import cycles  ---------------------------------------------------------------------------------------------

/// An import: file `a` imports file `b` if, outside of its tests, a path of `a` leads into the module of `b`. The path may
/// stand in a `use` or in an expression. The longest prefix of the path that is a module is its target.
///
/// - A `mod` declaration imports nothing.
/// - `pub use` (also with a scope) of a path below the own module imports nothing: it gives the item of a child another
///   name. Code that names the item through it imports the child's file. Every other `pub use` imports like a `use`.
/// - A path into the root of the crate (`crate` alone) imports nothing.
type Imports = BTreeMap<String, BTreeSet<String>>;

fn imports(sources: &[(String, String)]) -> Imports {
    // The root of a crate re-exports items of its modules; no file imports the binary beside it.
    let is_module =
        |(file, _): &&(String, String)| !file.ends_with("/lib.rs") && !file.ends_with("/main.rs");
    let files: BTreeMap<Vec<String>, &str> = sources
        .iter()
        .filter(is_module)
        .map(|(file, _)| (module_of(file), file.as_str()))
        .collect();
    let read: Vec<_> = sources
        .iter()
        .map(|(file, source)| (module_of(file), file, reexported(file, source)))
        .collect();
    let names: BTreeMap<Vec<String>, Vec<String>> = read
        .iter()
        .flat_map(|(module, _, reexports)| {
            reexports.iter().map(move |path| {
                let mut name = module.clone();
                name.extend(path.last().cloned());
                (name, path.clone())
            })
        })
        // A macro that is re-exported under its own name.
        .filter(|(name, path)| name != path)
        .collect();
    let mut imports = Imports::new();
    for ((module, file, reexports), (_, source)) in read.iter().zip(sources) {
        let found = imports.entry((*file).clone()).or_default();
        for path in paths(file, source) {
            let path = below_child(module, path, &files);
            let is_reexport = reexports.contains(&path) && path.starts_with(module);
            if path.first().is_some_and(|first| first == "crate") && !is_reexport {
                let target = target(&path, &files, &names);
                found.extend(target.filter(|target| target != file).map(str::to_owned));
            }
        }
    }
    imports
}

/// Resolves a path that begins with a child module of this one.
fn below_child(
    module: &[String],
    path: Vec<String>,
    files: &BTreeMap<Vec<String>, &str>,
) -> Vec<String> {
    let mut child = module.to_vec();
    child.extend(path.first().cloned());
    if path.len() > 1 && files.contains_key(&child) {
        child.extend(path.into_iter().skip(1));
        return child;
    }
    path
}

/// The file that a path leads into.
fn target<'a>(
    path: &[String],
    files: &BTreeMap<Vec<String>, &'a str>,
    names: &BTreeMap<Vec<String>, Vec<String>>,
) -> Option<&'a str> {
    // A re-exported name leads to its origin.
    for length in (2..=path.len()).rev() {
        if files.contains_key(&path[..length]) {
            break;
        }
        if let Some(origin) = names.get(&path[..length]) {
            let mut path_there = origin.clone();
            path_there.extend_from_slice(&path[length..]);
            return target(&path_there, files, names);
        }
    }
    let prefixes = (2..=path.len()).rev().map(|length| &path[..length]);
    prefixes
        .filter_map(|prefix| files.get(prefix))
        .next()
        .copied()
}

/// The paths that a file re-exports with `pub use`.
fn reexported(file: &str, source: &str) -> Vec<Vec<String>> {
    let tokens = without_tests(tokens(source));
    let is = |at: usize, token: &str| tokens.get(at).is_some_and(|found| found == token);
    let mut found = Vec::new();
    for start in (0..tokens.len()).filter(|at| is(*at, "pub")) {
        let mut at = start + 1;
        if is(at, "(") {
            at += tokens[at..]
                .iter()
                .take_while(|token| *token != ")")
                .count()
                + 1;
        }
        if is(at, "use") {
            path_at(&tokens, at + 1, &mut Vec::new(), &mut found);
        }
    }
    let module = module_of(file);
    let child = |path: Vec<String>| {
        let is_relative = path.first().is_some_and(|first| first != "crate");
        let prefix = module.iter().filter(|_| is_relative).cloned();
        prefix.chain(path).collect()
    };
    found
        .into_iter()
        .map(|path| child(resolved(&module, path)))
        .collect()
}

/// The groups of nodes each of which imports, directly or not, all others of its group.
fn cycles(imports: &Imports) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> = imports
        .keys()
        .map(|from| {
            let mut seen = BTreeSet::new();
            let mut open: Vec<&String> = imports[from].iter().collect();
            while let Some(next) = open.pop() {
                if seen.insert(next) {
                    open.extend(imports.get(next).into_iter().flatten());
                }
            }
            (from, seen)
        })
        .collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for (from, seen) in &reached {
        let returns = |to: &&&String| reached.get(**to).is_some_and(|back| back.contains(from));
        let cycle: BTreeSet<String> = seen.iter().filter(returns).map(|s| (**s).clone()).collect();
        if !cycle.is_empty() && !found.contains(&cycle) {
            found.push(cycle);
        }
    }
    found
}

/// The top-level module of a file.
fn folder(file: &str) -> String {
    let first = file.split('/').next().unwrap_or_default();
    first.trim_end_matches(".rs").to_owned()
}

fn folders(imports: &Imports) -> Imports {
    let mut found = Imports::new();
    for (from, targets) in imports {
        let from = folder(from);
        let targets = targets.iter().map(|to| folder(to)).filter(|to| *to != from);
        found.entry(from.clone()).or_default().extend(targets);
    }
    found
}

#[test]
fn folders_have_no_import_cycle() {
    let found = cycles(&folders(&imports(&sources())));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn files_have_no_import_cycle() {
    let found = cycles(&imports(&sources()));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn cycles_are_found_through_re_exports_and_children() {
    let sources = |files: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = files
            .iter()
            .map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
        owned.collect()
    };
    let cycle = |files: &[(&str, &str)]| !cycles(&imports(&sources(files))).is_empty();
    // A parent that re-exports items of its children is in no cycle.
    assert!(!cycle(&[
        (
            "a/mod.rs",
            "mod b; mod c; pub use b::B; pub(crate) use self::c::{C, D};"
        ),
        (
            "a/b.rs",
            "use super::C; pub(super) struct B(C); pub(in crate::a) fn f() {}"
        ),
        ("a/c.rs", "pub struct C; pub struct D;"),
    ]));
    // Two files that use each other through it are.
    assert!(cycle(&[
        ("a/mod.rs", "mod b; mod c; pub use b::B; pub use c::C;"),
        ("a/b.rs", "use super::C;"),
        ("a/c.rs", "fn f() { crate::a::B::new() }"),
    ]));
    // A parent that calls a child, which uses a type of the parent.
    assert!(cycle(&[
        ("a/mod.rs", "mod b; pub struct A; fn f() { b::g() }"),
        ("a/b.rs", "use super::A; pub fn g() {}"),
    ]));
    // Tests may name what they test.
    assert!(!cycle(&[
        ("a.rs", "pub struct A;"),
        ("b.rs", "use crate::a::A; pub fn f() {}"),
        ("c.rs", "#[cfg(test)] mod tests { use crate::a::A; }"),
        ("a/tests.rs", ""),
    ]));
    // A renamed import, and a group across folders.
    let found = cycles(&folders(&imports(&sources(&[
        ("a/x.rs", "use crate::{b::y::Y as Z, c};"),
        ("b/y.rs", "use crate::c::W;"),
        ("c.rs", "use crate::a::x;"),
    ]))));
    let all: BTreeSet<String> = ["a", "b", "c"].map(str::to_owned).into();
    assert_eq!(found, [all]);
}

// ---- reading Rust ---------------------------------------------------------------------------------------------------

/// Every path of a file outside of its tests, `crate`, `self` and `super` resolved.
fn paths(file: &str, source: &str) -> Vec<Vec<String>> {
    let tokens = without_visibility(without_tests(tokens(source)));
    let here = module_of(file);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_ident(&tokens[at]) && (at == 0 || tokens[at - 1] != "::") {
            at = path_at(&tokens, at, &mut Vec::new(), &mut found);
        } else {
            at += 1;
        }
    }
    found
        .into_iter()
        .map(|path| resolved(&here, path))
        .collect()
}

/// Reads the path that begins here, and the groups it opens; returns where it ends.
fn path_at(
    tokens: &[String],
    mut at: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) -> usize {
    let depth = prefix.len();
    let get = |at: usize| tokens.get(at).map(String::as_str).unwrap_or_default();
    while is_ident(get(at)) {
        prefix.push(tokens[at].clone());
        at += 1;
        if get(at) != "::" {
            break;
        }
        at += 1;
    }
    if get(at) == "{" && at > 0 && get(at - 1) == "::" {
        at += 1;
        while at < tokens.len() && get(at) != "}" {
            if is_ident(get(at)) {
                at = path_at(tokens, at, prefix, found);
                // The local name does not matter.
                if get(at) == "as" {
                    at += 2;
                }
            } else {
                at += 1;
            }
        }
        at += 1;
    } else {
        found.push(prefix.clone());
    }
    prefix.truncate(depth);
    at
}

fn resolved(here: &[String], path: Vec<String>) -> Vec<String> {
    if path == ["self"] {
        // The value, not the module.
        return path;
    }
    let mut base: Vec<String> = here.to_vec();
    let mut rest = path.iter();
    let mut relative = false;
    while let Some(first) = rest.as_slice().first() {
        match first.as_str() {
            "super" => {
                base.pop();
            }
            "self" if !relative => {}
            _ => break,
        }
        relative = true;
        rest.next();
    }
    if !relative {
        // `crate` in a crate of its own is that crate.
        let own = here.get(1).filter(|name| name.contains('-'));
        if let (Some(own), "crate") = (own, path.first().map_or("", String::as_str)) {
            let mut path = path;
            path.insert(1, own.clone());
            return path;
        }
        return path;
    }
    base.extend(rest.cloned());
    base
}

fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    std::iter::once("crate")
        .chain(
            path.split('/')
                .filter(|part| *part != "lib" && *part != "main"),
        )
        .map(str::to_owned)
        .collect()
}

fn is_ident(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_') && token != "as"
}

/// Identifiers, `::`, and single characters; no comments, no literals.
fn tokens(source: &str) -> Vec<String> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && chars[i] != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            loop {
                match (at(i), at(i + 1)) {
                    ('/', '*') => (depth, i) = (depth + 1, i + 2),
                    ('*', '/') => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
                if depth == 0 || i >= chars.len() {
                    break;
                }
            }
        } else if c == '"' {
            i = after_string(&chars, i);
        } else if c.is_alphabetic() || c == '_' {
            let start = i;
            while at(i).is_alphanumeric() || at(i) == '_' {
                i += 1;
            }
            let word: String = chars[start..i].iter().collect();
            let hashes = (i..).take_while(|k| at(*k) == '#').count();
            match word.as_str() {
                "b" | "c" if at(i) == '"' => i = after_string(&chars, i),
                "r" | "br" | "cr" if at(i + hashes) == '"' => {
                    i += hashes + 1;
                    let closes = |i: usize| at(i) == '"' && (1..=hashes).all(|k| at(i + k) == '#');
                    while i < chars.len() && !closes(i) {
                        i += 1;
                    }
                    i += hashes + 1;
                }
                _ => tokens.push(word),
            }
        } else if c == '\'' {
            // A character, or the name of a lifetime.
            if at(i + 1) == '\\' {
                i += 3;
                while i < chars.len() && chars[i] != '\'' {
                    i += 1;
                }
                i += 1;
            } else if at(i + 2) == '\'' {
                i += 3;
            } else {
                i += 1;
                while at(i).is_alphanumeric() || at(i) == '_' {
                    i += 1;
                }
            }
        } else if c == ':' && at(i + 1) == ':' {
            tokens.push("::".to_owned());
            i += 2;
        } else {
            if !c.is_whitespace() {
                tokens.push(c.to_string());
            }
            i += 1;
        }
    }
    tokens
}

fn after_string(chars: &[char], quote: usize) -> usize {
    let mut i = quote + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// Takes out the scopes of `pub(super)` and the like, which are no imports.
fn without_visibility(tokens: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        let is_pub = token == "pub";
        kept.push(token);
        if !is_pub || rest.peek().is_none_or(|next| next != "(") {
            continue;
        }
        let scope: Vec<String> = rest.by_ref().take_while(|token| token != ")").collect();
        let is_scope = match &scope[1..] {
            [one] => ["super", "self", "crate"].contains(&one.as_str()),
            [first, ..] => first == "in",
            [] => false,
        };
        if !is_scope {
            kept.extend(scope);
            kept.push(")".to_owned());
        }
    }
    kept
}

/// Takes out every item under `#[cfg(test)]`.
fn without_tests(tokens: Vec<String>) -> Vec<String> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let marked = MARK
            .iter()
            .enumerate()
            .all(|(k, part)| tokens.get(i + k).is_some_and(|token| token == part));
        if !marked {
            kept.push(tokens[i].clone());
            i += 1;
            continue;
        }
        i += MARK.len();
        let mut depth = 0;
        while i < tokens.len() {
            let token = tokens[i].as_str();
            i += 1;
            match token {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            // `use a::{b};` ends with its semicolon, all else with its brace.
            let ended = token == ";" || (token == "}" && tokens.get(i).is_none_or(|t| t != ";"));
            if depth == 0 && ended {
                break;
            }
        }
    }
    kept
}

// ---- the sources ----------------------------------------------------------------------------------------------------

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(&root.join("src"), &mut files);
    walk(&root.join("crates"), &mut files);
    files.sort();
    files
        .into_iter()
        .filter_map(|path| {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            Some((named(name)?, fs::read_to_string(&path).unwrap()))
        })
        // A module of tests in a file of its own.
        .filter(|(name, _)| !name.ends_with("/tests.rs") && !name.contains("/tests/"))
        .collect()
}

/// The name of a source file in the rules: `src/x.rs` is `x.rs`, and `crates/y/src/x.rs` is `y/x.rs`.
fn named(path: &str) -> Option<String> {
    let path = path.replace('\\', "/");
    if let Some(own) = path.strip_prefix("src/") {
        return Some(own.to_owned());
    }
    let (package, rest) = path.strip_prefix("crates/")?.split_once('/')?;
    Some(format!("{package}/{}", rest.strip_prefix("src/")?))
}

/// `tests/simulation/broken.sh` runs rarely, and needs patches that apply.
#[test]
fn every_broken_patch_matches_its_source_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut patches = 0;
    for entry in fs::read_dir(root.join("tests/simulation/broken")).unwrap() {
        let path = entry.unwrap().path();
        let patch = fs::read_to_string(&path).unwrap();
        let named = patch.lines().next().and_then(|l| l.strip_prefix("--- a/"));
        let source = fs::read_to_string(root.join(named.unwrap())).unwrap_or_default();
        let after = patch.split_once(" @@").unwrap().1;
        let before: String = after
            .split_inclusive('\n')
            .skip(1)
            .filter(|line| !line.starts_with('+'))
            .map(|line| line.get(1..).unwrap())
            .collect();
        assert_eq!(
            source.matches(&before).count(),
            1,
            "{} changes these lines, which the source must contain once:\n{before}",
            path.display()
        );
        patches += 1;
    }
    assert!(patches > 0, "there are no patches");
}

#[test]
fn sources_follow_the_architecture() {
    let found: Vec<String> = sources()
        .iter()
        .flat_map(|(file, source)| violations(file, source))
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_path_in_the_rules_exists() {
    let files: Vec<String> = sources().into_iter().map(|(file, _)| file).collect();
    let places = PURE
        .iter()
        .chain(MEETING)
        .chain(ONLY.iter().chain(NEVER).map(|(place, _)| place))
        .chain(EXCEPT.iter().map(|(file, _)| file));
    for place in places {
        assert!(
            files.iter().any(|file| is_within(file, &[place])),
            "{place} is in the rules and not in src"
        );
    }
}

#[test]
fn every_rule_reports_a_violation() {
    for (file, snippet, says) in [
        (
            "roomkeeper-bench/reads.rs",
            "use roomkeeper::node::NodeHandle;",
            "must never name node",
        ),
        (
            "roomkeeper-bench/commands.rs",
            "use roomkeeper::{node, store};",
            "must never name store",
        ),
        (
            "roomkeeper-core/room/state.rs",
            "use tokio::sync::mpsc;",
            "names tokio",
        ),
        (
            "roomkeeper-core/room/new.rs",
            "use redis::Cmd;",
            "names redis",
        ),
        (
            "roomkeeper-core/call/state.rs",
            "fn f() { axum::serve() }",
            "names axum",
        ),
        (
            "roomkeeper-core/ids.rs",
            "use {std::fmt, rand::Rng};",
            "names rand",
        ),
        (
            "freeswitch-esl/parser.rs",
            "use std::{io, net::TcpStream};",
            "names std::net",
        ),
        (
            "store/encoding/keys.rs",
            "use std::time::{Duration, Instant};",
            "names std::time::Instant",
        ),
        (
            "webhook/sign.rs",
            "use std::time::SystemTime as T;",
            "names std::time::SystemTime",
        ),
        ("webhook/payload.rs", "use reqwest::Url;", "names reqwest"),
        (
            "freeswitch-sim/core/call.rs",
            "fn f() { std::thread::sleep(d) }",
            "names std::thread",
        ),
        (
            "store/encoding/room.rs",
            "use crate::store::redis::RedisStore;",
            "names crate::store::redis",
        ),
        (
            "roomkeeper-core/node_state/mod.rs",
            "fn f() { let t = Timestamp::now(); }",
            "calls Timestamp::now",
        ),
        (
            "roomkeeper-core/conference_meta.rs",
            "fn f() { crate::clock::now() }",
            "calls clock::now",
        ),
        (
            "roomkeeper-core/time.rs",
            "fn f() { std::time::SystemTime::now() }",
            "calls SystemTime::now",
        ),
        (
            "roomkeeper-core/intent.rs",
            "fn f() { uuid::Uuid::new_v4() }",
            "calls Uuid::new_v4",
        ),
        (
            "store/redis/mod.rs",
            "use freeswitch_esl::Event;",
            "names esl",
        ),
        (
            "store/memory.rs",
            "use crate::reconciler::Intent;",
            "names reconciler",
        ),
        (
            "webhook/worker.rs",
            "use crate::node::NodeHandle;",
            "names node",
        ),
        (
            "cli/rooms.rs",
            "use crate::http::ApiState;",
            "never name http",
        ),
        ("http/auth.rs", "use crate::esl::Event;", "never name esl"),
        (
            "tenants/registry.rs",
            "use crate::http::ApiState;",
            "never name http",
        ),
        (
            "http/gateway/rooms.rs",
            "fn f() { crate::esl::f() }",
            "never name esl",
        ),
        (
            "node/handle.rs",
            "use crate::{esl::Event, room::RoomState};",
            "never name room",
        ),
        (
            "reconciler/feed.rs",
            "use crate::esl::Event; use crate::room::Who;",
            "names both",
        ),
        (
            "app.rs",
            "use freeswitch_esl::Event; use roomkeeper_core::call;",
            "names both",
        ),
    ] {
        let found = violations(file, snippet);
        assert!(
            found.iter().any(|v| v.contains(says)),
            "{snippet:?} in {file} gives {found:?}"
        );
    }
}

#[test]
fn comments_literals_and_tests_are_ignored() {
    for innocent in [
        "// use tokio::net;\n/* rand::random() /* std::net */ crate::esl */",
        "//! [`crate::esl`] is not known here.\n/// `Timestamp::now`",
        "const A: &str = \"tokio::spawn \\\" crate::esl\"; const B: &str = r#\"rand::\"crate::http\"#;",
        "const Q: char = '\"'; const R: char = '\\''; const C: &[u8] = b\"crate::esl\";",
        "#[cfg(test)] mod tests { use tokio::time; fn f() { if a { rand::random() } } }",
        "#[cfg(test)] use crate::{esl::Event, store::Store};\nuse crate::ids::RoomId;",
        "#[cfg(test)]\nmod tests;",
        "use super::state::{Flags, Stay}; fn f<'a>(x: &'a str) -> &'a str { x }",
        "use crate::time::Timestamp; fn later(now: Timestamp) -> Timestamp { now }",
        "fn f() { room::apply(state, input, now); match self { _ => self.node.esl() } }",
    ] {
        let found = violations("roomkeeper-core/room/transition.rs", innocent);
        assert!(found.is_empty(), "{innocent:?} gives {found:?}");
    }
    // Code after a test module is read again.
    let behind = "#[cfg(test)] mod tests { } use tokio::time;";
    assert!(!violations("roomkeeper-core/room/transition.rs", behind).is_empty());
}
