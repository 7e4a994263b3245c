//! A row of the table behind `show channels`.

use serde::{Serialize, Serializer};

/// The columns of the table `channels` (switch_core_sqldb.c).
pub(super) const COLUMNS: [&str; 38] = [
    "uuid",
    "direction",
    "created",
    "created_epoch",
    "name",
    "state",
    "cid_name",
    "cid_num",
    "ip_addr",
    "dest",
    "application",
    "application_data",
    "dialplan",
    "context",
    "read_codec",
    "read_rate",
    "read_bit_rate",
    "write_codec",
    "write_rate",
    "write_bit_rate",
    "secure",
    "hostname",
    "presence_id",
    "presence_data",
    "accountcode",
    "callstate",
    "callee_name",
    "callee_num",
    "callee_direction",
    "call_uuid",
    "sent_callee_name",
    "sent_callee_num",
    "initial_cid_name",
    "initial_cid_num",
    "initial_ip_addr",
    "initial_dest",
    "initial_dialplan",
    "initial_context",
];

/// The separator of the values in a stored row.
const SEPARATOR: &str = "\x1f";

/// A channel's row. A full node has as many rows as calls, so a row keeps all values in one text.
pub(super) struct ChannelRow {
    text: Box<str>,
    /// The end of each value.
    ends: [u32; COLUMNS.len()],
}

impl ChannelRow {
    pub(super) fn new(values: [&str; COLUMNS.len()]) -> Self {
        let mut ends = [0; COLUMNS.len()];
        let mut text = String::new();
        let mut first = true;
        for (value, end) in values.into_iter().zip(&mut ends) {
            if !std::mem::replace(&mut first, false) {
                text.push_str(SEPARATOR);
            }
            text.push_str(value);
            *end = u32::try_from(text.len()).unwrap_or(u32::MAX);
        }
        Self {
            text: text.into(),
            ends,
        }
    }

    /// Returns the length of a line with a delimiter of one byte.
    pub(super) fn line_length(&self) -> usize {
        self.text.len() + COLUMNS.len()
    }

    fn values(&self) -> impl Iterator<Item = &str> {
        let after = self.ends.map(|end| end as usize + SEPARATOR.len());
        let starts_at = std::iter::once(0).chain(after);
        starts_at
            .zip(self.ends)
            .map(|(start, end)| &self.text[start..end as usize])
    }

    /// Appends a line with this delimiter. Escapes nothing, like `show_callback`.
    pub(super) fn write_delimited(&self, delimiter: &str, body: &mut String) {
        if delimiter == SEPARATOR {
            body.push_str(&self.text);
        } else {
            for (at, value) in self.values().enumerate() {
                if at > 0 {
                    body.push_str(delimiter);
                }
                body.push_str(value);
            }
        }
        body.push('\n');
    }
}

impl Serialize for ChannelRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(COLUMNS.into_iter().zip(self.values()))
    }
}
