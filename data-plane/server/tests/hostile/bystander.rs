//! An ordinary client beside a hostile one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::rig::{Client, get};

/// Its connections: enough that every core of a test's node has some.
const CONNECTIONS: usize = 6;
/// Between two requests of one connection.
const PACE: Duration = Duration::from_millis(1);
/// Requests that are compared: before, and while something goes on.
const REQUESTS: usize = 120;

/// Runs `attack` again and again until an ordinary client has had its requests meanwhile, none of which may fail.
pub(crate) fn notices_nothing(node: SocketAddr, what: &str, mut attack: impl FnMut()) {
    let before = Watched::start(node);
    before.until(REQUESTS);
    let before = before.stop();
    let during = Watched::start(node);
    loop {
        attack();
        if during.has(REQUESTS) {
            break;
        }
    }
    let during = during.stop();
    eprintln!("{what}: p99 of others {:?} before, {:?} meanwhile", p99(before), p99(during));
}

struct Watched {
    answered: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Duration>>>,
}

impl Watched {
    fn start(node: SocketAddr) -> Self {
        let (answered, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let threads = (0..CONNECTIONS).map(|_| {
            let (answered, stop) = (Arc::clone(&answered), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut client = Client::connect(node);
                let mut taken = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    assert_eq!(client.request(&get("/mock")).status, 200);
                    taken.push(began.elapsed());
                    answered.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(PACE);
                }
                taken
            })
        });
        let threads = threads.collect();
        Self { answered, stop, threads }
    }

    fn until(&self, count: usize) {
        while !self.has(count) {
            std::thread::sleep(PACE);
        }
    }

    /// Whether so many were answered, or one was not.
    fn has(&self, count: usize) -> bool {
        self.answered.load(Ordering::Relaxed) >= count || self.threads.iter().any(JoinHandle::is_finished)
    }

    /// The times of all requests.
    fn stop(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let joined = self.threads.into_iter().map(|thread| thread.join().expect("no request of another client fails"));
        joined.flatten().collect()
    }
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[(times.len() * 99 / 100).min(times.len() - 1)]
}
