//! The steps of one simulation, in order, from a seed.
//!
//! A step names calls, rooms and events by number, modulo the number of those that exist at its turn. So a schedule
//! remains valid when steps are removed, and a failing one can be shortened.

use roomkeeper_core::room::{Level, MemberFlag};

use super::node::LATEST_LIST;
use super::replica::Outage;
use super::rng::Rng;

/// The number of rooms at a time.
pub const ROOMS: usize = 3;

/// A replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The replica that owns the node, or owned it last.
    Owner,
    Other,
}

/// The fate of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Well,
    /// The command never arrives, and no answer does.
    Lost,
    /// The command is executed, and the answer is lost.
    Unanswered,
    /// FreeSWITCH refuses the command.
    Refused,
}

/// A request of a caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
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
    UpdateMember {
        call: usize,
    },
    EndOnExit {
        call: usize,
        on: bool,
    },
    Level {
        call: usize,
        level: Level,
        value: i32,
    },
    /// The room waits for a moderator, or no longer.
    Wait {
        slot: usize,
        on: bool,
        music: bool,
    },
    /// A room that waits starts with the call, or no longer.
    StartOnEnter {
        call: usize,
        on: bool,
    },
    JoinAsModerator {
        call: usize,
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
    Move {
        call: usize,
        slot: usize,
    },
    SetFlag {
        call: usize,
        flag: MemberFlag,
        on: bool,
    },
    Hold {
        call: usize,
        held: bool,
        music: bool,
    },
    PlayTo {
        call: usize,
        files: usize,
    },
    StopTo {
        call: usize,
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
    Gather {
        call: usize,
    },
    StopGather {
        call: usize,
    },
    RecordPause {
        slot: usize,
        pause: bool,
    },
    Tap {
        call: usize,
    },
    TapStop {
        call: usize,
    },
    TapPause {
        call: usize,
        pause: bool,
    },
    Coach {
        call: usize,
        coach: usize,
    },
    Uncoach {
        call: usize,
    },
    Transfer {
        call: usize,
    },
    CancelTransfer {
        call: usize,
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
    Dial {
        slot: usize,
        muted: bool,
        retries: u8,
    },
    CancelDial {
        dial: usize,
    },
    Role {
        call: usize,
        moderates: bool,
    },
    Settings {
        slot: usize,
        change: SettingsChange,
    },
}

/// A change of the settings of a room that its conference must know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SettingsChange {
    /// 0 is no limit.
    MaxMembers(u32),
    Tones {
        enter: bool,
        exit: bool,
    },
    Alone(bool),
    AnnounceCount(bool),
}

/// One step of a schedule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    // ---- FreeSWITCH and its callers ----
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
    LevelKey {
        call: usize,
        level: Level,
        value: i32,
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
    /// The pending transfer of a call is executed.
    GoesOn {
        call: usize,
    },
    /// The pending transfer of a call into a conference is executed, and the conference does not admit the call.
    Refused {
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
    MemberFileEnds {
        call: usize,
    },
    ActionEnds {
        call: usize,
        well: bool,
    },
    CalleeRings {
        callee: usize,
    },
    CalleeAnswers {
        callee: usize,
    },
    CalleeRefuses {
        callee: usize,
        busy: bool,
    },
    /// The other side of a transfer answers, or else ends.
    OtherSide {
        call: usize,
        answers: bool,
    },
    /// The unreported ends of conferences are reported.
    ReportEnds,
    Restart,
    // ---- the event connection of the owner ----
    Receive {
        role: Role,
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
    /// The node is unreachable until it is given up, then returns.
    NodeLost,
    /// Commands stop reaching the node, or reach it again.
    Reach {
        up: bool,
    },
    // ---- the replicas ----
    Request {
        role: Role,
        request: Request,
    },
    Carry {
        role: Role,
        at: usize,
        fate: Fate,
    },
    Answered {
        role: Role,
    },
    /// The resync takes its next step, or a new one begins.
    Resync {
        role: Role,
        late: usize,
    },
    LookFails,
    /// The next second look fails.
    SecondLookFails,
    Crash {
        role: Role,
    },
    /// The owner stops renewing its lease without noticing.
    StopRenewing,
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
    /// True if calls may outlive a restart of FreeSWITCH.
    pub recovers: bool,
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
            steps.push(Step::Request {
                role: Role::Owner,
                request: create(&mut rng, slot),
            });
            if rng.one_in(4) {
                steps.push(Step::Request {
                    role: Role::Owner,
                    request: wait(&mut rng, slot, true),
                });
            }
        }
        for _ in 0..rng.within(5, 110) {
            step(&mut rng, mood, &mut steps);
        }
        Self {
            mood,
            recovers: seed % 2 == 1,
            steps,
        }
    }
}

fn create(rng: &mut Rng, slot: usize) -> Request {
    Request::Create {
        slot,
        connect: rng.one_in(6),
        acts: rng.one_in(4),
    }
}

fn wait(rng: &mut Rng, slot: usize, on: bool) -> Request {
    let music = rng.one_in(2);
    Request::Wait { slot, on, music }
}

fn step(rng: &mut Rng, mood: Mood, steps: &mut Vec<Step>) {
    let faults = match mood {
        Mood::Calm => [0, 0],
        Mood::Shuffled => [40, 0],
        Mood::Rough => [12, 0],
        Mood::Storm => [8, 12],
    };
    let step = match rng.weighted(&[40, 42, 30, faults[0], faults[1]]) {
        0 if rng.one_in(8) => return add_race(rng, steps),
        0 if rng.one_in(8) => return add_move(rng, mood, steps),
        0 => unprompted_step(rng),
        1 if mood != Mood::Shuffled && rng.one_in(7) => return add_resync(rng, mood, steps),
        1 => normal_step(rng, mood),
        2 => Step::Request {
            role: if mood == Mood::Storm && rng.one_in(5) {
                Role::Other
            } else {
                Role::Owner
            },
            request: request(rng),
        },
        3 => event_fault(rng, mood),
        _ => return fault(rng, steps),
    };
    match step {
        Step::Resync { role, .. } if mood == Mood::Shuffled => {
            steps.push(Step::Receive { role, events: 2 });
        }
        step => steps.push(step),
    }
}

/// Returns a flag and a value.
fn flag(rng: &mut Rng) -> (MemberFlag, bool) {
    let n = rng.below(2 * MemberFlag::ALL.len());
    (MemberFlag::ALL[n / 2], n.is_multiple_of(2))
}

/// Returns a level and one of a few values, so that requests often have the value of another.
fn level(rng: &mut Rng) -> (Level, i32) {
    match rng.below(4) {
        0 => (Level::Energy, 300),
        1 => (Level::VolumeOut, -1),
        n => (Level::VolumeIn, [0, 2, -3][n - 2 + rng.below(2)]),
    }
}

fn unprompted_step(rng: &mut Rng) -> Step {
    let (call, slot) = (rng.below(8), rng.below(ROOMS));
    match rng.weighted(&[8, 8, 2, 4, 4, 8, 2, 1, 2, 1, 4, 2, 2, 2, 2, 3, 3, 4, 3]) {
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
        12 => Step::Refused { call },
        13 => Step::ReportEnds,
        14 => {
            let (level, value) = level(rng);
            Step::LevelKey { call, level, value }
        }
        15 => Step::MemberFileEnds { call },
        16 => Step::CalleeRings { callee: call },
        17 => Step::CalleeAnswers { callee: call },
        _ => Step::CalleeRefuses {
            callee: call,
            busy: rng.one_in(2),
        },
    }
}

/// Returns a step of normal operation: events arrive, commands and transfers are executed, time passes.
fn normal_step(rng: &mut Rng, mood: Mood) -> Step {
    let role = if mood == Mood::Storm && rng.one_in(5) {
        Role::Other
    } else {
        Role::Owner
    };
    match rng.weighted(&[10, 12, 8, 5, 6, 2]) {
        0 => Step::Receive {
            role,
            events: rng.within(1, 8),
        },
        1 => Step::Carry {
            role,
            at: rng.below(4),
            fate: Fate::Well,
        },
        2 if rng.one_in(3) => Step::Interrupted {
            call: rng.below(8),
            lingers: rng.one_in(2),
        },
        2 if rng.one_in(4) => Step::OtherSide {
            call: rng.below(8),
            answers: !rng.one_in(3),
        },
        2 => Step::GoesOn { call: rng.below(8) },
        3 => Step::Answered { role },
        4 => Step::Resync {
            role,
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
fn add_resync(rng: &mut Rng, mood: Mood, steps: &mut Vec<Step>) {
    for _ in 0..rng.within(4, 40) {
        let late = if mood == Mood::Calm {
            0
        } else {
            rng.below(LATEST_LIST + 1)
        };
        let role = Role::Owner;
        steps.push(match rng.weighted(&[16, 4, 2, 2]) {
            0 => Step::Resync { role, late },
            1 => Step::Receive {
                role,
                events: if rng.one_in(2) {
                    rng.within(1, 24)
                } else {
                    rng.within(1, 4)
                },
            },
            2 => unprompted_step(rng),
            _ => match mood {
                Mood::Calm | Mood::Shuffled => Step::Resync { role, late },
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

/// Adds two calls: the second joins while the first leaves the room, its only member.
fn add_race(rng: &mut Rng, steps: &mut Vec<Step>) {
    let (role, slot, call) = (Role::Owner, rng.below(ROOMS), rng.below(8));
    let receive = Step::Receive { role, events: 50 };
    let carries = Step::Carry {
        role,
        at: 0,
        fate: Fate::Well,
    };
    for call in [call, call + 1] {
        let muted = rng.one_in(2);
        let request = Request::Join { call, slot, muted };
        steps.extend([receive, Step::Request { role, request }]);
        steps.extend([carries; 4]);
        let lingers = rng.one_in(2);
        steps.push(Step::Interrupted { call, lingers });
        steps.push(Step::GoesOn { call });
    }
}

/// Adds a call that joins a room and moves to another one, with other steps in between.
fn add_move(rng: &mut Rng, mood: Mood, steps: &mut Vec<Step>) {
    let (role, call) = (Role::Owner, rng.below(8));
    let (slot, to) = (rng.below(ROOMS), rng.below(ROOMS));
    let receive = Step::Receive { role, events: 50 };
    let muted = rng.one_in(2);
    let requests = [
        Request::Join { call, slot, muted },
        Request::Move { call, slot: to },
    ];
    for (request, may_be_refused) in requests.into_iter().zip([false, true]) {
        steps.extend([receive, Step::Request { role, request }]);
        let carries = Step::Carry {
            role,
            at: 0,
            fate: Fate::Well,
        };
        steps.extend([carries; 4]);
        for _ in 0..2 {
            if rng.one_in(4) {
                step(rng, mood, steps);
            }
            steps.push(match may_be_refused && rng.one_in(3) {
                true => Step::Refused { call },
                false => Step::GoesOn { call },
            });
        }
    }
    if rng.one_in(2) {
        steps.push(receive);
    }
}

/// Adds a leave whose event is lost, so that a resync needs a second look, which later steps do.
fn add_doubt(rng: &mut Rng, steps: &mut Vec<Step>) {
    let role = Role::Owner;
    let receive = Step::Receive { role, events: 50 };
    steps.extend([receive, Step::Leave { call: rng.below(8) }]);
    steps.push(Step::Lose { at: 0, events: 6 });
    for _ in 0..5 {
        steps.extend([Step::Resync { role, late: 0 }, receive]);
    }
}

fn request(rng: &mut Rng) -> Request {
    let (call, slot) = (rng.below(8), rng.below(ROOMS));
    match rng.weighted(&[
        4, 3, 1, 14, 5, 2, 4, 4, 1, 2, 4, 2, 1, 1, 2, 2, 4, 3, 1, 3, 6, 6, 2, 6, 3, 1, 1, 5, 1, 2,
        2, 2, 3, 7, 2, 1, 3, 4, 1,
    ]) {
        0 => create(rng, slot),
        1 => Request::Delete { slot },
        2 => Request::Update { slot },
        3 => Request::Join {
            call,
            slot,
            muted: rng.one_in(2),
        },
        4 => Request::Leave { call },
        5 => Request::Kick { call },
        6 => {
            let (flag, on) = flag(rng);
            Request::SetFlag { call, flag, on }
        }
        7 => Request::Play {
            slot,
            files: rng.within(1, 3),
        },
        8 => Request::Pause { slot },
        9 => Request::Stop { slot },
        10 => Request::Record { slot },
        11 => Request::RecordStop { slot },
        12 => Request::Answer { call },
        13 => Request::HangUp { call },
        14 => Request::UpdateMember { call },
        15 => Request::RecordPause {
            slot,
            pause: rng.one_in(2),
        },
        16 => Request::Tap { call },
        17 => Request::TapStop { call },
        18 => Request::TapPause {
            call,
            pause: rng.one_in(2),
        },
        // Unlocks are more frequent than locks, or no join would succeed.
        19 => Request::Lock {
            slot,
            lock: rng.one_in(3),
        },
        20 => Request::Move { call, slot },
        21 => Request::Gather { call },
        22 => Request::StopGather { call },
        23 => Request::Hold {
            call,
            held: !rng.one_in(3),
            music: rng.one_in(2),
        },
        24 => Request::PlayTo {
            call,
            files: rng.within(1, 3),
        },
        25 => Request::StopTo { call },
        26 => Request::EndOnExit {
            call,
            on: !rng.one_in(3),
        },
        27 => Request::Coach {
            call,
            coach: rng.below(8),
        },
        28 => Request::Uncoach { call },
        29 => {
            let on = !rng.one_in(3);
            wait(rng, slot, on)
        }
        30 => Request::StartOnEnter {
            call,
            on: !rng.one_in(3),
        },
        31 => Request::JoinAsModerator { call, slot },
        32 => {
            let (level, value) = level(rng);
            Request::Level { call, level, value }
        }
        33 => Request::Dial {
            slot,
            muted: rng.one_in(2),
            retries: rng.below(3) as u8,
        },
        34 => Request::CancelDial { dial: call },
        35 => Request::Role {
            call,
            moderates: rng.one_in(2),
        },
        37 => Request::Transfer { call },
        38 => Request::CancelTransfer { call },
        _ => Request::Settings {
            slot,
            change: match rng.below(5) {
                0 => SettingsChange::MaxMembers(0),
                1 => SettingsChange::MaxMembers(rng.within(2, 4) as u32),
                2 => SettingsChange::Alone(rng.one_in(2)),
                3 => SettingsChange::AnnounceCount(!rng.one_in(4)),
                _ => SettingsChange::Tones {
                    enter: rng.one_in(2),
                    exit: rng.one_in(2),
                },
            },
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
            role: Role::Owner,
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
                add_doubt(rng, steps);
                Step::SecondLookFails
            }
        }
        6 => Step::Crash {
            role: if rng.one_in(4) {
                Role::Other
            } else {
                Role::Owner
            },
        },
        7 => {
            steps.push(Step::StopRenewing);
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
