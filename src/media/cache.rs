//! The cache of the media proxy: limited in bytes and number of files. Concurrent requests for a file share one fetch.
//!
//! A file is on disk in the system's folder for temporary files, without a name, so it ends with the process. Its bytes
//! count from the first write until the last use of the file, so that running fetches are limited, too. A stale file is
//! removed with the next fetch; without space, the least recently used files are evicted.
//!
//! Owns the files and their lifetime. Leaves out the fetch.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::fetch_error::FetchError;
use roomkeeper_core::play_url::PlayUrl;

/// The minimum lifetime of a cached file, even if its server forbids caching: FreeSWITCH sends a HEAD and a GET.
const FRESH_AT_LEAST: Duration = Duration::from_secs(10);

/// The maximum lifetime of a cached file.
const FRESH_AT_MOST: Duration = Duration::from_secs(300);

/// The outcome of a fetch.
pub type Outcome = Result<Arc<StoredFile>, FetchError>;

/// The files and the running fetches.
#[derive(Debug)]
pub struct Cache {
    slots: Mutex<HashMap<PlayUrl, Slot>>,
    used: Arc<AtomicU64>,
    bytes: u64,
    files: usize,
}

#[derive(Debug)]
enum Slot {
    Fetching(watch::Receiver<Option<Outcome>>),
    Ready {
        file: Arc<StoredFile>,
        fresh_until: Instant,
        last_used: Instant,
    },
}

/// The result of a lookup.
#[derive(Debug)]
pub enum CacheEntry {
    /// The file is cached.
    Ready(Arc<StoredFile>),
    /// A fetch is running.
    Fetching(watch::Receiver<Option<Outcome>>),
    /// The caller must fetch the file and pass the outcome to [`Cache::finish`] with this ticket.
    Missing(Ticket),
}

/// The duty to fetch a file. Dropped without an outcome, it lets the next caller fetch.
#[derive(Debug)]
pub struct Ticket {
    sender: watch::Sender<Option<Outcome>>,
    receiver: watch::Receiver<Option<Outcome>>,
}

impl Ticket {
    /// Sends the outcome to the waiting requests.
    pub fn outcome(&self) -> watch::Receiver<Option<Outcome>> {
        self.receiver.clone()
    }
}

/// Reserved space on disk, released when dropped.
#[derive(Debug)]
pub struct Space {
    used: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Space {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A whole file on disk.
#[derive(Debug)]
pub struct StoredFile {
    /// The file.
    pub file: File,
    /// The size in bytes.
    pub length: u64,
    /// The content type of its server, if it is an audio type.
    pub content_type: String,
    /// A digest of its bytes, quoted.
    pub etag: String,
    /// The cache lifetime that its server allows.
    pub max_age: Duration,
    /// Its space on disk.
    pub space: Space,
}

impl StoredFile {
    /// Reads up to this many bytes from this offset; fewer at the end. Blocks.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn read(&self, offset: u64, at_most: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; at_most.min(left)];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

impl Cache {
    /// Creates an empty cache with limits in bytes and files.
    pub fn new(bytes: u64, files: usize) -> Self {
        Self {
            slots: Mutex::default(),
            used: Arc::default(),
            bytes,
            files,
        }
    }

    /// The number of reserved bytes.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Looks up a file. If it is missing, the caller must fetch it.
    pub fn find(&self, url: &PlayUrl) -> CacheEntry {
        let now = Instant::now();
        let mut slots = self.slots();
        match slots.get_mut(url) {
            Some(Slot::Ready {
                file,
                fresh_until,
                last_used,
            }) if *fresh_until > now => {
                *last_used = now;
                return CacheEntry::Ready(Arc::clone(file));
            }
            // A closed channel belongs to a fetch that ended without an outcome.
            Some(Slot::Fetching(outcome)) if outcome.has_changed().is_ok() => {
                return CacheEntry::Fetching(outcome.clone());
            }
            Some(Slot::Ready { .. } | Slot::Fetching(_)) | None => {}
        }
        let (sender, receiver) = watch::channel(None);
        slots.insert(url.clone(), Slot::Fetching(receiver.clone()));
        CacheEntry::Missing(Ticket { sender, receiver })
    }

    /// Ends a fetch: a file is cached, a failure is not.
    pub fn finish(&self, url: &PlayUrl, ticket: Ticket, outcome: Outcome) {
        {
            let mut slots = self.slots();
            let now = Instant::now();
            slots.retain(|_, slot| match slot {
                Slot::Ready { fresh_until, .. } => *fresh_until > now,
                // A closed channel belongs to a fetch that ended without an outcome.
                Slot::Fetching(outcome) => outcome.has_changed().is_ok(),
            });
            match &outcome {
                Ok(file) => {
                    let fresh = file.max_age.clamp(FRESH_AT_LEAST, FRESH_AT_MOST);
                    let slot = Slot::Ready {
                        file: Arc::clone(file),
                        fresh_until: now + fresh,
                        last_used: now,
                    };
                    slots.insert(url.clone(), slot);
                    while ready(&slots) > self.files && evict(&mut slots) {}
                }
                Err(_) => {
                    slots.remove(url);
                }
            }
        }
        ticket.sender.send_replace(Some(outcome));
    }

    /// Starts a reservation for a file that is being fetched.
    pub fn space(&self) -> Space {
        Space {
            used: Arc::clone(&self.used),
            bytes: 0,
        }
    }

    /// Extends a reservation; `false` if there is no space and no file to evict.
    pub fn grow(&self, space: &mut Space, bytes: u64) -> bool {
        loop {
            let taken = self
                .used
                .try_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                    used.checked_add(bytes).filter(|used| *used <= self.bytes)
                });
            if taken.is_ok() {
                space.bytes += bytes;
                return true;
            }
            if !evict(&mut self.slots()) {
                return false;
            }
        }
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<PlayUrl, Slot>> {
        // No code that holds the lock panics.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ready(slots: &HashMap<PlayUrl, Slot>) -> usize {
    slots
        .values()
        .filter(|slot| matches!(slot, Slot::Ready { .. }))
        .count()
}

/// Evicts the least recently used file; `false` if there is none.
fn evict(slots: &mut HashMap<PlayUrl, Slot>) -> bool {
    let oldest = slots
        .iter()
        .filter_map(|(url, slot)| match slot {
            Slot::Ready { last_used, .. } => Some((*last_used, url)),
            Slot::Fetching(_) => None,
        })
        .min()
        .map(|(_, url)| url.clone());
    oldest.is_some_and(|url| slots.remove(&url).is_some())
}
