//! Lists: pages, tokens, filters, and the responses without the store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use roomkeeper::store::memory::MemoryStore;
use roomkeeper_core::ids::RecordingId;
use roomkeeper_core::room::RecordInput;

use super::*;
use crate::faulty::Faulty;

const LISTS: [&str; 3] = [CONFERENCES, CALLS, RECORDINGS];

/// The id of the n-th conference, on one of the nodes.
fn nth(n: u64) -> RoomId {
    conference_id(NODES[usize::try_from(n).unwrap() % 3], u128::from(n) + 1)
}

/// Creates a conference at this second, with a call and a running recording.
async fn put(world: &World, room: RoomId, owner: &str, second: u64) {
    let mut registration = registration(owner, "n");
    registration.created_at = later(second);
    put_room(&world.store, &registered(room, registration)).await;
    // The room's number, in the bits above its node.
    let n = room.uuid().as_u128() >> 32 & 0xffff_ffff;
    let session = session_id(room.node().as_str(), n);
    world
        .apply_input(room, entered(session, true), later(second))
        .await;
    let start = RecordInput::Start {
        call: None,
        id: RecordingId::generate(room.node(), Uuid::from_u128(n << 32)),
        path: String::new(),
        command_uid: None,
        announcement: None,
        timeout: std::time::Duration::from_secs(10),
    };
    world
        .apply_input(room, RoomInput::Record(start), later(second))
        .await;
}

async fn page(world: &World, path: &str, query: &str) -> (Vec<Value>, String) {
    let page = world.get(&format!("{path}?{query}")).await.ok();
    assert_eq!(page.as_object().unwrap().len(), 2);
    let rows = page["result"].as_array().unwrap().clone();
    let token = page["next_page_token"].as_str().unwrap().to_owned();
    (rows, token)
}

/// The conference of a row.
fn conference_of(row: &Value) -> &str {
    let id = row.get("conference_id").unwrap_or(&row["id"]);
    id.as_str().unwrap()
}

#[tokio::test]
async fn lists_own_conferences_of_all_nodes_by_creation() {
    let world = World::new();
    for (n, second) in [(0, 30), (1, 10), (2, 20)] {
        put(&world, nth(n), "demo", second).await;
    }
    put(&world, nth(3), "other", 5).await;
    for list in LISTS {
        let (rows, token) = page(&world, list, "").await;
        let of: Vec<_> = rows.iter().map(conference_of).collect();
        let expected = [1, 2, 0].map(|n| nth(n).uuid().to_string());
        assert_eq!(of, expected, "{list}");
        assert_eq!(token, "");
    }
}

#[tokio::test]
async fn page_size_has_default_and_bounds() {
    let world = World::new();
    for n in 0..110 {
        put(&world, nth(n), "demo", n).await;
    }
    for list in LISTS {
        for (query, size) in [
            ("", 100),
            ("page_size=1", 1),
            ("page_size=007", 7),
            ("page_size=100", 100),
            ("page_size=101", 100),
            ("page_size=99999999999999999999999", 100),
            ("page_token=&unknown=x", 100),
        ] {
            let (rows, token) = page(&world, list, query).await;
            assert_eq!(rows.len(), size, "{list}?{query}");
            if !query.contains("page_token") {
                let query = format!("{query}&page_token={token}");
                let (next, _) = page(&world, list, &query).await;
                assert_eq!(next.len(), size.min(110 - size), "{list}?{query}");
            }
        }
        for bad in ["0", "-1", "", "ten", "1.5", "+1", "%201", "%FF", "1e2"] {
            let answer = world.get(&format!("{list}?page_size={bad}")).await;
            answer.refuses("page_size");
        }
        for twice in ["page_size=1&page_size=1", "page_token=a&page_token=a"] {
            world.get(&format!("{list}?{twice}")).await.fails(400);
        }
    }
}

#[tokio::test]
async fn full_last_page_has_no_token() {
    let world = World::new();
    for n in 0..4 {
        put(&world, nth(n), "demo", n).await;
    }
    for list in LISTS {
        let (_, token) = page(&world, list, "page_size=2").await;
        let (rows, end) = page(&world, list, &format!("page_size=2&page_token={token}")).await;
        assert_eq!((rows.len(), end.as_str()), (2, ""), "{list}");
    }
}

