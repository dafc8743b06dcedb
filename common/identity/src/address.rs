//! Addresses as operators type them: `HOST:PORT`, `http://HOST:PORT`, `https://HOST:PORT`.

use std::net::IpAddr;

use http::uri::Authority;

use crate::IdentityFailure;

/// What the text says about TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Unsaid,
    Http,
    Https,
}

/// An address to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, IdentityFailure> {
        let wrong = || IdentityFailure::Address { found: text.to_owned() };
        let (scheme, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (Scheme::Https, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (Scheme::Http, rest)
        } else {
            (Scheme::Unsaid, text)
        };
        let authority: Authority = rest.trim_end_matches('/').parse().map_err(|_| wrong())?;
        let port = authority.port_u16().ok_or_else(wrong)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(wrong());
        }
        Ok(Self { scheme, authority, host, port })
    }

    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

/// Whether `host` (a name or an IP address, without port) is this machine's loopback.
///
/// Of names only `localhost` and names under it count (RFC 6761, section 6.3); nothing is looked up.
pub fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_read() {
        for (text, scheme, host, port) in [
            ("10.0.0.1:7100", Scheme::Unsaid, "10.0.0.1", 7100),
            ("http://localhost:7110", Scheme::Http, "localhost", 7110),
            ("https://control-1.example:7100/", Scheme::Https, "control-1.example", 7100),
            ("[::1]:7100", Scheme::Unsaid, "::1", 7100),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.scheme, address.host.as_str(), address.port), (scheme, host, port), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "localhost", "ftp://a:1", "a:b:1", ":7100", "http://a/b:1", "u@a:1"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_is_recognised_by_address_and_reserved_name() {
        for (host, expect) in
            [("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("localhost", true), ("a.localhost", true)]
        {
            assert_eq!(is_loopback(host), expect, "{host}");
        }
        for host in ["10.0.0.1", "0.0.0.0", "::", "localhost.example", "example"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
