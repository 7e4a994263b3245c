//! The rules of what plays in a room.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use roomkeeper::ids::{CoreId, OperationId, RoomId};
use roomkeeper::node::CommandError;
use roomkeeper::play_url::PlayUrl;
use roomkeeper::reconciler::belief::Order;
use roomkeeper::reconciler::intent::{Accepted, Intent, Refusal};
use roomkeeper::reconciler::news::{ConferenceChange, News, Snapshot, What};
use roomkeeper::room::playback::{FileState, OPENING};
use roomkeeper::room::{FileId, PlayCommand, PlayFact};
use roomkeeper::store::EntityId;
use roomkeeper::store::record::{decode_room, decode_room_head, encode_room};
use roomkeeper::store::{Fields, Record, Version};
use uuid::Uuid;

use super::{World, call, core, demo, life, room};

/// What a look found nothing of.
type Suspects = BTreeSet<(RoomId, FileId)>;

/// A fact as these tests write it.
pub fn words(fact: &PlayFact) -> String {
    match fact {
        PlayFact::Started { urls, .. } => format!("play started {}", urls.len()),
        PlayFact::Finished { errors, .. } => {
            let errors: Vec<String> = errors
                .iter()
                .map(|(url, why)| format!(" {}:{why:?}", &url.as_str()[9..]))
                .collect();
            format!("play finished{}", errors.concat())
        }
        PlayFact::Paused { .. } => "play paused".to_owned(),
        PlayFact::Resumed { .. } => "play resumed".to_owned(),
        PlayFact::Stopped { .. } => "play stopped".to_owned(),
        PlayFact::VolumeChanged { operation, volume } => format!(
            "volume {volume}{}",
            if operation.is_some() { " of it" } else { "" }
        ),
    }
}

impl World {
    fn plays(&mut self, files: &[&str]) -> OperationId {
        match self.asks_to_play(files) {
            Ok(Accepted::Playing { operation }) => operation,
            other => panic!("{other:?}"),
        }
    }

    fn asks_to_play(&mut self, files: &[&str]) -> Result<Accepted, Refusal> {
        let url = |file: &&str| PlayUrl::new(&format!("http://h/{file}")).unwrap();
        self.asks(Intent::Play {
            room: room(1),
            app: demo(),
            urls: files.iter().map(url).collect(),
            command_uid: None,
        })
    }

    fn stops(&mut self) -> Result<Accepted, Refusal> {
        self.asks(Intent::Stop {
            room: room(1),
            app: demo(),
            command_uid: None,
        })
    }

    fn pauses(&mut self) -> Result<Accepted, Refusal> {
        self.asks(Intent::Pause {
            room: room(1),
            app: demo(),
            command_uid: Some("p".parse().unwrap()),
        })
    }

    fn volume(&mut self, volume: i8) -> Result<Accepted, Refusal> {
        self.asks(Intent::Volume {
            room: room(1),
            app: demo(),
            volume,
            command_uid: None,
        })
    }

    fn file(&mut self, change: ConferenceChange) {
        self.conference(1, 1, 1, change);
    }

    fn opened(&mut self, operation: OperationId, index: u16) {
        let file = FileId { operation, index };
        self.file(ConferenceChange::FileOpened {
            file,
            failed: false,
        });
    }

    fn not_opened(&mut self, operation: OperationId, index: u16) {
        let file = FileId { operation, index };
        self.file(ConferenceChange::FileOpened { file, failed: true });
    }

    fn ended(&mut self, operation: OperationId, index: u16) {
        self.file(ConferenceChange::FileEnded(FileId { operation, index }));
    }

    /// FreeSWITCH's answer to the order that was given last.
    fn answers(&mut self, order: &Order, text: &str) -> Option<Accepted> {
        self.with(|belief, cx| belief.answered(order, text, cx))
    }

    fn refuses(&mut self, order: &Order, error: &CommandError) {
        self.with(|belief, cx| belief.refused(order, error, cx));
    }

