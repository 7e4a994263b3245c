//! What an event makes of the belief.
//!
//! Owns which channel is a call of whom, and what may not be heard any more: news of another run of FreeSWITCH, news
//! that is older than the last snapshot, news of a call that is over.

use std::collections::BTreeSet;

use smol_str::SmolStr;

use crate::ids::{AppId, ChannelId, ConferenceId, CoreId, MemberId, RoomId, SessionId};
use crate::room::{EventStamp, LeftReason, PlayInput, RecordInput, RoomInput, Unplayed, Who};
use crate::session::{Direction, Parking, Place, SessionInput, SessionState};
use crate::store::EntityId;
use crate::time::Timestamp;

use crate::reconciler::news::{ChannelChange, ConferenceChange, Identity, MemberBlock, News, What};

use super::{Belief, Cx, Order};

impl Belief {
    /// Learns which run of FreeSWITCH lives (`None`: the node is lost). What lived in another is over.
    pub fn core_changed(&mut self, core: Option<CoreId>, cx: &mut Cx<'_>) {
        if self.core == core && core.is_some() {
            return;
        }
        self.core = core;
        self.fence = 0;
        // A node that was given up comes back with the very calls that were.
        self.ended.clear();
        self.still_counted.clear();
        self.identities.clear();
        let rooms: BTreeSet<RoomId> = self.rooms.keys().copied().collect();
        for id in rooms {
            self.room_input(id, RoomInput::CoreChanged { core }, cx);
        }
        let over: BTreeSet<SessionId> = self
            .sessions
            .values()
            .filter(|s| Some(s.core()) != core)
            .map(|s| s.id())
            .collect();
        for id in over {
            self.session_input(
                id,
                SessionInput::Ended {
                    cause: "NORMAL_TEMPORARY_FAILURE".to_owned(),
                    at: cx.now,
                    sequence: None,
                    orphan: true,
                    synthesized: true,
                },
                cx,
            );
        }
    }

    /// What an event names that is not known here: another replica may have begun it, or it may be over. What is stored of
    /// it says more, and is to be read first.
    pub fn unknown_to(&self, news: &News) -> Option<EntityId> {
        match &news.what {
            What::Conference { room, change, .. } => {
                let is_known = match (self.room(*room), change) {
                    (None, _) => room.node() != self.node,
                    (Some(known), _) if known.registration().is_none() => true,
                    (
                        Some(known),
                        ConferenceChange::FileOpened { file, .. }
                        | ConferenceChange::FileEnded(file),
                    ) => known.playback().knows(file.operation),
                    (
                        Some(known),
                        ConferenceChange::RecordingStarted { recording, .. }
                        | ConferenceChange::RecordingStopped { recording, .. },
                    ) => known.recordings().contains(recording),
                    (Some(_), _) => true,
                };
                (!is_known).then_some(EntityId::Room(*room))
            }
            What::Channel {
                channel,
                change: ChannelChange::StepEnded { step, .. },
            } => {
                let id = SessionId::new(self.node, *channel);
                let run = self.session(id)?.run().map(|run| run.id);
                (run != Some(step.run)).then_some(EntityId::Session(id))
            }
            What::Channel { .. } => None,
        }
    }

    /// Takes in one event.
    pub fn news(&mut self, news: News, cx: &mut Cx<'_>) {
        if self.core != Some(news.core) {
            // Of a run that is over, or of one that has not been met yet: its snapshot will tell.
            cx.out.ignored += 1;
            return;
        }
        match news.what {
            What::Conference {
                room,
                conference,
                size,
                change,
            } => {
                let at = EventStamp {
                    core: news.core,
                    conference,
                    sequence: news.sequence,
                    synthesized: false,
                };
                self.count_out(room, &change);
                let is_late = news.sequence <= self.fence;
                if is_late && !change.is_heard_late() {
                    // The snapshot has spoken of it, also where it showed nothing.
                    cx.out.ignored += 1;
                    return;
                }
                let is_an_end = !change.is_about_a_file();
                self.conference_news(room, at, change, cx);
                if !is_late || is_an_end {
                    self.check_size(room, conference, size, cx);
                }
            }
            What::Channel { channel, change } => {
                self.channel_news(channel, news.sequence, news.at, change, cx);
            }
        }
    }

