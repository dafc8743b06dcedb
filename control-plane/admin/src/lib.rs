//! The admin gRPC services: check, dry compile, propose.
