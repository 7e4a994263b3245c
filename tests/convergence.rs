//! Events are hints, the snapshot is truth: whatever is lost, doubled or reordered on the way, after two snapshots
//! the belief is what the node says, and what was told of it is one story.
//!
//! The node is a model of its own, which shares no code with the room domain: it knows where each call is, and what
//! event FreeSWITCH would make of each change.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use roomkeeper::ids::{AppId, ChannelId, ConferenceId, CoreId, NodeId, RoomId, SessionId};
use roomkeeper::reconciler::belief::{About, Belief, Cx, FreshIds, Notice, Outcome, Rules};
use roomkeeper::reconciler::intent::Intent;
use roomkeeper::reconciler::news::{
    ChannelChange, ConferenceChange, Dump, Identity, ListedChannel, MemberBlock, News, ShownMember,
    ShownRoom, Snapshot, What,
};
use roomkeeper::room::{Kind, Origin, RoomFact};
use roomkeeper::session::{Direction, Place, SessionFact};
use roomkeeper::time::Timestamp;
use uuid::Uuid;

const ROOMS: usize = 2;
const CALLS: usize = 4;

struct Counted(u128);

impl FreshIds for Counted {
    fn uuid(&mut self) -> Uuid {
        self.0 += 1;
        // Above the bits that hold the node in a located id.
        Uuid::from_u128((0xAAAA_0000 + self.0) << 32)
    }
}

// ---- the model of a node ----

#[derive(Clone, Debug, PartialEq, Eq)]
enum Where {
    Parked,
    In { room: usize, speaks: bool },
}

#[derive(Debug)]
struct Node {
    core: u128,
    sequence: u64,
    next_id: u128,
    /// The life of each room's conference, while it has members.
    lives: [Option<u128>; ROOMS],
    calls: BTreeMap<ChannelId, Where>,
    /// What was told, in the order it was made.
    told: Vec<News>,
}

/// What can happen on a node. Indexes are taken modulo what there is.
#[derive(Clone, Debug)]
enum Happens {
    CallIn,
    Enter {
        call: usize,
        room: usize,
        muted: bool,
    },
    Park {
        call: usize,
    },
    Mute {
        call: usize,
        mute: bool,
    },
    HangUp {
        call: usize,
    },
    Restart,
}

fn node_id() -> NodeId {
    "acW68".parse().unwrap()
}

fn app() -> AppId {
    "demo".parse().unwrap()
}

fn room_id(n: usize) -> RoomId {
    RoomId::new(node_id(), Uuid::from_u128(1 + n as u128))
}

