//! The console's files: public, with a security policy that forbids all other sources.

use axum::Router;
use axum::body::Body;
use axum::http::Request;

use crate::admin::admin;
use crate::world::*;

async fn ask(world: &World, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.send(request.body(Body::empty()).unwrap()).await
}

/// Requests a file of the admin listener, without a key.
async fn ask_admin(admin: &Router, path: &str) -> Answer {
    let request = Request::builder().uri(path).body(Body::empty());
    send(admin, request.unwrap()).await
}

/// The console files that a text refers to.
fn named(text: &str) -> Vec<String> {
    text.split(['"', '\''])
        .filter(|part| part.starts_with("/console/"))
        .map(str::to_owned)
        .collect()
}

/// The files that a script imports, by their relative paths.
fn imported<'a>(path: &'a str, text: &'a str) -> impl Iterator<Item = String> + 'a {
    let folder = path.rsplit_once('/').unwrap().0;
    let lines = text.lines().filter_map(|line| line.split_once(" from \""));
    lines.map(move |(_, import)| {
        let import = import.trim_end_matches("\";");
        match import.strip_prefix("../") {
            Some(rest) => format!("/console/{rest}"),
            None => format!("{folder}/{}", import.strip_prefix("./").unwrap()),
        }
    })
}

/// Asserts the headers of a file.
fn assert_has_policy(path: &str, file: &Answer) {
    assert_eq!(file.status, 200, "{path}");
    let policy = file.header("content-security-policy");
    for says in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(says), "{path}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{path}: {policy}");
    assert_eq!(file.header("x-content-type-options"), "nosniff");
    assert_eq!(file.header("referrer-policy"), "no-referrer");
    assert_eq!(file.header("cache-control"), "no-cache");
    if path.ends_with(".js") {
        let kind = file.header("content-type");
        assert_eq!(kind, "text/javascript; charset=utf-8", "{path}");
    }
}

/// Requests a page and all files that it loads, checks them, and returns their paths.
async fn check_page(get: impl AsyncFn(String) -> Answer) -> Vec<String> {
    let page = get("/console".to_owned()).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let mut files = named(&page.text);
    assert!(files.len() >= 4, "{files:?}");
    files.push("/console".to_owned());
    files.push("/console/".to_owned());
    let mut at = 0;
    while at < files.len() {
        let path = files[at].clone();
        let file = get(path.clone()).await;
        assert_has_policy(&path, &file);
        if path.ends_with(".js") {
            for import in imported(&path, &file.text) {
                if !files.contains(&import) {
                    files.push(import);
                }
            }
        }
        at += 1;
    }
    files
}

#[tokio::test]
async fn page_and_its_files_have_security_policy() {
    let world = World::new();
    let files = check_page(async |path| ask(&world, "GET", &path, &[]).await).await;
    assert!(files.len() > 25, "{files:?}");
    let is_operators = |file: &String| file.contains("/operator/");
    assert!(!files.iter().any(is_operators), "{files:?}");
}

#[tokio::test]
async fn page_of_admin_listener_has_security_policy_and_needs_no_key() {
    let admin = admin(&World::new(), None);
    let files = check_page(async |path| ask_admin(&admin, &path).await).await;
    for file in ["/console/operator/main.js", "/console/operator/audit.js"] {
        assert!(files.iter().any(|one| one == file), "{files:?}");
    }
    assert!(!files.iter().any(|one| one == "/console/main.js"));
    // Its data need the key.
    let nodes = ask_admin(&admin, "/admin/nodes").await;
    assert_eq!(nodes.status, 401);
}

#[tokio::test]
async fn known_etag_gives_304() {
    let world = World::new();
    let first = ask(&world, "GET", "/console/main.js", &[]).await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.len() > 10, "{tag}");
    let same = ask(
        &world,
        "GET",
        "/console/main.js",
        &[("If-None-Match", &tag)],
    )
    .await;
    assert_eq!(same.status, 304);
    assert_eq!(same.header("etag"), tag);
    assert_eq!(same.text, "");
    let other = ask(
        &world,
        "GET",
        "/console/state.js",
        &[("If-None-Match", &tag)],
    )
    .await;
    assert_eq!(other.status, 200, "another file has another tag");
}

#[tokio::test]
async fn only_get_and_head_are_allowed() {
    let world = World::new();
    let head = ask(&world, "HEAD", "/console", &[]).await;
    assert_eq!(head.status, 200);
    assert_eq!(head.text, "");
    assert!(head.header("content-length").parse::<u64>().unwrap() > 500);
    for path in [
        "/console/none.js",
        "/console/views",
        "/console/views/",
        "/console/mod.rs",
        "/console/../Cargo.toml",
        "/console/%2e%2e/Cargo.toml",
        "/console/main.js/",
    ] {
        ask(&world, "GET", path, &[]).await.fails(404);
    }
    let posted = ask(&world, "POST", "/console", &[]).await;
    posted.fails(405);
    assert_eq!(posted.header("allow"), "GET,HEAD");
}
