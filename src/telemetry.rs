//! Names of metrics.

/// Names.
pub mod names {
    /// Frames.
    pub const ESL_FRAMING_ERRORS: &str = "roomkeeper_esl_framing_errors_total";
    /// Events.
    pub const ESL_BAD_EVENTS: &str = "roomkeeper_esl_bad_events_total";
    /// Events.
    pub const ESL_EVENTS: &str = "roomkeeper_esl_events_total";
    /// Commands.
    pub const ESL_COMMANDS: &str = "roomkeeper_esl_commands_total";
    /// Reconnects.
    pub const ESL_RECONNECTS: &str = "roomkeeper_esl_reconnects_total";
}