impl Node {
    fn new() -> Self {
        Self {
            core: 1,
            sequence: 100,
            next_id: 1,
            lives: [None; ROOMS],
            calls: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    fn core_id(&self) -> CoreId {
        CoreId::new(Uuid::from_u128(0xC0DE_0000 + self.core))
    }

    fn fresh(&mut self) -> u128 {
        self.next_id += 1;
        self.next_id
    }

    fn tell(&mut self, what: What) {
        self.sequence += 1;
        self.told.push(News {
            core: self.core_id(),
            sequence: self.sequence,
            at: Timestamp::from_millis(self.sequence),
            what,
        });
    }

    fn identity() -> Identity {
        Identity {
            caller_id: "527121101".to_owned(),
            did: Some("747713001".to_owned()),
            direction: Direction::Inbound,
            app: Some(app()),
            created_at: Some(Timestamp::from_millis(1)),
            answered_at: Some(Timestamp::from_millis(2)),
        }
    }

    fn block(channel: ChannelId, speaks: bool) -> MemberBlock {
        MemberBlock {
            channel,
            speak: speaks,
            hear: true,
            hold: false,
            talking: false,
            identity: Self::identity(),
        }
    }

    fn size(&self, room: usize) -> usize {
        self.calls
            .values()
            .filter(|w| matches!(w, Where::In { room: r, .. } if *r == room))
            .count()
    }

    fn tell_room(&mut self, room: usize, change: ConferenceChange) {
        let life = self.lives[room].unwrap();
        let size = self.size(room);
        self.tell(What::Conference {
            room: room_id(room),
            conference: ConferenceId::new(Uuid::from_u128(0xCF00_0000 + life)),
            size: Some(size),
            change,
        });
    }

    fn call(&self, n: usize) -> Option<(ChannelId, Where)> {
        let count = self.calls.len();
        (count > 0).then(|| {
            let (channel, place) = self.calls.iter().nth(n % count).unwrap();
            (*channel, place.clone())
        })
    }

    /// Takes a call out of its room, if it is in one. The last one ends the conference.
    fn take_out(&mut self, channel: ChannelId, hung_up: bool) {
        if let Some(Where::In { room, .. }) = self.calls.get(&channel).cloned() {
            self.calls.insert(channel, Where::Parked);
            self.tell_room(room, ConferenceChange::Removed { channel, hung_up });
            if self.size(room) == 0 {
                self.tell_room(room, ConferenceChange::Destroyed);
                self.lives[room] = None;
            }
        }
    }

    fn happens(&mut self, what: &Happens) {
        match what {
            Happens::CallIn => {
                if self.calls.len() < CALLS {
                    let channel = ChannelId::new(Uuid::from_u128(0xCA11_0000 + self.fresh()));
                    self.calls.insert(channel, Where::Parked);
                    self.tell_channel(channel, ChannelChange::Created(Self::identity()));
                    self.tell_channel(channel, ChannelChange::Parked(Self::identity()));
                }
            }
            Happens::Enter { call, room, muted } => {
                if let Some((channel, place)) = self.call(*call) {
                    let room = room % ROOMS;
                    if matches!(place, Where::In { room: r, .. } if r == room) {
                        return;
                    }
                    self.take_out(channel, false);
                    if self.lives[room].is_none() {
                        self.lives[room] = Some(self.fresh());
                        self.tell_room(room, ConferenceChange::Created);
                    }
                    let speaks = !muted;
                    self.calls.insert(channel, Where::In { room, speaks });
                    self.tell_room(room, ConferenceChange::Added(Self::block(channel, speaks)));
                }
            }
            Happens::Park { call } => {
                if let Some((channel, Where::In { .. })) = self.call(*call) {
                    self.take_out(channel, false);
                    self.tell_channel(channel, ChannelChange::Parked(Self::identity()));
                }
            }
            Happens::Mute { call, mute } => {
                if let Some((channel, Where::In { room, .. })) = self.call(*call) {
                    let speaks = !mute;
                    self.calls.insert(channel, Where::In { room, speaks });
                    self.tell_room(room, ConferenceChange::Flags(Self::block(channel, speaks)));
                }
            }
            Happens::HangUp { call } => {
                if let Some((channel, _)) = self.call(*call) {
                    let cause = "NORMAL_CLEARING".to_owned();
                    self.tell_channel(channel, ChannelChange::HungUp { cause });
                    self.take_out(channel, true);
                    self.calls.remove(&channel);
                    self.tell_channel(channel, ChannelChange::Destroyed { cause: None });
                }
            }
            Happens::Restart => {
                self.core += 1;
                self.sequence = 100;
                self.lives = [None; ROOMS];
                self.calls.clear();
            }
        }
    }

    fn tell_channel(&mut self, channel: ChannelId, change: ChannelChange) {
        self.tell(What::Channel { channel, change });
    }

    /// A fence: whatever is told later has a higher sequence.
    fn fence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn snapshot(&self, fence: u64) -> Snapshot {
        let rooms = (0..ROOMS)
            .filter_map(|room| {
                let life = self.lives[room]?;
                let members = self
                    .calls
                    .iter()
                    .filter_map(|(channel, place)| match place {
                        Where::In { room: r, speaks } if *r == room => Some(ShownMember {
                            channel: *channel,
                            can_speak: *speaks,
                            can_hear: true,
                            hold: false,
                            talking: false,
                            has_floor: false,
                            caller_id: "somebody else by now".to_owned(),
                        }),
                        Where::In { .. } | Where::Parked => None,
                    })
                    .collect();
                Some(ShownRoom {
                    room: room_id(room),
                    conference: ConferenceId::new(Uuid::from_u128(0xCF00_0000 + life)),
                    locked: false,
                    meta: None,
                    members,
                    recordings: Vec::new(),
                })
            })
            .collect();
        Snapshot {
            core: self.core_id(),
            fence,
            rooms,
        }
    }

    fn list(&self) -> Vec<ListedChannel> {
        self.calls
            .iter()
            .map(|(channel, place)| ListedChannel {
                channel: *channel,
                identity: Identity {
                    app: None,
                    answered_at: None,
                    ..Self::identity()
                },
                parked: *place == Where::Parked,
            })
            .collect()
    }

    fn dump(&mut self, channel: ChannelId) -> Option<Dump> {
        let parked = matches!(self.calls.get(&channel)?, Where::Parked);
        self.sequence += 1;
        Some(Dump {
            core: self.core_id(),
            sequence: self.sequence,
            channel,
            identity: Self::identity(),
            parked,
        })
    }
}

// ---- the belief, and what it told ----

struct Watcher {
    belief: Belief,
    ids: Counted,
    now: u64,
    notices: Vec<Notice>,
    /// The belief wants another snapshot.
    wants: bool,
}

impl Watcher {
    fn new() -> Self {
        let rules = Rules {
            apps: BTreeSet::from([app()]),
            ..Rules::default()
        };
        let mut watcher = Self {
            belief: Belief::new(node_id(), rules),
            ids: Counted(0),
            now: 1_000_000,
            notices: Vec::new(),
            wants: false,
        };
        for n in 0..ROOMS {
            let intent = Intent::CreateRoom {
                room: room_id(n),
                app: app(),
                name: format!("room-{n}"),
                origin: Origin::Gateway,
                kind: Kind::Conference,
                details: Box::default(),
            };
            watcher.with(|belief, cx| {
                belief.intent(intent, cx).unwrap();
            });
        }
        watcher
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Belief, &mut Cx<'_>) -> T) -> T {
        self.now += 1;
        let mut cx = Cx::new(Timestamp::from_millis(self.now), &mut self.ids);
        let result = act(&mut self.belief, &mut cx);
        let Outcome {
            notices, resync, ..
        } = cx.out;
        self.notices.extend(notices);
        self.wants |= resync.is_some();
        // What is over is let go of, as after a commit.
        for entity in self.belief.take_touched() {
            self.belief
                .drop_over(entity, Timestamp::from_millis(self.now));
        }
        result
    }

    fn hears(&mut self, news: &News) {
        self.with(|belief, cx| belief.news(news.clone(), cx));
    }

    /// A resync, and another one when what is heard meanwhile asks for it.
    fn resync(&mut self, node: &mut Node, between: impl FnOnce(&mut Node) -> Vec<News>) {
        self.wants = false;
        self.resync_once(node, between);
        if std::mem::take(&mut self.wants) {
            self.resync_once(node, |_| Vec::new());
        }
    }

    /// As the reconciler does it: conferences, channels, and a second look.
    fn resync_once(&mut self, node: &mut Node, between: impl FnOnce(&mut Node) -> Vec<News>) {
        let fence = node.fence();
        let core = node.core_id();
        self.with(|belief, cx| belief.core_changed(Some(core), cx));
        self.belief.listed(&node.list());
        // What happens between the fence and the snapshot is in the snapshot, and is told after it.
        let later = between(node);
        let snapshot = node.snapshot(fence);
        let suspects = self.with(|belief, cx| belief.snapshot(&snapshot, &BTreeSet::new(), cx));
        self.ask_about_channels(node, fence);
        for news in &later {
            self.hears(news);
        }
        let second = node.fence();
        let snapshot = node.snapshot(second);
        self.with(|belief, cx| belief.snapshot(&snapshot, &suspects, cx));
        self.ask_about_channels(node, second);
    }

    fn ask_about_channels(&mut self, node: &mut Node, fence: u64) {
        let listed = node.list();
        for channel in self.belief.wants_dump(&listed) {
            if let Some(dump) = node.dump(channel) {
                self.with(|belief, cx| belief.dump(dump, cx));
            }
        }
        let listed = listed.iter().map(|l| l.channel).collect();
        for channel in self.belief.missing_from(&listed) {
            self.with(|belief, cx| belief.vanished(channel, fence, cx));
        }
    }

    fn agrees_with(&self, node: &Node) -> Result<(), TestCaseError> {
        for n in 0..ROOMS {
            let room = self.belief.room(room_id(n)).unwrap();
            room.check_invariants();
            let believed: BTreeMap<ChannelId, bool> = room
                .members()
                .iter()
                .map(|(who, m)| (who.channel(), m.flags.speak))
                .collect();
            let truth: BTreeMap<ChannelId, bool> = node
                .calls
                .iter()
                .filter_map(|(channel, place)| match place {
                    Where::In { room, speaks } if *room == n => Some((*channel, *speaks)),
                    Where::In { .. } | Where::Parked => None,
                })
                .collect();
            prop_assert_eq!(believed, truth, "members of room {}", n);
        }
        let believed: BTreeMap<ChannelId, Option<RoomId>> = self
            .belief
            .sessions()
            .map(|s| (s.id().channel(), s.place().room()))
            .collect();
        let truth: BTreeMap<ChannelId, Option<RoomId>> = node
            .calls
            .iter()
            .map(|(channel, place)| match place {
                Where::Parked => (*channel, None),
                Where::In { room, .. } => (*channel, Some(room_id(*room))),
            })
            .collect();
        prop_assert_eq!(believed, truth, "where the calls are");
        for session in self.belief.sessions() {
            let settled = matches!(session.place(), Place::Parked | Place::InRoom(_));
            prop_assert!(settled, "{} is {:?}", session.id(), session.place());
        }
        Ok(())
    }

    /// What was told is one story: numbered without a gap, and nobody comes twice or leaves twice.
    fn told_one_story(&self) -> Result<(), TestCaseError> {
        let mut rooms: BTreeMap<RoomId, u64> = BTreeMap::new();
        let mut sessions: BTreeMap<SessionId, u64> = BTreeMap::new();
        let mut inside: BTreeSet<(RoomId, SessionId)> = BTreeSet::new();
        let mut muted: BTreeMap<(RoomId, SessionId), bool> = BTreeMap::new();
        let mut over: BTreeSet<SessionId> = BTreeSet::new();
        for notice in &self.notices {
            match &notice.about {
                About::Room(room, told) => {
                    let last = rooms.entry(*room).or_default();
                    prop_assert_eq!(told.sequence, *last + 1, "{} {:?}", room, told.fact);
                    *last += 1;
                    match &told.fact {
                        RoomFact::MemberJoined {
                            session, muted: m, ..
                        } => {
                            prop_assert!(inside.insert((*room, *session)), "joined twice");
                            prop_assert!(sessions.contains_key(session), "joined before call.new");
                            muted.insert((*room, *session), *m);
                        }
                        RoomFact::MemberLeft { session, .. } => {
                            prop_assert!(inside.remove(&(*room, *session)), "left twice");
                        }
                        RoomFact::MemberMuted { session } => {
                            let before = muted.insert((*room, *session), true);
                            prop_assert_eq!(before, Some(false), "muted twice");
                        }
                        RoomFact::MemberUnmuted { session } => {
                            let before = muted.insert((*room, *session), false);
                            prop_assert_eq!(before, Some(true), "unmuted twice");
                        }
                        RoomFact::Created { .. }
                        | RoomFact::Updated(_)
                        | RoomFact::RecordingStarted { .. }
                        | RoomFact::RecordingStopped { .. }
                        | RoomFact::RecordingFailed { .. }
                        | RoomFact::Destroyed
                        | RoomFact::JoinFailed { .. }
                        | RoomFact::Play(_) => {}
                    }
                }
                About::Session(session, told) => {
                    let last = sessions.entry(*session).or_default();
                    prop_assert_eq!(told.sequence, *last + 1, "{} {:?}", session, told.fact);
                    *last += 1;
                    prop_assert!(!over.contains(session), "told after its end");
                    if matches!(told.fact, SessionFact::Hangup { .. }) {
                        over.insert(*session);
                    }
                }
            }
        }
        Ok(())
    }
}

// ---- how the events may suffer on their way ----

#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    Lost,
    Doubled,
    /// So many places later.
    Late(u8),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Arrives),
        2 => Just(Fate::Lost),
        1 => Just(Fate::Doubled),
        1 => (1_u8..8).prop_map(Fate::Late),
    ]
}

