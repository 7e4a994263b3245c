//! The limits of reported talk: a bounded number of starts for each member and each room.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::{CallId, RoomId};
use crate::time::Timestamp;

/// The time in which starts are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// The most starts of a member in that time: as often as a person in a conversation.
const MOST_OF_MEMBER: u32 = 5;

/// The most starts in a room in that time.
const MOST_OF_ROOM: u32 = 50;

/// The number of windows that are remembered before old ones are forgotten.
const MOST_WINDOWS: usize = 1_024;

/// The reported starts of the last seconds, by room and by member.
#[derive(Debug, Default)]
pub(super) struct TalkWindows(BTreeMap<(RoomId, Option<CallId>), (Timestamp, u32)>);

impl TalkWindows {
    /// Decides whether a start is reported, and counts it.
    pub(super) fn admits(&mut self, room: RoomId, call: CallId, now: Timestamp) -> bool {
        if self.0.len() >= MOST_WINDOWS {
            self.0.retain(|_, (since, _)| now.since(*since) < WINDOW);
        }
        let keys = [
            ((room, Some(call)), MOST_OF_MEMBER),
            ((room, None), MOST_OF_ROOM),
        ];
        for (key, most) in keys {
            let (since, count) = self.0.entry(key).or_insert((now, 0));
            if now.since(*since) >= WINDOW {
                (*since, *count) = (now, 0);
            }
            if *count >= most {
                return false;
            }
        }
        for (key, _) in keys {
            if let Some((_, count)) = self.0.get_mut(&key) {
                *count += 1;
            }
        }
        true
    }
}
