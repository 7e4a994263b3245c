//! The links that FreeSWITCH fetches from the media proxy.
//!
//! A link is `<base>/media/<token>/audio.<extension>`. The token is `base64url(tag ‖ expiry ‖ nonce ‖ URL)`: the tag is the
//! first 16 bytes of HMAC-SHA256 over the rest, the expiry is in Unix seconds, 8 bytes big-endian, the nonce is 8 bytes.
//! FreeSWITCH derives the file's format from the extension. The nonce makes every link unique, so that FreeSWITCH never
//! uses its own cache: mod_httapi misreads the cache entry of a URL that is longer than about 950 characters.
//!
//! Pure: time and random numbers are arguments. Leaves out the fetch.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::time::Timestamp;

/// The path prefix of all links.
pub const PATH: &str = "/media/";

/// The lifetime of a link. FreeSWITCH fetches it at once; the rest covers differences between the replicas' clocks.
const LIFETIME: Duration = Duration::from_secs(7_200);

/// The lifetime of a link that a conference keeps: longer than any conference lasts. The rules for its URL apply to each
/// fetch.
const LASTING: Duration = Duration::from_secs(366 * 86_400);

const TAG: usize = 16;
const NUMBER: usize = size_of::<u64>();

/// Extensions of audio files. A link omits any other extension, because FreeSWITCH has formats that are no files.
const EXTENSIONS: &[&str] = &[
    "aac", "aif", "aiff", "alaw", "au", "caf", "flac", "g722", "gsm", "l16", "m4a", "mp3", "mp4",
    "oga", "ogg", "opus", "pcma", "pcmu", "r16", "r24", "r32", "r48", "r8", "raw", "sln", "snd",
    "ulaw", "wav", "webm",
];

/// The key that signs links. All replicas need the same one.
#[derive(Clone)]
pub struct LinkKey([u8; 32]);

impl LinkKey {
    /// Creates a key from its bytes.
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey(..)")
    }
}

/// The reason why a token is invalid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidLink {
    /// It is not signed with this key.
    #[error("link is not signed by this fleet")]
    Signature,
    /// It has expired.
    #[error("link has expired")]
    Expired,
}

/// Creates and opens links.
#[derive(Clone, Debug)]
pub struct Links {
    base: PlayUrl,
    key: LinkKey,
}

impl Links {
    /// Sets the proxy's URL, which has neither path nor query, and the key.
    pub const fn new(base: PlayUrl, key: LinkKey) -> Self {
        Self { base, key }
    }

    /// Creates the link from which FreeSWITCH fetches the file at this URL.
    pub fn link(&self, url: &PlayUrl, now: Timestamp, nonce: u64) -> PlayUrl {
        self.link_for(LIFETIME, url, now, nonce)
    }

    /// Creates a link that FreeSWITCH fetches again and again while a conference lasts.
    pub fn lasting_link(&self, url: &PlayUrl, now: Timestamp, nonce: u64) -> PlayUrl {
        self.link_for(LASTING, url, now, nonce)
    }

    fn link_for(&self, lifetime: Duration, url: &PlayUrl, now: Timestamp, nonce: u64) -> PlayUrl {
        let expiry = now.as_secs() + lifetime.as_secs();
        let mut signed = Vec::with_capacity(2 * NUMBER + url.as_str().len());
        signed.extend(expiry.to_be_bytes());
        signed.extend(nonce.to_be_bytes());
        signed.extend(url.as_str().as_bytes());
        let tag = self.mac(&signed).finalize().into_bytes();
        let token = URL_SAFE_NO_PAD.encode([&tag[..TAG], &signed].concat());
        let dot_extension =
            extension(url).map_or_else(String::new, |extension| format!(".{extension}"));
        self.base
            .with_path(&format!("{PATH}{token}/audio{dot_extension}"))
    }

