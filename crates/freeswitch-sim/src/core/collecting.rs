//! The state of a channel that collects digits.

/// The digits that a channel collects.
#[derive(Debug, Clone)]
pub(super) struct Collecting {
    pub min: usize,
    pub max: usize,
    pub timeout: u64,
    pub digit_timeout: u64,
    pub terminators: String,
    pub variable: String,
    pub digits: String,
    pub phase: Phase,
}

/// The phase of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The prompt plays; false if it cannot be opened.
    Prompt(bool),
    /// It waits for digits.
    Digits,
}
