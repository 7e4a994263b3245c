//! Checks that freeswitch-conf/ is XML and has the required settings. The walk shows that a FreeSWITCH runs on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use roxmltree::{Document, Node};

use super::{read, root};

/// Returns the files by name.
fn files() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in ["freeswitch-conf", "freeswitch-conf/configuration"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "xml") {
                let name = path.strip_prefix(root().join("freeswitch-conf")).unwrap();
                found.insert(
                    name.display().to_string(),
                    fs::read_to_string(&path).unwrap(),
                );
            }
        }
    }
    found
}

/// Calls `f` with each file's document.
fn each(mut f: impl FnMut(&str, &Document<'_>)) {
    let files = files();
    assert!(files.len() >= 8, "{:?}", files.keys());
    for (name, text) in &files {
        let document = Document::parse(text).unwrap_or_else(|e| panic!("{name}: {e}"));
        f(name, &document);
    }
}

fn document(name: &str, f: impl FnOnce(&Document<'_>)) {
    let text = read(format!("freeswitch-conf/{name}"));
    f(&Document::parse(&text).unwrap());
}

fn elements<'a>(document: &'a Document<'_>, tag: &str) -> Vec<Node<'a, 'a>> {
    document
        .descendants()
        .filter(|node| node.has_tag_name(tag))
        .collect()
}

fn attribute<'a>(node: Node<'a, '_>, name: &str) -> &'a str {
    node.attribute(name).unwrap_or_default()
}

/// Returns the value of a parameter within an element.
fn param<'a>(within: Node<'a, 'a>, name: &str) -> Option<&'a str> {
    within
        .descendants()
        .find(|node| node.has_tag_name("param") && attribute(*node, "name") == name)
        .map(|node| attribute(node, "value"))
}

fn configuration<'a>(document: &'a Document<'_>, name: &str) -> Node<'a, 'a> {
    let found = elements(document, "configuration");
    let found = found.into_iter().find(|c| attribute(*c, "name") == name);
    found.unwrap_or_else(|| panic!("there is no {name}"))
}

/// Returns the settings: each with its default, if any, and the environment variable that replaces it.
fn settings() -> BTreeMap<String, (Option<String>, String)> {
    let mut settings = BTreeMap::new();
    document("vars.xml", |vars| {
        let mut defaults = BTreeMap::new();
        for step in elements(vars, "X-PRE-PROCESS") {
            let (name, value) = attribute(step, "data").split_once('=').unwrap();
            match attribute(step, "cmd") {
                "set" | "exec-set" => {
                    defaults.insert(name.to_owned(), value.to_owned());
                }
                "env-set" => {
                    let variable = value.strip_prefix('$').unwrap();
                    assert_eq!(variable, name.to_uppercase(), "{name}");
                    let setting = (defaults.remove(name), variable.to_owned());
                    settings.insert(name.to_owned(), setting);
                }
                other => panic!("{other}"),
            }
        }
        // The remaining settings cannot be replaced.
        let fixed: Vec<_> = defaults.into_iter().collect();
        assert_eq!(fixed, [("domain".to_owned(), "$${rk_sip_ip}".to_owned())]);
    });
    settings
}

#[test]
fn every_file_is_xml_and_is_included() {
    let mut included = BTreeSet::from(["freeswitch.xml".to_owned()]);
    document("freeswitch.xml", |main| {
        for step in elements(main, "X-PRE-PROCESS") {
            included.insert(attribute(step, "data").to_owned());
        }
    });
    each(|name, document| {
        let whole = name == "freeswitch.xml";
        let expected = if whole { "document" } else { "include" };
        assert!(document.root_element().has_tag_name(expected), "{name}");
        let by_folder =
            name.starts_with("configuration/") && included.contains("configuration/*.xml");
        assert!(
            by_folder || included.contains(name),
            "{name} is not included"
        );
    });
}

#[test]
fn every_setting_is_used_and_documented() {
    let (settings, readme) = (settings(), read("freeswitch-conf/README.md"));
    assert!(settings.len() >= 15, "{settings:?}");
    let all: String = files().into_values().collect();
    for (name, (_, variable)) in &settings {
        let used = [format!("$${{{name}}}"), format!("${{{name}}}")];
        assert!(
            used.iter().any(|used| all.contains(used)),
            "{name} is not used"
        );
        assert!(
            readme.contains(&format!("`{variable}`")),
            "{variable} is not documented"
        );
    }
    for rest in all.split("{rk_").skip(1) {
        let name = format!("rk_{}", rest.split('}').next().unwrap());
        assert!(settings.contains_key(&name), "{name} is set nowhere");
    }
    // The README documents no other settings.
    for rest in readme.split("| `RK_").skip(1) {
        let name = format!("rk_{}", rest.split('`').next().unwrap().to_lowercase());
        assert!(settings.contains_key(&name), "{name} is documented");
    }
}

