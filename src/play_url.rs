//! The URL of an audio file, as it may stand in a command to FreeSWITCH.
//!
//! Pure. Owns which URLs there are and how they are written. Leaves out whose addresses may be called.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The longest URL, as it was given and as it is written.
pub const LONGEST: usize = 2_048;

/// The `http` or `https` URL of an audio file.
///
/// FreeSWITCH reaches other file formats by other schemes, splits the command at spaces, takes `'`, `"` and `\` for
/// quotes, a leading `{` or `[` for parameters, and expands `${`. So the URL is parsed and written anew, and what is not
/// in the alphabet below is percent-encoded: letters, digits and `-._~:/?@!&()*+=%`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlayUrl(String);

/// Why a text is not the URL of an audio file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidPlayUrl {
    /// It is not a URL at all.
    #[error("it is not a URL")]
    Url,
    /// It is neither `http` nor `https`.
    #[error("its scheme must be http or https")]
    Scheme,
    /// Its host cannot be written to FreeSWITCH.
    #[error("its host must be a name or an IPv4 address")]
    Host,
    /// It carries a user name or password, which would end up in logs.
    #[error("it must not carry a user name or password")]
    Credentials,
    /// It is too long, as it was given or once it is written out.
    #[error("it is longer than {LONGEST} characters")]
    Long,
}

impl PlayUrl {
    /// Parses a URL and writes it as FreeSWITCH can take it.
    ///
    /// # Errors
    /// [`InvalidPlayUrl`] says why it cannot.
    pub fn new(text: &str) -> Result<Self, InvalidPlayUrl> {
        if text.len() > LONGEST {
            return Err(InvalidPlayUrl::Long);
        }
        let mut url = Url::parse(text).map_err(|_| InvalidPlayUrl::Url)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidPlayUrl::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidPlayUrl::Credentials);
        }
        // Nobody sends it to a server.
        url.set_fragment(None);
        quirk_format_of_the_last_dot(&mut url);
        let host_ok = match url.host() {
            // The parser lets more into a name than any name has, `{` and `$` among it.
            Some(Host::Domain(name)) => name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')),
            Some(Host::Ipv4(_)) => true,
            // In brackets, which FreeSWITCH would take for parameters.
            Some(Host::Ipv6(_)) | None => false,
        };
        if !host_ok {
            return Err(InvalidPlayUrl::Host);
        }
        let written = encoded(url.as_str());
        if written.len() > LONGEST {
            return Err(InvalidPlayUrl::Long);
        }
        Ok(Self(written))
    }

    /// The URL as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its host: a name, or an IPv4 address.
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        authority.split(':').next().unwrap_or_default()
    }
}

/// What stands behind the last dot of a URL, up to a `?`, FreeSWITCH takes for the format of the file, also where that dot
/// is in the query: such a file, as that of many a signed URL, could not be played (seen on 1.11.2). To a server the
/// encoded dot is the same.
fn quirk_format_of_the_last_dot(url: &mut Url) {
    if let Some(query) = url.query()
        && query.contains('.')
    {
        let query = query.replace('.', "%2E");
        url.set_query(Some(&query));
    }
}

fn encoded(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/?@!&()*+=%".contains(&byte) {
            written.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _written = write!(written, "%{byte:02X}");
        }
    }
    written
}

impl FromStr for PlayUrl {
    type Err = InvalidPlayUrl;
    fn from_str(text: &str) -> Result<Self, InvalidPlayUrl> {
        Self::new(text)
    }
}

impl TryFrom<String> for PlayUrl {
    type Error = InvalidPlayUrl;
    fn try_from(text: String) -> Result<Self, InvalidPlayUrl> {
        Self::new(&text)
    }
}

impl From<PlayUrl> for String {
    fn from(url: PlayUrl) -> Self {
        url.0
    }
}

