//! Documents of an API: path templates, URIs and ARNs, mapping expressions, templates, patterns, stages, throttles.
//!
//! An input is a script: lines that say fields of documents, and requests to be routed. What is compiled for its author
//! before a deployment compiles on every data node too; a lookup never panics and captures what the route declares.

use std::{collections::BTreeMap, sync::Arc};

use prost::Message;
use sluice_compile::{Captures, Changed, CompiledApi, Entry, MapRows, Verb, compile, compile_entries};
use sluice_model::{Digest, Revision, check};
use sluice_proto::{
    model::{
        CanarySettings, Document, GatewayResponse, Integration, IntegrationResponse, Method, MethodResponse,
        MethodSetting, RequestValidator, Resource, RestApi, Stage, document::Kind,
    },
    raft::Table,
};

use crate::{
    Target,
    script::{lines, pair, word},
};

const API: &str = "abcdef1234";
const VERBS: [Verb; 4] = [Verb::Get, Verb::Post, Verb::Options, Verb::Delete];

/// The target.
pub const TARGET: Target = Target {
    name: "documents",
    run,
    seeds: Vec::new,
    words: &[
        "\nresource /",
        "/{id}",
        "/{proxy+}",
        "\nmethod GET",
        "\nmethod ANY",
        "\nintegration HTTP_PROXY",
        "\nintegration MOCK",
        "\nuri http://",
        "\nuri https://h:1/{id}?q={id}",
        "\nuri arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/",
        "${stageVariables.b}",
        "\nmap integration.request.path.id=method.request.path.id",
        "integration.request.header.",
        "integration.request.querystring.",
        "method.request.multivalueheader.",
        "context.requestId",
        "context.authorizer.",
        "stageVariables.",
        "'static'",
        "\ntemplate application/json={\"statusCode\": 200}",
        "$input.",
        "$context.",
        "#set(",
        "\nresponse 200 2\\d{2}",
        "\nanswer method.response.header.X='1'",
        "\nrender application/json=",
        "\ndeclare method.request.path.id=true",
        "\ngateway DEFAULT_4XX 400",
        "\nstage variables/b=x",
        "\nset ~1pets/GET 1 2",
        "\ncanary 50",
        "\ntimeout 50",
        "\nGET /pets/1",
        "%2F",
        "%",
        "//",
    ],
};

/// Makes documents of the script, checks, compiles, deploys and asks them.
///
/// # Panics
/// When a promise of checks, compiling or routing is broken.
pub fn run(input: &[u8]) {
    let script = Script::read(input);
    let kinds = script.documents();
    for kind in &kinds {
        drop(check::document(&Document { kind: Some(kind.clone()) }));
    }
    let compiled = Compiled::of(&kinds, Some(&script.stage));
    drop(check::stage::check(&script.stage));
    let Some(api) = &compiled.api else { return };
    compiled.is_served(&script.stage);
    for (verb, path) in &script.requests {
        looked_up(api, *verb, path);
    }
}

fn looked_up(api: &CompiledApi, verb: Verb, path: &str) {
    let mut captures = Captures::new();
    let Some(method) = api.route(verb, path, &mut captures) else { return };
    assert_eq!(captures.len(), method.variables.len(), "{path} by {}", method.resource_path);
    for at in 0..captures.len() {
        let text = captures.text(at, path).expect("what was captured lies in the path");
        assert!(!text.is_empty(), "no variable of {} holds nothing: {path}", method.resource_path);
    }
}

/// An API compiled as before a deployment.
pub(crate) struct Compiled {
    entries: Vec<Entry>,
    api: Option<Arc<CompiledApi>>,
}

impl Compiled {
    /// Compiles what has a place in a deployment.
    pub(crate) fn of(kinds: &[Kind], stage: Option<&Stage>) -> Self {
        let entries: Vec<Entry> = kinds.iter().filter_map(entry).collect();
        let api = match compile_entries(&entries, stage, None) {
            Ok(api) => {
                assert!(!api.warnings.has_errors(), "what has errors does not compile");
                Some(api)
            }
            Err(found) => {
                assert!(found.has_errors(), "what does not compile has an error");
                None
            }
        };
        Self { entries, api }
    }

