//! Spoken texts in the playback of a room and of a member.

use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::OperationId;
use roomkeeper_core::intent::{Accepted, Intent, OperationAccepted, Play, Refusal};
use roomkeeper_core::room::PlayCommand;
use roomkeeper_core::room::{Media, Spoken};
use roomkeeper_core::speech::{Speech, VoiceName};
use roomkeeper_core::switch_command::SwitchAction;

use super::playback::{nothing_stored, restart};
use super::{World, demo, room};

pub(super) fn text(text: &str, voice: Option<&str>) -> Media {
    Media::Speech(Spoken {
        text: Speech::new(text).unwrap(),
        voice: voice.map(|name| VoiceName::new(name).unwrap()),
    })
}

impl World {
    fn submit_say(&mut self, said: &str) -> Result<Accepted, Refusal> {
        let media = vec![text(said, Some("slt"))];
        self.submit(Intent::new(Target::Room(room(1)), demo(), Play { media }))
    }

    fn says(&mut self, said: &str) -> OperationId {
        match self.submit_say(said) {
            Ok(Accepted::Play(OperationAccepted { operation })) => operation,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn text_waits_for_the_files_before_it() {
    let mut world = World::joined();
    let file = world.plays(&["a"]);
    let said = world.says("Hello");
    let last = world.plays(&["b"]);
    world.expect_notifications(&["play started 1", "play started 1", "play started 1"]);
    world.expect_play_commands(&["a at 0"]);
    world.opened(file, 0);
    let sent = world.expect_play_commands(&["Hello at 0"]);
    let SwitchAction::Play(PlayCommand::Start { media, .. }) = &sent[0].action else {
        panic!("{sent:?}");
    };
    assert_eq!(*media, text("Hello", Some("slt")));
    world.opened(said, 0);
    world.ended(file, 0);
    world.expect_play_commands(&["b at 0"]);
    world.ended(said, 0);
    world.opened(last, 0);
    world.expect_notifications(&["play finished", "play finished"]);
}

#[test]
fn text_that_cannot_be_spoken_is_an_error_of_its_operation() {
    let mut world = World::joined();
    let said = world.says("Hello");
    world.not_opened(said, 0);
    world.expect_notifications(&["play started 1", "play finished Hello:Refused"]);
}

#[test]
fn text_survives_a_restart() {
    let mut world = World::joined();
    let mut record = nothing_stored();
    let said = world.says("It's 5 o'clock");
    restart(&mut world, &mut record);
    world.plays(&["a"]);
    restart(&mut world, &mut record);
    world.opened(said, 0);
    restart(&mut world, &mut record);
    world.ended(said, 0);
    world.expect_notifications(&["play started 1", "play started 1", "play finished"]);
}

#[test]
fn texts_count_towards_the_size_of_the_queue() {
    let mut world = World::joined();
    let long = "x".repeat(4_096);
    for _ in 0..63 {
        world.says(&long);
    }
    world.says("short");
    world.stops().unwrap();
    for _ in 0..2 {
        let file = "y".repeat(1_018);
        let files: Vec<&str> = std::iter::repeat_n(file.as_str(), 126).collect();
        world.plays(&files);
    }
    assert_eq!(world.submit_say(&long), Err(Refusal::TooMuchPlaying));
    world.says("short");
}
