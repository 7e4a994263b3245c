//! The stored form of a member of a room, and the way back.
//!
//! A member is two parts of its room: a fixed part, under the digits of its channel's UUID, and a changing part, under the
//! same digits and [`MOVES`].

use roomkeeper_core::ids::{CommandUid, NodeId, RoomId};
use roomkeeper_core::room::{
    FlagRequest, FlagRequests, Flags, JoinAttempt, LeftReason, Level, Member, MemberFlag,
    MemberSettings, MemberStatus, Membership, Move, Sparse,
};
use roomkeeper_core::time::Timestamp;

use super::json_fields::json;
use super::packed::{DecodeError, Packed, Packer};
use super::stored_fields::{
    Field, FieldGroup, UndecodedPart, field_row, read_field, stored_codes, stored_fields,
    stored_parts, write_field,
};

/// The suffix of the changing part's name, behind the channel.
pub(super) const MOVES: &str = ".";

stored_parts! {
    /// Reads a member from its two parts.
    fn decode_member() -> Member {
        /// Writes the fixed part.
        "" fn encode_member {
            'm' id "its id, a UUID",
            'f' caller_id "the caller's number",
            'd' did "the number dialled",
            't' since "when it was created, microseconds",
            's' settings "its settings as JSON, if it has any",
        }
        /// Writes the changing part.
        "." fn encode_moves {
            .. status "its status, a `StoredStatus`",
            .. membership "its membership, if it has one",
            'g' flags "the sum of 1 can speak, 2 can hear, 4 on hold",
            'n' flags_at "the sequence of the flags",
            'T' talk_reported "a webhook has reported that it talks, and none that it stopped",
            .. requests "the requests that FreeSWITCH has not confirmed",
            'l' audio "the sound that it alone hears and its hold, a JSON object",
            .. moving "its part in a move, if it has one: a `StoredMove`",
        }
    }
}

stored_fields! {
    /// A status is stored flat.
    StoredStatus {
        'p' kind "1 joining, 2 joined, 3 leaving",
        'u' deadline "the deadline of 1 and 3, microseconds",
        'e' reason "of 3: 0 hang-up, 1 removed, 2 moved, 3 room destroyed, 4 timeout, 5 orphan, 6 silence",
        'a' attempt "of 1, unless it is the first attempt: 1 interrupted, 2 the second one",
        'x' command_uid "the id of the command, of 1 and 3",
    }
}

stored_fields! {
    /// A membership is stored without the fence that confirmed it last.
    Membership {
        'c' core "the run of FreeSWITCH",
        'k' conference "the conference instance",
        'o' opened "the sequence of its beginning",
        'v' revealed "a snapshot revealed it",
        _ confirmed = 0,
    }
}

/// Requests to set a flag. The letters depend on the flag:
///
/// | | deadline, microseconds | clears the flag | the id of the command |
/// |---|---|---|---|
/// | `Speak` | `U` | `M` | `X` |
/// | `Hear` | `V` | `N` | `Y` |
///
/// | | the level is not confirmed |
/// |---|---|
/// | `volume_in` | `I` |
/// | `volume_out` | `O` |
/// | `energy` | `E` |
///
/// The deadline of these levels, if they have one, is `L`, in microseconds.
impl FieldGroup for FlagRequests {
    const FIRST: char = 'U';

    fn write(&self, node: NodeId, packer: &mut Packer) {
        for request in self.iter() {
            let [deadline, clears, command_uid] = request_letters(request.flag);
            Field::write(&request.deadline, deadline, node, packer);
            Field::write(&!request.on, clears, node, packer);
            Field::write(&request.command_uid, command_uid, node, packer);
        }
        for level in Level::ALL {
            packer.flag(level_letter(level), self.levels().contains(level));
        }
        Field::write(&self.levels_due(), 'L', node, packer);
    }

