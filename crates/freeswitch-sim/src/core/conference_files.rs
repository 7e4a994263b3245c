//! Subcommands of `conference` that play files.

use super::{
    Core, FRAME, Origin,
    room::{FileNode, MemberFile, file_params},
    task::{Play, Task},
};

const PLAY: Origin = ("conference_api.c", "conference_api_sub_play", 2817);

const PLAY_MEMBER: Origin = ("conference_api.c", "conference_api_sub_play", 2846);

const PLAY_FAILED: Origin = ("conference_file.c", "conference_file_play", 268);

impl Core {
    /// Opens a file at once, on the thread of the command; a fetch may take long.
    pub(super) fn play(
        &mut self,
        uid: &str,
        path: &str,
        rest: &[&str],
        pending: u64,
    ) -> Option<String> {
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

    pub(super) fn open_file(&mut self, play: &Play) -> String {
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
            return self.open_member_file(uid, selector, path, serial);
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
        // The event has the parameters of the file that plays, even if another was requested.
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

    /// Opens a file for one member.
    fn open_member_file(&mut self, uid: &str, selector: &str, path: &str, serial: u64) -> String {
        let media = self.media(path);
        let (params, _) = file_params(path);
        let Some(id) = self.one_member(uid, selector) else {
            return "-ERR Member: 0 not found.\nplay <file_path> [async|<member_id> [nomux]]"
                .into();
        };
        let Some(duration) = media.duration else {
            return format!("-ERR (play) File: {path} not found.\n");
        };
        // The event has the parameters of the file that plays, even if another was requested.
        let mut head = params.clone();
        if let Some(member) = self.rooms.get_mut(uid).and_then(|room| room.member_mut(id)) {
            member.files.push(MemberFile {
                serial,
                path: path.to_owned(),
                params,
                duration,
                started: None,
            });
            head.clone_from(&member.files[0].params);
        }
        self.emit_member_play(uid, id, &head, path);
        self.start_member_head(uid, id);
        format!("+OK (play) Playing file {path} to member {id}\n")
    }

    pub(super) fn emit_member_play(
        &mut self,
        uid: &str,
        id: u64,
        params: &[(String, String)],
        path: &str,
    ) {
        let mut event = self.custom("conference::maintenance", PLAY_MEMBER);
        self.describe_member(&mut event, uid, id);
        for (key, value) in params {
            event.add(key.clone(), value.clone());
        }
        event.add("Action", "play-file-member");
        event.add("File", path.to_owned());
        self.emit(event);
    }

    /// Toggles the pause of the file that plays; without one there is no answer at all.
    pub(super) fn pause(&mut self, uid: &str) -> String {
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

    pub(super) fn member_play_status(&self, uid: &str, selector: &str) -> String {
        let Some(id) = self.one_member(uid, selector) else {
            return format!("-ERR Member: {selector} not found.\nplay_status [<member_id>]");
        };
        let member = self.rooms.get(uid).and_then(|room| room.member(id));
        match member.and_then(|member| member.files.first()) {
            Some(file) => format!("+OK 0/0 {}\n", file.path),
            None => "-ERR Nothing is playing\n".into(),
        }
    }

    fn one_member(&self, uid: &str, selector: &str) -> Option<u64> {
        self.select(uid, selector).ok()?.first().copied()
    }

    pub(super) fn play_status(&self, uid: &str) -> String {
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

    pub(super) fn file_volume(&mut self, uid: &str, level: &str) -> String {
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

    /// Marks the files of one member to stop; one is closed and reported at each frame.
    pub(super) fn stop_member_files(&mut self, uid: &str, selector: &str) -> String {
        let Some(id) = self.one_member(uid, selector) else {
            return format!("-ERR Member: {selector} not found.\n");
        };
        let member = self.rooms.get(uid).and_then(|room| room.member(id));
        let files = member.into_iter().flat_map(|member| &member.files);
        let serials: Vec<u64> = files.map(|file| file.serial).collect();
        let count = serials.len();
        for (serial, frame) in serials.into_iter().zip(1..) {
            let at = self.now + FRAME * frame;
            self.schedule(at, Task::MemberFileDone(uid.to_owned(), id, serial));
        }
        format!("+OK Stopped {count} files.\n")
    }

    /// Marks files to stop; each is closed and reported at the next frame.
    pub(super) fn stop_files(&mut self, uid: &str, which: &str) -> String {
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
}
