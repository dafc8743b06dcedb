//! `parameters` to a method's request parameters.
//!
//! Those of the path item hold for each of its operations, which may override them by name and place. Cookies and
//! form fields have no form in the model: they pass through to the backend and are left out here, as AWS does.

use std::collections::BTreeMap;

use crate::{model::Models, node::Node, path::PathTemplate};

/// The parameters of one operation.
pub(crate) struct Parameters<'d> {
    /// `method.request.{path|querystring|header}.NAME` to whether it is required.
    pub(crate) required: BTreeMap<String, bool>,
    /// Swagger 2: the parameter that is the body.
    body: Option<Node<'d>>,
}

impl<'d> Parameters<'d> {
    pub(crate) fn read(path: &PathTemplate<'d>, item: &Node<'d>, operation: &Node<'d>) -> Self {
        let mut found = Self { required: BTreeMap::new(), body: None };
        for owner in [item, operation] {
            for parameter in owner.items_of("parameters") {
                if let Some(parameter) = parameter.resolved() {
                    found.add(path, parameter);
                }
            }
        }
        found
    }

    fn add(&mut self, path: &PathTemplate<'d>, parameter: Node<'d>) {
        let (name, place) = (parameter.text("name"), parameter.text("in"));
        let (Some(name), Some(place)) = (name, place) else {
            parameter.error("parameter-invalid", "expected `name` and `in`", "name it, and say where it is sent");
            return;
        };
        let is_required = parameter.flag("required").unwrap_or(false);
        match place.as_str() {
            "path"
                if path.variables().any(|variable| variable == name || variable.strip_suffix('+') == Some(&name)) =>
            {
                self.required.insert(location("path", &name), true);
            }
            "path" => {
                let message = format!("no variable `{{{name}}}` in {path}; this parameter is left out");
                parameter.warn("parameter-left-out", message, "correct its name, or the path");
            }
            "query" => drop(self.required.insert(location("querystring", &name), is_required)),
            "header" => drop(self.required.insert(location("header", &name), is_required)),
            "body" => self.body = Some(parameter),
            "cookie" | "formData" => {}
            other => {
                let message = format!("expected path, query, header, cookie, body or formData, found `{other}`");
                parameter.error("parameter-invalid", message, "correct `in`");
            }
        }
    }

    /// Swagger 2: the model of the body for each media type.
    pub(crate) fn body_models(&self, media_types: &[String], models: &mut Models<'d>) -> BTreeMap<String, String> {
        let schema = self.body.as_ref().and_then(|body| body.field("schema"));
        let Some(model) = schema.and_then(|schema| models.of_schema(&schema, "Request")) else {
            return BTreeMap::new();
        };
        media_types.iter().map(|media_type| (media_type.clone(), model.clone())).collect()
    }

    /// A backend whose URI names the variables needs them declared, which files may forget.
    pub(crate) fn require_path_variables(&mut self, path: &PathTemplate<'_>) {
        for name in path.variables() {
            self.required.insert(location("path", name), true);
        }
    }
}

fn location(place: &str, name: &str) -> String {
    format!("method.request.{place}.{name}")
}
