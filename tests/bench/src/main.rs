//! The benchmarks whose figures the README prints.
//!
//!   cargo run --release -p sluice-bench --bin sluice-bench -- NAME [RUNS]
//!
//! Promise: every figure comes from the real programs, is the median of RUNS (default 5), and stands beside a fixed
//! loop timed in the same run, so that a busy machine shows. Absent: gates; figures are read by people.

#![expect(clippy::print_stdout, reason = "figures are printed")]

mod calibrate;
mod change;
mod failover;
mod hostile;
mod idle;
mod import;
mod instructions;
mod keys;
mod load;
mod peers;
mod proxy;
mod report;
mod rig;
mod sockets;
mod spread;
mod taken;
mod tls;
mod writes;

use anyhow::{Result, bail};

const USAGE: &str = "usage: sluice-bench NAME [RUNS]
  proxy         CPU per proxied request, beside nginx, HAProxy and Envoy (those installed)
  tls           CPU per proxied request over TLS, HTTP/1.1 and HTTP/2, beside nginx and HAProxy (those installed)
  idle          memory of an idle connection, in plaintext and over TLS
  spread        connections by core: 8 and 1,000 on a data node of 4 cores
  instructions  user instructions per proxied request, and what key, plan and throttle add (callgrind)
  routes        user instructions per route lookup, 1,100 against 100,000 routes (callgrind)
  import        GitHub's description: imported, deployed, served by every node
  change        one changed route among 1,100: commit to the last node's Applied; also under 2,000 rps
  keys          100,000 API keys by CSV; memory per key in a data node
  writes        key create, 64 in flight at the leader of 3 nodes
  hostile       an ordinary client beside floods, slow and idle clients
  failover      the leader killed 20 times a run: until the client's next acknowledged write";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.first().map(String::as_str).unwrap_or_default();
    if name == "pour" {
        // What `hostile` starts as processes of their own.
        return hostile::pour(&arguments[1..]);
    }
    let runs = arguments.get(1).map_or(Ok(5), |text| text.parse::<usize>())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match name {
            "proxy" => proxy::run(runs).await,
            "tls" => tls::run(runs).await,
            "idle" => idle::run(runs).await,
            "spread" => spread::run().await,
            "instructions" => instructions::run().await,
            "routes" => instructions::routes(),
            "import" => import::run(runs).await,
            "change" => change::run(runs).await,
            "keys" => keys::run(runs).await,
            "writes" => writes::run(runs).await,
            "hostile" => hostile::run(runs).await,
            "failover" => failover::run(runs).await,
            _ => bail!("{USAGE}"),
        }
    })
}
