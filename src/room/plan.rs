//! A snapshot against the belief about one room: the inputs that make the belief true.
//!
//! Owns the two-snapshot rule: what the snapshot lacks is only suspected, and is said to be gone when a second
//! snapshot lacks it too. What the snapshot shows is taken at once, at the sequence of its fence, so that every
//! event above the fence still wins.

use std::collections::BTreeSet;

use crate::ids::{ConferenceId, CoreId, RecordingId, RoomId, SessionId};

use super::effect::LeftReason;
use super::input::{EventStamp, RoomInput, Who};
use super::recording::RecordInput;
use super::state::{RoomState, Sequence};

/// A room as a snapshot shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The life of its conference.
    pub conference: ConferenceId,
    /// Locked.
    pub locked: bool,
    /// Who is in it, and whether they have the floor.
    pub members: Vec<(Who, bool)>,
    /// The recordings of ours that run in it.
    pub recordings: Vec<RecordingId>,
}

/// What a snapshot lacks though it was believed in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Suspect {
    /// A stay.
    Stay(RoomId, SessionId, ConferenceId),
    /// A conference whose members, if it has any, are lacking too.
    Conference(RoomId, ConferenceId),
    /// A recording.
    Recording(RoomId, RecordingId),
}

/// What to do about a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// To be applied in this order.
    pub inputs: Vec<RoomInput>,
    /// To be confirmed by a second snapshot, taken at once.
    pub suspects: BTreeSet<Suspect>,
}

/// Compares. `shown` is `None` when the snapshot has no conference of this name; `confirmed` is what the snapshot
/// before this one lacked, too.
pub fn plan(
    room: &RoomState,
    shown: Option<Shown>,
    core: CoreId,
    fence: Sequence,
    confirmed: &BTreeSet<Suspect>,
) -> Plan {
    let mut plan = Plan::default();
    let stamp = |conference| EventStamp {
        core,
        conference,
        sequence: fence,
        synthesized: true,
    };
    let conference = shown.as_ref().map(|shown| shown.conference);
    let mut sessions: Vec<SessionId> = Vec::new();
    let mut recorded: Vec<RecordingId> = Vec::new();
    if let Some(shown) = shown {
        let at = stamp(shown.conference);
        let mut holder = None;
        sessions.reserve(shown.members.len());
        plan.inputs.reserve(shown.members.len() + 3);
        plan.inputs.push(RoomInput::ConferenceStarted(at));
        for (who, floor) in shown.members {
            sessions.push(who.session);
            if floor {
                holder = holder.or(Some(who.session));
            }
            plan.inputs.push(RoomInput::Seen {
                at,
                who,
                entered: false,
            });
        }
        plan.inputs.push(RoomInput::Locked {
            at,
            locked: shown.locked,
        });
        plan.inputs.push(RoomInput::Floor { at, holder });
        for id in &shown.recordings {
            plan.inputs.push(RoomInput::Record(RecordInput::Started {
                id: *id,
                failed: false,
                sequence: fence,
                synthesized: true,
            }));
        }
        recorded = shown.recordings;
    }
    sessions.sort_unstable();
    let is_shown = |session: SessionId, life: ConferenceId| {
        conference == Some(life) && sessions.binary_search(&session).is_ok()
    };
    let mut suspect = |suspect: Suspect, gone: RoomInput| {
        let sure = confirmed.contains(&suspect);
        if sure {
            plan.inputs.push(gone);
        } else {
            plan.suspects.insert(suspect);
        }
        sure
    };
    if let Some(recording) = room.recording()
        && recording.started_at.is_some()
        && recording.since < fence
        && !recorded.contains(&recording.id)
    {
        suspect(
            Suspect::Recording(room.id(), recording.id),
            RoomInput::Record(RecordInput::Stopped {
                id: recording.id,
                length: None,
                synthesized: true,
            }),
        );
    }
    // Lives are few.
    let mut inhabited: Vec<ConferenceId> = Vec::new();
    for (session, member) in room.members() {
        let Some(stay) = member.stay else { continue };
        let lacking =
            stay.core == core && stay.opened < fence && !is_shown(*session, stay.conference);
        let gone = lacking
            && suspect(
                Suspect::Stay(room.id(), *session, stay.conference),
                RoomInput::Gone {
                    at: stamp(stay.conference),
                    session: *session,
                    reason: LeftReason::Removed,
                },
            );
        if !gone && !inhabited.contains(&stay.conference) {
            inhabited.push(stay.conference);
        }
    }
    let lacking: Vec<ConferenceId> = room
        .lives()
        .iter()
        .filter(|life| life.core == core && life.since < fence)
        .map(|life| life.id)
        .filter(|life| conference != Some(*life))
        .collect();
    for life in &lacking {
        if !inhabited.contains(life) {
            suspect(
                Suspect::Conference(room.id(), *life),
                RoomInput::ConferenceEnded(stamp(*life)),
            );
        }
    }
    // Whoever is suspected to have left it may be shown in another room: then nobody is left at the second look.
    let with_members = lacking.into_iter().filter(|life| inhabited.contains(life));
    plan.suspects
        .extend(with_members.map(|life| Suspect::Conference(room.id(), life)));
    plan
}