    /// What the author was told compiles, compiles at a data node: from nothing, and as a change.
    fn is_served(&self, stage: &Stage) {
        let mut rows = MapRows::default();
        let revision = |number| Revision::new("g", number);
        let (empty, _) = compile(&rows, revision(1), Changed::All, None);
        let changes = rows.deploy(&self.entries, stage);
        let (_, broken) = compile(&rows, revision(2), Changed::All, None);
        assert!(broken.is_empty(), "{broken:?}");
        let (_, broken) = compile(&rows, revision(2), Changed::Rows(changes), Some(&Arc::new(empty)));
        assert!(broken.is_empty(), "{broken:?}");
    }
}

fn entry(kind: &Kind) -> Option<Entry> {
    match kind {
        Kind::RestApi(one) => Some(entry_of(Table::RestApi, &[API], one)),
        Kind::Resource(one) => Some(entry_of(Table::Resource, &[API, &one.id], one)),
        Kind::Method(one) => Some(entry_of(Table::Method, &[API, &one.resource_id, &one.http_method], one)),
        Kind::Model(one) => Some(entry_of(Table::Model, &[API, &one.name], one)),
        Kind::RequestValidator(one) => Some(entry_of(Table::RequestValidator, &[API, &one.id], one)),
        Kind::Authorizer(one) => Some(entry_of(Table::Authorizer, &[API, &one.id], one)),
        Kind::GatewayResponse(one) => Some(entry_of(Table::GatewayResponse, &[API, &one.response_type], one)),
        _ => None,
    }
}

/// A document as a deployment holds it.
pub(crate) fn entry_of(table: Table, key: &[&str], document: &impl Message) -> Entry {
    let bytes = document.encode_to_vec();
    let key = key.iter().map(|part| (*part).to_owned()).collect();
    Entry { table, key, digest: Digest::of(&bytes), bytes: bytes.into() }
}

/// What the lines of an input say.
struct Script {
    resources: Vec<Resource>,
    methods: Vec<Method>,
    gateway_responses: Vec<GatewayResponse>,
    stage: Stage,
    requests: Vec<(Verb, String)>,
}

impl Script {
    fn read(input: &[u8]) -> Self {
        let stage = Stage {
            level: 1,
            api_id: API.into(),
            stage_name: "prod".into(),
            deployment_id: "d1".into(),
            ..Stage::default()
        };
        let mut script = Self {
            resources: Vec::new(),
            methods: Vec::new(),
            gateway_responses: Vec::new(),
            stage,
            requests: Vec::new(),
        };
        for (keyword, rest) in lines(input) {
            script.take(&keyword, &rest);
        }
        script
    }

    fn documents(&self) -> Vec<Kind> {
        let rest_api = RestApi { level: 1, id: API.into(), name: "scripted".into(), ..RestApi::default() };
        let validator =
            RequestValidator { level: 1, id: "v".into(), api_id: API.into(), name: "v".into(), ..Default::default() };
        let mut kinds = vec![Kind::RestApi(rest_api), Kind::RequestValidator(validator)];
        // A key is one row: the last line that says it counts.
        let resources: BTreeMap<_, _> = self.resources.iter().map(|one| (&one.id, one)).collect();
        kinds.extend(resources.into_values().cloned().map(Kind::Resource));
        let methods: BTreeMap<_, _> =
            self.methods.iter().map(|one| ((&one.resource_id, &one.http_method), one)).collect();
        kinds.extend(methods.into_values().cloned().map(Kind::Method));
        let responses: BTreeMap<_, _> = self.gateway_responses.iter().map(|one| (&one.response_type, one)).collect();
        kinds.extend(responses.into_values().cloned().map(Kind::GatewayResponse));
        kinds
    }

