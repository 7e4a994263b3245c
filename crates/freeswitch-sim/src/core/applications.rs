//! Applications that run on a channel.

use super::{
    Core, IdKind, Origin, Step,
    api::set_or_unset,
    call::set_played,
    channel::{Execution, Message, Wait, cause},
    digits::COLLECT,
    inline::{alternation, assignments, expand, scoped, tone_length},
    task::Task,
};

const EXECUTE: Origin = ("switch_core_session.c", "switch_core_session_exec", 2967);
const EXECUTED: Origin = ("switch_core_session.c", "switch_core_session_exec", 2972);
const PARK: Origin = ("switch_ivr.c", "switch_ivr_park", 1002);

impl Core {
    /// Returns the plan of an extension.
    pub(super) fn plan_for(&self, extension: &str) -> Vec<(String, String)> {
        self.config
            .dialplan
            .get(extension)
            .unwrap_or(&self.config.default_plan)
            .clone()
    }

    /// Starts an application.
    pub(super) fn execute(&mut self, uuid: &str, app: &str, arg: &str, message: Option<Message>) {
        let sent = message.is_some();
        let locked = message.as_ref().is_some_and(|message| message.locked);
        let id = match message {
            Some(message) => message.uuid,
            None => self.ids.next(IdKind::Other),
        };
        let now = self.now;
        let Some(channel) = self.channels.get_mut(uuid) else {
            return;
        };
        if sent {
            channel.set_var("current_loop", "1");
            channel.set_var("total_loops", "1");
        }
        // The expansion can contain the response of the application before (switch_core_session_exec).
        let expanded = expand(channel, arg);
        let (scope, expanded) = scoped(&expanded);
        let expanded = expanded.to_owned();
        if arg.is_empty() {
            channel.unset_var("current_application_data");
        } else {
            channel.set_var("current_application_data", arg.to_owned());
        }
        channel.set_var("current_application", app.to_owned());
        channel.unset_var("current_application_response");
        if !sent {
            channel.last_app = Some((app.to_owned(), arg.to_owned()));
            channel.scope = scope;
        }
        channel.stack.push(Execution {
            app: app.to_owned(),
            arg: expanded.clone(),
            uuid: id.clone(),
            wait: Wait::Forever,
            started: now,
            sent,
            locked,
        });
        let mut more = vec![("Application", app.to_owned())];
        if !expanded.is_empty() {
            more.push(("Application-Data", expanded.clone()));
        }
        more.push(("Application-UUID", id));
        self.emit_channel("CHANNEL_EXECUTE", uuid, EXECUTE, &more);
        self.start(uuid, app, &expanded);
    }

    pub(super) fn start(&mut self, uuid: &str, app: &str, arg: &str) {
        match app {
            "park" => self.start_park(uuid),
            "answer" => {
                self.answer(uuid);
                self.complete(uuid, None);
            }
            "playback" | "endless_playback" => self.start_playback(uuid, arg),
            COLLECT => self.start_collecting(uuid, arg),
            "sleep" => {
                let millis = arg.parse::<u64>().unwrap_or(0);
                self.wait_until(uuid, self.now + millis * 1000, None);
            }
            "hangup" => {
                self.hang_up_now(uuid, cause(arg).unwrap_or("NORMAL_CLEARING"));
                self.complete(uuid, None);
            }
            "conference" => {
                let id = self
                    .channels
                    .get(uuid)
                    .and_then(|channel| channel.stack.last())
                    .map(|top| top.uuid.clone());
                self.set_wait(uuid, Wait::Conference(None));
                if let Some(id) = id {
                    self.step(Step::Join, uuid, Task::Join(uuid.to_owned(), id));
                }
            }
            "set" | "export" => {
                if let (Some(channel), Some((name, value))) =
                    (self.channels.get_mut(uuid), arg.split_once('='))
                {
                    channel.set_var(name, value.to_owned());
                }
                self.complete(uuid, None);
            }
            "multiset" => {
                if let Some(channel) = self.channels.get_mut(uuid) {
                    for (name, value) in assignments(arg) {
                        set_or_unset(channel, name, value);
                    }
                }
                self.complete(uuid, None);
            }
            "unset" => {
                if let Some(channel) = self.channels.get_mut(uuid) {
                    channel.unset_var(arg);
                }
                self.complete(uuid, None);
            }
            "echo" => {}
            "eavesdrop" => self.start_eavesdrop(uuid, arg),
            "bridge" => self.start_bridge(uuid, arg),
            "gentones" => {
                let length = tone_length(arg).unwrap_or(0);
                self.wait_until(uuid, self.now + length, None);
            }
            // Speech takes a millisecond for each byte, whatever the text.
            "speak" if self.config.modules.iter().any(|name| name == "mod_flite") => {
                let text = arg.splitn(3, '|').nth(2).unwrap_or(arg);
                let millis = u64::try_from(text.len()).unwrap_or(u64::MAX);
                self.wait_until(uuid, self.now + millis.saturating_mul(1000), None);
            }
            // Without a speech engine it ends at once.
            "speak"
            | "say"
            | "pre_answer"
            | "ring_ready"
            | "log"
            | "info"
            | "flush_dtmf"
            | "break"
            | "stop_displace_session"
            | "event" => self.complete(uuid, None),
            _ => {
                self.hang_up_now(uuid, "DESTINATION_OUT_OF_ORDER");
                if let Some(channel) = self.channels.get_mut(uuid) {
                    channel.stack.pop();
                }
            }
        }
    }

