//! One simulation: a node, two replicas that compete for it, their store, and the messages between them.

mod dials;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use freeswitch_esl::command::DialTemplate;
use freeswitch_esl::command::{ProfileName, Voice};
use roomkeeper::node::CommandError;
use roomkeeper::reconciler::DialTemplates;
use roomkeeper::reconciler::{CommandSettings, command_text};
use roomkeeper::store::deliveries::Deliveries;
use roomkeeper_core::action;
use roomkeeper_core::call::ParkId;
use roomkeeper_core::call::{Checkpoint, StepId};
use roomkeeper_core::conference_meta;
use roomkeeper_core::dial::{TransferRequest, TransferTarget};
use roomkeeper_core::entity::Target;
use roomkeeper_core::gather;
use roomkeeper_core::ids::{CallId, ChannelId, CoreId, RecordingId, RoomId};
use roomkeeper_core::intent::{Accepted, Action, Intent};
use roomkeeper_core::intent::{
    Answer, CancelTransfer, Coach, CreateRoom, DeleteRoom, Gather, Hangup, Join, Kick, Leave, Move,
    Pause, PauseRecording, Play, SetFlag, SetHold, SetLock, StartRecording, Stop, StopGather,
    StopRecording, Transfer, Uncoach, UpdateMember, UpdateRoom,
};
use roomkeeper_core::labels::LabelsUpdate;
use roomkeeper_core::node_state::RecordedMember;
use roomkeeper_core::pin::PinHash;
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::plan::Suspect;
use roomkeeper_core::room::{Announcement, Media, Spoken};
use roomkeeper_core::room::{
    Details, FileId, Kind, Level, Member, MemberSettings, MemberStatus, MemberUpdate, Origin,
    PlayCommand, RoomSettings, RoomSettingsUpdate, RoomState, RoomStatus, Sparse, Update,
};
use roomkeeper_core::room::{MemberFlag, RecordAction};
use roomkeeper_core::speech::Speech;
use roomkeeper_core::switch_command::{SwitchAction, SwitchCommand};
use roomkeeper_core::switch_event::{ChannelDump, ListedChannel, Snapshot, SwitchEvent};
use uuid::Uuid;

use super::faults::Fault;
use super::node::{Going, Node, Place, Plan, Rejection, app, node_id};
use super::replica::{Applied, BatchOutcome, Item, Replica, Shared};
use super::schedule::{Fate, Mood, ROOMS, Request, Role, Schedule, Step};
use super::webhook_log::WebhookLog;
use dials::{Dials, Job};

/// The longest time that an event or an answer of FreeSWITCH is under way.
const ON_ITS_WAY: u64 = 10_000;

/// The time until an unreachable node's calls are given up, in milliseconds: the default of `fleet.lost_after`.
const LOST_AFTER: u64 = 120_000;

/// The interval at which a keeper renews its lease.
const KEEP_ROUND: u64 = 3_000;

/// A message on an event connection.
#[derive(Clone, Debug)]
enum Wire {
    SwitchEvent(SwitchEvent),
    Fence { token: u64, core: CoreId },
}

/// The progress of a resync.
#[derive(Clone, Debug)]
enum Phase {
    AwaitFence,
    List,
    TakeSnapshot,
    /// Waits until all events from before the snapshot have arrived.
    AwaitEvents(Snapshot),
    Merge(Snapshot),
    QueryChannels,
    MergeQueried {
        dumps: Vec<ChannelDump>,
        gone: Vec<ChannelId>,
    },
    /// Waits until all events from before the queries have arrived.
    AwaitQueriedEvents {
        dumps: Vec<ChannelDump>,
        gone: Vec<ChannelId>,
    },
    QueryPlayback,
    QueryCheckpoints,
}

#[derive(Clone, Debug)]
struct Resync {
    token: u64,
    fence: u64,
    core: CoreId,
    after_gap: bool,
    second: bool,
    listed: Vec<ListedChannel>,
    suspects: BTreeSet<Suspect>,
    silent: BTreeSet<(Target, FileId)>,
    phase: Phase,
}

/// A replica, and the messages on their way to it.
struct Side {
    replica: Replica,
    /// Sent and unread messages of its event connection, with the time of sending.
    wire: VecDeque<(u64, Wire)>,
    /// Delayed messages.
    behind: VecDeque<(u64, Wire)>,
    connected: bool,
    /// True if its lease is no longer renewed.
    hangs: bool,
    resync: Option<Resync>,
    answers: VecDeque<(u64, SwitchCommand, Result<String, CommandError>)>,
    /// The commands whose answer waits for a callee.
    jobs: Vec<Job>,
}

/// A caller's knowledge of a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Knowledge {
    No,
    /// The caller has a confirmation.
    Confirmed,
    /// The outcome is unknown.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
struct Room {
    id: RoomId,
    made: Knowledge,
    ended: Knowledge,
    /// True if it can end without a request: it is for two members, or a member may take it along.
    ends_by_itself: bool,
}

pub struct World {
    mood: Mood,
    pub shared: Shared,
    node: Node,
    sides: [Side; 2],
    /// All requested rooms; a caller's request is about the latest of a slot.
    rooms: Vec<Room>,
    slots: [Option<usize>; ROOMS],
    runs: u128,
    tokens: u64,
    urls: usize,
    /// True if a member ends any room that it leaves.
    has_host: bool,
    /// The accepted recordings that an announcement must precede, each with its file.
    announced: BTreeMap<RecordingId, PlayUrl>,
    /// The files that FreeSWITCH was sent for rooms.
    sent_files: BTreeMap<PlayUrl, FileId>,
    /// The accepted requests for digits.
    gathers: Vec<String>,
    dials: Dials,
    commands_up: bool,
    revives: bool,
    /// True if calls may outlive a restart of FreeSWITCH.
    recovers: bool,
    second_look_fails: bool,
    /// True if the system is quiet and a snapshot was taken since.
    looked: bool,
    /// The calls that ever got a park command.
    got_park_command: BTreeSet<ChannelId>,
    /// The trace of the simulation, if requested.
    trace: Option<String>,
}

macro_rules! note {
    ($world:expr, $($words:tt)*) => {
        if let Some(trace) = &mut $world.trace {
            let _written = writeln!(trace, $($words)*);
        }
    };
}

type Checked = Result<(), String>;

impl World {
    pub fn new(mood: Mood, recovers: bool, traced: bool) -> Self {
        let side = |run| Side {
            replica: Replica::start(run, recovers),
            wire: VecDeque::new(),
            behind: VecDeque::new(),
            connected: false,
            hangs: false,
            resync: None,
            answers: VecDeque::new(),
            jobs: Vec::new(),
        };
        Self {
            mood,
            shared: Shared::new(),
            node: Node::new(),
            sides: [side(1), side(2)],
            rooms: Vec::new(),
            slots: [None; ROOMS],
            runs: 2,
            tokens: 0,
            urls: 0,
            has_host: false,
            announced: BTreeMap::new(),
            sent_files: BTreeMap::new(),
            gathers: Vec::new(),
            dials: Dials::default(),
            commands_up: true,
            revives: false,
            recovers,
            second_look_fails: false,
            looked: false,
            got_park_command: BTreeSet::new(),
            trace: traced.then(String::new),
        }
    }

    pub fn trace(&mut self) -> String {
        self.trace.take().unwrap_or_default()
    }

    /// Runs a schedule, waits until the system is quiet, and checks the invariants.
    pub fn run(&mut self, schedule: &Schedule) -> Checked {
        self.begin()?;
        for step in &schedule.steps {
            note!(self, "{:>7} {step:?}", self.shared.now());
            self.shared.pass(1);
            self.step(*step)?;
            self.check_step()?;
        }
        note!(self, "-- quiet");
        self.become_quiet()?;
        self.check_agreement()?;
        self.check_handover()
    }

    fn begin(&mut self) -> Checked {
        self.keep(0);
        self.whole_resync(0)
    }

    /// Checks the invariants that hold after every step.
    fn check_step(&mut self) -> Checked {
        if let Some(why) = self.node.unexpected_hangup {
            return Err(format!(
                "FreeSWITCH hung up a call without a request: {why}"
            ));
        }
        match self.shared.broken.take() {
            Some(broken) => Err(broken),
            None => Ok(()),
        }
    }

    // ---- selection --------------------------------------------------------------------------------------------

    fn owner(&self) -> usize {
        let epoch = |side: &Side| side.replica.lease.map(|lease| lease.epoch);
        usize::from(epoch(&self.sides[1]) > epoch(&self.sides[0]))
    }

    fn side_index(&self, role: Role) -> usize {
        match role {
            Role::Owner => self.owner(),
            Role::Other => 1 - self.owner(),
        }
    }

    fn call(&self, n: usize) -> Option<ChannelId> {
        let count = self.node.calls.len();
        (count > 0).then(|| self.node.calls.keys().nth(n % count).copied())?
    }

    /// Returns a member of some conference.
    fn member(&self, n: usize) -> Option<ChannelId> {
        let inside = |call: &&ChannelId| matches!(self.node.calls[*call].place, Place::In(_));
        let members: Vec<_> = self.node.calls.keys().filter(inside).collect();
        let count = members.len();
        (count > 0).then(|| *members[n % count])
    }

    fn room(&self, slot: usize) -> Option<RoomId> {
        Some(self.rooms[self.slots[slot % ROOMS]?].id)
    }

    /// Sends the node's events to every event connection.
    fn flush(&mut self) {
        let now = self.shared.now();
        for event in self.node.take_events() {
            note!(self, "          event #{} {:?}", event.sequence, event.kind);
            for side in self.sides.iter_mut().filter(|side| side.connected) {
                side.wire.push_back((now, Wire::SwitchEvent(event.clone())));
            }
        }
        self.answer_jobs();
    }

    // ---- steps ------------------------------------------------------------------------------------------------

