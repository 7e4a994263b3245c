//! The program as an operator runs it.

use std::process::{Command, Output};

fn roomkeeper(args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_roomkeeper"))
        .args(args)
        .env_clear()
        .envs(env.iter().copied())
        .output()
        .expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const EXAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/fixtures/roomkeeper.example.toml"
);

#[test]
fn check_shows_what_was_understood_without_secrets() {
    let out = roomkeeper(
        &["check", "--config", EXAMPLE],
        &[("ROOMKEEPER_STORE__URL", "memory:")],
    );
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let shown = text(&out.stdout);
    assert!(shown.contains("node acW68: 127.0.0.1:8021"), "{shown}");
    assert!(shown.contains("store: memory:"), "{shown}");
    for secret in ["ClueCon", "demo-key", "whsec_", "change-me"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn a_bad_configuration_exits_64_with_every_error() {
    let env = [
        ("ROOMKEEPER_STORE__URL", "mongo://h"),
        ("ROOMKEEPER_LOG__FORMAT", "xml"),
    ];
    let out = roomkeeper(&["check", "--config", EXAMPLE], &env);
    assert_eq!(out.status.code(), Some(64));
    let errors = text(&out.stderr);
    assert!(errors.contains("store.url: "), "{errors}");
    assert!(errors.contains("log.format: "), "{errors}");
    assert!(out.stdout.is_empty());

    let out = roomkeeper(&["check", "--config", "/nonexistent.toml"], &[]);
    assert_eq!(out.status.code(), Some(64));
    assert!(text(&out.stderr).contains("/nonexistent.toml: cannot be read"));
}

#[test]
fn help_and_version_are_everywhere() {
    for args in [&["--help"][..], &["check", "--help"]] {
        let out = roomkeeper(args, &[]);
        assert_eq!(out.status.code(), Some(0));
        assert!(text(&out.stdout).contains("Usage:"));
    }
    let out = roomkeeper(&["--version"], &[]);
    assert_eq!(
        text(&out.stdout),
        format!("roomkeeper {}\n", env!("CARGO_PKG_VERSION"))
    );
}
