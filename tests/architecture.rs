//! Keeps the shape of `src/ARCHITECTURE.md`: which module may name which, and what the pure ones never touch.
//!
//! Reads the sources as text: comments, literals and test modules are taken out, every path that is left (in a `use` or
//! in the middle of an expression) is resolved to its module, and the rules are held against it. The rules are shown to
//! bite by snippets that break each of them.
// All of it is a test, also what the lint cannot know to be one.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules that see no I/O, no clock and no randomness; `a/` is the file `a.rs` or the folder.
const PURE: &[&str] = &[
    "ids.rs",
    "time.rs",
    "esl/frame/",
    "esl/json/",
    "esl/lines/",
    "esl/parser/",
    "esl/event/",
    "esl/command/",
    "esl/session/",
    "node/nudge/",
    "listen/head/",
    "room/",
    "session/",
    "reconciler/backlog/",
    "reconciler/belief/",
    "reconciler/conference_list/",
    "reconciler/news/",
    "reconciler/table/",
    "reconciler/translate/",
    "reconciler/meta/",
    "reconciler/intent/",
    "store/call/",
    "store/keys/",
    "store/member/",
    "store/packed/",
    "store/record/",
    "store/view/",
    "store/board/",
    "action/",
    "media/link/",
    "webhook/payload/",
    "webhook/sign/",
    "webhook/breaker/",
    "webhook/schedule/",
    "sim/core/",
    "cli/replay/rehearsal/",
];

/// What a pure module never names, from the start of a path.
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

/// What a pure module never calls, wherever it stands in a path.
const CLOCKS_AND_DICE: &[(&str, &str)] = &[
    ("Timestamp", "now"),
    ("Zoned", "now"),
    ("Instant", "now"),
    ("SystemTime", "now"),
    ("Uuid", "new_v4"),
    ("Uuid", "now_v7"),
];

/// `Timestamp::now` itself: the shell calls it, so something has to hold it.
const THE_CLOCK: (&str, &str) = ("time.rs", "jiff::Timestamp::now");

/// Which modules of this crate a module may name; the others it never does.
const ONLY: &[(&str, &[&str])] = &[
    ("ids.rs", &["ids"]),
    ("time.rs", &["time"]),
    // No sockets, no databases, no headers of FreeSWITCH: ids, times, each other.
    ("room/", &["ids", "time", "room", "play_url", "action"]),
    ("session/", &["ids", "time", "room", "session", "action"]),
    ("action.rs", &["play_url"]),
    // The protocol knows nothing of what it is used for.
    // What a tenant may have played is checked text like its own arguments.
    ("esl/", &["esl", "play_url"]),
    // The simulated node must not share our understanding of the real one.
    ("sim/", &["sim"]),
    ("store/keys.rs", &["ids", "store", "time"]),
    ("store/packed.rs", &[]),
    (
        "store/",
        &[
            "ids",
            "time",
            "room",
            "session",
            "store",
            "telemetry",
            "play_url",
        ],
    ),
    (
        "webhook/",
        &[
            "ids",
            "time",
            "room",
            "session",
            "store",
            "webhook",
            "telemetry",
            "play_url",
            "tls",
        ],
    ),
    ("reconciler/news.rs", &["ids", "time", "room", "session"]),
];

/// Which modules a module never names.
const NEVER: &[(&str, &[&str])] = &[
    ("api/", &["esl", "sim", "lab", "app", "cli", "bench"]),
    // It measures a controller from outside; what it measures it does not call.
    (
        "bench/",
        &[
            "api",
            "app",
            "node",
            "reconciler",
            "store",
            "webhook",
            "room",
            "session",
        ],
    ),
    (
        "reconciler/",
        &["api", "sim", "lab", "app", "cli", "config", "bench"],
    ),
    // It asks a controller over HTTP, or rehearses with the rules; it is none.
    ("cli/", &["api", "node", "sim", "lab"]),
    (
        "node/",
        &[
            "room", "session", "store", "api", "webhook", "config", "sim",
        ],
    ),
];

/// Who may name what it otherwise must not.
const EXCEPT: &[(&str, &str)] = &[
    // What one connection can carry is not to be seen from outside of a controller.
    ("bench/commands.rs", "node"),
];

/// The Event Socket and rooms meet in these files and in no other.
const MEETING: &[&str] = &[
    // Events, snapshots and dumps into news.
    "reconciler/translate.rs",
    // Orders into commands.
    "reconciler/orders.rs",
    // Carries a snapshot's suspects from its first look to its second, and reads nothing of them.
    "reconciler/resync.rs",
];

// ---- the rules ------------------------------------------------------------------------------------------------------

/// What is wrong with this file.
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
                let clock = (file, named.join("::").as_str()) == THE_CLOCK;
                if CLOCKS_AND_DICE.contains(&(pair[0], pair[1])) && !clock {
                    found.push(format!("{file} is pure and calls {}::{}", pair[0], pair[1]));
                }
            }
        }
    }
    let ours: BTreeSet<&str> = paths
        .iter()
        .filter(|path| path[0] == "crate")
        .filter_map(|path| path.get(1).map(String::as_str))
        .collect();
    // The most particular rule counts: it stands first.
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
    let room = ours.contains("room") || ours.contains("session");
    if ours.contains("esl") && room && !MEETING.contains(&file) {
        found.push(format!(
            "{file} names both the Event Socket and rooms; only {MEETING:?} may"
        ));
    }
    found
}

fn is_within(file: &str, places: &[&str]) -> bool {
    places.iter().any(|place| match place.strip_suffix('/') {
        Some(folder) => file.starts_with(place) || file == format!("{folder}.rs"),
        None => file == *place,
    })
}