    /// The orders about what plays since this was last asked.
    fn ordered(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
            .into_iter()
            .filter(|order| matches!(order, Order::Play { .. }))
            .collect()
    }

    #[track_caller]
    fn told_to(&mut self, expected: &[&str]) -> Vec<Order> {
        let orders = self.ordered();
        let words: Vec<String> = orders
            .iter()
            .map(|order| {
                let Order::Play { command, .. } = order else {
                    panic!("{order:?}");
                };
                match command {
                    PlayCommand::Start { url, volume, .. } => {
                        format!("{} at {volume}", &url.as_str()[9..])
                    }
                    PlayCommand::Toggle { .. } => "toggle".to_owned(),
                    PlayCommand::Stop => "stop".to_owned(),
                    PlayCommand::Volume { volume } => format!("volume {volume}"),
                }
            })
            .collect();
        assert_eq!(words, expected);
        orders
    }

    fn states(&self) -> Vec<String> {
        let room = self.belief.room(room(1)).unwrap();
        room.playback()
            .operations()
            .iter()
            .flat_map(|op| &op.files)
            .map(|file| {
                let state = match file.state {
                    FileState::Waiting => "waits",
                    FileState::Opening => "opens",
                    FileState::Ready { .. } => "ready",
                    FileState::Done => "done",
                    FileState::Failed(_) => "failed",
                };
                format!("{} {state}", &file.url.as_str()[9..])
            })
            .collect()
    }

    fn is_silent(&mut self, confirmed: &Suspects) -> Suspects {
        self.with(|belief, cx| belief.silent(&[room(1)], confirmed, cx))
    }
}

#[test]
fn one_file_is_opened_at_a_time_and_two_are_at_freeswitch() {
    let mut world = World::joined();
    let op = world.plays(&["a", "b", "c"]);
    world.told(&["play started 3"]);
    let first = world.told_to(&["a at 0"]);
    assert_eq!(world.states(), ["a opens", "b waits", "c waits"]);
    // The job's answer does as well as the event.
    assert_eq!(world.answers(&first[0], "(play) Playing file"), None);
    world.told_to(&["b at 0"]);
    world.opened(op, 0);
    world.told_to(&[]);
    world.opened(op, 1);
    world.told_to(&[]);
    assert_eq!(world.states(), ["a ready", "b ready", "c waits"]);
    world.ended(op, 0);
    world.told_to(&["c at 0"]);
    world.opened(op, 2);
    world.ended(op, 1);
    world.told(&[]);
    world.ended(op, 2);
    world.told(&["play finished"]);
    world.ended(op, 2);
    world.told(&[]);
}

#[test]
fn operations_play_one_after_the_other_and_each_is_told_of_at_once() {
    let mut world = World::joined();
    let one = world.plays(&["a"]);
    let two = world.plays(&["b", "c"]);
    world.told(&["play started 1", "play started 2"]);
    world.told_to(&["a at 0"]);
    world.opened(one, 0);
    world.told_to(&["b at 0"]);
    world.opened(two, 0);
    world.ended(one, 0);
    world.told(&["play finished"]);
    world.told_to(&["c at 0"]);
    world.opened(two, 1);
    world.ended(two, 0);
    world.ended(two, 1);
    world.told(&["play finished"]);
    assert!(world.states().is_empty());
}

#[test]
fn a_room_without_members_is_refused() {
    let mut world = World::with_room_and_call();
    assert_eq!(world.asks_to_play(&["a"]), Err(Refusal::NoMembers));
    assert_eq!(world.pauses(), Err(Refusal::NothingPlaying));
    assert_eq!(world.stops(), Ok(Accepted::Stopped { operation: None }));
    world.told(&[]);
    world.told_to(&[]);
    let set = Accepted::VolumeSet {
        operation: None,
        volume: -3,
    };
    assert_eq!(world.volume(-3), Ok(set));
    world.told(&["volume -3"]);
    world.told_to(&[]);
    world.join(call(1), room(1)).unwrap();
    world.enters(call(1), 1, 1, false);
    world.plays(&["a"]);
    world.told_to(&["a at -3"]);
}

