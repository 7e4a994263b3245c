//! Inline dialplans: the applications that a transfer makes a channel execute.
//!
//! ```text
//! plan = step *( "," step ) / "m:!:" step *( "!" step )
//! step = application [ ":" argument ]
//! ```

use std::fmt;

use super::MemberLevel;
use super::checked::{ChannelUuid, ConferenceName, ProfileName, VarName, VarValue};
use super::leg::Leg;

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
        let mut steps = std::iter::once(&self.first).chain(&self.rest);
        // The tone of a bridge contains commas. No step contains a `!`.
        let has_commas = steps.any(|step| matches!(step, PlanStep::Bridge(_)));
        let (before, comma) = if has_commas { ("m:!:", '!') } else { ("", ',') };
        write!(f, "{before}{}", self.first)?;
        self.rest
            .iter()
            .try_for_each(|step| write!(f, "{comma}{step}"))
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
    /// `bridge`: calls somebody and connects both, and ends when one of them hangs up or nobody answers.
    Bridge(Box<Leg>),
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
    /// An event reports when it talks while it is muted.
    MuteDetect,
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
            Self::MuteDetect => "mute-detect",
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
            Self::Bridge(leg) => {
                f.write_str("bridge:%[^^;")?;
                let [after, fail, ringback] = quirk_bridge_hangs_up_and_is_silent();
                write!(f, "{after};{fail};{ringback}]")?;
                leg.write_bridged(f)
            }
            Self::Eavesdrop(channel) => write!(f, "eavesdrop:{channel}"),
            Self::Park => f.write_str("park"),
        }
    }
}

/// A call whose `bridge` fails hangs up, and one whose `bridge` ends may; while the other side rings, it hears nothing. These
/// variables apply to this step alone (`%[…]`). A `transfer_ringback` of the channel takes precedence over this tone.
const fn quirk_bridge_hangs_up_and_is_silent() -> [&'static str; 3] {
    [
        "hangup_after_bridge=false",
        "continue_on_fail=true",
        "ringback=%(2000,4000,440,480)",
    ]
}
