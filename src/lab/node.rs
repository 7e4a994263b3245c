//! The lab's node: the simulated one, or a real FreeSWITCH.
//!
//! Owns the calls that come in there and the voices of their callers. Both kinds of node take them like calls of a trunk.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;
use uuid::Uuid;

use super::error::LabError;
use super::names::{DID, NODE};
use crate::node::{self, EventSink, Link, NodeConfig, NodeHandle, Nudge, Timing, command_error};
use crate::supervise::ShutdownPhase;
use freeswitch_esl::Event;
use freeswitch_esl::command::{
    Api, AppName, ChannelUuid, Command, ContextName, ExecutionId, Line, ModuleName, Number,
    Password, VarName,
};
use freeswitch_sim::{SimConfig, SimNode};

/// The password of the simulated node.
const PASSWORD: &str = "lab-node-password";

/// The dialplan context of a real node that the callers reach, as in freeswitch-conf/.
const CONTEXT: &str = "inbound";

/// The time after which a caller on a real node hangs up by itself, if the lab was killed and could not end its calls.
const LONGEST_CALL: Duration = Duration::from_secs(3600);

/// The timeout of the first connection to a real node.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The time for the hang-ups at the end.
const HANG_UP_TIMEOUT: Duration = Duration::from_secs(3);

/// The frequencies of a voice on a real node, in hertz: a tone that a listener notices as artificial.
const VOICE: &str = "350,440";

/// The choice of a node.
#[derive(Clone, Debug)]
pub enum NodeChoice {
    /// A simulated node in this process.
    Simulated,
    /// A FreeSWITCH on freeswitch-conf/.
    FreeSwitch {
        /// `host:port` of its Event Socket.
        address: String,
        /// The Event Socket's password.
        password: SecretString,
    },
}

/// A call on a real node that the lab placed.
#[derive(Debug)]
pub(super) struct PlacedCall {
    /// The channel that entered the dialplan, which Roomkeeper controls.
    call: Uuid,
    /// The caller's end of the same call.
    caller: ChannelUuid,
}

/// A running node.
#[derive(Debug)]
pub(super) enum LabNode {
    Simulated(SimNode),
    FreeSwitch {
        handle: NodeHandle,
        address: String,
        password: SecretString,
        placed: Vec<PlacedCall>,
    },
}

/// Ignores all events; none is subscribed to.
struct NoEvents;

impl EventSink for NoEvents {
    fn up(&mut self) {}
    fn event(&mut self, _: &Event) {}
    fn down(&mut self) {}
}

impl LabNode {
    /// Starts the simulated node, or connects to the real one.
    pub(super) async fn start(
        choice: NodeChoice,
        connections: &ShutdownPhase,
    ) -> Result<Self, LabError> {
        match choice {
            NodeChoice::Simulated => {
                let mut config = SimConfig::default();
                config.node.password = PASSWORD.to_owned();
                Ok(Self::Simulated(SimNode::start(config).await?))
            }
            NodeChoice::FreeSwitch { address, password } => {
                let handle = connect(&address, &password, connections).await?;
                Ok(Self::FreeSwitch {
                    handle,
                    address,
                    password,
                    placed: Vec::new(),
                })
            }
        }
    }

    /// A description for the first screen.
    pub(super) fn description(&self) -> String {
        match self {
            Self::Simulated(_) => "a simulated FreeSWITCH node".to_owned(),
            Self::FreeSwitch { address, .. } => format!("the FreeSWITCH node {address}"),
        }
    }

    /// `host:port` of the Event Socket.
    pub(super) fn address(&self) -> String {
        match self {
            Self::Simulated(sim) => sim.addr.to_string(),
            Self::FreeSwitch { address, .. } => address.clone(),
        }
    }

    /// The Event Socket's password.
    pub(super) fn password(&self) -> &str {
        match self {
            Self::Simulated(_) => PASSWORD,
            Self::FreeSwitch { password, .. } => password.expose_secret(),
        }
    }

    /// True if the node can fetch audio from a listener on this machine's loopback.
    pub(super) fn is_on_loopback(&self) -> bool {
        match self {
            Self::Simulated(_) => true,
            Self::FreeSwitch { address, .. } => {
                address.starts_with("localhost:")
                    || address
                        .parse::<SocketAddr>()
                        .is_ok_and(|address| address.ip().is_loopback())
            }
        }
    }

