//! Code that several integration tests share. Each test uses a part.
#![allow(dead_code)]

pub mod process;
pub mod redis;
pub mod store;
pub mod tls;
