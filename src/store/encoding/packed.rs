//! A compact text form of small records: a letter and a value for each field, separated by `|`. Pure.
//!
//! The records define their fields. A reader skips unknown letters, so a newer program's records can be read. Each call of
//! the fleet has a few of these records, so their size decides the memory of the store and the time of a restart.
//!
//! Numbers are written with the digits of `DIGITS`, without leading zeros; 0 is empty. A UUID has 22 digits, which encode
//! all of its bits. The digits are in byte order, so numbers of one length sort like their texts. In text, `|` is written
//! `\p`, and `\` is written `\\`.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr_iter;
use smallvec::SmallVec;
use uuid::Uuid;

/// The digits, by value.
const DIGITS: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/// The number of digits of a UUID.
pub const UUID_DIGITS: usize = 22;

/// A field that occurs twice or has an invalid value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unreadable(char, &'static str);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.0, self.1)
    }
}

/// The reason why a packed record cannot be decoded.
#[derive(Debug)]
pub enum DecodeError {
    /// A field is invalid.
    Field(Unreadable),
    /// A value is inconsistent with the others.
    Value(&'static str),
}

impl From<Unreadable> for DecodeError {
    fn from(field: Unreadable) -> Self {
        Self::Field(field)
    }
}

impl From<&'static str> for DecodeError {
    fn from(reason: &'static str) -> Self {
        Self::Value(reason)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => field.fmt(f),
            Self::Value(reason) => f.write_str(reason),
        }
    }
}

/// Writes a record.
#[derive(Default, Debug)]
pub struct Packer(String);

impl Packer {
    fn begin(&mut self, name: char) {
        if !self.0.is_empty() {
            self.0.push('|');
        }
        self.0.push(name);
    }

    /// Appends a text, which can be empty.
    pub fn text(&mut self, name: char, value: &str) {
        self.begin(name);
        if !value.contains(['|', '\\']) {
            self.0.push_str(value);
            return;
        }
        for c in value.chars() {
            match c {
                '|' => self.0.push_str("\\p"),
                '\\' => self.0.push_str("\\\\"),
                other => self.0.push(other),
            }
        }
    }

    /// Appends a number.
    pub fn number(&mut self, name: char, value: u64) {
        self.begin(name);
        push_number(&mut self.0, value);
    }

    /// Appends a number, if there is one.
    pub fn some_number(&mut self, name: char, value: Option<u64>) {
        if let Some(value) = value {
            self.number(name, value);
        }
    }

    /// Appends a UUID.
    pub fn uuid(&mut self, name: char, value: Uuid) {
        self.begin(name);
        push_uuid(&mut self.0, value);
    }

    /// Appends a field without a value if `value` is true.
    pub fn flag(&mut self, name: char, value: bool) {
        if value {
            self.begin(name);
        }
    }

    /// Returns the record.
    pub fn finish(self) -> String {
        self.0
    }
}

/// A record that is split into its fields. A field is decoded when a caller reads it.
#[derive(Debug)]
pub struct Packed<'a>(SmallVec<[(char, &'a str); FIELDS]>);

/// The usual limit of fields in a record.
const FIELDS: usize = 12;

impl<'a> Packed<'a> {
    /// Splits any text into fields.
    pub fn new(text: &'a str) -> Self {
        let mut fields = SmallVec::new();
        let mut field = |begin: usize, end: usize| {
            // Both ends are at an ASCII letter or at the end of the text.
            let field = text.get(begin..end).unwrap_or_default();
            let mut chars = field.chars();
            if let Some(name) = chars.next() {
                fields.push((name, chars.as_str()));
            }
        };
        let mut begin = 0;
        for end in memchr_iter(b'|', text.as_bytes()) {
            field(begin, end);
            begin = end + 1;
        }
        field(begin, text.len());
        Self(fields)
    }

