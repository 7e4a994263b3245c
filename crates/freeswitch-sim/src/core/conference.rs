//! The behaviour of a conference: joining, leaving, the floor, talking, the end.
//!
//! Owns the part of channel threads and of the conference's own thread. Leaves out the commands, files and recordings.

use super::{
    Core, FRAME, IdKind, Origin, Step,
    channel::{Channel, Wait},
    event::Event,
    floor::FLOOR,
    room::{MAINTENANCE, Member, Room},
    task::{Admission, Task},
};

const CREATED: Origin = ("mod_conference.c", "conference_new", 3848);
const DESTROYED: Origin = ("mod_conference.c", "conference_thread_run", 863);
const ADDED: Origin = ("conference_member.c", "conference_member_add", 962);
const DELETED: Origin = ("conference_member.c", "conference_member_del", 1355);
const TALKS: Origin = ("conference_loop.c", "conference_loop_input", 1154);
const TALKED: Origin = ("conference_loop.c", "stop_talking_handler", 783);
/// The measured energy of a voice that speaks.
const VOICE_ENERGY: u64 = 6_500;

/// A request to enter a conference: `room@profile+pin+flags{mute|deaf}`.
struct Request<'a> {
    name: &'a str,
    profile: &'a str,
    pin: &'a str,
    flags: Vec<&'a str>,
}

impl<'a> Request<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        let (text, flags) = match text.split_once("+flags{") {
            Some((head, tail)) => (head, tail.trim_end_matches('}').split(['|', ',']).collect()),
            None => (text, Vec::new()),
        };
        let (text, pin) = text.split_once('+').unwrap_or((text, ""));
        let (name, profile) = text.split_once('@').unwrap_or((text, "default"));
        Self {
            name,
            profile,
            pin,
            flags,
        }
    }
}

/// Returns the variables of a conference that this channel creates: its own `confvar_*`, without that prefix.
fn conference_vars(channel: &Channel) -> Vec<(String, String)> {
    const PREFIX: &str = "confvar_";
    channel
        .vars
        .iter()
        .filter_map(|(name, value)| {
            let (prefix, name) = name.split_at_checked(PREFIX.len())?;
            let is_for_conference = prefix.eq_ignore_ascii_case(PREFIX);
            is_for_conference.then(|| (name.to_owned(), value.text().into_owned()))
        })
        .collect()
}

