//! A strict reader of the commands sent to FreeSWITCH. Any form not listed below fails the test.
//!
//! Defines the forms and their permitted values: ids that the test knows, numbers, fixed words, URLs in one alphabet.
//! It shares no code with the program, because it must find the program's mistakes.

use std::collections::BTreeSet;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

/// The values that a command may contain: any other value is an error.
#[derive(Default, Debug)]
pub struct Known {
    pub password: String,
    pub rooms: BTreeSet<String>,
    pub channels: BTreeSet<String>,
    pub names: BTreeSet<String>,
    pub operations: BTreeSet<String>,
    pub causes: BTreeSet<String>,
    /// Spoken texts, in one line.
    pub texts: BTreeSet<String>,
}

/// The only expansions for FreeSWITCH, with their position.
const EXPANSIONS: [&str; 2] = [
    "=${current_application_response}\nevent-lock: true",
    "=${read_result}:${roomkeeper_digits}\nevent-lock: true",
];

/// The kind of a command.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Form {
    /// Commands of the connection itself: authentication, subscriptions, pings, snapshots.
    Connection,
    Prepare,
    Enter,
    Dial,
    Park,
    Mute,
    Unmute,
    Deaf,
    Undeaf,
    Hold,
    Unhold,
    Level,
    MemberPlay,
    MemberSay,
    MemberStop,
    Describe,
    Play,
    Say,
    Pause,
    Stop,
    Volume,
    Answer,
    Kill,
    Record,
    RecordMember,
    Coach,
    Transfer,
    /// Writes the variable of a call's current step.
    SetStep,
    Step,
    /// Writes the variable that marks the step as finished.
    FinishStep,
    Gather,
    StopGather,
    Dtmf,
}

/// Splits the bytes of one connection into commands.
pub fn commands(sent: &[u8]) -> Vec<String> {
    for (at, byte) in sent.iter().enumerate() {
        // The program's own separator stands where no tenant's text can be.
        let is_ours = *byte == 0x1f && sent[..at].ends_with(b"bgapi show channels as delim ");
        assert!(
            is_ours || *byte == b'\n' || (*byte >= 0x20 && *byte != 0x7f),
            "byte {byte:#x} was sent, behind {:?}",
            String::from_utf8_lossy(&sent[at.saturating_sub(200)..at])
        );
    }
    // The last command may be incomplete and end within a character.
    let whole = sent.windows(2).rposition(|two| two == b"\n\n");
    let mut rest = std::str::from_utf8(&sent[..whole.map_or(0, |at| at + 2)]).unwrap();
    let mut commands = Vec::new();
    // Newlines between commands are wake-ups.
    while let Some((command, behind)) = rest.trim_start_matches('\n').split_once("\n\n") {
        commands.push(command.to_owned());
        rest = behind;
    }
    for command in &commands {
        let is_ours = EXPANSIONS.iter().any(|end| command.ends_with(end));
        let expands = command.contains("${") && !is_ours;
        assert!(!expands, "an expansion was sent: {command}");
        assert!(
            command.is_ascii()
                || command.contains("\nexecute-app-name: speak\n")
                || command.contains("\nexecute-app-name: play_and_get_digits\n")
                || command.contains("}tts://flite|"),
            "a command is not ASCII: {command}"
        );
    }
    commands
}

/// Classifies a command. Panics if its form or a value is unknown.
pub fn form(command: &str, known: &Known) -> Form {
    read(command, known).unwrap_or_else(|| panic!("an unknown command was sent: {command:?}"))
}

fn read(command: &str, known: &Known) -> Option<Form> {
    let mut lines = command.split('\n');
    let (first, headers): (&str, Vec<&str>) = (lines.next()?, lines.collect());
    let words: Vec<&str> = first.split(' ').collect();
    match (&words[..], &headers[..]) {
        (["auth", password], []) => (*password == known.password).then_some(Form::Connection),
        (["event", "plain", names @ ..], []) => names
            .iter()
            .all(|name| {
                name.bytes()
                    .all(|b| b.is_ascii_alphabetic() || b"_:".contains(&b))
            })
            .then_some(Form::Connection),
        (["filter", "Job-UUID", pattern], []) => {
            let run = pattern.strip_prefix("/^rk")?.strip_suffix("-/")?;
            run.bytes()
                .all(|b| b.is_ascii_hexdigit())
                .then_some(Form::Connection)
        }
        (["sendevent", "CUSTOM"], ["Event-Subclass: roomkeeper::fence", fence]) => {
            is_number(fence.strip_prefix("Roomkeeper-Fence: ")?).then_some(Form::Connection)
        }
        (["api", api @ ..], []) => read_api(api, known),
        (["bgapi", "originate", ..], [job]) => {
            is_job(job).then_some(())?;
            read_dial(first.strip_prefix("bgapi originate ")?, known)
        }
        (["bgapi", api @ ..], [job]) => {
            is_job(job).then_some(())?;
            read_api(api, known)
        }
        (["sendmsg", c], ["call-command: execute", rest @ ..]) if known.channels.contains(*c) => {
            read_execute(rest, known)
        }
        _ => None,
    }
}