#[test]
fn no_login_works_by_default() {
    let settings = settings();
    for (name, (default, _)) in &settings {
        let default = default.as_deref().unwrap_or_default();
        if name.ends_with("password") || name.ends_with("_key") {
            assert_eq!(default, "cat /proc/sys/kernel/random/uuid", "{name}");
        } else if name.ends_with("_listen") || name.ends_with("_ip") {
            assert_eq!(default, "127.0.0.1", "{name}");
        } else if name.ends_with("_acl") {
            assert_eq!(default, "loopback.auto", "{name}");
        }
    }
    let mut guarded = 0;
    each(|name, document| {
        for node in elements(document, "param") {
            let (key, value) = (attribute(node, "name"), attribute(node, "value"));
            let is = |words: &[&str]| words.iter().any(|word| key.contains(word));
            // These two admit nobody.
            if key == "local-network-acl" || key == "NDLB-force-rport" {
                continue;
            }
            if is(&["password", "port", "-ip", "acl"]) && !key.starts_with("rfc") {
                assert!(value.starts_with("$${rk_"), "{name}: {key} is {value:?}");
                guarded += 1;
            }
        }
    });
    assert!(guarded >= 13, "{guarded}");
    document("configuration/event_socket.xml", |xml| {
        let socket = configuration(xml, "event_socket.conf");
        assert_eq!(param(socket, "password"), Some("$${rk_esl_password}"));
        assert_eq!(param(socket, "apply-inbound-acl"), Some("$${rk_esl_acl}"));
        assert_eq!(param(socket, "stop-on-bind-error"), Some("true"));
    });
    document("configuration/sofia.xml", |xml| {
        for profile in elements(xml, "profile") {
            let (asks, acl) = (
                param(profile, "auth-calls"),
                param(profile, "apply-inbound-acl"),
            );
            assert!(
                asks == Some("true") || acl.is_some(),
                "calls need no password and no ACL"
            );
            for lax in ["accept-blind-reg", "accept-blind-auth"] {
                assert_ne!(param(profile, lax), Some("true"), "{lax}");
            }
        }
    });
}

#[test]
fn core_settings_are_those_that_the_controller_requires() {
    document("configuration/core.xml", |xml| {
        let core = configuration(xml, "switch.conf");
        assert_eq!(param(core, "api-expansion"), Some("false"));
        // After 45 s of silence the controller takes the connection for dead.
        let beat: u32 = param(core, "event-heartbeat-interval")
            .unwrap()
            .parse()
            .unwrap();
        assert!(beat <= 20, "{beat}");
        let mut modules = BTreeMap::new();
        for load in elements(xml, "load") {
            let critical = attribute(load, "critical") == "true";
            modules.insert(attribute(load, "module").to_owned(), critical);
        }
        for critical in [
            "event_socket",
            "commands",
            "conference",
            "dptools",
            "dialplan_xml",
        ] {
            assert_eq!(
                modules.get(&format!("mod_{critical}")),
                Some(&true),
                "{critical}"
            );
        }
        let optional = [
            "sofia",
            "loopback",
            "opus",
            "sndfile",
            "tone_stream",
            "local_stream",
            "httapi",
            "shout",
            "say_en",
            "flite",
            "console",
            "logfile",
        ];
        for name in optional {
            assert_eq!(modules.get(&format!("mod_{name}")), Some(&false), "{name}");
        }
        assert_eq!(modules.len(), 5 + optional.len(), "{modules:?}");
    });
}

#[test]
fn conferences_set_no_restrictions() {
    document("configuration/conference.xml", |xml| {
        let profiles = elements(xml, "profile");
        let names: Vec<&str> = profiles.iter().map(|p| attribute(*p, "name")).collect();
        assert_eq!(names, ["roomkeeper", "roomkeeper-connect"]);
        for profile in &profiles {
            for hides in [
                "suppress-events",
                "pin",
                "moderator-pin",
                "conference-flags",
                "member-flags",
            ] {
                assert_eq!(param(*profile, hides), None, "{hides}");
            }
            assert_eq!(param(*profile, "caller-controls"), Some("none"));
        }
        assert_eq!(param(profiles[0], "max-members"), None);
        assert_eq!(param(profiles[1], "max-members"), Some("2"));
    });
}

/// The extensions of a context.
fn extensions_of<'a>(document: &'a Document<'_>, context: &str) -> Vec<Node<'a, 'a>> {
    let contexts = elements(document, "context").into_iter();
    let mut named = contexts.filter(|found| attribute(*found, "name") == context);
    let context = named
        .next()
        .unwrap_or_else(|| panic!("there is no {context}"));
    let children = context.children();
    children
        .filter(|node| node.has_tag_name("extension"))
        .collect()
}

