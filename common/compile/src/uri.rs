//! The URI of an HTTP backend: an origin, and pieces of path and query with the request's values between them.
//!
//! Promise: an origin is always one that can be connected to, and a path always begins with `/`.
//! Absent: stage variables, which are put into the text before it is read; values in scheme, host or port.

use std::sync::Arc;

use http::HeaderValue;

use crate::value::ValueSource;

/// Where a backend is: what a connection pool is keyed by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Plain or TLS.
    pub scheme: Scheme,
    /// Name or address; IPv6 without its brackets.
    pub host: Box<str>,
    /// The port, also where the URI left it to the scheme.
    pub port: u16,
    /// The `host` header: the port only where it is not the scheme's own.
    pub authority: HeaderValue,
}

/// How an origin is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// The port where a URI names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A compiled URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledUri {
    /// Where it leads.
    pub origin: Arc<Origin>,
    /// The path; its first piece is a literal that begins with `/`.
    pub path: Box<[Piece]>,
    /// The query that the URI itself has, without `?`; empty for none.
    pub query: Box<[Piece]>,
}

/// A piece of a path, query or template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text to be sent as it is.
    Literal(Box<str>),
    /// A value of the request. Values other than `ValueSource::Path` are not percent-encoded yet.
    Value(ValueSource),
}

/// Why a text is not the URI of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UriError {
    pub(crate) message: String,
    pub(crate) hint: &'static str,
}

impl CompiledUri {
    /// Reads a URI without stage variables; `value` gives the source of the variable `{name}`.
    pub(crate) fn parse(
        text: &str,
        mut value: impl FnMut(&str) -> Result<ValueSource, UriError>,
    ) -> Result<Self, UriError> {
        let (scheme, rest) = scheme_of(text)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let origin = Arc::new(origin_of(scheme, &rest[..end])?);
        let rest = rest[end..].split_once('#').map_or(&rest[end..], |(before, _)| before);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { origin, path: pieces(path, &mut value)?, query: pieces(query, &mut value)? })
    }
}

fn scheme_of(text: &str) -> Result<(Scheme, &str), UriError> {
    let (scheme, rest) = text.split_once("://").ok_or_else(|| UriError {
        message: format!("expected http:// or https://, found {text:?}"),
        hint: "write the whole URI of the backend",
    })?;
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok((Scheme::Http, rest)),
        "https" => Ok((Scheme::Https, rest)),
        _ => Err(UriError {
            message: format!("expected the scheme http or https, found {scheme:?}"),
            hint: "HTTP_PROXY integrations call HTTP backends only",
        }),
    }
}

fn origin_of(scheme: Scheme, text: &str) -> Result<Origin, UriError> {
    let wrong = |message: String| UriError { message, hint: "write HOST or HOST:PORT after the scheme" };
    if text.contains('@') {
        return Err(wrong("a URI with a user name cannot be called".to_owned()));
    }
    if text.contains(['{', '}']) {
        return Err(UriError {
            message: format!("the host {text:?} has a path variable"),
            hint: "only stage variables may stand in scheme, host and port",
        });
    }
    let authority: http::uri::Authority =
        text.parse().map_err(|_| wrong(format!("expected a host, found {text:?}")))?;
    let host = authority.host();
    if host.is_empty() {
        return Err(wrong("the host is empty".to_owned()));
    }
    let port = match text[text.rfind(host).map_or(0, |at| at + host.len())..].strip_prefix(':') {
        None => scheme.default_port(),
        Some(digits) => digits
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| wrong(format!("expected a port from 1 to 65535, found {digits:?}")))?,
    };
    let header = if port == scheme.default_port() { host.to_owned() } else { format!("{host}:{port}") };
    Ok(Origin {
        scheme,
        host: host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase().into(),
        port,
        authority: HeaderValue::from_str(&header).expect("an authority has no control characters"),
    })
}

fn pieces(text: &str, value: &mut impl FnMut(&str) -> Result<ValueSource, UriError>) -> Result<Box<[Piece]>, UriError> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let close = rest[open..].find('}').map(|at| open + at).ok_or_else(|| UriError {
            message: format!("{:?} opens a variable and does not close it", &rest[open..]),
            hint: "write {name}",
        })?;
        push_literal(&mut found, &rest[..open])?;
        let name = rest[open + 1..close].trim_end_matches('+');
        found.push(Piece::Value(value(name)?));
        rest = &rest[close + 1..];
    }
    push_literal(&mut found, rest)?;
    Ok(found.into())
}

fn push_literal(found: &mut Vec<Piece>, text: &str) -> Result<(), UriError> {
    if let Some(wrong) =
        text.chars().find(|letter| !letter.is_ascii_graphic() || matches!(letter, '"' | '<' | '>' | '}'))
    {
        return Err(UriError { message: format!("{wrong:?} cannot stand in a URI"), hint: "percent-encode it" });
    }
    if !text.is_empty() {
        found.push(Piece::Literal(text.into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CompiledUri, UriError> {
        CompiledUri::parse(text, |name| Ok(ValueSource::Query(name.into())))
    }

    fn literal(text: &str) -> Piece {
        Piece::Literal(text.into())
    }

    #[test]
    fn a_uri_is_an_origin_and_pieces() {
        let uri = parse("https://API.example.com:8443/v1/{id}/x{rest+}?a=b&c={c}#gone").unwrap();
        assert_eq!((&*uri.origin.host, uri.origin.port, uri.origin.scheme), ("api.example.com", 8443, Scheme::Https));
        assert_eq!(uri.origin.authority, "API.example.com:8443");
        let value = |name: &str| Piece::Value(ValueSource::Query(name.into()));
        assert_eq!(*uri.path, [literal("/v1/"), value("id"), literal("/x"), value("rest")]);
        assert_eq!(*uri.query, [literal("a=b&c="), value("c")]);
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        let uri = parse("http://localhost").unwrap();
        assert_eq!((uri.origin.port, &*uri.path, uri.query.len()), (80, &[literal("/")][..], 0));
        let uri = parse("https://[::1]?x=1").unwrap();
        assert_eq!((&*uri.origin.host, uri.origin.port, uri.origin.authority.to_str().unwrap()), ("::1", 443, "[::1]"));
        assert_eq!((&*uri.path, &*uri.query), (&[literal("/")][..], &[literal("x=1")][..]));
    }

    #[test]
    fn what_cannot_be_called_is_refused() {
        for wrong in [
            "example.com/x",
            "ftp://x/",
            "http://",
            "http:///x",
            "http://a:0/",
            "http://a:65536/",
            "http://a:/",
            "http://u@a/",
            "http://{host}/",
            "http://a b/",
            "http://a/ b",
            "http://a/{open",
            "http://a/\u{e4}",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
