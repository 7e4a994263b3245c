//! The stored form of a call, and the way back.
//!
//! A call is a head with three fields: [`APP`], the plain id of its app, `call`, which is fixed, and `place`, which
//! changes.

use std::fmt;

use crate::store::{EntityId, RawRecord, StoreError};
use roomkeeper_core::call::{
    ActionRun, CallData, CallState, CallStatus, Coaching, Direction, Gathering, ParkId, Transfer,
};
use roomkeeper_core::ids::{CallId, NodeId, RoomId};
use roomkeeper_core::time::Timestamp;

use super::json_fields::{corrupt, head, json};
use super::packed::{DecodeError, Packed, Packer};
use super::stored_fields::{
    Field, FieldGroup, UndecodedPart, field_row, read_field, stored_codes, stored_fields,
    stored_parts, write_field,
};

/// The head field that names the app.
pub const APP: &str = "app";
const CALL: &str = "call";
const PLACE: &str = "place";

/// The fields of a call's head.
pub const HEAD: [&str; 3] = [APP, CALL, PLACE];

stored_parts! {
    /// Reads a call from its two parts.
    fn decode_parts(id: CallId, app: roomkeeper_core::ids::AppId) -> CallData {
        /// Writes the fixed part.
        "call" fn encode_call {
            'f' caller_id "the caller's number",
            'd' did "the number dialled",
            'i' direction "inbound",
            't' created_at "when it was created, microseconds",
            'w' answered_at "when it was answered, if it was, microseconds",
            's' sequence "the number of notifications about it",
        }
        /// Writes the changing part.
        "place" fn encode_place {
            'c' core "the run of FreeSWITCH",
            .. status "its place, a `StoredPlace`",
            'n' status_at "the sequence of its place",
            'q' pending_park "the unconfirmed command to park it, microseconds",
            'y' run "its action run, JSON",
            'z' coaching "its work as a coach, JSON",
            'T' transfer "its transfer, JSON",
            'G' gather "its request for digits, JSON",
        }
        _ id = id,
        _ app = app,
    }
}

stored_fields! {
    /// A place is stored flat.
    StoredPlace {
        'p' kind "1 ringing, 2 parked, 3 acting, 4 joining, 5 in a room, 6 leaving, 7 ended, 8 moving, 9 coaching, 10 transferring, 11 transferred",
        'r' room "the room of 3 to 6 and the new room of 8, if there is one: its UUID",
        'R' foreign_room "the same, as an id, for a room of another node",
        'm' old_room "the room that 8 comes from, unless it has left it: its UUID",
    }
}

struct StoredPlace {
    kind: PlaceKind,
    room: Option<RoomId>,
    foreign_room: Option<ForeignRoom>,
    old_room: Option<RoomId>,
}

enum PlaceKind {
    Ringing,
    Parked,
    Acting,
    Joining,
    InRoom,
    Leaving,
    Ended,
    Moving,
    Coaching,
    Transferring,
    Transferred,
}

/// A room that is stored with its node.
struct ForeignRoom(RoomId);

stored_codes! {
    PlaceKind {
        1 Ringing,
        2 Parked,
        3 Acting,
        4 Joining,
        5 InRoom,
        6 Leaving,
        7 Ended,
        8 Moving,
        9 Coaching,
        10 Transferring,
        11 Transferred,
    }
}

impl FieldGroup for CallStatus {
    const FIRST: char = StoredPlace::FIRST;

    fn write(&self, node: NodeId, packer: &mut Packer) {
        let kind = match self {
            Self::Ringing => PlaceKind::Ringing,
            Self::Parked => PlaceKind::Parked,
            Self::Acting(_) => PlaceKind::Acting,
            Self::Joining(_) => PlaceKind::Joining,
            Self::InRoom(_) => PlaceKind::InRoom,
            Self::Leaving(_) => PlaceKind::Leaving,
            Self::Ended => PlaceKind::Ended,
            Self::Moving { .. } => PlaceKind::Moving,
            Self::Coaching => PlaceKind::Coaching,
            Self::Transferring => PlaceKind::Transferring,
            Self::Transferred => PlaceKind::Transferred,
        };
        let room = self.room();
        let old_room = match self {
            Self::Moving { from, .. } => *from,
            _ => None,
        };
        let stored = StoredPlace {
            kind,
            room: room.filter(|room| room.node() == node),
            foreign_room: room.filter(|room| room.node() != node).map(ForeignRoom),
            old_room,
        };
        stored.write(node, packer);
    }

