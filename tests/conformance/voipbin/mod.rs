//! The VoIPBIN API, held against its four documents: a conference is a room, a conferencecall a stay in one.

pub mod access;
pub mod actions;
pub mod calls;
pub mod conferences;
pub mod connect;
pub mod recordings;
pub mod timeout;

use std::time::Duration;

use serde_json::{Value, json};

use crate::program::controller::Answer;
use crate::program::poll;
use crate::row::{App, Call, Row};
use crate::shape::{UUID, VOIPBIN_TIME};

/// "Timestamps set to 9999-01-01 00:00:00.000000 indicate the event has not yet occurred."
pub const NEVER: &str = "9999-01-01 00:00:00.000000";

/// "Set to 00000000-0000-0000-0000-000000000000 if no recording is active."
pub const NIL: &str = "00000000-0000-0000-0000-000000000000";

/// How exact a deadline is met. The machine may be busy, and the answer that shows it takes its time.
const LATE: Duration = Duration::from_secs(8);

/// A conference as it is right after it was made with nothing said of it, but for what is put in its place.
pub fn new_conference(but: &Value) -> Value {
    let mut body = json!({
        "id": UUID,
        "customer_id": UUID,
        "type": "conference",
        "status": "progressing",
        "name": "",
        "detail": "",
        "data": {},
        "timeout": 0,
        "pre_actions": [],
        "post_actions": [],
        "conferencecall_ids": [],
        "recording_id": NIL,
        "recording_ids": [],
        "tm_create": VOIPBIN_TIME,
        "tm_update": NEVER,
        "tm_delete": NEVER,
    });
    for (name, value) in but.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

impl Row<'_> {
    pub async fn v(&self, method: &str, path: &str, body: Value) -> Answer {
        self.v_as(&self.app, method, path, body).await
    }

    pub async fn v_as(&self, app: &App, method: &str, path: &str, body: Value) -> Answer {
        let path = format!("/v1.0{path}");
        let body = Some(&body).filter(|body| !body.is_null());
        self.ask(app, method, &path, body).await
    }

    /// A good answer.
    pub async fn good(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.v(method, path, body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// Makes a conference on the node where the calls are; its id.
    pub async fn conference(&self, mut body: Value) -> String {
        body["node"] = json!(self.node());
        let made = self.good("POST", "/conferences", body).await;
        let id = made["id"].as_str().unwrap().to_owned();
        self.note(&self.room_of_conference(&id));
        id
    }

    /// The same, as the gateway API names it.
    pub fn room_of_conference(&self, id: &str) -> String {
        format!("{}-room-{id}", self.node())
    }

    pub async fn conference_is(&self, id: &str) -> Value {
        self.good("GET", &format!("/conferences/{id}"), Value::Null)
            .await
    }

    pub async fn call_is(&self, id: &str) -> Value {
        self.good("GET", &format!("/conferencecalls/{id}"), Value::Null)
            .await
    }

    pub async fn recording_is(&self, id: &str) -> Value {
        self.good("GET", &format!("/recordings/{id}"), Value::Null)
            .await
    }

    /// The answer to a call's request to join.
    pub async fn enters(&self, conference: &str, call: &Call) -> Answer {
        let body = json!({
            "conference_id": conference,
            "reference_type": "call",
            "reference_id": call.channel,
        });
        self.v("POST", "/conferencecalls", body).await
    }

    /// Sends the call in; the conferencecall's id.
    pub async fn sent(&self, conference: &str, call: &Call) -> String {
        let answer = self.enters(conference, call).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.text("id")
    }

    /// Waits until the conferencecall has come so far.
    pub async fn until_call(&self, id: &str, status: &str) {
        poll::until(&format!("{id} is {status}"), poll::PATIENCE, async || {
            (self.call_is(id).await["status"] == status).then_some(())
        })
        .await;
    }

    pub async fn until_conference(&self, id: &str, status: &str) -> Value {
        poll::until(&format!("{id} is {status}"), poll::PATIENCE, async || {
            let conference = self.conference_is(id).await;
            (conference["status"] == status).then_some(conference)
        })
        .await
    }

    /// A call that has joined the conference, and its conferencecall.
    pub async fn inside(&self, conference: &str) -> (Call, String) {
        let call = self.call().await;
        let stay = self.sent(conference, &call).await;
        self.until_call(&stay, "joined").await;
        (call, stay)
    }

    /// Waits until the call is busy with an action.
    pub async fn until_acting(&self, call: &Call) {
        poll::until(
            "the call is busy with an action",
            poll::PATIENCE,
            async || (self.place(call).await.0 == "acting").then_some(()),
        )
        .await;
    }
}
