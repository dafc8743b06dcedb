//! Token buckets; time is an argument.
