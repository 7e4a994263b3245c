//! Declares the fields of packed records: one list makes the writer, the reader and the documented table.
//!
//! A line of a list is one of these:
//!
//! - `'t' since "when it began",`: the letter, the field of the struct, its documentation. The type of the field
//!   implements [`Field`].
//! - `.. membership "its membership",`: a field with a list of its own. Its type implements [`FieldGroup`]; an `Option` of
//!   it is
//!   `None` where the first letter of the group is missing.
//! - `_ confirmed = 0,`: a field that is not stored, and its value when it is read.
//!
//! The lines are in the order in which the fields are written. A list that omits a field does not compile. Ids of the
//! record's own node are stored without the node, so all functions take it.

use smol_str::SmolStr;

use roomkeeper_core::ids::{
    AppId, CallId, ChannelId, CommandUid, ConferenceId, CoreId, MemberId, NodeId, RoomId,
};
use roomkeeper_core::time::Timestamp;

use super::packed::{DecodeError, Packed, Packer};

/// A value with a letter.
pub(super) trait Field: Sized {
    /// Appends the field.
    fn write(&self, name: char, node: NodeId, packer: &mut Packer);

    /// Reads the field.
    ///
    /// # Errors
    /// Fails if the field is missing or is not in the form of [`Self::write`].
    fn read(name: char, node: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError>;
}

/// A value with several letters.
pub(super) trait FieldGroup: Sized {
    /// The letter that is always written.
    const FIRST: char;

    /// Appends its fields.
    fn write(&self, node: NodeId, packer: &mut Packer);

    /// Reads its fields.
    ///
    /// # Errors
    /// Fails if one is missing or is not in the form of [`Self::write`].
    fn read(node: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError>;
}

impl<T: FieldGroup> FieldGroup for Option<T> {
    const FIRST: char = T::FIRST;

    fn write(&self, node: NodeId, packer: &mut Packer) {
        if let Some(value) = self {
            value.write(node, packer);
        }
    }

    fn read(node: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
        match packed.has(T::FIRST) {
            true => T::read(node, packed).map(Some),
            false => Ok(None),
        }
    }
}

impl<T: FieldGroup> FieldGroup for Box<T> {
    const FIRST: char = T::FIRST;

    fn write(&self, node: NodeId, packer: &mut Packer) {
        T::write(self, node, packer);
    }

