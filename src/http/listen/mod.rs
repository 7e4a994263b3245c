//! The HTTP listeners, with limits on the number of connections and on the time that a client may be silent.
//!
//! Owns accepting, the check of heads (`head`, `stream`), the choice of a connection to close for a new one
//! (`connections`), and the shutdown: no new connections, requests in flight finish. Leaves out the responses and
//! the time limit of a body (`http::body`).

mod attempts;
mod client;
mod connections;
mod head;
mod limits;
mod stream;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CONNECTION, CONTENT_TYPE, TRANSFER_ENCODING};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::{Counter, Gauge};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::telemetry as names;

pub use attempts::{Attempts, Outcome};
pub use connections::{Connection, TrustedProxies};
pub use head::{MAX_FIELDS, MAX_HEAD, MAX_TARGET, RefusedHead};
pub use limits::Limits;

use connections::{Budget, Charge, Connections, Entry};
use stream::{CheckedStream, write_timeout_error};

/// The pause after a failed accept. The usual reason is a lack of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The time for the first byte of a new connection when the server stops. Its client cannot know of the stop and must
/// get a response, also on a busy machine.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(1);

/// The time for which a client may accept no bytes when the server stops. The remaining responses are small, and a
/// client that does not read must not delay the shutdown.
const FINAL_WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// The buffer of the HTTP library. It checks heads again and must not be stricter than this module.
const LIBRARY_BUFFER: usize = 2 * MAX_HEAD;

/// The interval at which a full listener searches for a connection to close.
const SEARCH_INTERVAL: Duration = Duration::from_millis(100);

/// Serves until `stop` is cancelled, and then until the requests in flight have been answered.
///
/// Each request has its [`Connection`] as an extension, and a [`RefusedHead`] if its head was refused.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    limits: Limits,
    trusted_proxies: TrustedProxies,
    name: &'static str,
    stop: CancellationToken,
) {
    let server = Server::new(routes, limits, trusted_proxies, name, stop);
    server.accept_until_stopped(&listener).await;
    server.accept_queued(listener);
    server.tasks.close();
    server.tasks.wait().await;
}

/// The shared state of a listener's connections.
struct Server {
    http: http1::Builder,
    routes: Router,
    limits: Limits,
    name: &'static str,
    stop: CancellationToken,
    /// A permit for each connection that may be open.
    permits: Arc<Semaphore>,
    connections: Arc<Connections>,
    budget: Arc<Budget>,
    tasks: TaskTracker,
    open: Gauge,
    replaced: Counter,
    refused: Counter,
}

