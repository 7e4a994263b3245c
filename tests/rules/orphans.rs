//! What of a node belongs to nothing, as the operator is told it.

use roomkeeper::reconciler::news::ListedConference;
use roomkeeper::store::board::{ForeignCall, LONGEST_TEXT, MOST_REPORTED, OrphanKind};

use super::*;

fn listed(name: &str, n: u128, seconds: u64) -> ListedConference {
    ListedConference {
        name: name.to_owned(),
        room: name.parse().ok(),
        conference: life(n).to_string(),
        members: 2,
        age: Duration::from_secs(seconds),
    }
}

impl World {
    fn lists(&mut self, conferences: &[ListedConference]) -> Vec<(OrphanKind, String)> {
        self.belief.conferences_listed(conferences, self.now);
        let found = &self.belief.orphans().conferences;
        found.iter().map(|c| (c.kind, c.name.clone())).collect()
    }

    fn foreign(&self) -> Vec<ForeignCall> {
        let (calls, total) = self.belief.foreign_calls();
        assert_eq!(calls.len() as u64, total);
        calls
    }
}

#[test]
fn conferences_that_are_no_room_are_told_with_the_reason() {
    let mut world = World::with_room_and_call();
    world.now = Timestamp::from_millis(100_000);
    let (ours, lost) = (room(1).to_string(), room(2).to_string());
    let spoilt = room(3).to_string();
    let elsewhere = "bbbbb-room-550e8400-e29b-41d4-a716-446655440000";
    world.belief.leave_alone(EntityId::Room(room(3)));
    let all = [
        listed("3500", 1, 5),
        listed(&ours, 2, 60),
        listed(&lost, 3, 7),
        listed(&spoilt, 4, 8),
        listed(elsewhere, 5, 9),
    ];
    let found = world.lists(&all);
    // What looks ours first; of a kind, what has been there for longest.
    assert_eq!(
        found,
        [
            (OrphanKind::Unknown, lost.clone()),
            (OrphanKind::Unreadable, spoilt.clone()),
            (OrphanKind::Foreign, elsewhere.to_owned()),
            (OrphanKind::Foreign, "3500".to_owned()),
        ]
    );
    let first = &world.belief.orphans().conferences[0];
    assert_eq!(first.since, Timestamp::from_millis(93_000));
    assert_eq!(first.conference, life(3).to_string());
    assert_eq!(first.members, 2);
    assert_eq!(world.belief.orphans().total, 4);
    // The next list is another.
    assert!(world.lists(&all[1..2]).is_empty());
    assert_eq!(world.belief.orphans().total, 0);
}

#[test]
fn the_report_is_bounded_in_number_and_length() {
    let mut world = World::new();
    let long = "n".repeat(LONGEST_TEXT + 1);
    let many: Vec<_> = (0..150).map(|n| listed(&long, n, 1)).collect();
    let found = world.lists(&many);
    assert_eq!(found.len(), MOST_REPORTED);
    assert_eq!(found[0].1.len(), LONGEST_TEXT);
    assert_eq!(world.belief.orphans().total, 150);
    for n in 0..150 {
        world.channel(call(n), ChannelChange::Created(identity(None)));
    }
    let (calls, total) = world.belief.foreign_calls();
    assert_eq!((calls.len(), total), (MOST_REPORTED, 150));
}

#[test]
fn calls_of_no_app_are_told_until_they_are_over_or_somebodys() {
    let mut world = World::with_room_and_call();
    assert!(world.foreign().is_empty());
    world.parks(call(2), None);
    world.parks(call(3), Some("gone"));
    // One that is an app's, by its number or its variable, is nobody's orphan also before it is parked.
    let mut dialled = identity(None);
    dialled.did = Some("747713009".into());
    world.channel(call(4), ChannelChange::Created(dialled));
    world.channel(call(5), ChannelChange::Created(identity(Some("demo"))));
    let found = world.foreign();
    let told: Vec<_> = found
        .iter()
        .map(|c| (c.session, c.app.as_ref().map(AppId::as_str)))
        .collect();
    assert_eq!(told, [(call(2), None), (call(3), Some("gone"))]);
    assert_eq!(found[0].caller_id, "527121101");
    assert_eq!(found[0].did, "747713001");
    assert_eq!(found[0].since, Some(Timestamp::from_millis(900)));
    assert!(found[0].inbound);
    // The dialplan brings one into a room: it is its app's from then on.
    world.enters(call(2), 1, 1, true);
    let cause = "NORMAL_CLEARING".to_owned();
    world.channel(call(3), ChannelChange::HungUp { cause });
    assert!(world.foreign().is_empty());
}
