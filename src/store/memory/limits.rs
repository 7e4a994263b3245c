//! Rate limits, cooldowns and idempotent commands in memory.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::MemoryStore;
use crate::store::limits::{
    CommandStart, Cooldown, DialSlot, DialSlotOutcome, IdempotentCommand, Rate, RequestLimits,
    StoredAnswer, Tokens,
};
use crate::store::{EntityId, StoreError};
use roomkeeper_core::ids::AppId;

#[async_trait]
impl RequestLimits for MemoryStore {
    async fn take_cooldown(
        &self,
        about: EntityId,
        group: &str,
        holder: Uuid,
        window: Duration,
    ) -> Result<Cooldown, StoreError> {
        let now = self.now();
        let key = (about, group.to_owned());
        let mut inner = self.lock();
        let cooldowns = &mut inner.node(about.node()).cooldowns;
        Ok(cooldowns.take(key, holder, window, now))
    }

    async fn refund_cooldown(
        &self,
        about: EntityId,
        group: &str,
        holder: Uuid,
    ) -> Result<(), StoreError> {
        let key = (about, group.to_owned());
        let mut inner = self.lock();
        inner.node(about.node()).cooldowns.refund(&key, holder);
        Ok(())
    }

    async fn begin_command(
        &self,
        command: &IdempotentCommand,
        hold: Duration,
    ) -> Result<CommandStart, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let commands = &mut inner.node(command.about.node()).commands;
        Ok(commands.begin(command, hold, now))
    }

    async fn finish_command(
        &self,
        command: &IdempotentCommand,
        answer: &StoredAnswer,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let commands = &mut inner.node(command.about.node()).commands;
        Ok(commands.finish(command, answer, keep, now))
    }

    async fn forget_command(&self, command: &IdempotentCommand) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.node(command.about.node()).commands.forget(command);
        Ok(())
    }

    async fn take_tokens(&self, app: &AppId, rate: Rate, want: u32) -> Result<Tokens, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let full_at = inner.buckets.entry(app.clone()).or_default();
        let (tokens, after) = rate.take(*full_at, now, want);
        *full_at = after;
        Ok(tokens)
    }

    async fn take_dial_slot(
        &self,
        app: &AppId,
        slot: DialSlot,
        most: u32,
        settled: Duration,
    ) -> Result<DialSlotOutcome, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let slots = inner.dial_slots.entry(app.clone()).or_default();
        if !slots.contains_key(&slot) && slots.len() >= usize::try_from(most).unwrap_or(usize::MAX)
        {
            let old = slots.iter().filter(|(_, since)| **since + settled <= now);
            return Ok(DialSlotOutcome::Full {
                settled: old.map(|(slot, _)| *slot).collect(),
            });
        }
        slots.entry(slot).or_insert(now);
        Ok(DialSlotOutcome::Taken)
    }

    async fn free_dial_slots(&self, app: &AppId, slots: &[DialSlot]) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if let Some(taken) = inner.dial_slots.get_mut(app) {
            taken.retain(|slot, _| !slots.contains(slot));
        }
        Ok(())
    }
}
