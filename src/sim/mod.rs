//! A simulated FreeSWITCH node.
//!
//! [`core`] is the model: pure, in virtual time. Whatever has sockets and a clock is built around it.

pub mod core;
