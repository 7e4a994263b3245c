//! Tones: sine waves that can be told apart, and their detection in a sound.

use std::collections::BTreeSet;
use std::f64::consts::TAU;

/// Samples per second.
pub const RATE: u32 = 8_000;

/// Samples of one packet, 20 ms.
pub const FRAME: usize = 160;

/// The amplitude of a tone as it is sent: six at a time stay below the limit of a sample.
pub const AMPLITUDE: f64 = 4_000.0;

/// A tone is audible from this amplitude on. µ-law's noise and the harmonics of other tones are a tenth of it.
pub const AUDIBLE: f64 = AMPLITUDE / 10.0;

/// A sine wave. Every frequency is a multiple of 50 Hz, so that a frame has complete periods and a detector of one tone
/// sees nothing of another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tone(u32);

impl Tone {
    /// All known tones. None is a low harmonic of another one.
    pub const ALL: [Self; 10] = [
        Self(450),
        Self(550),
        Self(650),
        Self(750),
        Self(850),
        Self(1_050),
        Self(1_250),
        Self(1_450),
        Self(1_750),
        Self(2_050),
    ];

    /// The frequency in hertz.
    pub fn hertz(self) -> u32 {
        self.0
    }

    /// Returns the sample at this position.
    pub fn sample(self, at: u32) -> i16 {
        let phase = f64::from(at % RATE) * f64::from(self.0) / f64::from(RATE);
        ((phase * TAU).sin() * AMPLITUDE).round() as i16
    }

    /// Returns the tone's amplitude in this sound, by the Goertzel algorithm. The sound should be whole frames.
    pub fn amplitude(self, sound: &[i16]) -> f64 {
        let coefficient = 2.0 * (TAU * f64::from(self.0) / f64::from(RATE)).cos();
        let (mut one, mut two) = (0.0, 0.0);
        for sample in sound {
            let next = f64::from(*sample) + coefficient * one - two;
            two = one;
            one = next;
        }
        let power = one * one + two * two - coefficient * one * two;
        if sound.is_empty() {
            return 0.0;
        }
        2.0 * power.max(0.0).sqrt() / sound.len() as f64
    }

    /// Returns the known tones that are audible in this sound.
    pub fn audible(sound: &[i16]) -> BTreeSet<Self> {
        let loud = |tone: &Self| tone.amplitude(sound) >= AUDIBLE;
        Self::ALL.into_iter().filter(loud).collect()
    }
}
