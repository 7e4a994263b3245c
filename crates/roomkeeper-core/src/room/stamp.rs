//! Positions in the event stream of a node.

use crate::ids::{ConferenceId, CoreId};

/// FreeSWITCH's `Event-Sequence`: one counter of one core, taken when an event is made. It orders two events
/// about one thing; a gap in it means nothing.
pub type Sequence = u64;

/// The position of an event of FreeSWITCH, or of the fence of a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventStamp {
    /// The core.
    pub core: CoreId,
    /// The conference instance.
    pub conference: ConferenceId,
    /// `Event-Sequence`, or that of the fence.
    pub sequence: Sequence,
    /// True if derived from a snapshot, not from an event: `sequence` is that of the fence.
    pub synthesized: bool,
}