    fn read(node: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
        T::read(node, packed).map(Self::new)
    }
}

/// The error of a part that cannot be decoded.
#[derive(Debug)]
pub(super) struct UndecodedPart {
    /// The name of the part, as declared.
    pub part: &'static str,
    /// The reason.
    pub why: DecodeError,
}

/// Writes the field of one line.
macro_rules! write_field {
    ($value:expr, $node:expr, $packer:expr, $field:ident, $letter:literal) => {
        $crate::store::encoding::stored_fields::Field::write(
            &$value.$field,
            $letter,
            $node,
            $packer,
        )
    };
    ($value:expr, $node:expr, $packer:expr, $field:ident, ..) => {
        $crate::store::encoding::stored_fields::FieldGroup::write(&$value.$field, $node, $packer)
    };
}

/// Reads the field of one line.
macro_rules! read_field {
    ($node:expr, $packed:expr, $letter:literal) => {
        $crate::store::encoding::stored_fields::Field::read($letter, $node, $packed)
    };
    ($node:expr, $packed:expr, ..) => {
        $crate::store::encoding::stored_fields::FieldGroup::read($node, $packed)
    };
}

/// The row of one line in the documented table.
macro_rules! field_row {
    ($letter:literal, $field:ident, $doc:literal) => {
        concat!("| `", $letter, "` | ", $doc, " |")
    };
    (.., $field:ident, $doc:literal) => {
        concat!("| … | ", $doc, " |")
    };
}

/// Implements [`FieldGroup`] for a struct by the list of its fields. The first letter is always written.
macro_rules! stored_fields {
    (
        $(#[$doc:meta])*
        $type:ident {
            $first:literal $first_field:ident $first_doc:literal,
            $($letter:literal $field:ident $field_doc:literal,)*
            $(_ $absent:ident = $value:expr,)*
        }
    ) => {
        $(#[$doc])*
        ///
        /// | | |
        /// |---|---|
        #[doc = field_row!($first, $first_field, $first_doc)]
        $(#[doc = field_row!($letter, $field, $field_doc)])*
        impl FieldGroup for $type {
            const FIRST: char = $first;

            fn write(&self, node: NodeId, packer: &mut Packer) {
                write_field!(self, node, packer, $first_field, $first);
                $(write_field!(self, node, packer, $field, $letter);)*
            }

            fn read(node: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
                Ok(Self {
                    $first_field: read_field!(node, packed, $first)?,
                    $($field: read_field!(node, packed, $letter)?,)*
                    $($absent: $value,)*
                })
            }
        }
    };
}

/// Makes the functions that write the parts of a record, and the one that reads them, by the lists of their fields.
macro_rules! stored_parts {
    (
        $(#[$doc:meta])*
        fn $decode:ident($($context:ident: $context_type:ty),*) -> $type:ident {
            $(
                $(#[$part_doc:meta])*
                $label:literal fn $part:ident {
                    $($key:tt $field:ident $field_doc:literal,)*
                }
            )*
            $(_ $absent:ident = $value:expr,)*
        }
    ) => {
        $(
            $(#[$part_doc])*
            ///
            /// | | |
            /// |---|---|
            $(#[doc = field_row!($key, $field, $field_doc)])*
            pub(super) fn $part(value: &$type, node: NodeId) -> String {
                let mut packer = Packer::default();
                $(write_field!(value, node, &mut packer, $field, $key);)*
                packer.finish()
            }
        )*

        $(#[$doc])*
        pub(super) fn $decode(
            node: NodeId,
            $($context: $context_type,)*
            $($part: &str,)*
        ) -> Result<$type, UndecodedPart> {
            $(let $part = Packed::new($part);)*
            Ok($type {
                $($($field: read_field!(node, &$part, $key)
                    .map_err(|why| UndecodedPart { part: $label, why })?,)*)*
                $($absent: $value,)*
            })
        }
    };
}

/// Implements [`Field`] for an enum by the number of each variant.
macro_rules! stored_codes {
    ($(#[$doc:meta])* $type:ident { $($code:literal $variant:ident,)* }) => {
        $(#[$doc])*
        impl Field for $type {
            fn write(&self, name: char, _: NodeId, packer: &mut Packer) {
                let code = match self {
                    $(Self::$variant => $code,)*
                };
                packer.number(name, code);
            }

            fn read(name: char, _: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
                match packed.number(name)? {
                    $($code => Ok(Self::$variant),)*
                    _ => Err(concat!("unknown ", stringify!($type)).into()),
                }
            }
        }
    };
}

pub(super) use {field_row, read_field, stored_codes, stored_fields, stored_parts, write_field};

/// Implements [`Field`] by two functions, which write and read a value.
macro_rules! field {
    ($type:ty, $write:expr, $read:expr) => {
        impl Field for $type {
            fn write(&self, name: char, node: NodeId, packer: &mut Packer) {
                let write: fn(&Self, char, NodeId, &mut Packer) = $write;
                write(self, name, node, packer);
            }

            fn read(name: char, node: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
                let read: fn(char, NodeId, &Packed<'_>) -> Result<Self, DecodeError> = $read;
                read(name, node, packed)
            }
        }
    };
}

field!(
    bool,
    |value, name, _, packer| packer.flag(name, *value),
    |name, _, packed| Ok(packed.flag(name)?)
);
field!(
    u64,
    |value, name, _, packer| packer.number(name, *value),
    |name, _, packed| Ok(packed.number(name)?)
);
field!(
    Timestamp,
    |value, name, _, packer| packer.number(name, value.as_micros()),
    |name, _, packed| Ok(Self::from_micros(packed.number(name)?))
);
field!(
    SmolStr,
    |value, name, _, packer| packer.text(name, value),
    |name, _, packed| Ok(packed.text(name)?.into())
);
field!(
    AppId,
    |value, name, _, packer| packer.text(name, value.as_str()),
    |name, _, packed| packed
        .text(name)?
        .parse()
        .map_err(|_| "invalid app id".into())
);
field!(
    CommandUid,
    |value, name, _, packer| packer.text(name, value.as_str()),
    |name, _, packed| packed
        .text(name)?
        .parse()
        .map_err(|_| "invalid command id".into())
);
field!(
    CoreId,
    |value, name, _, packer| packer.uuid(name, value.uuid()),
    |name, _, packed| Ok(Self::new(packed.uuid(name)?))
);
field!(
    ConferenceId,
    |value, name, _, packer| packer.uuid(name, value.uuid()),
    |name, _, packed| Ok(Self::new(packed.uuid(name)?))
);
field!(
    MemberId,
    |value, name, _, packer| packer.uuid(name, value.uuid()),
    |name, _, packed| Self::from_uuid(packed.uuid(name)?)
        .ok_or_else(|| "id of no known form".into())
);
field!(
    RoomId,
    |value, name, _, packer| packer.uuid(name, value.uuid()),
    |name, node, packed| Ok(Self::new(node, packed.uuid(name)?))
);
field!(
    CallId,
    |value, name, _, packer| packer.uuid(name, value.channel().uuid()),
    |name, node, packed| Ok(Self::new(node, ChannelId::new(packed.uuid(name)?)))
);

impl<T: Field> Field for Option<T> {
    fn write(&self, name: char, node: NodeId, packer: &mut Packer) {
        if let Some(value) = self {
            value.write(name, node, packer);
        }
    }

    fn read(name: char, node: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
        match packed.has(name) {
            true => T::read(name, node, packed).map(Some),
            false => Ok(None),
        }
    }
}

impl<T: Field> Field for Box<T> {
    fn write(&self, name: char, node: NodeId, packer: &mut Packer) {
        T::write(self, name, node, packer);
    }

    fn read(name: char, node: NodeId, packed: &Packed<'_>) -> Result<Self, DecodeError> {
        T::read(name, node, packed).map(Self::new)
    }
}
