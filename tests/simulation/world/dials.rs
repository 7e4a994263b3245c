//! The dial-outs of a simulation, and the settings that a conference must know.

use std::collections::BTreeSet;

use roomkeeper::node::CommandError;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, ChannelId};
use roomkeeper_core::intent::{CancelDial, Dial, Intent, UpdateMember, UpdateRoom};
use roomkeeper_core::labels::LabelsUpdate;
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::{
    CountAnnouncement, DialRequest, Kind, MemberUpdate, Role, RoomSettingsUpdate, RoomState,
    RoomStatus, Sparse, Tones, Update,
};
use roomkeeper_core::speech::CountTemplate;
use roomkeeper_core::switch_command::{SwitchAction, SwitchCommand};
use uuid::Uuid;

use crate::faults::Fault;
use crate::node::{Effect, Going, Plan, Rejection, app, node_id};
use crate::schedule::{Fate, Request, SettingsChange, Step};
use crate::webhook_log::WebhookLog;

use super::{Checked, World, same, settings};

/// The time for an answer, in seconds.
const TIMEOUT: u16 = 20;

pub const TIMEOUT_MS: u64 = TIMEOUT as u64 * 1_000;

/// The accepted dial-outs.
#[derive(Debug, Default)]
pub struct Dials {
    ids: Vec<CallId>,
    made: u128,
}

impl Dials {
    pub fn accepted(&mut self, id: CallId) {
        self.ids.push(id);
    }
}

/// A command that dials, without an answer until the callee answers or the call has failed.
pub type Job = (u64, SwitchCommand, Fate);

impl World {
    /// Returns the intent of a request of this file.
    pub fn dial_intent(&mut self, request: Request) -> Option<Intent> {
        let app = app();
        Some(match request {
            Request::Dial {
                slot,
                muted,
                retries,
            } => {
                self.dials.made += 1;
                let channel = ChannelId::new(Uuid::from_u128(0xD1A1_0000 + self.dials.made));
                let request = Box::new(DialRequest {
                    to: "+49301".parse().unwrap(),
                    from: None,
                    caller_name: None,
                    timeout: TIMEOUT,
                    muted,
                    retries,
                    retry_pause: 3,
                    member: Sparse::default(),
                    headers: Vec::new(),
                });
                let session = CallId::new(node_id(), channel);
                let dial = Dial { session, request };
                Intent::new(Target::Room(self.room(slot)?), app, dial)
            }
            Request::CancelDial { dial } => {
                let node_state = &self.sides[self.owner()].replica.node_state;
                let rooms = node_state.rooms();
                let all: Vec<_> = rooms
                    .flat_map(|room| room.dials().map(|dial| (room.id(), dial.id)))
                    .collect();
                let (room, id) = *all.get(dial % all.len().max(1))?;
                Intent::new(Target::Room(room), app, CancelDial { id })
            }
            Request::Role { call, moderates } => {
                let update = MemberUpdate {
                    role: Some(match moderates {
                        true => Role::Moderator,
                        false => Role::Participant,
                    }),
                    ..MemberUpdate::default()
                };
                let update = UpdateMember {
                    update: Box::new(update),
                    labels: LabelsUpdate::default(),
                };
                Intent::new(self.membership(call)?, app, update)
            }
            Request::Settings { slot, change } => {
                let settings = self.settings_update(change);
                let update = Box::new(Update {
                    settings,
                    ..Update::default()
                });
                let labels = LabelsUpdate::default();
                Intent::new(
                    Target::Room(self.room(slot)?),
                    app,
                    UpdateRoom { update, labels },
                )
            }
            other => panic!("{other:?} is not about dial-outs or settings"),
        })
    }

    fn settings_update(&mut self, change: SettingsChange) -> RoomSettingsUpdate {
        let none = RoomSettingsUpdate::default();
        let mut url = |on: bool| self.new_urls(usize::from(on)).pop();
        match change {
            SettingsChange::MaxMembers(most) => RoomSettingsUpdate {
                max_members: Some(most),
                ..none
            },
            SettingsChange::Tones { enter, exit } => RoomSettingsUpdate {
                tones: Some(Tones {
                    enter: url(enter),
                    exit: url(exit),
                }),
                ..none
            },
            SettingsChange::Alone(on) => RoomSettingsUpdate {
                alone_url: Some(url(on)),
                ..none
            },
            SettingsChange::AnnounceCount(on) => RoomSettingsUpdate {
                announce_count: Some(on.then(|| CountAnnouncement {
                    text: CountTemplate::new("{count} members").unwrap(),
                    voice: None,
                })),
                ..none
            },
        }
    }

    /// Lets a callee act.
    pub fn change_callee(&mut self, step: Step) {
        let (Step::CalleeRings { callee }
        | Step::CalleeAnswers { callee }
        | Step::CalleeRefuses { callee, .. }) = step
        else {
            return;
        };
        let Some(channel) = self.node.callees.nth(callee) else {
            return;
        };
        match step {
            Step::CalleeRings { .. } => self.node.callee_rings(channel),
            Step::CalleeAnswers { .. } => self.node.callee_answers(channel),
            Step::CalleeRefuses { busy, .. } => {
                let cause = if busy { "USER_BUSY" } else { "CALL_REJECTED" };
                self.node.callee_ends(channel, cause);
            }
            _ => {}
        }
    }

