//! Join tokens. The secret is shown once; the cluster keeps its hash.

use sluice_identity::{ClusterKey, JoinToken, NodeRole};
use sluice_proto::{
    admin::{
        CreateTokenReply, CreateTokenRequest, ListTokensReply, ListTokensRequest, RevokeTokenReply, RevokeTokenRequest,
        TokenLine,
    },
    raft::{self, Command, DeleteJoinToken, PutJoinToken, command},
};
use tonic::Response;

use crate::{
    admin::Admin,
    call::Call,
    config::{PageToken, fresh_view},
    propose::{here, now_ms},
    read,
    refused::{Reason, Refused},
    replica::Replica,
};

/// Seconds for which a token is valid where the caller does not say.
const TTL_DEFAULT: u64 = 3_600;
/// Seconds for which a token may be valid: a week.
const TTL_MAX: u64 = 7 * 24 * 3_600;

/// Makes a token. Asked again with the same request id it is the same token: its secret follows from the request.
pub(crate) async fn create<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: CreateTokenRequest,
) -> Result<CreateTokenReply, Refused> {
    let request = call.request_id(&message.request_id, &message)?;
    let role = NodeRole::parse(&message.role)
        .ok_or_else(|| Refused::invalid("role", format!("expected control or data, found `{}`", message.role), ""))?;
    let ttl = message.ttl_seconds.unwrap_or(TTL_DEFAULT);
    if ttl == 0 || ttl > TTL_MAX {
        let text = format!("expected 1 to {TTL_MAX} seconds, found {ttl}");
        return Err(Refused::invalid("ttlSeconds", text, ""));
    }
    let (cluster, previous) = {
        let view = admin.replica.view();
        (view.cluster().unwrap_or_default(), view.stamp())
    };
    let ca_pem = (!cluster.plaintext).then_some(cluster.ca_certificate_pem.as_str());
    let of_key =
        |key: &ClusterKey, id: &[u8]| JoinToken::of_request(key, (&call.actor, id), &cluster.cluster_id, role, ca_pem);
    let keys = admin.tools.secrets.keys();
    let key = keys.get(&admin.replica.view().sealing_key());
    let key =
        key.ok_or_else(|| Refused::new(Reason::Unavailable, "this node has yet to get the cluster key; ask again"))?;
    let (made, request_id) = (of_key(&key, &request.id), request.id.clone());
    let created_ms = now_ms(previous);
    let token = raft::JoinToken {
        id: made.id.clone(),
        role: role.as_str().to_owned(),
        secret_hash: made.secret_hash().as_bytes().to_vec().into(),
        expires_ms: created_ms + ttl * 1_000,
        created_ms,
        created_by: call.actor.clone(),
    };
    let stamp = call.stamp(created_ms, Some(request));
    let command = PutJoinToken { stamp: Some(stamp), token: Some(token) };
    here(&admin.replica, Command { kind: Some(command::Kind::PutJoinToken(command)) }, call.deadline).await?;
    // A replay is told when the token that was made first expires; it was made of the key that sealed then.
    let tokens = admin.replica.view().join_tokens();
    let kept = keys.all().into_iter().find_map(|key| {
        let made = of_key(&key, &request_id);
        Some((tokens.iter().find(|kept| kept.id == made.id)?.clone(), made))
    });
    let (kept, made) = kept.ok_or_else(|| {
        let message = "the token that this request made was used or revoked; make another, with a new request id";
        Refused::new(Reason::Expired, message)
    })?;
    Ok(CreateTokenReply { id: kept.id, token: made.to_text().expose().clone(), expires_ms: kept.expires_ms })
}

