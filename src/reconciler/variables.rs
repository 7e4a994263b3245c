//! The names of our variables on channels and conferences.

/// The conference variable with a room's registration.
pub const META_VARIABLE: &str = "roomkeeper_meta";

/// The channel variable with a call's [`Checkpoint`](roomkeeper_core::call::Checkpoint).
pub const STEP_VARIABLE: &str = "roomkeeper_step";

/// The channel variable with the app of a call.
pub const APP_VARIABLE: &str = "roomkeeper_app";

/// The channel variable of a dialled call with the room that dialled it.
pub const DIAL_VARIABLE: &str = "roomkeeper_dial";
/// The channel variable with the digits of the last attempt to collect some.
pub const DIGITS_VARIABLE: &str = "roomkeeper_digits";

/// The channel variable with the room that records the call as one of its members. The events of the recording carry it.
pub const RECORDING_VARIABLE: &str = "roomkeeper_recording";

/// The channel variable with the id of the command that parked the call ([`ParkId`](roomkeeper_core::call::ParkId)).
pub const PARK_VARIABLE: &str = "roomkeeper_park";
