//! The `conference` command.
//!
//! Owns its subcommands, their answers and usage texts, and which members a selector means. Leaves out what
//! conferences do by themselves.

use super::{
    Core, FRAME, Origin, Step, Task,
    json::indented,
    room::{FileNode, MemberFile, Room, file_params},
};

const PLAY: Origin = ("conference_api.c", "conference_api_sub_play", 2817);
const PLAY_MEMBER: Origin = ("conference_api.c", "conference_api_sub_play", 2846);
const PLAY_FAILED: Origin = ("conference_file.c", "conference_file_play", 268);
const PAUSE_RECORDING: Origin = ("conference_api.c", "conference_api_sub_pauserec", 3860);

/// A file whose opening takes its time.
#[derive(Debug, Clone)]
pub(super) struct Play {
    room: String,
    path: String,
    member: Option<String>,
    asynchronous: bool,
}

/// A subcommand that acts on members.
struct MemberCommand {
    name: &'static str,
    action: &'static str,
    origin: Origin,
    usage: &'static str,
}

const MEMBER_COMMANDS: [MemberCommand; 12] = [
    MemberCommand {
        name: "mute",
        action: "mute-member",
        origin: ("conference_api.c", "conference_api_sub_mute", 339),
        usage: "mute <[member_id|all]|last|non_moderator> [<quiet>]",
    },
    MemberCommand {
        name: "unmute",
        action: "unmute-member",
        origin: ("conference_api.c", "conference_api_sub_unmute", 492),
        usage: "unmute <[member_id|all]|last|non_moderator> [<quiet>]",
    },
    MemberCommand {
        name: "tmute",
        action: "",
        origin: ("conference_api.c", "conference_api_sub_tmute", 0),
        usage: "tmute <[member_id|all]|last|non_moderator> [<quiet>]",
    },
    MemberCommand {
        name: "deaf",
        action: "deaf-member",
        origin: ("conference_api.c", "conference_api_sub_deaf", 797),
        usage: "deaf <[member_id|all]|last|non_moderator>",
    },
    MemberCommand {
        name: "undeaf",
        action: "undeaf-member",
        origin: ("conference_api.c", "conference_api_sub_undeaf", 839),
        usage: "undeaf <[member_id|all]|last|non_moderator>",
    },
    MemberCommand {
        name: "hold",
        action: "hold-member",
        origin: ("conference_api.c", "conference_api_sub_hold", 440),
        usage: "hold <[member_id|all]|last|non_moderator> [file]",
    },
    MemberCommand {
        name: "unhold",
        action: "unhold-member",
        origin: ("conference_api.c", "conference_api_sub_unhold", 389),
        usage: "unhold <[member_id|all]|last|non_moderator>",
    },
    MemberCommand {
        name: "kick",
        action: "kick-member",
        origin: ("conference_api.c", "conference_api_sub_kick", 902),
        usage: "kick <[member_id|all|last|non_moderator]> [<optional sound file>]",
    },
    MemberCommand {
        name: "hup",
        action: "hup-member",
        origin: ("conference_api.c", "conference_api_sub_hup", 871),
        usage: "hup <[member_id|all|last|non_moderator]>",
    },
    MemberCommand {
        name: "energy",
        action: "energy-level-member",
        origin: ("conference_api.c", "conference_api_sub_energy", 1062),
        usage: "energy <member_id|all|last|non_moderator> [<newval>]",
    },
    MemberCommand {
        name: "volume_in",
        action: "volume-in-member",
        origin: ("conference_api.c", "conference_api_sub_volume_in", 1574),
        usage: "volume_in <member_id|all|last|non_moderator> [<newval>]",
    },
    MemberCommand {
        name: "volume_out",
        action: "volume-out-member",
        origin: ("conference_api.c", "conference_api_sub_volume_out", 1609),
        usage: "volume_out <member_id|all|last|non_moderator> [<newval>]",
    },
];

