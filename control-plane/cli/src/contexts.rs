//! `~/.config/sluice/config.toml`: the clusters that an operator speaks to, by name, as kubectl has them.
//!
//! ```toml
//! current = "prod"
//!
//! [contexts.prod]
//! control = ["https://control-1.example:7100", "https://control-2.example:7100"]
//! ca-file = "/etc/sluice/ca.pem"
//! token-file = "/etc/sluice/token"     # or cert-file and key-file
//! ```

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// All contexts, and which of them is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Contexts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    pub(crate) contexts: BTreeMap<String, Cluster>,
}

/// How to reach one cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Cluster {
    pub(crate) control: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cert_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<PathBuf>,
}

impl Contexts {
    /// Reads the file; none is the same as an empty one.
    ///
    /// # Errors
    /// When it is there but cannot be read, or holds something else.
    pub(crate) fn load() -> Result<Self, Failure> {
        let Some(path) = path() else { return Ok(Self::default()) };
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                toml::from_str(&text).map_err(|failure| Failure::usage(format!("{}: {failure}", path.display())))
            }
            Err(failure) if failure.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(failure) => Err(Failure::file(&path, &failure)),
        }
    }

    /// Writes the file whole, by way of another, so that a reader never sees half of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        let path = path().ok_or_else(|| Failure::failed("no home folder: set HOME or XDG_CONFIG_HOME"))?;
        let text = toml::to_string(self).map_err(|failure| Failure::failed(failure.to_string()))?;
        let beside = path.with_extension("toml.new");
        let write = || {
            std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
            std::fs::write(&beside, text)?;
            std::fs::rename(&beside, &path)
        };
        write().map_err(|failure| Failure::file(&path, &failure))
    }

    /// The cluster to speak to: the one that is named, else the current one.
    ///
    /// # Errors
    /// A usage error for a name that does not exist, with those that do.
    pub(crate) fn cluster(&self, name: Option<&str>) -> Result<Option<&Cluster>, Failure> {
        let Some(name) = name.or(self.current.as_deref()) else { return Ok(None) };
        self.contexts.get(name).map(Some).ok_or_else(|| {
            let known = self.contexts.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "there are none".to_owned() } else { format!("there are {known}") };
            Failure::usage(format!("no context is named {name}: {known}"))
        })
    }
}

fn path() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")))?;
    Some(config.join("sluice/config.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_found_by_name_and_else_the_current_one() {
        let text = "current = \"b\"\n[contexts.a]\ncontrol = [\"http://a:1\"]\n[contexts.b]\nca-file = \"ca.pem\"\n";
        let contexts: Contexts = toml::from_str(text).unwrap();
        assert_eq!(contexts.cluster(Some("a")).unwrap().unwrap().control, ["http://a:1"]);
        assert_eq!(contexts.cluster(None).unwrap().unwrap().ca_file, Some(PathBuf::from("ca.pem")));
        assert_eq!(contexts.cluster(Some("c")).unwrap_err().message, "no context is named c: there are a, b");
        assert_eq!(Contexts::default().cluster(None).unwrap(), None);
        assert_eq!(toml::from_str::<Contexts>(&toml::to_string(&contexts).unwrap()).unwrap(), contexts);
        assert!(toml::from_str::<Contexts>("[contexts.a]\ncontrols = []").is_err());
    }
}
