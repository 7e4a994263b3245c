//! Callers for real nodes: keeps a number of calls on each, which come in through its dialplan like those of a trunk.
//!
//! Owns how many there are, how long they last, and their end when it is told to stop. Leaves out what becomes of them:
//! that is the node's dialplan's, and the app's. A node that is away, or comes back without its calls, gets new ones.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::error::LabError;
use super::output::say;
use crate::node::{self, CommandError, EventSink, NodeConfig, NodeHandle, Nudge, Timing};
use crate::shutdown::stop_signal;
use crate::supervise::ShutdownPhase;
use freeswitch_esl::Event;
use freeswitch_esl::command::{Api, ChannelUuid, ContextName, ModuleName, Number, Password};
use roomkeeper_core::ids::NodeId;

/// Between two looks at a node's calls. At most one call is made at each, so they do not come all at once.
const PAUSE: Duration = Duration::from_secs(1);

/// The time for hanging up at the end.
const STOPPING: Duration = Duration::from_secs(3);

/// The settings of the callers.
#[derive(Clone, Debug)]
pub struct CallersConfig {
    /// `host:port` of each node's Event Socket.
    pub nodes: Vec<String>,
    /// Their password.
    pub password: Password,
    /// The number that is called.
    pub number: Number,
    /// The dialplan's context that it is called in.
    pub context: ContextName,
    /// The number of concurrent calls on each node.
    pub calls: usize,
    /// The average duration of a call; actual calls vary by up to half of it.
    pub lasts: Duration,
}

/// No event is asked for.
struct Nobody;

impl EventSink for Nobody {
    fn up(&mut self) {}
    fn event(&mut self, _: &Event) {}
    fn down(&mut self) {}
}

/// Keeps calls up until a stop signal; then hangs them up.
///
/// # Errors
/// [`LabError`] if there are too many nodes.
pub async fn run(config: CallersConfig) -> Result<(), LabError> {
    let stop = stop_signal();
    let (connections, callers) = (ShutdownPhase::new(), ShutdownPhase::new());
    for (n, address) in config.nodes.iter().enumerate() {
        let id: NodeId = format!("lab{:02}", n + 1)
            .parse()
            .map_err(|_| LabError::Demo("more than 99 nodes".to_owned()))?;
        let node = NodeConfig {
            id,
            address: address.clone(),
            password: config.password.clone(),
            speech_module: ModuleName::new("mod_flite")?,
            timing: Timing::default(),
            nudge: Nudge::default(),
        };
        let line = Line {
            node: node::start(node, Nobody, &connections)?,
            address: address.clone(),
            config: config.clone(),
            calls: Vec::new(),
            placed: 0,
            complaint: None,
        };
        callers.spawn(line.keep(callers.stop().clone()));
    }
    say(&format!(
        "Keeps {} calls to {} on each of {}.\n\n",
        config.calls,
        config.number,
        config.nodes.join(", ")
    ));
    stop.await;
    callers.end(STOPPING).await;
    connections.end(STOPPING).await;
    Ok(())
}

/// The callers of one node.
struct Line {
    node: NodeHandle,
    address: String,
    config: CallersConfig,
    calls: Vec<ChannelUuid>,
    /// The number of calls so far.
    placed: u32,
    /// The last printed error, which is not repeated every second.
    complaint: Option<String>,
}

impl Line {
    async fn keep(mut self, stop: CancellationToken) {
        let mut next = Instant::now();
        while !stop.is_cancelled() {
            match self.look().await {
                Ok(()) => self.complaint = None,
                Err(error) => self.complain(&error),
            }
            next = (next + PAUSE).max(Instant::now());
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
        for call in self.calls {
            // It may have ended, and so may its node.
            let hung_up = self.node.api(Api::Kill(call, None));
            tokio::select! {
                _ended = hung_up => {}
                () = sleep(PAUSE) => {}
            }
        }
    }

    /// Forgets the calls that have ended, and makes one if there are too few.
    async fn look(&mut self) -> Result<(), CommandError> {
        let mut up = Vec::with_capacity(self.calls.len());
        for call in &self.calls {
            let answer = self.node.api(Api::Exists(*call)).await?;
            if answer.bool() != Ok(false) {
                up.push(*call);
            }
        }
        self.calls = up;
        if self.calls.len() < self.config.calls {
            self.call().await?;
        }
        Ok(())
    }

    async fn call(&mut self) -> Result<(), CommandError> {
        let uuid = ChannelUuid::from(Uuid::new_v4());
        let from = Number::of_digits(527_121_100 + u64::from(self.placed % 100));
        let share = rand::random_range(0.5..1.5);
        let lasts = self.config.lasts.mul_f64(share);
        let call = Api::TestCall {
            uuid,
            from: from.clone(),
            to: self.config.number.clone(),
            context: self.config.context.clone(),
            lasts,
        };
        // Known before it is made: whatever comes of the answer, it is looked for, and hung up at the end.
        self.calls.push(uuid);
        self.placed = self.placed.wrapping_add(1);
        self.node.job(call).await?;
        say(&format!(
            "  {}  {from} calls {}, for {} s\n",
            self.address,
            self.config.number,
            lasts.as_secs()
        ));
        Ok(())
    }

    fn complain(&mut self, error: &CommandError) {
        // The wait in it changes all the time.
        let words = match error {
            CommandError::Down { .. } => "it cannot be reached; new calls when it can".to_owned(),
            CommandError::NoSuchChannel
            | CommandError::Refused(_)
            | CommandError::Unknown
            | CommandError::Busy => error.to_string(),
        };
        if self.complaint.as_ref() != Some(&words) {
            say(&format!("  {}  no call: {words}\n", self.address));
            self.complaint = Some(words);
        }
    }
}
