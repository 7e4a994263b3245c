//! The console as a person has it: the real program, a real browser, a simulated node.
//!
//! What is asserted is what is seen on the page, what FreeSWITCH then says of itself, and what the browser has to complain
//! about. What happens meanwhile is held back where a test needs it to be: nothing is hoped to be slow enough.
// All of it is a test, also what the lint cannot know to be one.
#![allow(clippy::unwrap_used)]

#[path = "../support/program/mod.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod browser;
mod foreign;
mod gate;

mod keyboard;
mod live;
mod look;
mod lost;
mod signin;
mod unit;
mod webhooks;

use serde_json::json;

use crate::browser::Browser;
use crate::program::controller::KEY;
use crate::program::poll;
use crate::program::proxy::Proxy;
use crate::program::switch::Switch;
use crate::program::world::{PASSWORD, Setup, Store, World};

/// A program, and a browser in which its app is signed in.
struct Desk {
    browser: Browser,
    world: World,
}

impl Desk {
    async fn on(setup: Setup) -> Self {
        let world = setup.start().await;
        world.controller.until_synced().await;
        Self::of(world).await
    }

    async fn memory() -> Self {
        Self::on(Setup::on(Store::Memory)).await
    }

    async fn of(world: World) -> Self {
        let browser = Browser::at(world.controller.http()).await;
        browser.sign_in(&world.app, KEY).await;
        browser.sees(".link", "Live").await;
        browser.sees("h1", "Rooms").await;
        Self { browser, world }
    }

    /// The same, with something on the way to the node that can hold its messages back.
    async fn behind_proxy() -> (Self, Proxy) {
        let switch = Switch::simulated(PASSWORD).await;
        let proxy = Proxy::start(switch.address()).await;
        let mut setup = Setup::on(Store::Memory);
        setup.by_way_of = Some(proxy.address);
        let world = setup.start_with(switch).await;
        world.controller.until_synced().await;
        // The last one for long: a snapshot would tell what is held back.
        let resyncs = "roomkeeper_reconciler_resyncs_total";
        poll::until("the late list of calls", poll::PATIENCE, async || {
            (world.controller.metric(resyncs, "").await >= 2.0).then_some(())
        })
        .await;
        (Self::of(world).await, proxy)
    }

    /// A call is parked; its session, once the page shows it.
    async fn call(&self, caller: &str) -> String {
        self.world.call(caller).await
    }

    /// A room, and the page shows it and who is in.
    async fn room(&self, name: &str) -> String {
        let room = self.world.room(name).await;
        self.browser.click_text(".room", name).await;
        self.browser.sees("h2", name).await;
        room
    }

    /// How a member's row begins in CSS.
    fn member(session: &str) -> String {
        format!(".member[data-session='{session}']")
    }

    /// Unmutes a member, past the page.
    async fn unmute(&self, session: &str) {
        let answer = self
            .world
            .command(session, "conference/unmute", &json!({}))
            .await;
        assert_eq!(answer.status, 202, "{}", answer.body);
    }

    /// The browser holds nothing against the page: no error of a script, nothing that the policy forbade.
    async fn nothing_to_complain(&self) {
        let complaints = self.browser.complaints().await;
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    /// Waits until FreeSWITCH itself has these members in the room, in any order.
    async fn until_members(&self, room: &str, expected: &[(&str, bool)]) {
        let mut expected: Vec<(String, bool)> = expected
            .iter()
            .map(|(session, speaks)| (self.world.channel(session).to_owned(), *speaks))
            .collect();
        expected.sort();
        let what = format!("FreeSWITCH has {expected:?} in {room}");
        poll::until(&what, poll::PATIENCE, async || {
            let members = self.world.switch.members(PASSWORD, room).await;
            let mut members = members.unwrap_or_default();
            members.sort();
            (members == expected).then_some(())
        })
        .await;
    }

    /// From now on [`Desk::is_marked`] says whether the page is still this one, and was not loaded again.
    async fn mark(&self) {
        self.browser.js("window.marked = true").await;
    }

    async fn is_marked(&self) -> bool {
        self.browser.js("return window.marked === true").await == true
    }

    /// Waits until the app has been told of this.
    async fn told(&self, scope: &str, event: &str) {
        poll::until(event, poll::PATIENCE, async || {
            let told = self.world.receiver.delivered(scope);
            told.iter().any(|got| got.event() == event).then_some(())
        })
        .await;
    }
}
