//! `securitySchemes` and `security`: API keys, authorizers, IAM.
//!
//! Promise: a scheme that the model cannot enforce is a warning where it is used, never silently dropped. Where an
//! operation lists alternatives, the model has no "or": all that it can enforce of them is required.

use std::collections::HashMap;

use sluice_model::check;
use sluice_proto::model::Authorizer;

use crate::{
    LEVEL,
    node::{Dialect, Document, Node},
};

/// The authorizer type, and the authorization type of its methods.
const COGNITO: &str = "COGNITO_USER_POOLS";
const AUTHORIZER: &str = "x-amazon-apigateway-authorizer";
const AUTH_TYPE: &str = "x-amazon-apigateway-authtype";
const AUTH: &str = "x-amazon-apigateway-auth";

/// What a scheme asks of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scheme {
    ApiKey,
    Iam,
    /// The authorization type of a method with this authorizer.
    Authorizer(&'static str),
    /// Why it cannot be enforced.
    Unenforced {
        at: String,
        message: String,
    },
}

/// The schemes of a file by name, and the authorizers among them.
pub(crate) struct Schemes {
    schemes: HashMap<String, Scheme>,
    pub(crate) authorizers: Vec<Authorizer>,
}

/// What a method asks of its callers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Authorization {
    /// NONE, AWS_IAM, CUSTOM, COGNITO_USER_POOLS.
    pub(crate) kind: &'static str,
    pub(crate) authorizer_id: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) is_key_required: bool,
}

impl Schemes {
    pub(crate) fn read(document: &Document<'_>) -> Self {
        let root = document.root();
        let definitions = match document.dialect {
            Dialect::Swagger2 => root.entries_of("securityDefinitions"),
            Dialect::OpenApi3 => {
                root.field("components").map(|node| node.entries_of("securitySchemes")).unwrap_or_default()
            }
        };
        let mut found = Self { schemes: HashMap::new(), authorizers: Vec::new() };
        for (name, node) in definitions {
            if let Some(node) = node.resolved() {
                let scheme = found.scheme(name, &node);
                found.schemes.insert(name.to_owned(), scheme);
            }
        }
        found.authorizers.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    fn scheme(&mut self, name: &str, node: &Node<'_>) -> Scheme {
        let text = |key| node.text(key).unwrap_or_default();
        if let Some(definition) = node.field(AUTHORIZER) {
            let Some(authorizer) = authorizer(name, node, &definition) else {
                return unenforced(node, format!("the authorizer of `{name}` could not be read"));
            };
            let is_cognito = authorizer.r#type == COGNITO;
            self.authorizers.push(authorizer);
            return Scheme::Authorizer(if is_cognito { COGNITO } else { "CUSTOM" });
        }
        if text(AUTH_TYPE).eq_ignore_ascii_case("awsSigv4") {
            return Scheme::Iam;
        }
        let (kind, place, header) = (text("type"), text("in"), text("name"));
        match (kind.as_str(), place.as_str()) {
            ("apiKey", "header") if header.eq_ignore_ascii_case("x-api-key") => Scheme::ApiKey,
            ("apiKey", _) => {
                let message =
                    format!("`{name}` reads `{header}` in {place}; API keys are read from the header x-api-key");
                unenforced(node, message)
            }
            _ => unenforced(node, format!("`{name}` of type {kind} has no {AUTHORIZER}")),
        }
    }

    /// What `operation` asks of its callers; the file's `security` holds where it has none of its own.
    pub(crate) fn of_operation(&self, root: &Node<'_>, operation: &Node<'_>) -> Authorization {
        let owner = if operation.field("security").is_some() { operation } else { root };
        let requirements = owner.items_of("security");
        let mut asked = Authorization { kind: "NONE", authorizer_id: None, scopes: Vec::new(), is_key_required: false };
        for requirement in &requirements {
            for (name, scopes) in requirement.entries() {
                self.require(name, &scopes, requirement, &mut asked);
            }
        }
        let is_enforced = asked.is_key_required || asked.kind != "NONE";
        if requirements.len() > 1 && is_enforced {
            let message = "alternatives: every one of them that can be enforced is required";
            owner.warn("security-alternatives", message, "keep one requirement to say what you mean");
        }
        if let Some(auth) = operation.field(AUTH).or_else(|| root.field(AUTH)) {
            match auth.text("type").as_deref() {
                Some("AWS_IAM") => asked.kind = "AWS_IAM",
                Some("NONE") => asked.kind = "NONE",
                _ => auth.error("auth-invalid", "expected `type`: AWS_IAM or NONE", "correct it"),
            }
        }
        asked
    }

    fn require(&self, name: &str, scopes: &Node<'_>, requirement: &Node<'_>, asked: &mut Authorization) {
        match self.schemes.get(name) {
            Some(Scheme::ApiKey) => asked.is_key_required = true,
            Some(Scheme::Iam) => asked.kind = "AWS_IAM",
            Some(Scheme::Authorizer(kind)) => {
                asked.kind = kind;
                asked.authorizer_id = Some(name.to_owned());
                // Only these authorizers read scopes; OpenAPI wants the list empty elsewhere.
                let listed = scopes.value.as_array().filter(|_| *kind == COGNITO).into_iter().flatten();
                asked.scopes = listed.filter_map(|scope| scope.as_str().map(str::to_owned)).collect();
            }
            Some(Scheme::Unenforced { at, message }) => {
                let message = format!("{message}; operations that name it are open");
                let hint = "protect them with an API key (header x-api-key) or an authorizer";
                requirement.document.problems.warn("security-not-enforced", at.clone(), message, hint);
            }
            None => {
                requirement.error("scheme-missing", format!("the security scheme `{name}` does not exist"), "add it")
            }
        }
    }
}

fn unenforced(node: &Node<'_>, message: String) -> Scheme {
    Scheme::Unenforced { at: node.at(), message }
}

fn authorizer(name: &str, scheme: &Node<'_>, node: &Node<'_>) -> Option<Authorizer> {
    let kind = match node.text("type").unwrap_or_default().to_ascii_lowercase().as_str() {
        "token" => "TOKEN",
        "request" => "REQUEST",
        "cognito_user_pools" => COGNITO,
        other => {
            let message = format!("expected token, request or cognito_user_pools, found `{other}`");
            node.error("authorizer-invalid", message, "other types belong to HTTP APIs");
            return None;
        }
    };
    let header = scheme.text("name").map(|header| format!("method.request.header.{header}"));
    let authorizer = Authorizer {
        level: LEVEL,
        id: name.to_owned(),
        api_id: String::new(),
        name: name.to_owned(),
        r#type: kind.to_owned(),
        provider_arns: node.texts("providerARNs"),
        auth_type: scheme.text(AUTH_TYPE),
        authorizer_uri: node.text("authorizerUri"),
        authorizer_credentials: node.text("authorizerCredentials"),
        // A REQUEST authorizer says where its identity is; the others read the scheme's own header.
        identity_source: node.text("identitySource").or_else(|| header.filter(|_| kind != "REQUEST")),
        identity_validation_expression: node.text("identityValidationExpression"),
        authorizer_result_ttl_in_seconds: node.whole("authorizerResultTtlInSeconds"),
    };
    node.absorb(check::authorizer::check(&authorizer));
    Some(authorizer)
}
