//! `kind: RestApi`: an API with all it holds, and its stages.
//!
//! ```yaml
//! spec:
//!   description: Pets                # and the other fields of the model's RestApi
//!   resources:
//!     /pets/{id}:
//!       methods:
//!         GET: { requestValidator: all, authorizer: tokens, methodIntegration: { ... } }
//!   models: { Pet: { schema: "..." } }
//!   requestValidators: { all: { validateRequestBody: true } }
//!   authorizers: { tokens: { type: TOKEN } }
//!   gatewayResponses: { DEFAULT_4XX: { statusCode: "404" } }
//!   stages: { prod: { deploy: true, variables: { backend: b1 } } }
//! ```
//! With `openapi`, the text of that file stands in the place of everything but stages.

use sluice_openapi::Options;
use sluice_proto::{
    admin::Object,
    model::{Authorizer, Diagnostic, GatewayResponse, Method, Model, RequestValidator, Resource, RestApi},
    raft::{ReplaceParts, RowChange, Table, row_change},
};
use sluice_state::Tables;

use crate::{
    contents::{Contents, Owner, Parts, settled},
    files::{
        Effect, ObjectPlan, diff,
        export::{api_spec, stage_spec},
        names,
        spec::Spec,
        stage::{self, WantedStage},
    },
    plan::{PENDING, Planner, seconds},
    read,
    refused::Refused,
};

const LEADER_MAKES_IT: &str = "it is made by the leader";
const BY_ITS_PLACE: &str = "the place in the file says it";

/// What an object wants.
struct Wanted {
    contents: Contents,
    stages: Vec<WantedStage>,
    warnings: Vec<Diagnostic>,
}

/// Plans one API.
pub(super) fn plan<T: Tables>(planner: &mut Planner<'_, T>, object: &Object) -> Result<ObjectPlan, Refused> {
    let present_id = names::present(&planner.view, Table::RestApi, "RestApi", &object.name, "name")?;
    let view = &planner.view;
    let api_id = present_id.clone().unwrap_or_else(|| planner.ids.api(|id| read::api_exists(view, id)));
    let present = present_id.as_ref().and_then(|id| Contents::load(&planner.view, id));
    let Wanted { mut contents, stages, mut warnings } = wanted(planner, object, &api_id)?;
    if let (Some(present), None) = (&present, &object.openapi) {
        // What an import wanted its author to know is in no file: it stays with what was imported.
        contents.rest_api.warnings.clone_from(&present.rest_api.warnings);
    }
    let owner = Owner { api_id: api_id.clone(), now: seconds(planner.now_ms) };
    let contents = settled(contents, present.as_ref(), &owner, planner.ids);
    warnings.extend(contents.checked(&planner.view).map_err(|refused| refused.under("spec"))?);
    let parts = Parts::of(contents.entries())?;

    let mut differences =
        diff::differences(&present.as_ref().map_or_else(|| serde_json::json!({}), api_spec), &api_spec(&contents));
    let mut rows = Vec::new();
    let held = planner.view.api_row(&api_id).map(|(_, row)| row.parts);
    if held.as_deref() != Some(&parts.digest_bytes()[..]) {
        rows.push(replace_parts(planner, &contents.rest_api, &parts));
    }
    let staged = stage::plan(planner, &api_id, &parts, stages)?;
    let stages_before = staged.before.iter().map(|stage| (stage.stage_name.clone(), stage_spec(stage)));
    let stages_after = staged.after.iter().map(|stage| (stage.stage_name.clone(), stage_spec(stage)));
    differences.extend(diff::differences(
        &serde_json::json!({ "stages": stages_before.collect::<serde_json::Map<_, _>>() }),
        &serde_json::json!({ "stages": stages_after.collect::<serde_json::Map<_, _>>() }),
    ));
    differences.extend(staged.deployed.iter().map(|stage| format!("stages.{stage}: deployed")));
    rows.extend(staged.rows);
    warnings.extend(staged.warnings);
    let effect = match (&present, rows.is_empty()) {
        (None, _) => Effect::Created,
        (Some(_), true) => Effect::Unchanged,
        (Some(_), false) => Effect::Changed,
    };
    let uploads = if rows.is_empty() { Default::default() } else { parts.missing(&planner.view) };
    Ok(ObjectPlan { uploads, rows, id: api_id, effect, differences, warnings })
}

