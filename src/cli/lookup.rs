//! Finds the rooms, calls, endpoints and deliveries that arguments refer to. A whole id needs no request.

use indicatif::ProgressBar;
use serde_json::Value;

use roomkeeper_core::ids::{CallId, RoomId};

use super::client::{Client, ClientError, Pages};
use super::reference::{Candidate, Kind, find};
use super::{Failure, terminal};

/// The maximum page size of members.
pub const PAGE_OF_MEMBERS: u32 = 1_000;

/// Fetches all rows of a list.
///
/// # Errors
/// [`ClientError`].
pub async fn all(client: &Client, path: &str, list: &str) -> Result<Value, ClientError> {
    let progress = terminal::spinner("loading");
    let pages = Pages {
        path,
        list,
        ..Pages::default()
    };
    finish(client.get_pages(pages, &progress).await, &progress)
}

/// Fetches all members of a room.
///
/// # Errors
/// [`ClientError`].
pub async fn members(api: &Client, room: RoomId) -> Result<Value, ClientError> {
    let progress = terminal::spinner("loading");
    let path = format!("api/v1/conferences/{room}/members");
    let answer = api
        .get_all(&path, "members", PAGE_OF_MEMBERS, &progress)
        .await;
    finish(answer, &progress)
}

fn finish(
    answer: Result<Value, ClientError>,
    progress: &ProgressBar,
) -> Result<Value, ClientError> {
    progress.finish_and_clear();
    answer
}

/// Finds an app's room.
///
/// # Errors
/// [`Failure`]: there is no such room, or there are several.
pub async fn room(api: &Client, text: &str) -> Result<RoomId, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let rows = all(api, "api/v1/conferences", "conferences").await?;
    let candidates = Candidate::from_rows(&rows["conferences"], "room_id", "name");
    parsed(Kind::Room, text, &candidates)
}

/// Finds an app's call.
///
/// # Errors
/// [`Failure`]: there is no such call, or there are several.
pub async fn call(api: &Client, text: &str) -> Result<CallId, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let rows = all(api, "api/v1/sessions", "sessions").await?;
    let candidates = Candidate::from_rows(&rows["sessions"], "uuid", "caller_id");
    parsed(Kind::Call, text, &candidates)
}

/// Finds a member of a room.
///
/// # Errors
/// [`Failure`]: there is no such member, or there are several.
pub async fn member(api: &Client, room: RoomId, text: &str) -> Result<CallId, Failure> {
    member_in(&members(api, room).await?["members"], text)
}

/// Finds a member in the rows of its room.
///
/// # Errors
/// [`Failure`]: there is no such member, or there are several.
pub fn member_in(rows: &Value, text: &str) -> Result<CallId, Failure> {
    let candidates = Candidate::from_rows(rows, "uuid", "caller_id");
    parsed(Kind::Member, text, &candidates)
}

/// Finds a room of any app.
///
/// # Errors
/// [`Failure`]: there is no such room, or there are several.
pub async fn room_of_any_app(admin: &Client, text: &str) -> Result<RoomId, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let rows = all(admin, "admin/rooms", "rooms").await?;
    let candidates = Candidate::from_rows(&rows["rooms"], "room_id", "name");
    parsed(Kind::Room, text, &candidates)
}

/// Finds a call of any app.
///
/// # Errors
/// [`Failure`]: there is no such call, or there are several.
pub async fn call_of_any_app(admin: &Client, text: &str) -> Result<CallId, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let rows = all(admin, "admin/calls", "calls").await?;
    let candidates = Candidate::from_rows(&rows["calls"], "uuid", "caller_id");
    parsed(Kind::Call, text, &candidates)
}

/// Finds an app's webhook endpoint.
///
/// # Errors
/// [`Failure`]: there is no such endpoint, or there are several.
pub async fn endpoint(api: &Client, text: &str) -> Result<String, Failure> {
    let rows = api.get("api/v1/webhooks", &[]).await?;
    let candidates = Candidate::from_rows(&rows["webhooks"], "id", "url");
    Ok(find(Kind::Endpoint, text, &candidates)?.id.clone())
}

/// Finds a delivery of an endpoint.
///
/// # Errors
/// [`Failure`]: there is no such delivery, or there are several.
pub async fn delivery(api: &Client, endpoint: &str, text: &str) -> Result<String, Failure> {
    /// `msg_` and 32 digits.
    const WHOLE: usize = 36;
    if text.len() == WHOLE
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Ok(text.to_owned());
    }
    let path = format!("api/v1/webhooks/{endpoint}/deliveries");
    let rows = all(api, &path, "deliveries").await?;
    let candidates = Candidate::from_rows(&rows["deliveries"], "id", "event");
    // With its stem, a text is a prefix of an id and never the name of an event.
    let text = if text.starts_with("msg_") {
        text.to_owned()
    } else {
        format!("msg_{text}")
    };
    Ok(find(Kind::Delivery, &text, &candidates)?.id.clone())
}

/// Finds a candidate and parses its id.
fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    kind: Kind,
    text: &str,
    candidates: &[Candidate],
) -> Result<T, Failure> {
    let found = find(kind, text, candidates)?;
    found.id.parse().map_err(|error: T::Err| {
        Failure::NotFound(format!("the controller listed {:?}: {error}", found.id))
    })
}