#[test]
fn files_that_fail_are_listed_and_the_rest_plays() {
    let mut world = World::joined();
    let op = world.plays(&["a", "b", "c", "d"]);
    let first = world.told_to(&["a at 0"]);
    world.not_opened(op, 0);
    let second = world.told_to(&["b at 0"]);
    // The job of the file that the event told of.
    let refused = CommandError::Refused("(play) File: x not found.".to_owned());
    world.refuses(&first[0], &refused);
    world.told_to(&[]);
    world.refuses(&second[0], &CommandError::Busy);
    let third = world.told_to(&["c at 0"]);
    world.refuses(&third[0], &CommandError::Unknown);
    world.told_to(&[]);
    world.opened(op, 2);
    world.told_to(&["d at 0"]);
    world.waits(OPENING.as_secs());
    world.told(&["play started 4"]);
    world.ended(op, 2);
    world.told(&["play finished a:Refused b:NotSent d:NotOpened"]);
    world.told_to(&[]);
}

#[test]
fn the_end_may_be_told_before_the_beginning() {
    let mut world = World::joined();
    let op = world.plays(&["a", "b"]);
    world.told_to(&["a at 0"]);
    world.ended(op, 0);
    world.told_to(&["b at 0"]);
    world.opened(op, 0);
    world.told_to(&[]);
    assert_eq!(world.states(), ["a done", "b opens"]);
    world.ended(op, 1);
    world.told(&["play started 2", "play finished"]);
}

#[test]
fn an_end_that_was_not_heard_is_known_from_the_next_one() {
    let mut world = World::joined();
    let op = world.plays(&["a", "b"]);
    world.opened(op, 0);
    world.opened(op, 1);
    world.ended(op, 1);
    world.told(&["play started 2", "play finished"]);
}

#[test]
fn a_file_that_opens_after_a_stop_is_stopped_before_another_is_sent() {
    let mut world = World::joined();
    let one = world.plays(&["a", "b"]);
    world.told(&["play started 2"]);
    world.told_to(&["a at 0"]);
    let stopped = Accepted::Stopped {
        operation: Some(one),
    };
    assert_eq!(world.stops(), Ok(stopped));
    world.told(&["play stopped"]);
    world.told_to(&["stop"]);
    let two = world.plays(&["c"]);
    world.told_to(&[]);
    assert_eq!(world.states(), ["c waits"]);
    world.opened(one, 0);
    world.told_to(&["stop", "c at 0"]);
    world.ended(one, 0);
    world.opened(two, 0);
    world.ended(two, 0);
    world.told(&["play started 1", "play finished"]);
    world.told_to(&[]);
}

#[test]
fn an_opening_that_never_ends_does_not_hold_the_room_for_ever() {
    let mut world = World::joined();
    let one = world.plays(&["a"]);
    world.stops().unwrap();
    world.plays(&["b"]);
    world.told_to(&["a at 0", "stop"]);
    world.waits(OPENING.as_secs());
    let late = world.told_to(&["b at 0"]);
    // It opens after all, while nothing else is there.
    world.refuses(&late[0], &CommandError::Refused(String::new()));
    world.told(&[
        "play started 1",
        "play stopped",
        "play started 1",
        "play finished b:Refused",
    ]);
    world.opened(one, 0);
    world.told_to(&["stop"]);
}

