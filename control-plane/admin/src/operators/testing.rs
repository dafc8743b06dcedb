//! Operators for tests.

use sluice_proto::admin::CreateOperatorRequest;
use tonic::Request;

use crate::{admin::Admin, call::Call, testing::MemoryReplica};

/// Makes an operator that does not expire; its token.
pub(crate) async fn create(admin: &Admin<MemoryReplica>, name: &str, role: &str) -> String {
    let (name, role) = (name.to_owned(), role.to_owned());
    let message = CreateOperatorRequest { name, role, ..CreateOperatorRequest::default() };
    super::create::create(admin, &Call::of(&Request::new(())), message).await.unwrap().token
}
