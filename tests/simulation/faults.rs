//! Counts the faults of the schedules: a fault that never fires tests nothing.

use std::collections::BTreeMap;

macro_rules! faults {
    ($($name:ident: $words:literal,)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Fault { $($name),* }

        impl Fault {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            pub const fn description(self) -> &'static str {
                match self { $(Self::$name => $words),* }
            }
        }
    };
}

faults! {
    EventLost: "events lost",
    EventDoubled: "duplicate events",
    EventLate: "events out of order",
    ConnectionCut: "event connections cut",
    Restart: "FreeSWITCH restarted",
    Recovered: "calls recovered after a restart",
    NotRecovered: "recoveries before the SIP profiles started",
    NodeLost: "node given up as lost, then back",
    ListLate: "lists of channels that lagged behind",
    InFlight: "snapshots taken while events were in flight",
    Straggles: "events that arrived after a newer snapshot",
    Outrun: "snapshots that show events after their fence",
    TwoInstances: "snapshots with two conference instances of one room",
    Recreated: "conferences restarted, their end reported late",
    EntryRefused: "calls that a conference did not admit",
    Interrupted: "joins that a conference's end interrupted",
    SnapshotFailed: "snapshots that failed or were cut short",
    SecondLookFailed: "second looks that failed",
    SecondLook: "second looks",
    CommandLost: "commands lost",
    CommandUnanswered: "commands carried out, their answer lost",
    CommandRefused: "commands refused",
    CommandDown: "commands while the node was unreachable",
    AnsweredLate: "commands answered late",
    CarriedLate: "commands carried out late",
    Crash: "owner crashed",
    CrashWithCommands: "owner crashed with commands on their way",
    Takeover: "node taken over by another replica",
    OldEpochRefused: "writes of an old epoch refused",
    CommitNotTaken: "commits while the store did not answer",
    CommitAnswerLost: "commits repeated after their answer was lost",
    CommitTakenUnknown: "commits that took effect without an answer",
    Conflict: "commits in conflict with another replica",
    Redialled: "callees called again",
    CalleeLost: "callees that the end of FreeSWITCH cut off",
    DeadlinePassed: "deadlines passed",
}

/// The number of times that each kind fired.
#[derive(Clone, Debug, Default)]
pub struct Faults(BTreeMap<Fault, u64>);

impl Faults {
    pub fn fired(&mut self, fault: Fault) {
        self.fired_times(fault, 1);
    }

    pub fn fired_times(&mut self, fault: Fault, times: usize) {
        *self.0.entry(fault).or_default() += times as u64;
    }

    pub fn add(&mut self, other: &Self) {
        for (fault, times) in &other.0 {
            *self.0.entry(*fault).or_default() += times;
        }
    }

    pub fn count(&self, fault: Fault) -> u64 {
        self.0.get(&fault).copied().unwrap_or_default()
    }
}
