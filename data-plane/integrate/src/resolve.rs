//! Addresses of backends' names, remembered per core for a short time.
//!
//! Promise: one question at a time per name; while the resolver fails, addresses that were right a while ago are used.
//! Absent: the records' own time to live, which the system's resolver does not tell.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use ahash::AHashMap;
use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared};
use tokio::time::Instant;

use crate::counters::{Counters, add};
use crate::fault::{Fault, FaultKind};
use crate::settings::UpstreamSettings;

/// After a failure, how long the next question waits.
const FAILED_FOR: Duration = Duration::from_millis(500);

type Found = Result<Rc<[IpAddr]>, Rc<io::Error>>;
type Question = Shared<LocalBoxFuture<'static, Found>>;

/// The names one core has asked for.
pub(crate) struct Names {
    known: RefCell<AHashMap<Box<str>, Name>>,
    valid_for: Duration,
    stale_for: Duration,
    names_max: usize,
    counters: Rc<Counters>,
}

struct Name {
    /// The last addresses, with the time when they were found.
    addresses: Option<(Rc<[IpAddr]>, Instant)>,
    /// The question under way, or the last failure with its time.
    asking: Option<Question>,
    failed: Option<(Rc<io::Error>, Instant)>,
}

impl Names {
    pub(crate) fn new(settings: &UpstreamSettings, counters: Rc<Counters>) -> Self {
        Self {
            known: RefCell::default(),
            valid_for: settings.names_for,
            stale_for: settings.names_stale_for,
            names_max: settings.names_max,
            counters,
        }
    }

    /// The addresses of `host`, at least one.
    ///
    /// # Errors
    /// `Resolve` when the name has none.
    pub(crate) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Fault> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found = match self.recall(host, Instant::now()) {
            Recalled::Now(found) => found,
            Recalled::Ask(question) => {
                let found = question.await;
                self.remember(host, found, Instant::now())
            }
        };
        match found {
            Ok(addresses) => Ok(addresses.iter().map(|address| SocketAddr::new(*address, port)).collect()),
            Err(error) => Err(Fault::before_sending(FaultKind::Resolve, format!("cannot resolve {host}: {error}"))),
        }
    }

    fn recall(&self, host: &str, now: Instant) -> Recalled {
        let mut known = self.known.borrow_mut();
        if known.len() >= self.names_max && !known.contains_key(host) {
            self.make_room(&mut known, now);
        }
        let name = known.entry(host.into()).or_insert(Name { addresses: None, asking: None, failed: None });
        if let Some((addresses, at)) = &name.addresses
            && now.saturating_duration_since(*at) <= self.valid_for
        {
            return Recalled::Now(Ok(Rc::clone(addresses)));
        }
        if let Some((error, at)) = &name.failed
            && now.saturating_duration_since(*at) <= FAILED_FOR
        {
            return Recalled::Now(name.stale(now, self.stale_for).ok_or_else(|| Rc::clone(error)));
        }
        let question = name.asking.get_or_insert_with(|| {
            add(&self.counters.lookups, 1);
            ask(host.to_owned()).boxed_local().shared()
        });
        Recalled::Ask(question.clone())
    }

    fn remember(&self, host: &str, found: Found, now: Instant) -> Found {
        let mut known = self.known.borrow_mut();
        let Some(name) = known.get_mut(host) else { return found };
        // Only the first of those who waited for the question does this; the others find it done.
        if name.asking.take_if(|question| question.peek().is_some()).is_some() {
            match &found {
                Ok(addresses) => {
                    name.addresses = Some((Rc::clone(addresses), now));
                    name.failed = None;
                }
                Err(error) => name.failed = Some((Rc::clone(error), now)),
            }
        }
        found.or_else(|error| name.stale(now, self.stale_for).ok_or(error))
    }

    /// Forgets what is out of date, else anything that is not being asked.
    fn make_room(&self, known: &mut AHashMap<Box<str>, Name>, now: Instant) {
        known.retain(|_, name| name.asking.is_some() || name.stale(now, self.valid_for).is_some());
        if known.len() >= self.names_max {
            let victim = known.iter().find(|(_, name)| name.asking.is_none()).map(|(host, _)| host.clone());
            if let Some(victim) = victim {
                add(&self.counters.names_dropped, 1);
                known.remove(&victim);
            }
        }
    }
}

enum Recalled {
    Now(Found),
    Ask(Question),
}

impl Name {
    fn stale(&self, now: Instant, allowed: Duration) -> Option<Rc<[IpAddr]>> {
        let (addresses, at) = self.addresses.as_ref()?;
        (now.saturating_duration_since(*at) <= allowed).then(|| Rc::clone(addresses))
    }
}

async fn ask(host: String) -> Found {
    let found = tokio::net::lookup_host((host.as_str(), 0)).await.map_err(Rc::new)?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    if addresses.is_empty() {
        return Err(Rc::new(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    Ok(addresses.into())
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").field("known", &self.known.borrow().len()).finish_non_exhaustive()
    }
}