    fn raw(&self, name: char) -> Result<Option<&'a str>, Unreadable> {
        let mut found = self.0.iter().filter(|(letter, _)| *letter == name);
        let value = found.next().map(|(_, value)| *value);
        if found.next().is_some() {
            return Err(Unreadable(name, "occurs twice"));
        }
        Ok(value)
    }

    /// Returns true if it has a field of this name.
    pub fn has(&self, name: char) -> bool {
        self.0.iter().any(|(letter, _)| *letter == name)
    }

    /// Reads a text, if there is one.
    ///
    /// # Errors
    /// [`Unreadable`], like all methods below.
    pub fn some_text(&self, name: char) -> Result<Option<Cow<'a, str>>, Unreadable> {
        let Some(raw) = self.raw(name)? else {
            return Ok(None);
        };
        if !raw.contains('\\') {
            return Ok(Some(Cow::Borrowed(raw)));
        }
        let mut text = String::with_capacity(raw.len());
        let mut rest = raw.chars();
        while let Some(c) = rest.next() {
            match c {
                '\\' => match rest.next() {
                    Some('p') => text.push('|'),
                    Some('\\') => text.push('\\'),
                    Some(_) | None => return Err(Unreadable(name, "has an invalid escape")),
                },
                other => text.push(other),
            }
        }
        Ok(Some(Cow::Owned(text)))
    }

    /// Reads a text.
    ///
    /// # Errors
    /// Also fails if the field is missing.
    pub fn text(&self, name: char) -> Result<Cow<'a, str>, Unreadable> {
        self.some_text(name)?.ok_or(Unreadable(name, "is missing"))
    }

    /// Reads a number, if there is one.
    ///
    /// # Errors
    /// Fails if the value is not a number.
    pub fn some_number(&self, name: char) -> Result<Option<u64>, Unreadable> {
        self.raw(name)?
            .map(|raw| read_number(raw).ok_or(Unreadable(name, "is not a number")))
            .transpose()
    }

    /// Reads a number.
    ///
    /// # Errors
    /// Also fails if the field is missing.
    pub fn number(&self, name: char) -> Result<u64, Unreadable> {
        self.some_number(name)?
            .ok_or(Unreadable(name, "is missing"))
    }

    /// Reads a UUID, if there is one.
    ///
    /// # Errors
    /// Fails if the value is not a UUID.
    pub fn some_uuid(&self, name: char) -> Result<Option<Uuid>, Unreadable> {
        self.raw(name)?
            .map(|raw| read_uuid(raw).ok_or(Unreadable(name, "is not a UUID")))
            .transpose()
    }

    /// Reads a UUID.
    ///
    /// # Errors
    /// Also fails if the field is missing.
    pub fn uuid(&self, name: char) -> Result<Uuid, Unreadable> {
        self.some_uuid(name)?.ok_or(Unreadable(name, "is missing"))
    }

    /// Reads a flag.
    ///
    /// # Errors
    /// Fails if the field occurs twice or has a value.
    pub fn flag(&self, name: char) -> Result<bool, Unreadable> {
        match self.raw(name)? {
            None => Ok(false),
            Some("") => Ok(true),
            Some(_) => Err(Unreadable(name, "has a value")),
        }
    }
}

fn digit(value: u128) -> char {
    let at = usize::try_from(value & 63).unwrap_or_default();
    char::from(DIGITS[at])
}

/// The value of the digit for each byte, or [`NO_DIGIT`].
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        // There are 64 digits.
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// More than any digit's value.
const NO_DIGIT: u8 = 64;

fn push_number(text: &mut String, value: u64) {
    let digits = (u64::BITS - value.leading_zeros()).div_ceil(6);
    for position in (0..digits).rev() {
        text.push(digit(u128::from(value >> (6 * position))));
    }
}

/// Appends the lowest `digits` digits of a number. Texts of numbers that fit sort like the numbers.
pub fn push_padded(text: &mut String, value: u64, digits: usize) {
    for position in (0..digits).rev() {
        text.push(digit(u128::from(value) >> (6 * position)));
    }
}

/// Reads a number written by [`push_padded`].
pub fn read_padded(text: &str) -> Option<u64> {
    text.bytes().try_fold(0_u64, |number, byte| {
        let value = VALUES[usize::from(byte)];
        // A digit is six bits; a seventh digit would push out the highest six.
        let fits = value < NO_DIGIT && number >> (u64::BITS - 6) == 0;
        fits.then(|| number << 6 | u64::from(value))
    })
}

fn read_number(text: &str) -> Option<u64> {
    if text.starts_with('-') {
        return None;
    }
    read_padded(text)
}

/// Appends the digits of a UUID.
pub fn push_uuid(text: &mut String, uuid: Uuid) {
    let mut bits = uuid.as_u128();
    let mut digits = [0; UUID_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[usize::from(bits.to_le_bytes()[0] & 63)];
        bits >>= 6;
    }
    // Digits are ASCII.
    text.extend(digits.map(char::from));
}

