//! `roomkeeper room …`: an app's rooms.
//!
//! Owns the requests of these commands. Leaves out their effect, which the controller decides, and the tables
//! ([`super::show`]).

use reqwest::Method;
use serde_json::Value;
use url::Url;

use roomkeeper_core::ids::{CallId, NodeId, RoomId};

use super::access::Fleet;
use super::arguments::{
    IdView, RoomArguments, RoomChange, RoomOptions, RoomReference, RoomsOptions, Wait,
};
use super::client::Client;
use super::request::{Request, Subject, changes};
use super::show::{self, Query};
use super::{Failure, consent, everyone, execute, fleet, lookup};

/// Executes a command for rooms.
///
/// # Errors
/// [`Failure`].
pub async fn run(options: RoomOptions) -> Result<(), Failure> {
    match options.access.client()? {
        Fleet::App(api) => run_for_app(&api, options.command, options.view).await,
        Fleet::AllApps(admin) => fleet::run_room(&admin, options.command, options.view).await,
    }
}

/// Shows all rooms, or one: `roomkeeper rooms`.
///
/// # Errors
/// [`Failure`].
pub async fn run_rooms(options: RoomsOptions) -> Result<(), Failure> {
    let api = options.access.client()?;
    let query = match options.room {
        Some(room) => Query::Room(lookup::room(&api, &room).await?),
        None => Query::Rooms(None),
    };
    show::show(&api, query, options.view, options.watch.interval()).await
}

async fn run_for_app(api: &Client, command: RoomArguments, view: IdView) -> Result<(), Failure> {
    let json = view.view.json;
    let (request, wait) = match command {
        RoomArguments::List { node, watch } => {
            return show::show(api, Query::Rooms(node), view, watch.interval()).await;
        }
        RoomArguments::Show { target, watch } => {
            let room = lookup::room(api, &target.room).await?;
            return show::show(api, Query::Room(room), view, watch.interval()).await;
        }
        RoomArguments::MuteAll(members) => {
            let room = lookup::room(api, &members.target.room).await?;
            return everyone::run(api, room, everyone::Command::Mute, &members, json).await;
        }
        RoomArguments::UnmuteAll(members) => {
            let room = lookup::room(api, &members.target.room).await?;
            return everyone::run(api, room, everyone::Command::Unmute, &members, json).await;
        }
        RoomArguments::HangupAll { members, yes } => {
            let given = &members.target.room;
            let room = lookup::room(api, given).await?;
            consent::ask_to_hang_up(given, room, yes)?;
            return everyone::run(api, room, everyone::Command::HangUp, &members, json).await;
        }
        RoomArguments::Create {
            name,
            node,
            call,
            settings,
            wait,
        } => {
            let call = match call {
                Some(call) => Some(lookup::call(api, &call).await?),
                None => None,
            };
            (create(name, node, call).with_all(settings.fields()), wait)
        }
        RoomArguments::Delete { target, yes, wait } => {
            let room = lookup::room(api, &target.room).await?;
            consent::ask_to_delete(&target.room, room, yes)?;
            let request = Request::new(Method::DELETE, path(room, ""), format!("delete {room}"))
                .confirmed_by(Subject::Room(room), "conference.destroyed");
            (request, wait)
        }
        RoomArguments::Change(change) => {
            let (target, wait, build) = parts(change)?;
            (build(lookup::room(api, &target.room).await?), wait)
        }
    };
    execute::run(api, request, wait, json).await
}

/// The request for a room.
type Build = Box<dyn FnOnce(RoomId) -> Request>;

/// The room, the wait and the request of each change. A new change is a line here.
fn parts(change: RoomChange) -> Result<(RoomReference, Wait, Build), Failure> {
    Ok(match change {
        RoomChange::Lock { target, wait } => (target, wait, Box::new(|room| lock(room, true))),
        RoomChange::Unlock { target, wait } => (target, wait, Box::new(|room| lock(room, false))),
        RoomChange::Update {
            target,
            settings,
            wait,
        } => {
            let fields = changes(settings.fields())?;
            (
                target,
                wait,
                Box::new(move |room| update(room, "update").with_all(fields)),
            )
        }
        RoomChange::Pin {
            target, pin, wait, ..
        } => (target, wait, Box::new(move |room| set_pin(room, pin))),
        RoomChange::Say { target, text, wait } => (
            target,
            wait,
            Box::new(move |room| started(room, "say").with_all(text.fields())),
        ),
        RoomChange::Play { target, urls, wait } => {
            (target, wait, Box::new(move |room| play(room, &urls)))
        }
        RoomChange::Stop { target, wait } => (target, wait, Box::new(stop)),
        RoomChange::Pause { target, wait } => (target, wait, Box::new(pause)),
        RoomChange::Volume {
            target,
            volume,
            wait,
        } => (target, wait, Box::new(move |room| set_volume(room, volume))),
        RoomChange::Record {
            target,
            announcement,
            wait,
        } => (
            target,
            wait,
            Box::new(move |room| match announcement.value() {
                Some(value) => start_recording(room).with("announcement", value),
                None => start_recording(room),
            }),
        ),
        RoomChange::RecordStop { target, wait } => (target, wait, Box::new(stop_recording)),
        RoomChange::RecordPause { target, wait } => (target, wait, Box::new(pause_recording)),
        RoomChange::RecordResume { target, wait } => (target, wait, Box::new(resume_recording)),
    })
}

