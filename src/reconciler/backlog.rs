//! Orders that nobody waits for, and whose turn it is.
//!
//! Owns the queue of one node: one line a room, the rooms in turn, so many in flight at once. Leaves out which orders
//! wait here, and their giving: `dispatch` does that. Pure; the time is handed in, as time since any one moment.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::ids::{RoomId, SessionId};

use super::belief::Order;

/// Orders in flight at once that nobody waits for. FreeSWITCH carries one out after the other and takes half a
/// millisecond for each, so these are what a caller's command can find before it. And they fill a round trip.
const PACE: usize = 32;

/// Orders that may wait: three rooms of 10,000 that end at once, at some hundred bytes an order. More than that FreeSWITCH
/// would take half a minute for.
const MOST: usize = 32_768;

/// An order that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Waits {
    pub(super) order: Order,
    since: Duration,
}

impl Waits {
    /// For how long, at this time.
    pub(super) const fn waited(&self, now: Duration) -> Duration {
        now.saturating_sub(self.since)
    }
}

/// The orders of one node that wait.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    lines: HashMap<RoomId, VecDeque<Waits>>,
    /// The rooms that have a line; the first one's turn it is.
    turns: VecDeque<RoomId>,
    /// How many orders about each call wait.
    sessions: HashMap<SessionId, usize>,
    waiting: usize,
    in_flight: usize,
}

impl Backlog {
    /// How many wait.
    pub(super) const fn len(&self) -> usize {
        self.waiting
    }

    /// Whether nothing waits and nothing is in flight.
    pub(super) const fn is_idle(&self) -> bool {
        self.waiting == 0 && self.in_flight == 0
    }

    /// Lets an order about this room wait for its turn; refused when too many do.
    pub(super) fn put(&mut self, room: RoomId, order: Order, now: Duration) -> Result<(), Order> {
        if self.waiting >= MOST {
            return Err(order);
        }
        self.count(&order, true);
        let waits = Waits { order, since: now };
        let line = self.lines.entry(room).or_default();
        if line.is_empty() {
            self.turns.push_back(room);
        }
        line.push_back(waits);
        Ok(())
    }

    /// One that was taken and could not be given: it is the first of its room again. Nothing can have been put in its
    /// place, so there is no bound to check.
    pub(super) fn put_back(&mut self, room: RoomId, waits: Waits) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.count(&waits.order, true);
        let line = self.lines.entry(room).or_default();
        if line.is_empty() {
            self.turns.push_back(room);
        }
        line.push_front(waits);
    }

    /// The next one, unless enough are in flight. Each is to be followed by [`Backlog::done`] or
    /// [`Backlog::put_back`].
    pub(super) fn next(&mut self) -> Option<(RoomId, Waits)> {
        if self.in_flight >= PACE {
            return None;
        }
        let room = self.turns.pop_front()?;
        let line = self.lines.get_mut(&room)?;
        let waits = line.pop_front()?;
        if line.is_empty() {
            self.lines.remove(&room);
        } else {
            self.turns.push_back(room);
        }
        self.count(&waits.order, false);
        self.in_flight += 1;
        Some((room, waits))
    }

    /// One that was taken has been answered.
    pub(super) fn done(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Nothing is in flight any more.
    pub(super) fn begin_anew(&mut self) {
        self.in_flight = 0;
    }

    /// What waits about the call that this order is about: it was decided before, so it goes before it.
    pub(super) fn before(&mut self, order: &Order) -> Vec<Order> {
        let Some(session) = session(order) else {
            return Vec::new();
        };
        if !self.sessions.contains_key(&session) {
            return Vec::new();
        }
        self.take(|waits| self::session(&waits.order) == Some(session))
    }

    /// What has waited for longer than this.
    pub(super) fn expired(&mut self, now: Duration, patience: Duration) -> Vec<Order> {
        self.take(|waits| now.saturating_sub(waits.since) >= patience)
    }

    fn take(&mut self, which: impl Fn(&Waits) -> bool) -> Vec<Order> {
        let mut taken = Vec::new();
        for line in self.lines.values_mut() {
            let (out, stays) = std::mem::take(line).into_iter().partition(&which);
            *line = stays;
            taken.extend::<VecDeque<Waits>>(out);
        }
        self.lines.retain(|_, line| !line.is_empty());
        self.turns.retain(|room| self.lines.contains_key(room));
        for waits in &taken {
            self.count(&waits.order, false);
        }
        taken.into_iter().map(|waits| waits.order).collect()
    }

    fn count(&mut self, order: &Order, comes: bool) {
        if comes {
            self.waiting += 1;
        } else {
            self.waiting = self.waiting.saturating_sub(1);
        }
        let Some(session) = session(order) else {
            return;
        };
        let about = self.sessions.entry(session).or_default();
        *about = if comes {
            *about + 1
        } else {
            about.saturating_sub(1)
        };
        if *about == 0 {
            self.sessions.remove(&session);
        }
    }
}

