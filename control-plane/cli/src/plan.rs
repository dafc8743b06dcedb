//! `plan`: usage plans, the keys in them and the stages that they open.

use clap::{Args, Subcommand};
use sluice_model::ids::SHORT_ID_CHARS;
use sluice_proto::{
    admin::PatchOperation,
    model::{Kind, ThrottleSettings, UsagePlan, document},
};

use crate::{
    api::API,
    args::{Consent, Page, stage_name},
    assignment::{add, remove, replace},
    document::stored_json,
    failure::Failure,
    freshness::Freshness,
    noun::Noun,
    plan_key,
    rate::{Limit, parse_burst, parse_rate},
    session::{Session, ShowValue},
    table::{column, count},
};

pub(crate) const PLAN: Noun = Noun {
    kind: Kind::UsagePlan,
    word: "plan",
    id_chars: Some(SHORT_ID_CHARS),
    columns: &[
        column("ID", "id"),
        column("NAME", "name"),
        column("RATE/S", "throttle.rateLimit"),
        column("BURST", "throttle.burstLimit"),
        count("STAGES", "apiStages"),
        column("DESCRIPTION", "description"),
    ],
    absent: &[],
};

/// Limits of a plan, or of one method within it.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Limits {
    /// Requests per second, minute or hour of each key; without it, as many a second as the burst; none takes it away
    #[arg(long, value_parser = parse_rate, allow_hyphen_values = true, value_name = "100|100/s|1000/h|none")]
    rate: Option<Limit<f64>>,
    /// Requests that may come at once; without it, one second's worth of the rate; none takes it away
    #[arg(long, value_parser = parse_burst, allow_hyphen_values = true, value_name = "N|none")]
    burst: Option<Limit<i32>>,
}

/// A plan and a stage.
#[derive(Debug, Args)]
pub(crate) struct PlanStage {
    /// Id or name of the plan
    plan: String,
    /// Id or name of the API
    api: String,
    /// Name of the stage
    #[arg(value_parser = stage_name)]
    stage: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a plan; `delete` is the opposite
    #[command(after_help = "Example:\n  sluice plan create gold --rate 100/s --burst 20")]
    Create {
        /// Name; need not be unique
        name: String,
        /// Description
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        #[command(flatten)]
        limits: Limits,
    },
    /// Change the limits of a plan
    #[command(after_help = "\
Examples:
  sluice plan set gold --rate 6000/h
  sluice plan set gold --burst none")]
    Set {
        /// Id or name
        plan: String,
        /// New name
        #[arg(long)]
        name: Option<String>,
        /// New description
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        #[command(flatten)]
        limits: Limits,
    },
    /// Open a stage to the keys of a plan; `detach` is the opposite
    #[command(after_help = "\
Examples:
  sluice plan attach gold pets prod
  sluice plan attach gold pets prod --method 'GET /pets' --rate 10/s --burst 5")]
    Attach {
        #[command(flatten)]
        at: PlanStage,
        /// Method with limits of its own
        #[arg(long, value_parser = parse_method, value_name = "\"GET /pets\"")]
        method: Option<MethodName>,
        /// Requests per second, minute or hour of each key on this method; without it, as many a second as the burst;
        /// none takes it away
        #[arg(long, value_parser = parse_rate, allow_hyphen_values = true, requires = "method", value_name = "100|100/s|1000/h|none")]
        rate: Option<Limit<f64>>,
        /// Requests on this method that may come at once; without it, one second's worth of the rate; none takes it away
        #[arg(long, value_parser = parse_burst, allow_hyphen_values = true, requires = "method", value_name = "N|none")]
        burst: Option<Limit<i32>>,
    },
    /// Close a stage to the keys of a plan, or take the limits of one method away; `attach` is the opposite
    #[command(after_help = "Example:\n  sluice plan detach gold pets prod")]
    Detach {
        #[command(flatten)]
        at: PlanStage,
        /// Only take the limits of this method away
        #[arg(long, value_parser = parse_method, value_name = "\"GET /pets\"")]
        method: Option<MethodName>,
    },
    /// Put a key in a plan; `remove-key` is the opposite
    #[command(after_help = "Example:\n  sluice plan add-key gold alice")]
    AddKey {
        /// Id or name of the plan
        plan: String,
        /// Id or name of the key
        key: String,
    },
    /// Take a key out of a plan; `add-key` is the opposite
    #[command(after_help = "Example:\n  sluice plan remove-key gold alice --yes")]
    RemoveKey {
        /// Id or name of the plan
        plan: String,
        /// Id or name of the key
        key: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// List the plans
    #[command(after_help = "Example:\n  sluice plan list")]
    List(#[command(flatten)] Page),
    /// Show a plan
    #[command(after_help = "Example:\n  sluice plan get gold -o json")]
    Get {
        /// Id or name
        plan: String,
        #[command(flatten)]
        freshness: Freshness,
    },
    /// Delete a plan
    #[command(after_help = "Example:\n  sluice plan delete gold --yes")]
    Delete {
        /// Id or name
        plan: String,
        #[command(flatten)]
        consent: Consent,
    },
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Create { name, description, limits } => {
                let plan = UsagePlan { name, description, throttle: limits.throttle(), ..UsagePlan::default() };
                PLAN.create(session, document::Kind::UsagePlan(plan)).await
            }
            Self::Set { plan, name, description, limits } => {
                let mut operations = limits.operations("throttle");
                operations.extend(name.map(|name| replace("name", name)));
                operations.extend(description.map(|text| replace("description", text)));
                if operations.is_empty() {
                    return Err(Failure::usage("expected --rate, --burst, --name or --description"));
                }
                PLAN.patch(session, "changed", &[&session.id_of(&PLAN, &plan).await?], operations).await
            }
            Self::Attach { at, method, rate, burst } => {
                attach(session, &at, method.as_ref(), Limits { rate, burst }).await
            }
            Self::Detach { at, method } => {
                let (plan, stage) = at.ids(session).await?;
                if !is_attached(session, &plan, &stage).await? {
                    let PlanStage { plan, api, stage } = at;
                    return Err(Failure::not_found(format!(
                        "stage {stage} of api {api} is not attached to plan {plan}"
                    )));
                }
                let operation = match method {
                    Some(method) => remove(method.path_in(&stage)),
                    // AWS names the stage in the value here, not in the path.
                    None => PatchOperation { value: stage, ..remove("apiStages") },
                };
                PLAN.patch(session, "detached", &[&plan], vec![operation]).await
            }
            Self::AddKey { plan, key } => plan_key::add(session, &plan, &key).await,
            Self::RemoveKey { plan, key, consent } => plan_key::remove(session, &plan, &key, consent).await,
            Self::List(page) => PLAN.list(session, &[], &page).await,
            Self::Get { plan, freshness } => {
                let session = &session.reading(freshness);
                PLAN.get(session, &[&session.id_of(&PLAN, &plan).await?], ShowValue::No).await
            }
            Self::Delete { plan, consent } => {
                PLAN.delete(session, &[&session.id_of(&PLAN, &plan).await?], &plan, consent).await
            }
        }
    }
}

