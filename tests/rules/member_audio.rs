//! The rules of the sound that one member alone hears: files, and the hold with its music.

use roomkeeper_core::ids::OperationId;
use roomkeeper_core::intent::{OperationAccepted, Play, SetHold, Stop, StopAccepted};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::playback::OPENING;
use roomkeeper_core::room::state::Changes;
use roomkeeper_core::room::{FileId, MemberPlayEvent, PlayCommand, RoomState};
use roomkeeper_core::switch_event::SnapshotMember;

use super::playback::name;
use super::*;

/// Formats a domain event as these tests write it.
pub fn words(event: &MemberPlayEvent) -> String {
    match event {
        MemberPlayEvent::Started { media, .. } => format!("member play started {}", media.len()),
        MemberPlayEvent::Finished { errors, .. } => {
            format!("member play finished {}", errors.len())
        }
        MemberPlayEvent::Stopped { .. } => "member play stopped".to_owned(),
    }
}

/// Formats a change of a hold as these tests write it.
pub fn hold_words(on: bool, music: Option<&PlayUrl>) -> String {
    let state = if on { "held" } else { "unheld" };
    let music = music.map(|url| format!(" with {}", &url.as_str()[9..]));
    format!("{state}{}", music.unwrap_or_default())
}

fn url(file: &str) -> PlayUrl {
    PlayUrl::new(&format!("http://h/{file}")).unwrap()
}

/// FreeSWITCH's own flags of the member.
#[derive(Clone, Copy)]
struct Raw {
    speak: bool,
    hear: bool,
    hold: bool,
}

const FREE: Raw = Raw {
    speak: true,
    hear: true,
    hold: false,
};
const DEAF: Raw = Raw {
    hear: false,
    ..FREE
};
const HELD: Raw = Raw { hold: true, ..DEAF };
const HELD_AND_HEARING: Raw = Raw { hold: true, ..FREE };

impl World {
    /// A room with the call in it, unmuted.
    fn talking() -> Self {
        let mut world = Self::with_room_and_call();
        world.join(call(1), room(1)).unwrap();
        world.enters(call(1), 1, 1, true);
        world.notifications.clear();
        world.commands.clear();
        world
    }

    fn submit_to_member<A: Into<roomkeeper_core::intent::Action>>(
        &mut self,
        action: A,
    ) -> Result<Accepted, Refusal> {
        let (room, call) = (room(1), call(1));
        let intent = Intent::new(Target::Member { room, call }, demo(), action);
        self.submit(intent.with_uid(Some("h".parse().unwrap())))
    }

    fn holds(&mut self, music: Option<&str>) -> Result<Accepted, Refusal> {
        let music = music.map(url);
        self.submit_to_member(SetHold { on: true, music })
    }

    fn unholds(&mut self) -> Result<Accepted, Refusal> {
        let (on, music) = (false, None);
        self.submit_to_member(SetHold { on, music })
    }

    fn deafens(&mut self, deafens: bool) -> Result<Accepted, Refusal> {
        let (flag, on) = (MemberFlag::Hear, !deafens);
        self.submit_to_member(SetFlag { flag, on })
    }

    fn plays_to_member(&mut self, files: &[&str]) -> OperationId {
        let media = files.iter().map(|name| url(name).into()).collect();
        match self.submit_to_member(Play { media }) {
            Ok(Accepted::Play(OperationAccepted { operation })) => operation,
            other => panic!("{other:?}"),
        }
    }

    /// FreeSWITCH reports the flags of the member.
    fn reports(&mut self, raw: Raw) {
        let block = MemberBlock {
            hear: raw.hear,
            hold: raw.hold,
            ..block(call(1), raw.speak)
        };
        self.conference(1, 1, 1, ConferenceChange::Flags(block));
    }

