//! openraft over tonic with its log and state in RocksDB.