    fn read(node: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
        let stored = StoredPlace::read(node, packed)?;
        let room = match (stored.room, stored.foreign_room) {
            (Some(_), Some(_)) => return Err("call in two rooms".into()),
            (Some(room), None) | (None, Some(ForeignRoom(room))) => Some(room),
            (None, None) => None,
        };
        let in_room = || room.ok_or("call in a room without the id of the room");
        Ok(match stored.kind {
            PlaceKind::Ringing => Self::Ringing,
            PlaceKind::Parked => Self::Parked,
            PlaceKind::Acting => Self::Acting(room),
            PlaceKind::Joining => Self::Joining(in_room()?),
            PlaceKind::InRoom => Self::InRoom(in_room()?),
            PlaceKind::Leaving => Self::Leaving(room),
            PlaceKind::Ended => Self::Ended,
            PlaceKind::Moving => Self::Moving {
                from: stored.old_room,
                to: in_room()?,
            },
            PlaceKind::Coaching => Self::Coaching,
            PlaceKind::Transferring => Self::Transferring,
            PlaceKind::Transferred => Self::Transferred,
        })
    }
}

impl Field for ForeignRoom {
    fn write(&self, name: char, _: NodeId, packer: &mut Packer) {
        packer.text(name, &self.0.to_string());
    }

    fn read(name: char, _: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
        let room = packed.text(name)?.parse();
        room.map(Self).map_err(|_| "invalid room id".into())
    }
}

/// An outbound call has no field.
impl Field for Direction {
    fn write(&self, name: char, _: NodeId, packer: &mut Packer) {
        packer.flag(name, *self == Self::Inbound);
    }

    fn read(name: char, _: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
        Ok(match packed.flag(name)? {
            true => Self::Inbound,
            false => Self::Outbound,
        })
    }
}

impl Field for ParkId {
    fn write(&self, name: char, node: NodeId, packer: &mut Packer) {
        self.0.write(name, node, packer);
    }

    fn read(name: char, node: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
        Timestamp::read(name, node, packed).map(Self)
    }
}

impl Field for ActionRun {
    fn write(&self, name: char, _: NodeId, packer: &mut Packer) {
        packer.text(name, &json(self));
    }

    fn read(name: char, _: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
        let run = serde_json::from_str(&packed.text(name)?);
        run.map_err(|_| "invalid action run".into())
    }
}

impl Field for Coaching {
    fn write(&self, name: char, _: NodeId, packer: &mut Packer) {
        packer.text(name, &json(self));
    }

    fn read(name: char, _: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
        let coaching = serde_json::from_str(&packed.text(name)?);
        coaching.map_err(|_| "invalid coaching".into())
    }
}

impl Field for Transfer {
    fn write(&self, name: char, _: NodeId, packer: &mut Packer) {
        packer.text(name, &json(self));
    }

    fn read(name: char, _: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
        let transfer = serde_json::from_str(&packed.text(name)?);
        transfer.map_err(|_| "invalid transfer".into())
    }
}

impl Field for Gathering {
    fn write(&self, name: char, _: NodeId, packer: &mut Packer) {
        packer.text(name, &json(self));
    }

    fn read(name: char, _: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
        let gathering = serde_json::from_str(&packed.text(name)?);
        gathering.map_err(|_| "invalid request for digits".into())
    }
}

/// Returns the head of a call.
pub fn encode_call_state(state: &CallState) -> Vec<(String, String)> {
    let node = state.id().node();
    let call = state.data();
    let values = [
        call.app.as_str().to_owned(),
        encode_call(&call, node),
        encode_place(&call, node),
    ];
    HEAD.map(str::to_owned).into_iter().zip(values).collect()
}

/// Reads a call.
///
/// # Errors
/// [`StoreError::Corrupt`] when a field is missing or is not in the form of [`encode_call_state`].
pub fn decode_call_state<'a>(
    id: CallId,
    record: impl Into<RawRecord<'a>>,
) -> Result<CallState, StoreError> {
    let stored = record.into();
    let entity = EntityId::Call(id);
    let error = |name: &str, why: &dyn fmt::Display| corrupt(entity, &format!("field {name}"), why);
    let text = |name| head(entity, &stored.head, name);
    let app = text(APP)?.parse().map_err(|why| error(APP, &why))?;
    let call = decode_parts(id.node(), id, app, text(CALL)?, text(PLACE)?)
        .map_err(|UndecodedPart { part, why }| error(part, &why))?;
    CallState::restore(call).map_err(|why| corrupt(entity, "record", why))
}
