//! What is believed of one call.

use std::fmt;
use std::str::FromStr;

use smol_str::SmolStr;

use crate::ids::{AppId, CoreId, RoomId, SessionId};
use crate::time::Timestamp;

use super::run::{ON_ITS_WAY, Run};

/// Which way a call was set up, seen from FreeSWITCH.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Somebody called in.
    Inbound,
    /// FreeSWITCH called out.
    Outbound,
}

impl Direction {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// Where a call is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// Parked and not answered yet.
    Ringing,
    /// Parked.
    Parked,
    /// Parked, and busy with the steps of its run: on its way into this room, or after it has left one.
    Acting(Option<RoomId>),
    /// On its way into this room.
    Joining(RoomId),
    /// In this room.
    InRoom(RoomId),
    /// On its way out of this room, or out of it and not parked yet.
    Leaving(Option<RoomId>),
    /// Over.
    Ended,
}

impl Place {
    /// The word in the API; an ended call has none, it is not found any more.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ringing => "ringing",
            Self::Parked => "parked",
            Self::Acting(_) => "acting",
            Self::Joining(_) => "joining",
            Self::InRoom(_) => "in_room",
            Self::Leaving(_) => "leaving",
            Self::Ended => "ended",
        }
    }

    /// The room it is in, or on its way into or out of.
    pub const fn room(&self) -> Option<RoomId> {
        match self {
            Self::Joining(room) | Self::InRoom(room) => Some(*room),
            Self::Leaving(room) | Self::Acting(room) => *room,
            Self::Ringing | Self::Parked | Self::Ended => None,
        }
    }
}

/// An order that parks a call, by when it was decided. The transfer leaves it on the channel (`roomkeeper_park`,
/// microseconds since the Unix epoch), where `CHANNEL_PARK` and `uuid_dump` show it: a call can be told to be parked twice,
/// and be parked without having been told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parking(pub Timestamp);

impl fmt::Display for Parking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_micros().fmt(f)
    }
}

impl FromStr for Parking {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Timestamp::from_micros).map(Self)
    }
}

/// A call of an app.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionState {
    pub(crate) id: SessionId,
    pub(crate) app: AppId,
    /// The run of FreeSWITCH it lives in.
    pub(crate) core: CoreId,
    pub(crate) caller_id: SmolStr,
    pub(crate) did: SmolStr,
    pub(crate) direction: Direction,
    pub(crate) created_at: Timestamp,
    pub(crate) answered_at: Option<Timestamp>,
    pub(crate) place: Place,
    /// The sequence of the event that put it there.
    pub(crate) place_at: u64,
    /// The last order to park it, until FreeSWITCH has said that it is carried out.
    pub(crate) parking: Option<Parking>,
    /// What it is busy with; or what it will be, once it is parked.
    pub(crate) run: Option<Box<Run>>,
    /// How many events have been told of it.
    pub(crate) sequence: u64,
    pub(crate) changed: bool,
}

impl SessionState {
    /// A call at first sight, before anything has been told of it.
    #[allow(
        clippy::too_many_arguments,
        reason = "each is fixed at first sight and none has a default"
    )]
    pub const fn first_seen(
        id: SessionId,
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
            place: if answered_at.is_some() {
                Place::Parked
            } else {
                Place::Ringing
            },
            place_at: 0,
            parking: None,
            run: None,
            sequence: 0,
            changed: true,
        }
    }

    /// It was taken for over, and lives: the node was out of reach for so long that its calls were given up. What is told
    /// of it goes on counting.
    pub(crate) fn revive(&mut self, core: CoreId, answered_at: Option<Timestamp>) {
        self.core = core;
        self.answered_at = self.answered_at.or(answered_at);
        self.place = if self.answered_at.is_some() {
            Place::Parked
        } else {
            Place::Ringing
        };
        self.place_at = 0;
        self.parking = None;
        self.run = None;
        self.changed = true;
    }

    /// Its id.
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// Whose it is.
    pub const fn app(&self) -> &AppId {
        &self.app
    }

    /// The run of FreeSWITCH it lives in.
    pub const fn core(&self) -> CoreId {
        self.core
    }

    /// The caller's number, fixed at first sight.
    pub const fn caller_id(&self) -> &SmolStr {
        &self.caller_id
    }

    /// The number dialled, fixed at first sight.
    pub const fn did(&self) -> &SmolStr {
        &self.did
    }

    /// Which way it was set up.
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    /// When FreeSWITCH made the channel.
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When it was answered.
    pub const fn answered_at(&self) -> Option<Timestamp> {
        self.answered_at
    }

    /// Where it is.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The order to park it that is not known to be carried out.
    pub const fn parking(&self) -> Option<Parking> {
        self.parking
    }

    /// What it is busy with, or will be once it is parked.
    pub fn run(&self) -> Option<&Run> {
        self.run.as_deref()
    }

    /// Where it waits when nothing is asked of it.
    pub(super) const fn parked(&self) -> Place {
        if self.answered_at.is_some() {
            Place::Parked
        } else {
            Place::Ringing
        }
    }

    /// When it next wants to be looked at.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match self.place {
            Place::Acting(_) => self.run.as_ref().map(|run| run.deadline),
            Place::Leaving(None) => self.parking.map(|parking| parking.0 + ON_ITS_WAY),
            Place::Ringing
            | Place::Parked
            | Place::Joining(_)
            | Place::InRoom(_)
            | Place::Leaving(Some(_))
            | Place::Ended => None,
        }
    }

    /// Whether it is over.
    pub const fn is_over(&self) -> bool {
        matches!(self.place, Place::Ended)
    }

    /// The sequence of the event that put it where it is.
    pub const fn place_at(&self) -> u64 {
        self.place_at
    }

    /// Whether an event above this sequence says that it is not in this room.
    pub fn is_elsewhere_since(&self, room: RoomId, sequence: u64) -> bool {
        let there = matches!(self.place, Place::InRoom(r) | Place::Leaving(Some(r)) if r == room);
        !there && self.place_at > sequence
    }

    /// Whether it ended, in this run of FreeSWITCH, at this sequence or above it: what is told of that time is late.
    pub fn ended_since(&self, core: Option<CoreId>, sequence: u64) -> bool {
        self.is_over() && Some(self.core) == core && sequence <= self.place_at
    }

    /// How many events have been told of it.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether there is something to commit.
    pub const fn has_changed(&self) -> bool {
        self.changed
    }

    /// Whether it changed since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Panics when a call is not sound: a mistake of ours.
    pub fn check_invariants(&self) {
        if let Err(flaw) = self.soundness() {
            panic!("{}: {flaw}", self.id);
        }
    }

    /// Everything that must be true of a call between two inputs, and when it is read.
    pub(crate) fn soundness(&self) -> Result<(), &'static str> {
        let room = self.place.room();
        if room.is_some_and(|room| room.node() != self.id.node()) {
            return Err("it is in a room of another node");
        }
        match (&self.place, &self.run) {
            (Place::Acting(_), None) => return Err("it acts without a run"),
            (Place::Acting(room), Some(run)) => {
                if *room != run.room() {
                    return Err("it acts for another room");
                }
                if run.step().is_none() {
                    return Err("it has no step to do");
                }
            }
            (Place::Leaving(None), Some(_)) | (_, None) => {}
            (_, Some(_)) => return Err("it has a run, and does not act"),
        }
        if matches!(self.place, Place::Ringing) && self.answered_at.is_some() {
            return Err("it is answered and rings");
        }
        if self.sequence == 0 {
            return Err("nothing was told of it");
        }
        Ok(())
    }
}
