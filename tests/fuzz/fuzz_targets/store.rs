//! The parts of `src/store` that the targets need: its records, and the words of `mod.rs` they use. The stores would
//! bring their clients along.

#[path = "encoding.rs"]
pub mod encoding;
#[path = "../../../src/store/contract/fields.rs"]
mod fields;

pub use encoding::{call, room, view};
pub use fields::{Fields, RawRecord, FieldsRef};

use crate::ids::{MemberId, RoomId, CallId};

#[derive(Clone, Copy, Debug)]
pub enum EntityId {
    Room(RoomId),
    Call(CallId),
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

impl<'a> From<&'a Record> for RawRecord<'a> {
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
