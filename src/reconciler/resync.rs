//! One resync of a node: fence, snapshot, merge, and a second look at what the snapshot lacks.
//!
//! Runs beside the actor and speaks to it by messages, so that a slow snapshot holds nothing back. A snapshot that
//! failed or cannot be read ends it: nothing is concluded from it, and the actor tries again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::esl::command::{Api, ChannelUuid, ConferenceCommand, ConferenceName, VarName};
use crate::esl::{ApiFailure, ApiReply};
use crate::ids::{ChannelId, CoreId, RoomId};
use crate::node::{CommandError, NodeHandle};
use crate::room::FileId;
use crate::room::plan::Suspect;
use crate::session::{Mark, StepId};
use crate::telemetry as names;

use super::actor::Work;
use super::news::{Dump, ListedChannel, ListedConference, ShownRoom, Snapshot};
use super::translate::{self, STEP_VARIABLE, UnreadableSnapshot};
use super::turns::Turns;

/// How long after a snapshot the second one is taken that has to agree before a member is dropped.
const SECOND_LOOK: Duration = Duration::from_millis(250);

/// Dumps and questions in flight at once: enough to fill a round trip, few enough to leave the command connection to
/// callers.
const QUESTIONS: usize = 64;

/// Rooms of a snapshot that are merged at once, unless they have many members.
const ROOMS_AT_ONCE: usize = 256;

/// Members of such rooms: if all of them are new, their commit takes Redis some 50 ms, for which it does nothing else.
const MEMBERS_AT_ONCE: usize = 1_024;

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
    #[error("it panicked")]
    Panicked,
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
    turns: &Turns,
) -> Result<Found, ResyncError> {
    let mut found = Found::default();
    // Until all of it is taken in: a list that waits is no less in memory than one that is read.
    let turn = turns.take().await;
    let (core, fence) = timed(node, "fence", raise_fence(node, actor)).await?;
    let mut listed = timed(node, "list", list(node)).await?;
    // Who the channels are is learnt first, so that a member that nobody has met has its numbers.
    tell(actor, Work::Listed(Arc::clone(&listed))).await?;
    let (rooms, suspects) = timed(node, "snapshot", async {
        let (snapshot, all) = conferences(node, actor, core, fence).await?;
        let rooms = snapshot.rooms.len();
        let suspects = merge(actor, snapshot, BTreeSet::new()).await?;
        tell(actor, Work::Conferences(all)).await?;
        Ok((rooms, suspects))
    })
    .await?;
    found.rooms = rooms;
    // Before the second look, so that a member whose call is gone leaves because it hung up.
    let asked = channels(node, actor, core, fence, Arc::clone(&listed));
    timed(node, "channels", asked).await?;
    drop(turn);
    let silent = timed(node, "playback", async {
        let silent = playback(node, actor, BTreeSet::new()).await?;
        marks(node, actor).await?;
        Ok(silent)
    })
    .await?;
    if !suspects.is_empty() || !silent.is_empty() {
        found.second_look = true;
        listed = timed(node, "second_look", async {
            tokio::time::sleep(SECOND_LOOK).await;
            let _turn = turns.take().await;
            let (again, fence) = raise_fence(node, actor).await?;
            if again != core {
                return Err(ResyncError::OtherCore);
            }
            let (snapshot, all) = conferences(node, actor, core, fence).await?;
            merge(actor, snapshot, suspects).await?;
            tell(actor, Work::Conferences(all)).await?;
            // Whom it dropped was still believed in its room when the calls were asked for.
            let listed = list(node).await?;
            channels(node, actor, core, fence, Arc::clone(&listed)).await?;
            playback(node, actor, silent).await?;
            Ok(listed)
        })
        .await?;
    }
    found.channels = listed.len();
    Ok(found)
}

/// One stage, and how long it took. One that failed has said no time that means anything.
async fn timed<T>(
    node: &NodeHandle,
    stage: &'static str,
    work: impl Future<Output = Result<T, ResyncError>>,
) -> Result<T, ResyncError> {
    let begun = Instant::now();
    let done = work.await?;
    metrics::histogram!(
        names::RESYNC_STAGE_SECONDS,
        "node" => node.id().to_string(), "stage" => stage
    )
    .record(begun.elapsed());
    Ok(done)
}

