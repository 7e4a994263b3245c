//! The console as a user sees it: the real program, a real browser, a simulated node.
//!
//! Tests assert the visible page, FreeSWITCH's own state, and an error-free browser log. Where a test needs an
//! intermediate state, a proxy holds events back: no test depends on timing.
// The whole file is a test, but the lint does not recognize helpers as such.
#![allow(clippy::unwrap_used)]

#[path = "../support/program/mod.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod browser;
mod controls;
mod foreign;
mod gate;

mod keyboard;
mod live;
mod look;
mod lost;
mod operator;
mod room;
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

/// A controller, and a browser in which its app is signed in.
struct Console {
    browser: Browser,
    world: World,
}

impl Console {
    async fn on(setup: Setup) -> Self {
        let world = setup.start().await;
        world.controller.until_synced().await;
        Self::for_world(world).await
    }

    async fn memory() -> Self {
        Self::on(Setup::on(Store::Memory)).await
    }

    async fn for_world(world: World) -> Self {
        let browser = Browser::at(world.controller.http()).await;
        browser.sign_in(&world.app, KEY).await;
        browser.sees(".link", "Live").await;
        browser.sees("h1", "Rooms").await;
        Self { browser, world }
    }

    /// Starts a controller behind a proxy that can hold the node's messages back.
    async fn behind_proxy() -> (Self, Proxy) {
        let switch = Switch::simulated(PASSWORD).await;
        let proxy = Proxy::start(switch.address()).await;
        let mut setup = Setup::on(Store::Memory);
        setup.node_address = Some(proxy.address);
        let world = setup.start_with(switch).await;
        world.controller.until_synced().await;
        // No resync follows for a long time: a snapshot would reveal what the proxy holds back.
        let resyncs = "roomkeeper_reconciler_resyncs_total";
        poll::until("the late list of calls", poll::TIMEOUT, async || {
            (world.controller.metric(resyncs, "").await >= 2.0).then_some(())
        })
        .await;
        (Self::for_world(world).await, proxy)
    }

    /// Parks a call and returns its session.
    async fn call(&self, caller: &str) -> String {
        self.world.call(caller).await
    }

    /// Creates a room and opens it on the page.
    async fn room(&self, name: &str) -> String {
        let room = self.world.room(name).await;
        self.browser.click_text(".room", name).await;
        self.browser.sees("h2", name).await;
        room
    }

    /// The CSS selector of a member's row.
    fn member(session: &str) -> String {
        format!(".member[data-session='{session}']")
    }

    /// Unmutes a member through the API.
    async fn unmute(&self, session: &str) {
        let answer = self
            .world
            .command(session, "conference/unmute", &json!({}))
            .await;
        assert_eq!(answer.status, 202, "{}", answer.body);
    }

    /// Asserts that the browser's log has no script errors and no violations of the policy.
    async fn assert_no_browser_errors(&self) {
        let errors = self.browser.errors().await;
        assert!(errors.is_empty(), "{errors:#?}");
    }

    /// Waits until FreeSWITCH lists these members in the room, in any order.
    async fn until_members(&self, room: &str, expected: &[(&str, bool)]) {
        let mut expected: Vec<(String, bool)> = expected
            .iter()
            .map(|(session, speaks)| (self.world.channel(session).to_owned(), *speaks))
            .collect();
        expected.sort();
        let what = format!("FreeSWITCH has {expected:?} in {room}");
        poll::until(&what, poll::TIMEOUT, async || {
            let members = self.world.switch.members(PASSWORD, room).await;
            let mut members = members.unwrap_or_default();
            members.sort();
            (members == expected).then_some(())
        })
        .await;
    }

    /// Marks the page, so that [`Console::is_marked`] detects a reload.
    async fn mark(&self) {
        self.browser.js("window.marked = true").await;
    }

    async fn is_marked(&self) -> bool {
        self.browser.js("return window.marked === true").await == true
    }

    /// Waits for the delivery of a webhook.
    async fn until_delivered(&self, scope: &str, event: &str) {
        poll::until(event, poll::TIMEOUT, async || {
            let deliveries = self.world.receiver.delivered(scope);
            deliveries
                .iter()
                .any(|got| got.event() == event)
                .then_some(())
        })
        .await;
    }
}
