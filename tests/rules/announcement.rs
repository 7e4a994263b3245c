//! The announcement of a recording: it is played to its end before FreeSWITCH records.

use proptest::prelude::*;
use roomkeeper_core::ids::RecordingId;
use roomkeeper_core::intent::{RecordingAccepted, StartRecording, StopRecording, UpdateRoom};
use roomkeeper_core::labels::LabelsUpdate;
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::{
    Announcement, FileId, PlayCommand, RecordAction, RoomSettingsUpdate, Spoken, Update,
};
use roomkeeper_core::speech::Speech;

use super::playback::{name, nothing_stored, restart};
use super::*;

fn file() -> Announcement {
    let url = PlayUrl::new("http://h/recorded").unwrap();
    Announcement::File { url }
}

fn spoken() -> Announcement {
    Announcement::Speech(Spoken {
        text: Speech::new("Recorded").unwrap(),
        voice: None,
    })
}

impl World {
    fn announces(&mut self, announcement: Option<Announcement>) -> Result<RecordingId, Refusal> {
        let start = StartRecording { announcement };
        let intent = Intent::new(Target::Room(room(1)), demo(), start);
        match self.submit(intent.with_uid(Some("r-1".parse().unwrap())))? {
            Accepted::StartRecording(RecordingAccepted { recording }) => Ok(recording),
            other => panic!("{other:?}"),
        }
    }

    fn stops_recording(&mut self) -> Result<Accepted, Refusal> {
        self.submit(Intent::new(Target::Room(room(1)), demo(), StopRecording))
    }

    /// The commands since the last call, and the file that was sent last.
    fn sent_sounds(&mut self) -> (Vec<String>, Option<FileId>) {
        let mut last = None;
        let commands = std::mem::take(&mut self.commands).into_iter();
        let words = commands.map(|command| match command.action {
            SwitchAction::Play(PlayCommand::Start { file, media, .. }) => {
                last = Some(file);
                format!("play {}", name(&media))
            }
            SwitchAction::Play(PlayCommand::Stop) => "stop".to_owned(),
            SwitchAction::Record { action, .. } => format!("record {action:?}").to_lowercase(),
            other => format!("{other:?}"),
        });
        (words.collect(), last)
    }

    fn expect_sent(&mut self, expected: &[&str]) -> Option<FileId> {
        let (words, last) = self.sent_sounds();
        assert_eq!(words, expected);
        last
    }

    fn recording_status(&self) -> Option<&'static str> {
        let room = self.node_state.room(room(1)).unwrap();
        room.recording().map(|recording| recording.status_name())
    }
}

/// A room whose announcement was sent to FreeSWITCH.
fn announcing() -> (World, RecordingId, FileId) {
    let mut world = World::joined();
    world.commands.clear();
    let id = world.announces(Some(file())).unwrap();
    let file = world.expect_sent(&["play recorded"]).unwrap();
    world.expect_notifications(&["play started 1"]);
    (world, id, file)
}

#[test]
fn recording_begins_when_its_announcement_has_ended() {
    for announcement in [file(), spoken()] {
        let mut world = World::joined();
        world.commands.clear();
        let id = world.announces(Some(announcement)).unwrap();
        let (_, file) = world.sent_sounds();
        let FileId { operation, index } = file.unwrap();
        assert_eq!(world.recording_status(), Some("announcing"));
        world.opened(operation, index);
        world.expect_sent(&[]);
        world.ended(operation, index);
        world.expect_sent(&["record start"]);
        assert_eq!(world.recording_status(), Some("starting"));
        world.ended(operation, index);
        world.expect_sent(&[]);
        let started = ConferenceChange::RecordingStarted {
            recording: id,
            failed: false,
        };
        world.conference(1, 1, 1, started);
        world.expect_notifications(&["play started 1", "play finished", "recording started [r-1]"]);
    }
}

#[test]
fn recording_fails_when_its_announcement_cannot_be_played() {
    let (mut world, _, file) = announcing();
    world.not_opened(file.operation, file.index);
    world.expect_notifications(&[
        "play finished recorded:Refused",
        "recording failed announcement [r-1]",
    ]);
    assert_eq!(world.recording_status(), None);
    world.expect_sent(&[]);
}

#[test]
fn recording_fails_when_the_end_of_its_announcement_is_unknown() {
    let (mut world, _, file) = announcing();
    world.opened(file.operation, file.index);
    let targets = [Target::Room(room(1))];
    let suspects = world.with(|b, cx| b.apply_silence_report(&targets, &BTreeSet::new(), cx));
    world.expect_notifications(&[]);
    world.with(|b, cx| b.apply_silence_report(&targets, &suspects, cx));
    world.expect_notifications(&[
        "play finished recorded:Unconfirmed (synthesized)",
        "recording failed announcement [r-1]",
    ]);
    world.expect_sent(&[]);
}

