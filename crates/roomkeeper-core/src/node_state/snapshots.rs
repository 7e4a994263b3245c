//! Merges snapshots into the node state: the conferences at a fence, and the channels one by one.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use crate::call::{Bridge, CallInput, CallState, CallStatus};
use crate::entity::EntityId;
use crate::ids::{CallId, ChannelId, IdSet, MemberId, RoomId};
use crate::room::plan::{ReportedRoom, Suspect, plan};
use crate::room::{Registration, ReportedFlags, ReportedMember, RoomInput, RoomState, RoomStatus};

use crate::conference_meta;
use crate::switch_event::{ChannelDump, ListedChannel, Snapshot, SnapshotRoom};

use super::{Context, NodeState};

impl NodeState {
    /// Merges a snapshot of the conferences. `confirmed` holds the suspects of the previous snapshot; the result holds the
    /// objects that only this one lacks.
    pub fn merge_snapshot(
        &mut self,
        snapshot: &Snapshot,
        confirmed: &BTreeSet<Suspect>,
        cx: &mut Context<'_>,
    ) -> BTreeSet<Suspect> {
        self.merge_snapshot_part(snapshot, confirmed, Some(&BTreeSet::new()), cx)
    }

    /// Merges a part of a snapshot. A part with more parts to follow does not cover rooms that it does not show. The
    /// last part has `before`, the rooms in all parts before it.
    pub fn merge_snapshot_part(
        &mut self,
        snapshot: &Snapshot,
        confirmed: &BTreeSet<Suspect>,
        before: Option<&BTreeSet<RoomId>>,
        cx: &mut Context<'_>,
    ) -> BTreeSet<Suspect> {
        let mut suspects = BTreeSet::new();
        if self.core != Some(snapshot.core) {
            return suspects;
        }
        let mut shown: BTreeMap<RoomId, Vec<&SnapshotRoom>> = BTreeMap::new();
        for room in &snapshot.rooms {
            shown.entry(room.room).or_default().push(room);
        }
        let mut ids: BTreeSet<RoomId> = shown.keys().copied().collect();
        if let Some(before) = before {
            let known = self.rooms.keys().copied();
            ids.extend(known.filter(|room| !before.contains(room)));
        }
        let before_merge = cx.out.notifications.len();
        // The node answers, so rooms that were created while it was unreachable are placed now.
        let starting: Vec<RoomId> = self
            .rooms
            .values()
            .filter(|room| room.status() == RoomStatus::Starting && ids.contains(&room.id()))
            .map(|room| room.id())
            .collect();
        for id in starting {
            self.room_input(id, RoomInput::Placed, cx);
        }
        for id in ids {
            // Two conference instances of one name can be listed at once. The list is newest first, and the newest
            // counts.
            let newest = shown
                .get(&id)
                .and_then(|instances| instances.first().copied());
            if (newest.is_none() && !self.rooms.contains_key(&id))
                || self.unreadable.contains(&EntityId::Room(id))
            {
                continue;
            }
            let view = newest.map(|room| self.reported_room(room, snapshot.fence, cx));
            if let Some(registration) = newest.and_then(|room| self.adoptable(room)) {
                let mut members = newest.iter().flat_map(|room| &room.members);
                let adopted = RoomInput::Adopted {
                    registration: Box::new(registration),
                    is_heard: members.any(|m| m.can_hear || m.hold),
                };
                self.room_input(id, adopted, cx);
            }
            let room = self
                .rooms
                .entry(id)
                .or_insert_with(|| Box::new(RoomState::unregistered(id)));
            let planned = plan(room, view, snapshot.core, snapshot.fence, confirmed);
            suspects.extend(planned.suspects);
            for input in planned.inputs {
                self.room_input(id, input, cx);
            }
        }
        if before.is_some() {
            self.fence = self.fence.max(snapshot.fence);
            self.end_recovery(cx);
            self.watch_silent_calls(cx);
        }
        cx.out
            .revealed
            .extend(before_merge..cx.out.notifications.len());
        suspects
    }

    /// Returns the registration that the conference of an unknown room carries. If the store remembers the room as
    /// ended, the commit fails and the stored state wins.
    pub(super) fn adoptable(&self, room: &SnapshotRoom) -> Option<Registration> {
        if self
            .room(room.room)
            .is_some_and(|r| r.registration().is_some())
        {
            return None;
        }
        let registration = conference_meta::decode(room.meta.as_ref()?)?;
        self.rules
            .apps
            .contains(&registration.app)
            .then_some(registration)
    }

