//! The HTTP listeners: how many may hold a connection, and for how long they may say nothing, or take nothing.
//!
//! Owns accepting, which heads pass (`head`, `stream`), which connection gives way to a new one (`connections`), and
//! the end: nobody new, those in flight finish. Leaves out what is answered, and the time that a body may take
//! (`api::body`).

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
use stream::{CheckedStream, late};

/// The pause after a connection could not be accepted: there are no more file descriptors, mostly.
const REST: Duration = Duration::from_millis(100);

/// The time for the first byte of a new connection when the server stops: its client cannot know of the stop and must be
/// answered, also when the machine is busy.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// The same when we stop: what is answered then is little, and who does not take it must not hold up the end.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// The library checks what is checked already, and must not be the stricter one.
const LIBRARY_BUFFER: usize = 2 * MAX_HEAD;

/// The interval in which a full listener searches for a connection to close.
const LOOK: Duration = Duration::from_millis(100);

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
                    tracing::warn!(listener = self.name, %error, "a connection could not be accepted");
                    tokio::select! {
                        () = self.stop.cancelled() => return,
                        () = tokio::time::sleep(REST) => continue,
                    }
                }
            };
            let Some(entry) = self.register(peer.ip()) else {
                continue;
            };
            let make_place = || {
                if self.connections.make_place(&entry) {
                    self.replaced.increment(1);
                }
            };
            // Also after the stop: the client of an accepted connection must be answered, and the others end soon.
            if let Some(permit) = acquire_permit(&self.permits, make_place).await {
                self.spawn(stream, entry, permit);
            }
        }
    }

    /// Accepts the connections that the system has accepted before the stop: their clients could not know about it.
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
                "connection refused: its address has as many as it may"
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
        let heard = CancellationToken::new();
        let (stuck, mut is_stuck) = watch::channel(false);
        let stream = CheckedStream::new(
            stream,
            Arc::clone(&entry.connection),
            Charge::new(Arc::clone(&self.budget)),
            self.limits,
            heard.clone(),
            stuck,
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
                // The client may send nothing at all.
                let _ = tokio::time::timeout(FIRST_WORD, heard.cancelled()).await;
            };
            let ended = tokio::select! {
                biased;
                ended = served.as_mut() => ended.map_err(Into::into),
                () = entry.connection.closed.cancelled() => Ok(()),
                () = shutdown => {
                    served.as_mut().graceful_shutdown();
                    tokio::select! {
                        ended = served => ended.map_err(Into::into),
                        () = takes_nothing(&mut is_stuck) => Err(late().into()),
                    }
                }
            };
            let ended: Result<(), Box<dyn std::error::Error + Send + Sync>> = ended;
            if let Err(error) = ended {
                tracing::debug!(listener = name, error, "a connection ended in the middle");
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
    // Behind chunks nothing is checked any more.
    let is_last = request.headers().contains_key(TRANSFER_ENCODING);
    let mut request = request.map(Body::new);
    if let Some(refusal) = refused {
        request.extensions_mut().insert(refusal);
    }
    request.extensions_mut().insert(Arc::clone(&connection));
    connection.set_busy(true);
    let answered = routes.call(request).await;
    answered.map(|mut response| {
        // A stream of events goes on; nothing else that is still to be sent keeps a connection from giving way.
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

/// Waits for a permit, and calls `make_place` again and again until there is one.
async fn acquire_permit(
    permits: &Arc<Semaphore>,
    mut make_place: impl FnMut(),
) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
        return Some(permit);
    }
    loop {
        make_place();
        let permit = Arc::clone(permits).acquire_owned();
        if let Ok(permit) = tokio::time::timeout(LOOK, permit).await {
            return permit.ok();
        }
    }
}

/// Ends when the other side has taken nothing for [`LAST_WRITE`], though there is something for it.
async fn takes_nothing(is_stuck: &mut watch::Receiver<bool>) {
    loop {
        if is_stuck.wait_for(|stuck| *stuck).await.is_err() {
            // The connection has ended, which is detected elsewhere.
            return std::future::pending().await;
        }
        let moves = is_stuck.wait_for(|stuck| !*stuck);
        if tokio::time::timeout(LAST_WRITE, moves).await.is_err() {
            return;
        }
    }
}

/// The next connection.
async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept().await?;
    // An answer is one write, and must not wait for more.
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

    /// Longer than anything takes that goes well.
    const PATIENCE: Duration = Duration::from_secs(20);

    struct Served {
        address: SocketAddr,
        /// `/slow` was asked for.
        heard: Arc<Notify>,
        /// Lets the answer to it go.
        go: Arc<Notify>,
        stop: CancellationToken,
        task: JoinHandle<()>,
    }

    impl Served {
        async fn with(limits: Limits) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (heard, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (hears, goes) = (Arc::clone(&heard), Arc::clone(&go));
            let routes = Router::new().route("/", get(async || "quick")).route(
                "/slow",
                get(async move || {
                    hears.notify_one();
                    goes.notified().await;
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
                heard,
                go,
                stop,
                task,
            }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }
    }

    async fn within<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(PATIENCE, future)
            .await
            .expect("it goes well")
    }

    async fn ask(stream: &mut TcpStream, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
    }

    /// Reads until this was said.
    async fn until(stream: &mut TcpStream, text: &str) {
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

    /// Reads to the end, whatever comes.
    async fn until_closed(stream: &mut TcpStream) {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _end = within(stream.read_to_end(&mut rest)).await;
    }

    #[tokio::test]
    async fn who_connected_just_before_the_end_is_answered() {
        let served = Served::with(Limits::default()).await;
        let mut new = served.connect().await;
        let mut silent = served.connect().await;
        served.stop.cancel();
        ask(&mut new, "/").await;
        until(&mut new, "quick").await;
        until_closed(&mut new).await;
        until_closed(&mut silent).await;
        within(served.task).await.unwrap();
    }

    #[tokio::test]
    async fn connection_accepted_while_the_server_stops_is_answered() {
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
            ask(&mut client, "/").await;
            until(&mut client, "quick").await;
            drop(client);
            within(task).await.unwrap();
        }
    }

    #[tokio::test]
    async fn who_does_not_say_what_he_asks_for_is_hung_up_on() {
        let served = Served::with(Limits {
            connections: 10,
            head: Duration::from_millis(200),
            ..Limits::default()
        })
        .await;
        let (mut silent, mut half) = (served.connect().await, served.connect().await);
        half.write_all(b"GET / HTTP/1.1\r\nHost: loc")
            .await
            .unwrap();
        until_closed(&mut silent).await;
        until_closed(&mut half).await;
        // An answer may take longer than a question.
        let mut slow = served.connect().await;
        ask(&mut slow, "/slow").await;
        let mut idle = served.connect().await;
        ask(&mut idle, "/").await;
        until(&mut idle, "quick").await;
        until_closed(&mut idle).await;
        served.go.notify_one();
        until(&mut slow, "slow").await;
    }

    #[tokio::test]
    async fn idle_connection_gives_way_when_all_places_are_taken() {
        let served = Served::with(Limits {
            connections: 2,
            ..Limits::default()
        })
        .await;
        let (mut oldest, mut newer) = (served.connect().await, served.connect().await);
        ask(&mut newer, "/").await;
        until(&mut newer, "quick").await;
        let mut third = served.connect().await;
        ask(&mut third, "/").await;
        until(&mut third, "quick").await;
        until_closed(&mut oldest).await;
        ask(&mut newer, "/").await;
        until(&mut newer, "quick").await;
    }

    #[tokio::test]
    async fn new_connection_waits_while_all_others_are_in_use() {
        let served = Served::with(Limits {
            connections: 1,
            ..Limits::default()
        })
        .await;
        let mut busy = served.connect().await;
        ask(&mut busy, "/slow").await;
        within(served.heard.notified()).await;
        let mut next = served.connect().await;
        ask(&mut next, "/").await;
        let mut byte = [0; 1];
        let early = tokio::time::timeout(3 * LOOK, next.read(&mut byte)).await;
        assert!(early.is_err(), "{early:?}");
        served.go.notify_one();
        until(&mut busy, "slow").await;
        until(&mut next, "quick").await;
    }

    #[tokio::test]
    async fn head_that_has_begun_must_end_in_time() {
        let served = Served::with(Limits {
            begun_head: Duration::from_millis(200),
            ..Limits::default()
        })
        .await;
        let (mut idle, mut half) = (served.connect().await, served.connect().await);
        half.write_all(b"GET / HTTP/1.1\r\nHost: loc")
            .await
            .unwrap();
        // The routes of this test know nothing of refusals; the request that stands for it is answered.
        until(&mut half, "404").await;
        until_closed(&mut half).await;
        ask(&mut idle, "/").await;
        until(&mut idle, "quick").await;
    }

    #[tokio::test]
    async fn what_is_in_flight_is_answered_before_it_ends() {
        let served = Served::with(Limits::default()).await;
        let (mut slow, mut idle) = (served.connect().await, served.connect().await);
        ask(&mut idle, "/").await;
        until(&mut idle, "quick").await;
        ask(&mut slow, "/slow").await;
        within(served.heard.notified()).await;
        served.stop.cancel();
        until_closed(&mut idle).await;
        assert!(!served.task.is_finished());
        assert!(
            TcpStream::connect(served.address).await.is_err(),
            "no new connections"
        );
        served.go.notify_one();
        until(&mut slow, "slow").await;
        within(served.task).await.unwrap();
    }

    /// Reads what is left after the other side has given up: a reset, or an end without the last chunk.
    async fn is_cut_off(mut stream: TcpStream) {
        let mut rest = Vec::new();
        if within(stream.read_to_end(&mut rest)).await.is_ok() {
            assert!(!rest.ends_with(b"0\r\n\r\n"), "it is not a good end");
        }
    }

    #[tokio::test]
    async fn who_takes_nothing_is_hung_up_on() {
        let served = Served::with(Limits {
            write: Duration::from_millis(300),
            connections: 1,
            ..Limits::default()
        })
        .await;
        let mut stuck = served.connect().await;
        ask(&mut stuck, "/endless").await;
        // It has the only place, and loses it.
        let mut next = served.connect().await;
        ask(&mut next, "/").await;
        until(&mut next, "quick").await;
        is_cut_off(stuck).await;
    }

    #[tokio::test]
    async fn who_takes_nothing_does_not_hold_up_the_end() {
        let served = Served::with(Limits::default()).await;
        let mut stuck = served.connect().await;
        ask(&mut stuck, "/endless").await;
        until(&mut stuck, "200 OK").await;
        let begun = tokio::time::Instant::now();
        served.stop.cancel();
        within(served.task).await.unwrap();
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        is_cut_off(stuck).await;
    }
}
