//! `operator`: who drives the cluster, by tokens and certificates.
//!
//! Promise: a token is on stdout alone, or in a file that only its owner reads; the key of a certificate is made here and
//! never sent.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use sluice_identity::{certificate_request, write_public, write_secret};
use sluice_proto::admin::{
    CertifyOperatorRequest, CreateOperatorRequest, DeleteOperatorRequest, ListOperatorsRequest, OperatorLine,
    RotateOperatorRequest,
};
use sluice_rpc::admin::operators_client::OperatorsClient;

use crate::{
    args::{Consent, Page},
    duration,
    failure::Failure,
    freshness::Freshness,
    noun::pages,
    output::Changed,
    session::Session,
    table::{Column, column, time},
};

const COLUMNS: [Column; 6] = [
    column("NAME", "name"),
    column("ROLE", "role"),
    time("EXPIRES", "expiresDate"),
    time("TOKEN OF", "tokenDate"),
    time("CERTIFICATE UNTIL", "certificateExpiresDate"),
    column("BY", "createdBy"),
];

/// What an operator may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Reads, but no secrets
    Viewer,
    /// Changes of APIs, deployments, stages, keys and plans too
    Deployer,
    /// Everything
    Admin,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Deployer => "deployer",
            Self::Admin => "admin",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an operator; its token is shown once; `delete` is the opposite
    #[command(after_help = "\
Examples:
  sluice operator create alice --role admin --token-file-out alice.token
  sluice operator create ci --role deployer --ttl 90d > ci.token")]
    Create {
        /// Name: a-z, 0-9 and `._-@`
        name: String,
        /// What it may do
        #[arg(long, value_enum)]
        role: Role,
        /// How long it is an operator [default: until it is deleted]
        #[arg(long, value_parser = duration::parse, value_name = "TIME")]
        ttl: Option<Duration>,
        /// File for the token, instead of showing it
        #[arg(long, value_name = "FILE")]
        token_file_out: Option<PathBuf>,
    },
    /// List the operators
    #[command(after_help = "Example:\n  sluice operator list")]
    List(#[command(flatten)] Page),
    /// Show an operator
    #[command(after_help = "Example:\n  sluice operator get alice")]
    Get {
        /// Name
        name: String,
        #[command(flatten)]
        freshness: Freshness,
    },
    /// Take an operator's token and certificate out of use; `bootstrap` is the token that was made with the cluster
    #[command(after_help = "\
Examples:
  sluice operator delete alice --yes
  sluice operator delete bootstrap --yes")]
    Delete {
        /// Name
        name: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Make a new token for an operator; the one before is worthless at once
    #[command(after_help = "Example:\n  sluice operator rotate alice --token-file-out alice.token")]
    Rotate {
        /// Name
        name: String,
        /// File for the token, instead of showing it
        #[arg(long, value_name = "FILE")]
        token_file_out: Option<PathBuf>,
    },
    /// Make a client certificate for an operator, in place of the one before
    #[command(after_help = "\
Example:
  sluice operator certificate alice --ttl 30d
  sluice --cert-file alice.pem --key-file alice.key api list")]
    Certificate {
        /// Name
        name: String,
        /// How long it is good, at most 366d
        #[arg(long, default_value = "90d", value_parser = duration::parse, value_name = "TIME")]
        ttl: Duration,
        /// File for the certificate [default: NAME.pem]
        #[arg(long, value_name = "FILE")]
        cert_file_out: Option<PathBuf>,
        /// File for its private key [default: NAME.key]
        #[arg(long, value_name = "FILE")]
        key_file_out: Option<PathBuf>,
    },
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Create { name, role, ttl, token_file_out } => create(session, name, role, ttl, token_file_out).await,
            Self::List(page) => list(&session.reading(page.freshness), &page).await,
            Self::Get { name, freshness } => get(&session.reading(freshness), name).await,
            Self::Delete { name, consent } => delete(session, name, consent).await,
            Self::Rotate { name, token_file_out } => rotate(session, name, token_file_out).await,
            Self::Certificate { name, ttl, cert_file_out, key_file_out } => {
                let certificate = cert_file_out.unwrap_or_else(|| format!("{name}.pem").into());
                let key = key_file_out.unwrap_or_else(|| format!("{name}.key").into());
                certify(session, name, ttl, &certificate, &key).await
            }
        }
    }
}

async fn create(
    session: &Session,
    name: String,
    role: Role,
    ttl: Option<Duration>,
    file: Option<PathBuf>,
) -> Result<(), Failure> {
    let message = CreateOperatorRequest {
        request_id: session.requests.next(),
        name,
        role: role.name().to_owned(),
        ttl_seconds: ttl.map(|ttl| ttl.as_secs().max(1)),
    };
    let reply = session
        .client
        .call(session.timeout, message, async |channel, request| OperatorsClient::new(channel).create(request).await)
        .await?;
    hand_over(session, "created", &reply.operator.unwrap_or_default(), &reply.token, file.as_deref())
}