    pub(super) fn start_park(&mut self, uuid: &str) {
        self.set_wait(uuid, Wait::Park);
        // A timeout applies to one park only, and an older one not to this park.
        if let Some(channel) = self.channels.get_mut(uuid) {
            channel.park_timer = 0;
        }
        let timeout = self
            .channels
            .get(uuid)
            .and_then(|channel| channel.var("park_timeout"));
        if let Some(timeout) = timeout {
            let (seconds, why) = timeout
                .split_once(':')
                .unwrap_or((&timeout, "NORMAL_CLEARING"));
            let timer = self.serial();
            if let Some(channel) = self.channels.get_mut(uuid) {
                channel.unset_var("park_timeout");
                channel.park_timer = timer;
            }
            if let Ok(seconds) = seconds.parse::<u64>() {
                let why = cause(why).unwrap_or("NORMAL_CLEARING");
                self.schedule(
                    self.now + seconds * 1_000_000,
                    Task::ParkTimeout(uuid.to_owned(), timer, why),
                );
            }
        }
        self.emit_channel("CHANNEL_PARK", uuid, PARK, &[]);
    }

    pub(super) fn park_timeout(&mut self, uuid: &str, timer: u64, cause: &'static str) {
        let parked = self.channels.get(uuid).is_some_and(|channel| {
            channel.park_timer == timer
                && channel.is_up()
                && channel.transfer.is_none()
                && channel
                    .stack
                    .iter()
                    .any(|running| running.wait == Wait::Park)
        });
        if parked {
            self.hang_up(uuid, cause);
        }
    }

    pub(super) fn start_playback(&mut self, uuid: &str, arg: &str) {
        if let Some((on, off)) = alternation(arg) {
            let tone = self.serial();
            if let Some(channel) = self.channels.get_mut(uuid) {
                channel.tone = tone;
            }
            self.tone(uuid, tone, on, off, true);
            return;
        }
        if arg == "silence_stream://-1" {
            return;
        }
        let media = self.media(arg);
        match media.duration {
            Some(length) => {
                if let Some(channel) = self.channels.get_mut(uuid) {
                    set_played(channel, length);
                }
                self.wait_until(uuid, self.now + media.opening + length, Some("FILE PLAYED"));
            }
            None => self.wait_until(uuid, self.now + media.opening, Some("FILE NOT FOUND")),
        }
    }

    pub(super) fn set_wait(&mut self, uuid: &str, wait: Wait) {
        if let Some(top) = self
            .channels
            .get_mut(uuid)
            .and_then(|channel| channel.stack.last_mut())
        {
            top.wait = wait;
        }
    }

    pub(super) fn wait_until(&mut self, uuid: &str, at: u64, response: Option<&'static str>) {
        self.set_wait(uuid, Wait::Until(at, response));
        self.schedule(at, Task::Run(uuid.to_owned()));
    }

    /// Ends the innermost application.
    pub(super) fn complete(&mut self, uuid: &str, response: Option<&str>) {
        let now = self.now;
        let Some(channel) = self.channels.get_mut(uuid) else {
            return;
        };
        let Some(top) = channel.stack.last().cloned() else {
            return;
        };
        if top.app == COLLECT {
            channel.abandon_collecting();
        }
        if let Some(response) = response {
            channel.set_var("current_application_response", response.to_owned());
        }
        let response = channel
            .var("current_application_response")
            .unwrap_or_else(|| "_none_".into());
        let mut more = vec![("Application", top.app.clone())];
        if !top.arg.is_empty() {
            more.push(("Application-Data", top.arg.clone()));
        }
        more.push(("Application-Response", response));
        more.push(("Application-UUID", top.uuid.clone()));
        self.emit_channel("CHANNEL_EXECUTE_COMPLETE", uuid, EXECUTED, &more);
        let Some(channel) = self.channels.get_mut(uuid) else {
            return;
        };
        channel.stack.pop();
        if top.sent {
            channel.unset_var("current_loop");
            channel.unset_var("total_loops");
        }
        // The application around it was suspended meanwhile.
        let resumed = match channel.stack.last_mut() {
            Some(Execution {
                wait: Wait::Until(at, _),
                ..
            }) => {
                *at += now.saturating_sub(top.started);
                Some(*at)
            }
            Some(_) | None => None,
        };
        if let Some(at) = resumed {
            self.schedule(at, Task::Run(uuid.to_owned()));
        }
    }
}
