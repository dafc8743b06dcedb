//! Deploying: what was committed, who serves it, and where it is called.
//!
//! Promise: an address that is printed as a URL answers as it is; where a node needs the API's host name, the command that
//! says it is printed instead. Absent: which addresses a data node lets in by path, which only its own settings say: off
//! loopback they are refused unless it was told otherwise, so that none is printed.

use std::{net::IpAddr, time::Instant};

use serde_json::{Value, json};
use sluice_proto::{
    admin::{Deploy, operation},
    model::Revision,
};

use crate::{
    document::stored_json,
    failure::Failure,
    fleet::{Served, Wait, nodes_json},
    output::revision_json,
    session::Session,
};

/// The suffix that every data node takes, whatever its name.
const SUFFIX: &str = "execute-api.localhost";

/// Deploys and prints what came of it. What was committed is said even where it is not served in time.
pub(crate) async fn deploy_and_tell(session: &Session, what: Deploy, wait: &Wait) -> Result<(), Failure> {
    let (deployed, waited) = deploy(session, what, wait).await?;
    session.output.either(&deployed.to_json(), &deployed.to_text());
    session.output.warnings(&deployed.served.as_ref().map(Served::warnings).unwrap_or_default());
    waited
}

/// Points a stage at a new deployment, or at the one that `what` names, and waits until it is served.
///
/// Answers what was committed, and whether the wait ended well.
///
/// # Errors
/// When nothing was committed, or that is not known.
pub(crate) async fn deploy(
    session: &Session,
    what: Deploy,
    wait: &Wait,
) -> Result<(Deployed, Result<(), Failure>), Failure> {
    let began = Instant::now();
    let (api_id, stage, named) = (what.api_id.clone(), what.stage_name.clone(), what.deployment_id.clone());
    let reply = session.change(vec![operation::Kind::Deploy(what)]).await?;
    let made = reply.results.iter().map(stored_json).find_map(|document| {
        let field = |key: &str| document.get(key).and_then(Value::as_str).map(str::to_owned);
        field("deploymentId").or_else(|| field("id"))
    });
    let origin = if named.is_some() { Origin::Earlier } else { Origin::New };
    let deployment_id = named.or(made).unwrap_or_default();
    let (served, waited) = match wait.served(session, reply.revision.as_ref(), &api_id).await {
        Ok(served) => (served, Ok(())),
        Err(failure) => (None, Err(failure)),
    };
    let milliseconds = began.elapsed().as_millis();
    Ok((Deployed { origin, api_id, stage, deployment_id, revision: reply.revision, served, milliseconds }, waited))
}

/// Which deployment a stage is pointed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    New,
    Earlier,
}

/// What a deployment came to.
pub(crate) struct Deployed {
    origin: Origin,
    api_id: String,
    stage: String,
    deployment_id: String,
    revision: Option<Revision>,
    served: Option<Served>,
    milliseconds: u128,
}

impl Deployed {
    fn to_json(&self) -> Value {
        json!({
            "apiId": self.api_id,
            "stageName": self.stage,
            "deploymentId": self.deployment_id,
            "revision": self.revision.as_ref().map(revision_json),
            "served": self.served.is_some(),
            "milliseconds": u64::try_from(self.milliseconds).unwrap_or(u64::MAX),
            "host": self.host(),
            "nodes": self.served.as_ref().map_or_else(|| json!([]), |served| nodes_json(&served.nodes)),
            "addresses": self.addresses(),
        })
    }

    fn to_text(&self) -> String {
        let Self { api_id, stage, deployment_id, .. } = self;
        let number = self.revision.as_ref().map_or(0, |revision| revision.number);
        let mut text = match self.origin {
            Origin::New => {
                format!("deployed api {api_id} to stage {stage}: deployment {deployment_id}, revision {number}")
            }
            Origin::Earlier => {
                format!("pointed stage {stage} of api {api_id} at deployment {deployment_id}: revision {number}")
            }
        };
        if let Some(served) = &self.served {
            let count = served.nodes.iter().filter(|node| node.state == "served").count();
            let nodes = if count == 1 { "1 data node".to_owned() } else { format!("all {count} data nodes") };
            text.push_str(&format!("\nserved by {nodes} after {} ms", self.milliseconds));
        }
        for line in self.addresses().into_iter().chain(self.calls()).chain(self.nowhere()) {
            text.push_str("\n  ");
            text.push_str(&line);
        }
        if self.elsewhere().next().is_some() {
            let name = format!("http://{api_id}.execute-api.YOUR.DOMAIN/{stage}");
            text.push_str(&format!("\nclients call {name}, by a wildcard DNS name for your data nodes"));
        }
        text
    }

    /// The name by which every data node knows the API.
    fn host(&self) -> String {
        format!("{}.{SUFFIX}", self.api_id)
    }

