//! `stage`: the named addresses of an API's deployments.

use clap::Subcommand;
use serde_json::Value;
use sluice_proto::{
    admin::{Deploy, PatchOperation},
    model::Kind,
};

use crate::{
    api::API,
    args::{Consent, Page, stage_name},
    assignment::{self, Assignment},
    deploy::deploy_and_tell,
    document::stored_json,
    failure::Failure,
    fleet::Wait,
    freshness::Freshness,
    noun::Noun,
    session::{Session, ShowValue},
    table::{column, time},
};

pub(crate) const STAGE: Noun = Noun {
    kind: Kind::Stage,
    word: "stage",
    id_chars: None,
    columns: &[
        column("STAGE", "stageName"),
        column("DEPLOYMENT", "deploymentId"),
        time("UPDATED", "lastUpdatedDate"),
        column("DESCRIPTION", "description"),
    ],
    absent: &[],
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the stages of an API
    #[command(after_help = "Example:\n  sluice stage list pets")]
    List {
        /// Id or name of the API
        api: String,
        #[command(flatten)]
        page: Page,
    },
    /// Show a stage
    #[command(after_help = "Example:\n  sluice stage get pets prod -o yaml")]
    Get {
        /// Id or name of the API
        api: String,
        /// Name of the stage
        #[arg(value_parser = stage_name)]
        stage: String,
        #[command(flatten)]
        freshness: Freshness,
    },
    /// Set fields of a stage, or remove them with PATH-
    #[command(after_help = "\
Paths are AWS's patch paths without the leading slash, or the field path of the JSON. Of a throttle's rate and burst a
method takes the one it lacks from */*; where that has none either, it is one second's worth of the other.

Examples:
  sluice stage set pets prod '*/*/throttling/rateLimit=100' '~1pets/GET/throttling/burstLimit=20'
  sluice stage set pets prod variables/backend=b1 description-")]
    Set {
        /// Id or name of the API
        api: String,
        /// Name of the stage
        #[arg(value_parser = stage_name)]
        stage: String,
        /// PATH=VALUE to set, PATH- to remove
        #[arg(required = true, value_parser = assignment::parse, value_name = "PATH=VALUE|PATH-")]
        assignments: Vec<Assignment>,
    },
    /// Point a stage at the deployment it served before, or at another
    #[command(after_help = "\
Examples:
  sluice stage rollback pets prod --yes
  sluice stage rollback pets prod --to abc123 --yes")]
    Rollback {
        /// Id or name of the API
        api: String,
        /// Name of the stage
        #[arg(value_parser = stage_name)]
        stage: String,
        /// Deployment to go to [default: the one before]
        #[arg(long, value_name = "DEPLOYMENT")]
        to: Option<String>,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        wait: Wait,
    },
    /// Delete a stage; its deployments stay
    #[command(after_help = "Example:\n  sluice stage delete pets prod --yes")]
    Delete {
        /// Id or name of the API
        api: String,
        /// Name of the stage
        #[arg(value_parser = stage_name)]
        stage: String,
        #[command(flatten)]
        consent: Consent,
    },
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List { api, page } => {
                let session = &session.reading(page.freshness);
                STAGE.list(session, &[&session.id_of(&API, &api).await?], &page).await
            }
            Self::Get { api, stage, freshness } => {
                let session = &session.reading(freshness);
                STAGE.get(session, &[&session.id_of(&API, &api).await?, &stage], ShowValue::No).await
            }
            Self::Set { api, stage, assignments } => {
                let operations = assignments.into_iter().map(PatchOperation::from).collect();
                STAGE.patch(session, "changed", &[&session.id_of(&API, &api).await?, &stage], operations).await
            }
            Self::Rollback { api, stage, to, consent, wait } => {
                let api_id = session.id_of(&API, &api).await?;
                let to = match to {
                    Some(to) => to,
                    None => previous_deployment(session, &api_id, &stage).await?,
                };
                session.consent(consent, &format!("point stage {stage} of {api} at deployment {to}"))?;
                let deploy = Deploy { api_id, stage_name: stage, deployment_id: Some(to), ..Deploy::default() };
                deploy_and_tell(session, deploy, &wait).await
            }
            Self::Delete { api, stage, consent } => {
                let called = format!("of api {api}");
                STAGE.delete(session, &[&session.id_of(&API, &api).await?, &stage], &called, consent).await
            }
        }
    }
}

async fn previous_deployment(session: &Session, api_id: &str, stage: &str) -> Result<String, Failure> {
    let stored = stored_json(&session.get(&STAGE, &[api_id, stage], ShowValue::No).await?);
    stored.get("previousDeploymentId").and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
        let hint = "name one with --to, see `sluice deployment list`";
        Failure::failed(format!("stage {stage} has served no other deployment before: {hint}"))
    })
}