/// Reads a command that a call executes, its application first.
fn read_execute(headers: &[&str], known: &Known) -> Option<Form> {
    let app = headers.first()?.strip_prefix("execute-app-name: ")?;
    let arg = headers.get(1)?.strip_prefix("execute-app-arg: ");
    let rest = &headers[1 + usize::from(arg.is_some())..];
    let form = match (app, arg, rest) {
        ("set", Some(arg), ["event-lock: true"]) => {
            let mark = arg.strip_prefix("roomkeeper_step=")?.split_once("=${")?.0;
            return is_step(mark).then_some(Form::FinishStep);
        }
        ("play_and_get_digits", Some(arg), [step, "event-lock: true"]) => {
            let is_ours = is_attempt(arg) && is_step(step.strip_prefix("event-uuid: ")?);
            return is_ours.then_some(Form::Gather);
        }
        ("answer", None, rest) => rest,
        ("playback", Some(url), rest) if is_url(url) => rest,
        ("playback", Some("tone_stream://%(500,0,640)"), rest) => rest,
        ("sleep", Some(ms), rest) if is_number(ms) => rest,
        ("hangup", Some("NORMAL_CLEARING"), rest) => rest,
        ("speak", Some(arg), rest) => {
            let text = arg.strip_prefix("flite|kal|")?;
            known.texts.contains(text).then_some(rest)?
        }
        _ => return None,
    };
    let [step, "event-lock: true"] = form else {
        return None;
    };
    is_step(step.strip_prefix("event-uuid: ")?).then_some(Form::Step)
}

/// Returns true for the argument of one attempt to collect digits.
fn is_attempt(arg: &str) -> bool {
    let words: Vec<&str> = arg.split(' ').collect();
    let [
        min,
        max,
        "1",
        timeout,
        keys,
        prompt,
        "silence_stream://1",
        "roomkeeper_digits",
        ".+",
        digit_timeout,
    ] = words[..]
    else {
        return false;
    };
    let key = keys.strip_suffix('F');
    let is_key = |key: &str| key.is_empty() || (key.len() == 1 && is_tones(key));
    [min, max, timeout, digit_timeout]
        .into_iter()
        .all(is_number)
        && key.is_some_and(is_key)
        && (prompt == "silence" || is_url(prompt) || is_spoken(prompt))
}

/// Returns true for a text that the application reads as one word, without a quote: `\s` is a space, `\\\\'` an
/// apostrophe.
fn is_spoken(prompt: &str) -> bool {
    let Some(text) = prompt.strip_prefix("tts://flite|kal|") else {
        return false;
    };
    let rest = text.replace("\\\\'", "").replace("\\s", "");
    !rest.contains(['\\', '\'', ' ']) && !text.starts_with('{')
}

fn is_tones(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || b"ABCDwW*#".contains(&b))
}

/// Returns true for the uuid of an action run and the number of a step.
fn is_step(text: &str) -> bool {
    text.split_once('.').is_some_and(|(run, step)| {
        run.len() == 36 && run.parse::<uuid::Uuid>().is_ok() && is_number(step)
    })
}

/// The beginning of every transfer's plan.
const PLAN: &str = "multiset:^^;max_session_transfers=70;transfer_history=;hangup_after_conference=false;park_timeout=";

/// The id of a park command in a plan.
const PARK_ID: &str = ";confvar_roomkeeper_meta=;roomkeeper_park=";

/// The variables and the application of a coach.
const COACH: &str =
    ";eavesdrop_whisper_bleg=true;eavesdrop_whisper_aleg=;eavesdrop_enable_dtmf=false,eavesdrop:";

