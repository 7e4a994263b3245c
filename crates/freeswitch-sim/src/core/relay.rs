//! Relays: calls from one node to another, which returns their sound, and the figures of their RTP.
//!
//! Owns both ends of such a call, and the signals between them. Leaves out their delivery: that is the server's.

use super::{
    Core, InboundCall, Step,
    channel::Channel,
    task::{CalleeStep, LegStep, Task},
};

/// The beginning of the name of a channel of the profile, on both nodes.
const NAME: &str = "sofia/relays/";

/// The header with the key, as a variable of the caller's channel.
const KEY: &str = "sip_h_X-Roomkeeper-Key";

/// The time between two packets, in microseconds.
const PACKET: u64 = 20_000;

/// The bytes of a packet with its RTP header.
const PACKET_BYTES: u64 = 172;

/// A message to the other end of a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelaySignal {
    /// A call to the node at this address.
    Invite {
        /// `host:port`.
        address: String,
        /// The channel here.
        caller: String,
        /// The UUID of the channel there.
        call_id: String,
        /// The given key.
        key: String,
    },
    /// One end of an answered call has hung up.
    Ended {
        /// The UUID of the called channel.
        call_id: String,
    },
}

impl Core {
    /// Returns true if the node at the other end of a call from here answers it.
    pub(super) fn is_relay(&self, endpoint: &str) -> bool {
        self.config.relay_key.is_some() && endpoint.starts_with(NAME)
    }

    /// Sends a call to another node.
    pub(super) fn invite_relay(&mut self, uuid: &str, endpoint: &str, vars: &[(String, String)]) {
        let address = endpoint.split_once('@').map(|(_, address)| address);
        let given = |name: &str| {
            let found = vars.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        self.relay_signals.push(RelaySignal::Invite {
            address: address.unwrap_or_default().to_owned(),
            caller: uuid.to_owned(),
            call_id: given("sip_invite_call_id"),
            key: given(KEY),
        });
    }

    /// Takes the signals to other nodes.
    pub fn take_relay_signals(&mut self) -> Vec<RelaySignal> {
        std::mem::take(&mut self.relay_signals)
    }

    /// Receives a call from another node.
    ///
    /// # Errors
    ///
    /// The SIP status of the refusal.
    pub fn relay_in(&mut self, call_id: &str, key: &str, now: u64) -> Result<(), u16> {
        self.advance(now);
        if self.shut_down || self.channels.contains_key(call_id) {
            return Err(503);
        }
        let is_admitted = self.config.relay_key.as_deref() == Some(key);
        let plan: &[(&str, &str)] = match is_admitted {
            true => &[("answer", ""), ("echo", "")],
            false => &[("hangup", "CALL_REJECTED")],
        };
        let step = |(app, arg): &(&str, &str)| ((*app).to_owned(), (*arg).to_owned());
        let call = InboundCall {
            did: "relay-test".to_owned(),
            caller_number: "0000000000".to_owned(),
            plan: plan.iter().map(step).collect(),
            ..InboundCall::default()
        };
        let mut channel = self.inbound_channel(call_id, call);
        channel.name = format!("{NAME}0000000000@{}", self.config.domain);
        channel.set_var("channel_name", channel.name.clone());
        channel.set_var("sofia_profile_name", "relays");
        channel.profile.context = "relays".into();
        channel.first_profile.context = "relays".into();
        self.channels.insert(call_id.to_owned(), channel);
        self.step(
            Step::Create,
            call_id,
            Task::Inbound(LegStep::Create, call_id.to_owned()),
        );
        is_admitted.then_some(()).ok_or(603)
    }

    /// Receives the final response of another node to a call from here.
    pub fn relay_answered(&mut self, caller: &str, response: Result<(), u16>, now: u64) {
        self.advance(now);
        let step = match response {
            Ok(()) => CalleeStep::Answer,
            Err(status) => CalleeStep::Refuse(status),
        };
        self.schedule(now + 1_000, Task::Callee(step, caller.to_owned()));
    }

    /// Hangs up this node's end of a relay whose other end has hung up.
    pub fn relay_ended(&mut self, call_id: &str, now: u64) {
        self.advance(now);
        let ends = self
            .channels
            .values()
            .filter(|channel| relay_id(channel).as_deref() == Some(call_id))
            .map(|channel| channel.uuid.clone());
        let ends: Vec<String> = ends.collect();
        for uuid in ends {
            self.hang_up(&uuid, "NORMAL_CLEARING");
        }
    }

    /// Notes that a channel has hung up.
    pub(super) fn end_relay(&mut self, uuid: &str) {
        let Some(channel) = self.channels.get(uuid).filter(|channel| channel.answered) else {
            return;
        };
        if self.config.relay_key.is_some()
            && let Some(call_id) = relay_id(channel)
        {
            self.relay_signals.push(RelaySignal::Ended { call_id });
        }
    }

    /// Runs `uuid_set_media_stats`. Both directions have a packet every 20 ms, and a jitter of 2 ms.
    pub(super) fn set_media_stats(&mut self, uuid: &str) -> String {
        if uuid.is_empty() {
            return "-USAGE: <uuid>\n".into();
        }
        let (now, is_blocked) = (self.now, self.config.rtp_blocked);
        let Some(channel) = self.channels.get_mut(uuid) else {
            return format!("-ERR No such channel {uuid}!\n");
        };
        let since = match channel.answered {
            true => channel.answered_at,
            false => now,
        };
        let sent = now.saturating_sub(since) / PACKET;
        let received = if is_blocked { 0 } else { sent };
        for (direction, packets) in [("in", received), ("out", sent)] {
            for (figure, value) in [
                ("raw_bytes", packets * PACKET_BYTES),
                ("media_bytes", packets * PACKET_BYTES),
                ("packet_count", packets),
                ("media_packet_count", packets),
                ("skip_packet_count", 0),
            ] {
                let name = format!("rtp_audio_{direction}_{figure}");
                channel.set_var(&name, value.to_string());
            }
        }
        for (figure, value) in [
            ("jitter_min_variance", "1.00"),
            ("jitter_max_variance", "4.00"),
            ("mean_interval", "20.00"),
            ("flaw_total", "0"),
        ] {
            channel.set_var(&format!("rtp_audio_in_{figure}"), value);
        }
        "+OK:\n".into()
    }
}

/// The UUID of the called channel of a relay, of which this is one end.
fn relay_id(channel: &Channel) -> Option<String> {
    if !channel.name.starts_with(NAME) {
        return None;
    }
    match channel.outbound {
        true => channel.var("sip_invite_call_id"),
        false => Some(channel.uuid.clone()),
    }
}
