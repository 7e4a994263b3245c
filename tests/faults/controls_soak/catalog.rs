//! The random commands of the soak of controls. A new control is one line.

use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

/// The objects of one action, chosen at random.
pub struct Choice<'a> {
    /// Mostly the room of the call.
    pub room: &'a str,
    pub other_room: &'a str,
    pub call: &'a str,
    pub channel: &'a str,
    /// Any call of the same node.
    pub other_call: &'a str,
    /// The URL of a short sound.
    pub sound: &'a str,
    /// The number and the address of a callee.
    pub callee: (u64, &'a str),
    /// The path of a dial-out that may be in progress.
    pub dial: &'a str,
    /// The calls that are not in the room.
    pub others: &'a [String],
}

/// The way of a command.
pub enum Source {
    /// Method, path and body of a request to the gateway API.
    Api(&'static str, String, Value),
    /// An `api` command of FreeSWITCH, past the controller.
    Console(String),
}

type Make = fn(&mut SmallRng, &Choice<'_>) -> Source;

/// The part of a command that the checks at the end must know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    None,
    /// It may end the call.
    HangsUp,
    /// It may end the calls of all members.
    HangsUpAll,
    /// It ends the room.
    EndsRoom,
    /// It asks for digits.
    Gathers,
    /// It calls somebody.
    Dials,
    /// It cancels a dial-out.
    Cancels,
}

/// One kind of command.
#[derive(Clone, Copy)]
pub struct Action {
    pub name: &'static str,
    weight: u32,
    pub source: Make,
    pub mark: Mark,
}

const fn action(weight: u32, name: &'static str, source: Make) -> Action {
    Action {
        name,
        weight,
        source,
        mark: Mark::None,
    }
}

impl Action {
    const fn marked(mut self, mark: Mark) -> Self {
        self.mark = mark;
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

fn patch_room(choice: &Choice<'_>, body: Value) -> Source {
    Source::Api("PATCH", format!("/conferences/{}", choice.room), body)
}

fn patch_member(choice: &Choice<'_>, body: Value) -> Source {
    let path = format!("/conferences/{}/members/{}", choice.room, choice.call);
    Source::Api("PATCH", path, body)
}

fn one_of<'a>(rng: &mut SmallRng, words: &[&'a str]) -> &'a str {
    words.choose(rng).expect("a word")
}

fn label(rng: &mut SmallRng) -> Value {
    match rng.random_range(0..9) {
        0 => Value::Null,
        n => json!(n.to_string()),
    }
}

/// A request for digits: the telephones press none, except some callees.
fn gather(rng: &mut SmallRng, choice: &Choice<'_>) -> Value {
    let mut body = json!({
        "max_digits": rng.random_range(1..5),
        "tries": rng.random_range(1..3),
        "timeout_ms": rng.random_range(1_000..4_000),
    });
    if rng.random_bool(0.3) {
        body["prompt_url"] = json!(choice.sound);
    }
    body
}

fn dial(rng: &mut SmallRng, choice: &Choice<'_>) -> Source {
    let (number, address) = choice.callee;
    let body = json!({
        "to": address,
        "timeout": rng.random_range(2..12),
        "muted": rng.random_bool(0.5),
        "retries": rng.random_range(0..3),
        "retry_pause": rng.random_range(1..4),
        "headers": { "X-Dial": number.to_string() },
    });
    room(choice, "calls", body)
}

/// The dialled user of a transfer.
const TRANSFER: &str = "transfer-";

/// Returns true if a transfer dialled this user.
pub fn is_transfer(user: &str) -> bool {
    user.starts_with(TRANSFER)
}

fn transfer(rng: &mut SmallRng, choice: &Choice<'_>) -> Source {
    let (number, address) = choice.callee;
    let (_, host) = address.split_once('@').expect("an address");
    let body = json!({
        "to": format!("{TRANSFER}{number}@{host}"),
        "timeout": rng.random_range(2..12),
    });
    session(choice, "transfer", body)
}

