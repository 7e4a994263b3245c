//! The ports and addresses that softphones use, and the page that documents them.

use std::collections::BTreeSet;

use super::{Compose, strings};
use crate::read;

#[test]
fn phones_use_published_ports_and_reach_the_first_node() {
    let compose = Compose::load();
    let (edge, node) = (compose.service("phones"), compose.service("freeswitch-1"));
    let setting = |name: &str| edge.environment[name].as_str();
    let address = setting("RK_PHONE_ADDRESS");
    // SIP names addresses and ports, so both sides of a published port are the same.
    let mut expected = BTreeSet::new();
    let sip = setting("RK_PHONE_PORT");
    for protocol in ["udp", "tcp"] {
        expected.insert(format!("{address}:{sip}:{sip}/{protocol}"));
    }
    let [first, last] =
        ["RK_RTP_START", "RK_RTP_END"].map(|name| setting(name).parse::<u32>().unwrap());
    // The last pair of ports has the second one behind it.
    let media = format!("{first}-{}", last + 1);
    expected.insert(format!("{address}:{media}:{media}/udp"));
    let published: BTreeSet<String> = strings(&edge.all["ports"]).into_iter().collect();
    assert_eq!(published, expected);
    assert!(
        last - first < 100,
        "an engine starts a process for each port"
    );
    let target = format!("{}:5060", node.environment["RK_SIP_IP"]);
    assert_eq!(setting("RK_FORWARD_TO"), target);
    assert_eq!(
        setting("RK_PHONE_PASSWORD"),
        node.environment["RK_PHONE_PASSWORD"]
    );
}

#[test]
fn fixed_addresses_are_in_the_configurable_network() {
    let text = read("docker-compose.yml");
    let compose = Compose::load();
    assert!(compose.variables.iter().any(|name| name == "RK_NETWORK"));
    let subnet = compose.all["networks"]["rooms"]["ipam"]["config"][0]["subnet"].as_str();
    let network = subnet.unwrap().strip_suffix(".0/24").unwrap();
    let numbers: Vec<u8> = network.split('.').map(|n| n.parse().unwrap()).collect();
    // The networks that docs/softphone.md lists as taken by others.
    let [first, second, _] = numbers[..] else {
        panic!("{network}");
    };
    assert_eq!(first, 10, "{network}");
    let taken = matches!(second, 0 | 1 | 42 | 43 | 88..);
    assert!(!taken, "{network}");
    let mut used = BTreeSet::new();
    for (name, service) in &compose.services {
        let fixed = &service.all["networks"]["rooms"]["ipv4_address"];
        if let Some(fixed) = fixed.as_str() {
            assert!(fixed.starts_with(&format!("{network}.")), "{name}: {fixed}");
            assert!(used.insert(fixed.to_owned()), "{fixed} is used twice");
            assert_eq!(service.environment["RK_SIP_IP"], fixed, "{name}");
        }
    }
    assert_eq!(used.len(), 3, "{used:?}");
    // Every other text goes with the variable.
    let literal = format!("{network}.");
    let lines = text.lines().filter(|line| line.contains(&literal));
    for line in lines.filter(|line| !line.starts_with('#')) {
        assert!(
            !line
                .replace(&format!("${{RK_NETWORK:-{network}}}."), "")
                .contains(&literal),
            "{line}"
        );
    }
}

/// The page for softphones has the file's own values.
#[test]
fn softphone_page_has_the_settings_of_the_file() {
    let (page, compose) = (read("docs/softphone.md"), Compose::load());
    let edge = &compose.service("phones").environment;
    let row = |setting: &str| {
        let line = page
            .lines()
            .find(|line| line.starts_with(&format!("| {setting}")));
        line.unwrap_or_else(|| panic!("no row {setting}"))
    };
    let registrar = format!("`{}:{}`", edge["RK_PHONE_ADDRESS"], edge["RK_PHONE_PORT"]);
    assert!(row("domain, registrar").contains(&registrar), "{registrar}");
    let password = format!("`{}`", edge["RK_PHONE_PASSWORD"]);
    assert!(row("password").contains(&password), "{password}");
    let directory = read("freeswitch-conf/directory.xml");
    for user in ["1001", "1002", "1003", "1004"] {
        assert!(row("user name").contains(&format!("`{user}`")), "{user}");
        assert!(
            directory.contains(&format!("<user id=\"{user}\">")),
            "{user}"
        );
    }
    let media = format!("| {} to ", edge["RK_RTP_START"]);
    assert!(page.contains(&media), "{media}");
    for node in ["freeswitch-1", "freeswitch-2"] {
        let address = &compose.service(node).environment["RK_SIP_IP"];
        assert!(page.contains(&format!("`{address}:5080`")), "{address}");
    }
    for name in [
        "RK_NETWORK",
        "RK_PHONE_ADDRESS",
        "RK_PHONE_PORT",
        "RK_PHONE_PASSWORD",
    ] {
        assert!(
            compose.variables.iter().any(|known| known == name),
            "{name}"
        );
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    assert!(page.contains("docker compose --profile phones up"));
}