    fn step(&mut self, step: Step) -> Checked {
        match step {
            Step::CallIn { .. }
            | Step::Enter { .. }
            | Step::Moves { .. }
            | Step::Leave { .. }
            | Step::HangUp { .. }
            | Step::FlagKey { .. }
            | Step::LevelKey { .. }
            | Step::Hold { .. }
            | Step::Lock { .. }
            | Step::Floor { .. }
            | Step::Answers { .. }
            | Step::GoesOn { .. }
            | Step::OtherSide { .. }
            | Step::Refused { .. }
            | Step::Interrupted { .. }
            | Step::FileEnds { .. }
            | Step::MemberFileEnds { .. }
            | Step::ActionEnds { .. }
            | Step::ReportEnds
            | Step::CalleeRings { .. }
            | Step::CalleeAnswers { .. }
            | Step::CalleeRefuses { .. }
            | Step::Restart => {
                self.change_node(step);
                self.flush();
            }
            Step::Receive { role, events } => self.receive(self.side_index(role), events),
            Step::Lose { .. }
            | Step::Double { .. }
            | Step::Late { .. }
            | Step::Straggle { .. }
            | Step::Arrive
            | Step::Cut => self.disturb_wire(step),
            Step::NodeLost => self.node_lost(),
            Step::Reach { up } => {
                self.commands_up = up;
            }
            Step::Request { role, request } => self.request(self.side_index(role), request),
            Step::Carry { role, at, fate } => self.carry(self.side_index(role), at, fate),
            Step::Answered { role } => self.deliver_answer(self.side_index(role)),
            Step::Resync { role, late } => self.advance_resync(self.side_index(role), late),
            Step::LookFails => self.abort_resync(self.owner()),
            Step::SecondLookFails => self.second_look_fails = true,
            Step::Crash { role } => self.crash(self.side_index(role)),
            Step::StopRenewing => {
                let owner = self.owner();
                self.sides[owner].hangs = true;
            }
            Step::Pass { ms } => self.pass(ms),
            Step::Store { outage } => {
                self.shared.outage = outage;
            }
        }
        for index in 0..2 {
            self.sides[index].replica.read_again(&mut self.shared);
        }
        Ok(())
    }

    fn change_node(&mut self, step: Step) {
        match step {
            Step::CallIn { ours, answered } => self.node.call_in(ours, answered),
            Step::Enter {
                call,
                slot,
                muted,
                lingers,
            } => {
                if let (Some(channel), Some(room)) = (self.call(call), self.room(slot)) {
                    self.node.enter(channel, room, muted, lingers);
                    if self.node.lists_two_instances() {
                        self.shared.faults.fired(Fault::Recreated);
                    }
                }
            }
            Step::Moves { call, slot } => {
                if let (Some(channel), Some(room)) = (self.call(call), self.room(slot)) {
                    self.node.move_to(channel, room);
                }
            }
            Step::Lock { slot, locked } => {
                if let Some(room) = self.room(slot) {
                    let _nobody_is_in = self.node.lock(room, locked);
                }
            }
            Step::FileEnds { slot } => {
                if let Some(room) = self.room(slot) {
                    self.node.end_file(room);
                }
            }
            Step::ReportEnds => {
                self.node.report_ends();
            }
            Step::Restart => {
                self.shared.faults.fired(Fault::Restart);
                let cut_off = self.node.callees.waiting().count();
                self.shared.faults.fired_times(Fault::CalleeLost, cut_off);
                self.node.restart();
                self.lose_jobs();
                // FreeSWITCH can recover a call after its time.
                self.revives |= self.recovers;
                for side in &mut self.sides {
                    // The connection breaks. The replica still reads events that arrived before, ahead of those of the
                    // next connection.
                    side.wire
                        .retain(|(_, what)| matches!(what, Wire::SwitchEvent(_)));
                    side.replica.missed = true;
                    side.replica.wants = Some("the event connection is up");
                    side.resync = None;
                }
            }
            Step::CalleeRings { .. } | Step::CalleeAnswers { .. } | Step::CalleeRefuses { .. } => {
                self.change_callee(step);
            }
            Step::Leave { call }
            | Step::FlagKey { call, .. }
            | Step::LevelKey { call, .. }
            | Step::Hold { call, .. }
            | Step::MemberFileEnds { call }
            | Step::Floor { call } => {
                if let Some(channel) = self.member(call) {
                    self.change_call(channel, step);
                }
            }
            Step::HangUp { call }
            | Step::Answers { call }
            | Step::GoesOn { call }
            | Step::OtherSide { call, .. }
            | Step::Refused { call }
            | Step::Interrupted { call, .. }
            | Step::ActionEnds { call, .. } => {
                if let Some(channel) = self.call(call) {
                    self.change_call(channel, step);
                }
            }
            _ => {}
        }
    }

    fn change_call(&mut self, channel: ChannelId, step: Step) {
        // A call outside a conference has no such key.
        let _nothing = match step {
            Step::Leave { .. } => {
                self.node.leave(channel);
                Ok(())
            }
            Step::HangUp { .. } => self.node.hang_up(channel),
            Step::FlagKey { flag, on, .. } => self.node.set_flag(channel, None, flag, on),
            Step::LevelKey { level, value, .. } => self.node.set_level(channel, None, level, value),
            Step::Hold { held, .. } => self.node.hold(channel, None, held),
            Step::MemberFileEnds { .. } => {
                self.node.end_member_file(channel);
                Ok(())
            }
            Step::Floor { .. } => {
                self.node.take_floor(channel);
                Ok(())
            }
            Step::Answers { .. } => self.node.answer(channel),
            Step::GoesOn { .. } => {
                self.node.execute_transfer(channel);
                Ok(())
            }
            Step::OtherSide { answers, .. } => {
                self.node.other_side(channel, answers);
                Ok(())
            }
            // Without faults a conference admits every call.
            Step::Refused { .. } => {
                if self.mood != Mood::Calm && self.node.refuse_transfer(channel) {
                    self.shared.faults.fired(Fault::EntryRefused);
                }
                Ok(())
            }
            Step::Interrupted { lingers, .. } => {
                if self.node.enter_interrupted(channel, lingers) {
                    self.shared.faults.fired(Fault::Interrupted);
                }
                Ok(())
            }
            Step::ActionEnds { well, .. } => {
                self.node.end_step(channel, well);
                Ok(())
            }
            _ => Ok(()),
        };
    }

    // ---- the event connection ---------------------------------------------------------------------------------

    fn receive(&mut self, index: usize, events: usize) {
        let wire = &mut self.sides[index].wire;
        let received: Vec<Wire> = wire
            .drain(..events.min(wire.len()))
            .map(|(_, what)| what)
            .collect();
        if received.is_empty() || self.sides[index].replica.lease.is_none() {
            return;
        }
        let items: Vec<Item> = received
            .iter()
            .map(|what| match what {
                Wire::SwitchEvent(event) => Item::SwitchEvent(event.clone()),
                Wire::Fence { core, .. } => Item::Fence(*core),
            })
            .collect();
        let stands = self.apply(index, &items).is_some();
        for what in received {
            if let Wire::Fence { token, .. } = what
                && let Some(resync) = &mut self.sides[index].resync
                && resync.token == token
            {
                let next = match std::mem::replace(&mut resync.phase, Phase::AwaitFence) {
                    Phase::AwaitFence => Phase::List,
                    Phase::AwaitEvents(snapshot) => Phase::Merge(snapshot),
                    Phase::AwaitQueriedEvents { dumps, gone } => {
                        Phase::MergeQueried { dumps, gone }
                    }
                    other => other,
                };
                if stands {
                    resync.phase = next;
                } else {
                    self.resync_failed(index);
                }
            }
        }
    }

    fn disturb_wire(&mut self, step: Step) {
        let owner = self.owner();
        let length = self.sides[owner].wire.len();
        let faults = &mut self.shared.faults;
        let wire = &mut self.sides[owner].wire;
        match step {
            Step::Cut if self.sides[owner].connected => {
                faults.fired(Fault::ConnectionCut);
                self.sides[owner].wire.clear();
                self.sides[owner].behind.clear();
                self.sides[owner].resync = None;
                self.reconnected(owner);
            }
            Step::Lose { at, events } if length > 0 => {
                let at = at % length;
                for _ in 0..events {
                    if wire.remove(at).is_some() {
                        faults.fired(Fault::EventLost);
                    }
                }
            }
            Step::Double { at, by } if length > 0 => {
                let at = at % length;
                let twice = wire[at].clone();
                wire.insert((at + by).min(length), twice);
                faults.fired(Fault::EventDoubled);
            }
            Step::Straggle { at } if length > 0 => {
                let at = at % length;
                if matches!(wire[at].1, Wire::SwitchEvent(_)) {
                    let behind = wire.remove(at);
                    self.sides[owner].behind.extend(behind);
                }
            }
            Step::Arrive => self.arrive(owner),
            Step::Late { at, by } if length > 1 => {
                let at = at % length;
                if let Some(late) = wire.remove(at) {
                    wire.insert((at + by).min(length - 1), late);
                    faults.fired(Fault::EventLate);
                }
            }
            _ => {}
        }
    }

    fn arrive(&mut self, index: usize) {
        let side = &mut self.sides[index];
        let behind = std::mem::take(&mut side.behind);
        side.wire.extend(behind);
    }

    fn reconnected(&mut self, index: usize) {
        let replica = &mut self.sides[index].replica;
        replica.missed = true;
        replica.wants = Some("the event connection is up");
    }

    fn node_lost(&mut self) {
        let owner = self.owner();
        if self.sides[owner].replica.lease.is_none() {
            return;
        }
        self.shared.faults.fired(Fault::NodeLost);
        self.revives = true;
        // The controller waits for longer than any command can be under way (`fleet.lost_after`).
        self.pass(LOST_AFTER);
        let owner = self.owner();
        if self.sides[owner].replica.lease.is_none() {
            return;
        }
        self.sides[owner].wire.clear();
        self.sides[owner].behind.clear();
        self.sides[owner].resync = None;
        self.apply(owner, &[Item::NodeLost]);
        self.reconnected(owner);
    }

    // ---- a batch ----------------------------------------------------------------------------------------------

