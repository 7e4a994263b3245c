//! `/conferences/{room_id}/play`, `/pause`, `/stop`, `/volume`: what plays in a room.
//!
//! Owns which files FreeSWITCH may be told to fetch. FreeSWITCH resolves names anew and follows redirects without asking
//! us, so this keeps out what a caller asks for plainly, and no more; a node that can reach what it should not needs a
//! firewall.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use url::{Host, Url};
use utoipa::ToSchema;

use crate::api::auth::Caller;
use crate::api::body::Fields;
use crate::api::error::ApiError;
use crate::api::limits::{CONF_PLAY, CONFERENCE_CONTROL};
use crate::api::request::PathId;
use crate::api::{ApiState, Shared};
use crate::config::PlayConfig;
use crate::ids::{OperationId, RoomId};
use crate::play_url::PlayUrl;
use crate::reconciler::{Accepted, Intent};
use crate::room::Playback;
use crate::store::EntityId;
use crate::store::gate::CommandAnswer;
use crate::webhook::guard::Policy;

use super::asked::{Asked, answered, given_uid};

/// Files that one operation may have.
const MOST_FILES: usize = 128;

/// The volumes that there are, in decibels.
const VOLUMES: std::ops::RangeInclusive<i64> = -50..=7;

/// How long names may take to be resolved.
const RESOLVE: Duration = Duration::from_secs(2);

/// Which files may be played.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PlayRules {
    /// Hosts, in lower case; empty: any.
    pub allow_hosts: Vec<String>,
    /// Private and loopback addresses too.
    pub allow_private: bool,
}

impl PlayRules {
    /// As configured.
    pub fn configured(play: &PlayConfig) -> Self {
        Self {
            allow_hosts: play.allow_hosts.clone(),
            allow_private: play.allow_private,
        }
    }

    const fn policy(&self) -> Policy {
        Policy {
            allow_http: true,
            allow_private: self.allow_private,
        }
    }

    /// What can be said without resolving the host; the name that is to be resolved, if it has one.
    fn check(&self, url: &PlayUrl) -> Result<Option<String>, String> {
        let parsed = Url::parse(url.as_str()).map_err(|e| e.to_string())?;
        self.policy()
            .check_url(&parsed)
            .map_err(|e| e.to_string())?;
        if !self.allow_hosts.is_empty() && !self.allow_hosts.iter().any(|host| host == url.host()) {
            return Err(format!(
                "{} is not a host that may be played from",
                url.host()
            ));
        }
        Ok(match parsed.host() {
            Some(Host::Domain(name)) => Some(name.to_owned()),
            Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => None,
        })
    }

