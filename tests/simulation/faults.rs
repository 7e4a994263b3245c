//! What goes wrong in the schedules, counted: a fault that never fires tests nothing.

use std::collections::BTreeMap;

macro_rules! faults {
    ($($name:ident: $words:literal,)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Fault { $($name),* }

        impl Fault {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            pub const fn words(self) -> &'static str {
                match self { $(Self::$name => $words),* }
            }
        }
    };
}

faults! {
    EventLost: "events lost",
    EventDoubled: "events told twice",
    EventLate: "events told out of order",
    ConnectionCut: "event connections cut",
    Restart: "FreeSWITCH restarted",
    NodeLost: "node given up as lost, and back",
    ListLate: "list of channels written late",
    InFlight: "snapshots taken while events were in flight",
    Straggles: "events later than the snapshot after them",
    Outrun: "snapshots that show what was told after their fence",
    TwoLives: "snapshots with two lives of one room",
    Recreated: "room's conference ended and begun anew, the end told late",
    Interrupted: "joins that a conference's end interrupted",
    SnapshotFailed: "snapshots that failed or were cut short",
    SecondLookFailed: "second looks that failed",
    SecondLook: "second looks",
    OrderLost: "orders lost",
    OrderUnanswered: "orders carried out, their answer lost",
    OrderRefused: "orders refused",
    OrderDown: "orders while the node was out of reach",
    AnsweredLate: "orders answered late",
    CarriedLate: "orders carried out late",
    Crash: "owner crashed",
    CrashWithOrders: "owner crashed with orders on their way",
    Takeover: "node taken over by another replica",
    OldEpochRefused: "writes of an old epoch refused",
    CommitNotTaken: "commits while the store was away",
    CommitAnswerLost: "commits whose answer was lost, asked again",
    CommitTakenUnknown: "commits that stand and nobody knows",
    Conflict: "commits in conflict with another replica's",
    DeadlinePassed: "deadlines passed",
}

/// How often each kind fired.
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

    pub fn of(&self, fault: Fault) -> u64 {
        self.0.get(&fault).copied().unwrap_or_default()
    }
}
