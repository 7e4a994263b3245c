//! Transitions of settings: what a conference must know of them, and the end of a silent room.

use std::time::Duration;

use crate::ids::ConferenceId;
use crate::room::effect::{LeftReason, RoomCommand};
use crate::time::Timestamp;

use super::Transition;
use super::ending::ENDING;

impl Transition<'_> {
    /// Sends the settings to the latest instance, unless this process has sent them. A snapshot repeats what failed.
    pub(super) fn control_conference(&mut self, instance: Option<ConferenceId>) {
        let latest = self.room.conference().map(|latest| latest.id);
        if self.room.controlled == instance || latest != instance || !self.room.is_open() {
            return;
        }
        self.room.controlled = instance;
        let settings = self.room.settings();
        let controls = match instance.is_some() && self.room.removed_in == instance {
            true => settings.all_controls(),
            false => settings.controls(),
        };
        for control in controls {
            self.command(RoomCommand::Control(control));
        }
    }

    /// Lets a later snapshot repeat the settings that could not be sent. The owner of the node reads the room again at this
    /// deadline, whichever replica has sent them.
    pub(super) fn control_failed(&mut self) {
        self.room.controlled = None;
        if self.room.is_open() && self.room.resend_at.is_none() {
            self.room.resend_at = Some(self.now);
            self.room.changes.head = true;
        }
    }

    /// The owner of the node has the settings that could not be sent.
    pub(super) fn control_deadline(&mut self) {
        if self.room.resend_at.take_if(|at| *at <= self.now).is_some() {
            self.room.controlled = None;
            self.room.changes.head = true;
        }
    }

    /// Starts or stops to wait for silence. Only members can be silent, and those that
    /// wait for a moderator do not count.
    pub(super) fn watch_silence(&mut self) {
        let limit = self.silence_limit();
        let watched = limit
            .filter(|_| self.room.present > 0 && self.room.is_open() && !self.room.is_waiting());
        if watched.is_some() == self.room.silent_at.is_some() {
            return;
        }
        self.room.talked_at = watched.map(|_| self.now);
        self.room.silent_at = watched.map(|limit| self.now + limit);
        self.room.changes.head = true;
    }

    fn silence_limit(&self) -> Option<Duration> {
        let seconds = self.room.settings().end_when_silent_for;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }

    /// Records that a member talked. Nothing is stored: the deadline looks at it.
    pub(super) fn talked(&mut self, ago: Duration) {
        if self.room.silent_at.is_some() {
            let ago = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
            let at = Timestamp::from_micros(self.now.as_micros().saturating_sub(ago));
            self.room.talked_at = self.room.talked_at.max(Some(at));
        }
    }

    /// Ends the room if nobody has talked since the deadline was set, or moves the deadline.
    pub(super) fn silence_deadline(&mut self) {
        let (Some(limit), Some(at)) = (self.silence_limit(), self.room.silent_at) else {
            return;
        };
        if at > self.now {
            return;
        }
        // A process that has just started does not know who talked before.
        let is_talking = self.room.members.values().any(|m| m.flags.talking);
        let talked_at = self.room.talked_at.filter(|_| !is_talking);
        let talked_at = talked_at.unwrap_or(self.now);
        self.room.talked_at = Some(talked_at);
        let silent_at = talked_at + limit;
        if silent_at > self.now {
            self.room.silent_at = Some(silent_at);
            self.room.changes.head = true;
        } else {
            self.end(self.now + ENDING, LeftReason::Silence);
        }
    }
}
