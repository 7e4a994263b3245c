//! Malicious tenants and callers: the program refuses their input, or passes it on only where it is plain text.
//!
//! A recorder keeps everything that the controller sends to the node, and a strict reader accepts only known forms of
//! commands. The requests are generated from the document, so that they cover every endpoint.

mod foreign;
mod http;
mod places;
mod recorder;
mod stage;
mod texts;
mod voipbin;
mod wire;

use freeswitch_sim::core::InboundCall;
use proptest::test_runner::{Config, TestRunner};
use roomkeeper_core::ids::AppId;
use serde_json::{Value, json};

use crate::program::poll;
use crate::program::switch::DID;
use http::Raw;
use places::{Place, Subjects};
use stage::{DEMO, NODE, Stage};
use wire::Form;

/// Returns a call to demo's number.
fn inbound(caller: &str) -> InboundCall {
    InboundCall {
        did: DID.to_owned(),
        caller_name: caller.to_owned(),
        caller_number: caller.to_owned(),
        ..InboundCall::default()
    }
}

/// Starts a stage with a room that has a member, and returns every place for a text on it.
async fn places() -> (Stage, Vec<Place>) {
    let stage = Stage::start(false).await;
    let call = stage.call(DEMO, inbound("527121100")).await;
    let room = stage.room(DEMO, "room").await;
    stage.join(DEMO, &call, &room).await;
    let document = stage.document().await;
    let subjects = Subjects {
        room: &room,
        call: &call,
    };
    let places = places::all(&document, &subjects);
    (stage, places)
}