    /// URLs at nodes on this machine: by host name, which resolves without DNS, and by path.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let Self { api_id, stage, .. } = self;
        let here = self.addresses_of_nodes().filter(|address| is_here(address));
        here.flat_map(|address| {
            let (_, port) = address.rsplit_once(':').unwrap_or((address, "80"));
            let by_host = format!("http://{}:{port}/{stage}", self.host());
            [by_host, format!("http://{address}/_aws/execute-api/{api_id}/{stage}")]
        })
        .collect()
    }

    /// How nodes elsewhere are called before there is a DNS name.
    fn calls(&self) -> impl Iterator<Item = String> {
        self.elsewhere().map(|address| format!("curl -H 'Host: {}' http://{address}/{}", self.host(), self.stage))
    }

    fn elsewhere(&self) -> impl Iterator<Item = &str> {
        self.addresses_of_nodes().filter(|address| !is_here(address) && !is_every_interface(address))
    }

    /// What to do about nodes that announce no address which others could call.
    fn nowhere(&self) -> impl Iterator<Item = String> {
        let nodes = self.addresses_of_nodes().filter(|address| is_every_interface(address));
        nodes.map(|address| format!("a data node announces {address}, which no one can call: give it --advertise"))
    }

    /// HOST:PORT of each node that serves it.
    fn addresses_of_nodes(&self) -> impl Iterator<Item = &str> {
        let nodes = self.served.iter().flat_map(|served| &served.nodes).filter(|node| node.state == "served");
        nodes.map(|node| node.address.trim_start_matches("http://").trim_end_matches('/'))
    }
}

fn is_here(address: &str) -> bool {
    sluice_identity::is_loopback(host_of(address))
}

/// Whether it is what a node listens on, rather than where it is.
fn is_every_interface(address: &str) -> bool {
    host_of(address).parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
}

fn host_of(address: &str) -> &str {
    let (host, _) = address.rsplit_once(':').unwrap_or((address, ""));
    host.trim_matches(['[', ']'])
}

#[cfg(test)]
mod tests {
    use sluice_proto::admin::NodeServing;

    use super::*;

    fn deployed(nodes: &[(&str, &str)]) -> Deployed {
        let node = |(address, state): &(&str, &str)| NodeServing {
            address: (*address).into(),
            state: (*state).into(),
            ..NodeServing::default()
        };
        Deployed {
            origin: Origin::New,
            api_id: "abcdef1234".into(),
            stage: "prod".into(),
            deployment_id: "d12345".into(),
            revision: Some(Revision { generation: "g".into(), number: 9 }),
            served: Some(Served { nodes: nodes.iter().map(node).collect(), voters_not_heard: Vec::new() }),
            milliseconds: 12,
        }
    }

    #[test]
    fn a_deployment_on_this_machine_is_told_with_urls() {
        let deployed = deployed(&[("127.0.0.1:8080", "served"), ("[::1]:8081", "served"), ("127.0.0.1:1", "gone")]);
        assert_eq!(
            deployed.to_text(),
            "deployed api abcdef1234 to stage prod: deployment d12345, revision 9\n\
             served by all 2 data nodes after 12 ms\n  \
             http://abcdef1234.execute-api.localhost:8080/prod\n  \
             http://127.0.0.1:8080/_aws/execute-api/abcdef1234/prod\n  \
             http://abcdef1234.execute-api.localhost:8081/prod\n  \
             http://[::1]:8081/_aws/execute-api/abcdef1234/prod"
        );
        assert_eq!(deployed.to_json()["revision"]["number"], 9);
        assert_eq!(deployed.to_json()["addresses"].as_array().map(Vec::len), Some(4));
    }

    #[test]
    fn a_node_that_says_only_what_it_listens_on_is_told_to_say_where_it_is() {
        for address in ["0.0.0.0:8080", "[::]:8080"] {
            let text = deployed(&[(address, "served")]).to_text();
            let last = text.lines().last().unwrap().trim();
            assert_eq!(last, format!("a data node announces {address}, which no one can call: give it --advertise"));
        }
    }

    #[test]
    fn a_node_elsewhere_is_called_by_the_host_name_since_it_refuses_paths() {
        let deployed = deployed(&[("10.0.0.1:8080", "served"), ("gateway.example.com:80", "served"), ("x:1", "gone")]);
        assert_eq!(
            deployed.to_text(),
            "deployed api abcdef1234 to stage prod: deployment d12345, revision 9\n\
             served by all 2 data nodes after 12 ms\n  \
             curl -H 'Host: abcdef1234.execute-api.localhost' http://10.0.0.1:8080/prod\n  \
             curl -H 'Host: abcdef1234.execute-api.localhost' http://gateway.example.com:80/prod\n\
             clients call http://abcdef1234.execute-api.YOUR.DOMAIN/prod, by a wildcard DNS name for your data nodes"
        );
        let value = deployed.to_json();
        assert_eq!((&value["addresses"], &value["host"]), (&json!([]), &json!("abcdef1234.execute-api.localhost")));
    }
}
