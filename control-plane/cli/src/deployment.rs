//! `deployment`: the immutable copies of an API that stages point at.

use clap::Subcommand;
use sluice_model::ids::SHORT_ID_CHARS;
use sluice_proto::model::Kind;

use crate::{
    api::API,
    args::Page,
    failure::Failure,
    freshness::Freshness,
    noun::Noun,
    session::{Session, ShowValue},
    table::{column, time},
};

pub(crate) const DEPLOYMENT: Noun = Noun {
    kind: Kind::Deployment,
    word: "deployment",
    id_chars: Some(SHORT_ID_CHARS),
    columns: &[column("ID", "id"), time("CREATED", "createdDate"), column("DESCRIPTION", "description")],
    absent: &[],
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the deployments of an API: what `stage rollback --to` takes
    #[command(after_help = "Example:\n  sluice deployment list pets")]
    List {
        /// Id or name of the API
        api: String,
        #[command(flatten)]
        page: Page,
    },
    /// Show a deployment
    #[command(after_help = "Example:\n  sluice deployment get pets abc123")]
    Get {
        /// Id or name of the API
        api: String,
        /// Id of the deployment
        deployment: String,
        #[command(flatten)]
        freshness: Freshness,
    },
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List { api, page } => {
                let session = &session.reading(page.freshness);
                DEPLOYMENT.list(session, &[&session.id_of(&API, &api).await?], &page).await
            }
            Self::Get { api, deployment, freshness } => {
                let session = &session.reading(freshness);
                let api = session.id_of(&API, &api).await?;
                DEPLOYMENT.get(session, &[&api, &deployment], ShowValue::No).await
            }
        }
    }
}