impl fmt::Display for PlayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn written_as_freeswitch_takes_it() {
        for (given, written) in [
            (
                "http://cdn.example.com/a.wav",
                "http://cdn.example.com/a.wav",
            ),
            (
                "HTTPS://CDN.Example.com:443/a b.wav",
                "https://cdn.example.com/a%20b.wav",
            ),
            ("http://h/a.wav?x=1&y=2#part", "http://h/a.wav?x=1&y=2"),
            (
                "http://h/{a}[b]'c'|$d,e;f",
                "http://h/%7Ba%7D%5Bb%5D%27c%27%7C%24d%2Ce%3Bf",
            ),
            ("http://h/%7Ba%20", "http://h/%7Ba%20"),
            ("http://h\\a.wav", "http://h/a.wav"),
            ("http://h/a\nb.wav", "http://h/ab.wav"),
            ("http://0x7f.1/a", "http://127.0.0.1/a"),
            ("http://h/ü", "http://h/%C3%BC"),
            ("http://h/?q=${uptime}", "http://h/?q=%24%7Buptime%7D"),
            ("http://h/a.wav?sig=a.b.c", "http://h/a.wav?sig=a%2Eb%2Ec"),
        ] {
            assert_eq!(PlayUrl::new(given).unwrap().as_str(), written, "{given}");
        }
    }

    #[test]
    fn what_is_not_the_url_of_a_file_is_refused() {
        use InvalidPlayUrl as E;
        for (given, why) in [
            ("", E::Url),
            ("a.wav", E::Url),
            ("{vol=1}http://h/a.wav", E::Url),
            ("/etc/passwd", E::Url),
            ("http://", E::Url),
            ("shell_stream://ls", E::Url),
            ("file:///etc/passwd", E::Scheme),
            ("say:hello", E::Scheme),
            ("http://u:p@h/a.wav", E::Credentials),
            ("http://[::1]/a.wav", E::Host),
            ("http://h{x}/a.wav", E::Host),
            ("http://h$x/a.wav", E::Host),
        ] {
            assert_eq!(PlayUrl::new(given), Err(why), "{given}");
        }
        let long = |n: usize| format!("http://h/{}", "a".repeat(n - 9));
        assert!(PlayUrl::new(&long(LONGEST)).is_ok());
        assert_eq!(PlayUrl::new(&long(LONGEST + 1)), Err(E::Long));
        let grows = format!("http://h/{}", "$".repeat(1_000));
        assert_eq!(PlayUrl::new(&grows), Err(E::Long));
    }

    #[test]
    fn hosts() {
        for (url, host) in [
            ("http://h/a", "h"),
            ("https://cdn.example.com:8443/a", "cdn.example.com"),
            ("http://127.0.0.1?x", "127.0.0.1"),
        ] {
            assert_eq!(PlayUrl::new(url).unwrap().host(), host);
        }
    }

    fn fits(url: &PlayUrl) {
        let text = url.as_str();
        assert!(text.len() <= LONGEST);
        assert!(text.starts_with("http://") || text.starts_with("https://"));
        assert!(
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._~:/?@!&()*+=%".contains(&b)),
            "{text}"
        );
        assert_eq!(PlayUrl::new(text).as_ref(), Ok(url), "written twice");
        let parsed = Url::parse(text).unwrap();
        assert_eq!(parsed.host_str(), Some(url.host()));
        assert!(parsed.username().is_empty());
    }

    proptest! {
        #[test]
        fn nothing_injects(text in "\\PC{0,80}") {
            if let Ok(url) = PlayUrl::new(&text) {
                fits(&url);
            }
        }

        #[test]
        fn nothing_injects_behind_a_good_beginning(
            scheme in "(http|https|HTTP)",
            host in "[a-z{}$,;'\"`^|~!&()@:.%0-9-]{1,12}",
            rest in "[/?#][\\x00-\\x7f]{0,60}",
            more in "\\PC{0,20}",
        ) {
            if let Ok(url) = PlayUrl::new(&format!("{scheme}://{host}{rest}{more}")) {
                fits(&url);
            }
        }
    }
}
