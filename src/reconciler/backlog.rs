//! The queue of switch commands that no caller waits for.
//!
//! Each room of a node has a line; the rooms take turns, and a limited number of commands is in flight. `dispatch` decides
//! which commands are queued here, and sends them. Pure; time is an argument, counted from any fixed moment.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use roomkeeper_core::ids::{CallId, RoomId};

use roomkeeper_core::switch_command::SwitchCommand;

/// Paced commands in flight. FreeSWITCH executes one after the other and takes half a millisecond for each, so a caller's
/// command waits for at most these. They fill a round trip.
const MAX_IN_FLIGHT: usize = 32;

/// Commands that may wait: three rooms of 10,000 that end at once, at some hundred bytes each. FreeSWITCH would need half
/// a minute for more.
const MAX_WAITING: usize = 32_768;

/// A queued command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct QueuedItem {
    pub(super) command: SwitchCommand,
    since: Duration,
}

impl QueuedItem {
    /// How long it has waited.
    pub(super) const fn waited(&self, now: Duration) -> Duration {
        now.saturating_sub(self.since)
    }
}

/// The waiting commands of one node.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    lines: HashMap<RoomId, VecDeque<QueuedItem>>,
    /// The rooms that have a line; the first is next.
    turns: VecDeque<RoomId>,
    /// The number of waiting commands for each call.
    by_call: HashMap<CallId, usize>,
    waiting: usize,
    in_flight: usize,
}

impl Backlog {
    /// The number of waiting commands.
    pub(super) const fn len(&self) -> usize {
        self.waiting
    }

    /// Returns true if nothing waits and nothing is in flight.
    pub(super) const fn is_idle(&self) -> bool {
        self.waiting == 0 && self.in_flight == 0
    }

    /// Adds a command to the line of a room. Returns it if too many wait.
    pub(super) fn put(
        &mut self,
        room: RoomId,
        command: SwitchCommand,
        now: Duration,
    ) -> Result<(), SwitchCommand> {
        if self.waiting >= MAX_WAITING {
            return Err(command);
        }
        self.count(&command, true);
        let queued = QueuedItem {
            command,
            since: now,
        };
        let line = self.lines.entry(room).or_default();
        if line.is_empty() {
            self.turns.push_back(room);
        }
        line.push_back(queued);
        Ok(())
    }

