//! Session descriptions (RFC 4566) with one audio stream in PCMU.

use std::net::{IpAddr, SocketAddr};

/// The payload types of PCMU, and of digits by RFC 2833.
pub const PCMU: u8 = 0;
pub const DIGITS: u8 = 101;

/// The directions of a stream, from its writer's point of view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    Both,
    /// On hold, with sound for the other side.
    SendOnly,
    ReceiveOnly,
    Inactive,
}

impl Direction {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Both, "sendrecv"),
        (Self::SendOnly, "sendonly"),
        (Self::ReceiveOnly, "recvonly"),
        (Self::Inactive, "inactive"),
    ];

    fn name(self) -> &'static str {
        let row = Self::ALL.iter().find(|row| row.0 == self);
        row.expect("every direction has a name").1
    }

    /// The direction with which the other side answers this one.
    pub fn reversed(self) -> Self {
        match self {
            Self::SendOnly => Self::ReceiveOnly,
            Self::ReceiveOnly => Self::SendOnly,
            same => same,
        }
    }
}

/// The part of a description that a telephone needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Description {
    /// The address that receives sound.
    pub media: SocketAddr,
    pub direction: Direction,
}

impl Description {
    /// Parses a description; `None` without an audio stream.
    pub fn parse(text: &str) -> Option<Self> {
        let (mut address, mut port, mut direction) = (None, None, Direction::Both);
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("c=IN IP4 ") {
                address = Some(rest.trim().parse::<IpAddr>().ok()?);
            } else if let Some(rest) = line.strip_prefix("m=audio ") {
                port = Some(rest.split(' ').next()?.parse().ok()?);
            } else if let Some(rest) = line.strip_prefix("a=") {
                let row = Direction::ALL.iter().find(|row| row.1 == rest.trim());
                direction = row.map_or(direction, |row| row.0);
            }
        }
        Some(Self {
            media: SocketAddr::new(address?, port?),
            direction,
        })
    }

    /// Writes the description. `version` grows with each description of one session.
    pub fn write(&self, version: u32) -> String {
        let (ip, port) = (self.media.ip(), self.media.port());
        let direction = self.direction.name();
        [
            "v=0".to_owned(),
            format!("o=telephone 1 {version} IN IP4 {ip}"),
            "s=-".to_owned(),
            format!("c=IN IP4 {ip}"),
            "t=0 0".to_owned(),
            format!("m=audio {port} RTP/AVP {PCMU} {DIGITS}"),
            format!("a=rtpmap:{PCMU} PCMU/8000"),
            format!("a=rtpmap:{DIGITS} telephone-event/8000"),
            format!("a=fmtp:{DIGITS} 0-15"),
            "a=ptime:20".to_owned(),
            format!("a={direction}"),
        ]
        .map(|line| line + "\r\n")
        .concat()
    }
}
