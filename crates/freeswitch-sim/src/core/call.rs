//! The behaviour of a channel's thread.
//!
//! Owns the execution of applications, nested ones included, transfers, and the end of a channel. Leaves out
//! conferences and the origin of calls.

use super::{
    Core, IdKind, Origin, Step,
    channel::{Channel, Execution, State, Transfer, Wait, q850},
    dates::dates,
    inline::parse_inline,
    task::Task,
};

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
    /// Runs a channel's thread: checks whether its present work continues.
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
            if channel.has_waited_for_digits(now) {
                self.collecting_waited(uuid);
                continue;
            }
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
                Wait::Until(..)
                | Wait::Park
                | Wait::Bridge
                | Wait::Forever
                | Wait::Conference(None) => {}
            }
            // Messages run inside the running application, at any depth, unless one of them has requested a lock.
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

    /// Leaves all running applications and starts the plan of the transfer.
    pub(super) fn follow_transfer(&mut self, uuid: &str) {
        while let Some(top) = self
            .channels
            .get(uuid)
            .and_then(|channel| channel.stack.last().cloned())
        {
            match top.wait {
                Wait::Park => self.emit_channel("CHANNEL_UNPARK", uuid, UNPARK, &[]),
                Wait::Conference(Some(_)) => self.leave(uuid),
                Wait::Bridge => self.leave_bridge(uuid),
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
        channel.last_plan.clone_from(&transfer.plan);
        channel.plan = transfer.plan.into();
        channel.running = State::Execute;
        channel.state = State::Execute;
        if !channel.profile.rdnis.is_empty() {
            channel.profile.destination = std::mem::take(&mut channel.profile.rdnis);
        }
    }

    /// Transfers a channel. It moves at its next frame, so the answer to the command precedes the move.
    pub(super) fn transfer(
        &mut self,
        uuid: &str,
        destination: &str,
        dialplan: &str,
        context: Option<&str>,
    ) -> Result<(), TransferError> {
        let plan = match dialplan {
            "inline" => parse_inline(destination),
            _ => self.plan_for(destination),
        };
        let id = self.ids.next(IdKind::Other);
        let now = self.now;
        let Some(channel) = self.channels.get_mut(uuid) else {
            return Err(TransferError::NoChannel);
        };
        if !channel.is_up() {
            return Err(TransferError::NoChannel);
        }
        let context = context.unwrap_or(&channel.profile.context).to_owned();
        let source = format!(
            "{}:{id}:bl_xfer:{destination}/{context}/{dialplan}",
            now / 1_000_000
        );
        let Some((name, left)) = forwards_left(channel) else {
            self.counters.out_of_forwards += 1;
            self.hang_up(uuid, "EXCHANGE_ROUTING_ERROR");
            return Err(TransferError::NoForwardLeft);
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

    /// Marks a channel as answered, and its other leg before it.
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

    /// Hangs a channel up from another thread: its own thread notices at its next frame.
    pub(super) fn hang_up(&mut self, uuid: &str, cause: &'static str) {
        if self.mark_hung_up(uuid, cause) {
            self.step(Step::Notice, uuid, Task::Run(uuid.to_owned()));
        }
    }

    /// Hangs a channel up from its own thread, which continues at once.
    pub(super) fn hang_up_now(&mut self, uuid: &str, cause: &'static str) {
        self.mark_hung_up(uuid, cause);
    }

    pub(super) fn mark_hung_up(&mut self, uuid: &str, cause: &'static str) -> bool {
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
        self.end_relay(uuid);
        if let Some(peer) = peer {
            self.step(Step::PeerNotice, &peer, Task::PeerNotice(peer.clone()));
        }
        true
    }

    /// Notices the loss of the other leg before the hangup arrives: playback fails, and the plan continues.
    pub(super) fn peer_notice(&mut self, uuid: &str) {
        let plays = self.channels.get(uuid).is_some_and(|channel| {
            channel.is_up() && channel.stack.last().is_some_and(Execution::plays)
        });
        if plays {
            if let Some(channel) = self.channels.get_mut(uuid) {
                set_played(channel, 0);
            }
            self.complete(uuid, Some("PLAYBACK ERROR"));
            self.run_channel(uuid);
        }
    }

    /// Ends a hung up channel: leaves its applications, informs its other leg, and disappears.
    pub(super) fn unwind(&mut self, uuid: &str) {
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
                Wait::Bridge => self.leave_bridge(uuid),
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
        self.bridge_over(uuid, cause);
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
        set_end_variables(channel, now);
        self.close_taps(uuid);
        self.end_eavesdrops(uuid);
        let Some(channel) = self.channels.get(uuid) else {
            return;
        };
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

/// The reason why a channel is not transferred.
pub(super) enum TransferError {
    /// There is no such channel, or it has hung up.
    NoChannel,
    /// It was transferred too often, and hangs up.
    NoForwardLeft,
}

/// Returns the variable that counts a channel's transfers, and its value after one more
/// (`switch_ivr_session_transfer`).
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

/// Sets the variables that report the length of a playback.
pub(super) fn set_played(channel: &mut Channel, micros: u64) {
    let samples = micros / 125;
    channel.set_var("playback_last_offset_pos", samples.to_string());
    channel.set_var("playback_seconds", (micros / 1_000_000).to_string());
    channel.set_var("playback_ms", (micros / 1_000).to_string());
    channel.set_var("playback_samples", samples.to_string());
}

/// Sets the variables of a call that has ended.
fn set_end_variables(channel: &mut Channel, now: u64) {
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
    let duration = now.saturating_sub(start);
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
        channel.set_var(long, (duration / divisor).to_string());
        channel.set_var(&format!("bill{unit}"), (billed / divisor).to_string());
        channel.set_var(&format!("progress{unit}"), "0");
        channel.set_var(
            &format!("answer{unit}"),
            (answered_after / divisor).to_string(),
        );
        channel.set_var(&format!("wait{unit}"), "0");
        channel.set_var(&format!("progress_media{unit}"), "0");
        channel.set_var(
            &format!("flow_bill{unit}"),
            (duration / divisor).to_string(),
        );
    }
    if !channel.sip {
        channel.set_var("is_loopback", "1");
    }
}