    fn send_effects(&mut self, index: usize, applied: &Applied) {
        for notice in &applied.out.notifications {
            note!(self, "          {} reports {:?}", name(index), notice.about);
        }
        for command in &applied.out.commands {
            note!(self, "          {} sends {command:?}", name(index));
        }
        self.check_no_park_ends_join(index, &applied.out.commands);
    }

    /// Applies a batch and returns its results if it is committed.
    fn apply(&mut self, index: usize, items: &[Item]) -> Option<Applied> {
        let outcome = self.sides[index]
            .replica
            .step(items, self.commands_up, &mut self.shared);
        match outcome {
            BatchOutcome::Done(applied) => {
                self.send_effects(index, &applied);
                Some(applied)
            }
            BatchOutcome::LeaseLost => {
                note!(
                    self,
                    "          {} is refused: it has lost its lease",
                    name(index)
                );
                let side = &mut self.sides[index];
                side.connected = false;
                side.wire.clear();
                side.behind.clear();
                side.resync = None;
                None
            }
            BatchOutcome::Unknown | BatchOutcome::Skipped => {
                note!(self, "          {} has no result: {outcome:?}", name(index));
                None
            }
        }
    }

    // ---- callers ----------------------------------------------------------------------------------------------

    fn request(&mut self, index: usize, request: Request) {
        let Some(intent) = self.intent(request) else {
            return;
        };
        let about = self.slot_of(request);
        let announcement = match &intent.action {
            Action::StartRecording(start) => start.announcement.as_ref(),
            _ => None,
        };
        let announcement = announcement.and_then(Announcement::url).cloned();
        let outcome = self.sides[index].replica.step(
            &[Item::Intent(intent)],
            self.commands_up,
            &mut self.shared,
        );
        let knowledge = match &outcome {
            BatchOutcome::Done(applied) => {
                note!(self, "          {:?}", applied.verdicts);
                self.send_effects(index, applied);
                if let Some(Ok(Accepted::Gather(gather))) = applied.verdicts.first() {
                    self.gathers.push(gather.operation.to_string());
                }
                if let Some(Ok(Accepted::StartRecording(started))) = applied.verdicts.first() {
                    self.announced
                        .extend(announcement.map(|url| (started.recording, url)));
                }
                if let Some(Ok(Accepted::Dial(dial))) = applied.verdicts.first() {
                    self.dials.accepted(dial.session);
                }
                match applied.verdicts.first() {
                    Some(Ok(Accepted::CreateRoom(()) | Accepted::DeleteRoom(_))) => {
                        Knowledge::Confirmed
                    }
                    _ => Knowledge::No,
                }
            }
            BatchOutcome::Unknown => Knowledge::Unknown,
            BatchOutcome::LeaseLost => {
                self.sides[index].connected = false;
                self.sides[index].wire.clear();
                self.sides[index].behind.clear();
                self.sides[index].resync = None;
                Knowledge::No
            }
            BatchOutcome::Skipped => Knowledge::No,
        };
        if let Some(room) = about.map(|at| &mut self.rooms[at]) {
            match request {
                Request::Create { .. } => room.made = knowledge,
                Request::Delete { .. }
                    if room.ended != Knowledge::Confirmed && knowledge != Knowledge::No =>
                {
                    room.ended = knowledge;
                }
                _ => {}
            }
        }
    }

    fn slot_of(&self, request: Request) -> Option<usize> {
        match request {
            Request::Create { slot, .. } | Request::Delete { slot } => self.slots[slot % ROOMS],
            _ => None,
        }
    }

    fn session(&self, call: usize) -> Option<CallId> {
        Some(CallId::new(node_id(), self.call(call)?))
    }

    fn intent(&mut self, request: Request) -> Option<Intent> {
        let app = app();
        Some(match request {
            Request::Create {
                slot,
                connect,
                acts,
            } => self.create(slot, connect, acts)?,
            Request::Delete { slot } => {
                Intent::new(Target::Room(self.room(slot)?), app, DeleteRoom)
            }
            Request::Update { slot } => {
                let update = Box::new(Update {
                    detail: Some(format!("at {}", self.shared.now())),
                    ..Update::default()
                });
                Intent::new(
                    Target::Room(self.room(slot)?),
                    app,
                    UpdateRoom {
                        update,
                        labels: self.label(),
                    },
                )
            }
            Request::UpdateMember { call } => {
                let call = self.session(call)?;
                let node_state = &self.sides[self.owner()].replica.node_state;
                let room = node_state.call(call)?.status().room()?;
                let update = UpdateMember {
                    update: Box::default(),
                    labels: self.label(),
                };
                Intent::new(Target::Member { room, call }, app, update)
            }
            Request::EndOnExit { call, on } => {
                let call = self.session(call)?;
                let node_state = &self.sides[self.owner()].replica.node_state;
                let room = node_state.call(call)?.status().room()?;
                self.has_host = true;
                for known in &mut self.rooms {
                    // The setting goes along with a move.
                    known.ends_by_itself = true;
                }
                let update = UpdateMember {
                    update: Box::new(MemberUpdate {
                        end_on_exit: Some(on),
                        ..MemberUpdate::default()
                    }),
                    labels: LabelsUpdate::default(),
                };
                Intent::new(Target::Member { room, call }, app, update)
            }
            Request::Level { call, level, value } => {
                let call = self.session(call)?;
                let node_state = &self.sides[self.owner()].replica.node_state;
                let room = node_state.call(call)?.status().room()?;
                let update = UpdateMember {
                    update: Box::new(level_update(level, value)),
                    labels: LabelsUpdate::default(),
                };
                Intent::new(Target::Member { room, call }, app, update)
            }
            Request::StartOnEnter { call, on } => {
                let call = self.session(call)?;
                let node_state = &self.sides[self.owner()].replica.node_state;
                let room = node_state.call(call)?.status().room()?;
                let update = UpdateMember {
                    update: Box::new(MemberUpdate {
                        start_on_enter: Some(Some(on)),
                        ..MemberUpdate::default()
                    }),
                    labels: LabelsUpdate::default(),
                };
                Intent::new(Target::Member { room, call }, app, update)
            }
            Request::Wait { slot, on, music } => {
                let url = music.then(|| self.new_urls(1).remove(0));
                let update = Box::new(Update {
                    settings: RoomSettingsUpdate {
                        wait_for_moderator: Some(on),
                        wait_url: Some(url),
                        ..RoomSettingsUpdate::default()
                    },
                    ..Update::default()
                });
                let labels = LabelsUpdate::default();
                let update = UpdateRoom { update, labels };
                Intent::new(Target::Room(self.room(slot)?), app, update)
            }
            Request::JoinAsModerator { call, slot } => Intent::new(
                Target::Member {
                    room: self.room(slot)?,
                    call: self.session(call)?,
                },
                app,
                Join {
                    muted: Some(false),
                    settings: Sparse::new(MemberSettings {
                        role: roomkeeper_core::room::Role::Moderator,
                        ..MemberSettings::default()
                    }),
                    ..Join::default()
                },
            ),
            Request::Join { call, slot, muted } => {
                let mut settings: Sparse<MemberSettings> = Sparse::default();
                // Some members enter with a volume of their own.
                if muted && call.is_multiple_of(2) {
                    settings.apply(level_update(Level::VolumeIn, 2));
                }
                Intent::new(
                    Target::Member {
                        room: self.room(slot)?,
                        call: self.session(call)?,
                    },
                    app,
                    Join {
                        muted: Some(muted),
                        settings,
                        ..Join::default()
                    },
                )
            }
            Request::Leave { call } => Intent::new(Target::Call(self.session(call)?), app, Leave),
            Request::Kick { call } => {
                let session = self.session(call)?;
                let node_state = &self.sides[self.owner()].replica.node_state;
                let room = node_state.call(session)?.status().room()?;
                let member = node_state.room(room)?.members().get(&session)?.id;
                Intent::new(
                    Target::Member {
                        room,
                        call: session,
                    },
                    app,
                    Kick {
                        member: Some(member),
                    },
                )
            }
            Request::Move { call, slot } => {
                let session = self.session(call)?;
                let node_state = &self.sides[self.owner()].replica.node_state;
                let room = node_state.call(session)?.status().room()?;
                let target = Target::Member {
                    room,
                    call: session,
                };
                let to = self.room(slot)?;
                Intent::new(target, app, Move { to, muted: None })
            }
            Request::Lock { slot, lock } => Intent::new(
                Target::Room(self.room(slot)?),
                app,
                SetLock { locked: lock },
            ),
            Request::SetFlag { call, flag, on } => {
                Intent::new(Target::Call(self.session(call)?), app, SetFlag { flag, on })
            }
            Request::Play { slot, files } => {
                let room = self.room(slot)?;
                let media = self.new_media(files);
                Intent::new(Target::Room(room), app, Play { media })
            }
            Request::Hold { call, held, music } => {
                let target = self.membership(call)?;
                let music = self.new_urls(usize::from(held && music)).pop();
                Intent::new(target, app, SetHold { on: held, music })
            }
            Request::PlayTo { call, files } => {
                let target = self.membership(call)?;
                let media = self.new_media(files);
                Intent::new(target, app, Play { media })
            }
            Request::StopTo { call } => Intent::new(self.membership(call)?, app, Stop),
            Request::Pause { slot } => Intent::new(Target::Room(self.room(slot)?), app, Pause),
            Request::Stop { slot } => Intent::new(Target::Room(self.room(slot)?), app, Stop),
            Request::Record { slot } => {
                let announced = usize::from(!slot.is_multiple_of(2));
                let url = self.new_urls(announced).pop();
                let announcement = url.map(|url| Announcement::File { url });
                let start = StartRecording { announcement };
                Intent::new(Target::Room(self.room(slot)?), app, start)
            }
            Request::RecordStop { slot } => {
                Intent::new(Target::Room(self.room(slot)?), app, StopRecording)
            }
            Request::Gather { call } => {
                let request = Box::new(gather());
                Intent::new(Target::Call(self.session(call)?), app, Gather { request })
            }
            Request::StopGather { call } => {
                Intent::new(Target::Call(self.session(call)?), app, StopGather)
            }
            Request::RecordPause { slot, pause } => Intent::new(
                Target::Room(self.room(slot)?),
                app,
                PauseRecording { pause },
            ),
            Request::Tap { call } => {
                Intent::new(self.membership(call)?, app, StartRecording::default())
            }
            Request::TapStop { call } => Intent::new(self.membership(call)?, app, StopRecording),
            Request::TapPause { call, pause } => {
                Intent::new(self.membership(call)?, app, PauseRecording { pause })
            }
            Request::Coach { call, coach } => {
                let coach = self.session(coach)?;
                Intent::new(self.membership(call)?, app, Coach { coach })
            }
            Request::Uncoach { call } => Intent::new(self.membership(call)?, app, Uncoach),
            Request::Transfer { call } => {
                let request = Box::new(TransferRequest {
                    to: TransferTarget::Destination("+4930".parse().ok()?),
                    from: None,
                    caller_name: None,
                    timeout: 30,
                });
                Intent::new(Target::Call(self.session(call)?), app, Transfer { request })
            }
            Request::CancelTransfer { call } => {
                Intent::new(Target::Call(self.session(call)?), app, CancelTransfer)
            }
            Request::Dial { .. }
            | Request::CancelDial { .. }
            | Request::Role { .. }
            | Request::Settings { .. } => return self.dial_intent(request),
            Request::Answer { call } => Intent::new(Target::Call(self.session(call)?), app, Answer),
            Request::HangUp { call } => Intent::new(
                Target::Call(self.session(call)?),
                app,
                Hangup { cause: None },
            ),
        })
    }

