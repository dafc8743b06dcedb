//! A relay between a node and the one it calls, which can lose what is answered.
//!
//! Promise: what the caller sends always arrives; once it has sent more than `deaf_after` bytes on a connection, nothing
//! comes back on it. So a request is carried out whose caller never hears of it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};

const BUFFER_BYTES: usize = 16 * 1024;

/// A running relay; it stops taking connections when this is dropped.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// Starts one in front of `to`.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn deaf_after(bytes: usize, to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let accepting = tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                let Ok(called) = TcpStream::connect(to).await else { continue };
                let deaf = Arc::new(AtomicBool::new(false));
                let ((from_caller, to_caller), (from_called, to_called)) = (caller.into_split(), called.into_split());
                tokio::spawn(there(from_caller, to_called, bytes, deaf.clone()));
                tokio::spawn(back(from_called, to_caller, deaf));
            }
        });
        Self { address, accepting }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn there(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, deaf_after: usize, deaf: Arc<AtomicBool>) {
    let (mut buffer, mut sent) = (vec![0; BUFFER_BYTES], 0);
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        sent += count;
        // Before it arrives: the answer to it is lost too.
        deaf.fetch_or(sent > deaf_after, Ordering::SeqCst);
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}

async fn back(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, deaf: Arc<AtomicBool>) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if !deaf.load(Ordering::SeqCst) && to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}
