//! The examples in the help of every command.

use std::collections::BTreeSet;

use clap::{CommandFactory, Parser};
use freeswitch_sim::core::{InboundCall, Media};
use roomkeeper::cli::Arguments;
use serde_json::json;

use crate::command::{run, text};
use crate::program::poll::{self, TIMEOUT};
use crate::program::switch::DID;
use crate::program::world::World;
use crate::world;

/// An example and the command whose help contains it.
struct Example {
    command: Vec<String>,
    line: String,
}

/// Collects the examples of a command and of those below it. Every command must have one.
fn collect(command: &clap::Command, path: &[String], examples: &mut Vec<Example>) {
    for below in command.get_subcommands() {
        let name = below.get_name();
        if name == "help" {
            continue;
        }
        let path = [path, &[name.to_owned()]].concat();
        let help = below
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let lines: Vec<&str> = help
            .lines()
            .filter_map(|line| line.strip_prefix("  roomkeeper "))
            .collect();
        assert!(help.starts_with("Examples:\n"), "{path:?}: {help}");
        assert!(!lines.is_empty(), "{path:?} has no example");
        examples.extend(lines.iter().map(|line| Example {
            command: path.clone(),
            line: (*line).to_owned(),
        }));
        collect(below, &path, examples);
    }
}

fn examples() -> Vec<Example> {
    let mut command = Arguments::command();
    command.build();
    let mut examples = Vec::new();
    collect(&command, &[], &mut examples);
    assert!(examples.len() > 70, "{}", examples.len());
    examples
}

#[test]
fn examples_are_valid_commands() {
    for example in examples() {
        let words = shlex::split(&example.line).unwrap();
        assert!(
            words.starts_with(&example.command),
            "{:?}: {}",
            example.command,
            example.line
        );
        let typed = ["roomkeeper".to_owned()].into_iter().chain(words);
        if let Err(error) = Arguments::try_parse_from(typed) {
            panic!("{}: {error}", example.line);
        }
    }
}

/// The commands whose examples run against a controller, in an order in which each succeeds.
const SCRIPT: &[&str] = &[
    "call list",
    "call answer",
    "room create",
    "room list",
    "room show",
    "room lock",
    "room unlock",
    "rooms",
    "sessions",
    "call show",
    "call search",
    "call gather",
    "call gather-stop",
    "call dtmf",
    "call join",
    "member list",
    "member unmute",
    "member mute",
    "member deaf",
    "member undeaf",
    "member hold",
    "member unhold",
    "member volume",
    "member update",
    "member say",
    "member play",
    "member stop",
    "member gather",
    "member gather-stop",
    "member dtmf",
    "room unmute-all",
    "room mute-all",
    "room record",
    "room record-pause",
    "room record-resume",
    "room record-stop",
    "member record",
    "member record-pause",
    "member record-resume",
    "member record-stop",
    "room say",
    "room play",
    "room pause",
    "room volume",
    "room stop",
    "member kick",
    "member move",
    "call leave",
    "room pin",
    "room update",
    "room hangup-all",
    "room delete",
    "call hangup",
    "webhook list",
    "webhook test",
    "webhook deliveries",
    "webhook disable",
    "webhook enable",
    "nodes",
    "nodes undrain",
    "nodes resync",
    "app add",
    "app list",
    "app show",
    "app rotate-key",
    "app rate-limit",
    "app disable",
];

/// Commands whose examples do not run here, with the reason.
const NOT_RUN: &[(&str, &str)] = &[
    ("serve", "runs until a signal"),
    ("lab", "runs until a signal"),
    ("lab receiver", "runs until a signal"),
    ("lab callers", "runs until a signal"),
    ("sim", "runs until a signal"),
    ("check", "needs a file"),
    ("replay", "needs a file"),
    ("completions", "tested with all shells"),
    ("man", "tested with all commands"),
    ("tail", "runs until a signal"),
    ("nodes drain", "needs 20 s with a node that becomes empty"),
    (
        "nodes relay-test",
        "needs two nodes; tested against a stand-in",
    ),
    ("context", "tested with its file"),
    ("audit", "tested against a stand-in"),
    (
        "room",
        "the help of a group, whose examples are those of its commands",
    ),
    ("member", "the help of a group"),
    ("call", "the help of a group"),
    ("member coach", "needs a second parked call"),
    ("member uncoach", "needs a member with a coach"),
    ("call dial", "needs an allowed destination"),
    ("call dialling", "needs an allowed destination"),
    ("call cancel", "needs a dial-out in progress"),
    ("call transfer", "needs an allowed destination"),
    ("call transfer-cancel", "needs a transfer in progress"),
    ("webhook", "the help of a group"),
    ("app", "the help of a group"),
    ("webhook add", "its URL must resolve"),
    (
        "webhook remove",
        "the endpoint of the configuration cannot be removed",
    ),
    (
        "webhook rotate",
        "the secret of the configuration cannot be replaced",
    ),
    ("webhook resend", "needs a delivery"),
    ("app set-dids", "tested against a stand-in"),
    ("app enable", "tested against a stand-in"),
    ("app delete", "tested against a stand-in"),
];

