//! One resync of a node: fence, snapshot, merge, and a second look at what the snapshot lacks.
//!
//! Runs beside the actor and speaks to it by messages, so that a slow snapshot holds nothing back. A snapshot that
//! failed or cannot be read ends it: nothing is concluded from it, and the actor tries again.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{mpsc, oneshot};

use crate::esl::ApiFailure;
use crate::esl::command::{Api, ChannelUuid};
use crate::ids::{ChannelId, CoreId};
use crate::node::{CommandError, NodeHandle};
use crate::room::plan::Suspect;

use super::actor::Work;
use super::news::{Dump, Snapshot};
use super::translate::{self, ListedChannel, UnreadableSnapshot};

/// How long after a snapshot the second one is taken that has to agree before a member is dropped.
const SECOND_LOOK: Duration = Duration::from_millis(250);

/// Dumps and questions in flight at once: enough to fill a round trip, few enough to leave the command connection to
/// callers.
const QUESTIONS: usize = 64;

/// How long the fence may take to come back: it passes through the node's event queue.
const FENCE_PATIENCE: Duration = Duration::from_secs(10);

/// Why a resync came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResyncError {
    #[error("FreeSWITCH was not asked: {0}")]
    Command(#[from] CommandError),
    #[error("FreeSWITCH did not give the list: {0}")]
    Failure(#[from] ApiFailure),
    #[error("the list could not be read: {0}")]
    Unreadable(#[from] UnreadableSnapshot),
    #[error("the fence did not come back")]
    NoFence,
    #[error("FreeSWITCH was restarted meanwhile")]
    OtherCore,
    #[error("the reconciler is stopping, or the node is another's now")]
    Stopped,
}

/// What one resync found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) rooms: usize,
    pub(super) channels: usize,
    pub(super) second_look: bool,
}

/// Makes the belief true. The actor merges as it goes.
pub(super) async fn resync(
    node: &NodeHandle,
    actor: &mpsc::Sender<Work>,
) -> Result<Found, ResyncError> {
    let mut found = Found::default();
    let (core, fence, suspects) = conferences(node, actor, BTreeSet::new(), &mut found).await?;
    channels(node, actor, core, fence, &mut found).await?;
    if !suspects.is_empty() {
        found.second_look = true;
        tokio::time::sleep(SECOND_LOOK).await;
        let (again, fence, _) = conferences(node, actor, suspects, &mut found).await?;
        if again != core {
            return Err(ResyncError::OtherCore);
        }
        // Who was dropped by the second look was still believed in its room when the calls were asked for.
        channels(node, actor, core, fence, &mut found).await?;
    }
    Ok(found)
}

async fn conferences(
    node: &NodeHandle,
    actor: &mpsc::Sender<Work>,
    confirmed: BTreeSet<Suspect>,
    found: &mut Found,
) -> Result<(CoreId, u64, BTreeSet<Suspect>), ResyncError> {
    let (core, fence) = raise_fence(node, actor).await?;
    let json = node.job(Api::ConferenceList).await?.json()?;
    let rooms = translate::conferences(node.id(), &json)?;
    found.rooms = rooms.len();
    let snapshot = Snapshot { core, fence, rooms };
    let suspects = ask(actor, |reply| Work::Snapshot {
        snapshot,
        confirmed,
        reply,
    })
    .await?;
    Ok((core, fence, suspects))
}

/// Sends a fence and waits until it has come back through the events: whatever was told before it has been read.
async fn raise_fence(
    node: &NodeHandle,
    actor: &mpsc::Sender<Work>,
) -> Result<(CoreId, u64), ResyncError> {
    let token: u64 = rand::random();
    let (seen, fence) = oneshot::channel();
    let waiting = Work::AwaitFence { token, seen };
    actor
        .send(waiting)
        .await
        .map_err(|_| ResyncError::Stopped)?;
    node.fence(token).await?;
    match tokio::time::timeout(FENCE_PATIENCE, fence).await {
        Ok(Ok(fence)) => Ok(fence),
        Ok(Err(_)) => Err(ResyncError::Stopped),
        Err(_) => Err(ResyncError::NoFence),
    }
}

/// The list of channels is written late, so it only proposes: who is new in it is asked for one by one, and who is
/// missing from it is gone only when FreeSWITCH says so by name.
async fn channels(
    node: &NodeHandle,
    actor: &mpsc::Sender<Work>,
    core: CoreId,
    fence: u64,
    found: &mut Found,
) -> Result<(), ResyncError> {
    let json = node.job(Api::ShowChannels).await?.json()?;
    let listed = translate::channels(&json)?;
    found.channels = listed.len();
    let ids: Vec<ChannelId> = listed.iter().map(|l| l.channel).collect();
    let (wanted, missing) = ask(actor, |reply| Work::WhichChannels { listed: ids, reply }).await?;

    let by_id: std::collections::HashMap<ChannelId, ListedChannel> =
        listed.into_iter().map(|l| (l.channel, l)).collect();
    let dumps: Vec<Dump> = futures_util::stream::iter(wanted)
        .map(|channel| {
            let answer = node.api(Api::Dump(ChannelUuid::from(channel.uuid())));
            async move { (channel, answer.await) }
        })
        .buffer_unordered(QUESTIONS)
        .filter_map(|(channel, answer)| {
            let listed = by_id.get(&channel);
            async move {
                // A channel that has ended meanwhile has nothing to tell; its own events do.
                let json = answer.ok()?.json().ok()?;
                let mut dump = translate::dump(&json).ok()?;
                if let Some(listed) = listed {
                    first_sight(&mut dump, listed);
                }
                Some(dump)
            }
        })
        .collect()
        .await;
    if !dumps.is_empty() {
        let dumped = Work::Dumps(dumps);
        actor.send(dumped).await.map_err(|_| ResyncError::Stopped)?;
    }

    let gone: Vec<ChannelId> = futures_util::stream::iter(missing)
        .map(|channel| {
            let answer = node.api(Api::Exists(ChannelUuid::from(channel.uuid())));
            async move { (channel, answer.await) }
        })
        .buffer_unordered(QUESTIONS)
        .filter_map(|(channel, answer)| async move {
            // Anything but a clear no leaves the call as it is.
            (answer.ok()?.bool() == Ok(false)).then_some(channel)
        })
        .collect()
        .await;
    if !gone.is_empty() {
        let vanished = Work::Vanished {
            channels: gone,
            core,
            fence,
        };
        actor
            .send(vanished)
            .await
            .map_err(|_| ResyncError::Stopped)?;
    }
    Ok(())
}

/// A dump tells of the channel as it is; the list kept the numbers as they were before any transfer.
fn first_sight(dump: &mut Dump, listed: &ListedChannel) {
    if !listed.did.is_empty() {
        dump.identity.did = Some(listed.did.clone());
    }
    if !listed.caller_id.is_empty() {
        dump.identity.caller_id = listed.caller_id.clone();
    }
}

async fn ask<T>(
    actor: &mpsc::Sender<Work>,
    work: impl FnOnce(oneshot::Sender<T>) -> Work,
) -> Result<T, ResyncError> {
    let (reply, answer) = oneshot::channel();
    actor
        .send(work(reply))
        .await
        .map_err(|_| ResyncError::Stopped)?;
    answer.await.map_err(|_| ResyncError::Stopped)
}
