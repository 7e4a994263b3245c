//! A headless Chromium, driven through WebDriver like by a user.
//!
//! Owns the processes of Chromium and chromedriver, and the user's actions and observations. The browser reaches
//! loopback only: any other request of the page fails and appears in the browser's log.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use axum::http::Method;
use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::error::CmdError;
use fantoccini::key::Key;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use url::{ParseError, Url};

use crate::program::poll;
use crate::support::process;

/// An upper bound of the Tab stops of any view.
const MAX_TABS: usize = 60;

pub struct Browser {
    pub client: Client,
    /// The page's origin.
    pub origin: String,
    chromium: Child,
    driver: Child,
    _home: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        for child in [&mut self.driver, &mut self.chromium] {
            // The process may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A Chromium extension of WebDriver.
#[derive(Debug)]
struct ChromiumCommand {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for ChromiumCommand {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        let session = session.unwrap_or_default();
        base.join(&format!("session/{session}/{}", self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

impl Browser {
    /// Starts a browser and opens the console of the controller at this port on loopback.
    pub async fn at(port: u16) -> Self {
        assert!(
            process::installed("chromium") && process::installed("chromedriver"),
            "these tests need chromium and chromedriver (chromium-driver) installed; tests/run installs them"
        );
        let home = tempfile::tempdir().unwrap();
        let profile = home.path().join("profile");
        let chromium = chromium(&home, &profile);
        let port_of_driver = process::free_port();
        let mut command = process::command("chromedriver");
        command
            .arg(format!("--port={port_of_driver}"))
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let driver = process::spawn(command);
        // `Starting` ends both processes if a later step fails.
        let debugger = poll::until("chromium listens", poll::TIMEOUT, async || {
            let text = fs::read_to_string(profile.join("DevToolsActivePort")).ok()?;
            let port: u16 = text.lines().next()?.parse().ok()?;
            Some(format!("127.0.0.1:{port}"))
        });
        let mut starting = Starting(vec![driver, chromium]);
        let capabilities = json!({
            "goog:chromeOptions": { "debuggerAddress": debugger.await },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(capabilities) = capabilities else {
            unreachable!("the capabilities are an object");
        };
        let url = format!("http://127.0.0.1:{port_of_driver}");
        let client = poll::until("chromedriver answers", poll::TIMEOUT, async || {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities.clone());
            builder.connect(&url).await.ok()
        })
        .await;
        let chromium = starting.0.pop().expect("both processes are in the list");
        let driver = starting.0.pop().expect("both processes are in the list");
        let browser = Self {
            client,
            origin: format!("http://127.0.0.1:{port}"),
            chromium,
            driver,
            _home: home,
        };
        browser.size(1280, 860).await;
        browser.open("/console").await;
        browser
    }

    pub async fn open(&self, path: &str) {
        let url = format!("{}{path}", self.origin);
        self.client.goto(&url).await.unwrap();
    }

    /// Runs a script in the page; its `return` value is the result.
    pub async fn js(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    async fn own(&self, path: &'static str, body: Value) -> Value {
        self.client
            .issue_cmd(ChromiumCommand { path, body })
            .await
            .unwrap()
    }

    async fn cdp(&self, cmd: &str, params: Value) {
        let body = json!({ "cmd": cmd, "params": params });
        self.own("goog/cdp/execute", body).await;
    }

    /// Sets the size of the viewport in CSS pixels, also smaller than a window can be.
    pub async fn size(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.cdp("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Sets the system's colour scheme: `light` or `dark`.
    pub async fn prefers(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.cdp("Emulation.setEmulatedMedia", features).await;
    }

    /// The visible texts of all elements that match the selector.
    pub async fn texts(&self, css: &str) -> Vec<String> {
        let script =
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)";
        let found = self.client.execute(script, vec![json!(css)]).await.unwrap();
        serde_json::from_value(found).unwrap()
    }

    /// Waits until one of these elements contains the text.
    pub async fn sees(&self, css: &str, text: &str) {
        let what = format!("{css} contains {text:?}");
        self.until(&what, async || {
            self.texts(css).await.iter().any(|one| one.contains(text))
        })
        .await;
    }

    /// Waits until none of these elements contains the text.
    pub async fn sees_no(&self, css: &str, text: &str) {
        let what = format!("{css} does not contain {text:?}");
        self.until(&what, async || {
            !self.texts(css).await.iter().any(|one| one.contains(text))
        })
        .await;
    }

    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        poll::until(what, poll::TIMEOUT, async || holds().await.then_some(())).await;
    }

    /// Clicks on the element once it exists.
    pub async fn click(&self, css: &str) {
        self.on(css, async |element| element.click().await).await;
    }

    /// Clicks on the element that contains the text.
    pub async fn click_text(&self, css: &str, text: &str) {
        let script = "return [...document.querySelectorAll(arguments[0])].find((one) => one.innerText.includes(arguments[1]))?.click() === undefined";
        self.sees(css, text).await;
        let done = self.client.execute(script, vec![json!(css), json!(text)]);
        assert_eq!(done.await.unwrap(), true);
    }

    /// Clears the field and types.
    pub async fn fill(&self, css: &str, text: &str) {
        self.on(css, async |element| {
            element.clear().await?;
            element.send_keys(text).await
        })
        .await;
    }

    async fn on(
        &self,
        css: &str,
        mut act: impl AsyncFnMut(fantoccini::elements::Element) -> Result<(), CmdError>,
    ) {
        let what = format!("{css} is there and can be used");
        poll::until(&what, poll::TIMEOUT, async || {
            let element = self.client.find(Locator::Css(css)).await.ok()?;
            // The element may be replaced or covered at that moment.
            act(element).await.ok()
        })
        .await;
    }

    /// Presses a key on the focused element.
    pub async fn press(&self, key: Key) {
        self.press_chars(&[char::from(key)]).await;
    }

    pub async fn press_space(&self) {
        self.press_chars(&[' ']).await;
    }

    pub async fn press_shift_tab(&self) {
        let (shift, tab) = (char::from(Key::Shift), char::from(Key::Tab));
        let actions = KeyActions::new("keyboard".to_owned())
            .then(KeyAction::Down { value: shift })
            .then(KeyAction::Down { value: tab })
            .then(KeyAction::Up { value: tab })
            .then(KeyAction::Up { value: shift });
        self.client.perform_actions(actions).await.unwrap();
    }

    /// Types into the focused element.
    pub async fn type_text(&self, text: &str) {
        self.press_chars(&text.chars().collect::<Vec<_>>()).await;
    }

    async fn press_chars(&self, keys: &[char]) {
        let mut actions = KeyActions::new("keyboard".to_owned());
        for value in keys {
            actions = actions
                .then(KeyAction::Down { value: *value })
                .then(KeyAction::Up { value: *value });
        }
        self.client.perform_actions(actions).await.unwrap();
    }

    /// Presses Tab until a matching element has the focus, and asserts that every focused element on the way shows it.
    pub async fn tab_to(&self, css: &str) {
        for _ in 0..MAX_TABS {
            self.press(Key::Tab).await;
            self.assert_focus_is_visible().await;
            if self.focused(css).await {
                return;
            }
        }
        panic!("{css} cannot be reached by Tab");
    }

    /// True if the focused element matches.
    pub async fn focused(&self, css: &str) -> bool {
        let script = "return document.activeElement?.matches(arguments[0]) ?? false";
        let found = self.client.execute(script, vec![json!(css)]);
        found.await.unwrap() == true
    }

    async fn assert_focus_is_visible(&self) {
        let seen = self
            .js("const one = document.activeElement;
                 if (one === document.body) return true;
                 const style = getComputedStyle(one);
                 return one.matches(':focus-visible') && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2")
            .await;
        assert_eq!(
            seen,
            true,
            "the focus is not visible on {}",
            self.js("return document.activeElement.outerHTML").await
        );
    }

    /// Signs in with the mouse.
    pub async fn sign_in(&self, app: &str, key: &str) {
        self.fill("#app-id", app).await;
        self.fill("#api-key", key).await;
        self.click("form [type=submit]").await;
    }

    /// The browser's log: script errors and violations of the policy.
    pub async fn errors(&self) -> Vec<String> {
        let log = self.own("se/log", json!({ "type": "browser" })).await;
        let entries = log.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .filter(|entry| entry["level"] == "SEVERE" || entry["source"] == "security")
            // The log also has failed requests.
            .filter(|entry| entry["source"] != "network")
            .map(ToString::to_string)
            .collect()
    }

    /// Saves a screenshot if `ROOMKEEPER_TEST_SCREENSHOTS` names a directory.
    pub async fn screenshot(&self, name: &str) {
        let Some(folder) = std::env::var_os("ROOMKEEPER_TEST_SCREENSHOTS") else {
            return;
        };
        let picture = self.client.screenshot().await.unwrap();
        fs::write(PathBuf::from(folder).join(format!("{name}.png")), picture).unwrap();
    }
}

/// Started processes that have no owner yet; dropping ends them.
struct Starting(Vec<Child>);

impl Drop for Starting {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn chromium(home: &tempfile::TempDir, profile: &Path) -> Child {
    let mut command = process::command("chromium");
    command
        .args([
            "--headless=new",
            "--remote-debugging-port=0",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-default-apps",
            "--disable-sync",
            "--no-first-run",
            "--no-default-browser-check",
            "--password-store=basic",
            "--force-color-profile=srgb",
            // Transitions would give intermediate colours.
            "--force-prefers-reduced-motion",
            "--hide-scrollbars",
            // This name resolves to loopback, as after DNS rebinding.
            "--host-resolver-rules=MAP evil.example 127.0.0.1 , MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
            "--proxy-server=direct://",
            "--window-size=1280,860",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .env("HOME", home.path())
        .env("XDG_CONFIG_HOME", home.path())
        .env("XDG_CACHE_HOME", home.path())
        // Files that a killed browser leaves are removed with the directory.
        .env("TMPDIR", home.path());
    // The sandbox does not work for root.
    if rustix::process::geteuid().is_root() {
        command.arg("--no-sandbox");
    }
    command
        .arg("about:blank")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    process::spawn(command)
}
