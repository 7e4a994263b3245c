//! A server of audio files, as an application has one: FreeSWITCH fetches from it what it is told to play.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use tokio::net::TcpListener;
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

/// A quiet tone.
fn wav(lasts: Duration) -> Vec<u8> {
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
