//! One simulation: a node, two replicas that compete for it, their store, and the messages between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use freeswitch_esl::command::{ProfileName, Voice};
use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{CommandSettings, command_text};
use roomkeeper::store::deliveries::Deliveries;
use roomkeeper_core::action::Action;
use roomkeeper_core::call::Parking;
use roomkeeper_core::call::{Checkpoint, StepId};
use roomkeeper_core::conference_meta;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, ChannelId, CoreId, RoomId};
use roomkeeper_core::intent::{Accepted, Intent};
use roomkeeper_core::intent::{
    Answer, CreateRoom, DeleteRoom, Hangup, Join, Kick, Leave, Pause, Play, SetFlag, SetLock,
    StartRecording, Stop, StopRecording, UpdateRoom,
};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::MemberFlag;
use roomkeeper_core::room::plan::Suspect;
use roomkeeper_core::room::{
    Details, FileId, Kind, Origin, PlayCommand, RoomState, RoomStatus, Update,
};
use roomkeeper_core::switch_command::{SwitchAction, SwitchCommand};
use roomkeeper_core::switch_event::{ChannelDump, ListedChannel, Snapshot, SwitchEvent};
use uuid::Uuid;

use super::faults::Fault;
use super::node::{Going, No, Node, Place, Plan, app, node_id};
use super::replica::{Applied, Became, Item, Replica, Shared};
use super::schedule::{Fate, Mood, ROOMS, Schedule, Step, Whom, Wish};
use super::webhook_log::WebhookLog;

/// The longest time that an event or an answer of FreeSWITCH is on its way.
const ON_ITS_WAY: u64 = 10_000;

/// The time that a node is unreachable before its calls are given up, in milliseconds: the default of
/// `fleet.lost_after`.
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
    AwaitsFence,
    Lists,
    Takes,
    /// Until all events from before the snapshot have arrived.
    Hears(Snapshot),
    Merges(Snapshot),
    AsksForChannels,
    TakesIn {
        dumps: Vec<ChannelDump>,
        gone: Vec<ChannelId>,
    },
    /// Until all events from before the question have arrived.
    HearsOfThem {
        dumps: Vec<ChannelDump>,
        gone: Vec<ChannelId>,
    },
    AsksWhatPlays,
    AsksForMarks,
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
    silent: BTreeSet<(RoomId, FileId)>,
    phase: Phase,
}

/// A replica, and the messages on their way to it.
struct Side {
    replica: Replica,
    /// Messages that were sent on its event connection and not read yet, with the time of sending.
    wire: VecDeque<(u64, Wire)>,
    /// Delayed messages.
    behind: VecDeque<(u64, Wire)>,
    connected: bool,
    /// True if its lease is no longer renewed.
    hangs: bool,
    resync: Option<Resync>,
    answers: VecDeque<(u64, SwitchCommand, Result<String, CommandError>)>,
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
    kind: Kind,
}

pub struct World {
    mood: Mood,
    pub shared: Shared,
    node: Node,
    sides: [Side; 2],
    /// All requested rooms; callers mean the latest of a slot.
    rooms: Vec<Room>,
    slots: [Option<usize>; ROOMS],
    runs: u128,
    tokens: u64,
    urls: usize,
    commands_up: bool,
    revives: bool,
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
    pub fn new(mood: Mood, traced: bool) -> Self {
        let side = |run| Side {
            replica: Replica::start(run),
            wire: VecDeque::new(),
            behind: VecDeque::new(),
            connected: false,
            hangs: false,
            resync: None,
            answers: VecDeque::new(),
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
            commands_up: true,
            revives: false,
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
            self.is_sound()?;
        }
        note!(self, "-- quiet");
        self.become_quiet()?;
        self.agrees()?;
        self.hands_over()
    }

    fn begin(&mut self) -> Checked {
        self.keep(0);
        self.whole_resync(0)
    }

    /// Checks the invariants that hold after every step.
    fn is_sound(&mut self) -> Checked {
        if let Some(why) = self.node.unexpected_hangup {
            return Err(format!("a call hung up that nobody hung up: {why}"));
        }
        match self.shared.broken.take() {
            Some(broken) => Err(broken),
            None => Ok(()),
        }
    }

    // ---- who --------------------------------------------------------------------------------------------------

    fn owner(&self) -> usize {
        let epoch = |side: &Side| side.replica.lease.map(|lease| lease.epoch);
        usize::from(epoch(&self.sides[1]) > epoch(&self.sides[0]))
    }

    fn who(&self, whom: Whom) -> usize {
        match whom {
            Whom::Owner => self.owner(),
            Whom::Other => 1 - self.owner(),
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
        for news in self.node.take_events() {
            note!(self, "          event #{} {:?}", news.sequence, news.kind);
            for side in self.sides.iter_mut().filter(|side| side.connected) {
                side.wire.push_back((now, Wire::SwitchEvent(news.clone())));
            }
        }
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
            | Step::Hold { .. }
            | Step::Lock { .. }
            | Step::Floor { .. }
            | Step::Answers { .. }
            | Step::GoesOn { .. }
            | Step::Interrupted { .. }
            | Step::FileEnds { .. }
            | Step::ActionEnds { .. }
            | Step::EndsAreTold
            | Step::Restart => {
                self.happens(step);
                self.flush();
            }
            Step::Hear { whom, events } => self.hear(self.who(whom), events),
            Step::Lose { .. }
            | Step::Double { .. }
            | Step::Late { .. }
            | Step::Straggle { .. }
            | Step::Arrive
            | Step::Cut => self.wire_suffers(step),
            Step::NodeLost => self.node_lost(),
            Step::Reach { up } => {
                self.commands_up = up;
            }
            Step::Ask { whom, wish } => self.ask(self.who(whom), wish),
            Step::Carry { whom, at, fate } => self.carry(self.who(whom), at, fate),
            Step::Answered { whom } => self.answered(self.who(whom)),
            Step::Look { whom, late } => self.look(self.who(whom), late),
            Step::LookFails => self.look_fails(self.owner()),
            Step::SecondLookFails => self.second_look_fails = true,
            Step::Crash { whom } => self.crash(self.who(whom)),
            Step::Hangs => {
                let owner = self.owner();
                self.sides[owner].hangs = true;
            }
            Step::Pass { ms } => self.pass(ms),
            Step::Store { outage } => {
                self.shared.outage = outage;
            }
        }
        for who in 0..2 {
            self.sides[who].replica.read_again(&mut self.shared);
        }
        Ok(())
    }

