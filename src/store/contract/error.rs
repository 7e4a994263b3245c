//! The errors of a store.

/// A request that the store did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store could not be reached, or refused for now. Nothing is known about the request, so the caller may repeat
    /// it under the same request id.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The value stored under this key is not one that this program writes.
    #[error("the stored value of {key} is not readable: {why}")]
    Corrupt {
        /// The key.
        key: String,
        /// The reason.
        why: String,
    },
}

impl StoreError {
    /// Returns true if a repeated request may succeed.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Corrupt { .. } => false,
        }
    }
}