impl Core {
    /// `conference <name> <sub> …`. None: the answer comes later.
    pub(super) fn conference(&mut self, arg: &str, pending: u64) -> Option<String> {
        let words = split_args(arg);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] => return Some("-USAGE: conference help\n".into()),
            ["json_list"] => return Some(indented(&self.json_list(None))),
            ["json_list", "compact"] => return Some(self.json_list(None)),
            ["list", ..] => return Some(self.list_all()),
            [_, ..] => {}
        }
        let name = words[0];
        let Some(room) = self.room_named(name) else {
            return Some(format!("-ERR Conference {name} not found\n"));
        };
        let uid = room.uid.clone();
        let sub = words.get(1).copied().unwrap_or_default();
        if let Some(command) = MEMBER_COMMANDS.iter().find(|command| command.name == sub) {
            return Some(self.for_members(&uid, command, &words[2..]));
        }
        let body = match (sub, &words[2..]) {
            ("json_list", ["compact", ..]) => self.json_list(Some(&uid)),
            ("json_list", _) => indented(&self.json_list(Some(&uid))),
            ("list", _) => self.list_members(&uid),
            ("count", _) => self.rooms.get(&uid).map_or(0, Room::size).to_string(),
            ("lock" | "unlock", _) => self.lock(&uid, sub == "lock"),
            ("pin", [pin]) => {
                self.change(&uid, |room| room.pin = (*pin).to_owned());
                format!("+OK Pin for conference {name} set: {pin}\n")
            }
            ("nopin", _) => {
                self.change(&uid, |room| room.pin.clear());
                format!("+OK Pin for conference {name} deleted\n")
            }
            ("set", ["max_members", value]) => {
                let old = self.rooms.get(&uid).map_or(0, |room| room.max_members);
                // What is no number counts as none, and none is no limit.
                let limit = value.parse().unwrap_or(0);
                self.change(&uid, |room| room.max_members = limit);
                old.to_string()
            }
            ("get", ["max_members"]) => self.rooms.get(&uid).map_or(0, |room| room.max_members).to_string(),
            ("get", ["count"]) => self.rooms.get(&uid).map_or(0, Room::size).to_string(),
            ("get", ["uuid"]) => uid.clone(),
            ("setvar", rest) => {
                // One word: what follows it is ignored.
                let key = rest.first().map(|key| (*key).to_owned());
                let value = rest.get(1).map(|value| (*value).to_owned());
                if let Some(key) = key {
                    self.change(&uid, |room| {
                        room.vars.retain(|(known, _)| *known != key);
                        room.vars.extend(value.map(|value| (key, value)));
                    });
                }
                "+OK\n".into()
            }
            ("getvar", rest) => {
                let room = self.rooms.get(&uid);
                let found = room.and_then(|room| room.vars.iter().find(|(known, _)| rest.first() == Some(&known.as_str())));
                found.map(|(_, value)| value.clone()).unwrap_or_default()
            }
            ("get", _) => "get <parameter-name>".into(),
            ("transfer", [target, ids @ ..]) if !ids.is_empty() => self.move_members(&uid, target, ids),
            ("play", [path, rest @ ..]) => return self.play(&uid, path, rest, pending),
            ("pause_play", _) => self.pause(&uid),
            ("play_status", _) => self.play_status(&uid),
            ("file-vol" | "file_vol", [level, ..]) => self.file_volume(&uid, level),
            ("stop", rest) => self.stop_files(&uid, rest.first().copied().unwrap_or("all")),
            ("recording", [verb, rest @ ..]) => self.recording(&uid, verb, &rest.join(" ")),
            ("record", rest) if !rest.is_empty() => self.recording(&uid, "start", &rest.join(" ")),
            ("norecord", rest) if !rest.is_empty() => self.recording(&uid, "stop", &rest.join(" ")),
            ("relate", rest) => self.relate(&uid, rest),
            ("transfer", _) => "transfer <conference_name> <member id> [...<member id>]".into(),
            ("play", _) => "play <file_path> [async|<member_id> [nomux]]".into(),
            ("recording", _) => "recording [start|stop|check|pause|resume] [<filename>|all]".into(),
            ("pin", _) => "-ERR Invalid parameters:\npin <pin#>".into(),
            ("record", _) => "record <filename>".into(),
            ("norecord", _) => "norecord <[filename|all]>".into(),
            ("file-vol" | "file_vol", _) => "-ERR missing args
file-vol <vol#>".into(),
            ("set", _) => "set <max_members|sound_prefix|caller_id_name|caller_id_number|endconference_grace_time> <value>".into(),
            _ => format!("-ERR Conference command '{sub}' not found.\n"),
        };
        Some(body)
    }

    fn change(&mut self, uid: &str, change: impl FnOnce(&mut Room)) {
        if let Some(room) = self.rooms.get_mut(uid) {
            change(room);
        }
    }

    /// Which members a selector means. Err: what the server says to one that means nothing.
    fn select(&self, uid: &str, selector: &str) -> Result<Vec<u64>, Option<String>> {
        let Some(room) = self.rooms.get(uid) else {
            return Err(None);
        };
        if let Some(uuid) = selector.strip_prefix("uuid=") {
            return match room.member_of(uuid) {
                Some(member) => Ok(vec![member.id]),
                None => Err(Some("-ERR Non-Existant member\n".into())),
            };
        }
        match selector {
            "all" => Ok(room.members.iter().map(|member| member.id).collect()),
            "non_moderator" => Ok(room
                .members
                .iter()
                .filter(|member| !member.moderator)
                .map(|member| member.id)
                .collect()),
            "last" => Ok(room
                .members
                .iter()
                .map(|member| member.id)
                .max()
                .into_iter()
                .collect()),
            number => match number.parse::<u64>() {
                Ok(id) if room.member(id).is_some() => Ok(vec![id]),
                Ok(_) => Err(Some(format!("-ERR Non-Existant ID {number}\n"))),
                Err(_) => Err(None),
            },
        }
    }

    fn for_members(&mut self, uid: &str, command: &MemberCommand, args: &[&str]) -> String {
        let Some(selector) = args.first() else {
            return command.usage.into();
        };
        match self.select(uid, selector) {
            Ok(ids) => {
                let mut body = String::new();
                for id in ids {
                    body.push_str(&self.act_on_member(uid, id, command, args.get(1).copied()));
                }
                body
            }
            Err(Some(body)) => body,
            Err(None) => command.usage.into(),
        }
    }

    fn act_on_member(
        &mut self,
        uid: &str,
        id: u64,
        command: &MemberCommand,
        value: Option<&str>,
    ) -> String {
        let Some(member) = self.rooms.get_mut(uid).and_then(|room| room.member_mut(id)) else {
            return String::new();
        };
        let uuid = member.uuid.clone();
        match command.name {
            "tmute" => {
                let turned = if member.can_speak {
                    &MEMBER_COMMANDS[0]
                } else {
                    &MEMBER_COMMANDS[1]
                };
                return self.act_on_member(uid, id, turned, None);
            }
            "mute" => {
                member.can_speak = false;
                member.talking = false;
            }
            "unmute" => member.can_speak = true,
            "deaf" => member.can_hear = false,
            "undeaf" => member.can_hear = true,
            "hold" => {
                member.hold = true;
                member.talking = false;
            }
            "unhold" => member.hold = false,
            "kick" => {
                member.kicked = true;
                self.member_event(uid, id, command.origin, command.action, &[]);
                self.step(Step::Notice, &uuid, Task::Run(uuid.clone()));
                return format!("+OK kicked {id}\n");
            }
            "hup" => {
                // The member is let go like a kicked one; nothing hangs the call up but its plan's end.
                member.kicked = true;
                self.member_event(uid, id, command.origin, command.action, &[]);
                self.step(Step::Notice, &uuid, Task::Run(uuid.clone()));
                return format!("+OK hup {id}\n");
            }
            "energy" => {
                if let Some(level) = value.and_then(|text| text.parse().ok()) {
                    member.energy_level = level;
                }
                let level = member.energy_level;
                if value.is_some() {
                    self.member_event(uid, id, command.origin, command.action, &[]);
                }
                return format!("Energy {id} = {level}\n");
            }
            _ => {
                let (volume, side) = match command.name {
                    "volume_in" => (&mut member.volume_in, "IN"),
                    _ => (&mut member.volume_out, "OUT"),
                };
                if let Some(level) = value.and_then(|text| text.parse().ok()) {
                    *volume = level;
                }
                let level = *volume;
                if value.is_some() {
                    let more = [("Volume-Level", level.to_string())];
                    self.member_event(uid, id, command.origin, command.action, &more);
                }
                return format!("+OK Volume {side} {id} = {level}\n");
            }
        }
        self.member_event(uid, id, command.origin, command.action, &[]);
        if matches!(command.name, "unmute" | "unhold")
            && self
                .channels
                .get(&uuid)
                .is_some_and(|channel| channel.voice)
        {
            // The voice is there already, the gate opens with the next frame.
            let at = self
                .timing
                .at(Step::TalkStart, &uuid, self.now)
                .min(self.now + FRAME);
            self.schedule(at, Task::TalkStart(uuid));
        }
        format!("+OK {} {id}\n", command.name)
    }

    fn lock(&mut self, uid: &str, on: bool) -> String {
        let (action, line) = if on { ("lock", 3474) } else { ("unlock", 3496) };
        self.change(uid, |room| room.locked = on);
        let function = if on {
            "conference_api_sub_lock"
        } else {
            "conference_api_sub_unlock"
        };
        self.room_event(uid, ("conference_api.c", function, line), action, &[]);
        let name = self
            .rooms
            .get(uid)
            .map(|room| room.name.clone())
            .unwrap_or_default();
        format!("+OK {name} {action}ed\n")
    }

    /// Members go to another conference by the same way as calls go there.
    fn move_members(&mut self, uid: &str, target: &str, ids: &[&str]) -> String {
        let mut body = String::new();
        let old = self
            .rooms
            .get(uid)
            .map(|room| room.name.clone())
            .unwrap_or_default();
        for selector in ids {
            let Ok(ids) = self.select(uid, selector) else {
                body.push_str(&format!("-ERR No Member {selector} in conference {old}.\n"));
                continue;
            };
            for id in ids {
                let Some(uuid) = self
                    .rooms
                    .get(uid)
                    .and_then(|room| room.member(id))
                    .map(|member| member.uuid.clone())
                else {
                    continue;
                };
                // A member that has hung up meanwhile goes nowhere.
                let _ = self.transfer(&uuid, &format!("conference:{target}"), "inline", None);
                let more = [
                    ("Old-Conference-Name", old.clone()),
                    ("New-Conference-Name", target.to_owned()),
                ];
                self.member_event(
                    uid,
                    id,
                    ("conference_api.c", "conference_api_sub_transfer", 3704),
                    "transfer",
                    &more,
                );
                body.push_str(&format!("+OK Member '{id}' sent to conference {target}.\n"));
            }
        }
        body
    }

    /// The file is opened at once, on the thread of whoever asks; a fetch may take long.
    fn play(&mut self, uid: &str, path: &str, rest: &[&str], pending: u64) -> Option<String> {
        let asynchronous = rest.first() == Some(&"async");
        let member = rest
            .first()
            .filter(|_| !asynchronous)
            .map(|selector| (*selector).to_owned());
        let play = Play {
            room: uid.to_owned(),
            path: path.to_owned(),
            member,
            asynchronous,
        };
        let opening = self.media(path).opening;
        if opening > 0 {
            self.schedule(self.now + opening, Task::PlayOpened(pending, play));
            return None;
        }
        Some(self.open_file(&play))
    }

    pub(super) fn play_opened(&mut self, pending: u64, play: &Play) {
        if self.pending.contains_key(&pending) {
            let body = self.open_file(play);
            self.finish(pending, body);
        }
    }

    fn open_file(&mut self, play: &Play) -> String {
        let Play {
            room: uid,
            path,
            member,
            asynchronous,
        } = play;
        let now = self.now;
        let media = self.media(path);
        let (params, _) = file_params(path);
        let serial = self.serial();
        if self.rooms.get(uid).is_none_or(|room| room.gone) {
            return "-ERR Conference not found\n".into();
        }
        if let Some(selector) = member {
            let Some(id) = self
                .select(uid, selector)
                .ok()
                .and_then(|ids| ids.first().copied())
            else {
                return "-ERR Member: 0 not found.\nplay <file_path> [async|<member_id> [nomux]]"
                    .into();
            };
            let Some(duration) = media.duration else {
                return format!("-ERR (play) File: {path} not found.\n");
            };
            if let Some(member) = self.rooms.get_mut(uid).and_then(|room| room.member_mut(id)) {
                member.files.push(MemberFile {
                    serial,
                    path: path.clone(),
                    params: params.clone(),
                    started: now,
                });
            }
            self.tell_member_play(uid, id, &params, path);
            self.schedule(
                now + duration,
                Task::MemberFileDone(uid.clone(), id, serial),
            );
            return format!("+OK (play) Playing file {path} to member {id}\n");
        }
        let Some(duration) = media.duration else {
            let more = [
                ("File", path.clone()),
                ("Async", asynchronous.to_string()),
                ("Error", "File could not be played".to_owned()),
            ];
            self.room_event(uid, PLAY_FAILED, "play-file", &more);
            return format!("-ERR (play) File: {path} not found.\n");
        };
        let file = FileNode {
            serial,
            path: path.clone(),
            params,
            duration,
            since: None,
            played: 0,
            volume: 0,
            asynchronous: *asynchronous,
        };
        self.change(uid, |room| {
            if file.asynchronous {
                room.async_file = Some(FileNode {
                    since: Some(now),
                    ..file.clone()
                });
            } else {
                room.files.push_back(file.clone());
            }
        });
        // The parameters told are those of the file that plays now, whichever was asked for.
        let head = self
            .rooms
            .get(uid)
            .and_then(|room| room.files.front().or(room.async_file.as_ref()));
        let params = head.map(|file| file.params.clone()).unwrap_or_default();
        let mut event = self.custom("conference::maintenance", PLAY);
        if let Some(room) = self.rooms.get(uid) {
            room.describe(&mut event, &self.config.domain);
        }
        for (key, value) in params {
            event.add(key, value);
        }
        event.add("Action", "play-file");
        event.add("File", path.clone());
        event.add("Async", *asynchronous);
        self.emit(event);
        if *asynchronous {
            self.schedule(now + duration, Task::FileDone(uid.clone(), serial));
        } else {
            self.start_head(uid);
        }
        format!("+OK (play) Playing file {path}\n")
    }

    fn tell_member_play(&mut self, uid: &str, id: u64, params: &[(String, String)], path: &str) {
        let mut event = self.custom("conference::maintenance", PLAY_MEMBER);
        self.describe_member(&mut event, uid, id);
        for (key, value) in params {
            event.add(key.clone(), value.clone());
        }
        event.add("Action", "play-file-member");
        event.add("File", path.to_owned());
        self.emit(event);
    }

    /// A toggle on the file that plays; without one there is no answer at all.
    fn pause(&mut self, uid: &str) -> String {
        let now = self.now;
        let Some(head) = self
            .rooms
            .get_mut(uid)
            .and_then(|room| room.files.front_mut())
        else {
            return String::new();
        };
        match head.since.take() {
            Some(since) => {
                head.played += now.saturating_sub(since).max(1);
                "+OK Pause\n".into()
            }
            None => {
                head.since = Some(now);
                let (serial, left) = (head.serial, head.duration.saturating_sub(head.played));
                self.schedule(now + left, Task::FileDone(uid.to_owned(), serial));
                "+OK Resume\n".into()
            }
        }
    }

    fn play_status(&self, uid: &str) -> String {
        let head = self
            .rooms
            .get(uid)
            .and_then(|room| room.files.front().or(room.async_file.as_ref()));
        match head {
            Some(file) => {
                let (_, bare) = file_params(&file.path);
                let name = bare.split_once("://").map_or(bare, |(_, rest)| rest);
                format!("+OK 0/0 {name}\n")
            }
            None => "-ERR Nothing is playing\n".into(),
        }
    }

    fn file_volume(&mut self, uid: &str, level: &str) -> String {
        let level = level.parse::<i64>().unwrap_or(0);
        match self
            .rooms
            .get_mut(uid)
            .and_then(|room| room.files.front_mut())
        {
            Some(head) => {
                head.volume = level.clamp(-50, 50);
                "+OK volume changed\n".into()
            }
            None => "-ERR File not playing\nfile-vol <vol#>".into(),
        }
    }

    /// Files are only told to stop; each is closed, and told of, at the next frame.
    fn stop_files(&mut self, uid: &str, which: &str) -> String {
        let Some(room) = self.rooms.get(uid) else {
            return String::new();
        };
        let serials: Vec<u64> = match which {
            "all" => room
                .files
                .iter()
                .chain(&room.async_file)
                .map(|file| file.serial)
                .collect(),
            "current" => room
                .files
                .front()
                .map(|file| file.serial)
                .into_iter()
                .collect(),
            "async" => room.async_file.iter().map(|file| file.serial).collect(),
            "last" => Vec::new(),
            _ => return "stop <[current|all|async|last]> [<member_id>]".into(),
        };
        let count = serials.len();
        if count > 0 {
            self.schedule(
                self.now + FRAME / 2,
                Task::FilesStop(uid.to_owned(), serials),
            );
        }
        format!("+OK Stopped {count} files.\n")
    }

    fn recording(&mut self, uid: &str, verb: &str, path: &str) -> String {
        match verb {
            "start" if !path.is_empty() => {
                self.ask_recording(uid, path);
                format!("+OK Record file {path}\n")
            }
            "check" => match self.rooms.get(uid).and_then(|room| room.recordings.first()) {
                Some(node) => format!("+OK Record file {}\n", node.path),
                None => "-ERR Conference is not being recorded.\n".into(),
            },
            "stop" if !path.is_empty() => self.stop_recording(uid, path),
            "pause" | "resume" if !path.is_empty() => {
                self.pause_recording(uid, verb == "pause", path)
            }
            // Anything else is the name of a file to record to, a verb without one too.
            file => {
                self.ask_recording(uid, file);
                format!("+OK Record file {file}\n")
            }
        }
    }

    fn stop_recording(&mut self, uid: &str, path: &str) -> String {
        let mut body = String::new();
        let paths: Vec<String> = self
            .rooms
            .get_mut(uid)
            .map(|room| {
                room.recordings
                    .iter_mut()
                    .filter(|node| !node.stopping && (path == "all" || node.path == path))
                    .map(|node| {
                        node.stopping = true;
                        node.path.clone()
                    })
                    .collect()
            })
            .unwrap_or_default();
        if paths.is_empty() && path != "all" {
            body.push_str(&format!("-ERR non-existant recording '{path}'\n"));
        }
        for stopped in &paths {
            if path != "all" {
                body.push_str(&format!("Stopped recording file {stopped}\n"));
            }
            self.schedule(
                self.now + FRAME / 2,
                Task::RecordStop(uid.to_owned(), stopped.clone()),
            );
        }
        // Only those that `all` stopped are counted.
        let counted = if path == "all" { paths.len() } else { 0 };
        body.push_str(&format!("+OK Stopped recording {counted} files\n"));
        body
    }

    fn pause_recording(&mut self, uid: &str, pause: bool, path: &str) -> String {
        let now = self.now;
        let (action, word) = if pause {
            ("pause-recording", "Pause")
        } else {
            ("resume-recording", "Resume")
        };
        // The server confirms before it looks.
        let done = format!("+OK {word} recording file {path}\n");
        let Some(room) = self.rooms.get_mut(uid) else {
            return String::new();
        };
        let Some(node) = room.recordings.iter_mut().find(|node| node.path == path) else {
            return format!("{done}-ERR non-existant recording '{path}'\n");
        };
        if pause {
            node.recorded += node
                .since
                .take()
                .map_or(0, |since| now.saturating_sub(since));
        } else {
            node.since.get_or_insert(now);
        }
        let others = !room.recordings.is_empty();
        let more = [
            ("Path", path.to_owned()),
            ("Other-Recordings", others.to_string()),
        ];
        self.room_event(uid, PAUSE_RECORDING, action, &more);
        done
    }

    /// Who hears whom does not show in events, and is not kept.
    fn relate(&self, uid: &str, args: &[&str]) -> String {
        let known = |id: &str| {
            let room = self.rooms.get(uid);
            id.parse()
                .ok()
                .is_some_and(|id| room.is_some_and(|room| room.member(id).is_some()))
        };
        match args {
            [] => "+OK No relationships\n".into(),
            [a, b, verb, ..] if known(a) && known(b) => match *verb {
                "clear" => format!("+OK relationship {a}->{b} cleared.\n"),
                _ => format!("+OK {a}->{b} {verb} set\n"),
            },
            [a, b, _, ..] => format!("-ERR relationship {a}->{b} not found.\n"),
            [_] | [_, _] => {
                "relate <member_id>[,<member_id>] <other_member_id>[,<other_member_id>] [nospeak|nohear|clear]".into()
            }
        }
    }
}

/// Splits arguments at spaces; `'` groups, `\` takes the next character as it is.
fn split_args(text: &str) -> Vec<String> {
    let mut args = Vec::new();
    let mut arg = String::new();
    let (mut quoted, mut started) = (false, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                arg.extend(chars.next());
                started = true;
            }
            '\'' => {
                quoted = !quoted;
                started = true;
            }
            ' ' if !quoted => {
                if std::mem::take(&mut started) {
                    args.push(std::mem::take(&mut arg));
                }
            }
            other => {
                arg.push(other);
                started = true;
            }
        }
    }
    if started {
        args.push(arg);
    }
    args
}
