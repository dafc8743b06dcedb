//! HTTP_PROXY: the request goes to a backend as it came, with mapped parameters put in.
//!
//! AWS: "Set up HTTP integrations". Response mappings and templates do not apply to a proxy and are not looked at.

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderName, HeaderValue, Method};
use sluice_model::{Diagnostic, Diagnostics, limits};
use sluice_proto::model::Integration;

use crate::{
    NOT_SUPPORTED_YET,
    stage::Variables,
    uri::{CompiledUri, UriError},
    value::{self, SourceError, ValueSource},
    verb::Verb,
};

/// A compiled HTTP_PROXY integration; its URI has no stage variables left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpProxy {
    /// The verb towards the backend; `None`: the request's own.
    pub verb: Option<Method>,
    /// Where the request goes.
    pub uri: CompiledUri,
    /// Headers to set; each replaces what the client sent under that name. An absent value sets nothing.
    pub headers: Box<[HeaderMapping]>,
    /// Query parameters to set; each replaces what the client sent under that name. An absent value sets nothing.
    pub query: Box<[QueryMapping]>,
    /// From the first byte sent to the last byte of the answer's head.
    pub timeout: Duration,
    /// Whether the backend's certificate is verified.
    pub tls: TlsPolicy,
}

/// A header of the request to the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMapping {
    /// Its name.
    pub name: HeaderName,
    /// Its value. A static one is a valid header value.
    pub value: ValueSource,
}

/// A query parameter of the request to the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryMapping {
    /// Its name, decoded.
    pub name: Box<str>,
    /// Its value, decoded; `ValueSource::Path` gives it percent-encoded.
    pub value: ValueSource,
}

/// What is asked of a backend's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsPolicy {
    /// A trusted chain and the name of the host.
    Verify,
    /// `insecureSkipVerification`: the name of the host and valid dates, as AWS; the authority may be unknown.
    SkipVerification,
}

/// An HTTP_PROXY integration whose URI waits for a stage's variables.
#[derive(Debug)]
pub struct StagedHttpProxy {
    uri: Box<str>,
    form: ProxyForm,
}

/// All of an HTTP_PROXY but its URI.
#[derive(Debug, Clone)]
struct ProxyForm {
    verb: Option<Method>,
    path: BTreeMap<Box<str>, ValueSource>,
    headers: Box<[HeaderMapping]>,
    query: Box<[QueryMapping]>,
    timeout: Duration,
    tls: TlsPolicy,
    variables: std::sync::Arc<[Box<str>]>,
}

/// What became of an HTTP_PROXY.
pub(crate) enum CompiledProxy {
    Fixed(HttpProxy),
    Staged(StagedHttpProxy),
}

/// The start of a stage variable in a URI.
const STAGE_VARIABLE: &str = "${stageVariables.";

/// Compiles the integration of a method whose path has `variables`; paths of diagnostics begin at the integration.
pub(crate) fn compile(
    integration: &Integration,
    variables: &std::sync::Arc<[Box<str>]>,
    problems: &mut Diagnostics,
) -> Option<CompiledProxy> {
    let form = ProxyForm::compile(integration, variables, problems);
    let Some(uri) = integration.uri.as_deref().filter(|uri| !uri.is_empty()) else {
        let missing = Diagnostic::error("uri-missing", "uri", "expected the URI of the backend, found none");
        problems.push(missing.hint("set it, such as https://backend.example.com/path"));
        return None;
    };
    if uri.contains(STAGE_VARIABLE) {
        // Every variable stands for a plain text: what is wrong then is wrong for all stages.
        check_uri(uri, &form, problems);
        return Some(CompiledProxy::Staged(StagedHttpProxy { uri: uri.into(), form }));
    }
    match form.clone().with_uri(uri) {
        Ok(proxy) => Some(CompiledProxy::Fixed(proxy)),
        Err(error) => {
            problems.push(Diagnostic::error("invalid-uri", "uri", error.message).hint(error.hint));
            None
        }
    }
}

