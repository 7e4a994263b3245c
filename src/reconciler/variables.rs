//! The names of our variables on channels and conferences.

/// The conference variable with a room's registration.
pub const META_VARIABLE: &str = "roomkeeper_meta";

/// The channel variable with a call's [`Checkpoint`](roomkeeper_core::call::Checkpoint).
pub const STEP_VARIABLE: &str = "roomkeeper_step";

/// The channel variable with the app of a call.
pub const APP_VARIABLE: &str = "roomkeeper_app";

/// The channel variable of a dialled call with the room that dialled it.
pub const DIAL_VARIABLE: &str = "roomkeeper_dial";

/// The channel variable of the other side of a transfer with the call that is transferred.
pub const LEG_VARIABLE: &str = "roomkeeper_leg";

/// The channel variable with the digits of the last attempt to collect some.
pub const DIGITS_VARIABLE: &str = "roomkeeper_digits";

/// The channel variable with the room that records the call as one of its members. The events of the recording carry it.
pub const RECORDING_VARIABLE: &str = "roomkeeper_recording";

/// The channel variable with the id of the command that parked the call ([`ParkId`](roomkeeper_core::call::ParkId)).
pub const PARK_VARIABLE: &str = "roomkeeper_park";

/// The channel variables with the result of a `bridge`: FreeSWITCH's own.
pub const RESULT_VARIABLES: [&str; 4] = [
    DISPOSITION_VARIABLE,
    PEER_CAUSE_VARIABLE,
    BRIDGE_CAUSE_VARIABLE,
    PEER_STATUS_VARIABLE,
];

/// The channel variable with the outcome of a call that FreeSWITCH made for the channel.
pub const DISPOSITION_VARIABLE: &str = "originate_disposition";

/// The channel variable with the hang-up cause of the channel that was connected, or called, last.
pub const PEER_CAUSE_VARIABLE: &str = "last_bridge_hangup_cause";

/// The channel variable with the hang-up cause of the channel that was connected last.
pub const BRIDGE_CAUSE_VARIABLE: &str = "bridge_hangup_cause";

/// The channel variable with the SIP status of the channel that was called last: `sip:486`.
pub const PEER_STATUS_VARIABLE: &str = "last_bridge_proto_specific_hangup_cause";
