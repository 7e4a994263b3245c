//! How `show` lists channels.
//!
//! Owns the rows, as the table behind them has them, and their counts. Leaves out when a row is written.

use serde::Serialize;

use super::{
    Core,
    channel::{Channel, bit_rate},
    dates,
    json::{Style, print},
};

/// About how many bytes a row has.
const LENGTH: usize = 1280;

/// A channel, column by column of the table `channels` (switch_core_sqldb.c).
#[derive(Serialize)]
struct ChannelRow<'a> {
    uuid: &'a str,
    direction: &'a str,
    created: String,
    created_epoch: String,
    name: &'a str,
    state: &'a str,
    cid_name: &'a str,
    cid_num: &'a str,
    ip_addr: &'a str,
    dest: &'a str,
    application: &'a str,
    application_data: &'a str,
    dialplan: &'a str,
    context: &'a str,
    read_codec: &'a str,
    read_rate: &'a str,
    read_bit_rate: &'a str,
    write_codec: &'a str,
    write_rate: &'a str,
    write_bit_rate: &'a str,
    secure: &'a str,
    hostname: &'a str,
    presence_id: &'a str,
    presence_data: &'a str,
    accountcode: &'a str,
    callstate: &'a str,
    callee_name: &'a str,
    callee_num: &'a str,
    callee_direction: &'a str,
    call_uuid: &'a str,
    sent_callee_name: &'a str,
    sent_callee_num: &'a str,
    initial_cid_name: &'a str,
    initial_cid_num: &'a str,
    initial_ip_addr: &'a str,
    initial_dest: &'a str,
    initial_dialplan: &'a str,
    initial_context: &'a str,
}

impl Core {
    /// The row of a channel, printed.
    pub(super) fn row(&self, channel: &Channel) -> String {
        let (profile, first) = (&channel.profile, &channel.first_profile);
        let (application, application_data) = channel
            .stack
            .last()
            .map_or(("", ""), |running| (&running.app, &running.arg));
        let call_uuid = if channel.flipped { &channel.uuid } else { "" };
        let callee_direction = if channel.flipped { "RECV" } else { "" };
        let row = ChannelRow {
            uuid: &channel.uuid,
            direction: channel.direction(),
            created: dates(channel.created).0,
            created_epoch: (channel.created / 1_000_000).to_string(),
            name: &channel.name,
            state: channel.running.name(),
            cid_name: &profile.name,
            cid_num: &profile.number,
            ip_addr: &profile.network_addr,
            dest: &channel.routed_destination,
            application,
            application_data,
            dialplan: &profile.dialplan,
            context: &profile.context,
            read_codec: channel.read_codec,
            read_rate: "8000",
            read_bit_rate: bit_rate(channel.read_codec),
            write_codec: channel.write_codec,
            write_rate: "8000",
            write_bit_rate: bit_rate(channel.write_codec),
            secure: "",
            hostname: &self.config.switchname,
            presence_id: "",
            presence_data: "",
            accountcode: "",
            callstate: channel.call_state,
            callee_name: &profile.callee_name,
            callee_num: &profile.callee_number,
            callee_direction,
            call_uuid,
            sent_callee_name: "",
            sent_callee_num: "",
            initial_cid_name: &first.name,
            initial_cid_num: &first.number,
            initial_ip_addr: &first.network_addr,
            initial_dest: &first.destination,
            initial_dialplan: &first.dialplan,
            initial_context: &first.context,
        };
        print(&row, Style::Compact, LENGTH)
    }

    /// What `show` answers.
    pub(super) fn show(&self, arg: &str) -> String {
        let words: Vec<&str> = arg.split_whitespace().collect();
        match words.as_slice() {
            ["channels" | "calls", "as", "json"] => {
                let rows: usize = self.rows.values().map(|(_, row)| row.len() + 1).sum();
                let mut body = String::with_capacity(rows + 64);
                body.push_str(&format!("{{\"row_count\":{}", self.rows.len()));
                for (at, (_, row)) in self.rows.values().enumerate() {
                    body.push_str(if at == 0 { ",\"rows\":[" } else { "," });
                    body.push_str(row);
                }
                body.push_str(if self.rows.is_empty() { "}" } else { "]}" });
                body
            }
            ["channels" | "calls", "count"] => format!("\n{} total.\n", self.rows.len()),
            ["channels" | "calls", "count", "as", "json"] => format!("{{\"row_count\":{},\"rows\":[]}}", self.rows.len()),
            ["channels" | "calls"] => format!("\n{} total.\n", self.rows.len()),
            _ => "-USAGE: codec|endpoint|application|api|dialplan|file|timer|calls [count]|channels [count|like <match string>]|calls|detailed_calls|bridged_calls|detailed_bridged_calls|aliases|complete|chat|management|modules|nat_map|say|interfaces|interface_types|tasks|limits|status\n".into(),
        }
    }
}
