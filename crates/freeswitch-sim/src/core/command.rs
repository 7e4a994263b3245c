//! Commands of the Event Socket itself.
//!
//! Owns authentication, subscriptions, filters, `sendevent`, `sendmsg`, and the two ways to run an API command: `api`,
//! which blocks its connection until it is done, and `bgapi`, which does not. Leaves out the API commands.

use super::{
    ConnId, Core, Format, IdKind, Step, api_reply,
    channel::{Message, cause},
    conn::Command,
    disconnect_notice,
    pending::Waiter,
    task::Task,
};

const GOODBYE: &str = "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n";

impl Core {
    pub(super) fn command(&mut self, conn: ConnId, command: &Command) {
        let (word, rest) = split_word(&command.line);
        let authed = self.conns.get(&conn).is_some_and(|state| state.authed);
        if !authed {
            match word {
                "auth" => self.authenticate(conn, rest),
                "exit" => self.close_with_notice(conn, Some("+OK bye")),
                _ => self.reply(conn, "-ERR command not found"),
            }
            return;
        }
        match word {
            "exit" | "..." => self.close_with_notice(conn, Some("+OK bye")),
            "api" | "bgapi" if rest.is_empty() => self.reply(conn, "-ERR command not found"),
            "api" => self.api_inline(conn, rest),
            "bgapi" => self.api_background(conn, command, rest),
            "event" | "events" => {
                let text = self.subscribe(conn, rest);
                self.reply(conn, &text);
            }
            "nixevent" => {
                let text = self.unsubscribe(conn, rest);
                self.reply(conn, text);
            }
            "noevents" => {
                let text = self.subscribe_nothing(conn);
                self.reply(conn, text);
            }
            "filter" => {
                let text = self.filter(conn, rest);
                self.reply(conn, &text);
            }
            "sendevent" => self.send_event(conn, command, rest),
            "sendmsg" => self.send_message(conn, command, rest),
            "log" => {
                let names = [
                    "console", "alert", "crit", "err", "warning", "notice", "info", "debug",
                ];
                let number = match rest {
                    "" => Some(7),
                    name => {
                        let known = names
                            .iter()
                            .position(|known| known.eq_ignore_ascii_case(name));
                        known.or_else(|| name.parse::<usize>().ok())
                    }
                };
                match number {
                    Some(number) => {
                        self.set_logging(conn, true);
                        self.reply(conn, &format!("+OK log level {rest} [{number}]"));
                    }
                    None => self.reply(conn, "-ERR invalid log level"),
                }
            }
            "nolog" => {
                let was = self.set_logging(conn, false);
                self.reply(
                    conn,
                    if was {
                        "+OK no longer logging"
                    } else {
                        "-ERR not loging"
                    },
                );
            }
            // Lingering is for sockets that belong to one channel; this one never does.
            "linger" | "nolinger" => self.reply(conn, "-ERR not controlling a session"),
            _ => self.reply(conn, "-ERR command not found"),
        }
    }

    pub(super) fn reply(&mut self, conn: ConnId, text: &str) {
        if let Some(state) = self.conns.get_mut(&conn) {
            state
                .reply(format!("Content-Type: command/reply\nReply-Text: {text}\n\n").into_bytes());
        }
    }

    fn close_with_notice(&mut self, conn: ConnId, reply: Option<&str>) {
        if let Some(text) = reply {
            self.reply(conn, text);
        }
        if let Some(state) = self.conns.get_mut(&conn) {
            state.reply(disconnect_notice(GOODBYE).into_bytes());
            state.closing = true;
        }
    }

    fn authenticate(&mut self, conn: ConnId, password: &str) {
        if password == self.config.password {
            if let Some(state) = self.conns.get_mut(&conn) {
                state.authed = true;
            }
            self.reply(conn, "+OK accepted");
        } else {
            self.counters.refused += 1;
            self.close_with_notice(conn, Some("-ERR invalid"));
        }
    }

    fn set_logging(&mut self, conn: ConnId, on: bool) -> bool {
        self.conns
            .get_mut(&conn)
            .is_some_and(|state| std::mem::replace(&mut state.logging, on))
    }

