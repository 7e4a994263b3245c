//! Conversations with a server as scripts: messages of the server, commands, and outputs for the driver.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "what is not expected here may panic"
)]

use bytes::Bytes;
use freeswitch_esl::command::{Arg, ChannelUuid, JobPrefix, Password};
use freeswitch_esl::{
    ApiReply, Command, CommandReply, Frame, FrameParser, Limits, Millis, Output, Reply, Session,
    SessionConfig, SessionError, SubmitError, command::Api,
};

const GREETING: &str = "Content-Type: auth/request\n\n";
const ACCEPTED: &str = "Content-Type: command/reply\nReply-Text: +OK accepted\n\n";
const UUID: &str = "75cdcc5c-a757-4d44-80d5-95d9e74567a2";

/// A session and its clock.
struct Talk {
    session: Session,
    now: Millis,
}

impl Talk {
    fn new() -> Self {
        Self::with(SessionConfig::default())
    }

    fn with(config: SessionConfig) -> Self {
        let now = Millis(1_000);
        Self {
            session: Session::new(config, Password::new("ClueCon").unwrap(), now),
            now,
        }
    }

    fn ready() -> Self {
        let mut talk = Self::new();
        talk.server(GREETING).client("auth ClueCon\n\n");
        talk.server(ACCEPTED).expect_output("Authenticated");
        talk
    }

    /// Delivers messages of the server.
    fn server(&mut self, wire: &str) -> &mut Self {
        let mut input = Bytes::copy_from_slice(wire.as_bytes());
        let mut parser = FrameParser::new(Limits::default());
        while !input.is_empty() {
            let frame = Frame::take(&mut parser, &mut input).unwrap();
            self.session.handle_frame(frame, self.now);
        }
        self
    }

    fn api_response(&mut self, body: &str) -> &mut Self {
        self.server(&format!(
            "Content-Type: api/response\nContent-Length: {}\n\n{body}",
            body.len()
        ))
    }

    fn job_done(&mut self, job: &str, body: &str) -> &mut Self {
        let event = format!(
            "Event-Name: BACKGROUND_JOB\nJob-UUID: {job}\nContent-Length: {}\n\n{body}",
            body.len()
        );
        self.server(&format!(
            "Content-Length: {}\nContent-Type: text/event-plain\n\n{event}",
            event.len()
        ))
    }

    fn job_started(&mut self, job: &str) -> &mut Self {
        self.server(&format!(
            "Content-Type: command/reply\nReply-Text: +OK Job-UUID: {job}\nJob-UUID: {job}\n\n"
        ))
    }

    /// Checks the next bytes to write.
    fn client(&mut self, wire: &str) -> &mut Self {
        let sent = self.session.poll_transmit().expect("something to write");
        assert_eq!(std::str::from_utf8(&sent).unwrap(), wire);
        self
    }

    fn expect_no_bytes(&mut self) -> &mut Self {
        assert_eq!(self.session.poll_transmit(), None);
        self
    }

    /// Checks the next output, in short form.
    fn expect_output(&mut self, expected: &str) -> &mut Self {
        let output = self.session.poll_output().map(|o| short(&o));
        assert_eq!(output.as_deref(), Some(expected));
        self
    }

    fn expect_no_output(&mut self) -> &mut Self {
        let output = self.session.poll_output().map(|o| short(&o));
        assert_eq!(output, None);
        self
    }

    fn at(&mut self, millis: u64) -> &mut Self {
        self.now = Millis(millis);
        self.session.handle_timeout(self.now);
        self
    }

    fn echo(&mut self, text: &str, deadline: u64) -> Result<String, SubmitError> {
        let command = Command::Api(Api::Echo(Arg::new(text).unwrap()));
        self.submit(&command, deadline)
    }

    fn job(&mut self, number: u64, deadline: u64) -> Result<String, SubmitError> {
        let job = JobPrefix::new("rk").unwrap().job(number);
        self.submit(&Command::BgApi(Api::ConferenceList, job), deadline)
    }

    fn submit(&mut self, command: &Command, deadline: u64) -> Result<String, SubmitError> {
        let id = self.session.submit(command, Millis(deadline), self.now)?;
        Ok(format!("{id:?}"))
    }
}

