//! The console: a page that shows rooms, calls, nodes and webhooks live, and sends commands.
//!
//! Owns the files of the page, which are compiled into the program, and their routes on both listeners. Leaves out data
//! and commands: the page is a client like any other. On the API's listener it uses the gateway API, signs in with an
//! app's key, and has that app's rights; on the admin listener it uses the admin API and its key, and shows all apps. So
//! the files are public and contain no data.
//!
//! The modules of both pages: `page.js` signs in and renders, `api.js` sends requests, `sending.js` waits for cooldowns,
//! `dom.js` updates the document, `views/` renders. An app's page (`main.js`) receives events (`stream.js`), reads after
//! gaps (`reading.js`) and reduces both to its state (`state.js`, `events.js`, `pending.js`, `activity.js`,
//! `selectors.js`: pure). `commands.js` is the table of the commands to one member, `actions.js` and `hooks.js` have the
//! other buttons. `operator/` is the operator's page, which polls. No text of a tenant becomes markup: `dom.js` creates
//! text nodes, and the content security policy forbids every other way (`require-trusted-types-for`).

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use axum::routing::get;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Only files from this server, no inline scripts or styles, no framing, and no form targets.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file of the page: its path, content type and content.
type Asset = (&'static str, &'static str, &'static str);

macro_rules! assets {
    ($($kind:ident $name:literal),* $(,)?) => {
        &[$((concat!("/console/", $name), $kind, include_str!($name))),*]
    };
}

/// The page of an app.
const PAGE: Asset = ("/console", HTML, include_str!("index.html"));

/// The page of an operator.
const OPERATOR_PAGE: Asset = ("/console", HTML, include_str!("operator.html"));

const ASSETS: &[Asset] = assets![
    CSS "style.css",
    SVG "icon.svg",
    SCRIPT "theme.js",
    SCRIPT "main.js",
    SCRIPT "page.js",
    SCRIPT "api.js",
    SCRIPT "stream.js",
    SCRIPT "reading.js",
    SCRIPT "state.js",
    SCRIPT "events.js",
    SCRIPT "activity.js",
    SCRIPT "pending.js",
    SCRIPT "notices.js",
    SCRIPT "selectors.js",
    SCRIPT "commands.js",
    SCRIPT "dom.js",
    SCRIPT "actions.js",
    SCRIPT "sending.js",
    SCRIPT "hooks.js",
    SCRIPT "views/activity.js",
    SCRIPT "views/calls.js",
    SCRIPT "views/deliveries.js",
    SCRIPT "views/dialogs.js",
    SCRIPT "views/member.js",
    SCRIPT "views/nodes.js",
    SCRIPT "views/parts.js",
    SCRIPT "views/room.js",
    SCRIPT "views/rooms.js",
    SCRIPT "views/shell.js",
    SCRIPT "views/signin.js",
    SCRIPT "views/webhooks.js",
    SCRIPT "operator/main.js",
    SCRIPT "operator/state.js",
    SCRIPT "operator/actions.js",
    SCRIPT "operator/parts.js",
    SCRIPT "operator/poller.js",
    SCRIPT "operator/reader.js",
    SCRIPT "operator/apps.js",
    SCRIPT "operator/audit.js",
    SCRIPT "operator/calls.js",
    SCRIPT "operator/filters.js",
    SCRIPT "operator/nodes.js",
    SCRIPT "operator/rooms.js",
];

/// `GET /console` on the API's listener, and the files that the page loads.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    routes_of(&PAGE)
}

/// `GET /console` on the admin listener, and the files that the page loads.
pub fn operator_routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    routes_of(&OPERATOR_PAGE)
}

fn routes_of<S: Clone + Send + Sync + 'static>(page: &Asset) -> Router<S> {
    let (_, kind, text) = *page;
    let routes = Router::new().route("/console/", serve(kind, text));
    std::iter::once(page)
        .chain(ASSETS)
        .fold(routes, |routes, (path, kind, text)| {
            routes.route(path, serve(kind, text))
        })
}

fn serve<S: Clone + Send + Sync + 'static>(
    kind: &'static str,
    text: &'static str,
) -> axum::routing::MethodRouter<S> {
    // Another version of the program has other files under the same names, so browsers revalidate each with its ETag.
    let tag = format!(
        "\"{}\"",
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(text))
    );
    get(move |headers: HeaderMap| async move { answer(&headers, kind, text, &tag) })
}

fn answer(
    headers: &HeaderMap,
    kind: &'static str,
    text: &'static str,
    tag: &str,
) -> Response<Body> {
    let known = is_known(headers, tag);
    let mut response = Response::new(if known {
        Body::empty()
    } else {
        Body::from(text)
    });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let sent: [(HeaderName, &'static str); 5] = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ];
    let given = response.headers_mut();
    for (name, value) in sent {
        given.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::from_str(tag) {
        given.insert(ETAG, tag);
    }
    response
}

/// True if the browser has this version: one of its tags matches, or it accepts any.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(tags: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for tag in tags {
            headers.append(IF_NONE_MATCH, HeaderValue::from_static(tag));
        }
        headers
    }

    #[test]
    fn version_matches_any_of_the_etags() {
        for tags in [
            &["\"a\""][..],
            &["W/\"a\""],
            &["\"b\", \"a\""],
            &["\"b\"", "W/\"c\",\"a\""],
            &["*"],
        ] {
            assert!(is_known(&asking(tags), "\"a\""), "{tags:?}");
        }
        for tags in [&[][..], &["\"b\""], &["a"], &["\"ab\""], &["W/a"]] {
            assert!(!is_known(&asking(tags), "\"a\""), "{tags:?}");
        }
    }

    #[test]
    fn all_files_of_page_are_served() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/console");
        let mut found = Vec::new();
        for prefix in ["", "views/", "operator/"] {
            for entry in std::fs::read_dir(folder.join(prefix)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let is_page = ["index.html", "operator.html"].contains(&name.as_str());
                if name.contains('.') && !name.ends_with(".rs") && !is_page {
                    found.push(format!("/console/{prefix}{name}"));
                }
            }
        }
        found.sort();
        let mut served: Vec<_> = ASSETS.iter().map(|(path, _, _)| *path).collect();
        served.sort_unstable();
        assert_eq!(found, served);
    }

    #[test]
    fn page_contacts_no_other_host_and_creates_no_markup() {
        for (path, _, text) in ASSETS.iter().chain([&PAGE, &OPERATOR_PAGE]) {
            // XML namespaces are not fetched.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for never in [
                "//cdn",
                "src=\"http",
                "href=\"http",
                "url(http",
                "@import",
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
            ] {
                // URLs of the example host are displayed text.
                let text = text
                    .replace("https://cdn.example.com", "")
                    .replace("https://app.example.com", "");
                assert!(!text.contains(never), "{path} has {never}");
            }
        }
    }
}
