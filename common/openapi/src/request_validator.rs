//! `x-amazon-apigateway-request-validators`, and which of them an operation uses.

use sluice_model::check;
use sluice_proto::model::RequestValidator;

use crate::{LEVEL, node::Node};

const DEFINITIONS: &str = "x-amazon-apigateway-request-validators";
const USE: &str = "x-amazon-apigateway-request-validator";

/// The validators of a file.
pub(crate) struct Validators {
    pub(crate) documents: Vec<RequestValidator>,
    /// What operations use that name none.
    default: Option<String>,
}

impl Validators {
    pub(crate) fn read(root: &Node<'_>) -> Self {
        let documents = root.entries_of(DEFINITIONS).into_iter().map(|(name, node)| {
            let validator = RequestValidator {
                level: LEVEL,
                id: name.to_owned(),
                api_id: String::new(),
                name: name.to_owned(),
                validate_request_body: node.flag("validateRequestBody"),
                validate_request_parameters: node.flag("validateRequestParameters"),
            };
            node.absorb(check::request_validator::check(&validator));
            validator
        });
        let mut validators = Self { documents: documents.collect(), default: None };
        validators.default = validators.named_by(root);
        validators
    }

    /// The id of the validator that holds for `operation`.
    pub(crate) fn of_operation(&self, operation: &Node<'_>) -> Option<String> {
        if operation.field(USE).is_some() { self.named_by(operation) } else { self.default.clone() }
    }

    fn named_by(&self, node: &Node<'_>) -> Option<String> {
        let field = node.field(USE)?;
        let name = field.as_text()?;
        if self.documents.iter().any(|validator| validator.name == name) {
            return Some(name);
        }
        let known = self.documents.iter().map(|validator| validator.name.as_str()).collect::<Vec<_>>().join(", ");
        let hint = if known.is_empty() { format!("define it in {DEFINITIONS}") } else { format!("one of {known}") };
        field.error("validator-missing", format!("the validator `{name}` is not defined"), hint);
        None
    }
}
