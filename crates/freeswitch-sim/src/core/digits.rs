//! Digits: tones that arrive at a channel, and `play_and_get_digits`, which collects them.
//!
//! A digit reaches the application that reads the channel: a park and a conference discard it, with its event;
//! `play_and_get_digits` collects it. Its prompt ends with the first digit.

use super::{
    Core, Origin,
    channel::{Channel, Wait},
    collecting::{Collecting, Phase},
    task::Task,
};

const DEQUEUED: Origin = ("switch_channel.c", "switch_channel_dequeue_dtmf", 678);
const NO_SESSION: &str = "-ERR Cannot locate session!\n";

/// The samples of a digit without a duration of its own.
const DURATION: u64 = 2_000;

/// The application.
pub(super) const COLLECT: &str = "play_and_get_digits";

impl Core {
    /// Starts the application: `min max tries timeout terminators prompt invalid variable pattern digit-timeout`. The
    /// model makes one attempt.
    pub(super) fn start_collecting(&mut self, uuid: &str, arg: &str) {
        let words: Vec<&str> = arg.split(' ').collect();
        let word = |index: usize| words.get(index).copied().unwrap_or_default();
        let number = |index: usize| word(index).parse::<u64>().unwrap_or(0);
        let timeout = number(3).max(1_000) * 1_000;
        let collecting = Collecting {
            min: usize::try_from(number(0)).unwrap_or(0),
            max: usize::try_from(number(1).max(number(0))).unwrap_or(0),
            timeout,
            digit_timeout: match number(9) {
                0 => timeout,
                millis => millis * 1_000,
            },
            terminators: word(4).to_owned(),
            variable: word(7).to_owned(),
            digits: String::new(),
            phase: Phase::Prompt(true),
        };
        let (opening, length) = self.prompt(word(5));
        let Some(channel) = self.channels.get_mut(uuid) else {
            return;
        };
        channel.unset_var("read_result");
        channel.unset_var(&collecting.variable);
        channel.collecting = Some(Collecting {
            phase: Phase::Prompt(length.is_some()),
            ..collecting
        });
        self.wait_until(uuid, self.now + opening + length.unwrap_or(0), None);
    }

    /// The time until a prompt is open, and its length; `None` if it cannot be opened.
    fn prompt(&self, prompt: &str) -> (u64, Option<u64>) {
        if prompt == "silence" {
            return (0, Some(0));
        }
        let media = self.media(prompt);
        (media.opening, media.duration)
    }

    /// Continues when the prompt has ended, or no digit came in time.
    pub(super) fn collecting_waited(&mut self, uuid: &str) {
        let now = self.now;
        let Some(collecting) = self.collecting(uuid) else {
            return self.complete(uuid, None);
        };
        match collecting.phase {
            Phase::Prompt(true) => {
                collecting.phase = Phase::Digits;
                let at = now + collecting.timeout;
                self.wait_until(uuid, at, None);
            }
            Phase::Prompt(false) => {
                if let Some(channel) = self.channels.get_mut(uuid) {
                    channel.collecting = None;
                }
                self.complete(uuid, None);
            }
            Phase::Digits => self.collected(uuid, "timeout"),
        }
    }

    fn collecting(&mut self, uuid: &str) -> Option<&mut Collecting> {
        self.channels.get_mut(uuid)?.collecting.as_mut()
    }

    fn collected(&mut self, uuid: &str, result: &str) {
        if let Some(channel) = self.channels.get_mut(uuid) {
            channel.set_collected(result);
        }
        self.complete(uuid, None);
        // The channel's thread goes on at once, before any command that answers the event.
        self.schedule(self.now, Task::Run(uuid.to_owned()));
    }

    /// Delivers a digit to the application that reads the channel.
    fn digit(&mut self, uuid: &str, digit: char, source: &str) {
        let mut event = self.event("DTMF", DEQUEUED);
        let now = self.now;
        let Some(channel) = self.channels.get(uuid) else {
            return;
        };
        channel.describe(&mut event);
        event.add("DTMF-Digit", digit.to_string());
        event.add("DTMF-Duration", DURATION);
        event.add("DTMF-Source", source.to_owned());
        self.emit(event);
        let Some(collecting) = self.collecting(uuid) else {
            return;
        };
        if collecting.phase == Phase::Prompt(false) {
            return;
        }
        collecting.phase = Phase::Digits;
        if collecting.terminators.contains(digit) {
            return self.collected(uuid, "success");
        }
        collecting.digits.push(digit);
        if collecting.digits.len() >= collecting.max {
            return self.collected(uuid, "success");
        }
        let at = now + collecting.digit_timeout;
        self.wait_until(uuid, at, None);
    }

    /// `uuid_recv_dtmf`: digits as if they came from the telephone.
    pub(super) fn receive_digits(&mut self, uuid: &str, text: &str) -> String {
        if text.is_empty() {
            return "-USAGE: <uuid> <dtmf_data>\n".into();
        }
        if !self.channels.contains_key(uuid) {
            return NO_SESSION.into();
        }
        let digits: Vec<char> = tones(text).filter(|tone| !"wW".contains(*tone)).collect();
        if digits.is_empty() {
            return "-USAGE: <uuid> <dtmf_data>\n".into();
        }
        for digit in digits {
            self.digit(uuid, digit, "APP");
        }
        format!("+OK {uuid} received DTMF {text}.\n")
    }

    /// `uuid_send_dtmf`: tones for the telephone, which is the other leg of a loopback call.
    pub(super) fn send_digits(&mut self, uuid: &str, text: &str) -> String {
        if text.is_empty() {
            return "-USAGE: <uuid> <dtmf_data>\n".into();
        }
        let Some(channel) = self.channels.get(uuid) else {
            return NO_SESSION.into();
        };
        let peer = channel.peer.clone();
        let digits: Vec<char> = tones(text).collect();
        if digits.is_empty() {
            return "-ERR Operation failed\n".into();
        }
        if let Some(peer) = peer {
            for digit in digits.into_iter().filter(|tone| !"wW".contains(*tone)) {
                self.digit(&peer, digit, "UNKNOWN");
            }
        }
        format!("+OK {uuid} sent DTMF {text}.\n")
    }
}

impl Channel {
    /// Sets the variables of a collection that ends.
    fn set_collected(&mut self, result: &str) {
        let Some(collecting) = self.collecting.take() else {
            return;
        };
        let enough = collecting.digits.len() >= collecting.min;
        let result = if enough { result } else { "failure" };
        self.set_var("read_result", result.to_owned());
        if !collecting.digits.is_empty() {
            self.set_var(&collecting.variable, collecting.digits);
        }
    }

    /// Ends a collection whose application is taken away: by a transfer, or a hang-up.
    pub(super) fn abandon_collecting(&mut self) {
        match self.collecting.as_ref().map(|collecting| collecting.phase) {
            Some(Phase::Digits) => self.set_collected("failure"),
            Some(Phase::Prompt(_)) => self.collecting = None,
            None => {}
        }
    }

    /// Returns true if the innermost application collects digits and its time has come.
    pub(super) fn has_waited_for_digits(&self, now: u64) -> bool {
        self.stack.last().is_some_and(|top| {
            top.app == COLLECT && matches!(top.wait, Wait::Until(at, _) if at <= now)
        })
    }
}

/// The tones of a text; `@` and `+` belong to durations.
fn tones(text: &str) -> impl Iterator<Item = char> {
    text.split('+')
        .flat_map(|part| part.split('@').next().unwrap_or_default().chars())
        .filter(|tone| matches!(tone, '0'..='9' | 'A'..='D' | 'F' | '*' | '#' | 'w' | 'W'))
}
