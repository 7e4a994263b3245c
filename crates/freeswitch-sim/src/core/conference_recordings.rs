//! Subcommands of `conference` that record.

use super::{Core, FRAME, Origin, task::Task};

const PAUSE_RECORDING: Origin = ("conference_api.c", "conference_api_sub_pauserec", 3860);

impl Core {
    pub(super) fn recording(&mut self, uid: &str, verb: &str, path: &str) -> String {
        match verb {
            "start" if !path.is_empty() => {
                self.request_recording(uid, path);
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
            // Anything else is the name of a file to record to, even a verb without one.
            file => {
                self.request_recording(uid, file);
                format!("+OK Record file {file}\n")
            }
        }
    }

    pub(super) fn stop_recording(&mut self, uid: &str, path: &str) -> String {
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
        // Only recordings that `all` stopped are counted.
        let counted = if path == "all" { paths.len() } else { 0 };
        body.push_str(&format!("+OK Stopped recording {counted} files\n"));
        body
    }

    pub(super) fn pause_recording(&mut self, uid: &str, pause: bool, path: &str) -> String {
        let now = self.now;
        let (action, word) = if pause {
            ("pause-recording", "Pause")
        } else {
            ("resume-recording", "Resume")
        };
        // The server confirms before it checks.
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
}
