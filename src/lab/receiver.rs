//! A webhook receiver that prints: part of the lab, and a separate program for an app that has no receiver yet.
//!
//! Owns the check of the signature, which every receiver should do, and the time from which webhooks are printed.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::error::LabError;
use super::output::say;
use crate::cli::line;
use crate::clock;
use crate::shutdown::stop_signal;
use crate::webhook::sign::{self, Secret};
use roomkeeper_core::time::Timestamp;

/// The tolerance of a signature's time in seconds, against replayed requests.
const TOLERANCE: u64 = 300;

/// Prints webhooks.
#[derive(Clone, Debug)]
pub(super) struct Printer {
    colours: bool,
    progress: watch::Sender<Progress>,
}

/// The progress of a printer.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Progress {
    /// Webhooks are printed from now on.
    prints: bool,
    /// The number of `conference.member.joined` so far.
    joined: usize,
}

impl Printer {
    /// A printer that prints nothing until it is started.
    pub(super) fn silent(colours: bool) -> Self {
        Self {
            colours,
            progress: watch::Sender::new(Progress::default()),
        }
    }

    /// Prints the webhooks that arrive after this many members have joined, or after the timeout.
    pub(super) async fn start(&self, joined: usize, within: Duration) {
        let mut progress = self.progress.subscribe();
        let until = progress.wait_for(|progress| progress.joined >= joined);
        // Late webhooks are printed below the first screen. The guard in the result would block the next line.
        let _in_time = tokio::time::timeout(within, until).await.is_ok();
        self.progress.send_modify(|progress| progress.prints = true);
    }

    fn print(&self, body: &serde_json::Value) {
        self.progress.send_modify(|progress| {
            progress.joined += usize::from(body["event"] == "conference.member.joined");
        });
        if self.progress.borrow().prints {
            say(&format!("  {}", line::event(body, self.colours)));
        }
    }
}

/// The state of the routes.
#[derive(Clone)]
struct ReceiverState {
    secret: Secret,
    printer: Printer,
}

/// The routes: `POST /hook` for webhooks, `GET /` for health checks.
pub(super) fn routes(secret: Secret, printer: Printer) -> Router {
    Router::new()
        .route("/", get(|| async { StatusCode::NO_CONTENT }))
        .route("/hook", post(receive))
        .with_state(ReceiverState { secret, printer })
}

/// Prints each webhook until a stop signal.
///
/// # Errors
/// [`LabError::Listen`] if it cannot listen on the address.
pub async fn run(listen: SocketAddr, secret: Secret, colours: bool) -> Result<(), LabError> {
    let stop = stop_signal();
    let listener = TcpListener::bind(listen).await?;
    say(&format!(
        "Prints the webhooks that arrive at http://{}/hook.\n\n",
        listener.local_addr()?
    ));
    let printer = Printer::silent(colours);
    printer.start(0, Duration::ZERO).await;
    axum::serve(listener, routes(secret, printer))
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}

/// Verifies and prints a webhook.
async fn receive(
    State(state): State<ReceiverState>,
    headers: HeaderMap,
    body: String,
) -> StatusCode {
    if let Err(why) = verify(state.secret, &headers, &body, clock::now().as_secs()) {
        say(&format!("  webhook refused: {why}\n"));
        return StatusCode::UNAUTHORIZED;
    }
    let body: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    state.printer.print(&body);
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
