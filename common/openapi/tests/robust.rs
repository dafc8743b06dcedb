//! Whatever a file holds, reading it ends, without a panic and with a bounded report.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use sluice_openapi::{Options, read};

/// Keys that lead somewhere, so that random trees reach deep into the reader.
const KEYS: [&str; 34] = [
    "openapi",
    "swagger",
    "info",
    "title",
    "paths",
    "/a",
    "/a/{b}",
    "/{c+}",
    "get",
    "post",
    "parameters",
    "name",
    "in",
    "required",
    "requestBody",
    "responses",
    "200",
    "content",
    "application/json",
    "schema",
    "$ref",
    "properties",
    "components",
    "schemas",
    "definitions",
    "security",
    "securitySchemes",
    "type",
    "headers",
    "default",
    "servers",
    "x-amazon-apigateway-integration",
    "x-amazon-apigateway-any-method",
    "x-amazon-apigateway-authorizer",
];
const TEXTS: [&str; 10] =
    ["3.0.0", "path", "query", "body", "apiKey", "http_proxy", "token", "#/components/schemas/get", "#/paths", "é{}"];

fn tree() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(&KEYS[..]);
    let leaf = prop_oneof![
        prop::sample::select(&TEXTS[..]).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(6, 120, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..8).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_tree_of_known_keys_is_read_without_a_panic(fields in tree(), paths in tree(), components in tree()) {
        let mut root = fields.as_object().cloned().unwrap_or_else(Map::new);
        root.insert("openapi".to_owned(), json!("3.0.0"));
        root.insert("paths".to_owned(), paths);
        root.insert("components".to_owned(), components);
        let options = Options { api_id: "abcdef1234", name: Some("n"), backend: Some("http://b") };
        let text = Value::Object(root).to_string();
        if let Err(found) = read(text.as_bytes(), "api.json", &options) {
            prop_assert!(found.has_errors());
        }
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in ".{0,200}", name in "[a-z]{0,5}\\.(json|yaml)") {
        prop_assert!(read(text.as_bytes(), &name, &Options::default()).is_err());
    }
}