fn short(output: &Output) -> String {
    let api = |reply: &ApiReply| match reply {
        ApiReply::Json(body) => format!("json {}", String::from_utf8_lossy(body)),
        other => format!("{other:?}"),
    };
    match output {
        Output::Authenticated => "Authenticated".to_owned(),
        Output::AuthRefused { reason } => format!("AuthRefused {reason}"),
        Output::Rude { notice } => format!("Rude {notice}"),
        Output::Event(event) => format!("Event {}", event.name()),
        Output::BadEvent { error } => format!("BadEvent {error}"),
        Output::Reply { id, result } => match result {
            Reply::Command(CommandReply::Ok(text)) => format!("{id:?} +OK {text}"),
            Reply::Command(CommandReply::Err(text)) => format!("{id:?} -ERR {text}"),
            Reply::Api(reply) => format!("{id:?} {}", api(reply)),
        },
        Output::JobDone { id, result } => format!("{id:?} done {}", api(result)),
        Output::TimedOut { id, sent } => format!("{id:?} timed out, sent {sent}"),
        Output::Lost { id, sent } => format!("{id:?} lost, sent {sent}"),
        Output::Disconnect { notice } => format!("Disconnect {notice}"),
        Output::Fatal { error } => format!("Fatal {error}"),
    }
}

#[test]
fn correct_password_authenticates() {
    let mut talk = Talk::new();
    assert_eq!(talk.echo("early", 9_000), Err(SubmitError::NotReady));
    talk.expect_no_bytes().expect_no_output();
    assert_eq!(talk.session.poll_timeout(), Some(Millis(26_000)));
    talk.server(GREETING)
        .expect_no_output()
        .client("auth ClueCon\n\n")
        .expect_no_bytes();
    assert!(!talk.session.is_ready());
    talk.server(ACCEPTED)
        .expect_output("Authenticated")
        .expect_no_output();
    assert!(talk.session.is_ready());
    assert_eq!(talk.session.poll_timeout(), None);
}

#[test]
fn wrong_password_is_refused() {
    let mut talk = Talk::new();
    talk.server(GREETING).client("auth ClueCon\n\n");
    talk.server(
        "Content-Type: command/reply\nReply-Text: -ERR invalid\n\n\
         Content-Type: text/disconnect-notice\nContent-Length: 67\n\n\
         Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n",
    );
    talk.expect_output("AuthRefused invalid").expect_no_output();
    assert!(talk.session.is_closed());
    talk.session.handle_eof();
    talk.expect_no_output();
}

#[test]
fn refused_address_ends_the_session() {
    let mut talk = Talk::new();
    talk.server(
        "Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n",
    );
    talk.expect_output("Rude Access Denied, go away.")
        .expect_no_output()
        .expect_no_bytes();
    assert!(talk.session.is_closed());
}

#[test]
fn missing_greeting_times_out() {
    let mut talk = Talk::new();
    talk.at(25_999).expect_no_output();
    talk.at(26_000)
        .expect_output("Fatal no authentication within 25000 ms");
    assert!(talk.session.is_closed());
    assert_eq!(talk.session.poll_timeout(), None);
}

#[test]
fn many_commands_in_flight_are_answered_in_order() {
    let mut talk = Talk::ready();
    for text in ["a", "b", "c"] {
        talk.echo(text, 9_000).unwrap();
    }
    talk.client("api echo a\n\n")
        .client("api echo b\n\n")
        .client("api echo c\n\n")
        .expect_no_bytes();
    talk.api_response("a").api_response("-ERR no reply\n");
    talk.expect_output("CommandId(1) Other(\"a\")")
        .expect_output("CommandId(2) NoReply")
        .expect_no_output();
    talk.api_response("+OK x\n")
        .expect_output("CommandId(3) Ok(\"x\")");
    assert_eq!(talk.session.in_flight(), 0);
}

#[test]
fn event_between_replies_does_not_affect_them() {
    let mut talk = Talk::ready();
    talk.echo("a", 9_000).unwrap();
    talk.server("Content-Length: 23\nContent-Type: text/event-plain\n\nEvent-Name: HEARTBEAT\n\n")
        .api_response("a")
        .expect_output("Event HEARTBEAT")
        .expect_output("CommandId(1) Other(\"a\")");
}

#[test]
fn late_answer_is_not_assigned_to_the_next_command() {
    let mut talk = Talk::ready();
    talk.echo("slow", 2_000).unwrap();
    talk.echo("next", 9_000).unwrap();
    talk.client("api echo slow\n\n").client("api echo next\n\n");
    assert_eq!(talk.session.poll_timeout(), Some(Millis(2_000)));
    talk.at(2_000)
        .expect_output("CommandId(1) timed out, sent true")
        .expect_no_output();
    assert_eq!(talk.session.poll_timeout(), Some(Millis(9_000)));
    assert_eq!(talk.session.unanswered_since(), Some(Millis(1_000)));
    talk.api_response("slow").expect_no_output();
    talk.api_response("next")
        .expect_output("CommandId(2) Other(\"next\")");
    assert_eq!(talk.session.stats().late_replies, 1);
    assert_eq!(talk.session.unanswered_since(), None);
}

