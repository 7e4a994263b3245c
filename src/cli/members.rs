//! `roomkeeper member …`: the members of an app's rooms.
//!
//! Owns the requests of these commands. Leaves out their effect, which the controller decides, and the tables
//! ([`super::show`]).

use reqwest::Method;

use roomkeeper_core::ids::{CallId, RoomId};

use super::arguments::{MemberArguments, MemberCommand, MemberOptions, MemberTarget};
use super::calls::{gathered, stops_gathering};
use super::client::Client;
use super::request::{Request, Subject, changes};
use super::show::{self, Query};
use super::{Failure, execute, lookup};

/// Executes a command for members.
///
/// # Errors
/// [`Failure`].
pub async fn run(options: MemberOptions) -> Result<(), Failure> {
    let api = options.access.client()?;
    let command = match options.command {
        MemberArguments::List { target } => {
            let room = lookup::room(&api, &target.room).await?;
            return show::show(&api, Query::Members(room), options.view, None).await;
        }
        MemberArguments::Command(command) => command,
    };
    let (target, build) = parts(&api, command).await?;
    let room = lookup::room(&api, &target.room).await?;
    let call = lookup::member(&api, room, &target.member).await?;
    let request = build(room, call);
    execute::run(&api, request, target.wait, options.view.view.json).await
}

/// The request for a member.
type Build = Box<dyn FnOnce(RoomId, CallId) -> Request>;

/// The member and the request of each command. A new command is a line here.
async fn parts(api: &Client, command: MemberCommand) -> Result<(MemberTarget, Build), Failure> {
    Ok(match command {
        MemberCommand::Mute(target) => (target, speech("mute", "conference.member.muted")),
        MemberCommand::Unmute(target) => (target, speech("unmute", "conference.member.unmuted")),
        MemberCommand::Deaf(target) => (target, post("deaf", "conference.member.deafened")),
        MemberCommand::Undeaf(target) => (target, post("undeaf", "conference.member.undeafened")),
        MemberCommand::Hold { target, music } => (
            target,
            Box::new(move |room, call| {
                let request = command_to(room, call, "hold", "conference.member.held");
                match music {
                    Some(url) => request.with("music_url", url),
                    None => request,
                }
            }),
        ),
        MemberCommand::Unhold(target) => (target, post("unhold", "conference.member.unheld")),
        MemberCommand::Volume { target, levels } => (
            target,
            Box::new(move |room, call| update(room, call, "volume").with_all(levels.fields())),
        ),
        MemberCommand::Update { target, settings } => {
            let fields = changes(settings.fields())?;
            (
                target,
                Box::new(move |room, call| update(room, call, "update").with_all(fields)),
            )
        }
        MemberCommand::Play { target, urls } => (
            target,
            Box::new(move |room, call| {
                let urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
                playback(room, call, "play").with("urls", urls)
            }),
        ),
        MemberCommand::Say { target, text } => (
            target,
            Box::new(move |room, call| playback(room, call, "say").with_all(text.fields())),
        ),
        MemberCommand::Stop(target) => (target, Box::new(stop)),
        MemberCommand::Gather { target, digits } => (
            target,
            Box::new(move |room, call| {
                gathered(bare(room, call, "gather").with_all(digits.fields()), call)
            }),
        ),
        MemberCommand::GatherStop(target) => (
            target,
            Box::new(|room, call| stops_gathering(bare(room, call, "gather/stop"), call)),
        ),
        MemberCommand::Dtmf { target, tones } => (
            target,
            Box::new(move |room, call| bare(room, call, "dtmf").with_all(tones.fields())),
        ),
        MemberCommand::Move { target, to, muted } => {
            let to = lookup::room(api, &to).await?;
            (
                target,
                Box::new(move |room, call| move_to(room, call, to, muted)),
            )
        }
        MemberCommand::Record(target) => (
            target,
            recording("start", "conference.member.recording.started"),
        ),
        MemberCommand::RecordStop(target) => (
            target,
            recording("stop", "conference.member.recording.stopped"),
        ),
        MemberCommand::RecordPause(target) => (
            target,
            recording("pause", "conference.member.recording.paused"),
        ),
        MemberCommand::RecordResume(target) => (
            target,
            recording("resume", "conference.member.recording.resumed"),
        ),
        MemberCommand::Coach { target, coach } => {
            let coach = lookup::call(api, &coach).await?;
            (
                target,
                Box::new(move |room, call| {
                    command_to(room, call, "coach", "conference.member.coached")
                        .fails_with(&["conference.member.coach_failed"])
                        .with("session", coach.to_string())
                }),
            )
        }
        MemberCommand::Uncoach(target) => (target, post("uncoach", "conference.member.uncoached")),
        MemberCommand::Kick(target) => (target, Box::new(kick)),
    })
}

