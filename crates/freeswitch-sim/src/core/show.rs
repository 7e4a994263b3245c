//! The lists of channels in `show`.
//!
//! Owns the values of a row and the forms of the list. Leaves out the time when a row is written.

use serde::Serialize;

use super::{
    Core,
    channel::{Channel, bit_rate},
    channel_row::{COLUMNS, ChannelRow},
    dates::dates,
    json::compact,
};

#[derive(Serialize)]
struct Rows<'a> {
    row_count: usize,
    rows: Vec<&'a ChannelRow>,
}

impl Core {
    /// Returns the row of a channel.
    pub(super) fn row(&self, channel: &Channel) -> ChannelRow {
        let (profile, first) = (&channel.profile, &channel.first_profile);
        let (application, application_data) = channel
            .stack
            .last()
            .map_or(("", ""), |running| (&running.app, &running.arg));
        let call_uuid = if channel.flipped { &channel.uuid } else { "" };
        let callee_direction = if channel.flipped { "RECV" } else { "" };
        ChannelRow::new([
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

    /// Returns the answer to `show`.
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
        let lengths = rows.clone().map(ChannelRow::line_length);
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