#[test]
fn unwritten_command_is_removed_at_its_deadline() {
    let mut talk = Talk::ready();
    talk.echo("slow", 5_000).unwrap();
    talk.echo("stuck", 2_000).unwrap();
    talk.client("api echo slow\n\n");
    talk.at(3_000)
        .expect_output("CommandId(2) timed out, sent false");
    talk.expect_no_bytes();
    talk.echo("third", 9_000).unwrap();
    talk.client("api echo third\n\n");
    talk.api_response("slow").api_response("third");
    talk.expect_output("CommandId(1) Other(\"slow\")")
        .expect_output("CommandId(3) Other(\"third\")");
}

#[test]
fn job_gets_a_reply_and_then_its_result() {
    let mut talk = Talk::ready();
    talk.job(1, 9_000).unwrap();
    assert!(talk.session.job_pending());
    assert_eq!(talk.job(1, 9_000), Err(SubmitError::DuplicateJob));
    talk.client("bgapi conference json_list compact\nJob-UUID: rk-1\n\n");
    talk.job_started("rk-1")
        .expect_output("CommandId(1) +OK Job-UUID: rk-1");
    assert_eq!(talk.session.in_flight(), 1);
    talk.job_done("other", "[]").expect_no_output();
    talk.job_done("rk-1", "[]")
        .expect_output("CommandId(1) done json []")
        .expect_no_output();
    assert!(!talk.session.job_pending());
    assert_eq!(talk.session.in_flight(), 0);
    talk.job_done("rk-1", "[]").expect_no_output();
    assert_eq!(talk.session.stats().unknown_jobs, 2);
}

#[test]
fn job_without_result_times_out_once() {
    let mut talk = Talk::ready();
    talk.job(1, 3_000).unwrap();
    talk.job(2, 4_000).unwrap();
    talk.client("bgapi conference json_list compact\nJob-UUID: rk-1\n\n");
    talk.client("bgapi conference json_list compact\nJob-UUID: rk-2\n\n");
    talk.job_started("rk-1")
        .expect_output("CommandId(1) +OK Job-UUID: rk-1");
    talk.at(4_000)
        .expect_output("CommandId(1) timed out, sent true")
        .expect_output("CommandId(2) timed out, sent true")
        .expect_no_output();
    assert!(!talk.session.job_pending());
    talk.job_started("rk-2").expect_no_output();
    talk.job_done("rk-1", "[]")
        .job_done("rk-2", "[]")
        .expect_no_output();
    assert_eq!(talk.session.in_flight(), 0);
}

#[test]
fn refused_job_ends_with_its_reply() {
    let mut talk = Talk::ready();
    talk.job(1, 3_000).unwrap();
    talk.server("Content-Type: command/reply\nReply-Text: -ERR permission denied\n\n")
        .expect_output("CommandId(1) -ERR permission denied");
    assert!(!talk.session.job_pending());
}

#[test]
fn renamed_job_is_found_by_its_new_id() {
    let mut talk = Talk::ready();
    talk.job(1, 3_000).unwrap();
    talk.job_started("theirs")
        .expect_output("CommandId(1) +OK Job-UUID: theirs");
    talk.job_done("theirs", "+OK\n")
        .expect_output("CommandId(1) done Ok(\"\")");
}

#[test]
fn result_before_the_reply_is_accepted() {
    let mut talk = Talk::ready();
    talk.job(1, 3_000).unwrap();
    talk.job_done("rk-1", "+OK\n")
        .expect_output("CommandId(1) done Ok(\"\")");
    talk.job_started("rk-1").at(9_000).expect_no_output();
    assert_eq!(talk.session.in_flight(), 0);
}

#[test]
fn commands_in_flight_are_bounded() {
    let mut talk = Talk::with(SessionConfig {
        max_in_flight: 2,
        ..SessionConfig::default()
    });
    talk.server(GREETING).client("auth ClueCon\n\n");
    talk.server(ACCEPTED).expect_output("Authenticated");
    talk.job(1, 2_000).unwrap();
    talk.echo("a", 2_000).unwrap();
    let full = Err(SubmitError::TooMany { limit: 2 });
    assert_eq!(talk.echo("b", 2_000), full);
    talk.client("bgapi conference json_list compact\nJob-UUID: rk-1\n\n");
    talk.client("api echo a\n\n").expect_no_bytes();
    talk.job_started("rk-1");
    assert_eq!(talk.echo("b", 2_000), full, "the job is not done");
    talk.at(2_000);
    assert_eq!(
        talk.session.in_flight(),
        1,
        "the unfinished job keeps its slot"
    );
    talk.echo("b", 5_000).unwrap();
    assert_eq!(talk.echo("c", 5_000), full);
}