/// Looks for unknown path variables in a URI whose stage variables are not known yet.
fn check_uri(uri: &str, form: &ProxyForm, problems: &mut Diagnostics) {
    let mut rest = uri;
    while let Some(open) = rest.find('{') {
        let Some(close) = rest[open..].find('}') else { break };
        let name = &rest[open + 1..open + close];
        if !rest[..open].ends_with('$')
            && let Err(error) = form.path_value(name.trim_end_matches('+'))
        {
            problems.push(Diagnostic::error("invalid-uri", "uri", error.message).hint(error.hint));
        }
        rest = &rest[open + close + 1..];
    }
}

impl StagedHttpProxy {
    /// The integration as a stage with these variables has it.
    ///
    /// # Errors
    /// What is wrong with the URI that they make.
    pub(crate) fn resolve(&self, variables: &Variables) -> Result<HttpProxy, Diagnostic> {
        let text = substitute(&self.uri, variables)?;
        self.form.clone().with_uri(&text).map_err(|error| {
            let message = format!("with the stage's variables it is {text:?}: {}", error.message);
            Diagnostic::error("invalid-uri", "uri", message).hint(error.hint)
        })
    }
}

fn substitute(uri: &str, variables: &Variables) -> Result<String, Diagnostic> {
    let mut text = String::with_capacity(uri.len());
    let mut rest = uri;
    while let Some(start) = rest.find(STAGE_VARIABLE) {
        let after = &rest[start + STAGE_VARIABLE.len()..];
        let end = after.find('}').ok_or_else(|| {
            Diagnostic::error("invalid-uri", "uri", "a stage variable is opened and not closed")
                .hint("write ${stageVariables.name}")
        })?;
        let name = &after[..end];
        let value = variables.get(name).ok_or_else(|| {
            let message = format!("the stage has no variable {name}");
            Diagnostic::error("stage-variable-missing", "uri", message)
                .hint(format!("set variables/{name} of the stage"))
        })?;
        text.push_str(&rest[..start]);
        text.push_str(value);
        rest = &after[end + 1..];
    }
    text.push_str(rest);
    Ok(text)
}

impl ProxyForm {
    fn compile(integration: &Integration, variables: &std::sync::Arc<[Box<str>]>, problems: &mut Diagnostics) -> Self {
        refuse_unsupported(integration, problems);
        let mut form = Self {
            verb: verb(integration, problems),
            path: BTreeMap::new(),
            headers: Box::default(),
            query: Box::default(),
            timeout: timeout(integration, problems),
            tls: match integration.tls_config.as_ref().and_then(|tls| tls.insecure_skip_verification) {
                Some(true) => TlsPolicy::SkipVerification,
                _ => TlsPolicy::Verify,
            },
            variables: variables.clone(),
        };
        let (mut headers, mut query) = (Vec::new(), Vec::new());
        for (place, source) in &integration.request_parameters {
            if let Err(problem) = form.map(place, source, &mut headers, &mut query) {
                problems.push(problem);
            }
        }
        (form.headers, form.query) = (headers.into(), query.into());
        form
    }

    /// Takes one entry of `requestParameters`.
    fn map(
        &mut self,
        place: &str,
        source: &str,
        headers: &mut Vec<HeaderMapping>,
        query: &mut Vec<QueryMapping>,
    ) -> Result<(), Diagnostic> {
        let at = format!("requestParameters[{place:?}]");
        let value = ValueSource::parse(source, &self.variables).map_err(|error| source_problem(&at, source, error))?;
        let target = place.strip_prefix("integration.request.").and_then(|target| target.split_once('.'));
        match target {
            Some(("path", name)) => {
                self.path.insert(name.into(), value);
            }
            Some(("querystring", name)) => query.push(QueryMapping { name: name.into(), value }),
            Some(("header", name)) => headers.push(header_mapping(&at, name, value)?),
            _ => {
                let message = "expected integration.request.{path|querystring|header}.NAME as the target";
                return Err(Diagnostic::error("invalid-mapping", at, message));
            }
        }
        Ok(())
    }

