//! Checks request heads before the HTTP library reads them.
//!
//! The library answers an invalid head by itself, without the API's form of errors. It accepts requests without `Host`
//! or with two of them, and it removes `Content-Length` beside `Transfer-Encoding`, so a handler cannot detect both. So
//! a head is checked here first, with the parser that the library uses.
//!
//! Owns the rules for heads, and the length of the body after a head. Leaves out reading bytes and responses.

use http::StatusCode;
use http::Uri;
use http::uri::Authority;

/// The longest head, with its request line, in bytes.
pub const MAX_HEAD: usize = 64 * 1024;

/// The longest request target, in bytes.
pub const MAX_TARGET: usize = 8 * 1024;

/// The maximum number of fields in a head.
pub const MAX_FIELDS: usize = 100;

/// The reason why a request is refused before it is routed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefusedHead {
    /// The status of the response.
    pub status: StatusCode,
    /// The text of the response.
    pub error: &'static str,
}

impl RefusedHead {
    const fn bad(error: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
        }
    }

    /// The head did not arrive in time.
    pub(super) const fn slow() -> Self {
        Self {
            status: StatusCode::REQUEST_TIMEOUT,
            error: "the request head did not arrive in time",
        }
    }

    /// The incomplete heads of all connections have used up their memory.
    pub(super) const fn no_memory() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            error: "too many large request heads are incomplete",
        }
    }

    /// The head is longer than [`MAX_HEAD`]; these are its first bytes.
    pub(super) fn too_long(bytes: &[u8]) -> Self {
        match memchr::memchr(b'\n', bytes) {
            Some(_) => Self::too_large(),
            None => Self::target_too_long(),
        }
    }

    const fn too_large() -> Self {
        Self {
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            error: "the request head is too large",
        }
    }

    const fn target_too_long() -> Self {
        Self {
            status: StatusCode::URI_TOO_LONG,
            error: "the request target is too long",
        }
    }
}

/// The length of the body after a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BodyLength {
    /// Given by the head.
    Known(u64),
    /// Given by the chunks.
    Chunked,
}

/// An accepted head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    /// The number of its bytes, including the final empty line.
    pub(super) length: usize,
    /// Its body.
    pub(super) body: BodyLength,
}

/// True if a head may end within these bytes, of which the first `searched` have been searched already.
pub(super) fn may_end(bytes: &[u8], searched: usize) -> bool {
    // The searched part may contain the start of the end, which has at most three bytes.
    let start = searched.saturating_sub(3);
    memchr::memchr_iter(b'\n', &bytes[start..]).any(|at| {
        let rest = &bytes[start + at + 1..];
        rest.starts_with(b"\n") || rest.starts_with(b"\r\n")
    })
}

/// Checks the head at the front of these bytes. `None`: it is incomplete.
pub(super) fn check_head(bytes: &[u8]) -> Result<Option<Head>, RefusedHead> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(RefusedHead::too_large()),
        Err(
            httparse::Error::HeaderName
            | httparse::Error::HeaderValue
            | httparse::Error::NewLine
            | httparse::Error::Status
            | httparse::Error::Token
            | httparse::Error::Version,
        ) => return Err(RefusedHead::bad("the request head is not valid HTTP/1.1")),
    };
    if length > MAX_HEAD {
        return Err(RefusedHead::too_large());
    }
    let target = request.path.unwrap_or_default();
    if target.len() > MAX_TARGET {
        return Err(RefusedHead::target_too_long());
    }
    if Uri::try_from(target).is_err() {
        return Err(RefusedHead::bad("the request target is not a valid URI"));
    }
    let is_1_1 = request.version == Some(1);
    check_host(request.headers, is_1_1)?;
    let body = body_length(request.headers, is_1_1)?;
    Ok(Some(Head { length, body }))
}

fn check_host(fields: &[httparse::Header<'_>], is_1_1: bool) -> Result<(), RefusedHead> {
    let mut hosts = values(fields, "host");
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(RefusedHead::bad(
            "the request has more than one Host header",
        ));
    }
    match host {
        None if is_1_1 => Err(RefusedHead::bad("the request has no Host header")),
        Some(host) if !is_authority(host) => Err(RefusedHead::bad("the Host header is not valid")),
        None | Some(_) => Ok(()),
    }
}

/// True for a host with an optional port and without user information.
fn is_authority(value: &[u8]) -> bool {
    Authority::try_from(value).is_ok_and(|authority| !authority.as_str().contains('@'))
}

