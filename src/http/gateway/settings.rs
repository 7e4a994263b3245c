//! `PATCH /conferences/{room_id}` and `PATCH /conferences/{room_id}/members/{uuid}`: the settings of rooms and members.
//!
//! Owns the fields of settings in bodies. A setting is a line in a parse function and in the schema of the body.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::openapi::schemas::{
    AnnouncementText, CommandUidText, CountAnnouncementText, Failure, MemberRole,
    RoomCommandFailures, RoomPath, SessionPath, TonesText,
};
use crate::http::request::PathId;
use crate::http::state::{ApiState, Shared};
use crate::store::limits::StoredAnswer;
use roomkeeper_core::entity::Target;
use roomkeeper_core::gather::MAX_TRIES;
use roomkeeper_core::ids::{CallId, NodeId, RoomId};
use roomkeeper_core::intent::{UpdateAccepted, UpdateMember, UpdateRoom};
use roomkeeper_core::labels::{Labels, LabelsUpdate};
use roomkeeper_core::pin::{InvalidPin, Pin, PinHash, RoomPin};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::{
    Announcement, CountAnnouncement, Details, Level, Media, MemberSettings, MemberUpdate,
    RoomSettings, RoomSettingsUpdate, Sparse, Tones, Update,
};
use roomkeeper_core::speech::Speech;
use serde_json::Value;

use super::command::{Command, accepted};
use super::keypad::speech;
use super::say;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(update_room))
        .routes(routes!(update_member))
}

