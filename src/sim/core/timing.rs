//! What a pure model cannot know by itself: where identifiers come from, and how long a thread of the
//! real server takes until it does its next step.
//!
//! Owns the two traits and their everyday implementations. Leaves out what happens at a step: that is the
//! model's. The core asks; whoever made the core answers. A recording can answer too: then the interleaving
//! of threads is that of the recording, and everything that follows from it must be the model's own doing.

/// What an identifier is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKind {
    /// The node itself, once per life.
    Core,
    /// A channel.
    Channel,
    /// One life of a conference.
    Room,
    /// A background job.
    Job,
    /// One execution of an application, one transfer, one event of a client.
    Other,
}

/// A source of identifiers in the form of UUIDs.
pub trait Ids: Send {
    /// The next identifier of this kind.
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
    /// A channel starts what it was made for.
    Run,
    /// A channel's thread sees what was asked of it: a transfer, a kick, a message, its hangup.
    Notice,
    /// A channel is let into a conference, or not, and gets its member id.
    Join,
    /// A channel that was let in becomes a member.
    Add,
    /// The hangup of one loopback leg reaches the other.
    PeerHangup,
    /// A loopback leg finds the other one gone before that one's hangup reaches it. Usually never.
    PeerNotice,
    /// A hung up channel reports.
    Report,
    /// A hung up channel is gone.
    Destroy,
    /// A talker passes the gate.
    TalkStart,
    /// A former talker falls below it.
    TalkStop,
    /// A background job starts.
    Job,
    /// A conference mixes its next frame, and gives the floor away.
    Floor,
    /// A conference finds itself empty.
    RoomEnd,
    /// An emptied conference, no longer to be found by its name, is gone.
    RoomGone,
}

/// One frame of audio, in microseconds: the pace of everything that handles media.
pub const FRAME: u64 = 20_000;
/// For how long a voice that has ended still counts as loud enough for the floor.
pub const FLOOR_MEMORY: u64 = 390_000;
/// For how long a voice that has ended still counts as talking.
pub const TALK_MEMORY: u64 = 820_000;

/// Says when a thread does its next step.
pub trait Timing: Send {
    /// The virtual time, `now` at the earliest, at which `subject` does `step`.
    fn at(&mut self, step: Step, subject: &str, now: u64) -> u64;
}

/// The pace of a lightly loaded server: what handles media waits for the next frame, the rest is quick.
#[derive(Debug, Clone)]
pub struct MediaPace {
    jitter: Option<u64>,
    /// How much later than found empty a conference is destroyed. Real servers show a gap in which the next
    /// conference of the same name is created before the last one's end was told.
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
    /// A pace with up to a frame of jitter on all that waits for media.
    #[must_use]
    pub fn jittered(seed: u64) -> Self {
        Self {
            jitter: Some(seed),
            ..Self::default()
        }
    }

    /// How long `step` takes.
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