    fn new_urls(&mut self, files: usize) -> Vec<PlayUrl> {
        let mut url = || {
            self.urls += 1;
            PlayUrl::new(&format!("http://files.example/{}.wav", self.urls)).unwrap()
        };
        (0..files).map(|_| url()).collect()
    }

    /// Returns files for an operation; each third one is a text.
    fn new_media(&mut self, files: usize) -> Vec<Media> {
        let urls = self.new_urls(files).into_iter();
        let media = |(n, url): (usize, PlayUrl)| {
            if n.is_multiple_of(3) {
                Media::Speech(Spoken {
                    text: Speech::new("It's a test").unwrap(),
                    voice: None,
                })
            } else {
                Media::Url(url)
            }
        };
        (self.urls..).zip(urls).map(media).collect()
    }

    /// Returns a call as a member of the room that it is in.
    fn membership(&self, call: usize) -> Option<Target> {
        let call = self.session(call)?;
        let node_state = &self.sides[self.owner()].replica.node_state;
        let room = node_state.call(call)?.status().room()?;
        Some(Target::Member { room, call })
    }

    /// Returns a label that is new, so that each update changes something.
    fn label(&self) -> LabelsUpdate {
        let mut labels = LabelsUpdate::default();
        let value = self.shared.now().to_string();
        labels.put("at", Some(&value)).unwrap();
        labels
    }

