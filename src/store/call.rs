//! The stored form of a call, and the way back.
//!
//! A call is a head with three fields: `app`, its app's id as it is; `call`, what stays:
//!
//! | | |
//! |---|---|
//! | `f`, `d` | the caller's number, the number dialled |
//! | `i` | it is inbound |
//! | `t`, `w` | when it was made, and when it was answered, if it was, microseconds |
//! | `s` | how many events have been told of it |
//!
//! and `place`, what changes:
//!
//! | | |
//! |---|---|
//! | `c` | its core |
//! | `p` | 1 ringing, 2 parked, 3 acting, 4 joining, 5 in a room, 6 leaving, 7 ended |
//! | `r`, `R` | the room of 3 to 6, if there is one: its UUID, or all of its id when it is another node's |
//! | `n` | the sequence of that |
//! | `y` | the steps it has to do, if any, as JSON |

use std::fmt;

use crate::ids::{CoreId, RoomId, SessionId};
use crate::session::{Direction, Parking, Place, Run, SessionState};
use crate::time::Timestamp;

use super::packed::{Packed, Packer, Unread};
use super::record::{corrupt, head, json};
use super::{EntityId, Hashes, StoreError};

/// The head field that names the app.
pub const APP: &str = "app";
const CALL: &str = "call";
const PLACE: &str = "place";

/// The fields of a call's head.
pub const HEAD: [&str; 3] = [APP, CALL, PLACE];

/// The head of a call.
pub fn encode_session(session: &SessionState) -> Vec<(String, String)> {
    let mut call = Packer::default();
    call.text('f', &session.caller_id);
    call.text('d', &session.did);
    call.flag('i', session.direction == Direction::Inbound);
    call.number('t', session.created_at.as_micros());
    call.some_number('w', session.answered_at.map(Timestamp::as_micros));
    call.number('s', session.sequence);
    let mut place = Packer::default();
    place.uuid('c', session.core.uuid());
    place.number(
        'p',
        match session.place {
            Place::Ringing => 1,
            Place::Parked => 2,
            Place::Acting(_) => 3,
            Place::Joining(_) => 4,
            Place::InRoom(_) => 5,
            Place::Leaving(_) => 6,
            Place::Ended => 7,
        },
    );
    match session.place.room() {
        Some(room) if room.node() == session.id.node() => place.uuid('r', room.uuid()),
        Some(room) => place.text('R', &room.to_string()),
        None => {}
    }
    place.number('n', session.place_at);
    place.some_number('q', session.parking.map(|parking| parking.0.as_micros()));
    if let Some(run) = &session.run {
        place.text('y', &json(run));
    }
    let values = [
        session.app.as_str().to_owned(),
        call.finish(),
        place.finish(),
    ];
    HEAD.map(str::to_owned).into_iter().zip(values).collect()
}

/// A call as it was stored.
///
/// # Errors
/// [`StoreError::Corrupt`] when a field is missing or is not what [`encode_session`] writes.
pub fn decode_session<'a>(
    id: SessionId,
    record: impl Into<Hashes<'a>>,
) -> Result<SessionState, StoreError> {
    let stored = record.into();
    let entity = EntityId::Session(id);
    let wrong = |name: &str, why: &dyn fmt::Display| corrupt(entity, &format!("field {name}"), why);
    let text = |name| head(entity, &stored.head, name);
    let app = text(APP)?.parse().map_err(|why| wrong(APP, &why))?;
    let (core, place, place_at, parking, run) =
        decode_place(id, text(PLACE)?).map_err(|why| wrong(PLACE, &why))?;
    let call = Packed::new(text(CALL)?);
    let session = (|| -> Result<SessionState, Unread> {
        Ok(SessionState {
            id,
            app,
            core,
            caller_id: call.text('f')?.into(),
            did: call.text('d')?.into(),
            direction: if call.flag('i')? {
                Direction::Inbound
            } else {
                Direction::Outbound
            },
            created_at: Timestamp::from_micros(call.number('t')?),
            answered_at: call.some_number('w')?.map(Timestamp::from_micros),
            place,
            place_at,
            parking,
            run,
            sequence: call.number('s')?,
            changed: false,
        })
    })()
    .map_err(|why| wrong(CALL, &why))?;
    session
        .soundness()
        .map_err(|flaw| corrupt(entity, "the whole", flaw))?;
    Ok(session)
}

type Placed = (CoreId, Place, u64, Option<Parking>, Option<Box<Run>>);

fn decode_place(id: SessionId, text: &str) -> Result<Placed, Unread> {
    let packed = Packed::new(text);
    let room = match (packed.some_uuid('r')?, packed.some_text('R')?) {
        (Some(uuid), None) => Some(RoomId::new(id.node(), uuid)),
        (None, Some(other)) => Some(other.parse().map_err(|_| "its room's id is none")?),
        (None, None) => None,
        (Some(_), Some(_)) => return Err("it is in two rooms".into()),
    };
    let in_room = || room.ok_or("in a room without its id");
    let place = match packed.number('p')? {
        1 => Place::Ringing,
        2 => Place::Parked,
        3 => Place::Acting(room),
        4 => Place::Joining(in_room()?),
        5 => Place::InRoom(in_room()?),
        6 => Place::Leaving(room),
        7 => Place::Ended,
        _ => return Err("it is where there is nothing".into()),
    };
    let run = packed
        .some_text('y')?
        .map(|run| serde_json::from_str(&run).map_err(|_| "its steps are none"))
        .transpose()?;
    Ok((
        CoreId::new(packed.uuid('c')?),
        place,
        packed.number('n')?,
        packed
            .some_number('q')?
            .map(|at| Parking(Timestamp::from_micros(at))),
        run,
    ))
}