    fn take(&mut self, keyword: &str, mut rest: &str) {
        match keyword {
            "resource" => self.resources.push(Resource {
                level: 1,
                id: format!("r{}", self.resources.len()),
                api_id: API.into(),
                path: rest.into(),
                path_part: rest.rsplit('/').next().map(str::to_owned),
                ..Resource::default()
            }),
            "method" => self.methods.push(Method {
                level: 1,
                api_id: API.into(),
                resource_id: self.resources.last().map_or_else(String::new, |resource| resource.id.clone()),
                http_method: word(&mut rest).into(),
                api_key_required: (rest == "key").then_some(true),
                request_validator_id: (rest == "validated").then(|| "v".into()),
                ..Method::default()
            }),
            "gateway" => self.gateway_responses.push(GatewayResponse {
                level: 1,
                api_id: API.into(),
                response_type: word(&mut rest).into(),
                status_code: (!rest.is_empty()).then(|| rest.into()),
                ..GatewayResponse::default()
            }),
            "say" => drop(self.gateway_responses.last_mut().map(|last| put(&mut last.response_templates, rest))),
            "field" => drop(self.gateway_responses.last_mut().map(|last| put(&mut last.response_parameters, rest))),
            "stage" | "set" | "canary" => self.stage_line(keyword, rest),
            _ => match VERBS.into_iter().find(|verb| verb.as_str() == keyword) {
                Some(verb) => self.requests.push((verb, rest.to_owned())),
                None => drop(self.methods.last_mut().map(|method| method_line(method, keyword, rest))),
            },
        }
    }

    fn stage_line(&mut self, keyword: &str, mut rest: &str) {
        match keyword {
            "stage" => put(&mut self.stage.variables, rest),
            "canary" => {
                let percent_traffic = rest.parse().ok();
                let deployment_id = if percent_traffic.is_some() { "d1".into() } else { String::new() };
                self.stage.canary_settings =
                    Some(CanarySettings { percent_traffic, deployment_id, ..CanarySettings::default() });
            }
            _ => {
                let method = word(&mut rest).to_owned();
                let throttling_rate_limit = word(&mut rest).parse().ok();
                let setting = MethodSetting {
                    throttling_rate_limit,
                    throttling_burst_limit: rest.parse().ok(),
                    ..MethodSetting::default()
                };
                self.stage.method_settings.insert(method, setting);
            }
        }
    }
}

fn method_line(method: &mut Method, keyword: &str, mut rest: &str) {
    let integration = method.method_integration.get_or_insert_with(Integration::default);
    match keyword {
        "integration" => rest.clone_into(&mut integration.r#type),
        "uri" => integration.uri = Some(rest.into()),
        "verb" => integration.http_method = Some(rest.into()),
        "timeout" => integration.timeout_in_millis = rest.parse().ok(),
        "passthrough" => integration.passthrough_behavior = Some(rest.into()),
        "map" => put(&mut integration.request_parameters, rest),
        "template" => put(&mut integration.request_templates, rest),
        "response" => {
            let status_code = word(&mut rest).to_owned();
            let selection_pattern = (!rest.is_empty()).then(|| rest.into());
            let response =
                IntegrationResponse { status_code: status_code.clone(), selection_pattern, ..Default::default() };
            integration.integration_responses.insert(status_code.clone(), response);
            let declared = MethodResponse { status_code: status_code.clone(), ..MethodResponse::default() };
            method.method_responses.insert(status_code, declared);
        }
        "answer" | "render" => {
            let Some((_, response)) = integration.integration_responses.iter_mut().next_back() else { return };
            if keyword == "answer" {
                put(&mut response.response_parameters, rest);
            } else {
                put(&mut response.response_templates, rest);
            }
        }
        "declare" => {
            let (name, required) = pair(rest);
            method.request_parameters.insert(name, required == "true");
        }
        _ => {}
    }
}

fn put(map: &mut BTreeMap<String, String>, text: &str) {
    let (name, value) = pair(text);
    map.insert(name, value);
}