impl Server {
    fn new(
        routes: Router,
        limits: Limits,
        trusted_proxies: TrustedProxies,
        name: &'static str,
        stop: CancellationToken,
    ) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(LIBRARY_BUFFER);
        let closed = |why: &'static str| metrics::counter!(names::HTTP_CONNECTIONS_CLOSED, "listener" => name, "why" => why);
        Self {
            http,
            routes,
            limits,
            name,
            stop,
            permits: Arc::new(Semaphore::new(limits.connections)),
            connections: Arc::new(Connections::new(
                limits.per_address,
                trusted_proxies,
                Attempts::new(name),
            )),
            budget: Arc::default(),
            tasks: TaskTracker::new(),
            open: metrics::gauge!(names::HTTP_CONNECTIONS, "listener" => name),
            replaced: closed("replaced"),
            refused: closed("address"),
        }
    }

    async fn accept_until_stopped(&self, listener: &TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = accept(listener) => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(listener = self.name, %error, "cannot accept a connection");
                    tokio::select! {
                        () = self.stop.cancelled() => return,
                        () = tokio::time::sleep(ACCEPT_RETRY_DELAY) => continue,
                    }
                }
            };
            let Some(entry) = self.register(peer.ip()) else {
                continue;
            };
            let close_idle = || {
                if self.connections.close_idle(&entry) {
                    self.replaced.increment(1);
                }
            };
            // Also after the stop: an accepted connection must get a response, and the other connections end soon.
            if let Some(permit) = acquire_permit(&self.permits, close_idle).await {
                self.spawn(stream, entry, permit);
            }
        }
    }

    /// Accepts the connections that the system accepted before the stop, because their clients could not know of it.
    fn accept_queued(&self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else {
            return;
        };
        while let Ok((stream, peer)) = listener.accept()
            && let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned()
        {
            let ready = stream.set_nonblocking(true).and_then(|()| {
                stream.set_nodelay(true)?;
                TcpStream::from_std(stream)
            });
            // An error means that the client is gone again.
            if let Ok(stream) = ready
                && let Some(entry) = self.register(peer.ip())
            {
                self.spawn(stream, entry, permit);
            }
        }
    }

    /// Adds a connection to the table; `None` if its address has too many.
    fn register(&self, address: IpAddr) -> Option<Entry> {
        let Some((entry, has_replaced)) = self.connections.enter(address) else {
            self.refused.increment(1);
            tracing::debug!(
                listener = self.name,
                %address,
                "connection refused: its address has reached its limit"
            );
            return None;
        };
        if has_replaced {
            self.replaced.increment(1);
        }
        Some(entry)
    }

    /// Serves a connection in a task of its own.
    fn spawn(&self, stream: TcpStream, entry: Entry, permit: OwnedSemaphorePermit) {
        let first_byte = CancellationToken::new();
        let (blocked, mut is_blocked) = watch::channel(false);
        let stream = CheckedStream::new(
            stream,
            Arc::clone(&entry.connection),
            Charge::new(Arc::clone(&self.budget)),
            self.limits,
            first_byte.clone(),
            blocked,
        );
        let (routes, connection) = (self.routes.clone(), Arc::clone(&entry.connection));
        let service = service_fn(move |request: Request<Incoming>| {
            // Taken at once, because the bytes of the next request can be refused while this one is answered.
            let refused = connection.take_refusal();
            answer(routes.clone(), Arc::clone(&connection), refused, request)
        });
        let served = self.http.serve_connection(TokioIo::new(stream), service);
        // A child token, because each step of a connection polls it: connections would contend for a shared one.
        let (open, stop, name) = (self.open.clone(), self.stop.child_token(), self.name);
        open.increment(1.0);
        self.tasks.spawn(async move {
            let mut served = pin!(served);
            let shutdown = async {
                stop.cancelled().await;
                // The client may send nothing.
                let _ = tokio::time::timeout(FIRST_BYTE_TIMEOUT, first_byte.cancelled()).await;
            };
            let ended = tokio::select! {
                biased;
                ended = served.as_mut() => ended.map_err(Into::into),
                () = entry.connection.closed.cancelled() => Ok(()),
                () = shutdown => {
                    served.as_mut().graceful_shutdown();
                    tokio::select! {
                        ended = served => ended.map_err(Into::into),
                        () = wait_for_blocked_write(&mut is_blocked) => Err(write_timeout_error().into()),
                    }
                }
            };
            let ended: Result<(), Box<dyn std::error::Error + Send + Sync>> = ended;
            if let Err(error) = ended {
                tracing::debug!(listener = name, error, "connection ended prematurely");
            }
            open.decrement(1.0);
            drop((entry, permit));
        });
    }
}

/// Answers one request of a connection.
async fn answer(
    mut routes: Router,
    connection: Arc<Connection>,
    refused: Option<RefusedHead>,
    request: Request<Incoming>,
) -> Result<axum::response::Response, Infallible> {
    // Bytes after a chunked body are not checked.
    let is_last = request.headers().contains_key(TRANSFER_ENCODING);
    let mut request = request.map(Body::new);
    if let Some(refusal) = refused {
        request.extensions_mut().insert(refusal);
    }
    request.extensions_mut().insert(Arc::clone(&connection));
    connection.set_busy(true);
    let answered = routes.call(request).await;
    answered.map(|mut response| {
        // An event stream keeps the connection in use. Any other response does not, even while it is sent.
        let kind = response.headers().get(CONTENT_TYPE);
        if kind.is_none_or(|kind| kind != "text/event-stream") {
            connection.set_busy(false);
        }
        if is_last {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        response
    })
}

/// Waits for a permit, and calls `close_idle` at intervals until there is one.
async fn acquire_permit(
    permits: &Arc<Semaphore>,
    mut close_idle: impl FnMut(),
) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
        return Some(permit);
    }
    loop {
        close_idle();
        let permit = Arc::clone(permits).acquire_owned();
        if let Ok(permit) = tokio::time::timeout(SEARCH_INTERVAL, permit).await {
            return permit.ok();
        }
    }
}

