//! Levels of a member's sound: settings that FreeSWITCH keeps with the member and forgets with it.
//!
//! The plan of a join sets them, so a member has them from the start. Until FreeSWITCH has confirmed a change, it is sent
//! again whenever a snapshot shows another value; afterwards another value is the change of another client.

use super::member_settings::{MemberSettings, MemberUpdate};

/// A level of a member's sound.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Level {
    /// The volume of what the member says, -4 to 4.
    VolumeIn,
    /// The volume of what the member hears, -4 to 4.
    VolumeOut,
    /// The energy above which the member is heard, 0 to 1800.
    Energy,
}

impl Level {
    /// All levels.
    pub const ALL: [Self; 3] = [Self::VolumeIn, Self::VolumeOut, Self::Energy];

    /// Returns the name of the setting, and of FreeSWITCH's command.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VolumeIn => "volume_in",
            Self::VolumeOut => "volume_out",
            Self::Energy => "energy",
        }
    }

    /// Returns the value in the settings of a member; `None` for that of the conference profile.
    pub const fn get(self, settings: &MemberSettings) -> Option<i32> {
        match self {
            Self::VolumeIn => Some(settings.volume_in),
            Self::VolumeOut => Some(settings.volume_out),
            Self::Energy => settings.energy,
        }
    }

    /// Returns the new value in an update.
    pub fn updated(self, update: &MemberUpdate) -> Option<i32> {
        match self {
            Self::VolumeIn => update.volume_in,
            Self::VolumeOut => update.volume_out,
            Self::Energy => update.energy.flatten(),
        }
    }

    /// Puts a new value into an update.
    pub(super) const fn put(self, update: &mut MemberUpdate, value: i32) {
        match self {
            Self::VolumeIn => update.volume_in = Some(value),
            Self::VolumeOut => update.volume_out = Some(value),
            Self::Energy => update.energy = Some(Some(value)),
        }
    }
}

/// The levels of a member that one event or snapshot reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReportedLevels {
    /// The volume of what the member says.
    pub volume_in: Option<i32>,
    /// The volume of what the member hears.
    pub volume_out: Option<i32>,
    /// The energy above which the member is heard.
    pub energy: Option<i32>,
}

impl ReportedLevels {
    /// Returns the report of one level.
    pub fn one(level: Level, value: i32) -> Self {
        let mut levels = Self::default();
        match level {
            Level::VolumeIn => levels.volume_in = Some(value),
            Level::VolumeOut => levels.volume_out = Some(value),
            Level::Energy => levels.energy = Some(value),
        }
        levels
    }

    /// Returns the value of a level, if it is reported.
    pub const fn get(self, level: Level) -> Option<i32> {
        match level {
            Level::VolumeIn => self.volume_in,
            Level::VolumeOut => self.volume_out,
            Level::Energy => self.energy,
        }
    }
}

/// A set of levels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LevelSet(u8);

impl LevelSet {
    const fn bit(level: Level) -> u8 {
        match level {
            Level::VolumeIn => 1,
            Level::VolumeOut => 2,
            Level::Energy => 4,
        }
    }

    /// Returns true if it has no level.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns true if it has this level.
    pub const fn contains(self, level: Level) -> bool {
        self.0 & Self::bit(level) != 0
    }

    /// Returns the set with this level, or without it.
    #[must_use]
    pub const fn with(self, level: Level, is_in: bool) -> Self {
        if is_in {
            Self(self.0 | Self::bit(level))
        } else {
            Self(self.0 & !Self::bit(level))
        }
    }
}
