//! What the app's receivers were sent.

use crate::Desk;
use crate::program::poll;

#[tokio::test]
async fn what_was_sent_is_shown_with_its_attempts_and_can_be_sent_again() {
    let desk = Desk::memory().await;
    let browser = &desk.browser;
    desk.world.receiver.answer(500);
    let placed = desk
        .world
        .switch
        .place_call("527121101", crate::PASSWORD)
        .await;
    let crate::program::switch::Placed::Channel(channel) = placed else {
        panic!("it was placed on the simulated node");
    };
    let session = desk.world.session(&channel);
    let refused = desk.world.receiver.refused(&session);
    poll::until("it was refused", poll::PATIENCE, async || {
        (desk.world.receiver.refused(&session) > refused).then_some(())
    })
    .await;

    browser.click("nav a[href='#/webhooks']").await;
    browser.sees(".endpoint", &desk.world.receiver.url).await;
    browser.sees(".endpoint", "1 pending").await;
    browser.click(".endpoint").await;
    browser.sees(".delivery", "call.new").await;
    browser.sees(".delivery .mark", "Pending").await;
    browser.sees(".delivery", &session).await;
    browser.click(".delivery summary").await;
    browser.sees(".attempt-list", "answered 500").await;

    desk.world.receiver.answer(204);
    browser.sees(".delivery .mark", "Delivered").await;
    browser.sees(".endpoint", "0 pending").await;
    let before = desk.world.receiver.count();
    browser.click_text(".delivery button", "Send again").await;
    poll::until("it came again", poll::PATIENCE, async || {
        (desk.world.receiver.count() > before).then_some(())
    })
    .await;
    let all = desk.world.receiver.all();
    let ids: std::collections::BTreeSet<_> = all.iter().map(|got| got.id.clone()).collect();
    assert_eq!(ids.len(), 1, "under the same id");

    browser.click_text(".choice", "Given up").await;
    browser.sees(".deliveries", "Nothing").await;
    browser.click_text(".choice", "All").await;
    browser.sees(".delivery", "call.new").await;
    desk.nothing_to_complain().await;
}