    /// A snapshot shows the member.
    fn snapshot_shows(&mut self, raw: Raw) {
        self.sequence += 1;
        let member = SnapshotMember {
            channel: call(1).channel(),
            can_speak: raw.speak && !raw.hold,
            can_hear: raw.hear && !raw.hold,
            hold: raw.hold,
            talking: false,
            talked: None,
            has_floor: false,
            levels: ReportedLevels::default(),
            caller_id: "527121101".into(),
        };
        let snapshot = Snapshot {
            core: core(),
            fence: self.sequence,
            rooms: vec![SnapshotRoom {
                room: room(1),
                conference: conference_id(1),
                locked: false,
                meta: None,
                members: vec![member],
                recordings: Vec::new(),
            }],
        };
        self.with(|node_state, cx| node_state.merge_snapshot(&snapshot, &BTreeSet::new(), cx));
    }

    fn file_opened(&mut self, operation: OperationId, index: u16) {
        let change = ConferenceChange::FileOpened {
            file: FileId { operation, index },
            failed: false,
            member: Some(call(1).channel()),
        };
        self.conference(1, 1, 1, change);
    }

    fn file_ended(&mut self, operation: OperationId, index: u16) {
        let change = ConferenceChange::FileEnded {
            file: FileId { operation, index },
            member: Some(call(1).channel()),
        };
        self.conference(1, 1, 1, change);
    }

