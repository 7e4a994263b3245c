//! The encodings of `src/store`, without those that would bring their traits along.

#[path = "../../../src/store/encoding/call.rs"]
pub mod call;
#[path = "../../../src/store/encoding/json_fields.rs"]
mod json_fields;
#[path = "../../../src/store/encoding/member.rs"]
mod member;
#[path = "../../../src/store/encoding/packed.rs"]
pub mod packed;
#[path = "../../../src/store/encoding/playback.rs"]
mod playback;
#[path = "../../../src/store/encoding/recording.rs"]
mod recording;
#[path = "../../../src/store/encoding/room.rs"]
pub mod room;
#[path = "../../../src/store/encoding/stored_fields.rs"]
mod stored_fields;
#[path = "../../../src/store/encoding/view.rs"]
pub mod view;
