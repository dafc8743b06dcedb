//! What a core does with a connection: lets it in or closes it, hands it to another core or attends to it.
//!
//! Promise: a connection that is let in is counted where it is served, from before its first byte to its end.

use std::net::IpAddr;
use std::rc::Rc;

use sluice_pipeline::tally::ThrottledBy;
use sluice_pipeline::{AddressSeat, Bound, Scheme};
use tokio::net::TcpStream;
use tracing::debug;

use super::TrafficCore;
use crate::connection::{ClientStream, Spoken, WatchedSocket};
use crate::entry::{self, Arrival, Caller, Entered, EntryFailure, ProxyHeader};
use crate::handshakes::Room;
use crate::spread::Handed;
use crate::watch::Watch;

impl TrafficCore {
    /// Takes a connection that this core accepted, or closes it where a bound says so.
    pub(super) fn take(self: &Rc<Self>, socket: TcpStream, caller: Caller) {
        let tally = self.gateway.tally();
        let trusted = self.shared.gateway.trusted_proxies.trusts(caller.address);
        let seat = if trusted {
            None
        } else {
            let Some(seat) = self.admit(caller.address) else { return };
            Some(seat)
        };
        let Some(place) = self.shared.spread.place(self.index) else {
            tally.refused.add(1);
            tally.hit(Bound::Connections);
            return;
        };
        let header = if trusted { self.shared.proxy_header } else { ProxyHeader::Unknown };
        let arrival = Arrival { caller, header, seat, place };
        if arrival.place.core() == self.index { self.attend(socket, arrival) } else { self.hand_over(socket, arrival) }
    }

    /// Gives a connection to the core that it has a place on, or keeps it when that core takes none.
    fn hand_over(self: &Rc<Self>, socket: TcpStream, mut arrival: Arrival) {
        let Some(permit) = arrival.place.queue() else {
            arrival.place = arrival.place.moved(self.index);
            self.attend(socket, arrival);
            return;
        };
        match socket.into_std() {
            Ok(socket) => {
                self.gateway.tally().handed.add(1);
                permit.send(Handed { socket, arrival });
            }
            Err(error) => debug!(%error, "connection could not be handed to another core"),
        }
    }

    /// Takes a connection that another core handed over.
    pub(super) fn take_handed(self: &Rc<Self>, handed: Handed) {
        match TcpStream::from_std(handed.socket) {
            Ok(socket) => self.attend(socket, handed.arrival),
            Err(error) => debug!(%error, "connection of another core could not be taken"),
        }
    }

    /// Serves a connection from its first byte to its last, in a task of its own.
    fn attend(self: &Rc<Self>, socket: TcpStream, arrival: Arrival) {
        self.gateway.tally().accepted.add(1);
        let (watch, open) = self.connections.open();
        let core = Rc::clone(self);
        // Counted by `connections`, which `finish` waits for.
        tokio::task::spawn_local(async move {
            let Arrival { caller, header, seat, place } = arrival;
            core.serve(socket, caller, header, seat, watch).await;
            core.gateway.tally().closed.add(1);
            drop((place, open));
        });
    }

    async fn serve(
        &self,
        socket: TcpStream,
        caller: Caller,
        header: ProxyHeader,
        seat: Option<AddressSeat>,
        watch: Rc<Watch>,
    ) {
        let entered = if header == ProxyHeader::Unknown && caller.scheme == Scheme::Http {
            Some(Entered { stream: plain(socket, &watch), spoken: Spoken::AsItBegins, caller, seat })
        } else {
            // Boxed, for it is large and soon over.
            Box::pin(self.enter(socket, caller, header, seat, &watch)).await
        };
        if let Some(Entered { stream, spoken, caller, seat: _seat }) = entered {
            self.engine.clone().serve(stream, spoken, caller.connection(), watch).await;
        }
    }

    /// Takes PROXY header and TLS handshake; `None` when they fail or take too long.
    async fn enter(
        &self,
        socket: TcpStream,
        caller: Caller,
        header: ProxyHeader,
        seat: Option<AddressSeat>,
        watch: &Rc<Watch>,
    ) -> Option<Entered> {
        let tally = self.gateway.tally();
        watch.shake_hands();
        let (_handshake, room) = self.handshakes.begin(Rc::clone(watch));
        if room == Room::Made {
            tally.hit(Bound::Handshakes);
        }
        match watch.unless_dropped(self.greet(socket, caller, header, seat, watch)).await? {
            Ok(entered) => {
                watch.shook_hands();
                Some(entered)
            }
            Err(failure) => {
                match &failure {
                    EntryFailure::Silent | EntryFailure::Refused => {}
                    EntryFailure::Proxy(_) | EntryFailure::BrokeOff(_) => tally.proxy_headers_failed.add(1),
                    EntryFailure::Tls(_) => tally.handshakes_failed.add(1),
                }
                debug!(%failure, peer = %caller.address, "connection of a client ended before its first request");
                None
            }
        }
    }

    async fn greet(
        &self,
        mut socket: TcpStream,
        proxy: Caller,
        header: ProxyHeader,
        mut seat: Option<AddressSeat>,
        watch: &Rc<Watch>,
    ) -> Result<Entered, EntryFailure> {
        let mut caller = proxy;
        if header == ProxyHeader::Required {
            caller = entry::proxy_header(&mut socket, proxy).await?;
            // The proxy is exempt, and so is one before it; whom they speak for is not.
            if !self.shared.gateway.trusted_proxies.trusts(caller.address) {
                seat = Some(self.admit(caller.address).ok_or(EntryFailure::Refused)?);
            }
        }
        let (stream, spoken) = match (caller.scheme, &self.shared.acceptor) {
            (Scheme::Https, Some(acceptor)) => {
                let agreed = entry::handshake(acceptor, socket, watch).await?;
                self.gateway.tally().handshakes.add(1);
                agreed
            }
            _ => (plain(socket, watch), Spoken::AsItBegins),
        };
        Ok(Entered { stream, spoken, caller, seat })
    }

    /// Counts one more connection of an address; `None` when it opens them too fast, or has too many.
    fn admit(&self, address: IpAddr) -> Option<AddressSeat> {
        let tally = self.gateway.tally();
        let refuse = |bound| {
            tally.refused.add(1);
            tally.hit(bound);
        };
        if !self.shared.address_rate.admits(address) {
            refuse(Bound::ConnectionRate);
            tally.throttled(ThrottledBy::Connection);
            return None;
        }
        let seat = self.shared.address_connections.seat(address);
        if seat.is_none() {
            refuse(Bound::AddressConnections);
        }
        seat
    }
}

fn plain(socket: TcpStream, watch: &Rc<Watch>) -> ClientStream {
    ClientStream::plain(WatchedSocket::new(socket, Rc::clone(watch)))
}
