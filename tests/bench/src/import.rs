//! GitHub's API description: imported, deployed, and served by every data node.

use std::time::Instant;

use anyhow::{Context as _, Result};
use sluice_e2e::dev::Dev;
use tempfile::TempDir;

use crate::{
    calibrate,
    report::{calibration, figure},
    rig::{github, path_text},
};

/// Measures the two commands that a user types, on three control nodes and two data nodes.
pub(crate) async fn run(runs: usize) -> Result<()> {
    let folder = TempDir::new()?;
    let dev = Dev::start(3, 2, &folder.path().join("data"));
    let cli = dev.cli();
    let file = github();
    let (mut imports, mut deploys, mut totals, mut loops) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        loops.push(calibrate::loop_ms());
        let start = Instant::now();
        let imported = cli.json(&["api", "import", path_text(&file)?, "--backend", "http://127.0.0.1:9"]);
        let import = start.elapsed().as_secs_f64() * 1_000.0;
        let api = imported["id"].as_str().context("an import answers with the id of the API")?.to_owned();
        // `api deploy` returns when every data node serves the revision.
        drop(cli.text(&["api", "deploy", &api, "--stage", "prod"]));
        let total = start.elapsed().as_secs_f64() * 1_000.0;
        drop(cli.text(&["api", "delete", &api, "--yes"]));
        imports.push(import);
        deploys.push(total - import);
        totals.push(total);
    }
    figure("GitHub's description: import", "ms", &imports, "-");
    figure("GitHub's description: deploy, served by every node", "ms", &deploys, "-");
    figure("GitHub's description: both", "ms", &totals, "<= 2000");
    calibration(&loops);
    dev.stop();
    Ok(())
}
