//! The settings of rooms and members: options, and the fields of a body that follow from them.
//!
//! A new setting is an option and a line in `fields`.

use std::str::FromStr;

use serde_json::{Map, Value, json};
use url::Url;

/// A new value, or, by an empty text, its removal.
#[derive(Clone, Debug)]
pub struct Removable<T>(Option<T>);

impl<T: FromStr> FromStr for Removable<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse().map(Some).map(Self)
    }
}

/// In a body, `false` removes a setting.
impl<T: ToString> From<Removable<T>> for Value {
    fn from(value: Removable<T>) -> Self {
        value
            .0
            .map_or(Self::Bool(false), |value| value.to_string().into())
    }
}

/// The fields of a body that have a value.
fn present<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// A changed label: its key, and its value unless it is removed.
type Label = (String, Option<String>);

fn label(text: &str) -> Result<Label, &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            let value = Some(value.to_owned()).filter(|value| !value.is_empty());
            Ok((key.to_owned(), value))
        }
        Some(_) | None => Err("a label is KEY=VALUE, or KEY= to remove it"),
    }
}

fn labels(labels: Vec<Label>) -> Option<Value> {
    let is_empty = labels.is_empty();
    let labels: Map<String, Value> = labels
        .into_iter()
        .map(|(key, value)| (key, value.into()))
        .collect();
    (!is_empty).then_some(labels.into())
}

/// The announcement that a room hears before a recording.
#[derive(clap::Args, Clone, Debug)]
pub struct AnnouncementOptions {
    /// The file that the room hears before a recording begins, by http or https.
    #[arg(long, value_name = "URL", conflicts_with = "announcement_text")]
    pub announcement_url: Option<Removable<Url>>,
    /// The text that the room hears before a recording begins.
    #[arg(long, value_name = "TEXT")]
    pub announcement_text: Option<Removable<String>>,
    /// The voice of the text.
    #[arg(long, value_name = "VOICE", requires = "announcement_text")]
    pub announcement_voice: Option<String>,
}

impl AnnouncementOptions {
    /// The announcement as a field of a body, if one is given.
    pub fn value(self) -> Option<Value> {
        let url = self.announcement_url.map(Value::from);
        let text = self.announcement_text.map(Value::from);
        if [&url, &text].contains(&&Some(Value::Bool(false))) {
            return Some(Value::Bool(false));
        }
        let voice = self.announcement_voice.map(Value::from);
        let fields = present([("url", url), ("text", text), ("voice", voice)]);
        (!fields.is_empty()).then_some(fields.into())
    }
}

/// The settings of a room. An empty value removes a setting, and 0 removes a limit.
#[derive(clap::Args, Clone, Debug)]
pub struct RoomSettings {
    /// A label of the room; KEY= removes it. Can be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<Label>,
    /// The most members, 2 to 10000; 0: no limit.
    #[arg(long, value_name = "N")]
    max_members: Option<u32>,
    /// The room ends this number of seconds after its creation; 0: never.
    #[arg(long, value_name = "SECONDS")]
    max_duration: Option<u32>,
    /// The room ends after this number of seconds without a talking member, at least 5; 0: never.
    #[arg(long, value_name = "SECONDS")]
    end_when_silent_for: Option<u32>,
    /// The file that the room hears when a member enters. Replaces both tones.
    #[arg(long, value_name = "URL")]
    enter_tone: Option<Removable<Url>>,
    /// The file that the room hears when a member leaves. Replaces both tones.
    #[arg(long, value_name = "URL")]
    exit_tone: Option<Removable<Url>>,
    /// The file that a lone member hears, again and again.
    #[arg(long, value_name = "URL")]
    alone_url: Option<Removable<Url>>,
    /// Members wait until a moderator joins.
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    wait_for_moderator: Option<bool>,
    /// The file that each waiting member hears, again and again.
    #[arg(long, value_name = "URL")]
    wait_url: Option<Removable<Url>>,
    /// The PIN that callers enter before they join: 4 to 16 digits. Other users of this machine can see them while the
    /// command runs.
    #[arg(long, value_name = "DIGITS")]
    pin: Option<Removable<String>>,
    /// The file that asks for the PIN. Replaces the text.
    #[arg(long, value_name = "URL", conflicts_with = "pin_prompt_text")]
    pin_prompt_url: Option<Removable<Url>>,
    /// The text that asks for the PIN. Replaces the file.
    #[arg(long, value_name = "TEXT")]
    pin_prompt_text: Option<Removable<String>>,
    /// The attempts of a caller, 1 to 10; 0: the default of 3.
    #[arg(long, value_name = "N")]
    pin_tries: Option<u8>,
    /// The announcement that the room hears before a recording.
    #[command(flatten)]
    announcement: AnnouncementOptions,
}

