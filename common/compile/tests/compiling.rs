//! Rows to snapshots: what is served, what is refused, what is shared.

mod fixture;

use std::sync::Arc;

use fixture::{ApiFixture, entries_of, generation};
use sluice_compile::{
    Captures, Changed, CompiledIntegration, MapRows, MethodVerb, NOT_SUPPORTED_YET, RowChange, Snapshot, Verb, compile,
    compile_entries,
};
use sluice_limit::Limit;
use sluice_model::{Digest, Revision, part::LookupHash};
use sluice_proto::{
    model::{
        ApiStage, CanarySettings, IntegrationResponse, MethodSetting, RequestValidator, RestApi, ThrottleSettings,
        UsagePlan,
    },
    raft::{KeyView, Table},
};

fn full(rows: &MapRows) -> (Arc<Snapshot>, usize) {
    let (snapshot, broken) = compile(rows, Revision::new(generation(), 1), Changed::All, None);
    (Arc::new(snapshot), broken.len())
}

fn next(rows: &MapRows, changes: Vec<RowChange>, previous: &Arc<Snapshot>) -> (Arc<Snapshot>, Vec<String>) {
    let revision = Revision::new(generation(), previous.revision.number + 1);
    let (snapshot, broken) = compile(rows, revision, Changed::Rows(changes), Some(previous));
    let codes = broken.iter().flat_map(|api| api.diagnostics.iter()).map(|problem| problem.to_string());
    (Arc::new(snapshot), codes.collect())
}

fn served(snapshot: &Snapshot, stage: &str, verb: Verb, path: &str) -> Option<String> {
    let stage = snapshot.stage("api1", stage)?.serving.as_ref()?;
    let route = stage.route(&stage.main, verb, path, &mut Captures::new())?;
    Some(match route.integration {
        CompiledIntegration::HttpProxy(proxy) => format!("{}:{}", proxy.uri.origin.host, proxy.uri.origin.port),
        CompiledIntegration::Mock(_) => "mock".to_owned(),
        CompiledIntegration::Misconfigured(why) => format!("misconfigured: {why}"),
    })
}

#[test]
fn a_deployed_stage_is_served_and_anything_else_is_not() {
    let mut rows = MapRows::default();
    rows.deploy(&ApiFixture::pets().entries(), &fixture::stage("prod", "d1"));
    let (snapshot, broken) = full(&rows);
    assert_eq!(broken, 0);
    assert_eq!(served(&snapshot, "prod", Verb::Get, "/pets/7"), Some("backend.example:80".into()));
    assert_eq!(served(&snapshot, "prod", Verb::Put, "/pets/7"), None);
    assert_eq!(served(&snapshot, "dev", Verb::Get, "/pets/7"), None);
}

#[test]
fn a_change_of_one_method_takes_over_all_others() {
    let mut api = ApiFixture::of_routes(1_100);
    let mut rows = MapRows::default();
    rows.deploy(&api.entries(), &fixture::stage("prod", "d1"));
    let (before, _) = full(&rows);
    api.method("/group7/sub7/{id}", "GET").method_integration.as_mut().unwrap().uri = Some("http://new/".into());
    let changes = rows.deploy(&api.entries(), &fixture::stage("prod", "d2"));
    let (after, broken) = next(&rows, changes, &before);
    assert!(broken.is_empty(), "{broken:?}");
    assert_eq!(served(&after, "prod", Verb::Get, "/group7/sub7/1"), Some("new:80".into()));
    let methods = |snapshot: &Snapshot| {
        let stage = snapshot.stage("api1", "prod").unwrap().serving.clone().unwrap();
        stage.main.api.methods().to_vec()
    };
    let (old, new) = (methods(&before), methods(&after));
    let fresh = new.iter().zip(&old).filter(|(new, old)| !Arc::ptr_eq(new, old)).count();
    assert_eq!((old.len(), new.len(), fresh), (1_100, 1_100, 1));
}

