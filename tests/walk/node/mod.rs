//! The walk on a real FreeSWITCH with the project's configuration, and checks of this configuration. Runs wherever a
//! FreeSWITCH is installed; the server of [`crate::freeswitch`] is configured by others.

mod dial;
mod relay;
mod softphone;

use std::collections::BTreeSet;
use std::io::BufReader;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use freeswitch_esl::CONFERENCE_SUBCLASS;
use roomkeeper::node::{EVENTS, FENCE_SUBCLASS};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;

use crate::bench;
use crate::freeswitch::{say, walk_on, world};
use crate::program::freeswitch::{EventCounter, FreeSwitch, configuration, installed};
use crate::program::media::MediaServer;
use crate::program::poll;
use crate::program::switch::{Line, PlacedCall, RealServer, read_message, real_app};
use crate::program::world::{PASSWORD, Store};
use crate::support::process;

/// The secrets of the lab's node, only for this test.
const ESL_PASSWORD: &str = "a-test-of-the-node";
const PHONE_PASSWORD: &str = "a-test-of-phones";

/// FreeSWITCH sends HEARTBEAT every 20 s.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// FreeSWITCH's default password.
const DEFAULT_PASSWORD: &str = "ClueCon";

#[tokio::test(flavor = "multi_thread")]
async fn walk_succeeds_on_the_projects_configuration() {
    let Some(program) = installed() else {
        say("No FreeSWITCH is installed: freeswitch-conf/ was checked as text only.\n");
        return;
    };
    let app = real_app();
    let mut node = FreeSwitch::start(
        program,
        &[
            ("RK_ESL_PASSWORD", ESL_PASSWORD),
            ("RK_ESL_ACL", "127.0.0.1/32"),
            ("RK_PHONE_PASSWORD", PHONE_PASSWORD),
            ("RK_APP", &app),
        ],
    )
    .await;
    let version = node.api("version").await;
    say(&format!(
        "\nfreeswitch-conf/ on a real FreeSWITCH: {}\n",
        version.trim()
    ));
    let subclasses = [CONFERENCE_SUBCLASS, FENCE_SUBCLASS];
    let events = EventCounter::on(&node.server, &EVENTS, &subclasses).await;

    say(&modules(&node).await);
    only_allowed_clients_log_in(&node.server).await;
    variables_expand_no_api_call(&node).await;

    walk_on(&node.server, Line::Inbound, Store::Redis).await;
    files_play_and_are_recorded_and_dialling_a_room_joins_it(&node.server).await;
    bench::measures_and_leaves_nothing_behind(&node.server).await;
    if process::installed("sipp") {
        let sip = node.sip.to_string();
        walk_on(&node.server, Line::Sip(sip), Store::Memory).await;
        phones_register(&node).await;
        caller_with_few_forwards_stays(&node).await;
    } else {
        say("sipp is not installed: no SIP call, no phone registration.\n");
    }

    // The walk ends with the shutdown. It dials no call and lets nobody listen; other tests do.
    let elsewhere = [
        "SHUTDOWN",
        "CHANNEL_PROGRESS",
        "CHANNEL_PROGRESS_MEDIA",
        "MEDIA_BUG_START",
    ];
    for name in EVENTS.iter().filter(|name| !elsewhere.contains(name)) {
        events.until_received(name, HEARTBEAT).await;
    }
    for subclass in subclasses {
        events.until_received(subclass, poll::TIMEOUT).await;
    }
    assert_eq!(events.count("SHUTDOWN"), 0);
    node.terminate().await;
    events.until_received("SHUTDOWN", poll::TIMEOUT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_without_settings_refuses_all_logins() {
    let Some(program) = installed() else {
        return;
    };
    let node = FreeSwitch::start_without_waiting(program, &[]);
    poll::until(
        "the Event Socket listens",
        Duration::from_secs(60),
        async || TcpStream::connect(node.server.address).ok(),
    )
    .await;
    for guess in [DEFAULT_PASSWORD, "", "$${rk_esl_password}", "_undef_"] {
        let reply = log_in(node.server.address, guess).await;
        assert_eq!(reply.as_deref(), Some("-ERR invalid"), "with {guess:?}");
    }
}

/// Returns the server's reply to this password; `None` if it sends nothing or does not accept input.
async fn log_in(address: SocketAddr, password: &str) -> Option<String> {
    let password = password.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).ok()?;
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let (greeting, _) = read_message(&mut reader).ok()?;
        if !greeting.contains("auth/request") {
            return None;
        }
        write!(stream, "auth {password}\n\n").ok()?;
        let (reply, _) = read_message(&mut reader).ok()?;
        let text = reply
            .lines()
            .find_map(|line| line.strip_prefix("Reply-Text: "))?;
        Some(text.to_owned())
    })
    .await
    .unwrap()
}

