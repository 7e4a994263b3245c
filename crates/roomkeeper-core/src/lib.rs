//! The rules of Roomkeeper, without I/O: no sockets, no database, no clock, no randomness. Times and new ids are
//! arguments.
//!
//! - [`room`]: rooms and their members, as a state machine;
//! - [`call`]: calls, as a state machine;
//! - [`node_state`]: all rooms and calls of one node, and how they act on each other;
//! - [`intent`]: commands of callers, their results and refusals;
//! - [`switch_command`]: commands for FreeSWITCH;
//! - [`switch_event`]: reports of FreeSWITCH, decoded;
//! - [`conference_meta`]: the copy of a room's registration on its conference;
//! - [`dial`]: destinations of calls that FreeSWITCH makes, and the rules that allow them;
//! - [`gather`]: digits that a caller is asked for;
//! - [`speech`]: texts that FreeSWITCH speaks, and voices;
//! - [`action`]: the actions of calls before and after a conference;
//! - [`entity`]: rooms, calls and members as the targets of commands;
//! - [`command_error`]: failures of switch commands;
//! - [`orphans`]: conferences and calls that belong to no app;
//! - [`labels`]: labels of rooms and members;
//! - [`pin`]: PINs of rooms;
//! - [`ids`]: ids, parsed once at the boundary;
//! - [`time`]: points in time;
//! - [`play_url`]: URLs that FreeSWITCH may play.

// A new input, state or action must be handled wherever the core decides.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod action;
pub mod call;
pub mod command_error;
pub mod conference_meta;
pub mod dial;
pub mod entity;
pub mod gather;
pub mod ids;
pub mod intent;
pub mod labels;
pub mod node_state;
pub mod orphans;
pub mod pin;
pub mod play_url;
pub mod room;
pub mod speech;
pub mod switch_command;
pub mod switch_event;
pub mod time;
