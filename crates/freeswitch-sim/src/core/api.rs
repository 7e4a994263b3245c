//! API commands about channels and the node.
//!
//! Owns their answers, verbatim where a recording has them. Leaves out `conference` and the creation of calls.

use super::{
    Core, Origin, Step,
    call::TransferError,
    channel::{Channel, cause},
    command::split_word,
    dates::uptime,
    task::Task,
};

const NO_CHANNEL: &str = "-ERR No such channel!\n";
const DUMP: Origin = ("mod_commands.c", "uuid_dump_function", 6495);

impl Core {
    /// Runs an API command. Returns `None` if `pending` is answered later.
    pub(super) fn api(&mut self, name: &str, arg: &str, pending: u64) -> Option<String> {
        let (first, rest) = split_word(arg);
        let body = match name {
            "conference" => return self.conference(arg, pending),
            "originate" => return self.originate(arg, pending),
            "uuid_transfer" => self.uuid_transfer(first, rest),
            "uuid_park" => transfer_reply(self.transfer(first, "park", "inline", None)),
            "uuid_kill" => {
                if first.is_empty() {
                    "-USAGE: <uuid> [cause]\n".into()
                } else if self.is_up(first) {
                    self.hang_up(first, cause(rest).unwrap_or("NORMAL_CLEARING"));
                    "+OK\n".into()
                } else {
                    NO_CHANNEL.into()
                }
            }
            "uuid_answer" => {
                if first.is_empty() {
                    "-USAGE: <uuid>\n".into()
                } else if self.is_up(first) {
                    self.answer(first);
                    "+OK\n".into()
                } else {
                    "-ERROR\n".into()
                }
            }
            "uuid_recv_dtmf" => self.receive_digits(first, rest),
            "uuid_send_dtmf" => self.send_digits(first, rest),
            "uuid_exists" => self.is_known(first).to_string(),
            "uuid_dump" => self.uuid_dump(first, rest),
            "uuid_getvar" => self.uuid_getvar(first, rest),
            "uuid_setvar" => self.uuid_setvar(first, rest),
            "uuid_setvar_multi" => self.uuid_setvar_multi(first, rest),
            "uuid_record" => self.uuid_record(first, rest),
            "uuid_buglist" => self.uuid_buglist(first),
            "uuid_set_media_stats" => self.set_media_stats(first),
            "uuid_break" => match self.is_up(first) {
                true => {
                    self.break_playback(first);
                    "+OK\n".into()
                }
                false => NO_CHANNEL.into(),
            },
            "show" => self.show(arg),
            "sofia" if arg == "recover" => self.recover(),
            "hupall" => {
                let why = cause(first).unwrap_or("MANAGER_REQUEST");
                self.hang_up_all(why);
                format!("+OK hangup all channels with cause {why}\n")
            }
            "msleep" => {
                let millis: u64 = first.parse().unwrap_or(0);
                let at = self.now.saturating_add(millis.saturating_mul(1_000));
                self.schedule(at, Task::Done(pending, "+OK\n"));
                return None;
            }
            _ => self.node_api(name, first, arg),
        };
        Some(body)
    }

    /// Runs API commands about the node itself.
    fn node_api(&mut self, name: &str, first: &str, arg: &str) -> String {
        match name {
            "status" => format!(
                "UP {}\nFreeSWITCH (Version {}) is ready\n{} session(s) since startup\n{} session(s) - peak {}, last 5min {} \n0 session(s) per Sec out of max 1000, peak 1, last 5min 1 \n{} session(s) max\nmin idle cpu 0.00/97.33\nCurrent Stack Size/Max 240K/8192K\n",
                uptime(self.now.saturating_sub(self.started)),
                self.config.version,
                self.sessions,
                self.channels.len(),
                self.channels.len(),
                self.channels.len(),
                self.config.max_sessions
            ),
            "uptime" => {
                let up = self.now.saturating_sub(self.started);
                let divisor = match first {
                    "ms" => 1_000,
                    "us" => 1,
                    _ => 1_000_000,
                };
                format!("{}\n", up / divisor)
            }
            "echo" => arg.to_owned(),
            "version" => match first {
                "short" => format!(
                    "{}\n",
                    self.config.version.split('+').next().unwrap_or_default()
                ),
                _ => format!("FreeSWITCH Version {}\n", self.config.version),
            },
            "module_exists" => {
                let known = [
                    "mod_conference",
                    "mod_event_socket",
                    "mod_commands",
                    "mod_dptools",
                    "mod_loopback",
                    "mod_sofia",
                ];
                let loaded = self.config.modules.iter().any(|name| name == first);
                (loaded || known.contains(&first)).to_string()
            }
            "create_uuid" => self.ids.next(super::IdKind::Other),
            "global_getvar" => match first {
                "core_uuid" => self.core_uuid.clone(),
                "hostname" => self.config.hostname.clone(),
                "switchname" => self.config.switchname.clone(),
                "local_ip_v4" => self.config.ipv4.clone(),
                "domain" => self.config.domain.clone(),
                _ => String::new(),
            },
            "fsctl" | "reloadxml" => "+OK\n".into(),
            _ => format!("-ERR {name} Command not found!\n"),
        }
    }

