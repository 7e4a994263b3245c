//! The HTTP listeners: how many may hold a connection, and for how long they may say nothing, or take nothing.
//!
//! Owns accepting, and the end: nobody new, those in flight finish. Leaves out what is answered, and the time that a body
//! may take (`api::body`).

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::telemetry as names;

/// The pause after a connection could not be accepted: there are no more file descriptors, mostly.
const REST: Duration = Duration::from_millis(100);

/// How long a connection that is new when we stop has to say what it asks for: who made it could not know, and is
/// answered, not hung up on.
const FIRST_WORD: Duration = Duration::from_millis(250);

/// The same when we stop: what is answered then is little, and who does not take it must not hold up the end.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// What clients may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections at the same time. More wait in the system's queue, and beyond that are refused by it.
    pub connections: usize,
    /// How long a connection may take to say what it asks for, also between two requests.
    pub head: Duration,
    /// How long a connection may take nothing of what it is sent.
    pub write: Duration,
}

impl Default for Limits {
    /// So many connections that every request in flight can have one and as many again can wait with theirs open; and
    /// the head's time of the common proxies, so that they give an idle connection up before it is closed under them. Who
    /// takes nothing for half a minute hangs, or has gone without a word.
    fn default() -> Self {
        Self {
            connections: 4_096,
            head: Duration::from_secs(75),
            write: Duration::from_secs(30),
        }
    }
}

/// Serves until it is stopped, and then until what is in flight has been answered.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    limits: Limits,
    name: &'static str,
    stop: CancellationToken,
) {
    // Not the first bytes alone, for which it waits for ever: they would say which version is spoken.
    let mut server = Builder::new(TokioExecutor::new()).http1_only();
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head);
    let places = Arc::new(Semaphore::new(limits.connections));
    let open = metrics::gauge!(names::HTTP_CONNECTIONS, "listener" => name);
    let connections = TaskTracker::new();
    let begin = |stream: TcpStream, place: OwnedSemaphorePermit| {
        let service = TowerToHyperService::new(routes.clone());
        let heard = CancellationToken::new();
        let (stuck, mut is_stuck) = watch::channel(false);
        let stream = Listened {
            stream,
            heard: Some(heard.clone()),
            patience: limits.write,
            gives_up: None,
            stuck,
        };
        let connection = server
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        // One of its own: it is asked at each step of the connection, and all connections must not take turns for that.
        let (open, stop) = (open.clone(), stop.child_token());
        open.increment(1.0);
        connections.spawn(async move {
            let mut connection = pin!(connection);
            let told_to_end = async {
                stop.cancelled().await;
                // It may say nothing at all.
                let _ = tokio::time::timeout(FIRST_WORD, heard.cancelled()).await;
            };
            let ended = tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = told_to_end => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        ended = connection => ended,
                        () = takes_nothing(&mut is_stuck) => Err(late().into()),
                    }
                }
            };
            if let Err(error) = ended {
                tracing::debug!(listener = name, error, "a connection ended in the middle");
            }
            open.decrement(1.0);
            drop(place);
        });
    };
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(listener = name, %error, "a connection could not be accepted");
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(REST) => continue,
                }
            }
        };
        begin(stream, place);
    }
    // Nobody else connects; but who has already is let in. Who that is the system knows, and the runtime not yet.
    if let Ok(listener) = listener.into_std() {
        while let Ok((stream, _)) = listener.accept()
            && let Ok(place) = Arc::clone(&places).try_acquire_owned()
        {
            let ready = stream.set_nonblocking(true).and_then(|()| {
                stream.set_nodelay(true)?;
                TcpStream::from_std(stream)
            });
            // One that is gone again does not need us.
            if let Ok(stream) = ready {
                begin(stream, place);
            }
        }
    }
    connections.close();
    connections.wait().await;
}

/// Ends when the other side has taken nothing for [`LAST_WRITE`], though there is something for it.
async fn takes_nothing(is_stuck: &mut watch::Receiver<bool>) {
    loop {
        if is_stuck.wait_for(|stuck| *stuck).await.is_err() {
            // The connection has ended, and that is heard of otherwise.
            return std::future::pending().await;
        }
        let moves = is_stuck.wait_for(|stuck| !*stuck);
        if tokio::time::timeout(LAST_WRITE, moves).await.is_err() {
            return;
        }
    }
}

fn late() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "the client does not take what it is sent",
    )
}

/// A connection, whether anything has been said on it, and whether it takes what it is sent.
#[derive(Debug)]
struct Listened {
    stream: TcpStream,
    /// Who is told of the first word; `None`: it has been said.
    heard: Option<CancellationToken>,
    /// How long it may take nothing.
    patience: Duration,
    /// While it takes nothing: until when.
    gives_up: Option<Pin<Box<Sleep>>>,
    /// The same for others.
    stuck: watch::Sender<bool>,
}

impl Listened {
    /// What came of a write, unless it has been waited for too long.
    fn written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            if self.gives_up.take().is_some() {
                self.stuck.send_replace(false);
            }
            return written;
        }
        let gives_up = match &mut self.gives_up {
            Some(gives_up) => gives_up,
            none @ None => {
                self.stuck.send_replace(true);
                none.insert(Box::pin(tokio::time::sleep(self.patience)))
            }
        };
        gives_up.as_mut().poll(cx).map(|()| Err(late()))
    }
}

impl AsyncRead for Listened {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before
            && let Some(heard) = this.heard.take()
        {
            heard.cancel();
        }
        read
    }
}

impl AsyncWrite for Listened {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // An answer is one write, and must not wait for more.
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

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
            let task = tokio::spawn(serve(listener, routes, limits, "test", stop.clone()));
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
    async fn who_is_one_too_many_waits_for_a_place() {
        let served = Served::with(Limits {
            connections: 2,
            head: Duration::from_secs(600),
            ..Limits::default()
        })
        .await;
        let (mut one, two) = (served.connect().await, served.connect().await);
        ask(&mut one, "/").await;
        until(&mut one, "quick").await;
        let mut three = served.connect().await;
        ask(&mut three, "/").await;
        // The first two are served as ever while the third one waits.
        ask(&mut one, "/").await;
        until(&mut one, "quick").await;
        let mut byte = [0; 1];
        let early = three.try_read(&mut byte);
        assert!(early.is_err(), "{early:?}");
        drop(two);
        until(&mut three, "quick").await;
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
            "nobody new"
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