async fn only_allowed_clients_log_in(server: &RealServer) {
    let reply = log_in(server.address, &server.password).await;
    assert_eq!(reply.as_deref(), Some("+OK accepted"));
    let reply = log_in(server.address, "another-password").await;
    assert_eq!(reply.as_deref(), Some("-ERR invalid"));
    // From another address of this machine, with the right password.
    let socket = TcpSocket::new_v4().unwrap();
    let elsewhere = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0));
    socket.bind(elsewhere).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let mut reply = String::new();
    // The server ends the connection in any case.
    let _ = stream.read_to_string(&mut reply).await;
    assert!(reply.contains("text/rude-rejection"), "{reply:?}");
    assert!(!reply.contains("auth/request"), "{reply:?}");
}

/// Checks that each module of the list runs or is not installed. Returns the line to print.
async fn modules(node: &FreeSwitch) -> String {
    let folder = node.api("global_getvar mod_dir").await;
    let folder = Path::new(folder.trim());
    let text = std::fs::read_to_string(configuration().join("configuration/core.xml")).unwrap();
    let modules: Vec<&str> = text
        .split("<load module=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(modules.len() >= 15, "{modules:?}");
    let (mut missing, mut runs) = (Vec::new(), 0);
    for module in modules {
        let answer = node.api(&format!("module_exists {module}")).await;
        if answer.trim() == "true" {
            runs += 1;
        } else {
            let file = folder.join(format!("{module}.so"));
            assert!(!file.exists(), "{module} is installed and does not run");
            let log = node.log();
            assert!(log.contains(module), "the log does not name {module}");
            missing.push(module);
        }
    }
    match missing.as_slice() {
        [] => format!("All {runs} modules run.\n"),
        missing => format!(
            "{runs} modules run; not installed, and named in the log: {}.\n",
            missing.join(", ")
        ),
    }
}

/// Sets a channel's variable to this text by `sendmsg`; returns its value.
async fn set_on_a_channel(node: &FreeSwitch, channel: &str, text: &str) -> String {
    let (server, message) = (
        node.server.clone(),
        format!(
            "sendmsg {channel}\ncall-command: execute\nexecute-app-name: set\n\
             execute-app-arg: rk_probe=<{text}>\nevent-lock: true\n\n"
        ),
    );
    node.api(&format!("uuid_setvar {channel} rk_probe")).await;
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        read_message(&mut reader).unwrap();
        write!(stream, "auth {}\n\n{message}", server.password).unwrap();
        for _ in 0..2 {
            let (reply, _) = read_message(&mut reader).unwrap();
            assert!(reply.contains("+OK"), "{reply}");
        }
    })
    .await
    .unwrap();
    let ask = format!("uuid_getvar {channel} rk_probe");
    poll::until("the variable is set", poll::TIMEOUT, async || {
        let value = node.api(&ask).await;
        value.starts_with('<').then_some(value)
    })
    .await
}

async fn variables_expand_no_api_call(node: &FreeSwitch) {
    let channel = uuid::Uuid::new_v4().to_string();
    let call = format!("originate {{origination_uuid={channel}}}loopback/1/inbound &park()");
    assert!(node.api(&call).await.starts_with("+OK"));
    let probe = "${expr_is_not_here}${uptime(s)}";
    let digits = |value: &str| value.contains(|c: char| c.is_ascii_digit());
    let value = set_on_a_channel(node, &channel, probe).await;
    assert!(!digits(&value), "the API call was expanded: {value}");
    let proof = node.folder("temp").join("called");
    let touch = format!("${{system(touch {})}}", proof.display());
    set_on_a_channel(node, &channel, &touch).await;
    assert!(!proof.exists(), "an API call was executed");
    // Where expansion is allowed, the probe shows it.
    node.api("fsctl api_expansion on").await;
    let value = set_on_a_channel(node, &channel, probe).await;
    assert!(digits(&value), "the probe does not work: {value}");
    node.api("fsctl api_expansion off").await;
    node.api(&format!("uuid_kill {channel}")).await;
}

async fn files_play_and_are_recorded_and_dialling_a_room_joins_it(server: &RealServer) {
    let world = world(server, Line::Inbound, Store::Memory).await;
    let media = MediaServer::start().await;
    let session = world.call("527121100").await;
    let room = world.room("sounds").await;
    world.join(&session, &room).await;
    let path = |what: &str| format!("/conferences/{room}/{what}");
    let ask = async |what: &str, body| {
        let answer = world.controller.ask("POST", &path(what), Some(&body)).await;
        assert_eq!(answer.status, 202, "{what}: {}", answer.body);
        answer.body
    };

    let recording = ask("recording/start", json!({})).await;
    let recording = recording["recording_id"].as_str().unwrap().to_owned();
    let webhook = world
        .receiver
        .first(&room, "conference.recording.started")
        .await;
    assert_eq!(webhook.body["data"]["recording_id"], *recording);
    let url = media.add("tone.wav", Some(Duration::from_millis(600)));
    ask("play", json!({ "urls": [url] })).await;
    let finished = world
        .receiver
        .first(&room, "conference.play.finished")
        .await;
    assert_eq!(finished.body["data"]["errors"], json!([]));
    ask("recording/stop", json!({})).await;
    world
        .receiver
        .first(&room, "conference.recording.stopped")
        .await;
    let file = std::fs::metadata(world.recording(&recording)).unwrap();
    assert!(file.len() > 8_000, "half a second of sound is more");

    // Another caller dials the room itself.
    world.switch.call_in_to("527121199", &room, PASSWORD).await;
    let joined = world
        .receiver
        .nth(&room, "conference.member.joined", 2)
        .await;
    assert_eq!(joined.body["data"]["caller_id"], "527121199");
    assert_eq!(joined.body["data"]["muted"], false);
    world.check_members(&room).await;
    let second = joined.body["session_uuid"].as_str().unwrap().to_owned();
    let left = world.command(&second, "conference/leave", &json!({})).await;
    assert_eq!(left.status, 202, "{}", left.body);
    poll::until(
        "the call is parked, not hung up",
        poll::TIMEOUT,
        async || {
            let (state, _) = world.call_state(&second).await;
            (state == "parked").then_some(())
        },
    )
    .await;
    for call in [&session, &second] {
        let answer = world.command(call, "hangup", &json!({})).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        world.receiver.first(call, "call.hangup").await;
    }
    world.receiver.check_sequences();
    say("Files play and are recorded; a caller who dials a room's id is in it.\n");
}

