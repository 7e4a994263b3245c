//! The VoIPBIN API accepts free text, texts to speak, and files to play to one call.

use serde_json::{Value, json};

use super::http::{Answer, Raw};
use super::stage::{DEMO, NODE, Stage};
use super::wire::Form;
use super::{inbound, texts};

async fn post(stage: &Stage, path: &str, body: impl Into<Vec<u8>>) -> Answer {
    let request = Raw::new("POST", format!("/v1.0{path}"), DEMO).body(body);
    stage.send(&request).await
}

/// Creates a conference with this body; `None` if it is refused, as any malformed body may be.
async fn create_conference(stage: &Stage, body: impl Into<Vec<u8>>) -> Option<Value> {
    let answer = post(stage, "/conferences", body).await;
    if answer.status == 200 {
        return Some(answer.json());
    }
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert!(answer.is_envelope(), "{}", answer.text);
    None
}

/// Lets a call enter, run its actions, and hang up meanwhile.
async fn enter_and_hang_up(stage: &Stage, conference: &Value) {
    let session = stage.call(DEMO, inbound("527121100")).await;
    let channel = session.split_once('-').unwrap().1;
    let body = json!({
        "conference_id": conference["id"],
        "reference_type": "call",
        "reference_id": channel,
    });
    let answer = post(stage, "/conferencecalls", body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    stage.until_sent(&format!("sendmsg {channel}\n")).await;
    stage.with_cause("NORMAL_CLEARING");
    let path = format!("/sessions/{session}/commands/hangup");
    stage.ask(DEMO, "POST", &path, None, 202).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn free_text_is_stored_unchanged_and_actions_are_refused_or_harmless() {
    let stage = Stage::start(false).await;
    let (mut spoken, mut played) = (0, 0);
    for text in texts::TEXTS {
        let free = json!({ "name": text, "detail": text, "data": { *text: [text] } });
        let conference = create_conference(&stage, free.to_string())
            .await
            .expect("free text");
        for field in ["name", "detail", "data"] {
            assert_eq!(conference[field], free[field], "{text:?}");
        }

        let talk = json!([{ "type": "talk", "option": { "text": text, "language": text } }]);
        stage.with_text(text);
        let body = json!({ "pre_actions": talk }).to_string();
        if let Some(conference) = create_conference(&stage, body).await {
            enter_and_hang_up(&stage, &conference).await;
            spoken += 1;
        }

        for url in [
            format!("http://127.0.0.1/{text}"),
            format!("http://127.0.0.1/a.wav?{text}"),
            format!("http://{text}/a.wav"),
            (*text).to_owned(),
        ] {
            let play = json!([{ "type": "play", "option": { "stream_urls": [url] } }]);
            let body = json!({ "pre_actions": play }).to_string();
            if let Some(conference) = create_conference(&stage, body).await {
                enter_and_hang_up(&stage, &conference).await;
                played += 1;
            }
        }

        for what in ["type", "id", "next_id"] {
            let mut action = json!({ "type": "beep" });
            action[what] = json!(text);
            let body = json!({ "post_actions": [action] }).to_string();
            assert_eq!(
                create_conference(&stage, body).await,
                None,
                "{what} {text:?}"
            );
        }
        for field in [
            "conference_id",
            "reference_id",
            "reference_type",
            "command_uid",
        ] {
            let mut body = json!({
                "conference_id": conference["id"],
                "reference_type": "call",
                "reference_id": uuid::Uuid::new_v4(),
            });
            body[field] = json!(text);
            let answer = post(&stage, "/conferencecalls", body.to_string()).await;
            // A valid id names a call that does not exist.
            assert!([400, 404].contains(&answer.status), "{}", answer.text);
        }
    }
    for bytes in texts::BYTES {
        let body = [b"{\"name\":\"", *bytes, b"\"}"].concat();
        assert_eq!(create_conference(&stage, body).await, None);
    }
    // Free text belongs to conferences that FreeSWITCH has.
    let named = create_conference(&stage, json!({ "name": "a\n\nb ${x} é" }).to_string()).await;
    let room = format!("{NODE}-room-{}", named.unwrap()["id"].as_str().unwrap());
    let call = stage.call(DEMO, inbound("527121100")).await;
    stage.join(DEMO, &call, &room).await;
    let forms = stage.check();
    assert!(
        spoken > 20 && played > 50,
        "{spoken} spoken, {played} played"
    );
    assert_eq!(forms[&Form::FinishStep], forms[&Form::Step], "{forms:?}");
    assert!(forms[&Form::Step] >= spoken + played, "{forms:?}");
    stage.send_every_form().await;
}
