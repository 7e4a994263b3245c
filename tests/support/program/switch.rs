//! The FreeSWITCH of a test: a simulated node in this process, or a given real server.
//!
//! Owns inbound calls and changes past the controller. Tests read the true state from the server itself, over a
//! separate connection.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use freeswitch_sim::core::{Callee, CalleeOutcome, InboundCall};
use freeswitch_sim::{SimConfig, SimNode};
use serde_json::Value;
use uuid::Uuid;

use super::poll;
use crate::support::process;

/// The dialled number of calls to the simulated node.
pub const DID: &str = "747713001";

/// Numbers of the simulated node's callees: one answers, one is busy, one lets it ring.
pub const ANSWERING: &str = "+4930200";
pub const BUSY: &str = "+4930486";
pub const SILENT: &str = "+4930180";

/// Time limit of an answer.
const ANSWER: Duration = Duration::from_secs(10);

/// A real server, from `host:port:password`.
#[derive(Clone, Debug)]
pub struct RealServer {
    pub address: SocketAddr,
    pub password: String,
}

impl RealServer {
    /// Reads the server given to this run of the tests.
    pub fn from_env() -> Option<Self> {
        let text = std::env::var("ROOMKEEPER_TEST_FREESWITCH").ok()?;
        let mut parts = text.splitn(3, ':');
        let (host, port, password) = (parts.next()?, parts.next()?, parts.next()?);
        let address = format!("{host}:{port}")
            .to_socket_addrs()
            .ok()
            .and_then(|mut found| found.next())
            .unwrap_or_else(|| panic!("{host}:{port} is not an address"));
        Some(Self {
            address,
            password: password.to_owned(),
        })
    }

    /// Runs one `api` command on a new connection.
    pub fn ask(&self, command: &str) -> io::Result<String> {
        ask(self.address, &self.password, command)
    }
}

/// The source of calls on a real server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Line {
    /// `originate` of this endpoint. FreeSWITCH parks its near leg.
    Originate(String),
    /// A loopback call through the dialplan's context `inbound`. Its far leg is the inbound call.
    Inbound,
    /// A SIP call to this `host:port`, by `sipp`.
    Sip(String),
}

impl Line {
    /// Reads the extension given to this run of the tests, or uses the default.
    pub fn from_env() -> Self {
        let endpoint = std::env::var("ROOMKEEPER_TEST_ENDPOINT");
        Self::Originate(endpoint.unwrap_or_else(|_| "loopback/tone/default".to_owned()))
    }
}

pub enum Switch {
    Sim(SimNode),
    Real {
        server: RealServer,
        line: Line,
        app: String,
        /// Calls to end with the test.
        calls: Mutex<Vec<String>>,
        phones: Mutex<Vec<Child>>,
    },
}

/// A placed call.
#[derive(Clone, Debug)]
pub enum PlacedCall {
    /// The channel is known.
    Channel(String),
    /// The dialled number identifies the call later.
    Dialled(String),
}

impl Switch {
    pub async fn simulated(password: &str) -> Self {
        let mut config = SimConfig::default();
        config.node.password = password.to_owned();
        for (number, then) in [
            (ANSWERING, CalleeOutcome::Answers(300_000)),
            (BUSY, CalleeOutcome::Refuses(200_000, 486)),
            (SILENT, CalleeOutcome::Silent),
        ] {
            let rings = Some(50_000);
            let callee = Callee { rings, then };
            config.node.callees.insert(number.to_owned(), callee);
        }
        config.node.missing_contexts = vec!["nowhere".to_owned()];
        Self::Sim(SimNode::start(config).await.expect("a simulated node"))
    }

    pub fn real(server: RealServer, line: Line) -> Self {
        let app = match line {
            // A unique app, so that another controller on the same server takes these calls for foreign ones.
            Line::Originate(_) => format!(
                "{}-{}",
                real_app(),
                &Uuid::new_v4().simple().to_string()[..8]
            ),
            // The server's dialplan names the app.
            Line::Inbound | Line::Sip(_) => real_app(),
        };
        Self::Real {
            server,
            line,
            app,
            calls: Mutex::default(),
            phones: Mutex::default(),
        }
    }

