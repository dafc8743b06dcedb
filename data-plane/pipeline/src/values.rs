//! What a mapping expression is worth for one request: `method.request.header.X`, `context.requestId`, and the rest.
//!
//! Promise: a value is borrowed from the request wherever it stands there as it is. Absent: values of bodies and of
//! authorizers; expressions that name them do not compile.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, Method, Uri, Version, header};
use sluice_compile::{ContextVariable, Piece, ValueSource, Variables};
use sluice_integrate::query;

use crate::authorize::sent_key;
use crate::fault::Answered;
use crate::request_id::RequestId;
use crate::time::{apache_time, epoch_ms};

/// A request as mapping expressions see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestValues<'a> {
    pub(crate) request: RequestView<'a>,
    pub(crate) stage: Option<StageView<'a>>,
    pub(crate) route: Option<RouteView<'a>>,
    /// The id of the API key that it was admitted by.
    pub(crate) key_id: Option<&'a str>,
    pub(crate) error: Option<ErrorView<'a>>,
    pub(crate) id: &'a RequestId,
    pub(crate) client: IpAddr,
}

/// The request itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestView<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) version: Version,
    pub(crate) host: &'a str,
    /// Where the path below the stage begins.
    pub(crate) path_start: usize,
}

/// The stage it reached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StageView<'a> {
    pub(crate) api_id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) deployment_id: &'a str,
    pub(crate) variables: &'a Variables,
}

/// The method it reached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RouteView<'a> {
    pub(crate) resource_id: &'a str,
    pub(crate) resource_path: &'a str,
    pub(crate) captured: Captured<'a>,
}

/// The values of the path's variables, percent-encoded as sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Captured<'a> {
    /// Where they lie in the path below the stage.
    InPath(&'a sluice_compile::Captures, &'a str),
    /// Kept beside it.
    Kept(&'a [Box<str>]),
}

/// The error that is being answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorView<'a> {
    pub(crate) answered: &'a Answered,
}

/// What a customised gateway response may name, kept while the request itself is on its way to a backend.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) version: Version,
    pub(crate) host: Box<str>,
    pub(crate) path_start: usize,
    pub(crate) api_id: Arc<str>,
    pub(crate) stage: Arc<str>,
    pub(crate) variant: Variant,
    pub(crate) route: Option<KeptRoute>,
}

/// Which deployment of a stage serves a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    Main,
    Canary,
}

/// The method a kept request reached.
#[derive(Debug)]
pub(crate) struct KeptRoute {
    pub(crate) resource_id: Box<str>,
    pub(crate) resource_path: Arc<str>,
    pub(crate) captured: Vec<Box<str>>,
}

impl Facts {
    pub(crate) fn request(&self) -> RequestView<'_> {
        RequestView {
            method: &self.method,
            uri: &self.uri,
            headers: &self.headers,
            version: self.version,
            host: &self.host,
            path_start: self.path_start,
        }
    }

    pub(crate) fn route(&self) -> Option<RouteView<'_>> {
        self.route.as_ref().map(|route| RouteView {
            resource_id: &route.resource_id,
            resource_path: &route.resource_path,
            captured: Captured::Kept(&route.captured),
        })
    }
}

impl<'a> RequestView<'a> {
    /// The path below the stage, as sent; `/` when nothing follows the stage.
    pub(crate) fn path(&self) -> &'a str {
        let path = &self.uri.path()[self.path_start..];
        if path.is_empty() { "/" } else { path }
    }

    fn query<'s>(&'s self, name: &'s str) -> impl Iterator<Item = Cow<'s, str>> {
        let sent = query::parameters(self.uri.query().unwrap_or_default());
        sent.filter(move |one| query::decoded(one.name) == name).map(|one| query::decoded(one.value))
    }

    fn header(&self, name: &HeaderName) -> impl DoubleEndedIterator<Item = Cow<'a, str>> {
        self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()))
    }
}

