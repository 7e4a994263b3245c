//! The `conference` command.
//!
//! Subcommands of a room and their answers. Members, files and recordings have modules of their own.

use super::{Core, conference_members::MEMBER_COMMANDS, json::indented, room::Room};

impl Core {
    /// Runs `conference <name> <sub> …`. Returns `None` if the answer comes later.
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
            ("set" | "get", rest) => self.setting(&uid, sub, rest),
            ("enter_sound" | "exit_sound", rest) => self.sound(&uid, sub, rest),
            ("moh", [_, ..]) => "+OK moh\n".into(),
            ("moh", _) => "-ERR invalid moh param\n".into(),
            ("setvar", rest) => {
                // The key is one word: further ones are ignored.
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
                let found = room.and_then(|room| {
                    room.vars
                        .iter()
                        .find(|(known, _)| rest.first() == Some(&known.as_str()))
                });
                found.map(|(_, value)| value.clone()).unwrap_or_default()
            }
            ("transfer", [target, ids @ ..]) if !ids.is_empty() => {
                self.move_members(&uid, target, ids)
            }
            ("play", [path, rest @ ..]) => return self.play(&uid, path, rest, pending),
            ("pause_play", _) => self.pause(&uid),
            ("play_status", [member, ..]) => self.member_play_status(&uid, member),
            ("play_status", _) => self.play_status(&uid),
            ("file-vol" | "file_vol", [level, ..]) => self.file_volume(&uid, level),
            ("stop", [_, member, ..]) => self.stop_member_files(&uid, member),
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
file-vol <vol#>"
                .into(),
            _ => format!("-ERR Conference command '{sub}' not found.\n"),
        };
        Some(body)
    }

    /// Runs `get` and `set` of a room's settings.
    fn setting(&mut self, uid: &str, verb: &str, args: &[&str]) -> String {
        let limit = self.rooms.get(uid).map_or(0, |room| room.max_members);
        match (verb, args) {
            ("set", ["max_members", value]) => {
                // The server parses anything but a number as 0, which stands for no limit.
                let new = value.parse().unwrap_or(0);
                self.change(uid, |room| room.max_members = new);
                limit.to_string()
            }
            ("get", ["max_members"]) => limit.to_string(),
            ("get", ["count"]) => self.rooms.get(uid).map_or(0, Room::size).to_string(),
            ("get", ["uuid"]) => uid.to_owned(),
            ("get", _) => "get <parameter-name>".into(),
            _ => "set <max_members|sound_prefix|caller_id_name|caller_id_number|endconference_grace_time> <value>".into(),
        }
    }

    /// Runs `enter_sound` and `exit_sound`. The files do not play: only members would hear them.
    fn sound(&mut self, uid: &str, sub: &str, args: &[&str]) -> String {
        let is_enter = sub == "enter_sound";
        let kind = if is_enter { "enter" } else { "exit" };
        let Some(room) = self.rooms.get_mut(uid) else {
            return String::new();
        };
        let name = room.name.clone();
        let (on, file) = match is_enter {
            true => (&mut room.enter_sound, &mut room.sounds[0]),
            false => (&mut room.exit_sound, &mut room.sounds[1]),
        };
        let lines = if is_enter {
            [3573, 3581, 3593]
        } else {
            [3522, 3530, 3543]
        };
        let shown = |file: &Option<String>| file.clone().unwrap_or_else(|| "(null)".to_owned());
        let (action, line, answer) = match args {
            ["on", ..] => {
                *on = true;
                let answer = format!("+OK {name} {kind} sounds on ({})\n", shown(file));
                ("sounds-on", lines[0], answer)
            }
            ["off" | "none", ..] => {
                *on = false;
                let answer = format!("+OK {name} {kind} sounds off ({})\n", shown(file));
                ("sounds-off", lines[1], answer)
            }
            ["file", path, ..] => {
                *file = Some((*path).to_owned());
                let answer = format!("+OK {name} {kind} sound file set to {path}\n");
                ("sound-file-changed", lines[2], answer)
            }
            ["file"] => return "-ERR No filename specified\n".into(),
            [] => return "-ERR Not enough args\n".into(),
            _ => return "-ERR Bad args\n".into(),
        };
        let function = match is_enter {
            true => "conference_api_sub_enter_sound",
            false => "conference_api_sub_exit_sound",
        };
        let action = format!("{kind}-{action}");
        self.room_event(uid, ("conference_api.c", function, line), &action, &[]);
        answer
    }

    pub(super) fn change(&mut self, uid: &str, change: impl FnOnce(&mut Room)) {
        if let Some(room) = self.rooms.get_mut(uid) {
            change(room);
        }
    }

    pub(super) fn lock(&mut self, uid: &str, on: bool) -> String {
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
}

/// Splits arguments at spaces; `'` groups, `\` escapes the next character.
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
