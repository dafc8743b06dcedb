//! Every bound of the product, with its unit and its source.
//!
//! Promise: a bound is stated once, here. Absent: defaults of process settings, which stand with the settings.

/// Bytes of one Raft log entry: what one proposal may carry.
pub const ENTRY_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one document; leaves room in an entry for what travels beside it.
pub const DOCUMENT_BYTES_MAX: usize = ENTRY_BYTES_MAX - 16 * 1024;
/// Bytes of one part of an API: an entry uploads a part whole, and a message of the config stream carries it whole.
pub const PART_BYTES_MAX: usize = DOCUMENT_BYTES_MAX;
/// Rows of one `Change`.
pub const CHANGE_ROWS_MAX: usize = 10_000;
/// References of one row.
pub const ROW_REFS_MAX: usize = 1_000;
/// Bytes of one part of a row's key.
pub const KEY_PART_BYTES_MAX: usize = 256;
/// Parts of a row's key.
pub const KEY_PARTS_MAX: usize = 4;
/// Bytes of an actor's name.
pub const ACTOR_BYTES_MAX: usize = 256;
/// Bytes of a unique value of a row.
pub const UNIQUE_BYTES_MAX: usize = 64;
/// Rows that deleting one row may take with it.
pub const CASCADE_ROWS_MAX: usize = 10_000;

/// Changes that the index of changes remembers for deltas.
pub const CHANGES_MAX: u64 = 1_000_000;
/// Bytes of keys that the index of changes remembers.
pub const CHANGE_KEY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Milliseconds of stamped time for which content may stay without a reference.
pub const UNREFERENCED_MS_MAX: u64 = 10 * 60 * 1000;
/// Rows that one `Trim` removes.
pub const TRIM_ROWS_MAX: usize = 10_000;

/// Bytes of one staged piece of a restore; leaves room in an entry for what travels beside it.
pub const RESTORE_CHUNK_BYTES_MAX: usize = ENTRY_BYTES_MAX - 16 * 1024;
/// Bytes of the rows of a restore: every control node holds them in memory once, while it switches to them.
pub const RESTORE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Bytes of one row of a backup: a document or a list of digests, with what its indexes are made from.
pub const BACKUP_ROW_BYTES_MAX: usize = 4 * ENTRY_BYTES_MAX;

/// Milliseconds of stamped time for which a request id is remembered.
pub const REQUEST_MS_MAX: u64 = 10 * 60 * 1000;
/// Request ids remembered: ten minutes of 3,333 a second.
pub const REQUESTS_MAX: u64 = 2_000_000;
/// Request ids forgotten by one command, so that no command pays for many.
pub const REQUESTS_TRIM_BATCH: usize = 256;

/// Removed nodes that are remembered, each until the last of its certificates has expired.
pub const REVOKED_NODES_MAX: usize = 65_536;
/// Nodes that were taken out of the cluster and are remembered; the data nodes that have been out for longest are forgotten
/// first.
pub const REMOVED_NODES_MAX: usize = 10_000;

/// Operators of a cluster.
pub const OPERATORS_MAX: usize = 1_000;

/// Entries of the audit trail of calls that were carried out.
pub const AUDIT_ROWS_MAX: u64 = 100_000;
/// Entries of the audit trail of calls that were refused: apart, so that no one can push the others out.
pub const REFUSED_CALLS_MAX: u64 = 10_000;
/// Milliseconds of stamped time for which an entry of the audit trail is kept: 90 days.
pub const AUDIT_MS_MAX: u64 = 90 * 24 * 60 * 60 * 1000;
/// Bytes of what an entry of the audit trail says of a call.
pub const AUDIT_CALL_BYTES_MAX: usize = 8 * 1024;
/// Entries of the audit trail that one command records of refused calls.
pub const RECORDED_CALLS_MAX: usize = 32;

/// Diagnostics kept of one check; more are counted.
pub const DIAGNOSTICS_MAX: usize = 1_000;