#[test]
fn a_broken_deployment_keeps_what_was_served_and_is_reported_until_it_is_mended() {
    let mut api = ApiFixture::pets();
    let mut rows = MapRows::default();
    rows.deploy(&api.entries(), &fixture::stage("prod", "d1"));
    let (good, _) = full(&rows);
    api.method("/pets/{id}", "GET").method_integration.as_mut().unwrap().r#type = "AWS".into();
    let mut changes = rows.deploy(&api.entries(), &fixture::stage("prod", "d2"));
    changes.push(rows.put_stage(&fixture::stage("fresh", "d2")));
    let (kept, broken) = next(&rows, changes, &good);
    assert_eq!(served(&kept, "prod", Verb::Get, "/pets/7"), Some("backend.example:80".into()));
    assert!(kept.stage("api1", "fresh").unwrap().serving.is_none());
    assert_eq!(broken.len(), 2, "{broken:?}");
    assert!(broken[1].contains("stages[\"prod\"].resources[\"/pets/{id}\"].methods[\"GET\"].methodIntegration.type"));

    let plan = rows.put_plan(&UsagePlan { id: "p".into(), ..UsagePlan::default() });
    let (unrelated, broken) = next(&rows, vec![plan], &kept);
    assert_eq!(broken.len(), 2, "a snapshot reports what is broken also when the change was elsewhere");

    api.method("/pets/{id}", "GET").method_integration.as_mut().unwrap().r#type = "HTTP_PROXY".into();
    let mut changes = rows.deploy(&api.entries(), &fixture::stage("prod", "d3"));
    changes.push(rows.put_stage(&fixture::stage("fresh", "d3")));
    let (mended, broken) = next(&rows, changes, &unrelated);
    assert!(broken.is_empty());
    assert!(mended.stage("api1", "fresh").unwrap().serving.is_some());
}

#[test]
fn a_missing_document_breaks_its_api_until_it_comes() {
    let entries = ApiFixture::pets().entries();
    let mut rows = MapRows::default();
    rows.deploy(&entries, &fixture::stage("prod", "d1"));
    let digest = entries.iter().find(|entry| entry.table == Table::Method).unwrap().digest;
    let lost = rows.clone();
    rows.remove(Table::Content, digest.as_bytes());
    let (snapshot, broken) = full(&rows);
    assert_eq!(broken, 1);
    let come = RowChange { table: Table::Content, key: digest.as_bytes().to_vec(), before: None };
    let (snapshot, broken) = next(&lost, vec![come], &snapshot);
    assert!(broken.is_empty());
    assert!(served(&snapshot, "prod", Verb::Get, "/pets/7").is_some());
}

#[test]
fn stages_come_and_go() {
    let mut rows = MapRows::default();
    rows.deploy(&ApiFixture::pets().entries(), &fixture::stage("prod", "d1"));
    let (before, _) = full(&rows);
    let added = rows.put_stage(&fixture::stage("dev", "d1"));
    let (both, _) = next(&rows, vec![added], &before);
    let api = |name: &str| both.stage("api1", name).unwrap().serving.as_ref().unwrap().main.api.clone();
    assert!(Arc::ptr_eq(&api("dev"), &api("prod")), "stages of one deployment share it");
    let gone = vec![rows.remove(Table::Stage, b"api1/dev"), rows.remove(Table::Stage, b"api1/prod")];
    let (none, _) = next(&rows, gone, &both);
    assert_eq!(none.api_ids().count(), 0);
}

#[test]
fn a_stage_puts_its_variables_into_uris() {
    let mut api = ApiFixture::pets();
    api.method("/pets/{id}", "GET").method_integration.as_mut().unwrap().uri =
        Some("http://${stageVariables.host}/v".into());
    let mut stage = fixture::stage("prod", "d1");
    stage.variables.insert("host".into(), "blue:81".into());
    let mut rows = MapRows::default();
    rows.deploy(&api.entries(), &stage);
    rows.put_stage(&fixture::stage("bare", "d1"));
    let (snapshot, broken) = full(&rows);
    assert_eq!(broken, 0);
    assert_eq!(served(&snapshot, "prod", Verb::Get, "/pets/7"), Some("blue:81".into()));
    let bare = served(&snapshot, "bare", Verb::Get, "/pets/7").unwrap();
    assert_eq!(bare, "misconfigured: the stage has no variable host");
    let refused = compile_entries(&api.entries(), Some(&fixture::stage("bare", "d1")), None).unwrap_err();
    let at = "stages[\"bare\"].resources[\"/pets/{id}\"].methods[\"GET\"].methodIntegration.uri";
    assert_eq!(refused.iter().next().unwrap().at, at);
    assert!(compile_entries(&api.entries(), Some(&stage), None).is_ok());
}

