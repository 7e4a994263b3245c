//! Sound that FreeSWITCH plays: files and spoken texts.

use serde::{Deserialize, Serialize};

use crate::play_url::PlayUrl;
use crate::speech::{CountTemplate, Speech, VoiceName};

/// A file or a text of a playback.
///
/// The JSON form of a file is its URL, that of a text an object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Media {
    /// A file.
    Url(PlayUrl),
    /// A text that FreeSWITCH speaks.
    Speech(Spoken),
}

/// A text with its voice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Spoken {
    /// The text.
    pub text: Speech,
    /// The voice; `None` for the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<VoiceName>,
}

impl Media {
    /// Returns the URL of a file.
    pub const fn url(&self) -> Option<&PlayUrl> {
        match self {
            Self::Url(url) => Some(url),
            Self::Speech(_) => None,
        }
    }

    /// Returns the text that it speaks.
    pub const fn spoken(&self) -> Option<&Spoken> {
        match self {
            Self::Url(_) => None,
            Self::Speech(spoken) => Some(spoken),
        }
    }

    /// Returns true if it needs a speech engine.
    pub const fn speaks(&self) -> bool {
        matches!(self, Self::Speech(_))
    }

    /// Returns the length of its URL or text, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Url(url) => url.as_str().len(),
            Self::Speech(spoken) => spoken.text.as_str().len(),
        }
    }
}

/// The announcement of a recording, which the room hears before it begins: a file or a text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Announcement {
    /// A file.
    File {
        /// The URL.
        url: PlayUrl,
    },
    /// A text.
    Speech(Spoken),
}

impl Announcement {
    /// Returns the URL of a file.
    pub const fn url(&self) -> Option<&PlayUrl> {
        match self {
            Self::File { url } => Some(url),
            Self::Speech(_) => None,
        }
    }
}

/// The number of members, as one that enters hears it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CountAnnouncement {
    /// The text.
    pub text: CountTemplate,
    /// The voice; `None` for the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<VoiceName>,
}

impl CountAnnouncement {
    /// Returns the text to speak for this number.
    pub fn spoken(&self, count: usize) -> Spoken {
        Spoken {
            text: self.text.with_count(count),
            voice: self.voice.clone(),
        }
    }
}

impl From<Announcement> for Media {
    fn from(announcement: Announcement) -> Self {
        match announcement {
            Announcement::File { url } => Self::Url(url),
            Announcement::Speech(spoken) => Self::Speech(spoken),
        }
    }
}

impl From<PlayUrl> for Media {
    fn from(url: PlayUrl) -> Self {
        Self::Url(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_urls_of_earlier_versions_stay_readable() {
        let url = "http://h/a.wav";
        let stored = serde_json::json!([url, {"text": "Hello"}, {"text": "Ola", "voice": "slt"}]);
        let media: Vec<Media> = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(media[0], PlayUrl::new(url).unwrap().into());
        let voices: Vec<_> = media.iter().map(|m| m.spoken().map(|s| &s.voice)).collect();
        let slt = Some(VoiceName::new("slt").unwrap());
        assert_eq!(voices, [None, Some(&None), Some(&slt)]);
        assert_eq!(serde_json::to_value(&media).unwrap(), stored);
    }
}