async fn list(node: &NodeHandle) -> Result<Arc<[ListedChannel]>, ResyncError> {
    let json = node.job(Api::ShowChannels).await?.json()?;
    Ok(translate::channels(&json)?.into())
}

/// What FreeSWITCH has shown is merged once everything is heard that it had told before. Otherwise that would be old news
/// of something known: whoever came in between would leave and come again, and whoever hung up would have no cause.
async fn hear_until_now(
    node: &NodeHandle,
    actor: &mpsc::Sender<Work>,
    core: CoreId,
) -> Result<(), ResyncError> {
    let (of, _) = raise_fence(node, actor).await?;
    if of == core {
        Ok(())
    } else {
        Err(ResyncError::OtherCore)
    }
}

async fn conferences(
    node: &NodeHandle,
    actor: &mpsc::Sender<Work>,
    core: CoreId,
    fence: u64,
) -> Result<(Snapshot, Vec<ListedConference>), ResyncError> {
    let json = node.job(Api::ConferenceList).await?.json()?;
    let (rooms, all) = translate::all_conferences(node.id(), &json)?;
    drop(json);
    hear_until_now(node, actor, core).await?;
    Ok((Snapshot { core, fence, rooms }, all))
}

/// Merges it, some rooms at a time: each part is a commit, and a node can have thousands of rooms that all are new.
async fn merge(
    actor: &mpsc::Sender<Work>,
    snapshot: Snapshot,
    confirmed: BTreeSet<Suspect>,
) -> Result<BTreeSet<Suspect>, ResyncError> {
    let Snapshot { core, fence, rooms } = snapshot;
    let confirmed = Arc::new(confirmed);
    let mut before = BTreeSet::new();
    let mut part = Vec::new();
    let mut suspects = BTreeSet::new();
    let merge_part = async |rooms: Vec<ShownRoom>, before: Option<BTreeSet<RoomId>>| {
        let confirmed = Arc::clone(&confirmed);
        ask(actor, |reply| Work::Snapshot {
            snapshot: Snapshot { core, fence, rooms },
            confirmed,
            before,
            reply,
        })
        .await
    };
    let mut members = 0;
    for room in rooms {
        // Of two lives of one name, the newest is listed first and counts.
        if !before.insert(room.room) {
            continue;
        }
        members += room.members.len();
        part.push(room);
        if part.len() >= ROOMS_AT_ONCE || members >= MEMBERS_AT_ONCE {
            suspects.extend(merge_part(std::mem::take(&mut part), None).await?);
            members = 0;
        }
    }
    let shown: Vec<RoomId> = part.iter().map(|room| room.room).collect();
    for room in &shown {
        before.remove(room);
    }
    suspects.extend(merge_part(part, Some(before)).await?);
    Ok(suspects)
}

/// Sends a fence and waits until it has come back through the events: whatever was told before it has been read.
async fn raise_fence(
    node: &NodeHandle,
    actor: &mpsc::Sender<Work>,
) -> Result<(CoreId, u64), ResyncError> {
    let token: u64 = rand::random();
    let (seen, fence) = oneshot::channel();
    tell(actor, Work::AwaitFence { token, seen }).await?;
    node.fence(token).await?;
    match tokio::time::timeout(FENCE_PATIENCE, fence).await {
        Ok(Ok(fence)) => Ok(fence),
        // Or it is known already that it will not.
        Ok(Err(_)) | Err(_) => Err(ResyncError::NoFence),
    }
}