    fn read(node: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
        let read = |flag: &MemberFlag| {
            let [deadline, clears, command_uid] = request_letters(*flag);
            let deadline: Option<Timestamp> = Field::read(deadline, node, packed)?;
            let Some(deadline) = deadline else {
                return Ok(None);
            };
            Ok(Some(FlagRequest {
                flag: *flag,
                on: !<bool as Field>::read(clears, node, packed)?,
                command_uid: Field::read(command_uid, node, packed)?,
                deadline,
            }))
        };
        let requests = MemberFlag::ALL.iter().map(read);
        let requests = requests.filter_map(Result::transpose);
        let mut requests = requests.collect::<Result<Self, DecodeError>>()?;
        let due: Option<Timestamp> = Field::read('L', node, packed)?;
        for level in Level::ALL {
            if Field::read(level_letter(level), node, packed)? {
                requests.expect_level(level, due);
            }
        }
        Ok(requests)
    }
}

const fn level_letter(level: Level) -> char {
    match level {
        Level::VolumeIn => 'I',
        Level::VolumeOut => 'O',
        Level::Energy => 'E',
    }
}

const fn request_letters(flag: MemberFlag) -> [char; 3] {
    match flag {
        MemberFlag::Speak => ['U', 'M', 'X'],
        MemberFlag::Hear => ['V', 'N', 'Y'],
    }
}

stored_fields! {
    /// A part in a move is stored flat.
    StoredMove {
        'q' kind "1 to another room, 2 from another room, 3 back",
        'r' room "the room of 1 and 2",
        'w' flags "of 2: the flags there",
    }
}

struct StoredMove {
    kind: MoveKind,
    room: Option<RoomId>,
    flags: Option<Flags>,
}

enum MoveKind {
    To,
    From,
    Back,
}

stored_codes! {
    MoveKind {
        1 To,
        2 From,
        3 Back,
    }
}

impl FieldGroup for Move {
    const FIRST: char = StoredMove::FIRST;

    fn write(&self, node: NodeId, packer: &mut Packer) {
        let (kind, room, flags) = match self {
            Self::To(room) => (MoveKind::To, Some(*room), None),
            Self::From { room, flags } => (MoveKind::From, Some(*room), Some(*flags)),
            Self::Back => (MoveKind::Back, None, None),
        };
        StoredMove { kind, room, flags }.write(node, packer);
    }

    fn read(node: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
        let StoredMove { kind, room, flags } = StoredMove::read(node, packed)?;
        let room = room.ok_or("move without its room");
        Ok(match kind {
            MoveKind::To => Self::To(room?),
            MoveKind::From => Self::From {
                room: room?,
                flags: flags.ok_or("move without its flags")?,
            },
            MoveKind::Back => Self::Back,
        })
    }
}

struct StoredStatus {
    kind: StatusKind,
    deadline: Option<Timestamp>,
    reason: Option<LeftReason>,
    attempt: Option<RepeatedAttempt>,
    command_uid: Option<CommandUid>,
}

enum StatusKind {
    Joining,
    Joined,
    Leaving,
}

enum RepeatedAttempt {
    Interrupted,
    Second,
}

stored_codes! {
    StatusKind {
        1 Joining,
        2 Joined,
        3 Leaving,
    }
}

stored_codes! {
    RepeatedAttempt {
        1 Interrupted,
        2 Second,
    }
}

stored_codes! {
    LeftReason {
        0 Hangup,
        1 Removed,
        2 Moved,
        3 RoomDestroyed,
        4 Timeout,
        5 Orphan,
        6 Silence,
        7 Transferred,
    }
}

impl FieldGroup for MemberStatus {
    const FIRST: char = StoredStatus::FIRST;

    fn write(&self, node: NodeId, packer: &mut Packer) {
        StoredStatus::from(self).write(node, packer);
    }

    fn read(node: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
        StoredStatus::read(node, packed)?.try_into()
    }
}

