//! `--backend URL`: an integration that passes an operation on as it came.

use sluice_model::check;
use sluice_proto::model::Integration;

use crate::{path::PathTemplate, problems::Problems};

/// A backend that has the paths of the API.
pub(crate) struct Backend {
    /// Without a slash at the end.
    base: String,
}

impl Backend {
    /// `None` with the problem reported when `url` is no base of paths.
    pub(crate) fn parse(url: &str, problems: &Problems) -> Option<Self> {
        let rest = ["http://", "https://"].iter().find_map(|scheme| url.strip_prefix(scheme));
        let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or("");
        if host.is_empty() || url.contains(['?', '#', ' ', '{', '}']) {
            let message = format!("expected http://HOST[:PORT][/PATH] or https://..., found `{url}`");
            problems.error("backend-invalid", "--backend".to_owned(), message, "for example http://127.0.0.1:9000");
            return None;
        }
        if let Some(found) = check::integration::http_uri(url).into_iter().next() {
            problems.error("backend-invalid", "--backend".to_owned(), found.message, found.hint);
            return None;
        }
        Some(Self { base: url.trim_end_matches('/').to_owned() })
    }

    /// Passes `verb` at `path` on to the same path of the backend.
    pub(crate) fn integration(&self, path: &PathTemplate<'_>, verb: &str) -> Integration {
        let request_parameters = path
            .variables()
            .map(|name| (format!("integration.request.path.{name}"), format!("method.request.path.{name}")))
            .collect();
        Integration {
            r#type: "HTTP_PROXY".to_owned(),
            http_method: Some(verb.to_owned()),
            // A greedy variable is named without its plus in the backend's URI.
            uri: Some(format!("{}{}", self.base, path.to_string().replace("+}", "}"))),
            request_parameters,
            ..Integration::default()
        }
    }
}
