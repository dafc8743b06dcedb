//! Which ports the nodes of a `dev` cluster take.

use std::net::{Ipv4Addr, TcpListener};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Data nodes that the documented series have room for: the next port of the series is another node's.
const DOCUMENTED_DATA_NODES: usize = 10;
/// Where free ports are looked for: below the range from which Linux gives ports to connections (32768 and above), so
/// that none of them takes one between the choice and the start of the node.
const FREE: std::ops::Range<u16> = 20_000..32_000;

/// How ports are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Series {
    /// 7100, 7110, ...; 8080, 8081, ...
    Documented,
    /// Whatever is free.
    Free,
}

/// Ports of a control node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ControlPorts {
    pub(super) admin: u16,
    pub(super) peer: u16,
    pub(super) http: u16,
}

/// Ports of a data node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DataPorts {
    pub(super) http: u16,
    pub(super) operations: u16,
}

/// A source of ports.
pub(super) struct Chooser {
    series: Series,
    next_free: u16,
}

impl Chooser {
    pub(super) fn new(series: Series) -> Self {
        // Two clusters that start at the same time should not try the same ports.
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        let offset = u16::try_from(random % u64::from(FREE.end - FREE.start)).unwrap_or(0);
        Self { series, next_free: FREE.start + offset }
    }

    /// The ports of control node `index`, from 0.
    pub(super) fn control(&mut self, index: usize) -> Result<ControlPorts, Failure> {
        match self.series {
            Series::Free => Ok(ControlPorts { admin: self.free()?, peer: self.free()?, http: self.free()? }),
            Series::Documented => {
                let index = narrow(index);
                Ok(ControlPorts { admin: 7100 + 10 * index, peer: 7101 + 10 * index, http: 7180 + index })
            }
        }
    }

    /// The ports of data node `index`, from 0.
    pub(super) fn data(&mut self, index: usize) -> Result<DataPorts, Failure> {
        match self.series {
            Series::Free => Ok(DataPorts { http: self.free()?, operations: self.free()? }),
            Series::Documented if index >= DOCUMENTED_DATA_NODES => {
                Err(Failure::usage(format!("more than {DOCUMENTED_DATA_NODES} data nodes need --ports auto")))
            }
            Series::Documented => {
                let index = narrow(index);
                Ok(DataPorts { http: 8080 + index, operations: 7280 + index })
            }
        }
    }

    fn free(&mut self) -> Result<u16, Failure> {
        for _ in FREE {
            let port = self.next_free;
            self.next_free = if port + 1 == FREE.end { FREE.start } else { port + 1 };
            if is_free(port) {
                return Ok(port);
            }
        }
        Err(Failure::failed("this machine has no free port"))
    }
}

fn narrow(index: usize) -> u16 {
    u16::try_from(index).expect("counts of nodes are at most 100")
}

/// Refuses ports that someone else has.
pub(super) fn check_free(ports: impl IntoIterator<Item = u16>) -> Result<(), Failure> {
    match ports.into_iter().find(|port| !is_free(*port)) {
        Some(port) => Err(Failure::failed(format!(
            "port {port} is taken: stop what listens there, or use another --data-dir with --ports auto"
        ))),
        None => Ok(()),
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_series_never_meet() {
        let mut chooser = Chooser::new(Series::Documented);
        let mut taken = Vec::new();
        for index in 0..7 {
            let ControlPorts { admin, peer, http } = chooser.control(index).unwrap();
            taken.extend([admin, peer, http]);
        }
        for index in 0..DOCUMENTED_DATA_NODES {
            let DataPorts { http, operations } = chooser.data(index).unwrap();
            taken.extend([http, operations]);
        }
        assert_eq!(taken[..6], [7100, 7101, 7180, 7110, 7111, 7181]);
        let count = taken.len();
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), count);
        assert!(chooser.data(DOCUMENTED_DATA_NODES).unwrap_err().message.contains("--ports auto"));
    }

    #[test]
    fn a_taken_port_is_named_and_passed_over() {
        let mut chooser = Chooser::new(Series::Free);
        let port = chooser.free().unwrap();
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        chooser.next_free = port;
        assert_ne!(chooser.free().unwrap(), port);
        let refused = check_free([port]).unwrap_err();
        assert!(refused.message.contains(&format!("port {port} is taken")), "{}", refused.message);
        drop(held);
        assert_eq!(check_free([port]), Ok(()));
    }
}
