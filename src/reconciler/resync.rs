//! One resync of a node: fence, snapshot, merge, and a second look at members that the snapshot lacks.
//!
//! It runs beside the actor and sends it messages, so that a slow snapshot delays nothing. A snapshot that fails or cannot
//! be parsed ends the resync without any conclusion, and the actor tries again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::node::NodeHandle;
use crate::telemetry as names;
use freeswitch_esl::ApiReply;
use freeswitch_esl::command::{
    Api, ChannelUuid, ConferenceCommand, ConferenceName, TableForm, VarName,
};
use roomkeeper_core::call::{Checkpoint, StepId};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{ChannelId, CoreId};
use roomkeeper_core::node_state::RecordedMember;
use roomkeeper_core::room::FileId;
use roomkeeper_core::room::plan::Suspect;

use super::fences::{Fence, Fences};
use super::messages::{ActorMessage, End, Merged, Part, ResyncSummary};
use super::resync_error::ResyncError;
use super::resync_limiter::{ResyncLimiter, ResyncPermit};
use super::table::TableError;
use super::translate::{self, UnreadableSnapshot};
use super::variables::STEP_VARIABLE;
use roomkeeper_core::switch_event::{
    ChannelDump, ListedChannel, ListedConference, Snapshot, SnapshotRoom,
};

/// The pause before the second snapshot, which must agree before a member is dropped.
const SECOND_LOOK: Duration = Duration::from_millis(250);

/// Dumps and other queries in flight: enough to fill a round trip, few enough to leave the command connection to callers.
const MAX_QUERIES: usize = 64;

/// Rooms of a snapshot that are merged together, unless they have many members.
const ROOMS_AT_ONCE: usize = 256;

/// Members of such rooms: if all of them are new, their commit occupies Redis for some 50 ms.
const MEMBERS_AT_ONCE: usize = 1_024;

/// The time for the fence to come back through the node's event queue.
const FENCE_TIMEOUT: Duration = Duration::from_secs(10);

/// The environment of one resync.
struct Resync<'a> {
    node: &'a NodeHandle,
    actor: &'a mpsc::Sender<ActorMessage>,
    fences: &'a Fences,
}

/// Runs one resync. The actor merges the parts as they arrive. `permit` is one that the actor holds already.
pub(super) async fn resync(
    node: &NodeHandle,
    actor: &mpsc::Sender<ActorMessage>,
    (limiter, permit): (&ResyncLimiter, Option<ResyncPermit>),
    fences: &Fences,
) -> Result<ResyncSummary, ResyncError> {
    let resync = Resync {
        node,
        actor,
        fences,
    };
    // Held until the lists, which stay in memory, are merged.
    let permit = match permit {
        Some(permit) => Some(permit),
        None => limiter.acquire().await,
    };
    let fence = resync.timed("fence", resync.send_fence()).await?;
    let lists = resync.timed("list", resync.lists()).await?;
    let mut found = ResyncSummary {
        rooms: lists.rooms.len(),
        channels: lists.channels.len(),
        second_look: false,
    };
    let Merged {
        suspects,
        open_questions,
    } = resync
        .timed("snapshot", resync.snapshot(fence, lists, BTreeSet::new()))
        .await?;
    // This precedes the second look, so that a member whose call has ended leaves with the hang-up as its cause.
    let query = resync.channels(fence, open_questions.wanted, open_questions.missing);
    resync.timed("channels", query).await?;
    drop(permit);
    let silent = resync
        .timed("playback", async {
            let silent = resync
                .playback(open_questions.playing, BTreeSet::new())
                .await?;
            resync.checkpoints(open_questions.acting).await?;
            resync
                .recorded_members(open_questions.recorded, fence)
                .await?;
            Ok(silent)
        })
        .await?;
    if !suspects.is_empty() || !silent.is_empty() {
        found.second_look = true;
        found.channels = resync
            .timed("second_look", async {
                tokio::time::sleep(SECOND_LOOK).await;
                let _permit = limiter.acquire().await;
                let second = resync.send_fence().await?;
                if second.0 != fence.0 {
                    return Err(ResyncError::OtherCore);
                }
                let lists = resync.lists().await?;
                let channels = lists.channels.len();
                // The calls to query are known only now: a member that this snapshot drops was in its room until here.
                let Merged { open_questions, .. } =
                    resync.snapshot(second, lists, suspects).await?;
                resync
                    .channels(second, open_questions.wanted, open_questions.missing)
                    .await?;
                resync.playback(open_questions.playing, silent).await?;
                Ok(channels)
            })
            .await?;
    }
    Ok(found)
}

/// Asks FreeSWITCH to recover the calls that it tracked before it restarted. Its answer decides nothing: the lists show
/// which calls are back. A repetition is harmless, because FreeSWITCH forgets what it has recovered; it is necessary,
/// because a SIP profile that has not started yet recovers nothing.
pub(super) async fn recover_calls(node: &NodeHandle) {
    let answer = match node.job(Api::RecoverCalls).await {
        Ok(reply) => format!("{reply:?}"),
        Err(error) => error.to_string(),
    };
    tracing::info!(node.id = %node.id(), answer, "asked FreeSWITCH to recover the calls of its last run");
}