fn suffer(told: &[News], fates: &[Fate]) -> Vec<News> {
    let mut arrives: Vec<(usize, News)> = Vec::new();
    for (at, news) in told.iter().enumerate() {
        let fate = fates.get(at % fates.len().max(1)).copied();
        match fate.unwrap_or(Fate::Arrives) {
            Fate::Arrives => arrives.push((at * 2, news.clone())),
            Fate::Lost => {}
            Fate::Doubled => {
                arrives.push((at * 2, news.clone()));
                arrives.push((at * 2 + 3, news.clone()));
            }
            Fate::Late(by) => arrives.push((at * 2 + usize::from(by) * 2 + 1, news.clone())),
        }
    }
    arrives.sort_by_key(|(at, _)| *at);
    arrives.into_iter().map(|(_, news)| news).collect()
}

fn happens() -> impl Strategy<Value = Happens> {
    let call = 0..CALLS;
    prop_oneof![
        3 => Just(Happens::CallIn),
        5 => (call.clone(), 0..ROOMS, any::<bool>())
            .prop_map(|(call, room, muted)| Happens::Enter { call, room, muted }),
        3 => call.clone().prop_map(|call| Happens::Park { call }),
        3 => (call.clone(), any::<bool>()).prop_map(|(call, mute)| Happens::Mute { call, mute }),
        2 => call.prop_map(|call| Happens::HangUp { call }),
    ]
}

