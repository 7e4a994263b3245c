//! A load generator: requests on a fixed number of connections, each sent when the one before is answered.
//!
//! Owns the closed loop: each connection sends its next request after each response, so the number of requests in flight
//! equals the number of connections. It runs on one thread of its own, and speaks HTTP through [`raw`], because it shares
//! the machine with the server that it measures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;

use super::report::{Figure, latencies, record};
use super::{BenchError, raw};

/// A load: requests to one server.
#[derive(Clone, Debug)]
pub struct Load {
    /// The server's address.
    pub address: SocketAddr,
    /// Complete requests, sent in turn.
    pub requests: Arc<Vec<Vec<u8>>>,
    /// The expected status of each.
    pub status: u16,
    /// The number of connections, and so of requests in flight.
    pub connections: usize,
}

/// When the load ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopCondition {
    /// After this time; requests repeat in turn.
    After(Duration),
    /// After each request was sent once.
    Once,
}

/// The result of a load.
#[derive(Clone, Debug)]
pub struct LoadResult {
    /// The number of responses.
    pub count: u64,
    /// The total duration.
    pub took: Duration,
    /// The latencies, in microseconds.
    pub latency: Histogram<u64>,
}

impl Load {
    /// Sends requests until `stop`.
    ///
    /// # Errors
    /// [`BenchError`] when a connection ends, or a response has another status.
    pub async fn run(self, stop: StopCondition) -> Result<LoadResult, BenchError> {
        let ran = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .map_err(BenchError::system("start a runtime"))?;
            runtime.block_on(self.drive(stop))
        });
        ran.await
            .map_err(|error| BenchError::Unexpected(error.to_string()))?
    }

    async fn drive(self, stop: StopCondition) -> Result<LoadResult, BenchError> {
        let failed = || BenchError::system(format!("send a request to {}", self.address));
        let connect = (0..self.connections).map(|_| raw::Http::connect(self.address));
        let connections = try_join_all(connect).await.map_err(failed())?;
        let (start, turn) = (Instant::now(), AtomicUsize::new(0));
        let next = || {
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            let continues = match stop {
                StopCondition::After(lasts) => start.elapsed() < lasts,
                StopCondition::Once => turn < self.requests.len(),
            };
            continues.then(|| &self.requests[turn % self.requests.len()])
        };
        let send_in_loop = |mut connection: raw::Http| {
            let (mut latency, next) = (latencies(), &next);
            async move {
                while let Some(request) = next() {
                    let sent_at = Instant::now();
                    let status = connection.send(request).await.map_err(failed())?;
                    if status != self.status {
                        let why = format!("status {status} instead of {}", self.status);
                        return Err(BenchError::Unexpected(why));
                    }
                    record(&mut latency, sent_at.elapsed());
                }
                Ok(latency)
            }
        };
        let all = try_join_all(connections.into_iter().map(send_in_loop)).await?;
        let took = start.elapsed();
        let latency = all.into_iter().fold(latencies(), |mut sum, one| {
            sum += &one;
            sum
        });
        Ok(LoadResult {
            count: latency.len(),
            took,
            latency,
        })
    }
}

impl LoadResult {
    /// Responses per second.
    pub fn rate(&self) -> Figure {
        Figure::rate(self.count, self.took)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::Router;
    use axum::routing::get;

    use super::*;

    async fn load(status: u16, stop: StopCondition) -> Result<LoadResult, BenchError> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/", get(async || "here"));
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
        let request = |path| raw::get(path, raw::BENCH);
        let load = Load {
            address,
            requests: Arc::new(["/", "/?a", "/?b", "/?c"].map(request).into()),
            status,
            connections: 3,
        };
        let result = load.run(stop).await;
        serving.abort();
        result
    }

    #[tokio::test]
    async fn load_ends_after_its_time_or_after_all_requests() {
        let lasts = Duration::from_millis(20);
        let result = load(200, StopCondition::After(lasts)).await.unwrap();
        assert!(result.count > 0, "{result:?}");
        assert!(result.took >= lasts);
        assert_eq!(load(200, StopCondition::Once).await.unwrap().count, 4);
    }

    #[tokio::test]
    async fn unexpected_status_is_an_error() {
        let error = load(404, StopCondition::Once).await.unwrap_err();
        assert_eq!(error.to_string(), "status 200 instead of 404");
    }
}