    /// Every address of a name must be allowed: which of them FreeSWITCH takes is not ours to say.
    async fn resolve(&self, name: &str) -> Result<(), String> {
        let found = tokio::time::timeout(RESOLVE, tokio::net::lookup_host((name, 0)))
            .await
            .map_err(|_| format!("{name} was not resolved in time"))?
            .map_err(|_| format!("{name} cannot be resolved"))?;
        let mut any = false;
        for address in found {
            any = true;
            self.policy()
                .check_address(address.ip())
                .map_err(|_| format!("{name} has an address that may not be called"))?;
        }
        if any {
            Ok(())
        } else {
            Err(format!("{name} has no address"))
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = PlaybackOperation)]
pub(super) struct Operation {
    operation_id: String,
    status: &'static str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PlaybackVolume)]
pub(super) struct Volume {
    operation_id: String,
    volume: i8,
}

/// `playback_status` of a room.
pub(super) fn status(playback: &Playback) -> &'static str {
    match (playback.head(), playback.paused()) {
        (None, _) => "stopped",
        (Some(_), true) => "paused",
        (Some(_), false) => "playing",
    }
}

/// `POST …/play`.
pub(super) async fn play(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let urls = urls(&fields)?;
    let rules = &state.settings.play;
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for (index, url) in urls.iter().enumerate() {
        let name = rules.check(url).map_err(|why| bad_url(index, &why))?;
        if let Some(name) = name {
            names.entry(name).or_insert(index);
        }
    }
    let given = given_uid(&fields)?;
    own(&state, &caller, room).await?;
    let intent = Intent::Play {
        room,
        app: caller.app,
        urls,
        command_uid: given.clone(),
    };
    let asked = Asked::new(EntityId::Room(room), "play", given, &fields);
    // Names are resolved for those only who may play at all, and whose command was not answered already.
    let rules = rules.clone();
    let names_are_good = async move {
        let looks = names.iter().map(|(name, index)| {
            let looked = rules.resolve(name);
            async move { looked.await.map_err(|why| bad_url(*index, &why)) }
        });
        futures_util::future::try_join_all(looks).await.map(drop)
    };
    asked
        .of(&CONF_PLAY)
        .carried_out(&state, names_are_good, intent, render)
        .await
}

/// `POST …/pause`.
pub(super) async fn pause(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let given = given_uid(&fields)?;
    own(&state, &caller, room).await?;
    let intent = Intent::Pause {
        room,
        app: caller.app,
        command_uid: given.clone(),
    };
    let asked = Asked::new(EntityId::Room(room), "pause", given, &fields);
    command(&state, asked.of(&CONFERENCE_CONTROL), intent).await
}

/// `POST …/stop`.
pub(super) async fn stop(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let given = given_uid(&fields)?;
    own(&state, &caller, room).await?;
    let intent = Intent::Stop {
        room,
        app: caller.app,
        command_uid: given.clone(),
    };
    let asked = Asked::new(EntityId::Room(room), "stop", given, &fields);
    command(&state, asked.of(&CONFERENCE_CONTROL), intent).await
}

/// `POST …/volume`.
pub(super) async fn volume(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let volume = fields
        .integer("volume")?
        .ok_or_else(|| ApiError::field("volume", "it is required"))?;
    let volume = i8::try_from(volume)
        .ok()
        .filter(|v| VOLUMES.contains(&i64::from(*v)))
        .ok_or_else(|| ApiError::field("volume", "expected -50 to 7"))?;
    let given = given_uid(&fields)?;
    own(&state, &caller, room).await?;
    let intent = Intent::Volume {
        room,
        app: caller.app,
        volume,
        command_uid: given.clone(),
    };
    let asked = Asked::new(EntityId::Room(room), "volume", given, &fields);
    command(&state, asked.of(&CONFERENCE_CONTROL), intent).await
}

fn urls(fields: &Fields) -> Result<Vec<PlayUrl>, ApiError> {
    let texts = fields
        .texts("urls")?
        .ok_or_else(|| ApiError::field("urls", "it is required"))?;
    if texts.is_empty() || texts.len() > MOST_FILES {
        return Err(ApiError::field(
            "urls",
            format!("expected 1 to {MOST_FILES} URLs"),
        ));
    }
    texts
        .into_iter()
        .enumerate()
        .map(|(index, text)| PlayUrl::new(text).map_err(|why| bad_url(index, &why)))
        .collect()
}

fn bad_url(index: usize, why: &impl std::fmt::Display) -> ApiError {
    ApiError::field(&format!("urls[{index}]"), why)
}

async fn own(state: &ApiState, caller: &Caller, room: RoomId) -> Result<(), ApiError> {
    let head = state.find_room(room).await?;
    state.own_room(caller, &head)
}

/// The commands that look at nothing but the state.
async fn command(state: &Shared, asked: Asked, intent: Intent) -> Result<Response, ApiError> {
    let nothing = std::future::ready(Ok(()));
    asked.carried_out(state, nothing, intent, render).await
}

fn render(accepted: Accepted) -> Result<CommandAnswer, ApiError> {
    let (operation_id, status) = match accepted {
        Accepted::Playing { operation } => (operation.to_string(), "in_progress"),
        Accepted::Toggled { operation, paused } => (
            operation.to_string(),
            if paused { "paused" } else { "in_progress" },
        ),
        Accepted::Stopped { operation } => (or_empty(operation), "stopped"),
        Accepted::VolumeSet { operation, volume } => {
            let operation_id = or_empty(operation);
            let body = Volume {
                operation_id,
                volume,
            };
            return answered(StatusCode::ACCEPTED, &body);
        }
        other @ (Accepted::Created
        | Accepted::Deleted
        | Accepted::Joining { .. }
        | Accepted::AlreadyJoined { .. }
        | Accepted::Leaving { .. }
        | Accepted::Muted { .. }
        | Accepted::Unmuted { .. }
        | Accepted::InProgress { .. }) => {
            return Err(ApiError::internal(&format!(
                "a command about what plays was answered {other:?}"
            )));
        }
    };
    let body = Operation {
        operation_id,
        status,
    };
    answered(StatusCode::ACCEPTED, &body)
}

/// The empty text stands for nothing that plays.
fn or_empty(operation: Option<OperationId>) -> String {
    operation.map_or_else(String::new, |id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &PlayRules, url: &str) -> Result<Option<String>, String> {
        rules.check(&PlayUrl::new(url).unwrap())
    }

    #[test]
    fn hosts() {
        let any = PlayRules::default();
        assert_eq!(check(&any, "http://1.1.1.1/a"), Ok(None));
        assert_eq!(
            check(&any, "https://cdn.example.com/a"),
            Ok(Some("cdn.example.com".to_owned()))
        );
        for inside in ["http://127.0.0.1/a", "http://10.0.0.1/a", "http://0x7f.1/a"] {
            assert!(check(&any, inside).is_err(), "{inside}");
        }
        let private = PlayRules {
            allow_private: true,
            ..PlayRules::default()
        };
        assert_eq!(check(&private, "http://127.0.0.1:9/a"), Ok(None));
        assert!(check(&private, "http://169.254.169.254/a").is_err());
        let listed = PlayRules {
            allow_hosts: vec!["cdn.example.com".to_owned(), "10.0.0.1".to_owned()],
            allow_private: false,
        };
        assert!(check(&listed, "http://CDN.example.com:81/a").is_ok());
        assert!(check(&listed, "http://example.com/a").is_err());
        assert!(
            check(&listed, "http://10.0.0.1/a").is_err(),
            "private still"
        );
    }

    #[tokio::test]
    async fn names() {
        let private = PlayRules {
            allow_private: true,
            ..PlayRules::default()
        };
        assert_eq!(private.resolve("localhost").await, Ok(()));
        assert!(PlayRules::default().resolve("localhost").await.is_err());
        assert!(private.resolve("nowhere.invalid").await.is_err());
    }
}
