//! Transitions of the conference instances under a room's name.

use crate::ids::{CallId, CoreId};
use crate::room::effect::{LeftReason, RoomCommand};
use crate::room::lock::Lock;
use crate::room::member::Member;
use crate::room::stamp::EventStamp;
use crate::room::state::{Conference, RoomStatus};

use super::Transition;

impl Transition<'_> {
    /// Returns true if an event belongs to the latest conference instance.
    pub(super) fn is_current(&self, at: EventStamp) -> bool {
        self.room
            .conference()
            .is_some_and(|c| c.id == at.conference && c.core == at.core)
    }

    /// Adds the conference instance of an event unless it is known. Returns false if the instance is over.
    pub(super) fn enter_conference(&mut self, at: EventStamp) -> bool {
        if self.room.ended_conferences.contains_key(&at.conference) {
            return false;
        }
        if let Some(known) = self.room.instances.iter().find(|c| c.id == at.conference) {
            return known.core == at.core;
        }
        self.change_instances(|instances| {
            instances.push(Conference {
                core: at.core,
                id: at.conference,
                since: at.sequence,
                emptied: None,
            });
        });
        true
    }

    /// Records the exact beginning of a conference instance, which only `conference-create` carries.
    pub(super) fn conference_started(&mut self, at: EventStamp) {
        if self.enter_conference(at) && !at.synthesized {
            self.change_instances(|instances| {
                for instance in instances.iter_mut().filter(|c| c.id == at.conference) {
                    instance.since = at.sequence;
                }
            });
        }
        self.control_conference(Some(at.conference));
    }

    /// Changes the list of conference instances. The owner of the floor is unknown in a new or newly latest instance;
    /// FreeSWITCH gets the registration for it, and the lock if the room is locked.
    pub(super) fn change_instances(&mut self, change: impl FnOnce(&mut Vec<Conference>)) {
        let before = self.room.instances.clone();
        change(&mut self.room.instances);
        self.room.instances.sort_by_key(|c| c.since);
        if self.room.instances == before {
            return;
        }
        self.room.changes.head = true;
        let latest = self.room.conference().map(|c| c.id);
        if before.last().map(|c| c.id) == latest {
            return;
        }
        self.give_floor(None);
        self.room.floor_at = 0;
        // The playback and the recording ended with the last instance.
        self.play(|playback| playback.conference_over(false));
        self.room_recording_over();
        if latest.is_some() && self.room.status == RoomStatus::Starting {
            self.room.status = RoomStatus::Progressing;
            self.updated();
        }
        let is_new = latest.is_some_and(|id| before.iter().all(|c| c.id != id));
        if is_new && self.room.registration.is_some() && self.room.is_open() {
            self.command(RoomCommand::Describe);
        }
        if is_new {
            self.control_conference(latest);
        }
        self.another_conference(latest.is_some());
    }

    /// Carries the lock over to the next conference: FreeSWITCH forgets a lock with its conference, a room with an
    /// owner does not.
    pub(super) fn another_conference(&mut self, began: bool) {
        if self.room.registration.is_none() {
            self.room.lock = Lock::default();
        } else if !began {
            let change = self.room.lock.conference_over();
            self.lock_changed(change, false);
        } else {
            self.room.lock.conference_began();
            if !self.room.is_open() {
                self.room.lock.room_over();
            } else {
                self.lock_if_due();
            }
        }
    }

    pub(super) fn conference_ended(&mut self, at: EventStamp) {
        let within: Vec<_> = self
            .room
            .members
            .iter()
            .filter(|(_, m)| {
                m.membership
                    .is_some_and(|s| s.conference == at.conference && s.opened < at.sequence)
            })
            .map(|(call, _)| *call)
            .collect();
        for call in within {
            self.leave(call, Some(at), LeftReason::Removed, true);
        }
        self.room.ended_conferences.insert(at.conference, self.now);
        self.change_instances(|instances| instances.retain(|c| c.id != at.conference));
        self.finish_if_empty();
    }

    /// Marks an instance that has lost its last member: FreeSWITCH ends it even if calls still enter. The first such
    /// event counts; later ones come from calls that entered meanwhile.
    pub(super) fn conference_emptied(&mut self, at: EventStamp) {
        self.change_instances(|instances| {
            for instance in instances
                .iter_mut()
                .filter(|instance| instance.id == at.conference)
            {
                instance.emptied = instance.emptied.or(Some(at.sequence));
            }
        });
    }

    /// Returns true if the event's conference had lost its last member by then.
    pub(super) fn is_of_emptied(&self, at: EventStamp) -> bool {
        let instance = self.room.instances.iter().find(|c| c.id == at.conference);
        instance
            .and_then(|instance| instance.emptied)
            .is_some_and(|emptied| emptied < at.sequence)
    }

    /// Ends every membership of another core than `core`, which is `None` if FreeSWITCH does not run.
    pub(super) fn core_changed(&mut self, core: Option<CoreId>) {
        let elsewhere = |m: &Member| {
            m.membership
                .is_some_and(|membership| Some(membership.core) != core)
        };
        let members = self.room.members.iter();
        let orphans: Vec<CallId> = members
            .filter(|(_, m)| elsewhere(m))
            .map(|(call, _)| *call)
            .collect();
        for call in orphans {
            self.leave(call, None, LeftReason::Orphan, true);
        }
        let waited = self.is_reconnecting();
        self.change_instances(|instances| instances.retain(|c| Some(c.core) == core));
        if core.is_none() {
            // The node is lost. While it runs, even as another core, it is asked for each dialled channel.
            self.drop_dials();
        }
        if waited {
            self.lock_if_due();
        }
        self.finish_if_empty();
    }
}
