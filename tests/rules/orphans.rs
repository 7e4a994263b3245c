//! Orphans of a node in the operators' report.

use roomkeeper::store::node_status::{ForeignCall, MAX_REPORTED, MAX_TEXT, OrphanKind};
use roomkeeper_core::switch_event::ListedConference;

use super::*;

fn listed(name: &str, n: u128, seconds: u64) -> ListedConference {
    ListedConference {
        name: name.to_owned(),
        room: name.parse().ok(),
        conference: conference_id(n).to_string(),
        members: 2,
        age: Duration::from_secs(seconds),
    }
}

impl World {
    fn lists(&mut self, conferences: &[ListedConference]) -> Vec<(OrphanKind, String)> {
        self.node_state.conferences_listed(conferences, self.now);
        let found = &self.node_state.orphans().conferences;
        found.iter().map(|c| (c.kind, c.name.clone())).collect()
    }

    fn foreign(&self) -> Vec<ForeignCall> {
        let (calls, total) = self.node_state.foreign_calls();
        assert_eq!(calls.len() as u64, total);
        calls
    }
}

#[test]
fn orphaned_conferences_are_reported_with_the_reason() {
    let mut world = World::with_room_and_call();
    world.now = Timestamp::from_millis(100_000);
    let (ours, lost) = (room(1).to_string(), room(2).to_string());
    let unreadable = room(3).to_string();
    let elsewhere = "bbbbb-room-550e8400-e29b-41d4-a716-446655440000";
    world.node_state.mark_unreadable(EntityId::Room(room(3)));
    let all = [
        listed("3500", 1, 5),
        listed(&ours, 2, 60),
        listed(&lost, 3, 7),
        listed(&unreadable, 4, 8),
        listed(elsewhere, 5, 9),
    ];
    let found = world.lists(&all);
    // Conferences with our names come first, and the oldest of each kind.
    assert_eq!(
        found,
        [
            (OrphanKind::Unknown, lost.clone()),
            (OrphanKind::Unreadable, unreadable.clone()),
            (OrphanKind::Foreign, elsewhere.to_owned()),
            (OrphanKind::Foreign, "3500".to_owned()),
        ]
    );
    let first = &world.node_state.orphans().conferences[0];
    assert_eq!(first.since, Timestamp::from_millis(93_000));
    assert_eq!(first.conference, conference_id(3).to_string());
    assert_eq!(first.members, 2);
    assert_eq!(world.node_state.orphans().total, 4);
    // The next list differs.
    assert!(world.lists(&all[1..2]).is_empty());
    assert_eq!(world.node_state.orphans().total, 0);
}

#[test]
fn report_is_bounded_in_number_and_length() {
    let mut world = World::new();
    let long = "n".repeat(MAX_TEXT + 1);
    let many: Vec<_> = (0..150).map(|n| listed(&long, n, 1)).collect();
    let found = world.lists(&many);
    assert_eq!(found.len(), MAX_REPORTED);
    assert_eq!(found[0].1.len(), MAX_TEXT);
    assert_eq!(world.node_state.orphans().total, 150);
    for n in 0..150 {
        world.channel(call(n), ChannelChange::Created(identity(None)));
    }
    let (calls, total) = world.node_state.foreign_calls();
    assert_eq!((calls.len(), total), (MAX_REPORTED, 150));
}

#[test]
fn foreign_calls_are_reported_until_they_end_or_get_an_app() {
    let mut world = World::with_room_and_call();
    assert!(world.foreign().is_empty());
    world.parks(call(2), None);
    world.parks(call(3), Some("gone"));
    // A call of an app, by its number or its variable, is no orphan even before it is parked.
    let mut dialled = identity(None);
    dialled.did = Some("747713009".into());
    world.channel(call(4), ChannelChange::Created(dialled));
    world.channel(call(5), ChannelChange::Created(identity(Some("demo"))));
    let found = world.foreign();
    let orphans: Vec<_> = found
        .iter()
        .map(|c| (c.call, c.app.as_ref().map(AppId::as_str)))
        .collect();
    assert_eq!(orphans, [(call(2), None), (call(3), Some("gone"))]);
    assert_eq!(found[0].caller_id, "527121101");
    assert_eq!(found[0].did, "747713001");
    assert_eq!(found[0].since, Some(Timestamp::from_millis(900)));
    assert!(found[0].inbound);
    // The dialplan sends it into a room: from then on it belongs to that room's app.
    world.enters(call(2), 1, 1, true);
    let cause = "NORMAL_CLEARING".to_owned();
    world.channel(call(3), ChannelChange::HungUp { cause });
    assert!(world.foreign().is_empty());
}
