//! The rules of rooms and calls, one by one: what is asked, what FreeSWITCH says, and what the app is told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "rules/actions.rs"]
mod actions;
#[path = "rules/connect.rs"]
mod connect;
#[path = "rules/interrupted.rs"]
mod interrupted;
#[path = "rules/late.rs"]
mod late;
#[path = "rules/live.rs"]
mod live;
#[path = "rules/lock.rs"]
mod lock;
#[path = "rules/orphans.rs"]
mod orphans;
#[path = "rules/playback.rs"]
mod playback;
#[path = "rules/recording.rs"]
mod recording;
#[path = "rules/replicas.rs"]
mod replicas;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use roomkeeper::ids::{
    AppId, ChannelId, ConferenceId, CoreId, MemberId, NodeId, RoomId, SessionId,
};
use roomkeeper::node::CommandError;
use roomkeeper::reconciler::belief::{About, Belief, Cx, FreshIds, LiveNotice, Order, Rules};
use roomkeeper::reconciler::intent::{Accepted, Intent, Refusal};
use roomkeeper::reconciler::meta;
use roomkeeper::reconciler::news::{
    ChannelChange, ConferenceChange, Dump, Identity, ListedChannel, MemberBlock, News, ShownRoom,
    Snapshot, What,
};
use roomkeeper::room::{Details, Kind, Origin, Registration, RoomFact};
use roomkeeper::session::{Direction, Parking, Place, SessionFact};
use roomkeeper::store::EntityId;
use roomkeeper::store::packed::push_uuid;
use roomkeeper::store::record::{decode_room, decode_session, encode_room, encode_session};
use roomkeeper::store::{Fields, Record, Version, keys};
use roomkeeper::time::Timestamp;
use uuid::Uuid;

struct Counted(u128);

impl FreshIds for Counted {
    fn uuid(&mut self) -> Uuid {
        self.0 += 1;
        // Above the bits that hold the node in a located id.
        Uuid::from_u128((0xF000 + self.0) << 32)
    }
}

struct World {
    belief: Belief,
    ids: Counted,
    now: Timestamp,
    sequence: u64,
    orders: Vec<Order>,
    /// The calls whose channels were prepared.
    prepared: Vec<SessionId>,
    told: Vec<String>,
    live: Vec<LiveNotice>,
    wants_resync: bool,
}

fn demo() -> AppId {
    "demo".parse().unwrap()
}

fn node() -> NodeId {
    "acW68".parse().unwrap()
}

fn core() -> CoreId {
    CoreId::new(Uuid::from_u128(7))
}

fn room(n: u128) -> RoomId {
    RoomId::new(node(), Uuid::from_u128(n))
}

fn call(n: u128) -> SessionId {
    SessionId::new(node(), ChannelId::new(Uuid::from_u128(100 + n)))
}

fn life(n: u128) -> ConferenceId {
    ConferenceId::new(Uuid::from_u128(0xCF00 + n))
}

fn identity(app: Option<&str>) -> Identity {
    Identity {
        caller_id: "527121101".into(),
        did: Some("747713001".into()),
        direction: Direction::Inbound,
        app: app.map(|a| a.parse().unwrap()),
        created_at: Some(Timestamp::from_millis(900)),
        answered_at: Some(Timestamp::from_millis(950)),
    }
}

