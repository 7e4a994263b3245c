//! Webhook endpoints and deliveries.

use crate::Console;
use crate::program::poll;

#[tokio::test]
async fn deliveries_are_shown_with_attempts_and_can_be_sent_again() {
    let console = Console::memory().await;
    let browser = &console.browser;
    console.world.receiver.answer(500);
    let placed = console
        .world
        .switch
        .place_call("527121101", crate::PASSWORD)
        .await;
    let crate::program::switch::PlacedCall::Channel(channel) = placed else {
        panic!("the call is not on the simulated node");
    };
    let session = console.world.call_id(&channel);
    let refused = console.world.receiver.refused(&session);
    poll::until(
        "the receiver has refused the delivery",
        poll::TIMEOUT,
        async || (console.world.receiver.refused(&session) > refused).then_some(()),
    )
    .await;

    browser.click("nav a[href='#/webhooks']").await;
    browser.sees(".endpoint", &console.world.receiver.url).await;
    browser.sees(".endpoint", "1 pending").await;
    browser.click(".endpoint").await;
    browser.sees(".delivery", "call.new").await;
    browser.sees(".delivery .mark", "Pending").await;
    browser.sees(".delivery", &session).await;
    browser.click(".delivery summary").await;
    browser.sees(".attempt-list", "answered 500").await;
    // The body is read when the delivery is opened.
    browser
        .sees(".delivery pre", "\"event\": \"call.new\"")
        .await;
    browser
        .sees(".delivery pre", "\"caller_id\": \"527121101\"")
        .await;

    console.world.receiver.answer(204);
    browser.sees(".delivery .mark", "Delivered").await;
    browser.sees(".endpoint", "0 pending").await;
    let before = console.world.receiver.count();
    browser.click_text(".delivery button", "Send again").await;
    poll::until("the delivery was sent again", poll::TIMEOUT, async || {
        (console.world.receiver.count() > before).then_some(())
    })
    .await;
    let all = console.world.receiver.all();
    let ids: std::collections::BTreeSet<_> = all.iter().map(|got| got.id.clone()).collect();
    assert_eq!(ids.len(), 1, "the same webhook-id");

    browser.click_text(".choice", "Dead").await;
    browser.sees(".deliveries", "No deliveries").await;
    browser.click_text(".choice", "All").await;
    browser.sees(".delivery", "call.new").await;
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn endpoint_is_added_tested_disabled_and_its_secret_rotated() {
    let console = Console::memory().await;
    let browser = &console.browser;
    browser.click("nav a[href='#/webhooks']").await;
    browser.click("#add-hook").await;
    browser.fill("dialog input", "not a url").await;
    browser.click("dialog [type=submit]").await;
    browser.sees("dialog [role=alert]", "url").await;
    // Nothing listens there: the deliveries stay pending.
    let url = "http://127.0.0.1:1/hook".to_owned();
    browser.fill("dialog input", &url).await;
    browser.click("dialog [type=submit]").await;
    // The secret is shown once, and can be copied.
    browser.sees("dialog .secret", "whsec_").await;
    let secret = browser.texts("dialog .secret").await[0].trim().to_owned();
    browser
        .js("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
        .await;
    browser.click("dialog .copy").await;
    browser
        .until("the secret was copied", async || {
            browser.js("return window.copied").await == secret
        })
        .await;
    browser.click_text("dialog button", "Done").await;
    browser.sees_no("dialog", "whsec_").await;

    browser.click_text(".endpoint", &url).await;
    browser
        .click_text(".endpoint-tools button", "Send a test")
        .await;
    browser.sees(".delivery", "webhook.test").await;

    browser
        .click_text(".endpoint-tools button", "Disable")
        .await;
    browser
        .sees(".endpoint[aria-current] .mark", "Disabled: by its owner")
        .await;
    browser.click_text(".endpoint-tools button", "Enable").await;
    browser
        .sees_no(".endpoint[aria-current] .mark", "Disabled")
        .await;

    browser
        .click_text(".endpoint-tools button", "Rotate secret")
        .await;
    browser.sees("dialog", "signed with both").await;
    browser.click("dialog [type=submit]").await;
    browser.sees("dialog .secret", "whsec_").await;
    let next = browser.texts("dialog .secret").await[0].trim().to_owned();
    assert_ne!(next, secret);
    browser.click_text("dialog button", "Done").await;

    browser.click_text(".endpoint-tools button", "Change").await;
    browser
        .fill("dialog .field:nth-of-type(2) input", "call.*")
        .await;
    browser.click("dialog [type=submit]").await;
    browser.sees(".endpoint[aria-current]", "call.*").await;
    browser.click_text(".endpoint-tools button", "Remove").await;
    browser.click("dialog [type=submit]").await;
    browser.sees(".page", "The endpoint no longer exists").await;
    browser.sees_no(".endpoint", &url).await;
    // The configured endpoint can only be enabled and disabled.
    browser.click(".endpoint").await;
    browser.sees(".endpoint", "in the configuration").await;
    for label in ["Change", "Rotate", "Remove"] {
        browser.sees(".endpoint-tools [aria-disabled]", label).await;
    }
    console.assert_no_browser_errors().await;
}