/// Returns when the client has accepted no bytes for [`FINAL_WRITE_TIMEOUT`] although bytes wait for it.
async fn wait_for_blocked_write(is_blocked: &mut watch::Receiver<bool>) {
    loop {
        if is_blocked.wait_for(|blocked| *blocked).await.is_err() {
            // The connection has ended, which the caller detects by itself.
            return std::future::pending().await;
        }
        let moves = is_blocked.wait_for(|blocked| !*blocked);
        if tokio::time::timeout(FINAL_WRITE_TIMEOUT, moves)
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Accepts the next connection.
async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept().await?;
    // A response is one write and must not wait for more bytes.
    stream.set_nodelay(true)?;
    Ok((stream, peer))
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;

    /// Longer than any successful step takes.
    const TIMEOUT: Duration = Duration::from_secs(20);

    struct TestServer {
        address: SocketAddr,
        /// Notified when a request for `/slow` arrives.
        slow_arrived: Arc<Notify>,
        /// Releases the response to `/slow`.
        slow_release: Arc<Notify>,
        stop: CancellationToken,
        task: JoinHandle<()>,
    }

    impl TestServer {
        async fn start(limits: Limits) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (slow_arrived, slow_release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (arrived, release) = (Arc::clone(&slow_arrived), Arc::clone(&slow_release));
            let routes = Router::new().route("/", get(async || "quick")).route(
                "/slow",
                get(async move || {
                    arrived.notify_one();
                    release.notified().await;
                    "slow"
                }),
            );
            let routes = routes.route(
                "/endless",
                get(async || {
                    let more = std::iter::repeat_with(|| Ok::<_, io::Error>(vec![b'x'; 64 * 1024]));
                    axum::body::Body::from_stream(futures_util::stream::iter(more))
                }),
            );
            let stop = CancellationToken::new();
            let task = tokio::spawn(serve(
                listener,
                routes,
                limits,
                TrustedProxies::default(),
                "test",
                stop.clone(),
            ));
            Self {
                address,
                slow_arrived,
                slow_release,
                stop,
                task,
            }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }
    }

    async fn within<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(TIMEOUT, future)
            .await
            .expect("the step ends in time")
    }

    async fn send_request(stream: &mut TcpStream, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
    }

    /// Reads until this text has arrived.
    async fn read_until(stream: &mut TcpStream, text: &str) {
        let mut got = String::new();
        within(async {
            while !got.contains(text) {
                let mut buffer = [0; 1024];
                let length = stream.read(&mut buffer).await.unwrap();
                assert!(length > 0, "closed behind {got:?}");
                got.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
            }
        })
        .await;
    }

    /// Reads to the end and ignores the bytes.
    async fn read_until_closed(stream: &mut TcpStream) {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _end = within(stream.read_to_end(&mut rest)).await;
    }

    #[tokio::test]
    async fn connection_opened_before_shutdown_is_answered() {
        let server = TestServer::start(Limits::default()).await;
        let mut new = server.connect().await;
        let mut silent = server.connect().await;
        server.stop.cancel();
        send_request(&mut new, "/").await;
        read_until(&mut new, "quick").await;
        read_until_closed(&mut new).await;
        read_until_closed(&mut silent).await;
        within(server.task).await.unwrap();
    }

    #[tokio::test]
    async fn connection_accepted_during_shutdown_is_answered() {
        let routes = Router::new().route("/", get(async || "quick"));
        // Each round has the connection and the stop ready at once; the order of their handling is random.
        for _ in 0..64 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut client = TcpStream::connect(address).await.unwrap();
            let stop = CancellationToken::new();
            stop.cancel();
            let task = tokio::spawn(serve(
                listener,
                routes.clone(),
                Limits::default(),
                TrustedProxies::default(),
                "test",
                stop,
            ));
            send_request(&mut client, "/").await;
            read_until(&mut client, "quick").await;
            drop(client);
            within(task).await.unwrap();
        }
    }

    #[tokio::test]
    async fn connection_without_complete_head_is_closed() {
        let server = TestServer::start(Limits {
            connections: 10,
            head: Duration::from_millis(200),
            ..Limits::default()
        })
        .await;
        let (mut silent, mut half) = (server.connect().await, server.connect().await);
        half.write_all(b"GET / HTTP/1.1\r\nHost: loc")
            .await
            .unwrap();
        read_until_closed(&mut silent).await;
        read_until_closed(&mut half).await;
        // A response may take longer than the time for a head.
        let mut slow = server.connect().await;
        send_request(&mut slow, "/slow").await;
        let mut idle = server.connect().await;
        send_request(&mut idle, "/").await;
        read_until(&mut idle, "quick").await;
        read_until_closed(&mut idle).await;
        server.slow_release.notify_one();
        read_until(&mut slow, "slow").await;
    }

    #[tokio::test]
    async fn idle_connection_is_closed_when_limit_is_reached() {
        let server = TestServer::start(Limits {
            connections: 2,
            ..Limits::default()
        })
        .await;
        let (mut oldest, mut newer) = (server.connect().await, server.connect().await);
        send_request(&mut newer, "/").await;
        read_until(&mut newer, "quick").await;
        let mut third = server.connect().await;
        send_request(&mut third, "/").await;
        read_until(&mut third, "quick").await;
        read_until_closed(&mut oldest).await;
        send_request(&mut newer, "/").await;
        read_until(&mut newer, "quick").await;
    }

    #[tokio::test]
    async fn new_connection_waits_while_all_are_in_use() {
        let server = TestServer::start(Limits {
            connections: 1,
            ..Limits::default()
        })
        .await;
        let mut busy = server.connect().await;
        send_request(&mut busy, "/slow").await;
        within(server.slow_arrived.notified()).await;
        let mut next = server.connect().await;
        send_request(&mut next, "/").await;
        let mut byte = [0; 1];
        let early = tokio::time::timeout(3 * SEARCH_INTERVAL, next.read(&mut byte)).await;
        assert!(early.is_err(), "{early:?}");
        server.slow_release.notify_one();
        read_until(&mut busy, "slow").await;
        read_until(&mut next, "quick").await;
    }

    #[tokio::test]
    async fn incomplete_head_times_out() {
        let server = TestServer::start(Limits {
            head_completion: Duration::from_millis(200),
            ..Limits::default()
        })
        .await;
        let (mut idle, mut half) = (server.connect().await, server.connect().await);
        half.write_all(b"GET / HTTP/1.1\r\nHost: loc")
            .await
            .unwrap();
        // The routes of this test do not handle refusals, so the substitute request gets 404.
        read_until(&mut half, "404").await;
        read_until_closed(&mut half).await;
        send_request(&mut idle, "/").await;
        read_until(&mut idle, "quick").await;
    }

    #[tokio::test]
    async fn request_in_flight_is_answered_before_shutdown() {
        let server = TestServer::start(Limits::default()).await;
        let (mut slow, mut idle) = (server.connect().await, server.connect().await);
        send_request(&mut idle, "/").await;
        read_until(&mut idle, "quick").await;
        send_request(&mut slow, "/slow").await;
        within(server.slow_arrived.notified()).await;
        server.stop.cancel();
        read_until_closed(&mut idle).await;
        assert!(!server.task.is_finished());
        assert!(
            TcpStream::connect(server.address).await.is_err(),
            "no new connections"
        );
        server.slow_release.notify_one();
        read_until(&mut slow, "slow").await;
        within(server.task).await.unwrap();
    }

    /// Reads to the end and checks that the response is incomplete: a reset, or an end without the last chunk.
    async fn assert_cut_off(mut stream: TcpStream) {
        let mut rest = Vec::new();
        if within(stream.read_to_end(&mut rest)).await.is_ok() {
            assert!(!rest.ends_with(b"0\r\n\r\n"), "the response is complete");
        }
    }

    #[tokio::test]
    async fn client_that_reads_nothing_is_disconnected() {
        let server = TestServer::start(Limits {
            write: Duration::from_millis(300),
            connections: 1,
            ..Limits::default()
        })
        .await;
        let mut stuck = server.connect().await;
        send_request(&mut stuck, "/endless").await;
        // It has the only permit, and loses it.
        let mut next = server.connect().await;
        send_request(&mut next, "/").await;
        read_until(&mut next, "quick").await;
        assert_cut_off(stuck).await;
    }

    #[tokio::test]
    async fn client_that_reads_nothing_does_not_delay_shutdown() {
        let server = TestServer::start(Limits::default()).await;
        let mut stuck = server.connect().await;
        send_request(&mut stuck, "/endless").await;
        read_until(&mut stuck, "200 OK").await;
        let start = tokio::time::Instant::now();
        server.stop.cancel();
        within(server.task).await.unwrap();
        let elapsed = start.elapsed();
        assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
        assert_cut_off(stuck).await;
    }
}
