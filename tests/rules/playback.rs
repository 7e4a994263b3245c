//! The rules of the playback in a room.

use roomkeeper_core::intent::{
    OperationAccepted, Pause, PauseAccepted, Play, SetVolume, Stop, StopAccepted, VolumeAccepted,
};
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use roomkeeper::node::CommandError;
use roomkeeper::store::EntityId;
use roomkeeper::store::room::{decode_room, decode_room_head, encode_room};
use roomkeeper::store::{Fields, Record, Version};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CoreId, OperationId};
use roomkeeper_core::intent::{Accepted, Intent, Refusal};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::Media;
use roomkeeper_core::room::playback::{FileState, OPENING};
use roomkeeper_core::room::{FileId, PlayCommand, PlayEvent};
use roomkeeper_core::switch_command::{SwitchAction, SwitchCommand};
use roomkeeper_core::switch_event::{ConferenceChange, Snapshot, SwitchEvent, SwitchEventKind};
use uuid::Uuid;

use super::{World, call, conference_id, core, demo, room};

/// The files that FreeSWITCH did not play according to one report.
type Suspects = BTreeSet<(Target, FileId)>;

/// Formats a domain event as these tests write it.
pub fn words(event: &PlayEvent) -> String {
    match event {
        PlayEvent::Started { media, .. } => format!("play started {}", media.len()),
        PlayEvent::Finished { errors, .. } => {
            let errors: Vec<String> = errors
                .iter()
                .map(|(media, why)| format!(" {}:{why:?}", name(media)))
                .collect();
            format!("play finished{}", errors.concat())
        }
        PlayEvent::Paused { .. } => "play paused".to_owned(),
        PlayEvent::Resumed { .. } => "play resumed".to_owned(),
        PlayEvent::Stopped { .. } => "play stopped".to_owned(),
        PlayEvent::VolumeChanged { operation, volume } => format!(
            "volume {volume}{}",
            if operation.is_some() { " of it" } else { "" }
        ),
    }
}

/// The name of a file, or a text.
pub(super) fn name(media: &Media) -> &str {
    match media {
        Media::Url(url) => &url.as_str()[9..],
        Media::Speech(spoken) => spoken.text.as_str(),
    }
}

impl World {
    pub(super) fn plays(&mut self, files: &[&str]) -> OperationId {
        match self.submit_play(files) {
            Ok(Accepted::Play(OperationAccepted { operation })) => operation,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn submit_play(&mut self, files: &[&str]) -> Result<Accepted, Refusal> {
        let url = |file: &&str| PlayUrl::new(&format!("http://h/{file}")).unwrap();
        self.submit(Intent::new(
            Target::Room(room(1)),
            demo(),
            Play {
                media: files.iter().map(|name| url(name).into()).collect(),
            },
        ))
    }

    pub(super) fn stops(&mut self) -> Result<Accepted, Refusal> {
        self.submit(Intent::new(Target::Room(room(1)), demo(), Stop))
    }

    fn pauses(&mut self) -> Result<Accepted, Refusal> {
        self.submit(
            Intent::new(Target::Room(room(1)), demo(), Pause).with_uid(Some("p".parse().unwrap())),
        )
    }

    fn volume(&mut self, volume: i8) -> Result<Accepted, Refusal> {
        self.submit(Intent::new(
            Target::Room(room(1)),
            demo(),
            SetVolume { volume },
        ))
    }

    fn file(&mut self, change: ConferenceChange) {
        self.conference(1, 1, 1, change);
    }

    pub(super) fn opened(&mut self, operation: OperationId, index: u16) {
        let file = FileId { operation, index };
        self.file(ConferenceChange::FileOpened {
            file,
            failed: false,
            member: None,
        });
    }

    pub(super) fn not_opened(&mut self, operation: OperationId, index: u16) {
        let file = FileId { operation, index };
        self.file(ConferenceChange::FileOpened {
            file,
            failed: true,
            member: None,
        });
    }

    pub(super) fn ended(&mut self, operation: OperationId, index: u16) {
        self.file(ConferenceChange::FileEnded {
            file: FileId { operation, index },
            member: None,
        });
    }

    /// Applies FreeSWITCH's answer to the last command.
    pub(super) fn answers(&mut self, command: &SwitchCommand, text: &str) -> Option<Accepted> {
        self.with(|node_state, cx| node_state.apply_answer(command, text, cx))
    }

    pub(super) fn refuses(&mut self, command: &SwitchCommand, error: &CommandError) {
        self.with(|node_state, cx| node_state.revert_command(command, error, cx));
    }

    /// Returns the playback commands since the last call.
    fn ordered(&mut self) -> Vec<SwitchCommand> {
        std::mem::take(&mut self.commands)
            .into_iter()
            .filter(|command| {
                matches!(
                    command,
                    SwitchCommand {
                        action: SwitchAction::Play(_),
                        ..
                    }
                )
            })
            .collect()
    }

    #[track_caller]
    pub(super) fn expect_play_commands(&mut self, expected: &[&str]) -> Vec<SwitchCommand> {
        let commands = self.ordered();
        let words: Vec<String> = commands
            .iter()
            .map(|command| {
                let SwitchCommand {
                    action: SwitchAction::Play(play),
                    ..
                } = command
                else {
                    panic!("{command:?}");
                };
                match play {
                    PlayCommand::Start { media, volume, .. } => {
                        format!("{} at {volume}", name(media))
                    }
                    PlayCommand::Toggle { .. } => "toggle".to_owned(),
                    PlayCommand::Stop => "stop".to_owned(),
                    PlayCommand::Volume { volume } => format!("volume {volume}"),
                }
            })
            .collect();
        assert_eq!(words, expected);
        commands
    }

    fn states(&self) -> Vec<String> {
        let room = self.node_state.room(room(1)).unwrap();
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
                format!("{} {state}", name(&file.media))
            })
            .collect()
    }

