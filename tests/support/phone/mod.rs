//! A SIP telephone for tests: it calls, is called, sends a tone of its own, and keeps the sound that it receives.
//!
//! - [`agent`]: the telephone: its socket, transactions, and the calls that arrive.
//! - [`call`]: one established call: hold, digits, hang-up, and what is heard in it.
//! - [`message`], [`sdp`], [`dialog`]: SIP messages and session descriptions as text. Pure.
//! - [`media`]: sends and receives RTP ([`rtp`]) with sound in PCMU ([`pcmu`]).
//! - [`hearing`]: the received packets; [`tone`] finds the known tones in their sound. Pure.
//!
//! Limits: IPv4, UDP, loopback; PCMU in packets of 20 ms and digits by RFC 2833; no proxies, no registration, no
//! encryption, no RTCP. A telephone is not a user of FreeSWITCH: a server must accept it by its address.
//!
//! The suites that place calls use it. It uses no other part of the tests.
#![allow(dead_code)]

pub mod agent;
pub mod call;
mod dialog;
pub mod hearing;
mod media;
mod message;
mod pcmu;
mod rtp;
mod sdp;
pub mod tone;
