//! The URL of an audio file, in a form that is safe in a FreeSWITCH command.
//!
//! Pure. Owns the syntax of these URLs. Leaves out the check of permitted hosts.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The maximum length of a URL, both as given and as written.
pub const MAX_LENGTH: usize = 2_048;

/// The maximum length of a URL that is read from the store. A URL that an earlier version stored can be longer in
/// today's alphabet: each of its characters becomes at most three.
const MAX_STORED: usize = 3 * MAX_LENGTH;

/// The `http` or `https` URL of an audio file.
///
/// FreeSWITCH applies several parsers in turn. It splits the command at spaces, takes `'`, `"` and `\` for quotes
/// and a leading `{` or `[` for parameters, expands `${`, reaches other file formats by other schemes, splits a list of
/// files at the channel's `playback_delimiter` (often `!`), and takes the text after the last dot for the format. Its HTTP
/// module takes everything before the first `@`, even in the path, for a user name and a password, and connects to the host
/// after it; a leading `(` begins parameters of its own.
///
/// So the URL is parsed and written again, with an alphabet for each part. Any other byte is percent-encoded, which a server
/// reads as the same byte:
///
/// | part | characters that stay |
/// |---|---|
/// | host | letters, digits, `-._` |
/// | port | digits, after the only `:` |
/// | path | letters, digits, `-._~/&+=`, and `%` before two hexadecimal digits |
/// | query | letters, digits, `-_~&+=`, and `%` before two hexadecimal digits |
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlayUrl(String);

/// The reason why a text is not the URL of an audio file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidPlayUrl {
    /// It is not a URL.
    #[error("it is not a URL")]
    Url,
    /// It is neither `http` nor `https`.
    #[error("its scheme must be http or https")]
    Scheme,
    /// Its host cannot be written in a FreeSWITCH command.
    #[error("its host must be a name or an IPv4 address")]
    Host,
    /// It carries a user name or password, which would end up in logs.
    #[error("it must not carry a user name or password")]
    Credentials,
    /// It is too long, as given or as written.
    #[error("it is longer than {MAX_LENGTH} characters")]
    Long,
}

impl PlayUrl {
    /// Parses a URL of a caller and writes it in the form that is safe for FreeSWITCH.
    ///
    /// # Errors
    /// [`InvalidPlayUrl`] gives the reason.
    pub fn new(text: &str) -> Result<Self, InvalidPlayUrl> {
        Self::within(MAX_LENGTH, text)
    }

    /// Parses a URL that was accepted and stored before, maybe by an earlier version.
    ///
    /// # Errors
    /// [`InvalidPlayUrl`] gives the reason.
    pub fn from_stored(text: &str) -> Result<Self, InvalidPlayUrl> {
        Self::within(MAX_STORED, text)
    }

    fn within(longest: usize, text: &str) -> Result<Self, InvalidPlayUrl> {
        if text.len() > longest {
            return Err(InvalidPlayUrl::Long);
        }
        let url = Url::parse(text).map_err(|_| InvalidPlayUrl::Url)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidPlayUrl::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidPlayUrl::Credentials);
        }
        let host = match url.host() {
            // The parser accepts more than host names, `{` and `$` among it.
            Some(Host::Domain(name))
                if name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) =>
            {
                name.to_owned()
            }
            Some(Host::Ipv4(ip)) => ip.to_string(),
            // IPv6 addresses have brackets, which FreeSWITCH would read as parameters.
            Some(Host::Domain(_) | Host::Ipv6(_)) | None => return Err(InvalidPlayUrl::Host),
        };
        let mut written = format!("{}://{host}", url.scheme());
        if let Some(port) = url.port() {
            // Writing to a String does not fail.
            let _written = write!(written, ":{port}");
        }
        encode(&mut written, url.path(), PATH);
        // The fragment is dropped: clients do not send it.
        if let Some(query) = url.query() {
            written.push('?');
            encode(&mut written, query, QUIRK_QUERY);
        }
        if written.len() > longest {
            return Err(InvalidPlayUrl::Long);
        }
        Ok(Self(written))
    }

    /// Returns the URL as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the URL of this path on the same server.
    pub fn with_path(&self, path: &str) -> Self {
        let (scheme, rest) = self.0.split_once("://").unwrap_or_default();
        let authority = rest.split('/').next().unwrap_or_default();
        let mut written = format!("{scheme}://{authority}");
        encode(&mut written, path, PATH);
        Self(written)
    }

    /// Returns the host: a name or an IPv4 address.
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        authority.split(':').next().unwrap_or_default()
    }
}