#[test]
fn undecodable_event_does_not_end_the_session() {
    let mut talk = Talk::ready();
    talk.server("Content-Length: 3\nContent-Type: text/event-json\n\n{\"a")
        .server("Content-Length: 23\nContent-Type: text/event-plain\n\nEvent-Name: HEARTBEAT\n\n")
        .expect_output("BadEvent event headers cannot be parsed")
        .expect_output("Event HEARTBEAT");
    assert!(talk.session.is_ready());
}

#[test]
fn server_shutdown_ends_the_session() {
    let mut talk = Talk::ready();
    talk.echo("a", 9_000).unwrap();
    talk.job(1, 9_000).unwrap();
    talk.client("api echo a\n\n");
    talk.server(
        "Content-Type: text/disconnect-notice\nContent-Length: 31\n\nThe system is being shut down.\n",
    );
    talk.expect_output("Disconnect The system is being shut down.")
        .expect_output("CommandId(1) lost, sent true")
        .expect_output("CommandId(2) lost, sent false")
        .expect_no_output()
        .expect_no_bytes();
    talk.session.handle_eof();
    talk.expect_no_output();
    assert_eq!(talk.echo("b", 9_000), Err(SubmitError::NotReady));
}

#[test]
fn end_of_stream_loses_waiting_commands() {
    let mut talk = Talk::ready();
    talk.job(1, 9_000).unwrap();
    talk.client("bgapi conference json_list compact\nJob-UUID: rk-1\n\n");
    talk.job_started("rk-1")
        .expect_output("CommandId(1) +OK Job-UUID: rk-1");
    talk.session.handle_eof();
    talk.expect_output("CommandId(1) lost, sent true")
        .expect_no_output();
    assert!(talk.session.is_closed());
}

#[test]
fn answer_without_command_is_fatal() {
    for wire in [GREETING, ACCEPTED, "Content-Type: api/response\n\n"] {
        let mut talk = Talk::ready();
        talk.server(wire);
        let Some(Output::Fatal { error }) = talk.session.poll_output() else {
            panic!("{wire}");
        };
        assert!(matches!(error, SessionError::Unexpected { .. }));
        assert!(talk.session.is_closed());
    }
    let mut talk = Talk::new();
    talk.server("Content-Length: 23\nContent-Type: text/event-plain\n\nEvent-Name: HEARTBEAT\n\n")
        .expect_output("Fatal unexpected text/event-plain");
}

#[test]
fn answer_of_wrong_kind_is_fatal() {
    let mut talk = Talk::ready();
    talk.echo("a", 9_000).unwrap();
    talk.server("Content-Type: command/reply\nReply-Text: +OK\n\n")
        .expect_output("Fatal command/reply is no answer to the command")
        .expect_output("CommandId(1) lost, sent false");
    let mut talk = Talk::ready();
    talk.submit(&Command::NoEvents, 9_000).unwrap();
    talk.client("noevents\n\n");
    talk.api_response("+OK\n")
        .expect_output("Fatal api/response is no answer to the command")
        .expect_output("CommandId(1) lost, sent true");
}

#[test]
fn api_command_without_permission_is_refused() {
    let mut talk = Talk::ready();
    let exists = Api::Exists(ChannelUuid::new(UUID).unwrap());
    talk.submit(&Command::Api(exists), 9_000).unwrap();
    talk.client(&format!("api uuid_exists {UUID}\n\n"));
    talk.server("Content-Type: command/reply\nReply-Text: -ERR permission denied\n\n")
        .expect_output("CommandId(1) -ERR permission denied");
    assert!(talk.session.is_ready());
}

#[test]
fn wake_up_is_sent_only_between_commands() {
    let mut talk = Talk::new();
    assert!(!talk.session.wake(), "before authentication");
    let mut talk = Talk::ready();
    assert!(talk.session.wake());
    assert!(!talk.session.wake(), "one is enough");
    talk.client("\n");
    talk.echo("a", 9_000).unwrap();
    assert!(!talk.session.wake(), "the command wakes it as well");
    talk.client("api echo a\n\n").expect_no_bytes();
    talk.api_response("a")
        .expect_output("CommandId(1) Other(\"a\")");
    talk.submit(&Command::Exit, 9_000).unwrap();
    talk.client("exit\n\n");
    assert!(!talk.session.wake(), "after the disconnect notice");
}

#[test]
fn unused_messages_are_counted() {
    let mut talk = Talk::ready();
    talk.server("Content-Type: log/data\nContent-Length: 2\n\nhi")
        .server("Content-Type: text/new-thing\n\n")
        .expect_no_output();
    assert_eq!(talk.session.stats().ignored_frames, 2);
}
