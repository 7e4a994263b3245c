//! One Event Socket connection: its authentication, subscriptions, filters and queues.
//!
//! Owns the framing of received commands, the subscription, and two queues: replies, and events up to a bound. Leaves
//! out the commands themselves. The core feeds it; the owner of the socket empties it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};

use super::event::{Event, Format};

/// The id of a connection of the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// The number of events that may wait for one connection before the server drops more.
pub const MAX_QUEUED_EVENTS: usize = 100_000;
/// The number of consecutive drops after which the server gives a connection up.
pub const MAX_DROPPED_IN_A_ROW: u64 = 500;
/// The maximum length of a command.
const MAX_COMMAND: usize = 10 * 1024 * 1024;

/// A received command: its first line, its headers, its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Command {
    /// Parses a command from its text: lines, and a body behind a blank one.
    pub fn parse(text: &str) -> Self {
        let (head, body) = match text.find("\n\n") {
            Some(at) => (&text[..at], &text[at + 2..]),
            None => (text, ""),
        };
        let mut lines = head.trim_start_matches(['\r', '\n']).lines();
        let line = lines.next().unwrap_or_default().trim_end().to_owned();
        let headers = lines
            .filter_map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.trim().to_owned(), value.trim().to_owned()))
            })
            .collect();
        Self {
            line,
            headers,
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Clone)]
struct Filter {
    header: String,
    pattern: String,
}

#[derive(Debug, Default)]
pub(super) struct Conn {
    pub authed: bool,
    pub format: Format,
    pub listening: bool,
    pub all: bool,
    pub names: BTreeSet<String>,
    pub subclasses: BTreeSet<String>,
    filters: Vec<Filter>,
    buffer: Vec<u8>,
    /// Commands that wait because one is running.
    pub inbox: VecDeque<Command>,
    /// True while a command runs on this connection's thread: nothing is delivered meanwhile, not even events.
    pub busy: bool,
    replies: VecDeque<Vec<u8>>,
    events: VecDeque<Arc<Event>>,
    /// The number of events, from the front, that this connection's thread has found and writes. It finds the others at its
    /// next check.
    found: usize,
    /// The time that the thread sleeps when idle, in microseconds; 0: not at all.
    poll_interval: u64,
    /// The time when it last fell asleep.
    asleep_since: u64,
    /// The time of its next own check for events; `None` if it has found all.
    next_check: Option<u64>,
    pub max_events: usize,
    /// The start of this connection's output that was rendered and not yet taken.
    pending: BytesMut,
    /// The body behind it.
    body: Bytes,
    /// True if the connection closes once all replies are written.
    pub closing: bool,
    pub dropped: u64,
    dropped_in_a_row: u64,
    pub logging: bool,
}

impl Conn {
    pub fn new(max_events: usize, poll_interval: u64, now: u64) -> Self {
        Self {
            max_events,
            poll_interval,
            asleep_since: now,
            ..Self::default()
        }
    }

    /// Receives bytes and moves complete commands to the inbox. Returns false if they exceed the server's limit.
    pub fn receive(&mut self, bytes: &[u8]) -> bool {
        self.buffer.extend_from_slice(bytes);
        loop {
            // Newlines before a command are ignored.
            let blank = |byte: &u8| matches!(byte, b'\r' | b'\n');
            let start = self.buffer.iter().take_while(|byte| blank(byte)).count();
            self.buffer.drain(..start);
            let Some((end, skip)) = blank_line(&self.buffer) else {
                break;
            };
            let head = String::from_utf8_lossy(&self.buffer[..end]).replace("\r\n", "\n");
            let mut command = Command::parse(&head);
            let length = command
                .header("content-length")
                .and_then(|text| text.parse::<usize>().ok())
                .unwrap_or(0);
            if length > MAX_COMMAND {
                return false;
            }
            let Some(body) = self.buffer.get(end + skip..end + skip + length) else {
                return true;
            };
            command.body = String::from_utf8_lossy(body).into_owned();
            self.buffer.drain(..end + skip + length);
            if !command.line.is_empty() {
                self.inbox.push_back(command);
            }
        }
        self.buffer.len() <= MAX_COMMAND
    }

    pub fn reply(&mut self, bytes: Vec<u8>) {
        self.replies.push_back(bytes);
    }

    /// Wakes the thread: input arrived, a command is done, or its time has come. It writes all events and sleeps again.
    /// In the middle of a command it does not check for events.
    pub fn check_events(&mut self, now: u64) {
        self.asleep_since = now;
        if self.buffer.is_empty() {
            self.found = self.events.len();
            self.next_check = None;
        }
    }

    /// Returns the time to wake the thread for what was just queued; `None` if it does not sleep, or a time is set
    /// already.
    pub fn schedule_check(&mut self, now: u64) -> Option<u64> {
        if self.found == self.events.len() || self.next_check.is_some() {
            return None;
        }
        let slept = now.saturating_sub(self.asleep_since);
        let at = now + self.poll_interval - slept % self.poll_interval;
        self.next_check = Some(at);
        Some(at)
    }

