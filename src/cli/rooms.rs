//! `roomkeeper room …`, `roomkeeper member …`: an app's rooms and their members.
//!
//! Owns the requests of these commands. Leaves out their effect, which the controller decides, and the tables
//! ([`super::show`]).

use reqwest::Method;
use serde_json::Value;
use url::Url;

use roomkeeper_core::ids::{CallId, NodeId, RoomId};

use super::access::Fleet;
use super::arguments::{
    IdView, MemberArguments, MemberOptions, RoomArguments, RoomChange, RoomOptions, RoomReference,
    RoomsOptions, Wait,
};
use super::client::Client;
use super::request::{Request, Subject};
use super::show::{self, Query};
use super::{Failure, consent, execute, fleet, lookup};

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
        RoomArguments::MuteAll { target, wait } => {
            let room = lookup::room(api, &target.room).await?;
            return set_all(api, room, true, wait, json).await;
        }
        RoomArguments::UnmuteAll { target, wait } => {
            let room = lookup::room(api, &target.room).await?;
            return set_all(api, room, false, wait, json).await;
        }
        RoomArguments::Create {
            name,
            node,
            call,
            wait_for_moderator,
            wait_url,
            wait,
        } => {
            let call = match call {
                Some(call) => Some(lookup::call(api, &call).await?),
                None => None,
            };
            let mut request = create(name, node, call);
            if wait_for_moderator {
                request = request.with("wait_for_moderator", true);
            }
            if let Some(url) = wait_url {
                request = request.with("wait_url", url.to_string());
            }
            (request, wait)
        }
        RoomArguments::Delete { target, yes, wait } => {
            let room = lookup::room(api, &target.room).await?;
            consent::ask_to_delete(&target.room, room, yes)?;
            let request = Request::new(Method::DELETE, path(room, ""), format!("delete {room}"))
                .confirmed_by(Subject::Room(room), "conference.destroyed");
            (request, wait)
        }
        RoomArguments::Change(change) => {
            let (target, wait, build) = parts(change);
            (build(lookup::room(api, &target.room).await?), wait)
        }
    };
    execute::run(api, request, wait, json).await
}

/// The request for a room.
type Build = Box<dyn FnOnce(RoomId) -> Request>;

