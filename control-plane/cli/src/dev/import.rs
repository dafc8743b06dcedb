//! `dev --import`: a description that is imported and deployed before the cluster says that it is ready.
//!
//! A start from the same folder updates the API that an earlier one made.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde_json::{Value, json};
use sluice_proto::admin::{Deploy, ImportStart};

use super::layout::Layout;
use crate::{
    api::{API, import},
    args::stage_name,
    deploy::deploy,
    failure::Failure,
    fleet::Wait,
    session::{Session, ShowValue},
};

/// In the folder of the cluster: the file that was imported, to the id of its API.
const FILE: &str = "imported.json";
/// How long the data nodes may take to serve it.
const SERVED: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Import this description and deploy it
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,
    /// Proxy every operation without an integration to this URL
    #[arg(long, requires = "import", value_name = "URL")]
    backend: Option<String>,
    /// Stage of the deployment
    #[arg(long, requires = "import", default_value = "dev", value_parser = stage_name, value_name = "STAGE")]
    stage: String,
}

impl Import {
    /// Refuses a file that cannot be read before anything is started.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let Some(file) = &self.import else { return Ok(()) };
        std::fs::File::open(file).map(drop).map_err(|failure| Failure::file(file, &failure))
    }

    /// Imports and deploys; answers the API with its addresses.
    ///
    /// # Errors
    /// What is wrong with the file, or that it is not served in time.
    pub(super) async fn run(&self, session: &Session, layout: &Layout) -> Result<Option<Value>, Failure> {
        let Some(file) = &self.import else { return Ok(None) };
        let mut remembered = Remembered::load(layout.folder());
        let path = file.canonicalize().map_err(|failure| Failure::file(file, &failure))?;
        let api_id = remembered.living(session, &path).await?;
        let start = ImportStart { api_id, backend: self.backend.clone(), ..ImportStart::default() };
        let result = import(session, &path, start).await?;
        session.output.warnings(&result.diagnostics);
        remembered.keep(&path, &result.api_id)?;
        let what = Deploy { api_id: result.api_id.clone(), stage_name: self.stage.clone(), ..Deploy::default() };
        let (deployed, waited) = deploy(session, what, &Wait::up_to(SERVED)).await?;
        waited?;
        for address in deployed.addresses() {
            session.output.note(&address);
        }
        Ok(Some(json!({"id": result.api_id, "name": result.name, "addresses": deployed.addresses()})))
    }
}

/// Which file became which API.
struct Remembered {
    path: PathBuf,
    apis: BTreeMap<PathBuf, String>,
}

impl Remembered {
    fn load(folder: &Path) -> Self {
        let path = folder.join(FILE);
        // What cannot be read is made anew: at worst an API is imported a second time.
        let apis = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { path, apis }
    }

    /// The API that an earlier start made of this file, if it is still there.
    async fn living(&self, session: &Session, file: &Path) -> Result<Option<String>, Failure> {
        let Some(id) = self.apis.get(file) else { return Ok(None) };
        match session.get(&API, &[id], ShowValue::No).await {
            Ok(_) => Ok(Some(id.clone())),
            Err(failure) if failure.code == "not-found" => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn keep(&mut self, file: &Path, id: &str) -> Result<(), Failure> {
        self.apis.insert(file.to_path_buf(), id.to_owned());
        let text = serde_json::to_vec_pretty(&self.apis).map_err(|failure| Failure::failed(failure.to_string()))?;
        std::fs::write(&self.path, text).map_err(|failure| Failure::file(&self.path, &failure))
    }
}
