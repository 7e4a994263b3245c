//! Whatever is asked and whatever is heard, in any order and also when it contradicts itself: a conference only moves
//! forward, one that is over is not recorded, and no call is stuck between in and out.

use std::collections::BTreeMap;

use proptest::prelude::*;
use roomkeeper::ids::RecordingId;
use roomkeeper::reconciler::news::ShownMember;
use roomkeeper::room::{MemberStatus, RoomStatus, Update};
use roomkeeper::session::{Mark, StepId};
use serde_json::json;

use super::*;

const ROOMS: usize = 3;
const CALLS: usize = 4;

/// Longer than anything of what follows may take, all steps of a run together too.
const LONG: Duration = Duration::from_secs(7_200);

/// What is asked, what FreeSWITCH says, and what happens to the controller. Numbers count modulo what there is.
#[derive(Clone, Debug)]
enum Input {
    Create {
        connect: bool,
        gateway: bool,
        timeout: u32,
        before: u8,
        after: u8,
    },
    Update {
        room: usize,
        timeout: u32,
    },
    Delete {
        room: usize,
    },
    Join {
        call: usize,
        room: usize,
    },
    Leave {
        call: usize,
    },
    Kick {
        call: usize,
        room: usize,
    },
    Record {
        room: usize,
        start: bool,
    },
    Hangup {
        call: usize,
    },
    Parked {
        call: usize,
    },
    HungUp {
        call: usize,
    },
    Added {
        call: usize,
        room: usize,
        life: u128,
    },
    Removed {
        call: usize,
        room: usize,
        life: u128,
    },
    ConferenceOver {
        room: usize,
        life: u128,
    },
    RecordingBegun {
        room: usize,
        life: u128,
        failed: bool,
    },
    RecordingOver {
        room: usize,
        life: u128,
    },
    /// The step that is under way, or an older one, has ended.
    StepEnded {
        call: usize,
        good: bool,
        index: u16,
    },
    /// What the channel says of its step.
    Marked {
        call: usize,
        known: bool,
        over: bool,
    },
    Refused {
        order: usize,
        how: u8,
    },
    /// Each call is shown where a digit says, 0 for nowhere; a recording, too.
    Snapshot {
        places: [u8; CALLS],
        recorded: bool,
    },
    /// FreeSWITCH has begun anew.
    NewRun,
    /// Another controller goes on with what is stored.
    Restart,
    Time {
        ms: u64,
    },
}

fn inputs() -> impl Strategy<Value = Input> {
    let (room, call, life) = (0..ROOMS, 0..CALLS, 1..3_u128);
    let timeout = prop_oneof![3 => Just(0_u32), 1 => 1..30_u32];
    prop_oneof![
        2 => (any::<bool>(), any::<bool>(), timeout.clone(), 0..4_u8, 0..4_u8).prop_map(
            |(connect, gateway, timeout, before, after)| Input::Create { connect, gateway, timeout, before, after }
        ),
        1 => (room.clone(), timeout).prop_map(|(room, timeout)| Input::Update { room, timeout }),
        1 => room.clone().prop_map(|room| Input::Delete { room }),
        6 => (call.clone(), room.clone()).prop_map(|(call, room)| Input::Join { call, room }),
        2 => call.clone().prop_map(|call| Input::Leave { call }),
        1 => (call.clone(), room.clone()).prop_map(|(call, room)| Input::Kick { call, room }),
        3 => (room.clone(), any::<bool>()).prop_map(|(room, start)| Input::Record { room, start }),
        1 => call.clone().prop_map(|call| Input::Hangup { call }),
        3 => call.clone().prop_map(|call| Input::Parked { call }),
        1 => call.clone().prop_map(|call| Input::HungUp { call }),
        6 => (call.clone(), room.clone(), life.clone())
            .prop_map(|(call, room, life)| Input::Added { call, room, life }),
        3 => (call.clone(), room.clone(), life.clone())
            .prop_map(|(call, room, life)| Input::Removed { call, room, life }),
        1 => (room.clone(), life.clone()).prop_map(|(room, life)| Input::ConferenceOver { room, life }),
        2 => (room.clone(), life.clone(), any::<bool>())
            .prop_map(|(room, life, failed)| Input::RecordingBegun { room, life, failed }),
        1 => (room, life).prop_map(|(room, life)| Input::RecordingOver { room, life }),
        5 => (call.clone(), any::<bool>(), 0..3_u16)
            .prop_map(|(call, good, index)| Input::StepEnded { call, good, index }),
        1 => (call, any::<bool>(), any::<bool>())
            .prop_map(|(call, known, over)| Input::Marked { call, known, over }),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(order, how)| Input::Refused { order, how }),
        2 => (prop::array::uniform4(0..=3_u8), any::<bool>())
            .prop_map(|(places, recorded)| Input::Snapshot { places, recorded }),
        1 => Just(Input::NewRun),
        1 => Just(Input::Restart),
        3 => (1..20_000_u64).prop_map(|ms| Input::Time { ms }),
    ]
}

