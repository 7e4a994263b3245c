//! What a channel's thread does.
//!
//! Owns the execution of applications, nesting included, transfers, and the way a hung up channel goes.
//! Leaves out conferences and where calls come from.

use super::{
    Core, IdKind, Origin, Step, Task,
    api::set_or_unset,
    channel::{Channel, Message, Running, State, Transfer, Wait, cause, q850},
    dates,
    event::Value,
};

const EXECUTE: Origin = ("switch_core_session.c", "switch_core_session_exec", 2967);
const EXECUTED: Origin = ("switch_core_session.c", "switch_core_session_exec", 2972);
const PARK: Origin = ("switch_ivr.c", "switch_ivr_park", 1002);
const UNPARK: Origin = ("switch_ivr.c", "switch_ivr_park", 1213);
const HANGUP: Origin = ("switch_channel.c", "switch_channel_perform_hangup", 3447);
const ANSWER: Origin = (
    "switch_channel.c",
    "switch_channel_perform_mark_answered",
    3848,
);
const REPORT: Origin = (
    "switch_core_state_machine.c",
    "switch_core_session_reporting_state",
    943,
);
const DESTROY: Origin = (
    "switch_core_session.c",
    "switch_core_session_perform_destroy",
    1588,
);

impl Core {
    /// A channel's thread looks around: does it still have to do what it does?
    pub(super) fn run_channel(&mut self, uuid: &str) {
        loop {
            let now = self.now;
            let Some(channel) = self.channels.get_mut(uuid) else {
                return;
            };
            if channel.ending || !channel.announced {
                return;
            }
            if channel.hangup.is_some() {
                self.unwind(uuid);
                return;
            }
            if channel.transfer.is_some() {
                self.follow_transfer(uuid);
                continue;
            }
            let Some(top) = channel.stack.last().cloned() else {
                match channel.plan.pop_front() {
                    Some((app, arg)) => self.execute(uuid, &app, &arg, None),
                    None => self.hang_up_now(uuid, "NORMAL_CLEARING"),
                }
                continue;
            };
            match top.wait {
                Wait::Until(at, response) if at <= now => {
                    self.complete(uuid, response);
                    continue;
                }
                Wait::Conference(Some(ref uid)) => {
                    let kicked = self
                        .rooms
                        .get(uid)
                        .and_then(|room| room.member_of(uuid))
                        .is_some_and(|member| member.kicked);
                    if kicked {
                        self.leave(uuid);
                        self.complete(uuid, None);
                        continue;
                    }
                }
                Wait::Until(..) | Wait::Park | Wait::Forever | Wait::Conference(None) => {}
            }
            // Messages run inside what runs, however deep, unless one of them asked to be alone.
            let Some(channel) = self.channels.get_mut(uuid) else {
                return;
            };
            if channel.stack.iter().any(|running| running.locked) {
                return;
            }
            match channel.messages.pop_front() {
                Some(message) => {
                    let (app, arg) = (message.app.clone(), message.arg.clone());
                    self.execute(uuid, &app, &arg, Some(message));
                }
                None => return,
            }
        }
    }

    /// Leaves all that runs and starts the plan the channel was sent to.
    fn follow_transfer(&mut self, uuid: &str) {
        while let Some(top) = self
            .channels
            .get(uuid)
            .and_then(|channel| channel.stack.last().cloned())
        {
            match top.wait {
                Wait::Park => self.emit_channel("CHANNEL_UNPARK", uuid, UNPARK, &[]),
                Wait::Conference(Some(_)) => self.leave(uuid),
                Wait::Conference(None) | Wait::Until(..) | Wait::Forever => {}
            }
            self.complete(uuid, top.plays().then_some("PLAYBACK ERROR"));
        }
        let Some(channel) = self.channels.get_mut(uuid) else {
            return;
        };
        let Some(transfer) = channel.transfer.take() else {
            return;
        };
        channel.plan = transfer.plan.into();
        channel.running = State::Execute;
        channel.state = State::Execute;
        if !channel.profile.rdnis.is_empty() {
            channel.profile.destination = std::mem::take(&mut channel.profile.rdnis);
        }
    }

