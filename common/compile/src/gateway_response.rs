//! Gateway responses: what an API says instead of the gateway's own words.
//!
//! AWS: "Gateway responses in API Gateway". Templates are plain substitution: text with `$context.*` and
//! `$stageVariables.*`. Absent: what the gateway says without them, which `sluice-pipeline` knows; directives and functions.

use http::{HeaderName, HeaderValue, StatusCode};
use sluice_model::{Diagnostic, Diagnostics};
use sluice_proto::model::GatewayResponse;

use crate::{
    http_proxy::{header_mapping, source_problem},
    mock::directive_problem,
    template,
    uri::Piece,
    value::ValueSource,
};

/// The author's form of one gateway response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledGatewayResponse {
    /// The status; `None`: the type's own.
    pub status: Option<StatusCode>,
    /// Headers to add. Static values are valid header values; `ValueSource::Path` does not occur.
    pub headers: Box<[(HeaderName, ValueSource)]>,
    /// The bodies, by media type; empty: the gateway's own.
    pub bodies: Box<[GatewayBody]>,
}

/// One template of a gateway response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayBody {
    /// Its content type.
    pub content_type: HeaderValue,
    /// Its text, with values between.
    pub pieces: Box<[Piece]>,
}

impl CompiledGatewayResponse {
    /// Returns the body for a client without wishes: `application/json`, or the first.
    pub fn body(&self) -> Option<&GatewayBody> {
        self.bodies.iter().find(|body| body.content_type == "application/json").or(self.bodies.first())
    }

    /// Compiles a gateway response; paths of diagnostics begin at the document.
    pub(crate) fn compile(document: &GatewayResponse, problems: &mut Diagnostics) -> Self {
        let status = document.status_code.as_deref().filter(|text| !text.is_empty()).and_then(|text| {
            let status = final_status(text);
            if status.is_none() {
                let message = format!("expected a status of 200 to 599, found {text:?}");
                problems.error("invalid-status", "statusCode", message);
            }
            status
        });
        let mut headers = Vec::new();
        for (place, source) in &document.response_parameters {
            match header(place, source) {
                Ok(header) => headers.push(header),
                Err(problem) => problems.push(problem),
            }
        }
        let mut bodies = Vec::new();
        for (content_type, text) in &document.response_templates {
            match body(content_type, text) {
                Ok(body) => bodies.push(body),
                Err(problem) => problems.push(problem),
            }
        }
        Self { status, headers: headers.into(), bodies: bodies.into() }
    }
}

/// Reads a status that can end an exchange: what stands for less is never the last response (RFC 9110, section 15.2), and
/// what is above 599 has no class.
pub(crate) fn final_status(text: &str) -> Option<StatusCode> {
    let code = text.parse().ok().filter(|code| (200..600).contains(code))?;
    StatusCode::from_u16(code).ok()
}

fn header(place: &str, source: &str) -> Result<(HeaderName, ValueSource), Diagnostic> {
    let at = format!("responseParameters[{place:?}]");
    let name = place.strip_prefix("gatewayresponse.header.").ok_or_else(|| {
        Diagnostic::error("invalid-mapping", at.as_str(), "expected gatewayresponse.header.NAME as the target")
    })?;
    if source.starts_with("method.request.path.") {
        let message = "a gateway response may stand for any path, so path variables have no value in it";
        return Err(Diagnostic::error(crate::NOT_SUPPORTED_YET, at, message));
    }
    let value = ValueSource::parse(source, &[]).map_err(|error| source_problem(&at, source, error))?;
    let mapping = header_mapping(&at, name, value)?;
    Ok((mapping.name, mapping.value))
}

fn body(content_type: &str, text: &str) -> Result<GatewayBody, Diagnostic> {
    let at = format!("responseTemplates[{content_type:?}]");
    let header = HeaderValue::from_str(content_type)
        .map_err(|_| Diagnostic::error("invalid-content-type", at.as_str(), "not a content type"))?;
    let pieces = template::substitution(text).map_err(|directive| directive_problem(&at, &directive))?;
    Ok(GatewayBody { content_type: header, pieces })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::ContextVariable;

    #[test]
    fn a_document_becomes_status_headers_and_bodies() {
        let document = GatewayResponse {
            status_code: Some("418".into()),
            response_parameters: [("gatewayresponse.header.X-A".into(), "'a'".into())].into(),
            response_templates: [
                ("application/xml".into(), "<e>$context.error.message</e>".into()),
                ("application/json".into(), "{}".into()),
            ]
            .into(),
            ..GatewayResponse::default()
        };
        let mut problems = Diagnostics::new();
        let compiled = CompiledGatewayResponse::compile(&document, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(compiled.status, Some(StatusCode::IM_A_TEAPOT));
        assert_eq!(compiled.headers[0].1, ValueSource::Static("a".into()));
        assert_eq!(compiled.body().unwrap().content_type, "application/json");
        assert_eq!(compiled.bodies[1].pieces[1], Piece::Value(ValueSource::Context(ContextVariable::ErrorMessage)));
    }

    #[test]
    fn a_status_that_ends_no_exchange_is_refused() {
        for text in ["100", "101", "199", "600", "999", "-200", "2OO", ""] {
            assert_eq!(final_status(text), None, "{text:?}");
        }
        assert_eq!(final_status("204"), Some(StatusCode::NO_CONTENT));
    }

    #[test]
    fn every_wrong_field_is_named() {
        let document = GatewayResponse {
            status_code: Some("high".into()),
            response_parameters: [("header.X-A".into(), "'a'".into())].into(),
            response_templates: [("application/json".into(), "#if(true)x#end".into())].into(),
            ..GatewayResponse::default()
        };
        let mut problems = Diagnostics::new();
        CompiledGatewayResponse::compile(&document, &mut problems);
        let found: Vec<_> = problems.iter().map(|problem| problem.at.as_str()).collect();
        assert_eq!(
            found,
            ["statusCode", "responseParameters[\"header.X-A\"]", "responseTemplates[\"application/json\"]"]
        );
    }
}
