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

use crate::esl::command::{
    Api, ChannelUuid, ConferenceCommand, ConferenceName, TableForm, VarName,
};
use crate::esl::{ApiFailure, ApiReply};
use crate::ids::{ChannelId, CoreId, RoomId};
use crate::node::{CommandError, NodeHandle};
use crate::room::FileId;
use crate::room::plan::Suspect;
use crate::session::{Mark, StepId};
use crate::telemetry as names;

use super::actor::{End, Merged, Part, Work};
use super::fences::{Fence, Fences};
use super::news::{Dump, ListedChannel, ListedConference, ShownRoom, Snapshot};
use super::table::Unclear;
use super::translate::{self, STEP_VARIABLE, UnreadableSnapshot};
use super::turns::{Turn, Turns};

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
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) rooms: usize,
    pub(super) channels: usize,
    pub(super) second_look: bool,
}

/// What one resync works with.
struct Resync<'a> {
    node: &'a NodeHandle,
    actor: &'a mpsc::Sender<Work>,
    fences: &'a Fences,
}

/// Makes the belief true. The actor merges as it goes. It may have a turn already.
pub(super) async fn resync(
    node: &NodeHandle,
    actor: &mpsc::Sender<Work>,
    (turns, turn): (&Turns, Option<Turn>),
    fences: &Fences,
) -> Result<Found, ResyncError> {
    let of = Resync {
        node,
        actor,
        fences,
    };
    // Until all of it is taken in: a list that waits is no less in memory than one that is read.
    let turn = match turn {
        Some(turn) => Some(turn),
        None => turns.take().await,
    };
    let fence = of.timed("fence", of.raise_fence()).await?;
    let lists = of.timed("list", of.lists()).await?;
    let mut found = Found {
        rooms: lists.rooms.len(),
        channels: lists.channels.len(),
        second_look: false,
    };
    let Merged { suspects, asks } = of
        .timed("snapshot", of.snapshot(fence, lists, BTreeSet::new()))
        .await?;
    // Before the second look, so that a member whose call is gone leaves because it hung up.
    let asked = of.channels(fence, asks.wanted, asks.missing);
    of.timed("channels", asked).await?;
    drop(turn);
    let silent = of
        .timed("playback", async {
            let silent = of.playback(asks.playing, BTreeSet::new()).await?;
            of.marks(asks.acting).await?;
            Ok(silent)
        })
        .await?;
    if !suspects.is_empty() || !silent.is_empty() {
        found.second_look = true;
        found.channels = of
            .timed("second_look", async {
                tokio::time::sleep(SECOND_LOOK).await;
                let _turn = turns.take().await;
                let again = of.raise_fence().await?;
                if again.0 != fence.0 {
                    return Err(ResyncError::OtherCore);
                }
                let lists = of.lists().await?;
                let channels = lists.channels.len();
                // Whom it drops is still believed in its room until then: only now is it known which calls to ask for.
                let Merged { asks, .. } = of.snapshot(again, lists, suspects).await?;
                of.channels(again, asks.wanted, asks.missing).await?;
                of.playback(asks.playing, silent).await?;
                Ok(channels)
            })
            .await?;
    }
    Ok(found)
}

/// What FreeSWITCH lists: its calls, and its conferences.
struct Lists {
    channels: Arc<[ListedChannel]>,
    /// Those whose names are room ids of this node.
    rooms: Vec<ShownRoom>,
    conferences: Vec<ListedConference>,
}