    /// Runs an API command on the connection's own thread, which is blocked until it is done.
    fn api_inline(&mut self, conn: ConnId, line: &str) {
        let pending = self.serial();
        self.pending.insert(pending, Waiter::Api(conn));
        if let Some(state) = self.conns.get_mut(&conn) {
            state.busy = true;
        }
        let (name, arg) = split_word(line);
        self.emit_api(name, arg);
        if let Some(body) = self.api(name, arg, pending) {
            self.pending.remove(&pending);
            if let Some(state) = self.conns.get_mut(&conn) {
                state.reply(api_reply(&body));
                state.busy = false;
            }
        }
    }

    fn api_background(&mut self, conn: ConnId, command: &Command, line: &str) {
        let uuid = match command.header("job-uuid") {
            Some(uuid) => uuid.to_owned(),
            None => self.ids.next(IdKind::Job),
        };
        let (name, arg) = split_word(line);
        let pending = self.serial();
        let waiter = Waiter::Job {
            uuid: uuid.clone(),
            command: name.to_owned(),
            arg: arg.to_owned(),
        };
        self.pending.insert(pending, waiter);
        self.jobs.insert(pending, (name.to_owned(), arg.to_owned()));
        self.step(Step::Job, &uuid, Task::Job(pending));
        // The job's id appears twice, as in every reply to this command.
        self.reply(conn, &format!("+OK Job-UUID: {uuid}\nJob-UUID: {uuid}"));
    }

    pub(super) fn run_job(&mut self, pending: u64) {
        let Some((name, arg)) = self.jobs.remove(&pending) else {
            return;
        };
        self.emit_api(&name, &arg);
        if let Some(body) = self.api(&name, &arg, pending) {
            self.finish(pending, body);
        }
    }

    fn emit_api(&mut self, name: &str, arg: &str) {
        let mut event = self.event(
            "API",
            ("switch_loadable_module.c", "switch_api_execute", 2996),
        );
        event.add("API-Command", name.to_owned());
        if !arg.is_empty() {
            event.add("API-Command-Argument", arg.to_owned());
        }
        self.emit(event);
    }

    /// `event [plain|json|xml] NAME… CUSTOM subclass…`: behind CUSTOM all words are subclasses.
    fn subscribe(&mut self, conn: ConnId, line: &str) -> String {
        let Some(state) = self.conns.get_mut(&conn) else {
            return String::new();
        };
        let mut words = line.split_whitespace().peekable();
        match words
            .peek()
            .map(|word| word.to_ascii_lowercase())
            .as_deref()
        {
            Some("json") => {
                state.format = Format::Json;
                words.next();
            }
            Some("plain" | "xml") => {
                state.format = Format::Plain;
                words.next();
            }
            Some(_) | None => {}
        }
        if words.peek().is_none() {
            return "-ERR no keywords supplied".into();
        }
        let mut custom = false;
        for word in words {
            if custom {
                state.subclasses.insert(word.to_owned());
            } else if word.eq_ignore_ascii_case("ALL") {
                state.all = true;
            } else if word.eq_ignore_ascii_case("CUSTOM") {
                custom = true;
            } else {
                state.names.insert(word.to_ascii_uppercase());
            }
        }
        state.listening = true;
        let format = match state.format {
            Format::Plain => "plain",
            Format::Json => "json",
        };
        format!("+OK event listener enabled {format}")
    }

