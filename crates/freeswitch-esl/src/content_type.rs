//! The `Content-Type` of a message.

use std::fmt;

/// The type of a message, by its `Content-Type` (`mod_event_socket.c`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentType {
    /// `auth/request`: the greeting, asks for the password.
    AuthRequest,
    /// `command/reply`: the answer to anything but `api`, in `Reply-Text`.
    CommandReply,
    /// `api/response`: the answer to `api`, in the body.
    ApiResponse,
    /// `text/event-plain`.
    EventPlain,
    /// `text/event-json`.
    EventJson,
    /// `text/event-xml`, which we never request.
    EventXml,
    /// `text/disconnect-notice`: the server is about to close.
    DisconnectNotice,
    /// `text/rude-rejection`: our address is refused by an access list.
    RudeRejection,
    /// `log/data`, which we never request.
    LogData,
    /// Anything else, as written.
    Other(String),
}

impl ContentType {
    pub(crate) fn from_wire(value: &[u8]) -> Self {
        match value {
            b"auth/request" => Self::AuthRequest,
            b"command/reply" => Self::CommandReply,
            b"api/response" => Self::ApiResponse,
            b"text/event-plain" => Self::EventPlain,
            b"text/event-json" => Self::EventJson,
            b"text/event-xml" => Self::EventXml,
            b"text/disconnect-notice" => Self::DisconnectNotice,
            b"text/rude-rejection" => Self::RudeRejection,
            b"log/data" => Self::LogData,
            other => Self::Other(String::from_utf8_lossy(other).into_owned()),
        }
    }

    /// Returns the type as written on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::AuthRequest => "auth/request",
            Self::CommandReply => "command/reply",
            Self::ApiResponse => "api/response",
            Self::EventPlain => "text/event-plain",
            Self::EventJson => "text/event-json",
            Self::EventXml => "text/event-xml",
            Self::DisconnectNotice => "text/disconnect-notice",
            Self::RudeRejection => "text/rude-rejection",
            Self::LogData => "log/data",
            Self::Other(other) => other,
        }
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