    fn is_silent(&mut self, confirmed: &Suspects) -> Suspects {
        self.with(|node_state, cx| {
            node_state.apply_silence_report(&[Target::Room(room(1))], confirmed, cx)
        })
    }
}

#[test]
fn one_file_opens_at_a_time_and_freeswitch_has_two() {
    let mut world = World::joined();
    let op = world.plays(&["a", "b", "c"]);
    world.expect_notifications(&["play started 3"]);
    let first = world.expect_play_commands(&["a at 0"]);
    assert_eq!(world.states(), ["a opens", "b waits", "c waits"]);
    // The job's answer does as well as the event.
    assert_eq!(world.answers(&first[0], "(play) Playing file"), None);
    world.expect_play_commands(&["b at 0"]);
    world.opened(op, 0);
    world.expect_play_commands(&[]);
    world.opened(op, 1);
    world.expect_play_commands(&[]);
    assert_eq!(world.states(), ["a ready", "b ready", "c waits"]);
    world.ended(op, 0);
    world.expect_play_commands(&["c at 0"]);
    world.opened(op, 2);
    world.ended(op, 1);
    world.expect_notifications(&[]);
    world.ended(op, 2);
    world.expect_notifications(&["play finished"]);
    world.ended(op, 2);
    world.expect_notifications(&[]);
}

#[test]
fn operations_play_in_order_and_are_reported_at_once() {
    let mut world = World::joined();
    let one = world.plays(&["a"]);
    let two = world.plays(&["b", "c"]);
    world.expect_notifications(&["play started 1", "play started 2"]);
    world.expect_play_commands(&["a at 0"]);
    world.opened(one, 0);
    world.expect_play_commands(&["b at 0"]);
    world.opened(two, 0);
    world.ended(one, 0);
    world.expect_notifications(&["play finished"]);
    world.expect_play_commands(&["c at 0"]);
    world.opened(two, 1);
    world.ended(two, 0);
    world.ended(two, 1);
    world.expect_notifications(&["play finished"]);
    assert!(world.states().is_empty());
}

