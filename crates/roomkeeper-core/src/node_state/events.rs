//! Applies switch events to the node state.
//!
//! Owns the assignment of channels to apps, and the rule which events are ignored: events of another core, events older
//! than the last snapshot, events of a call that has ended.

use std::collections::BTreeSet;

use smol_str::SmolStr;

use crate::call::{Bridge, CallInput, CallState, CallStatus, Direction, ParkId};
use crate::entity::{EntityId, Target};
use crate::ids::{AppId, CallId, ChannelId, ConferenceId, CoreId, MemberId, RoomId};
use crate::room::{
    EventStamp, LeftReason, PlayFailure, PlayInput, RecordInput, ReportedFlags, ReportedLevels,
    ReportedMember, RoomInput, RoomStatus,
};
use crate::time::Timestamp;

use crate::switch_event::{
    ChannelChange, ConferenceChange, Identity, MemberBlock, SwitchEvent, SwitchEventKind,
};

use crate::switch_command::{SwitchAction, SwitchCommand};

use super::digit_windows::DigitWindows;
use super::{Context, NodeState};

impl NodeState {
    /// Sets the core that runs (`None`: the node is lost). Everything in another core ends, at once or after the time in
    /// which FreeSWITCH may recover it.
    pub fn core_changed(&mut self, core: Option<CoreId>, cx: &mut Context<'_>) {
        if self.core == core && core.is_some() {
            return;
        }
        self.core = core;
        self.fence = 0;
        // A node that counted as lost can return with the same calls.
        self.ended.clear();
        self.still_counted.clear();
        self.identities.clear();
        self.silent.clear();
        self.digits = DigitWindows::default();
        let waits = core.is_some_and(|core| self.await_recovery(core, cx));
        if !waits {
            self.end_other_cores(cx);
        }
    }

    /// Returns the entity that an event names and the node state does not know: another replica may have created it, or
    /// it may be over. The stored entity must be loaded first.
    pub fn unknown_entity(&self, event: &SwitchEvent) -> Option<EntityId> {
        match &event.kind {
            SwitchEventKind::Conference { room, change, .. } => {
                let is_known = match (self.room(*room), change) {
                    (None, _) => room.node() != self.node,
                    (Some(known), _) if known.registration().is_none() => true,
                    (
                        Some(known),
                        ConferenceChange::FileOpened { file, member, .. }
                        | ConferenceChange::FileEnded { file, member },
                    ) => match member {
                        None => known.playback().knows(file.operation),
                        Some(channel) => known
                            .members()
                            .get(&CallId::new(self.node, *channel))
                            .and_then(|member| member.audio.as_ref())
                            .is_some_and(|audio| audio.playback.knows(file.operation)),
                    },
                    (
                        Some(known),
                        ConferenceChange::RecordingStarted { recording, .. }
                        | ConferenceChange::RecordingStopped { recording, .. }
                        | ConferenceChange::RecordingPaused { recording, .. },
                    ) => known.recordings().contains(recording),
                    (Some(_), _) => true,
                };
                (!is_known).then_some(EntityId::Room(*room))
            }
            SwitchEventKind::Channel {
                channel,
                change: ChannelChange::StepEnded { step, .. },
            } => {
                let id = CallId::new(self.node, *channel);
                let call = self.call(id)?;
                let run = call.run().map(|run| run.id);
                let gather = call.gather().map(|gather| gather.operation.uuid());
                let is_known = run == Some(step.run) || gather == Some(step.run);
                (!is_known).then_some(EntityId::Call(id))
            }
            SwitchEventKind::Channel {
                channel,
                change: ChannelChange::Dialled { room, .. },
            } => self
                .lacks_dial(*room, *channel)
                .then_some(EntityId::Room(*room)),
            SwitchEventKind::Channel {
                change:
                    ChannelChange::RecordingStarted {
                        room, recording, ..
                    }
                    | ChannelChange::RecordingStopped {
                        room, recording, ..
                    },
                ..
            } => {
                let known = self.room(*room);
                let is_known = known.is_some_and(|room| room.recordings().contains(recording));
                (!is_known && room.node() == self.node).then_some(EntityId::Room(*room))
            }
            SwitchEventKind::Channel {
                channel,
                change: ChannelChange::ListenedTo,
            } => self.room_of_unknown_coach(*channel).map(EntityId::Room),
            SwitchEventKind::Channel { .. } => None,
        }
    }

