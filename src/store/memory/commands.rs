//! The idempotent commands of one node: `command_uid`, fingerprint and answer.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use uuid::Uuid;

use crate::store::EntityId;
use crate::store::limits::{CommandStart, IdempotentCommand, StoredAnswer};
use roomkeeper_core::ids::CommandUid;

type CommandKey = (EntityId, CommandUid);

fn key(command: &IdempotentCommand) -> CommandKey {
    (command.about, command.uid.clone())
}

struct StoredCommand {
    fingerprint: String,
    token: Uuid,
    answer: Option<StoredAnswer>,
    until: Duration,
}

/// The commands by room or call and `command_uid`.
#[derive(Default)]
pub(super) struct Commands {
    stored: HashMap<CommandKey, StoredCommand>,
    /// The ends of commands, also of those whose end has changed since.
    ends: BTreeSet<(Duration, CommandKey)>,
}

impl Commands {
    pub(super) fn begin(
        &mut self,
        command: &IdempotentCommand,
        hold: Duration,
        now: Duration,
    ) -> CommandStart {
        self.expire(now);
        match self.stored.get(&key(command)) {
            Some(stored) if stored.fingerprint != command.fingerprint => CommandStart::Different,
            Some(StoredCommand {
                answer: Some(answer),
                ..
            }) => CommandStart::Replay(answer.clone()),
            Some(stored) if stored.token == command.token => CommandStart::First,
            Some(_) => CommandStart::Pending,
            None => {
                self.store(command, None, now.saturating_add(hold));
                CommandStart::First
            }
        }
    }

    /// Stores the answer to a command. Returns false if another request has begun the command since.
    pub(super) fn finish(
        &mut self,
        command: &IdempotentCommand,
        answer: &StoredAnswer,
        keep: Duration,
        now: Duration,
    ) -> bool {
        self.expire(now);
        let stored = self.stored.get(&key(command));
        if stored.is_some_and(|stored| stored.token != command.token) {
            return false;
        }
        self.store(command, Some(answer.clone()), now.saturating_add(keep));
        true
    }

    /// Removes a command if this request has begun it.
    pub(super) fn forget(&mut self, command: &IdempotentCommand) {
        let key = key(command);
        let stored = self.stored.get(&key);
        if stored.is_some_and(|stored| stored.token == command.token) {
            self.stored.remove(&key);
        }
    }

    fn store(
        &mut self,
        command: &IdempotentCommand,
        answer: Option<StoredAnswer>,
        until: Duration,
    ) {
        self.ends.insert((until, key(command)));
        let stored = StoredCommand {
            fingerprint: command.fingerprint.clone(),
            token: command.token,
            answer,
            until,
        };
        self.stored.insert(key(command), stored);
    }

    fn expire(&mut self, now: Duration) {
        while let Some((until, _)) = self.ends.first()
            && *until <= now
            && let Some((_, key)) = self.ends.pop_first()
        {
            if self.stored.get(&key).is_some_and(|c| c.until <= now) {
                self.stored.remove(&key);
            }
        }
    }
}
