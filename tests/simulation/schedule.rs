//! The steps of one simulation, in order, from a seed.
//!
//! A step names calls, rooms and events by number, modulo the number of those that exist at its turn. So a schedule
//! remains valid when steps are removed, and a failing one can be shortened.

use roomkeeper_core::room::MemberFlag;

use super::node::LATEST_LIST;
use super::replica::Outage;
use super::rng::Rng;

/// The number of rooms at a time.
pub const ROOMS: usize = 3;

/// A replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whom {
    /// The one that owns the node, or owned it last.
    Owner,
    Other,
}

/// The fate of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Well,
    /// It never arrives, and no answer does.
    Lost,
    /// It is carried out, and the answer is lost.
    Unanswered,
    /// FreeSWITCH refuses it.
    Refused,
}

/// A request of a caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    Create {
        slot: usize,
        connect: bool,
        acts: bool,
    },
    Delete {
        slot: usize,
    },
    Update {
        slot: usize,
    },
    Join {
        call: usize,
        slot: usize,
        muted: bool,
    },
    Leave {
        call: usize,
    },
    Kick {
        call: usize,
    },
    SetFlag {
        call: usize,
        flag: MemberFlag,
        on: bool,
    },
    Play {
        slot: usize,
        files: usize,
    },
    Pause {
        slot: usize,
    },
    Stop {
        slot: usize,
    },
    Record {
        slot: usize,
    },
    RecordStop {
        slot: usize,
    },
    Lock {
        slot: usize,
        lock: bool,
    },
    Answer {
        call: usize,
    },
    HangUp {
        call: usize,
    },
}

/// One step of a schedule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    // ---- FreeSWITCH and those who call ----
    CallIn {
        ours: bool,
        answered: bool,
    },
    Enter {
        call: usize,
        slot: usize,
        muted: bool,
        lingers: bool,
    },
    Moves {
        call: usize,
        slot: usize,
    },
    Leave {
        call: usize,
    },
    HangUp {
        call: usize,
    },
    FlagKey {
        call: usize,
        flag: MemberFlag,
        on: bool,
    },
    Hold {
        call: usize,
        held: bool,
    },
    Lock {
        slot: usize,
        locked: bool,
    },
    Floor {
        call: usize,
    },
    Answers {
        call: usize,
    },
    /// A pending transfer of a call goes on.
    GoesOn {
        call: usize,
    },
    /// A call enters a conference while its only member leaves.
    Interrupted {
        call: usize,
        lingers: bool,
    },
    FileEnds {
        slot: usize,
    },
    ActionEnds {
        call: usize,
        well: bool,
    },
    /// The unreported ends of conferences are reported.
    EndsAreTold,
    Restart,
    // ---- the event connection of the owner ----
    Hear {
        whom: Whom,
        events: usize,
    },
    Lose {
        at: usize,
        events: usize,
    },
    Double {
        at: usize,
        by: usize,
    },
    Late {
        at: usize,
        by: usize,
    },
    /// An event is delayed past fences and snapshots.
    Straggle {
        at: usize,
    },
    /// The delayed events arrive.
    Arrive,
    Cut,
    /// The node is unreachable for so long that it is given up, then returns.
    NodeLost,
    /// Commands stop reaching the node, or reach it again.
    Reach {
        up: bool,
    },
    // ---- the replicas ----
    Ask {
        whom: Whom,
        wish: Wish,
    },
    Carry {
        whom: Whom,
        at: usize,
        fate: Fate,
    },
    Answered {
        whom: Whom,
    },
    /// The resync takes its next step, or one begins.
    Look {
        whom: Whom,
        late: usize,
    },
    LookFails,
    /// The next second look fails.
    SecondLookFails,
    Crash {
        whom: Whom,
    },
    /// The owner stops renewing its lease without noticing.
    Hangs,
    Pass {
        ms: u64,
    },
    Store {
        outage: Option<Outage>,
    },
}

/// The faults that may happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    /// None.
    Calm,
    /// Events are duplicated and reordered, and none is lost; there is no snapshot.
    Shuffled,
    /// Faults of events only.
    Rough,
    /// All faults.
    Storm,
}

#[derive(Clone, Debug)]
pub struct Schedule {
    pub mood: Mood,
    pub steps: Vec<Step>,
}

impl Schedule {
    pub fn from_seed(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mood = match rng.weighted(&[1, 2, 2, 5]) {
            0 => Mood::Calm,
            1 => Mood::Shuffled,
            2 => Mood::Rough,
            _ => Mood::Storm,
        };
        let mut steps = vec![];
        for slot in 0..rng.within(1, ROOMS) {
            steps.push(Step::Ask {
                whom: Whom::Owner,
                wish: create(&mut rng, slot),
            });
        }
        for _ in 0..rng.within(5, 110) {
            step(&mut rng, mood, &mut steps);
        }
        Self { mood, steps }
    }
}