#[tokio::test]
async fn foreign_and_changed_tokens_give_400() {
    let world = World::new();
    let room = nth(0);
    for n in 0..3 {
        put(&world, nth(n), "demo", n).await;
    }
    world.member(room, session_id("acW68", 0x77)).await;
    let mut tokens = Vec::new();
    for list in LISTS {
        tokens.push((list.to_owned(), page(&world, list, "page_size=1").await.1));
    }
    let of_room = format!("conference_id={}", room.uuid());
    let (_, token) = page(&world, CALLS, &format!("page_size=1&{of_room}")).await;
    tokens.push((format!("{CALLS}?{of_room}"), token));
    for (from, token) in &tokens {
        assert!(!token.is_empty());
        for (list, _) in &tokens {
            let mark = if list.contains('?') { '&' } else { '?' };
            let path = format!("{list}{mark}page_token={token}");
            let answer = world.get(&path).await;
            if list == from {
                answer.ok();
                // Another app's token.
                let theirs = request(OTHER, "GET", &path, None);
                world.send(theirs).await.refuses("page_token");
            } else {
                answer.refuses("page_token");
            }
        }
        let cut = &token[..token.len() - 1];
        for bent in [
            cut,
            &format!("{token}A"),
            &format!("A{token}"),
            &token.to_lowercase(),
            "garbage",
            "%00",
            "%FF%FE",
            "2021-02-03%2009:33:58.077756",
            &"A".repeat(10_000),
        ] {
            let mark = if from.contains('?') { '&' } else { '?' };
            let answer = world.get(&format!("{from}{mark}page_token={bent}")).await;
            answer.refuses("page_token");
        }
    }
    // The gateway API's cursors belong to other lists.
    let gateway = world.get("/api/v1/conferences?limit=1").await.json();
    let cursor = gateway["cursor"].as_str().unwrap();
    let path = format!("{CONFERENCES}?page_token={cursor}");
    world.get(&path).await.refuses("page_token");
    let token = &tokens[0].1;
    let path = format!("/api/v1/conferences?cursor={token}");
    world.get(&path).await.fails(400);
}

#[tokio::test(start_paused = true)]
async fn present_rows_are_listed_once_during_changes() {
    for list in LISTS {
        let world = World::new();
        for n in 0..60 {
            put(&world, nth(n), "demo", n / 4).await;
        }
        let (mut seen, mut token, mut next) = (Vec::new(), String::new(), 100);
        loop {
            let query = format!("page_size=7&page_token={token}");
            let (rows, after) = page(&world, list, &query).await;
            seen.extend(
                rows.iter()
                    .map(|row| row["id"].as_str().unwrap().to_owned()),
            );
            token = after;
            if token.is_empty() {
                break;
            }
            // Every third one ends, before or after the token; new ones are added at the end and in between.
            let gone = nth((next * 3) % 60);
            if let Some(state) = stored_room(&world.store, gone).await {
                let deadline = later(2_000);
                world
                    .apply_input(gone, RoomInput::Delete { deadline }, later(1_000))
                    .await;
                for session in state.members().keys() {
                    world.apply_input(gone, left(*session), later(1_001)).await;
                }
                // Ended conferences are forgotten, too.
                tokio::time::advance(std::time::Duration::from_secs(3_601)).await;
            }
            if next < 140 {
                put(
                    &world,
                    nth(next),
                    "demo",
                    if next % 2 == 0 { 3 } else { next },
                )
                .await;
            }
            next += 1;
        }
        let once: BTreeSet<_> = seen.iter().cloned().collect();
        assert_eq!(once.len(), seen.len(), "{list}: a row was listed twice");
        assert!(next > 105, "the list was over before anything came or went");
        let stayed = (0..60).filter(|n| n % 3 != 0).map(nth);
        for room in stayed {
            let id = match list {
                CONFERENCES => room.uuid().to_string(),
                CALLS => {
                    let state = stored_room(&world.store, room).await.unwrap();
                    let member = state.members().values().next().unwrap().id;
                    member.to_string()
                }
                _ => {
                    let state = stored_room(&world.store, room).await.unwrap();
                    state.recordings()[0].to_string()
                }
            };
            assert!(once.contains(&id), "{list}: {room} stayed and was missed");
        }
    }
}

