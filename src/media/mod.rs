//! The media proxy: fetches audio files for the FreeSWITCH nodes.
//!
//! FreeSWITCH resolves a name itself, follows redirects and does not verify TLS, so no check in this process can say where a
//! URL leads by the time FreeSWITCH fetches it. With the proxy FreeSWITCH fetches from this process alone. The command that
//! plays a file carries a signed link ([`link`]) with the original URL inside. This process checks the link, fetches the file
//! through the guard that webhooks use, checks each redirect as it checked the first URL ([`fetch`]), keeps the file for a
//! while ([`cache`]) and serves it ([`proxy`]).
//!
//! Owns the fetch and its bounds. Leaves out what plays and when: everything but the command to FreeSWITCH keeps the original
//! URL.

pub mod cache;
pub mod fetch;
pub mod fetch_error;
pub mod link;
pub mod proxy;
mod rules;

pub use rules::PlayRules;
