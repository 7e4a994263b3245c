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