    /// Applies one event.
    pub fn apply_event(&mut self, event: SwitchEvent, cx: &mut Context<'_>) {
        if self.core != Some(event.core) {
            // The event belongs to a core that is over, or to a new one whose snapshot will follow.
            cx.out.ignored += 1;
            return;
        }
        match event.kind {
            SwitchEventKind::Conference {
                room,
                conference,
                size,
                change,
            } => {
                let at = EventStamp {
                    core: event.core,
                    conference,
                    sequence: event.sequence,
                    synthesized: false,
                };
                self.count_out(room, &change);
                let is_late = event.sequence <= self.fence;
                if is_late && !change.counts_after_snapshot() {
                    // The snapshot covers this event, even if it lists nothing about it.
                    cx.out.ignored += 1;
                    return;
                }
                let is_an_end = !change.is_about_file();
                self.apply_conference_change(room, at, change, cx);
                if !is_late || is_an_end {
                    self.check_size(room, conference, size, cx);
                }
            }
            SwitchEventKind::Channel { channel, change } => {
                self.apply_channel_change(channel, event.sequence, event.at, change, cx);
            }
        }
    }

    pub(super) fn apply_conference_change(
        &mut self,
        room: RoomId,
        at: EventStamp,
        change: ConferenceChange,
        cx: &mut Context<'_>,
    ) {
        // The event of a call's hang-up can precede the event of its entry: the call no longer enters.
        let is_over = change
            .present()
            .is_some_and(|channel| self.has_ended(channel, at.sequence));
        if room.node() != self.node || is_over {
            cx.out.ignored += 1;
            return;
        }
        if let ConferenceChange::Removed { last: true, .. } = change {
            let is_known = self.room(room).is_some_and(|known| {
                known
                    .instances()
                    .iter()
                    .any(|instance| instance.id == at.conference)
            });
            if is_known {
                self.room_input(room, RoomInput::ConferenceEmptied(at), cx);
            }
        }
        // The call joined the room after its last event: an older event cannot report that it left.
        if let ConferenceChange::Removed { channel, .. } = change
            && let Some(call) = self.call(CallId::new(self.node, channel))
            && matches!(
                call.status(),
                CallStatus::Joining(_) | CallStatus::Acting(Some(_)) | CallStatus::Moving { .. }
            )
            && call.status().room() == Some(room)
            && call.is_elsewhere_since(room, at.sequence)
        {
            cx.out.ignored += 1;
            return;
        }
        if let Some(input) = self.conference_input(room, at, change, cx) {
            self.room_input(room, input, cx);
        }
    }

    /// Translates a change of a conference into an input of its room. Applies the presence of a floor holder at once.
    fn conference_input(
        &mut self,
        room: RoomId,
        at: EventStamp,
        change: ConferenceChange,
        cx: &mut Context<'_>,
    ) -> Option<RoomInput> {
        let call = |channel| CallId::new(room.node(), channel);
        Some(match change {
            ConferenceChange::Created => RoomInput::ConferenceStarted(at),
            ConferenceChange::Destroyed => RoomInput::ConferenceEnded(at),
            ConferenceChange::Added(block) => RoomInput::MemberReported {
                at,
                member: self.reported_member(block, cx),
                entered: true,
            },
            ConferenceChange::Flags(block) => RoomInput::MemberReported {
                at,
                member: self.reported_member(block, cx),
                entered: false,
            },
            ConferenceChange::MutedTalk(block) => return self.muted_talk(room, at, block, cx),
            ConferenceChange::Level {
                block,
                level,
                value,
            } => RoomInput::MemberReported {
                at,
                member: ReportedMember {
                    levels: ReportedLevels::one(level, value),
                    ..self.reported_member(block, cx)
                },
                entered: false,
            },
            ConferenceChange::Removed {
                channel, hung_up, ..
            } => RoomInput::MemberGone {
                at,
                call: call(channel),
                reason: if hung_up {
                    LeftReason::Hangup
                } else {
                    LeftReason::Removed
                },
            },
            ConferenceChange::Moving(channel) => RoomInput::Moving {
                call: call(channel),
                deadline: cx.now + self.rules.timeouts.leave,
            },
            ConferenceChange::Floor { holder } => {
                let channel = holder.as_ref().map(|b| b.channel);
                if let Some(block) = holder {
                    let member = self.reported_member(block, cx);
                    self.room_input(
                        room,
                        RoomInput::MemberReported {
                            at,
                            member,
                            entered: false,
                        },
                        cx,
                    );
                }
                RoomInput::Floor {
                    at,
                    holder: channel.map(call),
                }
            }
            ConferenceChange::Locked(locked) => RoomInput::Locked { at, locked },
            ConferenceChange::FileOpened {
                file,
                failed,
                member,
            } => {
                let input = if failed {
                    PlayInput::NotPlayed(file, PlayFailure::Refused)
                } else {
                    PlayInput::Opened(file)
                };
                self.file_input(room, member, input)?
            }
            ConferenceChange::FileEnded { file, member } => {
                self.file_input(room, member, PlayInput::Ended(file))?
            }
            ConferenceChange::RecordingStarted { recording, failed } => {
                RoomInput::Record(RecordInput::Started {
                    id: recording,
                    failed,
                    sequence: at.sequence,
                    synthesized: false,
                })
            }
            ConferenceChange::RecordingStopped { recording, length } => {
                RoomInput::Record(RecordInput::Stopped {
                    id: recording,
                    length,
                    synthesized: false,
                })
            }
            ConferenceChange::RecordingPaused { recording, paused } => {
                RoomInput::Record(RecordInput::Paused {
                    id: recording,
                    paused,
                    sequence: Some(at.sequence),
                    synthesized: false,
                })
            }
            ConferenceChange::Other => return None,
        })
    }

