//! The VoIPBIN API, `/v1.0`: its conferences, conferencecalls and recordings, as they are documented.

mod auth;
mod calls;
mod conferences;
mod lists;
mod recordings;

use roomkeeper::config::customer_of;
use roomkeeper_core::ids::{CallId, MemberId, RoomId};
use roomkeeper_core::room::{Details, Kind, Origin, Registration, RoomInput};
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::*;

pub const CONFERENCES: &str = "/v1.0/conferences";
pub const CALLS: &str = "/v1.0/conferencecalls";
pub const RECORDINGS: &str = "/v1.0/recordings";
pub const NIL: &str = "00000000-0000-0000-0000-000000000000";
/// The value of a time that has not come yet.
pub const NEVER: &str = "9999-01-01 00:00:00.000000";

/// The documented time of creation, `2022-02-03 06:08:56.672025`.
pub const DOCUMENTED: Timestamp = Timestamp::from_micros(1_643_868_536_672_025);

/// This number of seconds after [`DOCUMENTED`].
pub fn later(seconds: u64) -> Timestamp {
    DOCUMENTED + std::time::Duration::from_secs(seconds)
}

pub fn customer((id, _): (&str, &str)) -> String {
    customer_of(&app(id)).to_string()
}

pub fn path_of(room: RoomId) -> String {
    format!("{CONFERENCES}/{}", room.uuid())
}

pub fn call_path(member: MemberId) -> String {
    format!("{CALLS}/{}", member.uuid())
}

/// The body of a join.
pub fn joining(room: RoomId, session: CallId) -> Value {
    json!({
        "conference_id": room.uuid(),
        "reference_type": "call",
        "reference_id": session.channel().to_string(),
    })
}

pub fn registration(owner: &str, name: &str) -> Registration {
    Registration {
        app: app(owner),
        name: name.to_owned(),
        origin: Origin::Voipbin,
        created_at: DOCUMENTED,
        kind: Kind::Conference,
        details: Details::default(),
    }
}

impl World {
    /// Creates an empty conference.
    pub async fn conference(&self, id: RoomId, owner: &str) {
        let state = registered(id, registration(owner, "test conference"));
        put_room(&self.store, &state).await;
    }

    /// Puts a call into a conference at [`later`]`(1)`; returns the membership.
    pub async fn member(&self, room: RoomId, session: CallId) -> MemberId {
        self.apply_input(room, entered(session, true), later(1))
            .await;
        member_id(session)
    }

    /// Starts the end of a room with its members.
    pub async fn ends(&self, room: RoomId) {
        let deadline = later(30);
        self.apply_input(room, RoomInput::Delete { deadline }, later(20))
            .await;
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(request(DEMO, "PUT", path, Some(body))).await
    }
}

impl Answer {
    /// The body of a successful response.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status.as_u16(), 200, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/json");
        self.json()
    }

    /// Checks for 400 with this field.
    #[track_caller]
    pub fn refuses(&self, field: &str) {
        assert_eq!(self.fails(400)["detail"]["field"], field, "{}", self.text);
    }
}
