//! Compares a snapshot with the state of one room, and plans the inputs that resolve the differences.
//!
//! Owns the two-snapshot rule: an object that the snapshot lacks is only a suspect, and is over when a second snapshot
//! lacks it, too. Everything that the snapshot shows applies at once, at the sequence of its fence, so that every event
//! above the fence still wins.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ids::{CallId, ConferenceId, CoreId, RecordingId, RoomId};

use super::effect::LeftReason;
use super::input::{ReportedMember, RoomInput};
use super::recording::RecordInput;
use super::stamp::{EventStamp, Sequence};
use super::state::RoomState;

/// A room as a snapshot shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReportedRoom {
    /// The conference instance.
    pub conference: ConferenceId,
    /// True if it is locked.
    pub locked: bool,
    /// The time since a member talked last, if one has.
    pub talked: Option<Duration>,
    /// The members, each with true if it has the floor.
    pub members: Vec<(ReportedMember, bool)>,
    /// The active recordings of ours, each with true if it is paused.
    pub recordings: Vec<(RecordingId, bool)>,
}

/// An object in the state of a room that a snapshot lacks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Suspect {
    /// A membership.
    Membership(RoomId, CallId, ConferenceId),
    /// A conference instance whose members, if any, are missing, too.
    Conference(RoomId, ConferenceId),
    /// A recording.
    Recording(RoomId, RecordingId),
}

/// The inputs and suspects that follow from a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// The inputs, applied in this order.
    pub inputs: Vec<RoomInput>,
    /// The suspects, to be confirmed by a second snapshot at once.
    pub suspects: BTreeSet<Suspect>,
}

/// Compares a room with a snapshot.
///
/// `reported` is `None` if the snapshot has no conference of this name. `confirmed` holds the suspects of the previous
/// snapshot.
pub fn plan(
    room: &RoomState,
    reported: Option<ReportedRoom>,
    core: CoreId,
    fence: Sequence,
    confirmed: &BTreeSet<Suspect>,
) -> Plan {
    let mut comparison = Comparison {
        room,
        core,
        fence,
        confirmed,
        conference: None,
        calls: Vec::new(),
        recordings: Vec::new(),
        plan: Plan::default(),
    };
    if let Some(reported) = reported {
        comparison.plan_reported(reported);
    }
    comparison.find_lacking_recording();
    let inhabited = comparison.find_lacking_members();
    comparison.find_lacking_conferences(&inhabited);
    comparison.plan
}

/// One room being compared with a snapshot.
struct Comparison<'a> {
    room: &'a RoomState,
    core: CoreId,
    fence: Sequence,
    confirmed: &'a BTreeSet<Suspect>,
    /// The conference instance that the snapshot shows.
    conference: Option<ConferenceId>,
    /// The calls that it shows, sorted.
    calls: Vec<CallId>,
    recordings: Vec<(RecordingId, bool)>,
    plan: Plan,
}

impl Comparison<'_> {
    const fn stamp(&self, conference: ConferenceId) -> EventStamp {
        EventStamp {
            core: self.core,
            conference,
            sequence: self.fence,
            synthesized: true,
        }
    }

    /// Plans an input for everything that the snapshot shows.
    fn plan_reported(&mut self, reported: ReportedRoom) {
        let at = self.stamp(reported.conference);
        let inputs = &mut self.plan.inputs;
        let mut holder = None;
        inputs.reserve(reported.members.len() + 3);
        inputs.push(RoomInput::ConferenceStarted(at));
        self.calls.reserve(reported.members.len());
        for (member, has_floor) in reported.members {
            self.calls.push(member.call);
            if has_floor {
                holder = holder.or(Some(member.call));
            }
            inputs.push(RoomInput::MemberReported {
                at,
                member,
                entered: false,
            });
        }
        self.calls.sort_unstable();
        inputs.push(RoomInput::Locked {
            at,
            locked: reported.locked,
        });
        inputs.push(RoomInput::Floor { at, holder });
        if let Some(ago) = reported.talked.filter(|_| self.room.silent_at().is_some()) {
            inputs.push(RoomInput::Talked { ago });
        }
        for (id, paused) in &reported.recordings {
            inputs.push(RoomInput::Record(RecordInput::Started {
                id: *id,
                failed: false,
                sequence: self.fence,
                synthesized: true,
            }));
            inputs.push(RoomInput::Record(RecordInput::Paused {
                id: *id,
                paused: *paused,
                sequence: Some(self.fence),
                synthesized: true,
            }));
        }
        self.conference = Some(reported.conference);
        self.recordings = reported.recordings;
    }

    fn is_shown(&self, call: CallId, instance: ConferenceId) -> bool {
        self.conference == Some(instance) && self.calls.binary_search(&call).is_ok()
    }

    /// Plans the end of an object that the snapshot lacks, if the previous snapshot lacked it, too. Otherwise the next
    /// snapshot decides. Returns true if the end is planned.
    fn suspect(&mut self, suspect: Suspect, end: RoomInput) -> bool {
        let is_confirmed = self.confirmed.contains(&suspect);
        if is_confirmed {
            self.plan.inputs.push(end);
        } else {
            self.plan.suspects.insert(suspect);
        }
        is_confirmed
    }

    fn find_lacking_recording(&mut self) {
        let Some(recording) = self.room.recording() else {
            return;
        };
        let had_started = recording.started_at.is_some() && recording.since < self.fence;
        if had_started && self.recordings.iter().all(|(id, _)| *id != recording.id) {
            let end = RecordInput::Stopped {
                id: recording.id,
                length: None,
                synthesized: true,
            };
            let suspect = Suspect::Recording(self.room.id(), recording.id);
            self.suspect(suspect, RoomInput::Record(end));
        }
    }

    /// Finds the members that the snapshot lacks. Returns the conference instances that still have members.
    fn find_lacking_members(&mut self) -> Vec<ConferenceId> {
        // A room has one instance, or a few while one ends.
        let mut inhabited: Vec<ConferenceId> = Vec::new();
        for (call, member) in self.room.members() {
            let Some(membership) = member.membership else {
                continue;
            };
            let is_lacking = membership.core == self.core
                && membership.opened < self.fence
                && !self.is_shown(*call, membership.conference);
            let is_gone = is_lacking
                && self.suspect(
                    Suspect::Membership(self.room.id(), *call, membership.conference),
                    RoomInput::MemberGone {
                        at: self.stamp(membership.conference),
                        call: *call,
                        reason: LeftReason::Removed,
                    },
                );
            if !is_gone && !inhabited.contains(&membership.conference) {
                inhabited.push(membership.conference);
            }
        }
        inhabited
    }

    fn find_lacking_conferences(&mut self, inhabited: &[ConferenceId]) {
        for instance in self.room.instances() {
            let is_lacking = instance.core == self.core
                && instance.since < self.fence
                && self.conference != Some(instance.id);
            if !is_lacking {
                continue;
            }
            let suspect = Suspect::Conference(self.room.id(), instance.id);
            if inhabited.contains(&instance.id) {
                // Its suspected members may be shown in another room. The next snapshot then finds it empty.
                self.plan.suspects.insert(suspect);
            } else {
                self.suspect(suspect, RoomInput::ConferenceEnded(self.stamp(instance.id)));
            }
        }
    }
}
