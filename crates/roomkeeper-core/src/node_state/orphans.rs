//! Orphans of a node: conferences that are not rooms, and calls of no app.
//!
//! A merged snapshot finds them, and operators see them; nothing else happens to them. So they are kept as reported, with
//! a bound, and separate from rooms and calls.

use std::collections::BTreeSet;

use crate::call::Direction;
use crate::entity::EntityId;
use crate::ids::{CallId, ChannelId};
use crate::orphans::{ForeignCall, MAX_REPORTED, OrphanConference, OrphanKind, shortened};
use crate::time::Timestamp;

use crate::switch_event::{Identity, ListedConference};

use super::NodeState;

/// The orphaned conferences in the last list of conferences.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Orphans {
    /// The reported ones, conferences with our names first.
    pub conferences: Vec<OrphanConference>,
    /// The total number.
    pub total: u64,
}

impl NodeState {
    /// Applies FreeSWITCH's list of conferences, after the snapshot with them is merged.
    pub fn conferences_listed(&mut self, listed: &[ListedConference], now: Timestamp) {
        let mut found = Orphans::default();
        let orphans = listed.iter().filter_map(|c| Some((self.orphan(c)?, c)));
        let mut orphans: Vec<(OrphanKind, &ListedConference)> = orphans.collect();
        found.total = orphans.len() as u64;
        // Conferences with our names first, and the oldest of each kind first.
        orphans.sort_unstable_by_key(|(kind, c)| (*kind, std::cmp::Reverse(c.age), &c.conference));
        orphans.truncate(MAX_REPORTED);
        found.conferences = orphans
            .into_iter()
            .map(|(kind, c)| OrphanConference {
                kind,
                name: shortened(&c.name),
                conference: shortened(&c.conference),
                members: c.members,
                since: now.before(c.age),
            })
            .collect();
        self.orphans = found;
    }

    /// Returns the reason why a conference belongs to no app; `None` if it does.
    fn orphan(&self, listed: &ListedConference) -> Option<OrphanKind> {
        let Some(id) = listed.room.filter(|id| id.node() == self.node) else {
            return Some(OrphanKind::Foreign);
        };
        if self.unreadable.contains(&EntityId::Room(id)) {
            return Some(OrphanKind::Unreadable);
        }
        let is_known = self
            .room(id)
            .is_some_and(|room| room.registration().is_some());
        (!is_known).then_some(OrphanKind::Unknown)
    }

    /// Returns the orphaned conferences in the last list.
    pub const fn orphans(&self) -> &Orphans {
        &self.orphans
    }

    /// Returns the calls that belong to no app, oldest first, and their number.
    pub fn foreign_calls(&self) -> (Vec<ForeignCall>, u64) {
        let dialled: BTreeSet<ChannelId> = self.dialled_channels().chain(self.legs()).collect();
        let foreign = self.identities.iter().filter(|(channel, _)| {
            let id = CallId::new(self.node, **channel);
            !self.calls.contains_key(&id)
                && !self.ended.contains_key(*channel)
                && !self.unreadable.contains(&EntityId::Call(id))
                && self.app_of(**channel).is_none()
                && !dialled.contains(*channel)
        });
        let mut first: BTreeSet<(Timestamp, ChannelId)> = BTreeSet::new();
        let mut total = 0;
        for (channel, identity) in foreign {
            total += 1;
            first.insert((identity.created_at.unwrap_or_default(), *channel));
            if first.len() > MAX_REPORTED {
                first.pop_last();
            }
        }
        let calls = first
            .into_iter()
            .filter_map(|(_, channel)| Some(self.foreign(channel, self.identities.get(&channel)?)))
            .collect();
        (calls, total)
    }

    fn foreign(&self, channel: ChannelId, identity: &Identity) -> ForeignCall {
        ForeignCall {
            call: CallId::new(self.node, channel),
            caller_id: shortened(&identity.caller_id),
            did: shortened(identity.did.as_deref().unwrap_or_default()),
            inbound: identity.direction == Direction::Inbound,
            app: identity.app.clone(),
            since: identity.created_at,
        }
    }
}
