//! The flags of a member that callers set: one entry here for each, which all other code reads.

use crate::ids::CommandUid;
use crate::time::Timestamp;

use super::level::{Level, LevelSet};

/// The flags of a member, as last reported by FreeSWITCH.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flags {
    /// Not muted (`Speak`).
    pub speak: bool,
    /// Not deaf (`Hear`).
    pub hear: bool,
    /// On hold: can neither speak nor hear, whatever the other two flags are (`Hold`).
    pub hold: bool,
    /// Speaking right now (`Talking`).
    pub talking: bool,
}

impl Default for Flags {
    /// Returns the flags of a new member without requests.
    fn default() -> Self {
        Self {
            speak: true,
            hear: true,
            hold: false,
            talking: false,
        }
    }
}

impl Flags {
    /// Returns `can_speak` of `json_list`, which hold clears.
    pub const fn can_speak(self) -> bool {
        self.speak && !self.hold
    }

    /// Returns `can_hear` of `json_list`, which hold clears.
    pub const fn can_hear(self) -> bool {
        self.hear && !self.hold
    }
}

/// The flags of a member that one event or snapshot reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReportedFlags {
    /// `None` if not reported: a snapshot does not show whether a held member is muted.
    pub speak: Option<bool>,
    /// `None` if not reported, like `speak`.
    pub hear: Option<bool>,
    /// On hold.
    pub hold: bool,
    /// Speaking right now.
    pub talking: bool,
}

impl ReportedFlags {
    /// Returns the value of a flag, if it is reported.
    pub const fn get(self, flag: MemberFlag) -> Option<bool> {
        match flag {
            MemberFlag::Speak => self.speak,
            MemberFlag::Hear => self.hear,
        }
    }

    /// Returns the known flags, updated by the reported ones.
    pub fn update(self, known: Flags) -> Flags {
        Flags {
            speak: self.speak.unwrap_or(known.speak),
            hear: self.hear.unwrap_or(known.hear),
            hold: self.hold,
            talking: self.talking,
        }
    }
}

/// A flag of a member that a caller can set. `on` is FreeSWITCH's sense: a member with `Speak` is not muted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MemberFlag {
    /// The room hears the member (`Speak`).
    Speak,
    /// The member hears the room (`Hear`).
    Hear,
}

/// The names of one value of a flag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlagNames {
    /// The command that sets it, of callers and of FreeSWITCH alike.
    pub command: &'static str,
    /// The state of a member that has it.
    pub state: &'static str,
    /// The event that reports it.
    pub event: &'static str,
}

impl MemberFlag {
    /// All flags.
    pub const ALL: &[Self] = &[Self::Speak, Self::Hear];

    /// Returns the names of this flag when it is on, or off.
    pub const fn names(self, on: bool) -> FlagNames {
        let (command, state, event) = match (self, on) {
            (Self::Speak, true) => ("unmute", "unmuted", "conference.member.unmuted"),
            (Self::Speak, false) => ("mute", "muted", "conference.member.muted"),
            (Self::Hear, true) => ("undeaf", "undeafened", "conference.member.undeafened"),
            (Self::Hear, false) => ("deaf", "deafened", "conference.member.deafened"),
        };
        FlagNames {
            command,
            state,
            event,
        }
    }

    /// Sets the value of this flag.
    pub const fn set(self, flags: &mut Flags, on: bool) {
        match self {
            Self::Speak => flags.speak = on,
            Self::Hear => flags.hear = on,
        }
    }

    /// Returns the value of this flag.
    pub const fn is_on(self, flags: Flags) -> bool {
        match self {
            Self::Speak => flags.speak,
            Self::Hear => flags.hear,
        }
    }
}

/// A request to set a flag that FreeSWITCH has not confirmed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlagRequest {
    /// The flag.
    pub flag: MemberFlag,
    /// The requested value.
    pub on: bool,
    /// The caller's id of the command.
    pub command_uid: Option<CommandUid>,
    /// The time when the request expires.
    pub deadline: Timestamp,
}

impl FlagRequest {
    /// Returns true if the request restores a flag that FreeSWITCH has lost, as opposed to one of a caller. Until it is
    /// confirmed, reports of the other value do not count.
    pub const fn restores(&self, known: Flags) -> bool {
        self.command_uid.is_none() && self.flag.is_on(known) == self.on
    }
}

/// The unconfirmed requests of a member, at most one for each flag, and the levels that FreeSWITCH has not confirmed. Most
/// members have none, so this is one pointer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FlagRequests(Option<Box<Requests>>);

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Requests {
    list: Vec<FlagRequest>,
    levels: LevelSet,
}

impl FlagRequests {
    /// Returns all requests, in the order of their flags.
    pub fn iter(&self) -> impl Iterator<Item = &FlagRequest> {
        self.0.iter().flat_map(|requests| &requests.list)
    }

    /// Returns the request for this flag.
    pub fn get(&self, flag: MemberFlag) -> Option<&FlagRequest> {
        self.iter().find(|request| request.flag == flag)
    }

    /// Adds a request; it replaces an earlier one for the same flag.
    pub fn put(&mut self, request: FlagRequest) {
        self.take(request.flag);
        let list = &mut self.0.get_or_insert_default().list;
        list.push(request);
        list.sort_unstable_by_key(|request| request.flag);
    }

    /// Removes the request for this flag.
    pub fn take(&mut self, flag: MemberFlag) -> Option<FlagRequest> {
        let list = &mut self.0.as_mut()?.list;
        let at = list.iter().position(|request| request.flag == flag)?;
        let request = list.remove(at);
        self.drop_empty();
        Some(request)
    }

    /// Returns the levels that FreeSWITCH has not confirmed.
    pub fn levels(&self) -> LevelSet {
        self.0.as_ref().map_or_else(LevelSet::default, |r| r.levels)
    }

    /// Waits for FreeSWITCH to confirm a level, or no longer.
    pub fn expect_level(&mut self, level: Level, expected: bool) {
        if expected || self.levels().contains(level) {
            let requests = self.0.get_or_insert_default();
            requests.levels = requests.levels.with(level, expected);
            self.drop_empty();
        }
    }

    fn drop_empty(&mut self) {
        if self.0.as_deref() == Some(&Requests::default()) {
            self.0 = None;
        }
    }

    /// Removes all requests.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    /// Removes the requests whose deadline has passed.
    pub fn expire(&mut self, now: Timestamp) {
        for flag in MemberFlag::ALL {
            if self
                .get(*flag)
                .is_some_and(|request| request.deadline <= now)
            {
                self.take(*flag);
            }
        }
    }

    /// Returns the next deadline.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.iter().map(|request| request.deadline).min()
    }
}

impl FromIterator<FlagRequest> for FlagRequests {
    fn from_iter<I: IntoIterator<Item = FlagRequest>>(requests: I) -> Self {
        let mut all = Self::default();
        requests.into_iter().for_each(|request| all.put(request));
        all
    }
}