    /// Returns the input that a report about a file is; `None` if nothing is played to that member.
    fn file_input(
        &self,
        room: RoomId,
        member: Option<ChannelId>,
        input: PlayInput,
    ) -> Option<RoomInput> {
        let Some(channel) = member else {
            return Some(RoomInput::Play(input));
        };
        let call = CallId::new(room.node(), channel);
        let member = self.room(room)?.members().get(&call)?;
        let has_audio = member.audio.is_some();
        has_audio.then_some(RoomInput::PlayTo { call, input })
    }

    /// Stops counting a member that the conference has reported as gone.
    fn count_out(&mut self, room: RoomId, change: &ConferenceChange) {
        if matches!(
            change,
            ConferenceChange::Created | ConferenceChange::Destroyed
        ) {
            self.still_counted.remove(&room);
        }
        if let ConferenceChange::Removed { channel, .. } = change
            && let Some(counted) = self.still_counted.get_mut(&room)
        {
            counted.remove(channel);
        }
    }

    /// Compares the conference's own member count with ours: a difference means that an event was lost. A call reports
    /// its hang-up before the conference removes it, and often a `floor-change` comes between the two.
    pub(super) fn check_size(
        &self,
        room: RoomId,
        conference: ConferenceId,
        size: Option<usize>,
        cx: &mut Context<'_>,
    ) {
        let Some(size) = size else { return };
        let Some(state) = self.room(room) else {
            return;
        };
        // A conference that is ending counts calls that enter it; they have not joined. Nor has a call that enters a room
        // after its end, and it is parked again.
        if matches!(state.status(), RoomStatus::Terminated)
            || state
                .conference()
                .is_none_or(|c| c.id != conference || c.emptied.is_some())
        {
            return;
        }
        let least = state.present();
        let most = least + self.still_counted.get(&room).map_or(0, BTreeSet::len);
        if !(least..=most).contains(&size) {
            cx.out.resync = Some("Conference-Size disagrees");
        }
    }

