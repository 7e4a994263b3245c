//! Settings: own state of a room or a member that its app chooses. Most rooms and members have none.
//!
//! A list of fields makes the settings and their update, see [`RoomSettings`](super::RoomSettings) and
//! [`MemberSettings`](super::MemberSettings).

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Settings that have defaults.
pub trait Settings: Clone + PartialEq + 'static {
    /// An update: a new value for each setting, or `None` to leave it unchanged.
    type Update;

    /// Returns the defaults.
    fn defaults() -> &'static Self;

    /// Applies an update.
    fn apply(&mut self, update: Self::Update);
}

/// Settings that take no memory while all of them have their defaults.
#[derive(Clone, PartialEq, Eq)]
pub struct Sparse<T>(Option<Box<T>>);

impl<T: Settings> Sparse<T> {
    /// Wraps settings.
    pub fn new(settings: T) -> Self {
        Self((settings != *T::defaults()).then(|| Box::new(settings)))
    }

    /// Returns true if all settings have their defaults.
    pub const fn is_default(&self) -> bool {
        self.0.is_none()
    }

    /// Applies an update.
    pub fn apply(&mut self, update: T::Update) {
        let mut settings = (**self).clone();
        settings.apply(update);
        *self = Self::new(settings);
    }
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Settings> Deref for Sparse<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or_else(|| T::defaults())
    }
}

impl<T: Settings + fmt::Debug> fmt::Debug for Sparse<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Settings + Serialize> Serialize for Sparse<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de, T: Settings + Deserialize<'de>> Deserialize<'de> for Sparse<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::new)
    }
}

/// Returns true for the value that a setting has while nobody sets it.
pub(super) fn is_unset<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Declares settings and their update. The JSON form of the settings leaves out those that have their default; the JSON
/// form of an update has the new values.
macro_rules! settings {
    (
        $(#[$doc:meta])*
        $name:ident, $update:ident {
            $($(#[$field_doc:meta])* $field:ident: $type:ty,)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $(
                $(#[$field_doc])*
                #[serde(default, skip_serializing_if = "crate::room::settings::is_unset")]
                pub $field: $type,
            )+
        }

        #[doc = concat!("An update of [`", stringify!($name), "`]; `None` leaves a setting unchanged.")]
        #[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
        pub struct $update {
            $(
                $(#[$field_doc])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )+
        }

        impl $update {
            /// Returns true if it changes nothing.
            pub fn is_empty(&self) -> bool {
                *self == Self::default()
            }

            /// Removes the settings that have the new value already.
            #[must_use]
            pub fn against(mut self, now: &$name) -> Self {
                $(
                    if self.$field.as_ref() == Some(&now.$field) {
                        self.$field = None;
                    }
                )+
                self
            }
        }

        impl crate::room::settings::Settings for $name {
            type Update = $update;

            fn defaults() -> &'static Self {
                static DEFAULTS: std::sync::LazyLock<$name> = std::sync::LazyLock::new($name::default);
                &DEFAULTS
            }

            fn apply(&mut self, update: $update) {
                $(
                    if let Some(value) = update.$field {
                        self.$field = value;
                    }
                )+
            }
        }
    };
}
pub(super) use settings;