impl RoomSettings {
    /// The given settings as fields of a body.
    pub fn fields(self) -> Map<String, Value> {
        let tones = (self.enter_tone.is_some() || self.exit_tone.is_some())
            .then(|| json!({"enter": self.enter_tone.map(Value::from), "exit": self.exit_tone.map(Value::from)}));
        present([
            ("labels", labels(self.labels)),
            ("max_members", self.max_members.map(Value::from)),
            ("max_duration", self.max_duration.map(Value::from)),
            (
                "end_when_silent_for",
                self.end_when_silent_for.map(Value::from),
            ),
            ("tones", tones),
            ("alone_url", self.alone_url.map(Value::from)),
            (
                "wait_for_moderator",
                self.wait_for_moderator.map(Value::from),
            ),
            ("wait_url", self.wait_url.map(Value::from)),
            ("pin", self.pin.map(Value::from)),
            ("pin_prompt_url", self.pin_prompt_url.map(Value::from)),
            ("pin_prompt_text", self.pin_prompt_text.map(Value::from)),
            ("pin_tries", self.pin_tries.map(Value::from)),
            ("announce_recording", self.announcement.value()),
        ])
    }
}

/// The settings of a member.
#[derive(clap::Args, Clone, Debug)]
pub struct MemberSettings {
    /// A label of the member; KEY= removes it. Can be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<Label>,
    /// The role. A room that waits for a moderator starts with one.
    #[arg(long, value_parser = ["moderator", "participant"])]
    role: Option<String>,
    /// A room that waits for a moderator starts with this member, or does not; if omitted, its role decides.
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    start_on_enter: Option<bool>,
    /// The room ends when the member leaves.
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    end_on_exit: Option<bool>,
    /// The volume of what the member says, -4 to 4.
    #[arg(long, value_name = "VOLUME", allow_negative_numbers = true)]
    volume_in: Option<i8>,
    /// The volume of what the member hears, -4 to 4.
    #[arg(long, value_name = "VOLUME", allow_negative_numbers = true)]
    volume_out: Option<i8>,
    /// The energy above which the member is heard, 0 to 1800.
    #[arg(long)]
    energy: Option<u16>,
}

impl MemberSettings {
    /// The given settings as fields of a body.
    pub fn fields(self) -> Map<String, Value> {
        present([
            ("labels", labels(self.labels)),
            ("role", self.role.map(Value::from)),
            ("start_on_enter", self.start_on_enter.map(Value::from)),
            ("end_on_exit", self.end_on_exit.map(Value::from)),
            ("volume_in", self.volume_in.map(Value::from)),
            ("volume_out", self.volume_out.map(Value::from)),
            ("energy", self.energy.map(Value::from)),
        ])
    }
}

/// The settings of a member that joins.
#[derive(clap::Args, Clone, Debug)]
pub struct JoinSettings {
    /// The same as --role moderator.
    #[arg(long, conflicts_with = "role")]
    moderator: bool,
    /// The settings.
    #[command(flatten)]
    settings: MemberSettings,
}