fn block(call: SessionId, speak: bool) -> MemberBlock {
    MemberBlock {
        channel: call.channel(),
        speak,
        hear: true,
        hold: false,
        talking: false,
        identity: identity(None),
    }
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            belief: Belief::new(
                node(),
                Rules {
                    dids: HashMap::from([("747713009".to_owned(), "other".parse().unwrap())]),
                    apps: BTreeSet::from([demo(), "other".parse().unwrap()]),
                    ..Rules::default()
                },
            ),
            ids: Counted(0),
            now: Timestamp::from_millis(1_000),
            sequence: 10,
            orders: Vec::new(),
            prepared: Vec::new(),
            told: Vec::new(),
            live: Vec::new(),
            wants_resync: false,
        };
        world.with(|belief, cx| belief.core_changed(Some(core()), cx));
        world
    }

    /// A room of the gateway and a parked call of the same app, both already told of.
    fn with_room_and_call() -> Self {
        let mut world = Self::new();
        world.create(1);
        world.parks(call(1), Some("demo"));
        world.told.clear();
        world
    }

    /// The call is in the room, muted.
    fn joined() -> Self {
        let mut world = Self::with_room_and_call();
        world.join(call(1), room(1)).unwrap();
        world.enters(call(1), 1, 1, false);
        world.told.clear();
        world.orders.clear();
        world
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Belief, &mut Cx<'_>) -> T) -> T {
        let mut cx = Cx::new(self.now, &mut self.ids);
        let result = act(&mut self.belief, &mut cx);
        let out = cx.out;
        for order in out.orders {
            if let Order::Prepare { session } = order {
                self.prepared.push(session);
            } else {
                self.orders.push(order);
            }
        }
        self.live.extend(out.live);
        self.told
            .extend(out.notices.into_iter().map(|n| match n.about {
                About::Room(_, told) => {
                    let uid = told
                        .command_uid
                        .map(|uid| format!(" [{uid}]"))
                        .unwrap_or_default();
                    let synthesized = if told.synthesized {
                        " (synthesized)"
                    } else {
                        ""
                    };
                    let text = match told.fact {
                        RoomFact::Created { name } => format!("created {name}"),
                        RoomFact::Updated(update) => {
                            format!("updated {}", serde_json::to_string(&update).unwrap())
                        }
                        RoomFact::Locked { locked } => format!("locked={locked}"),
                        RoomFact::Destroyed => "destroyed".to_owned(),
                        RoomFact::RecordingStarted { .. } => "recording started".to_owned(),
                        RoomFact::RecordingStopped { .. } => "recording stopped".to_owned(),
                        RoomFact::RecordingFailed { .. } => "recording failed".to_owned(),
                        RoomFact::MemberJoined {
                            muted, caller_id, ..
                        } => format!("joined {caller_id} muted={muted}"),
                        RoomFact::MemberLeft { reason, .. } => format!("left {reason}"),
                        RoomFact::JoinFailed { reason, .. } => {
                            format!("join_failed {}", reason.as_str())
                        }
                        RoomFact::MemberMuted { .. } => "muted".to_owned(),
                        RoomFact::MemberUnmuted { .. } => "unmuted".to_owned(),
                        RoomFact::Play(fact) => playback::words(&fact),
                    };
                    format!("{text}{uid}{synthesized}")
                }
                About::Session(_, told) => match told.fact {
                    SessionFact::New { did, .. } => format!("call.new {did}"),
                    SessionFact::Answered => "call.answered".to_owned(),
                    SessionFact::Hangup { cause, duration } => {
                        format!("call.hangup {cause} {}ms", duration.as_millis())
                    }
                },
            }));
        self.wants_resync |= out.resync.is_some();
        result
    }

    fn tells(&mut self, what: What) {
        self.sequence += 1;
        let news = News {
            core: core(),
            sequence: self.sequence,
            at: self.now,
            what,
        };
        self.with(|belief, cx| belief.news(news, cx));
    }

    fn channel(&mut self, session: SessionId, change: ChannelChange) {
        self.tells(What::Channel {
            channel: session.channel(),
            change,
        });
    }

    fn conference(&mut self, n: u128, life_of: u128, size: usize, change: ConferenceChange) {
        self.tells(What::Conference {
            room: room(n),
            conference: life(life_of),
            size: Some(size),
            change,
        });
    }

    /// By the last order, if there was one.
    fn parks(&mut self, session: SessionId, app: Option<&str>) {
        let by = self.belief.session(session).and_then(|c| c.parking());
        self.is_parked(session, app, by);
    }

    fn is_parked(&mut self, session: SessionId, app: Option<&str>, by: Option<Parking>) {
        let identity = identity(app);
        self.channel(session, ChannelChange::Parked { identity, by });
    }

    fn enters(&mut self, session: SessionId, n: u128, life_of: u128, speak: bool) {
        self.conference(
            n,
            life_of,
            1,
            ConferenceChange::Added(block(session, speak)),
        );
    }

    fn create(&mut self, n: u128) {
        self.create_as(n, Origin::Gateway, Kind::Conference, Details::default());
    }

    fn create_as(&mut self, n: u128, origin: Origin, kind: Kind, details: Details) {
        let intent = Intent::CreateRoom {
            room: room(n),
            app: demo(),
            name: format!("room-{n}"),
            origin,
            kind,
            details: Box::new(details),
        };
        self.asks(intent).unwrap();
    }

    fn leaves(&mut self, session: SessionId, n: u128, life_of: u128, size: usize) {
        let channel = session.channel();
        let gone = ConferenceChange::Removed {
            channel,
            hung_up: false,
            last: size == 0,
        };
        self.conference(n, life_of, size, gone);
    }

    /// The stay that a call has in a room.
    fn member(&self, session: SessionId) -> MemberId {
        self.belief.room(room(1)).unwrap().members()[&session].id
    }

    fn asks(&mut self, intent: Intent) -> Result<Accepted, Refusal> {
        self.with(|belief, cx| belief.intent(intent, cx))
    }

    fn join(&mut self, session: SessionId, to: RoomId) -> Result<Accepted, Refusal> {
        self.asks(Intent::Join {
            session,
            room: to,
            app: demo(),
            muted: None,
            command_uid: Some("c-1".parse().unwrap()),
        })
    }

    fn mute(&mut self, mute: bool) -> Result<Accepted, Refusal> {
        self.asks(Intent::Mute {
            session: call(1),
            app: demo(),
            mute,
            command_uid: Some("c-2".parse().unwrap()),
        })
    }

    fn leave(&mut self) -> Result<Accepted, Refusal> {
        self.asks(Intent::Leave {
            session: call(1),
            app: demo(),
            command_uid: Some("c-3".parse().unwrap()),
        })
    }

    fn delete(&mut self) -> Result<Accepted, Refusal> {
        self.asks(Intent::DeleteRoom {
            room: room(1),
            app: demo(),
        })
    }

    fn waits(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        let entity = EntityId::Room(room(1));
        self.with(|belief, cx| belief.deadline(entity, cx));
    }

    fn place(&self) -> Place {
        self.belief.session(call(1)).unwrap().place().clone()
    }

    #[track_caller]
    fn told(&mut self, expected: &[&str]) {
        assert_eq!(std::mem::take(&mut self.told), expected);
    }
}

