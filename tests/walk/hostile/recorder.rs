//! A proxy between the controller and a node that records every byte from the controller.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The recorded bytes, by connection.
type Sent = Arc<Mutex<Vec<Vec<u8>>>>;

pub struct Recorder {
    pub address: SocketAddr,
    sent: Sent,
    task: JoinHandle<()>,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Recorder {
    /// Starts a recorder in front of the node.
    pub async fn before(node: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sent = Sent::default();
        let kept = Arc::clone(&sent);
        let task = tokio::spawn(async move {
            // The tasks that pass bytes on end with this task.
            let mut lines = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                lines.spawn(pass_on(near, node, Arc::clone(&kept)));
            }
        });
        Self {
            address,
            sent,
            task,
        }
    }

    /// Returns all recorded bytes, by connection.
    pub fn sent(&self) -> Vec<Vec<u8>> {
        self.sent.lock().unwrap().clone()
    }
}

async fn pass_on(near: TcpStream, node: SocketAddr, sent: Sent) {
    let Ok(far) = TcpStream::connect(node).await else {
        return;
    };
    let number = {
        let mut sent = sent.lock().unwrap();
        sent.push(Vec::new());
        sent.len() - 1
    };
    let (mut from, mut back) = near.into_split();
    let (mut answers, mut to) = far.into_split();
    let there = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length) = from.read(&mut buffer).await {
            if length == 0 {
                return;
            }
            // Recorded before passed on: every command that the node has executed is recorded.
            sent.lock().unwrap()[number].extend_from_slice(&buffer[..length]);
            if to.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        _ = tokio::io::copy(&mut answers, &mut back) => {}
    }
}