#[test]
fn a_canary_serves_its_share_with_its_own_variables() {
    let mut rows = MapRows::default();
    rows.deploy(&ApiFixture::pets().entries(), &fixture::stage("prod", "d1"));
    let mut stage = fixture::stage("prod", "d1");
    stage.variables.insert("v".into(), "main".into());
    stage.canary_settings = Some(CanarySettings {
        percent_traffic: Some(25.0),
        deployment_id: "d1".into(),
        stage_variable_overrides: [("v".to_owned(), "canary".to_owned())].into(),
        use_stage_cache: None,
    });
    rows.put_stage(&stage);
    let (snapshot, _) = full(&rows);
    let stage = snapshot.stage("api1", "prod").unwrap().serving.clone().unwrap();
    assert_eq!(stage.variant(|| 24.9).variables.get("v"), Some("canary"));
    assert_eq!(stage.variant(|| 25.0).variables.get("v"), Some("main"));
}

#[test]
fn throttles_of_a_stage_are_those_of_the_method_before_those_for_all() {
    let setting = |rate, burst| MethodSetting {
        throttling_rate_limit: Some(rate),
        throttling_burst_limit: Some(burst),
        ..MethodSetting::default()
    };
    let mut stage = fixture::stage("prod", "d1");
    stage.method_settings.insert("*/*".into(), setting(10.0, 1));
    stage.method_settings.insert("~1pets~1{id}/GET".into(), setting(20.0, 2));
    stage.method_settings.insert("~1any/POST".into(), setting(30.0, 3));
    let mut rows = MapRows::default();
    rows.deploy(&ApiFixture::pets().entries(), &stage);
    let (snapshot, _) = full(&rows);
    let stage = snapshot.stage("api1", "prod").unwrap().serving.clone().unwrap();
    let throttle = |verb, path| {
        let route = stage.route(&stage.main, verb, path, &mut Captures::new()).unwrap();
        (route.throttle.unwrap(), route.method.verb)
    };
    assert_eq!(throttle(Verb::Get, "/pets/7").0.limit, Limit::new(20.0, 2));
    assert_eq!(throttle(Verb::Get, "/pets").0.limit, Limit::new(10.0, 1));
    assert_ne!(throttle(Verb::Get, "/pets").0.id, throttle(Verb::Post, "/pets").0.id);
    assert_eq!(throttle(Verb::Post, "/any").0.limit, Limit::new(30.0, 3));
    let (get, put) = (throttle(Verb::Get, "/any"), throttle(Verb::Put, "/any"));
    assert_eq!(get, put, "the verbs of an ANY method share a bucket");
    assert_eq!(get.1, MethodVerb::Any);
}

#[test]
fn half_a_throttle_of_a_method_is_made_whole_by_the_one_for_all_else_by_one_second_of_it() {
    let setting = |rate, burst| MethodSetting {
        throttling_rate_limit: rate,
        throttling_burst_limit: burst,
        ..MethodSetting::default()
    };
    let limit = |every: Option<MethodSetting>, own: MethodSetting| {
        let mut stage = fixture::stage("prod", "d1");
        stage.method_settings.extend(every.map(|every| ("*/*".to_owned(), every)));
        stage.method_settings.insert("~1pets/GET".into(), own);
        let mut rows = MapRows::default();
        rows.deploy(&ApiFixture::pets().entries(), &stage);
        let (snapshot, _) = full(&rows);
        let stage = snapshot.stage("api1", "prod").unwrap().serving.clone().unwrap();
        let route = stage.route(&stage.main, Verb::Get, "/pets", &mut Captures::new()).unwrap();
        route.throttle.map(|throttle| throttle.limit)
    };
    let every = || Some(setting(Some(10.0), Some(4)));
    assert_eq!(limit(every(), setting(None, Some(2))), Some(Limit::new(10.0, 2)));
    assert_eq!(limit(every(), setting(Some(3.0), None)), Some(Limit::new(3.0, 4)));
    assert_eq!(limit(every(), setting(None, None)), Some(Limit::new(10.0, 4)));
    assert_eq!(limit(Some(setting(Some(10.0), None)), setting(None, None)), Some(Limit::new(10.0, 10)));
    assert_eq!(limit(None, setting(Some(3.0), None)), Some(Limit::new(3.0, 3)));
    assert_eq!(limit(None, setting(None, Some(2))), Some(Limit::new(2.0, 2)));
    assert_eq!(limit(None, setting(None, None)), None);
}