/// The call that an order is about.
const fn session(order: &Order) -> Option<SessionId> {
    match order {
        Order::Enter { session, .. }
        | Order::Park { session, .. }
        | Order::Mute { session, .. }
        | Order::Step { session, .. }
        | Order::Break { session, .. }
        | Order::Prepare { session }
        | Order::Answer { session }
        | Order::Hangup { session, .. } => Some(*session),
        Order::Describe { .. }
        | Order::Lock { .. }
        | Order::Play { .. }
        | Order::RecordStart { .. }
        | Order::RecordStop { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use crate::ids::ChannelId;
    use crate::session::Parking;
    use crate::time::Timestamp;

    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn room(n: u128) -> RoomId {
        RoomId::new("acW68".parse().unwrap(), Uuid::from_u128(n))
    }

    fn call(n: u128) -> SessionId {
        let channel = ChannelId::new(Uuid::from_u128(n));
        SessionId::new("acW68".parse().unwrap(), channel)
    }

    fn park(of: u128, n: u128) -> Order {
        Order::Park {
            session: call(n),
            room: room(of),
            parking: Parking(Timestamp::from_micros(1)),
        }
    }

    /// A backlog with so many orders for each of these rooms.
    fn with(lines: &[(u128, u128)]) -> Backlog {
        let mut backlog = Backlog::default();
        for (of, orders) in lines {
            for n in 0..*orders {
                let order = park(*of, of * 100_000 + n);
                backlog.put(room(*of), order, NOW).unwrap();
            }
        }
        backlog
    }

    fn all(backlog: &mut Backlog) -> Vec<Order> {
        let mut taken = Vec::new();
        while let Some((_, waits)) = backlog.next() {
            backlog.done();
            taken.push(waits.order);
        }
        taken
    }

    #[test]
    fn rooms_take_turns_and_each_keeps_its_order() {
        let mut backlog = with(&[(1, 5), (2, 2)]);
        let rooms: Vec<Order> = [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (1, 3), (1, 4)]
            .map(|(of, n)| park(of, of * 100_000 + n))
            .to_vec();
        assert_eq!(all(&mut backlog), rooms);
        assert!(backlog.is_idle());
        assert_eq!((backlog.len(), backlog.sessions.len()), (0, 0));
    }

    #[test]
    fn few_are_in_flight() {
        let mut backlog = with(&[(1, 3_000)]);
        let taken = std::iter::from_fn(|| backlog.next()).count();
        assert_eq!((taken, backlog.len()), (PACE, 3_000 - PACE));
        backlog.done();
        assert!(backlog.next().is_some() && backlog.next().is_none());
        assert!(!backlog.is_idle());
    }

    #[test]
    fn one_that_could_not_be_given_is_the_first_again() {
        let mut backlog = with(&[(1, 3)]);
        let (of, first) = backlog.next().unwrap();
        backlog.put_back(of, first);
        assert_eq!(backlog.len(), 3);
        let order: Vec<Order> = (0..3).map(|n| park(1, 100_000 + n)).collect();
        assert_eq!(all(&mut backlog), order);
        // Also when its room has no line any more.
        let mut backlog = with(&[(1, 1)]);
        let (of, only) = backlog.next().unwrap();
        assert_eq!(backlog.len(), 0);
        backlog.put_back(of, only);
        assert_eq!(all(&mut backlog), [park(1, 100_000)]);
        assert!(backlog.is_idle());
    }

    #[test]
    fn what_waits_about_a_call_goes_before_what_is_given_at_once() {
        let mut backlog = with(&[(1, 3), (2, 2)]);
        let hangup = |n| Order::Hangup {
            session: call(n),
            cause: None,
        };
        assert_eq!(backlog.before(&hangup(9)), []);
        assert_eq!(backlog.before(&hangup(100_001)), [park(1, 100_001)]);
        assert_eq!(backlog.before(&hangup(100_001)), []);
        assert_eq!(backlog.before(&hangup(200_000)), [park(2, 200_000)]);
        assert_eq!(backlog.before(&hangup(200_001)), [park(2, 200_001)]);
        assert_eq!(
            all(&mut backlog),
            [park(1, 100_000), park(1, 100_002)],
            "the others keep their places"
        );
    }

    #[test]
    fn more_than_may_wait_are_refused() {
        let mut backlog = with(&[(1, MOST as u128)]);
        let order = park(2, 1);
        assert_eq!(backlog.put(room(2), order.clone(), NOW), Err(order.clone()));
        assert!(backlog.next().is_some());
        assert_eq!(backlog.put(room(2), order, NOW), Ok(()));
    }

    #[test]
    fn what_waited_too_long_is_taken_out() {
        let mut backlog = with(&[(1, 2)]);
        let later = Duration::from_secs(9);
        backlog.put(room(1), park(1, 1), later).unwrap();
        let patience = Duration::from_secs(10);
        assert_eq!(backlog.expired(later, patience), []);
        let old = backlog.expired(patience, patience);
        assert_eq!(old, [park(1, 100_000), park(1, 100_001)]);
        assert_eq!(all(&mut backlog), [park(1, 1)]);
    }
}
