//! The program as a process, and all that it needs around it: a node, a store, a receiver of webhooks, a server of audio
//! files, and a way to the node that can hold things back.
//!
//! Shared by the suites that run the real binary; `support` itself is what they have in common with all others. Each
//! uses its part of it.
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
