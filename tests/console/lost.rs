//! A connection that is lost is seen, and mends itself with all that happened meanwhile.

use crate::Desk;
use crate::browser::Browser;
use crate::gate::Gate;
use crate::program::controller::KEY;
use crate::program::poll;
use crate::program::world::{Setup, Store};

#[tokio::test]
async fn what_happened_while_the_way_was_cut_is_there_afterwards() {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    let gate = Gate::to(world.controller.http()).await;
    let browser = Browser::at(gate.port).await;
    browser.sign_in(&world.app, KEY).await;
    browser.sees(".link", "Live").await;
    let desk = Desk { browser, world };
    let browser = &desk.browser;
    let room = desk.room("standup").await;
    let stays = desk.call("527121101").await;
    let leaves = desk.call("527121102").await;
    for session in [&stays, &leaves] {
        desk.world.join(session, &room).await;
        browser.sees(&Desk::member(session), "Muted").await;
    }
    desk.mark().await;

    gate.shut();
    browser.sees(".banner", "Connection lost").await;
    browser.sees(".link", "Offline").await;
    // It says for how long, and goes on counting.
    let since = browser.texts(".banner .since").await;
    assert!(since[0].trim_end().ends_with("s ago."), "{since:?}");
    browser
        .until("the time goes on", async || {
            browser.texts(".banner .since").await != since
        })
        .await;
    // What is pressed now is not done, and that is said.
    browser
        .click(&format!("{} button", Desk::member(&stays)))
        .await;
    browser
        .sees(".notice", "Roomkeeper cannot be reached")
        .await;

    let comes = desk.call("527121103").await;
    desk.world.join(&comes, &room).await;
    desk.unmute(&stays).await;
    desk.until_members(&room, &[(&stays, true), (&leaves, false), (&comes, false)])
        .await;
    assert!(
        desk.world
            .switch
            .sim()
            .hang_up(desk.world.channel(&leaves), "NORMAL_CLEARING")
    );
    desk.told(&leaves, "call.hangup").await;
    assert!(browser.texts(&Desk::member(&comes)).await.is_empty());

    gate.open();
    browser.sees(&Desk::member(&comes), "527121103").await;
    browser.sees_no(&Desk::member(&stays), "Muted").await;
    browser.sees_no(".member", "527121102").await;
    browser.sees(".room", "2 members").await;
    browser.sees(".link", "Live").await;
    assert!(browser.texts(".banner").await.is_empty());
    assert!(desk.is_marked().await, "the page was loaded again");
    desk.nothing_to_complain().await;
}

#[tokio::test]
async fn a_controller_that_was_killed_is_found_again() {
    let mut desk = Desk::on(Setup::impatient(Store::Redis)).await;
    let room = desk.room("standup").await;
    let leaves = desk.call("527121101").await;
    let stays = desk.call("527121102").await;
    for session in [&leaves, &stays] {
        desk.world.join(session, &room).await;
        desk.browser.sees(&Desk::member(session), "Muted").await;
    }
    desk.mark().await;

    desk.world.controller.kill();
    desk.browser.sees(".banner", "Connection lost").await;
    let channel = desk.world.channel(&leaves).to_owned();
    assert!(desk.world.switch.sim().hang_up(&channel, "NORMAL_CLEARING"));
    let comes = desk
        .world
        .switch
        .place_call("527121103", crate::PASSWORD)
        .await;

    desk.world.controller.start_again();
    desk.browser.sees(".link", "Live").await;
    desk.browser.sees_no(".member", "527121101").await;
    desk.browser.sees(".room", "1 member").await;
    let comes = desk.world.placed(&comes).await;
    desk.browser.click("nav a[href='#/calls']").await;
    desk.browser
        .sees(&format!("[data-session='{comes}']"), "527121103")
        .await;
    // Commands get through again.
    desk.browser
        .click(&format!("[data-session='{comes}'] button"))
        .await;
    desk.browser.click("dialog [type=submit]").await;
    desk.browser
        .sees(&format!("[data-session='{comes}']"), "standup")
        .await;
    assert!(desk.is_marked().await, "the page was loaded again");
    desk.nothing_to_complain().await;
}

#[tokio::test]
async fn an_order_that_freeswitch_never_confirms_is_given_up_and_said() {
    let (desk, proxy) = Desk::behind_proxy().await;
    let room = desk.room("standup").await;
    let session = desk.call("527121101").await;
    desk.world.join(&session, &room).await;
    let row = Desk::member(&session);
    desk.browser.sees(&row, "Muted").await;
    let hold = proxy.hold_events(|event| event.contains("Action: unmute-member"));
    desk.browser.click(&format!("{row} button")).await;
    hold.until_held("Action: unmute-member").await;
    desk.browser
        .sees(&format!("{row} button"), "Unmuting …")
        .await;
    poll::until("it is given up", poll::REDELIVERY, async || {
        let told = desk.browser.texts(".notice").await;
        told.iter()
            .any(|one| one.contains("FreeSWITCH has not confirmed: unmute 527121101"))
            .then_some(())
    })
    .await;
    desk.browser.sees(&row, "Muted").await;
    desk.browser.sees(&format!("{row} button"), "Unmute").await;
    hold.release();
    desk.browser.sees_no(&format!("{row} .mark"), "Muted").await;
}
