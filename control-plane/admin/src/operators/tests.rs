//! Operators over a replica in memory.

use sluice_identity::{Operator, OperatorRefused, Operators as _, Peer, Shown, token_hash};
use tonic::Request;

use super::*;
use crate::{
    call::new_request_id,
    config::fresh_view,
    testing::{MemoryReplica, founded},
};

fn asked(name: &str, request_id: &[u8]) -> CreateOperatorRequest {
    let (request_id, name, role) = (request_id.to_vec(), name.to_owned(), "deployer".to_owned());
    CreateOperatorRequest { request_id, name, role, ttl_seconds: None }
}

fn call() -> Call {
    call_as(&Operator::new(LOCAL, OperatorRole::Admin), Shown::Nothing)
}

fn call_as(operator: &Operator, shown: Shown) -> Call {
    let mut request = Request::new(());
    request.extensions_mut().insert(Peer::operator(operator, shown));
    Call::of(&request)
}

async fn create(admin: &Admin<MemoryReplica>, message: CreateOperatorRequest) -> Result<CreateOperatorReply, Refused> {
    create::create(admin, &call(), message).await
}

async fn delete(admin: &Admin<MemoryReplica>, name: &str) -> Result<DeleteOperatorReply, Refused> {
    super::delete(admin, &call(), DeleteOperatorRequest { request_id: Vec::new(), name: name.to_owned() }).await
}

fn by_token(admin: &Admin<MemoryReplica>, token: &str) -> Result<Operator, OperatorRefused> {
    KnownOperators::of(admin.replica.clone()).by_token(&token_hash(token))
}

#[tokio::test]
async fn a_request_that_is_asked_again_is_answered_with_the_same_token_and_only_its_hash_is_kept() {
    let admin = founded();
    let id = new_request_id();
    let first = create(&admin, asked("ann", &id)).await.unwrap();
    assert_eq!(create(&admin, asked("ann", &id)).await.unwrap(), first);
    assert_eq!(create(&admin, asked("ann", &new_request_id())).await.unwrap_err().reason, Reason::Conflict);
    assert_eq!(by_token(&admin, &first.token), Ok(Operator::new("ann", OperatorRole::Deployer)));
    let kept: Vec<u8> = admin.replica.tables().rows().values().flatten().copied().collect();
    assert!(!kept.windows(first.token.len()).any(|window| window == first.token.as_bytes()));
    let bad = CreateOperatorRequest { role: "boss".into(), ..asked("bob", &[]) };
    assert_eq!(create(&admin, bad).await.unwrap_err().reason, Reason::Invalid);
    assert_eq!(create(&admin, asked("bootstrap", &[])).await.unwrap_err().reason, Reason::Invalid);
}

#[tokio::test]
async fn a_rotated_token_a_deleted_operator_and_one_whose_time_is_over_open_nothing() {
    let admin = founded();
    let first = create(&admin, asked("ann", &[])).await.unwrap().token;
    let id = new_request_id();
    let message = RotateOperatorRequest { request_id: id.clone(), name: "ann".into() };
    let second = create::rotate(&admin, &call(), message.clone()).await.unwrap().token;
    assert_eq!(create::rotate(&admin, &call(), message.clone()).await.unwrap().token, second);
    assert_eq!(by_token(&admin, &first), Err(OperatorRefused::Token));
    assert!(by_token(&admin, &second).is_ok());
    drop(
        create::rotate(&admin, &call(), RotateOperatorRequest { request_id: Vec::new(), name: "ann".into() })
            .await
            .unwrap(),
    );
    assert_eq!(
        create::rotate(&admin, &call(), message).await.unwrap_err().reason,
        Reason::Expired,
        "a worthless token"
    );

    let ttl = CreateOperatorRequest { ttl_seconds: Some(60), ..asked("tim", &[]) };
    let token = create(&admin, ttl).await.unwrap().token;
    assert!(by_token(&admin, &token).is_ok());
    let later = sluice_proto::raft::Stamp { time_ms: now_ms(0) + 60_000, ..Default::default() };
    admin.replica.apply(&crate::propose::change(later, Vec::new()));
    assert_eq!(by_token(&admin, &token), Err(OperatorRefused::Expired { name: "tim".into() }));

    let token = create(&admin, asked("bob", &[])).await.unwrap().token;
    let bob = by_token(&admin, &token).unwrap();
    let as_bob = call_as(&bob, Shown::Token(token_hash(&token)));
    fresh_view(&admin.replica, &as_bob, false).await.unwrap();
    delete(&admin, "bob").await.unwrap();
    assert_eq!(by_token(&admin, &token), Err(OperatorRefused::Token));
    let refused = fresh_view(&admin.replica, &as_bob, false).await.map(drop).unwrap_err();
    assert_eq!(refused.reason, Reason::Denied, "a read that was begun before is not answered from after");
    assert_eq!(delete(&admin, "bob").await.unwrap_err().reason, Reason::NotFound);
}

#[tokio::test]
async fn a_list_shows_operators_in_pages_and_no_hash() {
    let admin = founded();
    for name in ["cy", "ann", "bob"] {
        drop(create(&admin, asked(name, &[])).await.unwrap());
    }
    let mut names = Vec::new();
    let mut page_token = None;
    loop {
        let message = ListOperatorsRequest { page_size: Some(2), page_token, ..ListOperatorsRequest::default() };
        let page = list::list(&admin, &call(), message).await.unwrap().into_inner();
        names.extend(page.items.into_iter().map(|line| line.name));
        page_token = Some(page.next_page_token).filter(|token| !token.is_empty());
        if page_token.is_none() {
            break;
        }
    }
    // The cluster in memory was made without a token.
    assert_eq!(names, ["ann", "bob", "cy"]);
    let one = ListOperatorsRequest { name: Some("bob".into()), ..ListOperatorsRequest::default() };
    assert_eq!(list::list(&admin, &call(), one).await.unwrap().into_inner().items.len(), 1);
    let none = ListOperatorsRequest { name: Some("eve".into()), ..ListOperatorsRequest::default() };
    assert_eq!(list::list(&admin, &call(), none).await.unwrap_err().reason, Reason::NotFound);
}

#[tokio::test]
async fn the_value_of_a_key_is_for_an_admin() {
    let admin = founded();
    let key = crate::testing::put(sluice_proto::model::ApiKey { name: "k".into(), ..Default::default() });
    let id = crate::testing::id_of(&admin.done(key).await);
    for (role, expect) in [
        (OperatorRole::Viewer, Some(tonic::Code::PermissionDenied)),
        (OperatorRole::Deployer, Some(tonic::Code::PermissionDenied)),
        (OperatorRole::Admin, None),
    ] {
        for show_value in [true, false] {
            let named = crate::testing::named(sluice_proto::model::Kind::ApiKey, &[&id]);
            let mut request =
                Request::new(sluice_proto::admin::GetRequest { r#ref: Some(named), stale: false, show_value });
            request.extensions_mut().insert(Peer::operator(&Operator::new(LOCAL, role), Shown::Nothing));
            let answer = sluice_rpc::admin::config_server::Config::get(&admin, request).await;
            let expect = expect.filter(|_| show_value);
            assert_eq!(answer.err().map(|status| status.code()), expect, "{role} {show_value}");
        }
    }
}