impl Core {
    /// Creates an event about a conference.
    pub(super) fn room_event(
        &mut self,
        uid: &str,
        origin: Origin,
        action: &str,
        more: &[(&'static str, String)],
    ) {
        let mut event = self.custom(MAINTENANCE, origin);
        let Some(room) = self.rooms.get(uid) else {
            return;
        };
        room.describe(&mut event, &self.config.domain);
        event.add("Action", action.to_owned());
        for (key, value) in more {
            event.add(*key, value.clone());
        }
        self.emit(event);
    }

    /// Creates an event about a member of a conference.
    pub(super) fn member_event(
        &mut self,
        uid: &str,
        id: u64,
        origin: Origin,
        action: &str,
        more: &[(&'static str, String)],
    ) {
        let mut event = self.custom(MAINTENANCE, origin);
        self.describe_member(&mut event, uid, id);
        for (key, value) in more {
            event.add(*key, value.clone());
        }
        event.add("Action", action.to_owned());
        self.emit(event);
    }

    pub(super) fn describe_member(&self, event: &mut Event, uid: &str, id: u64) {
        let Some(room) = self.rooms.get(uid) else {
            return;
        };
        let Some(member) = room.member(id) else {
            return;
        };
        let Some(channel) = self.channels.get(&member.uuid) else {
            return;
        };
        let energy = if channel.voice && member.can_speak {
            VOICE_ENERGY
        } else {
            0
        };
        room.describe_member(event, &self.config.domain, member, channel, energy);
    }

    /// Returns the live conference with this name.
    pub(super) fn room_named(&self, name: &str) -> Option<&Room> {
        self.rooms
            .values()
            .find(|room| room.name == name && !room.ending)
    }

    /// Lets a channel enter the conference of its application, unless it was transferred meanwhile.
    pub(super) fn join(&mut self, uuid: &str, app: &str) {
        let Some(channel) = self.channels.get(uuid) else {
            return;
        };
        let current = channel.stack.last().filter(|top| top.uuid == app).cloned();
        let Some(top) = current else { return };
        if !channel.is_up() || channel.transfer.is_some() {
            self.run_channel(uuid);
            return;
        }
        let (arg, number, outbound) = (top.arg, channel.profile.number.clone(), channel.outbound);
        let secured = channel
            .var("conference_enforce_security")
            .map_or(!outbound, |text| text == "true");
        let by_variable = channel.var("conference_member_flags").unwrap_or_default();
        let request = Request::parse(&arg);
        let has_flag = |flag: &str| {
            request.flags.contains(&flag) || by_variable.split(['|', ',']).any(|text| text == flag)
        };
        let uid = match self.room_named(request.name) {
            Some(room) => room.uid.clone(),
            None => {
                let vars = conference_vars(channel);
                self.create_room(request.name, request.profile, vars)
            }
        };
        let Some(room) = self.rooms.get(&uid) else {
            return;
        };
        // A lock and a PIN apply to calls from outside; the limit applies to all.
        let refused_by_lock =
            secured && (room.locked || (!room.pin.is_empty() && room.pin != request.pin));
        let full = room.max_members > 0 && room.size() >= room.max_members;
        let call_key = format!("conference_{}_{}_{number}", room.name, self.config.domain);
        let name = room.name.clone();
        if let Some(channel) = self.channels.get_mut(uuid) {
            channel.set_var("conference_name", name);
            channel.set_var("app_session_uuid", uid.clone());
        }
        if refused_by_lock || full {
            self.counters.joins_refused += 1;
            self.end_if_empty(&uid);
            self.complete(uuid, None);
            self.run_channel(uuid);
            return;
        }
        let next = self.next_member;
        let Some(channel) = self.channels.get_mut(uuid) else {
            return;
        };
        let id = *channel.member_id.get_or_insert(next);
        if id == next {
            self.next_member += 1;
        }
        if let Some(room) = self.rooms.get_mut(&uid) {
            room.joining += 1;
        }
        let admission = Admission {
            room: uid,
            id,
            mute: has_flag("mute"),
            deaf: has_flag("deaf"),
            moderator: has_flag("moderator"),
            ghost: has_flag("ghost"),
            call_key,
        };
        let at = self.timing.at(Step::Add, uuid, self.now) + self.config.admission;
        if at <= self.now {
            self.add(uuid, app, &admission);
        } else {
            self.schedule(at, Task::Add(uuid.to_owned(), app.to_owned(), admission));
        }
    }

    /// Makes an admitted channel a member, unless it was transferred meanwhile.
    pub(super) fn add(&mut self, uuid: &str, app: &str, admission: &Admission) {
        let now = self.now;
        let Admission { room: uid, id, .. } = admission.clone();
        if let Some(room) = self.rooms.get_mut(&uid) {
            room.joining -= 1;
        }
        let is_still_joining = self.channels.get(uuid).is_some_and(|channel| {
            channel.is_up()
                && channel.transfer.is_none()
                && channel.stack.last().is_some_and(|top| top.uuid == app)
        });
        if !is_still_joining {
            self.end_if_empty(&uid);
            self.run_channel(uuid);
            return;
        }
        let truth = |flag: bool| if flag { "true" } else { "false" };
        let Some(channel) = self.channels.get_mut(uuid) else {
            return;
        };
        let is_silent = std::mem::take(&mut channel.enters_silently);
        if channel.sip {
            channel.read_codec = "L16";
            channel.set_var("read_codec", "L16");
        }
        channel.set_var("conference_member_id", id.to_string());
        channel.set_var("conference_moderator", truth(admission.moderator));
        channel.set_var("conference_ghost", truth(admission.ghost));
        channel.set_var("conference_uuid", uid.clone());
        if let Some(top) = channel.stack.last_mut() {
            top.wait = Wait::Conference(Some(uid.clone()));
        }
        let mut member = Member {
            can_speak: !admission.mute,
            can_hear: !admission.deaf,
            moderator: admission.moderator,
            ghost: admission.ghost,
            ..Member::joined(id, uuid.to_owned(), now)
        };
        for (name, value) in &channel.scope {
            member.set_join_level(name, value);
        }
        let ending = self.rooms.get_mut(&uid).is_some_and(|room| {
            room.members.insert(0, member);
            room.ending
        });
        if !is_silent {
            self.member_event(&uid, id, ADDED, "add-member", &[]);
        }
        if ending {
            self.step(Step::RoomEnd, &uid, Task::RoomEnd(uid.clone()));
        }
        if let Some(channel) = self.channels.get_mut(uuid) {
            channel.set_var("conference_call_key", admission.call_key.clone());
        }
        self.dirty.insert(uuid.to_owned());
        self.tick_at(&uid, now);
        if self.channels.get(uuid).is_some_and(|channel| channel.voice) {
            self.step(Step::TalkStart, uuid, Task::TalkStart(uuid.to_owned()));
        }
        // A message or a kick may be waiting already.
        self.run_channel(uuid);
    }

    pub(super) fn create_room(
        &mut self,
        name: &str,
        profile: &str,
        vars: Vec<(String, String)>,
    ) -> String {
        let uid = self.ids.next(IdKind::Room);
        let order = self.serial();
        let room = Room {
            vars,
            ..self.new_room(name, profile, uid.clone(), order)
        };
        self.rooms.insert(uid.clone(), room);
        self.room_event(&uid, CREATED, "conference-create", &[]);
        uid
    }

    /// Returns an empty conference.
    pub(super) fn new_room(&self, name: &str, profile: &str, uid: String, order: u64) -> Room {
        let limit = self.config.max_members.get(profile);
        Room {
            uid,
            name: name.to_owned(),
            profile: profile.to_owned(),
            order,
            created: self.now,
            members: Vec::new(),
            floor: None,
            locked: false,
            max_members: limit.copied().unwrap_or_default(),
            sounds: [None, None],
            enter_sound: true,
            exit_sound: true,
            pin: String::new(),
            vars: Vec::new(),
            files: std::collections::VecDeque::new(),
            async_file: None,
            recordings: Vec::new(),
            tick_due: None,
            joining: 0,
            ending: false,
            gone: false,
        }
    }

    /// Removes a channel from its conference.
    pub(super) fn leave(&mut self, uuid: &str) {
        let now = self.now;
        let Some((uid, id)) = self.membership(uuid) else {
            return;
        };
        let member = self.rooms.get(&uid).and_then(|room| room.member(id));
        let files = member
            .map(|member| member.files.clone())
            .unwrap_or_default();
        if self
            .rooms
            .get(&uid)
            .is_some_and(|room| room.floor == Some(id))
        {
            if let Some(room) = self.rooms.get_mut(&uid) {
                room.floor = None;
            }
            // The server forgets the holder before it emits the event.
            self.room_event(
                &uid,
                FLOOR,
                "floor-change",
                &[("Old-ID", "none".into()), ("New-ID", "none".into())],
            );
        }
        for file in files {
            self.end_member_file(&uid, id, file.serial, true);
        }
        // The event has the member's block, but the size without the member.
        let mut event = self.custom(MAINTENANCE, DELETED);
        let energy = self
            .channels
            .get(uuid)
            .zip(self.rooms.get(&uid).and_then(|room| room.member(id)))
            .map_or(0, |(channel, member)| {
                if channel.voice && member.can_speak {
                    VOICE_ENERGY
                } else {
                    0
                }
            });
        if let (Some(room), Some(channel)) = (self.rooms.get_mut(&uid), self.channels.get(uuid))
            && let Some(at) = room.members.iter().position(|member| member.id == id)
        {
            let member = room.members.remove(at);
            room.describe_member(&mut event, &self.config.domain, &member, channel, energy);
        }
        event.add("Action", "del-member");
        self.emit(event);
        if let Some(channel) = self.channels.get_mut(uuid) {
            channel.unset_var("conference_call_key");
            if channel.sip {
                channel.read_codec = "PCMU";
                channel.set_var("read_codec", "PCMU");
            }
        }
        self.tick_at(&uid, now);
        self.end_if_empty(&uid);
    }

    /// Ends a conference without members, even if a further channel was admitted already. Its name becomes free.
    pub(super) fn end_if_empty(&mut self, uid: &str) {
        let empty = self
            .rooms
            .get_mut(uid)
            .filter(|room| room.members.is_empty() && !room.gone);
        if let Some(room) = empty {
            room.ending = true;
            if room.joining == 0 {
                self.step(Step::RoomEnd, uid, Task::RoomEnd(uid.to_owned()));
            }
        }
    }

    /// Runs the thread of a conference that ends: it removes all members, and is over after the last.
    pub(super) fn end_room(&mut self, uid: &str) {
        let Some(room) = self.rooms.get_mut(uid) else {
            return;
        };
        if room.joining > 0 || room.gone {
            return;
        }
        if !room.members.is_empty() {
            return self.remove_all_members(uid);
        }
        room.gone = true;
        let at = self.timing.at(Step::RoomGone, uid, self.now);
        if at <= self.now {
            self.destroy_room(uid);
        } else {
            self.schedule(at, Task::RoomGone(uid.to_owned()));
        }
    }

    /// Hangs the members up, unless their channels continue with their plans.
    pub(super) fn remove_all_members(&mut self, uid: &str) {
        let Some(room) = self.rooms.get_mut(uid) else {
            return;
        };
        let mut members = Vec::new();
        for member in &mut room.members {
            member.kicked = true;
            members.push(member.uuid.clone());
        }
        for uuid in members {
            self.counters.put_out += 1;
            let continues = self
                .channels
                .get(&uuid)
                .and_then(|channel| channel.var("hangup_after_conference"))
                .is_some_and(|value| value == "false");
            if continues {
                self.step(Step::Notice, &uuid, Task::Run(uuid.clone()));
            } else {
                self.hang_up(&uuid, "NORMAL_CLEARING");
            }
        }
    }

    pub(super) fn destroy_room(&mut self, uid: &str) {
        self.close_recordings(uid);
        self.close_files(uid);
        self.room_event(uid, DESTROYED, "conference-destroy", &[]);
        self.rooms.remove(uid);
    }

    /// Makes the conference check its floor at its next frame from `at` on.
    pub(super) fn tick_at(&mut self, uid: &str, at: u64) {
        let Some(room) = self.rooms.get(uid) else {
            return;
        };
        let due = self.timing.at(Step::Floor, uid, at);
        // Frames are counted from the conference's beginning.
        let due = if due == at + FRAME {
            at + FRAME - (at.saturating_sub(room.created)) % FRAME
        } else {
            due
        };
        if room
            .tick_due
            .is_some_and(|known| known <= due && known > self.now)
        {
            return;
        }
        if let Some(room) = self.rooms.get_mut(uid) {
            room.tick_due = Some(due);
        }
        self.schedule(due, Task::Floor(uid.to_owned()));
    }

    pub(super) fn talk_start(&mut self, uuid: &str) {
        let now = self.now;
        let Some((uid, id)) = self.membership(uuid) else {
            return;
        };
        if !self.channels.get(uuid).is_some_and(|channel| channel.voice) {
            return;
        }
        let Some(member) = self
            .rooms
            .get_mut(&uid)
            .and_then(|room| room.member_mut(id))
        else {
            return;
        };
        if member.talking || !member.can_speak || member.hold {
            return;
        }
        member.talking = true;
        self.member_event(&uid, id, TALKS, "start-talking", &[]);
        // The floor is given away in the same frame.
        self.floor_tick(&uid);
        self.tick_at(&uid, now);
    }

    pub(super) fn talk_stop(&mut self, uuid: &str) {
        let Some((uid, id)) = self.membership(uuid) else {
            return;
        };
        if self.channels.get(uuid).is_some_and(|channel| channel.voice) {
            return;
        }
        let Some(member) = self
            .rooms
            .get_mut(&uid)
            .and_then(|room| room.member_mut(id))
        else {
            return;
        };
        if !member.talking {
            return;
        }
        member.talking = false;
        self.member_event(&uid, id, TALKED, "stop-talking", &[]);
    }
}
