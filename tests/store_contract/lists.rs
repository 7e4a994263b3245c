//! The merged lists of all apps.

use super::*;

/// A commit that creates an entity of an app.
fn listed_of(entity: EntityId, owner: &str, created_ms: u64) -> Commit {
    let mut commit = listed(entity, created_ms);
    if let Some(listing) = &mut commit.entities[0].listed {
        listing.app = owner.parse().unwrap();
    }
    commit
}

async fn rows(s: &Subject, kind: EntityKind, after: Option<&str>, limit: usize) -> Vec<EntityId> {
    let page = s.store.list_all(node(), kind, after, limit).await.unwrap();
    page.into_iter().map(|entry| entry.entity).collect()
}

pub async fn list_of_all_apps_is_by_time_then_id(s: Subject) {
    assert_eq!(rows(&s, EntityKind::Room, None, 9).await, []);
    for (n, owner, created) in [
        (3, "acme", 5),
        (1, "beta", 9),
        (2, "beta", 5),
        (4, "gamma", 7),
    ] {
        s.apply(&listed_of(room(n), owner, created)).await;
    }
    s.apply(&listed_of(session(6), "beta", 1)).await;
    // It belongs to no app.
    s.apply(&create(room(7))).await;
    s.apply(&listed_of(room(8), "acme", 6)).await;
    s.apply(&end(room(8), Version(1), LONG)).await;
    let rooms = rows(&s, EntityKind::Room, None, 9).await;
    assert_eq!(rooms, [room(2), room(3), room(4), room(1)]);
    assert_eq!(rows(&s, EntityKind::Call, None, 9).await, [session(6)]);
    let elsewhere = s.store.list_all(other_node(), EntityKind::Room, None, 9);
    assert_eq!(elsewhere.await.unwrap(), []);
}

pub async fn pages_of_all_apps_neither_repeat_nor_miss_entries(s: Subject) {
    const OWNERS: [&str; 3] = ["acme", "beta", "gamma"];
    for (n, owner) in (0..200).zip(OWNERS.iter().cycle()) {
        let at = 100 + u64::try_from(n / 2).unwrap();
        s.apply(&listed_of(room(n), owner, at)).await;
    }
    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = s
            .store
            .list_all(node(), EntityKind::Room, after.as_deref(), 7);
        let page = page.await.unwrap();
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { break };
        after = Some(last.position.clone());
        seen.extend(page.into_iter().map(|entry| entry.entity));
    }
    assert_eq!(seen, (0..200).map(room).collect::<Vec<_>>());
}
