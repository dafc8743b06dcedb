//! `cluster`: its state, its members, its key, and the tokens by which nodes join it; backups have a file of their own.

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};
use sluice_proto::admin::{
    CreateTokenRequest, ListTokensRequest, Member, RevokeTokenRequest, StatusReply, StatusRequest, TokenLine,
};
use sluice_rpc::admin::cluster_client::ClusterClient;

use crate::{
    args::{Consent, Page},
    backup::Backup,
    duration,
    failure::{Failure, diagnostic_json},
    freshness::Freshness,
    members,
    node::Role,
    noun::pages,
    output::{Changed, marked},
    restore::Restore,
    rotate_key,
    session::Session,
    table::{self, Column, column, time},
};

const MEMBERS: [Column; 8] = [
    column("NODE", "nodeId"),
    column("RAFT", "raftId"),
    column("STATE", "state"),
    column("PEERS", "peerAddress"),
    column("OPERATORS", "publicAddress"),
    column("LOG", "matchedIndex"),
    column("VERSION", "version"),
    time("CERTIFICATE UNTIL", "certificateExpiresDate"),
];
const TOKENS: [Column; 5] = [
    column("ID", "id"),
    column("ROLE", "role"),
    time("EXPIRES", "expiresDate"),
    time("CREATED", "createdDate"),
    column("BY", "createdBy"),
];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Leader, members and revision of the cluster
    #[command(after_help = "Example:\n  sluice cluster status --stale --digest")]
    Status {
        #[command(flatten)]
        freshness: Freshness,
        /// Count and hash every row of the node that answers; two nodes that have applied the same index show the same
        #[arg(long)]
        digest: bool,
    },
    /// Put a new cluster key in place of the present one
    ///
    /// All that is sealed is sealed anew; values of API keys stay what they are. A rotation that was begun goes on by itself,
    /// also under another leader: run again, this waits for its end.
    #[command(after_help = "Example:\n  sluice cluster rotate-key")]
    RotateKey {
        /// How long to wait for its end
        #[arg(long, default_value = "10m", value_parser = duration::parse, value_name = "TIME")]
        wait_timeout: Duration,
    },
    /// Give a control node its vote back; `demote` is the opposite
    #[command(after_help = "Example:\n  sluice cluster promote 10.0.0.3:7101")]
    Promote {
        /// Id, address or raft number of a control node
        node: String,
    },
    /// Take the vote of a control node, which follows on until it is promoted; `promote` is the opposite
    #[command(after_help = "Example:\n  sluice cluster demote 10.0.0.3:7101")]
    Demote {
        /// Id, address or raft number of a control node
        node: String,
    },
    /// Take a control node out of the cluster for good
    #[command(after_help = "Example:\n  sluice cluster remove 10.0.0.3:7101 --yes")]
    Remove {
        /// Id, address or raft number of a control node
        node: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Let another control node lead
    #[command(after_help = "Example:\n  sluice cluster transfer-leader 10.0.0.2:7101")]
    TransferLeader {
        /// Id, address or raft number of a control node that votes [default: the one that is furthest]
        node: Option<String>,
    },
    /// Join tokens
    #[command(subcommand)]
    Token(Token),
    Backup(Backup),
    Restore(Restore),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token by which one node may join; `revoke` is the opposite
    #[command(after_help = "Example:\n  sluice cluster token create --role data --ttl 1h > token")]
    Create {
        /// Role of the node
        #[arg(long, value_enum)]
        role: Role,
        /// How long it may be used, at most 7d
        #[arg(long, default_value = "1h", value_parser = duration::parse, value_name = "TIME")]
        ttl: Duration,
    },
    /// List the tokens that are not used yet
    #[command(after_help = "Example:\n  sluice cluster token list")]
    List(#[command(flatten)] Page),
    /// Make a token worthless
    #[command(after_help = "Example:\n  sluice cluster token revoke abc123 --yes")]
    Revoke {
        /// Id of the token
        id: String,
        #[command(flatten)]
        consent: Consent,
    },
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Status { freshness, digest } => status(&session.reading(freshness), digest).await,
            Self::RotateKey { wait_timeout } => rotate_key::run(session, wait_timeout).await,
            Self::Backup(backup) => backup.run(session).await,
            Self::Restore(restore) => restore.run(session).await,
            Self::Promote { node } => members::promote(session, node).await,
            Self::Demote { node } => members::demote(session, node).await,
            Self::Remove { node, consent } => members::remove(session, node, Some(Role::Control), consent).await,
            Self::TransferLeader { node } => members::transfer_leader(session, node).await,
            Self::Token(Token::Create { role, ttl }) => create_token(session, role, ttl).await,
            Self::Token(Token::List(page)) => list_tokens(&session.reading(page.freshness), &page).await,
            Self::Token(Token::Revoke { id, consent }) => revoke_token(session, &id, consent).await,
        }
    }
}

/// What the cluster says of itself.
pub(crate) async fn ask_status(session: &Session) -> Result<StatusReply, Failure> {
    ask(session, StatusRequest { stale: session.freshness.stale, ..StatusRequest::default() }).await
}