/// The punctuation of a path.
const PATH: &[u8] = b"-._~/&+=";

/// The punctuation of a query. FreeSWITCH reads everything between the last dot of a URL and a `?` as the file's
/// format, even if that dot is in the query, and looks back no further than the last `/` (seen on 1.11). Without `.`
/// and `/` here, it finds the format in the path.
const QUIRK_QUERY: &[u8] = b"-_~&+=";

/// Writes a part of a URL. Letters, digits, the given punctuation and encoded bytes stay unchanged.
fn encode(written: &mut String, part: &str, punctuation: &[u8]) {
    let bytes = part.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        let is_encoded = || {
            bytes
                .get(at + 1..at + 3)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        if byte.is_ascii_alphanumeric()
            || punctuation.contains(&byte)
            || (byte == b'%' && is_encoded())
        {
            written.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _written = write!(written, "%{byte:02X}");
        }
    }
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
        Self::from_stored(&text)
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
    fn url_is_written_safely_for_freeswitch() {
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
            ("http://h/greeting@2x.wav", "http://h/greeting%402x.wav"),
            ("http://h/a%40b%2540.wav", "http://h/a%40b%2540.wav"),
            ("http://h/50%.wav?100%25%", "http://h/50%25.wav?100%25%25"),
            ("http://h/a!b(c)*:d.wav", "http://h/a%21b%28c%29%2A%3Ad.wav"),
            ("http://h/a+b=c&d~.wav", "http://h/a+b=c&d~.wav"),
            (
                "http://h/a.wav?u=http://i/?b+c&d=\\",
                "http://h/a.wav?u=http%3A%2F%2Fi%2F%3Fb+c&d=%5C",
            ),
            ("http://h:8080", "http://h:8080/"),
            ("http://h?a", "http://h/?a"),
            ("http://１２７．０．０．１/a", "http://127.0.0.1/a"),
        ] {
            assert_eq!(PlayUrl::new(given).unwrap().as_str(), written, "{given}");
        }
    }

    #[test]
    fn invalid_url_is_refused() {
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
            ("http://u@h/a.wav", E::Credentials),
            ("http://:p@h/a.wav", E::Credentials),
            ("http://h%40i/a.wav", E::Url),
            ("http://[::1]/a.wav", E::Host),
            ("http://h{x}/a.wav", E::Host),
            ("http://h$x/a.wav", E::Host),
        ] {
            assert_eq!(PlayUrl::new(given), Err(why), "{given}");
        }
        let long = |n: usize| format!("http://h/{}", "a".repeat(n - 9));
        assert!(PlayUrl::new(&long(MAX_LENGTH)).is_ok());
        assert_eq!(PlayUrl::new(&long(MAX_LENGTH + 1)), Err(E::Long));
        let grows = format!("http://h/{}", "$".repeat(1_000));
        assert_eq!(PlayUrl::new(&grows), Err(E::Long));
    }

    #[test]
    fn host_is_returned() {
        for (url, host) in [
            ("http://h/a", "h"),
            ("https://cdn.example.com:8443/a", "cdn.example.com"),
            ("http://127.0.0.1?x", "127.0.0.1"),
        ] {
            assert_eq!(PlayUrl::new(url).unwrap().host(), host);
        }
    }

    #[test]
    fn url_stored_by_an_earlier_version_is_written_with_the_new_alphabet() {
        let read =
            |text: &str| serde_json::from_value::<PlayUrl>(serde_json::Value::from(text)).unwrap();
        assert_eq!(
            read("http://h/@127.0.0.1/x.wav").as_str(),
            "http://h/%40127.0.0.1/x.wav"
        );
        let longest = format!("http://h/{}", "@".repeat(MAX_LENGTH - 9));
        assert_eq!(PlayUrl::new(&longest), Err(InvalidPlayUrl::Long));
        assert_eq!(
            read(&longest).as_str().matches("%40").count(),
            MAX_LENGTH - 9
        );
    }

    /// Returns the host that mod_httapi connects to: it reads everything before the first `@` as credentials, even in
    /// the path.
    fn host_for_mod_httapi(url: &str) -> String {
        let (scheme, rest) = url.split_once("://").unwrap();
        let rest = url.split_once('@').map_or(rest, |(_, rest)| rest);
        // The rest follows curl: `\` separates like `/`, and the last `@` of the authority ends the credentials.
        assert!(["http", "https"].contains(&scheme));
        let authority = rest.split(['/', '\\', '?', '#']).next().unwrap();
        let host = authority.rsplit('@').next().unwrap();
        host.split(':').next().unwrap().to_owned()
    }

    #[test]
    fn mod_httapi_connects_to_the_host_that_was_checked() {
        let inside = "127.0.0.1:6380";
        let mut accepted = 0;
        for text in [
            format!("http://allowed.host/@{inside}/x.wav"),
            format!("http://allowed.host/x@{inside}/x.wav"),
            format!("http://allowed.host/a/b@{inside}/x.wav"),
            format!("http://allowed.host/?x=@{inside}/x.wav"),
            format!("http://allowed.host/x.wav?x=1&y=@{inside}"),
            format!("http://allowed.host/user:pass@{inside}/x.wav"),
            "http://allowed.host/@localhost:6380/x.wav".to_owned(),
            format!("https://allowed.host/@{inside}/x.wav"),
            format!("http://allowed.host/\\@{inside}/x.wav"),
            format!("http://allowed.host\\@{inside}/x.wav"),
            format!("http://allowed.host/@@{inside}/x.wav"),
            format!("http://allowed.host//@{inside}/x.wav"),
            format!("http://allowed.host/;@{inside}/x.wav"),
            format!("http://allowed.host/@{inside}"),
            format!("http://allowed.host?@{inside}/x.wav"),
            format!("http://allowed.host/#@{inside}/x.wav"),
            format!("http://allowed.host:80/:@{inside}/x.wav"),
            format!("http://allowed.host/＠{inside}/x.wav"),
            format!("http://allowed.host/%40{inside}/x.wav"),
            format!("http://allowed.host/%2540{inside}/x.wav"),
            format!("http://allowed.host/%5C@{inside}/x.wav"),
            format!("http://allowed.host/http://{inside}/x.wav"),
            format!("http://allowed.host/!http://{inside}/x.wav"),
            format!("http://allowed.host@{inside}/x.wav"),
            format!("http://allowed.host:80@{inside}/x.wav"),
            format!("http://allowed.host%40{inside}/x.wav"),
        ] {
            let Ok(url) = PlayUrl::new(&text) else {
                continue;
            };
            accepted += 1;
            assert_eq!(url.host(), "allowed.host", "{text}");
            assert_eq!(
                host_for_mod_httapi(url.as_str()),
                "allowed.host",
                "{text} as {url}"
            );
            assert_eq!(url.as_str().matches("://").count(), 1, "{text} as {url}");
        }
        assert!(accepted >= 20, "{accepted} were accepted");
    }

    fn fits(url: &PlayUrl) {
        let text = url.as_str();
        assert!(text.len() <= MAX_LENGTH);
        let rest = text.strip_prefix("http").unwrap();
        let rest = rest.strip_prefix('s').unwrap_or(rest);
        let (authority, rest) = rest.strip_prefix("://").unwrap().split_once('/').unwrap();
        let (host, port) = authority.split_once(':').unwrap_or((authority, "1"));
        let only = |part: &str, punctuation: &str| {
            assert!(
                part.chars()
                    .all(|c| c.is_ascii_alphanumeric() || punctuation.contains(c)),
                "{part:?} in {text}"
            );
        };
        assert!(!host.is_empty() && port.parse::<u16>().is_ok(), "{text}");
        only(host, "-._");
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        only(path, "-._~/&+=%");
        only(query, "-_~&+=%");
        assert_eq!(host_for_mod_httapi(text), url.host());
        assert_eq!(PlayUrl::new(text).as_ref(), Ok(url), "written twice");
        let parsed = Url::parse(text).unwrap();
        assert_eq!(parsed.host_str(), Some(url.host()));
        assert!(parsed.username().is_empty());
    }

    proptest! {
        #[test]
        fn accepted_url_never_injects(text in "\\PC{0,80}") {
            if let Ok(url) = PlayUrl::new(&text) {
                fits(&url);
            }
        }

        #[test]
        fn accepted_url_with_valid_prefix_never_injects(
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