/// The room, the wait and the request of each change. A new change is a line here.
fn parts(change: RoomChange) -> (RoomReference, Wait, Build) {
    match change {
        RoomChange::Lock { target, wait } => (target, wait, Box::new(|room| lock(room, true))),
        RoomChange::Unlock { target, wait } => (target, wait, Box::new(|room| lock(room, false))),
        RoomChange::Pin {
            target, pin, wait, ..
        } => (target, wait, Box::new(move |room| set_pin(room, pin))),
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
        RoomChange::Record { target, wait } => (target, wait, Box::new(start_recording)),
        RoomChange::RecordStop { target, wait } => (target, wait, Box::new(stop_recording)),
        RoomChange::RecordPause { target, wait } => (target, wait, Box::new(pause_recording)),
        RoomChange::RecordResume { target, wait } => (target, wait, Box::new(resume_recording)),
    }
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

/// Sets the PIN of a room; without one, removes it.
fn set_pin(room: RoomId, pin: Option<String>) -> Request {
    let is_set = pin.is_some();
    let words = format!("set the PIN of {room}");
    Request::new(Method::PATCH, path(room, ""), words)
        .with("pin", pin.map_or(Value::Bool(false), Value::from))
        .with_uid()
        .confirmed_by(Subject::Room(room), "conference.updated")
        .fails_with(&["conference.destroyed"])
        .confirmation(|each| {
            each.data = Some(("pin_required", Value::Bool(is_set)));
            each.settled = &["unchanged"];
        })
}

/// The confirmation of `play` is the end of its files: only then is it known whether FreeSWITCH could play them.
fn play(room: RoomId, urls: &[Url]) -> Request {
    let urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
    playback(room, "play", "conference.play.finished")
        .with("urls", urls)
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

fn record_member(room: RoomId, call: CallId, verb: &str, event: &'static str) -> Request {
    let words = format!("{verb} recording {call}");
    Request::post(
        path(room, &format!("/members/{call}/recording/{verb}")),
        words,
    )
    .with_uid()
    .confirmed_by(Subject::Call(call), event)
    .fails_with(if verb == "stop" {
        &["conference.destroyed"]
    } else {
        &[
            "conference.member.recording.failed",
            "conference.member.recording.stopped",
            "conference.destroyed",
        ]
    })
    .confirmation(|each| each.answer_field = Some("recording_id"))
}

/// Mutes or unmutes the members that are not in that state.
async fn set_all(
    api: &Client,
    room: RoomId,
    mutes: bool,
    wait: Wait,
    json: bool,
) -> Result<(), Failure> {
    let members = lookup::members(api, room).await?;
    let members = members["members"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let requests = members
        .iter()
        .filter(|member| member["muted"] != mutes)
        .filter_map(|member| member["uuid"].as_str()?.parse().ok())
        .map(|call| set_speech(call, mutes))
        .collect();
    execute::run_all(api, requests, wait, json).await
}

/// The events that end each command to a member.
const ENDS_OF_MEMBER: &[&str] = &[
    "conference.member.left",
    "conference.member.join_failed",
    "call.hangup",
];

fn set_speech(call: CallId, mutes: bool) -> Request {
    let (verb, event) = if mutes {
        ("mute", "conference.member.muted")
    } else {
        ("unmute", "conference.member.unmuted")
    };
    let path = format!("api/v1/sessions/{call}/commands/conference/{verb}");
    Request::post(path, format!("{verb} {call}"))
        .with_uid()
        .confirmed_by(Subject::Call(call), event)
        .fails_with(ENDS_OF_MEMBER)
}

fn set_hearing(room: RoomId, call: CallId, deafens: bool) -> Request {
    let (verb, event) = if deafens {
        ("deaf", "conference.member.deafened")
    } else {
        ("undeaf", "conference.member.undeafened")
    };
    Request::post(
        path(room, &format!("/members/{call}/{verb}")),
        format!("{verb} {call}"),
    )
    .with_uid()
    .confirmed_by(Subject::Call(call), event)
    .fails_with(ENDS_OF_MEMBER)
}

fn set_hold(room: RoomId, call: CallId, holds: bool) -> Request {
    let (verb, event) = if holds {
        ("hold", "conference.member.held")
    } else {
        ("unhold", "conference.member.unheld")
    };
    member_command(room, call, verb, event)
}

fn member_command(room: RoomId, call: CallId, verb: &str, event: &'static str) -> Request {
    Request::post(
        path(room, &format!("/members/{call}/{verb}")),
        format!("{verb} {call}"),
    )
    .with_uid()
    .confirmed_by(Subject::Call(call), event)
    .fails_with(ENDS_OF_MEMBER)
}

fn kick(room: RoomId, call: CallId) -> Request {
    Request::post(
        path(room, &format!("/members/{call}/kick")),
        format!("kick {call}"),
    )
    .with_uid()
    .confirmed_by(Subject::Call(call), "conference.member.left")
    // A call that is still joining does not get in.
    .confirmation(|each| each.events.push("conference.member.join_failed"))
}

fn set_levels(room: RoomId, call: CallId) -> Request {
    Request::new(
        Method::PATCH,
        path(room, &format!("/members/{call}")),
        format!("volume {call}"),
    )
    .with_uid()
    .confirmed_by(Subject::Call(call), "conference.member.updated")
    .fails_with(ENDS_OF_MEMBER)
    .confirmation(|each| each.settled = &["unchanged"])
}

fn move_to(from: RoomId, call: CallId, to: RoomId, muted: Option<bool>) -> Request {
    let request = Request::post(
        path(from, &format!("/members/{call}/move")),
        format!("move {call} to {to}"),
    )
    .with("room_id", to.to_string())
    .with_uid()
    .confirmed_by(Subject::Call(call), "conference.member.joined")
    .fails_with(&["conference.member.join_failed", "call.hangup"]);
    match muted {
        Some(muted) => request.with("muted", muted),
        None => request,
    }
}

/// Executes a command for members.
///
/// # Errors
/// [`Failure`].
pub async fn run_member(options: MemberOptions) -> Result<(), Failure> {
    let api = options.access.client()?;
    let (target, request): (_, fn(RoomId, CallId) -> Request) = match options.command {
        MemberArguments::List { target } => {
            let room = lookup::room(&api, &target.room).await?;
            return show::show(&api, Query::Members(room), options.view, None).await;
        }
        MemberArguments::Coach { target, coach } => {
            let room = lookup::room(&api, &target.room).await?;
            let member = lookup::member(&api, room, &target.member).await?;
            let coach = lookup::call(&api, &coach).await?;
            let request = member_command(room, member, "coach", "conference.member.coached")
                .fails_with(&["conference.member.coach_failed"])
                .with("session", coach.to_string());
            return execute::run(&api, request, target.wait, options.view.view.json).await;
        }
        MemberArguments::Uncoach(target) => (target, |room, call| {
            member_command(room, call, "uncoach", "conference.member.uncoached")
        }),
        MemberArguments::Mute(target) => (target, |_, call| set_speech(call, true)),
        MemberArguments::Unmute(target) => (target, |_, call| set_speech(call, false)),
        MemberArguments::Deaf(target) => (target, |room, call| set_hearing(room, call, true)),
        MemberArguments::Undeaf(target) => (target, |room, call| set_hearing(room, call, false)),
        MemberArguments::Hold { target, music } => {
            let room = lookup::room(&api, &target.room).await?;
            let call = lookup::member(&api, room, &target.member).await?;
            let request = set_hold(room, call, true);
            let request = match music {
                Some(url) => request.with("music_url", url),
                None => request,
            };
            return execute::run(&api, request, target.wait, options.view.view.json).await;
        }
        MemberArguments::Unhold(target) => (target, |room, call| set_hold(room, call, false)),
        MemberArguments::Kick(target) => (target, kick),
        MemberArguments::Move { target, to, muted } => {
            let room = lookup::room(&api, &target.room).await?;
            let call = lookup::member(&api, room, &target.member).await?;
            let to = lookup::room(&api, &to).await?;
            let request = move_to(room, call, to, muted);
            return execute::run(&api, request, target.wait, options.view.view.json).await;
        }
        MemberArguments::Volume {
            target,
            volume_in,
            volume_out,
            energy,
        } => {
            let room = lookup::room(&api, &target.room).await?;
            let call = lookup::member(&api, room, &target.member).await?;
            let levels = [
                ("volume_in", volume_in.map(Value::from)),
                ("volume_out", volume_out.map(Value::from)),
                ("energy", energy.map(Value::from)),
            ];
            let request = levels.into_iter().fold(
                set_levels(room, call),
                |request, (name, value)| match value {
                    Some(value) => request.with(name, value),
                    None => request,
                },
            );
            return execute::run(&api, request, target.wait, options.view.view.json).await;
        }
        MemberArguments::Record(target) => (target, |room, call| {
            record_member(room, call, "start", "conference.member.recording.started")
        }),
        MemberArguments::RecordStop(target) => (target, |room, call| {
            record_member(room, call, "stop", "conference.member.recording.stopped")
        }),
        MemberArguments::RecordPause(target) => (target, |room, call| {
            record_member(room, call, "pause", "conference.member.recording.paused")
        }),
        MemberArguments::RecordResume(target) => (target, |room, call| {
            record_member(room, call, "resume", "conference.member.recording.resumed")
        }),
    };
    let room = lookup::room(&api, &target.room).await?;
    let call = lookup::member(&api, room, &target.member).await?;
    execute::run(
        &api,
        request(room, call),
        target.wait,
        options.view.view.json,
    )
    .await
}
