//! Changes that are made one after the other while a test does something to the cluster.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;

use crate::{
    grpc::{change, change_within, made, new_key, read_key, request_id},
    wait::eventually,
};

/// How long one write may take when it is sent once: several elections.
const ONCE: Duration = Duration::from_secs(10);

/// Makes keys one after the other, each with one request id.
#[derive(Debug)]
pub struct Writer {
    keys: Arc<Mutex<Vec<String>>>,
    failures: Arc<Mutex<Vec<String>>>,
    urls: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Writer {
    /// Asks one node after the other until a write is acknowledged: nodes may die.
    #[must_use]
    pub fn start(urls: Vec<String>) -> Self {
        Self::with(urls, Manner::UntilAcknowledged)
    }

    /// Sends each write once, to one node after the other: what is refused, or has no answer, is a failure.
    #[must_use]
    pub fn strict(urls: Vec<String>) -> Self {
        Self::with(urls, Manner::Once)
    }

    fn with(urls: Vec<String>, manner: Manner) -> Self {
        let (keys, failures) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (urls, stop) = (Arc::new(Mutex::new(urls)), Arc::<AtomicBool>::default());
        let (kept, failed, asked, told) = (keys.clone(), failures.clone(), urls.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let mut turn = 0;
            while !told.load(Ordering::Relaxed) {
                let urls = locked(&asked).clone();
                match write(manner, &mut turn, &urls).await {
                    Ok(key) => locked(&kept).push(key),
                    Err(failure) => locked(&failed).push(failure),
                }
            }
        });
        Self { keys, failures, urls, stop, task }
    }

    /// From the next write on these nodes are asked.
    pub fn ask(&self, urls: Vec<String>) {
        *locked(&self.urls) = urls;
    }

    /// How many writes were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        locked(&self.keys).len()
    }

    /// Waits until more than `before` were.
    ///
    /// # Panics
    /// When none comes.
    pub async fn goes_on(&self, before: usize) {
        eventually("changes are made", || async {
            let now = self.acknowledged();
            if now > before { Ok(()) } else { Err((now, locked(&self.failures).clone())) }
        })
        .await;
    }

    /// Ends it; the keys that were acknowledged.
    ///
    /// # Panics
    /// When a write failed that was to succeed.
    pub async fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("a writer does not panic");
        let failures = locked(&self.failures).clone();
        assert!(failures.is_empty(), "{} writes failed, such as {:?}", failures.len(), failures.first());
        locked(&self.keys).clone()
    }
}

fn locked<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Copy)]
enum Manner {
    Once,
    UntilAcknowledged,
}

/// Makes one key; its id.
async fn write(manner: Manner, turn: &mut usize, urls: &[String]) -> Result<String, String> {
    let id = request_id();
    let operations = || vec![new_key("one", "")];
    match manner {
        Manner::Once => {
            *turn += 1;
            let url = &urls[*turn % urls.len()];
            let written = change_within(ONCE, url, &id, operations()).await;
            written.map(|reply| made(&reply)).map_err(|status| format!("{url}: {status:?}"))
        }
        Manner::UntilAcknowledged => {
            let reply = eventually("the write is acknowledged", || {
                *turn += 1;
                let (url, id) = (urls[*turn % urls.len()].clone(), id.clone());
                async move { change(&url, &id, operations()).await }
            })
            .await;
            Ok(made(&reply))
        }
    }
}

/// Asserts that a control node holds every key.
///
/// # Panics
/// When it has lost one.
pub async fn holds_keys(url: &str, keys: &[String]) {
    for key in keys {
        let read = eventually("the node reads", || async {
            match read_key(url, key).await {
                Err(status) if status.code() != tonic::Code::NotFound => Err(status),
                read => Ok(read),
            }
        })
        .await;
        assert!(read.is_ok(), "{url} has lost {key}: {read:?}");
    }
}
