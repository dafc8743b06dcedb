//! Reads that take what one node knows.

use sluice_identity::roles::STALE_METADATA;
use sluice_proto::{
    admin::{
        ExportRequest, GetRequest, ListNodesRequest, ListRequest, ListRoutesRequest, ListTokensRequest, StatusRequest,
    },
    model::{Kind, RestApi},
};
use sluice_rpc::admin::{
    apis_server::Apis as _, cluster_server::Cluster as _, config_server::Config as _, fleet_server::Fleet as _,
};
use tonic::{Request, metadata::MetadataMap};

use crate::testing::{MemoryReplica, founded, id_of, named, put};

type Admin = crate::admin::Admin<MemoryReplica>;

fn apis(stale: bool) -> Request<ListRequest> {
    Request::new(ListRequest { kind: Kind::RestApi.into(), stale, ..ListRequest::default() })
}

#[tokio::test]
async fn a_stale_read_asks_no_leader_and_says_whose_knowledge_it_is() {
    let admin = founded();
    let before = admin.replica.tables();
    admin.done(put(RestApi { name: "pets".into(), ..RestApi::default() })).await;
    admin.replica.lag_at(before);
    let stale = Admin::list(&admin, apis(true)).await.unwrap();
    let mark = format!("n1 {}", stale.get_ref().revision.as_ref().unwrap().number);
    assert_eq!(stale.metadata().get(STALE_METADATA).unwrap(), &mark);
    assert_eq!(stale.get_ref().items, []);
    let fresh = Admin::list(&admin, apis(false)).await.unwrap();
    assert_eq!(fresh.metadata().get(STALE_METADATA), None);
    assert_eq!(fresh.get_ref().items.len(), 1);
}

#[tokio::test]
async fn every_read_may_be_stale() {
    let admin = founded();
    let api = id_of(&admin.done(put(RestApi { name: "pets".into(), ..RestApi::default() })).await);
    for stale in [true, false] {
        let get = GetRequest { r#ref: Some(named(Kind::RestApi, &[&api])), stale, ..GetRequest::default() };
        let export = ExportRequest { kind: "RestApi".into(), stale, ..ExportRequest::default() };
        let routes = ListRoutesRequest { api_id: api.clone(), stale, ..ListRoutesRequest::default() };
        let nodes = ListNodesRequest { stale, ..ListNodesRequest::default() };
        let tokens = ListTokensRequest { stale, ..ListTokensRequest::default() };
        let answers: [(&str, MetadataMap); 7] = [
            ("list", Admin::list(&admin, apis(stale)).await.unwrap().metadata().clone()),
            ("get", Admin::get(&admin, Request::new(get)).await.unwrap().metadata().clone()),
            ("export", Admin::export(&admin, Request::new(export)).await.unwrap().metadata().clone()),
            ("routes", Admin::list_routes(&admin, Request::new(routes)).await.unwrap().metadata().clone()),
            ("nodes", Admin::list_nodes(&admin, Request::new(nodes)).await.unwrap().metadata().clone()),
            ("tokens", Admin::list_tokens(&admin, Request::new(tokens)).await.unwrap().metadata().clone()),
            (
                "status",
                Admin::status(&admin, Request::new(StatusRequest { stale, ..StatusRequest::default() }))
                    .await
                    .unwrap()
                    .metadata()
                    .clone(),
            ),
        ];
        for (read, metadata) in answers {
            assert_eq!(metadata.contains_key(STALE_METADATA), stale, "{read}");
        }
    }
}
