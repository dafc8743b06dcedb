//! The connections of one core that have not yet said a word of HTTP: their TLS handshake or PROXY header is not done.
//!
//! Promise: never more than a bound at once; where one comes too many, the oldest goes, as it is the likeliest to be no
//! one's: an honest client is done within some round trips. Absent: their deadline, which the watch of each keeps.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::watch::{Order, Watch};

/// The handshakes of one core.
#[derive(Debug)]
pub(crate) struct Handshakes {
    most: usize,
    next: Cell<u64>,
    /// By age.
    waiting: RefCell<BTreeMap<u64, Rc<Watch>>>,
}

/// A handshake that goes on until this is dropped.
#[derive(Debug)]
pub(crate) struct Handshake {
    all: Rc<Handshakes>,
    at: u64,
}

/// What became of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// There was room.
    Free,
    /// The oldest was ended to make some.
    Made,
}

impl Handshakes {
    /// At most `most` at once, at least one.
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(1), next: Cell::default(), waiting: RefCell::default() }
    }

    /// Begins the handshake of a connection.
    pub(crate) fn begin(self: &Rc<Self>, watch: Rc<Watch>) -> (Handshake, Room) {
        let at = self.next.replace(self.next.get() + 1);
        let mut waiting = self.waiting.borrow_mut();
        let oldest = if waiting.len() < self.most { None } else { waiting.pop_first() };
        waiting.insert(at, watch);
        drop(waiting);
        let room = match oldest {
            Some((_, oldest)) => {
                oldest.tell(Order::Drop);
                Room::Made
            }
            None => Room::Free,
        };
        (Handshake { all: Rc::clone(self), at }, room)
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.all.waiting.borrow_mut().remove(&self.at);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::watch::{Connections, Patience};

    #[test]
    fn the_oldest_makes_room_for_one_too_many_and_those_that_are_done_count_no_longer() {
        let second = Duration::from_secs(1);
        let patience = Patience { handshake: second, head: second, idle: second, send: second };
        let connections = Connections::new(patience, Arc::default());
        let open: Vec<_> = (0..4).map(|_| connections.open()).collect();
        let begin = |all: &Rc<Handshakes>, at: usize| all.begin(Rc::clone(&open[at].0));
        let all = Rc::new(Handshakes::new(2));
        let (first, room) = begin(&all, 0);
        assert_eq!(room, Room::Free);
        drop(first);
        let (_second, room) = begin(&all, 1);
        assert_eq!(room, Room::Free);
        let (_third, room) = begin(&all, 2);
        assert_eq!(room, Room::Free);
        let (_fourth, room) = begin(&all, 3);
        assert_eq!(room, Room::Made);
        let orders: Vec<Order> = open.iter().map(|(watch, _)| watch.order()).collect();
        assert_eq!(orders, [Order::Serve, Order::Drop, Order::Serve, Order::Serve]);
    }
}
