//! The calls that the node makes: a callee rings, answers, refuses, or lets it ring until the node gives up.

use std::collections::{BTreeMap, BTreeSet};

use roomkeeper_core::call::Direction;
use roomkeeper_core::ids::{ChannelId, RoomId};
use roomkeeper_core::switch_event::{ChannelChange, Identity, ListedChannel};
use roomkeeper_core::time::Timestamp;

use super::{Call, Going, Node, Place, Rejection, app};

/// A callee that has not answered yet.
#[derive(Clone, Debug)]
struct Callee {
    /// The plan of the answered call.
    going: Going,
    /// The node gives up at this time.
    until: u64,
}

/// The calls that the node makes.
#[derive(Clone, Debug, Default)]
pub struct Callees {
    waiting: BTreeMap<ChannelId, Callee>,
    /// The rooms of all calls that the node ever made.
    rooms: BTreeMap<ChannelId, RoomId>,
    /// The calls that were answered.
    pub answered: BTreeSet<ChannelId>,
    /// The results of the commands, which end with the answer or the failure.
    results: Vec<(ChannelId, Result<(), &'static str>)>,
    /// A channel that the node was told to call twice.
    pub called_twice: Option<ChannelId>,
}

impl Callees {
    /// Returns the room that a channel was dialled for.
    pub fn room(&self, channel: ChannelId) -> Option<RoomId> {
        self.rooms.get(&channel).copied()
    }

    pub fn is_waiting(&self, channel: ChannelId) -> bool {
        self.waiting.contains_key(&channel)
    }

    /// Returns one of the callees that have not answered.
    pub fn nth(&self, n: usize) -> Option<ChannelId> {
        let count = self.waiting.len();
        (count > 0).then(|| self.waiting.keys().nth(n % count).copied())?
    }

    /// Returns the callees that have not answered.
    pub fn waiting(&self) -> impl Iterator<Item = ChannelId> {
        self.waiting.keys().copied()
    }

    pub fn take_results(&mut self) -> Vec<(ChannelId, Result<(), &'static str>)> {
        std::mem::take(&mut self.results)
    }

    /// The node is over, and with it all calls that were not answered.
    pub fn restart(&mut self) {
        self.waiting.clear();
        self.results.clear();
    }

    pub fn listed(&self) -> impl Iterator<Item = ListedChannel> {
        let channels = self.waiting.keys();
        channels.map(|channel| ListedChannel {
            channel: *channel,
            identity: Identity {
                app: None,
                ..identity(false)
            },
            parked: false,
            listens: false,
        })
    }
}

/// The identity of a dialled channel.
pub fn identity(answered: bool) -> Identity {
    Identity {
        caller_id: "527121101".into(),
        did: None,
        direction: Direction::Outbound,
        app: Some(app()),
        created_at: Some(Timestamp::from_millis(1)),
        answered_at: answered.then(|| Timestamp::from_millis(2)),
    }
}

impl Node {
    /// `originate`: calls somebody for a room, and gives up at this time.
    pub fn dial(
        &mut self,
        channel: ChannelId,
        (room, going): (RoomId, Going),
        until: u64,
    ) -> Result<(), Rejection> {
        if self.callees.rooms.insert(channel, room).is_some() {
            self.callees.called_twice = Some(channel);
            return Err(Rejection::NoSuchMember);
        }
        self.note_list();
        let callee = Callee { going, until };
        self.callees.waiting.insert(channel, callee);
        self.report_channel(channel, ChannelChange::Created(identity(false)));
        Ok(())
    }

    pub fn callee_rings(&mut self, channel: ChannelId) {
        if self.callees.is_waiting(channel) {
            self.report_channel(channel, ChannelChange::Ringing);
        }
    }

    pub fn callee_answers(&mut self, channel: ChannelId) {
        let Some(callee) = self.callees.waiting.remove(&channel) else {
            return;
        };
        self.note_list();
        let call = Call {
            place: Place::Between,
            going: Some(callee.going),
            dialled: true,
            ..Call::new(true, true)
        };
        self.calls.insert(channel, call);
        self.callees.answered.insert(channel);
        self.callees.results.push((channel, Ok(())));
        self.report_channel(channel, ChannelChange::Answered(identity(true)));
    }

    /// The call is over before it was answered.
    pub fn callee_ends(&mut self, channel: ChannelId, cause: &'static str) -> bool {
        if self.callees.waiting.remove(&channel).is_none() {
            return false;
        }
        self.note_list();
        self.callees.results.push((channel, Err(cause)));
        let cause = cause.to_owned();
        let hung_up = ChannelChange::HungUp {
            cause: cause.clone(),
        };
        self.report_channel(channel, hung_up);
        let cause = Some(cause);
        self.report_channel(channel, ChannelChange::Destroyed { cause });
        true
    }

    /// Gives up the calls whose time has passed.
    pub fn give_up_callees(&mut self, now: u64) {
        let waiting = self.callees.waiting.iter();
        let over: Vec<ChannelId> = waiting
            .filter(|(_, callee)| callee.until <= now)
            .map(|(channel, _)| *channel)
            .collect();
        for channel in over {
            self.callee_ends(channel, "NO_ANSWER");
        }
    }

    /// `uuid_kill` of a dialled channel, answered or not.
    pub fn kill_dialled(&mut self, channel: ChannelId) -> Result<(), Rejection> {
        if self.callee_ends(channel, "NORMAL_CLEARING") {
            return Ok(());
        }
        self.hang_up(channel)
    }
}
