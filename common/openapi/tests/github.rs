//! The real input: GitHub's own description, as it is kept in `tests/data`.

use std::path::Path;

use sluice_openapi::{ImportedApi, Options, read};

fn github() -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/github.json.zst");
    let file = std::fs::File::open(file).expect("the file is part of the repository");
    zstd::decode_all(file).expect("the file is whole")
}

fn import(text: &[u8]) -> ImportedApi {
    let options = Options { api_id: "abcdef1234", name: None, backend: Some("http://127.0.0.1:9000") };
    read(text, "github.json", &options).unwrap_or_else(|found| panic!("{found:#?}"))
}

#[test]
fn githubs_description_is_imported_without_an_error() {
    let text = github();
    let api = import(&text);
    // 1,223 operations, one of them at `/compare/{base}...{head}`, which the model cannot express.
    assert_eq!(api.methods.len(), 1222);
    assert_eq!(api.resources.iter().filter(|resource| resource.parent_id.is_none()).count(), 1);
    assert!(api.models.len() > 969, "component schemas and those written in place");
    let codes = |code: &str| api.warnings.iter().filter(|warning| warning.code == code).count();
    assert_eq!((codes("path-left-out"), codes("aws-limit")), (1, 1));
    assert_eq!(codes("sibling-variables"), 7);
    assert_eq!(codes("model-renamed"), 11, "ten are listed, the rest is counted");
    let issue = (api.methods.iter())
        .find(|method| {
            method.resource_id == "/repos/{owner}/{repo}/issues/{issue_number}" && method.http_method == "GET"
        })
        .unwrap();
    let integration = issue.method_integration.as_ref().unwrap();
    assert_eq!(integration.uri.as_deref(), Some("http://127.0.0.1:9000/repos/{owner}/{repo}/issues/{issue_number}"));
    assert_eq!(issue.request_parameters.len(), 3);
    let parents: std::collections::BTreeSet<_> = api.resources.iter().map(|resource| &resource.id).collect();
    assert!(api.resources.iter().all(|resource| resource.parent_id.as_ref().is_none_or(|id| parents.contains(id))));
    let models: std::collections::BTreeSet<_> = api.models.iter().map(|model| &model.name).collect();
    let used = api.methods.iter().flat_map(|method| {
        let responses = method.method_responses.values().flat_map(|response| response.response_models.values());
        method.request_models.values().chain(responses)
    });
    assert!(used.into_iter().all(|name| models.contains(name)));
}
