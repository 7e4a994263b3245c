//! Inline dialplans: the applications that a transfer makes a channel execute.
//!
//! ```text
//! plan = step *( "," step )
//! step = application [ ":" argument ]
//! ```

use std::fmt;

use super::MemberLevel;
use super::checked::{ChannelUuid, ConferenceName, ProfileName, VarName, VarValue};

/// A plan of one step or more, which a channel executes in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlinePlan {
    first: PlanStep,
    rest: Vec<PlanStep>,
}

impl InlinePlan {
    /// Creates a plan of one step.
    #[must_use]
    pub fn new(first: PlanStep) -> Self {
        Self {
            first,
            rest: Vec::new(),
        }
    }

    /// Appends a step.
    #[must_use]
    pub fn then(mut self, step: PlanStep) -> Self {
        self.rest.push(step);
        self
    }
}

impl fmt::Display for InlinePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.rest.iter().try_for_each(|step| write!(f, ",{step}"))
    }
}

/// One application of a plan, with its argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanStep {
    /// `multiset`: sets variables of the channel, or removes those without a value. One application sets them all, since
    /// each application of a plan sends two events. `;` separates them: no value contains one.
    SetVars(Vec<(VarName, Option<VarValue>)>),
    /// `conference`: enters a conference, and ends when the call leaves it.
    Conference {
        /// The conference.
        name: ConferenceName,
        /// Its profile, if the call creates it.
        profile: ProfileName,
        /// The flags of the member.
        flags: Vec<JoinFlag>,
        /// The levels that the member has from the start. They are variables of this step alone (`%[…]`), so a later
        /// join does not get them.
        levels: Vec<(MemberLevel, i32)>,
    },
    /// `eavesdrop`: listens to another channel, and ends with it.
    Eavesdrop(ChannelUuid),
    /// `park`: waits for commands.
    Park,
}

/// A flag that a member has from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinFlag {
    /// It is muted.
    Mute,
    /// It is deaf.
    Deaf,
    /// It is a moderator: the first one ends the wait.
    Moderator,
    /// The conference, if the call creates it, waits for a moderator: until then no member hears another.
    WaitForModerator,
}

impl JoinFlag {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Mute => "mute",
            Self::Deaf => "deaf",
            Self::Moderator => "moderator",
            Self::WaitForModerator => "wait-mod",
        }
    }
}

impl fmt::Display for PlanStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetVars(variables) => {
                f.write_str("multiset:^^")?;
                variables.iter().try_for_each(|(name, value)| {
                    let value = value.as_ref().map_or("", VarValue::as_str);
                    write!(f, ";{name}={value}")
                })
            }
            Self::Conference {
                name,
                profile,
                flags,
                levels,
            } => {
                f.write_str("conference:")?;
                // `;` separates them: a comma would end the step.
                for (index, (level, value)) in levels.iter().enumerate() {
                    let before = if index == 0 { "%[^^;" } else { ";" };
                    write!(f, "{before}{}={value}", level.join_variable())?;
                }
                f.write_str(if levels.is_empty() { "" } else { "]" })?;
                write!(f, "{name}@{profile}")?;
                // A comma would end the step.
                for (index, flag) in flags.iter().enumerate() {
                    let before = if index == 0 { "+flags{" } else { "|" };
                    write!(f, "{before}{}", flag.as_str())?;
                }
                f.write_str(if flags.is_empty() { "" } else { "}" })
            }
            Self::Eavesdrop(channel) => write!(f, "eavesdrop:{channel}"),
            Self::Park => f.write_str("park"),
        }
    }
}
