//! Join tokens: any text is one or refused, and what was written is read as it was.

use crate::{Target, token_text::Text};

/// The target.
pub const TARGET: Target =
    Target { name: "tokens", run, seeds, words: &["sluice-join-1.", "eyJ", "=", "-", "_", " ", "\n", "%"] };

/// Reads the bytes as a token, and a token of them.
///
/// # Panics
/// When a token is not read as it was written.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(read) = Text::read(&text) {
        assert!(Text::read(&read.write()).is_ok_and(|again| again == read), "what was read can be written");
    }
    let mut words = text.split('\n').map(str::to_owned);
    let mut word = || words.next().unwrap_or_default();
    let (id, role, secret, cluster) = (word(), word(), word(), word());
    let written = Text { id, role, secret, cluster, ca: words.next() };
    let line = written.write();
    assert!(!line.contains(char::is_whitespace), "it is one word");
    assert!(line.len() > 64 * 1024 || Text::read(&format!(" {line}\n")).is_ok_and(|read| read == written));
}

fn seeds() -> Vec<Vec<u8>> {
    let of = |ca: Option<&str>| Text {
        id: "0123456789".to_owned(),
        role: "data".to_owned(),
        secret: "slj_secret".to_owned(),
        cluster: "c1".to_owned(),
        ca: ca.map(str::to_owned),
    };
    [None, Some("-----BEGIN CERTIFICATE-----\n")].map(|ca| of(ca).write().into_bytes()).into()
}
