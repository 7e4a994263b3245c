//! docs/softphone.md on a real FreeSWITCH: a phone with the page's user, password and number registers, calls, and talks in a
//! room.

use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use super::register;
use crate::freeswitch::{say, world};
use crate::lab::Lab;
use crate::program::freeswitch::{FreeSwitch, installed};
use crate::program::poll;
use crate::program::switch::{Line, PlacedCall, real_app};
use crate::program::world::Store;
use crate::support::process;

const ESL_PASSWORD: &str = "a-test-of-softphones";

/// The values of the page.
struct Page {
    user: String,
    password: String,
    number: String,
}

impl Page {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/softphone.md");
        let text = std::fs::read_to_string(path).unwrap();
        // The first quoted value behind this text.
        let value = |before: &str| {
            let (_, rest) = text.split_once(before).unwrap();
            rest.split('`').nth(1).unwrap().to_owned()
        };
        Self {
            user: value("| user name, authentication name |"),
            password: value("| password |"),
            number: value("Dial "),
        }
    }
}

/// A calling phone.
struct Phone {
    child: Child,
    dir: tempfile::TempDir,
}

impl Drop for Phone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let read = |name| std::fs::read_to_string(self.dir.path().join(name));
            eprintln!("--- sipp ---\n{}", read("messages").unwrap_or_default());
        }
    }
}

