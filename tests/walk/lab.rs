//! `roomkeeper lab`, as a newcomer runs it: the printed commands work and have the printed effects.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::program::controller::binary;
use crate::program::poll::{self, TIMEOUT};
use crate::support::process;

/// The lab's process, killed with the test.
struct Lab {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    /// Directory of its admin key.
    _state: tempfile::TempDir,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lab {
    fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut command = binary();
        command
            .env("XDG_STATE_HOME", state.path())
            .args(["lab", "--port", "0", "--admin-port", "0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut child = process::spawn(command);
        let out = child.stdout.take().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                seen.lock().unwrap().push(line);
            }
        });
        Self {
            child,
            lines,
            _state: state,
        }
    }

    async fn line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        poll::until(what, TIMEOUT, async || {
            let lines = self.lines.lock().unwrap();
            lines.iter().find(|line| wanted(line)).cloned()
        })
        .await
    }
}

/// Parses method, URL and headers of a printed `curl` line.
fn parse_curl(line: &str) -> (String, String, Vec<(String, String)>) {
    let mut words = Vec::new();
    for (i, part) in line.split('\'').enumerate() {
        if i % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    let mut words = words.into_iter();
    assert_eq!(words.next().as_deref(), Some("curl"), "{line}");
    let (mut method, mut url, mut headers) = ("GET".to_owned(), None, Vec::new());
    while let Some(word) = words.next() {
        match word.as_str() {
            "-X" => method = words.next().unwrap(),
            "-H" => {
                let header = words.next().unwrap();
                let (name, value) = header.split_once(": ").unwrap();
                headers.push((name.to_owned(), value.to_owned()));
            }
            _ => assert!(url.replace(word).is_none(), "{line}"),
        }
    }
    (method, url.unwrap(), headers)
}

#[tokio::test(flavor = "multi_thread")]
async fn printed_commands_of_the_lab_work() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut lab = Lab::start();
    lab.line("the lab is ready", |line| {
        line.contains("Ctrl-C ends the lab")
    })
    .await;
    let joined = lab
        .line("two callers joined", |line| {
            line.contains("conference.member.joined")
        })
        .await;
    assert!(joined.contains("\"muted\":true"), "{joined}");
    let curl = lab
        .line("a command to try", |line| {
            let line = line.trim();
            line.starts_with("curl ") && line.contains("/unmute ")
        })
        .await;
    let (method, url, headers) = parse_curl(curl.trim());
    let session = url.split('/').nth(6).unwrap().to_owned();
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .build()
        .unwrap();
    let mut request = client.request(method.parse().unwrap(), &url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 202, "{curl}");
    lab.line("the webhook is printed", |line| {
        line.contains("conference.member.unmuted") && line.contains(&session)
    })
    .await;

    // The other printed requests succeed, too.
    let lines = lab.lines.lock().unwrap().clone();
    let reads: Vec<_> = lines
        .iter()
        .map(|line| line.trim())
        .filter(|line| line.starts_with("curl http"))
        .collect();
    assert!(reads.len() >= 3, "{reads:?}");
    for line in reads {
        let (_, url, headers) = parse_curl(line);
        let mut request = client.get(&url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{line}");
    }

    kill_process(Pid::from_child(&lab.child), Signal::INT).unwrap();
    let status = poll::until("the lab ends", Duration::from_secs(10), async || {
        lab.child.try_wait().unwrap()
    })
    .await;
    assert_eq!(status.code(), Some(0));
}