#[test]
fn stop_ends_all_operations_each_with_its_own_notice() {
    let mut world = World::joined();
    let one = world.plays(&["a"]);
    world.opened(one, 0);
    let two = world.plays(&["b"]);
    world.plays(&["c"]);
    world.opened(two, 0);
    world.told.clear();
    world.ordered();
    world.stops().unwrap();
    world.told(&["play stopped", "play stopped", "play stopped"]);
    world.told_to(&["stop"]);
    world.ended(one, 0);
    world.ended(two, 0);
    world.told(&[]);
    // An earlier stop may not have reached FreeSWITCH.
    assert_eq!(world.stops(), Ok(Accepted::Stopped { operation: None }));
    world.told(&[]);
    world.told_to(&["stop"]);
}

#[test]
fn freeswitch_says_whether_it_paused_or_went_on() {
    let mut world = World::joined();
    assert_eq!(world.pauses(), Err(Refusal::NothingPlaying));
    let operation = world.plays(&["a", "b"]);
    world.opened(operation, 0);
    world.told.clear();
    world.ordered();
    let toggled = |paused| Accepted::Toggled { operation, paused };
    assert_eq!(world.pauses(), Ok(toggled(true)));
    world.told(&[]);
    let order = world.told_to(&["toggle"]);
    // Someone at its console had paused it before.
    assert_eq!(world.answers(&order[0], "Resume"), Some(toggled(false)));
    world.told(&[]);
    assert_eq!(world.answers(&order[0], "Pause"), Some(toggled(true)));
    world.told(&["play paused [p]"]);
    let paused = |world: &World| world.belief.room(room(1)).unwrap().playback().paused();
    assert!(paused(&world));
    world.pauses().unwrap();
    assert_eq!(world.answers(&order[0], "Resume"), Some(toggled(false)));
    world.told(&["play resumed [p]"]);
    world.answers(&order[0], "Pause");
    world.told(&["play paused [p]"]);
    // The pause is of the file, and goes with it.
    world.opened(operation, 1);
    world.ended(operation, 0);
    world.told(&["play resumed (synthesized)"]);
    world.answers(&order[0], "Pause");
    world.stops().unwrap();
    world.told(&["play paused [p]", "play stopped"]);
    assert!(!paused(&world));
    assert_eq!(world.answers(&order[0], "Pause"), None);
    world.told(&[]);
}

#[test]
fn a_volume_holds_for_what_plays_and_for_all_that_follows() {
    let mut world = World::joined();
    let op = world.plays(&["a", "b", "c"]);
    world.opened(op, 0);
    world.opened(op, 1);
    world.ordered();
    world.told.clear();
    world.volume(5).unwrap();
    world.told(&["volume 5 of it"]);
    world.told_to(&["volume 5"]);
    // It was sent with another one.
    world.ended(op, 0);
    world.told_to(&["volume 5", "c at 5"]);
    world.volume(-50).unwrap();
    world.told_to(&["volume -50"]);
    world.opened(op, 2);
    world.told_to(&[]);
    world.ended(op, 1);
    world.told_to(&["volume -50"]);
    world.ended(op, 2);
    world.told(&["volume -50 of it", "play finished"]);
    world.plays(&["d"]);
    world.told_to(&["d at -50"]);
}

#[test]
fn a_volume_set_while_a_file_opens_is_its_own_once_it_plays() {
    let mut world = World::joined();
    let op = world.plays(&["a"]);
    world.volume(7).unwrap();
    world.told_to(&["a at 0"]);
    world.opened(op, 0);
    world.told_to(&["volume 7"]);
}

#[test]
fn deleting_the_room_stops_it_before_anyone_is_parked() {
    let mut world = World::joined();
    let op = world.plays(&["a", "b"]);
    world.opened(op, 0);
    world.plays(&["c"]);
    world.told.clear();
    world.orders.clear();
    world.delete().unwrap();
    assert!(
        matches!(
            world.orders.as_slice(),
            [
                Order::Play {
                    command: PlayCommand::Stop,
                    ..
                },
                Order::Park { .. }
            ]
        ),
        "{:?}",
        world.orders
    );
    world.told(&["play stopped", "play stopped"]);
    world.opened(op, 1);
    world.told(&[]);
    let removed = ConferenceChange::Removed {
        channel: call(1).channel(),
        hung_up: false,
        last: false,
    };
    world.conference(1, 1, 0, removed);
    world.told(&["left room_destroyed", "destroyed"]);
}

