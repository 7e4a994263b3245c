//! The origin of calls: `originate` with its two loopback legs, and calls from outside.
//!
//! Owns the creation of channels up to the moment when they run their plan. Leaves out their plans.

use std::collections::VecDeque;

use super::{
    Core, IdKind, Origin, Step,
    channel::{Channel, Profile, State},
    event::Value,
    inline::parse_inline,
    pending::{Asker, Origination},
    task::{LegStep, Task},
};

const CREATE: Origin = (
    "switch_core_state_machine.c",
    "switch_core_session_run",
    626,
);

/// A call from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboundCall {
    /// The dialled number.
    pub did: String,
    /// The caller's name.
    pub caller_name: String,
    /// The caller's number.
    pub caller_number: String,
    /// Channel variables that the dialplan sets.
    pub vars: Vec<(String, String)>,
    /// The channel's UUID, if it is given.
    pub uuid: Option<String>,
    /// The plan in the dialplan; empty: answer and park.
    pub plan: Vec<(String, String)>,
}

impl Core {
    /// Runs `originate {vars}loopback/<ext>/<context> &app(arg)`. Returns `None` if the answer comes later.
    pub(super) fn originate(&mut self, arg: &str, pending: u64) -> Option<String> {
        let (vars, rest) = parse_vars(arg);
        let mut words = rest.split_whitespace();
        let (Some(endpoint), Some(target)) = (
            words.next(),
            rest.split_once(' ').map(|(_, rest)| rest.trim()),
        ) else {
            return Some(
                "-USAGE: <call url> <exten>|&<application_name>(<app_args>) [<dialplan>] [<context>] [<cid_name>] [<cid_num>] [<timeout_sec>]\n"
                    .into(),
            );
        };
        let plan = match target.strip_prefix('&') {
            Some(app) => {
                let (name, arg) = app.split_once('(').unwrap_or((app, ""));
                vec![(
                    name.to_owned(),
                    arg.strip_suffix(')').unwrap_or(arg).to_owned(),
                )]
            }
            None => match target.strip_suffix(" inline") {
                Some(plan) => parse_inline(plan),
                None => self.plan_for(target.split(' ').next().unwrap_or_default()),
            },
        };
        let asker = Asker::Command(pending);
        self.make_call(endpoint, &vars, Origination { asker, plan })
    }

    /// Calls an endpoint. Returns the refusal, or `None` if the outcome comes later.
    pub(super) fn make_call(
        &mut self,
        endpoint: &str,
        vars: &[(String, String)],
        origination: Origination,
    ) -> Option<String> {
        let mut parts = endpoint.split('/');
        let (Some("loopback"), Some(extension)) = (parts.next(), parts.next()) else {
            if endpoint.starts_with("sofia/") {
                return self.originate_sip(endpoint, vars, origination);
            }
            return Some("-ERR CHAN_NOT_IMPLEMENTED\n".into());
        };
        let context = parts.next().unwrap_or("default").to_owned();
        if self.shut_down || self.channels.len() as u64 + 2 > self.config.max_sessions {
            return Some("-ERR NORMAL_TEMPORARY_FAILURE\n".into());
        }
        let (extension, context) = (extension.to_owned(), context);
        let uuid = match vars.iter().find(|(key, _)| key == "origination_uuid") {
            Some((_, uuid)) => uuid.clone(),
            None => self.ids.next(IdKind::Channel),
        };
        let other = self.ids.next(IdKind::Channel);
        for (id, peer, leg) in [(&uuid, &other, "A"), (&other, &uuid, "B")] {
            let channel = self.loopback_leg(id, peer, leg, &extension, &context, vars);
            self.channels.insert(id.clone(), channel);
        }
        self.originating.insert(uuid.clone(), origination);
        self.step(
            Step::Create,
            &uuid,
            Task::Leg(LegStep::Create, uuid.clone()),
        );
        self.step(
            Step::Create,
            &other,
            Task::Leg(LegStep::Create, other.clone()),
        );
        None
    }

