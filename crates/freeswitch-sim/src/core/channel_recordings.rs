//! Taps of single channels: `uuid_record`, `uuid_buglist`, and the application `eavesdrop`.

use super::channel::{Channel, Tap};
use super::task::Task;
use super::{Core, Origin, Step};

const RECORDS: Origin = ("switch_ivr_async.c", "record_callback", 1352);
const RECORDED: Origin = ("switch_ivr_async.c", "record_callback", 1703);

/// The answer for a channel that does not exist.
const NO_SESSION: &str = "-ERR Cannot locate session!\n";

const TAPPED: Origin = ("switch_core_media_bug.c", "switch_core_media_bug_add", 984);

impl Core {
    /// Lets a channel listen to another one, until that hangs up.
    pub(super) fn start_eavesdrop(&mut self, uuid: &str, target: &str) {
        let is_up = self.channels.get(target).is_some_and(Channel::is_up);
        if !is_up || target == uuid {
            return self.complete(uuid, None);
        }
        let more = [
            ("Media-Bug-Function", "eavesdrop".to_owned()),
            ("Media-Bug-Target", target.to_owned()),
        ];
        self.emit_channel("MEDIA_BUG_START", target, TAPPED, &more);
    }

    /// Ends the applications that listen to a channel, which has hung up.
    pub(super) fn end_eavesdrops(&mut self, target: &str) {
        let mut listening: Vec<String> = Vec::new();
        for channel in self.channels.values() {
            let top = channel.stack.last();
            if top.is_some_and(|top| top.app == "eavesdrop" && top.arg == target) {
                listening.push(channel.uuid.clone());
            }
        }
        listening.sort_unstable();
        for uuid in listening {
            self.complete(&uuid, None);
            self.step(Step::Notice, &uuid, Task::Run(uuid.clone()));
        }
    }

    pub(super) fn uuid_record(&mut self, uuid: &str, rest: &str) -> String {
        let Some((verb, path)) = rest.split_once(' ').filter(|(_, path)| !path.is_empty()) else {
            return "-USAGE: <uuid> [start|stop|mask|unmask] <path> [<limit>] [<recording_vars>]\n"
                .into();
        };
        let now = self.now;
        let cannot = self.cannot_record(path);
        let Some(channel) = self
            .channels
            .get_mut(uuid)
            .filter(|channel| channel.is_up())
        else {
            return NO_SESSION.into();
        };
        let known = channel.taps.iter().position(|tap| tap.path == path);
        match (verb, known) {
            ("start", Some(_)) | ("mask" | "unmask", Some(_)) => {}
            ("start", None) if cannot => return "-ERR Cannot record session!\n".into(),
            ("start", None) => {
                channel.taps.push(Tap {
                    path: path.to_owned(),
                    since: now,
                });
                self.emit_channel("RECORD_START", uuid, RECORDS, &file(path));
            }
            ("stop", Some(at)) => {
                let tap = channel.taps.remove(at);
                self.emit_tapped(uuid, &tap);
            }
            ("stop", None) => return "-ERR Cannot stop record session!\n".into(),
            ("mask", None) => return "-ERR Cannot mask recording session!\n".into(),
            ("unmask", None) => return "-ERR Cannot unmask recording session!\n".into(),
            _ => return "-USAGE: <uuid> [start|stop|mask|unmask] <path>\n".into(),
        }
        "+OK Success\n".into()
    }

    pub(super) fn uuid_buglist(&self, uuid: &str) -> String {
        let Some(channel) = self.channels.get(uuid) else {
            return NO_SESSION.into();
        };
        let mut list = "<media-bugs>\n".to_owned();
        for tap in &channel.taps {
            list.push_str(&format!(
                " <media-bug>\n  <function>session_record</function>\n  <target>{}</target>\n  \
                 <thread-locked>0</thread-locked>\n </media-bug>\n",
                tap.path
            ));
        }
        list.push_str("</media-bugs>\n");
        list
    }

    /// Ends all recordings of a channel that has hung up.
    pub(super) fn close_taps(&mut self, uuid: &str) {
        let channel = self.channels.get_mut(uuid);
        let taps = channel.map(|channel| std::mem::take(&mut channel.taps));
        for tap in taps.unwrap_or_default() {
            self.emit_tapped(uuid, &tap);
        }
    }

    fn emit_tapped(&mut self, uuid: &str, tap: &Tap) {
        let recorded = self.now.saturating_sub(tap.since) / 1_000;
        if let Some(channel) = self.channels.get_mut(uuid) {
            channel.set_var("record_seconds", (recorded / 1_000).to_string());
            channel.set_var("record_ms", recorded.to_string());
            channel.set_var("record_samples", (recorded * 8).to_string());
        }
        self.emit_channel("RECORD_STOP", uuid, RECORDED, &file(&tap.path));
    }
}

fn file(path: &str) -> [(&'static str, String); 1] {
    [("Record-File-Path", path.to_owned())]
}
