//! Rebuilds a room from stored data.
//!
//! Owns the check that stored data form a room that the rules can work on. The store owns their encoding.

use crate::ids::{CallId, ConferenceId, RecordingId, RoomId};
use crate::time::Timestamp;

use super::coach::MemberCoach;
use super::dial::DialOuts;
use super::effect::EndReason;
use super::lock::{Lock, LockRequest};
use super::member::Member;
use super::playback::{Music, Opening, Operation, Playback};
use super::recording::Recording;
use super::state::{Conference, Registration, RoomState, RoomStatus};

/// The data of a room that outlive a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomData {
    /// The room's id.
    pub id: RoomId,
    /// The registration.
    pub registration: Registration,
    /// Its status.
    pub status: RoomStatus,
    /// The conference instances that are not known to be over, in any order.
    pub instances: Vec<Conference>,
    /// The reason of its end, if it has one for the webhook.
    pub end_reason: Option<EndReason>,
    /// Its lock.
    pub lock: Lock,
    /// Its playback.
    pub playback: Playback,
    /// The active recording.
    pub recording: Option<Recording>,
    /// The active recordings of members.
    pub member_recordings: Vec<(CallId, Recording)>,
    /// The coach of each member that has one.
    pub coaches: Vec<(CallId, MemberCoach)>,
    /// All recordings, oldest first.
    pub recordings: Vec<RecordingId>,
    /// The dial-outs in progress.
    pub dials: Option<Box<DialOuts>>,
    /// The time of the last change that its owner can see.
    pub updated_at: Timestamp,
    /// The time of its end.
    pub ended_at: Option<Timestamp>,
    /// Its members.
    pub members: Vec<(CallId, Member)>,
    /// The number of notifications about it.
    pub sequence: u64,
    /// True if its conference has started after a wait for a moderator.
    pub started: bool,
    /// The time since which a command for a setting has failed.
    pub resend_at: Option<Timestamp>,
    /// The conference instance in which a setting was removed.
    pub removed_in: Option<ConferenceId>,
    /// The time at which it ends unless a member has talked since.
    pub silent_at: Option<Timestamp>,
}

/// Stored data that contradict each other.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRoom(String);

impl RoomState {
    /// Rebuilds a room. The result has no changes to commit.
    ///
    /// # Errors
    /// Fails if the data break an invariant of a room.
    pub fn restore(data: RoomData) -> Result<Self, InvalidRoom> {
        let RoomData {
            id,
            registration,
            status,
            mut instances,
            end_reason,
            lock,
            playback,
            recording,
            member_recordings,
            coaches,
            recordings,
            dials,
            updated_at,
            ended_at,
            members,
            sequence,
            started,
            removed_in,
            resend_at,
            silent_at,
        } = data;
        instances.sort_by_key(|conference| conference.since);
        let mut room = Self {
            registration: Some(registration),
            status,
            instances,
            end_reason,
            lock,
            playback,
            recording,
            member_recordings: member_recordings.into_iter().collect(),
            coaches: coaches.into_iter().collect(),
            recordings,
            dials,
            updated_at,
            ended_at,
            sequence,
            started,
            removed_in,
            resend_at,
            silent_at,
            ..Self::unregistered(id)
        };
        room.set_members(members);
        room.check().map_err(InvalidRoom)?;
        Ok(room)
    }

    /// Sets the members and builds their indexes.
    fn set_members(&mut self, members: Vec<(CallId, Member)>) {
        self.members = members.into_iter().collect();
        self.present = self
            .members
            .values()
            .filter(|m| m.membership.is_some())
            .count();
        let deadlines = self
            .members
            .iter()
            .filter_map(|(call, m)| m.deadline().map(|at| (at, *call)));
        self.deadlines = deadlines.collect();
    }
}

impl Lock {
    /// Rebuilds the lock of a room.
    pub const fn restore(locked: bool, due: bool, requested: Option<LockRequest>) -> Self {
        Self {
            locked,
            at: 0,
            due,
            requested,
        }
    }
}

impl Playback {
    /// Rebuilds the playback of a room. [`RoomState::restore`] checks it.
    pub fn restore(
        operations: Vec<Operation>,
        opening: Option<Opening>,
        volume: i8,
        paused: bool,
    ) -> Self {
        Self {
            operations: operations.into(),
            opening,
            volume,
            paused,
            ..Self::default()
        }
    }

    /// Adds the music of a member.
    #[must_use]
    pub fn with_music(self, music: Option<Music>) -> Self {
        Self { music, ..self }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ids::NodeId;
    use crate::room::{Details, Kind, Origin};

    fn data() -> RoomData {
        let node: NodeId = "n0001".parse().expect("an id");
        let id = RoomId::new(node, Uuid::from_u128(1));
        RoomData {
            id,
            registration: Registration {
                app: "app".parse().expect("an id"),
                name: "room".to_owned(),
                origin: Origin::Gateway,
                created_at: Timestamp::from_micros(1),
                kind: Kind::Conference,
                details: Details::default(),
            },
            status: RoomStatus::Progressing,
            instances: Vec::new(),
            end_reason: None,
            lock: Lock::restore(false, false, None),
            playback: Playback::restore(Vec::new(), None, 0, false),
            recording: None,
            member_recordings: Vec::new(),
            coaches: Vec::new(),
            recordings: Vec::new(),
            dials: None,
            updated_at: Timestamp::from_micros(2),
            ended_at: None,
            members: Vec::new(),
            sequence: 7,
            started: false,
            removed_in: None,
            resend_at: None,
            silent_at: None,
        }
    }

    #[test]
    fn restored_room_has_its_data_and_no_changes() {
        let mut room = RoomState::restore(data()).expect("it is a room");
        assert_eq!((room.id(), room.sequence()), (data().id, 7));
        assert_eq!(room.registration(), Some(&data().registration));
        assert!(room.take_changes().is_empty());
    }

    #[test]
    fn contradicting_data_is_refused() {
        let ended = RoomData {
            status: RoomStatus::Terminated,
            ..data()
        };
        let error = RoomState::restore(ended).expect_err("it does not know when it ended");
        assert!(error.to_string().contains("is over"), "{error}");
        // Without a conference there is nothing to lock.
        let locked = RoomData {
            lock: Lock::restore(true, true, None),
            ..data()
        };
        assert!(RoomState::restore(locked).is_err());
    }
}