    fn loopback_leg(
        &mut self,
        uuid: &str,
        peer: &str,
        leg: &'static str,
        extension: &str,
        context: &str,
        given: &[(String, String)],
    ) -> Channel {
        let outbound = leg == "A";
        let name = format!("loopback/{extension}-{}", leg.to_ascii_lowercase());
        let of = |key: &str, default: &str| {
            given
                .iter()
                .find(|(name, _)| name == key)
                .map_or_else(|| default.to_owned(), |(_, value)| value.clone())
        };
        let (caller_name, caller_number) = (
            of("origination_caller_id_name", ""),
            of("origination_caller_id_number", "0000000000"),
        );
        let profile = Profile {
            dialplan: "xml".into(),
            name: caller_name.clone(),
            number: caller_number.clone(),
            orig_name: caller_name,
            orig_number: caller_number.clone(),
            callee_name: "Outbound Call".into(),
            callee_number: context.to_owned(),
            ani: caller_number,
            destination: extension.to_owned(),
            source: "mod_loopback".into(),
            context: context.to_owned(),
            index: 1,
            created: self.now,
            ..Profile::default()
        };
        let mut channel = self.new_channel(uuid, name.clone(), profile);
        channel.outbound = outbound;
        channel.peer = Some(peer.to_owned());
        channel.hit_dialplan = !outbound;
        channel.read_codec = "L16";
        channel.write_codec = "L16";
        channel.set_var("direction", channel.direction());
        if outbound {
            channel.set_var("is_outbound", "true");
        }
        channel.set_var("uuid", uuid.to_owned());
        channel.set_var("call_uuid", uuid.to_owned());
        let session = channel.session_id.to_string();
        channel.set_var("session_id", session);
        codec_vars(&mut channel, "L16");
        channel.set_var("channel_name", name);
        for (key, value) in given {
            channel.set_var(key, value.clone());
        }
        if outbound {
            channel.set_var("originate_early_media", "true");
            channel.set_var("originate_endpoint", "loopback");
        }
        channel.set_var("other_loopback_leg_uuid", peer.to_owned());
        // An A leg learns its role on its own thread, maybe after it was answered.
        if !outbound {
            channel.set_var("loopback_leg", leg);
        }
        channel
    }

    pub(super) fn new_channel(&mut self, uuid: &str, name: String, profile: Profile) -> Channel {
        self.sessions += 1;
        Channel {
            uuid: uuid.to_owned(),
            session_id: self.sessions,
            name,
            outbound: false,
            sip: false,
            running: State::Init,
            state: State::Init,
            call_state: "DOWN",
            answered: false,
            announced: false,
            hit_dialplan: true,
            last_plan: Vec::new(),
            enters_silently: false,
            flipped: false,
            logical_inbound: false,
            hangup: None,
            ending: false,
            created: self.now,
            answered_at: 0,
            hangup_at: 0,
            first_profile: profile.clone(),
            routed_destination: profile.destination.clone(),
            profile,
            vars: Vec::new(),
            peer: None,
            bridged: None,
            read_codec: "PCMU",
            write_codec: "PCMU",
            stack: Vec::new(),
            plan: VecDeque::new(),
            messages: VecDeque::new(),
            transfer: None,
            last_app: None,
            scope: Vec::new(),
            taps: Vec::new(),
            member_id: None,
            voice: false,
            voice_until: 0,
            tone: 0,
            park_timer: 0,
            collecting: None,
        }
    }

    pub(super) fn announce(&mut self, uuid: &str) {
        if let Some(channel) = self
            .channels
            .get_mut(uuid)
            .filter(|channel| channel.is_up())
        {
            channel.state = State::Routing;
            if channel.outbound {
                channel.set_var("loopback_leg", "A");
            }
        }
        self.emit_channel("CHANNEL_CREATE", uuid, CREATE, &[]);
        if let Some(channel) = self.channels.get_mut(uuid) {
            channel.announced = true;
        }
        // It may have hung up before it was there.
        if !self.channels.get(uuid).is_some_and(Channel::is_up) {
            self.run_channel(uuid);
        }
    }

    /// Runs the steps of both legs: B is routed and answers, which answers A, which then runs its plan.
    pub(super) fn leg_step(&mut self, step: LegStep, uuid: &str) {
        let Some(channel) = self.channels.get(uuid) else {
            return;
        };
        let outbound = channel.outbound;
        match step {
            LegStep::Create => {
                self.announce(uuid);
                if outbound {
                    self.set_state(uuid, State::ConsumeMedia);
                } else {
                    self.route_leg(uuid);
                }
            }
            LegStep::Answer => {
                self.answer(uuid);
                if outbound {
                    let peer = self
                        .channels
                        .get(uuid)
                        .and_then(|channel| channel.peer.clone());
                    if let Some(peer) = peer {
                        self.step(
                            Step::Answer,
                            &peer,
                            Task::Leg(LegStep::Answer, peer.clone()),
                        );
                    }
                    self.step(Step::Run, uuid, Task::Leg(LegStep::Run, uuid.to_owned()));
                } else {
                    self.step(
                        Step::Answered,
                        uuid,
                        Task::Leg(LegStep::Answered, uuid.to_owned()),
                    );
                }
            }
            LegStep::Answered => {
                self.complete(uuid, None);
                self.run_channel(uuid);
            }
            LegStep::Run => self.run_origination(uuid),
        }
    }

    pub(super) fn set_state(&mut self, uuid: &str, state: State) {
        if let Some(channel) = self
            .channels
            .get_mut(uuid)
            .filter(|channel| channel.is_up())
        {
            channel.running = state;
            channel.state = state;
        }
    }

