//! What a core knows about each of its connections, and the sweep that ends those that wait too long.
//!
//! Promise: slow handshakes, slow heads, idle connections and clients that stop reading are found within a second of their bound, at the
//! cost of a few stores per request instead of timers (hyper's own head timer costs 1,500 instructions a request).
//! A client of HTTP/2 that answers pings and takes no response holds nothing longer than one of HTTP/1.1 that stops reading.
//! Absent: deadlines of bodies on their way to a backend; the integration has those.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use sluice_pipeline::Bound;
use sluice_pipeline::tally::CoreTally;
use tokio::sync::Notify;

use crate::excess::Excess;

/// How long a connection may wait for its client. Resolution: one second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For a PROXY header and a TLS handshake together.
    pub(crate) handshake: Duration,
    /// From the first byte of a head to its last.
    pub(crate) head: Duration,
    /// Between requests.
    pub(crate) idle: Duration,
    /// For the client to take bytes of a response.
    pub(crate) send: Duration,
}

/// Bytes of a response, at least, that a client has to take within its time: more than the pings that it can make a node
/// answer meanwhile without being a nuisance of another kind.
const TAKEN_BYTES_MIN: usize = 1_024;

/// How long a client may go on sending what nobody reads after its last response, in all and without a byte: as nginx's
/// `lingering_time` and `lingering_timeout`.
const LINGER: Duration = Duration::from_secs(30);
const LINGER_SILENCE: Duration = Duration::from_secs(5);

/// How long a connection is idle before it rests: longer than the pause between two requests of a page.
const REST_AFTER_S: u32 = 1;

/// Whether a connection of HTTP/1 should be taken from its engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Rest {
    /// It is in use, or was a moment ago.
    #[default]
    No,
    /// It should.
    Due,
    /// It was, since its last request.
    Taken,
}

/// What a connection's task has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Order {
    /// Go on.
    #[default]
    Serve,
    /// Finish what is in flight, then close.
    Finish,
    /// End now.
    Drop,
}

/// What a client is being waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// Its PROXY header or its TLS handshake is not done.
    Handshake,
    /// Nothing has come since the last response.
    Idle,
    /// Part of a head has come.
    Head,
}

/// One connection, as its core sees it.
#[derive(Debug)]
pub(crate) struct Watch {
    clock: Rc<Cell<u32>>,
    waiting: Cell<Waiting>,
    /// Second since which it is in this state.
    since: Cell<u32>,
    /// Second since which the client takes nothing.
    blocked: Cell<Option<u32>>,
    in_flight: Cell<u32>,
    /// Responses of which something is ready that the client has not taken.
    owed: Cell<u32>,
    /// Second since which the client takes nothing of any of them, and the bytes written since.
    untaken: Cell<u32>,
    trickle: Cell<usize>,
    /// HTTP/2: bytes between requests are pings and settings, not a head.
    multiplexed: Cell<bool>,
    /// Something may have come from the client that is not read to its end: a head, or the body of the last request.
    unread: Cell<bool>,
    /// Second since which the last response is out and the client's end is waited for.
    lingering: Cell<Option<u32>>,
    /// What it is made to do for nothing.
    pub(crate) excess: Excess,
    rest: Cell<Rest>,
    order: Cell<Order>,
    waker: RefCell<Option<Waker>>,
}

impl Watch {
    fn new(clock: Rc<Cell<u32>>) -> Self {
        Self {
            since: Cell::new(clock.get()),
            clock,
            waiting: Cell::new(Waiting::Head),
            blocked: Cell::new(None),
            in_flight: Cell::new(0),
            owed: Cell::new(0),
            untaken: Cell::new(0),
            trickle: Cell::new(0),
            multiplexed: Cell::new(false),
            unread: Cell::new(false),
            lingering: Cell::new(None),
            excess: Excess::default(),
            rest: Cell::default(),
            order: Cell::default(),
            waker: RefCell::default(),
        }
    }

    /// It begins with a PROXY header or a TLS handshake.
    pub(crate) fn shake_hands(&self) {
        self.wait_for(Waiting::Handshake);
    }

    /// That is done: a request comes next.
    pub(crate) fn shook_hands(&self) {
        self.unread.set(false);
        self.wait_for(Waiting::Head);
    }

    fn wait_for(&self, what: Waiting) {
        self.waiting.set(what);
        self.since.set(self.clock.get());
    }

    /// Bytes came from the client.
    pub(crate) fn read(&self) {
        self.unread.set(true);
        if self.in_flight.get() > 0 {
            return;
        }
        if self.waiting.get() == Waiting::Idle && !self.multiplexed.get() {
            self.wait_for(Waiting::Head);
        }
        self.excess.idle_read(self.clock.get());
        self.ends_if_excessive();
    }

    fn ends_if_excessive(&self) {
        if self.excess.met().is_some() {
            self.tell(Order::Drop);
        }
    }

