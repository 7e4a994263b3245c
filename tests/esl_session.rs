//! Conversations with a server, written down: what it says, what we say, what the driver is told.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "what is not expected here may panic"
)]

use bytes::Bytes;
use roomkeeper::esl::command::{Arg, ChannelUuid, JobPrefix, Password};
use roomkeeper::esl::{
    ApiReply, Command, CommandReply, Frame, FrameParser, Limits, Millis, Output, Reply, Session,
    SessionConfig, SessionError, SubmitError, command::Api,
};

const GREETING: &str = "Content-Type: auth/request\n\n";
const ACCEPTED: &str = "Content-Type: command/reply\nReply-Text: +OK accepted\n\n";
const UUID: &str = "75cdcc5c-a757-4d44-80d5-95d9e74567a2";

/// A session and the clock it is told.
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
        talk.server(ACCEPTED).tells("Authenticated");
        talk
    }

    /// The server sends these messages.
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

    /// Exactly this is written next.
    fn client(&mut self, wire: &str) -> &mut Self {
        let sent = self.session.poll_transmit().expect("something to write");
        assert_eq!(std::str::from_utf8(&sent).unwrap(), wire);
        self
    }

    fn silent(&mut self) -> &mut Self {
        assert_eq!(self.session.poll_transmit(), None);
        self
    }

    /// Exactly this is told next, in short.
    fn tells(&mut self, expected: &str) -> &mut Self {
        let output = self.session.poll_output().map(|o| short(&o));
        assert_eq!(output.as_deref(), Some(expected));
        self
    }

    fn tells_nothing(&mut self) -> &mut Self {
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
fn a_good_password() {
    let mut talk = Talk::new();
    assert_eq!(talk.echo("early", 9_000), Err(SubmitError::NotReady));
    talk.silent().tells_nothing();
    assert_eq!(talk.session.poll_timeout(), Some(Millis(26_000)));
    talk.server(GREETING)
        .tells_nothing()
        .client("auth ClueCon\n\n")
        .silent();
    assert!(!talk.session.is_ready());
    talk.server(ACCEPTED).tells("Authenticated").tells_nothing();
    assert!(talk.session.is_ready());
    assert_eq!(talk.session.poll_timeout(), None);
}

#[test]
fn a_bad_password() {
    let mut talk = Talk::new();
    talk.server(GREETING).client("auth ClueCon\n\n");
    talk.server(
        "Content-Type: command/reply\nReply-Text: -ERR invalid\n\n\
         Content-Type: text/disconnect-notice\nContent-Length: 67\n\n\
         Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n",
    );
    talk.tells("AuthRefused invalid").tells_nothing();
    assert!(talk.session.is_closed());
    talk.session.handle_eof();
    talk.tells_nothing();
}

#[test]
fn an_address_that_is_refused() {
    let mut talk = Talk::new();
    talk.server(
        "Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n",
    );
    talk.tells("Rude Access Denied, go away.")
        .tells_nothing()
        .silent();
    assert!(talk.session.is_closed());
}

#[test]
fn a_server_that_does_not_greet() {
    let mut talk = Talk::new();
    talk.at(25_999).tells_nothing();
    talk.at(26_000)
        .tells("Fatal no authentication within 25000 ms");
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
        .silent();
    talk.api_response("a").api_response("-ERR no reply\n");
    talk.tells("CommandId(1) Other(\"a\")")
        .tells("CommandId(2) NoReply")
        .tells_nothing();
    talk.api_response("+OK x\n").tells("CommandId(3) Ok(\"x\")");
    assert_eq!(talk.session.in_flight(), 0);
}

#[test]
fn an_event_between_replies_does_not_disturb_them() {
    let mut talk = Talk::ready();
    talk.echo("a", 9_000).unwrap();
    talk.server("Content-Length: 23\nContent-Type: text/event-plain\n\nEvent-Name: HEARTBEAT\n\n")
        .api_response("a")
        .tells("Event HEARTBEAT")
        .tells("CommandId(1) Other(\"a\")");
}

#[test]
fn a_late_answer_is_not_taken_for_the_next_one() {
    let mut talk = Talk::ready();
    talk.echo("slow", 2_000).unwrap();
    talk.echo("next", 9_000).unwrap();
    talk.client("api echo slow\n\n").client("api echo next\n\n");
    assert_eq!(talk.session.poll_timeout(), Some(Millis(2_000)));
    talk.at(2_000)
        .tells("CommandId(1) timed out, sent true")
        .tells_nothing();
    assert_eq!(talk.session.poll_timeout(), Some(Millis(9_000)));
    assert_eq!(talk.session.unanswered_since(), Some(Millis(1_000)));
    talk.api_response("slow").tells_nothing();
    talk.api_response("next")
        .tells("CommandId(2) Other(\"next\")");
    assert_eq!(talk.session.stats().late_replies, 1);
    assert_eq!(talk.session.unanswered_since(), None);
}

#[test]
fn a_command_that_was_not_written_is_taken_back() {
    let mut talk = Talk::ready();
    talk.echo("slow", 5_000).unwrap();
    talk.echo("stuck", 2_000).unwrap();
    talk.client("api echo slow\n\n");
    talk.at(3_000).tells("CommandId(2) timed out, sent false");
    talk.silent();
    talk.echo("third", 9_000).unwrap();
    talk.client("api echo third\n\n");
    talk.api_response("slow").api_response("third");
    talk.tells("CommandId(1) Other(\"slow\")")
        .tells("CommandId(3) Other(\"third\")");
}

#[test]
fn a_job_is_answered_and_then_done() {
    let mut talk = Talk::ready();
    talk.job(1, 9_000).unwrap();
    assert!(talk.session.job_pending());
    assert_eq!(talk.job(1, 9_000), Err(SubmitError::DuplicateJob));
    talk.client("bgapi conference json_list compact\nJob-UUID: rk-1\n\n");
    talk.job_started("rk-1")
        .tells("CommandId(1) +OK Job-UUID: rk-1");
    assert_eq!(talk.session.in_flight(), 1);
    talk.job_done("other", "[]").tells_nothing();
    talk.job_done("rk-1", "[]")
        .tells("CommandId(1) done json []")
        .tells_nothing();
    assert!(!talk.session.job_pending());
    assert_eq!(talk.session.in_flight(), 0);
    talk.job_done("rk-1", "[]").tells_nothing();
    assert_eq!(talk.session.stats().unknown_jobs, 2);
}

#[test]
fn a_job_that_never_comes_times_out_once() {
    let mut talk = Talk::ready();
    talk.job(1, 3_000).unwrap();
    talk.job(2, 4_000).unwrap();
    talk.client("bgapi conference json_list compact\nJob-UUID: rk-1\n\n");
    talk.client("bgapi conference json_list compact\nJob-UUID: rk-2\n\n");
    talk.job_started("rk-1")
        .tells("CommandId(1) +OK Job-UUID: rk-1");
    talk.at(4_000)
        .tells("CommandId(1) timed out, sent true")
        .tells("CommandId(2) timed out, sent true")
        .tells_nothing();
    assert!(!talk.session.job_pending());
    talk.job_started("rk-2").tells_nothing();
    talk.job_done("rk-1", "[]")
        .job_done("rk-2", "[]")
        .tells_nothing();
    assert_eq!(talk.session.in_flight(), 0);
}

#[test]
fn a_job_that_is_refused() {
    let mut talk = Talk::ready();
    talk.job(1, 3_000).unwrap();
    talk.server("Content-Type: command/reply\nReply-Text: -ERR permission denied\n\n")
        .tells("CommandId(1) -ERR permission denied");
    assert!(!talk.session.job_pending());
}

#[test]
fn a_job_that_the_server_renames() {
    let mut talk = Talk::ready();
    talk.job(1, 3_000).unwrap();
    talk.job_started("theirs")
        .tells("CommandId(1) +OK Job-UUID: theirs");
    talk.job_done("theirs", "+OK\n")
        .tells("CommandId(1) done Ok(\"\")");
}

#[test]
fn a_result_that_overtakes_its_reply() {
    let mut talk = Talk::ready();
    talk.job(1, 3_000).unwrap();
    talk.job_done("rk-1", "+OK\n")
        .tells("CommandId(1) done Ok(\"\")");
    talk.job_started("rk-1").at(9_000).tells_nothing();
    assert_eq!(talk.session.in_flight(), 0);
}

#[test]
fn what_is_in_flight_is_bounded() {
    let mut talk = Talk::with(SessionConfig {
        max_in_flight: 2,
        ..SessionConfig::default()
    });
    talk.server(GREETING).client("auth ClueCon\n\n");
    talk.server(ACCEPTED).tells("Authenticated");
    talk.job(1, 2_000).unwrap();
    talk.echo("a", 2_000).unwrap();
    let full = Err(SubmitError::TooMany { limit: 2 });
    assert_eq!(talk.echo("b", 2_000), full);
    talk.client("bgapi conference json_list compact\nJob-UUID: rk-1\n\n");
    talk.client("api echo a\n\n").silent();
    talk.job_started("rk-1");
    assert_eq!(talk.echo("b", 2_000), full, "the job is not done");
    talk.at(2_000);
    assert_eq!(talk.session.in_flight(), 1, "a place in the queue is kept");
    talk.echo("b", 5_000).unwrap();
    assert_eq!(talk.echo("c", 5_000), full);
}

#[test]
fn a_bad_event_costs_nothing_else() {
    let mut talk = Talk::ready();
    talk.server("Content-Length: 3\nContent-Type: text/event-json\n\n{\"a")
        .server("Content-Length: 23\nContent-Type: text/event-plain\n\nEvent-Name: HEARTBEAT\n\n")
        .tells("BadEvent the headers of an event cannot be read")
        .tells("Event HEARTBEAT");
    assert!(talk.session.is_ready());
}

#[test]
fn a_server_that_shuts_down() {
    let mut talk = Talk::ready();
    talk.echo("a", 9_000).unwrap();
    talk.job(1, 9_000).unwrap();
    talk.client("api echo a\n\n");
    talk.server(
        "Content-Type: text/disconnect-notice\nContent-Length: 31\n\nThe system is being shut down.\n",
    );
    talk.tells("Disconnect The system is being shut down.")
        .tells("CommandId(1) lost, sent true")
        .tells("CommandId(2) lost, sent false")
        .tells_nothing()
        .silent();
    talk.session.handle_eof();
    talk.tells_nothing();
    assert_eq!(talk.echo("b", 9_000), Err(SubmitError::NotReady));
}

#[test]
fn a_stream_that_just_ends() {
    let mut talk = Talk::ready();
    talk.job(1, 9_000).unwrap();
    talk.client("bgapi conference json_list compact\nJob-UUID: rk-1\n\n");
    talk.job_started("rk-1")
        .tells("CommandId(1) +OK Job-UUID: rk-1");
    talk.session.handle_eof();
    talk.tells("CommandId(1) lost, sent true").tells_nothing();
    assert!(talk.session.is_closed());
}

#[test]
fn answers_that_nothing_asked_for_are_fatal() {
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
        .tells("Fatal text/event-plain came where it cannot");
}

#[test]
fn an_answer_of_the_wrong_kind_is_fatal() {
    let mut talk = Talk::ready();
    talk.echo("a", 9_000).unwrap();
    talk.server("Content-Type: command/reply\nReply-Text: +OK\n\n")
        .tells("Fatal command/reply came in answer to a command that is not answered so")
        .tells("CommandId(1) lost, sent false");
    let mut talk = Talk::ready();
    talk.submit(&Command::NoEvents, 9_000).unwrap();
    talk.client("noevents\n\n");
    talk.api_response("+OK\n")
        .tells("Fatal api/response came in answer to a command that is not answered so")
        .tells("CommandId(1) lost, sent true");
}

#[test]
fn an_api_command_that_is_not_permitted() {
    let mut talk = Talk::ready();
    let exists = Api::Exists(ChannelUuid::new(UUID).unwrap());
    talk.submit(&Command::Api(exists), 9_000).unwrap();
    talk.client(&format!("api uuid_exists {UUID}\n\n"));
    talk.server("Content-Type: command/reply\nReply-Text: -ERR permission denied\n\n")
        .tells("CommandId(1) -ERR permission denied");
    assert!(talk.session.is_ready());
}

#[test]
fn a_newline_wakes_the_server_only_between_commands() {
    let mut talk = Talk::new();
    assert!(!talk.session.wake(), "before authentication");
    let mut talk = Talk::ready();
    assert!(talk.session.wake());
    assert!(!talk.session.wake(), "one is enough");
    talk.client("\n");
    talk.echo("a", 9_000).unwrap();
    assert!(!talk.session.wake(), "the command wakes it as well");
    talk.client("api echo a\n\n").silent();
    talk.api_response("a").tells("CommandId(1) Other(\"a\")");
    talk.submit(&Command::Exit, 9_000).unwrap();
    talk.client("exit\n\n");
    assert!(!talk.session.wake(), "after the last word");
}

#[test]
fn what_we_do_not_use_is_counted() {
    let mut talk = Talk::ready();
    talk.server("Content-Type: log/data\nContent-Length: 2\n\nhi")
        .server("Content-Type: text/new-thing\n\n")
        .tells_nothing();
    assert_eq!(talk.session.stats().ignored_frames, 2);
}