#[test]
fn a_call_is_told_of_once_it_is_parked_and_belongs_to_the_app_of_its_variable() {
    let mut world = World::new();
    world.channel(call(1), ChannelChange::Created(identity(None)));
    world.told(&[]);
    world.parks(call(1), Some("demo"));
    world.told(&["call.new 747713001"]);
    world.parks(call(1), Some("demo"));
    world.told(&[]);
}

#[test]
fn a_call_without_a_variable_belongs_to_the_app_that_has_its_number_else_to_nobody() {
    let mut world = World::new();
    let mut dialled = identity(None);
    dialled.did = Some("747713009".into());
    let (identity, by) = (dialled, None);
    world.channel(call(1), ChannelChange::Parked { identity, by });
    world.told(&["call.new 747713009"]);
    let app = world.belief.session(call(1)).unwrap().app().clone();
    assert_eq!(app.as_str(), "other");
    world.parks(call(2), None);
    world.parks(call(3), Some("nobody-knows-it"));
    world.told(&[]);
}

#[test]
fn joined_is_told_when_freeswitch_confirms_it_and_carries_the_command() {
    let mut world = World::with_room_and_call();
    assert!(matches!(
        world.join(call(1), room(1)),
        Ok(Accepted::Joining { room: r, .. }) if r == room(1)
    ));
    let stay = world.member(call(1));
    world.told(&[]);
    assert!(matches!(
        world.orders.as_slice(),
        [Order::Enter { muted: true, .. }]
    ));
    assert_eq!(world.place(), Place::Joining(room(1)));
    assert_eq!(
        world.join(call(1), room(1)),
        Ok(Accepted::Joining {
            room: room(1),
            member: stay
        }),
        "again while it joins"
    );
    assert_eq!(world.mute(true), Err(Refusal::StillJoining));
    assert_eq!(world.leave(), Err(Refusal::StillJoining));
    world.enters(call(1), 1, 1, false);
    world.told(&["joined 527121101 muted=true [c-1]"]);
    assert_eq!(world.place(), Place::InRoom(room(1)));
    assert_eq!(
        world.join(call(1), room(1)),
        Ok(Accepted::AlreadyJoined {
            room: room(1),
            member: stay
        })
    );
}

#[test]
fn a_join_that_is_not_confirmed_in_time_fails_and_the_call_is_free_again() {
    let mut world = World::with_room_and_call();
    world.join(call(1), room(1)).unwrap();
    world.waits(9);
    world.told(&[]);
    world.waits(2);
    world.told(&["join_failed timeout [c-1]"]);
    assert_eq!(world.place(), Place::Parked);
    assert!(world.join(call(1), room(1)).is_ok());
}

#[test]
fn a_join_that_freeswitch_refuses_by_parking_the_call_again_fails() {
    let mut world = World::with_room_and_call();
    world.join(call(1), room(1)).unwrap();
    world.parks(call(1), Some("demo"));
    world.told(&["join_failed refused [c-1]"]);
    assert_eq!(world.place(), Place::Parked);
}

#[test]
fn an_order_that_freeswitch_refuses_takes_the_join_back() {
    let mut world = World::with_room_and_call();
    world.join(call(1), room(1)).unwrap();
    let order = world.orders.pop().unwrap();
    world.with(|belief, cx| belief.refused(&order, &CommandError::NoSuchChannel, cx));
    world.told(&["join_failed refused [c-1]"]);
    assert!(world.wants_resync, "the call may be gone");
}