fn body_length(fields: &[httparse::Header<'_>], is_1_1: bool) -> Result<BodyLength, RefusedHead> {
    let mut codings = values(fields, "transfer-encoding");
    let coding = codings.next();
    let mut lengths = values(fields, "content-length");
    let first = lengths.next();
    let Some(coding) = coding else {
        let length = first.map_or(Ok(0), parse_length)?;
        // Equal duplicates are unambiguous.
        return match lengths.all(|other| parse_length(other) == Ok(length)) {
            true => Ok(BodyLength::Known(length)),
            false => Err(BAD_LENGTH),
        };
    };
    if first.is_some() {
        return Err(RefusedHead::bad(
            "the request has both Content-Length and Transfer-Encoding",
        ));
    }
    let only_chunked = coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    match only_chunked && is_1_1 {
        true => Ok(BodyLength::Chunked),
        false => Err(RefusedHead::bad("the Transfer-Encoding is not chunked")),
    }
}

const BAD_LENGTH: RefusedHead = RefusedHead::bad("the Content-Length is not valid");

fn parse_length(value: &[u8]) -> Result<u64, RefusedHead> {
    // The library uses the largest values as markers.
    const MAX: u64 = i64::MAX as u64;
    let digits = std::str::from_utf8(value).ok();
    digits
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .filter(|length| *length <= MAX)
        .ok_or(BAD_LENGTH)
}

fn values<'a>(
    fields: &'a [httparse::Header<'a>],
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(head: &str) -> Option<u16> {
        check_head(head.as_bytes())
            .err()
            .map(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn head_determines_length_of_its_body() {
        for (fields, body) in [
            ("", BodyLength::Known(0)),
            ("Content-Length: 12\r\n", BodyLength::Known(12)),
            (
                "Content-Length: 3\r\ncontent-length: 3\r\n",
                BodyLength::Known(3),
            ),
            ("Transfer-Encoding: Chunked\r\n", BodyLength::Chunked),
        ] {
            let head = format!("POST /a HTTP/1.1\r\nHost: h:80\r\n{fields}\r\n");
            let with_more = format!("{head}GET /");
            assert_eq!(
                check_head(with_more.as_bytes()),
                Ok(Some(Head {
                    length: head.len(),
                    body
                })),
                "{fields}"
            );
            // Every prefix is incomplete, and none is refused.
            for end in 0..head.len() {
                assert_eq!(check_head(&head.as_bytes()[..end]), Ok(None), "{end}");
            }
        }
    }

    #[test]
    fn ambiguous_or_broken_heads_are_refused() {
        for (head, status) in [
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: u:p@a\r\n\r\n", 400),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                400,
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
                400,
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                400,
            ),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                400,
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
                400,
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n",
                400,
            ),
            ("\u{16}\u{3}\u{1}", 400),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
            ("GET /\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("nonsense\r\n\r\n", 400),
        ] {
            assert_eq!(status_of(head), Some(status), "{head:?}");
        }
        for valid in [
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [::1]:9090\r\n\r\n",
            "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
            "OPTIONS * HTTP/1.1\nHost: a\n\n",
        ] {
            assert_eq!(status_of(valid), None, "{valid:?}");
        }
    }

    #[test]
    fn too_large_head_and_too_long_target_are_distinguished() {
        let target = |length| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length));
        assert_eq!(status_of(&target(MAX_TARGET - 1)), None);
        assert_eq!(status_of(&target(MAX_TARGET)), Some(414));
        let fields = |count| {
            let fields = "a: b\r\n".repeat(count);
            format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
        };
        assert_eq!(status_of(&fields(MAX_FIELDS - 1)), None);
        assert_eq!(status_of(&fields(MAX_FIELDS)), Some(431));
        assert_eq!(RefusedHead::too_long(b"GET /xxx").status.as_u16(), 414);
        assert_eq!(
            RefusedHead::too_long(b"GET / HTTP/1.1\r\na: b")
                .status
                .as_u16(),
            431
        );
    }

    #[test]
    fn head_end_is_found_wherever_reads_end() {
        for head in ["a\r\n\r\n", "a\n\n", "a\n\r\n", "a\r\n\n"] {
            for searched in 0..head.len() {
                assert!(may_end(head.as_bytes(), searched), "{head:?} {searched}");
            }
        }
        for head in ["", "a\r\n", "a\n", "a\r\nb\r\n", "a\n\r"] {
            assert!(!may_end(head.as_bytes(), 0), "{head:?}");
        }
    }
}