fn create(name: String, node: Option<NodeId>, call: Option<CallId>) -> Request {
    let mut request = Request::post("api/v1/conferences", format!("create {name}"))
        .with("name", name)
        .confirmed_by(Subject::NewRoom, "conference.created");
    if let Some(node) = node {
        request = request.with("node", node.to_string());
    }
    if let Some(call) = call {
        request = request.with("session", call.to_string());
    }
    request
}

fn path(room: RoomId, rest: &str) -> String {
    format!("api/v1/conferences/{room}{rest}")
}

fn lock(room: RoomId, locked: bool) -> Request {
    let verb = if locked { "lock" } else { "unlock" };
    Request::post(path(room, &format!("/{verb}")), format!("{verb} {room}"))
        .with_uid()
        .confirmed_by(Subject::Room(room), "conference.updated")
        .fails_with(&["conference.destroyed"])
        .confirmation(|each| {
            each.data = Some(("locked", Value::Bool(locked)));
            each.settled = &["locked", "unlocked"];
        })
}

fn update(room: RoomId, verb: &str) -> Request {
    let words = format!("{verb} {room}");
    Request::new(Method::PATCH, path(room, ""), words)
        .with_uid()
        .confirmed_by(Subject::Room(room), "conference.updated")
        .fails_with(&["conference.destroyed"])
        .confirmation(|each| each.settled = &["unchanged"])
}

/// Sets the PIN of a room; without one, removes it.
fn set_pin(room: RoomId, pin: Option<String>) -> Request {
    let is_set = pin.is_some();
    update(room, "set the PIN of")
        .with("pin", pin.map_or(Value::Bool(false), Value::from))
        .confirmation(|each| each.data = Some(("pin_required", Value::Bool(is_set))))
}

fn play(room: RoomId, urls: &[Url]) -> Request {
    let urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
    started(room, "play").with("urls", urls)
}

/// The confirmation is the end of the playback: only then is it known whether FreeSWITCH could play it.
fn started(room: RoomId, verb: &str) -> Request {
    playback(room, verb, "conference.play.finished")
        .fails_with(&["conference.play.stopped"])
        .confirmation(|each| {
            each.answer_field = Some("operation_id");
            each.start = Some("conference.play.started");
        })
}

fn stop(room: RoomId) -> Request {
    playback(room, "stop", "conference.play.stopped")
        .confirmation(|each| each.answer_field = Some("operation_id"))
}

fn pause(room: RoomId) -> Request {
    playback(room, "pause", "conference.play.paused")
        .fails_with(&["conference.play.stopped"])
        .confirmation(|each| each.events.push("conference.play.resumed"))
}

fn set_volume(room: RoomId, volume: i8) -> Request {
    playback(room, "volume", "conference.play.volume_changed").with("volume", volume)
}

fn playback(room: RoomId, verb: &str, event: &'static str) -> Request {
    Request::post(path(room, &format!("/{verb}")), format!("{verb} {room}"))
        .with_uid()
        .confirmed_by(Subject::Room(room), event)
        .fails_with(&["conference.destroyed"])
}

fn start_recording(room: RoomId) -> Request {
    recording(
        room,
        "start",
        format!("record {room}"),
        "conference.recording.started",
    )
}

fn stop_recording(room: RoomId) -> Request {
    let words = format!("stop recording {room}");
    recording(room, "stop", words, "conference.recording.stopped")
}

fn pause_recording(room: RoomId) -> Request {
    let words = format!("pause recording {room}");
    recording(room, "pause", words, "conference.recording.paused")
        .fails_with(&["conference.recording.stopped"])
}

fn resume_recording(room: RoomId) -> Request {
    let words = format!("resume recording {room}");
    recording(room, "resume", words, "conference.recording.resumed")
        .fails_with(&["conference.recording.stopped"])
}

fn recording(room: RoomId, verb: &str, words: String, event: &'static str) -> Request {
    Request::post(path(room, &format!("/recording/{verb}")), words)
        .with_uid()
        .confirmed_by(Subject::Room(room), event)
        .fails_with(&["conference.recording.failed", "conference.destroyed"])
        .confirmation(|each| each.answer_field = Some("recording_id"))
}
