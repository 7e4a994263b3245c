//! Reads the section `dial`: the calls that apps may have FreeSWITCH make.

use freeswitch_esl::command::DialTemplate;
use roomkeeper_core::dial::{DialPermission, DialRules, DialplanContext};
use roomkeeper_core::ids::AppId;

use super::tree::{Section, Tree};
use super::types::DialConfig;

pub(super) fn read_dial(mut s: Section<'_>) -> DialConfig {
    let number = read_template(&mut s, "number");
    let address = read_template(&mut s, "address");
    let max_per_app = s.number("max_per_app", 20.0, 1.0, 1_000.0);
    if max_per_app.fract() != 0.0 {
        s.problem("max_per_app", "expected a whole number");
    }
    let list = s.list("allow");
    let mut permissions = Vec::new();
    for (i, tree) in list.into_iter().enumerate() {
        permissions.extend(read_permission(&mut s, i, tree));
    }
    s.finish();
    DialConfig {
        rules: DialRules {
            numbers_have_route: number.is_some(),
            addresses_have_route: address.is_some(),
            permissions,
        },
        number,
        address,
        // Whole and within bounds, or a problem.
        max_per_app: max_per_app as u32,
    }
}

fn read_template(s: &mut Section<'_>, key: &str) -> Option<DialTemplate> {
    let text = s.text(key)?;
    let template = DialTemplate::new(&text, key);
    if template.is_err() {
        s.problem(
            key,
            format!(
                "{text:?} is not the dial string of one leg with ${{{key}}} in it, such as sofia/gateway/trunk/${{{key}}}"
            ),
        );
    }
    template.ok()
}

fn read_permission(parent: &mut Section<'_>, i: usize, tree: Tree) -> Option<DialPermission> {
    let path = parent.key(&format!("allow[{i}]"));
    let mut s = Section::new(path, tree, parent.problems);
    let app = s.required("app");
    let app: Option<Option<AppId>> = app.and_then(|text| match text.as_str() {
        "*" => Some(None),
        id => s.parsed("app", id).map(Some),
    });
    let numbers = read_beginnings(&mut s, "numbers");
    let callers = read_beginnings(&mut s, "callers");
    let domains = s.texts("domains");
    for (i, domain) in domains.iter().enumerate() {
        if format!("a@{domain}")
            .parse::<roomkeeper_core::dial::SipAddress>()
            .is_err()
            || domain.contains(':')
        {
            let key = format!("domains[{i}]");
            s.problem(&key, format!("{domain:?} is not a host name or address"));
        }
    }
    let mut contexts = Vec::new();
    for (i, context) in s.texts("contexts").into_iter().enumerate() {
        contexts.extend(s.parsed::<DialplanContext>(&format!("contexts[{i}]"), &context));
    }
    if numbers.is_empty() && domains.is_empty() && contexts.is_empty() {
        s.problem("numbers", "numbers, domains or contexts are required");
    }
    s.finish();
    Some(DialPermission {
        app: app?,
        numbers,
        domains: domains.iter().map(|d| d.to_ascii_lowercase()).collect(),
        contexts,
        callers,
    })
}

/// Takes the beginnings of numbers; `*` stands for any number.
fn read_beginnings(s: &mut Section<'_>, key: &str) -> Vec<String> {
    let mut beginnings = Vec::new();
    for (i, text) in s.texts(key).into_iter().enumerate() {
        let digits = text.strip_prefix('+').unwrap_or(&text);
        let is_beginning = text == "+"
            || (1..=32).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if text == "*" {
            beginnings.push(String::new());
        } else if is_beginning {
            beginnings.push(text);
        } else {
            s.problem(
                &format!("{key}[{i}]"),
                format!("{text:?} is neither the beginning of a number, such as +49, nor \"*\""),
            );
        }
    }
    beginnings
}