fn replace_parts<T: Tables>(planner: &Planner<'_, T>, api: &RestApi, parts: &Parts) -> RowChange {
    let version = read::api_version(&planner.view, &api.id).unwrap_or(0);
    RowChange {
        kind: Some(row_change::Kind::ReplaceParts(ReplaceParts {
            api_id: api.id.clone(),
            name: api.name.clone(),
            parts: parts.digest_bytes(),
            expected_version: (version != PENDING).then_some(version),
        })),
    }
}

/// Reads the object: its documents know each other by path and name, as an import's do.
fn wanted<T: Tables>(planner: &Planner<'_, T>, object: &Object, api_id: &str) -> Result<Wanted, Refused> {
    let mut spec = Spec::parse(&planner.tools.schema, &object.spec_json)?;
    let stages = stage::read(&mut spec);
    let mut warnings = Vec::new();
    let contents = match &object.openapi {
        Some(text) => from_openapi(&mut spec, object, text, api_id, &mut warnings)?,
        None => from_spec(&mut spec, object),
    };
    if spec.faults.is_empty() { Ok(Wanted { contents, stages, warnings }) } else { Err(Refused::faults(spec.faults)) }
}

fn from_openapi(
    spec: &mut Spec<'_>,
    object: &Object,
    text: &str,
    api_id: &str,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Contents, Refused> {
    // The caller has replaced the path by the text.
    spec.take("openapi");
    let backend = spec.take_text("backend");
    spec.nothing_left();
    let options = Options { api_id, name: Some(&object.name), backend: backend.as_deref() };
    match sluice_openapi::read(text.as_bytes(), &object.source, &options) {
        Ok(mut imported) => {
            warnings.extend(std::mem::take(&mut imported.warnings).into_messages());
            Ok(imported.into())
        }
        Err(diagnostics) => {
            let refused = Refused::faults(diagnostics.into_messages()).under("openapi");
            let faults = std::mem::take(&mut spec.faults).into_iter().chain(refused.diagnostics);
            Err(Refused::faults(faults.collect()))
        }
    }
}

fn from_spec(spec: &mut Spec<'_>, object: &Object) -> Contents {
    if spec.take("openapi").is_some() {
        let at = format!("{}.openapi", spec.at);
        spec.faults.push(crate::refused::fault(
            "invalid",
            at,
            "the file was not sent along",
            "apply it with `sluice apply`",
        ));
    }
    let mut contents = Contents::default();
    read_resources(spec, &mut contents);
    let by_place = [("id", LEADER_MAKES_IT), ("apiId", BY_ITS_PLACE), ("name", BY_ITS_PLACE)];
    for (name, mut one) in spec.take_objects("models") {
        if let Some(model) = one.document::<Model>(&by_place) {
            contents.models.push(Model { name, ..model });
        }
        spec.faults.append(&mut one.faults);
    }
    for (name, mut one) in spec.take_objects("requestValidators") {
        if let Some(validator) = one.document::<RequestValidator>(&by_place) {
            contents.validators.push(RequestValidator { id: name.clone(), name, ..validator });
        }
        spec.faults.append(&mut one.faults);
    }
    for (name, mut one) in spec.take_objects("authorizers") {
        if let Some(authorizer) = one.document::<Authorizer>(&by_place) {
            contents.authorizers.push(Authorizer { id: name.clone(), name, ..authorizer });
        }
        spec.faults.append(&mut one.faults);
    }
    for (response_type, mut one) in spec.take_objects("gatewayResponses") {
        if let Some(response) =
            one.document::<GatewayResponse>(&[("apiId", BY_ITS_PLACE), ("responseType", BY_ITS_PLACE)])
        {
            contents.gateway_responses.push(GatewayResponse { response_type, ..response });
        }
        spec.faults.append(&mut one.faults);
    }
    let made = [
        ("id", LEADER_MAKES_IT),
        ("name", "the name stands beside kind"),
        ("rootResourceId", LEADER_MAKES_IT),
        ("createdDate", LEADER_MAKES_IT),
        ("warnings", LEADER_MAKES_IT),
    ];
    if let Some(api) = spec.document::<RestApi>(&made) {
        contents.rest_api = RestApi { name: object.name.clone(), ..api };
    }
    contents
}

/// The path tree: every path of the file, and the resources between.
fn read_resources(spec: &mut Spec<'_>, contents: &mut Contents) {
    let mut paths = std::collections::BTreeSet::from(["/".to_owned()]);
    for (path, mut resource) in spec.take_objects("resources") {
        if !path.starts_with('/') || (path.len() > 1 && path.ends_with('/')) {
            let at = resource.at.clone();
            let message = format!("expected a path that begins with / and does not end with one, found `{path}`");
            spec.faults.push(crate::refused::fault("invalid-path", at, message, ""));
            continue;
        }
        for (verb, mut method) in resource.take_objects("methods") {
            let validator = method.take_text("requestValidator");
            let authorizer = method.take_text("authorizer");
            let not_here = [
                ("apiId", BY_ITS_PLACE),
                ("resourceId", BY_ITS_PLACE),
                ("httpMethod", BY_ITS_PLACE),
                ("requestValidatorId", "name it as requestValidator"),
                ("authorizerId", "name it as authorizer"),
            ];
            if let Some(found) = method.document::<Method>(&not_here) {
                contents.methods.push(Method {
                    resource_id: path.clone(),
                    http_method: verb,
                    request_validator_id: validator,
                    authorizer_id: authorizer,
                    ..found
                });
            }
            resource.faults.append(&mut method.faults);
        }
        resource.nothing_left();
        spec.faults.append(&mut resource.faults);
        let slashes = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
        paths.extend(slashes.map(|at| path[..at].to_owned()));
        paths.insert(path);
    }
    contents.resources = paths.into_iter().map(resource).collect();
    unknown_names(spec, contents);
}

/// A resource whose ids are still paths.
fn resource(path: String) -> Resource {
    let (parent, part) = path.rsplit_once('/').unwrap_or(("", &path));
    let is_root = part.is_empty();
    let parent = if parent.is_empty() { "/" } else { parent };
    Resource {
        id: path.clone(),
        parent_id: (!is_root).then(|| parent.to_owned()),
        path_part: (!is_root).then(|| part.to_owned()),
        path: path.clone(),
        ..Resource::default()
    }
}

/// Names that methods use and the file does not hold. They are read before the objects they name: checked at the end.
fn unknown_names(spec: &mut Spec<'_>, contents: &Contents) {
    let validators = spec.names_of("requestValidators");
    let authorizers = spec.names_of("authorizers");
    for method in &contents.methods {
        let at = format!("{}.resources[\"{}\"].methods.{}", spec.at, method.resource_id, method.http_method);
        for (field, name, known) in [
            ("requestValidator", &method.request_validator_id, &validators),
            ("authorizer", &method.authorizer_id, &authorizers),
        ] {
            let Some(name) = name.as_ref().filter(|name| !known.contains(name)) else { continue };
            let message = format!("`{name}` is not in this file");
            let hint = crate::nearest::did_you_mean(name, known.iter().map(String::as_str));
            spec.faults.push(crate::refused::fault("not-found", format!("{at}.{field}"), message, hint));
        }
    }
}