/// The list of channels is written late, so it only proposes: what it cannot confirm is asked for one by one, and who is
/// missing from it is gone only when FreeSWITCH says so by name.
async fn channels(
    node: &NodeHandle,
    actor: &mpsc::Sender<Work>,
    core: CoreId,
    fence: u64,
    listed: Arc<[ListedChannel]>,
) -> Result<(), ResyncError> {
    let (wanted, missing) = ask(actor, |reply| Work::WhichChannels { listed, reply }).await?;
    let dumps: Vec<Dump> = futures_util::stream::iter(wanted)
        .map(|channel| {
            let answer = node.api(Api::Dump(ChannelUuid::from(channel.uuid())));
            // A channel that has ended meanwhile has nothing to tell; its own events do.
            async move { translate::dump(&answer.await.ok()?.json().ok()?).ok() }
        })
        .buffer_unordered(QUESTIONS)
        .filter_map(std::future::ready)
        .collect()
        .await;
    let channels: Vec<ChannelId> = futures_util::stream::iter(missing)
        .map(|channel| {
            let answer = node.api(Api::Exists(ChannelUuid::from(channel.uuid())));
            // Anything but a clear no leaves the call as it is.
            async move { (answer.await.ok()?.bool() == Ok(false)).then_some(channel) }
        })
        .buffer_unordered(QUESTIONS)
        .filter_map(std::future::ready)
        .collect()
        .await;
    if dumps.is_empty() && channels.is_empty() {
        return Ok(());
    }
    hear_until_now(node, actor, core).await?;
    let mut dumps = dumps.into_iter();
    loop {
        let some: Vec<Dump> = dumps.by_ref().take(MEMBERS_AT_ONCE).collect();
        if some.is_empty() {
            break;
        }
        tell(actor, Work::Dumps(some)).await?;
    }
    for channels in channels.chunks(MEMBERS_AT_ONCE) {
        let vanished = Work::Vanished {
            channels: channels.to_vec(),
            core,
            fence,
        };
        tell(actor, vanished).await?;
    }
    Ok(())
}

/// No list has what plays, so every room that should be playing something is asked. What it is said to lack at two looks
/// has ended unheard.
async fn playback(
    node: &NodeHandle,
    actor: &mpsc::Sender<Work>,
    confirmed: BTreeSet<(RoomId, FileId)>,
) -> Result<BTreeSet<(RoomId, FileId)>, ResyncError> {
    let playing = ask(actor, |reply| Work::WhichPlaying { reply }).await?;
    let rooms: Vec<RoomId> = futures_util::stream::iter(playing)
        .filter_map(|room| async move {
            let name = ConferenceName::new(room.to_string()).ok()?;
            let asked = Api::Conference(name, ConferenceCommand::PlayStatus);
            // Anything but a clear no leaves what is believed as it is.
            let silent = node.api(asked).await.is_ok_and(
                |reply| matches!(reply, ApiReply::Err(text) if text == "Nothing is playing"),
            );
            silent.then_some(room)
        })
        .collect()
        .await;
    if rooms.is_empty() {
        return Ok(BTreeSet::new());
    }
    ask(actor, |reply| Work::Silent {
        rooms,
        confirmed,
        reply,
    })
    .await
}

/// No list has how far a call is with what it has to do, so its channel is asked.
async fn marks(node: &NodeHandle, actor: &mpsc::Sender<Work>) -> Result<(), ResyncError> {
    let acting = ask(actor, |reply| Work::WhichActing { reply }).await?;
    let Ok(variable) = VarName::new(STEP_VARIABLE) else {
        return Ok(());
    };
    let marks: Vec<(ChannelId, StepId, Option<Mark>)> = futures_util::stream::iter(acting)
        .map(|(channel, step)| {
            let asked = Api::GetVar(ChannelUuid::from(channel.uuid()), variable.clone());
            let answer = node.api(asked);
            // A channel that has ended meanwhile has nothing to tell; its own events do.
            async move { Some((channel, step, answer.await.ok()?.text().ok()?.parse().ok())) }
        })
        .buffer_unordered(QUESTIONS)
        .filter_map(std::future::ready)
        .collect()
        .await;
    if marks.is_empty() {
        return Ok(());
    }
    tell(actor, Work::Marked(marks)).await
}

async fn tell(actor: &mpsc::Sender<Work>, work: Work) -> Result<(), ResyncError> {
    actor.send(work).await.map_err(|_| ResyncError::Stopped)
}

async fn ask<T>(
    actor: &mpsc::Sender<Work>,
    work: impl FnOnce(oneshot::Sender<T>) -> Work,
) -> Result<T, ResyncError> {
    let (reply, answer) = oneshot::channel();
    tell(actor, work(reply)).await?;
    answer.await.map_err(|_| ResyncError::Stopped)
}
