//! Rate limits, cooldowns and idempotent commands on Redis: one script for each method.

use std::time::Duration;

use async_trait::async_trait;
use redis::Value;
use uuid::Uuid;

use super::RedisStore;
use super::scripts::{
    COMMAND_BEGIN, COMMAND_FINISH, COMMAND_FORGET, COOLDOWN_REFUND, COOLDOWN_TAKE, DIAL_SLOT_TAKE,
    DIAL_SLOTS_FREE, TOKENS_TAKE,
};
use super::values::millis;
use crate::store::limits::{
    CommandStart, Cooldown, DialSlot, DialSlotOutcome, IdempotentCommand, Rate, RequestLimits,
    StoredAnswer, Tokens,
};
use crate::store::{EntityId, StoreError, keys};
use roomkeeper_core::ids::AppId;

/// The lifetime of an app's places after the last request to dial: longer than a dial-out with all its attempts.
const KEEP_DIAL_SLOTS: Duration = Duration::from_secs(86_400);

#[async_trait]
impl RequestLimits for RedisStore {
    async fn take_cooldown(
        &self,
        about: EntityId,
        group: &str,
        holder: Uuid,
        window: Duration,
    ) -> Result<Cooldown, StoreError> {
        let key = keys::cooldown(about, group);
        let answer: i64 = self
            .run(&COOLDOWN_TAKE, &key, 1, |command| {
                command
                    .arg(&key)
                    .arg(holder.to_string())
                    .arg(millis(window).max(1));
            })
            .await?;
        Ok(match u64::try_from(answer) {
            Ok(left) => Cooldown::Wait {
                remaining: Duration::from_millis(left),
            },
            Err(_) => Cooldown::Taken,
        })
    }

    async fn refund_cooldown(
        &self,
        about: EntityId,
        group: &str,
        holder: Uuid,
    ) -> Result<(), StoreError> {
        let key = keys::cooldown(about, group);
        self.run::<Value>(&COOLDOWN_REFUND, &key, 1, |command| {
            command.arg(&key).arg(holder.to_string());
        })
        .await
        .map(drop)
    }

    async fn begin_command(
        &self,
        command: &IdempotentCommand,
        hold: Duration,
    ) -> Result<CommandStart, StoreError> {
        let key = keys::command(command.about, &command.uid);
        let (answer, status, body): (u8, u16, String) = self
            .run(&COMMAND_BEGIN, &key, 1, |cmd| {
                cmd.arg(&key)
                    .arg(&command.fingerprint)
                    .arg(command.token.to_string())
                    .arg(millis(hold).max(1));
            })
            .await?;
        Ok(match answer {
            0 => CommandStart::First,
            1 => CommandStart::Replay(StoredAnswer { status, body }),
            2 => CommandStart::Pending,
            _ => CommandStart::Different,
        })
    }

    async fn finish_command(
        &self,
        command: &IdempotentCommand,
        answer: &StoredAnswer,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let key = keys::command(command.about, &command.uid);
        self.run(&COMMAND_FINISH, &key, 1, |cmd| {
            cmd.arg(&key)
                .arg(&command.fingerprint)
                .arg(command.token.to_string())
                .arg(answer.status)
                .arg(&answer.body)
                .arg(millis(keep).max(1));
        })
        .await
    }

    async fn forget_command(&self, command: &IdempotentCommand) -> Result<(), StoreError> {
        let key = keys::command(command.about, &command.uid);
        self.run::<Value>(&COMMAND_FORGET, &key, 1, |cmd| {
            cmd.arg(&key).arg(command.token.to_string());
        })
        .await
        .map(drop)
    }

    async fn take_tokens(&self, app: &AppId, rate: Rate, want: u32) -> Result<Tokens, StoreError> {
        let key = keys::tokens(app);
        let every = u64::try_from(rate.every.as_micros())
            .unwrap_or(u64::MAX)
            .max(1);
        let (granted, wait): (u32, u64) = self
            .run(&TOKENS_TAKE, &key, 1, |command| {
                command
                    .arg(&key)
                    .arg(every)
                    .arg(rate.burst.max(1))
                    .arg(want);
            })
            .await?;
        Ok(match granted {
            0 => Tokens::Wait(Duration::from_micros(wait)),
            n => Tokens::Granted(n),
        })
    }

    async fn take_dial_slot(
        &self,
        app: &AppId,
        slot: DialSlot,
        most: u32,
        settled: Duration,
    ) -> Result<DialSlotOutcome, StoreError> {
        let key = keys::dial_slots(app);
        let full: Vec<String> = self
            .run(&DIAL_SLOT_TAKE, &key, 1, |command| {
                command
                    .arg(&key)
                    .arg(slot.to_string())
                    .arg(most)
                    .arg(millis(settled))
                    .arg(millis(KEEP_DIAL_SLOTS));
            })
            .await?;
        if full.is_empty() {
            return Ok(DialSlotOutcome::Taken);
        }
        let slots = full.iter().skip(1);
        Ok(DialSlotOutcome::Full {
            settled: slots.filter_map(|slot| slot.parse().ok()).collect(),
        })
    }

    async fn free_dial_slots(&self, app: &AppId, slots: &[DialSlot]) -> Result<(), StoreError> {
        let key = keys::dial_slots(app);
        self.run::<Value>(&DIAL_SLOTS_FREE, &key, 1, |command| {
            command.arg(&key);
            for slot in slots {
                command.arg(slot.to_string());
            }
        })
        .await
        .map(drop)
    }
}