    fn is_up(&self, uuid: &str) -> bool {
        self.channels.get(uuid).is_some_and(Channel::is_up)
    }

    fn is_known(&self, uuid: &str) -> bool {
        self.channels.contains_key(uuid)
    }

    fn uuid_transfer(&mut self, uuid: &str, rest: &str) -> String {
        let words = quoted_words(rest);
        let mut words = words.iter().map(String::as_str);
        let mut destination = words.next();
        let mut target = Some(uuid.to_owned());
        if let Some(flag @ ("-bleg" | "-both")) = destination {
            destination = words.next();
            if flag == "-bleg" {
                target = self
                    .channels
                    .get(uuid)
                    .and_then(|channel| channel.peer.clone());
            }
        }
        let Some(destination) = destination else {
            return "-USAGE: <uuid> [-bleg|-both] <dest-exten> [<dialplan>] [<context>]\n".into();
        };
        let (dialplan, context) = (words.next().unwrap_or("XML"), words.next());
        let Some(target) = target else {
            return NO_CHANNEL.into();
        };
        transfer_reply(self.transfer(&target, destination, dialplan, context))
    }

    fn uuid_dump(&mut self, uuid: &str, format: &str) -> String {
        let mut event = self.event("CHANNEL_DATA", DUMP);
        let Some(channel) = self.channels.get(uuid) else {
            return NO_CHANNEL.into();
        };
        channel.describe(&mut event);
        channel.describe_vars(&mut event);
        if format == "json" {
            event.json_body()
        } else {
            event.plain_body()
        }
    }

    fn uuid_getvar(&self, uuid: &str, name: &str) -> String {
        let Some(channel) = self.channels.get(uuid) else {
            return NO_CHANNEL.into();
        };
        if name.is_empty() {
            return "-USAGE: <uuid> <var>\n".into();
        }
        let profile = &channel.profile;
        channel.var(name).unwrap_or_else(|| {
            match name {
                "caller_id_name" => &profile.name,
                "caller_id_number" => &profile.number,
                "callee_id_name" => &profile.callee_name,
                "callee_id_number" => &profile.callee_number,
                "destination_number" => &profile.destination,
                "ani" => &profile.ani,
                "context" => &profile.context,
                "dialplan" => &profile.dialplan,
                "network_addr" => &profile.network_addr,
                "rdnis" => &profile.rdnis,
                _ => "_undef_",
            }
            .to_owned()
        })
    }

    fn uuid_setvar(&mut self, uuid: &str, rest: &str) -> String {
        let (name, value) = split_word(rest);
        if name.is_empty() {
            return "-USAGE: <uuid> <var> [value]\n".into();
        }
        let Some(channel) = self.channels.get_mut(uuid) else {
            return NO_CHANNEL.into();
        };
        set_or_unset(channel, name, value);
        "+OK\n".into()
    }

    fn uuid_setvar_multi(&mut self, uuid: &str, rest: &str) -> String {
        let Some(channel) = self.channels.get_mut(uuid) else {
            return format!("{NO_CHANNEL}-USAGE: <uuid> <var>=<value>;<var>=<value>...\n");
        };
        for (name, value) in rest.split(';').filter_map(|pair| pair.split_once('=')) {
            set_or_unset(channel, name, value);
        }
        "+OK\n".into()
    }

    /// Ends what a channel plays.
    fn break_playback(&mut self, uuid: &str) {
        let now = self.now;
        if let Some(top) = self
            .channels
            .get_mut(uuid)
            .and_then(|channel| channel.stack.last_mut())
            && top.plays()
        {
            top.wait = super::channel::Wait::Until(now, Some("FILE PLAYED"));
            self.step(Step::Notice, uuid, Task::Run(uuid.to_owned()));
        }
    }
}

/// Returns the answer to a command that transfers.
fn transfer_reply(transferred: Result<(), TransferError>) -> String {
    match transferred {
        Ok(()) => "+OK\n".into(),
        Err(TransferError::NoForwardLeft) => "-ERR\n".into(),
        Err(TransferError::NoChannel) => NO_CHANNEL.into(),
    }
}

pub(super) fn set_or_unset(channel: &mut Channel, name: &str, value: &str) {
    if value.is_empty() {
        channel.unset_var(name);
    } else {
        channel.set_var(name, value.to_owned());
    }
}

/// Splits text at spaces outside of single quotes, which are removed.
fn quoted_words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in text.trim().chars() {
        match c {
            '\'' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => words.push(String::new()),
            c => {
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
