//! Who the client is: the peer, or whom a trusted proxy speaks for.
//!
//! Promise: a header from a peer that is not trusted is never believed. Absent: PROXY protocol.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// Where proxies name whom they speak for.
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The networks whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Reads CIDRs; a bare address is a network of one.
    ///
    /// # Errors
    /// The first text that is neither.
    pub fn parse<T: AsRef<str>>(networks: &[T]) -> Result<Self, NotANetwork> {
        let read = |text: &str| {
            let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            net.map_err(|_| NotANetwork(text.to_owned()))
        };
        networks.iter().map(|text| read(text.as_ref().trim())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether `address` lies in one of the networks.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }

    /// The client behind `peer`: the right-most entry of `X-Forwarded-For` that is not itself a trusted proxy.
    ///
    /// An entry that is no address ends the walk: what is left of it cannot be believed either.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if self.0.is_empty() || !self.trusts(peer) {
            return peer;
        }
        let mut client = peer;
        for value in headers.get_all(X_FORWARDED_FOR).iter().rev() {
            let Ok(text) = value.to_str() else { return client };
            for entry in text.rsplit(',') {
                let Some(address) = parse_entry(entry.trim()) else { return client };
                client = address;
                if !self.trusts(address) {
                    return client;
                }
            }
        }
        client
    }
}

/// A text that is neither a CIDR nor an address.
#[derive(Debug, thiserror::Error)]
#[error("expected a network such as 10.0.0.0/8, found {0:?}")]
pub struct NotANetwork(String);

/// Reads `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT`.
fn parse_entry(entry: &str) -> Option<IpAddr> {
    let address = entry.parse::<IpAddr>().ok();
    let address = address.or_else(|| entry.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()));
    let address = address.or_else(|| entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, forwarded: &[&str], expect: &str) {
        let trusted = TrustedProxies::parse(&["10.0.0.0/8", "127.0.0.1", "fd00::/8"]).unwrap();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(X_FORWARDED_FOR, value.parse().unwrap());
        }
        let client = trusted.client(peer.parse().unwrap(), &headers);
        assert_eq!(client, expect.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
    }

    #[test]
    fn the_right_most_untrusted_entry_is_the_client() {
        check("203.0.113.9", &["198.51.100.1"], "203.0.113.9");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["1.2.3.4, 198.51.100.1, 10.0.0.7"], "198.51.100.1");
        check("10.0.0.1", &["1.2.3.4", "198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
        check("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1");
        check("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1");
        check("10.0.0.1", &["2001:db8::1"], "2001:db8::1");
        check("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1");
    }

    #[test]
    fn an_entry_that_is_no_address_ends_the_walk() {
        check("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1");
        check("10.0.0.1", &["198.51.100.1, unknown, 10.0.0.5"], "10.0.0.5");
    }

    #[test]
    fn a_text_that_is_no_network_is_refused_by_name() {
        let refused = TrustedProxies::parse(&["10.0.0.0/8", "lan"]).unwrap_err();
        assert_eq!(refused.to_string(), "expected a network such as 10.0.0.0/8, found \"lan\"");
    }
}