    /// Puts back a command that could not be sent, as the first of its room. It was counted before, so the limit does not
    /// apply.
    pub(super) fn put_back(&mut self, room: RoomId, queued: QueuedItem) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.count(&queued.command, true);
        let line = self.lines.entry(room).or_default();
        if line.is_empty() {
            self.turns.push_back(room);
        }
        line.push_front(queued);
    }

    /// Takes the next command, unless enough are in flight. [`Backlog::done`] or [`Backlog::put_back`] must follow.
    pub(super) fn next(&mut self) -> Option<(RoomId, QueuedItem)> {
        if self.in_flight >= MAX_IN_FLIGHT {
            return None;
        }
        let room = self.turns.pop_front()?;
        let line = self.lines.get_mut(&room)?;
        let queued = line.pop_front()?;
        if line.is_empty() {
            self.lines.remove(&room);
        } else {
            self.turns.push_back(room);
        }
        self.count(&queued.command, false);
        self.in_flight += 1;
        Some((room, queued))
    }

    /// Notes that a command in flight was answered.
    pub(super) fn done(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Forgets the commands in flight, whose answers nobody awaits any more.
    pub(super) fn reset_in_flight(&mut self) {
        self.in_flight = 0;
    }

    /// Takes the waiting commands for this command's call: they were decided first, so they are sent first.
    pub(super) fn before(&mut self, command: &SwitchCommand) -> Vec<SwitchCommand> {
        let Some(call_id) = command.target.call() else {
            return Vec::new();
        };
        if !self.by_call.contains_key(&call_id) {
            return Vec::new();
        }
        self.take(|queued| queued.command.target.call() == Some(call_id))
    }

    /// Takes the commands that have waited for this long.
    pub(super) fn expired(&mut self, now: Duration, limit: Duration) -> Vec<SwitchCommand> {
        self.take(|queued| now.saturating_sub(queued.since) >= limit)
    }

    fn take(&mut self, which: impl Fn(&QueuedItem) -> bool) -> Vec<SwitchCommand> {
        let mut taken = Vec::new();
        for line in self.lines.values_mut() {
            let (out, stays) = std::mem::take(line).into_iter().partition(&which);
            *line = stays;
            taken.extend::<VecDeque<QueuedItem>>(out);
        }
        self.lines.retain(|_, line| !line.is_empty());
        self.turns.retain(|room| self.lines.contains_key(room));
        for queued in &taken {
            self.count(&queued.command, false);
        }
        taken.into_iter().map(|queued| queued.command).collect()
    }

    fn count(&mut self, command: &SwitchCommand, comes: bool) {
        if comes {
            self.waiting += 1;
        } else {
            self.waiting = self.waiting.saturating_sub(1);
        }
        let Some(call_id) = command.target.call() else {
            return;
        };
        let about = self.by_call.entry(call_id).or_default();
        *about = if comes {
            *about + 1
        } else {
            about.saturating_sub(1)
        };
        if *about == 0 {
            self.by_call.remove(&call_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use roomkeeper_core::call::ParkId;
    use roomkeeper_core::entity::Target;
    use roomkeeper_core::ids::ChannelId;
    use roomkeeper_core::switch_command::SwitchAction;
    use roomkeeper_core::time::Timestamp;

    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn room(n: u128) -> RoomId {
        RoomId::new("acW68".parse().unwrap(), Uuid::from_u128(n))
    }

    fn call(n: u128) -> CallId {
        let channel = ChannelId::new(Uuid::from_u128(n));
        CallId::new("acW68".parse().unwrap(), channel)
    }

    fn park(of: u128, n: u128) -> SwitchCommand {
        let target = Target::Member {
            room: room(of),
            call: call(n),
        };
        let id = ParkId(Timestamp::from_micros(1));
        SwitchCommand::new(target, SwitchAction::Park { id })
    }

    /// A backlog with this number of commands for each room.
    fn with(lines: &[(u128, u128)]) -> Backlog {
        let mut backlog = Backlog::default();
        for (number, count) in lines {
            for n in 0..*count {
                let order = park(*number, number * 100_000 + n);
                backlog.put(room(*number), order, NOW).unwrap();
            }
        }
        backlog
    }

    fn all(backlog: &mut Backlog) -> Vec<SwitchCommand> {
        let mut taken = Vec::new();
        while let Some((_, queued)) = backlog.next() {
            backlog.done();
            taken.push(queued.command);
        }
        taken
    }

    #[test]
    fn rooms_take_turns_and_each_keeps_its_order() {
        let mut backlog = with(&[(1, 5), (2, 2)]);
        let rooms: Vec<SwitchCommand> = [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (1, 3), (1, 4)]
            .map(|(of, n)| park(of, of * 100_000 + n))
            .to_vec();
        assert_eq!(all(&mut backlog), rooms);
        assert!(backlog.is_idle());
        assert_eq!((backlog.len(), backlog.by_call.len()), (0, 0));
    }

    #[test]
    fn commands_in_flight_are_limited() {
        let mut backlog = with(&[(1, 3_000)]);
        let taken = std::iter::from_fn(|| backlog.next()).count();
        assert_eq!(
            (taken, backlog.len()),
            (MAX_IN_FLIGHT, 3_000 - MAX_IN_FLIGHT)
        );
        backlog.done();
        assert!(backlog.next().is_some() && backlog.next().is_none());
        assert!(!backlog.is_idle());
    }

    #[test]
    fn unsent_command_is_first_of_its_room_again() {
        let mut backlog = with(&[(1, 3)]);
        let (of, first) = backlog.next().unwrap();
        backlog.put_back(of, first);
        assert_eq!(backlog.len(), 3);
        let order: Vec<SwitchCommand> = (0..3).map(|n| park(1, 100_000 + n)).collect();
        assert_eq!(all(&mut backlog), order);
        // Also if its room has no line any more.
        let mut backlog = with(&[(1, 1)]);
        let (of, only) = backlog.next().unwrap();
        assert_eq!(backlog.len(), 0);
        backlog.put_back(of, only);
        assert_eq!(all(&mut backlog), [park(1, 100_000)]);
        assert!(backlog.is_idle());
    }

    #[test]
    fn waiting_commands_of_a_call_precede_its_prompt_command() {
        let mut backlog = with(&[(1, 3), (2, 2)]);
        let hangup = |n| {
            let hangup = SwitchAction::Hangup { cause: None };
            SwitchCommand::new(Target::Call(call(n)), hangup)
        };
        assert_eq!(backlog.before(&hangup(9)), []);
        assert_eq!(backlog.before(&hangup(100_001)), [park(1, 100_001)]);
        assert_eq!(backlog.before(&hangup(100_001)), []);
        assert_eq!(backlog.before(&hangup(200_000)), [park(2, 200_000)]);
        assert_eq!(backlog.before(&hangup(200_001)), [park(2, 200_001)]);
        assert_eq!(
            all(&mut backlog),
            [park(1, 100_000), park(1, 100_002)],
            "the others keep their order"
        );
    }

    #[test]
    fn commands_beyond_the_limit_are_refused() {
        let mut backlog = with(&[(1, MAX_WAITING as u128)]);
        let order = park(2, 1);
        assert_eq!(backlog.put(room(2), order.clone(), NOW), Err(order.clone()));
        assert!(backlog.next().is_some());
        assert_eq!(backlog.put(room(2), order, NOW), Ok(()));
    }

    #[test]
    fn commands_that_waited_too_long_are_removed() {
        let mut backlog = with(&[(1, 2)]);
        let later = Duration::from_secs(9);
        backlog.put(room(1), park(1, 1), later).unwrap();
        let limit = Duration::from_secs(10);
        assert_eq!(backlog.expired(later, limit), []);
        let old = backlog.expired(limit, limit);
        assert_eq!(old, [park(1, 100_000), park(1, 100_001)]);
        assert_eq!(all(&mut backlog), [park(1, 1)]);
    }
}