#[test]
fn play_fails_when_room_has_no_members() {
    let mut world = World::with_room_and_call();
    assert_eq!(world.submit_play(&["a"]), Err(Refusal::NoMembers));
    assert_eq!(world.pauses(), Err(Refusal::NothingPlaying));
    assert_eq!(
        world.stops(),
        Ok(Accepted::Stop(StopAccepted { operation: None }))
    );
    world.expect_notifications(&[]);
    world.expect_play_commands(&[]);
    let set = Accepted::SetVolume(VolumeAccepted {
        operation: None,
        volume: -3,
    });
    assert_eq!(world.volume(-3), Ok(set));
    world.expect_notifications(&["volume -3"]);
    world.expect_play_commands(&[]);
    world.join(call(1), room(1)).unwrap();
    world.enters(call(1), 1, 1, false);
    world.plays(&["a"]);
    world.expect_play_commands(&["a at -3"]);
}

#[test]
fn failed_files_are_listed_and_the_others_play() {
    let mut world = World::joined();
    let op = world.plays(&["a", "b", "c", "d"]);
    let first = world.expect_play_commands(&["a at 0"]);
    world.not_opened(op, 0);
    let second = world.expect_play_commands(&["b at 0"]);
    // The event has reported the file of this job already.
    let refused = CommandError::Refused("(play) File: x not found.".to_owned());
    world.refuses(&first[0], &refused);
    world.expect_play_commands(&[]);
    world.refuses(&second[0], &CommandError::Busy);
    let third = world.expect_play_commands(&["c at 0"]);
    world.refuses(&third[0], &CommandError::Unknown);
    world.expect_play_commands(&[]);
    world.opened(op, 2);
    world.expect_play_commands(&["d at 0"]);
    world.waits(OPENING.as_secs());
    world.expect_notifications(&["play started 4"]);
    world.ended(op, 2);
    world.expect_notifications(&["play finished a:Refused b:NotSent d:NotOpened"]);
    world.expect_play_commands(&[]);
}

#[test]
fn end_of_a_file_can_precede_its_opening() {
    let mut world = World::joined();
    let op = world.plays(&["a", "b"]);
    world.expect_play_commands(&["a at 0"]);
    world.ended(op, 0);
    world.expect_play_commands(&["b at 0"]);
    world.opened(op, 0);
    world.expect_play_commands(&[]);
    assert_eq!(world.states(), ["a done", "b opens"]);
    world.ended(op, 1);
    world.expect_notifications(&["play started 2", "play finished"]);
}

#[test]
fn lost_end_of_a_file_follows_from_the_next_one() {
    let mut world = World::joined();
    let op = world.plays(&["a", "b"]);
    world.opened(op, 0);
    world.opened(op, 1);
    world.ended(op, 1);
    world.expect_notifications(&["play started 2", "play finished"]);
}

#[test]
fn file_that_opens_after_a_stop_is_stopped_before_the_next() {
    let mut world = World::joined();
    let one = world.plays(&["a", "b"]);
    world.expect_notifications(&["play started 2"]);
    world.expect_play_commands(&["a at 0"]);
    let stopped = Accepted::Stop(StopAccepted {
        operation: Some(one),
    });
    assert_eq!(world.stops(), Ok(stopped));
    world.expect_notifications(&["play stopped"]);
    world.expect_play_commands(&["stop"]);
    let two = world.plays(&["c"]);
    world.expect_play_commands(&[]);
    assert_eq!(world.states(), ["c waits"]);
    world.opened(one, 0);
    world.expect_play_commands(&["stop", "c at 0"]);
    world.ended(one, 0);
    world.opened(two, 0);
    world.ended(two, 0);
    world.expect_notifications(&["play started 1", "play finished"]);
    world.expect_play_commands(&[]);
}

#[test]
fn opening_without_end_expires() {
    let mut world = World::joined();
    let one = world.plays(&["a"]);
    world.stops().unwrap();
    world.plays(&["b"]);
    world.expect_play_commands(&["a at 0", "stop"]);
    world.waits(OPENING.as_secs());
    let late = world.expect_play_commands(&["b at 0"]);
    // The file opens after all, while there is no other.
    world.refuses(&late[0], &CommandError::Refused(String::new()));
    world.expect_notifications(&[
        "play started 1",
        "play stopped",
        "play started 1",
        "play finished b:Refused",
    ]);
    world.opened(one, 0);
    world.expect_play_commands(&["stop"]);
}

