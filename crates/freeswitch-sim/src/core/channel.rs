//! A channel: its state, its caller profile, its variables, its applications.
//!
//! Owns the data and a channel's description in events. Leaves out its behaviour: that is `call`.

use std::collections::VecDeque;

use super::collecting::Collecting;
use super::event::{Event, Value};

/// The states of a channel that appear in events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Init,
    Routing,
    Execute,
    ConsumeMedia,
    ExchangeMedia,
    Hangup,
    Reporting,
    Destroy,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Init => "CS_INIT",
            State::Routing => "CS_ROUTING",
            State::Execute => "CS_EXECUTE",
            State::ConsumeMedia => "CS_CONSUME_MEDIA",
            State::ExchangeMedia => "CS_EXCHANGE_MEDIA",
            State::Hangup => "CS_HANGUP",
            State::Reporting => "CS_REPORTING",
            State::Destroy => "CS_DESTROY",
        }
    }

    pub fn number(self) -> u64 {
        match self {
            State::Init => 1,
            State::Routing => 2,
            State::Execute => 4,
            State::ConsumeMedia => 7,
            State::ExchangeMedia => 5,
            State::Hangup => 10,
            State::Reporting => 11,
            State::Destroy => 12,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Profile {
    pub username: String,
    pub dialplan: String,
    pub name: String,
    pub number: String,
    pub orig_name: String,
    pub orig_number: String,
    pub callee_name: String,
    pub callee_number: String,
    pub network_addr: String,
    pub ani: String,
    pub destination: String,
    pub source: String,
    pub context: String,
    pub transfer_source: String,
    pub rdnis: String,
    pub index: u64,
    pub created: u64,
}

/// The condition that a running application waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wait {
    /// Another command takes the channel away.
    Park,
    /// The conference with this unique id lets it go; `None` while it is joining.
    Conference(Option<String>),
    /// A time. The response is set then.
    Until(u64, Option<&'static str>),
    /// The other side of a `bridge`.
    Bridge,
    /// Nothing: it never ends by itself.
    Forever,
}

#[derive(Debug, Clone)]
pub(super) struct Execution {
    pub app: String,
    pub arg: String,
    pub uuid: String,
    pub wait: Wait,
    pub started: u64,
    /// True if it came by `sendmsg`, into a running application.
    pub sent: bool,
    pub locked: bool,
}

impl Execution {
    pub fn plays(&self) -> bool {
        matches!(self.app.as_str(), "playback" | "endless_playback" | "speak")
    }
}

/// An application requested by `sendmsg`.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub app: String,
    pub arg: String,
    pub uuid: String,
    pub locked: bool,
}

/// A recording of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tap {
    pub path: String,
    pub since: u64,
}

/// The target of a transfer.
#[derive(Debug, Clone)]
pub(super) struct Transfer {
    pub plan: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
pub(super) struct Channel {
    pub uuid: String,
    pub session_id: u64,
    pub name: String,
    pub outbound: bool,
    pub sip: bool,
    /// The present state of the thread.
    pub running: State,
    /// The next state of the thread.
    pub state: State,
    pub call_state: &'static str,
    pub answered: bool,
    pub announced: bool,
    pub hit_dialplan: bool,
    pub flipped: bool,
    pub logical_inbound: bool,
    pub hangup: Option<&'static str>,
    /// True if the thread has finished executing, and only its report and its end are left.
    pub ending: bool,
    pub created: u64,
    pub answered_at: u64,
    pub hangup_at: u64,
    pub profile: Profile,
    pub first_profile: Profile,
    pub routed_destination: String,
    pub vars: Vec<(String, Value)>,
    pub peer: Option<String>,
    /// The channel that it is connected with by `bridge`.
    pub bridged: Option<String>,
    pub read_codec: &'static str,
    pub write_codec: &'static str,
    pub stack: Vec<Execution>,
    pub plan: VecDeque<(String, String)>,
    /// The whole plan that it executes.
    pub last_plan: Vec<(String, String)>,
    /// True if it was recovered and has entered no conference since: it enters the first one without an event.
    pub enters_silently: bool,
    pub messages: VecDeque<Message>,
    pub transfer: Option<Transfer>,
    pub last_app: Option<(String, String)>,
    /// The variables of the application alone that its plan started last.
    pub scope: Vec<(String, String)>,
    /// Its recordings.
    pub taps: Vec<Tap>,
    pub member_id: Option<u64>,
    /// True if the other side speaks.
    pub voice: bool,
    pub voice_until: u64,
    /// The number of the present tone, by which alternations of an older tone are recognised.
    pub tone: u64,
    pub park_timer: u64,
    /// The digits that its innermost application collects.
    pub collecting: Option<Collecting>,
}

impl Channel {
    pub fn var(&self, name: &str) -> Option<String> {
        self.vars
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.text().into_owned())
    }

