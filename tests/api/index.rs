//! `GET /` on both listeners: links to everything that a listener serves.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use serde_json::Value;
use tower::ServiceExt;

use crate::admin::admin;
use crate::world::*;

async fn get(router: &Router, path: &str, accept: Option<&str>) -> Response<Body> {
    let mut request = Request::builder().uri(path);
    if let Some(accept) = accept {
        request = request.header("Accept", accept);
    }
    let request = request.body(Body::empty()).unwrap();
    router.clone().oneshot(request).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn index_links_to_paths_that_exist() {
    let world = World::new();
    let admin = admin(&world, None);
    for (router, names) in [
        (
            &world.router,
            &["api", "console", "docs", "openapi", "voipbin_api"][..],
        ),
        (
            &admin,
            &[
                "apps", "audit", "calls", "console", "docs", "healthz", "metrics", "nodes",
                "openapi", "orphans", "readyz", "rooms", "search",
            ],
        ),
    ] {
        let answer = get(router, "/", None).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/json");
        let index: Value = serde_json::from_str(&text(answer).await).unwrap();
        let mut links = index.as_object().unwrap().clone();
        assert_eq!(links.remove("name").unwrap(), "Roomkeeper");
        let version = links.remove("version").unwrap();
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
        let mut found: Vec<_> = links.keys().map(String::as_str).collect();
        found.sort_unstable();
        assert_eq!(found, names);
        for (name, path) in links {
            // The paths of the APIs are prefixes.
            if !name.ends_with("api") {
                let status = get(router, path.as_str().unwrap(), None).await.status();
                assert!(status != 404, "{name}: {status}");
            }
        }
    }
}

#[tokio::test]
async fn browser_gets_index_as_page_without_scripts() {
    let world = World::new();
    let admin = admin(&world, None);
    let accept = Some("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");
    for (router, link) in [
        (&world.router, "/console"),
        (&admin, "/console"),
        (&admin, "/readyz"),
        (&admin, "/admin/rooms"),
    ] {
        let answer = get(router, "/", accept).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert_eq!(answer.headers()["vary"], "accept");
        let page = text(answer).await;
        assert!(page.contains(&format!("<a href=\"{link}\">")), "{page}");
        assert!(!page.contains("<script"), "{page}");
    }
}
