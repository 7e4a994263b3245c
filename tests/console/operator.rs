//! The operator's console, on the admin listener: all apps, with the admin key.

use serde_json::json;

use crate::browser::Browser;
use crate::look::{FAINT, TOO_WIDE, TOUCHING};
use crate::program::controller::{ApiRequest, KEY};
use crate::program::poll;
use crate::program::world::{PASSWORD, Setup, Store, World};

/// A second app.
const OTHER: &str = "other";

/// The key of that app.
const OTHER_KEY: &str = "other-key";

/// A browser at the admin listener's console, signed in.
struct Operator {
    browser: Browser,
    world: World,
}

impl Operator {
    async fn on(setup: Setup) -> Self {
        let world = setup.start().await;
        world.controller.until_synced().await;
        let browser = Browser::at(world.controller.ports()[1]).await;
        let key = world.controller.admin_key().unwrap();
        browser.fill("#api-key", &key).await;
        browser.click("form [type=submit]").await;
        browser.sees(".link", "Online").await;
        browser.sees("h1", "Rooms").await;
        Self { browser, world }
    }

    /// Signed in, with a second app that has a room of its own.
    async fn with_two_apps() -> Self {
        let mut setup = Setup::on(Store::Memory);
        setup.more_apps = vec![(OTHER.to_owned(), OTHER_KEY.to_owned())];
        let operator = Self::on(setup).await;
        let world = &operator.world;
        let body = json!({ "name": "review", "node": world.node });
        let ask = ApiRequest {
            method: "POST",
            path: "/conferences",
            app: Some(OTHER),
            key: Some(OTHER_KEY),
            content_type: Some("application/json"),
            body: Some(body.to_string()),
            ..ApiRequest::default()
        };
        let made = world.controller.exactly(ask).await.unwrap();
        assert_eq!(made.status, 201, "{}", made.body);
        operator
    }

    async fn place(&self, place: &str) {
        self.browser
            .click(&format!("nav a[href='#/{place}']"))
            .await;
    }

    /// Chooses an option of a filter.
    async fn choose(&self, css: &str, value: &str) {
        let script = "const [field, value] = [document.querySelector(arguments[0]), arguments[1]];
            field.value = value;
            field.dispatchEvent(new Event('change', { bubbles: true }));
            return field.value;";
        let what = format!("{css} has the option {value}");
        self.browser
            .until(&what, async || {
                let done = self
                    .browser
                    .client
                    .execute(script, vec![json!(css), json!(value)]);
                done.await.unwrap() == value
            })
            .await;
    }

    /// The number of searches that the page has requested.
    async fn searches(&self) -> u64 {
        let script = "return performance.getEntriesByType('resource')
            .filter((one) => one.name.includes('/admin/search')).length";
        self.browser.js(script).await.as_u64().unwrap()
    }

