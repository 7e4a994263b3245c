//! Calls that outlive their core: FreeSWITCH can bring calls back that it tracked before it restarted (`sofia recover`).
//!
//! Owns the time between a restart and the decision about each call. A call without a sign of life from the new core at
//! the end of that time is over. Leaves out the command, which a resync sends while calls are missing
//! ([`NodeState::has_unrecovered_calls`]).
//!
//! Nothing about it is stored: a call of another core than the present one is waiting, so a controller that starts
//! meanwhile begins the same time again.

use std::collections::BTreeSet;

use crate::call::{CallInput, CallStatus};
use crate::ids::{CallId, ChannelId, CoreId, RoomId};
use crate::room::RoomInput;
use crate::switch_event::ListedChannel;
use crate::time::Timestamp;

use super::{Context, NodeState};

impl NodeState {
    /// Returns the time at which calls that FreeSWITCH did not recover are over; `None` if none is waited for.
    pub const fn recovery_deadline(&self) -> Option<Timestamp> {
        self.recovery
    }

    /// Returns true while calls are missing that FreeSWITCH may recover.
    pub fn has_unrecovered_calls(&self) -> bool {
        self.recovery.is_some()
            && self
                .calls
                .values()
                .any(|call| self.is_of_old_core(call.core()))
    }

    fn is_of_old_core(&self, core: CoreId) -> bool {
        Some(core) != self.core
    }

    /// Waits for the calls of the last core, if that is configured and there are any. Returns false otherwise.
    pub(super) fn await_recovery(&mut self, core: CoreId, cx: &mut Context<'_>) -> bool {
        self.recovery = None;
        let time = self.rules.timeouts.recovery;
        // A call that was not answered is not tracked.
        let answered = |id: &CallId| {
            self.call(*id)
                .is_some_and(|call| call.answered_at().is_some())
        };
        let waiting: BTreeSet<CallId> = self.calls_of_other_cores().filter(answered).collect();
        if time.is_zero() || waiting.is_empty() {
            return false;
        }
        self.recovery = Some(cx.now + time);
        let rooms: BTreeSet<RoomId> = self.rooms.keys().copied().collect();
        for id in rooms {
            let is_registered = self
                .room(id)
                .is_some_and(|room| room.registration().is_some());
            let input = match is_registered {
                true => RoomInput::CoreRestarted { core },
                false => RoomInput::CoreChanged { core: Some(core) },
            };
            self.room_input(id, input, cx);
        }
        let all: BTreeSet<CallId> = self.calls_of_other_cores().collect();
        for id in all {
            match waiting.contains(&id) {
                true => self.call_input(id, CallInput::CoreRestarted, cx),
                false => self.end_with_core(id, cx),
            }
        }
        true
    }

    fn calls_of_other_cores(&self) -> impl Iterator<Item = CallId> {
        let calls = self.calls.values();
        let others = calls.filter(|call| self.is_of_old_core(call.core()) && !call.is_over());
        others.map(|call| call.id())
    }

    /// Ends everything of another core than the present one.
    pub(super) fn end_other_cores(&mut self, cx: &mut Context<'_>) {
        self.recovery = None;
        let core = self.core;
        let rooms: BTreeSet<RoomId> = self.rooms.keys().copied().collect();
        for id in rooms {
            self.room_input(id, RoomInput::CoreChanged { core }, cx);
        }
        let over: BTreeSet<CallId> = self.calls_of_other_cores().collect();
        for id in over {
            self.end_with_core(id, cx);
        }
    }

    fn end_with_core(&mut self, id: CallId, cx: &mut Context<'_>) {
        let ended = CallInput::Ended {
            cause: "NORMAL_TEMPORARY_FAILURE".to_owned(),
            at: cx.now,
            sequence: None,
            orphan: true,
            synthesized: true,
        };
        self.call_input(id, ended, cx);
    }

    /// Ends the wait if its time has passed, or if nothing is waited for any longer. Without a wait it does nothing.
    pub fn end_recovery(&mut self, cx: &mut Context<'_>) {
        let Some(deadline) = self.recovery else {
            return;
        };
        let members_wait = self
            .rooms
            .values()
            .flat_map(|room| room.instances())
            .any(|instance| self.is_of_old_core(instance.core));
        if cx.now >= deadline || !(members_wait || self.has_unrecovered_calls()) {
            if members_wait {
                // The call of such a member may be parked.
                cx.out.resync = Some("a recovered call did not return into its room");
            }
            self.end_other_cores(cx);
        }
    }

    /// Takes a call over into the present core, which has shown its channel.
    pub(super) fn found(&mut self, channel: ChannelId, cx: &mut Context<'_>) {
        if self.recovery.is_none() {
            return;
        }
        let id = CallId::new(self.node, channel);
        let is_waiting = self
            .call(id)
            .is_some_and(|call| self.is_of_old_core(call.core()));
        let Some(core) = self.core.filter(|_| is_waiting) else {
            return;
        };
        self.call_input(id, CallInput::Recovered { core }, cx);
        self.silent.insert(channel);
    }

    /// Requests a snapshot that shows the entry of a recovered call, if FreeSWITCH will not report it.
    pub(super) fn enters(&self, call: CallId, cx: &mut Context<'_>) {
        if self.silent.contains(&call.channel()) {
            cx.out.resync = Some("a recovered call enters its first room without an event");
        }
    }

    /// Requests another snapshot for calls whose silent entry the last one did not show yet.
    pub(super) fn watch_silent_calls(&mut self, cx: &mut Context<'_>) {
        let (calls, node) = (&self.calls, self.node);
        self.silent.retain(|channel| {
            let call = calls.get(&CallId::new(node, *channel));
            let status = call.map(|call| call.status());
            if matches!(status, Some(CallStatus::Joining(_))) {
                cx.out.resync = Some("a recovered call enters its first room without an event");
            }
            status.is_some_and(|status| *status != CallStatus::Ended)
        });
    }

    /// Takes all listed calls over into the present core, if calls are waited for.
    pub fn find_listed(&mut self, listed: &[ListedChannel], cx: &mut Context<'_>) {
        if self.recovery.is_some() {
            listed
                .iter()
                .for_each(|listed| self.found(listed.channel, cx));
        }
    }
}