async fn rotate(session: &Session, name: String, file: Option<PathBuf>) -> Result<(), Failure> {
    let message = RotateOperatorRequest { request_id: session.requests.next(), name };
    let reply = session
        .client
        .call(session.timeout, message, async |channel, request| OperatorsClient::new(channel).rotate(request).await)
        .await?;
    hand_over(session, "rotated", &reply.operator.unwrap_or_default(), &reply.token, file.as_deref())
}

/// Gives a token to whoever made it: to a file, or on stdout alone, so that it can be sent to one.
fn hand_over(
    session: &Session,
    verb: &str,
    operator: &OperatorLine,
    token: &str,
    file: Option<&Path>,
) -> Result<(), Failure> {
    let (name, role) = (&operator.name, &operator.role);
    let lost = format!(
        "the token of {name} was made, and cannot be shown again: `sluice operator rotate {name}` makes another"
    );
    let mut document = operator_json(operator);
    if let Some(file) = file {
        write_secret(file, token).map_err(|failure| Failure::failed(format!("{failure}; {lost}")))?;
        document["tokenFile"] = json!(file);
        let what = format!("operator {name} ({role}), token in {}", file.display());
        session.output.changed(Changed { verb, what, document, revision: None });
        return Ok(());
    }
    session.output.note(&format!("{verb} operator {name} ({role}); its token is shown this once"));
    document["token"] = json!(token);
    session.output.either(&document, token);
    session.output.unwritten_but(&lost)
}

async fn list(session: &Session, page: &Page) -> Result<(), Failure> {
    pages(session, &COLUMNS, page, async |page_size, page_token| {
        let stale = session.freshness.stale;
        let reply = ask(session, ListOperatorsRequest { name: None, page_size, page_token, stale }).await?;
        Ok((reply.items.iter().map(operator_json).collect(), reply.next_page_token))
    })
    .await
}

async fn get(session: &Session, name: String) -> Result<(), Failure> {
    let stale = session.freshness.stale;
    let reply = ask(session, ListOperatorsRequest { name: Some(name), stale, ..Default::default() }).await?;
    session.show(&reply.items.first().map_or(Value::Null, operator_json));
    Ok(())
}

async fn ask(
    session: &Session,
    message: ListOperatorsRequest,
) -> Result<sluice_proto::admin::ListOperatorsReply, Failure> {
    session
        .client
        .read(session.timeout, message, async |channel, request| OperatorsClient::new(channel).list(request).await)
        .await
}

async fn delete(session: &Session, name: String, consent: Consent) -> Result<(), Failure> {
    session.consent(consent, &format!("take the token and the certificate of operator {name} out of use"))?;
    let message = DeleteOperatorRequest { request_id: session.requests.next(), name: name.clone() };
    session
        .client
        .call(session.timeout, message, async |channel, request| OperatorsClient::new(channel).delete(request).await)
        .await?;
    let document = json!({"deleted": {"kind": "operator", "ids": [name]}});
    session.output.changed(Changed { verb: "deleted", what: format!("operator {name}"), document, revision: None });
    Ok(())
}

async fn certify(
    session: &Session,
    name: String,
    ttl: Duration,
    certificate_file: &Path,
    key_file: &Path,
) -> Result<(), Failure> {
    let failed = |failure: sluice_identity::IdentityFailure| Failure::failed(failure.to_string());
    let (key_pem, csr_pem) = certificate_request().map_err(failed)?;
    let message = CertifyOperatorRequest {
        request_id: session.requests.next(),
        name: name.clone(),
        csr_pem,
        ttl_seconds: Some(ttl.as_secs().max(1)),
    };
    let reply = session
        .client
        .call(session.timeout, message, async |channel, request| OperatorsClient::new(channel).certify(request).await)
        .await?;
    write_secret(key_file, key_pem.expose()).map_err(failed)?;
    write_public(certificate_file, &reply.certificate_pem).map_err(failed)?;
    let mut document = operator_json(&reply.operator.unwrap_or_default());
    document["certFile"] = json!(certificate_file);
    document["keyFile"] = json!(key_file);
    let what = format!("operator {name}: --cert-file {} --key-file {}", certificate_file.display(), key_file.display());
    session.output.changed(Changed { verb: "certified", what, document, revision: None });
    Ok(())
}

fn operator_json(operator: &OperatorLine) -> Value {
    let date = |ms: u64| (ms > 0).then_some(ms / 1000);
    let serial = Some(&operator.certificate_serial).filter(|serial| !serial.is_empty());
    json!({
        "name": operator.name,
        "role": operator.role,
        "expiresDate": date(operator.expires_ms),
        "createdDate": date(operator.created_ms),
        "createdBy": operator.created_by,
        "tokenDate": date(operator.token_made_ms),
        "certificateSerial": serial,
        "certificateExpiresDate": date(operator.certificate_expires_ms),
    })
}
