//! A webhook receiver that prints: part of the lab, and a separate program for an app that has no receiver yet.
//!
//! Owns the check of the signature, which every receiver should do, and the printed line.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use tokio::net::TcpListener;

use super::error::LabError;
use super::output::say;
use crate::clock;
use crate::shutdown::stop_signal;
use crate::webhook::sign::{self, Secret};
use roomkeeper_core::time::Timestamp;

/// The tolerance of a signature's time in seconds, against replayed requests.
const TOLERANCE: u64 = 300;

/// The routes: `POST /hook` for webhooks, `GET /` for health checks.
pub(super) fn routes(secret: Secret) -> Router {
    Router::new()
        .route("/", get(|| async { StatusCode::NO_CONTENT }))
        .route("/hook", post(receive))
        .with_state(secret)
}

/// Prints each webhook until a stop signal.
///
/// # Errors
/// [`LabError::Listen`] if it cannot listen on the address.
pub async fn run(listen: SocketAddr, secret: Secret) -> Result<(), LabError> {
    let stop = stop_signal();
    let listener = TcpListener::bind(listen).await?;
    say(&format!(
        "Prints the webhooks that arrive at http://{}/hook.\n\n",
        listener.local_addr()?
    ));
    axum::serve(listener, routes(secret))
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}

/// Verifies and prints a webhook.
async fn receive(State(secret): State<Secret>, headers: HeaderMap, body: String) -> StatusCode {
    if let Err(why) = verify(secret, &headers, &body, clock::now().as_secs()) {
        say(&format!("  webhook refused: {why}\n"));
        return StatusCode::UNAUTHORIZED;
    }
    let json: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    let about = match text("session_uuid") {
        session if session.is_empty() => text("room_id"),
        session => session,
    };
    let time = text("timestamp");
    let clock = time.get(11..23).unwrap_or(&time);
    say(&format!(
        "  {clock}  {:<28} {about}  {}\n",
        text("event"),
        json["data"]
    ));
    StatusCode::NO_CONTENT
}

/// Checks that one of the signatures is valid: there are two while a secret is replaced.
fn verify(secret: Secret, headers: &HeaderMap, body: &str, now: u64) -> Result<(), &'static str> {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    };
    let at: u64 = header(sign::HEADER_TIMESTAMP).parse().unwrap_or(0);
    if at.abs_diff(now) > TOLERANCE {
        return Err("timestamp out of range");
    }
    let expected = sign::signatures(
        &[secret],
        header(sign::HEADER_ID),
        Timestamp::from_millis(at.saturating_mul(1000)),
        body,
    );
    let given = header(sign::HEADER_SIGNATURE);
    if given.split(' ').any(|signature| signature == expected) {
        Ok(())
    } else {
        Err("invalid signature")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NOW: u64 = 1_700_000_000;

    fn check(at: u64, body: &str, change: impl Fn(String) -> String) -> Result<(), &'static str> {
        let secret: Secret = SECRET.parse().expect("a secret");
        let signed = sign::signatures(
            std::slice::from_ref(&secret),
            "msg_1",
            Timestamp::from_millis(at * 1000),
            "{}",
        );
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (sign::HEADER_ID, "msg_1".to_owned()),
            (sign::HEADER_TIMESTAMP, at.to_string()),
            (sign::HEADER_SIGNATURE, change(signed)),
        ] {
            headers.insert(name, value.parse().expect("a header"));
        }
        verify(secret, &headers, body, NOW)
    }

    #[test]
    fn only_recent_valid_signature_is_accepted() {
        assert_eq!(check(NOW, "{}", |s| s), Ok(()));
        assert_eq!(check(NOW, "{}", |s| format!("v1,b3RoZXI= {s}")), Ok(()));
        assert_eq!(check(NOW, "{ }", |s| s), Err("invalid signature"));
        assert_eq!(
            check(NOW, "{}", |_| "v1,".to_owned()),
            Err("invalid signature")
        );
        assert_eq!(check(NOW - 301, "{}", |s| s), Err("timestamp out of range"));
        assert_eq!(check(NOW + 301, "{}", |s| s), Err("timestamp out of range"));
    }
}