impl From<&MemberStatus> for StoredStatus {
    fn from(status: &MemberStatus) -> Self {
        match status {
            MemberStatus::Joining {
                deadline,
                command_uid,
                attempt,
            } => Self {
                kind: StatusKind::Joining,
                deadline: Some(*deadline),
                reason: None,
                attempt: match attempt {
                    JoinAttempt::First => None,
                    JoinAttempt::Interrupted => Some(RepeatedAttempt::Interrupted),
                    JoinAttempt::Second => Some(RepeatedAttempt::Second),
                },
                command_uid: command_uid.clone(),
            },
            MemberStatus::Joined => Self {
                kind: StatusKind::Joined,
                deadline: None,
                reason: None,
                attempt: None,
                command_uid: None,
            },
            MemberStatus::Leaving {
                deadline,
                reason,
                command_uid,
            } => Self {
                kind: StatusKind::Leaving,
                deadline: Some(*deadline),
                reason: Some(*reason),
                attempt: None,
                command_uid: command_uid.clone(),
            },
        }
    }
}

impl TryFrom<StoredStatus> for MemberStatus {
    type Error = DecodeError;

    fn try_from(stored: StoredStatus) -> Result<Self, DecodeError> {
        let deadline = stored.deadline.ok_or("status without its deadline");
        Ok(match stored.kind {
            StatusKind::Joining => Self::Joining {
                deadline: deadline?,
                command_uid: stored.command_uid,
                attempt: match stored.attempt {
                    None => JoinAttempt::First,
                    Some(RepeatedAttempt::Interrupted) => JoinAttempt::Interrupted,
                    Some(RepeatedAttempt::Second) => JoinAttempt::Second,
                },
            },
            StatusKind::Joined => Self::Joined,
            StatusKind::Leaving => Self::Leaving {
                deadline: deadline?,
                reason: stored.reason.ok_or("leaving without a reason")?,
                command_uid: stored.command_uid,
            },
        })
    }
}

/// Settings are not stored while all of them have their defaults.
impl Field for Sparse<MemberSettings> {
    fn write(&self, name: char, _: NodeId, packer: &mut Packer) {
        if !self.is_default() {
            packer.text(name, &json(self));
        }
    }

    fn read(name: char, _: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
        let Some(text) = packed.some_text(name)? else {
            return Ok(Self::default());
        };
        serde_json::from_str(&text).map_err(|_| "invalid settings".into())
    }
}

/// Talking is not stored.
impl Field for Flags {
    fn write(&self, name: char, _: NodeId, packer: &mut Packer) {
        let Self {
            speak, hear, hold, ..
        } = *self;
        let flags = u64::from(speak) | u64::from(hear) << 1 | u64::from(hold) << 2;
        packer.number(name, flags);
    }

