//! Calls that outlive the node: a profile with `track-calls` stores them, and `sofia recover` brings them back after a
//! restart.
//!
//! A recovered channel has its UUID, its caller and its variables, and executes its last plan from the beginning. It
//! enters the first conference after that without an `add-member`.

use super::{
    Core, Step,
    channel::{Channel, State},
    task::Task,
};

/// A call as the node has stored it.
#[derive(Debug, Clone)]
pub struct TrackedCall(Channel);

impl Core {
    /// Returns the calls that the node has stored: answered SIP calls.
    #[must_use]
    pub fn tracked_calls(&self) -> Vec<TrackedCall> {
        if !self.config.track_calls {
            return Vec::new();
        }
        let tracked = |channel: &&Channel| channel.sip && channel.answered && channel.is_up();
        let mut calls: Vec<&Channel> = self.channels.values().filter(tracked).collect();
        calls.sort_unstable_by_key(|channel| channel.session_id);
        calls.into_iter().cloned().map(TrackedCall).collect()
    }

    /// Adds calls that an earlier run of the node stored.
    pub fn add_tracked(&mut self, calls: Vec<TrackedCall>) {
        self.tracked.extend(calls);
    }

    /// `sofia recover`.
    pub(super) fn recover(&mut self) -> String {
        let calls = std::mem::take(&mut self.tracked);
        if calls.is_empty() {
            return "No calls to recover.\n".into();
        }
        let count = calls.len();
        for TrackedCall(mut channel) in calls {
            self.sessions += 1;
            channel.session_id = self.sessions;
            channel.running = State::Init;
            channel.state = State::Init;
            channel.announced = false;
            channel.stack.clear();
            channel.messages.clear();
            channel.transfer = None;
            channel.member_id = None;
            channel.peer = None;
            channel.plan = channel.last_plan.clone().into();
            channel.enters_silently = true;
            channel.set_var("recovered", "true");
            let uuid = channel.uuid.clone();
            self.channels.insert(uuid.clone(), channel);
            self.dirty.insert(uuid.clone());
            self.step(Step::Create, &uuid, Task::Recovered(uuid.clone()));
        }
        format!("Recovered {count} call(s)\n")
    }

    /// A recovered channel announces itself and starts its plan.
    pub(super) fn recovered(&mut self, uuid: &str) {
        self.announce(uuid);
        self.set_state(uuid, State::Execute);
        self.run_channel(uuid);
    }
}