    pub(super) fn conference_news(
        &mut self,
        room: RoomId,
        at: EventStamp,
        change: ConferenceChange,
        cx: &mut Cx<'_>,
    ) {
        // The hang-up of a call can be told before its coming: it does not come any more.
        let is_over = change
            .present()
            .is_some_and(|channel| self.has_ended(channel, at.sequence));
        if room.node() != self.node || is_over {
            cx.out.ignored += 1;
            return;
        }
        let session = |channel| SessionId::new(room.node(), channel);
        if let ConferenceChange::Removed { last: true, .. } = change {
            let is_known = self
                .room(room)
                .is_some_and(|known| known.lives().iter().any(|life| life.id == at.conference));
            if is_known {
                self.room_input(room, RoomInput::ConferenceEmptied(at), cx);
            }
        }
        // A call that is on its way into the room since it was last heard of cannot have left it before.
        if let ConferenceChange::Removed { channel, .. } = change
            && let Some(call) = self.session(session(channel))
            && matches!(call.place(), Place::Joining(_) | Place::Acting(Some(_)))
            && call.place().room() == Some(room)
            && call.is_elsewhere_since(room, at.sequence)
        {
            cx.out.ignored += 1;
            return;
        }
        let input = match change {
            ConferenceChange::Created => RoomInput::ConferenceStarted(at),
            ConferenceChange::Destroyed => RoomInput::ConferenceEnded(at),
            ConferenceChange::Added(block) => RoomInput::Seen {
                at,
                who: self.who(block, cx),
                entered: true,
            },
            ConferenceChange::Flags(block) => RoomInput::Seen {
                at,
                who: self.who(block, cx),
                entered: false,
            },
            ConferenceChange::Removed {
                channel, hung_up, ..
            } => RoomInput::Gone {
                at,
                session: session(channel),
                reason: if hung_up {
                    LeftReason::Hangup
                } else {
                    LeftReason::Removed
                },
            },
            ConferenceChange::Moving(channel) => RoomInput::Moving {
                session: session(channel),
                deadline: cx.now + self.rules.patience.leave,
            },
            ConferenceChange::Floor { holder } => {
                let channel = holder.as_ref().map(|b| b.channel);
                if let Some(block) = holder {
                    let who = self.who(block, cx);
                    self.room_input(
                        room,
                        RoomInput::Seen {
                            at,
                            who,
                            entered: false,
                        },
                        cx,
                    );
                }
                RoomInput::Floor {
                    at,
                    holder: channel.map(session),
                }
            }
            ConferenceChange::Locked(locked) => RoomInput::Locked { at, locked },
            ConferenceChange::FileOpened { file, failed } => RoomInput::Play(if failed {
                PlayInput::NotPlayed(file, Unplayed::Refused)
            } else {
                PlayInput::Opened(file)
            }),
            ConferenceChange::FileEnded(file) => RoomInput::Play(PlayInput::Ended(file)),
            ConferenceChange::RecordingStarted { recording, failed } => {
                RoomInput::Record(RecordInput::Started {
                    id: recording,
                    failed,
                    sequence: at.sequence,
                    synthesized: false,
                })
            }
            ConferenceChange::RecordingStopped { recording, length } => {
                RoomInput::Record(RecordInput::Stopped {
                    id: recording,
                    length,
                    synthesized: false,
                })
            }
            ConferenceChange::Other => return,
        };
        self.room_input(room, input, cx);
    }

    /// Whom the conference says to be gone, it counts no more.
    fn count_out(&mut self, room: RoomId, change: &ConferenceChange) {
        if matches!(
            change,
            ConferenceChange::Created | ConferenceChange::Destroyed
        ) {
            self.still_counted.remove(&room);
        }
        if let ConferenceChange::Removed { channel, .. } = change
            && let Some(counted) = self.still_counted.get_mut(&room)
        {
            counted.remove(channel);
        }
    }