fn story() -> impl Strategy<Value = Vec<Happens>> {
    proptest::collection::vec(happens(), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn events_alone_suffice_when_none_is_lost(first in story()) {
        let mut node = Node::new();
        let mut watcher = Watcher::new();
        watcher.resync(&mut node, |_| Vec::new());
        for what in &first {
            node.happens(what);
        }
        for news in node.told.clone() {
            watcher.hears(&news);
        }
        watcher.told_one_story()?;
        watcher.agrees_with(&node)?;
    }

    #[test]
    fn two_snapshots_heal_whatever_was_lost_doubled_or_late(
        first in story(),
        between in proptest::collection::vec(happens(), 0..6),
        fates in proptest::collection::vec(fate(), 1..60),
        late in 0_usize..10,
        restart in any::<bool>(),
    ) {
        let mut node = Node::new();
        let mut watcher = Watcher::new();
        watcher.resync(&mut node, |_| Vec::new());
        let half = first.len() / 2;
        for (n, what) in first.iter().enumerate() {
            if restart && n == half {
                node.happens(&Happens::Restart);
            }
            node.happens(what);
        }
        let arriving = suffer(&node.told, &fates);
        // The last few are still on their way when the snapshot is merged.
        let split = arriving.len().saturating_sub(late);
        for news in &arriving[..split] {
            watcher.hears(news);
        }
        let tail = arriving[split..].to_vec();
        watcher.resync(&mut node, |node| {
            let before = node.told.len();
            for what in &between {
                node.happens(what);
            }
            let mut later = tail;
            later.extend(node.told[before..].iter().cloned());
            later
        });
        watcher.told_one_story()?;
        watcher.agrees_with(&node)?;
    }
}