#[test]
fn stop_ends_every_operation_with_its_own_notification() {
    let mut world = World::joined();
    let one = world.plays(&["a"]);
    world.opened(one, 0);
    let two = world.plays(&["b"]);
    world.plays(&["c"]);
    world.opened(two, 0);
    world.notifications.clear();
    world.ordered();
    world.stops().unwrap();
    world.expect_notifications(&["play stopped", "play stopped", "play stopped"]);
    world.expect_play_commands(&["stop"]);
    world.ended(one, 0);
    world.ended(two, 0);
    world.expect_notifications(&[]);
    // An earlier stop may not have reached FreeSWITCH.
    assert_eq!(
        world.stops(),
        Ok(Accepted::Stop(StopAccepted { operation: None }))
    );
    world.expect_notifications(&[]);
    world.expect_play_commands(&["stop"]);
}

#[test]
fn answer_of_freeswitch_decides_pause_or_resume() {
    let mut world = World::joined();
    assert_eq!(world.pauses(), Err(Refusal::NothingPlaying));
    let operation = world.plays(&["a", "b"]);
    world.opened(operation, 0);
    world.notifications.clear();
    world.ordered();
    let toggled = |paused| Accepted::Pause(PauseAccepted { operation, paused });
    assert_eq!(world.pauses(), Ok(toggled(true)));
    world.expect_notifications(&[]);
    let command = world.expect_play_commands(&["toggle"]);
    // Somebody had paused it at the console before.
    assert_eq!(world.answers(&command[0], "Resume"), Some(toggled(false)));
    world.expect_notifications(&[]);
    assert_eq!(world.answers(&command[0], "Pause"), Some(toggled(true)));
    world.expect_notifications(&["play paused [p]"]);
    let paused = |world: &World| world.node_state.room(room(1)).unwrap().playback().paused();
    assert!(paused(&world));
    world.pauses().unwrap();
    assert_eq!(world.answers(&command[0], "Resume"), Some(toggled(false)));
    world.expect_notifications(&["play resumed [p]"]);
    world.answers(&command[0], "Pause");
    world.expect_notifications(&["play paused [p]"]);
    // The pause belongs to the file, and ends with it.
    world.opened(operation, 1);
    world.ended(operation, 0);
    world.expect_notifications(&["play resumed (synthesized)"]);
    world.answers(&command[0], "Pause");
    world.stops().unwrap();
    world.expect_notifications(&["play paused [p]", "play stopped"]);
    assert!(!paused(&world));
    assert_eq!(world.answers(&command[0], "Pause"), None);
    world.expect_notifications(&[]);
}

#[test]
fn volume_applies_to_present_and_later_files() {
    let mut world = World::joined();
    let op = world.plays(&["a", "b", "c"]);
    world.opened(op, 0);
    world.opened(op, 1);
    world.ordered();
    world.notifications.clear();
    world.volume(5).unwrap();
    world.expect_notifications(&["volume 5 of it"]);
    world.expect_play_commands(&["volume 5"]);
    // The file was sent with another volume.
    world.ended(op, 0);
    world.expect_play_commands(&["volume 5", "c at 5"]);
    world.volume(-50).unwrap();
    world.expect_play_commands(&["volume -50"]);
    world.opened(op, 2);
    world.expect_play_commands(&[]);
    world.ended(op, 1);
    world.expect_play_commands(&["volume -50"]);
    world.ended(op, 2);
    world.expect_notifications(&["volume -50 of it", "play finished"]);
    world.plays(&["d"]);
    world.expect_play_commands(&["d at -50"]);
}

#[test]
fn volume_set_during_an_opening_applies_once_the_file_plays() {
    let mut world = World::joined();
    let op = world.plays(&["a"]);
    world.volume(7).unwrap();
    world.expect_play_commands(&["a at 0"]);
    world.opened(op, 0);
    world.expect_play_commands(&["volume 7"]);
}

