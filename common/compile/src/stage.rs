//! A compiled stage: a deployment under a name, with variables and limits.

use std::{collections::BTreeMap, sync::Arc};

use sluice_limit::Limit;
use sluice_model::{Diagnostic, Diagnostics};
use sluice_proto::model::Stage;

use crate::{
    api::{CompiledApi, place_of},
    http_proxy::HttpProxy,
    method::{CompiledMethod, MethodIntegration},
    mock::Mock,
    plan::{Throttle, ThrottleId, stage_hash},
    route::Captures,
    settings::{StageLimits, check_stage},
    verb::{MethodVerb, Verb},
};

/// A stage that can be served.
#[derive(Debug)]
pub struct CompiledStage {
    /// The id of its API.
    pub api_id: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The deployment it serves.
    pub main: CompiledVariant,
    /// A second deployment for a share of the requests.
    pub canary: Option<CompiledCanary>,
    /// Names the stage in usage plans and ids of throttles.
    pub(crate) hash: u128,
}

/// A canary of a stage.
#[derive(Debug)]
pub struct CompiledCanary {
    /// The share of requests it serves, 0 to 100 percent.
    pub percent: f64,
    /// What it serves.
    pub variant: CompiledVariant,
}

/// One deployment as a stage serves it.
#[derive(Debug)]
pub struct CompiledVariant {
    /// The id of the deployment.
    pub deployment_id: Box<str>,
    /// The stage's variables, for the canary with its overrides.
    pub variables: Variables,
    /// What was deployed.
    pub api: Arc<CompiledApi>,
    /// By `MethodIndex`.
    pub(crate) methods: Box<[StageMethod]>,
}

/// Variables of a stage, sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables(Box<[(Box<str>, Box<str>)]>);

/// What a stage adds to a method.
#[derive(Debug)]
pub(crate) struct StageMethod {
    pub(crate) integration: CompiledIntegration,
    pub(crate) throttle: Option<Limit>,
    /// Limits for single verbs of an ANY method.
    pub(crate) verb_throttles: Box<[(Verb, Limit)]>,
}

/// What answers a request.
#[derive(Debug, Clone)]
pub enum CompiledIntegration {
    /// A backend.
    HttpProxy(Arc<HttpProxy>),
    /// The gateway itself.
    Mock(Arc<Mock>),
    /// The stage's variables do not make a URI that can be called: API_CONFIGURATION_ERROR. The text is for logs.
    Misconfigured(Arc<str>),
}

/// A request's method, as a stage serves it.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// The method.
    pub method: &'a Arc<CompiledMethod>,
    /// What answers.
    pub integration: &'a CompiledIntegration,
    /// The stage's limit on this method, over all callers.
    pub throttle: Option<Throttle>,
    /// Names (stage, path, verb): where a usage plan looks for a limit of the method.
    pub id: ThrottleId,
}

impl CompiledStage {
    /// Returns what serves a request; `draw` is a random number from 0 to below 100, asked for only when there is a canary.
    pub fn variant(&self, draw: impl FnOnce() -> f64) -> &CompiledVariant {
        match &self.canary {
            Some(canary) if draw() < canary.percent => &canary.variant,
            _ => &self.main,
        }
    }

    /// Finds the method for a path below the stage (percent-encoded, as sent, without the query).
    ///
    /// `captures` then holds where the path's variables lie. Cost: no allocation, whatever the number of routes.
    pub fn route<'a>(
        &self,
        variant: &'a CompiledVariant,
        verb: Verb,
        path: &str,
        captures: &mut Captures,
    ) -> Option<Route<'a>> {
        let index = variant.api.routes().find(verb, path, captures)?;
        let method = &variant.api.methods()[index.get()];
        let served = &variant.methods[index.get()];
        let exact = served.verb_throttles.iter().find(|(of, _)| *of == verb);
        let id = ThrottleId::of_method(self.hash, method.path_hash, Some(verb));
        let throttle = match (exact, served.throttle) {
            (Some((_, limit)), _) => Some(Throttle { id, limit: *limit }),
            // One bucket for all verbs of an ANY method, as for any other method.
            (None, Some(limit)) => {
                let verb = if let MethodVerb::Exact(verb) = method.verb { Some(verb) } else { None };
                Some(Throttle { id: ThrottleId::of_method(self.hash, method.path_hash, verb), limit })
            }
            (None, None) => None,
        };
        Some(Route { method, integration: &served.integration, throttle, id })
    }
}