#[test]
fn a_joining_call_that_a_look_still_finds_parked_is_not_taken_for_refused() {
    let mut world = World::with_room_and_call();
    world.join(call(1), room(1)).unwrap();
    let listed = ListedChannel {
        channel: call(1).channel(),
        identity: identity(None),
        parked: true,
    };
    assert!(world.belief.wants_dump(&[listed]).is_empty());
    world.sequence += 1;
    let dump = Dump {
        core: core(),
        sequence: world.sequence,
        channel: call(1).channel(),
        identity: identity(Some("demo")),
        parked: true,
        parked_by: None,
    };
    world.with(|belief, cx| belief.dump(dump, cx));
    world.told(&[]);
    world.enters(call(1), 1, 1, false);
    world.told(&["joined 527121101 muted=true [c-1]"]);
}

#[test]
fn what_a_batch_said_of_the_run_can_be_said_once_more() {
    let mut world = World::joined();
    let (before, fence) = world.belief.run();
    let stored = world.belief.room(room(1)).unwrap().clone();
    let next = CoreId::new(Uuid::from_u128(8));
    world.with(|belief, cx| belief.core_changed(Some(next), cx));
    world.told.clear();
    // Another had written: what was stored is believed again, and the batch is applied once more.
    world.belief.put_room(room(1), Some(stored));
    world.belief.believe_run(before, fence);
    world.with(|belief, cx| belief.core_changed(Some(next), cx));
    world.told(&["left orphan (synthesized)"]);
}

#[test]
fn a_call_that_hangs_up_while_it_joins_fails_the_join_before_its_end_is_told() {
    let mut world = World::with_room_and_call();
    world.join(call(1), room(1)).unwrap();
    world.channel(
        call(1),
        ChannelChange::HungUp {
            cause: "USER_BUSY".to_owned(),
        },
    );
    world.told(&["join_failed hangup [c-1]", "call.hangup USER_BUSY 50ms"]);
    assert_eq!(world.leave(), Err(Refusal::SessionNotFound));
}

#[test]
fn a_call_can_be_in_one_room_only() {
    let mut world = World::joined();
    world.create(2);
    assert_eq!(
        world.join(call(1), room(2)),
        Err(Refusal::InOtherRoom { room: room(1) })
    );
    let far = RoomId::new("zzzzz".parse().unwrap(), Uuid::from_u128(1));
    assert!(matches!(
        world.join(call(1), far),
        Err(Refusal::OtherNode { .. })
    ));
    assert_eq!(world.join(call(9), room(1)), Err(Refusal::SessionNotFound));
    assert_eq!(world.join(call(1), room(9)), Err(Refusal::RoomNotFound));
}

#[test]
fn another_apps_things_are_refused() {
    let mut world = World::joined();
    let other: AppId = "other".parse().unwrap();
    let intent = Intent::Leave {
        session: call(1),
        app: other.clone(),
        command_uid: None,
    };
    assert_eq!(world.asks(intent), Err(Refusal::ForeignSession));
    let intent = Intent::DeleteRoom {
        room: room(1),
        app: other,
    };
    assert_eq!(world.asks(intent), Err(Refusal::ForeignRoom));
}

#[test]
fn mute_and_unmute_are_told_once_each_with_the_command_that_led_to_them() {
    let mut world = World::joined();
    assert_eq!(world.mute(true), Err(Refusal::AlreadyMuted));
    assert_eq!(world.mute(false), Ok(Accepted::Unmuted { room: room(1) }));
    world.told(&[]);
    world.conference(1, 1, 1, ConferenceChange::Flags(block(call(1), true)));
    world.told(&["unmuted [c-2]"]);
    // FreeSWITCH repeats the event of a repeated command.
    world.conference(1, 1, 1, ConferenceChange::Flags(block(call(1), true)));
    world.told(&[]);
    assert_eq!(world.mute(false), Err(Refusal::AlreadyUnmuted));
    // Muted by somebody else: no command of ours led to it.
    world.conference(1, 1, 1, ConferenceChange::Flags(block(call(1), false)));
    world.told(&["muted"]);
}

#[test]
fn a_mute_that_is_not_confirmed_is_forgotten_and_does_not_claim_a_later_one() {
    let mut world = World::joined();
    world.mute(false).unwrap();
    world.waits(11);
    world.conference(1, 1, 1, ConferenceChange::Flags(block(call(1), true)));
    world.told(&["unmuted"]);
}

#[test]
fn hold_is_not_mute() {
    let mut world = World::joined();
    let mut held = block(call(1), false);
    held.hold = true;
    world.conference(1, 1, 1, ConferenceChange::Flags(held));
    world.told(&[]);
}

