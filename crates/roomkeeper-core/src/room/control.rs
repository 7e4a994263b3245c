//! Controls: settings of a room that FreeSWITCH keeps with its conference and forgets with it.

use crate::play_url::PlayUrl;

use super::room_settings::{RoomSettings, RoomSettingsUpdate};
use super::tones::{Tone, Tones};

/// One change of a conference. Each states its target, so it can be repeated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RoomControl {
    /// Limits the number of members; 0 is no limit.
    MaxMembers(u32),
    /// Sets the file of a tone.
    ToneFile(Tone, PlayUrl),
    /// Turns a tone on or off.
    ToneOn(Tone, bool),
    /// Sets the file that a lone member hears.
    AloneFile(PlayUrl),
    /// Forgets the file that a lone member hears.
    NoAloneFile,
    /// Allows or stops music for a lone member.
    AloneOn(bool),
}

impl RoomSettings {
    /// Returns all controls of a conference, those of unset settings included.
    pub fn all_controls(&self) -> Vec<RoomControl> {
        let update = RoomSettingsUpdate {
            max_members: Some(self.max_members),
            tones: Some(self.tones.clone()),
            alone_url: Some(self.alone_url.clone()),
            ..RoomSettingsUpdate::default()
        };
        update.controls()
    }

    /// Returns the controls of a new conference.
    pub fn controls(&self) -> Vec<RoomControl> {
        let defaults = Self::default();
        let update = RoomSettingsUpdate {
            max_members: Some(self.max_members).filter(|most| *most != defaults.max_members),
            tones: Some(self.tones.clone()).filter(|tones| *tones != defaults.tones),
            alone_url: Some(self.alone_url.clone()).filter(Option::is_some),
            ..RoomSettingsUpdate::default()
        };
        update.controls()
    }
}

impl RoomSettingsUpdate {
    /// Returns the controls that bring the update to a running conference.
    pub fn controls(&self) -> Vec<RoomControl> {
        let mut controls = Vec::new();
        controls.extend(self.max_members.map(RoomControl::MaxMembers));
        if let Some(Tones { enter, exit }) = &self.tones {
            for (tone, file) in [(Tone::Enter, enter), (Tone::Exit, exit)] {
                let set = |file: &PlayUrl| RoomControl::ToneFile(tone, file.clone());
                controls.extend(file.as_ref().map(set));
                controls.push(RoomControl::ToneOn(tone, file.is_some()));
            }
        }
        if let Some(file) = &self.alone_url {
            controls.push(RoomControl::AloneOn(file.is_some()));
            controls.push(match file {
                Some(file) => RoomControl::AloneFile(file.clone()),
                None => RoomControl::NoAloneFile,
            });
        }
        controls
    }

    /// Returns true if the update removes a setting that a conference keeps.
    pub fn removes_control(&self, before: &RoomSettings) -> bool {
        let limit = before.max_members != 0 && self.max_members == Some(0);
        let alone = before.alone_url.is_some() && self.alone_url == Some(None);
        let tone = self.tones.as_ref().is_some_and(|tones| {
            let removed =
                |before: &Option<PlayUrl>, now: &Option<PlayUrl>| before.is_some() && now.is_none();
            removed(&before.tones.enter, &tones.enter) || removed(&before.tones.exit, &tones.exit)
        });
        limit || alone || tone
    }
}
