//! The application `bridge`: a channel calls another one, and both are connected until one of them ends.
//!
//! Owns the variables and events of both outcomes. Leaves out the called channel until its answer: that is `originate` and
//! `callee`.

use super::channel::{Channel, State, Wait};
use super::originate::parse_vars;
use super::pending::{Asker, Origination};
use super::task::Task;
use super::{Core, Origin, Step};

const BRIDGE: Origin = (
    "switch_ivr_bridge.c",
    "switch_ivr_multi_threaded_bridge",
    1681,
);
const UNBRIDGE: Origin = ("switch_ivr_bridge.c", "audio_bridge_thread", 1395);

/// The variable with the outcome of the call.
const DISPOSITION: &str = "originate_disposition";

impl Core {
    /// Runs `bridge {vars}<endpoint>`.
    pub(super) fn start_bridge(&mut self, uuid: &str, argument: &str) {
        let (mut vars, endpoint) = parse_vars(argument);
        self.set_wait(uuid, Wait::Bridge);
        let Some(caller) = self.channels.get_mut(uuid) else {
            return;
        };
        caller.set_var(DISPOSITION, "failure");
        // The called channel shows the caller, unless the variables say otherwise.
        let shown = [
            ("origination_caller_id_name", caller.profile.name.clone()),
            (
                "origination_caller_id_number",
                caller.profile.number.clone(),
            ),
        ];
        for (name, value) in shown {
            if !vars.iter().any(|(key, _)| key == name) {
                vars.push((name.to_owned(), value));
            }
        }
        let origination = Origination {
            asker: Asker::Bridge(uuid.to_owned()),
            plan: Vec::new(),
        };
        let endpoint = endpoint.to_owned();
        if let Some(refused) = self.make_call(&endpoint, &vars, origination) {
            let cause = refused.trim().trim_start_matches("-ERR ").to_owned();
            self.bridge_failed(uuid, &cause, None);
        }
    }

    /// Connects a channel with the one that it called, which has answered.
    pub(super) fn bridge_answered(&mut self, caller: &str, leg: &str) {
        let is_waiting = self.channels.get(caller).is_some_and(Channel::is_up);
        if !is_waiting {
            return self.hang_up(leg, "ORIGINATOR_CANCEL");
        }
        for (channel, other) in [(caller, leg), (leg, caller)] {
            if let Some(channel) = self.channels.get_mut(channel) {
                channel.bridged = Some(other.to_owned());
            }
        }
        if let Some(channel) = self.channels.get_mut(leg) {
            channel.running = State::ExchangeMedia;
            channel.state = State::ExchangeMedia;
        }
        if let Some(channel) = self.channels.get_mut(caller) {
            channel.set_var(DISPOSITION, "SUCCESS");
        }
        let ids = [
            ("Bridge-A-Unique-ID", caller.to_owned()),
            ("Bridge-B-Unique-ID", leg.to_owned()),
        ];
        self.emit_channel("CHANNEL_BRIDGE", caller, BRIDGE, &ids);
    }

    /// Continues the plan of a channel whose call was not answered. `status` is that of the call's protocol.
    pub(super) fn bridge_failed(&mut self, caller: &str, cause: &str, status: Option<String>) {
        let Some(channel) = self.channels.get_mut(caller).filter(|c| c.is_up()) else {
            return;
        };
        channel.set_var(DISPOSITION, cause.to_owned());
        channel.set_var("last_bridge_hangup_cause", cause.to_owned());
        if let Some(status) = status {
            channel.set_var("last_bridge_proto_specific_hangup_cause", status);
        }
        let goes_on = channel
            .scope
            .iter()
            .any(|(name, value)| name == "continue_on_fail" && value == "true");
        if !goes_on {
            let cause = super::channel::cause(cause).unwrap_or("NORMAL_TEMPORARY_FAILURE");
            return self.hang_up(caller, cause);
        }
        self.end_bridge(caller);
    }

    /// Continues the plan of a channel whose other side has hung up.
    pub(super) fn bridge_over(&mut self, leg: &str, cause: &str) {
        let other = self.channels.get_mut(leg).and_then(|c| c.bridged.take());
        let Some(other) = other else { return };
        let Some(channel) = self.channels.get_mut(&other) else {
            return;
        };
        channel.bridged = None;
        channel.set_var("bridge_hangup_cause", cause.to_owned());
        channel.set_var("last_bridge_hangup_cause", cause.to_owned());
        if !channel.is_up() {
            return;
        }
        if channel
            .stack
            .last()
            .is_some_and(|top| top.wait == Wait::Bridge)
        {
            self.emit_channel("CHANNEL_UNBRIDGE", &other, UNBRIDGE, &[]);
            self.end_bridge(&other);
        } else {
            // The channel that was called ends with its caller.
            self.hang_up(&other, "NORMAL_CLEARING");
        }
    }

    /// Leaves a `bridge` for a transfer, or because the channel ends: the other side hangs up.
    pub(super) fn leave_bridge(&mut self, uuid: &str) {
        let bridged = self.channels.get_mut(uuid).and_then(|c| c.bridged.take());
        if let Some(leg) = bridged {
            if let Some(channel) = self.channels.get_mut(&leg) {
                channel.bridged = None;
            }
            if let Some(channel) = self.channels.get_mut(uuid) {
                channel.set_var("bridge_hangup_cause", "NORMAL_CLEARING");
            }
            self.emit_channel("CHANNEL_UNBRIDGE", uuid, UNBRIDGE, &[]);
            return self.hang_up(&leg, "NORMAL_CLEARING");
        }
        let called = self.originating.iter().find_map(|(leg, origination)| {
            matches!(&origination.asker, Asker::Bridge(by) if by == uuid).then(|| leg.clone())
        });
        if let Some(leg) = called {
            self.originating.remove(&leg);
            if let Some(channel) = self.channels.get_mut(uuid) {
                channel.set_var(DISPOSITION, "ORIGINATOR_CANCEL");
                channel.set_var("last_bridge_hangup_cause", "ORIGINATOR_CANCEL");
            }
            self.hang_up(&leg, "ORIGINATOR_CANCEL");
        }
    }

    fn end_bridge(&mut self, uuid: &str) {
        self.complete(uuid, None);
        self.step(Step::Notice, uuid, Task::Run(uuid.to_owned()));
    }
}