#[test]
fn announcement_that_does_not_open_in_time_fails_the_recording() {
    let (mut world, _, _) = announcing();
    world.waits(31);
    world.expect_notifications(&[
        "play finished recorded:NotOpened",
        "recording failed announcement [r-1]",
    ]);
    world.expect_sent(&[]);
}

#[test]
fn stop_of_the_playback_fails_the_recording() {
    let (mut world, _, file) = announcing();
    world.opened(file.operation, file.index);
    world.stops().unwrap();
    world.expect_notifications(&["play stopped", "recording failed announcement [r-1]"]);
    world.expect_sent(&["stop"]);
    world.ended(file.operation, file.index);
    world.expect_sent(&[]);
}

#[test]
fn stop_of_the_recording_ends_it_before_it_begins() {
    let (mut world, _, file) = announcing();
    world.opened(file.operation, file.index);
    world.stops_recording().unwrap();
    world.expect_notifications(&["recording failed stopped"]);
    assert_eq!(world.recording_status(), None);
    // The announcement plays on, and starts nothing.
    world.ended(file.operation, file.index);
    world.expect_notifications(&["play finished"]);
    world.expect_sent(&[]);
}

#[test]
fn announcement_plays_next_and_leaves_the_queue_with_its_recording() {
    let mut world = World::joined();
    world.commands.clear();
    let begun = world.plays(&["a", "b", "c"]);
    world.plays(&["d"]);
    world.announces(Some(file())).unwrap();
    world.notifications.clear();
    world.expect_sent(&["play a"]);
    for index in 0..3 {
        world.opened(begun, index);
        world.ended(begun, index);
    }
    world.expect_sent(&["play b", "play c", "play recorded"]);
    world.stops_recording().unwrap();
    world.announces(Some(spoken())).unwrap();
    world.notifications.clear();
    world.stops_recording().unwrap();
    // It had not been sent.
    world.expect_notifications(&["recording failed stopped", "play stopped"]);
    assert_eq!(world.stops_recording(), Err(Refusal::NotRecording));
}

#[test]
fn setting_announces_each_recording_and_a_request_replaces_it() {
    let mut world = World::joined();
    let settings = RoomSettingsUpdate {
        announce_recording: Some(Some(spoken())),
        ..RoomSettingsUpdate::default()
    };
    let update = UpdateRoom {
        update: Box::new(Update {
            settings,
            ..Update::default()
        }),
        labels: LabelsUpdate::default(),
    };
    world
        .submit(Intent::new(Target::Room(room(1)), demo(), update))
        .unwrap();
    world.commands.clear();
    for (request, expected) in [(None, "play Recorded"), (Some(file()), "play recorded")] {
        world.announces(request).unwrap();
        let file = world.expect_sent(&[expected]).unwrap();
        world.not_opened(file.operation, file.index);
        assert_eq!(world.recording_status(), None);
        world.commands.clear();
    }
}

#[test]
fn announcement_ends_with_its_conference() {
    let (mut world, _, file) = announcing();
    world.opened(file.operation, file.index);
    world.delete().unwrap();
    world.expect_notifications(&["play stopped", "recording failed announcement [r-1]"]);
    let (mut world, _, _) = announcing();
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    let failed = "recording failed announcement [r-1]".to_owned();
    assert!(
        world.notifications.contains(&failed),
        "{:?}",
        world.notifications
    );
    assert_eq!(world.recording_status(), None);
}

#[test]
fn second_recording_and_pause_are_refused_while_the_first_is_announced() {
    let (mut world, _, _) = announcing();
    assert_eq!(world.announces(None), Err(Refusal::AlreadyRecording));
    let pause = roomkeeper_core::intent::PauseRecording { pause: true };
    let paused = world.submit(Intent::new(Target::Room(room(1)), demo(), pause));
    assert_eq!(paused, Err(Refusal::RecordingStarting));
}

#[test]
fn announcement_needs_room_in_the_queue() {
    let mut world = World::joined();
    for _ in 0..64 {
        world.plays(&["a"]);
    }
    assert_eq!(world.announces(Some(file())), Err(Refusal::TooMuchPlaying));
    world.announces(None).unwrap();
}

