//! Which core serves a new connection.
//!
//! The kernel gives a connection to one of the cores by a hash of its addresses, which is even over many connections and
//! uneven over few. Promise: the core that accepted a connection keeps it, unless it holds far more than the mean; then the
//! core with the fewest gets it, through a bounded queue, before a byte of it is read. The node holds no more connections
//! than its bound, whichever cores they are on. Absent: moving a connection that is served; what each one costs.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::entry::Arrival;

/// Connections that wait to be taken by a core that was given them.
const QUEUE_MAX: usize = 256;
/// How far above the core with the fewest one may be: an eighth of the mean.
const SLACK_DIVISOR: usize = 8;

/// The cores of a node, and how many connections each has.
#[derive(Debug)]
pub(crate) struct Spread {
    most: usize,
    total: AtomicUsize,
    cores: Vec<Seats>,
}

#[derive(Debug)]
struct Seats {
    taken: AtomicUsize,
    queue: mpsc::Sender<Handed>,
}

/// A connection on its way to another core: nothing of it has been read.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) socket: TcpStream,
    pub(crate) arrival: Arrival,
}

/// A connection's place on a core, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    spread: Arc<Spread>,
    core: usize,
}

impl Spread {
    /// `count` cores with at most `most` connections together; also the queues from which each takes what it is handed.
    pub(crate) fn new(count: usize, most: usize) -> (Arc<Self>, Vec<mpsc::Receiver<Handed>>) {
        let (cores, receivers) = (0..count)
            .map(|_| {
                let (queue, receiver) = mpsc::channel(QUEUE_MAX);
                (Seats { taken: AtomicUsize::new(0), queue }, receiver)
            })
            .unzip();
        (Arc::new(Self { most, total: AtomicUsize::new(0), cores }), receivers)
    }

    /// A place for a connection that core `accepted` accepted, there or elsewhere; `None` when the node is full.
    pub(crate) fn place(self: &Arc<Self>, accepted: usize) -> Option<Place> {
        if self.total.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.total.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let core = self.choose(accepted);
        self.cores[core].taken.fetch_add(1, Ordering::Relaxed);
        Some(Place { spread: Arc::clone(self), core })
    }

    /// Connections of each core.
    pub(crate) fn counts(&self) -> Vec<usize> {
        (0..self.cores.len()).map(|core| self.taken(core)).collect()
    }

    fn choose(&self, accepted: usize) -> usize {
        let counts = (0..self.cores.len()).map(|core| (self.taken(core), core));
        let (fewest, least_loaded) = counts.min().unwrap_or((0, accepted));
        let mean = self.total.load(Ordering::Relaxed) / self.cores.len();
        if self.taken(accepted) > fewest + mean / SLACK_DIVISOR { least_loaded } else { accepted }
    }

    fn taken(&self, core: usize) -> usize {
        self.cores[core].taken.load(Ordering::Relaxed)
    }
}

impl Place {
    /// The core.
    pub(crate) fn core(&self) -> usize {
        self.core
    }

    /// Room in the queue of its core; `None` when that core takes none just now.
    pub(crate) fn queue(&self) -> Option<mpsc::OwnedPermit<Handed>> {
        self.spread.cores[self.core].queue.clone().try_reserve_owned().ok()
    }

    /// Moves it to another core.
    pub(crate) fn moved(mut self, core: usize) -> Self {
        self.spread.cores[self.core].taken.fetch_sub(1, Ordering::Relaxed);
        self.spread.cores[core].taken.fetch_add(1, Ordering::Relaxed);
        self.core = core;
        self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.spread.cores[self.core].taken.fetch_sub(1, Ordering::Relaxed);
        self.spread.total.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_connections_are_even_over_cores_though_one_accepts_them_all() {
        let (spread, _queues) = Spread::new(4, 100);
        let places: Vec<_> = (0..8).map(|_| spread.place(2).unwrap()).collect();
        assert_eq!(spread.counts(), [2, 2, 2, 2]);
        assert_eq!(places[0].core(), 2, "an idle node hands nothing over");
    }

    #[test]
    fn many_connections_stay_within_an_eighth_of_the_mean_and_few_are_handed_over_where_the_kernel_is_even() {
        let (spread, _queues) = Spread::new(4, 10_000);
        // A core that is given twice as many as each other.
        let uneven = [0, 0, 1, 2, 3];
        let places: Vec<_> = (0..1_000).map(|n| spread.place(uneven[n % 5]).unwrap()).collect();
        let counts = spread.counts();
        assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 250 / 8 + 1, "{counts:?}");
        drop(places);
        assert_eq!(spread.counts(), [0; 4]);
        let places: Vec<_> = (0..1_000).map(|n| (n % 4, spread.place(n % 4).unwrap())).collect();
        assert!(places.iter().all(|(accepted, place)| place.core() == *accepted));
    }

    #[test]
    fn a_full_node_has_no_place_on_any_core() {
        let (spread, _queues) = Spread::new(2, 3);
        let places: Vec<_> = (0..3).map(|_| spread.place(0).unwrap()).collect();
        assert!(spread.place(1).is_none());
        drop(places);
        assert!(spread.place(1).is_some());
    }

    #[test]
    fn a_core_that_ends_is_handed_nothing() {
        let (spread, mut queues) = Spread::new(2, 10);
        let _first = spread.place(0).unwrap();
        let second = spread.place(0).unwrap();
        assert_eq!(second.core(), 1);
        assert!(second.queue().is_some());
        queues[1].close();
        assert!(second.queue().is_none());
        let kept = second.moved(0);
        assert_eq!((kept.core(), spread.counts()), (0, vec![2, 0]));
    }
}