#[test]
fn deletion_stops_playback_before_members_are_parked() {
    let mut world = World::joined();
    let op = world.plays(&["a", "b"]);
    world.opened(op, 0);
    world.plays(&["c"]);
    world.notifications.clear();
    world.commands.clear();
    world.delete().unwrap();
    assert!(
        matches!(
            world.commands.as_slice(),
            [
                SwitchCommand {
                    action: SwitchAction::Play(PlayCommand::Stop),
                    ..
                },
                SwitchCommand {
                    action: SwitchAction::Park { .. },
                    ..
                }
            ]
        ),
        "{:?}",
        world.commands
    );
    world.expect_notifications(&["play stopped", "play stopped"]);
    world.opened(op, 1);
    world.expect_notifications(&[]);
    let removed = ConferenceChange::Removed {
        channel: call(1).channel(),
        hung_up: false,
        last: false,
    };
    world.conference(1, 1, 0, removed);
    world.expect_notifications(&["left room_destroyed", "destroyed"]);
}

#[test]
fn end_of_the_conference_stops_playback() {
    let mut world = World::joined();
    let op = world.plays(&["a"]);
    world.opened(op, 0);
    world.notifications.clear();
    let removed = ConferenceChange::Removed {
        channel: call(1).channel(),
        hung_up: false,
        last: false,
    };
    world.conference(1, 1, 0, removed);
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    world.expect_notifications(&["left removed", "play stopped"]);
    world.ended(op, 0);
    world.expect_notifications(&[]);
}

#[test]
fn core_change_stops_playback_once() {
    for next in [None, Some(CoreId::new(Uuid::from_u128(8)))] {
        let mut world = World::joined();
        world.plays(&["a"]);
        world.plays(&["b"]);
        world.notifications.clear();
        world.with(|node_state, cx| node_state.core_changed(next, cx));
        let stopped = world
            .notifications
            .iter()
            .filter(|t| t.starts_with("play stopped"));
        assert_eq!(stopped.count(), 2, "{:?}", world.notifications);
    }
}

#[test]
fn next_conference_instance_ends_the_playback_of_the_last() {
    let mut world = World::joined();
    world.parks(call(2), Some("demo"));
    let op = world.plays(&["a"]);
    world.opened(op, 0);
    world.notifications.clear();
    world.conference(1, 2, 0, ConferenceChange::Created);
    world.expect_notifications(&["play stopped"]);
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    world.expect_notifications(&["left removed (synthesized)"]);
}

#[test]
fn playback_events_below_the_fence_count() {
    let mut world = World::joined();
    let op = world.plays(&["a"]);
    let below = world.sequence + 1;
    world.sequence += 10;
    let fence = Snapshot {
        core: core(),
        fence: world.sequence,
        rooms: Vec::new(),
    };
    world.with(|node_state, cx| node_state.merge_snapshot(&fence, &BTreeSet::new(), cx));
    for change in [
        ConferenceChange::FileOpened {
            file: FileId {
                operation: op,
                index: 0,
            },
            failed: false,
            member: None,
        },
        ConferenceChange::FileEnded {
            file: FileId {
                operation: op,
                index: 0,
            },
            member: None,
        },
    ] {
        let event = SwitchEvent {
            core: core(),
            sequence: below,
            at: world.now,
            kind: SwitchEventKind::Conference {
                room: room(1),
                conference: conference_id(1),
                size: Some(1),
                change,
            },
        };
        world.with(|node_state, cx| node_state.apply_event(event, cx));
    }
    world.expect_notifications(&["play started 1", "play finished"]);
}

#[test]
fn file_missing_from_two_reports_has_ended() {
    let mut world = World::joined();
    let one = world.plays(&["a", "b"]);
    world.opened(one, 0);
    world.ordered();
    world.notifications.clear();
    assert_eq!(
        world.with(|node_state, _| node_state.playing_targets()),
        [Target::Room(room(1))]
    );
    let first = world.is_silent(&BTreeSet::new());
    assert_eq!(first.len(), 1);
    // The file began between the two reports.
    world.opened(one, 1);
    world.expect_notifications(&[]);
    let second = world.is_silent(&first);
    assert_eq!(second.len(), 1, "the other file is only a suspect");
    assert_eq!(world.states(), ["a failed", "b ready"]);
    assert!(world.is_silent(&second).is_empty());
    world.expect_notifications(&["play finished a:Unconfirmed b:Unconfirmed (synthesized)"]);
}

