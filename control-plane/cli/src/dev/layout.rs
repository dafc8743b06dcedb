//! What a `dev` cluster consists of, kept in its folder: `dev.json`, and a folder per node.
//!
//! Promise: a cluster keeps its ports for life, because its control nodes know each other by them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    node::{Role, Spec},
    ports::{Chooser, ControlPorts, DataPorts, Series, check_free},
};
use crate::{counted::counted, failure::Failure};

const FILE: &str = "dev.json";

/// A cluster's nodes and ports.
#[derive(Debug)]
pub(super) struct Layout {
    folder: PathBuf,
    kept: Kept,
}

/// What `dev.json` holds.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Kept {
    control: Vec<ControlPorts>,
    data: Vec<DataPorts>,
}

impl Layout {
    /// The layout that `folder` has, or a new one; grown to as many nodes as are asked for.
    ///
    /// # Errors
    /// When a port is taken, the folder cannot be used, or it has more control nodes than are asked for.
    pub(super) fn open(folder: &Path, control: usize, data: usize, series: Series) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder).map_err(|failure| Failure::file(folder, &failure))?;
        // Nodes are told absolute folders, since they may be other processes.
        let folder = folder.canonicalize().map_err(|failure| Failure::file(folder, &failure))?;
        let mut kept = load(&folder.join(FILE))?;
        if kept.control.len() > control {
            let message = format!(
                "{} holds a cluster of {}: give --control-nodes {}, or another --data-dir",
                folder.display(),
                counted(kept.control.len(), "control node"),
                kept.control.len()
            );
            return Err(Failure::usage(message));
        }
        let mut chooser = Chooser::new(series);
        for index in kept.control.len()..control {
            kept.control.push(chooser.control(index)?);
        }
        for index in kept.data.len()..data {
            kept.data.push(chooser.data(index)?);
        }
        let layout = Self { folder, kept };
        let used = Kept { control: layout.kept.control.clone(), data: layout.kept.data[..data].to_vec() };
        check_free(used.ports())?;
        layout.save()?;
        Ok(Self { kept: used, ..layout })
    }

    fn save(&self) -> Result<(), Failure> {
        let path = self.folder.join(FILE);
        let text = serde_json::to_string_pretty(&self.kept).expect("ports are numbers");
        std::fs::write(&path, text).map_err(|failure| Failure::file(&path, &failure))
    }

    /// The folder of the cluster.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The control nodes; the first founds the cluster.
    pub(super) fn control_nodes(&self) -> impl Iterator<Item = Spec> {
        let urls = self.admin_urls();
        self.kept.control.iter().enumerate().map(move |(index, ports)| {
            let join = if index == 0 { Vec::new() } else { urls[..index].to_vec() };
            self.spec("control", index, Role::Control { ports: *ports, join })
        })
    }

    /// The data nodes.
    pub(super) fn data_nodes(&self) -> impl Iterator<Item = Spec> {
        let urls = self.admin_urls();
        self.kept
            .data
            .iter()
            .enumerate()
            .map(move |(index, ports)| self.spec("data", index, Role::Data { ports: *ports, control: urls.clone() }))
    }

    fn spec(&self, role: &str, index: usize, role_settings: Role) -> Spec {
        let name = format!("{role}-{}", index + 1);
        Spec { folder: self.folder.join(&name), name, role: role_settings }
    }

    pub(super) fn admin_urls(&self) -> Vec<String> {
        self.kept.control.iter().map(|ports| url(ports.admin)).collect()
    }

    pub(super) fn management_urls(&self) -> Vec<String> {
        self.kept.control.iter().map(|ports| url(ports.http)).collect()
    }

    pub(super) fn gateway_urls(&self) -> Vec<String> {
        self.kept.data.iter().map(|ports| url(ports.http)).collect()
    }

    /// Where each node says that it is ready.
    pub(super) fn readiness_ports(&self) -> Vec<u16> {
        let control = self.kept.control.iter().map(|ports| ports.http);
        control.chain(self.kept.data.iter().map(|ports| ports.operations)).collect()
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        (self.kept.control.len(), self.kept.data.len())
    }
}

impl Kept {
    fn ports(&self) -> Vec<u16> {
        let control = self.control.iter().flat_map(|ports| [ports.admin, ports.peer, ports.http]);
        control.chain(self.data.iter().flat_map(|ports| [ports.http, ports.operations])).collect()
    }
}

fn load(path: &Path) -> Result<Kept, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            serde_json::from_str(&text).map_err(|failure| Failure::failed(format!("{}: {failure}", path.display())))
        }
        Err(failure) if failure.kind() == std::io::ErrorKind::NotFound => Ok(Kept::default()),
        Err(failure) => Err(Failure::file(path, &failure)),
    }
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_keeps_its_ports_and_may_grow() {
        let folder = tempfile::tempdir().unwrap();
        let first = Layout::open(folder.path(), 1, 2, Series::Free).unwrap();
        let second = Layout::open(folder.path(), 3, 1, Series::Free).unwrap();
        assert_eq!(second.admin_urls()[0], first.admin_urls()[0]);
        assert_eq!((second.counts(), second.gateway_urls()[0].clone()), ((3, 1), first.gateway_urls()[0].clone()));
        let third = Layout::open(folder.path(), 3, 2, Series::Free).unwrap();
        assert_eq!(third.gateway_urls(), first.gateway_urls(), "a node that was left out for once keeps its ports");
        let refused = Layout::open(folder.path(), 1, 1, Series::Free).unwrap_err();
        assert!(refused.message.contains("--control-nodes 3"), "{}", refused.message);
    }

    #[test]
    fn later_control_nodes_join_the_earlier_ones() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::open(folder.path(), 3, 1, Series::Free).unwrap();
        let joins = layout.control_nodes().map(|spec| match spec.role {
            Role::Control { join, .. } => join.len(),
            Role::Data { .. } => usize::MAX,
        });
        assert_eq!(joins.collect::<Vec<_>>(), [0, 1, 2]);
        let names = layout.data_nodes().map(|spec| spec.name).collect::<Vec<_>>();
        assert_eq!(names, ["data-1"]);
    }
}
