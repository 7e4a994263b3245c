//! What a snapshot makes of the belief: the conferences at a fence, and the channels one by one.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use crate::ids::{ChannelId, IdSet, MemberId, RoomId, SessionId};
use crate::room::plan::{Shown, Suspect, plan};
use crate::room::{Registration, RoomInput, RoomState, RoomStatus, Who};
use crate::session::{Place, SessionInput, SessionState};
use crate::store::EntityId;

use crate::reconciler::meta;
use crate::reconciler::news::{Dump, ListedChannel, ShownRoom, Snapshot};

use super::{Belief, Cx};

impl Belief {
    /// Merges a snapshot of the conferences. `confirmed` is what the snapshot just before it lacked; returned is what
    /// this one lacks and that one did not.
    pub fn snapshot(
        &mut self,
        snapshot: &Snapshot,
        confirmed: &BTreeSet<Suspect>,
        cx: &mut Cx<'_>,
    ) -> BTreeSet<Suspect> {
        self.snapshot_part(snapshot, confirmed, Some(&BTreeSet::new()), cx)
    }

    /// Merges a part of one. A part that others follow says nothing of rooms that it does not show; the last one has
    /// `before`, the rooms that the others have shown, and says that there is no other.
    pub fn snapshot_part(
        &mut self,
        snapshot: &Snapshot,
        confirmed: &BTreeSet<Suspect>,
        before: Option<&BTreeSet<RoomId>>,
        cx: &mut Cx<'_>,
    ) -> BTreeSet<Suspect> {
        let mut suspects = BTreeSet::new();
        if self.core != Some(snapshot.core) {
            return suspects;
        }
        let mut shown: BTreeMap<RoomId, Vec<&ShownRoom>> = BTreeMap::new();
        for room in &snapshot.rooms {
            shown.entry(room.room).or_default().push(room);
        }
        let mut ids: BTreeSet<RoomId> = shown.keys().copied().collect();
        if let Some(before) = before {
            let believed = self.rooms.keys().copied();
            ids.extend(believed.filter(|room| !before.contains(room)));
        }
        let told = cx.out.notices.len();
        // It answers: whatever was made while it could not be reached is placed now.
        let starting: Vec<RoomId> = self
            .rooms
            .values()
            .filter(|room| room.status() == RoomStatus::Starting && ids.contains(&room.id()))
            .map(|room| room.id())
            .collect();
        for id in starting {
            self.room_input(id, RoomInput::Placed, cx);
        }
        for id in ids {
            // Two lives of one name can be listed at once; the list is newest first, and the newest one counts.
            let newest = shown.get(&id).and_then(|lives| lives.first().copied());
            if (newest.is_none() && !self.rooms.contains_key(&id))
                || self.left_alone.contains(&EntityId::Room(id))
            {
                continue;
            }
            let view = newest.map(|room| self.shown(room, snapshot.fence, cx));
            if let Some(registration) = newest.and_then(|room| self.adoptable(room)) {
                self.room_input(id, RoomInput::Adopted(registration), cx);
            }
            let room = self
                .rooms
                .entry(id)
                .or_insert_with(|| Box::new(RoomState::unregistered(id)));
            let planned = plan(room, view, snapshot.core, snapshot.fence, confirmed);
            suspects.extend(planned.suspects);
            for input in planned.inputs {
                self.room_input(id, input, cx);
            }
        }
        if before.is_some() {
            self.fence = self.fence.max(snapshot.fence);
        }
        cx.out.revealed.extend(told..cx.out.notices.len());
        suspects
    }

    /// What a room that nothing is believed of says it was asked for as. If the store remembers it as ended, the commit
    /// will not go through, and what is remembered counts.
    pub(super) fn adoptable(&self, room: &ShownRoom) -> Option<Registration> {
        if self
            .room(room.room)
            .is_some_and(|r| r.registration().is_some())
        {
            return None;
        }
        let registration = meta::decode(room.meta.as_ref()?)?;
        self.rules
            .apps
            .contains(&registration.app)
            .then_some(registration)
    }

    pub(super) fn shown(&self, room: &ShownRoom, fence: u64, cx: &mut Cx<'_>) -> Shown {
        let mut members = Vec::with_capacity(room.members.len());
        for m in &room.members {
            let session = SessionId::new(self.node, m.channel);
            let call = self.session(session);
            // Of a call that has told since the fence where it is, the snapshot may show what was before that, or what came
            // after it: its next event says so, or another snapshot if that one is lost.
            if call.is_some_and(|call| call.is_elsewhere_since(room.room, fence)) {
                cx.out.resync = Some("a call has moved since the fence");
                continue;
            }
            if self.has_ended(m.channel, fence) {
                continue;
            }
            let (caller_id, did) = self
                .numbers_of(call, m.channel)
                .unwrap_or_else(|| (m.caller_id.clone(), SmolStr::default()));
            let who = Who {
                session,
                caller_id,
                did,
                fresh: MemberId::fresh(self.node, cx.ids.uuid()),
                // A held member can do neither, whatever its own settings are: the snapshot says nothing of them.
                speak: (!m.hold).then_some(m.can_speak),
                hear: (!m.hold).then_some(m.can_hear),
                hold: m.hold,
                talking: m.talking,
            };
            members.push((who, m.has_floor));
        }
        Shown {
            conference: room.conference,
            locked: room.locked,
            members,
            recordings: room.recordings.clone(),
        }
    }