fn create(rng: &mut Rng, slot: usize) -> Wish {
    Wish::Create {
        slot,
        connect: rng.one_in(6),
        acts: rng.one_in(4),
    }
}

fn step(rng: &mut Rng, mood: Mood, steps: &mut Vec<Step>) {
    let faults = match mood {
        Mood::Calm => [0, 0],
        Mood::Shuffled => [40, 0],
        Mood::Rough => [12, 0],
        Mood::Storm => [8, 12],
    };
    let step = match rng.weighted(&[40, 42, 30, faults[0], faults[1]]) {
        0 if rng.one_in(8) => return races(rng, steps),
        0 => by_itself(rng),
        1 if mood != Mood::Shuffled && rng.one_in(7) => return looks(rng, mood, steps),
        1 => goes_its_way(rng, mood),
        2 => Step::Ask {
            whom: if mood == Mood::Storm && rng.one_in(5) {
                Whom::Other
            } else {
                Whom::Owner
            },
            wish: wish(rng),
        },
        3 => event_fault(rng, mood),
        _ => return fault(rng, steps),
    };
    match step {
        Step::Look { whom, .. } if mood == Mood::Shuffled => {
            steps.push(Step::Hear { whom, events: 2 });
        }
        step => steps.push(step),
    }
}

/// Returns a flag and a value.
fn flag(rng: &mut Rng) -> (MemberFlag, bool) {
    let n = rng.below(2 * MemberFlag::ALL.len());
    (MemberFlag::ALL[n / 2], n.is_multiple_of(2))
}

fn by_itself(rng: &mut Rng) -> Step {
    let (call, slot) = (rng.below(8), rng.below(ROOMS));
    match rng.weighted(&[8, 8, 2, 4, 4, 8, 2, 1, 2, 1, 4, 2, 2]) {
        0 => Step::CallIn {
            ours: !rng.one_in(6),
            answered: !rng.one_in(3),
        },
        1 => Step::Enter {
            call,
            slot,
            muted: rng.one_in(2),
            lingers: rng.one_in(3),
        },
        2 => Step::Moves { call, slot },
        3 => Step::Leave { call },
        4 => Step::HangUp { call },
        5 => {
            let (flag, on) = flag(rng);
            Step::FlagKey { call, flag, on }
        }
        6 => Step::Hold {
            call,
            held: rng.one_in(2),
        },
        7 => Step::Lock {
            slot,
            locked: rng.one_in(2),
        },
        8 => Step::Floor { call },
        9 => Step::Answers { call },
        10 => Step::FileEnds { slot },
        11 => Step::ActionEnds {
            call,
            well: !rng.one_in(4),
        },
        _ => Step::EndsAreTold,
    }
}

/// Returns a step of normal operation: events arrive, commands are carried out, transfers go on, time passes.
fn goes_its_way(rng: &mut Rng, mood: Mood) -> Step {
    let whom = if mood == Mood::Storm && rng.one_in(5) {
        Whom::Other
    } else {
        Whom::Owner
    };
    match rng.weighted(&[10, 12, 8, 5, 6, 2]) {
        0 => Step::Hear {
            whom,
            events: rng.within(1, 8),
        },
        1 => Step::Carry {
            whom,
            at: rng.below(4),
            fate: Fate::Well,
        },
        2 if rng.one_in(3) => Step::Interrupted {
            call: rng.below(8),
            lingers: rng.one_in(2),
        },
        2 => Step::GoesOn { call: rng.below(8) },
        3 => Step::Answered { whom },
        4 => Step::Look {
            whom,
            late: if mood == Mood::Calm {
                0
            } else {
                rng.below(LATEST_LIST + 1)
            },
        },
        _ => Step::Pass {
            ms: rng.within(1, 6_000) as u64,
        },
    }
}

/// Adds most of a resync, with other steps in between; in a storm it may fail anywhere.
fn looks(rng: &mut Rng, mood: Mood, steps: &mut Vec<Step>) {
    for _ in 0..rng.within(4, 40) {
        let late = if mood == Mood::Calm {
            0
        } else {
            rng.below(LATEST_LIST + 1)
        };
        let whom = Whom::Owner;
        steps.push(match rng.weighted(&[16, 4, 2, 2]) {
            0 => Step::Look { whom, late },
            1 => Step::Hear {
                whom,
                events: if rng.one_in(2) {
                    rng.within(1, 24)
                } else {
                    rng.within(1, 4)
                },
            },
            2 => by_itself(rng),
            _ => match mood {
                Mood::Calm | Mood::Shuffled => Step::Look { whom, late },
                Mood::Rough => event_fault(rng, mood),
                Mood::Storm => {
                    if rng.one_in(2) {
                        Step::LookFails
                    } else {
                        event_fault(rng, mood)
                    }
                }
            },
        });
    }
}

