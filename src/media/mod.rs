//! The media proxy: fetches audio files for the FreeSWITCH nodes.
//!
//! FreeSWITCH resolves a name itself, follows redirects and does not verify TLS, so no check in this process binds its
//! fetch. With the proxy, FreeSWITCH fetches from this process only. The command that plays a file carries a signed
//! link ([`link`]) with the original URL inside. This process checks the link, fetches the file through the guard
//! that webhooks use, checks each redirect like the first URL ([`fetch`]), caches the file ([`cache`]) and serves
//! it ([`proxy`]).
//!
//! Owns the fetch and its limits. Leaves out playback: only the command to FreeSWITCH contains the link, everything
//! else has the original URL.

pub mod cache;
pub mod fetch;
pub mod fetch_error;
pub mod link;
pub mod proxy;
mod rules;

pub use rules::PlayRules;
