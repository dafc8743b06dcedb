//! Why a request cannot go on, for its caller.
//!
//! Promise: one table holds what AWS answers for each kind (type of gateway response, status, message, error type), and
//! it is the only place that knows them. Absent: bytes. `respond` makes them, with what the API customises.

use std::borrow::Cow;

use http::StatusCode;

/// A request that cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What went wrong, as AWS names it.
    pub(crate) kind: FaultKind,
    /// Whose fault it is.
    pub(crate) origin: Origin,
    /// Whether the same request may succeed.
    pub(crate) retry: Retry,
    /// For logs; never sent to the caller.
    pub(crate) detail: Cow<'static, str>,
}

impl Fault {
    /// A fault of `kind`, with the origin and the retry that the kind implies.
    pub(crate) fn new(kind: FaultKind, detail: impl Into<Cow<'static, str>>) -> Self {
        let (origin, retry) = match kind {
            FaultKind::Throttled => (Origin::Client, Retry::Later),
            FaultKind::IntegrationFailure | FaultKind::IntegrationTimeout => (Origin::Integration, Retry::Later),
            FaultKind::NoConfiguration => (Origin::Gateway, Retry::Later),
            FaultKind::ApiConfigurationError | FaultKind::ApiBroken | FaultKind::Internal => {
                (Origin::Gateway, Retry::Never)
            }
            _ => (Origin::Client, Retry::Never),
        };
        Self { kind, origin, retry, detail: detail.into() }
    }
}

/// Whose fault a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The caller asked for what cannot be had.
    Client,
    /// This program, or its configuration.
    Gateway,
    /// The backend.
    Integration,
}

/// Whether the same request may succeed when it is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It will not.
    Never,
    /// It may, after a while.
    Later,
}

/// The kinds of faults that this release can raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// No API or stage has this address.
    UnknownApi,
    /// The node has no configuration yet.
    NoConfiguration,
    /// The stage has never compiled on this node.
    ApiBroken,
    /// No method has this path and verb.
    MissingAuthenticationToken,
    /// The API key is missing, wrong, disabled or in no plan of this stage.
    InvalidApiKey,
    /// A rate limit was reached.
    Throttled,
    /// The body is larger than a gateway takes.
    RequestTooLarge,
    /// The head is larger than a gateway takes.
    HeadersTooLarge,
    /// Path and query are longer than a gateway takes.
    TargetTooLong,
    /// Not a valid HTTP request: host, target or framing.
    MalformedRequest,
    /// No template for the request's media type, and passing through is off.
    UnsupportedMediaType,
    /// The backend cannot be reached or does not speak HTTP.
    IntegrationFailure,
    /// The backend did not answer in time.
    IntegrationTimeout,
    /// The API is configured so that no answer can be made.
    ApiConfigurationError,
    /// A defect of this program.
    Internal,
}

/// How AWS answers a kind of fault.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    /// The type of gateway response that an API may customise; `None` for what AWS does not let customise.
    pub(crate) response_type: Option<&'static str>,
    /// The status unless customised.
    pub(crate) status: StatusCode,
    /// `$context.error.messageString` without its quotes.
    pub(crate) message: &'static str,
    /// `x-amzn-ErrorType`.
    pub(crate) error_type: &'static str,
    /// The whole default body.
    pub(crate) body: &'static str,
}

/// One row of the table: the body is AWS's default template over the message.
macro_rules! answered {
    ($response_type:expr, $status:ident, $message:literal, $error_type:literal) => {
        answered!($response_type, $status, $message, $error_type, concat!("{\"message\":\"", $message, "\"}"))
    };
    ($response_type:expr, $status:ident, $message:literal, $error_type:literal, $body:expr) => {
        Answered {
            response_type: $response_type,
            status: StatusCode::$status,
            message: $message,
            error_type: $error_type,
            body: $body,
        }
    };
}

/// AWS writes this one with a space where the error comes from an integration.
const INTEGRATION_ERROR: &str = r#"{"message": "Internal server error"}"#;

impl FaultKind {
    /// What AWS answers (developer guide, "Gateway response types").
    pub(crate) const fn answered(self) -> Answered {
        match self {
            Self::UnknownApi => answered!(None, FORBIDDEN, "Forbidden", "ForbiddenException"),
            Self::NoConfiguration => {
                answered!(None, SERVICE_UNAVAILABLE, "Service Unavailable", "ServiceUnavailableException")
            }
            Self::ApiBroken => answered!(
                None,
                INTERNAL_SERVER_ERROR,
                "Internal server error",
                "InternalServerErrorException",
                r#"{"message": "Internal server error", "code": "api-broken"}"#
            ),
            Self::MissingAuthenticationToken => answered!(
                Some("MISSING_AUTHENTICATION_TOKEN"),
                FORBIDDEN,
                "Missing Authentication Token",
                "MissingAuthenticationTokenException"
            ),
            Self::InvalidApiKey => answered!(Some("INVALID_API_KEY"), FORBIDDEN, "Forbidden", "ForbiddenException"),
            Self::Throttled => {
                answered!(Some("THROTTLED"), TOO_MANY_REQUESTS, "Too Many Requests", "TooManyRequestsException")
            }
            Self::RequestTooLarge => {
                answered!(None, PAYLOAD_TOO_LARGE, "Request Too Long", "RequestTooLargeException")
            }
            Self::HeadersTooLarge => answered!(
                None,
                REQUEST_HEADER_FIELDS_TOO_LARGE,
                "Request Header Fields Too Large",
                "RequestHeaderFieldsTooLargeException"
            ),
            Self::TargetTooLong => answered!(None, URI_TOO_LONG, "Request URI too long", "RequestUriTooLongException"),
            Self::MalformedRequest => answered!(None, BAD_REQUEST, "Bad Request", "BadRequestException"),
            Self::UnsupportedMediaType => answered!(
                Some("UNSUPPORTED_MEDIA_TYPE"),
                UNSUPPORTED_MEDIA_TYPE,
                "Unsupported Media Type",
                "BadRequestException"
            ),
            Self::IntegrationFailure => answered!(
                Some("INTEGRATION_FAILURE"),
                GATEWAY_TIMEOUT,
                "Network error communicating with endpoint",
                "InternalServerErrorException",
                r#"{"message": "Network error communicating with endpoint"}"#
            ),
            Self::IntegrationTimeout => answered!(
                Some("INTEGRATION_TIMEOUT"),
                GATEWAY_TIMEOUT,
                "Endpoint request timed out",
                "InternalServerErrorException",
                r#"{"message": "Endpoint request timed out"}"#
            ),
            Self::ApiConfigurationError => answered!(
                Some("API_CONFIGURATION_ERROR"),
                INTERNAL_SERVER_ERROR,
                "Internal server error",
                "InternalServerErrorException",
                INTEGRATION_ERROR
            ),
            Self::Internal => answered!(
                None,
                INTERNAL_SERVER_ERROR,
                "Internal server error",
                "InternalServerErrorException",
                INTEGRATION_ERROR
            ),
        }
    }
}

impl Answered {
    /// The type that stands in for all of this class.
    pub(crate) fn default_type(&self) -> &'static str {
        if self.status.is_client_error() { "DEFAULT_4XX" } else { "DEFAULT_5XX" }
    }
}
