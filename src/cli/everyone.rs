//! `roomkeeper room mute-all`, `unmute-all`, `hangup-all`: a command to the members of a room, by one request.
//!
//! Owns the request, the wait for the event of each member, and the outcome. The answer counts the accepted commands and
//! does not name their members, so a wait counts members: those whose event has the id of the request, and those that leave.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use roomkeeper_core::ids::RoomId;

use super::arguments::Everyone;
use super::client::Client;
use super::follow::Follower;
use super::request::Request;
use super::table::{plain, sanitize};
use super::{Failure, execute, lookup, print, print_to_stderr, terminal};

/// A command to the members of a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Mutes them.
    Mute,
    /// Unmutes them.
    Unmute,
    /// Ends their calls.
    HangUp,
}

impl Command {
    const fn verb(self) -> &'static str {
        match self {
            Self::Mute => "mute",
            Self::Unmute => "unmute",
            Self::HangUp => "hangup",
        }
    }

    /// The event of each member.
    const fn event(self) -> &'static str {
        match self {
            Self::Mute => "conference.member.muted",
            Self::Unmute => "conference.member.unmuted",
            Self::HangUp => "call.hangup",
        }
    }

    /// True if the command changes this member.
    fn changes(self, member: &Value) -> bool {
        match self {
            Self::Mute => member["muted"] != true,
            Self::Unmute => member["muted"] == true,
            Self::HangUp => true,
        }
    }
}

/// The events after which a member can no longer confirm the command.
const ENDS: [&str; 2] = ["conference.member.left", "call.hangup"];

/// Executes a command for the members of a room, and prints its outcome.
///
/// # Errors
/// [`Failure`]: the controller refused, the command of a member failed, or a confirmation did not come in time.
pub async fn run(
    api: &Client,
    room: RoomId,
    command: Command,
    members: &Everyone,
    json: bool,
) -> Result<(), Failure> {
    let words = format!("{} all members of {room}", command.verb());
    let progress = terminal::spinner(&words);
    let work = execute_for(api, room, command, members, &words);
    let done = execute::until_signal(&words, work).await;
    progress.finish_and_clear();
    done?.report(&words, members, json)
}

async fn execute_for(
    api: &Client,
    room: RoomId,
    command: Command,
    members: &Everyone,
    words: &str,
) -> Result<Progress, Failure> {
    let limit = members.wait.limit();
    let mut follower = match limit {
        Some(_) => Some(Follower::open(api, ENDS.into_iter().chain([command.event()])).await?),
        None => None,
    };
    let rows = match follower.is_some() || !members.except.is_empty() {
        true => lookup::members(api, room).await?["members"].take(),
        false => Value::Null,
    };
    let except: Vec<String> = members
        .except
        .iter()
        .map(|member| Ok(lookup::member_in(&rows, member)?.to_string()))
        .collect::<Result<_, Failure>>()?;
    let path = format!("api/v1/conferences/{room}/{}", command.verb());
    let mut request = Request::post(path, words).with_uid();
    if members.except_moderators {
        request = request.with("except_moderators", true);
    }
    let affected = affected(command, &rows, members.except_moderators, &except);
    if !except.is_empty() {
        request = request.with("except", except);
    }
    let answer = execute::send(api, &request).await?;
    let uid = request.fields["command_uid"].clone();
    let mut progress = Progress::new(command, uid, affected, answer);
    if let (Some(follower), Some(limit)) = (&mut follower, limit) {
        let all = async {
            while !progress.is_complete() {
                progress.apply(follower.next().await?);
            }
            Ok::<_, Failure>(())
        };
        match tokio::time::timeout(limit, all).await {
            Ok(done) => done?,
            Err(_) => progress.is_late = true,
        }
    }
    Ok(progress)
}

/// The members that the command changes, as far as the list knows.
fn affected(
    command: Command,
    rows: &Value,
    except_moderators: bool,
    except: &[String],
) -> BTreeSet<String> {
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter()
        .filter(|row| command.changes(row) && !(except_moderators && row["role"] == "moderator"))
        .filter_map(|row| row["uuid"].as_str())
        .filter(|uuid| !except.iter().any(|one| one == uuid))
        .map(str::to_owned)
        .collect()
}

/// The answer to a request, and the members that have confirmed it.
#[derive(Debug)]
struct Progress {
    command: Command,
    uid: Value,
    affected: BTreeSet<String>,
    answer: Value,
    /// The confirming event of each member.
    confirmed: BTreeMap<String, Value>,
    /// The members that left or hung up before, with the event's name.
    gone: BTreeMap<String, String>,
    /// The time for the confirmations has passed.
    is_late: bool,
}

impl Progress {
    fn new(command: Command, uid: Value, affected: BTreeSet<String>, answer: Value) -> Self {
        Self {
            command,
            uid,
            affected,
            answer,
            confirmed: BTreeMap::new(),
            gone: BTreeMap::new(),
            is_late: false,
        }
    }

    fn accepted(&self) -> usize {
        let accepted = self.answer["accepted"].as_u64().unwrap_or_default();
        usize::try_from(accepted).unwrap_or(usize::MAX)
    }

    /// The members whose command failed.
    fn failed(&self) -> &[Value] {
        let failed = self.answer["failed"].as_array();
        failed.map(Vec::as_slice).unwrap_or_default()
    }