/// How far a conference is.
const fn rank(status: RoomStatus) -> u8 {
    match status {
        RoomStatus::Starting => 0,
        RoomStatus::Progressing => 1,
        RoomStatus::Terminating { .. } => 2,
        RoomStatus::Terminated => 3,
    }
}

struct Run {
    world: World,
    core: u128,
    /// How many conferences were made so far; the last ones are played with.
    made: u128,
    ranks: BTreeMap<RoomId, u8>,
}

impl Run {
    fn new() -> Self {
        let mut run = Self {
            world: World::new(),
            core: 7,
            made: 0,
            ranks: BTreeMap::new(),
        };
        for n in 0..CALLS {
            run.world.parks(Self::call(n), Some("demo"));
        }
        run
    }

    fn call(n: usize) -> SessionId {
        super::call(n as u128)
    }

    fn room(&self, n: usize) -> RoomId {
        super::room(self.made.saturating_sub(n as u128).max(1))
    }

    fn recording(&self, room: RoomId) -> Option<RecordingId> {
        let room = self.world.belief.room(room)?;
        let now = room.recording().map(|recording| recording.id);
        now.or_else(|| room.recordings().last().copied())
    }

    fn tells(&mut self, what: What) {
        self.world.sequence += 1;
        let news = News {
            core: CoreId::new(Uuid::from_u128(self.core)),
            sequence: self.world.sequence,
            at: self.world.now,
            what,
        };
        self.world.with(|belief, cx| belief.news(news, cx));
    }

    fn channel(&mut self, call: usize, change: ChannelChange) {
        let channel = Self::call(call).channel();
        self.tells(What::Channel { channel, change });
    }

    fn conference(&mut self, room: usize, life: u128, change: ConferenceChange) {
        self.tells(What::Conference {
            room: self.room(room),
            conference: super::life(self.made * 8 + life),
            size: None,
            change,
        });
    }

    /// Refusals are answers, too.
    fn asks(&mut self, intent: Intent) {
        let _answer = self.world.asks(intent);
    }

    fn step_of(&self, call: usize) -> Option<StepId> {
        let session = self.world.belief.session(Self::call(call))?;
        session.run().map(|run| run.step_id())
    }

