//! The receivers in `examples/receivers`: each accepts what this program signs, handles each message once, and refuses
//! everything else.
//!
//! Those in Python and JavaScript need packages that `tests/run` installs under `target/receivers`; without it they are
//! skipped.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/process.rs"]
#[allow(dead_code)]
mod process;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use roomkeeper::clock;
use roomkeeper::webhook::sign::{
    HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, Secret, signatures,
};
use roomkeeper_core::time::Timestamp;
use url::Url;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";

const JOINED: &str = r#"{"event":"conference.member.joined","room_id":"acW68-room-1","session_uuid":"acW68-2","sequence":2,"data":{"caller_id":"Zoë"}}"#;

fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A running receiver process, killed when dropped.
struct Running {
    process: Child,
    printed: BufReader<ChildStdout>,
    url: String,
    client: Client,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Running {
    fn start(program: &str, arguments: &[&str], environment: &[(&str, PathBuf)]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut command = process::command(program);
        command
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("WEBHOOK_SECRET", SECRET)
            .env("PORT", "0")
            .stdout(Stdio::piped());
        let mut process = process::spawn(command);
        let printed = BufReader::new(process.stdout.take().expect("its output is piped"));
        let client = Client::builder().timeout(Duration::from_secs(10)).build();
        let mut running = Self {
            process,
            printed,
            url: String::new(),
            client: client.unwrap(),
        };
        let line = running.line();
        let url = line.strip_prefix("listening on ");
        running.url = url.unwrap_or_else(|| panic!("{line:?}")).to_owned();
        running
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.printed
            .read_line(&mut line)
            .expect("the receiver prints a line");
        assert!(line.ends_with('\n'), "it ended after {line:?}");
        line.trim_end().to_owned()
    }

    async fn post(&self, headers: [(&str, String); 3], body: &str) -> StatusCode {
        self.send(headers, body).await.expect("a response")
    }

    async fn send(&self, headers: [(&str, String); 3], body: &str) -> reqwest::Result<StatusCode> {
        let mut request = self.client.post(&self.url).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.header("content-type", "application/json").send();
        Ok(answer.await?.status())
    }
}

fn signed(secrets: &[&str], id: &str, at: Timestamp, body: &str) -> [(&'static str, String); 3] {
    let secrets: Vec<Secret> = secrets.iter().map(|s| s.parse().unwrap()).collect();
    [
        (HEADER_ID, id.to_owned()),
        (HEADER_TIMESTAMP, at.as_secs().to_string()),
        (HEADER_SIGNATURE, signatures(&secrets, id, at, body)),
    ]
}

/// Checks the requirements of every receiver.
async fn check_receiver(mut receiver: Running) {
    let now = clock::now();
    let expected = r#""conference.member.joined" acW68-room-1"#;

    // A signed message is accepted; a repetition is accepted and not handled again.
    for _ in 0..2 {
        let status = receiver.post(signed(&[SECRET], "msg_1", now, JOINED), JOINED);
        assert_eq!(status.await, StatusCode::NO_CONTENT);
    }
    // During the replacement of a secret there are two signatures; the receiver knows one secret.
    let headers = signed(&[OTHER, SECRET], "msg_2", now, JOINED);
    assert_eq!(receiver.post(headers, JOINED).await, StatusCode::NO_CONTENT);

    // Any other signature is refused.
    let forged = JOINED.replace("Zoë", "Zoe");
    let old = Timestamp::from_millis(now.as_millis() - 600_000);
    let new = Timestamp::from_millis(now.as_millis() + 600_000);
    for (what, headers, body) in [
        ("changed", signed(&[SECRET], "msg_3", now, JOINED), &*forged),
        ("another's", signed(&[OTHER], "msg_4", now, JOINED), JOINED),
        ("old", signed(&[SECRET], "msg_5", old, JOINED), JOINED),
        (
            "of the future",
            signed(&[SECRET], "msg_6", new, JOINED),
            JOINED,
        ),
    ] {
        let status = receiver.post(headers, body).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{what}");
    }
    let bare = receiver.client.post(&receiver.url).body(JOINED).send();
    assert_eq!(bare.await.unwrap().status(), StatusCode::UNAUTHORIZED);
    // Signed bodies that are invalid or too long are refused.
    let headers = signed(&[SECRET], "msg_7", now, "{");
    assert_eq!(receiver.post(headers, "{").await, StatusCode::BAD_REQUEST);
    let long = "x".repeat(1024 * 1024 + 1);
    let headers = signed(&[SECRET], "msg_8", now, &long);
    // A receiver that refuses before it has read the body may close the connection during the request.
    match receiver.send(headers, &long).await {
        Ok(status) => assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE),
        Err(error) => assert!(error.is_request(), "{error:?}"),
    }

    check_connection_reuse(&receiver, now);

    // The last message shows that nothing was printed in between.
    let last = JOINED.replace("acW68-room-1", "acW68-room-9");
    let headers = signed(&[SECRET], "msg_9", now, &last);
    assert_eq!(receiver.post(headers, &last).await, StatusCode::NO_CONTENT);
    for room in [
        "acW68-room-1",
        "acW68-room-1",
        "acW68-room-1",
        "acW68-room-9",
    ] {
        let line = receiver.line();
        let expected = expected.replace("acW68-room-1", room);
        assert!(line.starts_with(&expected), "{line:?} is not {expected:?}");
    }
}

/// Sends refused requests and then an accepted one on a single connection: each refusal comes after its whole body.
fn check_connection_reuse(receiver: &Running, now: Timestamp) {
    let url: Url = receiver.url.parse().unwrap();
    let at = url.socket_addrs(|| None).unwrap()[0];
    let mut stream = TcpStream::connect(at).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let good = signed(&[SECRET], "msg_10", now, JOINED);
    let bad = signed(&[OTHER], "msg_11", now, JOINED);
    let long = format!("{JOINED}{}", " ".repeat(60_000));
    for (path, headers, body, status) in [
        ("/elsewhere", &good, JOINED, 404),
        ("/hook", &bad, &*long, 401),
        ("/hook", &good, JOINED, 204),
    ] {
        let fields: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {at}\r\n{fields}content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        // The body follows late, in two parts.
        let (first, rest) = body.split_at(length / 2);
        for part in [head.as_str(), first, rest] {
            stream.write_all(part.as_bytes()).unwrap();
            stream.flush().unwrap();
        }
        assert_eq!(read_status(&mut answers), status, "{path}");
    }
}

/// Reads the head of an answer, and its body.
fn read_status(answers: &mut impl BufRead) -> u16 {
    let mut length = 0;
    let mut is_chunked = false;
    let mut status = None;
    loop {
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        assert!(!line.contains("connection: close"), "{line}");
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        is_chunked |= line == "transfer-encoding: chunked";
        if line.is_empty() {
            break;
        }
        status = status.or_else(|| line.split(' ').nth(1).map(str::to_owned));
    }
    let mut body = vec![0; length];
    answers.read_exact(&mut body).unwrap();
    if is_chunked {
        // Only the end of an empty body: "0" and an empty line.
        let mut end = [0; 5];
        answers.read_exact(&mut end).unwrap();
        assert_eq!(&end, b"0\r\n\r\n");
    }
    status.unwrap().parse().unwrap()
}

#[tokio::test]
async fn rust_receiver_accepts_only_signed_messages() {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    let program = path.join("receiver");
    assert!(
        program.exists(),
        "{} is missing: build it with \"cargo build --example receiver\"",
        program.display()
    );
    check_receiver(Running::start(program.to_str().unwrap(), &[], &[])).await;
}

#[tokio::test]
#[ignore = "needs the standardwebhooks package of Python: tests/run installs it"]
async fn python_receiver_accepts_only_signed_messages() {
    let python = project("target/receivers/python/bin/python");
    let script = project("examples/receivers/receiver.py");
    let arguments = [script.to_str().unwrap()];
    check_receiver(Running::start(python.to_str().unwrap(), &arguments, &[])).await;
}

#[tokio::test]
#[ignore = "needs the standardwebhooks package of Node.js: tests/run installs it"]
async fn javascript_receiver_accepts_only_signed_messages() {
    // Node.js searches modules beside the script, so it runs as a copy beside the installed packages.
    let script = project("target/receivers/node/receiver.mjs");
    std::fs::copy(project("examples/receivers/receiver.mjs"), &script).unwrap();
    check_receiver(Running::start("node", &[script.to_str().unwrap()], &[])).await;
}
