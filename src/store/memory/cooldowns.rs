//! The cooldowns of one node.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use uuid::Uuid;

use crate::store::EntityId;
use crate::store::limits::Cooldown;

type CooldownKey = (EntityId, String);

/// The cooldowns by room or call and group of commands.
#[derive(Default)]
pub(super) struct Cooldowns {
    /// The holder of each cooldown, and its end.
    held: HashMap<CooldownKey, (Uuid, Duration)>,
    /// The ends of cooldowns, also of those that were given back.
    ends: BTreeSet<(Duration, CooldownKey)>,
}

impl Cooldowns {
    pub(super) fn take(
        &mut self,
        key: CooldownKey,
        holder: Uuid,
        window: Duration,
        now: Duration,
    ) -> Cooldown {
        self.expire(now);
        match self.held.get(&key) {
            Some((other, until)) if *other != holder => Cooldown::Wait {
                remaining: until.saturating_sub(now),
            },
            Some(_) => Cooldown::Taken,
            None => {
                let until = now.saturating_add(window);
                self.ends.insert((until, key.clone()));
                self.held.insert(key, (holder, until));
                Cooldown::Taken
            }
        }
    }

    /// Gives a cooldown back if this holder still has it.
    pub(super) fn refund(&mut self, key: &CooldownKey, holder: Uuid) {
        if self.held.get(key).is_some_and(|(held, _)| *held == holder) {
            self.held.remove(key);
        }
    }

    fn expire(&mut self, now: Duration) {
        while let Some((until, _)) = self.ends.first()
            && *until <= now
            && let Some((_, key)) = self.ends.pop_first()
        {
            if self.held.get(&key).is_some_and(|(_, until)| *until <= now) {
                self.held.remove(&key);
            }
        }
    }
}