#[test]
fn a_leave_ends_in_park_and_is_told_as_removed() {
    let mut world = World::joined();
    assert_eq!(world.leave(), Ok(Accepted::Leaving { room: room(1) }));
    assert!(matches!(world.orders.as_slice(), [Order::Park { .. }]));
    assert_eq!(world.place(), Place::Leaving(Some(room(1))));
    assert_eq!(world.join(call(1), room(1)), Err(Refusal::StillLeaving));
    assert_eq!(world.leave(), Err(Refusal::StillLeaving));
    let removed = ConferenceChange::Removed {
        channel: call(1).channel(),
        hung_up: false,
        last: false,
    };
    world.conference(1, 1, 0, removed.clone());
    world.told(&["left removed [c-3]"]);
    assert_eq!(world.place(), Place::Leaving(None));
    assert_eq!(world.leave(), Err(Refusal::NotInRoom));
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    world.parks(call(1), Some("demo"));
    assert_eq!(world.place(), Place::Parked);
    world.told(&[]);
    // The same life of the conference is over; the next join begins another one.
    world.join(call(1), room(1)).unwrap();
    world.enters(call(1), 1, 2, false);
    world.told(&["joined 527121101 muted=true [c-1]"]);
}

#[test]
fn a_leave_that_is_not_confirmed_leaves_the_member_where_it_is() {
    let mut world = World::joined();
    world.leave().unwrap();
    world.waits(11);
    world.told(&[]);
    assert_eq!(world.place(), Place::InRoom(room(1)));
    assert!(world.leave().is_ok());
}

#[test]
fn a_hang_up_is_told_as_left_first_whichever_event_comes_first() {
    let hung_up = || ChannelChange::HungUp {
        cause: "NORMAL_CLEARING".to_owned(),
    };
    let removed = || ConferenceChange::Removed {
        channel: call(1).channel(),
        hung_up: true,
        last: false,
    };
    let expected = ["left hangup", "call.hangup NORMAL_CLEARING 50ms"];
    let mut world = World::joined();
    world.channel(call(1), hung_up());
    world.conference(1, 1, 0, removed());
    world.told(&expected);
    let mut world = World::joined();
    world.conference(1, 1, 0, removed());
    world.channel(call(1), hung_up());
    world.told(&expected);
}

#[test]
fn a_room_that_is_deleted_parks_its_members_and_ends_when_the_last_one_is_out() {
    let mut world = World::joined();
    world.parks(call(2), Some("demo"));
    world.join(call(2), room(1)).unwrap();
    world.told.clear();
    world.orders.clear();
    assert_eq!(world.delete(), Ok(Accepted::Deleted));
    assert_eq!(world.delete(), Err(Refusal::RoomNotFound));
    assert_eq!(world.join(call(1), room(1)), Err(Refusal::RoomNotFound));
    world.told(&["join_failed room_destroyed [c-1]"]);
    assert_eq!(world.orders.len(), 2, "{:?}", world.orders);
    let removed = ConferenceChange::Removed {
        channel: call(1).channel(),
        hung_up: false,
        last: false,
    };
    world.conference(1, 1, 0, removed);
    world.told(&["left room_destroyed", "destroyed"]);
}

#[test]
fn a_room_that_is_deleted_is_all_that_is_written_until_its_members_are_out() {
    let mut world = World::joined();
    world.belief.take_touched();
    world.delete().unwrap();
    let touched = world.belief.take_touched();
    assert_eq!(touched, BTreeSet::from([EntityId::Room(room(1))]));
    // Somebody else is faster.
    world.leaves(call(1), 1, 1, 0);
    world.is_parked(call(1), None, None);
    assert_eq!(world.place(), Place::Parked);
}

#[test]
fn a_room_that_is_deleted_ends_after_ten_seconds_whatever_freeswitch_says() {
    let mut world = World::joined();
    world.delete().unwrap();
    world.waits(9);
    world.told(&[]);
    world.waits(1);
    world.told(&["left room_destroyed (synthesized)", "destroyed"]);
}

#[test]
fn who_comes_into_a_room_that_is_ending_is_told_and_taken_out_again() {
    let mut world = World::joined();
    world.parks(call(2), Some("demo"));
    world.join(call(2), room(1)).unwrap();
    world.delete().unwrap();
    world.told.clear();
    world.orders.clear();
    world.conference(1, 1, 2, ConferenceChange::Added(block(call(2), false)));
    world.told(&["joined 527121101 muted=true"]);
    assert!(matches!(world.orders.as_slice(), [Order::Park { .. }]));
}

/// A call is on its way into a room that is deleted.
fn turned_away() -> World {
    let mut world = World::with_room_and_call();
    world.create(2);
    world.told.clear();
    world.join(call(1), room(1)).unwrap();
    world.orders.clear();
    world.delete().unwrap();
    world.told(&["join_failed room_destroyed [c-1]", "destroyed"]);
    assert!(matches!(world.orders.as_slice(), [Order::Park { .. }]));
    world
}

#[test]
fn who_is_turned_away_is_free_when_freeswitch_says_that_it_is_parked() {
    let mut world = turned_away();
    assert_eq!(world.place(), Place::Leaving(None));
    // The transfer that parks it would end this.
    assert_eq!(world.join(call(1), room(2)), Err(Refusal::StillLeaving));
    world.parks(call(1), None);
    assert_eq!(world.place(), Place::Parked);
    assert!(world.join(call(1), room(2)).is_ok());
    world.told(&[]);
}

