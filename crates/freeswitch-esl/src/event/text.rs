//! Conversion of bytes to text.

use std::borrow::Cow;

pub(super) fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|n| u8::try_from(n).ok())
}

/// Replaces invalid UTF-8. FreeSWITCH validates nothing: a caller's name can hold any bytes. They must not cost the
/// event, since a member has joined under any name.
#[inline]
pub(super) fn quirk_any_bytes(value: Cow<'_, [u8]>) -> Cow<'_, str> {
    match value {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(
            String::from_utf8(bytes)
                .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
        ),
    }
}