impl<'a> RequestValues<'a> {
    /// The value of an expression, several of them joined by commas; `None` when the request has none.
    pub(crate) fn value<'s>(&'s self, source: &'s ValueSource) -> Option<Cow<'s, str>> {
        match source {
            ValueSource::Static(text) => Some(Cow::Borrowed(text)),
            ValueSource::Path(index) => self.route.as_ref()?.captured.get(usize::from(*index)).map(Cow::Borrowed),
            ValueSource::Query(name) => self.request.query(name).last(),
            ValueSource::MultiQuery(name) => joined(self.request.query(name)),
            ValueSource::Header(name) => self.request.header(name).next_back(),
            ValueSource::MultiHeader(name) => joined(self.request.header(name)),
            ValueSource::Context(variable) => self.context(*variable),
            ValueSource::StageVariable(name) => self.stage.as_ref()?.variables.get(name).map(Cow::Borrowed),
        }
    }

    /// A text with its values put in; an absent value is an empty text.
    pub(crate) fn render(&self, pieces: &[Piece]) -> String {
        pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => Cow::Borrowed(&**text),
                Piece::Value(source) => self.value(source).unwrap_or_default(),
            })
            .collect()
    }

    fn context(&self, variable: ContextVariable) -> Option<Cow<'a, str>> {
        let host = self.request.host.rsplit_once(':').map_or(self.request.host, |(host, _)| host);
        let stage = self.stage.as_ref();
        let borrowed = match variable {
            ContextVariable::ApiId => stage?.api_id,
            ContextVariable::DeploymentId => stage?.deployment_id,
            ContextVariable::Stage => stage?.name,
            ContextVariable::DomainName => host,
            ContextVariable::DomainPrefix => host.split('.').next()?,
            ContextVariable::HttpMethod => self.request.method.as_str(),
            ContextVariable::Protocol => protocol(self.request.version),
            ContextVariable::ResourceId => self.route.as_ref()?.resource_id,
            ContextVariable::ResourcePath => self.route.as_ref()?.resource_path,
            ContextVariable::ApiKey => self.key_id.and_then(|_| sent_key(self.request.headers))?,
            ContextVariable::ApiKeyId => self.key_id?,
            ContextVariable::ErrorMessage => self.error.as_ref()?.answered.message,
            ContextVariable::ErrorResponseType => self.error.as_ref()?.answered.response_type?,
            ContextVariable::UserAgent => return self.request.header(&header::USER_AGENT).next_back(),
            ContextVariable::Path => return Some(format!("/{}{}", stage?.name, self.request.path()).into()),
            ContextVariable::ErrorMessageString => {
                return Some(format!("\"{}\"", self.error.as_ref()?.answered.message).into());
            }
            ContextVariable::ExtendedRequestId => return Some(self.id.extended().into()),
            ContextVariable::RequestId => return Some(self.id.uuid().to_string().into()),
            ContextVariable::RequestTime => return Some(apache_time(SystemTime::now()).into()),
            ContextVariable::RequestTimeEpoch => return Some(epoch_ms(SystemTime::now()).to_string().into()),
            ContextVariable::SourceIp => return Some(self.client.to_string().into()),
            ContextVariable::AccountId | ContextVariable::ErrorValidationString | ContextVariable::Absent => {
                return None;
            }
        };
        Some(Cow::Borrowed(borrowed))
    }
}

impl sluice_integrate::Values for RequestValues<'_> {
    fn each(&self, source: &ValueSource, take: &mut dyn FnMut(&str)) {
        match source {
            ValueSource::MultiQuery(name) => self.request.query(name).for_each(|value| take(&value)),
            ValueSource::MultiHeader(name) => self.request.header(name).for_each(|value| take(&value)),
            ValueSource::Path(index) => {
                if let Some(value) = self.route.as_ref().and_then(|route| route.captured.get(usize::from(*index))) {
                    take(value);
                }
            }
            source => {
                if let Some(value) = self.value(source) {
                    take(&value);
                }
            }
        }
    }
}