    /// Calls the app's number as the caller with this index, and returns the call's id.
    pub(super) async fn place_call(&mut self, caller: u64) -> Result<String, LabError> {
        let from = Number::of_digits(527_121_100 + caller % 100);
        match self {
            Self::Simulated(sim) => Ok(format!(
                "{NODE}-{}",
                sim.call_in(DID, &from.to_string(), &[])
            )),
            Self::FreeSwitch { handle, placed, .. } => {
                let uuid = ChannelUuid::from(Uuid::new_v4());
                let call = Api::TestCall {
                    uuid,
                    from,
                    to: Number::new(DID)?,
                    context: ContextName::new(CONTEXT)?,
                    lasts: LONGEST_CALL,
                };
                handle.job(call).await?.ok().map_err(command_error)?;
                let other = VarName::new("other_loopback_leg_uuid")?;
                let other = handle.api(Api::GetVar(uuid, other)).await?;
                let other = other.text().map_err(command_error)?;
                let call = other
                    .trim()
                    .parse::<Uuid>()
                    .map_err(|_| LabError::Demo(format!("{uuid} has no other end: {other}")))?;
                placed.push(PlacedCall { call, caller: uuid });
                Ok(format!("{NODE}-{call}"))
            }
        }
    }

    /// Lets the caller of this call talk for a while. On the simulated node, [`LabNode::fall_silent`] ends that.
    pub(super) async fn talk(&self, call: &str, duration: Duration) -> Result<(), LabError> {
        match self {
            Self::Simulated(sim) => sim.talk(channel(call), true),
            Self::FreeSwitch { handle, placed, .. } => {
                let wanted = |placed: &&PlacedCall| channel(call) == placed.call.to_string();
                let Some(placed) = placed.iter().find(wanted) else {
                    return Ok(());
                };
                let tone = format!("tone_stream://%({},0,{VOICE})", duration.as_millis());
                let speak = Command::Execute {
                    channel: placed.caller,
                    app: AppName::new("playback")?,
                    arg: Some(Line::new(&*tone)?),
                    event_uuid: ExecutionId::new(&*Uuid::new_v4().to_string())?,
                    lock: false,
                };
                handle.command(speak).await?;
            }
        }
        Ok(())
    }

    /// Ends the voice of this call's caller.
    pub(super) fn fall_silent(&self, call: &str) {
        match self {
            Self::Simulated(sim) => sim.talk(channel(call), false),
            // The tone ends by itself.
            Self::FreeSwitch { .. } => {}
        }
    }

    /// Forgets the calls that have ended.
    pub(super) fn forget_ended(&mut self, is_up: impl Fn(&str) -> bool) {
        if let Self::FreeSwitch { placed, .. } = self {
            placed.retain(|placed| is_up(&format!("{NODE}-{}", placed.call)));
        }
    }

    /// Hangs up the lab's calls on a real node. The simulated one ends with the process.
    pub(super) async fn hang_up_all(&mut self) {
        let Self::FreeSwitch { handle, placed, .. } = self else {
            return;
        };
        let until = Instant::now() + HANG_UP_TIMEOUT;
        for call in placed.drain(..) {
            let left = until.saturating_duration_since(Instant::now());
            // The call or its node may have ended.
            let _ended = timeout(left, handle.api(Api::Kill(call.caller, None))).await;
        }
    }
}

/// The channel's UUID of a call's id.
fn channel(call: &str) -> &str {
    call.split_once('-').map_or(call, |(_, uuid)| uuid)
}

/// Connects to a FreeSWITCH, and fails when it refuses or does not answer.
async fn connect(
    address: &str,
    password: &SecretString,
    connections: &ShutdownPhase,
) -> Result<NodeHandle, LabError> {
    let unusable = |reason: String| LabError::Node {
        address: address.to_owned(),
        reason,
    };
    let config = NodeConfig {
        id: NODE
            .parse()
            .map_err(|_| LabError::Demo("the node's id is invalid".to_owned()))?,
        address: address.to_owned(),
        password: Password::new(password.expose_secret())?,
        speech_module: ModuleName::new("mod_flite")?,
        timing: Timing::default(),
        nudge: Nudge::default(),
    };
    let handle = node::start(config, NoEvents, connections)?;
    let mut status = handle.watch();
    let connected = status.wait_for(|status| status.commands != Link::Connecting);
    match timeout(CONNECT_TIMEOUT, connected).await {
        Ok(Ok(status)) => match &status.commands {
            Link::Down { reason, .. } => return Err(unusable(reason.clone())),
            Link::Up | Link::Connecting => {}
        },
        Ok(Err(_)) => return Err(unusable("the connection has ended".to_owned())),
        Err(_) => return Err(unusable("it does not answer".to_owned())),
    }
    Ok(handle)
}
