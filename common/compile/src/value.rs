//! Where a mapped value comes from: `method.request.header.X`, `'static'`, `context.x`, `stageVariables.x`.
//!
//! AWS: "API Gateway API request and response data mapping reference". Absent: bodies and JSON paths.

use http::HeaderName;

/// The origin of one value, read when a request is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueSource {
    /// This text.
    Static(Box<str>),
    /// The path variable with this index in `CompiledMethod::variables` and in the captures, as the client sent it
    /// (percent-encoded).
    Path(u16),
    /// The last value of this query parameter, decoded.
    Query(Box<str>),
    /// All values of this query parameter, in order.
    MultiQuery(Box<str>),
    /// The last value of this header.
    Header(HeaderName),
    /// All values of this header, in order.
    MultiHeader(HeaderName),
    /// A fact about the request.
    Context(ContextVariable),
    /// A variable of the stage; absent variables are absent values.
    StageVariable(Box<str>),
}

/// The variables of `$context` that this release knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContextVariable {
    /// `accountId`
    AccountId,
    /// `apiId`
    ApiId,
    /// `deploymentId`
    DeploymentId,
    /// `domainName`
    DomainName,
    /// `domainPrefix`
    DomainPrefix,
    /// `extendedRequestId`
    ExtendedRequestId,
    /// `httpMethod`
    HttpMethod,
    /// `path`: with the stage.
    Path,
    /// `protocol`
    Protocol,
    /// `requestId`
    RequestId,
    /// `requestTime`: in the form of Apache's log.
    RequestTime,
    /// `requestTimeEpoch`: milliseconds.
    RequestTimeEpoch,
    /// `resourceId`
    ResourceId,
    /// `resourcePath`
    ResourcePath,
    /// `stage`
    Stage,
    /// `identity.sourceIp`
    SourceIp,
    /// `identity.userAgent`
    UserAgent,
    /// `identity.apiKey`: the value as the client sent it.
    ApiKey,
    /// `identity.apiKeyId`
    ApiKeyId,
    /// `error.message`: bare text; only in gateway responses.
    ErrorMessage,
    /// `error.messageString`: quoted, as JSON; only in gateway responses.
    ErrorMessageString,
    /// `error.responseType`; only in gateway responses.
    ErrorResponseType,
    /// `error.validationErrorString`; only in gateway responses.
    ErrorValidationString,
    /// One that AWS has and that is always absent here (an authorizer's, an IAM caller's).
    Absent,
}

impl ContextVariable {
    /// Reads the name after `context.`; `None` for one that AWS does not have either.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "accountId" => Self::AccountId,
            "apiId" => Self::ApiId,
            "deploymentId" => Self::DeploymentId,
            "domainName" => Self::DomainName,
            "domainPrefix" => Self::DomainPrefix,
            "extendedRequestId" => Self::ExtendedRequestId,
            "httpMethod" => Self::HttpMethod,
            "path" => Self::Path,
            "protocol" => Self::Protocol,
            "requestId" => Self::RequestId,
            "requestTime" => Self::RequestTime,
            "requestTimeEpoch" => Self::RequestTimeEpoch,
            "resourceId" => Self::ResourceId,
            "resourcePath" => Self::ResourcePath,
            "stage" => Self::Stage,
            "identity.sourceIp" => Self::SourceIp,
            "identity.userAgent" => Self::UserAgent,
            "identity.apiKey" => Self::ApiKey,
            "identity.apiKeyId" => Self::ApiKeyId,
            "error.message" => Self::ErrorMessage,
            "error.messageString" => Self::ErrorMessageString,
            "error.responseType" => Self::ErrorResponseType,
            "error.validationErrorString" => Self::ErrorValidationString,
            "awsEndpointRequestId" | "wafResponseCode" | "webaclArn" | "isCanaryRequest" => Self::Absent,
            _ if name.starts_with("authorizer.") || name.starts_with("identity.") => Self::Absent,
            _ => return None,
        })
    }
}

