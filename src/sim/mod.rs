//! A simulated FreeSWITCH node.
//!
//! [`core`] is the model: pure, in virtual time. [`SimNode`] puts it on a TCP port, in real time.

pub mod core;
mod server;

pub use server::{Faults, SimConfig, SimNode};