    fn apply(&mut self, input: Input) {
        match input {
            Input::Create {
                connect,
                gateway,
                timeout,
                before,
                after,
            } => {
                self.made += 1;
                let details = Details {
                    timeout,
                    pre_actions: actions(before),
                    post_actions: actions(after),
                    ..Details::default()
                };
                let (origin, kind, details) = if gateway {
                    (Origin::Gateway, Kind::Conference, Details::default())
                } else if connect {
                    (Origin::Voipbin, Kind::Connect, details)
                } else {
                    (Origin::Voipbin, Kind::Conference, details)
                };
                self.asks(Intent::CreateRoom {
                    room: super::room(self.made),
                    app: demo(),
                    name: String::new(),
                    origin,
                    kind,
                    details: Box::new(details),
                });
            }
            Input::Update { room, timeout } => self.asks(Intent::UpdateRoom {
                room: self.room(room),
                app: demo(),
                update: Box::new(Update {
                    timeout: Some(timeout),
                    ..Update::default()
                }),
            }),
            Input::Delete { room } => self.asks(Intent::DeleteRoom {
                room: self.room(room),
                app: demo(),
            }),
            Input::Join { call, room } => self.asks(Intent::Join {
                session: Self::call(call),
                room: self.room(room),
                app: demo(),
                muted: None,
                command_uid: None,
            }),
            Input::Leave { call } => self.asks(Intent::Leave {
                session: Self::call(call),
                app: demo(),
                command_uid: None,
            }),
            Input::Kick { call, room } => {
                let (session, room) = (Self::call(call), self.room(room));
                let known = self.world.belief.room(room);
                let stay = known.and_then(|room| room.members().get(&session));
                if let Some(member) = stay.map(|stay| stay.id) {
                    self.asks(Intent::Kick {
                        session,
                        room,
                        member,
                        app: demo(),
                    });
                }
            }
            Input::Record { room, start } => {
                let (room, app) = (self.room(room), demo());
                self.asks(if start {
                    Intent::RecordStart {
                        room,
                        app,
                        command_uid: None,
                    }
                } else {
                    Intent::RecordStop {
                        room,
                        app,
                        command_uid: None,
                    }
                });
            }
            Input::Hangup { call } => self.asks(Intent::Hangup {
                session: Self::call(call),
                app: demo(),
                cause: None,
            }),
            Input::Parked { call } => {
                self.channel(call, ChannelChange::Parked(identity(Some("demo"))));
            }
            Input::HungUp { call } => {
                let cause = "NORMAL_CLEARING".to_owned();
                self.channel(call, ChannelChange::HungUp { cause });
            }
            Input::Added { call, room, life } => {
                let added = ConferenceChange::Added(block(Self::call(call), true));
                self.conference(room, life, added);
            }
            Input::Removed { call, room, life } => {
                let channel = Self::call(call).channel();
                let hung_up = false;
                self.conference(room, life, ConferenceChange::Removed { channel, hung_up });
            }
            Input::ConferenceOver { room, life } => {
                self.conference(room, life, ConferenceChange::Destroyed);
            }
            Input::RecordingBegun { room, life, failed } => {
                if let Some(recording) = self.recording(self.room(room)) {
                    let begun = ConferenceChange::RecordingStarted { recording, failed };
                    self.conference(room, life, begun);
                }
            }
            Input::RecordingOver { room, life } => {
                if let Some(recording) = self.recording(self.room(room)) {
                    let length = Some(Duration::from_secs(1));
                    let over = ConferenceChange::RecordingStopped { recording, length };
                    self.conference(room, life, over);
                }
            }
            Input::StepEnded { call, good, index } => {
                if let Some(mut step) = self.step_of(call) {
                    step.index = step.index.saturating_sub(index);
                    let response = if good {
                        "FILE PLAYED"
                    } else {
                        "PLAYBACK ERROR"
                    };
                    let response = response.to_owned();
                    self.channel(call, ChannelChange::StepEnded { step, response });
                }
            }
            Input::Marked { call, known, over } => {
                if let Some(step) = self.step_of(call) {
                    let response = over.then(|| "FILE PLAYED".to_owned());
                    let mark = known.then_some(Mark { step, response });
                    let marks = vec![(Self::call(call).channel(), step, mark)];
                    self.world.with(|belief, cx| belief.marked(marks, cx));
                }
            }
            Input::Refused { order, how } => self.refuse(order, how),
            Input::Snapshot { places, recorded } => self.snapshot(places, recorded),
            Input::NewRun => {
                self.core += 1;
                let core = CoreId::new(Uuid::from_u128(self.core));
                self.world
                    .with(|belief, cx| belief.core_changed(Some(core), cx));
            }
            Input::Restart => self.restart(),
            Input::Time { ms } => self.passes(Duration::from_millis(ms)),
        }
    }

    fn refuse(&mut self, order: usize, how: u8) {
        if self.world.orders.is_empty() {
            return;
        }
        let order = self.world.orders.remove(order % self.world.orders.len());
        let error = match how % 4 {
            0 => CommandError::NoSuchChannel,
            1 => CommandError::Refused("-ERR".to_owned()),
            2 => CommandError::Busy,
            _ => CommandError::Down {
                retry_after: Duration::from_secs(1),
            },
        };
        self.world
            .with(|belief, cx| belief.refused(&order, &error, cx));
    }

    fn snapshot(&mut self, places: [u8; CALLS], recorded: bool) {
        let mut rooms = Vec::new();
        for n in 0..ROOMS {
            let members: Vec<ShownMember> = (0..CALLS)
                .filter(|call| usize::from(places[*call]) == n + 1)
                .map(|call| ShownMember {
                    channel: Self::call(call).channel(),
                    can_speak: true,
                    can_hear: true,
                    hold: false,
                    talking: false,
                    has_floor: false,
                    caller_id: "527121101".to_owned(),
                })
                .collect();
            let room = self.room(n);
            if members.is_empty() || rooms.iter().any(|shown: &ShownRoom| shown.room == room) {
                continue;
            }
            let recording = self.recording(room).filter(|_| recorded);
            rooms.push(ShownRoom {
                room,
                conference: super::life(self.made * 8 + 1),
                locked: false,
                meta: None,
                members,
                recordings: recording.into_iter().collect(),
            });
        }
        self.world.sequence += 1;
        let snapshot = Snapshot {
            core: CoreId::new(Uuid::from_u128(self.core)),
            fence: self.world.sequence,
            rooms,
        };
        let lacking = BTreeSet::new();
        let lacking = self
            .world
            .with(|belief, cx| belief.snapshot(&snapshot, &lacking, cx));
        // What the one snapshot makes suspicious the next one confirms.
        self.world
            .with(|belief, cx| drop(belief.snapshot(&snapshot, &lacking, cx)));
    }