// ---- reading Rust ---------------------------------------------------------------------------------------------------

/// Every path of a file outside of its tests, `crate`, `self` and `super` resolved.
fn paths(file: &str, source: &str) -> Vec<Vec<String>> {
    let tokens = without_tests(tokens(source));
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
                // What it is called here does not matter.
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
            (name.replace('\\', "/"), fs::read_to_string(&path).unwrap())
        })
        // A module of tests in a file of its own.
        .filter(|(name, _)| !name.ends_with("/tests.rs") && !name.contains("/tests/"))
        .collect()
}

/// `tests/simulation/broken.sh` needs patches that fit, and runs rarely.
#[test]
fn what_the_patches_spoil_is_there_once() {
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
            "{} is to spoil this:\n{before}",
            path.display()
        );
        patches += 1;
    }
    assert!(patches > 0, "there are none");
}

#[test]
fn the_sources_keep_to_the_architecture() {
    let found: Vec<String> = sources()
        .iter()
        .flat_map(|(file, source)| violations(file, source))
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_place_in_the_rules_exists() {
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
    // The exception is needed, and read as what it is.
    let (file, call) = THE_CLOCK;
    let time = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file));
    let called = paths(file, &time.unwrap());
    assert!(called.iter().any(|path| path.join("::") == call));
}

#[test]
fn every_rule_bites() {
    for (file, snippet, says) in [
        (
            "bench/reads.rs",
            "use crate::node::NodeHandle;",
            "must never name node",
        ),
        (
            "bench/commands.rs",
            "use crate::{node, store};",
            "must never name store",
        ),
        ("room/state.rs", "use tokio::sync::mpsc;", "names tokio"),
        ("room/new.rs", "use redis::Cmd;", "names redis"),
        ("session/state.rs", "fn f() { axum::serve() }", "names axum"),
        ("ids.rs", "use {std::fmt, rand::Rng};", "names rand"),
        (
            "esl/parser.rs",
            "use std::{io, net::TcpStream};",
            "names std::net",
        ),
        (
            "store/keys.rs",
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
            "sim/core/call.rs",
            "fn f() { std::thread::sleep(d) }",
            "names std::thread",
        ),
        (
            "store/record.rs",
            "use super::redis::RedisStore;",
            "names crate::store::redis",
        ),
        (
            "reconciler/belief.rs",
            "fn f() { let t = Timestamp::now(); }",
            "calls Timestamp::now",
        ),
        (
            "reconciler/meta.rs",
            "fn f() { crate::time::Timestamp::now() }",
            "calls Timestamp::now",
        ),
        (
            "time.rs",
            "fn f() { std::time::SystemTime::now() }",
            "calls SystemTime::now",
        ),
        (
            "reconciler/intent.rs",
            "fn f() { uuid::Uuid::new_v4() }",
            "calls Uuid::new_v4",
        ),
        ("room/plan.rs", "use crate::esl::Event;", "names esl"),
        (
            "room/plan.rs",
            "use crate::{ids::RoomId, store::Record};",
            "names store",
        ),
        (
            "room/plan.rs",
            "use super::super::node::NodeHandle;",
            "names node",
        ),
        (
            "session/mod.rs",
            "fn f(a: &crate::api::App) {}",
            "names api",
        ),
        (
            "session/mod.rs",
            "use crate::reconciler::news::News;",
            "names reconciler",
        ),
        (
            "esl/session.rs",
            "use crate::session::SessionState;",
            "names session",
        ),
        ("esl/mod.rs", "use crate::room::RoomState;", "names room"),
        (
            "esl/codec.rs",
            "use super::super::reconciler::Link;",
            "names reconciler",
        ),
        ("esl/codec.rs", "use crate::store::Store;", "names store"),
        ("esl/codec.rs", "use crate::api::App;", "names api"),
        ("sim/server.rs", "use crate::esl::EslCodec;", "names esl"),
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
            "use crate::api::ApiState;",
            "never name api",
        ),
        ("api/auth.rs", "use crate::esl::Event;", "never name esl"),
        (
            "api/gateway/rooms.rs",
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
        ("app.rs", "use crate::{esl::Event, session};", "names both"),
    ] {
        let found = violations(file, snippet);
        assert!(
            found.iter().any(|v| v.contains(says)),
            "{snippet:?} in {file} gives {found:?}"
        );
    }
}

#[test]
fn what_is_no_mention_is_not_taken_for_one() {
    for innocent in [
        "// use tokio::net;\n/* rand::random() /* std::net */ crate::esl */",
        "//! [`crate::esl`] is not known here.\n/// `Timestamp::now`",
        "const A: &str = \"tokio::spawn \\\" crate::esl\"; const B: &str = r#\"rand::\"crate::api\"#;",
        "const Q: char = '\"'; const R: char = '\\''; const C: &[u8] = b\"crate::esl\";",
        "#[cfg(test)] mod tests { use tokio::time; fn f() { if a { rand::random() } } }",
        "#[cfg(test)] use crate::{esl::Event, store::Store};\nuse crate::ids::RoomId;",
        "#[cfg(test)]\nmod tests;",
        "use super::state::{Flags, Stay}; fn f<'a>(x: &'a str) -> &'a str { x }",
        "use crate::time::Timestamp; fn later(now: Timestamp) -> Timestamp { now }",
        "fn f() { room::apply(state, input, now); match self { _ => self.node.esl() } }",
    ] {
        let found = violations("room/transition.rs", innocent);
        assert!(found.is_empty(), "{innocent:?} gives {found:?}");
    }
    // What stands behind a test module is read again.
    let behind = "#[cfg(test)] mod tests { } use tokio::time;";
    assert!(!violations("room/transition.rs", behind).is_empty());
}