    /// Sends a channel elsewhere. It goes at its next frame, so the answer to the command precedes the move.
    pub(super) fn transfer(
        &mut self,
        uuid: &str,
        destination: &str,
        dialplan: &str,
        context: Option<&str>,
    ) -> Result<(), Untransferred> {
        let plan = match dialplan {
            "inline" => parse_inline(destination),
            _ => self.plan_for(destination),
        };
        let id = self.ids.next(IdKind::Other);
        let now = self.now;
        let Some(channel) = self.channels.get_mut(uuid) else {
            return Err(Untransferred::NoChannel);
        };
        if !channel.is_up() {
            return Err(Untransferred::NoChannel);
        }
        let context = context.unwrap_or(&channel.profile.context).to_owned();
        let source = format!(
            "{}:{id}:bl_xfer:{destination}/{context}/{dialplan}",
            now / 1_000_000
        );
        let Some((name, left)) = forwards_left(channel) else {
            self.counters.out_of_forwards += 1;
            self.hang_up(uuid, "EXCHANGE_ROUTING_ERROR");
            return Err(Untransferred::NoForwardLeft);
        };
        channel.set_var(name, left.to_string());
        channel.push_var("transfer_history", source.clone());
        channel.set_var("transfer_source", source.clone());
        let profile = &mut channel.profile;
        if channel.transfer.is_none() {
            profile.rdnis = std::mem::take(&mut profile.destination);
        }
        profile.destination = destination.to_owned();
        channel.routed_destination = destination.to_owned();
        profile.dialplan = dialplan.to_owned();
        profile.context = context;
        profile.transfer_source = source;
        profile.index += 1;
        profile.created = now;
        channel.logical_inbound = true;
        channel.state = State::Routing;
        channel.transfer = Some(Transfer { plan });
        self.dirty.insert(uuid.to_owned());
        self.step(Step::Notice, uuid, Task::Run(uuid.to_owned()));
        Ok(())
    }