/// Reads a UUID; `None` if the text is not 22 digits of one.
pub fn read_uuid(text: &str) -> Option<Uuid> {
    let digits: &[u8; UUID_DIGITS] = text.as_bytes().try_into().ok()?;
    // The first digit has two bits, the others have 126. All are looked up before the check: a restart reads millions.
    let values = digits.map(|byte| VALUES[usize::from(byte)]);
    let are_digits = values.iter().fold(0, |all, value| all | value) < NO_DIGIT;
    let number = |values: &[u8]| {
        let digits = values.iter().map(|value| u64::from(*value));
        digits.fold(0, |number, digit| number << 6 | digit)
    };
    let (first, rest) = values.split_at(UUID_DIGITS - 20);
    let (middle, low) = rest.split_at(10);
    let (first, middle, low) = (number(first), number(middle), number(low));
    let uuid = u128::from(first) << 120 | u128::from(middle) << 60 | u128::from(low);
    (are_digits && first >> 8 == 0).then(|| Uuid::from_u128(uuid))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn written_fields_are_read() {
        let uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let mut packer = Packer::default();
        packer.text('a', "x|y\\p\\");
        packer.text('b', "");
        packer.number('c', 0);
        packer.number('d', u64::MAX);
        packer.some_number('e', None);
        packer.uuid('f', uuid);
        packer.uuid('g', Uuid::max());
        packer.flag('h', true);
        packer.flag('i', false);
        let text = packer.finish();
        let packed = Packed::new(&text);
        assert_eq!(packed.text('a').unwrap(), "x|y\\p\\");
        assert_eq!(packed.text('b').unwrap(), "");
        assert_eq!(packed.number('c'), Ok(0));
        assert_eq!(packed.number('d'), Ok(u64::MAX));
        assert_eq!(packed.some_number('e'), Ok(None));
        assert_eq!(packed.uuid('f'), Ok(uuid));
        assert_eq!(packed.uuid('g'), Ok(Uuid::max()));
        assert_eq!((packed.flag('h'), packed.flag('i')), (Ok(true), Ok(false)));
    }

    #[test]
    fn fields_are_found_at_any_alignment() {
        for length in 0..48 {
            let mut packer = Packer::default();
            packer.text('a', &"x".repeat(length));
            packer.flag('b', true);
            packer.text('c', &"\u{fc}".repeat(length % 7));
            packer.number('d', 7);
            let text = packer.finish();
            let packed = Packed::new(&text);
            assert_eq!(packed.text('a').unwrap().len(), length);
            assert_eq!(packed.flag('b'), Ok(true), "{length}");
            assert_eq!(packed.text('c').unwrap().len(), length % 7 * 2);
            assert_eq!(packed.number('d'), Ok(7), "{length}");
        }
    }

    #[test]
    fn foreign_text_is_rejected() {
        for (text, why) in [
            ("", "`n` is missing"),
            ("m1|o", "`n` is missing"),
            ("n1|n1", "`n` occurs twice"),
            ("n-", "`n` is not a number"),
            ("n!", "`n` is not a number"),
            ("nzzzzzzzzzzzz", "`n` is not a number"),
        ] {
            let error = Packed::new(text).number('n').unwrap_err();
            assert_eq!(error.to_string(), why, "{text}");
        }
        let uuid = |text: &str| Packed::new(text).uuid('u').is_ok();
        assert!(uuid("u2222222222222222222222"));
        assert!(!uuid("u222222222222222222222"));
        assert!(!uuid("uzzzzzzzzzzzzzzzzzzzzzz"));
        for at in 1..=UUID_DIGITS {
            for other in ["!", "\u{0}", "~"] {
                let mut text = "u2222222222222222222222".to_owned();
                text.replace_range(at..=at, other);
                assert!(!uuid(&text), "{text:?}");
            }
        }
        assert!(Packed::new("t\\x").text('t').is_err());
        assert!(Packed::new("t\\").text('t').is_err());
        assert!(Packed::new("f1").flag('f').is_err());
    }

    #[test]
    fn digits_sort_like_their_numbers() {
        let digits = |n: u128| {
            let mut text = String::new();
            push_uuid(&mut text, Uuid::from_u128(n));
            text
        };
        let numbers = [0, 1, 9, 10, 11, 37, 38, 63, 64, u128::MAX - 1, u128::MAX];
        assert!(
            numbers
                .windows(2)
                .all(|two| digits(two[0]) < digits(two[1]))
        );
        assert!(DIGITS.is_sorted());
    }
}