    fn with_uri(self, text: &str) -> Result<HttpProxy, UriError> {
        let uri = CompiledUri::parse(text, |name| self.path_value(name))?;
        let Self { verb, headers, query, timeout, tls, .. } = self;
        Ok(HttpProxy { verb, uri, headers, query, timeout, tls })
    }

    /// The source of `{name}` in the URI: what is mapped to it, else the path variable of that name.
    fn path_value(&self, name: &str) -> Result<ValueSource, UriError> {
        if let Some(mapped) = self.path.get(name) {
            return Ok(mapped.clone());
        }
        value::path_index(name, &self.variables).map(ValueSource::Path).map_err(|_| UriError {
            message: format!("the URI has the variable {{{name}}}, which nothing is mapped to"),
            hint: "map integration.request.path.NAME, or name a variable of the resource's path",
        })
    }
}

/// A header to set, whose static value is checked here.
pub(crate) fn header_mapping(at: &str, name: &str, value: ValueSource) -> Result<HeaderMapping, Diagnostic> {
    let name = value::header_name(name).map_err(|error| source_problem(at, name, error))?;
    if let ValueSource::Static(text) = &value
        && HeaderValue::from_str(text).is_err()
    {
        let message = format!("expected a header's value without control characters, found {text:?}");
        return Err(Diagnostic::error("invalid-mapping", at, message));
    }
    Ok(HeaderMapping { name, value })
}

/// The diagnostic of an expression that is no source.
pub(crate) fn source_problem(at: &str, source: &str, error: SourceError) -> Diagnostic {
    match error {
        SourceError::Invalid(message) => {
            Diagnostic::error("invalid-mapping", at, format!("{message}, found {source:?}"))
        }
        SourceError::NotSupported(what) => {
            Diagnostic::error(NOT_SUPPORTED_YET, at, format!("{what} not mapped yet, found {source:?}"))
        }
        SourceError::NoSuchVariable(name) => {
            let message = format!("the resource's path has no variable {name}");
            Diagnostic::error("invalid-mapping", at, message).hint("name a variable of the path")
        }
    }
}

fn refuse_unsupported(integration: &Integration, problems: &mut Diagnostics) {
    let mut refuse = |field: &str, message: &str| problems.error(NOT_SUPPORTED_YET, field, message);
    if integration.connection_type.as_deref().is_some_and(|form| form != "INTERNET")
        || integration.connection_id.is_some()
    {
        refuse("connectionType", "private links are not connected yet, expected INTERNET");
    }
    if integration.content_handling.is_some() {
        refuse("contentHandling", "bodies are not converted yet");
    }
    if integration.credentials.is_some() {
        refuse("credentials", "calls to backends are not signed yet");
    }
}

fn verb(integration: &Integration, problems: &mut Diagnostics) -> Option<Method> {
    let text = integration.http_method.as_deref().filter(|text| *text != "ANY")?;
    if Verb::parse(text).is_none() {
        let message = format!("expected an HTTP verb or ANY, found {text:?}");
        problems.error("invalid-verb", "httpMethod", message);
    }
    Method::from_bytes(text.as_bytes()).ok()
}