    /// Routes the B leg. An answer in the dialplan concerns both legs, and takes time.
    fn route_leg(&mut self, uuid: &str) {
        self.set_state(uuid, State::Execute);
        let Some(channel) = self.channels.get_mut(uuid) else {
            return;
        };
        channel.call_state = "RINGING";
        let extension = channel.profile.destination.clone();
        let peer = channel.peer.clone();
        let plan = match self
            .config
            .missing_contexts
            .contains(&channel.profile.context)
        {
            true => Vec::new(),
            false => self.plan_for(&extension),
        };
        let answers = plan.first().is_some_and(|(app, _)| app == "answer");
        let routed = !plan.is_empty();
        if let Some(channel) = self.channels.get_mut(uuid) {
            channel.plan = plan.into();
        }
        if !routed {
            self.hang_up(uuid, "NO_ROUTE_DESTINATION");
        } else if answers && let Some(peer) = peer {
            self.begin_answer(uuid);
            self.step(
                Step::Answer,
                &peer,
                Task::Leg(LegStep::Answer, peer.clone()),
            );
        } else {
            self.run_channel(uuid);
        }
    }

    /// Puts `answer` on the stack without its effect, which comes in its own steps.
    fn begin_answer(&mut self, uuid: &str) {
        let id = self.ids.next(IdKind::Other);
        let now = self.now;
        let Some(channel) = self.channels.get_mut(uuid) else {
            return;
        };
        channel.plan.pop_front();
        channel.set_var("current_application", "answer");
        channel.last_app = Some(("answer".into(), String::new()));
        channel.stack.push(super::channel::Execution {
            app: "answer".into(),
            arg: String::new(),
            uuid: id,
            wait: super::channel::Wait::Forever,
            started: now,
            sent: false,
            locked: false,
        });
    }

    /// Completes `originate` for the answered A leg: roles are swapped, `originate` answers, the plan runs.
    pub(super) fn run_origination(&mut self, uuid: &str) {
        let Some(Origination { asker, plan }) = self.originating.remove(uuid) else {
            return;
        };
        let pending = match asker {
            Asker::Command(pending) => pending,
            Asker::Bridge(caller) => return self.bridge_answered(&caller, uuid),
        };
        let Some(channel) = self.channels.get_mut(uuid) else {
            return;
        };
        channel.flipped = true;
        channel.hit_dialplan = true;
        channel.running = State::Execute;
        channel.state = State::Execute;
        let profile = &mut channel.profile;
        if channel.sip {
            profile.index += 1;
        }
        std::mem::swap(&mut profile.name, &mut profile.callee_name);
        std::mem::swap(&mut profile.number, &mut profile.callee_number);
        let (name, number) = (profile.callee_name.clone(), profile.callee_number.clone());
        channel.set_var("pre_transfer_caller_id_name", name);
        channel.set_var("pre_transfer_caller_id_number", number);
        channel.set_var("channel_cid_flipped", "yes");
        channel.plan = plan.into();
        self.finish(pending, format!("+OK {uuid}\n"));
        self.run_channel(uuid);
    }

    /// Ends the `originate` of a call that ends before it was answered.
    pub(super) fn fail_origination(&mut self, uuid: &str, cause: &str) {
        let leg = match self.originating.contains_key(uuid) {
            true => Some(uuid.to_owned()),
            false => self
                .channels
                .get(uuid)
                .and_then(|channel| channel.peer.clone()),
        };
        let asker = leg.and_then(|leg| self.originating.remove(&leg));
        match asker.map(|origination| origination.asker) {
            Some(Asker::Command(pending)) => self.finish(pending, format!("-ERR {cause}\n")),
            Some(Asker::Bridge(caller)) => {
                let channel = self.channels.get(uuid);
                let status = channel.and_then(|c| c.var("proto_specific_hangup_cause"));
                self.bridge_failed(&caller, cause, status);
            }
            None => {}
        }
    }

    /// Starts a call from outside. Returns its UUID.
    pub fn call_in(&mut self, call: InboundCall, now: u64) -> String {
        self.advance(now);
        let uuid = match &call.uuid {
            Some(uuid) => uuid.clone(),
            None => self.ids.next(IdKind::Channel),
        };
        let channel = self.inbound_channel(&uuid, call);
        self.channels.insert(uuid.clone(), channel);
        self.step(
            Step::Create,
            &uuid,
            Task::Inbound(LegStep::Create, uuid.clone()),
        );
        uuid
    }