#[test]
fn the_end_of_the_conference_stops_it() {
    let mut world = World::joined();
    let op = world.plays(&["a"]);
    world.opened(op, 0);
    world.told.clear();
    let removed = ConferenceChange::Removed {
        channel: call(1).channel(),
        hung_up: false,
        last: false,
    };
    world.conference(1, 1, 0, removed);
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    world.told(&["left removed", "play stopped"]);
    world.ended(op, 0);
    world.told(&[]);
}

#[test]
fn another_run_of_freeswitch_or_none_stops_it_once() {
    for next in [None, Some(CoreId::new(Uuid::from_u128(8)))] {
        let mut world = World::joined();
        world.plays(&["a"]);
        world.plays(&["b"]);
        world.told.clear();
        world.with(|belief, cx| belief.core_changed(next, cx));
        let stopped = world.told.iter().filter(|t| t.starts_with("play stopped"));
        assert_eq!(stopped.count(), 2, "{:?}", world.told);
    }
}

#[test]
fn the_next_life_of_a_conference_ends_what_played_in_the_last() {
    let mut world = World::joined();
    world.parks(call(2), Some("demo"));
    let op = world.plays(&["a"]);
    world.opened(op, 0);
    world.told.clear();
    world.conference(1, 2, 0, ConferenceChange::Created);
    world.told(&["play stopped"]);
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    world.told(&["left removed (synthesized)"]);
}

#[test]
fn what_plays_is_heard_of_below_the_fence_too() {
    let mut world = World::joined();
    let op = world.plays(&["a"]);
    let below = world.sequence + 1;
    world.sequence += 10;
    let fence = Snapshot {
        core: core(),
        fence: world.sequence,
        rooms: Vec::new(),
    };
    world.with(|belief, cx| belief.snapshot(&fence, &BTreeSet::new(), cx));
    for change in [
        ConferenceChange::FileOpened {
            file: FileId {
                operation: op,
                index: 0,
            },
            failed: false,
        },
        ConferenceChange::FileEnded(FileId {
            operation: op,
            index: 0,
        }),
    ] {
        let news = News {
            core: core(),
            sequence: below,
            at: world.now,
            what: What::Conference {
                room: room(1),
                conference: life(1),
                size: Some(1),
                change,
            },
        };
        world.with(|belief, cx| belief.news(news, cx));
    }
    world.told(&["play started 1", "play finished"]);
}

#[test]
fn what_freeswitch_twice_does_not_play_has_ended_unheard() {
    let mut world = World::joined();
    let one = world.plays(&["a", "b"]);
    world.opened(one, 0);
    world.ordered();
    world.told.clear();
    assert_eq!(world.with(|belief, _| belief.playing_rooms()), [room(1)]);
    let first = world.is_silent(&BTreeSet::new());
    assert_eq!(first.len(), 1);
    // It began between the two looks.
    world.opened(one, 1);
    world.told(&[]);
    let second = world.is_silent(&first);
    assert_eq!(second.len(), 1, "the other is only suspected");
    assert_eq!(world.states(), ["a failed", "b ready"]);
    assert!(world.is_silent(&second).is_empty());
    world.told(&["play finished a:Unconfirmed b:Unconfirmed (synthesized)"]);
}