fn many(rng: &mut SmallRng, choice: &Choice<'_>) -> Source {
    let verbs = ["mute", "unmute", "deaf", "undeaf", "hold", "unhold", "kick"];
    let commands: Vec<Value> = (0..rng.random_range(1..4))
        .map(|_| {
            let call = one_of(rng, &[choice.call, choice.call, choice.other_call]);
            json!({ "command": one_of(rng, &verbs), "session": call })
        })
        .collect();
    room(choice, "commands", json!({ "commands": commands }))
}

fn console(choice: &Choice<'_>, command: &str) -> Source {
    Source::Console(format!("conference {} {command}", choice.room))
}

fn console_member(choice: &Choice<'_>, command: &str) -> Source {
    console(choice, &format!("{command} uuid={}", choice.channel))
}

const ACTIONS: &[Action] = &[
    // Membership.
    action(44, "join", |rng, c| {
        let mut body = json!({ "room_id": c.other_room, "muted": rng.random_bool(0.5) });
        if rng.random_bool(0.2) {
            body["labels"] = json!({ "n": label(rng) });
            body["role"] = json!(one_of(rng, &["moderator", "participant"]));
        }
        session(c, "conference/join", body)
    }),
    action(8, "leave", |_, c| session(c, "conference/leave", json!({}))),
    action(3, "kick", |_, c| member(c, "kick", json!({}))),
    action(10, "move", |_, c| {
        member(c, "move", json!({ "room_id": c.other_room }))
    }),
    action(1, "hangup", |_, c| session(c, "hangup", json!({}))).marked(Mark::HangsUp),
    action(1, "delete", |_, c| {
        Source::Api("DELETE", format!("/conferences/{}", c.room), json!({}))
    })
    .marked(Mark::EndsRoom),
    // Flags, hold, the lock.
    action(8, "mute", |_, c| session(c, "conference/mute", json!({}))),
    action(8, "unmute", |_, c| {
        session(c, "conference/unmute", json!({}))
    }),
    action(6, "deaf", |_, c| member(c, "deaf", json!({}))),
    action(6, "undeaf", |_, c| member(c, "undeaf", json!({}))),
    action(6, "hold", |rng, c| {
        let music = rng.random_bool(0.3).then_some(c.sound);
        member(c, "hold", json!({ "music_url": music }))
    }),
    action(8, "unhold", |_, c| member(c, "unhold", json!({}))),
    action(3, "lock", |_, c| room(c, "lock", json!({}))),
    action(6, "unlock", |_, c| room(c, "unlock", json!({}))),
    // Coaches.
    action(5, "coach", |_, c| {
        member(c, "coach", json!({ "session": c.other_call }))
    }),
    action(4, "uncoach", |_, c| member(c, "uncoach", json!({}))),
    // Digits.
    action(4, "gather", |rng, c| member(c, "gather", gather(rng, c))).marked(Mark::Gathers),
    action(3, "gather_call", |rng, c| {
        session(c, "gather", gather(rng, c))
    })
    .marked(Mark::Gathers),
    action(3, "stop_gather", |_, c| {
        session(c, "gather/stop", json!({}))
    }),
    action(2, "dtmf", |rng, c| {
        let digits = one_of(rng, &["1", "12#", "4w5"]);
        member(c, "dtmf", json!({ "digits": digits }))
    }),
    // Recording.
    action(3, "record", |_, c| room(c, "recording/start", json!({}))),
    action(3, "change_recording", |rng, c| {
        let verb = one_of(rng, &["stop", "pause", "resume"]);
        room(c, &format!("recording/{verb}"), json!({}))
    }),
    action(4, "record_member", |_, c| {
        member(c, "recording/start", json!({}))
    }),
    action(4, "change_member_recording", |rng, c| {
        let verb = one_of(rng, &["stop", "pause", "resume"]);
        member(c, &format!("recording/{verb}"), json!({}))
    }),
    // Playback.
    action(4, "play", |_, c| {
        room(c, "play", json!({ "urls": [c.sound] }))
    }),
    action(3, "play_to_member", |_, c| {
        member(c, "play", json!({ "urls": [c.sound] }))
    }),
    action(2, "say", |_, c| {
        room(c, "say", json!({ "text": "one, two" }))
    }),
    action(2, "say_to_member", |_, c| {
        member(c, "say", json!({ "text": "three" }))
    }),
    action(2, "stop_member", |_, c| member(c, "stop", json!({}))),
    action(2, "pause", |_, c| room(c, "pause", json!({}))),
    action(2, "stop", |_, c| room(c, "stop", json!({}))),
    action(2, "volume", |rng, c| {
        room(c, "volume", json!({ "volume": rng.random_range(-20..7) }))
    }),
    // Settings.
    action(2, "label_room", |rng, c| {
        patch_room(c, json!({ "labels": { "n": label(rng) } }))
    }),
    action(2, "max_members", |rng, c| {
        let most = [0, 0, 2, 5][rng.random_range(0..4)];
        patch_room(c, json!({ "max_members": most }))
    }),
    action(1, "tones", |rng, c| {
        let tones = match rng.random_bool(0.5) {
            true => json!({ "enter": c.sound, "exit": c.sound }),
            false => json!(false),
        };
        patch_room(c, json!({ "tones": tones }))
    }),
    action(1, "alone_url", |rng, c| {
        let url = match rng.random_bool(0.5) {
            true => json!(c.sound),
            false => json!(false),
        };
        patch_room(c, json!({ "alone_url": url }))
    }),
    action(1, "end_when_silent_for", |rng, c| {
        let seconds = [0, 0, 0, 20][rng.random_range(0..4)];
        patch_room(c, json!({ "end_when_silent_for": seconds }))
    }),
    action(3, "label_member", |rng, c| {
        patch_member(c, json!({ "labels": { "n": label(rng) } }))
    }),
    action(3, "role", |rng, c| {
        let role = one_of(rng, &["moderator", "participant"]);
        patch_member(c, json!({ "role": role }))
    }),
    action(1, "end_on_exit", |rng, c| {
        patch_member(c, json!({ "end_on_exit": rng.random_bool(0.3) }))
    }),
    action(1, "wait_for_moderator", |rng, c| {
        patch_room(c, json!({ "wait_for_moderator": rng.random_bool(0.4) }))
    }),
    action(2, "start_on_enter", |rng, c| {
        patch_member(c, json!({ "start_on_enter": rng.random_bool(0.7) }))
    }),
    action(3, "volume_of_member", |rng, c| {
        let name = one_of(rng, &["volume_in", "volume_out"]);
        patch_member(c, json!({ name: rng.random_range(-4..5) }))
    }),
    action(2, "energy", |rng, c| {
        patch_member(c, json!({ "energy": rng.random_range(0..4) * 200 }))
    }),
    action(2, "console volume", |rng, c| {
        let verb = one_of(rng, &["volume_in", "volume_out"]);
        let value = rng.random_range(-4..5);
        console(c, &format!("{verb} uuid={} {value}", c.channel))
    }),
    // Many at once.
    action(2, "mute_all", |_, c| {
        room(c, "mute", json!({ "except": [c.call] }))
    }),
    action(2, "unmute_all", |_, c| {
        room(c, "unmute", json!({ "except": [c.call] }))
    }),
    action(1, "hangup_all", |_, c| {
        room(c, "hangup", json!({ "except": c.others }))
    })
    .marked(Mark::HangsUpAll),
    action(4, "commands", many),
    // Dial-outs.
    action(4, "dial", dial).marked(Mark::Dials),
    action(1, "cancel_dial", |_, c| {
        Source::Api("DELETE", c.dial.to_owned(), json!({}))
    })
    .marked(Mark::Cancels),
    // Transfers.
    action(4, "transfer", transfer),
    action(2, "cancel_transfer", |_, c| {
        session(c, "transfer/cancel", json!({}))
    }),
    // FreeSWITCH's console.
    action(3, "console mute", |_, c| console_member(c, "mute")),
    action(3, "console unmute", |_, c| console_member(c, "unmute")),
    action(2, "console deaf", |_, c| console_member(c, "deaf")),
    action(2, "console undeaf", |_, c| console_member(c, "undeaf")),
    action(2, "console hold", |_, c| console_member(c, "hold")),
    action(2, "console unhold", |_, c| console_member(c, "unhold")),
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
    .marked(Mark::HangsUp),
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