    pub fn set_var(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.vars.iter_mut().find(|(key, _)| key == name) {
            Some(slot) => slot.1 = value,
            None => self.vars.push((name.to_owned(), value)),
        }
    }

    pub fn unset_var(&mut self, name: &str) {
        self.vars.retain(|(key, _)| key != name);
    }

    pub fn push_var(&mut self, name: &str, item: String) {
        match self.vars.iter_mut().find(|(key, _)| key == name) {
            Some((_, Value::List(items))) => items.push(item),
            Some((_, slot)) => *slot = Value::List(vec![slot.text().into_owned(), item]),
            None => self.vars.push((name.to_owned(), item.into())),
        }
    }

    /// Returns the conference that it is in.
    pub fn room(&self) -> Option<&str> {
        self.stack
            .iter()
            .rev()
            .find_map(|running| match &running.wait {
                Wait::Conference(Some(uid)) => Some(uid.as_str()),
                Wait::Conference(None)
                | Wait::Park
                | Wait::Until(..)
                | Wait::Bridge
                | Wait::Forever => None,
            })
    }

    pub fn is_up(&self) -> bool {
        self.hangup.is_none()
    }

    pub fn answer_state(&self) -> &'static str {
        if self.hangup.is_some() {
            "hangup"
        } else if self.answered {
            "answered"
        } else {
            "ringing"
        }
    }

    pub fn direction(&self) -> &'static str {
        if self.outbound { "outbound" } else { "inbound" }
    }

    /// Appends the headers of every event about a channel.
    pub fn describe(&self, event: &mut Event) {
        event.add("Channel-State", self.running.name());
        event.add("Channel-Call-State", self.call_state);
        event.add("Channel-State-Number", self.state.number());
        event.add("Channel-Name", self.name.clone());
        event.add("Unique-ID", self.uuid.clone());
        event.add("Call-Direction", self.direction());
        event.add("Presence-Call-Direction", self.direction());
        event.add("Channel-HIT-Dialplan", self.hit_dialplan);
        event.add("Channel-Call-UUID", self.uuid.clone());
        event.add("Answer-State", self.answer_state());
        if let Some(cause) = self.hangup {
            event.add("Hangup-Cause", cause);
        }
        for (side, codec) in [("Read", self.read_codec), ("Write", self.write_codec)] {
            event.add(format!("Channel-{side}-Codec-Name"), codec);
            event.add(format!("Channel-{side}-Codec-Rate"), "8000");
            event.add(format!("Channel-{side}-Codec-Bit-Rate"), bit_rate(codec));
        }
        self.describe_caller(event);
    }

    fn describe_caller(&self, event: &mut Event) {
        let profile = &self.profile;
        let optional = |event: &mut Event, name: &'static str, value: &str| {
            if !value.is_empty() {
                event.add(name, value.to_owned());
            }
        };
        event.add("Caller-Direction", self.direction());
        event.add(
            "Caller-Logical-Direction",
            if self.logical_inbound {
                "inbound"
            } else {
                self.direction()
            },
        );
        optional(event, "Caller-Username", &profile.username);
        optional(event, "Caller-Dialplan", &profile.dialplan);
        optional(event, "Caller-Caller-ID-Name", &profile.name);
        optional(event, "Caller-Caller-ID-Number", &profile.number);
        optional(event, "Caller-Orig-Caller-ID-Name", &profile.orig_name);
        optional(event, "Caller-Orig-Caller-ID-Number", &profile.orig_number);
        optional(event, "Caller-Callee-ID-Name", &profile.callee_name);
        optional(event, "Caller-Callee-ID-Number", &profile.callee_number);
        optional(event, "Caller-Network-Addr", &profile.network_addr);
        optional(event, "Caller-ANI", &profile.ani);
        optional(event, "Caller-Destination-Number", &profile.destination);
        event.add("Caller-Unique-ID", self.uuid.clone());
        optional(event, "Caller-Source", &profile.source);
        optional(event, "Caller-Transfer-Source", &profile.transfer_source);
        optional(event, "Caller-Context", &profile.context);
        optional(event, "Caller-RDNIS", &profile.rdnis);
        event.add("Caller-Channel-Name", self.name.clone());
        event.add("Caller-Profile-Index", profile.index);
        event.add("Caller-Profile-Created-Time", profile.created);
        event.add("Caller-Channel-Created-Time", self.created);
        event.add("Caller-Channel-Answered-Time", self.answered_at);
        event.add("Caller-Channel-Progress-Time", "0");
        event.add("Caller-Channel-Progress-Media-Time", "0");
        event.add("Caller-Channel-Hangup-Time", self.hangup_at);
        for rest in [
            "Transfer-Time",
            "Resurrect-Time",
            "Bridged-Time",
            "Last-Hold",
            "Hold-Accum",
        ] {
            event.add(format!("Caller-Channel-{rest}"), "0");
        }
        event.add("Caller-Screen-Bit", true);
        event.add("Caller-Privacy-Hide-Name", false);
        event.add("Caller-Privacy-Hide-Number", false);
    }

    /// Appends all variables.
    pub fn describe_vars(&self, event: &mut Event) {
        for (name, value) in &self.vars {
            event
                .headers
                .push((format!("variable_{name}").into(), value.clone()));
        }
    }
}