    pub(super) fn reported_room(
        &mut self,
        room: &SnapshotRoom,
        fence: u64,
        cx: &mut Context<'_>,
    ) -> ReportedRoom {
        let mut members = Vec::with_capacity(room.members.len());
        for m in &room.members {
            self.found(m.channel, cx);
            let call = CallId::new(self.node, m.channel);
            let state = self.call(call);
            // If an event has moved the call since the fence, the snapshot may show the call before or after the move.
            // The call's next event decides, or another snapshot if that event is lost.
            // The numbers of a call that ended with its core say nothing about the present one.
            let moved = |state: &&CallState| {
                Some(state.core()) == self.core && state.is_elsewhere_since(room.room, fence)
            };
            if state.as_ref().is_some_and(moved) {
                cx.out.resync = Some("a call has moved since the fence");
                continue;
            }
            if self.has_ended(m.channel, fence) {
                continue;
            }
            let (caller_id, did) = self
                .numbers_of(state, m.channel)
                .unwrap_or_else(|| (m.caller_id.clone(), SmolStr::default()));
            let member = ReportedMember {
                call,
                caller_id,
                did,
                new_id: MemberId::generate(self.node, cx.ids.next_uuid()),
                flags: ReportedFlags {
                    // A held member can neither speak nor hear; the snapshot hides its own flags.
                    speak: (!m.hold).then_some(m.can_speak),
                    hear: (!m.hold).then_some(m.can_hear),
                    hold: m.hold,
                    talking: m.talking,
                },
                levels: m.levels,
            };
            members.push((member, m.has_floor));
        }
        ReportedRoom {
            conference: room.conference,
            locked: room.locked,
            talked: room.members.iter().filter_map(|m| m.talked).min(),
            members,
            recordings: room.recordings.clone(),
        }
    }

    /// Adds the identities of listed channels that are not known yet.
    pub fn add_identities(&mut self, listed: &[ListedChannel]) {
        for channel in listed {
            let is_call = self.is_alive(CallId::new(self.node, channel.channel));
            let is_leg = self.legs.contains(&channel.channel);
            if !is_call && !is_leg && !self.ended.contains_key(&channel.channel) {
                self.identities
                    .entry(channel.channel)
                    .or_insert_with(|| channel.identity.clone());
            }
        }
    }

    /// Returns the listed channels that need a `uuid_dump`: parked ones that are not our calls, and calls with a
    /// status that no list can confirm.
    pub fn channels_to_dump(&self, listed: &[ListedChannel]) -> Vec<ChannelId> {
        listed
            .iter()
            .filter(|listed| {
                if self.ended.contains_key(&listed.channel) {
                    return false;
                }
                let id = CallId::new(self.node, listed.channel);
                match self.call(id).map(CallState::status) {
                    Some(
                        CallStatus::Ringing
                        | CallStatus::Leaving(_)
                        | CallStatus::Coaching
                        | CallStatus::Transferring
                        | CallStatus::Transferred,
                    ) => true,
                    // The room is over or belongs to no app, and is not stored: no snapshot of it shows that the call
                    // left.
                    Some(CallStatus::InRoom(room)) => listed.parked && !self.is_member(*room, id),
                    // It may listen to a member, or be transferred, by a command that was late.
                    Some(CallStatus::Parked) => {
                        !listed.parked && self.call(id).is_some_and(|call| call.gather().is_none())
                    }
                    // A joining call stays parked until its transfer takes effect: only its events or the deadline
                    // decide.
                    Some(CallStatus::Acting(_) | CallStatus::Joining(_)) => false,
                    // A call that moves parks only when the new room refuses it.
                    Some(CallStatus::Moving { .. }) => listed.parked,
                    // A call that was given up with its node, and that a caller named since, has returned with the
                    // node, maybe as a coach.
                    Some(CallStatus::Ended) | None => listed.parked || listed.listens,
                }
            })
            .map(|listed| listed.channel)
            .collect()
    }