/// Adds two calls, of which the second joins while the first leaves the room that it is alone in.
fn races(rng: &mut Rng, steps: &mut Vec<Step>) {
    let (whom, slot, call) = (Whom::Owner, rng.below(ROOMS), rng.below(8));
    let hears = Step::Hear { whom, events: 50 };
    let carries = Step::Carry {
        whom,
        at: 0,
        fate: Fate::Well,
    };
    for call in [call, call + 1] {
        let muted = rng.one_in(2);
        let wish = Wish::Join { call, slot, muted };
        steps.extend([hears, Step::Ask { whom, wish }]);
        steps.extend([carries; 4]);
        let lingers = rng.one_in(2);
        steps.push(Step::Interrupted { call, lingers });
        steps.push(Step::GoesOn { call });
    }
}

/// Adds a leave whose event is lost, so that a resync needs a second look, which is left to later steps.
fn suspects(rng: &mut Rng, steps: &mut Vec<Step>) {
    let whom = Whom::Owner;
    let hears = Step::Hear { whom, events: 50 };
    steps.extend([hears, Step::Leave { call: rng.below(8) }]);
    steps.push(Step::Lose { at: 0, events: 6 });
    for _ in 0..5 {
        steps.extend([Step::Look { whom, late: 0 }, hears]);
    }
}

fn wish(rng: &mut Rng) -> Wish {
    let (call, slot) = (rng.below(8), rng.below(ROOMS));
    match rng.weighted(&[4, 3, 1, 14, 5, 2, 4, 4, 1, 2, 4, 2, 1, 1, 3]) {
        0 => create(rng, slot),
        1 => Wish::Delete { slot },
        2 => Wish::Update { slot },
        3 => Wish::Join {
            call,
            slot,
            muted: rng.one_in(2),
        },
        4 => Wish::Leave { call },
        5 => Wish::Kick { call },
        6 => {
            let (flag, on) = flag(rng);
            Wish::SetFlag { call, flag, on }
        }
        7 => Wish::Play {
            slot,
            files: rng.within(1, 3),
        },
        8 => Wish::Pause { slot },
        9 => Wish::Stop { slot },
        10 => Wish::Record { slot },
        11 => Wish::RecordStop { slot },
        12 => Wish::Answer { call },
        13 => Wish::HangUp { call },
        // Unlocks are more frequent than locks, or no join would succeed.
        _ => Wish::Lock {
            slot,
            lock: rng.one_in(3),
        },
    }
}

fn event_fault(rng: &mut Rng, mood: Mood) -> Step {
    let at = rng.below(12);
    if mood == Mood::Shuffled {
        let by = rng.within(1, 6);
        return if rng.one_in(2) {
            Step::Double { at, by }
        } else {
            Step::Late { at, by }
        };
    }
    match rng.below(5) {
        3 => Step::Straggle { at },
        4 => Step::Arrive,
        0 => Step::Lose {
            at,
            events: rng.within(1, 4),
        },
        1 => Step::Double {
            at,
            by: rng.within(1, 6),
        },
        _ => Step::Late {
            at,
            // Some events arrive after the fences of a resync.
            by: if rng.one_in(3) { 30 } else { rng.within(1, 6) },
        },
    }
}

fn fault(rng: &mut Rng, steps: &mut Vec<Step>) {
    let step = match rng.weighted(&[2, 2, 1, 3, 10, 4, 3, 3, 4, 6]) {
        0 => Step::Restart,
        1 => Step::Cut,
        2 => Step::NodeLost,
        3 => Step::Reach { up: rng.one_in(2) },
        4 => Step::Carry {
            whom: Whom::Owner,
            at: rng.below(4),
            fate: match rng.below(3) {
                0 => Fate::Lost,
                1 => Fate::Unanswered,
                _ => Fate::Refused,
            },
        },
        5 => {
            if rng.one_in(2) {
                Step::LookFails
            } else {
                suspects(rng, steps);
                Step::SecondLookFails
            }
        }
        6 => Step::Crash {
            whom: if rng.one_in(4) {
                Whom::Other
            } else {
                Whom::Owner
            },
        },
        7 => {
            steps.push(Step::Hangs);
            Step::Pass { ms: 11_000 }
        }
        8 => Step::Store {
            outage: match rng.below(4) {
                0 => Some(Outage::Away),
                1 => Some(Outage::LosesAnswer),
                2 => Some(Outage::LosesAnswers),
                _ => None,
            },
        },
        _ => Step::Pass {
            ms: rng.within(5_000, 40_000) as u64,
        },
    };
    steps.push(step);
}
