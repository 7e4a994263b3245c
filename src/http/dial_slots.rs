//! The limit of an app's dial-outs in progress.
//!
//! A request takes a place in the store before its dial-out begins, so that the limit holds across replicas and nodes.
//! Nothing frees the place when the dial-out ends. The request that finds no place reads the rooms of the others and frees
//! the places of those that have ended: so a lost message or a crash cannot occupy a place for good.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::reconciler::{Depth, Intent};
use crate::store::limits::{DialSlot, DialSlotOutcome};
use roomkeeper_core::ids::{AppId, RoomId};
use roomkeeper_core::intent::Action;

use super::error::ApiError;
use super::state::{ApiState, Shared};

/// The age from which a place without a dial-out is free: a request takes its place before the dial-out is stored.
const SETTLED: Duration = Duration::from_secs(10);

/// The time after which a refused caller may try again.
const RETRY: Duration = Duration::from_secs(1);

/// Takes a place for a dial-out of the app that nothing else refuses, or returns 429.
pub(crate) async fn take(state: Shared, app: AppId, intent: Intent) -> Result<(), ApiError> {
    let (Some(room), Action::Dial(dial)) = (intent.target.room(), &intent.action) else {
        return Ok(());
    };
    let slot = DialSlot {
        room,
        id: dial.session,
    };
    state.check(&intent, Depth::State).await?;
    let most = state.settings.max_dials;
    let take = || state.store.take_dial_slot(&app, slot, most, SETTLED);
    let DialSlotOutcome::Full { settled } = take().await? else {
        return Ok(());
    };
    let ended = ended(&state, settled).await?;
    if !ended.is_empty() {
        state.store.free_dial_slots(&app, &ended).await?;
        if take().await? == DialSlotOutcome::Taken {
            return Ok(());
        }
    }
    let words = format!("the application has {most} dial-outs in progress, which is its limit");
    Err(ApiError::limited(words, RETRY))
}

/// Returns the places whose dial-outs have ended.
async fn ended(state: &Arc<ApiState>, slots: Vec<DialSlot>) -> Result<Vec<DialSlot>, ApiError> {
    let mut by_room: BTreeMap<RoomId, Vec<DialSlot>> = BTreeMap::new();
    for slot in slots {
        by_room.entry(slot.room).or_default().push(slot);
    }
    let mut ended = Vec::new();
    for (room, slots) in by_room {
        let head = state.open_room(room).await?;
        let lives = |slot: &DialSlot| {
            let mut dials = head.iter().flat_map(|head| head.dials());
            dials.any(|dial| dial.id == slot.id)
        };
        ended.extend(slots.into_iter().filter(|slot| !lives(slot)));
    }
    Ok(ended)
}