    /// Creates a room in a slot. A slot is free again once its room was deleted, like a name.
    fn create(&mut self, slot: usize, connect: bool, acts: bool) -> Option<Intent> {
        let slot = slot % ROOMS;
        if let Some(at) = self.slots[slot]
            && self.rooms[at].made == Knowledge::Confirmed
            && self.rooms[at].ended != Knowledge::Confirmed
        {
            return None;
        }
        let id = RoomId::new(node_id(), Uuid::from_u128(1 + self.rooms.len() as u128));
        let kind = if connect {
            Kind::Connect
        } else {
            Kind::Conference
        };
        self.slots[slot] = Some(self.rooms.len());
        self.rooms.push(Room {
            id,
            made: Knowledge::No,
            ended: Knowledge::No,
            ends_by_itself: connect || self.has_host,
        });
        let actions = |text: &str| -> Vec<action::Action> { serde_json::from_str(text).unwrap() };
        // Half of these rooms have a PIN.
        let pin = self.rooms.len().is_multiple_of(2).then(pin);
        let details = if acts {
            Details {
                settings: Sparse::<RoomSettings>::default().with_pin(pin),
                pre_actions: actions(
                    r#"[{"type": "beep"}, {"type": "sleep", "option": {"duration": 500}}]"#,
                ),
                post_actions: actions(r#"[{"type": "sleep", "option": {"duration": 100}}]"#),
                ..Details::default()
            }
        } else {
            Details::default()
        };
        Some(Intent::new(
            Target::Room(id),
            app(),
            CreateRoom {
                name: format!("room-{slot}"),
                origin: Origin::Gateway,
                kind,
                details: Box::new(details),
            },
        ))
    }

    /// Checks that no earlier park command for a call is still under way, from either replica, when the call is sent
    /// into a room: it would end the join. Calls that another client has moved or removed are exempt, because no
    /// replica can know that much, and the commands that park the members of an ending room have no id. So are moves: a
    /// call that was turned away can enter all the same and is then a member like any other.
    fn check_no_park_ends_join(&mut self, index: usize, new: &[SwitchCommand]) {
        let now = crate::replica::time(&self.shared);
        for command in new {
            if parking(command).is_some()
                && let Some(session) = command.target.call()
            {
                self.got_park_command.insert(session.channel());
            }
        }
        let entering = |(_, command): &(u64, SwitchCommand)| match &command.action {
            SwitchAction::Enter(_) => command.target.call(),
            _ => None,
        };
        let parks = |(_, command): &(u64, SwitchCommand), call: CallId| {
            command.target.call() == Some(call)
                && parking(command)
                    .is_some_and(|parking| now.since(parking.0) < Duration::from_secs(5))
        };
        let (own, other) = (
            &self.sides[index].replica.commands,
            &self.sides[1 - index].replica.commands,
        );
        for at in own.len() - new.len()..own.len() {
            let Some(call) = entering(&own[at]) else {
                continue;
            };
            let node_state = &self.sides[index].replica.node_state;
            let room = own[at].1.target.room();
            let member = room.and_then(|room| node_state.room(room)?.members().get(&call));
            if member.is_some_and(|member| member.moving_from().is_some()) {
                continue;
            }
            let here = self.node.calls.get(&call.channel());
            if here.is_none_or(|call| call.sent_about || call.taken_out) {
                continue;
            }
            let mut before = own.iter().take(at).chain(other);
            if let Some((_, command)) = before.find(|command| parks(command, call)) {
                let found = format!("{call} is sent into a room, and then: {command:?}");
                self.shared.broken.get_or_insert(found);
            }
        }
    }

    // ---- commands ---------------------------------------------------------------------------------------------

    /// Delivers or loses one command. Commands about one call or one room keep their order.
    fn carry(&mut self, index: usize, at: usize, fate: Fate) {
        // If this replica has no commands, the other one has its turn.
        let idle = self.sides[index].replica.commands.is_empty();
        let index = if idle { 1 - index } else { index };
        let commands = &self.sides[index].replica.commands;
        if commands.is_empty() {
            return;
        }
        let about = subject(&commands[at % commands.len()].1);
        let first = commands
            .iter()
            .position(|(_, command)| subject(command) == about)
            .unwrap_or_default();
        if let Some((since, command)) = self.sides[index].replica.commands.remove(first) {
            self.carry_out(index, since, command, fate);
        }
    }

    fn carry_out(&mut self, index: usize, since: u64, command: SwitchCommand, fate: Fate) {
        let now = self.shared.now();
        note!(
            self,
            "          {} has carried out, {fate:?}: {command:?}",
            name(index)
        );
        if !self.commands_up {
            self.shared.faults.fired(Fault::CommandDown);
            let retry_after = Duration::from_secs(1);
            let down = Err(CommandError::Down { retry_after });
            self.sides[index].answers.push_back((now, command, down));
            return;
        }
        match fate {
            Fate::Lost => {
                self.shared.faults.fired(Fault::CommandLost);
                if command.action.is_repeated() {
                    let unknown = Err(CommandError::Unknown);
                    self.sides[index].answers.push_back((now, command, unknown));
                }
                return;
            }
            Fate::Refused => self.shared.faults.fired(Fault::CommandRefused),
            Fate::Unanswered => self.shared.faults.fired(Fault::CommandUnanswered),
            Fate::Well => {}
        }
        if now - since > 2_000 {
            self.shared.faults.fired(Fault::CarriedLate);
        }
        if matches!(command.action, SwitchAction::Dial { .. }) {
            self.carry_out_dial(index, command, fate);
            return self.flush();
        }
        let answer = self.execute(&command, fate != Fate::Refused);
        self.flush();
        if fate != Fate::Unanswered {
            let answer = answer.map_err(|no| match no {
                Rejection::NoSuchChannel => CommandError::NoSuchChannel,
                Rejection::NoSuchMember | Rejection::NothingPlaying => {
                    CommandError::Refused("no".to_owned())
                }
                Rejection::NotRecorded => {
                    CommandError::Refused("Cannot stop record session!".to_owned())
                }
            });
            self.sides[index].answers.push_back((now, command, answer));
        } else if command.action.is_repeated() {
            let unknown = Err(CommandError::Unknown);
            self.sides[index].answers.push_back((now, command, unknown));
        }
    }

    /// Checks that FreeSWITCH has played an announcement to its end before it gets the command to record.
    fn check_announcement(&mut self, command: &SwitchCommand) {
        match (&command.action, command.target) {
            (SwitchAction::Play(PlayCommand::Start { file, media, .. }), Target::Room(_)) => {
                self.sent_files
                    .extend(media.url().map(|url| (url.clone(), *file)));
            }
            (
                SwitchAction::Record {
                    recording,
                    action: RecordAction::Start,
                    ..
                },
                Target::Room(room),
            ) => {
                let Some(url) = self.announced.get(recording) else {
                    return;
                };
                let file = self.sent_files.get(url);
                if !file.is_some_and(|file| self.node.played.contains(file)) {
                    let found = format!("I8: {room} is recorded without its announcement {url}");
                    self.shared.broken.get_or_insert(found);
                }
            }
            _ => {}
        }
    }

    fn execute(&mut self, command: &SwitchCommand, willing: bool) -> Result<String, Rejection> {
        self.check_announcement(command);
        let node = &mut self.node;
        let done = |()| String::new();
        match (&command.action, command.target) {
            (SwitchAction::Play(PlayCommand::Start { file, .. }), Target::Room(room)) => {
                let played = node.play(room, *file, willing);
                return played.map(|()| "(play)".to_owned());
            }
            (
                SwitchAction::Play(PlayCommand::Start { file, .. }),
                Target::Member { room, call },
            ) => {
                let played = node.play_to(call.channel(), Some(room), *file, willing);
                return played.map(|()| "(play)".to_owned());
            }
            (
                SwitchAction::Record {
                    recording,
                    action: RecordAction::Start,
                    ..
                },
                Target::Room(room),
            ) => return node.record(room, *recording, willing).map(done),
            _ => {}
        }
        if !willing {
            return Err(Rejection::NoSuchMember);
        }
        if let SwitchAction::Play(PlayCommand::Toggle { .. }) = &command.action
            && let Some(room) = command.target.room()
        {
            return node.toggle(room).map(str::to_owned);
        }
        let plan = || {
            let text = command_text(command, &settings());
            Plan::from_text(&text.unwrap_or_default())
        };
        let Some(session) = command.target.call() else {
            let room = command.target.room().expect("the command names a room");
            return match &command.action {
                SwitchAction::SetLock { locked } => node.lock(room, *locked),
                SwitchAction::Control(control) => node.control(room, control),
                SwitchAction::Describe { registration } => {
                    node.describe(room, conference_meta::encode(registration))
                }
                SwitchAction::Play(PlayCommand::Stop) => node.stop(room),
                SwitchAction::Play(_) => Ok(()),
                SwitchAction::Record {
                    recording, action, ..
                } => match action {
                    RecordAction::Pause => node.record_pause(room, *recording, true),
                    RecordAction::Resume => node.record_pause(room, *recording, false),
                    RecordAction::Start | RecordAction::Stop => node.record_stop(room, *recording),
                },
                other => panic!("{other:?} is about no room"),
            }
            .map(done);
        };
        let channel = session.channel();
        match (&command.action, command.target.room()) {
            (SwitchAction::Enter(entry), Some(room)) => {
                let going = Going::Into {
                    room,
                    muted: entry.muted,
                    deaf: entry.deaf,
                    bound: entry.kind == Kind::Connect,
                    plan: plan(),
                };
                node.send(channel, going)
            }
            (SwitchAction::Park { id: parking } | SwitchAction::Break { id: parking }, _) => {
                node.send(channel, Going::Park(*parking, plan()))
            }
            (SwitchAction::Coach { member, id }, _) => {
                node.send(channel, Going::Coach(*id, member.channel(), plan()))
            }
            (SwitchAction::Transfer { id, .. }, _) => node.send(channel, Going::Out(*id, plan())),
            (SwitchAction::Prepare, _) => node.prepare(channel),
            (
                SwitchAction::Record {
                    recording, action, ..
                },
                Some(room),
            ) => node.tap(channel, room, *recording, *action),
            (SwitchAction::SetFlag { flag, on }, room) => node.set_flag(channel, room, *flag, *on),
            (SwitchAction::SetHearing { on }, room) => {
                node.set_flag(channel, room, MemberFlag::Hear, *on)
            }
            (SwitchAction::SetLevel { level, value }, room) => {
                node.set_level(channel, room, *level, *value)
            }
            (SwitchAction::Hold { on }, room) => node.hold(channel, room, *on),
            (SwitchAction::Play(PlayCommand::Stop), room) => node.stop_member(channel, room),
            (SwitchAction::Step { id, step }, _) => {
                use roomkeeper_core::action::Step;
                let gathers = matches!(step, Step::Gather(_) | Step::Pin(_));
                node.begin_step(channel, *id, gathers)
            }
            (SwitchAction::StopGather, _) => node.stop_gather(channel),
            (SwitchAction::CancelDial, _) => node.kill_dialled(channel),
            (SwitchAction::Answer, _) => node.answer(channel),
            (SwitchAction::Hangup { .. }, _) => node.hang_up(channel),
            (other, _) => panic!("{other:?} is about no call"),
        }
        .map(done)
    }

    /// Delivers an answer.
    fn deliver_answer(&mut self, index: usize) {
        let Some((since, command, answer)) = self.sides[index].answers.pop_front() else {
            return;
        };
        if self.shared.now() - since > 2_000 {
            self.shared.faults.fired(Fault::AnsweredLate);
        }
        let is_answered = matches!(
            (&command.action, command.target),
            (
                SwitchAction::Play(PlayCommand::Start { .. } | PlayCommand::Toggle { .. })
                    | SwitchAction::Dial { .. },
                _
            ) | (
                SwitchAction::Record {
                    action: RecordAction::Pause | RecordAction::Resume,
                    ..
                },
                Target::Member { .. }
            )
        );
        let item = match answer {
            Ok(text) if is_answered => Item::Answered(command, text),
            Ok(_) => return,
            Err(error) => Item::Failed(command, error),
        };
        self.apply(index, &[item]);
    }

    // ---- a resync ---------------------------------------------------------------------------------------------

    /// Takes one step of the current resync, or begins one.
    fn advance_resync(&mut self, index: usize, late: usize) {
        let side = &self.sides[index];
        if side.replica.lease.is_none() {
            return;
        }
        match side.resync.clone() {
            None => self.begin_resync(index),
            Some(resync) => self.continue_resync(index, resync, late),
        }
    }

    fn begin_resync(&mut self, index: usize) {
        let replica = &mut self.sides[index].replica;
        if replica.stale || !self.sides[index].connected || !self.commands_up {
            return;
        }
        if self.sides[index].replica.node_state.has_unrecovered_calls() {
            self.recover_calls();
        }
        let replica = &mut self.sides[index].replica;
        replica.wants = None;
        let after_gap = std::mem::take(&mut replica.missed);
        let resync = self.fenced(
            index,
            Resync {
                token: 0,
                fence: 0,
                core: self.node.core_id(),
                after_gap,
                second: false,
                listed: Vec::new(),
                suspects: BTreeSet::new(),
                silent: BTreeSet::new(),
                phase: Phase::AwaitFence,
            },
        );
        self.sides[index].resync = Some(resync);
    }

    /// `sofia recover`, which recovers nothing while a SIP profile has not started.
    fn recover_calls(&mut self) {
        if self.tokens.is_multiple_of(3) {
            self.shared.faults.fired(Fault::NotRecovered);
            return;
        }
        let recovered = self.node.recover();
        note!(self, "          recovers {recovered} calls");
        self.shared.faults.fired_times(Fault::Recovered, recovered);
        self.flush();
    }

    fn raise_fence(&mut self, index: usize) -> (u64, u64, CoreId) {
        self.tokens += 1;
        let (token, fence, core) = (self.tokens, self.node.fence(), self.node.core_id());
        note!(self, "          fence #{fence}");
        let now = self.shared.now();
        let wire = &mut self.sides[index].wire;
        wire.push_back((now, Wire::Fence { token, core }));
        (token, fence, core)
    }

    fn fenced(&mut self, index: usize, resync: Resync) -> Resync {
        let (token, fence, core) = self.raise_fence(index);
        Resync {
            token,
            fence,
            core,
            phase: Phase::AwaitFence,
            ..resync
        }
    }

    fn continue_resync(&mut self, index: usize, mut resync: Resync, late: usize) {
        let changed = resync.core != self.node.core_id();
        let waits = matches!(
            resync.phase,
            Phase::AwaitFence | Phase::AwaitEvents(_) | Phase::AwaitQueriedEvents { .. }
        );
        if !waits && (changed || !self.commands_up) {
            return self.abort_resync(index);
        }
        let phase = std::mem::replace(&mut resync.phase, Phase::AwaitFence);
        resync.phase = match phase {
            Phase::AwaitFence => return,
            Phase::List => {
                if late > 0 {
                    self.shared.faults.fired(Fault::ListLate);
                }
                resync.listed = self.node.list(late);
                let items = [Item::Listed(resync.listed.clone())];
                if !resync.second && self.apply(index, &items).is_none() {
                    return self.resync_failed(index);
                }
                Phase::TakeSnapshot
            }
            Phase::TakeSnapshot if resync.second && std::mem::take(&mut self.second_look_fails) => {
                return self.abort_resync(index);
            }
            Phase::TakeSnapshot => {
                if self.node.lists_two_instances() {
                    self.shared.faults.fired(Fault::TwoInstances);
                }
                if !self.sides[index].wire.is_empty() {
                    self.shared.faults.fired(Fault::InFlight);
                }
                let snapshot = self.node.snapshot(resync.fence);
                let (token, now, _) = self.raise_fence(index);
                if now > resync.fence + 1 {
                    self.shared.faults.fired(Fault::Outrun);
                }
                resync.token = token;
                Phase::AwaitEvents(snapshot)
            }
            Phase::AwaitEvents(snapshot) => Phase::AwaitEvents(snapshot),
            Phase::Merge(snapshot) => {
                if self.has_late_event(index, resync.fence) {
                    self.shared.faults.fired(Fault::Straggles);
                }
                note!(self, "          merging {snapshot:?}");
                let confirmed = std::mem::take(&mut resync.suspects);
                let items = [Item::Snapshot(snapshot, confirmed)];
                let Some(applied) = self.apply(index, &items) else {
                    return self.resync_failed(index);
                };
                resync.suspects = applied.suspects;
                Phase::QueryChannels
            }
            Phase::QueryChannels => {
                let node_state = &mut self.sides[index].replica.node_state;
                let wanted = node_state.channels_to_dump(&resync.listed);
                let known = resync.listed.iter().map(|l| l.channel).collect();
                let missing = node_state.missing_from(&known);
                node_state.drop_unlisted_identities(&known);
                let dumps = wanted
                    .into_iter()
                    .filter_map(|channel| self.node.dump(channel))
                    .collect();
                let gone = missing
                    .into_iter()
                    .filter(|channel| !self.node.exists(*channel))
                    .collect();
                (resync.token, _, _) = self.raise_fence(index);
                Phase::AwaitQueriedEvents { dumps, gone }
            }
            Phase::AwaitQueriedEvents { dumps, gone } => Phase::AwaitQueriedEvents { dumps, gone },
            Phase::MergeQueried { dumps, gone } => {
                note!(self, "          dumps {dumps:?}, gone {gone:?}");
                let vanished = Item::Vanished {
                    channels: gone,
                    core: resync.core,
                    fence: resync.fence,
                };
                if self.apply(index, &[Item::Dumps(dumps), vanished]).is_none() {
                    return self.resync_failed(index);
                }
                Phase::QueryPlayback
            }
            Phase::QueryPlayback => {
                let is_silent = |target: &Target| match *target {
                    Target::Room(room) => self.node.is_silent(room),
                    Target::Member { room, call } => self.node.is_silent_to(call.channel(), room),
                    Target::Call(_) => false,
                };
                let playing = self.sides[index].replica.node_state.playing_targets();
                let silent: Vec<Target> = playing.into_iter().filter(is_silent).collect();
                let confirmed = std::mem::take(&mut resync.silent);
                let items = [Item::Silent(silent, confirmed)];
                let Some(applied) = self.apply(index, &items) else {
                    return self.resync_failed(index);
                };
                resync.silent = applied.silent;
                Phase::QueryCheckpoints
            }
            Phase::QueryCheckpoints => {
                if resync.second {
                    return self.resynced(index, &resync);
                }
                let marks: Vec<(ChannelId, StepId, Option<Checkpoint>)> = self.sides[index]
                    .replica
                    .node_state
                    .acting_calls()
                    .into_iter()
                    .filter_map(|(channel, step)| {
                        Some((channel, step, self.node.mark(channel)?.parse().ok()))
                    })
                    .collect();
                if !marks.is_empty() && self.apply(index, &[Item::Marked(marks)]).is_none() {
                    return self.resync_failed(index);
                }
                let recorded = self.sides[index].replica.node_state.recorded_members();
                let tapped: Vec<(RecordedMember, bool)> = recorded
                    .into_iter()
                    .map(|m| (m, self.node.is_tapped(m.channel, m.recording)))
                    .collect();
                let tapped = Item::Tapped(tapped, resync.fence);
                if self.apply(index, &[tapped]).is_none() {
                    return self.resync_failed(index);
                }
                if resync.suspects.is_empty() && resync.silent.is_empty() {
                    return self.resynced(index, &resync);
                }
                self.shared.faults.fired(Fault::SecondLook);
                resync.second = true;
                let again = self.fenced(index, resync);
                self.sides[index].resync = Some(again);
                return;
            }
        };
        self.sides[index].resync = Some(resync);
    }

    /// Returns true if an event from before this fence has not arrived yet.
    fn has_late_event(&self, index: usize, fence: u64) -> bool {
        let core = self.node.core_id();
        self.sides[index].behind.iter().any(|(_, what)| match what {
            Wire::SwitchEvent(event) => event.core == core && event.sequence < fence,
            Wire::Fence { .. } => false,
        })
    }

    fn resynced(&mut self, index: usize, resync: &Resync) {
        let side = &mut self.sides[index];
        side.resync = None;
        if side.replica.node_state.recovery_deadline().is_some() {
            side.replica.wants = Some("FreeSWITCH recovers calls");
        }
        if resync.after_gap && side.replica.wants.is_none() {
            side.replica.wants = Some("the list of calls is written late");
        }
    }

    /// FreeSWITCH does not answer, or the answer is incomplete: the resync draws no conclusion.
    fn abort_resync(&mut self, index: usize) {
        if let Some(resync) = &self.sides[index].resync {
            self.shared.faults.fired(if resync.second {
                Fault::SecondLookFailed
            } else {
                Fault::SnapshotFailed
            });
            self.resync_failed(index);
        }
    }

    fn resync_failed(&mut self, index: usize) {
        let side = &mut self.sides[index];
        if let Some(resync) = side.resync.take() {
            side.replica.missed |= resync.after_gap;
            side.replica.wants = Some("the last snapshot failed");
        }
    }

    // ---- replicas and time ------------------------------------------------------------------------------------

    fn crash(&mut self, index: usize) {
        if index == self.owner() && self.sides[index].replica.lease.is_some() {
            self.shared.faults.fired(Fault::Crash);
            if !self.sides[index].replica.commands.is_empty() {
                self.shared.faults.fired(Fault::CrashWithCommands);
            }
        }
        self.runs += 1;
        self.sides[index] = Side {
            replica: Replica::start(self.runs, self.recovers),
            wire: VecDeque::new(),
            behind: VecDeque::new(),
            connected: false,
            hangs: false,
            resync: None,
            answers: VecDeque::new(),
            jobs: Vec::new(),
        };
    }

    fn keep(&mut self, index: usize) {
        let side = &mut self.sides[index];
        if side.hangs {
            return;
        }
        let had = side.replica.lease;
        if side.replica.keep(&mut self.shared) {
            note!(self, "          {} has the node", name(index));
            let side = &mut self.sides[index];
            if !side.connected {
                side.connected = true;
                side.wire.clear();
                side.behind.clear();
            }
            side.resync = None;
            if had.is_none() && self.runs > 2 || index == 1 {
                self.shared.faults.fired(Fault::Takeover);
            }
        } else if had.is_some() && self.sides[index].replica.lease.is_none() {
            let side = &mut self.sides[index];
            side.connected = false;
            side.wire.clear();
            side.behind.clear();
            side.resync = None;
        }
        self.sides[index].replica.read_again(&mut self.shared);
    }

    fn pass(&mut self, ms: u64) {
        let mut left = ms;
        while left > 0 {
            let some = left.min(KEEP_ROUND);
            left -= some;
            self.shared.pass(some);
            self.give_up_callees();
            self.deliver_delayed_events();
            for index in 0..2 {
                self.keep(index);
                self.deadlines(index);
            }
        }
    }

    /// Delivers delayed events before tombstones expire: no queue between FreeSWITCH and a replica holds anything for
    /// that long.
    fn deliver_delayed_events(&mut self) {
        let Some(old) = self.shared.now().checked_sub(ON_ITS_WAY) else {
            return;
        };
        for index in 0..2 {
            while let Some((since, command)) = self.sides[index]
                .replica
                .commands
                .pop_front_if(|(since, _)| *since < old)
            {
                self.carry_out(index, since, command, Fate::Well);
            }
        }
        for channel in self.node.calls.keys().copied().collect::<Vec<_>>() {
            self.node.execute_transfer(channel);
        }
        self.flush();
        for index in 0..2 {
            while self.sides[index].answers.front().is_some_and(|a| a.0 < old) {
                self.deliver_answer(index);
            }
            if self.sides[index].behind.front().is_some_and(|b| b.0 < old) {
                self.arrive(index);
            }
            let wire = &self.sides[index].wire;
            let events = wire.iter().filter(|(since, _)| *since < old).count();
            self.receive(index, events);
        }
    }

    fn deadlines(&mut self, index: usize) {
        if self.sides[index].replica.is_recovery_over(&self.shared) {
            self.apply(index, &[Item::RecoveryOver]);
        }
        let due = self.sides[index].replica.due(&mut self.shared);
        if due.is_empty() {
            return;
        }
        self.shared
            .faults
            .fired_times(Fault::DeadlinePassed, due.len());
        let items: Vec<Item> = due.into_iter().map(Item::Due).collect();
        self.apply(index, &items);
    }

    // ---- quiet ------------------------------------------------------------------------------------------------

    /// Stops all faults, delivers all messages, and lets deadlines pass; then one resync, and another if the first one
    /// or events since then require it.
    fn become_quiet(&mut self) -> Checked {
        self.shared.outage = None;
        self.commands_up = true;
        self.second_look_fails = false;
        for side in &mut self.sides {
            side.hangs = false;
        }
        self.pass(2 * KEEP_ROUND);
        self.pass(KEEP_ROUND * 4);
        let owner = self.owner();
        self.settle(owner)?;
        if self.mood == Mood::Calm || self.mood == Mood::Shuffled {
            self.check_agreement()
                .map_err(|e| format!("from events alone: {e}"))?;
        }
        self.looked = true;
        self.resync_failed(owner);
        self.whole_resync(owner)?;
        // Snapshots follow each other while FreeSWITCH recovers calls.
        for _ in 0..4 {
            if self.sides[owner]
                .replica
                .node_state
                .recovery_deadline()
                .is_some()
            {
                self.whole_resync(owner)?;
            }
        }
        self.settle(owner)?;
        if self.sides[owner].replica.wants.is_some() {
            note!(self, "-- once more: {:?}", self.sides[owner].replica.wants);
            self.whole_resync(owner)?;
            self.settle(owner)?;
        }
        self.check_step()
    }

    /// Runs until no message is under way and no entity is pending.
    fn settle(&mut self, owner: usize) -> Checked {
        for _ in 0..200 {
            self.shared.pass(1);
            let mut busy = self.node.report_ends();
            for channel in self.node.calls.keys().copied().collect::<Vec<_>>() {
                busy |= self.node.end_step(channel, true);
                busy |= self.node.execute_transfer(channel);
                if self.node.is_ringing_out(channel) {
                    busy |= self.node.other_side(channel, false);
                }
            }
            self.flush();
            for index in 0..2 {
                self.arrive(index);
                busy |= !self.sides[index].wire.is_empty();
                self.receive(index, usize::MAX);
                while let Some((since, command)) = self.sides[index].replica.commands.pop_front() {
                    busy = true;
                    self.carry_out(index, since, command, Fate::Well);
                }
                while !self.sides[index].answers.is_empty() {
                    busy = true;
                    self.deliver_answer(index);
                }
            }
            if busy {
                continue;
            }
            // Rooms that play wait only for their files; any other deadline passes without an answer.
            let Some(wait) = self.sides[owner].replica.next_deadline(&self.shared) else {
                if self.node.callees.waiting().next().is_none() {
                    return Ok(());
                }
                // Callees of an earlier run ring until the node gives up.
                self.pass(dials::TIMEOUT_MS);
                continue;
            };
            self.pass(wait.as_millis() as u64 + 1);
        }
        Err("the simulation does not become quiet".to_owned())
    }

    fn whole_resync(&mut self, index: usize) -> Checked {
        for _ in 0..64 {
            self.advance_resync(index, 0);
            self.receive(index, usize::MAX);
            if self.sides[index].resync.is_none() {
                return Ok(());
            }
        }
        Err("a resync does not end".to_owned())
    }

    // ---- invariants once quiet ----------------------------------------------------------------------------------

    /// Checks that a replica that takes over now finds nothing to change and nothing to report.
    fn check_handover(&mut self) -> Checked {
        let before = self.webhooks_so_far()?;
        note!(self, "-- handed over");
        let faults = self.shared.faults.clone();
        let owner = self.owner();
        self.crash(owner);
        self.pass(4 * KEEP_ROUND);
        self.shared.faults = faults;
        let owner = self.owner();
        self.whole_resync(owner)?;
        self.settle(owner)?;
        self.whole_resync(owner)?;
        self.settle(owner)?;
        self.check_agreement()
            .map_err(|e| format!("after a handover: {e}"))?;
        let again = self.webhooks_so_far()?;
        if before.len() != again.len() {
            let first = &again[before.len()];
            return Err(format!(
                "I3: a handover alone caused the webhook {}",
                first.body
            ));
        }
        Ok(())
    }

    fn webhooks_so_far(&self) -> Result<Vec<roomkeeper::store::Message>, String> {
        let read = self.shared.store.read_outbox(node_id(), usize::MAX);
        let batch = Shared::at_once(read).map_err(|e| e.to_string())?;
        Ok(batch.messages)
    }

    /// Checks I1 (the node state matches the node), I2 (confirmations last), and I3 and I4 for the webhooks.
    fn check_agreement(&mut self) -> Checked {
        let mut log = WebhookLog::default();
        for message in self.webhooks_so_far()? {
            log.read(&message, self.revives)?;
        }
        self.check_rooms(&log)?;
        self.check_calls(&log)?;
        self.check_confirmations(&log)?;
        if let Some(operation) = self.gathers.iter().find(|id| !log.gathered.contains(*id)) {
            return Err(format!(
                "I2: no result of the request for digits {operation}"
            ));
        }
        log.check_counts()?;
        self.check_dials(&log)?;
        self.check_roles(&log)?;
        if self.mood == Mood::Calm || self.mood == Mood::Shuffled {
            self.check_joins_are_reported(&log)?;
            self.check_joins_are_repeated(&log)?;
        }
        Ok(())
    }

    fn check_rooms(&self, log: &WebhookLog) -> Checked {
        let node_state = &self.sides[self.owner()].replica.node_state;
        for room in node_state.rooms() {
            room.check_invariants();
        }
        let mut inside = BTreeMap::new();
        let mut held = BTreeSet::new();
        let mut plays = BTreeMap::new();
        let mut volumes = BTreeMap::new();
        for Room { id, .. } in &self.rooms {
            let truth = self.node.conferences.get(id);
            // An ended room belongs to no app when a call enters it again.
            let stored = self
                .shared
                .room(*id)
                .filter(|r| r.status() != RoomStatus::Terminated);
            let room = stored.as_ref().or_else(|| node_state.room(*id));
            // FreeSWITCH's flag belongs to the wait.
            let waits = room.is_some_and(RoomState::is_waiting);
            let is_shown = |flag: &MemberFlag| !(waits && *flag == MemberFlag::Hear);
            let model: BTreeMap<ChannelId, (bool, BTreeSet<MemberFlag>)> = room
                .into_iter()
                .flat_map(|r| r.members())
                .map(|(index, m)| {
                    // While a member is held, its other flags are not reported.
                    let is_off = |flag: &MemberFlag| !m.flags.hold && !flag.is_on(m.flags);
                    let off = MemberFlag::ALL.iter().copied().filter(is_off);
                    let off = off.filter(is_shown).collect();
                    (index.channel(), (m.flags.hold, off))
                })
                .collect();
            let is: BTreeMap<ChannelId, (bool, BTreeSet<MemberFlag>)> = self
                .node
                .members(*id)
                .into_iter()
                .map(|channel| {
                    let call = &self.node.calls[&channel];
                    let off = if call.held {
                        BTreeSet::new()
                    } else {
                        call.off.iter().copied().filter(is_shown).collect()
                    };
                    (channel, (call.held, off))
                })
                .collect();
            if room.is_some_and(|room| room.is_open()) {
                self.check_silence(*id, waits)?;
            }
            let starts =
                |m: &Member| m.status == MemberStatus::Joined && m.settings.starts_conference();
            if waits && room.is_some_and(|room| room.members().values().any(starts)) {
                return Err(format!("I1: {id} waits, and its moderator is there"));
            }
            same("I1: members (on hold, flags that are off)", id, &model, &is)?;
            let instances = room.map(|r| r.instances().iter().map(|l| l.id).collect::<Vec<_>>());
            let instance: Vec<_> = truth.map(|t| t.instance).into_iter().collect();
            same(
                "I1: conference instances",
                id,
                &instances.unwrap_or_default(),
                &instance,
            )?;
            let facts = node_state.room(*id).map(|r| (r.lock().locked(), r.floor()));
            let facts = facts.unwrap_or_default();
            // FreeSWITCH forgets the lock of an empty room; the room does not.
            let facts_are = truth.map_or((facts.0, None), |t| (t.locked, t.floor));
            // A lock event that precedes its conference is left to the next snapshot.
            if self.looked || self.mood == Mood::Calm {
                same("I1: lock, floor", id, &facts, &facts_are)?;
            }
            // No event shows the volumes with which a call entered after its join had failed.
            if self.looked
                && let Some(room) = room.filter(|room| room.is_open())
            {
                self.check_levels(room)?;
            }
            let Some(room) = stored else {
                continue;
            };
            let known = log.locked.contains(&id.to_string());
            same("I3: reported lock", id, &known, &room.lock().locked())?;
            self.check_files(&room, log)?;
            self.check_settings(&room)?;
            for (index, member) in room.members() {
                if member.membership.is_some() {
                    let is_off = |flag: &MemberFlag| !flag.is_on(member.flags);
                    let off = MemberFlag::ALL.iter().copied().filter(is_off).collect();
                    let membership = (member.id.to_string(), off);
                    let key = (id.to_string(), index.to_string());
                    if member.flags.hold {
                        held.insert(key.clone());
                    }
                    volumes.insert(key.clone(), i64::from(member.settings.volume_in));
                    let audio = member.audio.iter();
                    let operations = audio.flat_map(|audio| audio.playback.operations());
                    plays.extend(operations.map(|op| (op.id.to_string(), key.clone())));
                    inside.insert(key, membership);
                }
            }
        }
        same("I3: reported members", &"all", &log.inside, &inside)?;
        same("I3: reported holds", &"all", &log.held, &held)?;
        same("I3: reported volumes", &"all", &log.volumes, &volumes)?;
        same(
            "I3: reported operations of members",
            &"all",
            &log.member_plays,
            &plays,
        )
    }

    /// Compares the levels of members. Nobody knows the energy of a profile, so the state may lack a change by another
    /// client.
    fn check_levels(&self, room: &RoomState) -> Checked {
        for (call, member) in room.members() {
            let Some(truth) = self.node.calls.get(&call.channel()) else {
                continue;
            };
            for level in Level::ALL {
                let own = level.get(&member.settings);
                let is = truth.levels.get(level).filter(|_| own.is_some());
                if member.membership.is_some() {
                    same(
                        &format!("I1: {} of {call}", level.name()),
                        &room.id(),
                        &own,
                        &is,
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Checks that no held member of a room hears it, and no member of one that waits for a moderator.
    fn check_silence(&self, room: RoomId, waits: bool) -> Checked {
        for channel in self.node.members(room) {
            let call = &self.node.calls[&channel];
            if call.held && call.is_on(MemberFlag::Hear) {
                return Err(format!("I5: {channel:?} is held in {room} and hears it"));
            }
            if waits && call.is_on(MemberFlag::Hear) {
                return Err(format!("I5: {channel:?} waits in {room} and hears it"));
            }
        }
        Ok(())
    }

    /// Compares playback and recordings. No list shows playback, so it heals only when FreeSWITCH plays nothing; a
    /// recording of ours that FreeSWITCH continues after its end was lost belongs to no room.
    fn check_files(&self, room: &RoomState, log: &WebhookLog) -> Checked {
        let id = room.id();
        let truth = self.node.conferences.get(&id);
        let playing = room.playback().at_freeswitch();
        if truth.is_none_or(|t| t.playing.is_empty()) && !playing.is_empty() {
            return Err(format!(
                "I1: {id} plays nothing, and its state has {playing:?}"
            ));
        }
        let recording = room.recording().filter(|r| r.started_at.is_some());
        let runs = |r| truth.is_some_and(|t| t.recordings.contains_key(&r));
        if let Some(recording) = recording
            && !runs(recording.id)
        {
            return Err(format!(
                "I1: {id} is not recorded, and its state has {recording:?}"
            ));
        }
        let known = log.recordings.get(&id.to_string());
        same(
            "I3: reported recording",
            &id,
            &known.cloned(),
            &recording.map(|r| r.id.to_string()),
        )?;
        for (call, recording) in room.member_recordings() {
            if recording.started_at.is_some() && !self.node.is_tapped(call.channel(), recording.id)
            {
                return Err(format!(
                    "I1: {call} is not recorded, and its state has {recording:?}"
                ));
            }
        }
        let taps = room.member_recordings().iter();
        let taps = taps.filter(|(_, recording)| recording.started_at.is_some());
        let taps: BTreeMap<String, String> = taps
            .map(|(call, recording)| (call.to_string(), recording.id.to_string()))
            .collect();
        let known = log
            .taps
            .iter()
            .filter(|((room, _), _)| *room == id.to_string());
        let known: BTreeMap<String, String> = known
            .map(|((_, call), recording)| (call.clone(), recording.clone()))
            .collect();
        same("I3: reported recordings of members", &id, &known, &taps)?;
        let mut alone = room.coaches().iter();
        if let Some((call, coach)) = alone.find(|(call, _)| !room.members().contains_key(call)) {
            return Err(format!(
                "I5: {coach:?} listens to {call}, which has left {id}"
            ));
        }
        let coaches = room.coaches().iter();
        let coaches: BTreeMap<String, String> = coaches
            .filter(|(_, coach)| coach.began)
            .map(|(call, coach)| (call.to_string(), coach.call.to_string()))
            .collect();
        let known = log.coaches.iter();
        let known: BTreeMap<String, String> = known
            .filter(|((room, _), _)| *room == id.to_string())
            .map(|((_, call), coach)| (call.clone(), coach.clone()))
            .collect();
        same("I3: reported coaches", &id, &known, &coaches)?;
        let requested: BTreeSet<String> = room
            .playback()
            .operations()
            .iter()
            .map(|op| op.id.to_string())
            .collect();
        let reported: BTreeSet<String> = log
            .plays
            .iter()
            .filter(|(_, room)| **room == id.to_string())
            .map(|(op, _)| op.clone())
            .collect();
        same("I3: reported operations", &id, &reported, &requested)
    }

    fn check_calls(&self, log: &WebhookLog) -> Checked {
        let node_state = &self.sides[self.owner()].replica.node_state;
        // If another client moved the call, only a snapshot shows whether the command was executed before; one is
        // requested.
        let doubted: BTreeSet<ChannelId> = node_state
            .calls()
            .filter(|s| {
                !self.looked && s.status() == &roomkeeper_core::call::CallStatus::Leaving(None)
            })
            .map(|s| s.id().channel())
            .filter(|c| self.got_park_command.contains(c))
            .filter(|c| self.node.calls.get(c).is_some_and(|call| call.sent_about))
            .collect();
        let model: BTreeMap<ChannelId, (String, bool)> = node_state
            .calls()
            .filter(|s| !doubted.contains(&s.id().channel()))
            .map(|s| {
                let place = match s.status() {
                    roomkeeper_core::call::CallStatus::Ringing => "Parked".to_owned(),
                    roomkeeper_core::call::CallStatus::InRoom(room) => {
                        format!("{:?}", Place::In(*room))
                    }
                    other => format!("{other:?}"),
                };
                (s.id().channel(), (place, s.answered_at().is_some()))
            })
            .collect();
        let in_a_room = |place| match place {
            Place::In(room) => node_state
                .room(room)
                .is_some_and(|r| r.registration().is_some()),
            Place::Parked | Place::Between | Place::Coaching(_) | Place::Bridged { .. } => false,
        };
        let is: BTreeMap<ChannelId, (String, bool)> = self
            .node
            .calls
            .iter()
            // The app of a call comes from the dialplan, or from the room that it is in. The dialplan decides for
            // parked calls.
            .filter(|(channel, call)| {
                let parked = matches!(
                    call.place,
                    Place::Parked | Place::Coaching(_) | Place::Bridged { .. }
                );
                let known = model.contains_key(channel) || (call.ours && parked);
                !doubted.contains(channel) && (known || in_a_room(call.place))
            })
            .map(|(channel, call)| {
                let place = match call.place {
                    Place::Coaching(_) => "Coaching".to_owned(),
                    Place::Bridged { answered: true } => "Transferred".to_owned(),
                    Place::Bridged { answered: false } => "Transferring".to_owned(),
                    place => format!("{place:?}"),
                };
                (*channel, (place, call.answered))
            })
            .collect();
        same("I1: calls (place, answered)", &"all", &model, &is)?;
        let reported: BTreeSet<String> = log.calls.keys().cloned().collect();
        let known: BTreeSet<String> = node_state.calls().map(|s| s.id().to_string()).collect();
        same("I3: reported calls", &"all", &reported, &known)
    }

    /// Checks I2.
    fn check_confirmations(&self, log: &WebhookLog) -> Checked {
        let node_state = &self.sides[self.owner()].replica.node_state;
        for room in &self.rooms {
            let stored = self.shared.room(room.id);
            let open = stored.as_ref().is_some_and(|r| r.is_open());
            let model = node_state.room(room.id).map(|r| r.status());
            if model == Some(RoomStatus::Starting) {
                return Err(format!("a snapshot has not placed {}", room.id));
            }
            let reported = log.rooms.get(&room.id.to_string()).copied();
            same(
                "I3: reported room",
                &room.id,
                &(reported == Some(true)),
                &open,
            )?;
            let what = match (room.made, room.ended) {
                (Knowledge::Confirmed, Knowledge::No) if !room.ends_by_itself => {
                    (!open).then_some("I2: a confirmed room is missing")
                }
                (_, Knowledge::Confirmed) => {
                    (reported != Some(false)).then_some("I2: a deleted room still exists")
                }
                (Knowledge::Confirmed, _) => reported
                    .is_none()
                    .then_some("I2: a confirmed room was not reported"),
                (Knowledge::No, _) => reported.map(|_| "a refused room exists"),
                (Knowledge::Unknown, _) => None,
            };
            if let Some(what) = what {
                return Err(format!("{what}: {room:?}, {stored:?}"));
            }
        }
        Ok(())
    }

    /// Checks that, without other faults, a join that a conference's end interrupts is repeated: FreeSWITCH refuses one
    /// only after two interruptions.
    fn check_joins_are_repeated(&self, log: &WebhookLog) -> Checked {
        for ((room, channel), interrupted) in &self.node.interrupted {
            let session = CallId::new(node_id(), *channel);
            let key = (room.to_string(), session.to_string());
            let refused = log.refused.get(&key).copied().unwrap_or_default();
            // Another client can take the call elsewhere before the join is repeated, or out of its room before it moves.
            let here = self.node.calls.get(channel);
            let is_undisturbed = here.is_some_and(|call| !call.sent_about)
                && !log.moved.contains(&session.to_string());
            let full = self.node.full.get(&(*room, *channel));
            let refused = refused.saturating_sub(full.copied().unwrap_or_default());
            if self.mood == Mood::Calm && is_undisturbed && 2 * refused > *interrupted {
                return Err(format!(
                    "{session} was refused {refused} times by {room} after {interrupted} interruptions"
                ));
            }
        }
        Ok(())
    }

    /// Checks that, without faults, each entry into a room is reported, and nothing else is.
    fn check_joins_are_reported(&self, log: &WebhookLog) -> Checked {
        for ((room, channel), times) in &self.node.came_in {
            let instances = self
                .rooms
                .iter()
                .any(|r| r.id == *room && r.ended == Knowledge::No && !r.ends_by_itself);
            if instances {
                let session = CallId::new(node_id(), *channel);
                let key = (room.to_string(), session.to_string());
                let (reported, unsynthesized) = log.joins.get(&key).copied().unwrap_or_default();
                // Out of order, the end of a membership may be its only event, and an event that shows one may belong
                // to another. A call that was removed at once has entered, too, for a replica that no longer waits for
                // it.
                let most = times + self.node.interrupted.get(&(*room, *channel)).unwrap_or(&0);
                let right = if self.mood == Mood::Calm {
                    (*times..=most).contains(&reported)
                } else {
                    unsynthesized <= most
                };
                if !right {
                    return Err(format!(
                        "I3: {session} entered {room} {times} times, and {reported} joins were reported"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    of: &dyn std::fmt::Display,
    model: &T,
    is: &T,
) -> Checked {
    if model == is {
        Ok(())
    } else {
        Err(format!("{what}: of {of}: {model:?}, but {is:?}"))
    }
}

const fn name(index: usize) -> &'static str {
    if index == 0 { "A" } else { "B" }
}

/// The settings for rendering commands.
fn settings() -> CommandSettings {
    CommandSettings {
        profile: ProfileName::new("roomkeeper").unwrap(),
        connect_profile: ProfileName::new("roomkeeper-connect").unwrap(),
        speech_engine: Voice::new("flite").unwrap(),
        speech_voice: Voice::new("kal").unwrap(),
        dial: DialTemplates {
            number: Some(DialTemplate::new("sofia/gateway/trunk/${number}", "number").unwrap()),
            address: None,
        },
        links: None,
        park_timeout: Duration::from_secs(3_600),
    }
}

/// Returns the subject of a command: commands about the same one keep their order.
fn subject(command: &SwitchCommand) -> String {
    let room = || command.target.room().expect("the command names a room");
    if let Some(call) = command.target.call() {
        return call.to_string();
    }
    match &command.action {
        SwitchAction::Describe { .. } => format!("the registration of {}", room()),
        SwitchAction::SetLock { .. } => format!("the lock of {}", room()),
        SwitchAction::Control(_) => format!("the settings of {}", room()),
        SwitchAction::Play(_) => format!("the playback of {}", room()),
        SwitchAction::Record { .. } => format!("the recording of {}", room()),
        other => panic!("{other:?} is about no room"),
    }
}

/// A request for digits with two attempts.
/// The PIN of the digits that a caller enters in a step that ends well.
fn pin() -> PinHash {
    static PIN: LazyLock<PinHash> =
        LazyLock::new(|| PinHash::new(&"1234".parse().unwrap(), Uuid::from_u128(1)));
    PIN.clone()
}

fn gather() -> gather::Gather {
    gather::Gather {
        prompt: gather::Prompt::Silence,
        min_digits: 2,
        max_digits: 4,
        terminator: Some('#'),
        timeout_ms: 5_000,
        inter_digit_timeout_ms: 2_000,
        tries: 2,
    }
}

/// Returns the id of a park command.
fn parking(command: &SwitchCommand) -> Option<ParkId> {
    match command.action {
        SwitchAction::Park { id }
        | SwitchAction::Break { id }
        | SwitchAction::Coach { id, .. }
        | SwitchAction::Transfer { id, .. } => Some(id),
        _ => None,
    }
}

/// Returns the update of one level of a member.
fn level_update(level: Level, value: i32) -> MemberUpdate {
    let mut update = MemberUpdate::default();
    match level {
        Level::VolumeIn => update.volume_in = Some(value),
        Level::VolumeOut => update.volume_out = Some(value),
        Level::Energy => update.energy = Some(Some(value)),
    }
    update
}
