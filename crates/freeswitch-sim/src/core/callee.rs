//! SIP calls that the node makes: the callee's side of them.
//!
//! Owns the events until the answer, or until the call has failed, as a real node reports them for 180, 200, 4xx, 5xx, 6xx,
//! no answer, and `uuid_kill` while the callee rings.

use super::{
    Core, IdKind, Origin, Step,
    channel::{Channel, Profile, State},
    config::{Callee, CalleeOutcome},
    pending::Origination,
    task::{CalleeStep, LegStep, Task},
};

const PROGRESS: Origin = (
    "switch_channel.c",
    "switch_channel_perform_mark_ring_ready_value",
    3558,
);

/// The default time for an answer, in seconds (`switch_ivr_originate.c`).
const TIMEOUT: u64 = 60;

impl Core {
    /// Runs `originate {vars}sofia/<profile>/<user>@<host>` or `sofia/gateway/<gateway>/<number>`. Returns `None` if the
    /// answer comes later.
    pub(super) fn originate_sip(
        &mut self,
        endpoint: &str,
        vars: &[(String, String)],
        origination: Origination,
    ) -> Option<String> {
        let target = endpoint.rsplit('/').next().unwrap_or_default();
        let number = target.split(['@', ';']).next().unwrap_or_default();
        let is_relay = self.is_relay(endpoint);
        let callee = if is_relay {
            Some(Callee {
                rings: None,
                then: CalleeOutcome::Silent,
            })
        } else {
            self.config.callees.get(number).copied()
        };
        let Some(callee) = callee.or(self.config.default_callee) else {
            return Some("-ERR INVALID_PROFILE\n".into());
        };
        if self.shut_down || self.channels.len() as u64 + 1 > self.config.max_sessions {
            return Some("-ERR NORMAL_TEMPORARY_FAILURE\n".into());
        }
        let given = |name: &str| vars.iter().find(|(key, _)| key == name).map(|(_, v)| v);
        let uuid = match given("origination_uuid") {
            Some(uuid) => uuid.clone(),
            None => self.ids.next(IdKind::Channel),
        };
        if self.channels.contains_key(&uuid) {
            return Some("-ERR DESTINATION_OUT_OF_ORDER\n".into());
        }
        let timeout = given("originate_timeout").and_then(|seconds| seconds.parse().ok());
        let channel = self.callee_channel(&uuid, endpoint, number, vars);
        self.channels.insert(uuid.clone(), channel);
        self.originating.insert(uuid.clone(), origination);
        self.step(
            Step::Create,
            &uuid,
            Task::Leg(LegStep::Create, uuid.clone()),
        );
        self.plan_callee(&uuid, callee, timeout.unwrap_or(TIMEOUT));
        if is_relay {
            self.invite_relay(&uuid, endpoint, vars);
        }
        None
    }

    fn plan_callee(&mut self, uuid: &str, callee: Callee, timeout: u64) {
        let now = self.now;
        let mut at = |after: u64, step| {
            self.schedule(
                now.saturating_add(after.max(1_000)),
                Task::Callee(step, uuid.to_owned()),
            );
        };
        if let Some(after) = callee.rings {
            at(after, CalleeStep::Ring);
        }
        match callee.then {
            CalleeOutcome::Answers(after) => at(after, CalleeStep::Answer),
            CalleeOutcome::Refuses(after, status) => at(after, CalleeStep::Refuse(status)),
            CalleeOutcome::Silent => {}
        }
        at(timeout.saturating_mul(1_000_000), CalleeStep::Timeout);
    }

    fn callee_channel(
        &mut self,
        uuid: &str,
        endpoint: &str,
        number: &str,
        vars: &[(String, String)],
    ) -> Channel {
        let given = |name: &str, default: &str| {
            let found = vars.iter().find(|(key, _)| key == name);
            found.map_or_else(|| default.to_owned(), |(_, value)| value.clone())
        };
        let caller_name = given("origination_caller_id_name", "");
        let caller = given("origination_caller_id_number", "0000000000");
        let profile = Profile {
            dialplan: String::new(),
            name: caller_name.clone(),
            number: caller.clone(),
            orig_name: caller_name,
            orig_number: caller.clone(),
            callee_name: "Outbound Call".into(),
            callee_number: number.to_owned(),
            ani: caller,
            destination: number.to_owned(),
            source: "src/switch_ivr_originate.c".into(),
            context: "default".into(),
            index: 1,
            created: self.now,
            ..Profile::default()
        };
        let mut channel = self.new_channel(uuid, endpoint.to_owned(), profile);
        channel.outbound = true;
        channel.sip = true;
        channel.hit_dialplan = false;
        channel.set_var("direction", "outbound");
        channel.set_var("is_outbound", "true");
        channel.set_var("uuid", uuid.to_owned());
        channel.set_var("call_uuid", uuid.to_owned());
        let session = channel.session_id.to_string();
        channel.set_var("session_id", session);
        channel.set_var("channel_name", endpoint.to_owned());
        for (key, value) in vars {
            channel.set_var(key, value.clone());
        }
        channel.set_var("originate_early_media", "false");
        channel.set_var("originate_endpoint", "sofia");
        channel
    }

    /// Runs a step of a callee, unless the call set-up is over.
    pub(super) fn callee_step(&mut self, step: CalleeStep, uuid: &str) {
        let is_pending = self
            .channels
            .get(uuid)
            .is_some_and(|channel| channel.is_up() && channel.announced && !channel.answered)
            && self.originating.contains_key(uuid);
        if !is_pending {
            return;
        }
        match step {
            CalleeStep::Ring => {
                if let Some(channel) = self.channels.get_mut(uuid) {
                    channel.call_state = "RINGING";
                }
                self.emit_channel("CHANNEL_PROGRESS", uuid, PROGRESS, &[]);
            }
            CalleeStep::Answer => {
                self.answer(uuid);
                self.step(Step::Run, uuid, Task::Leg(LegStep::Run, uuid.to_owned()));
            }
            CalleeStep::Refuse(status) => {
                let (cause, q850) = cause_of(status);
                if let Some(channel) = self.channels.get_mut(uuid) {
                    channel.set_var("sip_term_status", status.to_string());
                    channel.set_var("sip_invite_failure_status", status.to_string());
                    channel.set_var("proto_specific_hangup_cause", format!("sip:{status}"));
                    channel.set_var("sip_term_cause", q850.to_string());
                }
                self.end_set_up(uuid, cause);
            }
            CalleeStep::Timeout => self.end_set_up(uuid, "NO_ANSWER"),
        }
    }

    fn end_set_up(&mut self, uuid: &str, cause: &'static str) {
        if let Some(channel) = self.channels.get_mut(uuid) {
            channel.running = State::ConsumeMedia;
        }
        self.hang_up(uuid, cause);
    }
}

/// The cause of a final SIP response, and its Q.850 number (`sofia_glue.c`).
const fn cause_of(status: u16) -> (&'static str, u64) {
    match status {
        486 | 600 => ("USER_BUSY", 17),
        480 => ("NO_USER_RESPONSE", 18),
        404 | 485 | 604 => ("UNALLOCATED_NUMBER", 1),
        401 | 402 | 403 | 407 | 603 => ("CALL_REJECTED", 21),
        408 | 504 => ("RECOVERY_ON_TIMER_EXPIRE", 102),
        _ => ("NORMAL_TEMPORARY_FAILURE", 41),
    }
}