/// A stage that is attached already keeps its place; a method's limits are set beside.
async fn attach(session: &Session, at: &PlanStage, method: Option<&MethodName>, limits: Limits) -> Result<(), Failure> {
    let (plan, stage) = at.ids(session).await?;
    let mut operations = Vec::new();
    if method.is_none() || !is_attached(session, &plan, &stage).await? {
        operations.push(add("apiStages", stage.clone()));
    }
    if let Some(method) = method {
        let found = limits.operations(&method.path_in(&stage));
        if found.is_empty() {
            return Err(Failure::usage("expected --rate or --burst with --method"));
        }
        operations.extend(found);
    }
    PLAN.patch(session, "attached", &[&plan], operations).await
}

async fn is_attached(session: &Session, plan: &str, stage: &str) -> Result<bool, Failure> {
    let plan = stored_json(&session.get(&PLAN, &[plan], ShowValue::No).await?);
    let stages = plan.get("apiStages").and_then(|stages| stages.as_array()).into_iter().flatten();
    let named =
        |each: &serde_json::Value| Some(format!("{}:{}", each.get("apiId")?.as_str()?, each.get("stage")?.as_str()?));
    Ok(stages.filter_map(named).any(|found| found == stage))
}

impl PlanStage {
    /// The plan's id, and the stage as AWS names it: `api:stage`.
    async fn ids(&self, session: &Session) -> Result<(String, String), Failure> {
        let plan = session.id_of(&PLAN, &self.plan).await?;
        let api = session.id_of(&API, &self.api).await?;
        Ok((plan, format!("{api}:{}", self.stage)))
    }
}

impl Limits {
    fn throttle(self) -> Option<ThrottleSettings> {
        let rate_limit = self.rate.and_then(Limit::value);
        let burst_limit = self.burst.and_then(Limit::value);
        (rate_limit.is_some() || burst_limit.is_some()).then_some(ThrottleSettings { burst_limit, rate_limit })
    }

    /// The patch operations that set these limits under `path`.
    fn operations(self, path: &str) -> Vec<PatchOperation> {
        let set = |field: &str, limit: Option<Option<String>>| {
            let path = format!("{path}/{field}");
            limit.map(|limit| limit.map_or_else(|| remove(&path), |value| replace(&path, value)))
        };
        let rate = self.rate.map(|limit| limit.value().map(|value| value.to_string()));
        let burst = self.burst.map(|limit| limit.value().map(|value| value.to_string()));
        [set("rateLimit", rate), set("burstLimit", burst)].into_iter().flatten().collect()
    }
}

/// A verb and a path: `GET /pets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MethodName {
    verb: String,
    path: String,
}

impl MethodName {
    /// AWS's patch path of this method's limits in a plan.
    fn path_in(&self, stage: &str) -> String {
        let path = self.path.replace('~', "~0").replace('/', "~1");
        format!("apiStages/{stage}/throttle/{path}/{}", self.verb)
    }
}

fn parse_method(text: &str) -> Result<MethodName, String> {
    let found = text.split_once(' ').map(|(verb, path)| (verb.trim(), path.trim()));
    match found {
        Some((verb, path))
            if path.starts_with('/') && !verb.is_empty() && verb.bytes().all(|byte| byte.is_ascii_alphabetic()) =>
        {
            Ok(MethodName { verb: verb.to_ascii_uppercase(), path: path.to_owned() })
        }
        _ => Err(format!("expected a verb and a path as \"GET /pets\", found `{text}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_a_verb_and_a_path() {
        let method = parse_method("get /pets/{id}").unwrap();
        assert_eq!(method.path_in("abc:prod"), "apiStages/abc:prod/throttle/~1pets~1{id}/GET");
        for text in ["GET", "/pets", "GET pets", "", " /pets"] {
            assert!(parse_method(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_are_set_and_taken_away() {
        let limits = Limits { rate: Some(Limit::To(0.5)), burst: Some(Limit::None) };
        assert_eq!(
            limits.operations("throttle"),
            [replace("throttle/rateLimit", "0.5"), remove("throttle/burstLimit")]
        );
        assert_eq!(limits.throttle(), Some(ThrottleSettings { rate_limit: Some(0.5), burst_limit: None }));
        let nothing = Limits { rate: None, burst: None };
        assert_eq!((nothing.operations("throttle"), nothing.throttle()), (Vec::new(), None));
    }
}
