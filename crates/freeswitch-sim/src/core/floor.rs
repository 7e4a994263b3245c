//! Speech and the floor of a conference.

use super::{Core, FLOOR_MEMORY, Origin, Step, channel::Channel, room::MAINTENANCE, task::Task};

pub(super) const FLOOR: Origin = (
    "conference_member.c",
    "conference_member_set_floor_holder",
    1158,
);

impl Core {
    pub(super) fn is_loud(&self, channel: &Channel) -> bool {
        channel.voice || self.now < channel.voice_until + FLOOR_MEMORY
    }

    /// Gives the floor: a free floor goes to the newest member; a talker takes it from a silent holder.
    pub(super) fn floor_tick(&mut self, uid: &str) {
        let now = self.now;
        let Some(room) = self.rooms.get_mut(uid) else {
            return;
        };
        if room.tick_due.is_some_and(|due| due <= now) {
            room.tick_due = None;
        }
        let mut holder = room.floor;
        if holder.is_none() {
            let Some(next) = room
                .members
                .iter()
                .find(|member| !member.ghost && !member.kicked)
                .map(|member| member.id)
            else {
                return;
            };
            self.give_floor(uid, next);
            holder = Some(next);
        }
        let Some(room) = self.rooms.get(uid) else {
            return;
        };
        let loud = |id: u64| {
            room.member(id)
                .filter(|member| member.talking)
                .and_then(|member| self.channels.get(&member.uuid))
                .is_some_and(|channel| self.is_loud(channel))
        };
        if holder.is_some_and(loud) {
            return;
        }
        let new_holder = room
            .members
            .iter()
            .map(|member| member.id)
            .find(|id| loud(*id));
        if let Some(new_holder) = new_holder.filter(|new_holder| Some(*new_holder) != holder) {
            self.give_floor(uid, new_holder);
        }
    }

    /// Emits the floor change, with both the conference and the new holder, and the conference twice.
    pub(super) fn give_floor(&mut self, uid: &str, id: u64) {
        let mut event = self.custom(MAINTENANCE, FLOOR);
        let Some(room) = self.rooms.get_mut(uid) else {
            return;
        };
        let old = room
            .floor
            .map_or_else(|| "none".to_owned(), |old| old.to_string());
        room.floor = Some(id);
        room.describe(&mut event, &self.config.domain);
        event.add("Action", "floor-change");
        event.add("Old-ID", old);
        self.describe_member(&mut event, uid, id);
        event.add("New-ID", id.to_string());
        self.emit(event);
    }

    /// Returns the conference and the member of a channel.
    pub(super) fn membership(&self, uuid: &str) -> Option<(String, u64)> {
        let uid = self.channels.get(uuid)?.room()?;
        let member = self.rooms.get(uid)?.member_of(uuid)?;
        Some((uid.to_owned(), member.id))
    }

    /// Alternates the tone of the other side.
    pub(super) fn tone(&mut self, uuid: &str, tone: u64, on: u64, off: u64, speaks: bool) {
        let Some(channel) = self.channels.get(uuid) else {
            return;
        };
        if channel.tone != tone || !channel.is_up() {
            return;
        }
        if let Some(peer) = channel.peer.clone() {
            self.voice(&peer, speaks);
        }
        let length = if speaks { on } else { off };
        self.schedule(
            self.now + length,
            Task::Tone(uuid.to_owned(), tone, on, off, !speaks),
        );
    }

    /// Starts or stops the voice at the other end of a channel.
    pub(super) fn voice(&mut self, uuid: &str, speaks: bool) {
        let now = self.now;
        let Some(channel) = self.channels.get_mut(uuid) else {
            return;
        };
        if channel.voice == speaks {
            return;
        }
        channel.voice = speaks;
        if speaks {
            self.step(Step::TalkStart, uuid, Task::TalkStart(uuid.to_owned()));
        } else {
            channel.voice_until = now;
            self.step(Step::TalkStop, uuid, Task::TalkStop(uuid.to_owned()));
            if let Some((uid, _)) = self.membership(uuid) {
                // The first frame at which the voice no longer counts.
                self.tick_at(&uid, now + FLOOR_MEMORY);
            }
        }
    }

    /// Starts or stops the voice at the other end of a channel.
    pub fn talk(&mut self, uuid: &str, speaks: bool, now: u64) {
        self.advance(now);
        self.voice(uuid, speaks);
    }
}
