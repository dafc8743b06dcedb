//! Backends that do not care what they are asked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// A dribble's pace: slow enough to take long, fast enough to look alive.
const BETWEEN_BYTES: Duration = Duration::from_millis(10);

/// What a backend does after it has said its bytes.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// Waits for the other side to close.
    Keeps,
    /// Closes.
    Closes,
    /// Goes on saying the same, a byte at a time, until the other side closes.
    Dribbles,
}

/// A backend that says `answer` to each head, and reads nothing more than heads.
pub(crate) fn hasty(answer: &'static str, then: Then) -> SocketAddr {
    listening(move |mut socket| {
        while read_head(&socket) {
            let _ = socket.write_all(answer.as_bytes());
            match then {
                Then::Keeps => {}
                Then::Closes => return,
                Then::Dribbles => {
                    for byte in answer.bytes().cycle() {
                        if socket.write_all(&[byte]).is_err() {
                            return;
                        }
                        std::thread::sleep(BETWEEN_BYTES);
                    }
                }
            }
        }
    })
}

/// Runs `serve` for each connection.
pub(crate) fn listening(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            std::thread::spawn(move || serve(socket));
        }
    });
    address
}

/// Reads up to the empty line; `false` at the end of the connection. What lies behind it in the same packet is lost.
pub(crate) fn read_head(socket: &TcpStream) -> bool {
    let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
    loop {
        match lines.next() {
            Some(Ok(line)) if line.is_empty() => return true,
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return false,
        }
    }
}