#[test]
fn what_another_replica_may_have_begun_is_looked_up() {
    let mut world = World::joined();
    let one = world.plays(&["a"]);
    let asks = |world: &mut World, operation| {
        let news = News {
            core: core(),
            sequence: world.sequence + 1,
            at: world.now,
            what: What::Conference {
                room: room(1),
                conference: life(1),
                size: Some(1),
                change: ConferenceChange::FileEnded(FileId {
                    operation,
                    index: 0,
                }),
            },
        };
        let unknown = world.belief.unknown_to(&news);
        world.with(|belief, cx| belief.news(news, cx));
        unknown == Some(EntityId::Room(room(1)))
    };
    assert!(asks(&mut world, OperationId::new(Uuid::from_u128(1))));
    assert!(!asks(&mut world, one));
    assert!(!asks(&mut world, one), "it is over, and was not long ago");
}

#[test]
fn too_much_is_refused() {
    let mut world = World::joined();
    let long = "x".repeat(2_000);
    let files: Vec<&str> = std::iter::repeat_n(long.as_str(), 120).collect();
    world.plays(&files);
    assert_eq!(world.asks_to_play(&files), Err(Refusal::TooMuchPlaying));
    world.stops().unwrap();
    for _ in 0..64 {
        world.plays(&["a"]);
    }
    assert_eq!(world.asks_to_play(&["a"]), Err(Refusal::TooMuchPlaying));
}

/// Stores the room and reads it again, as another run of the program would.
fn restart(world: &mut World, record: &mut Record) {
    let state = world.belief.room_mut(room(1)).unwrap();
    let changes = state.take_changes();
    let (head, parts) = encode_room(state, &changes, record.head.is_empty());
    let head = head.into_iter().map(|(name, value)| (name, Some(value)));
    record.head = with(&record.head, head);
    record.parts = with(&record.parts, parts);
    let before = state.clone();
    let read = decode_room(room(1), &*record).unwrap();
    assert_eq!(read.playback().operations(), before.playback().operations());
    assert_eq!(read.playback().opening(), before.playback().opening());
    assert_eq!(read.playback().volume(), before.playback().volume());
    assert_eq!(read.playback().paused(), before.playback().paused());
    assert_eq!(read.next_deadline(), before.next_deadline());
    let head = decode_room_head(room(1), &*record).unwrap();
    assert_eq!(head.playback.operations(), before.playback().operations());
    read.check_invariants();
    world.belief.put_room(room(1), Some(read));
}

fn nothing_stored() -> Record {
    Record {
        version: Version(1),
        ..Record::default()
    }
}

/// What was written is there; `None` removes it.
fn with(stored: &Fields, written: impl IntoIterator<Item = (String, Option<String>)>) -> Fields {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut all: BTreeMap<String, String> = stored.iter().map(owned).collect();
    for (name, value) in written {
        match value {
            Some(value) => all.insert(name, value),
            None => all.remove(&name),
        };
    }
    all.into_iter().collect()
}

#[test]
fn a_restart_changes_nothing() {
    let mut world = World::joined();
    let mut record = nothing_stored();
    restart(&mut world, &mut record);
    assert!(record.head.iter().all(|(name, _)| name != "play"));
    let one = world.plays(&["a", "b", "c", "d"]);
    restart(&mut world, &mut record);
    world.opened(one, 0);
    restart(&mut world, &mut record);
    let two = world.plays(&["e"]);
    world.volume(-7).unwrap();
    world.pauses().unwrap();
    let toggle = world.ordered().pop().unwrap();
    world.answers(&toggle, "Pause");
    restart(&mut world, &mut record);
    world.not_opened(one, 1);
    restart(&mut world, &mut record);
    assert_eq!(
        world.states(),
        ["a ready", "b failed", "c opens", "d waits", "e waits"]
    );
    world.waits(OPENING.as_secs());
    restart(&mut world, &mut record);
    world.opened(one, 3);
    world.ended(one, 0);
    world.ended(one, 3);
    restart(&mut world, &mut record);
    world.opened(two, 0);
    world.ended(two, 0);
    restart(&mut world, &mut record);
    let told: Vec<String> = std::mem::take(&mut world.told);
    assert_eq!(
        told,
        [
            "play started 4",
            "play started 1",
            "volume -7 of it",
            "play paused [p]",
            "play resumed (synthesized)",
            "play finished b:Refused c:NotOpened",
            "play finished",
        ]
    );
}

