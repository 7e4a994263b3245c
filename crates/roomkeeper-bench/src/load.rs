//! Requests as fast as they are answered, on so many connections.
//!
//! Owns the generator: a closed loop, each connection asks again once it is answered, so that there are always as many
//! requests under way as connections. It runs on one thread of its own, and speaks HTTP through [`raw`], because it shares
//! the machine with what it asks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;

use super::report::{Figure, latencies, record};
use super::{BenchError, raw};

/// What is asked, of whom.
#[derive(Clone, Debug)]
pub struct Load {
    /// Who is asked.
    pub address: SocketAddr,
    /// Whole requests, asked in turn.
    pub requests: Arc<Vec<Vec<u8>>>,
    /// The status that is expected of each.
    pub status: u16,
    /// How many are under way at once.
    pub connections: usize,
}

/// When it is enough.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ends {
    /// After this time; each request is asked as often as its turn comes.
    After(Duration),
    /// When each request has been asked once.
    Once,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Answered {
    /// How many were answered.
    pub count: u64,
    /// In what time.
    pub took: Duration,
    /// How long each took, in microseconds.
    pub latency: Histogram<u64>,
}

impl Load {
    /// Asks until it is enough.
    ///
    /// # Errors
    /// [`BenchError`] when a connection ends, or an answer has another status.
    pub async fn run(self, ends: Ends) -> Result<Answered, BenchError> {
        let ran = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .map_err(BenchError::system("start a runtime"))?;
            runtime.block_on(self.drive(ends))
        });
        ran.await
            .map_err(|error| BenchError::Unexpected(error.to_string()))?
    }

    async fn drive(self, ends: Ends) -> Result<Answered, BenchError> {
        let failed = || BenchError::system(format!("ask {}", self.address));
        let connect = (0..self.connections).map(|_| raw::Http::to(self.address));
        let connections = try_join_all(connect).await.map_err(failed())?;
        let (begin, turn) = (Instant::now(), AtomicUsize::new(0));
        let next = || {
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            let wanted = match ends {
                Ends::After(lasts) => begin.elapsed() < lasts,
                Ends::Once => turn < self.requests.len(),
            };
            wanted.then(|| &self.requests[turn % self.requests.len()])
        };
        let ask = |mut connection: raw::Http| {
            let (mut latency, next) = (latencies(), &next);
            async move {
                while let Some(request) = next() {
                    let asked = Instant::now();
                    let status = connection.ask(request).await.map_err(failed())?;
                    if status != self.status {
                        let why = format!("{status} instead of {}", self.status);
                        return Err(BenchError::Unexpected(why));
                    }
                    record(&mut latency, asked.elapsed());
                }
                Ok(latency)
            }
        };
        let all = try_join_all(connections.into_iter().map(ask)).await?;
        let took = begin.elapsed();
        let latency = all.into_iter().fold(latencies(), |mut sum, one| {
            sum += &one;
            sum
        });
        Ok(Answered {
            count: latency.len(),
            took,
            latency,
        })
    }
}

impl Answered {
    /// So many a second.
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

    async fn load(status: u16, ends: Ends) -> Result<Answered, BenchError> {
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
        let answered = load.run(ends).await;
        serving.abort();
        answered
    }

    #[tokio::test]
    async fn it_asks_until_the_time_is_over_or_all_has_been_asked() {
        let lasts = Duration::from_millis(20);
        let answered = load(200, Ends::After(lasts)).await.unwrap();
        assert!(answered.count > 0, "{answered:?}");
        assert!(answered.took >= lasts);
        assert_eq!(load(200, Ends::Once).await.unwrap().count, 4);
    }

    #[tokio::test]
    async fn an_answer_of_another_kind_is_an_error() {
        let error = load(404, Ends::Once).await.unwrap_err();
        assert_eq!(error.to_string(), "200 instead of 404");
    }
}