    /// The client took bytes.
    pub(crate) fn wrote(&self, count: usize) {
        self.blocked.set(None);
        if self.owed.get() > 0 {
            self.trickle.set(self.trickle.get() + count);
            if self.trickle.get() >= TAKEN_BYTES_MIN {
                self.moved();
            }
        }
    }

    fn moved(&self) {
        self.untaken.set(self.clock.get());
        self.trickle.set(0);
    }

    /// A response begins: its body is ready to be taken.
    pub(crate) fn owe(self: &Rc<Self>) -> Owed {
        let owed = Owed { watch: Rc::clone(self), ready: Cell::new(false) };
        owed.ready();
        owed
    }

    /// The client takes no more bytes for now.
    pub(crate) fn blocked(&self) {
        if self.blocked.get().is_none() {
            self.blocked.set(Some(self.clock.get()));
        }
    }

    /// A request has begun; it ends when the guard is dropped, and that of its body.
    pub(crate) fn begin(self: &Rc<Self>, version: http::Version) -> InFlight {
        self.multiplexed.set(version == http::Version::HTTP_2);
        self.unread.set(false);
        self.excess.begun();
        self.rest.set(Rest::No);
        self.in_flight()
    }

    /// The body of a request that has begun comes in; it is wanted until the guard is dropped.
    pub(crate) fn receive(self: &Rc<Self>) -> InFlight {
        self.unread.set(true);
        self.in_flight()
    }

    fn in_flight(self: &Rc<Self>) -> InFlight {
        self.in_flight.set(self.in_flight.get() + 1);
        InFlight(Rc::clone(self))
    }

    /// Whether the client may be sending what will not be read. HTTP/2 says by itself which request it has not taken.
    pub(crate) fn is_unread(&self) -> bool {
        self.unread.get() && !self.multiplexed.get()
    }

    /// The last response is out, and the client still sends.
    pub(crate) fn lingers(&self) {
        self.since.set(self.clock.get());
        if self.lingering.get().is_none() {
            self.lingering.set(Some(self.clock.get()));
        }
    }

    /// What the connection's task has to do.
    pub(crate) fn order(&self) -> Order {
        self.order.get()
    }

    /// Whether it speaks HTTP/2.
    pub(crate) fn is_multiplexed(&self) -> bool {
        self.multiplexed.get()
    }

    /// Where to wake the connection's task when there is an order.
    pub(crate) fn wake_by(&self, waker: &Waker) {
        *self.waker.borrow_mut() = Some(waker.clone());
    }

    /// Awaits `future`, unless the connection has to end now, which is `None`. Dropping it drops `future`.
    pub(crate) async fn unless_dropped<F: Future>(&self, future: F) -> Option<F::Output> {
        self.unless(Order::Drop, future).await
    }