    /// The conference's own count is a free checksum: where it disagrees, an event was lost. A call says that it has hung
    /// up before the conference takes it out, and there is often an event between, of the floor that it had.
    pub(super) fn check_size(
        &self,
        room: RoomId,
        conference: ConferenceId,
        size: Option<usize>,
        cx: &mut Cx<'_>,
    ) {
        let Some(size) = size else { return };
        let Some(believed) = self.room(room) else {
            return;
        };
        // Whoever comes into one that is ending is counted, and has not joined.
        if believed
            .conference()
            .is_none_or(|c| c.id != conference || c.emptied.is_some())
        {
            return;
        }
        let least = believed.present();
        let most = least + self.still_counted.get(&room).map_or(0, BTreeSet::len);
        if !(least..=most).contains(&size) {
            tracing::debug!(room.id = %room, size, least, most, "Conference-Size disagrees with what is believed");
            cx.out.resync = Some("Conference-Size disagrees");
        }
    }

    pub(super) fn channel_news(
        &mut self,
        channel: ChannelId,
        sequence: u64,
        at: Timestamp,
        change: ChannelChange,
        cx: &mut Cx<'_>,
    ) {
        if self.has_ended(channel, sequence) {
            cx.out.ignored += 1;
            return;
        }
        let id = SessionId::new(self.node, channel);
        match change {
            ChannelChange::Created(identity) => self.meet(channel, identity),
            ChannelChange::Answered(identity) => {
                self.meet(channel, identity);
                if self.sessions.contains_key(&id) {
                    self.session_input(
                        id,
                        SessionInput::Answered {
                            at,
                            synthesized: false,
                        },
                        cx,
                    );
                }
            }
            ChannelChange::Parked { identity, by } => {
                if sequence <= self.fence && !self.sessions.contains_key(&id) {
                    // Told late, of a call that the snapshot may have shown to be gone: it is looked for once more.
                    cx.out.resync = Some("a call was told late");
                }
                self.meet(channel, identity);
                self.parked(channel, (sequence, by), at, false, cx);
            }
            ChannelChange::StepEnded { step, response } => {
                self.step_ended(channel, step, response, cx);
            }
            ChannelChange::HungUp { cause } => {
                self.hung_up(channel, cause, at, Some(sequence), false, cx);
            }
            ChannelChange::Destroyed { cause } => {
                let cause = cause.unwrap_or_else(|| "UNKNOWN".to_owned());
                self.hung_up(channel, cause, at, Some(sequence), false, cx);
                self.identities.remove(&channel);
            }
        }
    }

    /// Keeps who a channel is as it was at first sight; what was unknown then is filled in. Of a call, its state says so.
    pub(super) fn meet(&mut self, channel: ChannelId, identity: Identity) {
        if self.is_alive(SessionId::new(self.node, channel)) {
            return;
        }
        match self.identities.get_mut(&channel) {
            None => {
                self.identities.insert(channel, identity);
            }
            Some(known) => {
                // The app can be set by the dialplan after the channel was made; the rest is as it was.
                if identity.app.is_some() {
                    known.app = identity.app;
                }
                if known.did.is_none() {
                    known.did = identity.did;
                }
                known.answered_at = known.answered_at.or(identity.answered_at);
                known.created_at = known.created_at.or(identity.created_at);
            }
        }
    }

    pub(super) fn parked(
        &mut self,
        channel: ChannelId,
        (sequence, by): (u64, Option<Parking>),
        at: Timestamp,
        synthesized: bool,
        cx: &mut Cx<'_>,
    ) {
        let id = SessionId::new(self.node, channel);
        if !self.is_alive(id) {
            let app = self.app_of(channel);
            let Some(app) = app else {
                cx.out.foreign += 1;
                return;
            };
            self.first_seen(id, app, at, synthesized, cx);
        }
        self.session_input(id, SessionInput::Parked { sequence, by }, cx);
    }

