//! Restarts tasks after a panic, and groups tasks into the phases of a shutdown.
//!
//! A panic is a bug that must cost only the current work of its task. It is logged and counted, and the task restarts after
//! a pause that grows with repeated panics. The caller provides the state that a task keeps across restarts.
//!
//! The process does not end: an input that makes one node's actor panic must not end the other nodes' calls, nor those of
//! the replicas that would get its nodes next and panic over the same input.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::telemetry as names;

/// The first pause before a restart; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(100);

/// The longest pause before a restart.
const LONGEST: Duration = Duration::from_secs(10);

/// After this time without a panic, the pause is short again.
const CALM: Duration = Duration::from_secs(60);

/// A group of tasks that stop together.
#[derive(Clone, Debug, Default)]
pub struct ShutdownPhase {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl ShutdownPhase {
    /// A phase without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the tasks must end.
    pub const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The tasks of this phase.
    pub const fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Starts a task of this phase.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.tasks.spawn(task)
    }

    /// Stops all tasks and waits for their end. Returns false if some have not ended within this time.
    pub async fn end(&self, within: Duration) -> bool {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(within, self.tasks.wait())
            .await
            .is_ok()
    }
}

/// Runs a task until it ends by itself, and restarts it after each panic. `of` is the node that it works for, or another
/// label; `state` survives restarts.
pub async fn supervise<S: Send>(
    task: &'static str,
    of: &str,
    stop: &CancellationToken,
    mut state: S,
    mut run: impl for<'a> FnMut(&'a mut S) -> BoxFuture<'a, ()> + Send,
) {
    let mut pause = FIRST;
    // The counter starts at zero, so that the first panic is an increase.
    metrics::counter!(names::TASK_PANICS, "task" => task, "of" => of.to_owned()).increment(0);
    loop {
        let start = Instant::now();
        let Err(panic) = AssertUnwindSafe(async { run(&mut state).await })
            .catch_unwind()
            .await
        else {
            return;
        };
        if start.elapsed() >= CALM {
            pause = FIRST;
        }
        report(task, of, panic.as_ref());
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST);
    }
}

/// Runs a future to its end. Returns `None` after a panic, which it reports.
pub async fn catch_panic<T>(
    task: &'static str,
    of: &str,
    work: impl Future<Output = T>,
) -> Option<T> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(done) => Some(done),
        Err(panic) => {
            report(task, of, panic.as_ref());
            None
        }
    }
}

fn report(task: &'static str, of: &str, panic: &(dyn Any + Send)) {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message");
    metrics::counter!(names::TASK_PANICS, "task" => task, "of" => of.to_owned()).increment(1);
    tracing::error!(
        task,
        of,
        panic = message,
        "a task panicked and restarts: this is a bug in Roomkeeper"
    );
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn panicked_task_restarts_with_its_state() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let _local = metrics::set_default_local_recorder(&recorder);
        let (send, mut receive) = tokio::sync::mpsc::channel(8);
        for n in 0..5 {
            send.try_send(n).unwrap();
        }
        drop(send);
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let start = Instant::now();
        let state = (&mut receive, Arc::clone(&seen));
        supervise("test", "acW68", &CancellationToken::new(), state, |state| {
            Box::pin(async move {
                while let Some(n) = state.0.recv().await {
                    state.1.lock().unwrap().push(n);
                    assert!(n % 2 == 0, "an odd number");
                }
            })
        })
        .await;
        let seen = seen.lock().unwrap().clone();
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        assert_eq!(
            start.elapsed(),
            FIRST * 3,
            "one pause, and one twice as long"
        );
        let page = recorder.handle().render();
        let counted = "roomkeeper_task_panics_total{task=\"test\",of=\"acW68\"} 2";
        assert!(page.contains(counted), "{page}");
    }

    #[tokio::test(start_paused = true)]
    async fn repeated_panics_restart_rarely_and_never_after_stop() {
        let stop = CancellationToken::new();
        let times = Arc::new(AtomicU32::new(0));
        let (count, ends) = (Arc::clone(&times), stop.clone());
        let kept = tokio::spawn(async move {
            supervise("test", "acW68", &ends, count, |count| {
                count.fetch_add(1, Ordering::Relaxed);
                Box::pin(async { panic!("{}", "again") })
            })
            .await;
        });
        tokio::time::sleep(Duration::from_secs(60)).await;
        let so_far = times.load(Ordering::Relaxed);
        assert!((10..=14).contains(&so_far), "{so_far}");
        stop.cancel();
        kept.await.unwrap();
        assert_eq!(times.load(Ordering::Relaxed), so_far);
    }

    #[tokio::test(start_paused = true)]
    async fn phase_waits_for_its_tasks_within_time_limit() {
        let phase = ShutdownPhase::new();
        let stop = phase.stop().clone();
        let task = phase.spawn(async move { stop.cancelled().await });
        assert!(phase.end(Duration::from_secs(1)).await);
        task.await.unwrap();
        let phase = ShutdownPhase::new();
        phase.spawn(std::future::pending::<()>());
        assert!(!phase.end(Duration::from_secs(1)).await);
    }
}
