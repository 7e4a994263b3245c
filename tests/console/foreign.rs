//! Attacks through the operator's browser: a page of another site, and DNS rebinding to this machine.

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;

use crate::browser::Browser;
use crate::program::world::{Setup, Store, World};

/// Calls the admin listener in every way that a page can, and returns the results.
const ATTACK: &str = r#"
    const [admin, node, done] = arguments;
    const send = async (path, options) => {
        try {
            const answer = await fetch(admin + path, options);
            return { type: answer.type, status: answer.status, text: await answer.text() };
        } catch (error) {
            return { error: String(error) };
        }
    };
    (async () => {
        const blob = new Blob([JSON.stringify({ dids: [] })]);
        const found = [];
        for (const mode of ["cors", "no-cors"]) {
            found.push(await send("/admin/apps/evil-" + mode, { method: "POST", mode }));
            found.push(await send("/admin/apps/blob-" + mode, { method: "POST", mode, body: blob }));
            found.push(await send("/admin/nodes/" + node + "/drain", { method: "POST", mode }));
            found.push(await send("/admin/apps", { mode }));
            found.push(await send("/metrics", { mode }));
        }
        done(found);
    })();
"#;

/// Serves another site on loopback and returns its port.
async fn site() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let page = get(async || Html("<!doctype html><title>evil</title>"));
    let routes = Router::new().route("/", page);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    port
}

async fn attack(browser: &Browser, page: &str, admin: &str, world: &World) -> String {
    browser.client.goto(page).await.unwrap();
    let found = browser
        .client
        .execute_async(ATTACK, vec![json!(admin), json!(world.node)])
        .await
        .unwrap();
    found.to_string()
}

/// Asserts that nothing was created, drained or read.
async fn assert_attack_failed(world: &World, found: &str) {
    for secret in ["api_key", "roomkeeper_", "customer_id"] {
        assert!(!found.contains(secret), "the page read {secret}: {found}");
    }
    let apps = world.controller.operator("/admin/apps").await.unwrap();
    for made in ["evil-", "blob-"] {
        assert!(
            !apps.body.to_string().contains(made),
            "an app was created: {}, by {found}",
            apps.body
        );
    }
    let nodes = world.controller.operator("/admin/nodes").await.unwrap();
    assert_eq!(nodes.body["nodes"][0]["draining"], false, "{found}");
}

async fn world() -> World {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn page_of_another_origin_cannot_use_the_admin_listener() {
    let world = world().await;
    let [http, port] = world.controller.ports();
    let browser = Browser::at(http).await;
    let page = format!("http://localhost:{}/", site().await);
    for admin in [
        format!("http://127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
    ] {
        let found = attack(&browser, &page, &admin, &world).await;
        assert_attack_failed(&world, &found).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn page_under_a_rebound_name_cannot_use_the_listeners() {
    let world = world().await;
    let [http, port] = world.controller.ports();
    let browser = Browser::at(http).await;
    // The name resolves to loopback by now, so this page has the listener's own origin.
    let origin = format!("http://evil.example:{port}");
    let found = attack(&browser, &format!("{origin}/healthz"), &origin, &world).await;
    assert_attack_failed(&world, &found).await;
    assert!(found.contains("421"), "the listener was reached: {found}");
    let pages = format!("http://evil.example:{http}/console");
    browser.client.goto(&pages).await.unwrap();
    let text = browser.js("return document.body.innerText").await;
    assert!(
        text.as_str().unwrap_or_default().contains("success"),
        "the console was shown: {text}"
    );
}
