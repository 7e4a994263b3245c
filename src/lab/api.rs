//! The demo's client of the HTTP API, which it uses like any app.

use std::time::Duration;

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::Value;

use super::error::LabError;
use super::names::{APP, KEY};

/// The timeout of one request, which takes milliseconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A call, as the API lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ListedCall {
    /// `acW68-` and the channel's UUID.
    pub id: String,
    /// The state: `parked`, `joining`, `in_room`, …
    pub state: String,
    /// The room that the call is in.
    pub room: Option<String>,
}

impl ListedCall {
    pub(super) fn is_parked(&self) -> bool {
        self.state == "parked"
    }

    pub(super) fn is_in(&self, room: &str) -> bool {
        self.state == "in_room" && self.room.as_deref() == Some(room)
    }
}

/// The client.
#[derive(Debug)]
pub(super) struct Api {
    client: reqwest::Client,
    base: String,
}

impl Api {
    pub(super) fn new(base: String) -> Result<Self, LabError> {
        let client = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .no_proxy()
            .build()
            .map_err(|e| LabError::Demo(e.to_string()))?;
        Ok(Self { client, base })
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, Value), LabError> {
        let failed = |e: reqwest::Error| LabError::Demo(e.to_string());
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .header("X-App-ID", APP)
            .header("X-API-Key", KEY);
        if let Some(body) = body {
            request = request
                .header("Content-Type", "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(failed)?;
        let json = serde_json::from_slice(&bytes).map_err(|e| LabError::Demo(e.to_string()))?;
        Ok((status, json))
    }

    /// Lists all calls of the app; `None` while the node is not available, or the app has made too many requests.
    pub(super) async fn calls(&self) -> Result<Option<Vec<ListedCall>>, LabError> {
        let mut calls = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut path = "/sessions?limit=200".to_owned();
            if !cursor.is_empty() {
                path.push_str("&cursor=");
                path.push_str(&cursor);
            }
            let (status, page) = self.request(Method::GET, &path, None).await?;
            if is_temporary(status) {
                return Ok(None);
            }
            let rows = page["sessions"]
                .as_array()
                .ok_or_else(|| unexpected(status, &page))?;
            calls.extend(rows.iter().filter_map(listed));
            match page["cursor"].as_str() {
                Some(next) if !next.is_empty() => next.clone_into(&mut cursor),
                _ => return Ok(Some(calls)),
            }
        }
    }

    /// Makes a room with this name, or finds the one that has it; `None` while that is not possible.
    pub(super) async fn room(&self, name: &str) -> Result<Option<String>, LabError> {
        let body = serde_json::json!({ "name": name });
        let (status, json) = self
            .request(Method::POST, "/conferences", Some(body))
            .await?;
        let id = match status {
            status if is_temporary(status) => return Ok(None),
            // A real node may have a room of an earlier lab.
            StatusCode::CONFLICT => &json["detail"]["room_id"],
            _ => &json["room_id"],
        };
        let id = id.as_str().ok_or_else(|| unexpected(status, &json))?;
        Ok(Some(id.to_owned()))
    }

    /// True if there is this room.
    pub(super) async fn has_room(&self, room: &str) -> Result<bool, LabError> {
        let path = format!("/conferences/{room}");
        let (status, _) = self.request(Method::GET, &path, None).await?;
        Ok(status != StatusCode::NOT_FOUND)
    }

    /// Lets a call join a room, unmuted. Returns false if the API refuses, as it does for a call that has just ended.
    pub(super) async fn join(&self, call: &str, room: &str) -> Result<bool, LabError> {
        let path = format!("/sessions/{call}/commands/conference/join");
        let body = serde_json::json!({ "room_id": room, "muted": false });
        let (status, _) = self.request(Method::POST, &path, Some(body)).await?;
        Ok(status.is_success())
    }
}

/// True if the same request can succeed a moment later.
fn is_temporary(status: StatusCode) -> bool {
    status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS
}

fn unexpected(status: StatusCode, json: &Value) -> LabError {
    LabError::Demo(format!("{status} {json}"))
}

fn listed(row: &Value) -> Option<ListedCall> {
    Some(ListedCall {
        id: row["uuid"].as_str()?.to_owned(),
        state: row["state"].as_str()?.to_owned(),
        room: row["room_id"].as_str().map(str::to_owned),
    })
}
