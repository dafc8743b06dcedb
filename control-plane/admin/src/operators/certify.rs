//! Certificates of operators.

use std::time::{Duration, SystemTime};

use sluice_identity::BOOTSTRAP;
use sluice_proto::{
    admin::{CertifyOperatorReply, CertifyOperatorRequest},
    raft::{ChangeOperator, Command, OperatorCertificate, command},
};

use super::{create::ttl_ms, line};
use crate::{
    admin::Admin,
    call::Call,
    propose::{here, now_ms},
    refused::{Reason, Refused},
    replica::Replica,
};

const TTL_DEFAULT: Duration = Duration::from_secs(90 * 86_400);
const TTL_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Signs the operator's key. Asked again, it signs again: the key is the caller's own, and the last certificate is good.
pub(super) async fn certify<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: CertifyOperatorRequest,
) -> Result<CertifyOperatorReply, Refused> {
    let ttl_ms = ttl_ms(message.ttl_seconds.unwrap_or(TTL_DEFAULT.as_secs()), TTL_MAX)?;
    if message.name == BOOTSTRAP {
        let text = "expected the name of an operator, found the token that was made with the cluster";
        return Err(Refused::invalid("name", text, "make an operator with `sluice operator create`"));
    }
    let (cluster, expires_ms) = {
        let view = admin.replica.view();
        let missing = || Refused::not_found(format!("operator {} does not exist", message.name));
        let operator = view.operator(&message.name).ok_or_else(missing)?;
        let until_ms = now_ms(view.stamp()) + ttl_ms;
        // Of no use beyond the operator itself.
        let until_ms = if operator.expires_ms == 0 { until_ms } else { until_ms.min(operator.expires_ms) };
        (view.cluster().unwrap_or_default(), until_ms)
    };
    if cluster.plaintext {
        let text = "a cluster without certificates signs none; it needs no proof of its operators either";
        return Err(Refused::new(Reason::Invalid, text));
    }
    let signed = {
        let authority = admin.tools.secrets.authority(&cluster)?;
        let until = SystemTime::UNIX_EPOCH + Duration::from_millis(expires_ms);
        authority
            .sign_operator(&message.csr_pem, &message.name, until)
            .map_err(|failure| Refused::invalid("csrPem", failure.to_string(), ""))?
    };
    // Without a request id: a repetition has a certificate of its own.
    let command = ChangeOperator {
        stamp: Some(call.stamp(now_ms(admin.replica.view().stamp()), None)),
        name: message.name.clone(),
        token_hash: None,
        certificate: Some(OperatorCertificate { serial: signed.serial, expires_ms }),
    };
    here(&admin.replica, Command { kind: Some(command::Kind::ChangeOperator(command)) }, call.deadline).await?;
    let operator = admin.replica.view().operator(&message.name).map(line);
    Ok(CertifyOperatorReply { operator, certificate_pem: signed.pem, ca_certificate_pem: cluster.ca_certificate_pem })
}