/// Lists tokens that are not used up, expired ones among them until they are trimmed.
pub(super) async fn list<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: ListTokensRequest,
) -> Result<Response<ListTokensReply>, Refused> {
    let size = read::page_size(message.page_size)?;
    let after = PageToken::parse(message.page_token.as_deref())?.and_then(|token| token.0.into_iter().next());
    let view = fresh_view(&admin.replica, call, message.stale).await?;
    let mut tokens = view.join_tokens();
    tokens.retain(|token| after.as_ref().is_none_or(|after| token.id > *after));
    let more = tokens.len() > size;
    tokens.truncate(size);
    let last = tokens.last().filter(|_| more);
    let next_page_token = last.map(|token| PageToken(vec![token.id.clone()]).to_text()).unwrap_or_default();
    let items = tokens.into_iter().map(|token| TokenLine {
        id: token.id,
        role: token.role,
        expires_ms: token.expires_ms,
        created_ms: token.created_ms,
        created_by: token.created_by,
    });
    let reply = ListTokensReply { items: items.collect(), next_page_token };
    Ok(admin.answer(message.stale, view.number(), reply))
}

/// Takes a token back before it is used.
pub(super) async fn revoke<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: RevokeTokenRequest,
) -> Result<RevokeTokenReply, Refused> {
    let request = call.request_id(&message.request_id, &message)?;
    let time_ms = now_ms(admin.replica.view().stamp());
    let stamp = call.stamp(time_ms, Some(request));
    let command = DeleteJoinToken { stamp: Some(stamp), id: message.id };
    here(&admin.replica, Command { kind: Some(command::Kind::DeleteJoinToken(command)) }, call.deadline).await?;
    Ok(RevokeTokenReply {})
}

#[cfg(test)]
mod tests {
    use sluice_proto::raft::Stamp;
    use tonic::Request;

    use super::*;
    use crate::{
        call::new_request_id,
        testing::{MemoryReplica, founded},
    };

    fn asked(request_id: &[u8]) -> CreateTokenRequest {
        CreateTokenRequest { request_id: request_id.to_vec(), role: "data".into(), ttl_seconds: None }
    }

    async fn create(admin: &Admin<MemoryReplica>, message: CreateTokenRequest) -> Result<CreateTokenReply, Refused> {
        super::create(admin, &Call::of(&Request::new(())), message).await
    }

    #[tokio::test]
    async fn a_request_that_is_asked_again_is_answered_with_the_same_token() {
        let admin = founded();
        let id = new_request_id();
        let first = create(&admin, asked(&id)).await.unwrap();
        // Its answer was lost, and time has passed.
        let later = Stamp { actor: "other".into(), time_ms: now_ms(0) + 60_000, ..Default::default() };
        admin.replica.apply(&crate::propose::change(later, Vec::new()));
        assert_eq!(create(&admin, asked(&id)).await.unwrap(), first);
        let kept = admin.replica.view().join_tokens();
        assert_eq!(kept.len(), 1);
        let token = JoinToken::parse(&first.token).unwrap();
        assert_eq!(kept[0].secret_hash, token.secret_hash().as_bytes()[..]);
        let other = create(&admin, asked(&new_request_id())).await.unwrap();
        assert!(other.id != first.id && other.token != first.token);
        let without_id = [create(&admin, asked(&[])).await.unwrap(), create(&admin, asked(&[])).await.unwrap()];
        assert_ne!(without_id[0].token, without_id[1].token);
    }

    #[tokio::test]
    async fn a_request_id_makes_one_token_and_no_other_after_it_has_gone() {
        let admin = founded();
        let id = new_request_id();
        let first = create(&admin, asked(&id)).await.unwrap();
        let another = CreateTokenRequest { role: "control".into(), ..asked(&id) };
        assert_eq!(create(&admin, another).await.unwrap_err().reason, Reason::RequestReused);
        let revoking = RevokeTokenRequest { id: first.id, ..RevokeTokenRequest::default() };
        revoke(&admin, &Call::of(&Request::new(())), revoking).await.unwrap();
        assert_eq!(create(&admin, asked(&id)).await.unwrap_err().reason, Reason::Expired);
        assert!(admin.replica.view().join_tokens().is_empty());
    }
}