#[test]
fn announced_recording_survives_a_restart() {
    let mut world = World::joined();
    let mut record = nothing_stored();
    world.announces(Some(spoken())).unwrap();
    let (_, file) = world.sent_sounds();
    let FileId { operation, index } = file.unwrap();
    restart(&mut world, &mut record);
    assert_eq!(world.recording_status(), Some("announcing"));
    world.opened(operation, index);
    restart(&mut world, &mut record);
    world.ended(operation, index);
    world.expect_sent(&["record start"]);
    restart(&mut world, &mut record);
    assert_eq!(world.recording_status(), Some("starting"));
}

#[derive(Clone, Debug)]
enum Happens {
    Play,
    Announce(bool),
    StopRecording,
    StopPlayback,
    Opened,
    NotOpened,
    Ended(usize),
    Silence,
    Wait,
    Restart,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        2 => Just(Happens::Play),
        4 => any::<bool>().prop_map(Happens::Announce),
        1 => Just(Happens::StopRecording),
        1 => Just(Happens::StopPlayback),
        6 => Just(Happens::Opened),
        1 => Just(Happens::NotOpened),
        6 => (0..4_usize).prop_map(Happens::Ended),
        1 => Just(Happens::Silence),
        1 => Just(Happens::Wait),
        2 => Just(Happens::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    /// In any order of inputs, FreeSWITCH records only after it has reported the end of the announcement, and each
    /// recording begins or fails once.
    #[test]
    fn no_recording_begins_without_its_announcement(steps in proptest::collection::vec(happens(), 1..60)) {
        let mut world = World::joined();
        world.commands.clear();
        let mut record = nothing_stored();
        let (mut sent, mut ended): (Vec<FileId>, BTreeSet<FileId>) = Default::default();
        let (mut requested, mut begun, mut failed) = (0, 0, 0);
        for step in steps {
            let announcement = world.node_state.room(room(1)).unwrap();
            let announcement = announcement.recording().and_then(|r| r.announcement());
            let last = sent.last().copied();
            match step {
                Happens::Play => drop(world.submit_play(&["a", "b"])),
                Happens::Announce(speaks) => {
                    let announcement = if speaks { spoken() } else { file() };
                    requested += usize::from(world.announces(Some(announcement)).is_ok());
                }
                Happens::StopRecording => drop(world.stops_recording()),
                Happens::StopPlayback => drop(world.stops()),
                Happens::Opened => {
                    if let Some(file) = last {
                        world.opened(file.operation, file.index);
                    }
                }
                Happens::NotOpened => {
                    if let Some(file) = last {
                        world.not_opened(file.operation, file.index);
                    }
                }
                Happens::Ended(back) => {
                    if let Some(file) = sent.iter().rev().nth(back).copied() {
                        ended.insert(file);
                        world.ended(file.operation, file.index);
                    }
                }
                Happens::Silence => {
                    let targets = [Target::Room(room(1))];
                    let none = BTreeSet::new();
                    let suspects = world.with(|b, cx| b.apply_silence_report(&targets, &none, cx));
                    world.with(|b, cx| b.apply_silence_report(&targets, &suspects, cx));
                }
                Happens::Wait => world.waits(31),
                Happens::Restart => restart(&mut world, &mut record),
            }
            world.node_state.room(room(1)).unwrap().check_invariants();
            for command in std::mem::take(&mut world.commands) {
                match command.action {
                    SwitchAction::Play(PlayCommand::Start { file, .. }) => sent.push(file),
                    SwitchAction::Record { action: RecordAction::Start, .. } => {
                        begun += 1;
                        let operation = announcement.expect("it was announced");
                        let file = FileId { operation, index: 0 };
                        // Files play in order, so the end of a later one tells the same.
                        let since = sent.iter().skip_while(|sent| **sent != file);
                        let has_ended = since.into_iter().any(|sent| ended.contains(sent));
                        prop_assert!(has_ended, "{file:?} has not ended");
                        // It would start; the next one can be announced.
                        let id = world.node_state.room(room(1)).unwrap().recording().unwrap().id;
                        world.conference(1, 1, 1, ConferenceChange::RecordingStarted { recording: id, failed: false });
                        world.conference(1, 1, 1, ConferenceChange::RecordingStopped { recording: id, length: Some(Duration::ZERO) });
                    }
                    _ => {}
                }
            }
            let events = std::mem::take(&mut world.notifications);
            failed += events.iter().filter(|words| words.starts_with("recording failed")).count();
        }
        let waits = usize::from(world.recording_status().is_some());
        prop_assert_eq!(requested, begun + failed + waits);
    }
}
