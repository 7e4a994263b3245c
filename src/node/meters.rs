//! Metrics of every event and command of a node. Their handles are created once, so that counting costs an addition and
//! builds no label.

use std::collections::HashMap;
use std::time::Duration;

use metrics::{Counter, Histogram};

use crate::telemetry as names;
use freeswitch_esl::{ApiReply, CommandReply, ConferenceAction, EventKind};
use roomkeeper_core::ids::NodeId;

use super::CommandError;
use super::handle::Answer;

/// The label of unknown events: a node may send any name.
const OTHER: &str = "other";

/// Counts events by kind.
pub(super) struct EventMeters {
    node: String,
    seen: HashMap<&'static str, Counter>,
}

impl EventMeters {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node: node.to_string(),
            seen: HashMap::new(),
        }
    }

    pub(super) fn count(&mut self, kind: &EventKind<'_>) {
        let name = event(kind);
        let node = &self.node;
        self.seen
            .entry(name)
            .or_insert_with(
                || metrics::counter!(names::ESL_EVENTS, "node" => node.clone(), "event" => name),
            )
            .increment(1);
    }
}

fn event(kind: &EventKind<'_>) -> &'static str {
    match kind {
        EventKind::ChannelCreate => "CHANNEL_CREATE",
        EventKind::ChannelProgress => "CHANNEL_PROGRESS",
        EventKind::ChannelProgressMedia => "CHANNEL_PROGRESS_MEDIA",
        EventKind::ChannelAnswer => "CHANNEL_ANSWER",
        EventKind::ChannelPark => "CHANNEL_PARK",
        EventKind::ChannelUnpark => "CHANNEL_UNPARK",
        EventKind::ChannelBridge => "CHANNEL_BRIDGE",
        EventKind::ChannelExecuteComplete => "CHANNEL_EXECUTE_COMPLETE",
        EventKind::ChannelHangup => "CHANNEL_HANGUP",
        EventKind::ChannelHangupComplete => "CHANNEL_HANGUP_COMPLETE",
        EventKind::ChannelDestroy => "CHANNEL_DESTROY",
        EventKind::Dtmf => "DTMF",
        EventKind::MediaBugStart => "MEDIA_BUG_START",
        EventKind::RecordStart => "RECORD_START",
        EventKind::RecordStop => "RECORD_STOP",
        EventKind::BackgroundJob => "BACKGROUND_JOB",
        EventKind::Heartbeat => "HEARTBEAT",
        EventKind::Shutdown => "SHUTDOWN",
        EventKind::Conference(action) => {
            let known = ConferenceAction::KNOWN.iter();
            let mut same = known.filter(|known| **known == action.as_str());
            same.next().copied().unwrap_or(OTHER)
        }
        EventKind::Custom(_) | EventKind::Other(_) => OTHER,
    }
}

/// Counts commands by outcome.
pub(super) struct CommandMeters {
    seconds: Histogram,
    ok: Counter,
    refused: Counter,
    timeout: Counter,
    down: Counter,
    nudges: Counter,
}

impl CommandMeters {
    pub(super) fn new(node: NodeId) -> Self {
        let node = node.to_string();
        let outcome = |outcome: &'static str| metrics::counter!(names::NODE_COMMANDS, "node" => node.clone(), "outcome" => outcome);
        Self {
            nudges: metrics::counter!(names::NODE_NUDGES, "node" => node.clone()),
            ok: outcome("ok"),
            refused: outcome("refused"),
            timeout: outcome("timeout"),
            down: outcome("down"),
            seconds: metrics::histogram!(names::NODE_COMMAND_SECONDS, "node" => node),
        }
    }

    /// Counts a wake-up.
    pub(super) fn nudged(&self) {
        self.nudges.increment(1);
    }

    /// Counts a command, and returns its outcome.
    pub(super) fn count(
        &self,
        result: &Result<Answer, CommandError>,
        took: Duration,
    ) -> &'static str {
        let (outcome, counter) = match result {
            Ok(Answer::Api(ApiReply::Err(_)) | Answer::Command(CommandReply::Err(_))) => {
                ("refused", &self.refused)
            }
            Ok(_) => ("ok", &self.ok),
            Err(CommandError::Unknown) => ("timeout", &self.timeout),
            Err(_) => ("down", &self.down),
        };
        counter.increment(1);
        self.seconds.record(took.as_secs_f64());
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn unknown_event_name_is_no_label() {
        let action = |name: &'static str| {
            event(&EventKind::Conference(ConferenceAction::from_wire(
                Cow::Borrowed(name),
            )))
        };
        assert_eq!(action("add-member"), "add-member");
        assert_eq!(action("made-up"), "other");
        assert_eq!(event(&EventKind::Other("MADE_UP".into())), "other");
        assert_eq!(event(&EventKind::Custom("made::up".into())), "other");
        assert_eq!(event(&EventKind::Heartbeat), "HEARTBEAT");
    }
}
