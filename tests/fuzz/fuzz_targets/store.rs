//! What of `src/store` the targets need: its records, and the words of `mod.rs` that those use. The stores themselves would
//! bring their clients along.

#[path = "../../../src/store/call.rs"]
pub mod call;
#[path = "../../../src/store/fields.rs"]
mod fields;
#[path = "../../../src/store/member.rs"]
mod member;
#[path = "../../../src/store/packed.rs"]
pub mod packed;
#[path = "../../../src/store/record.rs"]
pub mod record;
#[path = "../../../src/store/view.rs"]
pub mod view;

pub use fields::{Fields, Hashes, Named};

use crate::ids::{MemberId, RoomId, SessionId};

#[derive(Clone, Copy, Debug)]
pub enum EntityId {
    Room(RoomId),
    Session(SessionId),
}

#[derive(Clone, Copy, Debug)]
pub enum ViewId {
    Call(MemberId),
}

/// The names in errors. The real keys would bring deliveries along.
pub mod keys {
    use super::{EntityId, ViewId};

    pub fn entity(id: EntityId) -> String {
        format!("{id:?}")
    }

    pub fn view(id: ViewId) -> String {
        format!("{id:?}")
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    pub head: Fields,
    pub parts: Fields,
}

impl<'a> From<&'a Record> for Hashes<'a> {
    fn from(record: &'a Record) -> Self {
        Self {
            head: (&record.head).into(),
            parts: (&record.parts).into(),
        }
    }
}

#[derive(Debug)]
pub enum StoreError {
    Corrupt { key: String, why: String },
}