/// Characters of a name of an API, key, plan, authorizer, validator or operation. AWS gives 1,024 for most nouns.
pub const NAME_CHARS_MAX: usize = 1_024;
/// Characters of a description. AWS: 1,024.
pub const DESCRIPTION_CHARS_MAX: usize = 1_024;
/// Characters of a stage's name. AWS: 128.
pub const STAGE_NAME_CHARS_MAX: usize = 128;
/// Characters of a model's name.
pub const MODEL_NAME_CHARS_MAX: usize = 256;
/// Variables of a stage.
pub const STAGE_VARIABLES_MAX: usize = 1_000;
/// Characters of a stage variable's name. AWS: 64; more is harmless.
pub const STAGE_VARIABLE_NAME_CHARS_MAX: usize = 64;
/// Characters of a stage variable's value. AWS: 512.
pub const STAGE_VARIABLE_VALUE_CHARS_MAX: usize = 512;
/// Tags of a document. AWS: 50.
pub const TAGS_MAX: usize = 50;
/// Characters of a tag's key. AWS: 128.
pub const TAG_KEY_CHARS_MAX: usize = 128;
/// Characters of a tag's value. AWS: 256.
pub const TAG_VALUE_CHARS_MAX: usize = 256;
/// Characters of one segment of a path.
pub const PATH_PART_CHARS_MAX: usize = 256;
/// Characters of a whole path.
pub const PATH_CHARS_MAX: usize = 4_096;
/// Segments of a path.
pub const PATH_SEGMENTS_MAX: usize = 64;
/// Entries of one map of parameters, templates or responses.
pub const MAP_ENTRIES_MAX: usize = 1_000;
/// Characters of an integration's URI.
pub const URI_CHARS_MAX: usize = 8_192;
/// Bytes of a mapping template. AWS: 300 KB.
pub const TEMPLATE_BYTES_MAX: usize = 300 * 1024;
/// Bytes of a model's schema. AWS: 400 KB.
pub const SCHEMA_BYTES_MAX: usize = 400 * 1024;
/// Bytes of a resource policy. AWS: 8,192; more is harmless.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a response below which it is not compressed; the most that may be asked for. AWS: 10 MiB.
pub const COMPRESSION_SIZE_MAX: i32 = 10 * 1024 * 1024;

/// Milliseconds that an integration may take, least. AWS: 50.
pub const INTEGRATION_TIMEOUT_MS_MIN: i32 = 50;
/// Milliseconds that an integration may take, most. AWS: 300,000 where its quota is raised.
pub const INTEGRATION_TIMEOUT_MS_MAX: i32 = 300_000;
/// Milliseconds that an integration may take where it does not say. AWS: 29,000.
pub const INTEGRATION_TIMEOUT_MS_DEFAULT: i32 = 29_000;

/// Requests per second of a throttle, least: one an hour.
pub const THROTTLE_RATE_MIN: f64 = 1.0 / 3600.0;
/// Requests per second of a throttle, most.
pub const THROTTLE_RATE_MAX: f64 = 1_000_000.0;
/// Requests of a throttle's burst, least.
pub const THROTTLE_BURST_MIN: i32 = 1;
/// Characters of an API key's value, least. AWS: 20.
pub const KEY_VALUE_CHARS_MIN: usize = 20;
/// Characters of an API key's value, most. AWS: 128.
pub const KEY_VALUE_CHARS_MAX: usize = 128;
/// API keys of one commit of a CSV import.
pub const KEY_IMPORT_ROWS: usize = 1_000;
/// Bytes of an imported API description, decompressed.
pub const IMPORT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Imports under way at once on one control node, of APIs and of keys: each holds its file and what it becomes in memory.
pub const IMPORTS_MAX: usize = 4;
/// Resources of an API. AWS: 300, by a quota that can be raised.
pub const RESOURCES_MAX: usize = 200_000;
/// Items of a page of a list, most.
pub const PAGE_SIZE_MAX: u32 = 500;
/// Items of a page of a list where the caller does not say.
pub const PAGE_SIZE_DEFAULT: u32 = 100;

/// Bytes of rows in one message of the config stream.
pub const STREAM_CHUNK_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one gRPC message of the config stream: a chunk and one row that is larger than it.
pub const STREAM_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of rows and tombstones in one delta; what is larger is sent as a snapshot, which is never in memory as a whole.
/// Rows of a delta are rows of the snapshot too, so that at most as much again is read for nothing.
pub const DELTA_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of all deltas that one control node holds at once, the first chunk of each aside.
pub const DELTAS_BYTES_MAX: usize = 4 * DELTA_BYTES_MAX;
/// Data nodes that stream from one control node: what bounds them is its memory and its reports to the leader, so that
/// each control node counts its own. A fleet must fit those that are left when a minority is lost: 4,096 data nodes with
/// one control node, 8,192 with three, 12,288 with five, 16,384 with seven. One that finds no place tries the next.
pub const SESSIONS_MAX: usize = 4_096;
/// Broken APIs that a session reports.
pub const BROKEN_APIS_MAX: usize = 100;
