//! The checks of the soak of controls that need the whole history: hang-ups, ends of rooms, dial-outs, digits.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Actors;
use super::story::{Hangup, Story};

/// The longest time from a hang-up to its first delivery, with a controller or a Redis that is killed meanwhile.
const DELIVERY: Duration = Duration::from_secs(60);

impl Actors {
    /// Returns the requests without a result.
    pub fn unfinished(&self, story: &Story) -> Vec<String> {
        let mut unfinished: Vec<String> = Vec::new();
        for gather in self.gathers.lock().unwrap().iter() {
            if !story.gathered.contains(gather) {
                unfinished.push(format!("no digits and no failure of {gather}"));
            }
        }
        for dial in self.callees.dials().accepted.values() {
            let told = story.dials.get(&dial.call);
            if told.is_none_or(|told| told.ended.is_none()) {
                unfinished.push(format!("no end of {dial:?}: {told:?}"));
            }
        }
        for operation in &story.member_plays {
            unfinished.push(format!("{operation} still plays to a member"));
        }
        unfinished
    }

    /// Returns true if somebody hung this call up.
    fn was_hung_up(&self, hangup: &Hangup, story: &Story, callees: &BTreeSet<String>) -> bool {
        let in_time = |(place, begin, end): &(String, std::time::Instant, std::time::Instant)| {
            hangup
                .call
                .starts_with(place.split("-room-").next().unwrap_or_default())
                && hangup.at >= *begin
                && hangup.at <= *end + DELIVERY
                && callees.contains(&hangup.call)
        };
        self.hung_up.lock().unwrap().contains(&hangup.call)
            || self.hangup_times.lock().unwrap().iter().any(in_time)
            || self.was_hung_up_as_callee(&hangup.call, story)
    }

    /// Returns true if this call is that of a callee who hung up, or whose call was cancelled, or came too late for its
    /// room.
    fn was_hung_up_as_callee(&self, call: &str, story: &Story) -> bool {
        let Some((id, told)) = story
            .dials
            .iter()
            .find(|(_, told)| told.sessions.contains(call))
        else {
            return false;
        };
        let dials = self.callees.dials();
        let mut accepted = dials.accepted.iter();
        let request = accepted.find(|(_, dial)| dial.call == *id);
        // Without an answer to the request, its number is unknown.
        let Some((number, dial)) = request else {
            return true;
        };
        dials.hung_up.contains(number)
            || (!story.joined.contains(call)
                && (dial.cancelled || story.destroyed.contains_key(&told.room)))
    }
}

/// Checks the history of a soak that has become consistent.
pub fn check(actors: &Actors, story: &Story, summary: &str) {
    let callees: BTreeSet<String> = story
        .dials
        .values()
        .flat_map(|told| told.sessions.iter().cloned())
        .collect();
    let unexpected: Vec<(&Hangup, _)> = story
        .hangups
        .iter()
        .filter(|hangup| !actors.was_hung_up(hangup, story, &callees))
        .map(|hangup| (hangup, story.of_calls.get(&hangup.call)))
        .collect();
    assert!(
        unexpected.is_empty(),
        "calls were hung up that nobody hung up: {unexpected:#?}\n{summary}"
    );
    let deleted = actors.deleted.lock().unwrap();
    let ended: Vec<&String> = story
        .destroyed
        .iter()
        .filter(|(room, _)| !deleted.contains(*room) && !story.may_end.contains(*room))
        .map(|(_, text)| text)
        .collect();
    assert!(
        ended.is_empty(),
        "rooms ended that nobody ended: {ended:#?}\n{summary}"
    );
    let dials = actors.callees.dials();
    let twice: Vec<_> = dials.transfers.iter().filter(|(_, n)| **n > 1).collect();
    assert!(
        twice.is_empty(),
        "transfers were called twice: {twice:?}\n{summary}"
    );
    let twice: Vec<String> = dials
        .accepted
        .iter()
        .filter_map(|(number, dial)| {
            let calls = dials.calls.get(number).copied().unwrap_or_default();
            let told = story.dials.get(&dial.call);
            let attempts = told.map_or(0, |told| told.attempts.min(dial.attempts));
            (calls > attempts).then(|| format!("{calls} calls of {dial:?}: {told:?}"))
        })
        .collect();
    assert!(
        twice.is_empty(),
        "callees were called too often: {twice:#?}\n{summary}"
    );
}
