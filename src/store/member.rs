//! The stored form of a member of a room, and the way back.
//!
//! A member is two parts of its room. Under the digits of its channel's UUID is what stays:
//!
//! | | |
//! |---|---|
//! | `m` | its id, a UUID |
//! | `f`, `d` | the caller's number, the number dialled |
//! | `t` | since when, microseconds |
//!
//! Under the same and a dot is what changes:
//!
//! | | |
//! |---|---|
//! | `p` | 1 joining, 2 joined, 3 leaving |
//! | `u`, `x` | until when, and by which command, for 1 and 3 |
//! | `a` | for 1, unless it is the first attempt: 1 interrupted, 2 the second one |
//! | `e` | why, for 3: 0 hang-up, 1 removed, 2 moved, 3 room destroyed, 4 timeout, 5 orphan |
//! | `c`, `k`, `o`, `v` | its stay, if it has one: core, conference, sequence, and whether it was revealed |
//! | `g`, `n` | 1 speaks, 2 hears, 4 on hold, added; the sequence that is of |
//! | `U`, `M`, `X` | what is asked of it, if anything: until when, whether to be mute, by which command |

use crate::ids::{CommandUid, ConferenceId, CoreId, MemberId};
use crate::room::{Flags, JoinAttempt, LeftReason, Member, MemberStatus, Pending, Stay};
use crate::time::Timestamp;

use super::packed::{Packed, Packer, Unread};

/// What stands behind a channel in the name of the part that changes.
pub(super) const MOVES: char = '.';

/// What stays of a member.
pub(super) fn encode_member(member: &Member) -> String {
    let mut packer = Packer::default();
    packer.uuid('m', member.id.uuid());
    packer.text('f', &member.caller_id);
    packer.text('d', &member.did);
    packer.number('t', member.since.as_micros());
    packer.finish()
}

/// What changes of it.
pub(super) fn encode_moves(member: &Member) -> String {
    let mut packer = Packer::default();
    let (status, until, reason, uid) = match &member.status {
        MemberStatus::Joining {
            deadline,
            command_uid,
            ..
        } => (1, Some(deadline), None, command_uid.as_ref()),
        MemberStatus::Joined => (2, None, None, None),
        MemberStatus::Leaving {
            deadline,
            reason,
            command_uid,
        } => {
            let reason = match reason {
                LeftReason::Hangup => 0,
                LeftReason::Removed => 1,
                LeftReason::Moved => 2,
                LeftReason::RoomDestroyed => 3,
                LeftReason::Timeout => 4,
                LeftReason::Orphan => 5,
            };
            (3, Some(deadline), Some(reason), command_uid.as_ref())
        }
    };
    packer.number('p', status);
    packer.some_number('u', until.map(|until| until.as_micros()));
    packer.some_number('e', reason);
    if let MemberStatus::Joining { attempt, .. } = &member.status {
        let attempt = match attempt {
            JoinAttempt::First => None,
            JoinAttempt::Interrupted => Some(1),
            JoinAttempt::Second => Some(2),
        };
        packer.some_number('a', attempt);
    }
    if let Some(uid) = uid {
        packer.text('x', uid.as_str());
    }
    if let Some(stay) = member.stay {
        packer.uuid('c', stay.core.uuid());
        packer.uuid('k', stay.conference.uuid());
        packer.number('o', stay.opened);
        packer.flag('v', stay.revealed);
    }
    let Flags {
        speak, hear, hold, ..
    } = member.flags;
    let flags = u64::from(speak) | u64::from(hear) << 1 | u64::from(hold) << 2;
    packer.number('g', flags);
    packer.number('n', member.flags_at);
    if let Some(pending) = &member.pending {
        packer.number('U', pending.deadline.as_micros());
        packer.flag('M', pending.mute);
        if let Some(uid) = &pending.command_uid {
            packer.text('X', uid.as_str());
        }
    }
    packer.finish()
}

/// What stays of a member; the rest is as of one that is asked for and was not seen.
pub(super) fn decode_member(text: &str) -> Result<Member, Unread> {
    let packed = Packed::new(text);
    Ok(Member {
        id: MemberId::of(packed.uuid('m')?).ok_or("its id was not made here")?,
        status: MemberStatus::Joined,
        stay: None,
        caller_id: packed.text('f')?.into(),
        did: packed.text('d')?.into(),
        flags: Flags {
            speak: false,
            hear: false,
            hold: false,
            talking: false,
        },
        flags_at: 0,
        pending: None,
        since: Timestamp::from_micros(packed.number('t')?),
    })
}

/// The rest.
pub(super) fn decode_moves(text: &str, member: &mut Member) -> Result<(), Unread> {
    let packed = Packed::new(text);
    let deadline =
        || -> Result<Timestamp, Unread> { Ok(Timestamp::from_micros(packed.number('u')?)) };
    let command_uid = command(&packed, 'x')?;
    member.status = match packed.number('p')? {
        1 => MemberStatus::Joining {
            deadline: deadline()?,
            command_uid,
            attempt: match packed.some_number('a')? {
                None => JoinAttempt::First,
                Some(1) => JoinAttempt::Interrupted,
                Some(2) => JoinAttempt::Second,
                Some(_) => return Err("its join was tried as never is".into()),
            },
        },
        2 => MemberStatus::Joined,
        3 => MemberStatus::Leaving {
            deadline: deadline()?,
            reason: match packed.number('e')? {
                0 => LeftReason::Hangup,
                1 => LeftReason::Removed,
                2 => LeftReason::Moved,
                3 => LeftReason::RoomDestroyed,
                4 => LeftReason::Timeout,
                5 => LeftReason::Orphan,
                _ => return Err("it leaves for no reason that there is".into()),
            },
            command_uid,
        },
        _ => return Err("it stands where there is nothing".into()),
    };
    member.stay = match packed.some_uuid('c')? {
        Some(core) => Some(Stay {
            core: CoreId::new(core),
            conference: ConferenceId::new(packed.uuid('k')?),
            opened: packed.number('o')?,
            revealed: packed.flag('v')?,
            confirmed: 0,
        }),
        None => None,
    };
    let flags = packed.number('g')?;
    if flags > 7 {
        return Err("its flags are none".into());
    }
    member.flags = Flags {
        speak: flags & 1 != 0,
        hear: flags & 2 != 0,
        hold: flags & 4 != 0,
        talking: false,
    };
    member.flags_at = packed.number('n')?;
    member.pending = match packed.some_number('U')? {
        Some(deadline) => Some(Box::new(Pending {
            mute: packed.flag('M')?,
            command_uid: command(&packed, 'X')?,
            deadline: Timestamp::from_micros(deadline),
        })),
        None => None,
    };
    Ok(())
}

fn command(packed: &Packed<'_>, name: char) -> Result<Option<CommandUid>, Unread> {
    let text = packed.some_text(name)?;
    text.map(|text| {
        text.parse()
            .map_err(|_| "the id of a command is none".into())
    })
    .transpose()
}
