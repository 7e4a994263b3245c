//! A server of audio files, as an application has one: FreeSWITCH fetches from it what it is told to play.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Samples a second, of 16 bits each, one channel.
const RATE: u32 = 8_000;

type Files = Arc<Mutex<HashMap<String, Duration>>>;

pub struct MediaServer {
    base: String,
    files: Files,
    task: JoinHandle<()>,
}

impl Drop for MediaServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl MediaServer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let files = Files::default();
        let routes = Router::new()
            .route("/{name}", get(serve))
            .with_state(Arc::clone(&files));
        let task = tokio::spawn(async move {
            axum::serve(listener, routes).await.unwrap();
        });
        Self { base, files, task }
    }

    /// The URL of a file that lasts so long; none: there is no such file.
    pub fn add(&self, name: &str, lasts: Option<Duration>) -> String {
        if let Some(lasts) = lasts {
            self.files.lock().unwrap().insert(name.to_owned(), lasts);
        }
        format!("{}/{name}", self.base)
    }
}

async fn serve(
    State(files): State<Files>,
    Path(name): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], Vec<u8>), StatusCode> {
    let lasts = files.lock().unwrap().get(&name).copied();
    let lasts = lasts.ok_or(StatusCode::NOT_FOUND)?;
    Ok(([(CONTENT_TYPE, "audio/x-wav")], wav(lasts)))
}

/// The bytes that an [`Origin`] answers a path with; none: it says nothing more on the connection.
type Answers = dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync;

/// A server at an address of its own that counts who connects, and notes each request.
pub struct Origin {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Origin {
    /// Answers every path with a short sound.
    pub async fn of_sounds(ip: Ipv4Addr) -> Self {
        Self::start(ip, |_| {
            Some(sound("audio/x-wav", &wav(Duration::from_millis(40))))
        })
        .await
    }

    /// Answers each path as the function says.
    pub async fn start(
        ip: Ipv4Addr,
        answers: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let connections: Arc<Mutex<usize>> = Arc::default();
        let answers: Arc<Answers> = Arc::new(answers);
        let (noted, counted) = (Arc::clone(&requests), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *counted.lock().unwrap() += 1;
                let (noted, answers) = (Arc::clone(&noted), Arc::clone(&answers));
                tokio::spawn(async move {
                    // A client may go away at any time.
                    let _gone = answer_all(stream, &noted, &*answers).await;
                });
            }
        });
        Self {
            address,
            requests,
            connections,
            task,
        }
    }

    /// `METHOD path` of every request so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

/// Answers the requests of one connection.
async fn answer_all(
    mut stream: TcpStream,
    noted: &Mutex<Vec<String>>,
    answers: &Answers,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    loop {
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).await?;
        if head.is_empty() && !byte[0].is_ascii_uppercase() {
            // TLS, which it does not speak.
            return Ok(());
        }
        head.push(byte[0]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        head.clear();
        let line = text.lines().next().unwrap_or_default();
        let (method, path) = line.split_once(' ').unwrap_or_default();
        let path = path.rsplit_once(' ').map_or(path, |(path, _)| path);
        noted.lock().unwrap().push(format!("{method} {path}"));
        let Some(answer) = answers(path) else {
            std::future::pending::<()>().await;
            return Ok(());
        };
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
        let body = end.map_or(answer.len(), |end| end + 4);
        let length = if method == "HEAD" { body } else { answer.len() };
        stream.write_all(&answer[..length]).await?;
    }
}

/// A whole answer with this body, which FreeSWITCH fetches anew each time.
pub fn sound(content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nCache-Control: no-store\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A whole answer that leads elsewhere.
pub fn redirect(location: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// A quiet tone.
pub fn wav(lasts: Duration) -> Vec<u8> {
    let samples = u32::try_from(lasts.as_millis()).unwrap() * (RATE / 1_000);
    let size = samples * 2;
    let mut bytes = Vec::new();
    bytes.extend(b"RIFF");
    bytes.extend((36 + size).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16_u32.to_le_bytes());
    // PCM, one channel.
    bytes.extend([1, 0, 1, 0]);
    bytes.extend(RATE.to_le_bytes());
    bytes.extend((RATE * 2).to_le_bytes());
    // Bytes of a sample, bits of a sample.
    bytes.extend([2, 0, 16, 0]);
    bytes.extend(b"data");
    bytes.extend(size.to_le_bytes());
    for at in 0..samples {
        // A square wave of 400 Hz.
        let sample: i16 = if at / 10 % 2 == 0 { 400 } else { -400 };
        bytes.extend(sample.to_le_bytes());
    }
    bytes
}
