//! Resume positions of event streams and their text form. Pure.
//!
//! A stream merges nodes, so its cursor has one position per node. The id of an event is the cursor behind it, signed
//! like the cursors of lists and bound to the app and the stream's room. Each position carries a digest of its
//! message's id, because offsets alone do not identify a store: after a wipe or a failover to older data, they are
//! assigned again.

use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::store::live::OutboxSlice;
use roomkeeper_core::ids::NodeId;

/// A position in one node's outbox: after a message, or before the first one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct NodePosition {
    pub(super) offset: u64,
    /// A digest of that message's id; 0 without a message.
    tag: u32,
}

/// The result of checking a position against an outbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PositionStatus {
    /// The position exists, and so do all messages after it.
    Valid,
    /// The number of messages after it that are no longer stored.
    Trimmed(u64),
    /// The position does not belong to this outbox: the store was wiped, replaced or rolled back.
    Unknown,
}

impl NodePosition {
    /// The position after this message.
    pub(super) fn after(offset: u64, message: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(message).into();
        let [a, b, c, d, ..] = digest;
        Self {
            offset,
            tag: u32::from_be_bytes([a, b, c, d]),
        }
    }

    /// The position after the newest message. The slice must have been read from its end.
    pub(super) fn newest(slice: &OutboxSlice) -> Self {
        match &slice.before {
            Some(id) => Self::after(slice.newest, id),
            None => Self {
                offset: slice.newest,
                tag: 0,
            },
        }
    }

    /// The position before the oldest stored message.
    pub(super) const fn before_oldest(slice: &OutboxSlice) -> Self {
        Self {
            offset: slice.oldest.saturating_sub(1),
            tag: 0,
        }
    }

    /// Checks this position against a slice that was read from it.
    pub(super) fn check(self, slice: &OutboxSlice) -> PositionStatus {
        if self.offset > slice.newest {
            return PositionStatus::Unknown;
        }
        if let Some(missing @ 1..) = slice.oldest.checked_sub(self.offset + 1) {
            return PositionStatus::Trimmed(missing);
        }
        // Without a preceding message there is nothing to compare: it was trimmed, or this is the start.
        let Some(id) = slice.before.as_deref() else {
            return PositionStatus::Valid;
        };
        if Self::after(self.offset, id) == self {
            PositionStatus::Valid
        } else {
            PositionStatus::Unknown
        }
    }
}

/// The resume position of a stream.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct StreamCursor {
    /// Missing nodes start at the oldest stored message.
    pub(super) positions: BTreeMap<NodeId, NodePosition>,
    /// The stream's room has ended and the stream has reported it: no events follow.
    pub(super) is_over: bool,
}

impl StreamCursor {
    /// The text form before signing: `<node>:<offset>:<tag>`, numbers in hexadecimal, separated by commas, with a final
    /// dot if the room has ended.
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(self.positions.len() * 24 + 1);
        for (node, position) in &self.positions {
            if !text.is_empty() {
                text.push(',');
            }
            // Writing to a string does not fail.
            let _ = write!(text, "{node}:{:x}:{:x}", position.offset, position.tag);
        }
        if self.is_over {
            text.push('.');
        }
        text
    }

    /// Parses the text form of [`StreamCursor::text`].
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (positions, is_over) = match text.strip_suffix('.') {
            Some(positions) => (positions, true),
            None => (text, false),
        };
        let positions = positions.split(',').filter(|part| !part.is_empty());
        let positions = positions.map(|part| {
            let mut fields = part.split(':');
            let node = fields.next()?.parse().ok()?;
            let offset = u64::from_str_radix(fields.next()?, 16).ok()?;
            let tag = u32::from_str_radix(fields.next()?, 16).ok()?;
            fields
                .next()
                .is_none()
                .then_some((node, NodePosition { offset, tag }))
        });
        Some(Self {
            positions: positions.collect::<Option<_>>()?,
            is_over,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(oldest: u64, newest: u64, before: Option<&str>) -> OutboxSlice {
        OutboxSlice {
            oldest,
            newest,
            before: before.map(str::to_owned),
            messages: Vec::new(),
        }
    }

    #[test]
    fn cursor_parses_its_own_text() {
        let mut cursor = StreamCursor::default();
        for is_over in [false, true] {
            cursor.is_over = is_over;
            assert_eq!(StreamCursor::parse(&cursor.text()), Some(cursor.clone()));
        }
        cursor.positions.insert(
            "acW68".parse().unwrap(),
            NodePosition::after(u64::MAX, "msg_1"),
        );
        cursor
            .positions
            .insert("bbbbb".parse().unwrap(), NodePosition::default());
        for is_over in [false, true] {
            cursor.is_over = is_over;
            assert_eq!(StreamCursor::parse(&cursor.text()), Some(cursor.clone()));
        }
        for bad in [
            "x",
            "acW68",
            "acW68:1",
            "acW68:1:2:3",
            "acW68:x:1",
            "acW6:1:1",
        ] {
            assert_eq!(StreamCursor::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn valid_position_is_recognized() {
        let position = NodePosition::after(7, "msg_7");
        let here = [(1, 7), (7, 7), (1, 9), (7, 9)];
        for (oldest, newest) in here {
            let found = position.check(&slice(oldest, newest, Some("msg_7")));
            assert_eq!(found, PositionStatus::Valid, "{oldest} to {newest}");
        }
        // The stored messages follow it directly.
        assert_eq!(position.check(&slice(8, 9, None)), PositionStatus::Valid);
        assert_eq!(
            NodePosition::default().check(&slice(1, 0, None)),
            PositionStatus::Valid
        );
        assert_eq!(
            NodePosition::default().check(&slice(1, 3, None)),
            PositionStatus::Valid
        );
    }

    #[test]
    fn trimmed_messages_are_counted() {
        let position = NodePosition::after(7, "msg_7");
        assert_eq!(
            position.check(&slice(9, 20, None)),
            PositionStatus::Trimmed(1)
        );
        assert_eq!(
            position.check(&slice(18, 20, None)),
            PositionStatus::Trimmed(10)
        );
        assert_eq!(
            NodePosition::default().check(&slice(3, 9, None)),
            PositionStatus::Trimmed(2)
        );
    }

    #[test]
    fn position_of_other_store_is_unknown() {
        let position = NodePosition::after(7, "msg_7");
        assert_eq!(
            position.check(&slice(1, 0, None)),
            PositionStatus::Unknown,
            "wiped"
        );
        assert_eq!(
            position.check(&slice(1, 6, None)),
            PositionStatus::Unknown,
            "rolled back"
        );
        let other = slice(1, 9, Some("msg_other"));
        assert_eq!(position.check(&other), PositionStatus::Unknown, "rewritten");
    }
}
