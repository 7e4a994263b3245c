//! The stored apps and endpoints, as the store returns and changes them.

use roomkeeper_core::ids::{AppId, EndpointId};

/// All stored apps and endpoints, as of one version.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoredApps {
    /// The number of writes so far; 0 before the first.
    pub version: u64,
    /// The stored forms of the apps, in the order of their ids.
    pub records: Vec<(AppId, String)>,
    /// The stored forms of the endpoints, in the order of their ids.
    pub endpoints: Vec<(EndpointId, String)>,
}

/// A change to the stored apps and endpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AppsWrite<'a> {
    /// Sets the record of an app; `None` removes it.
    App(&'a AppId, Option<&'a str>),
    /// Sets the record of an endpoint; `None` removes it.
    Endpoint(&'a EndpointId, Option<&'a str>),
}
