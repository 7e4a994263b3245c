//! Callers for real nodes: keeps a number of calls on each, which arrive through its dialplan like those of a trunk.
//!
//! Owns the number of calls, their duration, and their end at shutdown. The node's dialplan and the app decide
//! everything else. A node that was unreachable, or returns without its calls, gets new ones.

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

/// The interval between two checks of a node's calls. Each check starts at most one call, so they do not all arrive at
/// once.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The time for hang-ups at shutdown.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// The settings of the callers.
#[derive(Clone, Debug)]
pub struct CallersConfig {
    /// `host:port` of each node's Event Socket.
    pub nodes: Vec<String>,
    /// The nodes' password.
    pub password: Password,
    /// The dialled number.
    pub number: Number,
    /// The dialplan context of the number.
    pub context: ContextName,
    /// The number of concurrent calls on each node.
    pub calls: usize,
    /// The average duration of a call; actual calls vary by up to half of it.
    pub lasts: Duration,
}

/// Ignores all events; none is subscribed to.
struct NoEvents;

impl EventSink for NoEvents {
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
        let node_callers = NodeCallers {
            node: node::start(node, NoEvents, &connections)?,
            address: address.clone(),
            config: config.clone(),
            calls: Vec::new(),
            placed: 0,
            last_error: None,
        };
        callers.spawn(node_callers.run(callers.stop().clone()));
    }
    say(&format!(
        "Keeps {} calls to {} on each of {}.\n\n",
        config.calls,
        config.number,
        config.nodes.join(", ")
    ));
    stop.await;
    callers.end(STOP_TIMEOUT).await;
    connections.end(STOP_TIMEOUT).await;
    Ok(())
}

/// The callers of one node.
struct NodeCallers {
    node: NodeHandle,
    address: String,
    config: CallersConfig,
    calls: Vec<ChannelUuid>,
    /// The number of calls so far.
    placed: u32,
    /// The last printed error, which is not repeated every second.
    last_error: Option<String>,
}

impl NodeCallers {
    async fn run(mut self, stop: CancellationToken) {
        let mut next = Instant::now();
        while !stop.is_cancelled() {
            match self.check_calls().await {
                Ok(()) => self.last_error = None,
                Err(error) => self.print_error(&error),
            }
            next = (next + CHECK_INTERVAL).max(Instant::now());
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
        for call in self.calls {
            // The call or its node may have ended.
            let hung_up = self.node.api(Api::Kill(call, None));
            tokio::select! {
                _ended = hung_up => {}
                () = sleep(CHECK_INTERVAL) => {}
            }
        }
    }

    /// Forgets ended calls, and starts one if there are too few.
    async fn check_calls(&mut self) -> Result<(), CommandError> {
        let mut up = Vec::with_capacity(self.calls.len());
        for call in &self.calls {
            let answer = self.node.api(Api::Exists(*call)).await?;
            if answer.bool() != Ok(false) {
                up.push(*call);
            }
        }
        self.calls = up;
        if self.calls.len() < self.config.calls {
            self.start_call().await?;
        }
        Ok(())
    }

    async fn start_call(&mut self) -> Result<(), CommandError> {
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
        // Added before the command, so that it is checked and hung up even if the reply is lost.
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

    fn print_error(&mut self, error: &CommandError) {
        // The error contains a wait that always changes.
        let text = match error {
            CommandError::Down { .. } => {
                "node is unreachable; calls continue when it is back".to_owned()
            }
            CommandError::NoSuchChannel
            | CommandError::Refused(_)
            | CommandError::Unknown
            | CommandError::Busy => error.to_string(),
        };
        if self.last_error.as_ref() != Some(&text) {
            say(&format!("  {}  no call: {text}\n", self.address));
            self.last_error = Some(text);
        }
    }
}
