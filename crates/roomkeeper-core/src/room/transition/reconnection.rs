//! Transitions of members whose calls outlive their core: FreeSWITCH restarts and recovers them.
//!
//! A member waits with the membership of the old core, in the conference instance of the old core, until the new core
//! shows its call in the room. A recovered call enters the room by its last plan, with the flags of that plan, so the
//! flags of the member are set again.

use std::time::Duration;

use crate::ids::{CallId, CoreId};
use crate::room::effect::{RoomCommand, RoomEffect, RoomEvent};
use crate::room::flag::{FlagRequest, Flags, MemberFlag};
use crate::room::input::ReportedMember;
use crate::room::level::Level;
use crate::room::member::{MemberStatus, Membership};
use crate::room::stamp::EventStamp;

use super::Transition;

/// The time for FreeSWITCH to confirm a flag that is set again.
const RESTORED: Duration = Duration::from_secs(10);

impl Transition<'_> {
    /// Returns true if members wait for their calls to return into another conference instance.
    pub(super) fn is_reconnecting(&self) -> bool {
        let mut cores = self.room.instances.iter().map(|instance| instance.core);
        let first = cores.next();
        cores.any(|core| Some(core) != first)
    }

    /// Keeps the members of the last core. Their files and recordings are over, and no event of the last core counts:
    /// the new one numbers its events from 1 again.
    pub(super) fn core_restarted(&mut self, core: CoreId) {
        self.play(|playback| playback.conference_over(false));
        self.all_recordings_over();
        self.give_floor(None);
        self.room.floor_at = 0;
        self.room.ended.clear();
        let waiting: Vec<CallId> = self
            .room
            .members
            .iter()
            .filter(|(_, m)| {
                m.membership
                    .is_some_and(|membership| membership.core != core)
            })
            .map(|(call, _)| *call)
            .collect();
        for call in waiting {
            self.room.with_member(call, |m| {
                m.flags_at = 0;
                m.requests.clear();
                // Its levels become those of its last plan: a snapshot shows which ones it has lost.
                for level in Level::ALL {
                    let is_set = level.get(&m.settings).is_some();
                    m.requests.expect_level(level, is_set);
                }
                if let Some(membership) = &mut m.membership {
                    membership.opened = 0;
                    membership.confirmed = 0;
                    membership.revealed = true;
                }
            });
        }
        for instance in &mut self.room.instances {
            instance.since = 0;
            instance.emptied = None;
        }
        self.room.changes.head = true;
        self.drop_left_instances(core);
        self.finish_if_empty();
    }

    /// Moves a member into the conference of the present core, and restores its flags there.
    pub(super) fn reconnected(
        &mut self,
        at: EventStamp,
        membership: Membership,
        reported: &ReportedMember,
    ) {
        let call = reported.call;
        let deadline = self.now + RESTORED;
        let was_held = self.room.members.get(&call).is_some_and(|m| m.flags.hold);
        let moved = self.room.with_member(call, |m| {
            let flags = Flags {
                hold: reported.flags.hold,
                talking: reported.flags.talking,
                ..m.flags
            };
            (m.flags, m.flags_at) = (flags, at.sequence);
            m.membership = Some(membership);
            let has_record = m.hold().is_some();
            let differs = |flag: &MemberFlag| {
                if has_record && *flag == MemberFlag::Hear {
                    return false;
                }
                let reported = reported.flags.get(*flag);
                reported.is_some_and(|on| on != flag.is_on(flags))
            };
            let lost: Vec<MemberFlag> = MemberFlag::ALL.iter().copied().filter(differs).collect();
            if let Some(hold) = m.audio.as_mut().and_then(|audio| audio.hold.as_mut()) {
                hold.hears = reported.flags.hear;
                hold.adjusting = None;
            }
            for flag in &lost {
                m.requests.put(FlagRequest {
                    flag: *flag,
                    on: flag.is_on(flags),
                    command_uid: None,
                    deadline,
                });
            }
            (
                m.id,
                matches!(m.status, MemberStatus::Leaving { .. }),
                m.moving_to(),
                flags,
                lost,
            )
        });
        let Some((member, is_leaving, moves_to, flags, lost)) = moved else {
            return;
        };
        self.effects.push(RoomEffect::CallEntered {
            call,
            sequence: at.sequence,
            synthesized: true,
        });
        self.recovered_held(call, was_held, moves_to.is_none() && !is_leaving);
        if moves_to.is_some() {
            // The other room reports that the member did not get in, and it stays here.
        } else if is_leaving {
            // The command that parks it was lost with the last core.
            self.command(RoomCommand::Park { call });
        } else {
            self.notify(RoomEvent::MemberReconnected { call, member }, None, true);
            for flag in lost {
                let on = flag.is_on(flags);
                self.command(RoomCommand::SetFlag { call, flag, on });
            }
            self.report_talking(call, false);
            self.joined_waiting(call, true);
        }
        self.drop_left_instances(at.core);
        if !self.is_reconnecting() {
            self.lock_if_due();
        }
    }

    /// Drops the instances of the last core that no member waits in.
    fn drop_left_instances(&mut self, core: CoreId) {
        let members = self.room.members.values();
        let inhabited: Vec<_> = members
            .filter_map(|m| Some(m.membership?.conference))
            .collect();
        self.change_instances(|instances| {
            instances.retain(|c| c.core == core || inhabited.contains(&c.id));
        });
    }
}
