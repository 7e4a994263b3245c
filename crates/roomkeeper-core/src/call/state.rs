//! The state of one call.

use std::fmt;
use std::str::FromStr;

use smol_str::SmolStr;

use crate::ids::{AppId, CallId, CoreId, RoomId};
use crate::time::Timestamp;

use super::coaching::Coaching;
use super::gathering::Gathering;
use super::run::{ActionRun, MAX_QUEUE_TIME};
use super::transferring::Transfer;

/// The direction in which a call was set up, seen from FreeSWITCH.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// A caller called FreeSWITCH.
    Inbound,
    /// FreeSWITCH called out.
    Outbound,
}

impl Direction {
    /// Returns the word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// The status of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallStatus {
    /// Parked and not answered yet.
    Ringing,
    /// Parked.
    Parked,
    /// Parked and running actions: on its way into this room, or after it has left one.
    Acting(Option<RoomId>),
    /// Coaching a member of a room; parked afterwards.
    Coaching,
    /// The other side of a transfer is being called; parked afterwards.
    Transferring,
    /// Connected with the other side of a transfer; parked afterwards.
    Transferred,
    /// On its way into this room.
    Joining(RoomId),
    /// On its way from one room into another one.
    Moving {
        /// The old room; `None` once it has left that room.
        from: Option<RoomId>,
        /// The new room.
        to: RoomId,
    },
    /// In this room.
    InRoom(RoomId),
    /// On its way out of this room; `None` if it has left the room and is not parked yet.
    Leaving(Option<RoomId>),
    /// Ended.
    Ended,
}

impl CallStatus {
    /// Returns the word in the API. An ended call is no longer found there.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ringing => "ringing",
            Self::Parked => "parked",
            Self::Acting(_) => "acting",
            Self::Coaching => "coaching",
            Self::Transferring => "transferring",
            Self::Transferred => "transferred",
            Self::Joining(_) | Self::Moving { .. } => "joining",
            Self::InRoom(_) => "in_room",
            Self::Leaving(_) => "leaving",
            Self::Ended => "ended",
        }
    }

    /// Returns the room that the call is in, entering or leaving: of two rooms, the one that it is entering.
    pub const fn room(&self) -> Option<RoomId> {
        match self {
            Self::Joining(room) | Self::InRoom(room) | Self::Moving { to: room, .. } => Some(*room),
            Self::Leaving(room) | Self::Acting(room) => *room,
            Self::Ringing
            | Self::Parked
            | Self::Coaching
            | Self::Transferring
            | Self::Transferred
            | Self::Ended => None,
        }
    }

    /// Returns the room that the call is in, as far as events show.
    pub const fn present_in(&self) -> Option<RoomId> {
        match self {
            Self::InRoom(room) => Some(*room),
            Self::Leaving(room) | Self::Moving { from: room, .. } => *room,
            Self::Ringing
            | Self::Parked
            | Self::Acting(_)
            | Self::Coaching
            | Self::Transferring
            | Self::Transferred
            | Self::Joining(_)
            | Self::Ended => None,
        }
    }

    /// Returns true while a plan connects the call with the other side of a transfer.
    pub const fn is_transfer(&self) -> bool {
        matches!(self, Self::Transferring | Self::Transferred)
    }
}

/// The id of a park command: the time of its decision. The transfer leaves it on the channel (`roomkeeper_park`,
/// microseconds since the Unix epoch), where `CHANNEL_PARK` and `uuid_dump` show it. It distinguishes two park commands
/// from each other, and from a park without a command.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ParkId(pub Timestamp);

impl fmt::Display for ParkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_micros().fmt(f)
    }
}

impl FromStr for ParkId {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Timestamp::from_micros).map(Self)
    }
}

/// A call of an app.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallState {
    pub(super) id: CallId,
    pub(super) app: AppId,
    /// The core that runs the call.
    pub(super) core: CoreId,
    pub(super) caller_id: SmolStr,
    pub(super) did: SmolStr,
    pub(super) direction: Direction,
    pub(super) created_at: Timestamp,
    pub(super) answered_at: Option<Timestamp>,
    pub(super) status: CallStatus,
    /// The sequence of the event that set the status.
    pub(super) status_at: u64,
    /// The last park command, until FreeSWITCH confirms it.
    pub(super) pending_park: Option<ParkId>,
    /// The action run, current or waiting until the call parks.
    pub(super) run: Option<Box<ActionRun>>,
    /// Its work as a coach.
    pub(super) coaching: Option<Box<Coaching>>,
    /// Its transfer, in progress or waiting until the call has left its room.
    pub(super) transfer: Option<Box<Transfer>>,
    /// The request for digits that is under way.
    pub(super) gather: Option<Box<Gathering>>,
    /// The number of notifications about the call.
    pub(super) sequence: u64,
    pub(super) changed: bool,
}