impl Phone {
    /// Calls the page's number at this FreeSWITCH.
    fn call(page: &Page, server: &FreeSwitch) -> Self {
        let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/walk/node/softphone.xml");
        let dir = tempfile::tempdir().unwrap();
        // A loud noise in PCMU, which has no silence that a room could overhear.
        let voice: Vec<u8> = (0..16_000_u32).map(|n| (n * n % 37) as u8).collect();
        std::fs::write(dir.path().join("voice.ulaw"), voice).unwrap();
        let (sip, media) = (process::free_port(), process::free_port());
        let mut phone = process::command("sipp");
        phone
            .current_dir(dir.path())
            .arg(server.phones.to_string())
            .args(["-sf", scenario, "-m", "1", "-nostdin", "-s", &page.number])
            .args(["-key", "user", &page.user])
            .args(["-au", &page.user, "-ap", &page.password])
            .args(["-i", "127.0.0.1", "-mi", "127.0.0.1"])
            .args(["-p", &sip.to_string(), "-mp", &media.to_string()])
            .args(["-trace_msg", "-message_file", "messages"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = process::spawn(phone);
        Self { child, dir }
    }

    /// Waits for the phone's end, which is a success only after a BYE.
    async fn until_hung_up(&mut self) {
        let status = poll::until("the phone is done", poll::TIMEOUT, async || {
            self.child.try_wait().unwrap()
        })
        .await;
        assert!(status.success(), "the phone got no BYE");
    }
}

/// Waits until FreeSWITCH hears a member of this room whose caller has this number.
async fn until_talking(node: &FreeSwitch, room: &str, caller: &str) {
    poll::until(
        "the phone's sound is in the room",
        poll::TIMEOUT,
        async || {
            let list = node.api(&format!("conference {room} json_list")).await;
            let list: Value = serde_json::from_str(&list).ok()?;
            let members = list[0]["members"].as_array()?.clone();
            let member = members
                .into_iter()
                .find(|member| member["caller_id_number"] == caller)?;
            (member["flags"]["talking"] == true).then_some(())
        },
    )
    .await;
}

fn missing() -> bool {
    let missing = installed().is_none() || !process::installed("sipp");
    if missing {
        say("FreeSWITCH or sipp is not installed: docs/softphone.md was not walked.\n");
    }
    missing
}

#[tokio::test(flavor = "multi_thread")]
async fn softphone_talks_in_a_room_behind_the_edge() {
    if missing() {
        return;
    }
    let (program, page) = (installed().unwrap(), Page::read());
    let node = FreeSwitch::start(
        program.clone(),
        &[("RK_ESL_PASSWORD", ESL_PASSWORD), ("RK_APP", &real_app())],
    )
    .await;
    // As the service `phones` of docker-compose.yml.
    let edge = FreeSwitch::start(
        program,
        &[
            ("RK_ESL_PASSWORD", ESL_PASSWORD),
            ("RK_PHONE_ADDRESS", "127.0.0.1"),
            ("RK_PHONE_PASSWORD", &page.password),
            ("RK_FORWARD_TO", &node.sip.to_string()),
        ],
    )
    .await;
    let world = world(&node.server, Line::Inbound, Store::Memory).await;
    assert!(register(&edge, &page.user, &page.user, &page.password).await);
    let mut phone = Phone::call(&page, &edge);
    let number = PlacedCall::Dialled(page.number.clone());
    let call = world.placed_call_id(&number).await;
    let webhook = world.receiver.first(&call, "call.new").await;
    assert_eq!(webhook.body["data"]["caller_id"], *page.user);
    let room = world.room("softphone").await;
    world.join(&call, &room).await;
    // On a busy machine FreeSWITCH may answer late (504). The command sets a state, so it can be repeated.
    poll::until("the call is unmuted", poll::TIMEOUT, async || {
        let unmuted = world.command(&call, "conference/unmute", &json!({})).await;
        matches!(unmuted.status, 200 | 202).then_some(())
    })
    .await;
    until_talking(&node, &room, &page.user).await;
    let ended = world.command(&call, "hangup", &json!({})).await;
    assert_eq!(ended.status, 202, "{}", ended.body);
    world.receiver.first(&call, "call.hangup").await;
    phone.until_hung_up().await;

    // A phone that dials the room's id is in it at once.
    let direct = Page {
        number: room.clone(),
        ..page
    };
    let mut phone = Phone::call(&direct, &edge);
    let joined = world
        .receiver
        .nth(&room, "conference.member.joined", 2)
        .await;
    assert_eq!(joined.body["data"]["caller_id"], *direct.user);
    until_talking(&node, &room, &direct.user).await;
    let call = joined.body["session_uuid"].as_str().unwrap().to_owned();
    let ended = world.command(&call, "hangup", &json!({})).await;
    assert_eq!(ended.status, 202, "{}", ended.body);
    phone.until_hung_up().await;
    say(
        "docs/softphone.md: a phone registers at the edge, calls, joins a room through the controller, and is heard there; \
         a second one dials the room's id.\n",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn softphone_talks_in_the_room_of_a_lab_on_freeswitch() {
    if missing() {
        return;
    }
    let page = Page::read();
    let node = FreeSwitch::start(
        installed().unwrap(),
        &[
            ("RK_ESL_PASSWORD", ESL_PASSWORD),
            ("RK_PHONE_PASSWORD", &page.password),
        ],
    )
    .await;
    let address = node.server.address.to_string();
    let lab = Lab::start(
        &["--freeswitch", &address],
        &[("RK_ESL_PASSWORD", ESL_PASSWORD)],
    )
    .await;
    let lobby = lab.lobby().await;
    assert_eq!(lab.members(&lobby).await, 3);
    // Its own members talk there by turns.
    poll::until("a member of the demo talks", poll::TIMEOUT, async || {
        let list = node.api(&format!("conference {lobby} json_list")).await;
        let list: Value = serde_json::from_str(&list).ok()?;
        let mut members = list[0]["members"].as_array()?.iter();
        members
            .any(|member| member["flags"]["talking"] == true)
            .then_some(())
    })
    .await;

    assert!(register(&node, &page.user, &page.user, &page.password).await);
    let mut phone = Phone::call(&page, &node);
    let call = poll::until("the phone's call is parked", poll::TIMEOUT, async || {
        let calls = lab.calls().await.into_iter();
        let mut own = calls.filter(|call| call["caller_id"] == *page.user);
        let call = own.find(|call| call["state"] == "parked")?;
        Some(call["uuid"].as_str().unwrap().to_owned())
    })
    .await;
    let path = format!("/sessions/{call}/commands/conference/join");
    let body = json!({ "room_id": lobby, "muted": false });
    assert_eq!(lab.ask("POST", &path, Some(body)).await.0, 202);
    until_talking(&node, &lobby, &page.user).await;
    let path = format!("/sessions/{call}/commands/hangup");
    assert_eq!(lab.ask("POST", &path, None).await.0, 202);
    phone.until_hung_up().await;

    lab.stop().await;
    poll::until("the lab's calls have ended", poll::TIMEOUT, async || {
        let channels = node.api("show channels count").await;
        channels.contains("0 total").then_some(())
    })
    .await;
    say(
        "docs/softphone.md: a phone talks in the room of `lab --freeswitch`, which leaves no call behind.\n",
    );
}