async fn ask(session: &Session, message: StatusRequest) -> Result<StatusReply, Failure> {
    session
        .client
        .read(session.timeout, message, async |channel, request| {
            ClusterClient::new(channel).status(session.freshness.asked(request)).await
        })
        .await
}

async fn status(session: &Session, digest: bool) -> Result<(), Failure> {
    let reply = ask(session, StatusRequest { stale: session.freshness.stale, digest }).await?;
    let stale = session.client.stale();
    let members = reply.members.iter().map(member_json).collect::<Vec<_>>();
    let value = status_json(&reply, &members);
    let mut summary = value.clone();
    if let Some(summary) = summary.as_object_mut() {
        summary.remove("members");
        summary.remove("warnings");
    }
    let text = format!("{}\n\n{}", table::fields(&summary), table::lines(&MEMBERS, &members));
    session.output.mark(stale.as_ref());
    session.output.warnings(&reply.warnings);
    session.output.either(&marked(value, stale.as_ref()), &text);
    Ok(())
}

fn status_json(reply: &StatusReply, members: &[Value]) -> Value {
    let mut value = json!({
        "clusterId": reply.cluster_id,
        "revision": {"generation": reply.generation, "number": reply.number},
        "level": reply.level,
        "leader": reply.leader,
        "term": reply.term,
        "commitIndex": reply.commit_index,
        "dataNodes": reply.data_nodes,
        "dataNodesCurrent": reply.data_nodes_current,
        "answeredBy": reply.answered_by,
        "clusterKey": {
            "id": reply.sealing_key_id,
            "oldId": (!reply.old_key_id.is_empty()).then_some(&reply.old_key_id),
            "sealedWithOld": reply.sealed_with_old_key,
        },
        "warnings": reply.warnings.iter().map(diagnostic_json).collect::<Vec<_>>(),
        "members": members,
    });
    if let (Some(state), Some(fields)) = (&reply.state, value.as_object_mut()) {
        let digest: String = state.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        fields.insert("appliedIndex".to_owned(), json!(state.applied_index));
        fields.insert("rows".to_owned(), json!(state.rows));
        fields.insert("digest".to_owned(), json!(digest));
    }
    value
}

fn member_json(member: &Member) -> Value {
    json!({
        "nodeId": member.node_id,
        "raftId": member.raft_id,
        "state": member.state,
        "peerAddress": member.peer_address,
        "publicAddress": member.public_address,
        "matchedIndex": (member.matched_index > 0).then_some(member.matched_index),
        "version": member.version,
        "freeBytes": member.free_bytes,
        "clockOffsetMs": member.clock_offset_ms,
        "certificateExpiresDate": (member.certificate_expires_ms > 0).then_some(member.certificate_expires_ms / 1000),
    })
}

async fn create_token(session: &Session, role: Role, ttl: Duration) -> Result<(), Failure> {
    let ttl_seconds = Some(ttl.as_secs().max(1));
    let message = CreateTokenRequest { request_id: session.requests.next(), role: role.name(), ttl_seconds };
    let reply = session
        .client
        .call(session.timeout, message, async |channel, request| {
            ClusterClient::new(channel).create_token(request).await
        })
        .await?;
    let value = json!({"id": reply.id, "token": reply.token, "expiresDate": reply.expires_ms / 1000});
    let expires = crate::time::utc(i64::try_from(reply.expires_ms / 1000).unwrap_or(i64::MAX));
    session.output.note(&format!("token {} for one {} node, until {expires}", reply.id, role.name()));
    // The token alone on stdout, so that it can be sent to a file.
    session.output.either(&value, &reply.token);
    let (id, what) = (&reply.id, "the token was made, and cannot be shown again");
    session.output.unwritten_but(&format!("{what}: `sluice cluster token revoke {id}`, and make another"))
}

async fn list_tokens(session: &Session, page: &Page) -> Result<(), Failure> {
    pages(session, &TOKENS, page, async |page_size, page_token| {
        let message = ListTokensRequest { page_size, page_token, stale: session.freshness.stale };
        let reply = session
            .client
            .read(session.timeout, message, async |channel, request| {
                ClusterClient::new(channel).list_tokens(request).await
            })
            .await?;
        Ok((reply.items.iter().map(token_json).collect(), reply.next_page_token))
    })
    .await
}

fn token_json(token: &TokenLine) -> Value {
    json!({
        "id": token.id,
        "role": token.role,
        "expiresDate": token.expires_ms / 1000,
        "createdDate": token.created_ms / 1000,
        "createdBy": token.created_by,
    })
}

async fn revoke_token(session: &Session, id: &str, consent: Consent) -> Result<(), Failure> {
    session.consent(consent, &format!("revoke token {id}"))?;
    let message = RevokeTokenRequest { request_id: session.requests.next(), id: id.to_owned() };
    session
        .client
        .call(session.timeout, message, async |channel, request| {
            ClusterClient::new(channel).revoke_token(request).await
        })
        .await?;
    let document = json!({"revoked": {"kind": "token", "ids": [id]}});
    session.output.changed(Changed { verb: "revoked", what: format!("token {id}"), document, revision: None });
    Ok(())
}