#[test]
fn relays_need_the_key_and_are_no_calls() {
    document("dialplan.xml", |xml| {
        let extensions = extensions_of(xml, "relays");
        let (nobody, admitted) = extensions.split_last().unwrap();
        let nodes = |extension: &Node<'_, '_>, name: &'static str, attributes: [&str; 2]| {
            let found = extension
                .descendants()
                .filter(|node| node.has_tag_name(name));
            let pairs = found
                .map(|node| attributes.map(|a| node.attribute(a).unwrap_or_default().to_owned()));
            pairs.collect::<Vec<_>>()
        };
        let key = ["${sip_h_X-Roomkeeper-Key}", "^\\Q$${rk_relay_key}\\E$"];
        assert!(!admitted.is_empty());
        for extension in admitted {
            let conditions = nodes(extension, "condition", ["field", "expression"]);
            assert_eq!(conditions[0], key);
            assert_eq!(attribute(*extension, "continue"), "");
            let actions = nodes(extension, "action", ["application", "data"]);
            assert!(
                actions.iter().all(|action| action[0] != "park"),
                "{actions:?}"
            );
        }
        // Everybody else.
        assert_eq!(
            nodes(nobody, "condition", ["field", "expression"]),
            [["", ""]]
        );
        let actions = nodes(nobody, "action", ["application", "data"]);
        assert_eq!(actions, [["hangup", "CALL_REJECTED"]]);
    });
}

#[test]
fn every_call_reaches_a_park_with_a_timeout() {
    document("dialplan.xml", |xml| {
        let contexts = elements(xml, "context");
        let names: Vec<&str> = contexts.iter().map(|c| attribute(*c, "name")).collect();
        assert_eq!(names, ["inbound", "relays"]);
        let extensions = extensions_of(xml, "inbound");
        // An edge passes its calls on to a node.
        let ends = extensions.iter().filter(|e| {
            attribute(**e, "continue") != "true" && attribute(**e, "name") != "forward"
        });
        let mut rooms = 0;
        for extension in ends {
            let actions: Vec<(&str, &str)> = extension
                .descendants()
                .filter(|node| node.has_tag_name("action"))
                .map(|node| (attribute(node, "application"), attribute(node, "data")))
                .collect();
            let at = |app: &str| actions.iter().position(|(name, _)| *name == app);
            let timeout = ("set", "park_timeout=${rk_park_timeout}");
            let set = actions
                .iter()
                .position(|action| *action == timeout)
                .unwrap();
            assert_eq!(at("park"), Some(actions.len() - 1), "{actions:?}");
            assert!(
                at("answer").is_some() && set < actions.len() - 1,
                "{actions:?}"
            );
            rooms += usize::from(
                actions
                    .iter()
                    .any(|(name, data)| *name == "conference" && *data == "$1@roomkeeper"),
            );
        }
        assert_eq!(rooms, 1);
        let app = extensions
            .iter()
            .find(|e| attribute(**e, "continue") == "true");
        let app = app.expect("the dialplan sets the call's app");
        let sets_app = app
            .descendants()
            .any(|node| attribute(node, "data") == "roomkeeper_app=${rk_app}");
        assert!(sets_app);
        let last = extensions.last().unwrap();
        let takes_all = last
            .descendants()
            .any(|node| attribute(node, "expression") == "^.+$");
        assert!(takes_all, "some calls match no extension");
    });
}

#[test]
fn edge_passes_on_only_when_it_has_a_target() {
    assert_eq!(settings()["rk_forward_to"].0, None, "off by default");
    document("dialplan.xml", |xml| {
        let extensions = extensions_of(xml, "inbound");
        let names: Vec<&str> = extensions.iter().map(|e| attribute(*e, "name")).collect();
        assert_eq!(names, ["whose", "forward", "room", "park"]);
        let conditions: Vec<(&str, &str)> = extensions[1]
            .descendants()
            .filter(|node| node.has_tag_name("condition"))
            .map(|node| (attribute(node, "field"), attribute(node, "expression")))
            .collect();
        let [target, number] = conditions[..] else {
            panic!("{conditions:?}");
        };
        assert_eq!(target.0, "${rk_forward_to}");
        // An address: neither an empty text nor the name of a variable without a value.
        assert_eq!(target.1, "^[A-Za-z0-9.-]+:[0-9]+$");
        // The number goes into a dial string, so it has no separators and no variables.
        let number = (number.0, number.1);
        let allowed = "^([A-Za-z0-9+*#_.-]{1,64})$";
        assert_eq!(number, ("destination_number", allowed));
    });
}
