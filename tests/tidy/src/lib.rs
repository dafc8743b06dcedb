//! What keeps the house in order: purity of crates, the direction of arrows between them, and the size of files.
//!
//! Promise: a test here fails when a PURE crate gains a dependency that brings clocks, sockets or randomness, when an
//! arrow points the wrong way, when a file or function outgrows a reader's patience, or when a dependency is not used or
//! not allowed. Absent: formatting and lints, which rustfmt and clippy watch.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;

pub mod licence;
pub mod manifest;

/// The workspace as `cargo metadata` tells it.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

impl Metadata {
    /// Asks cargo about the workspace this test was built from.
    ///
    /// # Panics
    /// When cargo cannot be run or answers something else than its metadata.
    #[must_use]
    pub fn read() -> Self {
        Self::of(&["--no-deps"])
    }

    /// The same with everything that it is built from on this machine.
    ///
    /// # Panics
    /// As `read`.
    #[must_use]
    pub fn with_dependencies() -> Self {
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        Self::of(&["--locked", "--filter-platform", &platform])
    }

    fn of(more: &[&str]) -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--offline", "--format-version", "1"])
            .args(more)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs, since it runs this test");
        assert!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints its documented JSON")
    }

    /// The root folder of the workspace.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.workspace_root
    }

    /// The crates by folder, each with the names of what it depends on outside tests and build scripts.
    #[must_use]
    pub fn crates(&self) -> BTreeMap<String, Crate> {
        self.packages.iter().map(|package| (self.folder_of(package), Crate::of(package))).collect()
    }

    /// What comes from elsewhere.
    pub fn foreign(&self) -> impl Iterator<Item = Foreign<'_>> {
        self.packages.iter().filter_map(|package| {
            let source = package.source.as_deref()?;
            Some(Foreign {
                name: &package.name,
                version: &package.version,
                licence: package.license.as_deref(),
                source,
            })
        })
    }

    fn folder_of(&self, package: &Package) -> String {
        let folder = package.manifest_path.parent().expect("a manifest lies in a folder");
        let inside = folder.strip_prefix(&self.workspace_root).expect("members lie under the root");
        inside.to_string_lossy().into_owned()
    }
}

/// One member of the workspace.
#[derive(Debug)]
pub struct Crate {
    /// Its package name.
    pub name: String,
    /// What its library and binaries depend on.
    pub dependencies: BTreeSet<String>,
}

impl Crate {
    fn of(package: &Package) -> Self {
        let dependencies =
            package.dependencies.iter().filter(|each| each.kind.is_none()).map(|each| each.name.clone()).collect();
        Self { name: package.name.clone(), dependencies }
    }
}

/// A crate that is not ours.
#[derive(Clone, Copy, Debug)]
pub struct Foreign<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The licences it says it has, as an SPDX expression.
    pub licence: Option<&'a str>,
    /// Where it was taken from.
    pub source: &'a str,
}

/// Every file under version control or about to be, with one of these endings.
///
/// # Panics
/// When git cannot be run.
#[must_use]
pub fn files(root: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .expect("git runs where the sources are");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| endings.iter().any(|ending| line.ends_with(ending)))
        .map(|line| root.join(line))
        .filter(|path| path.is_file())
        .collect()
}