    /// Creates the channel of a call from outside, before it does anything.
    pub(super) fn inbound_channel(&mut self, uuid: &str, call: InboundCall) -> Channel {
        let name = format!(
            "sofia/internal/{}@{}:5999",
            call.caller_number, self.config.domain
        );
        let profile = Profile {
            username: call.caller_number.clone(),
            dialplan: "XML".into(),
            name: call.caller_name.clone(),
            number: call.caller_number.clone(),
            orig_name: call.caller_name,
            orig_number: call.caller_number.clone(),
            network_addr: "127.0.0.1".into(),
            ani: call.caller_number.clone(),
            destination: call.did.clone(),
            source: "mod_sofia".into(),
            context: "default".into(),
            index: 1,
            created: self.now,
            ..Profile::default()
        };
        let mut channel = self.new_channel(uuid, name.clone(), profile);
        channel.sip = true;
        channel.set_var("direction", "inbound");
        channel.set_var("uuid", uuid.to_owned());
        channel.set_var("call_uuid", uuid.to_owned());
        let session = channel.session_id.to_string();
        channel.set_var("session_id", session);
        channel.set_var("sip_from_user", call.caller_number.clone());
        channel.set_var("sip_from_display", channel.profile.name.clone());
        channel.set_var("sip_to_user", call.did.clone());
        channel.set_var("sip_req_user", call.did.clone());
        channel.set_var("sip_network_ip", "127.0.0.1");
        channel.set_var("channel_name", name);
        channel.set_var("sofia_profile_name", "internal");
        channel.set_var("max_forwards", "70");
        codec_vars(&mut channel, "PCMU");
        channel.set_var("endpoint_disposition", "RECEIVED");
        for (key, value) in call.vars {
            channel.set_var(&key, value);
        }
        channel.plan = match call.plan.is_empty() {
            true => [
                ("answer".to_owned(), String::new()),
                ("park".to_owned(), String::new()),
            ]
            .into(),
            false => call.plan.into(),
        };
        channel.last_plan = channel.plan.iter().cloned().collect();
        channel
    }

    /// Runs the steps of a call from outside: announced, routed, answered, plan.
    pub(super) fn inbound_step(&mut self, step: LegStep, uuid: &str) {
        match step {
            LegStep::Create => {
                self.announce(uuid);
                self.set_state(uuid, State::Execute);
                let Some(channel) = self.channels.get_mut(uuid) else {
                    return;
                };
                channel.call_state = "RINGING";
                if channel.plan.front().is_some_and(|(app, _)| app == "answer") {
                    self.begin_answer(uuid);
                    self.step(
                        Step::Answer,
                        uuid,
                        Task::Inbound(LegStep::Answer, uuid.to_owned()),
                    );
                } else {
                    self.run_channel(uuid);
                }
            }
            LegStep::Answer => {
                self.answer(uuid);
                self.step(
                    Step::Answered,
                    uuid,
                    Task::Inbound(LegStep::Answered, uuid.to_owned()),
                );
            }
            LegStep::Answered => {
                self.complete(uuid, None);
                self.step(
                    Step::Run,
                    uuid,
                    Task::Inbound(LegStep::Run, uuid.to_owned()),
                );
            }
            LegStep::Run => self.run_channel(uuid),
        }
    }

    /// Hangs up a call from outside. Returns false if there is no such call.
    pub fn hang_up_call(&mut self, uuid: &str, cause: &str, now: u64) -> bool {
        self.advance(now);
        let known = self.channels.get(uuid).is_some_and(Channel::is_up);
        self.hang_up(
            uuid,
            super::channel::cause(cause).unwrap_or("NORMAL_CLEARING"),
        );
        self.refresh_rows();
        known
    }
}

/// Sets the variables that name a channel's codecs.
fn codec_vars(channel: &mut Channel, codec: &'static str) {
    for side in ["read", "write"] {
        channel.set_var(&format!("{side}_codec"), codec);
        channel.set_var(&format!("{side}_rate"), Value::from("8000"));
    }
}

/// Parses the variables in front of a dial string: `{a=1,b='x y'}rest`, or `{^^;a=1;b=2}rest`.
pub(super) fn parse_vars(text: &str) -> (Vec<(String, String)>, &str) {
    let text = text.trim_start();
    let Some(inside) = text.strip_prefix('{') else {
        return (Vec::new(), text);
    };
    let marked = inside.strip_prefix("^^").and_then(|rest| {
        let comma = rest.chars().next()?;
        Some((comma, &rest[comma.len_utf8()..]))
    });
    let (comma, inside) = marked.unwrap_or((',', inside));
    let mut vars = Vec::new();
    let mut item = String::new();
    let mut quoted = false;
    for (at, c) in inside.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            c if (c == comma || c == '}') && !quoted => {
                if let Some((key, value)) = std::mem::take(&mut item).split_once('=') {
                    vars.push((key.trim().to_owned(), value.to_owned()));
                }
                if c == '}' {
                    return (vars, inside[at + 1..].trim_start());
                }
            }
            other => item.push(other),
        }
    }
    (vars, "")
}
