//! How many connections one address has open at once, on all cores of a node.
//!
//! Promise: exact, and no memory of an address without connections, so that this is as bounded as connections are.
//! Absent: what an address asks for on them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::address_rate::client_network;

/// Parts with a lock each, so that cores seldom meet.
const PARTS: usize = 64;

/// Open connections by address.
#[derive(Debug)]
pub struct AddressConnections {
    most: u32,
    parts: [Mutex<HashMap<u128, u32>>; PARTS],
}

/// One connection of an address, until it is dropped.
#[derive(Debug)]
pub struct AddressSeat {
    all: Arc<AddressConnections>,
    address: u128,
}

impl AddressConnections {
    /// At most `most` of an address at once.
    pub fn new(most: u32) -> Self {
        Self { most, parts: std::array::from_fn(|_| Mutex::default()) }
    }

    /// Counts one more connection of `address`; `None` when it has as many as it may.
    pub fn seat(self: &Arc<Self>, address: IpAddr) -> Option<AddressSeat> {
        let address = client_network(address);
        let mut part = self.part(address);
        let open = part.entry(address).or_default();
        // What is not counted below leaves no entry: it would have been at zero, and `most` is at least one.
        if *open >= self.most {
            return None;
        }
        *open += 1;
        drop(part);
        Some(AddressSeat { all: Arc::clone(self), address })
    }

    fn part(&self, address: u128) -> MutexGuard<'_, HashMap<u128, u32>> {
        // Neighbours in a network differ below, networks above.
        let folded = (address >> 64) as u64 ^ address as u64;
        let at = (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58) as usize;
        self.parts[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AddressSeat {
    fn drop(&mut self) {
        let mut part = self.all.part(self.address);
        if let Some(open) = part.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                part.remove(&self.address);
            }
            if part.len() < part.capacity() / 8 {
                part.shrink_to_fit();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_and_another_when_one_is_closed() {
        let all = Arc::new(AddressConnections::new(2));
        let [ours, other]: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        let (first, _second) = (all.seat(ours).unwrap(), all.seat(ours).unwrap());
        assert!(all.seat(ours).is_none());
        assert!(all.seat(other).is_some());
        drop(first);
        assert!(all.seat(ours).is_some());
    }

    #[test]
    fn an_address_without_connections_is_not_remembered() {
        let all = Arc::new(AddressConnections::new(1));
        let seats: Vec<_> = (0..1_000_u32).map(|n| all.seat(std::net::Ipv4Addr::from(n).into()).unwrap()).collect();
        drop(seats);
        assert!(all.parts.iter().all(|part| part.lock().unwrap().is_empty()));
    }
}