/// Changed settings of a conference. Omitted settings stay.
#[derive(ToSchema)]
#[schema(as = RoomUpdate)]
#[allow(dead_code, reason = "describes the body")]
struct RoomUpdateBody {
    /// New values by key; `null` removes a label. Other labels stay.
    labels: Option<BTreeMap<String, Option<String>>>,
    /// The most members, 2 to 10,000, joining ones included; 0: no limit. A lower limit removes nobody.
    #[schema(maximum = 10_000)]
    max_members: Option<u32>,
    /// Seconds from the creation until the conference ends; 0: never.
    #[schema(maximum = 31_536_000)]
    max_duration: Option<u32>,
    /// Replaces both tones; `false` removes them.
    tones: Option<TonesOrFalse>,
    /// The file that a lone member hears, again and again; `false` removes it.
    alone_url: Option<UrlOrFalse>,
    /// The conference ends when it has members and none has talked for this number of seconds, at least 5; 0: never.
    #[schema(maximum = 31_536_000)]
    end_when_silent_for: Option<u32>,
    /// The PIN that a caller enters before its call joins: 4 to 16 digits; `false` removes it. No response and no webhook
    /// shows it.
    pin: Option<PinOrFalse>,
    /// The file that asks for the PIN; `false` removes it. Replaces `pin_prompt_text`.
    pin_prompt_url: Option<UrlOrFalse>,
    /// The text that asks for the PIN, of at most 512 bytes; `false` removes it. Replaces `pin_prompt_url`. A node needs a
    /// speech engine.
    pin_prompt_text: Option<TextOrFalse>,
    /// The attempts of a caller, 1 to 10; 0: 3.
    #[schema(maximum = 10)]
    pin_tries: Option<u8>,
    /// `true`: members wait until a moderator enters. In a conference that has members, it holds from the next time that
    /// all have left. `false` starts a waiting conference.
    wait_for_moderator: Option<bool>,
    /// The file that each waiting member hears, again and again; `false` removes it.
    wait_url: Option<UrlOrFalse>,
    /// The announcement that the conference hears before its recording begins; `false` removes it.
    announce_recording: Option<AnnouncementOrFalse>,
    /// The number of members, spoken to each one that enters while others are present; `false` removes it. The node needs a
    /// speech engine.
    announce_count: Option<CountAnnouncementOrFalse>,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

/// 4 to 16 digits, or `false`.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes the body")]
enum PinOrFalse {
    Pin(String),
    None(bool),
}

/// A text of at most 512 bytes, or `false`.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes the body")]
enum TextOrFalse {
    Text(String),
    None(bool),
}

/// A URL of at most 512 characters, or `false`.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes the body")]
enum UrlOrFalse {
    Url(String),
    None(bool),
}

/// An announcement whose URL or text has at most 512 bytes, or `false`.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes the body")]
enum AnnouncementOrFalse {
    Announcement(AnnouncementText),
    None(bool),
}

/// A text with `{count}`, or `false`.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes the body")]
enum CountAnnouncementOrFalse {
    Announcement(CountAnnouncementText),
    None(bool),
}

/// Two tones, or `false`.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes the body")]
enum TonesOrFalse {
    Tones(TonesText),
    None(bool),
}

/// The settings of a conference in a row.
#[derive(Serialize)]
pub(super) struct RoomSettingsRow {
    #[serde(flatten)]
    settings: Sparse<RoomSettings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_duration: Option<u32>,
}

impl From<Details> for RoomSettingsRow {
    fn from(details: Details) -> Self {
        Self {
            settings: details.settings,
            max_duration: Some(details.timeout).filter(|seconds| *seconds > 0),
        }
    }
}

/// Changed settings of a member. Omitted settings stay.
#[derive(ToSchema)]
#[schema(as = MemberUpdate)]
#[allow(dead_code, reason = "describes the body")]
struct MemberUpdateBody {
    /// New values by key; `null` removes a label. Other labels stay.
    labels: Option<BTreeMap<String, Option<String>>>,
    role: Option<MemberRole>,
    /// `true`: the conference ends when this member leaves, other than by a move.
    end_on_exit: Option<bool>,
    /// The volume of what the member says; 0: unchanged.
    #[schema(minimum = -4, maximum = 4)]
    volume_in: Option<i32>,
    /// The volume of what the member hears; 0: unchanged.
    #[schema(minimum = -4, maximum = 4)]
    volume_out: Option<i32>,
    /// The energy above which the member is heard; 0: always.
    #[schema(minimum = 0, maximum = 1800)]
    energy: Option<i32>,
    /// `true`: a conference that waits for a moderator starts with this member. `false`: it does not, even with a
    /// moderator. If it was never set, the role decides.
    start_on_enter: Option<bool>,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

/// The result of a change of settings.
#[derive(ToSchema)]
#[schema(as = UpdateStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum UpdateStatusText {
    Updated,
    Unchanged,
}

#[derive(Serialize, ToSchema)]
#[schema(as = UpdateResult)]
pub(super) struct Updated {
    #[schema(value_type = UpdateStatusText)]
    status: &'static str,
}

/// The longest URL or text of a setting, in bytes: the conference carries a copy of all settings.
const LONGEST_TEXT: usize = 512;

/// The longest time, in seconds: a year.
const LONGEST_TIME: u32 = 31_536_000;

/// The most members that can be a limit.
const MOST_MEMBERS: u32 = 10_000;

/// The shortest silence that can end a conference, in seconds.
const SHORTEST_SILENCE: u32 = 5;

/// Parses the settings of a conference, except its labels.
fn room_update(state: &ApiState, fields: &Fields) -> Result<RoomSettingsUpdate, ApiError> {
    let silence = SHORTEST_SILENCE..=LONGEST_TIME;
    let (pin_prompt_url, pin_prompt_text) = pin_prompt(state, fields)?;
    let pin_tries = number(fields, "pin_tries", 1..=MAX_TRIES.into())?;
    Ok(RoomSettingsUpdate {
        labels: None,
        max_members: number(fields, "max_members", 2..=MOST_MEMBERS)?,
        tones: tones(fields)?,
        alone_url: url_or_false(fields.get("alone_url"), "alone_url")?,
        end_when_silent_for: number(fields, "end_when_silent_for", silence)?,
        pin: pin(state, fields)?,
        pin_prompt_url,
        pin_prompt_text,
        pin_tries: pin_tries.and_then(|tries| tries.try_into().ok()),
        wait_for_moderator: fields.boolean("wait_for_moderator")?,
        wait_url: url_or_false(fields.get("wait_url"), "wait_url")?,
        announce_recording: announcement(state, fields)?,
        announce_count: count_announcement(state, fields)?,
    })
}

/// Parses a PIN, and hashes it; `false` stands for none.
fn pin(state: &ApiState, fields: &Fields) -> Result<Option<RoomPin>, ApiError> {
    let wrong = |why: &dyn std::fmt::Display| ApiError::field("pin", why);
    match fields.get("pin") {
        None => Ok(None),
        Some(Value::Bool(false)) => Ok(Some(RoomPin::default())),
        Some(Value::String(text)) => {
            let pin: Pin = text.parse().map_err(|why: InvalidPin| wrong(&why))?;
            let hash = PinHash::new(&pin, (state.new_id)());
            Ok(Some(RoomPin::new(Some(hash))))
        }
        Some(_) => Err(wrong(&"expected 4 to 16 digits as a string, or false")),
    }
}

/// The changed prompt for the PIN: its file, and its text.
type PinPrompt = (Option<Option<PlayUrl>>, Option<Option<Speech>>);

/// Parses the prompt for the PIN. A file replaces a text, and the other way round.
fn pin_prompt(state: &ApiState, fields: &Fields) -> Result<PinPrompt, ApiError> {
    let name = "pin_prompt_text";
    let url = url_or_false(fields.get("pin_prompt_url"), "pin_prompt_url")?;
    let text = match fields.get(name) {
        None => None,
        Some(Value::Bool(false)) => Some(None),
        Some(Value::String(text)) if text.len() <= LONGEST_TEXT => {
            Some(Some(speech(state, name, text)?))
        }
        Some(_) => {
            let why = format!("expected a text of at most {LONGEST_TEXT} bytes, or false");
            return Err(ApiError::field(name, why));
        }
    };
    match (url, text) {
        (Some(Some(_)), Some(Some(_))) => {
            let why = "cannot be combined with pin_prompt_url";
            Err(ApiError::field(name, why))
        }
        (Some(Some(url)), _) => Ok((Some(Some(url)), Some(None))),
        (_, Some(Some(text))) => Ok((Some(None), Some(Some(text)))),
        (url, text) => Ok((url, text)),
    }
}

/// Parses the time after which a conference ends, which rooms of both APIs have.
fn max_duration(fields: &Fields) -> Result<Option<u32>, ApiError> {
    number(fields, "max_duration", 1..=LONGEST_TIME)
}

/// Parses a number in this range; 0 stands for none.
fn number(
    fields: &Fields,
    name: &str,
    range: RangeInclusive<u32>,
) -> Result<Option<u32>, ApiError> {
    let Some(number) = fields.integer(name)? else {
        return Ok(None);
    };
    let number = u32::try_from(number).ok();
    match number.filter(|number| *number == 0 || range.contains(number)) {
        Some(number) => Ok(Some(number)),
        None => {
            let (least, most) = range.into_inner();
            let why = format!("expected {least} to {most}, or 0");
            Err(ApiError::field(name, why))
        }
    }
}

fn tones(fields: &Fields) -> Result<Option<Tones>, ApiError> {
    if fields.get("tones") == Some(&Value::Bool(false)) {
        return Ok(Some(Tones::default()));
    }
    let Some(tones) = fields.object("tones")? else {
        return Ok(None);
    };
    let tone = |name: &str, field: &str| {
        let value = tones.get(name).filter(|value| !value.is_null());
        url_or_false(value, field).map(Option::flatten)
    };
    Ok(Some(Tones {
        enter: tone("enter", "tones.enter")?,
        exit: tone("exit", "tones.exit")?,
    }))
}

/// Parses what precedes a recording; `false` stands for nothing.
fn announcement(
    state: &ApiState,
    fields: &Fields,
) -> Result<Option<Option<Announcement>>, ApiError> {
    let name = "announce_recording";
    match fields.get(name) {
        None => Ok(None),
        Some(Value::Bool(false)) => Ok(Some(None)),
        Some(value) => {
            let announcement = say::announcement(state, name, value)?;
            if Media::from(announcement.clone()).bytes() > LONGEST_TEXT {
                let why = format!("is longer than {LONGEST_TEXT} bytes");
                return Err(ApiError::field(name, why));
            }
            Ok(Some(Some(announcement)))
        }
    }
}

/// Parses the number of members to speak; `false` stands for nothing.
fn count_announcement(
    state: &ApiState,
    fields: &Fields,
) -> Result<Option<Option<CountAnnouncement>>, ApiError> {
    let name = "announce_count";
    match fields.get(name) {
        None => Ok(None),
        Some(Value::Bool(false)) => Ok(Some(None)),
        Some(value) => Ok(Some(Some(say::count_announcement(state, name, value)?))),
    }
}

/// Checks that a node speaks the texts that only members of this room hear.
pub(super) fn check_speech(
    state: &ApiState,
    node: NodeId,
    count: Option<&CountAnnouncement>,
) -> impl Future<Output = Result<(), ApiError>> + Send + use<> {
    let speaks = count.map(|_| say::speech_engine(state, node, "announce_count.text"));
    async move {
        match speaks {
            Some(speaks) => speaks.await,
            None => Ok(()),
        }
    }
}

/// Parses the URL of a file; `false` stands for none.
fn url_or_false(value: Option<&Value>, name: &str) -> Result<Option<Option<PlayUrl>>, ApiError> {
    match value {
        None => Ok(None),
        Some(Value::Bool(false)) => Ok(Some(None)),
        Some(Value::String(text)) if text.len() <= LONGEST_TEXT => {
            let url = PlayUrl::new(text).map_err(|why| ApiError::field(name, why))?;
            Ok(Some(Some(url)))
        }
        Some(_) => {
            let why = format!("expected a URL of at most {LONGEST_TEXT} characters, or false");
            Err(ApiError::field(name, why))
        }
    }
}

/// Checks the files of settings by the rules for files that may be played.
fn check_files(
    state: &ApiState,
    update: &RoomSettingsUpdate,
) -> Result<impl Future<Output = Result<(), ApiError>> + Send + use<>, ApiError> {
    let mut files = Vec::new();
    if let Some(Tones { enter, exit }) = &update.tones {
        files.extend(enter.iter().map(|url| ("tones.enter", url)));
        files.extend(exit.iter().map(|url| ("tones.exit", url)));
    }
    let alone = update.alone_url.iter().flatten();
    files.extend(alone.map(|url| ("alone_url", url)));
    let pin_prompt = update.pin_prompt_url.iter().flatten();
    files.extend(pin_prompt.map(|url| ("pin_prompt_url", url)));
    let wait = update.wait_url.iter().flatten();
    files.extend(wait.map(|url| ("wait_url", url)));
    let announcement = update.announce_recording.iter().flatten();
    let announced = announcement.filter_map(Announcement::url);
    files.extend(announced.map(|url| ("announce_recording.url", url)));
    let rules = state.settings.play.clone();
    let fields: Vec<_> = files.iter().map(|(name, _)| *name).collect();
    let wrong = move |(index, why): (usize, String)| {
        ApiError::field(fields.get(index).copied().unwrap_or_default(), why)
    };
    let names = rules.names(files.into_iter().map(|(_, url)| url));
    let names = names.map_err(&wrong)?;
    Ok(async move { rules.resolve_all(names).await.map_err(wrong) })
}

/// Parses the settings of a member, except its labels.
fn member_update(fields: &Fields) -> Result<MemberUpdate, ApiError> {
    Ok(MemberUpdate {
        labels: None,
        role: fields.parsed("role")?,
        end_on_exit: fields.boolean("end_on_exit")?,
        volume_in: level(fields, Level::VolumeIn)?,
        volume_out: level(fields, Level::VolumeOut)?,
        energy: level(fields, Level::Energy)?.map(Some),
        start_on_enter: fields.boolean("start_on_enter")?.map(Some),
    })
}

/// Parses a level of a member. FreeSWITCH would bound a volume without an error, and not bound an energy.
fn level(fields: &Fields, level: Level) -> Result<Option<i32>, ApiError> {
    let range = match level {
        Level::VolumeIn | Level::VolumeOut => -4..=4,
        Level::Energy => 0..=1800,
    };
    let Some(number) = fields.integer(level.name())? else {
        return Ok(None);
    };
    match i32::try_from(number) {
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        _ => {
            let (least, most) = range.into_inner();
            let why = format!("expected {least} to {most}");
            Err(ApiError::field(level.name(), why))
        }
    }
}

/// Parses the details of a new conference.
pub(super) async fn new_room(state: &ApiState, fields: &Fields) -> Result<Details, ApiError> {
    let update = RoomSettingsUpdate {
        labels: Some(new_labels(fields)?),
        ..room_update(state, fields)?
    };
    check_files(state, &update)?.await?;
    let mut settings: Sparse<RoomSettings> = Sparse::default();
    settings.apply(update);
    Ok(Details {
        timeout: max_duration(fields)?.unwrap_or_default(),
        settings,
        ..Details::default()
    })
}

/// Parses the settings of a call that joins.
pub(super) fn member_settings(fields: &Fields) -> Result<Sparse<MemberSettings>, ApiError> {
    let mut settings: Sparse<MemberSettings> = Sparse::default();
    settings.apply(MemberUpdate {
        labels: Some(new_labels(fields)?),
        ..member_update(fields)?
    });
    Ok(settings)
}

fn new_labels(fields: &Fields) -> Result<Labels, ApiError> {
    let labels = Labels::default().updated(&labels(fields)?);
    labels.map_err(|error| ApiError::field("labels", error))
}

/// Parses the changed labels.
fn labels(fields: &Fields) -> Result<LabelsUpdate, ApiError> {
    let mut update = LabelsUpdate::default();
    for (key, value) in fields.object("labels")?.into_iter().flatten() {
        let wrong = |why: &dyn std::fmt::Display| ApiError::field("labels", why);
        let text = value.as_str();
        if text.is_none() && !value.is_null() {
            return Err(wrong(&"expected an object of strings"));
        }
        update.put(&key, text).map_err(|error| wrong(&error))?;
    }
    Ok(update)
}

/// Change the settings of a conference
///
/// Its webhook is `conference.updated` with the changed settings.
#[utoipa::path(
    patch, path = "/api/v1/conferences/{room_id}", tag = "conferences", operation_id = "updateRoom",
    params(RoomPath),
    request_body(content = RoomUpdateBody, example = json!({"labels": {"team": "sales"}})),
    responses(
        (status = 202, description = "`updated`: the webhook reports the change. `unchanged`: the conference had these settings.", body = Updated,
         example = json!({"status": "updated"})),
        RoomCommandFailures,
        (status = 409, description = "The conference would have more than 16 labels, or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn update_room(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let update = Update {
        timeout: max_duration(&fields)?,
        settings: room_update(&state, &fields)?,
        ..Update::default()
    };
    let files = check_files(&state, &update.settings)?;
    let count = update.settings.announce_count.iter().flatten().next();
    let speech = check_speech(&state, room.node(), count);
    let update = UpdateRoom {
        update: Box::new(update),
        labels: labels(&fields)?,
    };
    Command::new(caller, Target::Room(room), update, "update", &fields)?
        .checked_by(async move {
            speech.await?;
            files.await
        })
        .with_fresh_uid(&state)?
        .run(&state, render)
        .await
}

/// Change the settings of a member
///
/// Its webhook is `conference.member.updated` with the changed settings.
#[utoipa::path(
    patch, path = "/api/v1/conferences/{room_id}/members/{uuid}", tag = "conferences", operation_id = "updateMember",
    params(RoomPath, SessionPath),
    request_body(content = MemberUpdateBody, example = json!({"labels": {"seat": "12"}})),
    responses(
        (status = 202, description = "`updated`: the webhook reports the change. `unchanged`: the member had these settings.", body = Updated,
         example = json!({"status": "updated"})),
        RoomCommandFailures,
        (status = 404, description = "The conference does not exist, or the call is not in it.", body = Failure),
        (status = 409, description = "The member is still joining or would have more than 16 labels, or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn update_member(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let update = UpdateMember {
        update: Box::new(member_update(&fields)?),
        labels: labels(&fields)?,
    };
    let target = Target::Member { room, call };
    let route = format!("conferences/{room}/update");
    Command::new(caller, target, update, &route, &fields)?
        .with_fresh_uid(&state)?
        .run(&state, render)
        .await
}

fn render(update: UpdateAccepted) -> Result<StoredAnswer, ApiError> {
    let status = match update {
        UpdateAccepted::Updated => "updated",
        UpdateAccepted::Unchanged => "unchanged",
    };
    accepted(&Updated { status })
}
