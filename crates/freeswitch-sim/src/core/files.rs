//! Files that play in a conference, and its recordings.
//!
//! Owns queues of files, their ends, and recordings. Leaves out the commands.

use super::{
    Core, FRAME, Media, Origin,
    room::{FileNode, MAINTENANCE, Recording},
    task::Task,
};

/// The voices of mod_flite.
const FLITE_VOICES: [&str; 5] = ["awb", "kal", "kal16", "rms", "slt"];

const CLOSED: Origin = ("conference_file.c", "conference_file_close", 52);
const RECORDS: Origin = ("conference_record.c", "conference_record_thread_run", 319);
const NOT_RECORDED: Origin = ("conference_record.c", "conference_record_thread_run", 280);
const RECORDED: Origin = ("conference_record.c", "conference_record_thread_run", 427);

impl Core {
    /// Returns the media of a path, without the parameters in front of it.
    pub(super) fn media(&self, path: &str) -> Media {
        let (_, bare) = super::room::file_params(path);
        let made = |duration: u64| Media {
            duration: Some(duration),
            opening: 0,
        };
        if let Some(media) = self.config.media.get(bare) {
            *media
        } else if let Some(tones) = bare.strip_prefix("tone_stream://") {
            made(super::inline::tone_length(tones).unwrap_or(0))
        } else if let Some(silence) = bare.strip_prefix("silence_stream://") {
            let millis = silence
                .split(',')
                .next()
                .and_then(|text| text.parse::<u64>().ok());
            // Practically endless.
            made(millis.unwrap_or(u64::from(u32::MAX)) * 1000)
        } else if let Some(speech) = bare.strip_prefix("tts://") {
            Media {
                duration: self.speech(speech),
                opening: 0,
            }
        } else {
            self.config.default_media
        }
    }

    /// Returns the length of `engine|voice|text`: a millisecond for each byte of the text. `None` if it cannot be spoken.
    fn speech(&self, speech: &str) -> Option<u64> {
        let mut parts = speech.splitn(3, '|');
        let (engine, voice, text) = (parts.next()?, parts.next()?, parts.next()?);
        let is_loaded = self.config.modules.contains(&format!("mod_{engine}"));
        let has_voice = engine != "flite" || FLITE_VOICES.contains(&voice);
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        (is_loaded && has_voice && !text.trim().is_empty()).then(|| length.saturating_mul(1_000))
    }

    /// Starts the head of the queue, if it does not play yet.
    pub(super) fn start_head(&mut self, uid: &str) {
        let now = self.now;
        let Some(room) = self.rooms.get_mut(uid) else {
            return;
        };
        let Some(head) = room.files.front_mut() else {
            return;
        };
        if head.since.is_some() || head.played > 0 {
            return;
        }
        head.since = Some(now);
        let (serial, end) = (head.serial, now + head.duration);
        self.schedule(end, Task::FileDone(uid.to_owned(), serial));
    }

    /// Ends a file, unless it was paused meanwhile.
    pub(super) fn end_file(&mut self, uid: &str, serial: u64) {
        let now = self.now;
        let Some(room) = self.rooms.get_mut(uid) else {
            return;
        };
        if room
            .async_file
            .as_ref()
            .is_some_and(|file| file.serial == serial)
        {
            if let Some(file) = room.async_file.take() {
                self.emit_closed(uid, &file);
            }
            return;
        }
        let ended = room.files.front().is_some_and(|head| {
            head.serial == serial && head.since.is_some() && head.played(now) >= head.duration
        });
        if ended && let Some(head) = room.files.pop_front() {
            self.emit_closed(uid, &head);
            self.start_head(uid);
        }
    }

    /// Closes the files that were stopped, at the next frame.
    pub(super) fn close_stopped_files(&mut self, uid: &str, serials: &[u64]) {
        let Some(room) = self.rooms.get_mut(uid) else {
            return;
        };
        let (stopped, kept): (Vec<FileNode>, Vec<FileNode>) = room
            .files
            .drain(..)
            .partition(|file| serials.contains(&file.serial));
        room.files = kept.into();
        let other = room
            .async_file
            .take_if(|file| serials.contains(&file.serial));
        for file in stopped.iter().chain(&other) {
            self.emit_closed(uid, file);
        }
        self.start_head(uid);
    }

    /// Closes the files that still play when a conference ends.
    pub(super) fn close_files(&mut self, uid: &str) {
        let Some(room) = self.rooms.get_mut(uid) else {
            return;
        };
        let files: Vec<FileNode> = room.files.drain(..).chain(room.async_file.take()).collect();
        for file in &files {
            self.emit_closed(uid, file);
        }
    }

    fn emit_closed(&mut self, uid: &str, file: &FileNode) {
        let mut event = self.custom(MAINTENANCE, CLOSED);
        let Some(room) = self.rooms.get(uid) else {
            return;
        };
        room.describe(&mut event, &self.config.domain);
        played(&mut event, file.played(self.now).min(file.duration));
        for (key, value) in &file.params {
            event.add(key.clone(), value.clone());
        }
        event.add("Action", "play-file-done");
        event.add("File", file.path.clone());
        if file.asynchronous {
            event.add("Async", true);
        }
        self.emit(event);
    }