#[test]
fn event_of_an_unknown_operation_loads_its_room() {
    let mut world = World::joined();
    let one = world.plays(&["a"]);
    let loads_room = |world: &mut World, operation| {
        let event = SwitchEvent {
            core: core(),
            sequence: world.sequence + 1,
            at: world.now,
            kind: SwitchEventKind::Conference {
                room: room(1),
                conference: conference_id(1),
                size: Some(1),
                change: ConferenceChange::FileEnded {
                    file: FileId {
                        operation,
                        index: 0,
                    },
                    member: None,
                },
            },
        };
        let unknown = world.node_state.unknown_entity(&event);
        world.with(|node_state, cx| node_state.apply_event(event, cx));
        unknown == Some(EntityId::Room(room(1)))
    };
    assert!(loads_room(&mut world, OperationId::new(Uuid::from_u128(1))));
    assert!(!loads_room(&mut world, one));
    assert!(
        !loads_room(&mut world, one),
        "an operation that ended recently is known"
    );
}

#[test]
fn play_fails_when_the_queue_is_full() {
    let mut world = World::joined();
    let long = "x".repeat(2_000);
    let files: Vec<&str> = std::iter::repeat_n(long.as_str(), 120).collect();
    world.plays(&files);
    assert_eq!(world.submit_play(&files), Err(Refusal::TooMuchPlaying));
    world.stops().unwrap();
    for _ in 0..64 {
        world.plays(&["a"]);
    }
    assert_eq!(world.submit_play(&["a"]), Err(Refusal::TooMuchPlaying));
}

/// Stores the room and loads it again, as another process would.
pub(super) fn restart(world: &mut World, record: &mut Record) {
    let state = world.node_state.room_mut(room(1)).unwrap();
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
    world.node_state.put_room(room(1), Some(read));
}

pub(super) fn nothing_stored() -> Record {
    Record {
        version: Version(1),
        ..Record::default()
    }
}

/// Applies the written fields; `None` removes one.
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
fn playback_survives_a_restart_unchanged() {
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
    let notifications: Vec<String> = std::mem::take(&mut world.notifications);
    assert_eq!(
        notifications,
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

/// An input of the playback. Indexes are taken modulo the number of items.
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
    /// In any order of inputs, each operation starts once and ends once, no file is sent twice, at most one file is
    /// being opened, and none is sent while FreeSWITCH has two.
    #[test]
    fn every_operation_ends_once_and_no_file_is_sent_twice(steps in proptest::collection::vec(happens(), 1..60)) {
        let mut world = World::joined();
        let mut record = nothing_stored();
        let mut ops: Vec<OperationId> = Vec::new();
        let mut sent: BTreeSet<FileId> = BTreeSet::new();
        let mut notifications: Vec<String> = Vec::new();
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
                        let command = world.commands.pop().unwrap();
                        world.answers(&command, if paused { "Pause" } else { "Resume" });
                    }
                }
                Happens::Silent => suspects = world.is_silent(&suspects),
                Happens::Waits(seconds) => world.waits(seconds),
                Happens::Restart => restart(&mut world, &mut record),
            }
            for command in world.ordered() {
                if let SwitchCommand { action: SwitchAction::Play(PlayCommand::Start { file, .. }), .. } = command {
                    prop_assert!(sent.insert(file), "{file:?} was sent twice");
                }
            }
            let state = world.node_state.room(room(1)).unwrap();
            state.check_invariants();
            let playback = state.playback();
            if let Some(opening) = playback.opening() {
                prop_assert!(opening.deadline <= world.now + OPENING);
            }
            notifications.append(&mut world.notifications);
        }
        // At the end everything is stopped, so every operation that began has ended.
        world.stops().unwrap();
        notifications.append(&mut world.notifications);
        for line in &notifications {
            if line.starts_with("play started") { opened += 1; }
            if line.starts_with("play finished") || line.starts_with("play stopped") { ended += 1; }
        }
        prop_assert_eq!(opened, ops.len());
        prop_assert_eq!(ended, ops.len());
    }
}
