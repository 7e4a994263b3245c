//! Finds the line ends of a header block, and the first colon of each line: many at a time.
//!
//! Owns the search for two octets in 64, without their meaning: `parser` requests the lines ahead, accepts those in
//! FreeSWITCH's usual form, and parses any other by its grammar.
//!
//! To the processor, lengths of names and values are random. A search for the next colon that ends early ends in a
//! mispredicted jump, which costs more than the search. So a window is compared as a whole, its line ends and colons
//! become the bits of two numbers, and the rest is arithmetic on those.

use wide::u8x16;

/// The number of octets that become the bits of one number.
const WINDOW: usize = 64;

/// The length of text that is searched at once, in bytes: some twenty headers. A longer line is not found here.
pub(super) const AHEAD: usize = 768;

/// The maximum number of lines in that text; lines are rarely short enough for more.
pub(super) const LINES: usize = 48;

/// The number of marks that are written at a time, needed or not: the number in a window is random, too.
const STRIDE: usize = 5;

/// The marks of a text: for each line its first colon, then its end. A line without a colon has only the latter.
pub(super) struct Marks {
    /// The offsets; the last ones may be written and not counted.
    offsets: [u16; 2 * LINES + STRIDE],
    len: usize,
}

impl Marks {
    /// Returns an empty set of marks.
    pub(super) fn new() -> Self {
        Self {
            offsets: [0; 2 * LINES + STRIDE],
            len: 0,
        }
    }

    /// Finds the lines at the start of a text of at most [`AHEAD`] bytes: first colon and end of each, as offsets. A
    /// line without a colon shifts the marks of those behind it.
    #[inline(always)]
    pub(super) fn lines_of(&mut self, text: &[u8]) -> &[[u16; 2]] {
        self.len = 0;
        let (windows, rest) = text.as_chunks::<WINDOW>();
        let mut at = 0;
        let mut wanted = 1;
        for window in windows {
            if !self.add(at, window, &mut wanted) {
                return self.lines();
            }
            at += WINDOW as u16;
        }
        if !rest.is_empty() {
            let mut window = [0; WINDOW];
            window[..rest.len()].copy_from_slice(rest);
            self.add(at, &window, &mut wanted);
        }
        self.lines()
    }

    #[inline(always)]
    fn lines(&self) -> &[[u16; 2]] {
        let len = self.len.min(2 * LINES);
        self.offsets
            .get(..len)
            .unwrap_or_default()
            .as_chunks::<2>()
            .0
    }

    /// Adds the marks of the window that starts at an offset. `wanted` is 1 if the first colon of a line is still to
    /// come. Returns false if there is no more room.
    #[inline(always)]
    fn add(&mut self, at: u16, window: &[u8; WINDOW], wanted: &mut u64) -> bool {
        let (ends, colons) = line_ends_and_colons(window);
        let (first, found_none) = first_at_or_after(colons, ends << 1 | *wanted);
        *wanted = ends >> (WINDOW - 1) | u64::from(found_none);
        let mut left = ends | first;
        let mut len = self.len;
        self.len += left.count_ones() as usize;
        while left != 0 {
            let Some(out) = self
                .offsets
                .get_mut(len..)
                .and_then(<[u16]>::first_chunk_mut::<STRIDE>)
            else {
                return false;
            };
            for offset in out {
                // With no bit left, this writes an offset that the next one overwrites.
                *offset = at.wrapping_add(left.trailing_zeros() as u16);
                left &= left.wrapping_sub(1);
            }
            len += STRIDE;
        }
        true
    }
}

/// Returns the line feeds and the colons of a window as bits, the first octet in the lowest bit.
#[inline(always)]
fn line_ends_and_colons(window: &[u8; WINDOW]) -> (u64, u64) {
    let (mut ends, mut colons) = (0_u64, 0_u64);
    for (n, lane) in window.as_chunks::<16>().0.iter().enumerate() {
        let lane = u8x16::new(*lane);
        let end = lane.simd_eq(u8x16::splat(b'\n'));
        let colon = lane.simd_eq(u8x16::splat(b':'));
        ends |= u64::from(end.to_bitmask()) << (16 * n);
        colons |= u64::from(colon.to_bitmask()) << (16 * n);
    }
    (ends, colons)
}

/// For each bit of `starts`, finds the first bit of `bits` that is not before it. Also returns true if the last search
/// found none.
///
/// One addition does all searches at once: from a start it carries through the ones of `!bits` and stops at the first
/// zero.
#[inline(always)]
fn first_at_or_after(bits: u64, starts: u64) -> (u64, bool) {
    let (sum, carried_out) = (!bits).overflowing_add(starts);
    (sum & bits, carried_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Finds the same marks byte by byte.
    fn slowly(text: &[u8]) -> Vec<usize> {
        let mut marks = Vec::new();
        let mut wanted = true;
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b'\n' => {
                    marks.push(at);
                    wanted = true;
                }
                b':' if wanted => {
                    marks.push(at);
                    wanted = false;
                }
                _ => {}
            }
        }
        marks
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_024))]
        /// Covers text whose lines have a colon that is not their first octet; callers request no others.
        #[test]
        fn window_search_matches_bytewise_search(
            text in "([a-c]{1,90}:[a-c:]{0,90}\n){0,9}[a-c]{0,70}"
        ) {
            let text = &text.as_bytes()[..text.len().min(AHEAD)];
            let expected = slowly(text);
            let mut marks = Marks::new();
            let found: Vec<usize> =
                marks.lines_of(text).as_flattened().iter().map(|at| usize::from(*at)).collect();
            let whole = expected.len() / 2 * 2;
            prop_assert_eq!(&found[..], &expected[..whole.min(found.len())]);
            prop_assert!(found.len() == whole || found.len() > 2 * LINES - WINDOW);
        }
    }

    #[test]
    fn full_list_is_a_prefix_of_the_marks() {
        let text = b"a:\n".repeat(AHEAD / 3);
        let mut marks = Marks::new();
        let lines = marks.lines_of(&text);
        assert_eq!(lines.len(), LINES);
        for (n, line) in (0..).zip(lines) {
            assert_eq!(*line, [3 * n + 1, 3 * n + 2]);
        }
    }
}