impl CompiledStage {
    /// Puts a stage together from its document and what it serves; the canary's deployment beside it, if it has one.
    ///
    /// Problems of single methods (a variable that is not there) make these methods answer with an error; the stage's own
    /// are errors of the whole.
    pub(crate) fn compile(
        stage: &Stage,
        api: Arc<CompiledApi>,
        canary: Option<Arc<CompiledApi>>,
        problems: &mut Diagnostics,
    ) -> Option<Self> {
        check_stage(stage, problems);
        let limits = StageLimits::of(stage);
        let canary = stage.canary_settings.as_ref().zip(canary).map(|(settings, api)| CompiledCanary {
            percent: settings.percent_traffic.unwrap_or(0.0),
            variant: CompiledVariant::new(
                &settings.deployment_id,
                stage.variables.iter().chain(&settings.stage_variable_overrides),
                api,
                &limits,
            ),
        });
        let main = CompiledVariant::new(&stage.deployment_id, stage.variables.iter(), api, &limits);
        (!problems.has_errors()).then(|| Self {
            api_id: stage.api_id.as_str().into(),
            name: stage.stage_name.as_str().into(),
            main,
            canary,
            hash: stage_hash(&stage.api_id, &stage.stage_name),
        })
    }
}

impl CompiledVariant {
    fn new<'a>(
        deployment_id: &str,
        variables: impl Iterator<Item = (&'a String, &'a String)>,
        api: Arc<CompiledApi>,
        limits: &StageLimits,
    ) -> Self {
        // Later ones win: overrides come last.
        let variables: Variables = variables.collect::<BTreeMap<_, _>>().into_iter().collect();
        let methods = api.methods().iter().map(|method| {
            let found = limits.method(method);
            StageMethod {
                integration: serve(method, &variables)
                    .unwrap_or_else(|problem| CompiledIntegration::Misconfigured(problem.message.into())),
                throttle: found.all,
                verb_throttles: found.verbs,
            }
        });
        Self { deployment_id: deployment_id.into(), methods: methods.collect(), variables, api }
    }

    /// Says what would be wrong with `api` on `stage`; paths of diagnostics begin at the stage.
    pub(crate) fn check(api: &CompiledApi, stage: &Stage, problems: &mut Diagnostics) {
        check_stage(stage, problems);
        let variables: Variables = stage.variables.iter().collect();
        for method in api.methods() {
            if let Err(mut problem) = serve(method, &variables) {
                problem.at = format!("{}.methodIntegration.{}", place_of(method), problem.at);
                problems.push(problem);
            }
        }
    }
}

/// What answers a method on a stage with these variables.
fn serve(method: &CompiledMethod, variables: &Variables) -> Result<CompiledIntegration, Diagnostic> {
    Ok(match &method.integration {
        MethodIntegration::HttpProxy(proxy) => CompiledIntegration::HttpProxy(proxy.clone()),
        MethodIntegration::StagedHttpProxy(staged) => {
            CompiledIntegration::HttpProxy(Arc::new(staged.resolve(variables)?))
        }
        MethodIntegration::Mock(mock) => CompiledIntegration::Mock(mock.clone()),
    })
}

impl Variables {
    /// Returns the value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        Some(&self.0[at].1)
    }

    /// Returns all, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl<'a> FromIterator<(&'a String, &'a String)> for Variables {
    fn from_iter<I: IntoIterator<Item = (&'a String, &'a String)>>(variables: I) -> Self {
        let mut list: Vec<(Box<str>, Box<str>)> =
            variables.into_iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
        list.sort();
        Self(list.into())
    }
}
