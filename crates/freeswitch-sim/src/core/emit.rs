//! Events: their common headers, and their delivery to subscribed connections.

use std::sync::Arc;

use super::{
    Core, Event, Origin, Value,
    dates::{dates, uptime},
    task::Task,
};

impl Core {
    /// Creates an event with the headers that all have. It takes its sequence number here.
    pub(super) fn event(
        &mut self,
        name: impl Into<std::borrow::Cow<'static, str>>,
        origin: Origin,
    ) -> Event {
        self.new_event(name.into(), None, origin)
    }

    /// Creates a CUSTOM event.
    pub(super) fn custom(&mut self, subclass: &str, origin: Origin) -> Event {
        self.new_event("CUSTOM".into(), Some(subclass.to_owned()), origin)
    }

    pub(super) fn new_event(
        &mut self,
        name: std::borrow::Cow<'static, str>,
        subclass: Option<String>,
        (file, function, line): Origin,
    ) -> Event {
        self.sequence += 1;
        self.counters.events += 1;
        let second = self.now / 1_000_000;
        if self.dates.0 != second {
            self.dates = (second, dates(self.now));
        }
        let (local, gmt) = self.dates.1.clone();
        let mut event = Event {
            name: name.clone(),
            subclass,
            headers: Vec::with_capacity(90),
            body: None,
        };
        if let Some(subclass) = event.subclass.clone() {
            event.add("Event-Subclass", subclass);
        }
        event.headers.push(("Event-Name".into(), Value::Text(name)));
        event.add("Core-UUID", self.core_uuid.clone());
        event.add("FreeSWITCH-Hostname", self.config.hostname.clone());
        event.add("FreeSWITCH-Switchname", self.config.switchname.clone());
        event.add("FreeSWITCH-IPv4", self.config.ipv4.clone());
        event.add("FreeSWITCH-IPv6", self.config.ipv6.clone());
        event.add("Event-Date-Local", local);
        event.add("Event-Date-GMT", gmt);
        event.add("Event-Date-Timestamp", self.now);
        event.add("Event-Calling-File", file);
        event.add("Event-Calling-Function", function);
        event.add("Event-Calling-Line-Number", line);
        event.add("Event-Sequence", self.sequence);
        event
    }

    /// Offers an event to every connection.
    pub(super) fn emit(&mut self, event: Event) {
        if self.drop_events > 0 {
            self.drop_events -= 1;
            self.counters.dropped += 1;
            return;
        }
        if let Some(what) = self.lost.as_deref()
            && ["Conference-Name", "Unique-ID"]
                .iter()
                .any(|name| event.get(name).as_deref() == Some(what))
        {
            self.counters.dropped += 1;
            return;
        }
        let event = Arc::new(event);
        let mut checks = Vec::new();
        for (id, conn) in &mut self.conns {
            let was_closing = conn.closing;
            if !conn.offer(&event) {
                self.counters.overflowed += 1;
                if conn.closing && !was_closing {
                    self.counters.given_up += 1;
                }
            }
            checks.extend(conn.schedule_check(self.now).map(|at| (at, *id)));
        }
        for (at, id) in checks {
            self.schedule(at, Task::CheckEvents(id));
        }
    }

    /// Emits an event about a channel with its variables, and the headers that `more` adds.
    pub(super) fn emit_channel(
        &mut self,
        name: &'static str,
        uuid: &str,
        origin: Origin,
        more: &[(&'static str, String)],
    ) {
        let mut event = self.event(name, origin);
        let Some(channel) = self.channels.get(uuid) else {
            return;
        };
        channel.describe(&mut event);
        channel.describe_vars(&mut event);
        for (key, value) in more {
            event.add(*key, value.clone());
        }
        self.emit(event);
        self.dirty.insert(uuid.to_owned());
    }

    pub(super) fn heartbeat(&mut self) {
        let up = self.now.saturating_sub(self.started) / 1000;
        let mut event = self.event("HEARTBEAT", ("switch_core.c", "send_heartbeat", 95));
        event.add("Event-Info", "System Ready");
        event.add("Up-Time", uptime(up * 1000));
        event.add("FreeSWITCH-Version", self.config.version.clone());
        event.add("Uptime-msec", up);
        event.add("Session-Count", self.channels.len() as u64);
        event.add("Max-Sessions", self.config.max_sessions);
        event.add("Session-Per-Sec", "1000");
        event.add("Session-Per-Sec-Last", "0");
        event.add("Session-Per-Sec-Max", "0");
        event.add("Session-Per-Sec-FiveMin", "0");
        event.add("Session-Since-Startup", self.sessions);
        event.add("Session-Peak-Max", self.channels.len() as u64);
        event.add("Session-Peak-FiveMin", self.channels.len() as u64);
        event.add("Idle-CPU", "97.333333");
        self.emit(event);
        if !self.shut_down {
            self.schedule(self.now + self.config.heartbeat, Task::Heartbeat);
        }
    }
}