    /// Handles the time that [`Self::schedule_check`] returned, unless the thread was woken meanwhile. Returns the time to
    /// come again if a partial command keeps it from looking.
    pub fn wake(&mut self, now: u64) -> Option<u64> {
        if self.next_check != Some(now) {
            return None;
        }
        self.next_check = None;
        self.check_events(now);
        self.schedule_check(now)
    }

    /// Queues an event if it is subscribed to and passes the filters. Returns false if the queue was full.
    pub fn offer(&mut self, event: &Arc<Event>) -> bool {
        if !self.wants(event) {
            return true;
        }
        if self.events.len() >= self.max_events {
            self.dropped += 1;
            self.dropped_in_a_row += 1;
            if self.dropped_in_a_row > MAX_DROPPED_IN_A_ROW {
                self.closing = true;
            }
            return false;
        }
        self.dropped_in_a_row = 0;
        // A thread that still writes finds it without sleeping first.
        if self.poll_interval == 0 || self.found > 0 {
            self.found += 1;
        }
        self.events.push_back(Arc::clone(event));
        true
    }

    pub fn wants(&self, event: &Event) -> bool {
        if !self.authed || !self.listening {
            return false;
        }
        let subscribed = self.all
            || match &event.subclass {
                Some(subclass) => self.subclasses.contains(subclass),
                None => self.names.contains(&*event.name),
            };
        subscribed && self.passes(event)
    }

    /// Returns true if an event passes: any matching filter admits it; a `-` before the pattern excludes it.
    fn passes(&self, event: &Event) -> bool {
        if self.filters.is_empty() {
            return true;
        }
        let mut send = false;
        for filter in &self.filters {
            let Some(value) = event.get(&filter.header) else {
                continue;
            };
            let trimmed = filter.pattern.trim_start();
            let (positive, pattern) = match trimmed.strip_prefix('-') {
                Some(rest) => (false, rest),
                None => (true, trimmed.strip_prefix('+').unwrap_or(trimmed)),
            };
            if send && positive {
                continue;
            }
            if pattern_matches(pattern.trim_start(), &value) {
                if !positive {
                    return false;
                }
                send = true;
            }
        }
        send
    }

    pub fn add_filter(&mut self, header: &str, pattern: &str) {
        self.filters.push(Filter {
            header: header.to_owned(),
            pattern: pattern.to_owned(),
        });
    }

    /// Removes filters on a header (all of them for `all`), or only those with one pattern.
    pub fn delete_filter(&mut self, header: &str, pattern: Option<&str>) {
        let every = header.eq_ignore_ascii_case("all");
        self.filters.retain(|filter| {
            !(every
                || filter.header.eq_ignore_ascii_case(header)
                    && pattern.is_none_or(|text| text == filter.pattern))
        });
    }

    pub fn flush_events(&mut self) {
        self.found = 0;
        self.events.clear();
    }

    pub fn queued_events(&self) -> usize {
        self.events.len()
    }

    pub fn has_output(&self) -> bool {
        !self.is_drained() || (!self.busy && self.found > 0)
    }

    /// Takes up to `limit` bytes; a message may be cut, and its rest comes with the next call. With a limit, an answer
    /// is the last message: the server writes each by itself.
    pub fn take(&mut self, limit: usize) -> Bytes {
        while self.body.is_empty() && self.pending.len() < limit {
            if let Some(reply) = self.replies.pop_front() {
                self.pending.extend_from_slice(&reply);
                if limit < usize::MAX {
                    break;
                }
            } else if self.busy || self.closing || self.found == 0 {
                break;
            } else if let Some(event) = self.events.pop_front() {
                self.found -= 1;
                self.body = event.render(self.format, &mut self.pending);
            } else {
                break;
            }
        }
        if self.pending.is_empty() {
            self.body.split_to(limit.min(self.body.len()))
        } else if self.pending.len() <= limit {
            std::mem::take(&mut self.pending).freeze()
        } else {
            self.pending.split_to(limit).freeze()
        }
    }

    /// Takes all bytes.
    pub fn take_all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let piece = self.take(usize::MAX);
            if piece.is_empty() {
                return all;
            }
            all.extend_from_slice(&piece);
        }
    }

    fn is_drained(&self) -> bool {
        self.pending.is_empty() && self.body.is_empty() && self.replies.is_empty()
    }

    /// Returns true if all output was written and the connection must close.
    pub fn finished(&self) -> bool {
        self.closing && self.is_drained()
    }
}

/// Returns the end of a command's head, and the length of the blank line.
fn blank_line(bytes: &[u8]) -> Option<(usize, usize)> {
    let plain = memchr::memmem::find(bytes, b"\n\n").map(|at| (at, 2));
    let dos = memchr::memmem::find(bytes, b"\n\r\n").map(|at| (at, 3));
    match (plain, dos) {
        (Some(a), Some(b)) => Some(if a.0 < b.0 { a } else { b }),
        (found, None) | (None, found) => found,
    }
}