/// The events that end each command to a member.
const ENDS: &[&str] = &[
    "conference.member.left",
    "conference.member.join_failed",
    "call.hangup",
];

fn path(room: RoomId, call: CallId, rest: &str) -> String {
    format!("api/v1/conferences/{room}/members/{call}{rest}")
}

/// A command without a confirming event.
fn bare(room: RoomId, call: CallId, command: &str) -> Request {
    let words = format!("{} {call}", command.replace('/', "-"));
    Request::post(path(room, call, &format!("/{command}")), words).with_uid()
}

fn command_to(room: RoomId, call: CallId, command: &str, event: &'static str) -> Request {
    bare(room, call, command)
        .confirmed_by(Subject::Call(call), event)
        .fails_with(ENDS)
}

/// A command without fields of its own.
fn post(command: &'static str, event: &'static str) -> Build {
    Box::new(move |room, call| command_to(room, call, command, event))
}

fn speech(verb: &'static str, event: &'static str) -> Build {
    Box::new(move |_, call| {
        let path = format!("api/v1/sessions/{call}/commands/conference/{verb}");
        Request::post(path, format!("{verb} {call}"))
            .with_uid()
            .confirmed_by(Subject::Call(call), event)
            .fails_with(ENDS)
    })
}

fn kick(room: RoomId, call: CallId) -> Request {
    bare(room, call, "kick")
        .confirmed_by(Subject::Call(call), "conference.member.left")
        // A call that is still joining does not get in.
        .confirmation(|each| each.events.push("conference.member.join_failed"))
}

fn update(room: RoomId, call: CallId, verb: &str) -> Request {
    Request::new(
        Method::PATCH,
        path(room, call, ""),
        format!("{verb} {call}"),
    )
    .with_uid()
    .confirmed_by(Subject::Call(call), "conference.member.updated")
    .fails_with(ENDS)
    .confirmation(|each| each.settled = &["unchanged"])
}

/// The confirmation is the end of the playback: only then is it known whether FreeSWITCH could play it.
fn playback(room: RoomId, call: CallId, command: &str) -> Request {
    command_to(room, call, command, "conference.member.play.finished")
        .fails_with(&["conference.member.play.stopped"])
        .confirmation(|each| {
            each.answer_field = Some("operation_id");
            each.start = Some("conference.member.play.started");
        })
}

fn stop(room: RoomId, call: CallId) -> Request {
    command_to(room, call, "stop", "conference.member.play.stopped")
        .confirmation(|each| each.answer_field = Some("operation_id"))
}

fn move_to(from: RoomId, call: CallId, to: RoomId, muted: Option<bool>) -> Request {
    let mut request = bare(from, call, "move")
        .with("room_id", to.to_string())
        .confirmed_by(Subject::Call(call), "conference.member.joined")
        .fails_with(&["conference.member.join_failed", "call.hangup"]);
    request.words = format!("move {call} to {to}");
    match muted {
        Some(muted) => request.with("muted", muted),
        None => request,
    }
}

fn recording(verb: &'static str, event: &'static str) -> Build {
    Box::new(move |room, call| {
        let mut request = bare(room, call, &format!("recording/{verb}"))
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
            .confirmation(|each| each.answer_field = Some("recording_id"));
        request.words = format!("{verb} recording {call}");
        request
    })
}