    fn happens(&mut self, step: Step) {
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
                    if self.node.lists_two_lives() {
                        self.shared.faults.fired(Fault::Recreated);
                    }
                }
            }
            Step::Moves { call, slot } => {
                if let (Some(channel), Some(room)) = (self.call(call), self.room(slot)) {
                    self.node.moves(channel, room);
                }
            }
            Step::Lock { slot, locked } => {
                if let Some(room) = self.room(slot) {
                    let _nobody_is_in = self.node.lock(room, locked);
                }
            }
            Step::FileEnds { slot } => {
                if let Some(room) = self.room(slot) {
                    self.node.file_ends(room);
                }
            }
            Step::EndsAreTold => {
                self.node.tell_ends();
            }
            Step::Restart => {
                self.shared.faults.fired(Fault::Restart);
                self.node.restart();
                for side in &mut self.sides {
                    // The connection breaks. Events that arrived before are still read, and come before those of the
                    // next connection.
                    side.wire
                        .retain(|(_, what)| matches!(what, Wire::SwitchEvent(_)));
                    side.replica.missed = true;
                    side.replica.wants = Some("the event connection is up");
                    side.resync = None;
                }
            }
            Step::Leave { call }
            | Step::FlagKey { call, .. }
            | Step::Hold { call, .. }
            | Step::Floor { call } => {
                if let Some(channel) = self.member(call) {
                    self.happens_to(channel, step);
                }
            }
            Step::HangUp { call }
            | Step::Answers { call }
            | Step::GoesOn { call }
            | Step::Interrupted { call, .. }
            | Step::ActionEnds { call, .. } => {
                if let Some(channel) = self.call(call) {
                    self.happens_to(channel, step);
                }
            }
            _ => {}
        }
    }

    fn happens_to(&mut self, channel: ChannelId, step: Step) {
        // A call outside a conference has no such key.
        let _nothing = match step {
            Step::Leave { .. } => {
                self.node.leave(channel);
                Ok(())
            }
            Step::HangUp { .. } => self.node.hang_up(channel),
            Step::FlagKey { flag, on, .. } => self.node.set_flag(channel, None, flag, on),
            Step::Hold { held, .. } => {
                self.node.hold(channel, held);
                Ok(())
            }
            Step::Floor { .. } => {
                self.node.takes_floor(channel);
                Ok(())
            }
            Step::Answers { .. } => self.node.answer(channel),
            Step::GoesOn { .. } => {
                self.node.go_on(channel);
                Ok(())
            }
            Step::Interrupted { lingers, .. } => {
                if self.node.is_interrupted(channel, lingers) {
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

    fn hear(&mut self, who: usize, events: usize) {
        let wire = &mut self.sides[who].wire;
        let heard: Vec<Wire> = wire
            .drain(..events.min(wire.len()))
            .map(|(_, what)| what)
            .collect();
        if heard.is_empty() || self.sides[who].replica.lease.is_none() {
            return;
        }
        let items: Vec<Item> = heard
            .iter()
            .map(|what| match what {
                Wire::SwitchEvent(news) => Item::SwitchEvent(news.clone()),
                Wire::Fence { core, .. } => Item::Fence(*core),
            })
            .collect();
        let stands = self.apply(who, &items).is_some();
        for what in heard {
            if let Wire::Fence { token, .. } = what
                && let Some(resync) = &mut self.sides[who].resync
                && resync.token == token
            {
                let next = match std::mem::replace(&mut resync.phase, Phase::AwaitsFence) {
                    Phase::AwaitsFence => Phase::Lists,
                    Phase::Hears(snapshot) => Phase::Merges(snapshot),
                    Phase::HearsOfThem { dumps, gone } => Phase::TakesIn { dumps, gone },
                    other => other,
                };
                if stands {
                    resync.phase = next;
                } else {
                    self.resync_failed(who);
                }
            }
        }
    }

    fn wire_suffers(&mut self, step: Step) {
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

    fn arrive(&mut self, who: usize) {
        let side = &mut self.sides[who];
        let behind = std::mem::take(&mut side.behind);
        side.wire.extend(behind);
    }

    fn reconnected(&mut self, who: usize) {
        let replica = &mut self.sides[who].replica;
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
        // The controller waits for longer than any command can be on its way (`fleet.lost_after`).
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

    fn follows(&mut self, who: usize, applied: &Applied) {
        for notice in &applied.out.notifications {
            note!(self, "          {} tells {:?}", name(who), notice.about);
        }
        for order in &applied.out.commands {
            note!(self, "          {} orders {order:?}", name(who));
        }
        self.is_ended_by_no_park(who, &applied.out.commands);
    }

    /// Applies a batch and returns its results if it is committed.
    fn apply(&mut self, who: usize, items: &[Item]) -> Option<Applied> {
        let became = self.sides[who]
            .replica
            .step(items, self.commands_up, &mut self.shared);
        match became {
            Became::Done(applied) => {
                self.follows(who, &applied);
                Some(applied)
            }
            Became::LeaseLost => {
                note!(
                    self,
                    "          {} is refused: it has lost its lease",
                    name(who)
                );
                let side = &mut self.sides[who];
                side.connected = false;
                side.wire.clear();
                side.behind.clear();
                side.resync = None;
                None
            }
            Became::Unknown | Became::Skipped => {
                note!(self, "          {} does not know: {became:?}", name(who));
                None
            }
        }
    }

    // ---- callers ----------------------------------------------------------------------------------------------

    fn ask(&mut self, who: usize, wish: Wish) {
        let Some(intent) = self.intent(wish) else {
            return;
        };
        let about = self.slot_of(wish);
        let became = self.sides[who].replica.step(
            &[Item::Intent(intent)],
            self.commands_up,
            &mut self.shared,
        );
        let asked = match &became {
            Became::Done(applied) => {
                note!(self, "          {:?}", applied.verdicts);
                self.follows(who, applied);
                match applied.verdicts.first() {
                    Some(Ok(Accepted::CreateRoom(()) | Accepted::DeleteRoom(_))) => {
                        Knowledge::Confirmed
                    }
                    _ => Knowledge::No,
                }
            }
            Became::Unknown => Knowledge::Unknown,
            Became::LeaseLost => {
                self.sides[who].connected = false;
                self.sides[who].wire.clear();
                self.sides[who].behind.clear();
                self.sides[who].resync = None;
                Knowledge::No
            }
            Became::Skipped => Knowledge::No,
        };
        if let Some(room) = about.map(|at| &mut self.rooms[at]) {
            match wish {
                Wish::Create { .. } => room.made = asked,
                Wish::Delete { .. }
                    if room.ended != Knowledge::Confirmed && asked != Knowledge::No =>
                {
                    room.ended = asked;
                }
                _ => {}
            }
        }
    }

    fn slot_of(&self, wish: Wish) -> Option<usize> {
        match wish {
            Wish::Create { slot, .. } | Wish::Delete { slot } => self.slots[slot % ROOMS],
            _ => None,
        }
    }

    fn session(&self, call: usize) -> Option<CallId> {
        Some(CallId::new(node_id(), self.call(call)?))
    }

    fn intent(&mut self, wish: Wish) -> Option<Intent> {
        let app = app();
        Some(match wish {
            Wish::Create {
                slot,
                connect,
                acts,
            } => self.create(slot, connect, acts)?,
            Wish::Delete { slot } => Intent::new(Target::Room(self.room(slot)?), app, DeleteRoom),
            Wish::Update { slot } => {
                let update = Box::new(Update {
                    detail: Some(format!("at {}", self.shared.now())),
                    ..Update::default()
                });
                Intent::new(Target::Room(self.room(slot)?), app, UpdateRoom { update })
            }
            Wish::Join { call, slot, muted } => Intent::new(
                Target::Member {
                    room: self.room(slot)?,
                    call: self.session(call)?,
                },
                app,
                Join { muted: Some(muted) },
            ),
            Wish::Leave { call } => Intent::new(Target::Call(self.session(call)?), app, Leave),
            Wish::Kick { call } => {
                let session = self.session(call)?;
                let node_state = &self.sides[self.owner()].replica.node_state;
                let room = node_state.call(session)?.place().room()?;
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
            Wish::Lock { slot, lock } => Intent::new(
                Target::Room(self.room(slot)?),
                app,
                SetLock { locked: lock },
            ),
            Wish::SetFlag { call, flag, on } => {
                Intent::new(Target::Call(self.session(call)?), app, SetFlag { flag, on })
            }
            Wish::Play { slot, files } => {
                let room = self.room(slot)?;
                let urls = (0..files)
                    .map(|_| {
                        self.urls += 1;
                        PlayUrl::new(&format!("http://files.example/{}.wav", self.urls)).unwrap()
                    })
                    .collect();
                Intent::new(Target::Room(room), app, Play { urls })
            }
            Wish::Pause { slot } => Intent::new(Target::Room(self.room(slot)?), app, Pause),
            Wish::Stop { slot } => Intent::new(Target::Room(self.room(slot)?), app, Stop),
            Wish::Record { slot } => {
                Intent::new(Target::Room(self.room(slot)?), app, StartRecording)
            }
            Wish::RecordStop { slot } => {
                Intent::new(Target::Room(self.room(slot)?), app, StopRecording)
            }
            Wish::Answer { call } => Intent::new(Target::Call(self.session(call)?), app, Answer),
            Wish::HangUp { call } => Intent::new(
                Target::Call(self.session(call)?),
                app,
                Hangup { cause: None },
            ),
        })
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
            kind,
        });
        let actions = |text: &str| -> Vec<Action> { serde_json::from_str(text).unwrap() };
        let details = if acts {
            Details {
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

    /// A call that is sent into a room is free: no park command that was decided before is still on its way, from
    /// either replica. It would end the join. Calls that another client has moved or removed are exempt: nobody can
    /// know that much, and the commands that park the members of an ending room have no id.
    fn is_ended_by_no_park(&mut self, who: usize, new: &[SwitchCommand]) {
        let now = crate::replica::time(&self.shared);
        for order in new {
            if parking(order).is_some()
                && let Some(session) = order.target.call()
            {
                self.got_park_command.insert(session.channel());
            }
        }
        let entering = |(_, order): &(u64, SwitchCommand)| match order.action {
            SwitchAction::Enter { .. } => order.target.call(),
            _ => None,
        };
        let parks = |(_, order): &(u64, SwitchCommand), call: CallId| {
            order.target.call() == Some(call)
                && parking(order)
                    .is_some_and(|parking| now.since(parking.0) < Duration::from_secs(5))
        };
        let (own, other) = (
            &self.sides[who].replica.orders,
            &self.sides[1 - who].replica.orders,
        );
        for at in own.len() - new.len()..own.len() {
            let Some(call) = entering(&own[at]) else {
                continue;
            };
            let here = self.node.calls.get(&call.channel());
            if here.is_none_or(|call| call.sent_about || call.taken_out) {
                continue;
            }
            let mut before = own.iter().take(at).chain(other);
            if let Some((_, order)) = before.find(|order| parks(order, call)) {
                let found = format!("{call} is sent into a room, and then: {order:?}");
                self.shared.broken.get_or_insert(found);
            }
        }
    }

    // ---- commands ---------------------------------------------------------------------------------------------

    /// Delivers or loses one command. Commands about one call or one room keep their order.
    fn carry(&mut self, who: usize, at: usize, fate: Fate) {
        // If this replica has no commands, the other one has its turn.
        let idle = self.sides[who].replica.orders.is_empty();
        let who = if idle { 1 - who } else { who };
        let orders = &self.sides[who].replica.orders;
        if orders.is_empty() {
            return;
        }
        let about = subject(&orders[at % orders.len()].1);
        let first = orders
            .iter()
            .position(|(_, order)| subject(order) == about)
            .unwrap_or_default();
        if let Some((since, order)) = self.sides[who].replica.orders.remove(first) {
            self.carry_out(who, since, order, fate);
        }
    }

    fn carry_out(&mut self, who: usize, since: u64, order: SwitchCommand, fate: Fate) {
        let now = self.shared.now();
        note!(
            self,
            "          {} has carried out, {fate:?}: {order:?}",
            name(who)
        );
        if !self.commands_up {
            self.shared.faults.fired(Fault::OrderDown);
            let retry_after = Duration::from_secs(1);
            let down = Err(CommandError::Down { retry_after });
            self.sides[who].answers.push_back((now, order, down));
            return;
        }
        match fate {
            Fate::Lost => {
                self.shared.faults.fired(Fault::OrderLost);
                return;
            }
            Fate::Refused => self.shared.faults.fired(Fault::OrderRefused),
            Fate::Unanswered => self.shared.faults.fired(Fault::OrderUnanswered),
            Fate::Well => {}
        }
        if now - since > 2_000 {
            self.shared.faults.fired(Fault::CarriedLate);
        }
        let answer = self.obey(&order, fate != Fate::Refused);
        self.flush();
        if fate != Fate::Unanswered {
            let answer = answer.map_err(|no| match no {
                No::SuchChannel => CommandError::NoSuchChannel,
                No::SuchMember | No::NothingPlaying => CommandError::Refused("no".to_owned()),
            });
            self.sides[who].answers.push_back((now, order, answer));
        }
    }

    fn obey(&mut self, order: &SwitchCommand, willing: bool) -> Result<String, No> {
        let node = &mut self.node;
        let done = |()| String::new();
        match (&order.action, order.target) {
            (SwitchAction::Play(PlayCommand::Start { file, .. }), Target::Room(room)) => {
                let played = node.play(room, *file, willing);
                return played.map(|()| "(play)".to_owned());
            }
            (SwitchAction::StartRecording { recording, .. }, Target::Room(room)) => {
                return node.record(room, *recording, willing).map(done);
            }
            _ => {}
        }
        if !willing {
            return Err(No::SuchMember);
        }
        if let SwitchAction::Play(PlayCommand::Toggle { .. }) = &order.action
            && let Some(room) = order.target.room()
        {
            return node.toggle(room).map(str::to_owned);
        }
        let plan = || {
            let text = command_text(order, &settings());
            Plan::from_text(&text.unwrap_or_default())
        };
        let Some(session) = order.target.call() else {
            let room = order.target.room().expect("the command names a room");
            return match &order.action {
                SwitchAction::SetLock { locked } => node.lock(room, *locked),
                SwitchAction::Describe { registration } => {
                    node.describe(room, conference_meta::encode(registration))
                }
                SwitchAction::Play(PlayCommand::Stop) => node.stop(room),
                SwitchAction::Play(_) => Ok(()),
                SwitchAction::StopRecording { recording, .. } => node.record_stop(room, *recording),
                other => panic!("{other:?} is about no room"),
            }
            .map(done);
        };
        let channel = session.channel();
        match (&order.action, order.target.room()) {
            (SwitchAction::Enter { kind, muted, .. }, Some(room)) => {
                let going = Going::Into {
                    room,
                    muted: *muted,
                    bound: *kind == Kind::Connect,
                    plan: plan(),
                };
                node.send(channel, going)
            }
            (SwitchAction::Park { parking } | SwitchAction::Break { parking }, _) => {
                node.send(channel, Going::Park(*parking, plan()))
            }
            (SwitchAction::Prepare, _) => node.prepare(channel),
            (SwitchAction::SetFlag { flag, on }, room) => node.set_flag(channel, room, *flag, *on),
            (SwitchAction::Step { id, .. }, _) => node.begin_step(channel, *id),
            (SwitchAction::Answer, _) => node.answer(channel),
            (SwitchAction::Hangup { .. }, _) => node.hang_up(channel),
            (other, _) => panic!("{other:?} is about no call"),
        }
        .map(done)
    }

    /// Delivers an answer.
    fn answered(&mut self, who: usize) {
        let Some((since, order, answer)) = self.sides[who].answers.pop_front() else {
            return;
        };
        if self.shared.now() - since > 2_000 {
            self.shared.faults.fired(Fault::AnsweredLate);
        }
        let is_answered = matches!(
            order.action,
            SwitchAction::Play(PlayCommand::Start { .. } | PlayCommand::Toggle { .. })
        );
        let item = match answer {
            Ok(text) if is_answered => Item::Answered(order, text),
            Ok(_) => return,
            Err(error) => Item::Failed(order, error),
        };
        self.apply(who, &[item]);
    }

    // ---- a resync ---------------------------------------------------------------------------------------------

    /// Takes one step of the current resync, or begins one.
    fn look(&mut self, who: usize, late: usize) {
        let side = &self.sides[who];
        if side.replica.lease.is_none() {
            return;
        }
        match side.resync.clone() {
            None => self.begin_resync(who),
            Some(resync) => self.go_on_resync(who, resync, late),
        }
    }

    fn begin_resync(&mut self, who: usize) {
        let replica = &mut self.sides[who].replica;
        if replica.stale || !self.sides[who].connected || !self.commands_up {
            return;
        }
        let replica = &mut self.sides[who].replica;
        replica.wants = None;
        let after_gap = std::mem::take(&mut replica.missed);
        let resync = self.fenced(
            who,
            Resync {
                token: 0,
                fence: 0,
                core: self.node.core_id(),
                after_gap,
                second: false,
                listed: Vec::new(),
                suspects: BTreeSet::new(),
                silent: BTreeSet::new(),
                phase: Phase::AwaitsFence,
            },
        );
        self.sides[who].resync = Some(resync);
    }

    fn raise_fence(&mut self, who: usize) -> (u64, u64, CoreId) {
        self.tokens += 1;
        let (token, fence, core) = (self.tokens, self.node.fence(), self.node.core_id());
        note!(self, "          fence #{fence}");
        let now = self.shared.now();
        let wire = &mut self.sides[who].wire;
        wire.push_back((now, Wire::Fence { token, core }));
        (token, fence, core)
    }

    fn fenced(&mut self, who: usize, resync: Resync) -> Resync {
        let (token, fence, core) = self.raise_fence(who);
        Resync {
            token,
            fence,
            core,
            phase: Phase::AwaitsFence,
            ..resync
        }
    }

    fn go_on_resync(&mut self, who: usize, mut resync: Resync, late: usize) {
        let changed = resync.core != self.node.core_id();
        let waits = matches!(
            resync.phase,
            Phase::AwaitsFence | Phase::Hears(_) | Phase::HearsOfThem { .. }
        );
        if !waits && (changed || !self.commands_up) {
            return self.look_fails(who);
        }
        let phase = std::mem::replace(&mut resync.phase, Phase::AwaitsFence);
        resync.phase = match phase {
            Phase::AwaitsFence => return,
            Phase::Lists => {
                if late > 0 {
                    self.shared.faults.fired(Fault::ListLate);
                }
                resync.listed = self.node.list(late);
                let items = [Item::Listed(resync.listed.clone())];
                if !resync.second && self.apply(who, &items).is_none() {
                    return self.resync_failed(who);
                }
                Phase::Takes
            }
            Phase::Takes if resync.second && std::mem::take(&mut self.second_look_fails) => {
                return self.look_fails(who);
            }
            Phase::Takes => {
                if self.node.lists_two_lives() {
                    self.shared.faults.fired(Fault::TwoLives);
                }
                if !self.sides[who].wire.is_empty() {
                    self.shared.faults.fired(Fault::InFlight);
                }
                let snapshot = self.node.snapshot(resync.fence);
                let (token, now, _) = self.raise_fence(who);
                if now > resync.fence + 1 {
                    self.shared.faults.fired(Fault::Outrun);
                }
                resync.token = token;
                Phase::Hears(snapshot)
            }
            Phase::Hears(snapshot) => Phase::Hears(snapshot),
            Phase::Merges(snapshot) => {
                if self.straggles(who, resync.fence) {
                    self.shared.faults.fired(Fault::Straggles);
                }
                note!(self, "          merging {snapshot:?}");
                let confirmed = std::mem::take(&mut resync.suspects);
                let items = [Item::Snapshot(snapshot, confirmed)];
                let Some(applied) = self.apply(who, &items) else {
                    return self.resync_failed(who);
                };
                resync.suspects = applied.suspects;
                Phase::AsksForChannels
            }
            Phase::AsksForChannels => {
                let node_state = &mut self.sides[who].replica.node_state;
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
                (resync.token, _, _) = self.raise_fence(who);
                Phase::HearsOfThem { dumps, gone }
            }
            Phase::HearsOfThem { dumps, gone } => Phase::HearsOfThem { dumps, gone },
            Phase::TakesIn { dumps, gone } => {
                note!(self, "          dumps {dumps:?}, gone {gone:?}");
                let vanished = Item::Vanished {
                    channels: gone,
                    core: resync.core,
                    fence: resync.fence,
                };
                if self.apply(who, &[Item::Dumps(dumps), vanished]).is_none() {
                    return self.resync_failed(who);
                }
                Phase::AsksWhatPlays
            }
            Phase::AsksWhatPlays => {
                let silent: Vec<RoomId> = self.sides[who]
                    .replica
                    .node_state
                    .playing_rooms()
                    .into_iter()
                    .filter(|room| self.node.is_silent(*room))
                    .collect();
                let confirmed = std::mem::take(&mut resync.silent);
                let items = [Item::Silent(silent, confirmed)];
                let Some(applied) = self.apply(who, &items) else {
                    return self.resync_failed(who);
                };
                resync.silent = applied.silent;
                Phase::AsksForMarks
            }
            Phase::AsksForMarks => {
                if resync.second {
                    return self.resynced(who, &resync);
                }
                let marks: Vec<(ChannelId, StepId, Option<Checkpoint>)> = self.sides[who]
                    .replica
                    .node_state
                    .acting_calls()
                    .into_iter()
                    .filter_map(|(channel, step)| {
                        Some((channel, step, self.node.mark(channel)?.parse().ok()))
                    })
                    .collect();
                if !marks.is_empty() && self.apply(who, &[Item::Marked(marks)]).is_none() {
                    return self.resync_failed(who);
                }
                if resync.suspects.is_empty() && resync.silent.is_empty() {
                    return self.resynced(who, &resync);
                }
                self.shared.faults.fired(Fault::SecondLook);
                resync.second = true;
                let again = self.fenced(who, resync);
                self.sides[who].resync = Some(again);
                return;
            }
        };
        self.sides[who].resync = Some(resync);
    }

    /// Returns true if an event from before this fence has not arrived yet.
    fn straggles(&self, who: usize, fence: u64) -> bool {
        let core = self.node.core_id();
        self.sides[who].behind.iter().any(|(_, what)| match what {
            Wire::SwitchEvent(news) => news.core == core && news.sequence < fence,
            Wire::Fence { .. } => false,
        })
    }

    fn resynced(&mut self, who: usize, resync: &Resync) {
        let side = &mut self.sides[who];
        side.resync = None;
        if resync.after_gap && side.replica.wants.is_none() {
            side.replica.wants = Some("the list of calls is written late");
        }
    }

    /// FreeSWITCH does not answer, or the answer is cut short: nothing follows from it.
    fn look_fails(&mut self, who: usize) {
        if let Some(resync) = &self.sides[who].resync {
            self.shared.faults.fired(if resync.second {
                Fault::SecondLookFailed
            } else {
                Fault::SnapshotFailed
            });
            self.resync_failed(who);
        }
    }

    fn resync_failed(&mut self, who: usize) {
        let side = &mut self.sides[who];
        if let Some(resync) = side.resync.take() {
            side.replica.missed |= resync.after_gap;
            side.replica.wants = Some("the last snapshot failed");
        }
    }

    // ---- replicas and time ------------------------------------------------------------------------------------

    fn crash(&mut self, who: usize) {
        if who == self.owner() && self.sides[who].replica.lease.is_some() {
            self.shared.faults.fired(Fault::Crash);
            if !self.sides[who].replica.orders.is_empty() {
                self.shared.faults.fired(Fault::CrashWithOrders);
            }
        }
        self.runs += 1;
        self.sides[who] = Side {
            replica: Replica::start(self.runs),
            wire: VecDeque::new(),
            behind: VecDeque::new(),
            connected: false,
            hangs: false,
            resync: None,
            answers: VecDeque::new(),
        };
    }

    fn keep(&mut self, who: usize) {
        let side = &mut self.sides[who];
        if side.hangs {
            return;
        }
        let had = side.replica.lease;
        if side.replica.keep(&mut self.shared) {
            note!(self, "          {} has the node", name(who));
            let side = &mut self.sides[who];
            if !side.connected {
                side.connected = true;
                side.wire.clear();
                side.behind.clear();
            }
            side.resync = None;
            if had.is_none() && self.runs > 2 || who == 1 {
                self.shared.faults.fired(Fault::Takeover);
            }
        } else if had.is_some() && self.sides[who].replica.lease.is_none() {
            let side = &mut self.sides[who];
            side.connected = false;
            side.wire.clear();
            side.behind.clear();
            side.resync = None;
        }
        self.sides[who].replica.read_again(&mut self.shared);
    }

    fn pass(&mut self, ms: u64) {
        let mut left = ms;
        while left > 0 {
            let some = left.min(KEEP_ROUND);
            left -= some;
            self.shared.pass(some);
            self.deliver_delayed_events();
            for who in 0..2 {
                self.keep(who);
                self.deadlines(who);
            }
        }
    }

    /// Delivers delayed events before tombstones expire: no queue between FreeSWITCH and a replica holds anything for
    /// that long.
    fn deliver_delayed_events(&mut self) {
        let Some(old) = self.shared.now().checked_sub(ON_ITS_WAY) else {
            return;
        };
        for who in 0..2 {
            while let Some((since, order)) = self.sides[who]
                .replica
                .orders
                .pop_front_if(|(since, _)| *since < old)
            {
                self.carry_out(who, since, order, Fate::Well);
            }
        }
        for channel in self.node.calls.keys().copied().collect::<Vec<_>>() {
            self.node.go_on(channel);
        }
        self.flush();
        for who in 0..2 {
            while self.sides[who].answers.front().is_some_and(|a| a.0 < old) {
                self.answered(who);
            }
            if self.sides[who].behind.front().is_some_and(|b| b.0 < old) {
                self.arrive(who);
            }
            let wire = &self.sides[who].wire;
            let events = wire.iter().filter(|(since, _)| *since < old).count();
            self.hear(who, events);
        }
    }

    fn deadlines(&mut self, who: usize) {
        let due = self.sides[who].replica.due(&mut self.shared);
        if due.is_empty() {
            return;
        }
        self.shared
            .faults
            .fired_times(Fault::DeadlinePassed, due.len());
        let items: Vec<Item> = due.into_iter().map(Item::Due).collect();
        self.apply(who, &items);
    }

    // ---- quiet ------------------------------------------------------------------------------------------------

    /// Stops all faults, delivers what is on its way, and lets deadlines pass; then one resync, and another if the
    /// first one or events since then require it.
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
            self.agrees()
                .map_err(|e| format!("from events alone: {e}"))?;
        }
        self.looked = true;
        self.resync_failed(owner);
        self.whole_resync(owner)?;
        self.settle(owner)?;
        if self.sides[owner].replica.wants.is_some() {
            note!(self, "-- once more: {:?}", self.sides[owner].replica.wants);
            self.whole_resync(owner)?;
            self.settle(owner)?;
        }
        self.is_sound()
    }

    /// Runs until nothing is on its way and nothing is pending.
    fn settle(&mut self, owner: usize) -> Checked {
        for _ in 0..200 {
            self.shared.pass(1);
            let mut busy = self.node.tell_ends();
            for channel in self.node.calls.keys().copied().collect::<Vec<_>>() {
                busy |= self.node.end_step(channel, true);
                busy |= self.node.go_on(channel);
            }
            self.flush();
            for who in 0..2 {
                self.arrive(who);
                busy |= !self.sides[who].wire.is_empty();
                self.hear(who, usize::MAX);
                while let Some((since, order)) = self.sides[who].replica.orders.pop_front() {
                    busy = true;
                    self.carry_out(who, since, order, Fate::Well);
                }
                while !self.sides[who].answers.is_empty() {
                    busy = true;
                    self.answered(who);
                }
            }
            if busy {
                continue;
            }
            // Rooms that play wait only for their files; any other deadline passes without an answer.
            let Some(wait) = self.sides[owner].replica.next_deadline(&self.shared) else {
                return Ok(());
            };
            self.pass(wait.as_millis() as u64 + 1);
        }
        Err("the simulation does not become quiet".to_owned())
    }

    fn whole_resync(&mut self, who: usize) -> Checked {
        for _ in 0..64 {
            self.look(who, 0);
            self.hear(who, usize::MAX);
            if self.sides[who].resync.is_none() {
                return Ok(());
            }
        }
        Err("a resync does not end".to_owned())
    }

    // ---- invariants once quiet ----------------------------------------------------------------------------------

    /// Checks that a replica that takes over now finds nothing to change and nothing to report.
    fn hands_over(&mut self) -> Checked {
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
        self.agrees()
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

    /// Checks I1: the node state matches the node. I2: confirmations last. I3, I4: so do the webhooks.
    fn agrees(&mut self) -> Checked {
        let mut log = WebhookLog::default();
        for message in self.webhooks_so_far()? {
            log.read(&message, self.revives)?;
        }
        self.agrees_on_rooms(&log)?;
        self.agrees_on_calls(&log)?;
        self.keeps_confirmations(&log)?;
        if self.mood == Mood::Calm || self.mood == Mood::Shuffled {
            self.reports_each_join(&log)?;
            self.repeats_each_join(&log)?;
        }
        Ok(())
    }

    fn agrees_on_rooms(&self, log: &WebhookLog) -> Checked {
        let node_state = &self.sides[self.owner()].replica.node_state;
        for room in node_state.rooms() {
            room.check_invariants();
        }
        let mut inside = BTreeMap::new();
        for Room { id, .. } in &self.rooms {
            let truth = self.node.conferences.get(id);
            // An ended room belongs to no app when a call enters it again.
            let stored = self
                .shared
                .room(*id)
                .filter(|r| r.status() != RoomStatus::Terminated);
            let room = stored.as_ref().or_else(|| node_state.room(*id));
            let believed: BTreeMap<ChannelId, (bool, BTreeSet<MemberFlag>)> = room
                .into_iter()
                .flat_map(|r| r.members())
                .map(|(who, m)| {
                    // While a member is held, its other flags are not reported.
                    let is_off = |flag: &MemberFlag| !m.flags.hold && !flag.is_on(m.flags);
                    let off = MemberFlag::ALL.iter().copied().filter(is_off).collect();
                    (who.channel(), (m.flags.hold, off))
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
                        call.off.clone()
                    };
                    (channel, (call.held, off))
                })
                .collect();
            same(
                "I1: members (on hold, flags that are off)",
                id,
                &believed,
                &is,
            )?;
            let lives = room.map(|r| r.instances().iter().map(|l| l.id).collect::<Vec<_>>());
            let life: Vec<_> = truth.map(|t| t.life).into_iter().collect();
            same(
                "I1: conference instances",
                id,
                &lives.unwrap_or_default(),
                &life,
            )?;
            let facts = node_state.room(*id).map(|r| (r.lock().locked(), r.floor()));
            let facts = facts.unwrap_or_default();
            // FreeSWITCH forgets the lock of an empty room; the room does not.
            let facts_are = truth.map_or((facts.0, None), |t| (t.locked, t.floor));
            // A lock event that precedes its conference is left to the next snapshot.
            if self.looked || self.mood == Mood::Calm {
                same("I1: lock, floor", id, &facts, &facts_are)?;
            }
            let Some(room) = stored else {
                continue;
            };
            let known = log.locked.contains(&id.to_string());
            same("I3: reported lock", id, &known, &room.lock().locked())?;
            self.agrees_on_files(&room, log)?;
            for (who, member) in room.members() {
                if member.membership.is_some() {
                    let is_off = |flag: &MemberFlag| !flag.is_on(member.flags);
                    let off = MemberFlag::ALL.iter().copied().filter(is_off).collect();
                    let membership = (member.id.to_string(), off);
                    inside.insert((id.to_string(), who.to_string()), membership);
                }
            }
        }
        same("I3: reported members", &"all", &log.inside, &inside)
    }

    /// Compares playback and recordings. Playback is in no list, so it heals only when FreeSWITCH plays nothing; a
    /// recording of ours that FreeSWITCH continues after its end was lost belongs to nobody.
    fn agrees_on_files(&self, room: &RoomState, log: &WebhookLog) -> Checked {
        let id = room.id();
        let truth = self.node.conferences.get(&id);
        let playing = room.playback().at_freeswitch();
        if truth.is_none_or(|t| t.playing.is_empty()) && !playing.is_empty() {
            return Err(format!(
                "I1: {id} plays nothing, and its state has {playing:?}"
            ));
        }
        let recording = room.recording().filter(|r| r.started_at.is_some());
        let runs = |r| truth.is_some_and(|t| t.recordings.contains(&r));
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

    fn agrees_on_calls(&self, log: &WebhookLog) -> Checked {
        let node_state = &self.sides[self.owner()].replica.node_state;
        // If another client moved the call, only a snapshot shows whether the command was carried out before; one is
        // requested.
        let doubted: BTreeSet<ChannelId> = node_state
            .calls()
            .filter(|s| !self.looked && s.place() == &roomkeeper_core::call::Place::Leaving(None))
            .map(|s| s.id().channel())
            .filter(|c| self.got_park_command.contains(c))
            .filter(|c| self.node.calls.get(c).is_some_and(|call| call.sent_about))
            .collect();
        let believed: BTreeMap<ChannelId, (String, bool)> = node_state
            .calls()
            .filter(|s| !doubted.contains(&s.id().channel()))
            .map(|s| {
                let place = match s.place() {
                    roomkeeper_core::call::Place::Ringing => "Parked".to_owned(),
                    roomkeeper_core::call::Place::InRoom(room) => format!("{:?}", Place::In(*room)),
                    other => format!("{other:?}"),
                };
                (s.id().channel(), (place, s.answered_at().is_some()))
            })
            .collect();
        let in_a_room = |place| match place {
            Place::In(room) => node_state
                .room(room)
                .is_some_and(|r| r.registration().is_some()),
            Place::Parked | Place::Between => false,
        };
        let is: BTreeMap<ChannelId, (String, bool)> = self
            .node
            .calls
            .iter()
            // The app of a call comes from the dialplan, or from the room that it is in. The dialplan decides for
            // parked calls.
            .filter(|(channel, call)| {
                let parked = call.place == Place::Parked;
                let known = believed.contains_key(channel) || (call.ours && parked);
                !doubted.contains(channel) && (known || in_a_room(call.place))
            })
            .map(|(channel, call)| (*channel, (format!("{:?}", call.place), call.answered)))
            .collect();
        same("I1: calls (place, answered)", &"all", &believed, &is)?;
        let reported: BTreeSet<String> = log.calls.keys().cloned().collect();
        let known: BTreeSet<String> = node_state.calls().map(|s| s.id().to_string()).collect();
        same("I3: reported calls", &"all", &reported, &known)
    }

    /// Checks I2.
    fn keeps_confirmations(&self, log: &WebhookLog) -> Checked {
        let node_state = &self.sides[self.owner()].replica.node_state;
        for room in &self.rooms {
            let stored = self.shared.room(room.id);
            let open = stored.as_ref().is_some_and(|r| r.is_open());
            let believed = node_state.room(room.id).map(|r| r.status());
            if believed == Some(RoomStatus::Starting) {
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
                (Knowledge::Confirmed, Knowledge::No) if room.kind == Kind::Conference => {
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
    fn repeats_each_join(&self, log: &WebhookLog) -> Checked {
        for ((room, channel), interrupted) in &self.node.interrupted {
            let session = CallId::new(node_id(), *channel);
            let key = (room.to_string(), session.to_string());
            let refused = log.refused.get(&key).copied().unwrap_or_default();
            if self.mood == Mood::Calm && 2 * refused > *interrupted {
                return Err(format!(
                    "{session} was refused {refused} times by {room} after {interrupted} interruptions"
                ));
            }
        }
        Ok(())
    }

    /// Checks that, without faults, each entry into a room is reported, and nothing else is.
    fn reports_each_join(&self, log: &WebhookLog) -> Checked {
        for ((room, channel), times) in &self.node.came_in {
            let lives = self
                .rooms
                .iter()
                .any(|r| r.id == *room && r.ended == Knowledge::No && r.kind == Kind::Conference);
            if lives {
                let session = CallId::new(node_id(), *channel);
                let key = (room.to_string(), session.to_string());
                let (reported, unsynthesized) = log.joins.get(&key).copied().unwrap_or_default();
                // Out of order, the end of a membership may be the only event of it, and an event that shows one may
                // belong to another. A call that was removed at once has entered, too, for a replica that no longer
                // waits for it.
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
    believed: &T,
    is: &T,
) -> Checked {
    if believed == is {
        Ok(())
    } else {
        Err(format!("{what}: of {of}: {believed:?}, but {is:?}"))
    }
}

const fn name(who: usize) -> &'static str {
    if who == 0 { "A" } else { "B" }
}

/// The settings for rendering commands.
fn settings() -> CommandSettings {
    CommandSettings {
        profile: ProfileName::new("roomkeeper").unwrap(),
        connect_profile: ProfileName::new("roomkeeper-connect").unwrap(),
        speech_engine: Voice::new("flite").unwrap(),
        speech_voice: Voice::new("kal").unwrap(),
        links: None,
        park_timeout: Duration::from_secs(3_600),
    }
}

/// Returns the subject of a command: commands about the same one keep their order.
fn subject(order: &SwitchCommand) -> String {
    let room = || order.target.room().expect("the command names a room");
    if let Some(call) = order.target.call() {
        return call.to_string();
    }
    match &order.action {
        SwitchAction::Describe { .. } => format!("the registration of {}", room()),
        SwitchAction::SetLock { .. } => format!("the lock of {}", room()),
        SwitchAction::Play(_) => format!("the playback of {}", room()),
        SwitchAction::StartRecording { .. } | SwitchAction::StopRecording { .. } => {
            format!("the recording of {}", room())
        }
        other => panic!("{other:?} is about no room"),
    }
}

/// Returns the id of a park command.
fn parking(order: &SwitchCommand) -> Option<Parking> {
    match order.action {
        SwitchAction::Park { parking } | SwitchAction::Break { parking } => Some(parking),
        _ => None,
    }
}