#[test]
fn every_example_runs_or_has_a_reason_not_to() {
    let known: BTreeSet<&str> = SCRIPT
        .iter()
        .copied()
        .chain(NOT_RUN.iter().map(|(command, _)| *command))
        .collect();
    for example in examples() {
        let command = example.command.join(" ");
        let is_known = known.contains(&*command) || command.starts_with("context ");
        assert!(is_known, "{command} neither runs nor has a reason not to");
    }
}

/// The state that each example needs.
struct Stage {
    world: World,
    call: String,
    room: String,
}

impl Stage {
    /// Replaces the ids and URLs of an example with those of this world.
    fn adapt(&self, line: &str) -> String {
        let webhook = &self.world.receiver.url;
        // The app of the configuration cannot be changed.
        let app = if line.contains("--webhook-url") {
            "acme-2"
        } else {
            "acme"
        };
        let line = line.replace(" demo", &format!(" {app}"));
        line.replace("--did 747713001", "--did 747713009")
            .replace(
                "acW68-room-d3249143",
                self.room.get(..19).unwrap_or_default(),
            )
            .replace("acW68-04c64c27", &self.call[..14])
            .replace("acW68", &self.world.node)
            .replace("https://app.example.com/hook", webhook)
            .replace("ep_b15d4a82", webhook)
            .replace("https://cdn.example.com", "http://127.0.0.1")
    }

    /// Prepares the state for the next example of a command.
    async fn prepare(&mut self, command: &str) {
        match command {
            "room create" if !self.room.is_empty() => {
                let path = format!("/conferences/{}", self.room);
                self.world.controller.ask("DELETE", &path, None).await;
            }
            "room delete" if self.room.is_empty() => self.room = self.world.room("standup").await,
            "call join" if self.is_in_room().await => {
                self.world
                    .command(&self.call, "conference/leave", &json!({}))
                    .await;
                poll::until("the call has left", TIMEOUT, async || {
                    (!self.is_in_room().await).then_some(())
                })
                .await;
            }
            "member list" => {
                poll::until("the call has joined", TIMEOUT, async || {
                    self.is_in_room().await.then_some(())
                })
                .await;
            }
            "member unmute" => {
                self.world
                    .command(&self.call, "conference/mute", &json!({}))
                    .await;
                self.until_muted(true).await;
            }
            "member mute" => self.until_muted(false).await,
            "member move" => {
                self.world.room("breakout").await;
                if !self.is_in_room().await {
                    self.world.join(&self.call, &self.room).await;
                }
            }
            "member gather-stop" => {
                let path = format!("/conferences/{}/members/{}/gather", self.room, self.call);
                let digits = json!({"max_digits": 4});
                self.world
                    .controller
                    .ask("POST", &path, Some(&digits))
                    .await;
            }
            "call leave" | "member kick" if !self.is_in_room().await => {
                self.world.join(&self.call, &self.room).await;
            }
            "call hangup" => {
                let path = format!("/sessions/{}", self.call);
                if self.world.controller.get(&path).await.status == 404 {
                    self.call = self.world.call("527121101").await;
                }
            }
            "room play" | "member play" => {
                let media = Media {
                    duration: Some(600_000_000),
                    opening: 0,
                };
                let sim = self.world.switch.sim();
                sim.set_media("http://127.0.0.1/announcement.wav", media);
            }
            _ => {}
        }
    }

    async fn is_in_room(&self) -> bool {
        self.world.call_state(&self.call).await.0 == "in_room"
    }

    async fn until_muted(&self, muted: bool) {
        let path = format!("/conferences/{}/members", self.room);
        poll::until("the member is muted or not", TIMEOUT, async || {
            let members = self.world.controller.get(&path).await.body;
            (members["members"][0]["muted"] == muted).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_run_against_a_controller() {
    let world = world().await;
    let uuid = world.switch.sim().call_in_with(InboundCall {
        did: DID.to_owned(),
        caller_number: "527121101".to_owned(),
        // It is parked without an answer.
        plan: vec![("park".to_owned(), String::new())],
        ..InboundCall::default()
    });
    let call = world.call_id(&uuid);
    world.receiver.first(&call, "call.new").await;
    let mut stage = Stage {
        world,
        call,
        room: String::new(),
    };
    let all = examples();
    for command in SCRIPT {
        let lines = all.iter().filter(|example| {
            let is_of_all_apps = example.line.contains("--all-apps");
            let is_drain = example.line.starts_with("nodes drain");
            example.command.join(" ") == *command && !is_of_all_apps && !is_drain
        });
        let mut ran = 0;
        for example in lines {
            stage.prepare(command).await;
            let line = stage.adapt(&example.line);
            let words = shlex::split(&line).unwrap();
            let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
            // There is no terminal to answer the question.
            if ["room delete", "room hangup-all"].contains(command) && !words.contains(&"--yes") {
                words.push("--yes");
            }
            let out = run(&stage.world, &words);
            assert_eq!(out.status.code(), Some(0), "{line}: {}", text(&out.stderr));
            ran += 1;
            if *command == "room create" {
                let rooms = stage.world.controller.get("/conferences").await.body;
                stage.room = rooms["conferences"][0]["room_id"]
                    .as_str()
                    .unwrap()
                    .to_owned();
            }
            if *command == "room delete" {
                stage.room = String::new();
            }
        }
        assert!(ran > 0, "{command} has no example");
    }
}