#[test]
fn keys_are_found_by_hash_and_admitted_by_plan() {
    let mut rows = MapRows::default();
    rows.deploy(&ApiFixture::pets().entries(), &fixture::stage("prod", "d1"));
    rows.put_stage(&fixture::stage("other", "d1"));
    let throttle = |rate, burst| ThrottleSettings { rate_limit: Some(rate), burst_limit: Some(burst) };
    let on_method =
        [("/pets/{id}/GET".to_owned(), ThrottleSettings { rate_limit: Some(3.0), burst_limit: None })].into();
    let plan = UsagePlan {
        id: "plan1".into(),
        name: "gold".into(),
        api_stages: vec![ApiStage { api_id: "api1".into(), stage: "prod".into(), throttle: on_method }],
        throttle: Some(throttle(5.0, 50)),
        ..UsagePlan::default()
    };
    rows.put_plan(&plan);
    let hash = |number: u8| LookupHash([number; 16]);
    let key = |number: u8, plans: &[&str]| KeyView {
        key_id: format!("key{number}"),
        hash: hash(number).0.to_vec().into(),
        enabled: true,
        plan_ids: plans.iter().map(|id| (*id).to_owned()).collect(),
        usage_identifier: String::new(),
    };
    rows.put_key(&key(1, &["plan1", "gone"]));
    rows.put_key(&key(2, &[]));
    let (snapshot, _) = full(&rows);
    let stage = |name: &str| snapshot.stage("api1", name).unwrap().serving.clone().unwrap();
    let (prod, other) = (stage("prod"), stage("other"));
    let one = snapshot.key(&hash(1)).unwrap();
    assert!(snapshot.plan_of(one, &other).is_none());
    assert!(snapshot.plan_of(snapshot.key(&hash(2)).unwrap(), &prod).is_none());
    let plan = snapshot.plan_of(one, &prod).unwrap();
    assert_eq!(plan.throttle(one).unwrap().limit, Limit::new(5.0, 50));
    let route = prod.route(&prod.main, Verb::Get, "/pets/7", &mut Captures::new()).unwrap();
    let limited = plan.method_throttle(&prod, &route, one).unwrap();
    assert_eq!(limited.limit, Limit::new(3.0, 3), "one second's worth where there is no burst");
    assert_ne!(limited.id, plan.throttle(one).unwrap().id);
    let route = prod.route(&prod.main, Verb::Get, "/pets", &mut Captures::new()).unwrap();
    assert!(plan.method_throttle(&prod, &route, one).is_none());

    let changes =
        vec![rows.put_key(&KeyView { enabled: false, ..key(1, &["plan1"]) }), rows.remove(Table::KeyView, b"key2")];
    let (later, _) = next(&rows, changes, &snapshot);
    assert!(!later.key(&hash(1)).unwrap().enabled);
    assert_eq!((later.key(&hash(2)).is_none(), later.key_count()), (true, 1));
    assert!(snapshot.key(&hash(1)).unwrap().enabled, "a snapshot does not change");
}

#[test]
fn everything_that_is_not_supported_is_refused_at_once_with_its_path() {
    let mut api = ApiFixture::pets();
    api.rest_api.policy = Some("{}".into());
    api.rest_api.minimum_compression_size = Some(0);
    api.rest_api.api_key_source = Some("AUTHORIZER".into());
    api.validators.push(RequestValidator {
        id: "val".into(),
        name: "params".into(),
        validate_request_parameters: Some(true),
        ..RequestValidator::default()
    });
    let method = api.method("/pets", "GET");
    method.api_key_required = Some(true);
    method.authorization_type = Some("AWS_IAM".into());
    method.request_validator_id = Some("val".into());
    api.method("/pets", "POST").method_integration.as_mut().unwrap().r#type = "AWS_PROXY".into();
    api.method("/pets/{id}", "GET").method_integration = None;
    let mock = api.method("/mock", "OPTIONS").method_integration.as_mut().unwrap();
    mock.request_templates.insert("application/json".into(), "#set($x = 1)".into());
    let found = compile_entries(&api.entries(), None, None).unwrap_err();
    let mut found: Vec<_> = found.iter().map(|problem| (problem.at.as_str(), problem.code.as_ref())).collect();
    found.sort_unstable();
    let refused = |at| (at, NOT_SUPPORTED_YET);
    assert_eq!(
        found,
        [
            refused("minimumCompressionSize"),
            refused("policy"),
            refused(
                "resources[\"/mock\"].methods[\"OPTIONS\"].methodIntegration.requestTemplates[\"application/json\"]"
            ),
            refused("resources[\"/pets\"].methods[\"GET\"].authorizationType"),
            refused("resources[\"/pets\"].methods[\"GET\"].requestValidatorId"),
            refused("resources[\"/pets\"].methods[\"POST\"].methodIntegration.type"),
            ("resources[\"/pets/{id}\"].methods[\"GET\"].methodIntegration", "integration-missing"),
        ]
        .into_iter()
        .chain([refused("apiKeySource")])
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect::<Vec<_>>()
    );
}

