//! The program as a process with its environment: a node, a store, a webhook receiver, a server of audio files, and a
//! proxy to the node that can hold messages back.
//!
//! Shared by the suites that run the real binary. `support` itself is shared with all other tests. Each suite uses a
//! part.
#![allow(dead_code)]

pub mod controller;
pub mod events;
pub mod freeswitch;
pub mod media;
pub mod pipe;
pub mod poll;
pub mod proxy;
pub mod receiver;
pub mod switch;
pub mod world;
