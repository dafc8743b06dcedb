//! Dependencies: used where they are listed, said why, listed once, and of the kind that `deny.toml` allows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use sluice_tidy::{Metadata, files, licence, manifest};
use toml::{Table, Value};

/// Where cargo takes crates from when nothing else is said.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn root() -> PathBuf {
    Metadata::read().root().to_path_buf()
}

fn members() -> Vec<PathBuf> {
    let metadata = Metadata::read();
    metadata.crates().keys().map(|folder| metadata.root().join(folder)).collect()
}

fn deny() -> Table {
    toml::from_str(&fs::read_to_string(root().join("deny.toml")).unwrap()).unwrap()
}

#[test]
fn every_dependency_is_named_by_the_code_it_is_listed_for() {
    let mut bad = Vec::new();
    for folder in members() {
        let manifest = manifest::read(&folder);
        let elsewhere = manifest::named_elsewhere(&manifest);
        for (section, places) in manifest::SECTIONS {
            let sources = sources(&folder, places);
            let unused = manifest::dependencies(&manifest, section).into_keys().filter(|dependency| {
                !elsewhere.contains(dependency) && !sources.iter().any(|code| manifest::names(code, dependency))
            });
            bad.extend(unused.map(|dependency| format!("{}: {dependency} in [{section}]", folder.display())));
        }
    }
    assert!(bad.is_empty(), "dependencies that no code names: {bad:#?}");
}

/// The code at these places of a crate, with the files of other crates that it takes in by their path.
fn sources(folder: &Path, places: &[&str]) -> Vec<String> {
    let places: Vec<PathBuf> = places.iter().map(|place| folder.join(place)).collect();
    let listed = files(folder, &[".rs"]);
    let listed = listed.iter().filter(|file| places.iter().any(|place| file.starts_with(place)));
    listed
        .flat_map(|file| {
            let code = fs::read_to_string(file).unwrap();
            let taken = code.split("#[path = \"").skip(1).filter_map(|rest| rest.split('"').next());
            let taken = taken.map(|path| fs::read_to_string(file.parent().unwrap().join(path)).unwrap());
            taken.collect::<Vec<_>>().into_iter().chain([code])
        })
        .collect()
}

#[test]
fn versions_stand_in_the_root_with_a_reason_and_every_one_is_used() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = text.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#') && !line.contains("path = "));
    let silent: Vec<_> = lines.filter(|line| !line.contains(" # ")).collect();
    assert!(silent.is_empty(), "dependencies without a reason: {silent:#?}");

    let mut used = BTreeSet::new();
    for folder in members() {
        let manifest = manifest::read(&folder);
        for (section, _) in manifest::SECTIONS {
            for (name, value) in manifest::dependencies(&manifest, section) {
                let inherited = value.get("workspace").and_then(Value::as_bool) == Some(true);
                assert!(inherited, "{}: {name} has a version of its own", folder.display());
                used.insert(name.to_owned());
            }
        }
    }
    let root = manifest::read(&root());
    let listed = root["workspace"]["dependencies"].as_table().unwrap();
    let unused: Vec<_> = listed.keys().filter(|name| !used.contains(*name)).collect();
    assert!(unused.is_empty(), "no member depends on {unused:?}");
}

#[test]
fn licences_and_sources_are_those_that_are_allowed() {
    let deny = deny();
    let allowed: Vec<&str> = deny["licenses"]["allow"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let metadata = Metadata::with_dependencies();
    let mut bad = Vec::new();
    for foreign in metadata.foreign() {
        if !foreign.licence.is_some_and(|expression| licence::is_met(expression, &allowed)) {
            bad.push(format!("{} {}: licence {:?}", foreign.name, foreign.version, foreign.licence));
        }
        if foreign.source != REGISTRY {
            bad.push(format!("{} {}: from {}", foreign.name, foreign.version, foreign.source));
        }
    }
    assert!(metadata.foreign().count() > 100, "the workspace has dependencies");
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn nothing_that_is_banned_is_linked_and_what_must_be_one_is_one() {
    let metadata = Metadata::with_dependencies();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for foreign in metadata.foreign() {
        versions.entry(foreign.name).or_default().insert(foreign.version);
    }
    for ban in deny()["bans"]["deny"].as_array().unwrap() {
        let name = ban["crate"].as_str().unwrap();
        let found = versions.get(name).map_or(0, BTreeSet::len);
        let most = usize::from(ban.get("deny-multiple-versions").is_some());
        assert!(found <= most, "{name}: at most {most} versions, found {:?}", versions.get(name));
    }
}
