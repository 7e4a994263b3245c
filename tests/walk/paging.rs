//! Lists of 10,000 rooms, read page by page while rooms come and go.

use std::collections::{BTreeSet, HashMap};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::program::controller::{Answer, ApiRequest, KEY};
use crate::program::world::{Setup, Store, World};

/// Rooms that stay, and rooms that exist at first and are deleted meanwhile.
const STAY: usize = 10_000;
const GO: usize = 1_000;

/// Concurrent requests.
const AT_ONCE: usize = 32;

async fn ask(world: &World, method: &str, path: &str, body: Option<Value>) -> Answer {
    let ask = ApiRequest {
        method,
        path,
        app: Some(&world.app),
        key: Some(KEY),
        content_type: body.as_ref().map(|_| "application/json"),
        body: body.map(|body| body.to_string()),
        ..ApiRequest::default()
    };
    world.controller.exactly(ask).await.unwrap()
}

async fn create_room(world: &World, name: String) -> String {
    let body = json!({ "name": name, "node": world.node });
    let answer = ask(world, "POST", "/conferences", Some(body)).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.body["room_id"].as_str().unwrap().to_owned()
}

/// Creates both kinds of rooms, mixed: every eleventh is deleted later.
async fn rooms(world: &World) -> (Vec<String>, BTreeSet<String>) {
    let every = STAY / GO + 1;
    let all: Vec<(usize, String)> = stream::iter(0..STAY + GO)
        .map(|n| async move { (n, create_room(world, format!("room-{n}")).await) })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let (go, stay): (Vec<_>, Vec<_>) = all.into_iter().partition(|(n, _)| n % every == 0);
    assert_eq!((stay.len(), go.len()), (STAY, GO));
    let ids = |rooms: Vec<(usize, String)>| rooms.into_iter().map(|(_, id)| id);
    (ids(stay).collect(), ids(go).collect())
}

async fn delete_room(world: &World, room: &str) {
    let path = format!("/conferences/{room}");
    assert_eq!(ask(world, "DELETE", &path, None).await.status, 200);
}

/// One of the two APIs' lists of rooms.
struct List {
    path: &'static str,
    token: &'static str,
    rows: &'static str,
    next: &'static str,
    id: &'static str,
    most: usize,
}

const LISTS: [List; 2] = [
    List {
        path: "/conferences?limit=200",
        token: "cursor",
        rows: "conferences",
        next: "cursor",
        id: "room_id",
        most: 200,
    },
    List {
        path: "/v1.0/conferences?page_size=100",
        token: "page_token",
        rows: "result",
        next: "next_page_token",
        id: "id",
        most: 100,
    },
];

/// Creates and deletes rooms.
async fn churn(world: &World, what: &str, going: &mut BTreeSet<String>) -> usize {
    let mut deleted = 0;
    for n in 0..2 {
        create_room(world, format!("{what}-{n}")).await;
        // The ids are random, so the first one is anywhere in the list.
        let Some(room) = going.pop_first() else {
            continue;
        };
        delete_room(world, &room).await;
        deleted += 1;
    }
    deleted
}

/// Reads the list to its end while rooms come and go, including rooms at which a page ended; returns the number of
/// those, too.
async fn read(
    world: &World,
    list: &List,
    going: &mut BTreeSet<String>,
) -> (HashMap<String, u32>, usize) {
    let mut seen = HashMap::new();
    let mut path = list.path.to_owned();
    let (mut pages, mut deleted, mut last_ones) = (0, 0, 0);
    loop {
        let what = format!("new-{}-{pages}", list.rows);
        let (page, went) = tokio::join!(ask(world, "GET", &path, None), churn(world, &what, going));
        deleted += went;
        assert_eq!(page.status, 200, "{}", page.body);
        let rows = page.body[list.rows].as_array().unwrap();
        assert!(rows.len() <= list.most);
        for row in rows {
            let id = row[list.id].as_str().unwrap();
            let id = id.rsplit_once("-room-").map_or(id, |(_, uuid)| uuid);
            *seen.entry(id.to_owned()).or_default() += 1;
        }
        pages += 1;
        let next = page.body[list.next].as_str().unwrap();
        if next.is_empty() {
            break;
        }
        path = format!("{}&{}={next}", list.path, list.token);
        let last = rows.last().unwrap()[list.id].as_str().unwrap();
        let last = going.iter().find(|room| room.ends_with(last)).cloned();
        if let Some(last) = last {
            delete_room(world, &last).await;
            going.remove(&last);
            last_ones += 1;
        }
    }
    let least = STAY / list.most;
    assert!(
        pages > least && deleted > least,
        "{pages} pages, {deleted} deleted"
    );
    (seen, last_ones)
}

async fn check_no_duplicate_and_no_gap(store: Store) {
    let mut setup = Setup::on(store);
    setup.webhooks = false;
    let world = setup.start().await;
    world.controller.until_synced().await;
    let (staying, mut going) = rooms(&world).await;
    let mut last_ones = 0;
    for list in &LISTS {
        let (seen, last) = read(&world, list, &mut going).await;
        last_ones += last;
        let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "{}: twice: {twice:?}", list.path);
        let missed: BTreeSet<&str> = staying
            .iter()
            .map(|room| room.rsplit_once("-room-").unwrap().1)
            .filter(|id| !seen.contains_key(*id))
            .collect();
        assert!(missed.is_empty(), "{}: missed: {missed:?}", list.path);
    }
    assert!(last_ones > 0, "no page ended with a room that went");
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_10000_page_by_page_while_others_come_and_go_in_memory() {
    check_no_duplicate_and_no_gap(Store::Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_10000_page_by_page_while_others_come_and_go_on_redis() {
    check_no_duplicate_and_no_gap(Store::Redis).await;
}
