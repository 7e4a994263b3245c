//! The random commands of the soak of controls. A new control is one line.

use rand::RngExt;
use rand::rngs::SmallRng;
use serde_json::{Value, json};

/// The objects of one action, chosen at random.
pub struct Choice<'a> {
    /// Mostly the room of the call.
    pub room: &'a str,
    pub other_room: &'a str,
    pub call: &'a str,
    pub channel: &'a str,
    /// The URL of a short sound.
    pub sound: &'a str,
}

/// The way of a command.
pub enum Source {
    /// Method, path and body of a request to the gateway API.
    Api(&'static str, String, Value),
    /// An `api` command of FreeSWITCH, past the controller.
    Console(String),
}

type Make = fn(&mut SmallRng, &Choice<'_>) -> Source;

/// One kind of command.
#[derive(Clone, Copy)]
pub struct Action {
    pub name: &'static str,
    weight: u32,
    pub source: Make,
    /// The command may end the call.
    pub hangs_up: bool,
    /// The command ends the room.
    pub ends_room: bool,
}

const fn action(weight: u32, name: &'static str, source: Make) -> Action {
    Action {
        name,
        weight,
        source,
        hangs_up: false,
        ends_room: false,
    }
}

impl Action {
    const fn hanging_up(mut self) -> Self {
        self.hangs_up = true;
        self
    }

    const fn ending_room(mut self) -> Self {
        self.ends_room = true;
        self
    }
}

fn session(choice: &Choice<'_>, command: &str, body: Value) -> Source {
    let path = format!("/sessions/{}/commands/{command}", choice.call);
    Source::Api("POST", path, body)
}

fn room(choice: &Choice<'_>, command: &str, body: Value) -> Source {
    Source::Api(
        "POST",
        format!("/conferences/{}/{command}", choice.room),
        body,
    )
}

fn member(choice: &Choice<'_>, command: &str, body: Value) -> Source {
    let path = format!(
        "/conferences/{}/members/{}/{command}",
        choice.room, choice.call
    );
    Source::Api("POST", path, body)
}

fn patch(path: String, body: Value) -> Source {
    Source::Api("PATCH", path, body)
}

fn room_path(choice: &Choice<'_>) -> String {
    format!("/conferences/{}", choice.room)
}

fn member_path(choice: &Choice<'_>) -> String {
    format!("/conferences/{}/members/{}", choice.room, choice.call)
}

fn console(choice: &Choice<'_>, command: &str) -> Source {
    Source::Console(format!("conference {} {command}", choice.room))
}

fn console_member(choice: &Choice<'_>, command: &str) -> Source {
    console(choice, &format!("{command} uuid={}", choice.channel))
}

const ACTIONS: &[Action] = &[
    action(40, "join", |rng, c| {
        let body = json!({ "room_id": c.other_room, "muted": rng.random_bool(0.5) });
        session(c, "conference/join", body)
    }),
    action(8, "leave", |_, c| session(c, "conference/leave", json!({}))),
    action(3, "kick", |_, c| member(c, "kick", json!({}))),
    action(8, "mute", |_, c| session(c, "conference/mute", json!({}))),
    action(8, "unmute", |_, c| {
        session(c, "conference/unmute", json!({}))
    }),
    action(6, "deaf", |_, c| member(c, "deaf", json!({}))),
    action(6, "undeaf", |_, c| member(c, "undeaf", json!({}))),
    action(3, "lock", |_, c| room(c, "lock", json!({}))),
    action(5, "unlock", |_, c| room(c, "unlock", json!({}))),
    action(3, "record", |_, c| room(c, "recording/start", json!({}))),
    action(3, "stop_recording", |_, c| {
        room(c, "recording/stop", json!({}))
    }),
    action(2, "pause_recording", |rng, c| {
        let verb = ["pause", "resume"][rng.random_range(0..2)];
        room(c, &format!("recording/{verb}"), json!({}))
    }),
    action(3, "record_member", |_, c| {
        member(c, "recording/start", json!({}))
    }),
    action(3, "change_member_recording", |rng, c| {
        let verb = ["stop", "pause", "resume"][rng.random_range(0..3)];
        member(c, &format!("recording/{verb}"), json!({}))
    }),
    action(2, "uncoach", |_, c| member(c, "uncoach", json!({}))),
    action(3, "pause_recording", |_, c| {
        room(c, "recording/pause", json!({}))
    }),
    action(3, "resume_recording", |_, c| {
        room(c, "recording/resume", json!({}))
    }),
    action(3, "record_member", |_, c| {
        member(c, "recording/start", json!({}))
    }),
    action(2, "pause_member_recording", |_, c| {
        member(c, "recording/pause", json!({}))
    }),
    action(2, "resume_member_recording", |_, c| {
        member(c, "recording/resume", json!({}))
    }),
    action(2, "stop_member_recording", |_, c| {
        member(c, "recording/stop", json!({}))
    }),
    action(10, "move", |_, c| {
        member(c, "move", json!({ "room_id": c.other_room }))
    }),
    action(2, "label_room", |rng, c| {
        let labels = json!({ "n": rng.random_range(0..9).to_string() });
        patch(room_path(c), json!({ "labels": labels }))
    }),
    action(3, "label_member", |rng, c| {
        let labels = json!({ "n": rng.random_range(0..9).to_string() });
        patch(member_path(c), json!({ "labels": labels }))
    }),
    action(4, "play", |_, c| {
        room(c, "play", json!({ "urls": [c.sound] }))
    }),
    action(2, "pause", |_, c| room(c, "pause", json!({}))),
    action(2, "stop", |_, c| room(c, "stop", json!({}))),
    action(2, "volume", |rng, c| {
        room(c, "volume", json!({ "volume": rng.random_range(-20..20) }))
    }),
    action(1, "hangup", |_, c| session(c, "hangup", json!({}))).hanging_up(),
    action(1, "delete", |_, c| {
        Source::Api("DELETE", format!("/conferences/{}", c.room), json!({}))
    })
    .ending_room(),
    action(3, "console mute", |_, c| console_member(c, "mute")),
    action(3, "console unmute", |_, c| console_member(c, "unmute")),
    action(2, "console deaf", |_, c| console_member(c, "deaf")),
    action(2, "console undeaf", |_, c| console_member(c, "undeaf")),
    action(2, "console kick", |_, c| console_member(c, "kick")),
    action(1, "console lock", |_, c| console(c, "lock")),
    action(2, "console unlock", |_, c| console(c, "unlock")),
    action(2, "console stop", |_, c| console(c, "stop all")),
    action(2, "console park", |_, c| {
        Source::Console(format!("uuid_transfer {} park inline", c.channel))
    }),
    action(1, "console kill", |_, c| {
        Source::Console(format!("uuid_kill {}", c.channel))
    })
    .hanging_up(),
];

/// Chooses a command at random, by weight.
pub fn choose(rng: &mut SmallRng) -> Action {
    let total: u32 = ACTIONS.iter().map(|action| action.weight).sum();
    let mut at = rng.random_range(0..total);
    for action in ACTIONS {
        if at < action.weight {
            return *action;
        }
        at -= action.weight;
    }
    unreachable!("the weights add up")
}