#[test]
fn who_is_parked_twice_is_free_after_the_second_time() {
    let mut world = turned_away();
    world.enters(call(1), 1, 1, false);
    let parkings = |orders: &[Order]| -> Vec<Parking> {
        let parking = |order: &Order| {
            if let Order::Park { parking, .. } = order {
                Some(*parking)
            } else {
                None
            }
        };
        orders.iter().filter_map(parking).collect()
    };
    let [first, second] = <[Parking; 2]>::try_from(parkings(&world.orders)).unwrap();
    world.leaves(call(1), 1, 1, 0);
    for not_the_last in [None, Some(first)] {
        world.wants_resync = false;
        world.is_parked(call(1), None, not_the_last);
        assert_eq!(world.place(), Place::Leaving(None));
        assert_eq!(world.join(call(1), room(2)), Err(Refusal::StillLeaving));
        assert!(world.wants_resync, "the last one may not come");
    }
    world.is_parked(call(1), None, Some(second));
    assert_eq!(world.place(), Place::Parked);
    world.join(call(1), room(2)).unwrap();
    world.told(&[]);
    // A conference that refuses it has it parked, with what its channel said before.
    world.is_parked(call(1), None, Some(second));
    world.told(&["join_failed refused [c-1]"]);
}

#[test]
fn who_is_not_heard_to_be_parked_in_five_seconds_is_looked_at() {
    let mut world = turned_away();
    let due = |world: &mut World, seconds| {
        world.wants_resync = false;
        world.now = world.now + Duration::from_secs(seconds);
        world.with(|belief, cx| belief.deadline(EntityId::Session(call(1)), cx));
        world.wants_resync
    };
    assert!(!due(&mut world, 4));
    assert!(due(&mut world, 1));
    assert_eq!(world.place(), Place::Leaving(None));
    assert!(!due(&mut world, 1), "once");
    world.is_parked(call(1), None, None);
    assert_eq!(world.place(), Place::Parked);
    world.told(&[]);
}

#[test]
fn a_leave_that_freeswitch_refuses_waits_for_no_park() {
    let mut world = World::joined();
    world.leave().unwrap();
    let order = world.orders.pop().unwrap();
    let refused = CommandError::Refused("no".to_owned());
    world.with(|b, cx| b.refused(&order, &refused, cx));
    assert_eq!(world.place(), Place::InRoom(room(1)));
    // Somebody else parks it.
    world.is_parked(call(1), None, None);
    world.told(&["left removed"]);
    assert_eq!(world.place(), Place::Parked);
}

#[test]
fn who_was_parked_before_it_came_into_a_room_that_is_over_is_parked_again() {
    let mut world = turned_away();
    world.parks(call(1), None);
    world.orders.clear();
    world.enters(call(1), 1, 1, false);
    assert!(matches!(world.orders.as_slice(), [Order::Park { .. }]));
    assert_eq!(world.place(), Place::Leaving(None));
    world.parks(call(1), None);
    assert_eq!(world.place(), Place::Parked);
    world.told(&[]);
}

#[test]
fn who_a_snapshot_shows_in_a_room_that_is_over_is_parked_again() {
    let mut world = turned_away();
    world.orders.clear();
    let fence = world.sequence + 1;
    world.looks(fence, vec![late::shown(1, 1, &[call(1)])]);
    assert!(matches!(world.orders.as_slice(), [Order::Park { .. }]));
    assert_eq!(world.place(), Place::Leaving(None));
}

#[test]
fn where_a_call_that_was_turned_away_is_gets_looked_at_when_it_could_not_be_parked() {
    let mut world = turned_away();
    let order = world.orders.pop().unwrap();
    world.wants_resync = false;
    let retry_after = Duration::from_secs(1);
    world.with(|b, cx| b.refused(&order, &CommandError::Down { retry_after }, cx));
    assert!(world.wants_resync);
    let listed = [ListedChannel {
        channel: call(1).channel(),
        identity: identity(None),
        parked: true,
    }];
    assert_eq!(world.belief.wants_dump(&listed), [call(1).channel()]);
    world.sequence += 1;
    let dump = Dump {
        core: core(),
        sequence: world.sequence,
        channel: call(1).channel(),
        identity: identity(None),
        parked: true,
        parked_by: None,
    };
    // The order may have been on its way when that was said.
    world.wants_resync = false;
    world.with(|b, cx| b.dump(dump.clone(), cx));
    assert_eq!(world.place(), Place::Leaving(None));
    assert!(world.wants_resync, "it is asked again");
    world.now = world.now + Duration::from_secs(5);
    world.with(|b, cx| b.dump(dump, cx));
    assert_eq!(world.place(), Place::Parked);
    world.told(&[]);
}

