//! The phases of a shutdown, and the signal that starts it.

use std::time::Duration;

use tokio::time::Instant;

use crate::supervise::ShutdownPhase;

/// Time for requests in flight when the program stops; the whole program has 10 s.
const DRAIN: Duration = Duration::from_secs(5);

/// Time for the actors to finish their batch, send the remaining commands, and hand their nodes over.
const HAND_OVER: Duration = Duration::from_secs(3);

/// Time for the connections to the nodes, which have nothing to finish.
const HANG_UP: Duration = Duration::from_millis(500);

/// Time for all phases together; the deliveries have the rest.
const STOP: Duration = Duration::from_millis(9_500);

/// The phases in their order. Each needs the later ones until it has ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShutdownPhases {
    pub(crate) listeners: ShutdownPhase,
    pub(crate) actors: ShutdownPhase,
    pub(crate) connections: ShutdownPhase,
    /// Deliveries, and all tasks that the other phases need until they have ended.
    pub(crate) deliveries: ShutdownPhase,
}

impl ShutdownPhases {
    /// Stops the phases in order; returns whether everything ended in time.
    pub(crate) async fn stop(self) -> bool {
        let until = Instant::now() + STOP;
        let ShutdownPhases {
            listeners,
            actors,
            connections,
            deliveries,
        } = self;
        let mut all = true;
        for (phase, limit, warning) in [
            (listeners, DRAIN, "requests in flight were cut off"),
            (
                actors,
                HAND_OVER,
                "a node was not handed over in time: its lease will expire",
            ),
            (connections, HANG_UP, "a connection to a node did not end"),
            (
                deliveries,
                STOP,
                "webhook attempts did not end in time: other replicas will repeat them",
            ),
        ] {
            let within = limit.min(until.saturating_duration_since(Instant::now()));
            if !phase.end(within).await {
                tracing::warn!("{warning}");
                all = false;
            }
        }
        all
    }
}

/// Listens for SIGTERM and SIGINT from this call on. The returned future ends with the first of them. Call it before
/// announcing that the program is up. Needs a runtime.
pub fn stop_signal() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| {
        signal(kind)
            .inspect_err(|error| tracing::warn!(%error, "cannot listen for a signal: it will end the program immediately"))
            .ok()
    };
    let mut terminated = listen(SignalKind::terminate());
    let mut interrupted = listen(SignalKind::interrupt());
    async move {
        tokio::select! {
            Some(_) = receive(&mut terminated) => {}
            Some(_) = receive(&mut interrupted) => {}
            else => std::future::pending().await,
        }
    }
}

async fn receive(signal: &mut Option<tokio::signal::unix::Signal>) -> Option<()> {
    signal.as_mut()?.recv().await
}
