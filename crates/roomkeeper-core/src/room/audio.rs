//! The sound that one member alone hears, and its hold. Most members have neither, so a member holds one pointer to both.

use crate::ids::{CommandUid, OperationId};
use crate::play_url::PlayUrl;
use crate::time::Timestamp;

use super::playback::{Limits, Playback};

/// The limits of a member's queue: it is stored with the member, and every change of it writes it again.
pub const MEMBER_LIMITS: Limits = Limits {
    operations: 16,
    bytes: 32 * 1024,
};

/// The sound that one member alone hears, and its hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MemberAudio {
    /// The files that are played to the member, and its music on hold.
    pub playback: Playback,
    /// Its hold, or its wait for a moderator. Present until the member hears the conference again as its app wants.
    pub hold: Option<Hold>,
}

/// The hold of a member. FreeSWITCH's hold keeps the member from speaking and leaves the room audible, so a held member is
/// deaf as well. That is no change of the flag that its app sees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// True until the hold must end.
    pub wanted: bool,
    /// The music, and the id of its files.
    pub music: Option<(OperationId, PlayUrl)>,
    /// The request that FreeSWITCH has not confirmed.
    pub request: Option<HoldRequest>,
    /// FreeSWITCH has a command that changes whether the member hears the conference; it is expected to work by then.
    pub adjusting: Option<Timestamp>,
    /// FreeSWITCH's own flag (`Hear`); `None` if unknown. A snapshot hides it while the member is held.
    pub hears: Option<bool>,
}

/// A request to hold or unhold a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HoldRequest {
    /// The caller's id of the command.
    pub command_uid: Option<CommandUid>,
    /// The request expires then.
    pub deadline: Timestamp,
}

impl MemberAudio {
    /// Returns the sound of a member that enters with this hold.
    pub(super) fn with_hold(hold: Hold) -> Box<Self> {
        Box::new(Self {
            hold: Some(hold),
            ..Self::default()
        })
    }

    /// Returns true if there is nothing to store.
    pub fn is_idle(&self) -> bool {
        self.playback.is_idle() && self.hold.is_none()
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let hold = self.hold.as_ref().and_then(Hold::deadline);
        [self.playback.deadline(), hold].into_iter().flatten().min()
    }
}

impl Hold {
    /// Returns a hold that begins or was found.
    pub(super) const fn found() -> Self {
        Self {
            wanted: true,
            music: None,
            request: None,
            adjusting: None,
            hears: None,
        }
    }

    /// Returns the record of a member that waits for a moderator and is not held. `hears` is FreeSWITCH's own flag.
    pub(super) const fn waiting(hears: Option<bool>) -> Self {
        Self {
            wanted: false,
            music: None,
            request: None,
            adjusting: None,
            hears,
        }
    }

    /// Returns true if the member is neither held nor about to be.
    pub(super) const fn is_over(&self) -> bool {
        !self.wanted && self.request.is_none()
    }

    /// Returns the hold to begin again after another join; `None` for one that ends.
    pub(crate) fn kept(&self) -> Option<Self> {
        let music = self.music.clone();
        self.wanted.then(|| Self {
            music,
            ..Self::found()
        })
    }

    fn deadline(&self) -> Option<Timestamp> {
        let request = self.request.as_ref().map(|request| request.deadline);
        [request, self.adjusting].into_iter().flatten().min()
    }
}