/// Why an expression is not a value's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceError {
    /// Not an expression at all, or a name that cannot be.
    Invalid(&'static str),
    /// Something that this release cannot do.
    NotSupported(&'static str),
    /// A path variable that the resource does not have.
    NoSuchVariable(String),
}

impl ValueSource {
    /// Reads a mapping expression. `variables` are the names of the resource's path variables, in their order.
    pub(crate) fn parse(text: &str, variables: &[Box<str>]) -> Result<Self, SourceError> {
        if let Some(inner) = text.strip_prefix('\'') {
            let inner = inner.strip_suffix('\'').ok_or(SourceError::Invalid("a static value ends with a quote"))?;
            return Ok(Self::Static(inner.into()));
        }
        if let Some(request) = text.strip_prefix("method.request.") {
            return Self::of_request(request, variables);
        }
        if let Some(name) = text.strip_prefix("stageVariables.") {
            return Ok(Self::StageVariable(not_empty(name)?.into()));
        }
        if let Some(name) = text.strip_prefix("context.") {
            let known = ContextVariable::parse(name).ok_or(SourceError::Invalid("unknown context variable"))?;
            return Ok(Self::Context(known));
        }
        if text.starts_with("integration.response.") {
            return Err(SourceError::NotSupported("values of the backend's response are"));
        }
        Err(SourceError::Invalid("expected method.request.*, context.*, stageVariables.* or a quoted text"))
    }

    fn of_request(text: &str, variables: &[Box<str>]) -> Result<Self, SourceError> {
        if text == "body" || text.starts_with("body.") || text.starts_with("body[") {
            return Err(SourceError::NotSupported("values of the body are"));
        }
        let (place, name) = text.split_once('.').ok_or(SourceError::Invalid("a name follows the place"))?;
        let name = not_empty(name)?;
        Ok(match place {
            "path" => Self::Path(path_index(name, variables)?),
            "querystring" => Self::Query(name.into()),
            "multivaluequerystring" => Self::MultiQuery(name.into()),
            "header" => Self::Header(header_name(name)?),
            "multivalueheader" => Self::MultiHeader(header_name(name)?),
            _ => return Err(SourceError::Invalid("the place is path, querystring, header or their multivalue forms")),
        })
    }
}

pub(crate) fn path_index(name: &str, variables: &[Box<str>]) -> Result<u16, SourceError> {
    let index = variables.iter().position(|variable| &**variable == name);
    let index = index.ok_or_else(|| SourceError::NoSuchVariable(name.to_owned()))?;
    Ok(u16::try_from(index).expect("a path has at most CAPTURES_MAX variables"))
}

pub(crate) fn header_name(name: &str) -> Result<HeaderName, SourceError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| SourceError::Invalid("not a header's name"))
}

fn not_empty(name: &str) -> Result<&str, SourceError> {
    if name.is_empty() { Err(SourceError::Invalid("a name is missing")) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<ValueSource, SourceError>) {
        assert_eq!(ValueSource::parse(text, &["id".into(), "proxy".into()]), expect, "{text}");
    }

    #[test]
    fn each_form_of_expression_is_read() {
        check("'a b'", Ok(ValueSource::Static("a b".into())));
        check("method.request.path.proxy", Ok(ValueSource::Path(1)));
        check("method.request.querystring.page", Ok(ValueSource::Query("page".into())));
        check("method.request.header.X-Id", Ok(ValueSource::Header(HeaderName::from_static("x-id"))));
        check("method.request.multivaluequerystring.a", Ok(ValueSource::MultiQuery("a".into())));
        check("stageVariables.backend", Ok(ValueSource::StageVariable("backend".into())));
        check("context.identity.sourceIp", Ok(ValueSource::Context(ContextVariable::SourceIp)));
        check("context.authorizer.claims.sub", Ok(ValueSource::Context(ContextVariable::Absent)));
    }

    #[test]
    fn what_cannot_be_is_told_from_what_cannot_be_yet() {
        check("method.request.path.other", Err(SourceError::NoSuchVariable("other".into())));
        assert!(matches!(ValueSource::parse("method.request.body.a", &[]), Err(SourceError::NotSupported(_))));
        for wrong in ["", "'open", "context.nothing", "method.request.header.a b", "method.request.header.", "plain"] {
            assert!(matches!(ValueSource::parse(wrong, &[]), Err(SourceError::Invalid(_))), "{wrong}");
        }
    }
}
