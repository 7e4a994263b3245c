//! Tenants: the apps that use the API, their keys, and their webhook endpoints.
//!
//! Owns the existing apps ([`Registry`]), authentication ([`Apps`], [`KeyDigest`]), and every change of an app or
//! endpoint. Leaves out permissions for changes, and HTTP.

mod apps;
mod endpoints;
mod key;
mod registry;
mod removal;
mod snapshot;

pub use apps::{App, Apps};
pub(crate) use endpoints::{
    EndpointChange, EndpointError, MOST_ENDPOINTS, NewEndpoint, WithSecret,
};
pub use key::KeyDigest;
pub use registry::Registry;
pub(crate) use registry::{ChangeError, MOST_DIDS, NewApp, PROPAGATION, WithKey};
pub(crate) use snapshot::AuthenticatedApp;
pub use snapshot::Tenants;