    /// Returns the known calls, and the dialled channels, that are not in the list: FreeSWITCH is asked for each. A call
    /// that FreeSWITCH may still recover is not missing.
    pub fn missing_from(&mut self, listed: &IdSet<ChannelId>) -> Vec<ChannelId> {
        let dials = self.dialled_channels();
        self.asked_dials = dials.filter(|channel| !listed.contains(channel)).collect();
        let calls = self.calls.values();
        calls
            .filter(|call| self.recovery.is_none() || Some(call.core()) == self.core)
            .map(|call| call.id().channel())
            .filter(|channel| !listed.contains(channel))
            .chain(self.asked_dials.iter().copied())
            .collect()
    }

    /// Drops the identities of channels that two lists in a row lack: the event of their end was lost.
    pub fn drop_unlisted_identities(&mut self, listed: &IdSet<ChannelId>) {
        let unlisted: BTreeSet<ChannelId> = self
            .identities
            .keys()
            .copied()
            .filter(|channel| !listed.contains(channel))
            .collect();
        for channel in unlisted.intersection(&self.unlisted) {
            self.identities.remove(channel);
        }
        self.unlisted = unlisted;
        self.legs.retain(|channel| listed.contains(channel));
        // Most channels are unknown until a snapshot shows them to be calls, so the memory for the first snapshot is
        // released.
        self.identities.shrink_to(2 * self.identities.len());
    }

    /// Applies a `uuid_dump` of a channel.
    pub fn apply_dump(&mut self, dump: ChannelDump, cx: &mut Context<'_>) {
        if self.core != Some(dump.core) || self.has_ended(dump.channel, dump.sequence) {
            cx.out.ignored += 1;
            return;
        }
        if dump.is_leg {
            // Its plan or the dialplan may park it.
            return self.leg_seen(dump.channel, false);
        }
        let before = cx.out.notifications.len();
        self.found(dump.channel, cx);
        let id = CallId::new(self.node, dump.channel);
        let answered_at = dump.identity.answered_at;
        self.keep_identity(dump.channel, dump.identity);
        if dump.parked
            && let Some(room) = self.dialling_room(dump.channel)
        {
            self.dial_answered(room, id, true, cx);
        }
        let joining = self
            .call(id)
            .is_some_and(|s| matches!(s.status(), CallStatus::Joining(_)));
        if dump.parked && !joining {
            let since = (dump.sequence, dump.parked_by, dump.bridge.clone());
            self.parked(dump.channel, since, cx.now, true, cx);
        }
        if dump.listens_to.is_some()
            && dump.parked_by.is_some()
            && !self.is_alive(id)
            && let Some(app) = self.app_of(dump.channel)
        {
            // A coach that was given up with its node. Calls that others let listen have no park of ours.
            self.first_seen(id, app, cx.now, true, cx);
        }
        if let Some(member) = dump.listens_to {
            self.listens(id, (CallId::new(self.node, member), dump.sequence), cx);
        }
        if dump.transfers {
            let answered = matches!(dump.bridge, Some(Bridge::Answered { .. }));
            let plan = (dump.parked_by, answered);
            self.bridged(id, plan, (dump.sequence, true), cx);
        }
        if let Some(at) = answered_at
            && self.calls.contains_key(&id)
        {
            self.call_input(
                id,
                CallInput::Answered {
                    at,
                    synthesized: true,
                },
                cx,
            );
        }
        cx.out.revealed.extend(before..cx.out.notifications.len());
    }

    /// Ends a call that does not exist at this fence, according to `uuid_exists`.
    pub fn end_vanished_call(&mut self, channel: ChannelId, fence: u64, cx: &mut Context<'_>) {
        if let Some(room) = self.dialling_room(channel) {
            return self.dial_not_found(room, CallId::new(self.node, channel), cx);
        }
        if self.asked_dials.contains(&channel) {
            // The attempt began after the question, and has been answered or is over.
            cx.out.resync = Some("a dialled channel began after the list of calls");
            return;
        }
        let before = cx.out.notifications.len();
        // FreeSWITCH was asked for this id, so the call is over even if an event after the fence names it.
        let call = self.call(CallId::new(self.node, channel));
        let sequence = call.map_or(fence, |call| fence.max(call.status_at().saturating_add(1)));
        self.hung_up(
            channel,
            "UNKNOWN".to_owned(),
            cx.now,
            Some(sequence),
            true,
            cx,
        );
        self.identities.remove(&channel);
        cx.out.revealed.extend(before..cx.out.notifications.len());
    }
}