impl<'a> Captured<'a> {
    fn get(&self, index: usize) -> Option<&'a str> {
        match *self {
            Self::InPath(captures, path) => captures.text(index, path),
            Self::Kept(values) => values.get(index).map(|value| &**value),
        }
    }
}

fn joined<'a>(values: impl Iterator<Item = Cow<'a, str>>) -> Option<Cow<'a, str>> {
    values.reduce(|all, value| Cow::Owned(format!("{all},{value}")))
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expect: Option<&str>) {
        check_with(None, source, expect);
    }

    /// The same, of a request that the key `key_id` admitted.
    fn check_with(key_id: Option<&str>, source: &str, expect: Option<&str>) {
        let variables: Variables = [(&"color".to_owned(), &"blue".to_owned())].into_iter().collect();
        let mut headers = HeaderMap::new();
        headers.append("x-a", "1".parse().unwrap());
        headers.append("x-a", "2".parse().unwrap());
        headers.append("x-api-key", "secret".parse().unwrap());
        let uri: Uri = "/dev/pets/a%20b?q=1&q=2%2B+3&flag;s=4;s=5".parse().unwrap();
        let id = crate::request_id::RequestIds::new(1).draw();
        let captured = ["a%20b".into()];
        let values = RequestValues {
            request: RequestView {
                method: &Method::GET,
                uri: &uri,
                headers: &headers,
                version: Version::HTTP_11,
                host: "abc.execute-api.localhost:8080",
                path_start: 4,
            },
            stage: Some(StageView { api_id: "abc", name: "dev", deployment_id: "d1", variables: &variables }),
            route: Some(RouteView {
                resource_id: "r1",
                resource_path: "/pets/{id}",
                captured: Captured::Kept(&captured),
            }),
            key_id,
            error: None,
            id: &id,
            client: "192.0.2.1".parse().unwrap(),
        };
        let (place, name) = source.split_once('.').unwrap();
        let source = match place {
            "path" => ValueSource::Path(name.parse().unwrap()),
            "query" => ValueSource::Query(name.into()),
            "queries" => ValueSource::MultiQuery(name.into()),
            "header" => ValueSource::Header(name.parse().unwrap()),
            "headers" => ValueSource::MultiHeader(name.parse().unwrap()),
            "stage" => ValueSource::StageVariable(name.into()),
            _ => ValueSource::Context(ContextVariable::parse(name).unwrap()),
        };
        assert_eq!(values.value(&source).as_deref(), expect, "{source:?}");
    }

    #[test]
    fn each_place_of_a_request_has_its_values() {
        check("path.0", Some("a%20b"));
        check("path.1", None);
        check("query.q", Some("2+ 3"));
        check("queries.q", Some("1,2+ 3"));
        check("query.flag", Some(""));
        check("query.none", None);
        check("query.s", Some("5"));
        check("queries.s", Some("4,5"));
        check("header.x-a", Some("2"));
        check("headers.x-a", Some("1,2"));
        check("header.x-b", None);
        check("stage.color", Some("blue"));
        check("stage.none", None);
    }

    #[test]
    fn the_context_has_the_names_of_aws() {
        check("context.apiId", Some("abc"));
        check("context.stage", Some("dev"));
        check("context.deploymentId", Some("d1"));
        check("context.path", Some("/dev/pets/a%20b"));
        check("context.resourcePath", Some("/pets/{id}"));
        check("context.resourceId", Some("r1"));
        check("context.httpMethod", Some("GET"));
        check("context.protocol", Some("HTTP/1.1"));
        check("context.domainName", Some("abc.execute-api.localhost"));
        check("context.domainPrefix", Some("abc"));
        check("context.identity.sourceIp", Some("192.0.2.1"));
        check("context.identity.apiKey", None);
        check("context.identity.apiKeyId", None);
        check_with(Some("k1"), "context.identity.apiKey", Some("secret"));
        check_with(Some("k1"), "context.identity.apiKeyId", Some("k1"));
        check("context.error.message", None);
    }
}
