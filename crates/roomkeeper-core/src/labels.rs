//! Labels: short texts that an app attaches to a room or a member, under keys of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The most labels of one room or member.
pub const MOST_LABELS: usize = 16;

/// The longest key, in characters.
const LONGEST_KEY: usize = 32;

/// The longest value, in characters.
const LONGEST_VALUE: usize = 128;

/// The labels of a room or a member.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct Labels(BTreeMap<String, String>);

/// An update of labels: a new value for each key, or `None` to remove it. Other labels stay.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LabelsUpdate(BTreeMap<String, Option<String>>);

/// The reason why a label is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidLabel {
    /// The key has another form.
    #[error("a key is 1 to 32 characters of a-z 0-9 . _ -")]
    Key,
    /// The value is too long.
    #[error("a value is at most 128 characters")]
    Value,
    /// There are too many labels.
    #[error("more than {MOST_LABELS} labels")]
    TooMany,
}

impl Labels {
    /// Returns the value of a label.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Returns true if there are no labels.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the labels, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Returns the labels after an update.
    ///
    /// # Errors
    /// [`InvalidLabel::TooMany`].
    pub fn updated(&self, update: &LabelsUpdate) -> Result<Self, InvalidLabel> {
        let mut labels = self.0.clone();
        for (key, value) in &update.0 {
            match value {
                Some(value) => labels.insert(key.clone(), value.clone()),
                None => labels.remove(key),
            };
        }
        if labels.len() > MOST_LABELS {
            return Err(InvalidLabel::TooMany);
        }
        Ok(Self(labels))
    }
}

impl TryFrom<BTreeMap<String, String>> for Labels {
    type Error = InvalidLabel;

    fn try_from(labels: BTreeMap<String, String>) -> Result<Self, InvalidLabel> {
        if labels.len() > MOST_LABELS {
            return Err(InvalidLabel::TooMany);
        }
        for (key, value) in &labels {
            check_key(key)?;
            check_value(value)?;
        }
        Ok(Self(labels))
    }
}

impl LabelsUpdate {
    /// Adds the new value of a label, or its removal.
    ///
    /// # Errors
    /// [`InvalidLabel`].
    pub fn put(&mut self, key: &str, value: Option<&str>) -> Result<(), InvalidLabel> {
        check_key(key)?;
        value.map(check_value).transpose()?;
        self.0.insert(key.to_owned(), value.map(str::to_owned));
        Ok(())
    }

    /// Returns true if it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn check_key(key: &str) -> Result<(), InvalidLabel> {
    let allowed =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
    if (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(allowed) {
        Ok(())
    } else {
        Err(InvalidLabel::Key)
    }
}

fn check_value(value: &str) -> Result<(), InvalidLabel> {
    if value.chars().count() <= LONGEST_VALUE {
        Ok(())
    } else {
        Err(InvalidLabel::Value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(labels: &[(&str, Option<&str>)]) -> LabelsUpdate {
        let mut update = LabelsUpdate::default();
        for (key, value) in labels {
            update.put(key, *value).unwrap();
        }
        update
    }

    #[test]
    fn update_adds_changes_and_removes_labels() {
        let labels = Labels::default();
        let labels = labels
            .updated(&update(&[
                ("team", Some("a")),
                ("x", Some("")),
                ("y", Some("1")),
            ]))
            .unwrap();
        let labels = labels
            .updated(&update(&[
                ("team", Some("b")),
                ("y", None),
                ("absent", None),
            ]))
            .unwrap();
        assert_eq!(
            labels.iter().collect::<Vec<_>>(),
            [("team", "b"), ("x", "")]
        );
        assert_eq!((labels.get("team"), labels.get("y")), (Some("b"), None));
    }

    #[test]
    fn keys_values_and_their_number_are_bounded() {
        let mut labels = LabelsUpdate::default();
        let (long, too_long) = ("k".repeat(32), "k".repeat(33));
        labels.put(&long, Some(&"ü".repeat(128))).unwrap();
        for key in ["", &too_long, "A", "a b", "a\n", "ü", "a$", "a=b", "a:b"] {
            assert_eq!(
                labels.put(key, Some("v")),
                Err(InvalidLabel::Key),
                "{key:?}"
            );
        }
        assert_eq!(
            labels.put("k", Some(&"ü".repeat(129))),
            Err(InvalidLabel::Value)
        );
        for n in 1..MOST_LABELS {
            labels.put(&n.to_string(), Some("v")).unwrap();
        }
        let full = Labels::default().updated(&labels).unwrap();
        let one_more = update(&[("z", Some("v"))]);
        assert_eq!(full.updated(&one_more), Err(InvalidLabel::TooMany));
        let other = update(&[("z", Some("v")), ("1", None)]);
        assert!(full.updated(&other).is_ok());
    }

    #[test]
    fn stored_labels_are_checked() {
        let labels: Labels = serde_json::from_str(r#"{"a":"1","b":"|"}"#).unwrap();
        assert_eq!(
            serde_json::to_string(&labels).unwrap(),
            r#"{"a":"1","b":"|"}"#
        );
        assert!(serde_json::from_str::<Labels>(r#"{"A":"1"}"#).is_err());
    }
}