    /// Queued events stay queued.
    fn unsubscribe(&mut self, conn: ConnId, line: &str) -> &'static str {
        let Some(state) = self.conns.get_mut(&conn) else {
            return "";
        };
        let mut custom = false;
        let mut any = false;
        for word in line.split_whitespace() {
            any = true;
            if custom {
                state.subclasses.remove(word);
            } else if word.eq_ignore_ascii_case("ALL") {
                state.all = false;
                state.names.clear();
            } else if word.eq_ignore_ascii_case("CUSTOM") {
                custom = true;
            } else {
                state.names.remove(&word.to_ascii_uppercase());
            }
        }
        if any {
            "+OK events nixed"
        } else {
            "-ERR no keywords supplied"
        }
    }

    /// Queued events are dropped.
    fn subscribe_nothing(&mut self, conn: ConnId) -> &'static str {
        let Some(state) = self.conns.get_mut(&conn) else {
            return "";
        };
        state.flush_events();
        if !state.listening {
            return "-ERR not listening for events";
        }
        state.listening = false;
        state.all = false;
        state.names.clear();
        state.subclasses.clear();
        "+OK no longer listening for events"
    }

    fn filter(&mut self, conn: ConnId, line: &str) -> String {
        let Some(state) = self.conns.get_mut(&conn) else {
            return String::new();
        };
        let (first, rest) = split_word(line);
        if first.eq_ignore_ascii_case("delete") {
            let (header, value) = split_word(rest);
            state.delete_filter(header, (!value.is_empty()).then_some(value));
            return format!("+OK filter deleted. [{header}][{value}]");
        }
        let (header, value) = if first.eq_ignore_ascii_case("add") {
            split_word(rest)
        } else {
            (first, rest)
        };
        if value.is_empty() {
            return "-ERR invalid syntax".into();
        }
        state.add_filter(header, value);
        format!("+OK filter added. [{header}]=[{value}]")
    }

    /// Sends a client's event to all subscribers, the client included.
    fn send_event(&mut self, conn: ConnId, command: &Command, name: &str) {
        let origin = ("mod_event_socket.c", "parse_command", 2358);
        let mut event = match command.header("event-subclass") {
            Some(subclass) => self.custom(subclass, origin),
            None => self.event(name.to_ascii_uppercase(), origin),
        };
        event.add("Command", format!("sendevent {name}"));
        for (key, value) in &command.headers {
            let reserved = [
                "event-subclass",
                "event-name",
                "content-length",
                "event-sequence",
                "core-uuid",
            ];
            if !reserved.iter().any(|taken| key.eq_ignore_ascii_case(taken)) {
                event.add(key.clone(), value.clone());
            }
        }
        let uuid = self.ids.next(IdKind::Other);
        event.add("Event-UUID", uuid.clone());
        if !command.body.is_empty() {
            event.body = Some(command.body.clone());
        }
        self.emit(event);
        self.reply(conn, &format!("+OK {uuid}"));
    }

    fn send_message(&mut self, conn: ConnId, command: &Command, uuid: &str) {
        let known = self
            .channels
            .get(uuid)
            .is_some_and(|channel| !channel.ending);
        if !known {
            self.reply(conn, &format!("-ERR invalid session id [{uuid}]"));
            return;
        }
        match command.header("call-command") {
            Some("execute") => {
                let Some(app) = command.header("execute-app-name").map(str::to_owned) else {
                    self.reply(conn, "+OK");
                    return;
                };
                let arg = match command.header("execute-app-arg") {
                    Some(arg) => arg.to_owned(),
                    None => command.body.clone(),
                };
                let id = match command.header("event-uuid") {
                    Some(id) => id.to_owned(),
                    None => self.ids.next(IdKind::Other),
                };
                let locked = command.header("event-lock") == Some("true");
                if let Some(channel) = self.channels.get_mut(uuid) {
                    channel.messages.push_back(Message {
                        app,
                        arg,
                        uuid: id,
                        locked,
                    });
                }
                self.step(Step::Notice, uuid, Task::Run(uuid.to_owned()));
                self.reply(conn, "+OK");
            }
            Some("hangup") => {
                let cause = command
                    .header("hangup-cause")
                    .and_then(cause)
                    .unwrap_or("NORMAL_CLEARING");
                self.hang_up(uuid, cause);
                self.reply(conn, "+OK");
            }
            // Any other message reached the channel.
            Some(_) | None => self.reply(conn, "+OK"),
        }
    }
}

/// Returns the first word of a line, and the rest.
pub(super) fn split_word(line: &str) -> (&str, &str) {
    let line = line.trim_start();
    match line.split_once(' ') {
        Some((word, rest)) => (word, rest.trim()),
        None => (line.trim_end(), ""),
    }
}