    fn read(name: char, _: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
        let flags = packed.number(name)?;
        if flags > 7 {
            return Err("unknown flag".into());
        }
        Ok(Self {
            speak: flags & 1 != 0,
            hear: flags & 2 != 0,
            hold: flags & 4 != 0,
            talking: false,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use uuid::Uuid;

    use super::*;
    use roomkeeper_core::ids::{ConferenceId, CoreId, MemberId};

    fn member(status: MemberStatus, membership: Option<Membership>) -> Member {
        let node: NodeId = "n0001".parse().unwrap();
        Member {
            id: MemberId::generate(node, Uuid::from_u128(0x5_u128 << 100)),
            status,
            membership,
            caller_id: "+8210".into(),
            did: "a|b".into(),
            flags: Flags {
                speak: false,
                hear: true,
                hold: true,
                talking: false,
            },
            flags_at: 70,
            talk_reported: true,
            requests: FlagRequests::from_iter([FlagRequest {
                flag: MemberFlag::Speak,
                on: false,
                command_uid: Some("command-2".parse().unwrap()),
                deadline: Timestamp::from_micros(64),
            }]),
            audio: None,
            since: Timestamp::from_micros(1_700_000_000_000_000),
            moving: None,
            settings: serde_json::from_str(r#"{"labels":{"team":"a|b\\"}}"#).unwrap(),
        }
    }

    fn membership() -> Membership {
        Membership {
            core: CoreId::new(Uuid::from_u128(1)),
            conference: ConferenceId::new(Uuid::from_u128(2)),
            opened: 9,
            revealed: true,
            confirmed: 0,
        }
    }

    #[test]
    fn encoded_member_decodes_to_same_value() {
        let command_uid = Some("command-1".parse().unwrap());
        let deadline = Timestamp::from_micros(3);
        let mut members = vec![member(MemberStatus::Joined, Some(membership()))];
        for attempt in [
            JoinAttempt::First,
            JoinAttempt::Interrupted,
            JoinAttempt::Second,
        ] {
            let command_uid = command_uid.clone();
            let status = MemberStatus::Joining {
                deadline,
                command_uid,
                attempt,
            };
            members.push(member(status, None));
        }
        for reason in [
            LeftReason::Hangup,
            LeftReason::Removed,
            LeftReason::Moved,
            LeftReason::Transferred,
            LeftReason::RoomDestroyed,
            LeftReason::Timeout,
            LeftReason::Orphan,
        ] {
            let command_uid = command_uid.clone();
            let status = MemberStatus::Leaving {
                deadline,
                reason,
                command_uid,
            };
            members.push(member(status, Some(membership())));
        }
        let node: NodeId = "n0001".parse().unwrap();
        let room = RoomId::new(node, Uuid::from_u128(7));
        let flags = Flags {
            hear: false,
            ..Flags::default()
        };
        for moving in [Move::To(room), Move::From { room, flags }, Move::Back] {
            let mut member = member(MemberStatus::Joined, Some(membership()));
            member.moving = Some(Box::new(moving));
            members.push(member);
        }
        for member in members {
            let (fixed, moves) = (encode_member(&member, node), encode_moves(&member, node));
            let read = decode_member(node, &fixed, &moves).unwrap();
            assert_eq!(read, member, "{fixed} {moves}");
        }
    }

    #[test]
    fn stored_form_of_member_is_stable() {
        let node: NodeId = "n0001".parse().unwrap();
        let status = MemberStatus::Leaving {
            deadline: Timestamp::from_micros(3),
            reason: LeftReason::Moved,
            command_uid: Some("command-1".parse().unwrap()),
        };
        let mut member = member(status, Some(membership()));
        let fixed = |member: &Member| {
            let fixed = encode_member(member, node);
            fixed.split_once('|').unwrap().1.to_owned()
        };
        assert_eq!(
            fixed(&member),
            r#"f+8210|da\pb|t51XFN6Z--|s{"labels":{"team":"a\pb\\\\"}}"#
        );
        member.settings = Sparse::default();
        assert_eq!(fixed(&member), "f+8210|da\\pb|t51XFN6Z--");
        assert_eq!(
            encode_moves(&member, node),
            "p2|u2|e1|xcommand-1|c---------------------0|k---------------------1|o8|v|g5|n05|T|U0-|M|Xcommand-2"
        );
    }

    #[test]
    fn decode_error_names_unreadable_part() {
        let node: NodeId = "n0001".parse().unwrap();
        let member = member(MemberStatus::Joined, Some(membership()));
        let (fixed, moves) = (encode_member(&member, node), encode_moves(&member, node));
        for (fixed, moves, part) in [
            ("", moves.as_str(), ""),
            (fixed.as_str(), "", MOVES),
            (&fixed, "p8|g0|n0", MOVES),
            (&fixed, "p0|g0|n0", MOVES),
            (&fixed, "p1|g7|n0", MOVES),
        ] {
            let error = decode_member(node, fixed, moves).unwrap_err();
            assert_eq!(error.part, part, "{fixed} {moves}");
        }
    }
}