    /// The simulated node.
    pub fn sim(&self) -> &SimNode {
        match self {
            Self::Sim(sim) => sim,
            Self::Real { .. } => panic!("this test is for a simulated node"),
        }
    }

    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Sim(sim) => sim.addr,
            Self::Real { server, .. } => server.address,
        }
    }

    /// Places an inbound call, which FreeSWITCH parks.
    pub async fn place_call(&self, caller: &str, sim_password: &str) -> PlacedCall {
        match self {
            Self::Sim(sim) => PlacedCall::Channel(sim.call_in(DID, caller, &[])),
            Self::Real {
                line: Line::Originate(_),
                app,
                ..
            } => {
                let channel = self
                    .originate(caller, app, ("park", ""), sim_password)
                    .await;
                PlacedCall::Channel(channel)
            }
            Self::Real {
                line: Line::Inbound,
                ..
            } => {
                let did = unique_number();
                self.call_in_to(caller, &did, sim_password).await;
                PlacedCall::Dialled(did)
            }
            Self::Real {
                line: Line::Sip(target),
                phones,
                ..
            } => {
                let did = unique_number();
                let (sip, media) = (process::free_port(), process::free_port());
                let mut phone = process::command("sipp");
                phone
                    .args([
                        target,
                        "-sn",
                        "uac",
                        "-s",
                        &did,
                        "-i",
                        "127.0.0.1",
                        "-m",
                        "1",
                    ])
                    .args(["-mi", "127.0.0.1", "-d", "600000", "-nostdin"])
                    .args(["-p", &sip.to_string(), "-mp", &media.to_string()])
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null());
                phones.lock().unwrap().push(process::spawn(phone));
                PlacedCall::Dialled(did)
            }
        }
    }

    /// Places an inbound call to this number through a real server's dialplan. It lasts until something ends it.
    pub async fn call_in_to(&self, caller: &str, number: &str, sim_password: &str) {
        let Self::Real { calls, .. } = self else {
            panic!("a simulated node has no dialplan");
        };
        let channel = Uuid::new_v4().to_string();
        calls.lock().unwrap().push(channel.clone());
        let call = format!(
            "originate {{origination_uuid={channel},origination_caller_id_number={caller}}}\
             loopback/{number}/inbound &playback(silence_stream://600000)"
        );
        let answer = self.api(sim_password, &call).await;
        assert!(answer.starts_with("+OK"), "originate: {answer}");
    }

    /// Places an inbound call for this app that runs one dialplan application. Returns its channel.
    pub async fn place_call_for(
        &self,
        app: &str,
        caller: &str,
        plan: (&str, &str),
        sim_password: &str,
    ) -> String {
        match self {
            Self::Sim(sim) => sim.call_in_with(InboundCall {
                did: DID.to_owned(),
                caller_name: caller.to_owned(),
                caller_number: caller.to_owned(),
                vars: vec![("roomkeeper_app".to_owned(), app.to_owned())],
                plan: [("answer", ""), plan]
                    .map(|(name, arg)| (name.to_owned(), arg.to_owned()))
                    .to_vec(),
                ..InboundCall::default()
            }),
            Self::Real { .. } => self.originate(caller, app, plan, sim_password).await,
        }
    }

    async fn originate(
        &self,
        caller: &str,
        app: &str,
        (plan, arg): (&str, &str),
        sim_password: &str,
    ) -> String {
        let Self::Real {
            line: Line::Originate(endpoint),
            calls,
            ..
        } = self
        else {
            panic!("only a real server can originate");
        };
        let channel = Uuid::new_v4().to_string();
        calls.lock().unwrap().push(channel.clone());
        let answer = self
            .api(
                sim_password,
                &format!(
                    "originate {{origination_uuid={channel},roomkeeper_app={app},\
                     origination_caller_id_number={caller}}}{endpoint} &{plan}({arg})"
                ),
            )
            .await;
        assert!(answer.starts_with("+OK"), "originate: {answer}");
        channel
    }

    /// Runs one `api` command on the server, past the controller.
    pub async fn api(&self, sim_password: &str, command: &str) -> String {
        let (address, password) = self.credentials(sim_password);
        let command = command.to_owned();
        tokio::task::spawn_blocking(move || ask(address, &password, &command))
            .await
            .unwrap()
            .expect("the server answers")
    }

    /// The server's current channels, on a real server only those of this test.
    pub async fn channels(&self, sim_password: &str) -> BTreeSet<String> {
        let text = self.api(sim_password, "show channels as json").await;
        let list: Value = serde_json::from_str(&text).unwrap_or_default();
        let rows = list["rows"].as_array().cloned().unwrap_or_default();
        let all = rows.iter().filter_map(|row| row["uuid"].as_str());
        match self {
            Self::Sim(_) => all.map(str::to_owned).collect(),
            Self::Real { calls, .. } => {
                let calls = calls.lock().unwrap();
                let ours = all.filter(|uuid| calls.iter().any(|call| call == uuid));
                ours.map(str::to_owned).collect()
            }
        }
    }

    /// True if the server answers.
    pub async fn answers(&self, sim_password: &str) -> bool {
        let (address, password) = self.credentials(sim_password);
        let status = tokio::task::spawn_blocking(move || ask(address, &password, "status"));
        status.await.unwrap().is_ok_and(|text| text.contains("UP"))
    }

    /// Ends calls synchronously, at the end of a test.
    pub fn end_calls(&self, sim_password: &str, channels: &[String]) {
        let (address, password) = self.credentials(sim_password);
        for channel in channels {
            // The call or the server may have ended already.
            let _ = ask(address, &password, &format!("uuid_kill {channel}"));
        }
    }

    fn credentials(&self, sim_password: &str) -> (SocketAddr, String) {
        match self {
            Self::Sim(sim) => (sim.addr, sim_password.to_owned()),
            Self::Real { server, .. } => (server.address, server.password.clone()),
        }
    }

    /// The conference's members with their permission to speak; `None` without such a conference.
    pub async fn members(&self, password: &str, room: &str) -> Option<Vec<(String, bool)>> {
        let text = self.api(password, "conference json_list compact").await;
        let list: Value = serde_json::from_str(&text).unwrap_or_default();
        let conference = list
            .as_array()?
            .iter()
            .find(|c| c["conference_name"] == room)?
            .clone();
        Some(
            conference["members"]
                .as_array()?
                .iter()
                .filter(|m| m["type"] == "caller")
                .map(|m| {
                    (
                        m["uuid"].as_str().unwrap_or_default().to_owned(),
                        m["flags"]["can_speak"] == true,
                    )
                })
                .collect(),
        )
    }

    /// Waits until the server has these members in the room.
    pub async fn until_members(&self, password: &str, room: &str, expected: &[(&str, bool)]) {
        let expected: Vec<(String, bool)> = expected
            .iter()
            .map(|(channel, speaks)| ((*channel).to_owned(), *speaks))
            .collect();
        let what = format!("FreeSWITCH has {expected:?} in {room}");
        poll::until(&what, poll::TIMEOUT, async || {
            let members = self.members(password, room).await.unwrap_or_default();
            (members == expected).then_some(())
        })
        .await;
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let Self::Real {
            server,
            calls,
            phones,
            ..
        } = self
        else {
            return;
        };
        // The server is shared: end all calls of the test.
        for channel in calls.get_mut().unwrap().drain(..) {
            let _ = ask(
                server.address,
                &server.password,
                &format!("uuid_kill {channel}"),
            );
        }
        for phone in phones.get_mut().unwrap() {
            let _ = phone.kill();
            let _ = phone.wait();
        }
    }
}

/// Returns a unique number that identifies the call.
fn unique_number() -> String {
    format!("7{:09}", Uuid::new_v4().as_u128() % 1_000_000_000)
}

/// The app of calls on the real server, or the beginning of its name where the tests choose it.
pub fn real_app() -> String {
    std::env::var("ROOMKEEPER_TEST_APP").unwrap_or_else(|_| "demo".to_owned())
}

/// Runs one `api` command on a new connection.
fn ask(address: SocketAddr, password: &str, command: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    read_message(&mut reader)?;
    write!(stream, "auth {password}\n\n")?;
    let (headers, _) = read_message(&mut reader)?;
    if !headers.contains("+OK") {
        return Err(io::Error::other(headers));
    }
    write!(stream, "api {command}\n\n")?;
    Ok(read_message(&mut reader)?.1)
}

/// Reads one message of the Event Socket. Returns its headers and its body.
pub fn read_message(reader: &mut impl BufRead) -> io::Result<(String, String)> {
    let mut headers = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == "\n" {
            break;
        }
        if let Some(n) = line.strip_prefix("Content-Length: ") {
            length = n.trim().parse().unwrap_or(0);
        }
        headers.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((headers, String::from_utf8_lossy(&body).into_owned()))
}
