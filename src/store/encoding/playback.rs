//! The stored form of a room's playback: the fields `play` and `urls` of its head.

use serde::{Deserialize, Serialize};

use roomkeeper_core::ids::{OperationId, RoomId};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::playback::{File, FileState, Opening, Operation, Playback};
use roomkeeper_core::room::{FileId, PlayFailure};
use roomkeeper_core::time::Timestamp;

use super::json_fields::{corrupt, field, json};
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

/// Adds the fields of a playback to a head; with `urls`, also the URLs.
pub(super) fn encode_playback(playback: &Playback, urls: bool, head: &mut Vec<(String, String)>) {
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
    let stored = StoredPlay {
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
    };
    head.push((PLAY.to_owned(), json(&stored)));
    if urls {
        let urls: Vec<(OperationId, Vec<&PlayUrl>)> = playback
            .operations()
            .iter()
            .map(|op| (op.id, op.files.iter().map(|f| &f.url).collect()))
            .collect();
        head.push((URLS.to_owned(), json(&urls)));
    }
}

/// Reads a playback; a head without the field has none.
pub(super) fn decode_playback(id: RoomId, stored: &RawRecord<'_>) -> Result<Playback, StoreError> {
    let head = &stored.head;
    if head.get(PLAY).is_none() {
        return Ok(Playback::default());
    }
    let stored: StoredPlay = field(EntityId::Room(id), head, PLAY)?;
    let mut operations = Vec::new();
    if !stored.ops.is_empty() {
        let urls: Vec<(OperationId, Vec<PlayUrl>)> = field(EntityId::Room(id), head, URLS)?;
        let mut urls: std::collections::HashMap<_, _> = urls.into_iter().collect();
        for (operation, files) in stored.ops {
            let urls = urls
                .remove(&operation)
                .filter(|urls| urls.len() == files.len())
                .ok_or_else(|| {
                    corrupt(
                        EntityId::Room(id),
                        &format!("field {URLS}"),
                        "not those of its files",
                    )
                })?;
            let files = urls
                .into_iter()
                .zip(files)
                .map(|(url, state)| File {
                    url,
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