    pub(super) fn apply_channel_change(
        &mut self,
        channel: ChannelId,
        sequence: u64,
        at: Timestamp,
        change: ChannelChange,
        cx: &mut Context<'_>,
    ) {
        // A recording ends after its call has hung up.
        if let Some((room, input)) = member_recording_input(sequence, &change) {
            return self.member_recorded(room, input, cx);
        }
        if self.has_ended(channel, sequence) {
            cx.out.ignored += 1;
            return;
        }
        self.found(channel, cx);
        let id = CallId::new(self.node, channel);
        match change {
            ChannelChange::Dialled {
                room,
                change,
                sip_status,
                answered,
            } => {
                self.dial_event(room, channel, (&change, sip_status, answered), cx);
                self.apply_channel_change(channel, sequence, at, *change, cx);
            }
            ChannelChange::Ringing => {}
            ChannelChange::RecordingStarted { .. } | ChannelChange::RecordingStopped { .. } => {}
            ChannelChange::ListenedTo => self.listened_to(channel, sequence, cx),
            ChannelChange::Bridged { by } => self.bridged(id, (by, true), (sequence, false), cx),
            ChannelChange::Leg { over } => self.leg_seen(channel, over),
            ChannelChange::Created(identity) => self.keep_identity(channel, identity),
            ChannelChange::Answered(identity) => {
                self.keep_identity(channel, identity);
                if self.calls.contains_key(&id) {
                    self.call_input(
                        id,
                        CallInput::Answered {
                            at,
                            synthesized: false,
                        },
                        cx,
                    );
                }
            }
            ChannelChange::Parked {
                identity,
                by,
                bridge,
            } => {
                if sequence <= self.fence && !self.calls.contains_key(&id) {
                    // The event is late, and the snapshot may have shown the call as gone: another snapshot decides.
                    cx.out.resync = Some("a late event names a call");
                }
                self.keep_identity(channel, identity);
                self.parked(channel, (sequence, by, bridge), at, false, cx);
            }
            ChannelChange::Digit(pressed) => self.digit(id, sequence, pressed, cx),
            ChannelChange::StepEnded { step, response } => {
                self.step_ended(id, sequence, (step, response), cx);
            }
            ChannelChange::HungUp { cause } => {
                self.hung_up(channel, cause, at, Some(sequence), false, cx);
            }
            ChannelChange::Destroyed { cause } => {
                let cause = cause.unwrap_or_else(|| "UNKNOWN".to_owned());
                self.hung_up(channel, cause, at, Some(sequence), false, cx);
                self.identities.remove(&channel);
            }
        }
    }

    /// Keeps the identity of a channel from its first event, and fills in fields that were unknown then. The identity of
    /// a call is in its state.
    pub(super) fn keep_identity(&mut self, channel: ChannelId, identity: Identity) {
        if self.is_alive(CallId::new(self.node, channel)) {
            return;
        }
        match self.identities.get_mut(&channel) {
            None => {
                self.identities.insert(channel, identity);
            }
            Some(known) => {
                // The dialplan can set the app after the channel was created; everything else is unchanged.
                if identity.app.is_some() {
                    known.app = identity.app;
                }
                if known.did.is_none() {
                    known.did = identity.did;
                }
                known.answered_at = known.answered_at.or(identity.answered_at);
                known.created_at = known.created_at.or(identity.created_at);
            }
        }
    }

    pub(super) fn parked(
        &mut self,
        channel: ChannelId,
        (sequence, by, bridge): (u64, Option<ParkId>, Option<Bridge>),
        at: Timestamp,
        synthesized: bool,
        cx: &mut Context<'_>,
    ) {
        let id = CallId::new(self.node, channel);
        if !self.is_alive(id) {
            let app = self.app_of(channel);
            let Some(app) = app else {
                cx.out.foreign += 1;
                return;
            };
            self.first_seen(id, app, at, synthesized, cx);
        }
        let parked = CallInput::Parked {
            sequence,
            by,
            bridge,
        };
        self.call_input(id, parked, cx);
    }

    /// Returns true if a call was over at this sequence. Ended calls are remembered once their end is committed; until
    /// then their state shows it.
    pub(super) fn has_ended(&self, channel: ChannelId, sequence: u64) -> bool {
        let call = self.call(CallId::new(self.node, channel));
        self.ended.contains_key(&channel)
            || call.is_some_and(|call| call.ended_since(self.core, sequence))
    }

    pub(super) fn is_alive(&self, id: CallId) -> bool {
        self.call(id).is_some_and(|s| !s.is_over())
    }

    pub(super) fn app_of(&self, channel: ChannelId) -> Option<AppId> {
        let identity = self.identities.get(&channel)?;
        match &identity.app {
            Some(app) => self.rules.apps.get(app).cloned(),
            None if identity.direction == Direction::Inbound => {
                self.rules.dids.get(identity.did.as_deref()?).cloned()
            }
            None => None,
        }
    }

