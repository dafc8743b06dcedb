//! A cluster of control nodes over tables in memory, and data nodes that follow them, in one process.

mod cluster;
mod data_node;

pub(crate) use cluster::{Cluster, Node, plan, put, quick};
pub(crate) use data_node::{DataNode, Moved};