/// Returns the bit rate of a codec at 8 kHz.
pub(super) fn bit_rate(codec: &str) -> &'static str {
    if codec == "L16" { "128000" } else { "64000" }
}

/// The hangup causes that commands may name, with their Q.850 numbers.
const CAUSES: [(&str, u64); 21] = [
    ("NORMAL_CLEARING", 16),
    ("MANAGER_REQUEST", 16),
    ("SYSTEM_SHUTDOWN", 16),
    ("USER_BUSY", 17),
    ("NO_USER_RESPONSE", 18),
    ("NO_ANSWER", 19),
    ("CALL_REJECTED", 21),
    ("EXCHANGE_ROUTING_ERROR", 25),
    ("DESTINATION_OUT_OF_ORDER", 27),
    ("NORMAL_UNSPECIFIED", 31),
    ("NO_ROUTE_DESTINATION", 3),
    ("UNALLOCATED_NUMBER", 1),
    ("NORMAL_TEMPORARY_FAILURE", 41),
    ("INCOMPATIBLE_DESTINATION", 88),
    ("MEDIA_TIMEOUT", 16),
    ("ORIGINATOR_CANCEL", 16),
    ("ALLOTTED_TIMEOUT", 16),
    ("RECOVERY_ON_TIMER_EXPIRE", 102),
    ("LOSE_RACE", 16),
    ("PICKED_OFF", 16),
    ("NONE", 0),
];

/// Returns the cause with this name or Q.850 number, if there is one.
pub(super) fn cause(text: &str) -> Option<&'static str> {
    let number = text.parse::<u64>().ok();
    CAUSES
        .iter()
        .find(|(name, q850)| name.eq_ignore_ascii_case(text) || number == Some(*q850))
        .map(|(name, _)| *name)
}

/// Returns the Q.850 number of a cause.
pub(super) fn q850(name: &str) -> u64 {
    CAUSES
        .iter()
        .find(|(known, _)| *known == name)
        .map_or(16, |(_, number)| *number)
}
