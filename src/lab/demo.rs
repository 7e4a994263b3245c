//! The life in the lab: parked calls that an app can use, and a room whose members talk by turns.
//!
//! Owns the number of calls. It observes the controller through the API only, so a call that somebody used, moved or hung
//! up is replaced in the same way on every kind of node.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::api::{Api, ListedCall};
use super::error::LabError;
use super::names::{APP, DID, ROOM};
use super::node::LabNode;
use super::output::say;

/// The number of members of the demo room.
pub(super) const SPEAKERS: usize = 3;

/// The number of calls besides the parked ones and the speakers, after which no new call comes in. An app that takes every
/// call would otherwise get calls without end.
pub(super) const USED_CALLS: usize = 5;

/// The interval at which the demo lists the calls.
const TICK: Duration = Duration::from_millis(250);

/// The time after which a placed call must be listed; afterwards it counts as lost.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The shortest and the longest time of a turn in milliseconds, and the pause after it.
const TURN: std::ops::Range<u64> = 1_500..4_000;
const PAUSE: Duration = Duration::from_millis(1_200);

/// A member of the demo room, or a call that will be one.
#[derive(Debug)]
struct Speaker {
    call: String,
    /// The join was accepted.
    joined: bool,
}

/// The turns of the speakers.
#[derive(Debug)]
struct Turns {
    /// The call whose caller talks.
    talking: Option<String>,
    /// The number of turns so far.
    count: usize,
    /// The end of the turn or pause.
    until: Instant,
}

/// The demo.
#[derive(Debug)]
pub(super) struct Demo {
    api: Api,
    node: LabNode,
    callers: usize,
    room: Option<String>,
    speakers: Vec<Speaker>,
    turns: Turns,
    /// Calls that were placed and are not listed yet.
    arriving: Vec<(String, Instant)>,
    /// The number of calls so far.
    placed: u64,
    /// The limit of calls was reached, and reported.
    is_full: bool,
    /// The last printed error, which is not repeated.
    last_error: Option<String>,
}

/// A demo that is ready.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ready {
    /// The demo room.
    pub room: String,
    /// A parked call, if the lab keeps any.
    pub parked: Option<String>,
}

impl Demo {
    pub(super) fn new(api: Api, node: LabNode, callers: usize) -> Self {
        Self {
            api,
            node,
            callers,
            room: None,
            speakers: Vec::new(),
            turns: Turns {
                talking: None,
                count: 0,
                until: Instant::now(),
            },
            arriving: Vec::new(),
            placed: 0,
            is_full: false,
            last_error: None,
        }
    }

    /// Brings the calls in, and returns when the parked ones wait and the speakers are in their room.
    pub(super) async fn until_ready(&mut self, within: Duration) -> Result<Ready, LabError> {
        let end = Instant::now() + within;
        loop {
            let calls = self.check().await?.unwrap_or_default();
            let parked: Vec<&ListedCall> = calls.iter().filter(|call| self.is_free(call)).collect();
            if let Some(room) = &self.room
                && parked.len() >= self.callers
                && calls.iter().filter(|call| call.is_in(room)).count() >= SPEAKERS
            {
                return Ok(Ready {
                    room: room.clone(),
                    parked: parked.first().map(|call| call.id.clone()),
                });
            }
            if Instant::now() > end {
                return Err(LabError::Demo(format!(
                    "after {within:?} {} of {} calls are parked and {} calls are known: does the node's dialplan park \
                     calls to {}, and do they belong to the app {}?",
                    parked.len(),
                    self.callers,
                    calls.len(),
                    DID,
                    APP,
                )));
            }
            tokio::time::sleep(TICK / 5).await;
        }
    }