    /// Learns who the channels of a list are, where that is not known yet.
    pub fn listed(&mut self, listed: &[ListedChannel]) {
        for channel in listed {
            let is_call = self.is_alive(SessionId::new(self.node, channel.channel));
            if !is_call && !self.ended.contains_key(&channel.channel) {
                self.identities
                    .entry(channel.channel)
                    .or_insert_with(|| channel.identity.clone());
            }
        }
    }

    /// The channels of a list that should be asked about: parked and not known as calls of ours, or believed to be where
    /// no list can confirm it.
    pub fn wants_dump(&self, listed: &[ListedChannel]) -> Vec<ChannelId> {
        listed
            .iter()
            .filter(|listed| {
                if self.ended.contains_key(&listed.channel) {
                    return false;
                }
                let id = SessionId::new(self.node, listed.channel);
                match self.session(id).map(SessionState::place) {
                    Some(Place::Ringing | Place::Leaving(_)) => true,
                    // In a room that is over or nobody's, which is not stored: no snapshot of the room says that it left.
                    Some(Place::InRoom(room)) => listed.parked && !self.is_member(*room, id),
                    // One that joins is parked until its transfer takes effect: only its events, or the deadline, tell.
                    Some(Place::Parked | Place::Acting(_) | Place::Joining(_)) => false,
                    // One that was given up with its node, and that a caller has asked for since, is back with it.
                    Some(Place::Ended) | None => listed.parked,
                }
            })
            .map(|listed| listed.channel)
            .collect()
    }

    /// The believed calls that are not among these.
    pub fn missing_from(&self, listed: &IdSet<ChannelId>) -> Vec<ChannelId> {
        self.sessions
            .keys()
            .map(SessionId::channel)
            .filter(|channel| !listed.contains(channel))
            .collect()
    }

    /// Forgets who the channels are that two lists in a row did not have: their end was lost.
    pub fn keep_identities(&mut self, listed: &IdSet<ChannelId>) {
        let unlisted: BTreeSet<ChannelId> = self
            .identities
            .keys()
            .copied()
            .filter(|channel| !listed.contains(channel))
            .collect();
        for channel in unlisted.intersection(&self.unlisted) {
            self.identities.remove(channel);
        }
        self.unlisted = unlisted;
        // Of most channels nothing is known but that they are there until a snapshot shows them to be calls: what the first
        // one needed is not kept.
        self.identities.shrink_to(2 * self.identities.len());
    }

    /// Takes in what `uuid_dump` told of a channel.
    pub fn dump(&mut self, dump: Dump, cx: &mut Cx<'_>) {
        if self.core != Some(dump.core) || self.has_ended(dump.channel, dump.sequence) {
            cx.out.ignored += 1;
            return;
        }
        let before = cx.out.notices.len();
        let id = SessionId::new(self.node, dump.channel);
        let answered_at = dump.identity.answered_at;
        self.meet(dump.channel, dump.identity);
        let joining = self
            .session(id)
            .is_some_and(|s| matches!(s.place(), Place::Joining(_)));
        if dump.parked && !joining {
            let since = (dump.sequence, dump.parked_by);
            self.parked(dump.channel, since, cx.now, true, cx);
        }
        if let Some(at) = answered_at
            && self.sessions.contains_key(&id)
        {
            self.session_input(
                id,
                SessionInput::Answered {
                    at,
                    synthesized: true,
                },
                cx,
            );
        }
        cx.out.revealed.extend(before..cx.out.notices.len());
    }

    /// `uuid_exists` said that a believed call does not exist, at this fence.
    pub fn vanished(&mut self, channel: ChannelId, fence: u64, cx: &mut Cx<'_>) {
        let before = cx.out.notices.len();
        // It was asked by name, so it is over also when something was told of it after the fence.
        let call = self.session(SessionId::new(self.node, channel));
        let sequence = call.map_or(fence, |call| fence.max(call.place_at().saturating_add(1)));
        self.hung_up(
            channel,
            "UNKNOWN".to_owned(),
            cx.now,
            Some(sequence),
            true,
            cx,
        );
        self.identities.remove(&channel);
        cx.out.revealed.extend(before..cx.out.notices.len());
    }
}
