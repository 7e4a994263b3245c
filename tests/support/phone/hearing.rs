//! The sound that a telephone has received, with its times.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::pcmu;
use super::tone::{FRAME, Tone};

/// The number of packets that are kept: five minutes.
const KEPT: usize = 5 * 60 * 50;

/// Received packets in order of arrival.
#[derive(Default)]
pub struct Hearing {
    packets: VecDeque<(Instant, Vec<u8>)>,
}

impl Hearing {
    /// Adds the payload of a packet that has just arrived.
    pub fn add(&mut self, at: Instant, payload: Vec<u8>) {
        if self.packets.len() == KEPT {
            self.packets.pop_front();
        }
        self.packets.push_back((at, payload));
    }

    /// The samples that arrived between these times. Time without a packet has no samples.
    pub fn sound(&self, from: Instant, to: Instant) -> Vec<i16> {
        let first = self.packets.partition_point(|packet| packet.0 < from);
        let packets = self.packets.iter().skip(first);
        let within = packets.take_while(|packet| packet.0 < to);
        let codes = within.flat_map(|packet| packet.1.iter());
        codes.map(|code| pcmu::decode(*code)).collect()
    }

    /// The known tones that are audible in each of these consecutive windows. A window with less than a frame of sound
    /// is silent.
    pub fn audible(&self, from: Instant, window: Duration, count: u32) -> Vec<BTreeSet<Tone>> {
        let windows = (0..count).map(|n| {
            let start = from + window * n;
            let sound = self.sound(start, start + window);
            match sound.len() < FRAME {
                true => BTreeSet::new(),
                false => Tone::audible(&sound),
            }
        });
        windows.collect()
    }
}