/// Matches a value: `/…/` is a regular expression (the small part of them that filters use), anything else must be
/// equal.
fn pattern_matches(pattern: &str, value: &str) -> bool {
    match pattern
        .strip_prefix('/')
        .map(|rest| rest.strip_suffix('/').unwrap_or(rest))
    {
        Some(expression) => match expression.strip_prefix('^') {
            Some(anchored) => matches_here(anchored, value),
            None => value
                .char_indices()
                .map(|(at, _)| at)
                .chain([value.len()])
                .any(|at| matches_here(expression, &value[at..])),
        },
        None => pattern.eq_ignore_ascii_case(value),
    }
}

/// Matches literals, `\` escapes, `.`, `*` behind one of them, and `$` at the end.
fn matches_here(expression: &str, text: &str) -> bool {
    let mut chars = expression.chars();
    let Some(first) = chars.next() else {
        return true;
    };
    if first == '$' && chars.as_str().is_empty() {
        return text.is_empty();
    }
    let (literal, any) = match first {
        '\\' => (chars.next().unwrap_or('\\'), false),
        '.' => ('.', true),
        other => (other, false),
    };
    let accepts = |c: char| any || c == literal;
    let rest = chars.as_str();
    if let Some(behind) = rest.strip_prefix('*') {
        let mut remaining = text;
        loop {
            if matches_here(behind, remaining) {
                return true;
            }
            let mut left = remaining.chars();
            match left.next() {
                Some(c) if accepts(c) => remaining = left.as_str(),
                Some(_) | None => return false,
            }
        }
    }
    let mut left = text.chars();
    match left.next() {
        Some(c) if accepts(c) => matches_here(rest, left.as_str()),
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_end_at_blank_lines_and_bodies_at_their_length() {
        let mut conn = Conn::new(10, 0, 0);
        assert!(conn.receive(
            b"auth x\n\nsendevent CUSTOM\nEvent-Subclass: a::b\ncontent-length: 4\n\nab\n"
        ));
        assert_eq!(conn.inbox.len(), 1);
        assert!(conn.receive(b"\nexit\r\n\r\n"));
        assert_eq!(conn.inbox.len(), 3);
        assert_eq!(conn.inbox[1].body, "ab\n\n");
        assert_eq!(conn.inbox[1].header("event-subclass"), Some("a::b"));
        assert_eq!(conn.inbox[2].line, "exit");
    }

    #[test]
    fn filters_match_like_the_servers() {
        let mut conn = Conn {
            authed: true,
            listening: true,
            all: true,
            ..Conn::new(10, 0, 0)
        };
        conn.add_filter("Job-UUID", r"/^rk\-1-/");
        let mut event = Event {
            name: "BACKGROUND_JOB".into(),
            subclass: None,
            headers: Vec::new(),
            body: None,
        };
        assert!(
            !conn.wants(&event),
            "an event without the header is kept out"
        );
        event.add("Job-UUID", "rk-1-77");
        assert!(conn.wants(&event));
        conn.delete_filter("Job-UUID", None);
        conn.add_filter("Job-UUID", "/7$/");
        assert!(conn.wants(&event));
        conn.add_filter("Job-UUID", "-/1-.*7/");
        assert!(!conn.wants(&event));
    }

    #[test]
    fn large_body_arrives_whole_and_in_order() {
        const LIMIT: usize = 64 << 10;
        let mut conn = Conn {
            authed: true,
            listening: true,
            all: true,
            ..Conn::new(10, 0, 0)
        };
        let small = Event {
            name: "X".into(),
            subclass: None,
            headers: vec![("Event-Name".into(), "X".into())],
            body: None,
        };
        let large = Event {
            body: Some("0123456789".repeat(20_000)),
            ..small.clone()
        };
        let mut expected = String::new();
        for event in [small.clone(), large, small] {
            let inner = event.plain_body();
            let length = inner.len();
            expected +=
                &format!("Content-Length: {length}\nContent-Type: text/event-plain\n\n{inner}");
            assert!(conn.offer(&Arc::new(event)));
        }
        let mut came = Vec::new();
        while conn.has_output() {
            let piece = conn.take(LIMIT);
            assert!(!piece.is_empty() && piece.len() <= LIMIT);
            came.extend_from_slice(&piece);
        }
        assert!(came == expected.as_bytes());
    }

    #[test]
    fn full_queue_drops_events_and_finally_the_connection() {
        let mut conn = Conn {
            authed: true,
            listening: true,
            all: true,
            ..Conn::new(1, 0, 0)
        };
        let event = Arc::new(Event {
            name: "X".into(),
            subclass: None,
            headers: Vec::new(),
            body: None,
        });
        assert!(conn.offer(&event));
        for _ in 0..=MAX_DROPPED_IN_A_ROW {
            assert!(!conn.offer(&event));
        }
        assert!(conn.closing);
        assert_eq!(conn.dropped, 501);
    }
}
