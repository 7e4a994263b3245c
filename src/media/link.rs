//! The links that FreeSWITCH fetches from the media proxy.
//!
//! A link is `<base>/media/<token>/audio.<extension>`. The token is `base64url(tag ‖ expiry ‖ nonce ‖ URL)`: the tag is the
//! first 16 bytes of HMAC-SHA256 over the rest, the expiry is in Unix seconds, 8 bytes big-endian, the nonce is 8 bytes.
//! FreeSWITCH takes the extension for the file's format. The nonce makes every link another URL, so that FreeSWITCH never
//! answers one from its own cache: mod_httapi misreads what it stored of a URL that is longer than about 950 characters.
//!
//! Pure. Leaves out the clock and the random numbers, which are arguments, and the fetch.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::time::Timestamp;

/// The path that all links begin with.
pub const PATH: &str = "/media/";

/// A link is valid for this long. FreeSWITCH fetches it at once; the rest is for replicas whose clocks differ.
const LIFETIME: Duration = Duration::from_secs(7_200);

const TAG: usize = 16;
const NUMBER: usize = size_of::<u64>();

/// Formats of audio files. Any other extension is left out of a link: FreeSWITCH reaches more than files by one.
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

/// Why a token opens nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidLink {
    /// It was not signed with this key.
    #[error("link is not signed by this fleet")]
    Signature,
    /// It was, and its time is over.
    #[error("link has expired")]
    Expired,
}

/// Writes and reads links.
#[derive(Clone, Debug)]
pub struct Links {
    base: PlayUrl,
    key: LinkKey,
}

impl Links {
    /// Links to the proxy at this URL, which has neither a path nor a query.
    pub const fn new(base: PlayUrl, key: LinkKey) -> Self {
        Self { base, key }
    }

    /// The link by which FreeSWITCH fetches the file at this URL.
    pub fn link(&self, url: &PlayUrl, now: Timestamp, nonce: u64) -> PlayUrl {
        let expiry = now.as_secs() + LIFETIME.as_secs();
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

    /// The URL inside a token.
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
        // HMAC pads a short key with zeros to this size anyway; done here, it cannot fail.
        let mut block = [0; 64];
        block[..self.key.0.len()].copy_from_slice(&self.key.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(signed);
        mac
    }
}

/// The extension of the last segment of a URL's path, where it is that of an audio file.
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
    fn forged_token_opens_nothing() {
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
    fn link_has_the_extension_of_an_audio_file_and_no_other() {
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