#[test]
fn an_empty_room_is_deleted_at_once() {
    let mut world = World::with_room_and_call();
    world.delete().unwrap();
    world.told(&["destroyed"]);
}

#[test]
fn a_call_that_the_dialplan_brings_in_belongs_to_the_rooms_app_and_is_told_first() {
    let mut world = World::new();
    world.create(1);
    world.told.clear();
    world.enters(call(5), 1, 1, true);
    world.told(&["call.new 747713001", "joined 527121101 muted=false"]);
    assert_eq!(*world.belief.session(call(5)).unwrap().app(), demo());
}

#[test]
fn an_orphan_is_watched_and_told_to_nobody() {
    let mut world = World::new();
    world.parks(call(1), Some("demo"));
    world.told.clear();
    world.enters(call(1), 8, 1, true);
    world.told(&[]);
    assert!(world.belief.room(room(8)).unwrap().registration().is_none());
    world.conference(
        8,
        1,
        0,
        ConferenceChange::Removed {
            channel: call(1).channel(),
            hung_up: false,
            last: false,
        },
    );
    world.conference(8, 1, 0, ConferenceChange::Destroyed);
    assert!(
        world.belief.room(room(8)).is_none(),
        "nothing is kept of it"
    );
}

#[test]
fn who_was_seen_in_a_room_before_it_was_known_whose_it_is_is_told_of_then() {
    let registration = Registration {
        app: demo(),
        name: "lost and found".to_owned(),
        origin: Origin::Gateway,
        created_at: Timestamp::from_millis(500),
        kind: Kind::Conference,
        details: Details::default(),
    };
    let mut world = World::new();
    world.enters(call(1), 8, 1, false);
    world.told(&[]);
    let snapshot = Snapshot {
        core: core(),
        fence: world.sequence + 1,
        rooms: vec![ShownRoom {
            room: room(8),
            conference: life(1),
            locked: false,
            meta: Some(meta::encode(&registration)),
            members: Vec::new(),
            recordings: Vec::new(),
        }],
    };
    world.with(|belief, cx| belief.snapshot(&snapshot, &BTreeSet::new(), cx));
    world.told(&[
        "call.new 747713001",
        "joined 527121101 muted=true (synthesized)",
    ]);
    world.conference(
        8,
        1,
        0,
        ConferenceChange::Removed {
            channel: call(1).channel(),
            hung_up: false,
            last: false,
        },
    );
}

#[test]
fn a_restart_of_freeswitch_ends_calls_and_stays_and_leaves_the_rooms() {
    let mut world = World::joined();
    let next = CoreId::new(Uuid::from_u128(8));
    world.with(|belief, cx| belief.core_changed(Some(next), cx));
    world.told(&[
        "left orphan (synthesized)",
        "call.hangup NORMAL_TEMPORARY_FAILURE 50ms",
    ]);
    let room = world.belief.room(room(1)).unwrap();
    assert!(room.is_open() && room.members().is_empty());
}

#[test]
fn a_node_that_was_given_up_comes_back_with_its_calls_and_goes_on_counting() {
    let mut world = World::joined();
    world.with(|belief, cx| belief.core_changed(None, cx));
    world.told(&[
        "left orphan (synthesized)",
        "call.hangup NORMAL_TEMPORARY_FAILURE 50ms",
    ]);
    // What is over is let go of, and found again in the store when the same call is written anew.
    let over = world.belief.session(call(1)).unwrap().clone();
    assert_eq!(over.sequence(), 2);
    let now = world.now;
    world.belief.drop_over(EntityId::Session(call(1)), now);
    world.with(|belief, cx| belief.core_changed(Some(core()), cx));
    world.belief.put_session(call(1), Some(over));
    world.enters(call(1), 1, 1, false);
    world.told(&["call.new 747713001", "joined 527121101 muted=true"]);
    let session = world.belief.session(call(1)).unwrap();
    assert_eq!(session.sequence(), 3);
    assert_eq!(*session.place(), Place::InRoom(room(1)));
}

#[test]
fn the_old_lifes_end_leaves_the_new_one_alone() {
    let mut world = World::joined();
    world.parks(call(2), Some("demo"));
    world.told.clear();
    // The next life of the same name is told of before the end of the last one.
    world.conference(1, 2, 0, ConferenceChange::Created);
    world.conference(1, 2, 1, ConferenceChange::Added(block(call(2), false)));
    world.told(&["joined 527121101 muted=true"]);
    world.conference(
        1,
        1,
        0,
        ConferenceChange::Removed {
            channel: call(1).channel(),
            hung_up: false,
            last: false,
        },
    );
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    world.told(&["left removed"]);
    assert_eq!(world.belief.room(room(1)).unwrap().present(), 1);
    assert_eq!(
        world.belief.room(room(1)).unwrap().conference().unwrap().id,
        life(2)
    );
}

