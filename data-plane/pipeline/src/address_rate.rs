//! How often one address may open a connection: protection that is local by nature, kept with `governor`.
//!
//! Promise: the memory of addresses is bounded; when it is full, addresses that are not remembered are let in, for this
//! protects a node from one client, not from many. Absent: limits of APIs; those are in `limits`.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Addresses remembered by a node.
pub const ADDRESSES_MAX: usize = 256 * 1024;
/// Bits of an IPv6 address that name one client's network.
const IPV6_CLIENT_BITS: u32 = 64;

/// Connections per address: a rate and a burst, on all cores together.
#[derive(Debug)]
pub struct AddressRate {
    addresses: DefaultKeyedRateLimiter<u128>,
    unlimited: AtomicU64,
}

impl AddressRate {
    /// Admits `per_second` new connections of an address, and up to `burst` at once.
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let addresses = RateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst));
        Self { addresses, unlimited: AtomicU64::new(0) }
    }

    /// Whether `address` may open one more connection now.
    pub fn admits(&self, address: IpAddr) -> bool {
        if self.addresses.len() >= ADDRESSES_MAX {
            self.unlimited.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        self.addresses.check_key(&client_network(address)).is_ok()
    }

    /// Connections that were let in unseen, because too many addresses are remembered.
    pub fn unlimited(&self) -> u64 {
        self.unlimited.load(Ordering::Relaxed)
    }

    /// Forgets addresses that have been quiet; to be called every few seconds.
    pub fn forget_quiet(&self) {
        self.addresses.retain_recent();
        if self.addresses.len() < ADDRESSES_MAX / 4 {
            self.addresses.shrink_to_fit();
        }
    }
}

/// What counts as one client: an IPv4 address, or the network that an IPv6 host chooses its addresses from.
pub(crate) fn client_network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address) >> (128 - IPV6_CLIENT_BITS) << (128 - IPV6_CLIENT_BITS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_over_its_burst_is_refused_and_others_are_not() {
        let rate = AddressRate::new(NonZeroU32::MIN, NonZeroU32::new(2).unwrap());
        let [ours, other]: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        assert!(rate.admits(ours) && rate.admits(ours));
        assert!(!rate.admits(ours));
        assert!(rate.admits(other));
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client() {
        assert_eq!(client_network("2001:db8::1".parse().unwrap()), client_network("2001:db8::ffff:1".parse().unwrap()));
        assert_ne!(client_network("2001:db8::1".parse().unwrap()), client_network("2001:db8:0:1::1".parse().unwrap()));
        assert_eq!(client_network("::ffff:192.0.2.1".parse().unwrap()), client_network("192.0.2.1".parse().unwrap()));
    }
}
