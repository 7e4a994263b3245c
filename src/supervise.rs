//! Tasks that go on: a panic in one is a mistake of ours, which must cost what it was doing and no more.
//!
//! Owns what happens then (it is logged, counted, and the task is begun anew after a pause that grows while it goes on),
//! and the stages in which the program stops. Leaves out what a task keeps from one beginning to the next: whoever
//! begins it hands it in each time.
//!
//! Begun anew rather than the process ended: one node's actor that cannot get over what it is told must not take the
//! other nodes' calls along, nor those of the replicas that would get its nodes next and fail over the same.

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

/// The first pause before a task is begun anew; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(100);

/// The longest pause before a task is begun anew.
const LONGEST: Duration = Duration::from_secs(10);

/// A task that went on for so long has got over it.
const CALM: Duration = Duration::from_secs(60);

/// A part of the program that is stopped as a whole.
#[derive(Clone, Debug, Default)]
pub struct Stage {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Stage {
    /// One without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the stage is to end.
    pub const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The tasks that are waited for.
    pub const fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Begins a task of this stage.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.tasks.spawn(task)
    }

    /// Tells all tasks to end and waits until they have; `false`: some have not in this time.
    pub async fn end(&self, within: Duration) -> bool {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(within, self.tasks.wait())
            .await
            .is_ok()
    }
}

/// Runs a task until it ends by itself, again and again after each panic. `of` is what it works for, a node in most cases;
/// `state` is what it keeps from one beginning to the next.
pub async fn keep<S: Send>(
    task: &'static str,
    of: &str,
    stop: &CancellationToken,
    mut state: S,
    mut run: impl for<'a> FnMut(&'a mut S) -> BoxFuture<'a, ()> + Send,
) {
    let mut pause = FIRST;
    // It begins at zero, so that the first panic is seen to be one more.
    metrics::counter!(names::TASK_PANICS, "task" => task, "of" => of.to_owned()).increment(0);
    loop {
        let begun = Instant::now();
        let Err(panic) = AssertUnwindSafe(async { run(&mut state).await })
            .catch_unwind()
            .await
        else {
            return;
        };
        if begun.elapsed() >= CALM {
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

/// Runs something to its end; `None`: it panicked, and that was reported.
pub async fn caught<T>(task: &'static str, of: &str, work: impl Future<Output = T>) -> Option<T> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(done) => Some(done),
        Err(panic) => {
            report(task, of, panic.as_ref());
            None
        }
    }
}

fn report(task: &'static str, of: &str, panic: &(dyn Any + Send)) {
    let words = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words");
    metrics::counter!(names::TASK_PANICS, "task" => task, "of" => of.to_owned()).increment(1);
    tracing::error!(
        task,
        of,
        panic = words,
        "a task panicked and is begun anew: this is a mistake in Roomkeeper"
    );
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_begun_anew_with_what_it_is_handed() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let _local = metrics::set_default_local_recorder(&recorder);
        let (send, mut receive) = tokio::sync::mpsc::channel(8);
        for n in 0..5 {
            send.try_send(n).unwrap();
        }
        drop(send);
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let begun = Instant::now();
        let state = (&mut receive, Arc::clone(&seen));
        keep("test", "acW68", &CancellationToken::new(), state, |state| {
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
            begun.elapsed(),
            FIRST * 3,
            "one pause, and one twice as long"
        );
        let page = recorder.handle().render();
        let counted = "roomkeeper_task_panics_total{task=\"test\",of=\"acW68\"} 2";
        assert!(page.contains(counted), "{page}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_goes_on_panicking_is_begun_seldom_and_not_after_the_stop() {
        let stop = CancellationToken::new();
        let times = Arc::new(AtomicU32::new(0));
        let (count, ends) = (Arc::clone(&times), stop.clone());
        let kept = tokio::spawn(async move {
            keep("test", "acW68", &ends, count, |count| {
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
    async fn a_stage_waits_for_its_tasks_but_not_for_ever() {
        let stage = Stage::new();
        let stop = stage.stop().clone();
        let task = stage.spawn(async move { stop.cancelled().await });
        assert!(stage.end(Duration::from_secs(1)).await);
        task.await.unwrap();
        let stage = Stage::new();
        stage.spawn(std::future::pending::<()>());
        assert!(!stage.end(Duration::from_secs(1)).await);
    }
}
