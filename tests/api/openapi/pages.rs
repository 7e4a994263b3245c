//! The document and the page that shows it, on both listeners.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use roomkeeper::http::{admin_document, document};
use tower::ServiceExt;

use crate::admin::admin;
use crate::world::*;

async fn get(router: &Router, path: &str, encoding: Option<&str>) -> Answer {
    let mut request = Request::builder().uri(path);
    if let Some(encoding) = encoding {
        request = request.header("accept-encoding", encoding);
    }
    send(router, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn document_and_page_need_no_key() {
    let world = World::new();
    for (router, document) in [
        (world.router.clone(), document().unwrap()),
        (admin(&world, Some("secret")), admin_document().unwrap()),
    ] {
        let answer = get(&router, "/openapi.json", None).await;
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.text, document);
        for (path, kind) in [
            ("/docs", "text/html"),
            ("/docs/start.js", "text/javascript"),
            ("/docs/style.css", "text/css"),
        ] {
            let page = get(&router, path, None).await;
            assert_eq!(page.status.as_u16(), 200, "{path}");
            assert!(page.header("content-type").starts_with(kind), "{path}");
            let policy = page.header("content-security-policy");
            assert!(policy.starts_with("default-src 'none'"), "{policy}");
            for outside in ["http:", "https:", "*", "unsafe-eval"] {
                assert!(!policy.contains(outside), "{policy}");
            }
            let scripts = policy.split("script-src ").nth(1).unwrap();
            assert!(scripts.starts_with("'self';"), "{policy}");
        }
    }
}

#[tokio::test]
async fn viewer_is_sent_compressed_and_cached() {
    let world = World::new();
    let request = Request::builder()
        .uri("/docs/viewer.js")
        .header("accept-encoding", "gzip, deflate");
    let request = request.body(Body::empty()).unwrap();
    // Its bytes are no text.
    let answer = world.router.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    for (name, value) in [
        ("content-encoding", "gzip"),
        ("vary", "accept-encoding"),
        ("content-type", "text/javascript; charset=utf-8"),
        ("cache-control", "public, max-age=31536000, immutable"),
    ] {
        assert_eq!(answer.headers()[name], value);
        assert_eq!(answer.headers().get_all(name).iter().count(), 1, "{name}");
    }
    let refused = get(&world.router, "/docs/viewer.js", Some("identity")).await;
    refused.fails(406);
}