/// Checks that a SIP caller with `Max-Forwards: 3` joins and leaves 20 times, and stays until FreeSWITCH ends the call.
async fn caller_with_few_forwards_stays(node: &FreeSwitch) {
    const ROUNDS: usize = 20;
    let world = world(&node.server, Line::Inbound, Store::Memory).await;
    let room = world.room("few").await;
    let scenario = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/walk/node/few_forwards.xml"
    );
    let did = "7555000003".to_owned();
    let (sip, media) = (process::free_port(), process::free_port());
    let mut phone = process::command("sipp");
    phone
        .arg(node.sip.to_string())
        .args(["-sf", scenario, "-m", "1", "-nostdin", "-s", &did])
        .args(["-i", "127.0.0.1", "-mi", "127.0.0.1"])
        .args(["-p", &sip.to_string(), "-mp", &media.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut phone = process::spawn(phone);
    let session = world.placed_call_id(&PlacedCall::Dialled(did)).await;
    let channel = world.channel(&session).to_owned();
    let forwards = node
        .api(&format!("uuid_getvar {channel} max_forwards"))
        .await;
    assert_eq!(forwards.trim(), "3", "FreeSWITCH took the header");
    for n in 1..=ROUNDS {
        world.join(&session, &room).await;
        let left = world
            .command(&session, "conference/leave", &json!({}))
            .await;
        assert_eq!(left.status, 202, "{}", left.body);
        world.receiver.nth(&room, "conference.member.left", n).await;
        poll::until("the call is parked", poll::TIMEOUT, async || {
            let (state, _) = world.call_state(&session).await;
            (state == "parked").then_some(())
        })
        .await;
    }
    let answer = world.command(&session, "hangup", &json!({})).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    world.receiver.first(&session, "call.hangup").await;
    let status = poll::until("the phone is done", poll::TIMEOUT, async || {
        phone.try_wait().unwrap()
    })
    .await;
    assert!(status.success(), "the caller got no BYE");
    say("A SIP caller with Max-Forwards: 3 joined and left 20 times.\n");
}

/// Registers with these names and this password; returns true if FreeSWITCH accepts them.
async fn register(node: &FreeSwitch, user: &str, login: &str, password: &str) -> bool {
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/walk/node/register.xml");
    let (sip, media) = (process::free_port(), process::free_port());
    let mut phone = process::command("sipp");
    phone
        .arg(node.phones.to_string())
        .args(["-sf", scenario, "-m", "1", "-nostdin"])
        .args(["-s", user, "-au", login, "-ap", password])
        .args(["-i", "127.0.0.1", "-mi", "127.0.0.1"])
        .args(["-p", &sip.to_string(), "-mp", &media.to_string()])
        .args(["-timeout", "15s", "-recv_timeout", "10000"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut phone = process::spawn(phone);
    let status = poll::until("the phone is done", poll::TIMEOUT, async || {
        phone.try_wait().unwrap()
    })
    .await;
    status.success()
}

async fn phones_register(node: &FreeSwitch) {
    assert!(register(node, "1001", "1001", PHONE_PASSWORD).await);
    let users = || async {
        let text = node.api("show registrations as json").await;
        let list: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let rows = list["rows"].as_array().cloned().unwrap_or_default();
        let users = rows.iter().filter_map(|row| row["reg_user"].as_str());
        users.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    poll::until("the phone is known", poll::TIMEOUT, async || {
        users().await.contains("1001").then_some(())
    })
    .await;
    assert!(!register(node, "1002", "1002", "another-password").await);
    assert!(
        !register(node, "1009", "1009", PHONE_PASSWORD).await,
        "nobody"
    );
    assert!(
        !register(node, "1003", "1001", PHONE_PASSWORD).await,
        "under another's name"
    );
    assert_eq!(users().await, BTreeSet::from(["1001".to_owned()]));
    say("A phone registers, with its own name and the password alone.\n");
}
