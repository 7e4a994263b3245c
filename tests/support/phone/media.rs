//! Sends and receives the sound of one call: a thread with one socket, because a packet every 20 ms must not wait for
//! the tasks of a test.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::hearing::Hearing;
use super::pcmu;
use super::rtp::{KeyPress, Packet};
use super::sdp::{DIGITS, PCMU};
use super::tone::{FRAME, Tone};

/// The time of one packet.
const PERIOD: Duration = Duration::from_millis(20);

/// A sender that is this late skips packets: a burst would only delay the other side's sound.
const LATE: Duration = Duration::from_millis(80);

/// A pressed key takes this many packets, and its release is sent three times.
const PRESSED: u16 = 5;
const RELEASED: u16 = 3;

/// The keys that may wait to be sent.
const MAX_KEYS: usize = 64;

/// A call's sound. Ends with its value.
pub struct Media {
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

pub struct Shared {
    /// The other side's address: the target of packets, and the only source from which packets count.
    pub remote: Option<SocketAddr>,
    /// The sound to send; silence without a tone.
    pub tone: Option<Tone>,
    pub hearing: Hearing,
    /// The keys that were received.
    pub keys: String,
    /// The time up to which packets have been received.
    pub clock: Instant,
    /// Keys to send.
    waiting: VecDeque<char>,
    is_over: bool,
}

impl Drop for Media {
    fn drop(&mut self) {
        self.lock().is_over = true;
    }
}

impl Media {
    /// Opens a socket and starts its thread. Nothing is sent before [`Shared::remote`] is set.
    pub fn open(tone: Option<Tone>) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared {
            remote: None,
            tone,
            hearing: Hearing::default(),
            keys: String::new(),
            clock: Instant::now(),
            waiting: VecDeque::new(),
            is_over: false,
        }));
        let thread = Thread {
            socket,
            shared: Arc::clone(&shared),
            sender: Sender::new(),
            last_key: None,
        };
        std::thread::spawn(move || thread.run());
        Self { address, shared }
    }

    pub fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    /// Adds keys to send.
    pub fn press(&self, keys: &str) {
        let mut shared = self.lock();
        shared.waiting.extend(keys.chars());
        assert!(shared.waiting.len() <= MAX_KEYS, "too many keys");
    }

    /// True if all keys have been sent.
    pub fn has_pressed(&self) -> bool {
        self.lock().waiting.is_empty()
    }
}

struct Thread {
    socket: UdpSocket,
    shared: Arc<Mutex<Shared>>,
    sender: Sender,
    /// The timestamp of the last received key, which its packets share.
    last_key: Option<u32>,
}

impl Thread {
    fn run(mut self) {
        let mut next = Instant::now();
        let mut buffer = [0; 2_048];
        loop {
            let now = Instant::now();
            if now >= next {
                if !self.send() {
                    return;
                }
                next += PERIOD;
                if now > next + LATE {
                    next = now + PERIOD;
                }
                continue;
            }
            // Zero would be no limit.
            let pause = (next - now).max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(pause)).unwrap();
            let received = self.socket.recv_from(&mut buffer);
            let now = Instant::now();
            let mut shared = self.shared.lock().unwrap();
            shared.clock = now;
            match received {
                Ok((length, from)) if shared.remote == Some(from) => {
                    if let Some(packet) = Packet::parse(&buffer[..length]) {
                        take(&mut shared, &mut self.last_key, packet, now);
                    }
                }
                Ok(_) => {}
                Err(error) if is_timeout(error.kind()) => {}
                // The other side's port is closed.
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}"),
            }
        }
    }

    /// Sends the next packet. Returns false if the call is over.
    fn send(&mut self) -> bool {
        let (packet, remote) = {
            let mut shared = self.shared.lock().unwrap();
            if shared.is_over {
                return false;
            }
            let (tone, remote) = (shared.tone, shared.remote);
            (self.sender.next(tone, &mut shared.waiting), remote)
        };
        if let Some(remote) = remote {
            // A closed port of the other side is no failure of this one.
            let _ = self.socket.send_to(&packet.to_bytes(), remote);
        }
        true
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn take(shared: &mut Shared, last_key: &mut Option<u32>, packet: Packet, now: Instant) {
    match packet.payload_type {
        PCMU => shared.hearing.add(now, packet.payload),
        DIGITS if *last_key != Some(packet.timestamp) => {
            if let Some(press) = KeyPress::parse(&packet.payload) {
                *last_key = Some(packet.timestamp);
                shared.keys.push(press.key);
            }
        }
        _ => {}
    }
}

/// The sequence of packets that a telephone sends.
struct Sender {
    source: u32,
    sequence: u16,
    /// In samples since the start.
    position: u32,
    /// The number of packets of the present key that were sent, and the position at which it was pressed.
    key: (u16, u32),
}

impl Sender {
    fn new() -> Self {
        let id = uuid::Uuid::new_v4().as_u128();
        Self {
            source: id as u32,
            sequence: (id >> 64) as u16,
            position: 0,
            key: (0, 0),
        }
    }

    /// Makes the next packet: of a waiting key, or else of the tone.
    fn next(&mut self, tone: Option<Tone>, keys: &mut VecDeque<char>) -> Packet {
        let packet = match keys.front() {
            Some(key) => {
                let packet = self.key_packet(*key);
                if self.key.0 == PRESSED + RELEASED {
                    self.key.0 = 0;
                    keys.pop_front();
                }
                packet
            }
            None => {
                let samples = (0..FRAME as u32)
                    .map(|n| tone.map_or(0, |tone| tone.sample(self.position + n)));
                let payload = samples.map(pcmu::encode).collect();
                self.packet(PCMU, self.position, payload)
            }
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.position += FRAME as u32;
        packet
    }

    fn key_packet(&mut self, key: char) -> Packet {
        if self.key.0 == 0 {
            self.key.1 = self.position;
        }
        self.key.0 += 1;
        let press = KeyPress {
            key,
            is_over: self.key.0 > PRESSED,
            duration: self.key.0.min(PRESSED) * FRAME as u16,
        };
        let mut packet = self.packet(DIGITS, self.key.1, press.to_bytes());
        packet.marker = self.key.0 == 1;
        packet
    }

    fn packet(&self, payload_type: u8, timestamp: u32, payload: Vec<u8>) -> Packet {
        Packet {
            marker: false,
            payload_type,
            sequence: self.sequence,
            timestamp,
            source: self.source,
            payload,
        }
    }
}
