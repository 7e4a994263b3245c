//! Tests the way between two nodes by one relay, on the command connections of this replica.
//!
//! Owns the call, its measurement and its end, and the last result of each pair. Leaves out who may request a test
//! (`http::admin`). No room uses relays: a test is no call of any app, so the actors never see its channels
//! (`translate`).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::clock;
use crate::node::{CommandError, NodeHandle, command_error};
use freeswitch_esl::ApiFailure;
use freeswitch_esl::command::{Api, ChannelUuid, RelayAddress, RelayKey, RelayTest as RelayCall};
use roomkeeper_core::ids::NodeId;
use roomkeeper_core::time::Timestamp;

use super::translate::{MediaFigures, media_figures};

/// The time for an answer.
const ANSWER: Duration = Duration::from_secs(5);

/// The time from the answer to the measurement.
const MEASURED: Duration = Duration::from_secs(2);

/// The length of the tone: the call ends by itself soon after the measurement, also if nobody ends it.
const TONE: Duration = Duration::from_secs(3);

/// A call without RTP lives until after the measurement, which then reports zero packets.
const SILENCE: Duration = Duration::from_secs(4);

/// The time that FreeSWITCH may take beyond that for the answer.
const JOB_GRACE: Duration = Duration::from_secs(5);

/// No packet came back.
const NO_MEDIA: &str = "NO_MEDIA";

/// The call ended before it was measured.
const CALL_ENDED: &str = "CALL_ENDED";

/// The call was answered, but the other node does not have it.
const CALL_NOT_FOUND: &str = "CALL_NOT_FOUND";

/// The configured ways between the nodes.
#[derive(Clone, Debug, Default)]
pub struct RelaySettings {
    /// The key that every node expects.
    pub key: Option<RelayKey>,
    /// The address of each node that accepts relays.
    pub addresses: HashMap<NodeId, RelayAddress>,
}

/// The result of a test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelayTest {
    /// The other node.
    pub to: NodeId,
    /// The time of the result.
    pub at: Timestamp,
    /// The reason why the way does not work: FreeSWITCH's cause, or one of our own.
    pub cause: Option<String>,
    /// The figures of an answered call.
    pub figures: Option<RelayFigures>,
}

/// The figures of a relay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RelayFigures {
    /// From the creation of the call to its answer.
    pub answered: Duration,
    /// Packets sent.
    pub sent: u64,
    /// Packets that came back.
    pub received: u64,
    /// Packets that one of the nodes missed.
    pub lost: u64,
    /// The greatest standard deviation of the time between two packets that came back.
    pub jitter: Duration,
}

/// The reason why there was no test.
#[derive(Debug, thiserror::Error)]
pub enum RelayTestError {
    /// The configuration has no such node.
    #[error("there is no node {0}")]
    UnknownNode(NodeId),
    /// Both nodes are the same.
    #[error("a relay leads to another node")]
    SameNode,
    /// The node accepts no relays.
    #[error("node {0} has no relay address")]
    NoAddress(NodeId),
    /// This replica tests a way from the node already.
    #[error("another relay test from node {0} is in progress")]
    InProgress(NodeId),
    /// A node did not answer.
    #[error("node {node}: {error}")]
    Command {
        /// The node.
        node: NodeId,
        /// The failure.
        error: CommandError,
    },
}

/// The tests from one node: the permit of the one in progress, and the last result for each other node.
#[derive(Debug, Default)]
pub(super) struct RelayTests {
    permit: tokio::sync::Mutex<()>,
    /// Bounded by the number of nodes.
    last: Mutex<BTreeMap<NodeId, RelayTest>>,
}