    /// Carries out a command that dials. Its answer follows when the callee answers, or the call has failed.
    pub fn carry_out_dial(&mut self, index: usize, command: SwitchCommand, fate: Fate) {
        let now = self.shared.now();
        let (Some(room), Some(call)) = (command.target.room(), command.target.call()) else {
            panic!("{command:?} is about no call of a room");
        };
        let SwitchAction::Dial { entry, .. } = &command.action else {
            return;
        };
        if fate == Fate::Refused {
            let refused = CommandError::Refused("NORMAL_TEMPORARY_FAILURE".to_owned());
            self.sides[index]
                .answers
                .push_back((now, command, Err(refused)));
            return;
        }
        if !self.dials.ids.contains(&call) {
            self.shared.faults.fired(Fault::Redialled);
        }
        let text = roomkeeper::reconciler::command_text(&command, &settings());
        let going = Going::Into {
            room,
            muted: entry.muted,
            deaf: entry.deaf,
            bound: entry.kind == Kind::Connect,
            plan: Plan::from_text(&text.unwrap_or_default()),
        };
        let until = now + TIMEOUT_MS;
        let begun = self.node.dial(call.channel(), (room, going), until);
        if begun == Err(Rejection::NoSuchMember) {
            let refused = CommandError::Refused("the channel exists".to_owned());
            self.sides[index]
                .answers
                .push_back((now, command, Err(refused)));
        } else {
            self.sides[index].jobs.push((now, command, fate));
        }
    }

    /// Answers the commands whose calls were answered, or have failed.
    pub fn answer_jobs(&mut self) {
        let (now, core) = (self.shared.now(), self.node.core_id());
        for (channel, result) in self.node.callees.take_results() {
            for side in &mut self.sides {
                let is_about = |job: &Job| {
                    let call = job.1.target.call();
                    call.is_some_and(|call| call.channel() == channel)
                };
                let Some(at) = side.jobs.iter().position(is_about) else {
                    continue;
                };
                let (_, command, fate) = side.jobs.remove(at);
                // A callee needs longer to answer than a fence of a new core to arrive.
                if side.replica.lease.is_some() && side.replica.node_state.core() != Some(core) {
                    continue;
                }
                let result = result
                    .map(|()| "+OK".to_owned())
                    .map_err(|cause| CommandError::Refused(cause.to_owned()));
                if fate == Fate::Well {
                    side.answers.push_back((now, command, result));
                }
            }
        }
    }

    /// The node is over: its jobs have no answer.
    pub fn lose_jobs(&mut self) {
        let now = self.shared.now();
        for side in &mut self.sides {
            for (_, command, _) in std::mem::take(&mut side.jobs) {
                side.answers
                    .push_back((now, command, Err(CommandError::Unknown)));
            }
        }
    }

    /// The node gives up callees that do not answer.
    pub fn give_up_callees(&mut self) {
        let now = self.shared.now();
        self.node.give_up_callees(now);
        self.flush();
    }

    /// Checks that each dial-out ended once, nobody was called twice, and no call of it is left.
    pub fn check_dials(&self, log: &WebhookLog) -> Checked {
        if let Some(channel) = self.node.callees.called_twice {
            return Err(format!("I6: {channel:?} was called twice"));
        }
        for id in &self.dials.ids {
            let known = log.dials.get(&id.to_string());
            if known.is_none_or(|dial| !dial.over) {
                return Err(format!("I6: no end of the dial-out {id}: {known:?}"));
            }
        }
        for (id, dial) in &log.dials {
            let answered = self.node.callees.answered.iter();
            let answered = answered
                .map(|channel| CallId::new(node_id(), *channel).to_string())
                .filter(|session| dial.sessions.contains(session));
            if answered.count() > 1 {
                return Err(format!("I6: two callees of {id} answered"));
            }
        }
        let node_state = &self.sides[self.owner()].replica.node_state;
        let known: BTreeSet<ChannelId> = node_state
            .rooms()
            .flat_map(RoomState::dials)
            .map(|dial| dial.session.channel())
            .collect();
        let waiting: BTreeSet<ChannelId> = self.node.callees.waiting().collect();
        same("I6: calls of dial-outs", &"all", &known, &waiting)
    }

    /// Compares the settings of a room with those of its conference.
    pub fn check_settings(&self, room: &RoomState) -> Checked {
        let id = room.id();
        let Some(conference) = self.node.conferences.get(&id) else {
            return Ok(());
        };
        if !self.looked || !room.is_open() {
            return Ok(());
        }
        let settings = room.settings();
        let file = |url: &Option<PlayUrl>| url.as_ref().map(ToString::to_string);
        let wanted = Effect {
            max_members: settings.max_members,
            enter: file(&settings.tones.enter),
            exit: file(&settings.tones.exit),
            alone: file(&settings.alone_url),
        };
        let is = conference.controls.effect();
        same("I1: settings of the conference", &id, &wanted, &is)
    }

    /// Checks that the webhooks report the moderators.
    pub fn check_roles(&self, log: &WebhookLog) -> Checked {
        let mut moderators = BTreeSet::new();
        for room in &self.rooms {
            let stored = self.shared.room(room.id);
            let open = stored.filter(|room| room.status() != RoomStatus::Terminated);
            for (call, member) in open.iter().flat_map(|room| room.members()) {
                if member.membership.is_some() && member.settings.role == Role::Moderator {
                    moderators.insert((room.id.to_string(), call.to_string()));
                }
            }
        }
        same(
            "I3: reported moderators",
            &"all",
            &log.moderators,
            &moderators,
        )
    }
}