#[test]
fn siblings_with_other_names_are_a_warning_and_the_same_requests_an_error() {
    let mut api = ApiFixture::pets();
    api.add("/pets/{name}/tags", &["GET"]);
    let compiled = compile_entries(&api.entries(), None, None).unwrap();
    let warned: Vec<_> = compiled.warnings.iter().map(|found| (found.at.as_str(), found.code.as_ref())).collect();
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert_eq!(warned[0].1, "sibling-variables");
    let mut captures = Captures::new();
    let method = compiled.route(Verb::Get, "/pets/7/tags", &mut captures).unwrap();
    assert_eq!((&*method.variables[0], captures.text(0, "/pets/7/tags")), ("name", Some("7")));

    api.add("/pets/{name}", &["GET"]);
    let refused = compile_entries(&api.entries(), None, None).unwrap_err();
    assert!(refused.iter().any(|found| found.code == "duplicate-route"));
}

#[test]
fn a_document_of_a_later_release_fails_closed() {
    let mut api = ApiFixture::pets();
    api.method("/pets", "GET").level = sluice_model::LEVEL + 1;
    let refused = compile_entries(&api.entries(), None, None).unwrap_err();
    let found = refused.iter().next().unwrap();
    assert_eq!(
        (found.code.as_ref(), found.at.as_str()),
        ("level-too-new", "resources[\"/pets\"].methods[\"GET\"].level")
    );
}

#[test]
fn gateway_responses_are_those_of_the_type_before_those_of_the_class() {
    let mut api = ApiFixture::pets();
    api.add_gateway_response("DEFAULT_4XX", "418");
    api.add_gateway_response("THROTTLED", "420");
    let compiled = compile_entries(&api.entries(), None, None).unwrap();
    let status = |kind| compiled.gateway_response(kind, "DEFAULT_4XX").unwrap().status.unwrap().as_u16();
    assert_eq!((status("THROTTLED"), status("INVALID_API_KEY")), (420, 418));
    assert!(compiled.gateway_response("INTEGRATION_FAILURE", "DEFAULT_5XX").is_none());
}

#[test]
fn the_dry_compile_takes_methods_over_from_the_previous_one() {
    let mut api = ApiFixture::of_routes(100);
    let before = compile_entries(&api.entries(), None, None).unwrap();
    api.method("/group7/sub7/{id}", "GET").operation_name = Some("renamed".into());
    let after = compile_entries(&api.entries(), None, Some(&before)).unwrap();
    let same = after.methods().iter().filter(|new| before.methods().iter().any(|old| Arc::ptr_eq(old, new))).count();
    assert_eq!((after.methods().len(), same), (100, 99));
}

#[test]
fn an_api_without_its_own_document_is_refused() {
    let entries = entries_of(&RestApi::default(), ApiFixture::pets().entries());
    let without: Vec<_> = entries.into_iter().filter(|entry| entry.table != Table::RestApi).collect();
    assert_eq!(compile_entries(&without, None, None).unwrap_err().iter().next().unwrap().code, "content-missing");
}

#[test]
fn a_mock_answer_is_ready_to_send() {
    let mut api = ApiFixture::pets();
    let mock = api.method("/mock", "OPTIONS").method_integration.as_mut().unwrap();
    mock.request_templates.insert("application/json".into(), "{\"statusCode\": 204}".into());
    let response = IntegrationResponse { status_code: "204".into(), ..IntegrationResponse::default() };
    mock.integration_responses = [("204".to_owned(), response)].into();
    let mut rows = MapRows::default();
    rows.deploy(&api.entries(), &fixture::stage("prod", "d1"));
    let (snapshot, _) = full(&rows);
    let stage = snapshot.stage("api1", "prod").unwrap().serving.clone().unwrap();
    let route = stage.route(&stage.main, Verb::Options, "/mock", &mut Captures::new()).unwrap();
    let CompiledIntegration::Mock(mock) = route.integration else { panic!("expected a mock") };
    let Ok(sluice_compile::MockChoice::Answer(at)) = mock.choose("application/json") else {
        panic!("expected an answer")
    };
    assert_eq!(mock.answers[at].status.as_u16(), 204);
}

#[test]
fn digests_name_entries_by_their_bytes() {
    for entry in ApiFixture::pets().entries() {
        assert_eq!(entry.digest, Digest::of(&entry.bytes));
    }
}
