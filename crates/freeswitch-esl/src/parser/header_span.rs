//! Headers as offsets into their message.

/// The encoding of a header's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Plain, up to the end of the line.
    Line,
    /// The inside of a JSON string, with its escapes.
    #[cfg(feature = "json")]
    JsonString,
    /// A JSON array, brackets included.
    #[cfg(feature = "json")]
    JsonArray,
    /// A number, `true`, `false` or `null`.
    #[cfg(feature = "json")]
    JsonScalar,
}

/// One header, as offsets into the message: 16 bytes, no pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeaderSpan {
    pub(super) name_at: u32,
    pub(super) value_at: u32,
    pub(super) value_len: u32,
    pub(super) name_len: u16,
    pub(super) tag: u8,
    pub(super) shape: Shape,
}

impl HeaderSpan {
    /// No header.
    pub(super) const NONE: Self = Self {
        name_at: 0,
        value_at: 0,
        value_len: 0,
        name_len: 0,
        tag: 0,
        shape: Shape::Line,
    };

    /// Returns the header with this name and value. `None` if the name is longer than 65,535 bytes, or the message than
    /// 4 GiB.
    #[inline]
    pub(crate) fn new(
        name_at: usize,
        name: &[u8],
        value_at: usize,
        value: &[u8],
        shape: Shape,
    ) -> Option<Self> {
        Some(Self {
            name_at: u32::try_from(name_at).ok()?,
            value_at: u32::try_from(value_at).ok()?,
            value_len: u32::try_from(value.len()).ok()?,
            name_len: u16::try_from(name.len()).ok()?,
            tag: tag(name),
            shape,
        })
    }

    #[inline]
    pub(crate) fn name<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        let at = self.name_at as usize;
        message
            .get(at..at + usize::from(self.name_len))
            .unwrap_or_default()
    }

    #[inline]
    pub(crate) fn value<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        let at = self.value_at as usize;
        message
            .get(at..at + self.value_len as usize)
            .unwrap_or_default()
    }

    #[inline]
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Returns the [`tag`] of the name.
    #[inline]
    pub(crate) fn tag(&self) -> u8 {
        self.tag
    }
}

/// Returns one byte that is compared before names are: of ninety headers it leaves one or two.
///
/// Names often begin alike (`Caller-…`, `variable_…`), so it is computed from their length and their end.
#[inline]
pub(crate) fn tag(name: &[u8]) -> u8 {
    tag_of(name.len(), name.last().copied().unwrap_or_default())
}

#[inline]
pub(super) fn tag_of(len: usize, last: u8) -> u8 {
    (len as u8)
        .wrapping_mul(37)
        .wrapping_add(last.wrapping_mul(5))
}
