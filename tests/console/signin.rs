//! Sign-in, sign-out, and the places where the key is stored.

use crate::Console;
use crate::browser::Browser;
use crate::program::controller::KEY;
use crate::program::world::{Setup, Store};

/// Everything that could contain a key, except sessionStorage, which may.
const KEPT: &str = "return JSON.stringify([location.href, document.cookie, Object.entries(localStorage), history.state,
    document.documentElement.outerHTML, performance.getEntriesByType('resource').map((one) => one.name)])";

#[tokio::test]
async fn wrong_key_is_refused_and_right_key_stays_in_tab_until_sign_out() {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    let browser = Browser::at(world.controller.http()).await;

    browser.sign_in(&world.app, "not-the-key").await;
    browser.sees("[role=alert]", "the key is wrong").await;
    assert!(
        browser.focused("#api-key").await,
        "the key field has the focus"
    );
    assert_eq!(browser.js("return sessionStorage.length").await, 0);

    browser.sign_in(&world.app, "schlüssel").await;
    browser.sees("[role=alert]", "invalid characters").await;
    browser.sign_in(&world.app, KEY).await;
    browser.sees(".link", "Live").await;
    browser.sees(".app", &world.app).await;
    let kept = browser.js(KEPT).await;
    assert!(!kept.as_str().unwrap().contains(KEY), "{kept}");
    let session = browser.js("return sessionStorage.length").await;
    assert_eq!(session, 1);

    // A reloaded page is still signed in.
    browser.open("/console").await;
    browser.sees(".link", "Live").await;

    browser.click("#sign-out").await;
    browser.sees("h1", "Sign in").await;
    assert_eq!(browser.js("return sessionStorage.length").await, 0);
    let kept = browser.js(KEPT).await;
    assert!(!kept.as_str().unwrap().contains(KEY), "{kept}");
    browser.open("/console#/rooms").await;
    browser.sees("h1", "Sign in").await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test]
async fn revoked_key_ends_session() {
    let console = Console::memory().await;
    let app = &console.world.app;
    // A configured app cannot be changed at run time, so the test creates another one.
    let made = console
        .world
        .controller
        .operate(&format!("/admin/apps/{app}2"))
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    let key = made.body["api_key"].as_str().unwrap();
    console.browser.click("#sign-out").await;
    console.browser.sign_in(&format!("{app}2"), key).await;
    console.browser.sees(".link", "Live").await;

    let path = format!("/admin/apps/{app}2/disable");
    let disabled = console.world.controller.operate(&path).await;
    assert_eq!(disabled.status, 200, "{}", disabled.body);
    console
        .browser
        .sees("[role=alert]", "no longer valid")
        .await;
    assert_eq!(console.browser.js("return sessionStorage.length").await, 0);
}
