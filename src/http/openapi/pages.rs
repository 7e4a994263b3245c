//! The routes of a document and of the page that shows it.
//!
//! The viewer is Scalar's API reference, one script that `viewer/update` fetches; `viewer/manifest.json` names its
//! version, licence and hash. The page loads nothing from another host, and its content security policy forbids it.

use axum::Router;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    REFERRER_POLICY, VARY,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::http::error::ApiError;

/// The page, which works below both listeners.
const PAGE: &str = include_str!("viewer/index.html");
/// The settings of the viewer.
const START: &str = include_str!("viewer/start.js");
const STYLE: &str = include_str!("viewer/style.css");
/// The viewer, compressed: it is four times as large otherwise.
const VIEWER: &[u8] = include_bytes!("viewer/scalar.js.gz");

/// Allows files and requests of this server only, and no framing. The viewer creates style elements.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; \
                      img-src 'self' data:; font-src 'self' data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The headers of the page's files. A browser asks again for each, because another version has other files.
const HEADERS: [(HeaderName, &str); 3] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-cache"),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// `GET /openapi.json` and `GET /docs` with its files.
pub(in crate::http) fn routes<S: Clone + Send + Sync + 'static>(
    document: &'static str,
) -> Router<S> {
    let json = async move || ([(CONTENT_TYPE, "application/json")], document);
    Router::new()
        .route("/openapi.json", get(json))
        .route("/docs", get(file(HTML, PAGE)))
        .route("/docs/start.js", get(file(SCRIPT, START)))
        .route("/docs/style.css", get(file(CSS, STYLE)))
        .route("/docs/viewer.js", get(viewer))
}

fn file(kind: &'static str, text: &'static str) -> (HeaderMap, &'static str) {
    let mut headers: HeaderMap = HEADERS
        .into_iter()
        .map(|(name, value)| (name, axum::http::HeaderValue::from_static(value)))
        .collect();
    headers.insert(CONTENT_TYPE, axum::http::HeaderValue::from_static(kind));
    (headers, text)
}

/// The viewer. It exists in compressed form only, which every browser accepts.
async fn viewer(headers: HeaderMap) -> Result<Response, ApiError> {
    if !accepts_gzip(&headers) {
        let why = "the viewer is only available with Content-Encoding: gzip";
        return Err(ApiError::new(StatusCode::NOT_ACCEPTABLE, why));
    }
    let own = [
        (CONTENT_TYPE, SCRIPT),
        (CONTENT_ENCODING, "gzip"),
        (VARY, "accept-encoding"),
        // The address contains the version, see `viewer/index.html`.
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((HEADERS, own, VIEWER).into_response())
}

/// Returns false if `Accept-Encoding` excludes gzip. Without the header, any encoding is accepted (RFC 9110, 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(ACCEPT_ENCODING).iter().peekable();
    if given.peek().is_none() {
        return true;
    }
    let mut any = false;
    for item in given
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let mut parts = item.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        let is_accepted = weight.is_none_or(|q| q.parse::<f32>().is_ok_and(|q| q > 0.0));
        match coding.as_str() {
            "gzip" | "x-gzip" => return is_accepted,
            "*" => any = is_accepted,
            _ => {}
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use sha2::{Digest, Sha256};

    fn accepting(values: &[&'static str]) -> bool {
        let values = values.iter().map(|value| {
            let value = HeaderValue::from_static(value);
            (ACCEPT_ENCODING, value)
        });
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(name, value);
        }
        accepts_gzip(&headers)
    }

    #[test]
    fn compressed_viewer_goes_to_clients_that_accept_it() {
        for values in [
            &[][..],
            &["gzip, deflate, br"],
            &["br", "GZIP;q=0.5"],
            &["*"],
            &["identity, *;q=0.1"],
        ] {
            assert!(accepting(values), "{values:?}");
        }
        for values in [
            &[""][..],
            &["identity"],
            &["br"],
            &["gzip;q=0"],
            &["gzip; q=0.0, *"],
            &["*;q=0"],
        ] {
            assert!(!accepting(values), "{values:?}");
        }
    }

    #[test]
    fn viewer_matches_its_manifest() {
        let manifest: serde_json::Value =
            serde_json::from_str(include_str!("viewer/manifest.json")).unwrap();
        let hash = Sha256::digest(VIEWER);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(manifest["sha256"], hash);
        assert_eq!(manifest["bytes"], VIEWER.len());
        let version = manifest["version"].as_str().unwrap();
        assert!(PAGE.contains(&format!("/docs/viewer.js?v={version}\"")));
        let licence = include_str!("viewer/LICENSE");
        assert!(licence.contains(manifest["licence"].as_str().unwrap()));
    }

    #[test]
    fn own_files_of_page_name_no_other_host() {
        for text in [PAGE, START, STYLE] {
            for outside in ["http://", "https://", "src=\"//", "@import", "url("] {
                assert!(!text.contains(outside), "{outside}");
            }
        }
    }
}