impl RelayTests {
    /// Returns the last result for each other node.
    pub(super) fn last(&self) -> Vec<RelayTest> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.values().cloned().collect()
    }

    /// Tests the way between two nodes.
    pub(super) async fn run(
        &self,
        settings: &RelaySettings,
        from: &NodeHandle,
        to: &NodeHandle,
    ) -> Result<RelayTest, RelayTestError> {
        if from.id() == to.id() {
            return Err(RelayTestError::SameNode);
        }
        let address = |node| {
            let address = settings.addresses.get(&node);
            address.cloned().ok_or(RelayTestError::NoAddress(node))
        };
        address(from.id())?;
        let address = address(to.id())?;
        // The configuration has a key if it has an address.
        let key = settings.key.clone();
        let key = key.ok_or(RelayTestError::NoAddress(to.id()))?;
        for node in [from, to] {
            if let Some(retry_after) = node.down_for() {
                return Err(failed(node)(CommandError::Down { retry_after }));
            }
        }
        let Ok(_permit) = self.permit.try_lock() else {
            return Err(RelayTestError::InProgress(from.id()));
        };
        let (cause, figures) = place(from, to, address, key).await?;
        let test = RelayTest {
            to: to.id(),
            at: clock::now(),
            cause,
            figures,
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(test.to, test.clone());
        Ok(test)
    }
}

type Outcome = (Option<String>, Option<RelayFigures>);

/// Makes the call, measures it and ends it. The call ends as well if this future is dropped.
async fn place(
    from: &NodeHandle,
    to: &NodeHandle,
    address: RelayAddress,
    key: RelayKey,
) -> Result<Outcome, RelayTestError> {
    let [uuid, other] = [(); 2].map(|()| ChannelUuid::from(Uuid::new_v4()));
    let call = RelayCall {
        uuid,
        other,
        key,
        to: address,
        answer: ANSWER,
        tone: TONE,
        silence: SILENCE,
    };
    let _hang_up = HangUp { node: from, uuid };
    let placed = from.job_within(Api::RelayTest(Box::new(call)), ANSWER + JOB_GRACE);
    match placed.await.map_err(failed(from))?.ok() {
        Ok(_) => {}
        Err(ApiFailure::Refused(cause)) => return Ok((Some(cause), None)),
        Err(failure) => return Err(failed(from)(command_error(failure))),
    }
    tokio::time::sleep(MEASURED).await;
    let (here, there) = tokio::join!(figures(from, uuid), figures(to, other));
    let Some(here) = here.map_err(failed(from))? else {
        return Ok((Some(CALL_ENDED.to_owned()), None));
    };
    let Some(there) = there.map_err(failed(to))? else {
        return Ok((Some(CALL_NOT_FOUND.to_owned()), None));
    };
    let cause = (here.received == 0).then(|| NO_MEDIA.to_owned());
    let figures = RelayFigures {
        answered: here.answered,
        sent: here.sent,
        received: here.received,
        lost: here.lost + there.lost,
        jitter: here.jitter,
    };
    Ok((cause, Some(figures)))
}

/// Reads the figures of a channel; `None` if it does not exist.
async fn figures(
    node: &NodeHandle,
    uuid: ChannelUuid,
) -> Result<Option<MediaFigures>, CommandError> {
    // FreeSWITCH runs the commands of a connection in their order.
    let written = node.api(Api::SetMediaStats(uuid));
    let dumped = node.api(Api::Dump(uuid));
    if let Err(failure) = written.await?.ok() {
        return match command_error(failure) {
            CommandError::NoSuchChannel => Ok(None),
            error => Err(error),
        };
    }
    let json = match dumped.await?.json().map_err(command_error) {
        Ok(json) => json,
        Err(CommandError::NoSuchChannel) => return Ok(None),
        Err(error) => return Err(error),
    };
    let figures = media_figures(&json);
    figures
        .map(Some)
        .map_err(|error| CommandError::Refused(error.to_string()))
}

fn failed(node: &NodeHandle) -> impl Fn(CommandError) -> RelayTestError + use<> {
    let node = node.id();
    move |error| RelayTestError::Command { node, error }
}

/// Ends the call when it is dropped, without waiting for the answer: the channel may have ended by itself.
struct HangUp<'a> {
    node: &'a NodeHandle,
    uuid: ChannelUuid,
}

impl Drop for HangUp<'_> {
    fn drop(&mut self) {
        drop(self.node.api(Api::Kill(self.uuid, None)));
    }
}