    pub(super) fn first_seen(
        &mut self,
        id: CallId,
        app: AppId,
        at: Timestamp,
        synthesized: bool,
        cx: &mut Context<'_>,
    ) {
        let Some(core) = self.core else { return };
        if self.unreadable.contains(&EntityId::Call(id)) {
            return;
        }
        let identity = self.identities.get(&id.channel());
        let answered_at = identity.and_then(|i| i.answered_at);
        let prepare = SwitchCommand::new(Target::Call(id), SwitchAction::Prepare);
        cx.out.commands.push(prepare);
        if let Some(over) = self.calls.get_mut(&id) {
            over.revive(core, answered_at);
            return self.call_input(id, CallInput::FirstSeen { synthesized }, cx);
        }
        let call = CallState::first_seen(
            id,
            app,
            core,
            identity.map(|i| i.caller_id.clone()).unwrap_or_default(),
            identity.and_then(|i| i.did.clone()).unwrap_or_default(),
            identity.map_or(Direction::Inbound, |i| i.direction),
            identity.and_then(|i| i.created_at).unwrap_or(at),
            answered_at,
        );
        self.calls.insert(id, Box::new(call));
        self.identities.remove(&id.channel());
        self.call_input(id, CallInput::FirstSeen { synthesized }, cx);
    }

    /// Returns the caller's number and the dialled number from the first event; `None` for an unknown channel.
    pub(super) fn numbers(&self, channel: ChannelId) -> Option<(SmolStr, SmolStr)> {
        self.numbers_of(self.call(CallId::new(self.node, channel)), channel)
    }

    /// Returns the same for a channel whose call, if any, the caller has already looked up.
    pub(super) fn numbers_of(
        &self,
        call: Option<&CallState>,
        channel: ChannelId,
    ) -> Option<(SmolStr, SmolStr)> {
        match call.filter(|call| !call.is_over()) {
            Some(call) => Some((call.caller_id().clone(), call.did().clone())),
            None => {
                let identity = self.identities.get(&channel)?;
                let did = identity.did.clone().unwrap_or_default();
                Some((identity.caller_id.clone(), did))
            }
        }
    }

    pub(super) fn hung_up(
        &mut self,
        channel: ChannelId,
        cause: String,
        at: Timestamp,
        sequence: Option<u64>,
        synthesized: bool,
        cx: &mut Context<'_>,
    ) {
        let id = CallId::new(self.node, channel);
        if !self.calls.contains_key(&id) {
            // The event of its start may still arrive.
            self.remember_ended(channel, cx.now);
        } else {
            self.call_input(
                id,
                CallInput::Ended {
                    cause,
                    at,
                    sequence,
                    orphan: false,
                    synthesized,
                },
                cx,
            );
        }
    }

    pub(super) fn reported_member(
        &mut self,
        block: MemberBlock,
        cx: &mut Context<'_>,
    ) -> ReportedMember {
        let channel = block.channel;
        self.found(channel, cx);
        self.keep_identity(channel, block.identity);
        let (caller_id, did) = self.numbers(channel).unwrap_or_default();
        ReportedMember {
            call: CallId::new(self.node, channel),
            caller_id,
            did,
            new_id: MemberId::generate(self.node, cx.ids.next_uuid()),
            flags: ReportedFlags {
                speak: Some(block.speak),
                hear: Some(block.hear),
                hold: block.hold,
                talking: block.talking,
            },
            levels: ReportedLevels::default(),
        }
    }
}

/// Returns the input of a room for an event of a member's recording.
fn member_recording_input(sequence: u64, change: &ChannelChange) -> Option<(RoomId, RecordInput)> {
    match change {
        ChannelChange::RecordingStarted { room, recording } => Some((
            *room,
            RecordInput::Started {
                id: *recording,
                failed: false,
                sequence,
                synthesized: false,
            },
        )),
        ChannelChange::RecordingStopped {
            room,
            recording,
            length,
        } => Some((
            *room,
            RecordInput::Stopped {
                id: *recording,
                length: *length,
                synthesized: false,
            },
        )),
        ChannelChange::Created(_)
        | ChannelChange::Ringing
        | ChannelChange::Dialled { .. }
        | ChannelChange::Answered(_)
        | ChannelChange::Parked { .. }
        | ChannelChange::StepEnded { .. }
        | ChannelChange::Digit(_)
        | ChannelChange::ListenedTo
        | ChannelChange::Bridged { .. }
        | ChannelChange::Leg { .. }
        | ChannelChange::HungUp { .. }
        | ChannelChange::Destroyed { .. } => None,
    }
}