    /// Awaits `future`, unless the connection is given `order` or a stronger one, which is `None`.
    pub(crate) async fn unless<F: Future>(&self, order: Order, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            self.excess.turn();
            self.wake_by(cx.waker());
            if self.order() >= order { Poll::Ready(None) } else { future.as_mut().poll(cx).map(Some) }
        })
        .await
    }

    /// Whether its engine should let go of it now; says so once for each time that it is idle.
    pub(crate) fn takes_rest(&self) -> bool {
        let due = self.rest.get() == Rest::Due;
        if due {
            self.rest.set(Rest::Taken);
        }
        due
    }

    /// Lets it rest if it has been idle for a while behind a request that had no body, and owes and is owed nothing.
    fn consider_rest(&self) {
        let idle = self.waiting.get() == Waiting::Idle && self.in_flight.get() == 0;
        let clear =
            !self.unread.get() && !self.multiplexed.get() && self.blocked.get().is_none() && self.owed.get() == 0;
        let long = self.clock.get().saturating_sub(self.since.get()) > REST_AFTER_S;
        if idle && clear && long && self.rest.get() == Rest::No && self.order() == Order::Serve {
            self.rest.set(Rest::Due);
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Gives an order; a weaker one than before changes nothing.
    pub(crate) fn tell(&self, order: Order) {
        if order > self.order.get() {
            self.order.set(order);
            if self.in_flight.get() == 0 && self.waiting.get() == Waiting::Idle {
                // Whatever the last request was, its client has had its response for a while.
                self.unread.set(false);
            }
            self.wake();
        }
    }

    /// The order that its waiting has earned, and the bound that it met.
    fn judge(&self, patience: &Patience) -> (Order, Option<Bound>) {
        let waited = |since: u32| Duration::from_secs(u64::from(self.clock.get().saturating_sub(since)));
        if let Some(since) = self.lingering.get() {
            let over = waited(since) > LINGER || waited(self.since.get()) > LINGER_SILENCE;
            return if over { (Order::Drop, Some(Bound::LingerTime)) } else { (Order::Serve, None) };
        }
        if self.blocked.get().is_some_and(|since| waited(since) > patience.send) {
            return (Order::Drop, Some(Bound::SendTime));
        }
        if self.owed.get() > 0 && waited(self.untaken.get()) > patience.send {
            return (Order::Drop, Some(Bound::SendTime));
        }
        if self.in_flight.get() > 0 {
            return (Order::Serve, None);
        }
        match self.waiting.get() {
            Waiting::Handshake if waited(self.since.get()) > patience.handshake => {
                (Order::Drop, Some(Bound::HandshakeTime))
            }
            Waiting::Head if waited(self.since.get()) > patience.head => (Order::Drop, Some(Bound::HeadTime)),
            // HTTP/2's engine may still hold the end of a response that nobody takes.
            Waiting::Idle if waited(self.since.get()) > patience.idle + patience.send => (Order::Drop, None),
            Waiting::Idle if waited(self.since.get()) > patience.idle => (Order::Finish, Some(Bound::IdleTime)),
            Waiting::Handshake | Waiting::Head | Waiting::Idle => (Order::Serve, None),
        }
    }
}

/// A request in flight.
#[derive(Debug)]
pub(crate) struct InFlight(Rc<Watch>);

impl InFlight {
    /// The client has given it up over HTTP/2, where that leaves the connection as it was.
    pub(crate) fn given_up(&self) {
        let watch = &self.0;
        if watch.multiplexed.get() {
            watch.excess.given_up();
            watch.ends_if_excessive();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let watch = &self.0;
        watch.in_flight.set(watch.in_flight.get() - 1);
        if watch.in_flight.get() == 0 {
            watch.wait_for(Waiting::Idle);
        }
    }
}

/// A response on its way: whether it waits for its client, or its client for it.
#[derive(Debug)]
pub(crate) struct Owed {
    watch: Rc<Watch>,
    ready: Cell<bool>,
}

impl Owed {
    /// There is something for the client to take.
    pub(crate) fn ready(&self) {
        if !self.ready.replace(true) {
            if self.watch.owed.get() == 0 {
                self.watch.moved();
            }
            self.watch.owed.set(self.watch.owed.get() + 1);
        }
    }

    /// The client has taken what there was.
    pub(crate) fn taken(&self) {
        if self.ready.replace(false) {
            self.watch.owed.set(self.watch.owed.get() - 1);
            self.watch.moved();
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.taken();
    }
}

/// All connections of one core.
#[derive(Debug)]
pub(crate) struct Connections {
    /// Seconds since the core began.
    clock: Rc<Cell<u32>>,
    patience: Patience,
    tally: Arc<CoreTally>,
    list: RefCell<Vec<Weak<Watch>>>,
    open: Rc<OpenCount>,
}

#[derive(Debug, Default)]
struct OpenCount {
    count: Cell<usize>,
    none: Notify,
}

/// Keeps a connection counted as open.
#[derive(Debug)]
pub(crate) struct Open(Rc<OpenCount>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        if self.0.count.get() == 0 {
            self.0.none.notify_waiters();
        }
    }
}

impl Connections {
    /// No connection yet; what ends them is counted in `tally`.
    pub(crate) fn new(patience: Patience, tally: Arc<CoreTally>) -> Self {
        Self { clock: Rc::default(), patience, tally, list: RefCell::default(), open: Rc::default() }
    }

    /// Takes up a connection; it is open until the second value is dropped.
    pub(crate) fn open(&self) -> (Rc<Watch>, Open) {
        let watch = Rc::new(Watch::new(Rc::clone(&self.clock)));
        self.list.borrow_mut().push(Rc::downgrade(&watch));
        self.open.count.set(self.open.count.get() + 1);
        (watch, Open(Rc::clone(&self.open)))
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.open.count.get()
    }

    /// Waits until none is open. Cancel-safe.
    pub(crate) async fn none(&self) {
        // One thread: nothing can close between reading the count and beginning to wait.
        while self.count() > 0 {
            self.open.none.notified().await;
        }
    }

    /// Moves the clock to `second`, ends what waited too long, and forgets what is gone.
    pub(crate) fn sweep(&self, second: u32) {
        self.clock.set(second);
        self.list.borrow_mut().retain(|watch| {
            let Some(watch) = watch.upgrade() else { return false };
            let (order, bound) = watch.judge(&self.patience);
            if let Some(bound) = bound
                && order > watch.order()
            {
                self.tally.hit(bound);
            }
            watch.tell(order);
            watch.consider_rest();
            true
        });
    }

    /// Gives an order to every connection that `which` names.
    pub(crate) fn tell(&self, order: Order, which: impl Fn(&Watch) -> bool) {
        for watch in self.list.borrow().iter().filter_map(Weak::upgrade).filter(|watch| which(watch)) {
            watch.tell(order);
        }
    }
}

#[cfg(test)]
mod tests;
