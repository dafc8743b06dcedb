//! The sockets on which traffic cores accept: one per core on the same port, so that the kernel spreads connections.
//!
//! Promise: a port that another program holds is an error that names the port, though `SO_REUSEPORT` would let us share
//! it. Absent: accepting.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted, per core.
const BACKLOG: i32 = 4_096;

/// The port is taken, or the address is not ours.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; free the port, or choose another with --listen-{name}")]
pub struct ListenFailure {
    name: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// Binds `count` sockets to one address; port 0 takes a free one.
///
/// # Errors
/// [`ListenFailure`] naming the address.
pub(crate) fn bind(name: &'static str, address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, ListenFailure> {
    let refuse = |source| ListenFailure { name, address, source };
    // Alone first: with SO_REUSEPORT a second program of the same user would share the port without a word.
    let probe = socket(address, Sharing::Alone).map_err(refuse)?;
    let bound = probe.local_addr().map_err(refuse)?.as_socket().expect("an internet socket has an internet address");
    drop(probe);
    (0..count)
        .map(|_| socket(bound, Sharing::WithOurOwn))
        .map(|made| made.map(TcpListener::from).map_err(refuse))
        .collect()
}

/// Who else may listen on the same port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Alone,
    WithOurOwn,
}

fn socket(address: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if sharing == Sharing::WithOurOwn {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    // both are inherited by accepted sockets (tcp(7), socket(7))
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(true)?;
    socket.bind(&address.into())?;
    if sharing == Sharing::WithOurOwn {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_sockets_share_a_port_that_nobody_else_can_take() {
        let ours = bind("http", "127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let address = ours[0].local_addr().unwrap();
        assert_eq!(address, ours[1].local_addr().unwrap());
        let refused = bind("http", address, 1).unwrap_err().to_string();
        assert!(refused.contains(&address.to_string()), "{refused}");
        assert!(refused.contains("--listen-http"), "{refused}");
    }
}