/// The data of a call that outlive a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallData {
    /// The call's id.
    pub id: CallId,
    /// The app that owns it.
    pub app: AppId,
    /// The core that runs the call.
    pub core: CoreId,
    /// The caller's number.
    pub caller_id: SmolStr,
    /// The number dialled.
    pub did: SmolStr,
    /// Inbound or outbound.
    pub direction: Direction,
    /// The time when FreeSWITCH created the channel.
    pub created_at: Timestamp,
    /// The time of the answer.
    pub answered_at: Option<Timestamp>,
    /// The status.
    pub status: CallStatus,
    /// The sequence of the event that set the status.
    pub status_at: u64,
    /// The last park command, until FreeSWITCH confirms it.
    pub pending_park: Option<ParkId>,
    /// Its action run.
    pub run: Option<Box<ActionRun>>,
    /// Its work as a coach.
    pub coaching: Option<Box<Coaching>>,
    /// Its transfer.
    pub transfer: Option<Box<Transfer>>,
    /// Its request for digits.
    pub gather: Option<Box<Gathering>>,
    /// The number of notifications about it.
    pub sequence: u64,
}

/// Stored data that contradict each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidCall(&'static str);

impl CallState {
    /// Rebuilds a call. The result has no changes to commit.
    ///
    /// # Errors
    /// Fails if the data break an invariant of a call.
    pub fn restore(data: CallData) -> Result<Self, InvalidCall> {
        let CallData {
            id,
            app,
            core,
            caller_id,
            did,
            direction,
            created_at,
            answered_at,
            status,
            status_at,
            pending_park,
            run,
            coaching,
            transfer,
            gather,
            sequence,
        } = data;
        let call = Self {
            id,
            app,
            core,
            caller_id,
            did,
            direction,
            created_at,
            answered_at,
            status,
            status_at,
            pending_park,
            run,
            coaching,
            transfer,
            gather,
            sequence,
            changed: false,
        };
        call.check().map_err(InvalidCall)?;
        Ok(call)
    }

    /// Returns a copy of the data that outlive a process.
    pub fn data(&self) -> CallData {
        CallData {
            id: self.id,
            app: self.app.clone(),
            core: self.core,
            caller_id: self.caller_id.clone(),
            did: self.did.clone(),
            direction: self.direction,
            created_at: self.created_at,
            answered_at: self.answered_at,
            status: self.status.clone(),
            status_at: self.status_at,
            pending_park: self.pending_park,
            run: self.run.clone(),
            coaching: self.coaching.clone(),
            transfer: self.transfer.clone(),
            gather: self.gather.clone(),
            sequence: self.sequence,
        }
    }

