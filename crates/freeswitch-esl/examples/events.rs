//! Logs in to a FreeSWITCH, subscribes to the events of channels and conferences, and prints each one until Ctrl-C.
//!
//! ```sh
//! cargo run -p freeswitch-esl --example events -- 127.0.0.1:8021 ClueCon
//! ```
#![allow(clippy::print_stdout, reason = "printing is its purpose")]

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use freeswitch_esl::command::{EventFormat, EventName, Password, Subclass, Unfit};
use freeswitch_esl::{
    CONFERENCE_SUBCLASS, Command, CommandReply, EslCodec, Event, Millis, Output, READ_BUFFER,
    Reply, Session, SessionConfig,
};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_util::codec::Framed;

/// The events of channels and of the server itself.
const EVENTS: [&str; 8] = [
    "CHANNEL_CREATE",
    "CHANNEL_ANSWER",
    "CHANNEL_PARK",
    "CHANNEL_EXECUTE_COMPLETE",
    "CHANNEL_HANGUP",
    "CHANNEL_DESTROY",
    "HEARTBEAT",
    "SHUTDOWN",
];

/// The headers to print, if an event has them.
const HEADERS: [&str; 7] = [
    "Event-Sequence",
    "Unique-ID",
    "Caller-Caller-ID-Number",
    "Hangup-Cause",
    "Conference-Name",
    "Action",
    "Member-ID",
];

/// The time that the server may take to answer the subscription, in milliseconds.
const ANSWER_MS: u64 = 5_000;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(password), None) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: events HOST:PORT PASSWORD".into());
    };
    let listening = listen(&address, Password::new(password)?, |event| {
        println!("{}", describe(event));
    });
    tokio::select! {
        ended = listening => ended,
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}

/// Calls `on_event` for each event of the server. Returns only when the connection fails.
pub async fn listen(
    address: &str,
    password: Password,
    mut on_event: impl FnMut(&Event),
) -> Result<(), Failure> {
    let socket = TcpStream::connect(address).await?;
    let mut frames = Framed::with_capacity(socket, EslCodec::default(), READ_BUFFER);
    let start = Instant::now();
    let now = || Millis(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
    let mut session = Session::new(SessionConfig::default(), password, now());
    loop {
        while let Some(output) = session.poll_output() {
            match output {
                Output::Authenticated => {
                    session.submit(&subscription()?, now().after(ANSWER_MS), now())?;
                }
                Output::Event(event) => on_event(&event),
                // The connection survives an event that cannot be decoded.
                Output::BadEvent { error } => eprintln!("skipped an event: {error}"),
                Output::Reply {
                    result: Reply::Command(CommandReply::Ok(_)),
                    ..
                } => {}
                other => return Err(format!("{other:?}").into()),
            }
        }
        while let Some(bytes) = session.poll_transmit() {
            frames.send(bytes).await?;
        }
        let wait = session
            .poll_timeout()
            .map(|deadline| Duration::from_millis(deadline.0.saturating_sub(now().0)));
        tokio::select! {
            frame = frames.next() => match frame {
                Some(frame) => session.handle_frame(frame?, now()),
                None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            },
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {
                session.handle_timeout(now());
            }
        }
    }
}

fn subscription() -> Result<Command, Unfit> {
    Ok(Command::Subscribe {
        format: EventFormat::Plain,
        names: EVENTS
            .iter()
            .map(|name| EventName::new(*name))
            .collect::<Result<_, _>>()?,
        subclasses: vec![Subclass::new(CONFERENCE_SUBCLASS)?],
    })
}

/// Formats an event as one line: its name and a few of its headers.
pub fn describe(event: &Event) -> String {
    let mut line = event.get("Event-Name").unwrap_or_default().into_owned();
    for name in HEADERS {
        if let Some(value) = event.text(name) {
            // A value can hold control characters, which must not reach a terminal.
            line.push_str(&format!(" {name}={}", value.escape_debug()));
        }
    }
    line
}
