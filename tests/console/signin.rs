//! Signing in and out, and where the key is meanwhile.

use crate::Desk;
use crate::browser::Browser;
use crate::program::controller::KEY;
use crate::program::world::{Setup, Store};

/// Everything the page could keep a key in, but for the one place where it may.
const KEPT: &str = "return JSON.stringify([location.href, document.cookie, Object.entries(localStorage), history.state,
    document.documentElement.outerHTML, performance.getEntriesByType('resource').map((one) => one.name)])";

#[tokio::test]
async fn a_wrong_key_is_refused_and_a_good_one_is_kept_in_this_tab_until_the_end() {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    let browser = Browser::at(world.controller.http()).await;

    browser.sign_in(&world.app, "not-the-key").await;
    browser.sees("[role=alert]", "the key is not its own").await;
    assert!(browser.focused("#api-key").await, "it can be typed again");
    assert_eq!(browser.js("return sessionStorage.length").await, 0);

    browser.sign_in(&world.app, "schlüssel").await;
    browser.sees("[role=alert]", "no such characters").await;
    browser.sign_in(&world.app, KEY).await;
    browser.sees(".link", "Live").await;
    browser.sees(".app", &world.app).await;
    let kept = browser.js(KEPT).await;
    assert!(!kept.as_str().unwrap().contains(KEY), "{kept}");
    let session = browser.js("return sessionStorage.length").await;
    assert_eq!(session, 1);

    // A page that is loaded anew is still signed in.
    browser.open("/console").await;
    browser.sees(".link", "Live").await;

    browser.click("#sign-out").await;
    browser.sees("h1", "Sign in").await;
    assert_eq!(browser.js("return sessionStorage.length").await, 0);
    let kept = browser.js(KEPT).await;
    assert!(!kept.as_str().unwrap().contains(KEY), "{kept}");
    browser.open("/console#/rooms").await;
    browser.sees("h1", "Sign in").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_key_that_is_taken_away_ends_the_session() {
    let desk = Desk::memory().await;
    let app = &desk.world.app;
    // The app of the configuration is not changed at run time: another one is made.
    let made = desk
        .world
        .controller
        .operate(&format!("/admin/apps/{app}2"))
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    let key = made.body["api_key"].as_str().unwrap();
    desk.browser.click("#sign-out").await;
    desk.browser.sign_in(&format!("{app}2"), key).await;
    desk.browser.sees(".link", "Live").await;

    let path = format!("/admin/apps/{app}2/disable");
    let disabled = desk.world.controller.operate(&path).await;
    assert_eq!(disabled.status, 200, "{}", disabled.body);
    desk.browser
        .sees("[role=alert]", "not accepted any more")
        .await;
    assert_eq!(desk.browser.js("return sessionStorage.length").await, 0);
}