fn read_api(words: &[&str], known: &Known) -> Option<Form> {
    let channel = |text: &str| known.channels.contains(text);
    let room = |text: &str| known.rooms.contains(text);
    let form = match words {
        ["echo", "roomkeeper"]
        | ["show", "channels", "as", "json"]
        | ["show", "channels", "as", "delim", "\u{1f}"]
        | ["module_exists", "mod_flite"] => Form::Connection,
        ["conference", "json_list", "compact"] => Form::Connection,
        ["uuid_exists", c] | ["uuid_dump", c, "json"] if channel(c) => Form::Connection,
        ["uuid_transfer", c, plan @ .., "inline"] if channel(c) => {
            // The name of a caller can contain spaces.
            let plan = plan.join(" ");
            return match plan.starts_with("m:!:") {
                true => read_bridge(&plan, known),
                false => read_plan(&plan, known),
            };
        }
        [
            "uuid_setvar_multi",
            c,
            "max_session_transfers=70;hangup_after_conference=false",
        ] if channel(c) => Form::Prepare,
        ["uuid_record", c, "start" | "stop" | "mask" | "unmask", path]
            if channel(c) && is_recording(path) =>
        {
            Form::RecordMember
        }
        ["uuid_buglist", c] if channel(c) => Form::Connection,
        ["uuid_setvar_multi", c, variables] if channel(c) => {
            let of_room = variables.strip_prefix("record_read_only=true;roomkeeper_recording=")?;
            room(of_room).then_some(Form::RecordMember)?
        }
        ["uuid_setvar", c, "record_read_only", "false"] if channel(c) => Form::RecordMember,
        ["uuid_getvar", c, "roomkeeper_step"] if channel(c) => Form::Connection,
        ["uuid_setvar", c, "roomkeeper_step", step] if channel(c) && is_step(step) => Form::SetStep,
        ["uuid_recv_dtmf", c, "F"] if channel(c) => Form::StopGather,
        ["uuid_send_dtmf", c, tones] if channel(c) => {
            let (tones, ms) = tones.split_once('@').unwrap_or((tones, "0"));
            (tones.len() <= 64 && is_tones(tones) && is_number(ms)).then_some(Form::Dtmf)?
        }
        ["uuid_answer", c] if channel(c) => Form::Answer,
        ["uuid_kill", c] if channel(c) => Form::Kill,
        ["uuid_kill", c, cause] if channel(c) && known.causes.contains(*cause) => Form::Kill,
        ["conference", name, rest @ ..] if room(name) => match rest {
            ["mute", member] if channel(member.strip_prefix("uuid=")?) => Form::Mute,
            ["unmute", member] if channel(member.strip_prefix("uuid=")?) => Form::Unmute,
            ["deaf", member] if channel(member.strip_prefix("uuid=")?) => Form::Deaf,
            ["undeaf", member] if channel(member.strip_prefix("uuid=")?) => Form::Undeaf,
            ["hold", member] if channel(member.strip_prefix("uuid=")?) => Form::Hold,
            ["unhold", member] if channel(member.strip_prefix("uuid=")?) => Form::Unhold,
            ["volume_in" | "volume_out" | "energy", member, level]
                if channel(member.strip_prefix("uuid=")?) && is_level(level) =>
            {
                Form::Level
            }
            ["play", path, member]
                if is_played_to_member(path) && channel(member.strip_prefix("uuid=")?) =>
            {
                Form::MemberPlay
            }
            ["stop", "all", member] if channel(member.strip_prefix("uuid=")?) => Form::MemberStop,
            ["play_status", member] if channel(member.strip_prefix("uuid=")?) => Form::Connection,
            ["setvar", "roomkeeper_meta", meta] if is_registration(meta, known) => Form::Describe,
            ["play", path] if is_played(path, known) => Form::Play,
            ["play", sound @ ..] => return read_say(&sound.join(" "), known),
            ["recording", "start" | "stop" | "pause" | "resume", path] if is_recording(path) => {
                Form::Record
            }
            ["pause_play"] => Form::Pause,
            ["stop", "all"] => Form::Stop,
            ["file-vol", volume] if is_volume(volume) => Form::Volume,
            ["play_status"] => Form::Connection,
            _ => return None,
        },
        _ => return None,
    };
    Some(form)
}

/// Reads a spoken text between quotes, and the member that hears it.
fn read_say(sound: &str, known: &Known) -> Option<Form> {
    let (file, member) = sound.strip_prefix('\'')?.split_once('\'')?;
    let is_ours = |op: &str| op.len() == 36 && op.parse::<uuid::Uuid>().is_ok();
    let speech = parameters_of(file, is_ours)?.strip_prefix("tts://flite|")?;
    let (voice, text) = speech.split_once('|')?;
    let is_text = !text.contains('\\') && !text.starts_with('{');
    (["kal", "slt"].contains(&voice) && is_text).then_some(())?;
    match member.strip_prefix(" uuid=") {
        Some(member) => known.channels.contains(member).then_some(Form::MemberSay),
        None => (member.is_empty()).then_some(Form::Say),
    }
}

