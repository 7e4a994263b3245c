//! The fields of a hash.
//!
//! Owns how they are held: in one text, or where they lie, for a fleet that is read has millions of them, and each would
//! else be two texts of its own. Leaves out what they mean.

use std::cmp::Ordering;
use std::fmt;

use smallvec::SmallVec;

/// Names and values, sorted by name. No name is there twice if none was given twice.
#[derive(Clone, Default)]
pub struct Fields {
    text: String,
    /// Those of a call, of which there are most, beside the text.
    places: SmallVec<[Place; 4]>,
}

/// Where in the text a name begins, a value begins, and a value ends. A record has some kilobytes; one of more than this
/// counts to cannot be read.
type Place = (u32, u32, u32);

impl Fields {
    /// None yet; there is room for so many, of so many bytes.
    fn with_capacity(fields: usize, bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            places: SmallVec::with_capacity(fields),
        }
    }

    /// These, which are gone through twice: what they take is made once, and no larger than it has to be.
    pub fn of<'a>(fields: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Self {
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
        self.places.push((begin, middle, self.here()));
    }

    fn here(&self) -> u32 {
        u32::try_from(self.text.len()).unwrap_or(u32::MAX)
    }

    fn sort(&mut self) {
        let text = &self.text;
        let by_name = |one: &Place, other: &Place| -> Ordering {
            name_at(text, *one).cmp(name_at(text, *other))
        };
        self.places.sort_unstable_by(by_name);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The value under this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        // Heads have a few, and the names of those are short.
        let found = self.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value)
    }

    /// All of them, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        let places = self.places.iter();
        places.map(|place| (name_at(&self.text, *place), value_at(&self.text, *place)))
    }
}

/// What was put there was text.
fn name_at(text: &str, (begin, middle, _): Place) -> &str {
    text.get(begin as usize..middle as usize)
        .unwrap_or_default()
}

fn value_at(text: &str, (_, middle, end): Place) -> &str {
    text.get(middle as usize..end as usize).unwrap_or_default()
}

/// Names and values where they lie, sorted by name. No name is there twice if none was given twice.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Named<'a>(SmallVec<[(&'a str, &'a str); 4]>);

impl<'a> Named<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value under this name.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        // Heads have a few, and the names of those are short.
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    }

    /// All of them, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> + Clone + '_ {
        self.0.iter().copied()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Named<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(fields: I) -> Self {
        let mut all: SmallVec<[(&str, &str); 4]> = fields.into_iter().collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        Self(all)
    }
}

impl<'a> From<&'a Fields> for Named<'a> {
    fn from(fields: &'a Fields) -> Self {
        // They are sorted.
        Self(fields.iter().collect())
    }
}

/// The hashes of an entity where they lie: its small fields, and its many.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hashes<'a> {
    /// The small fields.
    pub head: Named<'a>,
    /// The many fields.
    pub parts: Named<'a>,
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
    fn fields_are_sorted_by_name_and_found_by_it() {
        let given = [
            ("run", "2"),
            ("", "empty"),
            ("play", ""),
            ("r\u{fc}n", "\u{fc}"),
        ];
        let fields = Fields::of(given.into_iter());
        let lie: Named<'_> = given.into_iter().collect();
        assert_eq!(lie, Named::from(&fields));
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
        assert_ne!(Fields::of(given.into_iter().skip(1)), fields);
        assert!(Fields::default().is_empty());
    }
}
