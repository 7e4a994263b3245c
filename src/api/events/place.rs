//! How far a stream is, and how that is written into its ids: pure.
//!
//! A stream merges nodes, so its place is one position a node. The id of an event is the place behind it, signed like
//! the cursors of lists and bound to the app and to what the stream is of. Beside a position stands what is remembered
//! of the message there, because positions alone do not tell one store from another: after it was wiped, or was set back
//! by a failover, they are given once more.

use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::ids::NodeId;
use crate::store::live::OutboxSlice;

/// A place in one node's outbox: behind a message, or before the first of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Mark {
    pub(super) position: u64,
    /// Of the id of that message; 0 for none.
    tag: u32,
}

/// What became of a place since it was remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// It is there, and what follows it.
    Here,
    /// So many messages behind it are not kept any more.
    Trimmed(u64),
    /// It is not a place of this outbox: the store is not the one that it was.
    Lost,
}

impl Mark {
    /// Behind this message.
    pub(super) fn behind(position: u64, message: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(message).into();
        let [a, b, c, d, ..] = digest;
        Self {
            position,
            tag: u32::from_be_bytes([a, b, c, d]),
        }
    }

    /// Behind the newest message of an outbox that was asked for what is behind that.
    pub(super) fn newest(slice: &OutboxSlice) -> Self {
        match &slice.before {
            Some(id) => Self::behind(slice.newest, id),
            None => Self {
                position: slice.newest,
                tag: 0,
            },
        }
    }

    /// Before the oldest message that is kept.
    pub(super) const fn oldest(slice: &OutboxSlice) -> Self {
        Self {
            position: slice.oldest.saturating_sub(1),
            tag: 0,
        }
    }

    /// Whether an outbox that was asked for what is behind this place has it.
    pub(super) fn find(self, slice: &OutboxSlice) -> Found {
        if self.position > slice.newest {
            return Found::Lost;
        }
        if let Some(missing @ 1..) = slice.oldest.checked_sub(self.position + 1) {
            return Found::Trimmed(missing);
        }
        // The last that was trimmed cannot be looked at any more, nor what there was before the first.
        let Some(id) = slice.before.as_deref() else {
            return Found::Here;
        };
        if Self::behind(self.position, id) == self {
            Found::Here
        } else {
            Found::Lost
        }
    }
}

/// How far a stream is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Place {
    /// Nodes that are not here begin at the oldest message that is kept.
    pub(super) marks: BTreeMap<NodeId, Mark>,
    /// The room that the stream was of has ended, and that was told: there is nothing behind this.
    pub(super) over: bool,
}

impl Place {
    /// As it is written before it is signed: `<node>:<position>:<tag>`, both hexadecimal, with commas between; and a dot
    /// when it is over.
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(self.marks.len() * 24 + 1);
        for (node, mark) in &self.marks {
            if !text.is_empty() {
                text.push(',');
            }
            // A string takes all that is written to it.
            let _ = write!(text, "{node}:{:x}:{:x}", mark.position, mark.tag);
        }
        if self.over {
            text.push('.');
        }
        text
    }

    /// What [`Place::text`] wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (marks, over) = match text.strip_suffix('.') {
            Some(marks) => (marks, true),
            None => (text, false),
        };
        let marks = marks.split(',').filter(|part| !part.is_empty());
        let marks = marks.map(|part| {
            let mut fields = part.split(':');
            let node = fields.next()?.parse().ok()?;
            let position = u64::from_str_radix(fields.next()?, 16).ok()?;
            let tag = u32::from_str_radix(fields.next()?, 16).ok()?;
            fields
                .next()
                .is_none()
                .then_some((node, Mark { position, tag }))
        });
        Some(Self {
            marks: marks.collect::<Option<_>>()?,
            over,
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
    fn a_place_is_read_as_it_was_written() {
        let mut place = Place::default();
        for over in [false, true] {
            place.over = over;
            assert_eq!(Place::parse(&place.text()), Some(place.clone()));
        }
        place
            .marks
            .insert("acW68".parse().unwrap(), Mark::behind(u64::MAX, "msg_1"));
        place
            .marks
            .insert("bbbbb".parse().unwrap(), Mark::default());
        for over in [false, true] {
            place.over = over;
            assert_eq!(Place::parse(&place.text()), Some(place.clone()));
        }
        for bad in [
            "x",
            "acW68",
            "acW68:1",
            "acW68:1:2:3",
            "acW68:x:1",
            "acW6:1:1",
        ] {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_place_is_found_where_it_was() {
        let mark = Mark::behind(7, "msg_7");
        let here = [(1, 7), (7, 7), (1, 9), (7, 9)];
        for (oldest, newest) in here {
            let found = mark.find(&slice(oldest, newest, Some("msg_7")));
            assert_eq!(found, Found::Here, "{oldest} to {newest}");
        }
        // All that is kept comes after it, and nothing is missing between.
        assert_eq!(mark.find(&slice(8, 9, None)), Found::Here);
        assert_eq!(Mark::default().find(&slice(1, 0, None)), Found::Here);
        assert_eq!(Mark::default().find(&slice(1, 3, None)), Found::Here);
    }

    #[test]
    fn what_is_not_kept_any_more_is_counted() {
        let mark = Mark::behind(7, "msg_7");
        assert_eq!(mark.find(&slice(9, 20, None)), Found::Trimmed(1));
        assert_eq!(mark.find(&slice(18, 20, None)), Found::Trimmed(10));
        assert_eq!(Mark::default().find(&slice(3, 9, None)), Found::Trimmed(2));
    }

    #[test]
    fn another_store_is_noticed_wherever_it_is() {
        let mark = Mark::behind(7, "msg_7");
        assert_eq!(mark.find(&slice(1, 0, None)), Found::Lost, "wiped");
        assert_eq!(mark.find(&slice(1, 6, None)), Found::Lost, "set back");
        let other = slice(1, 9, Some("msg_other"));
        assert_eq!(mark.find(&other), Found::Lost, "and written again");
    }
}