    /// Returns the commands for the member since the last call, as text, and the last file that was sent.
    #[track_caller]
    fn expect_commands(&mut self, expected: &[&str]) -> Option<FileId> {
        let mut sent = None;
        let commands = std::mem::take(&mut self.commands).into_iter();
        let of_member = commands.filter(|c| c.target.call() == Some(call(1)));
        let words = of_member.map(|c| match c.action {
            SwitchAction::Hold { on: true } => "hold".to_owned(),
            SwitchAction::Hold { on: false } => "unhold".to_owned(),
            SwitchAction::SetHearing { on: true } => "hear".to_owned(),
            SwitchAction::SetHearing { on: false } => "silence".to_owned(),
            SwitchAction::SetFlag { flag, on } => flag.names(on).command.to_owned(),
            SwitchAction::Play(PlayCommand::Stop) => "stop".to_owned(),
            SwitchAction::Play(PlayCommand::Start { file, media, .. }) => {
                sent = Some(file);
                format!("play {}", name(&media))
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(words.collect::<Vec<_>>(), expected);
        sent
    }

    /// The member as its app sees it: muted, deaf, held.
    fn marks(&self) -> (bool, bool, bool) {
        let flags = self.node_state.room(room(1)).unwrap().members()[&call(1)].flags;
        (!flags.speak, !flags.hear, flags.hold)
    }

    /// Stores the room and reads it again.
    fn stored_and_loaded(&mut self) {
        let state = self.node_state.room(room(1)).unwrap();
        let all = Changes {
            members: state.members().keys().copied().collect(),
            ..Changes::default()
        };
        let (head, parts) = encode_room(state, &all, true);
        let record = Record {
            version: Version(1),
            head: head.into_iter().collect(),
            parts: parts
                .into_iter()
                .filter_map(|(name, text)| Some((name, text?)))
                .collect(),
        };
        let read = decode_room(room(1), &record).unwrap();
        let audio = |state: &RoomState| {
            let audio = state.members()[&call(1)].audio.clone().unwrap();
            let playback = audio.playback;
            (
                audio.hold,
                playback.operations().clone(),
                playback.opening(),
                playback.music().cloned(),
            )
        };
        assert_eq!(audio(&read), audio(state));
        assert_eq!(read.next_deadline(), state.next_deadline());
        self.node_state.put_room(room(1), Some(read));
    }

    /// The member is held, with this music.
    fn held(music: Option<&str>) -> Self {
        let mut world = Self::talking();
        world.holds(music).unwrap();
        world.reports(DEAF);
        world.reports(HELD);
        world.notifications.clear();
        world
    }
}

#[test]
fn held_member_is_deafened_first_and_its_app_sees_no_deaf_member() {
    let mut world = World::talking();
    world.holds(None).unwrap();
    world.expect_commands(&["silence", "hold"]);
    world.expect_notifications(&[]);
    world.reports(DEAF);
    world.expect_notifications(&[]);
    world.reports(HELD);
    world.expect_notifications(&["held [h]"]);
    assert_eq!(world.marks(), (false, false, true));
    assert_eq!(world.holds(None), Err(Refusal::HoldAlreadySet { on: true }));
    world.unholds().unwrap();
    world.expect_commands(&["unhold", "hear"]);
    world.reports(DEAF);
    world.expect_notifications(&["unheld [h]"]);
    world.reports(FREE);
    world.expect_notifications(&[]);
    world.expect_commands(&[]);
    assert_eq!(world.marks(), (false, false, false));
    assert_eq!(world.unholds(), Err(Refusal::HoldAlreadySet { on: false }));
    // The hold is over: its app sees FreeSWITCH's flag again.
    world.reports(DEAF);
    world.expect_notifications(&["deafened"]);
}

#[test]
fn member_that_its_app_deafened_stays_deaf_after_hold() {
    let mut world = World::talking();
    world.deafens(true).unwrap();
    world.reports(DEAF);
    world.expect_notifications(&["deafened [h]"]);
    world.commands.clear();
    world.holds(None).unwrap();
    world.reports(HELD);
    world.unholds().unwrap();
    world.expect_commands(&["silence", "hold", "unhold"]);
    world.reports(DEAF);
    world.expect_notifications(&["held [h]", "unheld [h]"]);
    assert_eq!(world.marks(), (false, true, false));
    world.expect_commands(&[]);
}

#[test]
fn deaf_and_undeaf_of_held_member_are_confirmed_at_once_and_apply_after_hold() {
    let mut world = World::held(None);
    world.commands.clear();
    world.deafens(true).unwrap();
    world.expect_notifications(&["deafened [h]"]);
    assert_eq!(
        world.deafens(true),
        Err(Refusal::FlagAlreadySet {
            flag: MemberFlag::Hear,
            on: false
        })
    );
    world.deafens(false).unwrap();
    world.expect_notifications(&["undeafened [h]"]);
    world.deafens(true).unwrap();
    world.notifications.clear();
    world.expect_commands(&[]);
    world.unholds().unwrap();
    world.expect_commands(&["unhold"]);
    world.reports(DEAF);
    world.expect_notifications(&["unheld [h]"]);
    assert_eq!(world.marks(), (false, true, false));
    // Nothing of the hold is left.
    world.deafens(false).unwrap();
    world.expect_commands(&["undeaf"]);
}

#[test]
fn mute_of_held_member_works_at_once() {
    let mut world = World::held(None);
    world.commands.clear();
    world.mute(true).unwrap();
    world.expect_commands(&["mute"]);
    world.reports(Raw {
        speak: false,
        ..HELD
    });
    world.expect_notifications(&["muted [c-2]"]);
    assert_eq!(world.marks(), (true, false, true));
}

#[test]
fn pending_deaf_request_is_settled_when_hold_begins() {
    let mut world = World::talking();
    world.deafens(true).unwrap();
    world.holds(None).unwrap();
    world.expect_notifications(&["deafened [h]"]);
    world.reports(DEAF);
    world.reports(HELD);
    world.expect_notifications(&["held [h]"]);
    assert_eq!(world.marks(), (false, true, true));
}

#[test]
fn held_member_that_hears_room_again_is_deafened_again() {
    let mut world = World::held(None);
    world.commands.clear();
    world.reports(HELD_AND_HEARING);
    world.expect_commands(&["silence"]);
    // One command at a time: another report of the same changes nothing.
    world.reports(HELD_AND_HEARING);
    world.expect_commands(&[]);
    // It was not carried out in time, so it is sent again.
    world.waits(11);
    world.expect_commands(&["silence"]);
    world.reports(HELD);
    world.waits(11);
    world.expect_commands(&[]);
    world.expect_notifications(&[]);
    assert_eq!(world.marks(), (false, false, true));
}

#[test]
fn snapshot_of_held_member_deafens_it_again_because_it_hides_the_flag() {
    let mut world = World::held(None);
    world.commands.clear();
    world.snapshot_shows(HELD_AND_HEARING);
    world.expect_commands(&["silence"]);
    world.reports(HELD);
    world.expect_commands(&[]);
    world.expect_notifications(&[]);
}

#[test]
fn member_held_by_somebody_else_is_held_and_deafened() {
    let mut world = World::talking();
    world.reports(HELD_AND_HEARING);
    world.expect_notifications(&["held"]);
    world.expect_commands(&["silence"]);
    world.reports(HELD);
    // Somebody else unholds it, too.
    world.reports(DEAF);
    world.expect_notifications(&["unheld"]);
    world.expect_commands(&["hear"]);
    world.reports(FREE);
    world.expect_commands(&[]);
    assert_eq!(world.marks(), (false, false, false));
}

#[test]
fn lost_events_of_hold_are_replaced_by_snapshot() {
    let mut world = World::talking();
    world.holds(Some("m")).unwrap();
    world.commands.clear();
    world.snapshot_shows(HELD);
    world.expect_notifications(&["held with m [h] (synthesized)"]);
    // The command that deafens it may be on its way; the music begins.
    let music = world.expect_commands(&["play m"]).unwrap();
    world.file_opened(music.operation, music.index);
    world.unholds().unwrap();
    world.expect_commands(&["unhold", "hear"]);
    world.snapshot_shows(FREE);
    world.expect_notifications(&["unheld [h] (synthesized)"]);
    assert_eq!(world.marks(), (false, false, false));
    world.waits(60);
    world.expect_commands(&[]);
}

#[test]
fn hold_that_is_refused_or_not_confirmed_lets_member_hear_again() {
    let mut world = World::talking();
    world.holds(None).unwrap();
    let refused = world.commands.pop().unwrap();
    world.reports(DEAF);
    world.commands.clear();
    world.refuses(&refused, &CommandError::Refused("no".to_owned()));
    world.expect_commands(&["hear"]);
    world.reports(FREE);
    assert_eq!(world.marks(), (false, false, false));
    world.holds(None).unwrap();
    world.commands.clear();
    world.waits(11);
    world.expect_commands(&["hear"]);
    // Nobody knows whether it worked: a snapshot decides.
    world.waits(11);
    world.expect_commands(&[]);
    world.snapshot_shows(DEAF);
    world.expect_commands(&["hear"]);
    world.reports(FREE);
    world.expect_notifications(&[]);
    world.reports(DEAF);
    world.expect_notifications(&["deafened"]);
}

#[test]
fn unhold_that_is_not_confirmed_keeps_member_held_and_silent() {
    let mut world = World::held(None);
    world.unholds().unwrap();
    // Only the second command was carried out.
    world.reports(HELD_AND_HEARING);
    world.commands.clear();
    world.waits(11);
    world.expect_commands(&["silence"]);
    assert_eq!(world.marks(), (false, false, true));
}

#[test]
fn unhold_cancels_hold_that_is_not_confirmed() {
    let mut world = World::talking();
    world.holds(None).unwrap();
    world.unholds().unwrap();
    world.expect_commands(&["silence", "hold", "unhold", "hear"]);
    for raw in [HELD, DEAF, FREE] {
        world.reports(raw);
    }
    world.expect_notifications(&["held", "unheld [h]"]);
    assert_eq!(world.marks(), (false, false, false));
    world.expect_commands(&[]);
}

#[test]
fn music_repeats_with_next_repetition_ready() {
    let mut world = World::talking();
    world.holds(Some("m")).unwrap();
    world.commands.clear();
    world.reports(HELD);
    world.expect_notifications(&["held with m [h]"]);
    let first = world.expect_commands(&["play m"]).unwrap();
    world.file_opened(first.operation, 0);
    world.expect_commands(&[]);
    world.waits(2);
    world.expect_commands(&["play m"]);
    world.file_opened(first.operation, 1);
    world.waits(60);
    world.expect_commands(&[]);
    for index in 0..3 {
        world.file_ended(first.operation, index);
        let next = world.expect_commands(&["play m"]).unwrap();
        assert_eq!(next.index, index + 2);
        world.file_opened(first.operation, index + 2);
        world.waits(2);
    }
    world.expect_notifications(&[]);
}

#[test]
fn lost_end_of_music_is_found_by_next_end_or_by_silence() {
    let mut world = World::held(Some("m"));
    let music = world
        .expect_commands(&["silence", "hold", "play m"])
        .unwrap();
    world.file_opened(music.operation, 0);
    world.waits(2);
    world.file_opened(music.operation, 1);
    world.commands.clear();
    world.waits(2);
    // The end of the first repetition was lost: the second one follows it.
    world.file_ended(music.operation, 1);
    world.expect_commands(&["play m"]);
    world.file_opened(music.operation, 2);
    world.waits(2);
    world.expect_commands(&["play m"]);
    world.file_opened(music.operation, 3);
    let (room, call) = (room(1), call(1));
    let member = Target::Member { room, call };
    assert_eq!(
        world.with(|node_state, _| node_state.playing_targets()),
        [member]
    );
    world.waits(2);
    let silent = |world: &mut World, confirmed: &BTreeSet<_>| {
        world.with(|node_state, cx| node_state.apply_silence_report(&[member], confirmed, cx))
    };
    let suspects = silent(&mut world, &BTreeSet::new());
    assert_eq!(suspects.len(), 2);
    world.expect_commands(&[]);
    silent(&mut world, &suspects);
    world.expect_commands(&["play m"]);
    world.expect_notifications(&[]);
}

#[test]
fn music_that_cannot_be_played_leaves_silence_and_is_tried_again() {
    let mut world = World::talking();
    world.holds(Some("m")).unwrap();
    world.reports(HELD);
    let command = world.commands.pop().unwrap();
    world.commands.clear();
    world.refuses(&command, &CommandError::Refused("no file".to_owned()));
    world.waits(29);
    world.expect_commands(&[]);
    world.waits(2);
    world.expect_commands(&["play m"]);
    // FreeSWITCH does not answer: its time to open the file passes, and then the pause.
    world.waits(OPENING.as_secs());
    world.expect_commands(&[]);
    world.waits(31);
    world.expect_commands(&["play m"]);
    world.expect_notifications(&["held with m [h]"]);
}

#[test]
fn music_for_member_that_freeswitch_does_not_know_waits_for_a_snapshot() {
    let mut world = World::talking();
    world.holds(Some("m")).unwrap();
    world.reports(HELD);
    let command = world.commands.pop().unwrap();
    world.commands.clear();
    world.refuses(&command, &CommandError::NoSuchChannel);
    assert!(world.wants_resync);
    world.waits(600);
    world.expect_commands(&[]);
    world.snapshot_shows(HELD);
    world.expect_commands(&["silence", "play m"]);
}

#[test]
fn files_interrupt_music_which_begins_anew_after_them() {
    let mut world = World::held(Some("m"));
    let music = world
        .expect_commands(&["silence", "hold", "play m"])
        .unwrap();
    world.file_opened(music.operation, 0);
    let op = world.plays_to_member(&["a", "b"]);
    world.expect_notifications(&["member play started 2 [h]"]);
    world.expect_commands(&["stop", "play a"]);
    world.file_ended(music.operation, 0);
    world.file_opened(op, 0);
    world.expect_commands(&["play b"]);
    world.file_opened(op, 1);
    world.waits(3);
    world.file_ended(op, 0);
    world.expect_commands(&[]);
    world.file_ended(op, 1);
    world.expect_notifications(&["member play finished 0"]);
    world.expect_commands(&["play m"]);
}

#[test]
fn music_that_opens_after_files_were_requested_is_stopped() {
    let mut world = World::held(Some("m"));
    let music = world
        .expect_commands(&["silence", "hold", "play m"])
        .unwrap();
    world.plays_to_member(&["a"]);
    world.expect_commands(&[]);
    world.file_opened(music.operation, 0);
    world.expect_commands(&["stop", "play a"]);
}

#[test]
fn stop_ends_files_and_leaves_music() {
    let mut world = World::held(Some("m"));
    let music = world
        .expect_commands(&["silence", "hold", "play m"])
        .unwrap();
    world.file_opened(music.operation, 0);
    let nothing = StopAccepted { operation: None };
    assert_eq!(world.submit_to_member(Stop), Ok(Accepted::Stop(nothing)));
    world.expect_commands(&[]);
    let op = world.plays_to_member(&["a"]);
    world.file_opened(op, 0);
    world.commands.clear();
    world.waits(3);
    let operation = Some(op);
    let stopped = StopAccepted { operation };
    assert_eq!(world.submit_to_member(Stop), Ok(Accepted::Stop(stopped)));
    world.expect_commands(&["stop", "play m"]);
    world.expect_notifications(&["member play started 1 [h]", "member play stopped [h]"]);
    world.file_ended(op, 0);
    world.expect_notifications(&[]);
}

#[test]
fn unhold_stops_files_and_music_also_what_opens_later() {
    let mut world = World::held(Some("m"));
    let op = world.plays_to_member(&["a"]);
    let music = world
        .expect_commands(&["silence", "hold", "play m"])
        .unwrap();
    world.unholds().unwrap();
    world.reports(DEAF);
    world.expect_notifications(&[
        "member play started 1 [h]",
        "unheld [h]",
        "member play stopped",
    ]);
    world.commands.clear();
    world.file_opened(music.operation, 0);
    world.expect_commands(&["stop"]);
    world.file_ended(op, 0);
    world.expect_commands(&[]);
    world.expect_notifications(&[]);
}

#[test]
fn files_play_to_member_that_is_not_held() {
    let mut world = World::talking();
    let op = world.plays_to_member(&["a", "b"]);
    world.expect_notifications(&["member play started 2 [h]"]);
    world.expect_commands(&["play a"]);
    world.file_opened(op, 0);
    let second = world.commands[0].clone();
    world.refuses(&second, &CommandError::Refused("no file".to_owned()));
    world.expect_notifications(&[]);
    world.file_ended(op, 0);
    world.expect_notifications(&["member play finished 1"]);
    // A late report of a finished operation changes nothing.
    world.commands.clear();
    world.file_opened(op, 0);
    world.file_ended(op, 0);
    world.expect_notifications(&[]);
}

#[test]
fn operations_of_member_stop_when_it_leaves() {
    let mut world = World::talking();
    let op = world.plays_to_member(&["a"]);
    world.notifications.clear();
    world.file_opened(op, 0);
    world.leaves(call(1), 1, 1, 0);
    world.expect_notifications(&["member play stopped", "left removed"]);
}

#[test]
fn queue_of_member_is_bounded() {
    let mut world = World::talking();
    for _ in 0..16 {
        world.plays_to_member(&["a"]);
    }
    let media = vec![url("a").into()];
    let refused = world.submit_to_member(Play { media });
    assert_eq!(refused, Err(Refusal::TooMuchPlaying));
}

#[test]
fn leave_that_is_refused_continues_files() {
    let mut world = World::talking();
    let op = world.plays_to_member(&["a", "b"]);
    world.commands.clear();
    world.leave().unwrap();
    let park = world.commands.pop().unwrap();
    world.file_opened(op, 0);
    world.expect_commands(&[]);
    world.refuses(&park, &CommandError::Refused("no".to_owned()));
    world.expect_commands(&["play b"]);
}

#[test]
fn hold_and_files_are_stored() {
    let mut world = World::talking();
    world.holds(Some("m")).unwrap();
    world.stored_and_loaded();
    world.reports(HELD);
    world.expect_notifications(&["held with m [h]"]);
    let music = world.commands.pop().unwrap();
    world.stored_and_loaded();
    world.answers(&music, "(play) Playing file");
    world.commands.clear();
    world.plays_to_member(&["a"]);
    world.stored_and_loaded();
    world.expect_commands(&["stop", "play a"]);
    world.notifications.clear();
    world.unholds().unwrap();
    world.stored_and_loaded();
    world.reports(FREE);
    world.expect_notifications(&["unheld [h]", "member play stopped"]);
    assert_eq!(world.marks(), (false, false, false));
}

#[test]
fn member_that_a_snapshot_reveals_held_is_held_and_deafened() {
    let mut world = World::with_room_and_call();
    world.snapshot_shows(HELD);
    world.expect_notifications(&[
        "joined 527121101 muted=false (synthesized)",
        "held (synthesized)",
    ]);
    world.expect_commands(&["silence"]);
    assert_eq!(world.marks(), (false, false, true));
}