    /// Returns a new call, before any notification about it.
    #[allow(
        clippy::too_many_arguments,
        reason = "each is fixed by the first event and none has a default"
    )]
    pub const fn first_seen(
        id: CallId,
        app: AppId,
        core: CoreId,
        caller_id: SmolStr,
        did: SmolStr,
        direction: Direction,
        created_at: Timestamp,
        answered_at: Option<Timestamp>,
    ) -> Self {
        Self {
            id,
            app,
            core,
            caller_id,
            did,
            direction,
            created_at,
            answered_at,
            status: if answered_at.is_some() {
                CallStatus::Parked
            } else {
                CallStatus::Ringing
            },
            status_at: 0,
            pending_park: None,
            run: None,
            coaching: None,
            transfer: None,
            gather: None,
            sequence: 0,
            changed: true,
        }
    }

    /// Revives a call that counted as lost because its node was unreachable for too long. The numbers of its notifications
    /// continue.
    pub fn revive(&mut self, core: CoreId, answered_at: Option<Timestamp>) {
        self.core = core;
        self.answered_at = self.answered_at.or(answered_at);
        self.status = if self.answered_at.is_some() {
            CallStatus::Parked
        } else {
            CallStatus::Ringing
        };
        self.status_at = 0;
        self.pending_park = None;
        self.run = None;
        self.coaching = None;
        self.transfer = None;
        self.gather = None;
        self.changed = true;
    }

    /// Returns the call's id.
    pub const fn id(&self) -> CallId {
        self.id
    }

    /// Returns the app that owns the call.
    pub const fn app(&self) -> &AppId {
        &self.app
    }

    /// Returns the core that runs the call.
    pub const fn core(&self) -> CoreId {
        self.core
    }

    /// Returns the caller's number, fixed by the first event.
    pub const fn caller_id(&self) -> &SmolStr {
        &self.caller_id
    }

    /// Returns the dialled number, fixed by the first event.
    pub const fn did(&self) -> &SmolStr {
        &self.did
    }

    /// Returns the direction.
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    /// Returns the time when FreeSWITCH created the channel.
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// Returns the time of the answer.
    pub const fn answered_at(&self) -> Option<Timestamp> {
        self.answered_at
    }

    /// Returns the status.
    pub const fn status(&self) -> &CallStatus {
        &self.status
    }

    /// Returns the last park command that FreeSWITCH has not confirmed.
    pub const fn pending_park(&self) -> Option<ParkId> {
        self.pending_park
    }

    /// Returns the action run, current or waiting until the call parks.
    pub fn run(&self) -> Option<&ActionRun> {
        self.run.as_deref()
    }

    /// Returns its work as a coach.
    pub fn coaching(&self) -> Option<&Coaching> {
        self.coaching.as_deref()
    }

    /// Returns its transfer, in progress or waiting until the call has left its room.
    pub fn transfer(&self) -> Option<&Transfer> {
        self.transfer.as_deref()
    }

    /// Returns the request for digits that is under way.
    pub fn gather(&self) -> Option<&Gathering> {
        self.gather.as_deref()
    }

    /// Returns the status of the call when it is parked and idle.
    pub(super) const fn parked(&self) -> CallStatus {
        if self.answered_at.is_some() {
            CallStatus::Parked
        } else {
            CallStatus::Ringing
        }
    }

    /// Returns the time of the next deadline.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let gather = self.gather.as_ref().map(|gathering| gathering.deadline);
        gather.into_iter().chain(self.status_deadline()).min()
    }

    /// Returns the deadline of the status.
    pub(super) fn status_deadline(&self) -> Option<Timestamp> {
        match self.status {
            CallStatus::Acting(_) => self.run.as_ref().map(|run| run.deadline),
            CallStatus::Coaching => self.coaching.as_ref().and_then(|work| work.deadline),
            CallStatus::Transferring | CallStatus::Transferred => self
                .transfer
                .as_ref()
                .and_then(|transfer| transfer.deadline),
            CallStatus::Leaving(None) => self.pending_park.map(|park| park.0 + MAX_QUEUE_TIME),
            CallStatus::Ringing
            | CallStatus::Parked
            | CallStatus::Joining(_)
            | CallStatus::Moving { .. }
            | CallStatus::InRoom(_)
            | CallStatus::Leaving(Some(_))
            | CallStatus::Ended => None,
        }
    }

    /// Returns true if the call has ended.
    pub const fn is_over(&self) -> bool {
        matches!(self.status, CallStatus::Ended)
    }

    /// Returns the sequence of the event that put the call in its place.
    pub const fn status_at(&self) -> u64 {
        self.status_at
    }

    /// Returns true if an event above this sequence moved the call out of this room.
    pub fn is_elsewhere_since(&self, room: RoomId, sequence: u64) -> bool {
        self.status.present_in() != Some(room) && self.status_at > sequence
    }

    /// Returns true if the call ended in this core, at this sequence or above it: events up to there are late.
    pub fn ended_since(&self, core: Option<CoreId>, sequence: u64) -> bool {
        self.is_over() && Some(self.core) == core && sequence <= self.status_at
    }

    /// Returns the number of notifications about the call.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns true if there are changes to commit.
    pub const fn has_changed(&self) -> bool {
        self.changed
    }

    /// Returns true if the call changed since the last call of this method.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Panics if the call breaks an invariant, which is a bug.
    pub fn check_invariants(&self) {
        if let Err(flaw) = self.check() {
            panic!("{}: {flaw}", self.id);
        }
    }

    /// Checks the invariants of a call, which hold between two inputs and after a restore.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let room = self.status.room();
        if room.is_some_and(|room| room.node() != self.id.node()) {
            return Err("it is in a room of another node");
        }
        if let CallStatus::Moving {
            from: Some(from),
            to,
        } = self.status
            && (from == to || from.node() != self.id.node())
        {
            return Err("it moves within a room, or from a room of another node");
        }
        match (&self.status, &self.run) {
            (CallStatus::Acting(_), None) => return Err("it is acting without an action run"),
            (CallStatus::Acting(room), Some(run)) => {
                if *room != run.room() {
                    return Err("it is acting for another room than its action run");
                }
                if run.step().is_none() {
                    return Err("its action run has no current step");
                }
            }
            (CallStatus::Leaving(None), Some(_)) | (_, None) => {}
            (_, Some(_)) => return Err("it has an action run, and is not acting"),
        }
        if matches!(self.status, CallStatus::Coaching) != self.coaching.is_some() {
            return Err("it is coaching without a member, or has a member and is not coaching");
        }
        match (&self.transfer, self.status.is_transfer()) {
            (None, false) => {}
            (None, true) => return Err("it is transferred nowhere"),
            (Some(transfer), true) if transfer.id.is_some() => {}
            (Some(transfer), false)
                if transfer.id.is_none() && matches!(self.status, CallStatus::Leaving(_)) => {}
            (Some(_), _) => return Err("it has a transfer in another status"),
        }
        if self.gather.is_some() {
            let room = self.gather.as_ref().and_then(|gathering| gathering.room);
            match (&self.status, room) {
                (CallStatus::Parked, None) => {}
                (CallStatus::InRoom(here), Some(room)) if *here == room => {}
                _ => return Err("it is asked for digits elsewhere"),
            }
        }
        if matches!(self.status, CallStatus::Ringing) && self.answered_at.is_some() {
            return Err("it is ringing, and is answered");
        }
        if self.sequence == 0 {
            return Err("it has no notification");
        }
        Ok(())
    }
}