#[tokio::test]
async fn filter_selects_one_conference() {
    let world = World::new();
    let (mine, second) = (nth(0), nth(3));
    for room in [mine, second] {
        world.conference(room, "demo").await;
    }
    for n in 1..=5 {
        world.member(mine, session_id("acW68", n)).await;
    }
    let apart = world.member(second, session_id("acW68", 6)).await;
    let filter = format!("conference_id={}", mine.uuid());
    let (mut ids, mut token) = (Vec::new(), String::new());
    loop {
        let query = format!("{filter}&page_size=2&page_token={token}");
        let (rows, after) = page(&world, CALLS, &query).await;
        assert!(
            rows.iter()
                .all(|row| conference_of(row) == mine.uuid().to_string())
        );
        ids.extend(rows.iter().map(|row| row["id"].clone()));
        token = after;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(ids.len(), 5);
    assert!(!ids.contains(&json!(apart.uuid())));
    // In upper case, too; and for a missing conference.
    let upper = format!("conference_id={}", second.uuid().to_string().to_uppercase());
    assert_eq!(
        page(&world, CALLS, &upper).await.0[0]["id"],
        json!(apart.uuid())
    );
    for id in [
        nth(9).uuid(),
        Uuid::nil(),
        conference_id("zzzzz", 1).uuid(),
        Uuid::from_u128(1),
    ] {
        for list in [CALLS, RECORDINGS] {
            let found = page(&world, list, &format!("conference_id={id}")).await;
            assert_eq!(found, (Vec::new(), String::new()));
        }
    }
    for list in [CALLS, RECORDINGS] {
        for bad in [
            "",
            "x",
            "1",
            &mine.to_string(),
            &mine.uuid().simple().to_string(),
        ] {
            let answer = world.get(&format!("{list}?conference_id={bad}")).await;
            answer.refuses("conference_id");
        }
        let twice = format!("{list}?{filter}&{filter}");
        world.get(&twice).await.refuses("conference_id");
    }
}

#[tokio::test]
async fn foreign_conference_lists_nothing_and_no_next_page() {
    let world = World::new();
    let theirs = nth(0);
    world.conference(theirs, "other").await;
    for n in 1..=12 {
        let id = RecordingId::generate(theirs.node(), Uuid::from_u128(n << 32));
        world.member(theirs, session_id("acW68", n)).await;
        let start = RecordInput::Start {
            call: None,
            id,
            path: String::new(),
            command_uid: None,
            announcement: None,
            timeout: std::time::Duration::from_secs(10),
        };
        let stopped = RecordInput::Stopped {
            id,
            length: None,
            synthesized: false,
        };
        for input in [start, stopped] {
            world
                .apply_input(theirs, RoomInput::Record(input), later(2))
                .await;
        }
    }
    for list in [CALLS, RECORDINGS] {
        let query = format!("page_size=1&conference_id={}", theirs.uuid());
        let found = page(&world, list, &query).await;
        assert_eq!(found, (Vec::new(), String::new()), "{list}");
        let path = format!("{list}?{query}");
        let own = world.send(request(OTHER, "GET", &path, None)).await.ok();
        assert_ne!(own["next_page_token"], "");
    }
}

#[tokio::test]
async fn empty_list_has_no_token() {
    let world = World::new();
    for list in LISTS {
        let empty = json!({"result": [], "next_page_token": ""});
        world.get(list).await.is(200, empty);
    }
}

#[tokio::test]
async fn unavailable_store_gives_503_with_retry_after() {
    let store = Arc::new(MemoryStore::new());
    let faulty = Faulty::new(
        store.clone(),
        &["read", "read_head", "list_views", "read_views"],
    );
    let world = World::with_store(faulty.clone(), store, settings());
    let (room, session) = (nth(0), session_id("acW68", 1));
    world.conference(room, "demo").await;
    let member = world.member(room, session).await;
    let conference = path_of(room);
    let put = json!({"name": "n"});
    let requests = [
        ("GET", CONFERENCES.to_owned(), None),
        ("GET", conference.clone(), None),
        ("PUT", conference.clone(), Some(put)),
        ("DELETE", conference.clone(), None),
        ("POST", format!("{conference}/recording_start"), None),
        ("POST", format!("{conference}/recording_stop"), None),
        ("GET", CALLS.to_owned(), None),
        ("POST", CALLS.to_owned(), Some(joining(room, session))),
        ("GET", call_path(member), None),
        ("DELETE", call_path(member), None),
        ("GET", RECORDINGS.to_owned(), None),
        ("GET", format!("{RECORDINGS}/{}", member.uuid()), None),
    ];
    let count = requests.len() as u64;
    for (method, path, body) in requests {
        world
            .send(request(DEMO, method, &path, body))
            .await
            .fails(503);
    }
    assert!(faulty.fired.load(Ordering::Relaxed) >= count);
    assert!(world.intents().is_empty());
    // The controller cannot commit.
    faulty.broken.lock().unwrap().clear();
    let lost = roomkeeper::store::StoreError::Unavailable("unavailable for a test".into());
    world.script(Err(roomkeeper::reconciler::IntentError::Store(lost)));
    world.post(CONFERENCES, json!({})).await.fails(503);
    // The caller is unknown while the apps have never been read.
    faulty.broken.lock().unwrap().insert("read_apps");
    let unknown = request(("demo", "unknown"), "GET", CONFERENCES, None);
    world.send(unknown).await.fails(503);
    let token = axum::http::Request::builder()
        .uri(format!("{CONFERENCES}?token=unknown"))
        .body(axum::body::Body::empty())
        .unwrap();
    world.send(token).await.fails(503);
}