/// The variables and the application of a call that is connected with somebody.
const BRIDGE: &str = ";originate_disposition=;last_bridge_hangup_cause=;bridge_hangup_cause=;last_bridge_proto_specific_hangup_cause=!bridge:%[^^;hangup_after_bridge=false;continue_on_fail=true;ringback=%(2000,4000,440,480)]{^^;";

/// Reads the plan of a call that is connected with somebody.
fn read_bridge(plan: &str, known: &Known) -> Option<Form> {
    let rest = plan.strip_prefix("m:!:")?.strip_prefix(PLAN)?;
    let (variables, rest) = rest.strip_suffix("!park")?.split_once(BRIDGE)?;
    let (seconds, id) = variables.split_once(PARK_ID)?;
    (is_number(seconds) && is_number(id)).then_some(())?;
    let (variables, to) = rest.split_once('}')?;
    let only = |text: &str, others: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || others.contains(c))
    };
    for variable in variables.split(';') {
        let (name, value) = variable.split_once('=')?;
        let quoted = || value.strip_prefix('\'')?.strip_suffix('\'');
        let is_good = match name {
            "origination_uuid" => only(value, "-"),
            "ignore_early_media" => value == "true",
            "originate_timeout" => is_number(value),
            "origination_caller_id_number" => only(quoted()?, "+*"),
            "origination_caller_id_name" => only(quoted()?, " ._-"),
            "loopback_bowout" | "loopback_bowout_on_execute" => value == "false",
            "roomkeeper_leg" => known.channels.contains(value),
            _ => false,
        };
        is_good.then_some(())?;
    }
    let is_good = match to.strip_prefix("loopback/") {
        Some(extension) => {
            let (extension, context) = extension.strip_suffix("/XML")?.split_once('/')?;
            only(extension, "+*_.-") && only(context, "_.-")
        }
        None => {
            let number = to.strip_prefix("sofia/gateway/trunk/");
            let address = to.strip_prefix("sofia/external/");
            number.is_some_and(|number| only(number, "+*"))
                || address.is_some_and(|address| only(address, "+_.-@:"))
        }
    };
    is_good.then_some(Form::Transfer)
}

/// Reads the plan of a transfer, or of a dialled call.
fn read_plan(plan: &str, known: &Known) -> Option<Form> {
    let rest = plan.strip_prefix(PLAN)?.strip_suffix(",park")?;
    if let Some((variables, member)) = rest.split_once(COACH) {
        let (seconds, id) = variables.split_once(PARK_ID)?;
        let is_ours = is_number(seconds) && is_number(id) && known.channels.contains(member);
        return is_ours.then_some(Form::Coach);
    }
    let form = match rest.split_once(',') {
        None => {
            let (seconds, command) = rest.split_once(PARK_ID)?;
            (is_number(seconds) && is_number(command)).then_some(Form::Park)?
        }
        Some((variables, rest)) => {
            let (seconds, meta) = variables.split_once(";confvar_roomkeeper_meta=")?;
            // The registration is empty if the room has a conference instance.
            let is_ours = meta.is_empty() || is_registration(meta, known);
            (is_number(seconds) && is_ours).then_some(())?;
            let (name, rest) = rest.strip_prefix("conference:")?.split_once('@')?;
            let name = match name.strip_prefix("%[^^;") {
                Some(levels) => {
                    let (levels, name) = levels.split_once(']')?;
                    levels.split(';').all(is_join_level).then_some(name)?
                }
                None => name,
            };
            (known.rooms.contains(name) && ["roomkeeper", "roomkeeper+flags{mute}"].contains(&rest))
                .then_some(Form::Enter)?
        }
    };
    Some(form)
}