    async fn assert_no_browser_errors(&self) {
        assert_eq!(self.browser.errors().await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn operator_signs_in_with_the_admin_key_alone() {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    let browser = Browser::at(world.controller.ports()[1]).await;
    browser.sees("h1", "Sign in").await;
    assert!(
        browser.focused("#api-key").await,
        "the key field has the focus"
    );
    assert!(browser.texts("#app-id").await.is_empty(), "there is no app");
    browser.fill("#api-key", KEY).await;
    browser.click("form [type=submit]").await;
    browser.sees("[role=alert]", "admin key is wrong").await;

    let key = world.controller.admin_key().unwrap();
    browser.fill("#api-key", &key).await;
    browser.click("form [type=submit]").await;
    browser.sees(".link", "Online").await;
    browser.open("/console").await;
    browser.sees(".app", "Operator").await;
    let kept = browser
        .js("return JSON.stringify([location.href, document.cookie, Object.entries(localStorage), document.documentElement.outerHTML])")
        .await;
    assert!(!kept.as_str().unwrap().contains(&key), "{kept}");
    browser.click("#sign-out").await;
    browser.sees("h1", "Sign in").await;
    assert_eq!(browser.js("return sessionStorage.length").await, 0);
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test]
async fn operator_sees_rooms_of_all_apps_and_deletes_one() {
    let operator = Operator::with_two_apps().await;
    let (browser, world) = (&operator.browser, &operator.world);
    let room = world.room("standup").await;
    let session = world.call("527121101").await;
    world.join(&session, &room).await;
    browser.sees(".all-rooms", "standup").await;
    browser.sees(".all-rooms", "review").await;
    operator.choose("#rooms-app", OTHER).await;
    browser.sees_no(".all-rooms", "standup").await;
    browser.sees(".all-rooms", "review").await;
    operator.choose("#rooms-app", "").await;

    let row = format!("[data-room='{room}']");
    browser.click(&format!("{row} a")).await;
    browser.sees("h2", "standup").await;
    browser.sees(".room-members", "527121101").await;
    browser.sees(".room-members .mark", "Muted").await;
    browser.click(".pane-head .danger").await;
    browser.sees("dialog", "1 member goes back to park").await;
    browser.click("dialog [type=submit]").await;
    browser.sees("main", "This room has ended").await;
    browser.click(".back").await;
    browser.sees(".all-rooms", "review").await;
    browser.sees_no(".all-rooms", "standup").await;
    let (state, _) = world.call_state(&session).await;
    assert_eq!(state, "parked", "the call is still up");
    operator.assert_no_browser_errors().await;
}

#[tokio::test]
async fn operator_finds_calls_by_number_and_hangs_one_up() {
    let operator = Operator::on(Setup::on(Store::Memory)).await;
    let (browser, world) = (&operator.browser, &operator.world);
    let first = world.call("527121101").await;
    let second = world.call("555902202").await;
    operator.place("calls").await;
    browser.sees(".all-calls", "527121101").await;
    browser.sees(".all-calls", "555902202").await;
    browser.fill("#calls-number", "555902202").await;
    browser.sees_no(".all-calls", "527121101").await;
    browser.sees(".all-calls", "555902202").await;
    browser.sees("main", "Found at").await;
    let searches = operator.searches().await;
    browser.click_text("[data-session] button", "Hang up").await;
    browser.sees("dialog", "Hang up 555902202?").await;
    browser.click("dialog [type=submit]").await;
    world.receiver.first(&second, "call.hangup").await;
    browser.sees("main", "No call with this number").await;
    assert_eq!(operator.searches().await, searches, "polls do not search");
    browser.click_text("main button", "Search again").await;
    browser
        .until("the page searches again", async || {
            operator.searches().await == searches + 1
        })
        .await;
    browser.fill("#calls-number", " ").await;
    browser.sees(".all-calls", "527121101").await;
    operator.choose("#calls-state", "in_room").await;
    browser.sees("main", "No calls match").await;
    operator.choose("#calls-state", "parked").await;
    let row = format!("[data-session='{first}']");
    browser.sees(&row, "Waiting").await;
    operator.assert_no_browser_errors().await;
}

#[tokio::test]
async fn operator_drains_undrains_and_resyncs_a_node() {
    let operator = Operator::on(Setup::on(Store::Memory)).await;
    let (browser, world) = (&operator.browser, &operator.world);
    operator.place("nodes").await;
    let row = format!("[data-node='{}']", world.node);
    browser.sees(&row, "Up").await;
    browser.click_text(&format!("{row} button"), "Drain").await;
    browser.sees(&format!("{row} .mark"), "Draining").await;
    browser
        .click_text(&format!("{row} button"), "Undrain")
        .await;
    browser.sees_no(&format!("{row} .mark"), "Draining").await;

    let resynced = async || {
        let nodes = world.controller.operator("/admin/nodes").await.unwrap();
        nodes.body["nodes"][0]["resynced_at"].clone()
    };
    let before = resynced().await;
    browser.click_text(&format!("{row} button"), "Resync").await;
    poll::until("the node was resynced", poll::TIMEOUT, async || {
        (resynced().await != before).then_some(())
    })
    .await;
    browser
        .until("the command is confirmed", async || {
            browser.texts(&format!("{row} .pending")).await.is_empty()
        })
        .await;
    browser.sees(".orphans", "There are none").await;

    world.switch.sim().kill();
    browser.sees(&format!("{row} .mark"), "Down").await;
    browser.sees("nav .badge", "1").await;
    operator.assert_no_browser_errors().await;
}

#[tokio::test]
async fn operator_disables_and_enables_an_app_and_reads_the_audit_log() {
    let operator = Operator::on(Setup::on(Store::Memory)).await;
    let (browser, world) = (&operator.browser, &operator.world);
    let made = world.controller.operate("/admin/apps/shop").await;
    assert_eq!(made.status, 201, "{}", made.body);
    operator.place("apps").await;
    browser.sees("[data-app=shop]", "Enabled").await;
    browser
        .click_text("[data-app=shop] button", "Disable")
        .await;
    browser.sees("dialog", "Disable shop?").await;
    browser.click("dialog [type=submit]").await;
    browser.sees("[data-app=shop]", "Disabled").await;
    browser.click_text("[data-app=shop] button", "Enable").await;
    browser.sees("[data-app=shop]", "Enabled").await;
    let configured = format!("[data-app={}] [aria-disabled]", world.app);
    browser.sees(&configured, "Disable").await;

    operator.place("audit").await;
    browser.sees("h1", "Audit log").await;
    browser.sees(".entry", "shop").await;
    let all = browser.texts(".entry").await.len();
    assert!(all >= 3, "created, disabled and enabled: {all}");
    let entries = browser.texts(".entry").await;
    assert!(
        entries.iter().any(|entry| entry.contains("disable")),
        "{entries:?}"
    );
    browser.click(".entry summary").await;
    browser.sees(".entry dl", "Request").await;
    operator.choose("#audit-app", &world.app).await;
    browser.sees("main", "No entries match").await;
    operator.assert_no_browser_errors().await;
}

#[tokio::test]
async fn operator_page_reports_a_lost_connection_and_reads_on() {
    let mut operator = Operator::on(Setup::with_short_timeouts(Store::Redis)).await;
    operator.place("nodes").await;
    operator.browser.sees(".all-nodes", "Up").await;
    operator.world.controller.kill();
    operator.browser.sees(".banner", "Connection lost").await;
    operator.browser.sees(".link", "Offline").await;
    operator.world.controller.start_again();
    operator.browser.sees(".link", "Online").await;
    operator.browser.sees(".all-nodes", "Up").await;
    assert!(operator.browser.texts(".banner").await.is_empty());
    // The text of a caller is never markup, here as on an app's page.
    let text = "<img src=x onerror=\"window.hurt=1\">";
    let placed = operator.world.switch.place_call(text, PASSWORD).await;
    operator.world.placed_call_id(&placed).await;
    operator.place("calls").await;
    operator.browser.sees(".all-calls", text).await;
    assert!(
        operator
            .browser
            .js("return window.hurt ?? null")
            .await
            .is_null()
    );
    operator.assert_no_browser_errors().await;
}

#[tokio::test]
async fn operator_views_fit_phone_and_are_legible_in_light_and_dark() {
    let operator = Operator::with_two_apps().await;
    let (browser, world) = (&operator.browser, &operator.world);
    let room = world.room("weekly-planning").await;
    for n in 0..4 {
        let session = world.call(&format!("52712110{n}")).await;
        if n > 0 {
            world.join(&session, &room).await;
        }
    }
    let drained = format!("/admin/nodes/{}/drain", world.node);
    assert_eq!(world.controller.operate(&drained).await.status, 200);
    for (width, height) in [(1440, 900), (820, 1100), (390, 844)] {
        browser.size(width, height).await;
        for scheme in ["light", "dark"] {
            browser.prefers(scheme).await;
            for (place, path, shows) in [
                ("rooms", "#/rooms".to_owned(), "review"),
                ("room", format!("#/rooms/{room}"), "527121101"),
                ("calls", "#/calls".to_owned(), "527121100"),
                ("nodes", "#/nodes".to_owned(), "Draining"),
                ("apps", "#/apps".to_owned(), OTHER),
                ("audit", "#/audit".to_owned(), "drain"),
            ] {
                browser.js(&format!("location.hash = {path:?}")).await;
                browser.sees("main", shows).await;
                let what = format!("{place} in {scheme}, {width} wide");
                let found = browser.js(FAINT).await;
                assert_eq!(found["found"], json!([]), "{what}");
                let found = browser.js(TOO_WIDE).await;
                assert_eq!(found, json!({ "wide": [], "small": [] }), "{what}");
                let found = browser.js(TOUCHING).await;
                assert!(found["looked"].as_u64() > Some(0), "{what}: {found}");
                assert_eq!(found["found"], json!([]), "{what}");
                browser
                    .screenshot(&format!("operator-{place}-{width}-{scheme}"))
                    .await;
            }
        }
    }
    // Every control has a name.
    let nameless = browser
        .js("return [...document.querySelectorAll('a, button, input, select, summary')]
             .filter((one) => !(one.innerText.trim() || one.getAttribute('aria-label') || one.labels?.length))
             .map((one) => one.outerHTML)")
        .await;
    assert_eq!(nameless, json!([]));
    operator.assert_no_browser_errors().await;
}