    /// Starts the first file of a member, if it does not play yet.
    pub(super) fn start_member_head(&mut self, uid: &str, id: u64) {
        let now = self.now;
        let member = self.rooms.get_mut(uid).and_then(|room| room.member_mut(id));
        let head = member.and_then(|member| member.files.first_mut());
        if let Some(head) = head.filter(|head| head.started.is_none()) {
            head.started = Some(now);
            let (serial, ends) = (head.serial, now + head.duration);
            self.schedule(ends, Task::MemberFileDone(uid.to_owned(), id, serial));
        }
    }

    /// Ends the file of one member; if the member is gone, the event has no member block.
    pub(super) fn end_member_file(&mut self, uid: &str, id: u64, serial: u64, gone: bool) {
        let now = self.now;
        let Some(member) = self.rooms.get_mut(uid).and_then(|room| room.member_mut(id)) else {
            return;
        };
        let Some(at) = member.files.iter().position(|file| file.serial == serial) else {
            return;
        };
        let file = member.files.remove(at);
        let mut event = self.custom(MAINTENANCE, CLOSED);
        if let Some(room) = self.rooms.get(uid) {
            room.describe(&mut event, &self.config.domain);
        }
        played(&mut event, now.saturating_sub(file.started.unwrap_or(now)));
        for (key, value) in &file.params {
            event.add(key.clone(), value.clone());
        }
        event.add("Action", "play-file-member-done");
        if !gone {
            self.describe_member(&mut event, uid, id);
        }
        event.add("File", file.path);
        self.emit(event);
        self.start_member_head(uid, id);
    }

    /// Requests the thread of a recording. It takes a member id, like every member.
    pub(super) fn request_recording(&mut self, uid: &str, path: &str) {
        self.next_member += 1;
        if let Some(room) = self.rooms.get_mut(uid) {
            let recording = Recording {
                path: path.to_owned(),
                started: None,
                since: None,
                recorded: 0,
                stopping: false,
            };
            room.recordings.insert(0, recording);
        }
        self.schedule(
            self.now + FRAME / 4,
            Task::RecordStart(uid.to_owned(), path.to_owned()),
        );
    }

    /// Returns true if a file cannot be written.
    pub(super) fn cannot_record(&self, path: &str) -> bool {
        self.config
            .media
            .get(path)
            .is_some_and(|media| media.duration.is_none())
            // This path fails on any machine.
            || path.starts_with("/proc/")
    }

    pub(super) fn record_start(&mut self, uid: &str, path: &str) {
        let now = self.now;
        let cannot = self.cannot_record(path);
        let Some(room) = self.rooms.get_mut(uid) else {
            return;
        };
        let Some(at) = room
            .recordings
            .iter()
            .position(|node| node.path == path && node.started.is_none())
        else {
            return;
        };
        if cannot {
            room.recordings.remove(at);
            let more = [
                ("Path", path.to_owned()),
                ("Error", "File could not be opened for recording".to_owned()),
            ];
            self.room_event(uid, NOT_RECORDED, "start-recording", &more);
            // A stop is reported all the same.
            let node = Recording {
                path: path.to_owned(),
                started: None,
                since: None,
                recorded: 0,
                stopping: true,
            };
            self.emit_recorded(uid, &node);
            return;
        }
        let node = &mut room.recordings[at];
        node.started = Some(now);
        node.since = Some(now);
        self.room_event(
            uid,
            RECORDS,
            "start-recording",
            &[("Path", path.to_owned())],
        );
    }

    pub(super) fn record_stop(&mut self, uid: &str, path: &str) {
        let Some(room) = self.rooms.get_mut(uid) else {
            return;
        };
        let Some(at) = room
            .recordings
            .iter()
            .position(|node| node.path == path && node.stopping)
        else {
            return;
        };
        let node = room.recordings.remove(at);
        self.emit_recorded(uid, &node);
    }

    pub(super) fn close_recordings(&mut self, uid: &str) {
        while let Some(room) = self.rooms.get_mut(uid)
            && !room.recordings.is_empty()
        {
            let node = room.recordings.remove(0);
            if node.started.is_some() {
                self.emit_recorded(uid, &node);
            }
        }
    }

    fn emit_recorded(&mut self, uid: &str, node: &Recording) {
        let elapsed = node.recorded + node.since.map_or(0, |since| self.now.saturating_sub(since));
        let samples = elapsed / 125;
        let others = self
            .rooms
            .get(uid)
            .is_some_and(|room| !room.recordings.is_empty());
        let more = [
            ("Path", node.path.clone()),
            ("Other-Recordings", others.to_string()),
            ("Samples-Out", samples.to_string()),
            ("Samplerate", "8000".to_owned()),
            ("Milliseconds-Elapsed", (elapsed / 1000).to_string()),
            ("Record-File-Size", (samples * 2 + 186).to_string()),
        ];
        self.room_event(uid, RECORDED, "stop-recording", &more);
    }
}

/// Sets the played length, counted twice: the server adds up what it read and what it wrote.
fn played(event: &mut super::Event, micros: u64) {
    event.add("seconds", micros * 2 / 1_000_000);
    event.add("milliseconds", micros * 2 / 1_000);
    event.add("samples", micros * 2 / 125);
}