/// Reads `{variables}dial-string plan inline`.
fn read_dial(text: &str, known: &Known) -> Option<Form> {
    let (variables, rest) = text.strip_prefix('{')?.split_once('}')?;
    let only = |text: &str, others: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || others.contains(c))
    };
    let mut variables = variables.split(',');
    let mut next = |name: &str| variables.next()?.strip_prefix(name)?.strip_prefix('=');
    known
        .channels
        .contains(next("origination_uuid")?)
        .then_some(())?;
    (next("ignore_early_media")? == "true").then_some(())?;
    is_number(next("originate_timeout")?).then_some(())?;
    for variable in variables {
        let (name, value) = variable.split_once('=')?;
        let quoted = || value.strip_prefix('\'')?.strip_suffix('\'');
        let is_good = match name {
            "origination_caller_id_number" => only(quoted()?, "+*"),
            "origination_caller_id_name" => only(quoted()?, " ._-"),
            "roomkeeper_app" => value == "demo",
            "roomkeeper_dial" => known.rooms.contains(value),
            name => {
                let header = name.strip_prefix("sip_h_")?;
                only(header.strip_prefix("X-")?, "-") && only(quoted()?, " -._~:/@=+%?&*")
            }
        };
        is_good.then_some(())?;
    }
    let (to, plan) = rest.split_once(' ')?;
    let number = to.strip_prefix("sofia/gateway/trunk/");
    let address = to.strip_prefix("sofia/external/");
    let is_good = number.is_some_and(|number| only(number, "+*"))
        || address.is_some_and(|address| only(address, "+_.-@:"));
    is_good.then_some(())?;
    (read_plan(plan.strip_suffix(" inline")?, known)? == Form::Enter).then_some(Form::Dial)
}

/// Returns true for the id of a job of ours.
fn is_job(header: &str) -> bool {
    let job = header.strip_prefix("Job-UUID: rk");
    job.and_then(|job| job.rsplit_once('-'))
        .is_some_and(|(run, number)| {
            run.bytes().all(|b| b.is_ascii_hexdigit()) && is_number(number)
        })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Returns true for a file in the recordings directory.
fn is_recording(path: &str) -> bool {
    let name = path.strip_prefix("/var/lib/freeswitch/recordings/");
    let id = name.and_then(|name| name.strip_suffix(".wav"));
    id.is_some_and(|id| id.len() == 36 && id.parse::<uuid::Uuid>().is_ok())
}

fn is_volume(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    is_number(digits) && digits.len() <= 2
}

/// Returns true for a level of a member.
fn is_level(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    is_number(digits) && digits.len() <= 4
}

/// Returns true for a variable of a join with a level.
fn is_join_level(text: &str) -> bool {
    let (name, level) = text.split_once('=').unwrap_or_default();
    let name = name.strip_prefix("conference_join_");
    name.is_some_and(|name| ["volume_in", "volume_out", "energy_level"].contains(&name))
        && is_level(level)
}

/// Returns true for a room's registration: base64url JSON with a name that the API has accepted.
fn is_registration(text: &str, known: &Known) -> bool {
    let Ok(bytes) = BASE64_URL_SAFE_NO_PAD.decode(text) else {
        return false;
    };
    let json: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    json["n"]
        .as_str()
        .is_some_and(|name| known.names.contains(name))
}

/// Checks a file for one member. No answer has the id of music on hold.
fn is_played_to_member(text: &str) -> bool {
    is_file(text, |op| {
        op.len() == 36 && op.parse::<uuid::Uuid>().is_ok()
    })
}

fn is_played(text: &str, known: &Known) -> bool {
    is_file(text, |op| known.operations.contains(op))
}

/// Checks `{op=…,n=…,vol=…}` and a URL of harmless characters.
fn is_file(text: &str, is_operation: impl Fn(&str) -> bool) -> bool {
    parameters_of(text, is_operation).is_some_and(is_url)
}

/// Checks `{op=…,n=…,vol=…}`, and returns the rest.
fn parameters_of(text: &str, is_operation: impl Fn(&str) -> bool) -> Option<&str> {
    let (parameters, rest) = text.strip_prefix('{')?.split_once('}')?;
    let parameters: Vec<&str> = parameters.split(',').collect();
    let [op, n, vol] = parameters[..] else {
        return None;
    };
    let value = |text: &'static str| move |given: &str| given.strip_prefix(text).map(str::to_owned);
    let ours = value("op=")(op).is_some_and(|op| is_operation(&op))
        && value("n=")(n).is_some_and(|n| is_number(&n))
        && value("vol=")(vol).is_some_and(|vol| is_volume(&vol));
    ours.then_some(rest)
}

/// Checks that each part of a URL has only characters that no parser of FreeSWITCH interprets.
fn is_url(url: &str) -> bool {
    let rest = url.strip_prefix("http://").or(url.strip_prefix("https://"));
    let Some((authority, rest)) = rest.and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let (host, port) = authority.split_once(':').unwrap_or((authority, "80"));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let only = |part: &str, punctuation: &[u8]| {
        part.bytes()
            .all(|b| b.is_ascii_alphanumeric() || punctuation.contains(&b))
    };
    url.len() <= 2_048
        && host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && only(host, b"-._")
        && is_number(port)
        && only(path, b"-._~/&+=%")
        && only(query, b"-_~&+=%")
}