    /// Keeps the calls until the stop, then hangs up those of a real node.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _tick = ticks.tick() => {}
            }
            let checked = self.check().await;
            let result = match checked {
                Ok(Some(calls)) => self.take_turns(&calls).await,
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => self.last_error = None,
                Err(error) => self.print_error(&error),
            }
        }
        self.hang_up_all().await;
    }

    /// Hangs up the lab's calls on a real node.
    pub(super) async fn hang_up_all(&mut self) {
        self.node.hang_up_all().await;
    }

    /// Compares the calls with those that the lab keeps, and places missing ones. Returns the listed calls; `None` while they
    /// are not available.
    async fn check(&mut self) -> Result<Option<Vec<ListedCall>>, LabError> {
        let Some(calls) = self.api.calls().await? else {
            return Ok(None);
        };
        let listed: BTreeSet<&str> = calls.iter().map(|call| call.id.as_str()).collect();
        let now = Instant::now();
        self.arriving.retain(|(call, placed)| {
            !listed.contains(call.as_str()) && now < *placed + ARRIVAL_TIMEOUT
        });
        let arriving = &self.arriving;
        let is_up =
            |call: &str| listed.contains(call) || arriving.iter().any(|(known, _)| known == call);
        self.node.forget_ended(is_up);
        self.speakers.retain(|speaker| is_up(&speaker.call));
        self.join_speakers(&calls).await?;
        self.place_missing(&calls).await?;
        Ok(Some(calls))
    }

    /// Lets new speakers join their room, which is made when it is missing. A speaker that somebody removed from the room is
    /// an ordinary parked call from then on.
    async fn join_speakers(&mut self, calls: &[ListedCall]) -> Result<(), LabError> {
        self.speakers.retain(|speaker| {
            let is_parked = |call: &ListedCall| call.id == speaker.call && call.is_parked();
            !(speaker.joined && calls.iter().any(is_parked))
        });
        if let Some(room) = &self.room
            && self.speakers.iter().all(|speaker| !speaker.joined)
            && !self.api.has_room(room).await?
        {
            self.room = None;
        }
        if self.room.is_none() {
            self.room = self.api.room(ROOM).await?;
        }
        let Some(room) = &self.room else {
            return Ok(());
        };
        for speaker in self.speakers.iter_mut().filter(|speaker| !speaker.joined) {
            let is_parked = |call: &ListedCall| call.id == speaker.call && call.is_parked();
            if calls.iter().any(is_parked) {
                speaker.joined = self.api.join(&speaker.call, room).await?;
            }
        }
        Ok(())
    }

    /// Places calls if there are too few speakers or parked calls.
    async fn place_missing(&mut self, calls: &[ListedCall]) -> Result<(), LabError> {
        let limit = self.callers + SPEAKERS + USED_CALLS;
        let is_below = |arriving: usize| calls.len() + arriving < limit;
        while self.speakers.len() < SPEAKERS && is_below(self.arriving.len()) {
            let call = self.place().await?;
            self.speakers.push(Speaker {
                call,
                joined: false,
            });
        }
        let arriving = self.arriving.iter().filter(|(call, _)| !self.speaks(call));
        let parked = calls.iter().filter(|call| self.is_free(call));
        let kept = parked.count() + arriving.count();
        let mut missing = self.callers.saturating_sub(kept);
        while missing > 0 && is_below(self.arriving.len()) {
            self.place().await?;
            missing -= 1;
        }
        let is_full = missing > 0 || self.speakers.len() < SPEAKERS;
        if is_full && !self.is_full {
            say(&format!(
                "  {} calls are up, as many as the lab keeps: hang one up to get a new one\n",
                calls.len() + self.arriving.len()
            ));
        }
        self.is_full = is_full;
        Ok(())
    }

    async fn place(&mut self) -> Result<String, LabError> {
        self.placed += 1;
        let call = self.node.place_call(self.placed).await?;
        self.arriving.push((call.clone(), Instant::now()));
        Ok(call)
    }

    /// True if the call waits for an app.
    fn is_free(&self, call: &ListedCall) -> bool {
        call.is_parked() && !self.speaks(&call.id)
    }

    fn speaks(&self, call: &str) -> bool {
        self.speakers.iter().any(|speaker| speaker.call == call)
    }

    /// Lets one member of the room talk after the other.
    async fn take_turns(&mut self, calls: &[ListedCall]) -> Result<(), LabError> {
        let now = Instant::now();
        if now < self.turns.until {
            return Ok(());
        }
        if let Some(call) = self.turns.talking.take() {
            self.node.fall_silent(&call);
            self.turns.until = now + PAUSE;
            return Ok(());
        }
        let Some(room) = &self.room else {
            return Ok(());
        };
        let is_in = |speaker: &&Speaker| {
            let is_in = |call: &ListedCall| call.id == speaker.call && call.is_in(room);
            calls.iter().any(is_in)
        };
        let present: Vec<&Speaker> = self.speakers.iter().filter(is_in).collect();
        if present.is_empty() {
            return Ok(());
        }
        let next = present.get(self.turns.count % present.len());
        if let Some(next) = next {
            let turn = Duration::from_millis(rand::random_range(TURN));
            self.node.talk(&next.call, turn).await?;
            self.turns.talking = Some(next.call.clone());
            self.turns.count = self.turns.count.wrapping_add(1);
            self.turns.until = now + turn;
        }
        Ok(())
    }

    fn print_error(&mut self, error: &LabError) {
        let text = error.to_string();
        if self.last_error.as_ref() != Some(&text) {
            say(&format!("  the demo pauses: {text}\n"));
            self.last_error = Some(text);
        }
    }
}
