//! The stored form of a room's playback, the fields `play` and `urls` of its head, and of the sound of one member, a field of
//! the member.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use roomkeeper_core::ids::{CommandUid, NodeId, OperationId, RoomId};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::Media;
use roomkeeper_core::room::playback::{File, FileState, Music, Opening, Operation, Playback};
use roomkeeper_core::room::{FileId, Hold, HoldRequest, MemberAudio, PlayFailure};
use roomkeeper_core::time::Timestamp;

use super::json_fields::{corrupt, field, json};
use super::packed::{DecodeError, Packed, Packer};
use super::stored_fields::Field as StoredField;
use crate::store::{EntityId, RawRecord, StoreError};

const PLAY: &str = "play";
const URLS: &str = "urls";

#[derive(Serialize, Deserialize)]
struct StoredPlay {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ops: Vec<(OperationId, Vec<StoredFile>)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opening: Option<(OperationId, u16, i8, Timestamp)>,
    vol: i8,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    paused: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredFile {
    Waiting,
    Opening,
    Ready(i8),
    Done,
    Refused,
    NotSent,
    NotOpened,
    Unconfirmed,
}

/// The files and texts of each operation.
type StoredUrls = Vec<(OperationId, Vec<Media>)>;

/// Adds the fields of a playback to a head; with `urls`, also the URLs.
pub(super) fn encode_playback(playback: &Playback, urls: bool, head: &mut Vec<(String, String)>) {
    head.push((PLAY.to_owned(), json(&store(playback))));
    if urls {
        head.push((URLS.to_owned(), json(&store_urls(playback))));
    }
}

fn store(playback: &Playback) -> StoredPlay {
    let file = |file: &File| match file.state {
        FileState::Waiting => StoredFile::Waiting,
        FileState::Opening => StoredFile::Opening,
        FileState::Ready { volume } => StoredFile::Ready(volume),
        FileState::Done => StoredFile::Done,
        FileState::Failed(PlayFailure::Refused) => StoredFile::Refused,
        FileState::Failed(PlayFailure::NotSent) => StoredFile::NotSent,
        FileState::Failed(PlayFailure::NotOpened) => StoredFile::NotOpened,
        FileState::Failed(PlayFailure::Unconfirmed) => StoredFile::Unconfirmed,
    };
    StoredPlay {
        ops: playback
            .operations()
            .iter()
            .map(|op| (op.id, op.files.iter().map(file).collect()))
            .collect(),
        opening: playback
            .opening()
            .map(|o| (o.file.operation, o.file.index, o.volume, o.deadline)),
        vol: playback.volume(),
        paused: playback.paused(),
    }
}

fn store_urls(playback: &Playback) -> StoredUrls {
    let media = |op: &Operation| op.files.iter().map(|f| f.media.clone()).collect();
    let operations = playback.operations().iter();
    operations.map(|op| (op.id, media(op))).collect()
}

/// Reads a playback; a head without the field has none.
pub(super) fn decode_playback(id: RoomId, stored: &RawRecord<'_>) -> Result<Playback, StoreError> {
    let head = &stored.head;
    if head.get(PLAY).is_none() {
        return Ok(Playback::default());
    }
    let stored: StoredPlay = field(EntityId::Room(id), head, PLAY)?;
    let urls = if stored.ops.is_empty() {
        Vec::new()
    } else {
        field(EntityId::Room(id), head, URLS)?
    };
    restore(stored, urls).map_err(|why| corrupt(EntityId::Room(id), &format!("field {URLS}"), why))
}

fn restore(stored: StoredPlay, urls: StoredUrls) -> Result<Playback, &'static str> {
    let mut urls: std::collections::HashMap<_, _> = urls.into_iter().collect();
    let mut operations = Vec::new();
    for (operation, files) in stored.ops {
        let urls = urls
            .remove(&operation)
            .filter(|urls| urls.len() == files.len())
            .ok_or("not those of its files")?;
        let files = urls
            .into_iter()
            .zip(files)
            .map(|(media, state)| File {
                media,
                state: match state {
                    StoredFile::Waiting => FileState::Waiting,
                    StoredFile::Opening => FileState::Opening,
                    StoredFile::Ready(volume) => FileState::Ready { volume },
                    StoredFile::Done => FileState::Done,
                    StoredFile::Refused => FileState::Failed(PlayFailure::Refused),
                    StoredFile::NotSent => FileState::Failed(PlayFailure::NotSent),
                    StoredFile::NotOpened => FileState::Failed(PlayFailure::NotOpened),
                    StoredFile::Unconfirmed => FileState::Failed(PlayFailure::Unconfirmed),
                },
            })
            .collect();
        operations.push(Operation {
            id: operation,
            files,
        });
    }
    let opening = stored
        .opening
        .map(|(operation, index, volume, deadline)| Opening {
            file: FileId { operation, index },
            volume,
            deadline,
        });
    Ok(Playback::restore(
        operations,
        opening,
        stored.vol,
        stored.paused,
    ))
}

/// The sound of one member, and its hold.
#[derive(Serialize, Deserialize)]
struct StoredAudio {
    play: StoredPlay,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    urls: StoredUrls,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    music: Option<StoredMusic>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold: Option<StoredHold>,
}

#[derive(Serialize, Deserialize)]
struct StoredMusic {
    op: OperationId,
    url: PlayUrl,
    next: u16,
    ready: VecDeque<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct StoredHold {
    wanted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    music: Option<(OperationId, PlayUrl)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<(Timestamp, Option<CommandUid>)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adjusting: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hears: Option<bool>,
}

/// One JSON text; a member that hears nothing alone and is not held has none.
impl StoredField for MemberAudio {
    fn write(&self, name: char, _: NodeId, packer: &mut Packer) {
        if self.is_idle() {
            return;
        }
        let music = self.playback.music().map(|music| StoredMusic {
            op: music.operation,
            url: music.url.clone(),
            next: music.next,
            ready: music.ready.clone(),
            not_before: music.not_before,
        });
        let hold = self.hold.clone().map(|hold| StoredHold {
            wanted: hold.wanted,
            music: hold.music,
            request: hold.request.map(|r| (r.deadline, r.command_uid)),
            adjusting: hold.adjusting,
            hears: hold.hears,
        });
        let stored = StoredAudio {
            play: store(&self.playback),
            urls: store_urls(&self.playback),
            music,
            hold,
        };
        packer.text(name, &json(&stored));
    }

    fn read(name: char, _: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
        let stored: StoredAudio = serde_json::from_str(&packed.text(name)?)
            .map_err(|_| DecodeError::from("the sound of a member is not the expected JSON"))?;
        let music = stored.music.map(|music| Music {
            operation: music.op,
            url: music.url,
            next: music.next,
            ready: music.ready,
            not_before: music.not_before,
        });
        let hold = stored.hold.map(|hold| Hold {
            wanted: hold.wanted,
            music: hold.music,
            request: hold.request.map(|(deadline, command_uid)| HoldRequest {
                command_uid,
                deadline,
            }),
            adjusting: hold.adjusting,
            hears: hold.hears,
        });
        let playback = restore(stored.play, stored.urls)?.with_music(music);
        Ok(Self { playback, hold })
    }
}
