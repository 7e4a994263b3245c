//! What of a node belongs to nothing: conferences that are no room, calls of no app.
//!
//! It is found when a snapshot is merged and told to a person; nothing follows from it. So it is kept as it is told,
//! bounded, and not with what is believed.

use std::collections::BTreeSet;

use crate::ids::{ChannelId, SessionId};
use crate::session::Direction;
use crate::store::EntityId;
use crate::store::board::{ForeignCall, MOST_REPORTED, OrphanConference, OrphanKind, shortened};
use crate::time::Timestamp;

use crate::reconciler::news::{Identity, ListedConference};

use super::Belief;

/// What the last list of conferences had that is no room.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Orphans {
    /// Those that are told, ours first.
    pub conferences: Vec<OrphanConference>,
    /// How many there are.
    pub total: u64,
}

impl Belief {
    /// Takes in which conferences FreeSWITCH has, once a snapshot with them is merged.
    pub fn conferences_listed(&mut self, listed: &[ListedConference], now: Timestamp) {
        let mut found = Orphans::default();
        let orphans = listed.iter().filter_map(|c| Some((self.orphan(c)?, c)));
        let mut orphans: Vec<(OrphanKind, &ListedConference)> = orphans.collect();
        found.total = orphans.len() as u64;
        // What looks ours is looked at first, and of each kind what has been there for longest.
        orphans.sort_unstable_by_key(|(kind, c)| (*kind, std::cmp::Reverse(c.age), &c.conference));
        orphans.truncate(MOST_REPORTED);
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

    /// Why a conference is nobody's, if it is.
    fn orphan(&self, listed: &ListedConference) -> Option<OrphanKind> {
        let Some(id) = listed.room.filter(|id| id.node() == self.node) else {
            return Some(OrphanKind::Foreign);
        };
        if self.left_alone.contains(&EntityId::Room(id)) {
            return Some(OrphanKind::Unreadable);
        }
        let is_known = self
            .room(id)
            .is_some_and(|room| room.registration().is_some());
        (!is_known).then_some(OrphanKind::Unknown)
    }

    /// The conferences that were nobody's at the last list.
    pub const fn orphans(&self) -> &Orphans {
        &self.orphans
    }

    /// The calls that belong to no app, those first that have been there for longest; and how many there are.
    pub fn foreign_calls(&self) -> (Vec<ForeignCall>, u64) {
        let foreign = self.identities.iter().filter(|(channel, _)| {
            let id = SessionId::new(self.node, **channel);
            !self.sessions.contains_key(&id)
                && !self.ended.contains_key(*channel)
                && !self.left_alone.contains(&EntityId::Session(id))
                && self.app_of(**channel).is_none()
        });
        let mut first: BTreeSet<(Timestamp, ChannelId)> = BTreeSet::new();
        let mut total = 0;
        for (channel, identity) in foreign {
            total += 1;
            first.insert((identity.created_at.unwrap_or_default(), *channel));
            if first.len() > MOST_REPORTED {
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
            session: SessionId::new(self.node, channel),
            caller_id: shortened(&identity.caller_id),
            did: shortened(identity.did.as_deref().unwrap_or_default()),
            inbound: identity.direction == Direction::Inbound,
            app: identity.app.clone(),
            since: identity.created_at,
        }
    }
}
