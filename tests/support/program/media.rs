//! An app's server of audio files, from which FreeSWITCH fetches.

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

/// Samples per second, 16 bits each, one channel.
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

    /// Adds a file of this duration and returns its URL. Without a duration, the URL answers 404.
    pub fn add(&self, name: &str, duration: Option<Duration>) -> String {
        if let Some(duration) = duration {
            self.files.lock().unwrap().insert(name.to_owned(), duration);
        }
        format!("{}/{name}", self.base)
    }
}

async fn serve(
    State(files): State<Files>,
    Path(name): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], Vec<u8>), StatusCode> {
    let duration = files.lock().unwrap().get(&name).copied();
    let duration = duration.ok_or(StatusCode::NOT_FOUND)?;
    Ok(([(CONTENT_TYPE, "audio/x-wav")], wav(duration)))
}

/// Returns an [`Origin`]'s answer to a path; `None` sends nothing more on the connection.
type Answers = dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync;

/// A server that counts its connections and records its requests.
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
    /// Starts a server that answers every path with a short sound.
    pub async fn serve_sounds(ip: Ipv4Addr) -> Self {
        Self::start(ip, |_| {
            Some(sound("audio/x-wav", &wav(Duration::from_millis(40))))
        })
        .await
    }

    /// Starts a server whose answers come from the function.
    pub async fn start(
        ip: Ipv4Addr,
        answers: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let connections: Arc<Mutex<usize>> = Arc::default();
        let answers: Arc<Answers> = Arc::new(answers);
        let (recorded, counted) = (Arc::clone(&requests), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *counted.lock().unwrap() += 1;
                let (recorded, answers) = (Arc::clone(&recorded), Arc::clone(&answers));
                tokio::spawn(async move {
                    // A client may disconnect at any time.
                    let _gone = answer_all(stream, &recorded, &*answers).await;
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

    /// The number of accepted connections.
    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

/// Answers the requests of one connection.
async fn answer_all(
    mut stream: TcpStream,
    recorded: &Mutex<Vec<String>>,
    answers: &Answers,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    loop {
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).await?;
        if head.is_empty() && !byte[0].is_ascii_uppercase() {
            // TLS, which this server does not support.
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
        recorded.lock().unwrap().push(format!("{method} {path}"));
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

/// A complete answer with this body. FreeSWITCH does not cache it.
pub fn sound(content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nCache-Control: no-store\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A complete redirect to this location.
pub fn redirect(location: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// A quiet tone as a WAV file: a square wave of 400 Hz.
pub fn wav(duration: Duration) -> Vec<u8> {
    let samples = u32::try_from(duration.as_millis()).unwrap() * (RATE / 1_000);
    let sample = |at| if at / 10 % 2 == 0 { 400 } else { -400 };
    wav_with(&(0..samples).map(sample).collect::<Vec<i16>>())
}

/// A WAV file with these samples.
pub fn wav_with(samples: &[i16]) -> Vec<u8> {
    let size = u32::try_from(samples.len()).unwrap() * 2;
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
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    bytes
}