    /// What the dialplan has for an extension.
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
        // What the one before came to can be part of it (switch_core_session_exec).
        let expanded = expand(channel, arg);
        if arg.is_empty() {
            channel.unset_var("current_application_data");
        } else {
            channel.set_var("current_application_data", arg.to_owned());
        }
        channel.set_var("current_application", app.to_owned());
        channel.unset_var("current_application_response");
        if !sent {
            channel.last_app = Some((app.to_owned(), arg.to_owned()));
        }
        channel.stack.push(Running {
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

    fn start(&mut self, uuid: &str, app: &str, arg: &str) {
        match app {
            "park" => self.start_park(uuid),
            "answer" => {
                self.answer(uuid);
                self.complete(uuid, None);
            }
            "playback" | "endless_playback" => self.start_playback(uuid, arg),
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
            "gentones" => {
                let length = tone_length(arg).unwrap_or(0);
                self.wait_until(uuid, self.now + length, None);
            }
            // Whatever it is, it is said without any voice: a millisecond for each byte.
            "speak" if self.config.modules.iter().any(|name| name == "mod_flite") => {
                let text = arg.splitn(3, '|').nth(2).unwrap_or(arg);
                let millis = u64::try_from(text.len()).unwrap_or(u64::MAX);
                self.wait_until(uuid, self.now + millis.saturating_mul(1000), None);
            }
            // Without a speech engine it is over at once.
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

    fn start_park(&mut self, uuid: &str) {
        self.set_wait(uuid, Wait::Park);
        // The timeout holds for one park only, and no older one for this park.
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

    fn start_playback(&mut self, uuid: &str, arg: &str) {
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

    fn set_wait(&mut self, uuid: &str, wait: Wait) {
        if let Some(top) = self
            .channels
            .get_mut(uuid)
            .and_then(|channel| channel.stack.last_mut())
        {
            top.wait = wait;
        }
    }

    fn wait_until(&mut self, uuid: &str, at: u64, response: Option<&'static str>) {
        self.set_wait(uuid, Wait::Until(at, response));
        self.schedule(at, Task::Run(uuid.to_owned()));
    }

    /// The innermost application ends.
    pub(super) fn complete(&mut self, uuid: &str, response: Option<&str>) {
        let now = self.now;
        let Some(channel) = self.channels.get_mut(uuid) else {
            return;
        };
        let Some(top) = channel.stack.last().cloned() else {
            return;
        };
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
        // What it ran inside of stood still meanwhile.
        let resumed = match channel.stack.last_mut() {
            Some(Running {
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

    /// Marks a channel as answered, and its other leg with it: that one first.
    pub(super) fn answer(&mut self, uuid: &str) {
        let Some(channel) = self.channels.get_mut(uuid) else {
            return;
        };
        if channel.answered || !channel.is_up() {
            return;
        }
        channel.answered = true;
        channel.answered_at = self.now;
        self.emit_channel("CHANNEL_ANSWER", uuid, ANSWER, &[]);
        if let Some(channel) = self.channels.get_mut(uuid) {
            channel.call_state = "ACTIVE";
            channel.set_var("endpoint_disposition", "ANSWER");
        }
    }

    /// Hangs a channel up from outside: its thread notices at its next frame.
    pub(super) fn hang_up(&mut self, uuid: &str, cause: &'static str) {
        if self.mark_hung_up(uuid, cause) {
            self.step(Step::Notice, uuid, Task::Run(uuid.to_owned()));
        }
    }

    /// Hangs a channel up from its own thread, which goes on at once.
    fn hang_up_now(&mut self, uuid: &str, cause: &'static str) {
        self.mark_hung_up(uuid, cause);
    }

    fn mark_hung_up(&mut self, uuid: &str, cause: &'static str) -> bool {
        let Some(channel) = self.channels.get_mut(uuid) else {
            return false;
        };
        if !channel.is_up() {
            return false;
        }
        channel.hangup = Some(cause);
        channel.state = State::Hangup;
        channel.transfer = None;
        channel.messages.clear();
        let peer = channel.peer.clone();
        self.emit_channel("CHANNEL_HANGUP", uuid, HANGUP, &[]);
        self.fail_origination(uuid, cause);
        if let Some(peer) = peer {
            self.step(Step::PeerNotice, &peer, Task::PeerNotice(peer.clone()));
        }
        true
    }

    /// A leg hears nothing any more before it was hung up: what it plays fails, and its plan goes on.
    pub(super) fn peer_notice(&mut self, uuid: &str) {
        let plays = self.channels.get(uuid).is_some_and(|channel| {
            channel.is_up() && channel.stack.last().is_some_and(Running::plays)
        });
        if plays {
            if let Some(channel) = self.channels.get_mut(uuid) {
                set_played(channel, 0);
            }
            self.complete(uuid, Some("PLAYBACK ERROR"));
            self.run_channel(uuid);
        }
    }

    /// A hung up channel leaves all it ran, tells its other leg, and goes.
    fn unwind(&mut self, uuid: &str) {
        if let Some(channel) = self.channels.get_mut(uuid) {
            channel.ending = true;
        }
        while let Some(top) = self
            .channels
            .get(uuid)
            .and_then(|channel| channel.stack.last().cloned())
        {
            match top.wait {
                Wait::Park => self.emit_channel("CHANNEL_UNPARK", uuid, UNPARK, &[]),
                Wait::Conference(Some(_)) => self.leave(uuid),
                Wait::Conference(None) | Wait::Until(..) | Wait::Forever => {}
            }
            if top.plays()
                && let Some(channel) = self.channels.get_mut(uuid)
            {
                let played = self.now.saturating_sub(top.started);
                set_played(channel, played);
            }
            self.complete(uuid, top.plays().then_some("PLAYBACK ERROR"));
        }
        let Some(channel) = self.channels.get_mut(uuid) else {
            return;
        };
        channel.tone = 0;
        let peer = channel.peer.clone();
        let cause = channel.hangup.unwrap_or("NORMAL_CLEARING");
        if let Some(peer) = peer.filter(|peer| self.channels.get(peer).is_some_and(Channel::is_up))
        {
            self.voice(&peer, false);
            self.step(
                Step::PeerHangup,
                &peer,
                Task::PeerHangup(peer.clone(), cause),
            );
        }
        self.step(Step::Report, uuid, Task::Report(uuid.to_owned()));
    }

    pub(super) fn report(&mut self, uuid: &str) {
        let now = self.now;
        let Some(channel) = self.channels.get_mut(uuid) else {
            return;
        };
        channel.running = State::Reporting;
        channel.state = State::Reporting;
        channel.call_state = "HANGUP";
        channel.hangup_at = now;
        summarise(channel, now);
        let cause = channel.hangup.unwrap_or("NORMAL_CLEARING");
        self.emit_channel(
            "CHANNEL_HANGUP_COMPLETE",
            uuid,
            REPORT,
            &[("Hangup-Cause", cause.to_owned())],
        );
        self.step(Step::Destroy, uuid, Task::Destroy(uuid.to_owned()));
    }

    pub(super) fn destroy(&mut self, uuid: &str) {
        if let Some(channel) = self.channels.get_mut(uuid) {
            channel.state = State::Destroy;
        }
        self.emit_channel("CHANNEL_DESTROY", uuid, DESTROY, &[]);
        self.channels.remove(uuid);
    }

    pub(super) fn hang_up_all(&mut self, cause: &'static str) {
        let mut all: Vec<(u64, String)> = self
            .channels
            .values()
            .map(|channel| (channel.session_id, channel.uuid.clone()))
            .collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        for (_, uuid) in all {
            self.hang_up(&uuid, cause);
        }
    }
}

/// Why a channel is not sent elsewhere.
pub(super) enum Untransferred {
    /// There is none, or it has hung up.
    NoChannel,
    /// It was transferred too often, and hangs up.
    NoForwardLeft,
}

/// The variable that counts a channel's transfers, and its value after one more (`switch_ivr_session_transfer`).
fn forwards_left(channel: &Channel) -> Option<(&'static str, i64)> {
    let value = |name: &'static str| {
        let text = channel.var(name).filter(|text| !text.is_empty())?;
        Some((name, text.parse().unwrap_or(0)))
    };
    let (name, left) = value("max_session_transfers")
        .or_else(|| value("max_forwards"))
        .map_or(("max_forwards", 70), |(name, left): (_, i64)| {
            (name, left.saturating_sub(1))
        });
    (left > 0).then_some((name, left))
}

/// `name=value`, separated by spaces, or by `X` after `^^X`: what `multiset` takes.
fn assignments(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let marked = text.strip_prefix("^^").and_then(|rest| {
        let separator = rest.chars().next()?;
        Some((separator, &rest[separator.len_utf8()..]))
    });
    let (separator, rest) = marked.unwrap_or((' ', text));
    rest.split(separator)
        .filter_map(|pair| pair.split_once('='))
}

/// The variables that tell how much was played.
fn set_played(channel: &mut Channel, micros: u64) {
    let samples = micros / 125;
    channel.set_var("playback_last_offset_pos", samples.to_string());
    channel.set_var("playback_seconds", (micros / 1_000_000).to_string());
    channel.set_var("playback_ms", (micros / 1_000).to_string());
    channel.set_var("playback_samples", samples.to_string());
}

/// The variables of a call that has ended.
fn summarise(channel: &mut Channel, now: u64) {
    let cause = channel.hangup.unwrap_or("NORMAL_CLEARING");
    let profile_start = channel.profile.created;
    let (start, answer) = (channel.created, channel.answered_at);
    channel.set_var("hangup_cause", cause);
    channel.set_var("hangup_cause_q850", q850(cause).to_string());
    channel.set_var("digits_dialed", "none");
    let stamps = [
        ("start", start),
        ("profile_start", profile_start),
        ("answer", answer),
        ("end", now),
    ];
    for (name, at) in stamps.iter().filter(|(_, at)| *at > 0) {
        channel.set_var(&format!("{name}_stamp"), dates(*at).0);
    }
    for (name, at) in [stamps[0], stamps[1], stamps[2]] {
        channel.set_var(&format!("{name}_epoch"), (at / 1_000_000).to_string());
        channel.set_var(&format!("{name}_uepoch"), at.to_string());
    }
    for name in [
        "bridge",
        "last_hold",
        "resurrect",
        "progress",
        "progress_media",
    ] {
        channel.set_var(&format!("{name}_epoch"), "0");
        channel.set_var(&format!("{name}_uepoch"), "0");
    }
    for name in ["seconds", "usec", "ms"] {
        channel.set_var(&format!("hold_accum_{name}"), "0");
    }
    channel.set_var("end_epoch", (now / 1_000_000).to_string());
    channel.set_var("end_uepoch", now.to_string());
    if let Some((app, arg)) = channel.last_app.clone() {
        channel.set_var("last_app", app);
        if !arg.is_empty() {
            channel.set_var("last_arg", arg);
        }
    }
    let caller = format!("\"{}\" <{}>", channel.profile.name, channel.profile.number);
    channel.set_var("caller_id", caller);
    let lasted = now.saturating_sub(start);
    let billed = if answer > 0 {
        now.saturating_sub(answer)
    } else {
        0
    };
    let answered_after = answer.saturating_sub(start);
    for (unit, divisor) in [("sec", 1_000_000), ("msec", 1_000), ("usec", 1)] {
        let long = match unit {
            "sec" => "duration",
            "msec" => "mduration",
            _ => "uduration",
        };
        channel.set_var(long, (lasted / divisor).to_string());
        channel.set_var(&format!("bill{unit}"), (billed / divisor).to_string());
        channel.set_var(&format!("progress{unit}"), "0");
        channel.set_var(
            &format!("answer{unit}"),
            (answered_after / divisor).to_string(),
        );
        channel.set_var(&format!("wait{unit}"), "0");
        channel.set_var(&format!("progress_media{unit}"), "0");
        channel.set_var(&format!("flow_bill{unit}"), (lasted / divisor).to_string());
    }
    if !channel.sip {
        channel.set_var("is_loopback", "1");
    }
}

/// `app:arg,app:arg`; `m:X:` in front makes X the separator.
pub(super) fn parse_inline(text: &str) -> Vec<(String, String)> {
    let mut rest = text;
    let mut separator = ',';
    if let Some(marked) = text.strip_prefix("m:") {
        let mut chars = marked.chars();
        if let Some(mark) = chars.next()
            && let Some(behind) = chars.as_str().strip_prefix(':')
        {
            separator = mark;
            rest = behind;
        }
    }
    rest.split(separator)
        .filter(|part| !part.is_empty())
        .map(|part| match part.split_once(':') {
            Some((app, arg)) => (app.to_owned(), arg.to_owned()),
            None => (part.to_owned(), String::new()),
        })
        .collect()
}

/// Replaces `${name}` by channel variables, as happens to every argument of an application.
fn expand(channel: &Channel, arg: &str) -> String {
    let mut out = String::new();
    let mut rest = arg;
    while let Some(at) = rest.find("${") {
        let Some(end) = rest[at..].find('}') else {
            break;
        };
        out.push_str(&rest[..at]);
        if let Some(Value::Text(value)) = channel
            .vars
            .iter()
            .find(|(key, _)| *key == rest[at + 2..at + end])
            .map(|(_, v)| v)
        {
            out.push_str(value);
        }
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    out
}

/// A tone that alternates for ever: for how long it sounds, for how long it does not.
fn alternation(arg: &str) -> Option<(u64, u64)> {
    let tone = arg.strip_prefix("tone_stream://")?;
    if !tone.contains("loops=-1") {
        return None;
    }
    let inside = tone.split_once("%(")?.1.split_once(')')?.0;
    let mut numbers = inside.split(',').map_while(|text| text.parse::<u64>().ok());
    Some((numbers.next()? * 1000, numbers.next()? * 1000))
}

/// How long the tones of `%(on,off,frequency)` descriptions last together.
pub(super) fn tone_length(arg: &str) -> Option<u64> {
    let loops = arg
        .split_once("loops=")
        .and_then(|(_, rest)| rest.split(';').next())
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(1);
    let mut total = 0;
    for part in arg.split("%(").skip(1) {
        let mut numbers = part
            .split([',', ')'])
            .map_while(|text| text.parse::<u64>().ok());
        total += numbers.next()? + numbers.next().unwrap_or(0);
    }
    Some(total * loops * 1000)
}
