//! Models: named JSON Schemas of an API.

use sluice_proto::model::Model;

use super::{checker::Checker, text::is_media_type};
use crate::{Diagnostics, limits};

/// Checks a model. AWS: CreateModel; a name is letters and digits.
pub fn check(model: &Model) -> Diagnostics {
    let mut checker = Checker::of_level(model.level);
    checker.required("name", &model.name);
    checker.text("name", &model.name, limits::MODEL_NAME_CHARS_MAX);
    if !model.name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let message = format!("expected letters and digits only, found {:?}", model.name);
        checker.error("invalid-name", "name", message);
    }
    checker.description(model.description.as_ref());
    if let Some(schema) = &model.schema {
        checker.json("schema", schema, limits::SCHEMA_BYTES_MAX);
    }
    if let Some(media_type) = &model.content_type
        && !is_media_type(media_type)
    {
        checker.error("invalid-media-type", "contentType", format!("expected a media type, found {media_type:?}"));
    }
    checker.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_and_digits_and_schemas_are_json() {
        let model = Model { name: "Pet2".to_owned(), schema: Some("{}".to_owned()), ..Model::default() };
        assert!(check(&model).is_empty());
        assert!(check(&Model { name: "pet-2".to_owned(), ..model.clone() }).has_errors());
        assert!(check(&Model { name: String::new(), ..model.clone() }).has_errors());
        assert!(check(&Model { schema: Some("{".to_owned()), ..model }).has_errors());
    }
}
