//! Ends everything that an app has: hangs up its calls and ends its rooms, by the operator's commands.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::http::error::ApiError;
use crate::http::gateway::release;
use crate::http::ownership::typed;
use crate::node::CommandError;
use crate::reconciler::{Intent, IntentError, Refusal, Requester};
use crate::store::{EntityId, EntityKind, StoreError};
use crate::tenants::PROPAGATION;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{AppId, NodeId};
use roomkeeper_core::intent::{Action, DeleteRoom, Hangup};

use super::state::AdminState;

/// The number of rows that one read of a list returns.
const PAGE: usize = 200;

/// The number of concurrent commands: an eviction must not fill the queues of a node.
const COMMANDS: usize = 16;

/// The maximum number of passes after all replicas know that the app is retired. One ends all that began before, another
/// finds nothing, unless a node's owner is slow to store a call.
const PASSES: usize = 8;

/// The numbers of ended rooms and calls.
#[derive(Clone, Copy, Default)]
pub(super) struct EvictionCounts {
    pub(super) rooms: usize,
    pub(super) calls: usize,
}

/// Hangs up all calls of a retired app, then ends its rooms; also those that replicas start before they know that it is
/// retired.
///
/// # Errors
/// The first failed command. Commands that succeeded stay, so a repeated eviction continues. 503 if rooms or calls keep
/// starting.
pub(super) async fn evict(state: &AdminState, app: &AppId) -> Result<EvictionCounts, ApiError> {
    let mut eviction = Eviction {
        state,
        app,
        visited: BTreeSet::new(),
        counts: EvictionCounts::default(),
    };
    eviction.pass().await?;
    tokio::time::sleep(PROPAGATION).await;
    for _ in 0..PASSES {
        if !eviction.pass().await? {
            return Ok(eviction.counts);
        }
    }
    let error = "rooms or calls of the app keep starting; try again";
    Err(ApiError::unavailable(error, Duration::from_secs(1)))
}

/// An eviction in progress.
struct Eviction<'a> {
    state: &'a AdminState,
    app: &'a AppId,
    /// Each entity gets one command, because its end may take longer than a pass.
    visited: BTreeSet<EntityId>,
    counts: EvictionCounts,
}

impl Eviction<'_> {
    /// Ends all calls and rooms that no earlier pass visited; returns false if there are none.
    async fn pass(&mut self) -> Result<bool, ApiError> {
        let before = self.visited.len();
        self.counts.calls += self.end_all(EntityKind::Call).await?;
        self.counts.rooms += self.end_all(EntityKind::Room).await?;
        Ok(self.visited.len() > before)
    }

    async fn end_all(&mut self, kind: EntityKind) -> Result<usize, ApiError> {
        let Self { state, app, .. } = *self;
        let nodes = state.controller.nodes();
        let lists = nodes.iter().map(|node| list(state, node.id, kind, app));
        let mut entities = try_join_all(lists).await?.concat();
        entities.retain(|entity| self.visited.insert(*entity));
        let ends = entities.into_iter().map(|entity| end(state, entity));
        let ended: Vec<bool> = stream::iter(ends)
            .buffer_unordered(COMMANDS)
            .try_collect()
            .await?;
        Ok(ended.into_iter().filter(|ended| *ended).count())
    }
}

async fn list(
    state: &AdminState,
    node: NodeId,
    kind: EntityKind,
    app: &AppId,
) -> Result<Vec<EntityId>, StoreError> {
    let mut entities = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = state.store.list(node, kind, app, after.as_deref(), PAGE);
        let page = page.await?;
        let Some(last) = page.last() else {
            return Ok(entities);
        };
        after = Some(last.position.clone());
        entities.extend(page.into_iter().map(|row| row.entity));
    }
}

/// Ends a room or a call; returns false if it has ended already.
async fn end(state: &AdminState, entity: EntityId) -> Result<bool, ApiError> {
    let (target, action): (Target, Action) = match entity {
        EntityId::Room(room) => (Target::Room(room), DeleteRoom.into()),
        EntityId::Call(call) => (Target::Call(call), Hangup { cause: None }.into()),
    };
    let intent = Intent::new(target, Requester::Operator, action);
    match state.controller.submit(intent).await {
        Ok(accepted) => {
            if let EntityId::Room(room) = entity {
                let deleted = typed::<DeleteRoom>(accepted)?;
                release(&*state.store, room, &deleted).await;
            }
            Ok(true)
        }
        Err(
            IntentError::Refused(Refusal::RoomNotFound | Refusal::CallNotFound)
            | IntentError::Command(CommandError::NoSuchChannel),
        ) => Ok(false),
        Err(error) => Err(ApiError::intent(error, false)),
    }
}
