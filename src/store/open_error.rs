//! The errors of a store's URL.

/// A URL that does not lead to a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is not a URL of its scheme.
    #[error("not a valid store URL: {why}")]
    Invalid {
        /// The reason, without the URL: that may hold a password.
        why: String,
    },
    /// No store has this scheme.
    #[error(
        "store URLs begin with redis://, redis+sentinel://, redis+cluster:// (with TLS: rediss) or memory:, and {scheme}: is not supported"
    )]
    Unsupported {
        /// The scheme.
        scheme: String,
    },
}
