//! Inputs that a pure model lacks: the source of identifiers, and the time that a thread of the real server takes until
//! its next step.
//!
//! Owns the two traits and their default implementations. Leaves out the effect of a step: that is the model's. The
//! creator of the core provides both. A recording can provide them: then threads interleave as in the recording, and
//! everything else is the model's own result.

/// The object that an identifier is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKind {
    /// The node itself, once per start.
    Core,
    /// A channel.
    Channel,
    /// A conference instance.
    Room,
    /// A background job.
    Job,
    /// One execution of an application, one transfer, one event of a client.
    Other,
}

/// A source of identifiers in the form of UUIDs.
pub trait Ids: Send {
    /// Returns the next identifier of this kind.
    fn next(&mut self, kind: IdKind) -> String;
}

/// Identifiers from a seed: the same seed gives the same identifiers in the same order.
#[derive(Debug, Clone)]
pub struct SeededIds(u64);

impl SeededIds {
    /// Starts at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn word(&mut self) -> u64 {
        splitmix(&mut self.0)
    }
}

impl Ids for SeededIds {
    fn next(&mut self, _kind: IdKind) -> String {
        let bytes = (u128::from(self.word()) << 64 | u128::from(self.word())).to_be_bytes();
        uuid::Builder::from_random_bytes(bytes)
            .into_uuid()
            .to_string()
    }
}

/// One step of the SplitMix64 generator: small, well mixed, and the same everywhere.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A step of one of the server's threads. The subject is a channel UUID, or for the last three a
/// conference UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// A channel announces itself.
    Create,
    /// A channel is answered.
    Answer,
    /// The `answer` application of a channel has completed.
    Answered,
    /// A channel starts its first plan.
    Run,
    /// A channel's thread notices a request: a transfer, a kick, a message, its hangup.
    Notice,
    /// A channel is admitted to a conference, or refused, and gets its member id.
    Join,
    /// An admitted channel becomes a member.
    Add,
    /// The hangup of one loopback leg reaches the other.
    PeerHangup,
    /// A loopback leg notices the loss of the other before that one's hangup reaches it. Usually never.
    PeerNotice,
    /// A hung up channel reports.
    Report,
    /// A hung up channel is gone.
    Destroy,
    /// A talker exceeds the threshold.
    TalkStart,
    /// A former talker falls below the threshold.
    TalkStop,
    /// A background job starts.
    Job,
    /// A conference mixes its next frame, and gives the floor away.
    Floor,
    /// A conference notices that it is empty.
    RoomEnd,
    /// An empty conference, whose name is free already, is gone.
    RoomGone,
}

/// One frame of audio, in microseconds: the pace of everything that handles media.
pub const FRAME: u64 = 20_000;
/// The time for which a voice that has ended still counts for the floor.
pub const FLOOR_MEMORY: u64 = 390_000;
/// The time for which a voice that has ended still counts as talking.
pub const TALK_MEMORY: u64 = 820_000;

/// The times at which threads take their steps.
pub trait Timing: Send {
    /// Returns the virtual time, `now` at the earliest, at which `subject` takes `step`.
    fn at(&mut self, step: Step, subject: &str, now: u64) -> u64;
}

/// The timing of a lightly loaded server: media work waits for the next frame, the rest is quick.
#[derive(Debug, Clone)]
pub struct MediaPace {
    jitter: Option<u64>,
    /// The time between the moment when a conference is found empty and its destruction. Real servers show a gap in
    /// which the next conference of the same name is created before the end of the last one is reported.
    pub room_linger: u64,
}

impl Default for MediaPace {
    fn default() -> Self {
        Self {
            jitter: None,
            room_linger: 5_000,
        }
    }
}

impl MediaPace {
    /// Returns a timing with up to a frame of jitter on all media work.
    #[must_use]
    pub fn jittered(seed: u64) -> Self {
        Self {
            jitter: Some(seed),
            ..Self::default()
        }
    }

    /// Returns the duration of `step`.
    #[must_use]
    pub fn delay(step: Step) -> u64 {
        match step {
            Step::Create | Step::Answer | Step::Answered => 200,
            Step::Run | Step::Floor | Step::RoomEnd => FRAME,
            Step::Notice => FRAME / 2,
            Step::Join => 1_000,
            Step::PeerHangup | Step::Report | Step::Destroy | Step::Job => 300,
            Step::PeerNotice => u64::MAX,
            Step::TalkStart => 2 * FRAME,
            Step::TalkStop => TALK_MEMORY,
            Step::Add | Step::RoomGone => 0,
        }
    }
}

impl Timing for MediaPace {
    fn at(&mut self, step: Step, _subject: &str, now: u64) -> u64 {
        let mut delay = Self::delay(step);
        if matches!(step, Step::RoomGone) {
            delay = self.room_linger;
        }
        if matches!(step, Step::Notice | Step::Run | Step::Floor)
            && let Some(state) = &mut self.jitter
        {
            delay = 1 + splitmix(state) % FRAME;
        }
        now.saturating_add(delay)
    }
}
