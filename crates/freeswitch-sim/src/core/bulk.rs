//! Places conferences with their members at once, for a node that has been busy for long before a client connects.
//!
//! Owns a state as if they had come one by one. Leaves out the events of that: none is made, so clients learn of them
//! from the next snapshot, like clients that connect later.

use super::{
    Core, IdKind, InboundCall,
    channel::{Execution, State, Wait},
    event::Value,
    room::Member,
};

/// The application of a call in a conference.
const APPLICATION: &str = "conference";

impl Core {
    /// Places a conference of this name and profile, with one member for each call: answered, unmuted, and a member
    /// since `now`. The first member has the floor.
    pub fn place_conference(
        &mut self,
        name: &str,
        profile: &str,
        calls: impl IntoIterator<Item = InboundCall>,
        now: u64,
    ) {
        self.advance(now);
        let room = self.ids.next(IdKind::Room);
        let order = self.serial();
        let mut placed = self.new_room(name, profile, room.clone(), order);
        for call in calls {
            let uuid = match &call.uuid {
                Some(uuid) => uuid.clone(),
                None => self.ids.next(IdKind::Channel),
            };
            let id = self.next_member;
            self.next_member += 1;
            let mut channel = self.inbound_channel(&uuid, call);
            channel.running = State::Execute;
            channel.state = State::Execute;
            channel.call_state = "ACTIVE";
            channel.answered = true;
            channel.announced = true;
            channel.answered_at = self.now;
            channel.read_codec = "L16";
            channel.plan.clear();
            channel.member_id = Some(id);
            channel.set_var("conference_member_id", Value::from(id.to_string()));
            channel.stack.push(Execution {
                app: APPLICATION.to_owned(),
                arg: format!("{name}@{profile}"),
                uuid: self.ids.next(IdKind::Other),
                wait: Wait::Conference(Some(room.clone())),
                started: self.now,
                sent: false,
                locked: false,
            });
            placed.floor = placed.floor.or(Some(id));
            placed
                .members
                .insert(0, Member::joined(id, uuid.clone(), self.now));
            // The table has no delay here: all of this is long past.
            let row = self.row(&channel);
            self.rows.insert(channel.session_id, (uuid.clone(), row));
            self.channels.insert(uuid, channel);
        }
        self.rooms.insert(room, placed);
    }
}