impl JoinSettings {
    /// The given settings as fields of a body.
    pub fn fields(self) -> Map<String, Value> {
        let mut fields = self.settings.fields();
        if self.moderator {
            fields.insert("role".to_owned(), "moderator".into());
        }
        fields
    }
}

/// The levels of a member.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Levels {
    /// The volume of what the member says, -4 to 4.
    #[arg(long = "in", value_name = "VOLUME", allow_negative_numbers = true, required_unless_present_any = ["volume_out", "energy"])]
    volume_in: Option<i8>,
    /// The volume of what the member hears, -4 to 4.
    #[arg(long = "out", value_name = "VOLUME", allow_negative_numbers = true)]
    volume_out: Option<i8>,
    /// The energy above which the member is heard, 0 to 1800.
    #[arg(long)]
    energy: Option<u16>,
}

impl Levels {
    /// The given levels as fields of a body.
    pub fn fields(self) -> Map<String, Value> {
        present([
            ("volume_in", self.volume_in.map(Value::from)),
            ("volume_out", self.volume_out.map(Value::from)),
            ("energy", self.energy.map(Value::from)),
        ])
    }
}

/// A text to speak.
#[derive(clap::Args, Clone, Debug)]
pub struct Spoken {
    /// The text.
    text: String,
    /// A voice of the configuration; its default voice if omitted.
    #[arg(long)]
    voice: Option<String>,
}

impl Spoken {
    /// The text and its voice as fields of a body.
    pub fn fields(self) -> Map<String, Value> {
        present([
            ("text", Some(self.text.into())),
            ("voice", self.voice.map(Value::from)),
        ])
    }
}

/// The digits to ask for.
#[derive(clap::Args, Clone, Debug)]
pub struct GatherOptions {
    /// The last of these digits ends the input.
    #[arg(long, value_name = "N")]
    max_digits: u8,
    /// Fewer digits are no input.
    #[arg(long, value_name = "N")]
    min_digits: Option<u8>,
    /// The key that ends the input; # if omitted, none if empty.
    #[arg(long, value_name = "KEY")]
    terminator: Option<String>,
    /// The file that the caller hears first, by http or https.
    #[arg(long, value_name = "URL", conflicts_with = "prompt_text")]
    prompt_url: Option<Url>,
    /// The text that the caller hears first.
    #[arg(long, value_name = "TEXT")]
    prompt_text: Option<String>,
    /// The time for the first digit, in milliseconds.
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u32>,
    /// The time for each further digit, in milliseconds.
    #[arg(long, value_name = "MS")]
    inter_digit_timeout_ms: Option<u32>,
    /// The number of attempts.
    #[arg(long, value_name = "N")]
    tries: Option<u8>,
}

impl GatherOptions {
    /// The request for digits as fields of a body.
    pub fn fields(self) -> Map<String, Value> {
        present([
            ("max_digits", Some(self.max_digits.into())),
            ("min_digits", self.min_digits.map(Value::from)),
            ("terminator", self.terminator.map(Value::from)),
            (
                "prompt_url",
                self.prompt_url.map(|url| url.to_string().into()),
            ),
            ("prompt_text", self.prompt_text.map(Value::from)),
            ("timeout_ms", self.timeout_ms.map(Value::from)),
            (
                "inter_digit_timeout_ms",
                self.inter_digit_timeout_ms.map(Value::from),
            ),
            ("tries", self.tries.map(Value::from)),
        ])
    }
}

/// Tones to send.
#[derive(clap::Args, Clone, Debug)]
pub struct Tones {
    /// Keys of a telephone; w pauses for half a second, W for a second.
    digits: String,
    /// The duration of each tone in milliseconds.
    #[arg(long, value_name = "MS")]
    duration: Option<u16>,
}

impl Tones {
    /// The tones as fields of a body.
    pub fn fields(self) -> Map<String, Value> {
        present([
            ("digits", Some(self.digits.into())),
            ("duration_ms", self.duration.map(Value::from)),
        ])
    }
}