/// FreeSWITCH's lists of channels and conferences.
struct Lists {
    channels: Arc<[ListedChannel]>,
    /// Those whose names are room ids of this node.
    rooms: Vec<SnapshotRoom>,
    conferences: Vec<ListedConference>,
}

impl Resync<'_> {
    /// Runs one stage and records its duration. The duration of a failed stage means nothing, so it is not recorded.
    async fn timed<T>(
        &self,
        stage: &'static str,
        work: impl Future<Output = Result<T, ResyncError>>,
    ) -> Result<T, ResyncError> {
        let started = Instant::now();
        let done = work.await?;
        metrics::histogram!(
            names::RESYNC_STAGE_SECONDS,
            "node" => self.node.id().to_string(), "stage" => stage
        )
        .record(started.elapsed());
        Ok(done)
    }

    /// Fetches both lists at once. Both describe the state after the fence, and each is parsed when it arrives.
    async fn lists(&self) -> Result<Lists, ResyncError> {
        let channels = async {
            let command = Api::ShowChannels(TableForm::Delimited);
            let table = self.node.job(command).await?.table()?;
            let listed = match translate::channels(&table) {
                // Rare: a caller's name or an application's argument contains the separator, or the server's table
                // differs.
                Err(UnreadableSnapshot::Table(
                    why @ (TableError::Separator | TableError::Column(_)),
                )) => {
                    tracing::debug!(node.id = %self.node.id(), %why, "the table of channels is ambiguous; requesting it as JSON");
                    let command = Api::ShowChannels(TableForm::Json);
                    translate::channels_as_json(&self.node.job(command).await?.json()?)
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

    /// Waits until all events before the lists are received. Otherwise they would arrive after the merge, as old events: a
    /// member that joined in between would leave and join again, and a call that hung up would have no cause.
    async fn wait_for_events(&self, core: CoreId) -> Result<(), ResyncError> {
        let (reached, _) = self.send_fence().await?;
        if reached == core {
            Ok(())
        } else {
            Err(ResyncError::OtherCore)
        }
    }

    /// Merges the lists in parts of some rooms: each part is a commit, and all of thousands of rooms can be new.
    /// `confirmed` are the memberships that the previous snapshot lacked, too.
    async fn snapshot(
        &self,
        (core, fence): Fence,
        lists: Lists,
        confirmed: BTreeSet<Suspect>,
    ) -> Result<Merged, ResyncError> {
        self.wait_for_events(core).await?;
        let Lists {
            channels,
            rooms,
            conferences,
        } = lists;
        let confirmed = Arc::new(confirmed);
        let mut listed = Some(Arc::clone(&channels));
        let mut new_part = |rooms: Vec<SnapshotRoom>, end: Option<End>| Part {
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
            // Of two conference instances with one name, the newest is listed first and counts.
            if !before.insert(room.room) {
                continue;
            }
            members += room.members.len();
            part.push(room);
            if part.len() >= ROOMS_AT_ONCE || members >= MEMBERS_AT_ONCE {
                let part = new_part(std::mem::take(&mut part), None);
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
        let mut merged = self.merge(new_part(part, Some(end))).await?;
        merged.suspects.append(&mut suspects);
        Ok(merged)
    }

    async fn merge(&self, part: Part) -> Result<Merged, ResyncError> {
        self.request(|reply| ActorMessage::Snapshot(part, reply))
            .await
    }

    /// Sends a fence and waits until it comes back among the events: all earlier events have then been received.
    async fn send_fence(&self) -> Result<Fence, ResyncError> {
        let token: u64 = rand::random();
        let fence = self.fences.wait(token);
        self.node.fence(token).await?;
        match tokio::time::timeout(FENCE_TIMEOUT, fence).await {
            Ok(Ok(fence)) => Ok(fence),
            // A closed channel means that the fence is lost.
            Ok(Err(_)) | Err(_) => Err(ResyncError::NoFence),
        }
    }

    /// Queries single channels. FreeSWITCH writes the list of channels late, so channels that it cannot confirm are queried
    /// one by one, and a missing channel has ended only if FreeSWITCH confirms that for its id.
    async fn channels(
        &self,
        (core, fence): Fence,
        wanted: Vec<ChannelId>,
        missing: Vec<ChannelId>,
    ) -> Result<(), ResyncError> {
        let dumps: Vec<ChannelDump> = futures_util::stream::iter(wanted)
            .map(|channel| {
                let answer = self.node.api(Api::Dump(ChannelUuid::from(channel.uuid())));
                // A channel that has ended meanwhile is reported by its own events.
                async move { translate::dump(&answer.await.ok()?.json().ok()?).ok() }
            })
            .buffer_unordered(MAX_QUERIES)
            .filter_map(std::future::ready)
            .collect()
            .await;
        let channels: Vec<ChannelId> = futures_util::stream::iter(missing)
            .map(|channel| {
                let answer = self
                    .node
                    .api(Api::Exists(ChannelUuid::from(channel.uuid())));
                // Only an explicit "false" ends the call.
                async move { (answer.await.ok()?.bool() == Ok(false)).then_some(channel) }
            })
            .buffer_unordered(MAX_QUERIES)
            .filter_map(std::future::ready)
            .collect()
            .await;
        if dumps.is_empty() && channels.is_empty() {
            return Ok(());
        }
        self.wait_for_events(core).await?;
        let mut dumps = dumps.into_iter();
        loop {
            let some: Vec<ChannelDump> = dumps.by_ref().take(MEMBERS_AT_ONCE).collect();
            if some.is_empty() {
                break;
            }
            self.send(ActorMessage::Dumps(some)).await?;
        }
        for channels in channels.chunks(MEMBERS_AT_ONCE) {
            let ended = ActorMessage::EndedCalls {
                channels: channels.to_vec(),
                core,
                fence,
            };
            self.send(ended).await?;
        }
        Ok(())
    }

    /// Queries playback for every room and member that something should play to, because no list shows it. A file that two
    /// reports lack has ended without an event.
    async fn playback(
        &self,
        playing: Vec<Target>,
        confirmed: BTreeSet<(Target, FileId)>,
    ) -> Result<BTreeSet<(Target, FileId)>, ResyncError> {
        let targets: Vec<Target> = futures_util::stream::iter(playing)
            .filter_map(|target| async move {
                let name = ConferenceName::new(target.room()?.to_string()).ok()?;
                let member = target.call().map(|call| call.channel().uuid().into());
                let command = Api::Conference(name, ConferenceCommand::PlayStatus(member));
                // Only this answer proves that nothing plays.
                let silent = self.node.api(command).await.is_ok_and(
                    |reply| matches!(reply, ApiReply::Err(text) if text == "Nothing is playing"),
                );
                silent.then_some(target)
            })
            .collect()
            .await;
        if targets.is_empty() {
            return Ok(BTreeSet::new());
        }
        self.request(|reply| ActorMessage::Silent {
            targets,
            confirmed,
            reply,
        })
        .await
    }

    /// Queries the checkpoints of calls that run actions, because no list shows them.
    async fn checkpoints(&self, acting: Vec<(ChannelId, StepId)>) -> Result<(), ResyncError> {
        let Ok(variable) = VarName::new(STEP_VARIABLE) else {
            return Ok(());
        };
        let checkpoints: Vec<(ChannelId, StepId, Option<Checkpoint>)> = futures_util::stream::iter(
            acting,
        )
        .map(|(channel, step)| {
            let command = Api::GetVar(ChannelUuid::from(channel.uuid()), variable.clone());
            let answer = self.node.api(command);
            // A channel that has ended meanwhile is reported by its own events.
            async move { Some((channel, step, answer.await.ok()?.text().ok()?.parse().ok())) }
        })
        .buffer_unordered(MAX_QUERIES)
        .filter_map(std::future::ready)
        .collect()
        .await;
        if checkpoints.is_empty() {
            return Ok(());
        }
        self.send(ActorMessage::Checkpoints(checkpoints)).await
    }

    /// Queries the recordings of members, because no list shows them.
    async fn recorded_members(
        &self,
        recorded: Vec<RecordedMember>,
        (core, fence): Fence,
    ) -> Result<(), ResyncError> {
        let listed: Vec<(RecordedMember, bool)> = futures_util::stream::iter(recorded)
            .map(|member| {
                let command = Api::BugList(ChannelUuid::from(member.channel.uuid()));
                let answer = self.node.api(command);
                // A channel that has ended meanwhile is reported by its own events.
                async move {
                    let list = answer.await.ok()?.text().ok()?;
                    Some((member, translate::lists_recording(&list, member.recording)))
                }
            })
            .buffer_unordered(MAX_QUERIES)
            .filter_map(std::future::ready)
            .collect()
            .await;
        if listed.is_empty() {
            return Ok(());
        }
        // The event of an end has the exact length.
        self.wait_for_events(core).await?;
        self.send(ActorMessage::RecordedMembers(listed, fence))
            .await
    }

    async fn send(&self, work: ActorMessage) -> Result<(), ResyncError> {
        let sent = self.actor.send(work).await;
        sent.map_err(|_| ResyncError::Stopped)
    }

    async fn request<T>(
        &self,
        work: impl FnOnce(oneshot::Sender<T>) -> ActorMessage,
    ) -> Result<T, ResyncError> {
        let (reply, answer) = oneshot::channel();
        self.send(work(reply)).await?;
        answer.await.map_err(|_| ResyncError::Stopped)
    }
}
