//! A receiver of webhooks that prints them: part of the lab, and a program of its own where an app has none yet.
//!
//! Owns the check of the signature, as any receiver should make it, and the line that is printed. Leaves out what an
//! app would do with them.

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
        .route("/hook", post(received))
        .with_state(secret)
}

/// Prints each webhook until a stop signal.
///
/// # Errors
/// [`LabError::Listen`] when the address cannot be listened on.
pub async fn run(listen: SocketAddr, secret: Secret) -> Result<(), LabError> {
    let stop = stop_signal();
    let listener = TcpListener::bind(listen).await?;
    say(&format!(
        "Webhooks that come to http://{}/hook are printed here:\n\n",
        listener.local_addr()?
    ));
    axum::serve(listener, routes(secret))
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}

/// A webhook has come: verified as any receiver should, and printed.
async fn received(State(secret): State<Secret>, headers: HeaderMap, body: String) -> StatusCode {
    if let Err(why) = verify(secret, &headers, &body, clock::now().as_secs()) {
        say(&format!("  webhook with {why}, refused\n"));
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

/// One of the signatures must be ours: while a secret is replaced there are two.
fn verify(secret: Secret, headers: &HeaderMap, body: &str, now: u64) -> Result<(), &'static str> {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    };
    let at: u64 = header(sign::HEADER_TIMESTAMP).parse().unwrap_or(0);
    if at.abs_diff(now) > TOLERANCE {
        return Err("a time that is not now");
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
        Err("a wrong signature")
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
    fn what_is_signed_is_taken_and_nothing_else() {
        assert_eq!(check(NOW, "{}", |s| s), Ok(()));
        assert_eq!(check(NOW, "{}", |s| format!("v1,b3RoZXI= {s}")), Ok(()));
        assert_eq!(check(NOW, "{ }", |s| s), Err("a wrong signature"));
        assert_eq!(
            check(NOW, "{}", |_| "v1,".to_owned()),
            Err("a wrong signature")
        );
        assert_eq!(check(NOW - 301, "{}", |s| s), Err("a time that is not now"));
        assert_eq!(check(NOW + 301, "{}", |s| s), Err("a time that is not now"));
    }
}
