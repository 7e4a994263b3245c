#![doc = include_str!("../README.md")]

pub mod core;
mod server;

pub use server::{Faults, SimConfig, SimNode};