impl Resync<'_> {
    /// One stage, and how long it took. One that failed has said no time that means anything.
    async fn timed<T>(
        &self,
        stage: &'static str,
        work: impl Future<Output = Result<T, ResyncError>>,
    ) -> Result<T, ResyncError> {
        let begun = Instant::now();
        let done = work.await?;
        metrics::histogram!(
            names::RESYNC_STAGE_SECONDS,
            "node" => self.node.id().to_string(), "stage" => stage
        )
        .record(begun.elapsed());
        Ok(done)
    }

    /// Both lists at once: each is what is so after the fence, and is read as soon as it is there.
    async fn lists(&self) -> Result<Lists, ResyncError> {
        let channels = async {
            let asked = Api::ShowChannels(TableForm::Delimited);
            let table = self.node.job(asked).await?.table()?;
            let listed = match translate::channels(&table) {
                // Rare: some caller's name or what an application was given has such a character in it, or the server is
                // one whose table is another.
                Err(UnreadableSnapshot::Table(why @ (Unclear::Separator | Unclear::Column(_)))) => {
                    tracing::debug!(node.id = %self.node.id(), %why, "the channels are asked for as JSON");
                    let asked = Api::ShowChannels(TableForm::Json);
                    translate::channels_as_json(&self.node.job(asked).await?.json()?)
                }
                read => read,
            };
            Ok::<_, ResyncError>(listed?.into())
        };
        let conferences = async {
            let json = self.node.job(Api::ConferenceList).await?.json()?;
            Ok(translate::all_conferences(self.node.id(), &json)?)
        };
        let (channels, (rooms, conferences)) = tokio::try_join!(channels, conferences)?;
        Ok(Lists {
            channels,
            rooms,
            conferences,
        })
    }

    /// What FreeSWITCH has shown is merged once everything is heard that it had told before. Otherwise that would be old
    /// news of something known: whoever came in between would leave and come again, and whoever hung up would have no
    /// cause.
    async fn hear_until_now(&self, core: CoreId) -> Result<(), ResyncError> {
        let (of, _) = self.raise_fence().await?;
        if of == core {
            Ok(())
        } else {
            Err(ResyncError::OtherCore)
        }
    }

    /// Merges the lists, some rooms at a time: each part is a commit, and a node can have thousands of rooms that all are
    /// new. `confirmed` is what the snapshot before lacked, too.
    async fn snapshot(
        &self,
        (core, fence): Fence,
        lists: Lists,
        confirmed: BTreeSet<Suspect>,
    ) -> Result<Merged, ResyncError> {
        self.hear_until_now(core).await?;
        let Lists {
            channels,
            rooms,
            conferences,
        } = lists;
        let confirmed = Arc::new(confirmed);
        let mut listed = Some(Arc::clone(&channels));
        let mut part_of = |rooms: Vec<ShownRoom>, end: Option<End>| Part {
            listed: listed.take(),
            snapshot: Snapshot { core, fence, rooms },
            confirmed: Arc::clone(&confirmed),
            end,
        };
        let mut before = BTreeSet::new();
        let mut part = Vec::new();
        let mut suspects = BTreeSet::new();
        let mut members = 0;
        for room in rooms {
            // Of two lives of one name, the newest is listed first and counts.
            if !before.insert(room.room) {
                continue;
            }
            members += room.members.len();
            part.push(room);
            if part.len() >= ROOMS_AT_ONCE || members >= MEMBERS_AT_ONCE {
                let part = part_of(std::mem::take(&mut part), None);
                suspects.extend(self.merge(part).await?.suspects);
                members = 0;
            }
        }
        for room in &part {
            before.remove(&room.room);
        }
        let end = End {
            before,
            all: conferences,
            listed: channels,
        };
        let mut merged = self.merge(part_of(part, Some(end))).await?;
        merged.suspects.append(&mut suspects);
        Ok(merged)
    }

    async fn merge(&self, part: Part) -> Result<Merged, ResyncError> {
        self.ask(|reply| Work::Snapshot(part, reply)).await
    }

    /// Sends a fence and waits until it has come back through the events: whatever was told before it has been read.
    async fn raise_fence(&self) -> Result<Fence, ResyncError> {
        let token: u64 = rand::random();
        let fence = self.fences.wait(token);
        self.node.fence(token).await?;
        match tokio::time::timeout(FENCE_PATIENCE, fence).await {
            Ok(Ok(fence)) => Ok(fence),
            // Or it is known already that it will not.
            Ok(Err(_)) | Err(_) => Err(ResyncError::NoFence),
        }
    }

    /// The list of channels is written late, so it only proposes: what it cannot confirm is asked for one by one, and who
    /// is missing from it is gone only when FreeSWITCH says so by name.
    async fn channels(
        &self,
        (core, fence): Fence,
        wanted: Vec<ChannelId>,
        missing: Vec<ChannelId>,
    ) -> Result<(), ResyncError> {
        let dumps: Vec<Dump> = futures_util::stream::iter(wanted)
            .map(|channel| {
                let answer = self.node.api(Api::Dump(ChannelUuid::from(channel.uuid())));
                // A channel that has ended meanwhile has nothing to tell; its own events do.
                async move { translate::dump(&answer.await.ok()?.json().ok()?).ok() }
            })
            .buffer_unordered(QUESTIONS)
            .filter_map(std::future::ready)
            .collect()
            .await;
        let channels: Vec<ChannelId> = futures_util::stream::iter(missing)
            .map(|channel| {
                let answer = self
                    .node
                    .api(Api::Exists(ChannelUuid::from(channel.uuid())));
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
        self.hear_until_now(core).await?;
        let mut dumps = dumps.into_iter();
        loop {
            let some: Vec<Dump> = dumps.by_ref().take(MEMBERS_AT_ONCE).collect();
            if some.is_empty() {
                break;
            }
            self.tell(Work::Dumps(some)).await?;
        }
        for channels in channels.chunks(MEMBERS_AT_ONCE) {
            let vanished = Work::Vanished {
                channels: channels.to_vec(),
                core,
                fence,
            };
            self.tell(vanished).await?;
        }
        Ok(())
    }

    /// No list has what plays, so every room that should be playing something is asked. What it is said to lack at two
    /// looks has ended unheard.
    async fn playback(
        &self,
        playing: Vec<RoomId>,
        confirmed: BTreeSet<(RoomId, FileId)>,
    ) -> Result<BTreeSet<(RoomId, FileId)>, ResyncError> {
        let rooms: Vec<RoomId> = futures_util::stream::iter(playing)
            .filter_map(|room| async move {
                let name = ConferenceName::new(room.to_string()).ok()?;
                let asked = Api::Conference(name, ConferenceCommand::PlayStatus);
                // Anything but a clear no leaves what is believed as it is.
                let silent = self.node.api(asked).await.is_ok_and(
                    |reply| matches!(reply, ApiReply::Err(text) if text == "Nothing is playing"),
                );
                silent.then_some(room)
            })
            .collect()
            .await;
        if rooms.is_empty() {
            return Ok(BTreeSet::new());
        }
        self.ask(|reply| Work::Silent {
            rooms,
            confirmed,
            reply,
        })
        .await
    }

    /// No list has how far a call is with what it has to do, so its channel is asked.
    async fn marks(&self, acting: Vec<(ChannelId, StepId)>) -> Result<(), ResyncError> {
        let Ok(variable) = VarName::new(STEP_VARIABLE) else {
            return Ok(());
        };
        let marks: Vec<(ChannelId, StepId, Option<Mark>)> = futures_util::stream::iter(acting)
            .map(|(channel, step)| {
                let asked = Api::GetVar(ChannelUuid::from(channel.uuid()), variable.clone());
                let answer = self.node.api(asked);
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
        self.tell(Work::Marked(marks)).await
    }

    async fn tell(&self, work: Work) -> Result<(), ResyncError> {
        let told = self.actor.send(work).await;
        told.map_err(|_| ResyncError::Stopped)
    }

    async fn ask<T>(
        &self,
        work: impl FnOnce(oneshot::Sender<T>) -> Work,
    ) -> Result<T, ResyncError> {
        let (reply, answer) = oneshot::channel();
        self.tell(work(reply)).await?;
        answer.await.map_err(|_| ResyncError::Stopped)
    }
}
