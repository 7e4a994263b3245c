//! The filters that the operator's lists share: an app, a node.

use crate::http::cursor::{List, OPERATOR};
use crate::http::error::ApiError;
use crate::http::lists::{Listing, MergedList};
use crate::http::ownership::Nodes;
use crate::reconciler::IntentError;
use crate::store::EntityKind;
use roomkeeper_core::ids::{AppId, NodeId};

use super::query::Query;
use super::state::Inner;

/// The apps and nodes of a list.
pub(super) struct Scope {
    app: Option<AppId>,
    pub(super) nodes: Nodes,
}

impl Scope {
    /// Reads `app_id` and `node`. A deleted app can still have rooms and calls, so an unknown one has an empty list.
    pub(super) fn from_query(shared: &Inner, query: &Query) -> Result<Self, ApiError> {
        let (app, node) = (query.parsed("app_id")?, query.parsed::<NodeId>("node")?);
        let all = Nodes::of(&*shared.state.controller);
        let nodes = match node {
            None => all,
            Some(id) => all
                .only(id)
                .ok_or_else(|| ApiError::intent(IntentError::UnknownNode(id), false))?,
        };
        Ok(Self { app, nodes })
    }

    /// The live entities of one kind.
    pub(super) fn list<'a>(
        &'a self,
        shared: &'a Inner,
        kind: EntityKind,
        list: List,
    ) -> MergedList<'a> {
        MergedList {
            store: &*shared.state.store,
            nodes: &self.nodes,
            listing: Listing::Entities(kind, self.app.as_ref()),
            key: &shared.cursor_key,
            owner: &OPERATOR,
            list,
        }
    }
}
