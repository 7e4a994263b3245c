//! One connection: its reader, its writer, and its early end.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, watch},
};

use super::faults::count;
use super::shared::{ConnectionEnd, Link, Shared};
use crate::core::ConnId;

/// The most bytes that a writer takes at once.
const CHUNK: usize = 64 * 1024;
/// The bytes that a client receives when its connection is cut in the middle of an event.
const TORN_FRAME: &[u8] =
    b"Content-Length: 512\nContent-Type: text/event-plain\n\nEvent-Name: HEARTBEAT\nCore-UU";
const REJECTION: &[u8] =
    b"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n";

/// Refuses a connection.
pub(super) async fn reject(mut stream: TcpStream) {
    // The client may be gone.
    let _ = stream.write_all(REJECTION).await;
    let _ = stream.shutdown().await;
}

/// Serves a connection until it ends.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let output = Arc::new(Notify::new());
    let (cut, mut cut_seen) = watch::channel(None);
    let (id, start_number) = {
        let now = shared.now();
        let mut state = shared.lock();
        let id = state.core.connect(now);
        state.links.insert(
            id,
            Link {
                output: Arc::clone(&output),
                cut,
            },
        );
        (id, state.starts)
    };
    shared.wake.notify_one();
    let (reader, mut writer) = stream.into_split();
    let outcome = {
        let reading = read(Arc::clone(&shared), reader, id, start_number);
        let writing = write(&shared, &mut writer, id, start_number, &output);
        tokio::pin!(reading, writing);
        loop {
            tokio::select! {
                biased;
                changed = cut_seen.changed() => {
                    let seen = *cut_seen.borrow();
                    match (changed, seen) {
                        (_, Some(cut)) => break Some(cut),
                        // The other end of the channel belonged to the node's previous run.
                        (Err(_), None) => break Some(ConnectionEnd::Killed),
                        (Ok(()), None) => {}
                    }
                }
                // Like the real server, the node does not serve a client that has closed its side.
                () = &mut reading => break None,
                () = &mut writing => break None,
            }
        }
    };
    match outcome {
        Some(ConnectionEnd::Torn) => {
            count(&shared.faults.torn);
            let _ = writer.write_all(TORN_FRAME).await;
        }
        Some(ConnectionEnd::Between) => count(&shared.faults.cut),
        Some(ConnectionEnd::Killed) => count(&shared.faults.killed),
        None => {}
    }
    {
        let mut state = shared.lock();
        if state.starts == start_number {
            state.core.disconnect(id);
            state.links.remove(&id);
        }
    }
    let _ = writer.shutdown().await;
}

/// Waits while the node stalls.
async fn unless_stalled(shared: &Shared) {
    let mut stalled = shared.stalled.subscribe();
    if *stalled.borrow() {
        count(&shared.faults.stalled);
        // An error means that the node is gone, which ends the connection elsewhere.
        let _ = stalled.wait_for(|stalled| !*stalled).await;
    }
}

async fn read(shared: Arc<Shared>, mut reader: OwnedReadHalf, id: ConnId, start_number: u64) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => {
                unless_stalled(&shared).await;
                if shared.lock().starts != start_number {
                    return;
                }
                shared.with(|core, now| core.handle_bytes(id, &buffer[..length], now));
            }
        }
    }
}

async fn write(
    shared: &Shared,
    writer: &mut OwnedWriteHalf,
    id: ConnId,
    start_number: u64,
    output: &Notify,
) {
    loop {
        unless_stalled(shared).await;
        let (chunk, closed) = {
            let mut state = shared.lock();
            if state.starts != start_number {
                return;
            }
            let chunk = state.core.poll_output_up_to(id, CHUNK);
            (chunk, state.core.is_closed(id))
        };
        if !chunk.is_empty() {
            if writer.write_all(&chunk).await.is_err() {
                return;
            }
        } else if closed {
            return;
        } else {
            output.notified().await;
        }
    }
}
