//! The console's files: public, with a security policy that forbids all other sources.

use axum::body::Body;
use axum::http::Request;

use crate::world::*;

async fn ask(world: &World, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.send(request.body(Body::empty()).unwrap()).await
}

/// The console files that a text refers to.
fn named(text: &str) -> Vec<String> {
    text.split(['"', '\''])
        .filter(|part| part.starts_with("/console/"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn page_and_its_files_have_security_policy() {
    let world = World::new();
    let page = ask(&world, "GET", "/console", &[]).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let mut files = named(&page.text);
    assert!(files.len() >= 4, "{files:?}");
    files.push("/console".to_owned());
    files.push("/console/".to_owned());
    let mut at = 0;
    while at < files.len() {
        let path = files[at].clone();
        let file = ask(&world, "GET", &path, &[]).await;
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
            assert_eq!(
                file.header("content-type"),
                "text/javascript; charset=utf-8"
            );
            // Imports are relative paths.
            let folder = path.rsplit_once('/').unwrap().0;
            for import in file
                .text
                .lines()
                .filter_map(|line| line.split_once(" from \""))
            {
                let import = import.1.trim_end_matches("\";");
                let import = match import.strip_prefix("../") {
                    Some(rest) => format!("/console/{rest}"),
                    None => format!("{folder}/{}", import.strip_prefix("./").unwrap()),
                };
                if !files.contains(&import) {
                    files.push(import);
                }
            }
        }
        at += 1;
    }
    assert!(files.len() > 15, "{files:?}");
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