    fn is_complete(&self) -> bool {
        self.confirmed.len() + self.gone.len() >= self.accepted()
    }

    fn apply(&mut self, event: Value) {
        let (Some(name), Some(member)) = (event["event"].as_str(), event["session_uuid"].as_str())
        else {
            return;
        };
        let uid = &event["data"]["command_uid"];
        let is_ours = *uid == self.uid;
        // A snapshot can reveal the change, without the id of the request.
        let is_affected = uid.is_null() && self.affected.contains(member);
        let has_failed = self.failed().iter().any(|one| one["session"] == member);
        if has_failed || !(is_ours || self.affected.contains(member)) {
            return;
        }
        let member = member.to_owned();
        if name == self.command.event() {
            if is_ours || is_affected || self.command == Command::HangUp {
                self.gone.remove(&member);
                self.confirmed.insert(member, event);
            }
        } else if self.command != Command::HangUp && !self.confirmed.contains_key(&member) {
            self.gone.insert(member, name.to_owned());
        }
    }

    /// Prints the outcome.
    fn report(self, words: &str, members: &Everyone, json: bool) -> Result<(), Failure> {
        let waits = members.wait.wait;
        let accepted = self.accepted();
        if json {
            let mut document = self.answer.clone();
            if let (Value::Object(fields), true) = (&mut document, waits) {
                let events: Vec<&Value> = self.confirmed.values().collect();
                fields.insert("events".to_owned(), json!(events));
            }
            print(&format!("{document:#}\n"))?;
        } else {
            let done = match waits {
                true => format!("{} confirmed", self.confirmed.len()),
                false => format!("{accepted} accepted"),
            };
            let unchanged = plain(&self.answer["unchanged"]);
            print(&format!("{words}: {done}, {unchanged} unchanged\n"))?;
        }
        for failed in self.failed() {
            print_to_stderr(&format!(
                "{}: {} ({})",
                plain(&failed["session"]),
                plain(&failed["error"]),
                plain(&failed["status"])
            ));
        }
        for (member, event) in &self.gone {
            print_to_stderr(&format!("{}: {}", sanitize(member), sanitize(event)));
        }
        let failed = self.failed().len() + self.gone.len();
        if failed > 0 {
            let total = accepted + self.failed().len();
            let text = format!("{words}: {failed} of {total} commands failed");
            return Err(Failure::Command(text));
        }
        if self.is_late {
            return Err(Failure::Unconfirmed(format!(
                "{words}: {} of {accepted} confirmed within {} s",
                self.confirmed.len(),
                members.wait.timeout
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(command: Command, accepted: u64) -> Progress {
        let rows = json!([
            {"uuid": "one", "muted": false},
            {"uuid": "two", "muted": false},
            {"uuid": "muted", "muted": true},
            {"uuid": "chair", "muted": false, "role": "moderator"},
            {"uuid": "left-out", "muted": false},
        ]);
        let affected = affected(command, &rows, true, &["left-out".to_owned()]);
        let failed = json!([{"session": "broken", "status": 504, "error": "no answer"}]);
        let answer = json!({"accepted": accepted, "unchanged": 1, "failed": failed});
        Progress::new(command, json!("ours"), affected, answer)
    }

    fn event(name: &str, member: &str, uid: &Value) -> Value {
        json!({"event": name, "session_uuid": member, "data": {"command_uid": uid}})
    }

    #[test]
    fn wait_counts_members_that_confirm_or_leave() {
        let (ours, other, none) = (json!("ours"), json!("other"), Value::Null);
        let mut progress = progress(Command::Mute, 3);
        for (name, member, uid) in [
            // Those of other commands, of members that the command leaves out, and of one that failed.
            ("conference.member.muted", "one", &other),
            ("conference.member.muted", "left-out", &none),
            ("conference.member.left", "left-out", &none),
            ("conference.member.left", "chair", &none),
            ("conference.member.left", "muted", &none),
            ("conference.member.muted", "broken", &ours),
            // Twice the same, and a departure after it.
            ("conference.member.muted", "one", &ours),
            ("conference.member.muted", "one", &ours),
            ("conference.member.left", "one", &none),
            // One that joined after the list was read.
            ("conference.member.muted", "late", &ours),
        ] {
            progress.apply(event(name, member, uid));
            assert!(!progress.is_complete(), "{name} {member} {uid}");
        }
        assert_eq!(progress.confirmed.len(), 2);
        progress.apply(event("conference.member.left", "two", &none));
        assert!(progress.is_complete());
        assert_eq!(progress.gone["two"], "conference.member.left");
    }

    #[test]
    fn change_that_snapshot_revealed_is_confirmation() {
        let mut progress = progress(Command::Mute, 1);
        progress.apply(event("conference.member.muted", "two", &Value::Null));
        assert!(progress.is_complete());
    }

    #[test]
    fn hangup_is_confirmed_by_end_of_call_alone() {
        let mut progress = progress(Command::HangUp, 1);
        progress.apply(event("conference.member.left", "one", &Value::Null));
        assert!(!progress.is_complete());
        progress.apply(event("call.hangup", "one", &Value::Null));
        assert!(progress.is_complete());
        assert!(progress.gone.is_empty());
    }
}
