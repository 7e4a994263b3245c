//! A TCP proxy that does not parse its traffic and can hold back the bytes of clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub struct Pipe {
    pub address: SocketAddr,
    holds: watch::Sender<bool>,
    held: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pipe {
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (holds, held) = (watch::Sender::new(false), Arc::new(AtomicUsize::new(0)));
        let (hold_state, count) = (holds.subscribe(), Arc::clone(&held));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                connections.spawn(carry(client, to, hold_state.clone(), Arc::clone(&count)));
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            holds,
            held,
            task,
        }
    }

    /// Holds back the bytes of clients, or releases them. Bytes of a connection that the client has closed meanwhile
    /// are sent as well.
    pub fn hold(&self, holds: bool) {
        self.holds.send_replace(holds);
    }

    /// The number of bytes held back so far.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }
}

async fn carry(
    client: TcpStream,
    to: SocketAddr,
    mut holds: watch::Receiver<bool>,
    held: Arc<AtomicUsize>,
) {
    let Ok(server) = TcpStream::connect(to).await else {
        return;
    };
    // A socket that refuses the option still works.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let forth = async {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            // After a reset, the bytes read before are already forwarded.
            let n = from_client.read(&mut bytes).await.unwrap_or(0);
            if n == 0 {
                return;
            }
            if *holds.borrow() {
                held.fetch_add(n, Ordering::SeqCst);
                if holds.wait_for(|holds| !holds).await.is_err() {
                    return;
                }
            }
            if to_server.write_all(&bytes[..n]).await.is_err() {
                return;
            }
        }
    };
    // Answers to a closed client are still read, so that the server does not notice.
    let back = async {
        let mut bytes = vec![0; 64 * 1024];
        let mut is_open = true;
        loop {
            match from_server.read(&mut bytes).await {
                Ok(n) if n > 0 => {
                    is_open = is_open && to_client.write_all(&bytes[..n]).await.is_ok()
                }
                Ok(_) | Err(_) => return,
            }
        }
    };
    tokio::select! {
        () = forth => {}
        () = back => {}
    }
}
