//! How `show` lists channels.
//!
//! Owns the rows, as the table behind them has them, and their counts. Leaves out when a row is written.

use serde::{Serialize, Serializer};

use super::{
    Core,
    channel::{Channel, bit_rate},
    dates,
    json::compact,
};

/// The columns of the table `channels` (switch_core_sqldb.c).
const COLUMNS: [&str; 38] = [
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

/// What stands between the values of a row that is kept.
const BETWEEN: &str = "\x1f";

/// A channel's row: all values in one text, for a full node has as many rows as calls.
pub(super) struct ChannelRow {
    text: Box<str>,
    /// Where each value ends.
    ends: [u32; COLUMNS.len()],
}

impl ChannelRow {
    fn of(values: [&str; COLUMNS.len()]) -> Self {
        let mut ends = [0; COLUMNS.len()];
        let mut text = String::new();
        let mut first = true;
        for (value, end) in values.into_iter().zip(&mut ends) {
            if !std::mem::replace(&mut first, false) {
                text.push_str(BETWEEN);
            }
            text.push_str(value);
            *end = u32::try_from(text.len()).unwrap_or(u32::MAX);
        }
        Self {
            text: text.into(),
            ends,
        }
    }

    fn values(&self) -> impl Iterator<Item = &str> {
        let after = self.ends.map(|end| end as usize + BETWEEN.len());
        let begins = std::iter::once(0).chain(after);
        begins
            .zip(self.ends)
            .map(|(begin, end)| &self.text[begin..end as usize])
    }

    /// A line of a table with this between the values: nothing is escaped (`show_callback`).
    fn write_delimited(&self, delimiter: &str, body: &mut String) {
        if delimiter == BETWEEN {
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

#[derive(Serialize)]
struct Rows<'a> {
    row_count: usize,
    rows: Vec<&'a ChannelRow>,
}

impl Core {
    /// The row of a channel.
    pub(super) fn row(&self, channel: &Channel) -> ChannelRow {
        let (profile, first) = (&channel.profile, &channel.first_profile);
        let (application, application_data) = channel
            .stack
            .last()
            .map_or(("", ""), |running| (&running.app, &running.arg));
        let call_uuid = if channel.flipped { &channel.uuid } else { "" };
        let callee_direction = if channel.flipped { "RECV" } else { "" };
        ChannelRow::of([
            &channel.uuid,
            channel.direction(),
            &dates(channel.created).0,
            &(channel.created / 1_000_000).to_string(),
            &channel.name,
            channel.running.name(),
            &profile.name,
            &profile.number,
            &profile.network_addr,
            &channel.routed_destination,
            application,
            application_data,
            &profile.dialplan,
            &profile.context,
            channel.read_codec,
            "8000",
            bit_rate(channel.read_codec),
            channel.write_codec,
            "8000",
            bit_rate(channel.write_codec),
            "",
            &self.config.switchname,
            "",
            "",
            "",
            channel.call_state,
            &profile.callee_name,
            &profile.callee_number,
            callee_direction,
            call_uuid,
            "",
            "",
            &first.name,
            &first.number,
            &first.network_addr,
            &first.destination,
            &first.dialplan,
            &first.context,
        ])
    }

    /// What `show` answers.
    pub(super) fn show(&self, arg: &str) -> String {
        let words: Vec<&str> = arg.split_whitespace().collect();
        match words.as_slice() {
            ["channels" | "calls", "as", "json"] if self.rows.is_empty() => "{\"row_count\": 0}\n".into(),
            ["channels" | "calls", "as", "json"] => {
                let rows: Vec<&ChannelRow> = self.rows.values().map(|(_, row)| row).collect();
                let listed = Rows {
                    row_count: rows.len(),
                    rows,
                };
                compact(&listed)
            }
            ["channels" | "calls", "as", "delim", delimiter] => self.table(delimiter),
            ["channels" | "calls"] => self.table(","),
            ["channels" | "calls", "count"] => format!("\n{} total.\n", self.rows.len()),
            ["channels" | "calls", "count", "as", "json"] => format!("{{\"row_count\":{},\"rows\":[]}}", self.rows.len()),
            _ => "-USAGE: codec|endpoint|application|api|dialplan|file|timer|calls [count]|channels [count|like <match string>]|calls|detailed_calls|bridged_calls|detailed_bridged_calls|aliases|complete|chat|management|modules|nat_map|say|interfaces|interface_types|tasks|limits|status\n".into(),
        }
    }

    fn table(&self, delimiter: &str) -> String {
        let rows = self.rows.values().map(|(_, row)| row);
        let lengths = rows.clone().map(|row| row.text.len() + COLUMNS.len());
        let mut body = String::with_capacity(lengths.sum::<usize>() + 1024);
        if !self.rows.is_empty() {
            body.push_str(&COLUMNS.join(delimiter));
            body.push('\n');
        }
        for row in rows {
            row.write_delimited(delimiter, &mut body);
        }
        body.push_str(&format!("\n{} total.\n", self.rows.len()));
        body
    }
}
