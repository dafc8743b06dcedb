//! A load balancer with its clients: requests go to nodes whose `/readyz` is 200, and each has to succeed.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;

use crate::{http::get, wait::eventually};

/// How often nodes are asked whether they are ready; balancers ask every few seconds and are given `drain_delay` for it.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// Clients that send at once.
const CLIENTS: usize = 4;

/// Clients behind a balancer.
#[derive(Debug)]
pub struct Balancer {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Traffic and operations port of every node.
    nodes: Mutex<Vec<(SocketAddr, SocketAddr)>>,
    ready: Mutex<Vec<SocketAddr>>,
    sent: AtomicU64,
    failures: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Balancer {
    /// Begins to send `GET path` to these nodes: traffic port and operations port of each.
    #[must_use]
    pub fn start(nodes: Vec<(SocketAddr, SocketAddr)>, path: &str) -> Self {
        let shared = Arc::new(Shared { nodes: Mutex::new(nodes), ..Shared::default() });
        let mut tasks = vec![tokio::spawn(watch(shared.clone()))];
        tasks.extend((0..CLIENTS).map(|client| tokio::spawn(send(shared.clone(), client, path.to_owned()))));
        Self { shared, tasks }
    }

    /// From now on these are the nodes.
    pub fn set_nodes(&self, nodes: Vec<(SocketAddr, SocketAddr)>) {
        *locked(&self.shared.nodes) = nodes;
    }

    /// Waits until exactly `wanted` nodes are ready.
    ///
    /// # Panics
    /// When they do not become so.
    pub async fn ready(&self, wanted: usize) {
        eventually("the balancer sees the nodes that are ready", || async {
            let ready = locked(&self.shared.ready).len();
            if ready == wanted { Ok(()) } else { Err(ready) }
        })
        .await;
    }

    /// Waits until some requests more have been answered.
    ///
    /// # Panics
    /// When none is.
    pub async fn goes_on(&self) {
        let before = self.shared.sent.load(Ordering::Relaxed);
        eventually("requests are answered", || async {
            let now = self.shared.sent.load(Ordering::Relaxed);
            if now > before + 20 { Ok(()) } else { Err((now, locked(&self.shared.failures).clone())) }
        })
        .await;
    }

    /// Ends it; how many requests were sent.
    ///
    /// # Panics
    /// When one of them failed.
    pub async fn stop(self) -> u64 {
        self.shared.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a client does not panic");
        }
        let failures = locked(&self.shared.failures);
        let sent = self.shared.sent.load(Ordering::Relaxed);
        assert!(failures.is_empty(), "{} of {sent} requests failed, such as {:?}", failures.len(), failures.first());
        sent
    }
}

async fn watch(shared: Arc<Shared>) {
    while !shared.stop.load(Ordering::Relaxed) {
        let nodes = locked(&shared.nodes).clone();
        let mut ready = Vec::new();
        for (address, operations) in nodes {
            if get(operations, "/readyz", &[]).await.is_ok_and(|answer| answer.status() == 200) {
                ready.push(address);
            }
        }
        *locked(&shared.ready) = ready;
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn send(shared: Arc<Shared>, client: usize, path: String) {
    let mut turn = client;
    while !shared.stop.load(Ordering::Relaxed) {
        turn += 1;
        let to = {
            let ready = locked(&shared.ready);
            ready.get(turn % ready.len().max(1)).copied()
        };
        let Some(to) = to else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        let failure = match get(to, &path, &[]).await {
            Ok(answer) if answer.status() == 200 => None,
            Ok(answer) => Some(format!("{to}: {}", answer.status())),
            Err(error) => Some(format!("{to}: {error:#}")),
        };
        shared.sent.fetch_add(1, Ordering::Relaxed);
        locked(&shared.failures).extend(failure);
        // Load, but not all of a core.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn locked<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
