//! The VoIPBIN API, compared with its four documents: a conference is a room, a conferencecall a membership.

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

/// Tolerance for a deadline. The machine may be busy, and the answer that shows it takes its time.
const LATE: Duration = Duration::from_secs(8);

/// Returns a conference right after a creation with an empty body, with the fields of `but` in place of the defaults.
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

    /// Sends a request, checks for 200 and returns the body.
    pub async fn send_ok(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.v(method, path, body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// Creates a conference on the node where the calls are; returns its id.
    pub async fn conference(&self, mut body: Value) -> String {
        body["node"] = json!(self.node());
        let made = self.send_ok("POST", "/conferences", body).await;
        let id = made["id"].as_str().unwrap().to_owned();
        self.note(&self.room_of_conference(&id));
        id
    }

    /// Returns the conference's room id in the gateway API.
    pub fn room_of_conference(&self, id: &str) -> String {
        format!("{}-room-{id}", self.node())
    }

    pub async fn read_conference(&self, id: &str) -> Value {
        self.send_ok("GET", &format!("/conferences/{id}"), Value::Null)
            .await
    }

    pub async fn read_conferencecall(&self, id: &str) -> Value {
        self.send_ok("GET", &format!("/conferencecalls/{id}"), Value::Null)
            .await
    }

    pub async fn read_recording(&self, id: &str) -> Value {
        self.send_ok("GET", &format!("/recordings/{id}"), Value::Null)
            .await
    }

    /// Requests that a call joins the conference.
    pub async fn request_entry(&self, conference: &str, call: &Call) -> Answer {
        let body = json!({
            "conference_id": conference,
            "reference_type": "call",
            "reference_id": call.channel,
        });
        self.v("POST", "/conferencecalls", body).await
    }

    /// Sends the call in; returns the conferencecall's id.
    pub async fn send_in(&self, conference: &str, call: &Call) -> String {
        let answer = self.request_entry(conference, call).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.text("id")
    }

    /// Waits until the conferencecall has this status.
    pub async fn until_conferencecall(&self, id: &str, status: &str) {
        poll::until(&format!("{id} is {status}"), poll::TIMEOUT, async || {
            (self.read_conferencecall(id).await["status"] == status).then_some(())
        })
        .await;
    }

    pub async fn until_conference(&self, id: &str, status: &str) -> Value {
        poll::until(&format!("{id} is {status}"), poll::TIMEOUT, async || {
            let conference = self.read_conference(id).await;
            (conference["status"] == status).then_some(conference)
        })
        .await
    }

    /// Places a call that joins the conference; returns the call and its conferencecall.
    pub async fn joined_call(&self, conference: &str) -> (Call, String) {
        let call = self.call().await;
        let membership = self.send_in(conference, &call).await;
        self.until_conferencecall(&membership, "joined").await;
        (call, membership)
    }

    /// Waits until the call runs an action.
    pub async fn until_acting(&self, call: &Call) {
        poll::until("the call runs an action", poll::TIMEOUT, async || {
            (self.state_and_room(call).await.0 == "acting").then_some(())
        })
        .await;
    }
}
