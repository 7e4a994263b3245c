//! The settings that the node keeps with a conference and forgets with it.

use roomkeeper_core::ids::{ChannelId, RoomId};
use roomkeeper_core::room::{RoomControl, Tone};

use super::{Node, Rejection};

/// A sound that can be turned off and keeps its file.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Sound {
    on: bool,
    file: Option<String>,
}

impl Sound {
    fn audible(&self) -> Option<String> {
        self.file.clone().filter(|_| self.on)
    }
}

/// The settings of a conference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Controls {
    max_members: u32,
    enter: Sound,
    exit: Sound,
    alone: Sound,
}

/// The effects of the settings of a conference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effect {
    pub max_members: u32,
    pub enter: Option<String>,
    pub exit: Option<String>,
    pub alone: Option<String>,
}

impl Default for Controls {
    fn default() -> Self {
        let sound = Sound {
            on: true,
            file: None,
        };
        Self {
            max_members: 0,
            enter: sound.clone(),
            exit: sound.clone(),
            alone: sound,
        }
    }
}

impl Controls {
    pub fn effect(&self) -> Effect {
        Effect {
            max_members: self.max_members,
            enter: self.enter.audible(),
            exit: self.exit.audible(),
            alone: self.alone.audible(),
        }
    }

    fn tone(&mut self, tone: Tone) -> &mut Sound {
        match tone {
            Tone::Enter => &mut self.enter,
            Tone::Exit => &mut self.exit,
        }
    }

    fn apply(&mut self, control: &RoomControl) {
        match control {
            RoomControl::MaxMembers(most) => self.max_members = *most,
            RoomControl::ToneFile(tone, file) => self.tone(*tone).file = Some(file.to_string()),
            RoomControl::ToneOn(tone, on) => self.tone(*tone).on = *on,
            RoomControl::AloneFile(file) => self.alone.file = Some(file.to_string()),
            RoomControl::NoAloneFile => self.alone.file = None,
            RoomControl::AloneOn(on) => self.alone.on = *on,
        }
    }
}

impl Node {
    pub fn control(&mut self, room: RoomId, control: &RoomControl) -> Result<(), Rejection> {
        let conference = self.conferences.get_mut(&room);
        let conference = conference.ok_or(Rejection::NoSuchChannel)?;
        conference.controls.apply(control);
        Ok(())
    }

    /// Returns true if the conference admits no further member. Counts the call that it refuses.
    pub(super) fn is_full(&mut self, room: RoomId, channel: ChannelId) -> bool {
        let most = self.conferences.get(&room).map(|c| c.controls.max_members);
        let most = most.filter(|most| *most > 0);
        let is_full = most.is_some_and(|most| self.members(room).len() >= most as usize);
        if is_full {
            *self.full.entry((room, channel)).or_default() += 1;
        }
        is_full
    }
}