fn timeout(integration: &Integration, problems: &mut Diagnostics) -> Duration {
    let (least, most) = (limits::INTEGRATION_TIMEOUT_MS_MIN, limits::INTEGRATION_TIMEOUT_MS_MAX);
    let found = integration.timeout_in_millis.unwrap_or(limits::INTEGRATION_TIMEOUT_MS_DEFAULT);
    if !(least..=most).contains(&found) {
        let message = format!("expected {least} to {most} milliseconds, found {found}");
        problems.error("out-of-range", "timeoutInMillis", message);
    }
    Duration::from_millis(found.clamp(least, most).unsigned_abs().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uri::Piece;

    fn integration(uri: &str, mappings: &[(&str, &str)]) -> Integration {
        Integration {
            r#type: "HTTP_PROXY".into(),
            uri: Some(uri.into()),
            request_parameters: mappings.iter().map(|(to, from)| ((*to).into(), (*from).into())).collect(),
            ..Integration::default()
        }
    }

    fn compiled(integration: &Integration) -> Result<CompiledProxy, Vec<String>> {
        let mut problems = Diagnostics::new();
        let proxy = compile(integration, &["id".into(), "rest".into()].into(), &mut problems);
        proxy.filter(|_| problems.is_empty()).ok_or(problems.iter().map(|found| found.at.clone()).collect())
    }

    fn fixed(integration: &Integration) -> HttpProxy {
        match compiled(integration) {
            Ok(CompiledProxy::Fixed(proxy)) => proxy,
            _ => panic!("expected a fixed proxy"),
        }
    }

    #[test]
    fn mappings_go_where_they_are_told_and_path_variables_map_by_name() {
        let proxy = fixed(&integration(
            "http://b/{id}/{x}",
            &[
                ("integration.request.path.x", "method.request.path.rest"),
                ("integration.request.querystring.q", "method.request.header.X-Q"),
                ("integration.request.header.X-S", "'s'"),
            ],
        ));
        let literal = |text: &str| Piece::Literal(text.into());
        let value = |index| Piece::Value(ValueSource::Path(index));
        assert_eq!(*proxy.uri.path, [literal("/"), value(0), literal("/"), value(1)]);
        assert_eq!(&*proxy.query[0].name, "q");
        assert_eq!(proxy.headers[0].name, "x-s");
        assert_eq!(proxy.timeout, Duration::from_secs(29));
        assert_eq!((proxy.verb, proxy.tls), (None, TlsPolicy::Verify));
    }

    #[test]
    fn a_uri_with_stage_variables_is_made_for_each_stage() {
        let Ok(CompiledProxy::Staged(staged)) =
            compiled(&integration("http://${stageVariables.host}/v/{id}?k=${stageVariables.k}", &[]))
        else {
            panic!("expected a staged proxy")
        };
        let variables = |pairs: &[(&str, &str)]| {
            let owned: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            owned.iter().map(|(name, value)| (name, value)).collect::<Variables>()
        };
        let proxy = staged.resolve(&variables(&[("host", "b:81/base"), ("k", "1")])).unwrap();
        assert_eq!((&*proxy.uri.origin.host, proxy.uri.origin.port), ("b", 81));
        assert_eq!(proxy.uri.path[0], Piece::Literal("/base/v/".into()));
        assert_eq!(staged.resolve(&variables(&[("k", "1")])).unwrap_err().code, "stage-variable-missing");
        assert_eq!(staged.resolve(&variables(&[("k", "1"), ("host", "")])).unwrap_err().code, "invalid-uri");
    }

    #[test]
    fn every_wrong_field_is_named() {
        let mut wrong = integration(
            "http://b/{nothing}",
            &[
                ("integration.request.path.id", "method.request.path.none"),
                ("integration.request.header.a b", "'x'"),
                ("integration.request.header.a", "'\n'"),
                ("method.request.header.a", "'x'"),
                ("integration.request.querystring.a", "method.request.body.x"),
            ],
        );
        wrong.timeout_in_millis = Some(49);
        wrong.connection_type = Some("VPC_LINK".into());
        wrong.http_method = Some("BREW".into());
        let found = compiled(&wrong).err().unwrap();
        assert_eq!(
            found,
            [
                "connectionType",
                "httpMethod",
                "timeoutInMillis",
                "requestParameters[\"integration.request.header.a\"]",
                "requestParameters[\"integration.request.header.a b\"]",
                "requestParameters[\"integration.request.path.id\"]",
                "requestParameters[\"integration.request.querystring.a\"]",
                "requestParameters[\"method.request.header.a\"]",
                "uri",
            ]
        );
    }
}
