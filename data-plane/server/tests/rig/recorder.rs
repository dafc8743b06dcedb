//! A backend that takes HTTP/1.1 by the letter and keeps what it saw; a path that ends in `/held` it never answers.
//!
//! Promise: what is not exactly a request (RFC 9112) is kept as an offence, and nothing after it is read: a test that finds
//! none knows that every byte on every connection belonged to the requests it sees.

use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Method and target.
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
}

/// The backend; its threads end with the test.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    seen: Vec<Seen>,
    offences: Vec<String>,
}

impl Recorder {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::new(Mutex::new(Kept::default()));
        let keeping = Arc::clone(&kept);
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&keeping);
                std::thread::spawn(move || serve(socket, &kept));
            }
        });
        Self { address, kept }
    }

    /// The requests since the last time, and forgets them.
    ///
    /// # Panics
    /// When anything but requests came.
    pub(crate) fn take(&self) -> Vec<Seen> {
        let mut kept = self.kept.lock().unwrap();
        assert!(kept.offences.is_empty(), "a backend was sent {:?}", kept.offences);
        std::mem::take(&mut kept.seen)
    }
}

impl Seen {
    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn serve(mut socket: TcpStream, kept: &Mutex<Kept>) {
    let mut bytes = Vec::new();
    loop {
        match request(&mut socket, &mut bytes) {
            Ok(Some(seen)) => {
                let is_held = seen.line.ends_with("/held");
                kept.lock().unwrap().seen.push(seen);
                if is_held {
                    // No answer: the other side gives up, or the test ends.
                    while more(&mut socket, &mut bytes).is_some() {}
                    return;
                }
            }
            Ok(None) => return,
            Err(offence) => return kept.lock().unwrap().offences.push(offence),
        }
        if socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

/// Reads one request from the front of `bytes`, and what more it takes; `None` at a clean end, or one within a request,
/// which then was not meant to be one.
fn request(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<Option<Seen>, String> {
    let Some(head) = up_to(socket, bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8(head).map_err(|_| "a head that is not text".to_owned())?;
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let [method, target, "HTTP/1.1"] = line.split(' ').collect::<Vec<_>>()[..] else { return Err(head) };
    let mut fields = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| head.clone())?;
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let is_value = value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
        if !is_name || !is_value {
            return Err(head);
        }
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let values = |wanted: &'static str| {
        fields.iter().filter(move |(name, _)| name == wanted).map(|(_, value): &(String, String)| value.clone())
    };
    let (lengths, codings) =
        (values("content-length").collect::<Vec<_>>(), values("transfer-encoding").collect::<Vec<_>>());
    let body = match (&lengths[..], &codings[..]) {
        ([], []) => Some(Vec::new()),
        ([length], []) => {
            let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
            let length = length.parse().ok().filter(|_| is_number).ok_or_else(|| head.clone())?;
            exactly(socket, bytes, length)
        }
        ([], [coding]) if coding == "chunked" => chunks(socket, bytes)?,
        _ => return Err(head),
    };
    let line = format!("{method} {target}");
    Ok(body.map(|body| Seen { line, fields, body: String::from_utf8_lossy(&body).into_owned() }))
}

fn chunks(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    loop {
        let Some(line) = up_to(socket, bytes, b"\r\n") else { return Ok(None) };
        let text = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
        let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = usize::from_str_radix(&text, 16).ok().filter(|_| is_hex);
        let size = size.ok_or_else(|| format!("a chunk's size {text:?}"))?;
        let Some(mut chunk) = exactly(socket, bytes, size + 2) else { return Ok(None) };
        if chunk.split_off(size) != b"\r\n" {
            return Err(format!("a chunk that does not end: {:?}", String::from_utf8_lossy(&chunk)));
        }
        if size == 0 {
            return Ok(Some(body));
        }
        body.extend_from_slice(&chunk);
    }
}

/// The bytes up to and with `end`; `None` where the connection ends before.
fn up_to(socket: &mut TcpStream, bytes: &mut Vec<u8>, end: &[u8]) -> Option<Vec<u8>> {
    loop {
        if let Some(at) = bytes.windows(end.len()).position(|part| part == end) {
            let rest = bytes.split_off(at + end.len());
            return Some(std::mem::replace(bytes, rest));
        }
        more(socket, bytes)?;
    }
}

fn exactly(socket: &mut TcpStream, bytes: &mut Vec<u8>, count: usize) -> Option<Vec<u8>> {
    while bytes.len() < count {
        more(socket, bytes)?;
    }
    let rest = bytes.split_off(count);
    Some(std::mem::replace(bytes, rest))
}

fn more(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut room = [0; 16 * 1024];
    let count = socket.read(&mut room).ok().filter(|count| *count > 0)?;
    bytes.extend_from_slice(&room[..count]);
    Some(())
}
