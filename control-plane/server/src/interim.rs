#![allow(missing_docs, unused, dead_code)]
use sluice_proto::{admin::*, raft::*, sync::*};
use sluice_raft::Raft;
use tonic::{Request, Response, Status, service::Routes};
#[derive(Clone)]
pub struct Fleet;
impl Fleet {
    pub fn start(_: Raft, _: &str) -> Self {
        Self
    }
}
#[tonic::async_trait]
impl sluice_admin::Sessions for Fleet {
    fn take_report(&self, report: SessionReport) -> SessionReportReply {
        Default::default()
    }
    async fn wait(&self, revision: sluice_proto::model::Revision, timeout: std::time::Duration) -> WaitReply {
        Default::default()
    }
    fn nodes(&self) -> Vec<NodeLine> {
        vec![]
    }
}
