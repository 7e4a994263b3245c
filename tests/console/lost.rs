//! A lost connection is shown; after reconnecting the page has caught up.

use crate::Console;
use crate::browser::Browser;
use crate::gate::Gate;
use crate::program::controller::KEY;
use crate::program::poll;
use crate::program::world::{Setup, Store};

#[tokio::test]
async fn page_catches_up_after_lost_connection() {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    let gate = Gate::to(world.controller.http()).await;
    let browser = Browser::at(gate.port).await;
    browser.sign_in(&world.app, KEY).await;
    browser.sees(".link", "Live").await;
    let console = Console { browser, world };
    let browser = &console.browser;
    let room = console.room("standup").await;
    let stays = console.call("527121101").await;
    let leaves = console.call("527121102").await;
    for session in [&stays, &leaves] {
        console.world.join(session, &room).await;
        browser.sees(&Console::member(session), "Muted").await;
    }
    console.mark().await;

    gate.shut();
    browser.sees(".banner", "Connection lost").await;
    browser.sees(".link", "Offline").await;
    // The banner shows a running time.
    let since = browser.texts(".banner .since").await;
    assert!(since[0].trim_end().ends_with("s ago."), "{since:?}");
    browser
        .until("the shown time changes", async || {
            browser.texts(".banner .since").await != since
        })
        .await;
    // A command fails with a notice.
    browser
        .click(&format!(
            "{} .member-buttons button",
            Console::member(&stays)
        ))
        .await;
    browser
        .sees(".notice", "Roomkeeper cannot be reached")
        .await;

    let comes = console.call("527121103").await;
    console.world.join(&comes, &room).await;
    console.unmute(&stays).await;
    console
        .until_members(&room, &[(&stays, true), (&leaves, false), (&comes, false)])
        .await;
    assert!(
        console
            .world
            .switch
            .sim()
            .hang_up(console.world.channel(&leaves), "NORMAL_CLEARING")
    );
    console.until_delivered(&leaves, "call.hangup").await;
    assert!(browser.texts(&Console::member(&comes)).await.is_empty());

    gate.open();
    browser.sees(&Console::member(&comes), "527121103").await;
    browser.sees_no(&Console::member(&stays), "Muted").await;
    browser.sees_no(".member", "527121102").await;
    browser.sees(".room", "2 members").await;
    browser.sees(".link", "Live").await;
    assert!(browser.texts(".banner").await.is_empty());
    assert!(console.is_marked().await, "the page was loaded again");
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn page_reconnects_to_restarted_controller() {
    let mut console = Console::on(Setup::with_short_timeouts(Store::Redis)).await;
    let room = console.room("standup").await;
    let leaves = console.call("527121101").await;
    let stays = console.call("527121102").await;
    for session in [&leaves, &stays] {
        console.world.join(session, &room).await;
        console
            .browser
            .sees(&Console::member(session), "Muted")
            .await;
    }
    console.mark().await;

    console.world.controller.kill();
    console.browser.sees(".banner", "Connection lost").await;
    let channel = console.world.channel(&leaves).to_owned();
    assert!(
        console
            .world
            .switch
            .sim()
            .hang_up(&channel, "NORMAL_CLEARING")
    );
    let comes = console
        .world
        .switch
        .place_call("527121103", crate::PASSWORD)
        .await;

    console.world.controller.start_again();
    console.browser.sees(".link", "Live").await;
    console.browser.sees_no(".member", "527121101").await;
    console.browser.sees(".room", "1 member").await;
    let comes = console.world.placed_call_id(&comes).await;
    console.browser.click("nav a[href='#/calls']").await;
    console
        .browser
        .sees(&format!("[data-session='{comes}']"), "527121103")
        .await;
    // Commands work again.
    console
        .browser
        .click(&format!("[data-session='{comes}'] .row-buttons button"))
        .await;
    console.browser.click("dialog [type=submit]").await;
    console
        .browser
        .sees(&format!("[data-session='{comes}']"), "standup")
        .await;
    assert!(console.is_marked().await, "the page was loaded again");
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn unconfirmed_command_times_out_with_notice() {
    let (console, proxy) = Console::behind_proxy().await;
    let room = console.room("standup").await;
    let session = console.call("527121101").await;
    console.world.join(&session, &room).await;
    let row = Console::member(&session);
    console.browser.sees(&row, "Muted").await;
    let hold = proxy.hold_events(|event| event.contains("Action: unmute-member"));
    console
        .browser
        .click(&format!("{row} .member-buttons button"))
        .await;
    hold.until_held("Action: unmute-member").await;
    console
        .browser
        .sees(&format!("{row} button"), "Unmuting …")
        .await;
    poll::until("the command times out", poll::REDELIVERY, async || {
        let notices = console.browser.texts(".notice").await;
        notices
            .iter()
            .any(|one| one.contains("FreeSWITCH has not confirmed: unmute 527121101"))
            .then_some(())
    })
    .await;
    console.browser.sees(&row, "Muted").await;
    console
        .browser
        .sees(&format!("{row} button"), "Unmute")
        .await;
    hold.release();
    console
        .browser
        .sees_no(&format!("{row} .mark"), "Muted")
        .await;
}
