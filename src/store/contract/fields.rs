//! The fields of a hash: owned in one string ([`Fields`]), or borrowed ([`FieldsRef`], [`RawRecord`]).
//!
//! A fleet has millions of fields, so a field is not two separate strings.

use std::cmp::Ordering;
use std::fmt;

use smallvec::SmallVec;

/// Names and values, sorted by name. Names are unique if the given ones are.
#[derive(Clone, Default)]
pub struct Fields {
    text: String,
    /// A call has at most four fields, and calls are the most frequent records: their ranges need no allocation.
    ranges: SmallVec<[FieldRange; 4]>,
}

/// The offsets in the text at which a name begins, its value begins, and its value ends. A record has some kilobytes; one
/// of more than 4 GiB cannot be read.
type FieldRange = (u32, u32, u32);

impl Fields {
    /// Returns no fields, with space for this number of fields and bytes.
    fn with_capacity(fields: usize, bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            ranges: SmallVec::with_capacity(fields),
        }
    }

    /// Copies fields. Iterates twice, to allocate once and no more than needed.
    pub fn from_pairs<'a>(fields: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Self {
        let lengths = fields.clone().map(|(name, value)| name.len() + value.len());
        let (count, bytes) = lengths.fold((0, 0), |(n, sum), length| (n + 1, sum + length));
        let mut all = Self::with_capacity(count, bytes);
        for (name, value) in fields {
            all.push(name, value);
        }
        all.sort();
        all
    }

    fn push(&mut self, name: &str, value: &str) {
        let begin = self.here();
        self.text.push_str(name);
        let middle = self.here();
        self.text.push_str(value);
        self.ranges.push((begin, middle, self.here()));
    }

    fn here(&self) -> u32 {
        u32::try_from(self.text.len()).unwrap_or(u32::MAX)
    }

    fn sort(&mut self) {
        let text = &self.text;
        let by_name = |one: &FieldRange, other: &FieldRange| -> Ordering {
            name_at(text, *one).cmp(name_at(text, *other))
        };
        self.ranges.sort_unstable_by(by_name);
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Returns true if there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The value under this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        // A head has a few fields with short names, so a linear search suffices.
        let found = self.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value)
    }

    /// All fields, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        let ranges = self.ranges.iter();
        ranges.map(|range| (name_at(&self.text, *range), value_at(&self.text, *range)))
    }
}

/// Returns the name at a range. Ranges always end between characters.
fn name_at(text: &str, (begin, middle, _): FieldRange) -> &str {
    text.get(begin as usize..middle as usize)
        .unwrap_or_default()
}

fn value_at(text: &str, (_, middle, end): FieldRange) -> &str {
    text.get(middle as usize..end as usize).unwrap_or_default()
}

/// Borrowed names and values, sorted by name. Names are unique if the given ones are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FieldsRef<'a>(SmallVec<[(&'a str, &'a str); 4]>);

impl<'a> FieldsRef<'a> {
    /// The number of fields.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value under this name.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        // A head has a few fields with short names, so a linear search suffices.
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    }

    /// All fields, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> + Clone + '_ {
        self.0.iter().copied()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for FieldsRef<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(fields: I) -> Self {
        let mut all: SmallVec<[(&str, &str); 4]> = fields.into_iter().collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        Self(all)
    }
}

impl<'a> From<&'a Fields> for FieldsRef<'a> {
    fn from(fields: &'a Fields) -> Self {
        // `Fields` are sorted already.
        Self(fields.iter().collect())
    }
}

/// The borrowed fields of an entity.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RawRecord<'a> {
    /// The small fields.
    pub head: FieldsRef<'a>,
    /// The many fields.
    pub parts: FieldsRef<'a>,
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        let mut all = Self::default();
        for (name, value) in fields {
            all.push(name.as_ref(), value.as_ref());
        }
        all.sort();
        all
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_sorted_and_found_by_name() {
        let given = [
            ("run", "2"),
            ("", "empty"),
            ("play", ""),
            ("r\u{fc}n", "\u{fc}"),
        ];
        let fields = Fields::from_pairs(given.into_iter());
        let lie: FieldsRef<'_> = given.into_iter().collect();
        assert_eq!(lie, FieldsRef::from(&fields));
        assert_eq!((lie.len(), lie.is_empty()), (4, false));
        assert_eq!((lie.get("run"), lie.get("ru")), (Some("2"), None));
        let sorted = [
            ("", "empty"),
            ("play", ""),
            ("run", "2"),
            ("r\u{fc}n", "\u{fc}"),
        ];
        assert!(fields.iter().eq(sorted));
        assert_eq!((fields.len(), fields.get("run")), (4, Some("2")));
        assert_eq!((fields.get("play"), fields.get("ru")), (Some(""), None));
        let other: Fields = given.into_iter().rev().collect();
        assert_eq!(other, fields);
        assert_ne!(Fields::from_pairs(given.into_iter().skip(1)), fields);
        assert!(Fields::default().is_empty());
    }
}