/// Puts the text there, and checks that it is refused as documented, or accepted if the document allows it. Stops a
/// playback once the node has received it.
async fn put(stage: &Stage, place: &Place, text: &[u8]) -> u16 {
    let request = (place.build)(text);
    let answer = stage.send(&request).await;
    let shown = String::from_utf8_lossy(&text[..text.len().min(200)]);
    let what = format!(
        "{}: {shown:?}: {} {}",
        place.name, answer.status, answer.text
    );
    let is_good = std::str::from_utf8(text).is_ok_and(|text| (place.accepts)(text));
    if is_good {
        let refused = answer.status == 400 && place.is_exact;
        assert!(answer.status < 500 && !refused, "{what}");
    } else {
        // An empty text at the end of a path leads to another path, or to none.
        let is_elsewhere = text.is_empty() && place.name.contains(": path");
        let refused = place.refusals.contains(&answer.status);
        assert!(
            refused || (is_elsewhere && [404, 405].contains(&answer.status)),
            "{what}"
        );
    }
    if answer.status >= 300 {
        let bare = place.is_raw && answer.text.is_empty();
        assert!(bare || answer.is_envelope(), "{what}");
    }
    if answer.status == 202 && request.target.ends_with(b"/play") {
        let json = answer.json();
        stage
            .until_sent(json["operation_id"].as_str().unwrap())
            .await;
        let target = String::from_utf8(request.target.clone()).unwrap();
        let stop = target.replace("/play", "/stop");
        let stopped = stage.send(&Raw::new("POST", stop, DEMO)).await;
        assert_eq!(stopped.status, 202, "{}", stopped.text);
    }
    if answer.status == 202 && request.target.ends_with(b"/transfer") {
        let target = String::from_utf8(request.target.clone()).unwrap();
        let cancel = Raw::new("POST", target + "/cancel", DEMO);
        poll::until("the transfer ends", poll::TIMEOUT, async || {
            (stage.send(&cancel).await.status == 409).then_some(())
        })
        .await;
    }
    if answer.status == 202 && request.target.ends_with(b"/gather") {
        let target = String::from_utf8(request.target).unwrap();
        let stop = Raw::new("POST", target + "/stop", DEMO);
        poll::until("the request for digits ends", poll::TIMEOUT, async || {
            (stage.send(&stop).await.status == 409).then_some(())
        })
        .await;
    }
    answer.status
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_in_every_place_is_refused_or_passed_on() {
    let (stage, places) = places().await;
    assert!(places.len() > 50, "{}", places.len());
    let mut passed_on = 0;
    for place in &places {
        for text in texts::TEXTS.iter().map(|text| text.as_bytes()) {
            passed_on += usize::from(put(&stage, place, text).await < 300);
        }
        for bytes in texts::BYTES {
            passed_on += usize::from(put(&stage, place, bytes).await < 300);
        }
    }
    stage.send_every_form().await;
    let forms = stage.check();
    assert!(passed_on > 50, "only {passed_on} texts were passed on");
    assert!(forms[&Form::Play] > 50, "{forms:?}");
    assert!(forms[&Form::Dial] > 3, "{forms:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_a_megabyte_is_refused_in_every_place() {
    let (stage, places) = places().await;
    let long = vec![b'a'; 1_000_000];
    for place in &places {
        let request = (place.build)(&long);
        let answer = stage.send(&request).await;
        let what = format!("{}: {} {}", place.name, answer.status, answer.text);
        if request
            .body
            .as_ref()
            .is_some_and(|body| body.len() > 1_000_000)
        {
            assert_eq!(answer.status, 413, "{what}");
            assert!(answer.is_envelope(), "{what}");
        } else {
            // The server's own parser refuses a head of this size, without a body.
            assert!([414, 431].contains(&answer.status), "{what}");
        }
    }
    stage.send_every_form().await;
}

#[test]
fn generated_texts_are_refused_or_passed_on() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let (stage, places) = runtime.block_on(places());
    let config = Config {
        cases: 768,
        // A sent request has effects, so a smaller case could fail because of the larger one.
        max_shrink_iters: 0,
        failure_persistence: None,
        ..Config::default()
    };
    let strategy = (0..places.len(), texts::generated());
    let outcome = TestRunner::new(config).run(&strategy, |(place, text)| {
        runtime.block_on(put(&stage, &places[place], text.as_bytes()));
        stage.check();
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    runtime.block_on(stage.send_every_form());
    let _inside = runtime.enter();
    drop(stage);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_json_is_refused_and_the_last_of_two_keys_counts() {
    let stage = Stage::start(false).await;
    let create = |body: Vec<u8>| Raw::new("POST", "/api/v1/conferences", DEMO).body(body);
    let nested = |open: &str, close: &str| {
        let (open, close) = (open.repeat(5_000), close.repeat(5_000));
        format!(r#"{{"name":"a","x":{open}1{close}}}"#).into_bytes()
    };
    for (what, body) in [
        (
            "a bad one behind a good one",
            br#"{"name":"a","name":"${x}"}"#.to_vec(),
        ),
        ("deep lists", nested("[", "]")),
        ("deep objects", nested(r#"{"a":"#, "}")),
        (
            "a number out of range",
            br#"{"name":"a","x":1e999}"#.to_vec(),
        ),
        ("a lone surrogate", br#"{"name":"\ud800"}"#.to_vec()),
        (
            "a lone surrogate elsewhere",
            br#"{"name":"a","x":"\udc00\ud800"}"#.to_vec(),
        ),
        (
            "a surrogate pair in reverse",
            br#"{"name":"\udc00\ud800"}"#.to_vec(),
        ),
        ("a NUL", b"{\"name\":\"a\0\"}".to_vec()),
        ("an escaped NUL", br#"{"name":"a\u0000"}"#.to_vec()),
        ("a line break in a text", b"{\"name\":\"a\nb\"}".to_vec()),
        (
            "a byte order mark",
            b"\xef\xbb\xbf{\"name\":\"a\"}".to_vec(),
        ),
        ("UTF-16", b"{\0\"\0n\0".to_vec()),
        ("two bodies", br#"{"name":"a"}{"name":"b"}"#.to_vec()),
        ("a list as name", br#"{"name":["a"]}"#.to_vec()),
        ("a number as name", br#"{"name":1e2}"#.to_vec()),
        ("an object as name", br#"{"name":{"$ref":"a"}}"#.to_vec()),
    ] {
        let answer = stage.send(&create(body)).await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text);
        assert!(answer.is_envelope(), "{what}: {}", answer.text);
    }
    // The harmless key counts, as in every JSON parser that takes the last one.
    let answer = stage
        .send(&create(br#"{"name":"${x}","name":"a"}"#.to_vec()))
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let room = answer.json()["room_id"].as_str().unwrap().to_owned();
    for volume in [
        "1e400",
        "-1e999",
        "99999999999999999999",
        "1e5",
        "0.1",
        "\"2\"",
        "[2]",
        "true",
    ] {
        let target = format!("/api/v1/conferences/{room}/volume");
        let body = format!(r#"{{"volume":{volume}}}"#);
        let answer = stage.send(&Raw::new("POST", target, DEMO).body(body)).await;
        assert_eq!(answer.status, 400, "{volume}: {}", answer.text);
        assert!(answer.is_envelope(), "{volume}: {}", answer.text);
    }
    stage.send_every_form().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_texts_reach_the_app_and_not_the_node() {
    let stage = Stage::start(false).await;
    let room = stage.room(DEMO, "callers").await;
    let (mut calls, mut delivered, mut named) = (0, 0, 0);
    for text in texts::TEXTS {
        let mut call = inbound(text);
        // An invalid name in `roomkeeper_app` is ignored, so the dialled number determines the app.
        if text.parse::<AppId>().is_err() {
            call.vars = vec![("roomkeeper_app".to_owned(), (*text).to_owned())];
            named += 1;
        }
        let session = stage.call(DEMO, call).await;
        let path = format!("/sessions/{session}");
        let shown = stage.ask(DEMO, "GET", &path, None, 200).await;
        calls += 1;
        delivered += usize::from(shown["caller_id"] == **text);
        stage.join(DEMO, &session, &room).await;
        for what in ["conference/unmute", "conference/leave"] {
            let path = format!("/sessions/{session}/commands/{what}");
            stage.ask(DEMO, "POST", &path, None, 202).await;
        }
        stage.until_state(DEMO, &session, "parked").await;
        stage.with_cause("NORMAL_CLEARING");
        let path = format!("/sessions/{session}/commands/hangup");
        stage.ask(DEMO, "POST", &path, None, 202).await;
    }
    assert!(named * 2 > calls, "{named} of {calls} named an app");
    // Most of the callers' texts must arrive, or this test has tried nothing.
    assert!(
        delivered * 2 > calls,
        "{delivered} of {calls} caller ids were delivered unchanged"
    );
    // The app of a call with an unknown dialled number comes from `roomkeeper_app`.
    for text in texts::TEXTS {
        let mut call = inbound("527121100");
        call.did = (*text).to_owned();
        call.vars = vec![("roomkeeper_app".to_owned(), "demo".to_owned())];
        let session = stage.call(DEMO, call).await;
        stage.join(DEMO, &session, &room).await;
    }
    let members = format!("/conferences/{room}/members");
    let listed = stage
        .ask(DEMO, "GET", &format!("{members}?limit=1000"), None, 200)
        .await;
    assert_eq!(
        listed["members"].as_array().unwrap().len(),
        texts::TEXTS.len()
    );
    let forms = stage.check();
    assert_eq!(forms[&Form::Enter], 2 * texts::TEXTS.len(), "{forms:?}");
    stage.send_every_form().await;
}

/// Builds an event of a channel that the node does not have, with any bytes as the caller's number.
fn park_event(core: &str, channel: &str, number: &str) -> Vec<u8> {
    let headers = [
        ("Event-Name", "CHANNEL_PARK"),
        ("Core-UUID", core),
        ("Event-Sequence", "999999"),
        ("Event-Date-Timestamp", "1700000000000000"),
        ("Unique-ID", channel),
        ("Channel-State", "CS_EXECUTE"),
        ("Channel-Call-State", "ACTIVE"),
        ("Answer-State", "answered"),
        ("Call-Direction", "inbound"),
        ("Caller-Direction", "inbound"),
        ("Caller-Caller-ID-Number", number),
        ("Caller-Destination-Number", DID),
        ("Caller-Channel-Created-Time", "1700000000000000"),
    ];
    let mut event: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect();
    event.push('\n');
    let length = event.len();
    format!("Content-Length: {length}\nContent-Type: text/event-plain\n\n{event}").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_utf8_from_a_caller_is_handled() {
    let stage = Stage::start(false).await;
    let room = stage.room(DEMO, "bytes").await;
    let core = stage.sim.snapshot().core_uuid;
    for (n, bytes) in texts::BYTES.iter().enumerate() {
        let channel = format!("00000000-0000-4000-8000-{n:012}");
        stage.with_channel(&channel);
        let event = park_event(
            &core,
            &channel,
            &format!("{}%0A%27%24%7Bx%7D", http::encoded(bytes)),
        );
        assert!(stage.sim.send_garbage(&event) > 0, "somebody listens");
        let session = format!("{NODE}-{channel}");
        let path = format!("/api/v1/sessions/{session}");
        let shown: Value = crate::program::poll::until(
            "the call is seen",
            crate::program::poll::TIMEOUT,
            async || {
                let answer = stage.send(&Raw::new("GET", path.clone(), DEMO)).await;
                (answer.status == 200).then(|| answer.json())
            },
        )
        .await;
        assert!(
            shown["caller_id"].as_str().unwrap().contains("${x}"),
            "{shown}"
        );
        // Only the node knows that it has no such channel: the controller sends the command.
        let join = format!("/sessions/{session}/commands/conference/join");
        stage
            .ask(DEMO, "POST", &join, Some(&json!({"room_id": room})), 404)
            .await;
    }
    let forms = stage.check();
    assert_eq!(forms[&Form::Enter], texts::BYTES.len(), "{forms:?}");
    stage.send_every_form().await;
}
