//! A node on loopback with a configuration made by hand, a backend that says what it saw, and a client of bare bytes.

#![allow(dead_code, clippy::allow_attributes, reason = "every test binary uses its own part of it")]

pub(crate) mod flood;
pub(crate) mod frames;
pub(crate) mod recorder;
pub(crate) mod script;
pub(crate) mod tls;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sluice_data::{DataNode, Settings};

use crate::fixture::{Api, Board, Rows, mock, proxy, stage};

/// How long a condition may take to hold before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Settings of a node that disturbs no other.
pub(crate) fn settings() -> Settings {
    let any = "127.0.0.1:0".parse().unwrap();
    Settings {
        listen_http: any,
        listen_https: any,
        listen_operations: any,
        cores: Some(2),
        drain_delay: Duration::ZERO,
        drain_timeout: PATIENCE,
        ..Settings::default()
    }
}

/// A configuration with the API `pets`, stage `dev`: `/mock`, and everything else to `backend`.
pub(crate) fn board(backend: SocketAddr) -> Arc<Board> {
    let mut rows = Rows::default();
    let to_backend = || proxy(&format!("http://{backend}/base/{{proxy}}"));
    let mut proxied = to_backend();
    proxied.request_parameters =
        [("integration.request.path.proxy".to_owned(), "method.request.path.proxy".to_owned())].into();
    let api = Api::new("pets").method("GET", "/mock", mock("200", "mock")).method("ANY", "/{proxy+}", proxied);
    Board::of(rows.deploy(&api, stage()))
}

/// Starts a node over `board`.
pub(crate) async fn node(settings: Settings, backend: SocketAddr) -> DataNode {
    DataNode::start_with(settings, board(backend)).await.unwrap()
}

/// A backend that answers with the head and body it saw; a path that ends in `/held` waits to be let go.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    release: Sender<()>,
    held: Receiver<()>,
}

impl Backend {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (release, released) = channel();
        let (holding, held) = channel();
        let gate = Arc::new(Mutex::new((holding, released)));
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let gate = Arc::clone(&gate);
                std::thread::spawn(move || serve(socket, &gate));
            }
        });
        Self { address, release, held }
    }

    /// Waits until a request is held.
    pub(crate) fn wait_held(&self) {
        self.held.recv_timeout(PATIENCE).unwrap();
    }

    /// Lets the held request go.
    pub(crate) fn release(&self) {
        self.release.send(()).unwrap();
    }
}

type Gate = Mutex<(Sender<()>, Receiver<()>)>;

fn serve(socket: TcpStream, gate: &Gate) {
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    let mut writer = socket;
    while let Some(head) = read_head(&mut reader) {
        let body = read_body(&mut reader, &head);
        if head.lines().next().unwrap_or_default().contains("/held") {
            let gate = gate.lock().unwrap();
            let _ = gate.0.send(());
            let _ = gate.1.recv();
        }
        let empty = head.starts_with("HEAD ");
        let answer = format!("{head}\n{body}");
        let sent = if empty { "" } else { &answer };
        let written = write!(
            writer,
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{sent}",
            answer.len()
        );
        if written.is_err() {
            return;
        }
    }
}

fn read_head(reader: &mut impl std::io::BufRead) -> Option<String> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            return Some(head);
        }
        head.push_str(&line.replace("\r\n", "\n"));
    }
}

/// The value of a field, lower case.
pub(crate) fn field(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

fn read_body(reader: &mut impl std::io::BufRead, head: &str) -> String {
    if field(head, "transfer-encoding").is_some() {
        return read_chunks(reader);
    }
    let length = field(head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    String::from_utf8_lossy(&body).into_owned()
}

fn read_chunks(reader: &mut impl std::io::BufRead) -> String {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        if reader.read_line(&mut size).unwrap_or(0) == 0 {
            break;
        }
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let mut chunk = vec![0; size + 2];
        if reader.read_exact(&mut chunk).is_err() || size == 0 {
            break;
        }
        body.extend_from_slice(&chunk[..size]);
    }
    String::from_utf8_lossy(&body).into_owned()
}

/// A response as its bytes said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A client's connection.
pub(crate) struct Client {
    writer: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let writer = TcpStream::connect(address).unwrap();
        writer.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { reader: BufReader::new(writer.try_clone().unwrap()), writer }
    }

    /// Writes bytes; what the other side no longer takes is lost.
    pub(crate) fn send(&mut self, bytes: &str) -> bool {
        self.writer.write_all(bytes.as_bytes()).is_ok()
    }

    /// The same for what is no text.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.writer.write_all(bytes).is_ok()
    }

    /// How long a read may wait from now on.
    pub(crate) fn patient(&self, patience: Duration) {
        self.writer.set_read_timeout(Some(patience.max(Duration::from_millis(1)))).unwrap();
    }

    /// Whether the other side closes, whatever it says before.
    pub(crate) fn ends(&mut self) -> bool {
        loop {
            match self.reader.fill_buf() {
                Ok([]) => return true,
                Ok(bytes) => {
                    let count = bytes.len();
                    self.reader.consume(count);
                }
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }

    pub(crate) fn request(&mut self, head: &str) -> Answer {
        assert!(self.send(head), "the connection takes the request");
        self.answer(!head.starts_with("HEAD "))
    }

    /// Reads one response.
    pub(crate) fn answer(&mut self, has_body: bool) -> Answer {
        read_answer(&mut self.reader, has_body)
    }

    /// Reads responses until the other side closes.
    pub(crate) fn answers(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Some(head) = read_head(&mut self.reader) {
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            let body = if status == 100 { String::new() } else { read_body(&mut self.reader, &head) };
            answers.push(Answer { status, head, body });
        }
        answers
    }

    /// Whether the other side closes without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        // A reset is an end too: what had not been read was thrown away.
        match self.reader.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    pub(crate) fn hang_up(self) {
        self.writer.shutdown(Shutdown::Both).unwrap();
    }
}

fn read_answer(reader: &mut impl std::io::BufRead, has_body: bool) -> Answer {
    let head = read_head(reader).expect("a response comes");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = if has_body { read_body(reader, &head) } else { String::new() };
    Answer { status, head, body }
}

/// A GET of `path` below the stage.
pub(crate) fn get(path: &str) -> String {
    format!("GET /dev{path} HTTP/1.1\r\nHost: pets.execute-api.localhost\r\n\r\n")
}

/// One request to the operations port.
pub(crate) fn operations(node: SocketAddr, path: &str) -> Answer {
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    Client::connect(node).request(&head)
}

/// Waits until a condition holds.
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

/// Runs blocking client code beside the node.
pub(crate) async fn blocking<T: Send + 'static>(code: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(code).await.unwrap()
}
