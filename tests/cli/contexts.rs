//! Contexts: named addresses and keys, and their precedence.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::command::text;
use crate::program::controller::{KEY, binary};
use crate::support::process;
use crate::world;

/// The program with its contexts below this folder.
fn command(config: &Path, args: &[&str]) -> Command {
    let mut command = binary();
    command.env("XDG_CONFIG_HOME", config).args(args);
    command
}

fn run(config: &Path, args: &[&str]) -> Output {
    tokio::task::block_in_place(|| command(config, args).output().unwrap())
}

fn succeeds(config: &Path, args: &[&str]) -> String {
    let out = run(config, args);
    assert_eq!(
        out.status.code(),
        Some(0),
        "{args:?}: {}",
        text(&out.stderr)
    );
    assert_eq!(text(&out.stderr), "", "{args:?}");
    text(&out.stdout)
}

#[tokio::test(flavor = "multi_thread")]
async fn context_supplies_what_is_not_given() {
    let world = world().await;
    world.room("standup").await;
    let [http, admin] = world.controller.ports();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path();
    let (api, admin) = (format!("127.0.0.1:{http}"), format!("127.0.0.1:{admin}"));
    let admin_key = world.controller.admin_key().unwrap();
    let stored = succeeds(
        config,
        &[
            "context",
            "set",
            "lab",
            "--api",
            &api,
            "--app",
            &world.app,
            "--key",
            KEY,
            "--admin",
            &admin,
            "--admin-key",
            &admin_key,
        ],
    );
    assert_eq!(stored, "lab is stored, the current context.\n");
    assert!(succeeds(config, &["room", "list"]).contains("standup"));
    assert!(succeeds(config, &["nodes"]).contains(&world.node));

    // An option precedes the environment, which precedes the context.
    let unused = format!("127.0.0.1:{}", process::free_port());
    let exit_code = |env: Option<&str>, option: Option<&str>| {
        let mut command = command(config, &["room", "list"]);
        if let Some(api) = env {
            command.env("ROOMKEEPER_API", api);
        }
        if let Some(api) = option {
            command.args(["--api", api]);
        }
        tokio::task::block_in_place(|| command.output().unwrap())
            .status
            .code()
    };
    assert_eq!(exit_code(None, None), Some(0));
    assert_eq!(exit_code(Some(&unused), None), Some(69));
    assert_eq!(exit_code(Some(&unused), Some(&api)), Some(0));
    assert_eq!(exit_code(None, Some(&unused)), Some(69));

    // A context can be chosen for one command.
    succeeds(
        config,
        &[
            "context", "set", "wrong", "--api", &api, "--app", &world.app, "--key", "no",
        ],
    );
    assert!(succeeds(config, &["room", "list"]).contains("standup"));
    let out = run(config, &["room", "list", "--context", "wrong"]);
    assert_eq!(out.status.code(), Some(77), "{}", text(&out.stderr));
    succeeds(config, &["context", "use", "wrong"]);
    assert_eq!(run(config, &["room", "list"]).status.code(), Some(77));
    let mut chosen = command(config, &["room", "list"]);
    chosen.env("ROOMKEEPER_CONTEXT", "lab");
    let out = tokio::task::block_in_place(|| chosen.output().unwrap());
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_contexts_are_private_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path();
    assert!(succeeds(config, &["context", "list"]).contains("no contexts yet"));
    let out = run(config, &["context", "show"]);
    assert_eq!(out.status.code(), Some(64));
    assert!(text(&out.stderr).contains("no current context"));
    let set = [
        "context",
        "set",
        "lab",
        "--api",
        "rk.example.com",
        "--app",
        "demo",
        "--key",
        "geheim-1",
    ];
    succeeds(config, &set);
    let mut from_stdin = command(config, &["context", "set", "lab", "--admin-key-stdin"]);
    let key_file = config.join("key");
    fs::write(&key_file, "geheim-2\n").unwrap();
    from_stdin.stdin(fs::File::open(&key_file).unwrap());
    let out = tokio::task::block_in_place(|| from_stdin.output().unwrap());
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));

    let file = config.join("roomkeeper/contexts.toml");
    let stored = fs::read_to_string(&file).unwrap();
    for key in ["geheim-1", "geheim-2"] {
        assert!(stored.contains(key), "{stored}");
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().unwrap()), 0o700);

    let shown: Value =
        serde_json::from_str(&succeeds(config, &["context", "show", "--json"])).unwrap();
    assert_eq!(
        shown,
        json!({"name": "lab", "current": true, "api": "http://rk.example.com/", "app": "demo", "key": "(hidden)",
            "admin": null, "admin_key": "(hidden)", "admin_key_file": null})
    );
    for args in [
        &["context", "list"][..],
        &["context", "list", "--json"],
        &["context", "show"],
    ] {
        let shown = succeeds(config, args);
        assert!(shown.contains("http://rk.example.com/"), "{shown}");
        assert!(!shown.contains("geheim"), "{shown}");
    }

    // Other users must not read the file.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let out = run(config, &["context", "list"]);
    assert_eq!(out.status.code(), Some(0));
    assert!(
        text(&out.stderr).contains("other users can read"),
        "{}",
        text(&out.stderr)
    );
    succeeds_with_any_errors(config, &["context", "use", "lab"]);
    assert_eq!(mode(&file), 0o600);

    succeeds(config, &["context", "remove", "lab"]);
    let out = run(config, &["context", "use", "lab"]);
    assert_eq!(out.status.code(), Some(64));
    assert!(text(&out.stderr).contains("there is no context \"lab\""));
    assert!(!fs::read_to_string(&file).unwrap().contains("geheim"));

    // A mistake in the file is named.
    fs::write(&file, "[contexts.lab]\nkeyz = \"geheim\"\n").unwrap();
    let out = run(config, &["room", "list", "--context", "lab"]);
    assert_eq!(out.status.code(), Some(64));
    assert!(text(&out.stderr).contains("unknown key \"keyz\""));
    assert!(!text(&out.stderr).contains("geheim"));
}

fn succeeds_with_any_errors(config: &Path, args: &[&str]) {
    let out = run(config, args);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
}
