//! The admin gRPC services: check, dry compile, propose.
mod ids;
mod nearest;
mod noun;
mod patch;
mod refused;
mod schema;
