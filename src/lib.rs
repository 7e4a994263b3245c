//! Roomkeeper, a conference controller for FreeSWITCH.
#![warn(missing_docs)]

pub mod esl;
pub mod sim;