    /// What is believed is what can be read back.
    fn restart(&mut self) {
        let rooms: Vec<RoomId> = self.world.belief.rooms().map(|room| room.id()).collect();
        for id in rooms {
            let room = self.world.belief.room_mut(id).unwrap();
            if room.registration().is_none() {
                // It is nobody's, and is not stored.
                continue;
            }
            let mut changes = room.take_changes();
            changes.head = true;
            changes.members = room.members().keys().copied().collect();
            let (head, parts) = encode_room(room, &changes, true);
            let parts = parts
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)));
            let record = Record {
                version: Version(1),
                head,
                parts: parts.collect(),
            };
            let read = decode_room(id, &record).unwrap();
            self.world.belief.put_room(id, Some(read));
        }
        let calls: Vec<SessionId> = self.world.belief.sessions().map(|call| call.id()).collect();
        for id in calls {
            let record = Record {
                version: Version(1),
                head: encode_session(self.world.belief.session(id).unwrap()),
                parts: Vec::new(),
            };
            let read = decode_session(id, &record).unwrap();
            self.world.belief.put_session(id, Some(read));
        }
        self.world.orders.clear();
    }

    fn due(&self) -> Option<EntityId> {
        let now = self.world.now;
        let is_due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        let room = self
            .world
            .belief
            .rooms()
            .find(|room| is_due(room.next_deadline()));
        let call = self
            .world
            .belief
            .sessions()
            .find(|call| is_due(call.next_deadline()));
        room.map(|room| EntityId::Room(room.id()))
            .or_else(|| call.map(|call| EntityId::Session(call.id())))
    }

    /// Time passes, and every deadline is met.
    fn passes(&mut self, time: Duration) {
        self.world.now = self.world.now + time;
        for _ in 0..1_000 {
            let Some(entity) = self.due() else { return };
            self.world.with(|belief, cx| belief.deadline(entity, cx));
        }
        panic!("a deadline is due for ever: {:?}", self.due());
    }

    /// What holds after every input.
    fn check(&mut self) {
        let now = self.world.now;
        for room in self.world.belief.rooms() {
            room.check_invariants();
            if room.registration().is_none() {
                // It is nobody's conference, yet.
                continue;
            }
            let rank = rank(room.status());
            let before = self.ranks.insert(room.id(), rank).unwrap_or_default();
            assert!(
                before <= rank,
                "{} went back to {:?}",
                room.id(),
                room.status()
            );
            if room.status() == RoomStatus::Terminated {
                assert!(room.recording().is_none(), "{} is recorded", room.id());
                assert!(room.members().is_empty(), "{} has members", room.id());
            }
            for (session, member) in room.members() {
                let until = match &member.status {
                    MemberStatus::Joining { deadline, .. } => {
                        // It does what there is to do first, and that has a deadline of its own.
                        let call = self.world.belief.session(*session);
                        Some(
                            call.and_then(|call| call.next_deadline())
                                .unwrap_or(*deadline),
                        )
                    }
                    MemberStatus::Leaving { deadline, .. } => Some(*deadline),
                    MemberStatus::Joined => None,
                };
                assert!(
                    until.is_none_or(|until| until > now),
                    "{session} is stuck in {}: {:?}",
                    room.id(),
                    member.status
                );
            }
        }
        for call in self.world.belief.sessions() {
            call.check_invariants();
            if let Place::Joining(room) | Place::Leaving(Some(room)) | Place::Acting(Some(room)) =
                call.place()
            {
                let room = self.world.belief.room(*room).expect("a room that is known");
                assert!(room.members().contains_key(&call.id()), "{call:?}");
            }
        }
    }
}

fn actions(n: u8) -> Vec<roomkeeper::action::Action> {
    let all = [
        json!({ "type": "play", "option": { "stream_urls": ["http://a/1.wav", "http://a/2.wav"] } }),
        json!({ "type": "sleep", "option": { "duration": 10 } }),
        json!({ "type": "hangup" }),
    ];
    let list = all.iter().take(n.into()).cloned().collect();
    roomkeeper::action::read(list).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn forward_only_never_recorded_when_over_never_stuck(all in prop::collection::vec(inputs(), 1..60)) {
        let mut run = Run::new();
        for input in all {
            run.apply(input);
            run.check();
        }
        // Nothing happens any more: whatever was on its way has come to an end.
        run.passes(LONG);
        for _ in 0..8 {
            run.passes(LONG);
            run.check();
        }
        for room in run.world.belief.rooms() {
            let under_way = room
                .members()
                .values()
                .any(|member| !matches!(member.status, MemberStatus::Joined));
            prop_assert!(!under_way, "{:?}", room.members());
            prop_assert!(!matches!(room.status(), RoomStatus::Terminating { .. }), "{:?}", room.status());
        }
        for call in run.world.belief.sessions() {
            prop_assert!(!matches!(call.place(), Place::Joining(_) | Place::Acting(_)), "{call:?}");
        }
    }
}