    /// Returns the URL inside a token.
    ///
    /// # Errors
    /// [`InvalidLink`].
    pub fn open(&self, token: &str, now: Timestamp) -> Result<PlayUrl, InvalidLink> {
        let bytes = URL_SAFE_NO_PAD
            .decode(token)
            .map_err(|_| InvalidLink::Signature)?;
        let (tag, signed) = bytes.split_at_checked(TAG).ok_or(InvalidLink::Signature)?;
        self.mac(signed)
            .verify_truncated_left(tag)
            .map_err(|_| InvalidLink::Signature)?;
        let (expiry, rest) = signed
            .split_first_chunk::<NUMBER>()
            .ok_or(InvalidLink::Signature)?;
        if u64::from_be_bytes(*expiry) <= now.as_secs() {
            return Err(InvalidLink::Expired);
        }
        rest.get(NUMBER..)
            .and_then(|url| PlayUrl::from_stored(std::str::from_utf8(url).ok()?).ok())
            .ok_or(InvalidLink::Signature)
    }

    fn mac(&self, signed: &[u8]) -> Hmac<Sha256> {
        // HMAC pads short keys with zeros to the block size; padding here makes it infallible.
        let mut block = [0; 64];
        block[..self.key.0.len()].copy_from_slice(&self.key.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(signed);
        mac
    }
}

/// Returns the extension of the last path segment if it is that of an audio file.
fn extension(url: &PlayUrl) -> Option<&str> {
    let path = url.as_str().split('?').next()?;
    let (_, name) = path.rsplit_once('/')?;
    let (_, extension) = name.rsplit_once('.')?;
    EXTENSIONS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(extension))
        .then_some(extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn links(key: u8) -> Links {
        let base = PlayUrl::new("http://controller:8082").unwrap();
        Links::new(base, LinkKey::new([key; 32]))
    }

    fn token(link: &PlayUrl) -> String {
        let rest = link
            .as_str()
            .strip_prefix("http://controller:8082/media/")
            .unwrap();
        rest.split_once('/').unwrap().0.to_owned()
    }

    #[test]
    fn link_opens_to_its_url_until_it_expires() {
        let url = PlayUrl::new("https://cdn.example.com/a b@2.wav?sig=a.b").unwrap();
        let link = links(1).link(&url, NOW, 7);
        assert!(link.as_str().ends_with("/audio.wav"), "{link}");
        let token = token(&link);
        assert_eq!(links(1).open(&token, NOW), Ok(url));
        let just_before = NOW + (LIFETIME - Duration::from_secs(1));
        assert!(links(1).open(&token, just_before).is_ok());
        assert_eq!(
            links(1).open(&token, NOW + LIFETIME),
            Err(InvalidLink::Expired)
        );
    }

    #[test]
    fn forged_token_is_invalid() {
        let url = PlayUrl::new("https://cdn.example.com/a.wav").unwrap();
        let token = token(&links(1).link(&url, NOW, 7));
        assert_eq!(links(2).open(&token, NOW), Err(InvalidLink::Signature));
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(bytes).unwrap();
            assert_eq!(
                links(1).open(&forged, NOW),
                Err(InvalidLink::Signature),
                "{forged}"
            );
        }
        for bad in ["", "%", "AAAA", &"A".repeat(9_000)] {
            assert_eq!(links(1).open(bad, NOW), Err(InvalidLink::Signature));
        }
    }

    #[test]
    fn links_of_one_file_differ() {
        let url = PlayUrl::new("https://cdn.example.com/a.wav").unwrap();
        assert_ne!(links(1).link(&url, NOW, 1), links(1).link(&url, NOW, 2));
    }

    #[test]
    fn link_has_extension_of_audio_files_only() {
        for (url, end) in [
            ("http://h/a.wav", "/audio.wav"),
            ("http://h/a.b.MP3?x=1", "/audio.MP3"),
            ("http://h/a.tone_stream", "/audio"),
            ("http://h/a.vlc", "/audio"),
            ("http://h/a", "/audio"),
            ("http://h/a.wav/b", "/audio"),
            ("http://h?a.wav", "/audio"),
        ] {
            let link = links(1).link(&PlayUrl::new(url).unwrap(), NOW, 1);
            assert!(link.as_str().ends_with(end), "{url} as {link}");
        }
    }

    #[test]
    fn longest_url_has_a_link() {
        let longest = format!("http://h/{}", "a".repeat(2_048 - 9));
        let url = PlayUrl::new(&longest).unwrap();
        let token = token(&links(1).link(&url, NOW, u64::MAX));
        assert_eq!(links(1).open(&token, NOW), Ok(url));
    }
}