    /// Whether a call was over at this sequence: that is remembered once it is committed, and before that it shows.
    pub(super) fn has_ended(&self, channel: ChannelId, sequence: u64) -> bool {
        let call = self.session(SessionId::new(self.node, channel));
        self.ended.contains_key(&channel)
            || call.is_some_and(|call| call.ended_since(self.core, sequence))
    }

    pub(super) fn is_alive(&self, id: SessionId) -> bool {
        self.session(id).is_some_and(|s| !s.is_over())
    }

    pub(super) fn app_of(&self, channel: ChannelId) -> Option<AppId> {
        let identity = self.identities.get(&channel)?;
        match &identity.app {
            Some(app) => self.rules.apps.get(app).cloned(),
            None if identity.direction == Direction::Inbound => {
                self.rules.dids.get(identity.did.as_deref()?).cloned()
            }
            None => None,
        }
    }

    pub(super) fn first_seen(
        &mut self,
        id: SessionId,
        app: AppId,
        at: Timestamp,
        synthesized: bool,
        cx: &mut Cx<'_>,
    ) {
        let Some(core) = self.core else { return };
        if self.left_alone.contains(&EntityId::Session(id)) {
            return;
        }
        let identity = self.identities.get(&id.channel());
        let answered_at = identity.and_then(|i| i.answered_at);
        cx.out.orders.push(Order::Prepare { session: id });
        if let Some(over) = self.sessions.get_mut(&id) {
            over.revive(core, answered_at);
            return self.session_input(id, SessionInput::FirstSeen { synthesized }, cx);
        }
        let session = SessionState::first_seen(
            id,
            app,
            core,
            identity.map(|i| i.caller_id.clone()).unwrap_or_default(),
            identity.and_then(|i| i.did.clone()).unwrap_or_default(),
            identity.map_or(Direction::Inbound, |i| i.direction),
            identity.and_then(|i| i.created_at).unwrap_or(at),
            answered_at,
        );
        self.sessions.insert(id, Box::new(session));
        self.identities.remove(&id.channel());
        self.session_input(id, SessionInput::FirstSeen { synthesized }, cx);
    }

    /// The caller's number and the number dialled, as they were at first sight; `None` for a channel that was not seen.
    pub(super) fn numbers(&self, channel: ChannelId) -> Option<(SmolStr, SmolStr)> {
        self.numbers_of(self.session(SessionId::new(self.node, channel)), channel)
    }

    /// The same where what is believed of its call is at hand.
    pub(super) fn numbers_of(
        &self,
        call: Option<&SessionState>,
        channel: ChannelId,
    ) -> Option<(SmolStr, SmolStr)> {
        match call.filter(|call| !call.is_over()) {
            Some(call) => Some((call.caller_id().clone(), call.did().clone())),
            None => {
                let identity = self.identities.get(&channel)?;
                let did = identity.did.clone().unwrap_or_default();
                Some((identity.caller_id.clone(), did))
            }
        }
    }

    pub(super) fn hung_up(
        &mut self,
        channel: ChannelId,
        cause: String,
        at: Timestamp,
        sequence: Option<u64>,
        synthesized: bool,
        cx: &mut Cx<'_>,
    ) {
        let id = SessionId::new(self.node, channel);
        if !self.sessions.contains_key(&id) {
            // Its beginning may still come.
            self.remember_ended(channel, cx.now);
        } else {
            self.session_input(
                id,
                SessionInput::Ended {
                    cause,
                    at,
                    sequence,
                    orphan: false,
                    synthesized,
                },
                cx,
            );
        }
    }

    pub(super) fn who(&mut self, block: MemberBlock, cx: &mut Cx<'_>) -> Who {
        let channel = block.channel;
        self.meet(channel, block.identity);
        let (caller_id, did) = self.numbers(channel).unwrap_or_default();
        Who {
            session: SessionId::new(self.node, channel),
            caller_id,
            did,
            fresh: MemberId::fresh(self.node, cx.ids.uuid()),
            speak: Some(block.speak),
            hear: Some(block.hear),
            hold: block.hold,
            talking: block.talking,
        }
    }
}
