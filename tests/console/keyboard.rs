//! Keyboard use: everything can be reached, the focus is always visible, and a dialog keeps it.

use fantoccini::key::Key;

use crate::Console;
use crate::browser::Browser;
use crate::program::controller::KEY;
use crate::program::world::{Setup, Store};

#[tokio::test]
async fn sign_in_and_mute_work_by_keyboard() {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    let browser = Browser::at(world.controller.http()).await;
    browser
        .until("the first field has the focus", async || {
            browser.focused("#app-id").await
        })
        .await;
    browser.type_text(&world.app).await;
    browser.press(Key::Tab).await;
    assert!(browser.focused("#api-key").await);
    browser.type_text(KEY).await;
    browser.press(Key::Enter).await;
    browser.sees(".link", "Live").await;
    let console = Console { browser, world };
    let browser = &console.browser;
    assert!(browser.focused("h1").await, "the opened view has the focus");

    let room = console.world.room("standup").await;
    let session = console.call("527121101").await;
    console.world.join(&session, &room).await;
    browser.sees(".room", "1 member").await;
    browser.tab_to("a.room").await;
    browser.press(Key::Enter).await;
    browser.sees("h2", "standup").await;
    browser
        .until("the room has the focus", async || {
            browser.focused("h2").await
        })
        .await;
    let row = Console::member(&session);
    browser
        .tab_to(&format!("{row} .member-buttons button"))
        .await;
    browser.press_space().await;
    browser.sees_no(&format!("{row} .mark"), "Muted").await;
    // The focus is unchanged, so that the same key undoes the command.
    assert!(
        browser
            .focused(&format!("{row} .member-buttons button"))
            .await
    );
    console.until_members(&room, &[(&session, true)]).await;
    browser.press(Key::Enter).await;
    browser.sees(&format!("{row} .mark"), "Muted").await;
    console.until_members(&room, &[(&session, false)]).await;
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn dialog_keeps_focus_and_returns_it() {
    let console = Console::memory().await;
    let browser = &console.browser;
    browser.tab_to("#new-room").await;
    browser.press(Key::Enter).await;
    browser.sees("dialog", "New room").await;
    assert!(
        browser.focused("dialog input").await,
        "the first field has the focus"
    );
    let mut seen = Vec::new();
    for _ in 0..8 {
        browser.press(Key::Tab).await;
        assert!(
            browser.focused("dialog *").await,
            "the focus left the dialog"
        );
        seen.push(
            browser
                .js("return document.activeElement.innerText || document.activeElement.tagName")
                .await,
        );
    }
    // Two fields and two buttons, then the first field again.
    assert_eq!(seen[..4], seen[4..], "{seen:?}");
    browser.press_shift_tab().await;
    assert!(browser.focused("dialog *").await);
    browser.press(Key::Escape).await;
    browser.sees_no("dialog", "New room").await;
    assert!(
        browser.focused("#new-room").await,
        "the focus is back on the button"
    );

    // Every element of the frame can be reached, and has a name.
    for place in [
        "a[href='#/calls']",
        "a[href='#/nodes']",
        "a[href='#/webhooks']",
        "#theme",
        "#sign-out",
    ] {
        browser.tab_to(place).await;
    }
    let nameless = browser
        .js("return [...document.querySelectorAll('a, button, input, select, textarea, summary')]
             .filter((one) => !(one.innerText.trim() || one.getAttribute('aria-label') || one.labels?.length))
             .map((one) => one.outerHTML)")
        .await;
    assert_eq!(nameless, serde_json::json!([]));
    browser.press(Key::Enter).await;
    browser.sees("h1", "Sign in").await;
    console.assert_no_browser_errors().await;
}
