//! RTP packets (RFC 3550) and digits in them (RFC 2833).

/// A packet's header fields and payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    /// In samples.
    pub timestamp: u32,
    /// Identifies the sender's stream.
    pub source: u32,
    pub payload: Vec<u8>,
}

const HEADER: usize = 12;
const VERSION: u8 = 2;

impl Packet {
    /// Returns the packet as a datagram.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION << 6, u8::from(self.marker) << 7 | self.payload_type];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.timestamp.to_be_bytes());
        bytes.extend(self.source.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// Parses a datagram; `None` if it is no RTP packet.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEADER)?;
        let first = head[0];
        let (contributors, extended) = (usize::from(first & 0x0f), first & 0x10 != 0);
        if first >> 6 != VERSION {
            return None;
        }
        let mut rest = rest.get(contributors * 4..)?;
        if extended {
            let words = u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]);
            rest = rest.get(4 + usize::from(words) * 4..)?;
        }
        let four =
            |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        Some(Self {
            marker: head[1] & 0x80 != 0,
            payload_type: head[1] & 0x7f,
            sequence: u16::from_be_bytes([head[2], head[3]]),
            timestamp: four(4),
            source: four(8),
            payload: rest.to_vec(),
        })
    }
}

/// The keys in the order of their event numbers.
const KEYS: &[u8] = b"0123456789*#ABCD";

/// One packet's part of a pressed key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyPress {
    pub key: char,
    /// True in the last packets, after the release.
    pub is_over: bool,
    /// Since the key was pressed, in samples.
    pub duration: u16,
}

/// −10 dBm0.
const VOLUME: u8 = 10;

impl KeyPress {
    /// Returns the payload.
    pub fn to_bytes(self) -> Vec<u8> {
        let number = KEYS.iter().position(|key| char::from(*key) == self.key);
        let number = number.expect("a key of a telephone") as u8;
        let [high, low] = self.duration.to_be_bytes();
        vec![number, u8::from(self.is_over) << 7 | VOLUME, high, low]
    }

    /// Parses a payload; `None` for an event that is no key.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [number, flags, high, low] = payload.get(..4)?.try_into().ok()?;
        Some(Self {
            key: char::from(*KEYS.get(usize::from(number))?),
            is_over: flags & 0x80 != 0,
            duration: u16::from_be_bytes([high, low]),
        })
    }
}