#[test]
fn a_conference_that_says_its_size_is_another_is_looked_at() {
    let mut world = World::joined();
    assert!(!world.wants_resync);
    world.conference(1, 1, 3, ConferenceChange::Other);
    assert!(world.wants_resync);
}

#[test]
fn what_is_stored_is_read_back() {
    let mut world = World::joined();
    world.leave().unwrap();
    world.parks(call(2), Some("demo"));
    world.join(call(2), room(1)).unwrap();
    let node_room = world.belief.room_mut(room(1)).unwrap();
    let mut changes = node_room.take_changes();
    changes.head = true;
    changes.members = node_room.members().keys().copied().collect();
    let (head, parts) = encode_room(node_room, &changes, true);
    let record = Record {
        version: Version(1),
        head: head.into_iter().collect(),
        parts: parts
            .into_iter()
            .map(|(name, value)| (name, value.unwrap()))
            .collect(),
    };
    let read = decode_room(room(1), &record).unwrap();
    read.check_invariants();
    assert_eq!(read.members(), node_room.members());
    assert_eq!(read.registration(), node_room.registration());
    assert_eq!(read.conference(), node_room.conference());
    assert_eq!(read.sequence(), node_room.sequence());
    assert_eq!(read.next_deadline(), node_room.next_deadline());

    for n in [1, 2] {
        let session = world.belief.session_mut(call(n)).unwrap();
        session.take_changed();
        let record = Record {
            version: Version(1),
            head: encode_session(session).into_iter().collect(),
            parts: Fields::default(),
        };
        assert_eq!(decode_session(call(n), &record).unwrap(), *session);
    }
}

#[test]
fn a_record_that_is_not_ours_is_an_error_and_names_itself() {
    let record = Record {
        version: Version(1),
        head: Fields::from_iter([("run", "{\"status\":\"dancing\"}")]),
        parts: Fields::default(),
    };
    let error = decode_room(room(1), &record).unwrap_err().to_string();
    let key = keys::entity(EntityId::Room(room(1)));
    assert!(error.contains(&key), "{error}");
}

/// Each field can be read, and no room and no call can be so.
#[test]
fn a_record_whose_fields_contradict_each_other_is_an_error() {
    let registration =
        r#"{"app":"demo","name":"","origin":"gateway","created":1,"kind":"conference"}"#;
    let digits = |uuid: Uuid| {
        let mut text = String::new();
        push_uuid(&mut text, uuid);
        text
    };
    let who = digits("aaaa0000-0000-8100-8000-00052040f50c".parse().unwrap());
    let who = format!("m{who}|f5|d7|t0");
    let channel = digits(call(1).channel().uuid());
    let read = |run: &str, play: &str, moves: &str| {
        let head = [("reg", registration), ("run", run), ("play", play)];
        let parts = [
            (channel.clone(), who.clone()),
            (format!("{channel}."), format!("{moves}|g2|n0")),
        ];
        let record = Record {
            version: Version(1),
            head: head.into_iter().collect(),
            parts: parts.into_iter().filter(|_| !moves.is_empty()).collect(),
        };
        decode_room(room(1), &record)
    };
    let (run, play) = (
        r#"{"status":"progressing","present":0,"seq":1}"#,
        r#"{"vol":0}"#,
    );
    assert!(read(run, play, "").is_ok());
    assert!(read(run, play, "p0|u8").is_ok());
    for (run, play, member) in [
        (run, play, "p1"),
        (run, play, "p0"),
        (run, play, "p9"),
        (r#"{"status":"terminated","present":0,"seq":1}"#, play, ""),
        (run, r#"{"vol":0,"paused":true}"#, ""),
    ] {
        let error = read(run, play, member).unwrap_err();
        assert!(!error.is_retryable(), "{run} {play} {member}: {error}");
    }

    let read = |call_more: &str, place: &str| {
        let core = digits(core().uuid());
        let head = [
            ("app", "demo".to_owned()),
            ("call", format!("f5|d7|i|t0{call_more}")),
            ("place", format!("c{core}|{place}|n0")),
        ];
        let record = Record {
            version: Version(1),
            head: head.into_iter().collect(),
            parts: Fields::default(),
        };
        decode_session(call(1), &record)
    };
    assert!(read("|s0", "p1").is_ok());
    for (call_more, place) in [
        ("|s", "p1"),
        ("|s0", "p2"),
        ("|s0|w4", "p0"),
        ("|s0", "p4|Rzzzzz-room-00000000-0000-0000-0000-000000000001"),
        ("|s0", "p4"),
    ] {
        assert!(read(call_more, place).is_err(), "{call_more} {place}");
    }
}