/// What can happen to what plays. Indexes are taken modulo what there is.
#[derive(Clone, Debug)]
enum Happens {
    Play(usize),
    Opened(usize, u16),
    NotOpened(usize, u16),
    Ended(usize, u16),
    Stop,
    Volume(i8),
    Toggled(bool),
    Silent,
    Waits(u64),
    Restart,
}

fn happens() -> impl Strategy<Value = Happens> {
    let file = || (0..6_usize, 0..4_u16);
    prop_oneof![
        3 => (1..4_usize).prop_map(Happens::Play),
        6 => file().prop_map(|(op, n)| Happens::Opened(op, n)),
        2 => file().prop_map(|(op, n)| Happens::NotOpened(op, n)),
        6 => file().prop_map(|(op, n)| Happens::Ended(op, n)),
        1 => Just(Happens::Stop),
        1 => (-50..=7_i8).prop_map(Happens::Volume),
        1 => any::<bool>().prop_map(Happens::Toggled),
        1 => Just(Happens::Silent),
        1 => (1..40_u64).prop_map(Happens::Waits),
        1 => Just(Happens::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    /// Whatever comes, in whatever order: each operation starts once and ends once, nothing is sent twice, no more than
    /// one file is being opened, and none is sent while two are there.
    #[test]
    fn each_operation_ends_once_and_no_file_is_sent_twice(steps in proptest::collection::vec(happens(), 1..60)) {
        let mut world = World::joined();
        let mut record = nothing_stored();
        let mut ops: Vec<OperationId> = Vec::new();
        let mut sent: BTreeSet<FileId> = BTreeSet::new();
        let mut told: Vec<String> = Vec::new();
        let mut suspects = BTreeSet::new();
        let (mut opened, mut ended) = (0, 0);
        for step in steps {
            let nth = |n: usize| ops.get(n % ops.len().max(1)).copied();
            match step {
                Happens::Play(n) => {
                    let files = ["a", "b", "c", "d"];
                    if ops.len() < 40 {
                        ops.push(world.plays(&files[..n]));
                    }
                }
                Happens::Opened(op, n) => if let Some(op) = nth(op) { world.opened(op, n) },
                Happens::NotOpened(op, n) => if let Some(op) = nth(op) { world.not_opened(op, n) },
                Happens::Ended(op, n) => if let Some(op) = nth(op) { world.ended(op, n) },
                Happens::Stop => { world.stops().unwrap(); }
                Happens::Volume(v) => { world.volume(v).unwrap(); }
                Happens::Toggled(paused) => {
                    if world.pauses().is_ok() {
                        let order = world.orders.pop().unwrap();
                        world.answers(&order, if paused { "Pause" } else { "Resume" });
                    }
                }
                Happens::Silent => suspects = world.is_silent(&suspects),
                Happens::Waits(seconds) => world.waits(seconds),
                Happens::Restart => restart(&mut world, &mut record),
            }
            for order in world.ordered() {
                if let Order::Play { command: PlayCommand::Start { file, .. }, .. } = order {
                    prop_assert!(sent.insert(file), "{file:?} was sent twice");
                }
            }
            let state = world.belief.room(room(1)).unwrap();
            state.check_invariants();
            let playback = state.playback();
            if let Some(opening) = playback.opening() {
                prop_assert!(opening.deadline <= world.now + OPENING);
            }
            told.append(&mut world.told);
        }
        // In the end everything is stopped, so that what began has ended.
        world.stops().unwrap();
        told.append(&mut world.told);
        for line in &told {
            if line.starts_with("play started") { opened += 1; }
            if line.starts_with("play finished") || line.starts_with("play stopped") { ended += 1; }
        }
        prop_assert_eq!(opened, ops.len());
        prop_assert_eq!(ended, ops.len());
    }
}
